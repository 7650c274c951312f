/* bgp_metrics.c - the speaker in numbers, for Prometheus
 * TESTS  tests/netns/test_bgp_metrics.py */
#include "agent/bgp/bgp_metrics.h"

#include <stdlib.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/bgp/drain.h"
#include "agent/bgp/peering.h"
#include "agent/metrics.h"

static const double bounds[] = { 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1,
				 0.2,	0.5,   1,     2,    5,	  10,	30 };

struct bgp_metrics {
	struct agent *agent;
	/* begin of the burst that is being worked off; of the one that the kernel is being told, 0: none */
	int64_t heard_us, told_us;
	int64_t applied_us; /* when the kernel had everything last */
	bool waiting;	    /* it has not everything now */
	struct metric_histogram to_kernel;
};

/* ---- sums ---- */

/* Of one session, or of many. */
struct sums {
	double sessions, up, flaps, withdrawn_by_error, filtered;
	double msgs[2], updates[2], bytes[2]; /* received, sent */
	double routes[BGP_AF_MAX_][5];
};

static const char *const directions[] = { "received", "sent" };
static const char *const kinds[] = { "received", "accepted", "best", "sent", "stale" };

static void sums_add(struct sums *s, const struct bgp_peer_status *st)
{
	s->sessions++;
	s->up += st->state == BGP_STATE_ESTABLISHED;
	s->flaps += (double)st->flaps;
	s->withdrawn_by_error += (double)st->withdrawn_by_error;
	s->filtered += (double)st->filtered;
	s->msgs[0] += (double)st->msgs_in;
	s->msgs[1] += (double)st->msgs_out;
	s->updates[0] += (double)st->updates_in;
	s->updates[1] += (double)st->updates_out;
	s->bytes[0] += (double)st->bytes_in;
	s->bytes[1] += (double)st->bytes_out;
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		s->routes[af][0] += st->routes_received[af];
		s->routes[af][1] += st->routes_accepted[af];
		s->routes[af][2] += st->routes_best[af];
		s->routes[af][3] += st->routes_sent[af];
		s->routes[af][4] += st->routes_stale[af];
	}
}

/* peer: an address, or "mesh". */
static void put_traffic(struct metrics *m, const char *peer, const struct sums *s)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct metric_label *l =
			METRIC_LABELS({ "peer", peer }, { "direction", directions[i] });

		metrics_add(m, "margay_bgp_messages_total", "BGP messages.", METRIC_COUNTER, l,
			    s->msgs[i]);
		metrics_add(m, "margay_bgp_updates_total", "UPDATE messages.", METRIC_COUNTER, l,
			    s->updates[i]);
		metrics_add(m, "margay_bgp_bytes_total", "Bytes of BGP messages.", METRIC_COUNTER,
			    l, s->bytes[i]);
	}
}

static void put_routes(struct metrics *m, const char *peer, const struct sums *s)
{
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
			metrics_add(
				m, "margay_bgp_routes",
				"Routes of a peer: received from it, usable, chosen, sent to it, "
				"kept from before its restart.",
				METRIC_GAUGE,
				METRIC_LABELS({ "peer", peer },
					      { "family", bgp_af_info((enum bgp_af)af)->name },
					      { "kind", kinds[i] }),
				s->routes[af][i]);
	}
}

static void put_sums(struct metrics *m, const char *peer, const struct sums *s)
{
	const struct metric_label *l = METRIC_LABELS({ "peer", peer });

	metrics_add(m, "margay_bgp_sessions", "Sessions that should be there.", METRIC_GAUGE, l,
		    s->sessions);
	metrics_add(m, "margay_bgp_sessions_up", "Of these, Established ones.", METRIC_GAUGE, l,
		    s->up);
	metrics_add(m, "margay_bgp_flaps_total", "Times that Established was left.", METRIC_COUNTER,
		    l, s->flaps);
	metrics_add(m, "margay_bgp_treated_as_withdraw_total",
		    "UPDATEs with errors, taken as withdrawals (RFC 7606).", METRIC_COUNTER, l,
		    s->withdrawn_by_error);
	metrics_add(m, "margay_bgp_filtered_total", "Routes that import filters did not let in.",
		    METRIC_COUNTER, l, s->filtered);
	put_traffic(m, peer, s);
	put_routes(m, peer, s);
}

/* ---- a scrape ---- */

static void put_sessions(struct metrics *m, const struct bgp_speaker *sp)
{
	struct sums mesh = { 0 };
	struct bgp_peer_status st;

	for (size_t i = 0; bgp_speaker_peer_status(sp, i, &st); i++) {
		struct sums own = { 0 };
		char text[ADDR_STR_MAX];

		if (st.config->kind == BGP_PEER_MESH) {
			sums_add(&mesh, &st);
			continue;
		}
		sums_add(&own, &st);
		put_sums(m, addr_format(&st.config->addr, text), &own);
	}
	put_sums(m, "mesh", &mesh);
}

static void put_all(void *arg, struct metrics *m)
{
	struct bgp_metrics *bm = arg;
	const struct agent *a = bm->agent;
	const struct bgp_speaker *sp = a->peering ? peering_speaker(a->peering) : NULL;

	if (!sp)
		return;
	put_sessions(m, sp);
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		metrics_add(m, "margay_bgp_prefixes", "Prefixes in the table.", METRIC_GAUGE,
			    METRIC_LABELS({ "family", bgp_af_info((enum bgp_af)af)->name }),
			    (double)bgp_speaker_prefix_count(sp, (enum bgp_af)af));
	metrics_add(m, "margay_bgp_converged",
		    "Have all peers had their say since the agent was started?", METRIC_GAUGE, NULL,
		    peering_converged(a->peering));
	metrics_add(m, "margay_bgp_drain_phase",
		    "0 takes part, 1 announced, 2 withdrawn, 3 stopped.", METRIC_GAUGE, NULL,
		    drain_phase(peering_drain(a->peering)));
	metrics_add_histogram(m, "margay_bgp_update_to_kernel_seconds",
			      "From the first bytes of a burst of UPDATEs until the kernel has all "
			      "routes that follow from it.",
			      NULL, &bm->to_kernel);
}

struct bgp_metrics *bgp_metrics_new(struct agent *a)
{
	struct bgp_metrics *bm = xcalloc(1, sizeof(*bm));

	bm->agent = a;
	bm->to_kernel = (struct metric_histogram) { .bound = bounds, .n = ARRAY_SIZE(bounds) };
	metrics_source(a->metrics, put_all, bm);
	return bm;
}

void bgp_metrics_free(struct bgp_metrics *bm)
{
	free(bm);
}

/* ---- latency ---- */

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void bgp_metrics_heard(struct bgp_metrics *bm)
{
	if (!bm->heard_us)
		bm->heard_us = now_us();
}

static void observe(struct bgp_metrics *bm)
{
	metric_observe(&bm->to_kernel, (double)(bm->applied_us - bm->told_us) / 1e6);
	bm->told_us = 0;
}

void bgp_metrics_decided(struct bgp_metrics *bm, unsigned changed, bool more)
{
	if (changed && !bm->told_us)
		bm->told_us = bm->heard_us;
	bm->waiting |= changed > 0;
	if (more)
		return;
	bm->heard_us = 0;
	if (bm->told_us && !bm->waiting)
		observe(bm);
}

void bgp_metrics_in_kernel(struct bgp_metrics *bm)
{
	bm->waiting = false;
	bm->applied_us = now_us();
	if (bm->told_us && !bm->heard_us)
		observe(bm);
}
