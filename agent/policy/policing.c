/* policing.c - network policy on the loop
 * SHAPE  A change marks the part dirty and arms a zero timer; its turn flushes the calculation into
 *        the drivers when no tool of theirs is running, and when one ends the next turn comes.
 *        `fed` counts changes, `stated` is what of them the drivers know: who waits, waits for its
 *        number to be stated and enforced.
 * OFF    With policy off nothing is fed, and drivers are there only when the network needs them
 *        (NAT, tunnels: cluster_sets.h), or to take away what an agent of this node had enforced.
 * TESTS  tests/unit/agent/policing.c, tests/netns/test_policy.py, test_policy_settings.py */
#include "agent/policy/policing.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cache.h"
#include "agent/config.h"
#include "agent/felix.h"
#include "agent/log.h"
#include "agent/policy/policing_impl.h"
#include "dataplane/link.h"
#include "model/key.h"
#include "model/wep.h"

enum {
	/* A pod of this node that is gone: iptables and the removal of its interface, at the same
	 * time, would make each other wait. Whoever changes something else does not wait. */
	GONE_MS = 100,
	AGAIN_S = 5, /* tools and modules that are missing are looked for again */
	/* Every batch costs a tool's run or two, however small it is. While pods of other nodes come
	 * and go without end, each batch is followed by so many times its own length of rest, in
	 * which changes collect. The first change after a rest does not wait, nor does what is about
	 * policy or this node. */
	REST_TIMES = 9,
	REST_MAX_MS = 200,
};

/* ---- turns ---- */

void policing_turn_soon(struct policing *p)
{
	static const struct timeval now = { 0 };

	evtimer_add(p->turn, &now);
}

static void changed(struct policing *p)
{
	p->fed++;
	p->urgent = true;
	policing_turn_soon(p);
}

/* A pod of this node: that will be rules. Of other changes most are not about this node. */
static void changed_here(struct policing *p)
{
	if (p->filter && p->enforced_once)
		filter_expect(p->filter);
	changed(p);
}

static int64_t rest_ms(const struct policing *p)
{
	int64_t rest = (p->ended_ms - p->begun_ms) * REST_TIMES, left;

	if (p->urgent || p->batch || policing_has_waits(p))
		return 0;
	left = p->ended_ms + (rest < REST_MAX_MS ? rest : REST_MAX_MS) - agent_now_ms();
	return left > 0 ? left : 0;
}

void policing_turn_in_time(struct policing *p)
{
	struct timeval later = { .tv_usec = (suseconds_t)rest_ms(p) * 1000 };

	if (!later.tv_usec || !evtimer_pending(p->turn, NULL))
		evtimer_add(p->turn, &later);
}

static void changed_elsewhere(struct policing *p)
{
	p->fed++;
	policing_turn_in_time(p);
}

static void changed_later(struct policing *p)
{
	static const struct timeval later = { .tv_usec = GONE_MS * 1000 };

	p->fed++;
	if (!evtimer_pending(p->turn, NULL))
		evtimer_add(p->turn, &later);
}

static void on_swept(void *arg, unsigned removed, int code, const char *text)
{
	struct policing *p = arg;

	if (code < 0)
		log_warn("policy", "the other iptables could not be looked at for our leftovers",
			 "why=%s", text);
	else if (removed)
		log_info("policy", "removed what an agent had left in the other iptables",
			 "chains=%u", removed);
	ipt_sweep_free(TAKE(p->sweep));
}

/* For the first time since the drivers were made. */
static void in_force(struct policing *p)
{
	log_info("policy",
		 p->on ? "policy is in force" : "rules that the network needs are in force",
		 "backend=%s why=%s chains=%s ipv6=%s", p->choice.backend == IPT_NFT ? "nft" : "legacy",
		 p->choice.why, p->chains_by_pod ? "each pod its own, as Calico" : "shared",
		 p->v6 ? "yes" : p->no_v6);
	p->enforced_once = p->ever = true;
	policing_set_mark(p, p->on || policing_serves_network(p));
	p->sweep = ipt_sweep_start(
		p->agent->base,
		&(struct ipt_sweep_config) { .backend = p->choice.backend == IPT_NFT ? IPT_LEGACY
										     : IPT_NFT,
					     .v4 = true,
					     .v6 = p->v6,
					     .done = on_swept,
					     .arg = p });
}

static const struct calc_effects *flush(struct policing *p)
{
	const struct calc_effects *fx = calc_flush(p->calc);

	if (p->cutting)
		cutting_take(p->cutting, fx);
	return fx;
}

void policing_flush(struct policing *p)
{
	policy_show_take(p->show, flush(p));
}

/* Give the drivers all that was fed. What they were given is yet to be shown. */
static const struct calc_effects *state(struct policing *p)
{
	const struct calc_effects *fx = flush(p);

	policy_kernel_take(p->kernel, fx);
	p->stated = p->fed;
	p->urgent = false;
	p->batch = true;
	p->begun_ms = agent_now_ms();
	return fx;
}

bool policing_serves_network(const struct policing *p)
{
	return !p->on && p->agent->cfg->network_rules && cluster_sets_any(p->net);
}

bool policing_needs_filter(const struct policing *p)
{
	return p->on || policing_serves_network(p) || policing_marked(p);
}

static void state_network(struct policing *p)
{
	if (p->net_rules || p->net_dirty)
		policy_kernel_network(p->kernel, p->net_rules);
	p->net_rules = p->net_dirty = false;
}

/* The picture is complete: state all of it, then let the drivers look at the kernel. */
static void begin(struct policing *p)
{
	static const struct timeval later = { .tv_sec = AGAIN_S };

	if (!policing_needs_filter(p) && !p->kernel)
		return;
	policing_open(p);
	if (!p->kernel) {
		evtimer_add(p->again, &later);
		return;
	}
	policy_show_take(p->show, state(p));
	filter_ready(p->filter);
	policing_turn_soon(p);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct policing *p = arg;

	if (!p->kernel)
		begin(p);
}

/* Packets first: what is to be looked at is made while the tools are at work. */
static void drive(struct policing *p)
{
	const struct calc_effects *fx = NULL;

	if (p->links_dirty)
		policy_kernel_links(p->kernel, p->agent->links);
	p->links_dirty = false;
	state_network(p);
	if (p->stated != p->fed && !rest_ms(p))
		fx = state(p);
	p->running = true;
	filter_run(p->filter);
	p->running = false;
	if (fx)
		policy_show_take(p->show, fx);
}

static void work(struct policing *p)
{
	if (filter_idle(p->filter))
		drive(p);
	if (!p->enforced_once && filter_enforced(p->filter))
		in_force(p);
	if (p->cutting && p->stated == p->fed && filter_enforced(p->filter))
		cutting_enforced(p->cutting, p->v6);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct policing *p = arg;

	/* Not while a tool is writing: it is let come to its end. */
	if (p->restate && (!p->kernel || filter_quiet(p->filter)))
		begin(p);
	else if (p->kernel)
		work(p);
	policing_answer_waits(p);
}

void policing_restate(struct policing *p)
{
	if (!p || !cache_synced(p->agent->cache))
		return;
	p->restate = true;
	policing_turn_soon(p);
}

/* ---- the picture ---- */

/* Does this endpoint's name begin with this node's? */
static bool is_own(const struct policing *p, const char *key)
{
	const char *name = strrchr(key, '/') + 1;
	size_t n = strlen(p->own);

	return strncmp(name, p->own, n) == 0 && name[n] != '-';
}

static void on_change(void *arg, const struct store_kv *kv)
{
	struct policing *p = arg;

	if (!kv) {
		if (!p->kernel)
			begin(p);
		return;
	}
	/* An IPv6 pool may be what IPv6 rules had waited for. */
	if (p->kernel && !p->v6 && kv->value && str_starts(kv->key, KEY_RESOURCES "ippools/") &&
	    policing_wants_v6(p))
		policing_restate(p);
	if (!p->on || !policy_feed_take(p->feed, kv->key, kv->value))
		return;
	if (!str_starts(kv->key, KEY_RESOURCES "workloadendpoints/"))
		changed(p);
	else if (!is_own(p, kv->key))
		changed_elsewhere(p);
	else if (kv->value)
		changed_here(p);
	else
		changed_later(p);
}

static void on_link(void *arg, enum link_event ev, const struct link *l, const struct prefix *addr)
{
	struct policing *p = arg;

	if (l && policy_settings_is_pod(&p->set, l->name))
		return;
	p->links_dirty = true;
	policing_turn_soon(p);
}

static void on_network(void *arg, bool rules)
{
	struct policing *p = arg;

	p->net_dirty = true;
	p->net_rules |= rules;
	if (p->kernel) {
		/* Before the first rule is written. */
		if (policing_serves_network(p))
			policing_set_mark(p, true);
		policing_turn_soon(p);
	} else if (policing_needs_filter(p)) {
		policing_restate(p);
	}
}

static void on_settings(void *arg)
{
	struct policing *p = arg;

	/* Before the first picture there is nothing to be made anew. */
	if ((p->kernel || *p->broken) && policing_settings_differ(p)) {
		log_info("policy", "settings that rules depend on are other ones");
		policing_restate(p);
	}
}

/* ---- pods ---- */

bool policing_on(const struct policing *p)
{
	return p && p->on;
}

void policing_expect(struct policing *p, const char *key, const char *text)
{
	if (policing_on(p) && policy_feed_take(p->feed, key, text))
		changed_here(p);
}

void policing_unexpect(struct policing *p, const char *key)
{
	const struct store_kv *kv = policing_on(p) ? cache_get(p->agent->cache, key) : NULL;

	if (policing_on(p) && policy_feed_take(p->feed, key, kv ? kv->value : NULL))
		changed(p);
}

bool policing_can(const struct policing *p, enum ip_family family, struct err *e)
{
	if (!policing_on(p) || family != IP_V6 || p->v6 || !p->kernel)
		return true;
	err_set(e, -EAGAIN, "an IPv6 address would be without policy: %s", p->no_v6);
	return false;
}

/* ---- flows ---- */

static bool is_flushed(void *arg)
{
	const struct policing *p = arg;

	return p->kernel && p->stated == p->fed;
}

static const struct render_config *render_of(void *arg, enum ip_family family)
{
	const struct policing *p = arg;

	return p->kernel ? policy_kernel_render(p->kernel, family) : NULL;
}

static void on_rested(void *arg)
{
	policing_turn_soon(arg);
}

static void start_cutting(struct policing *p)
{
	struct err e = { 0 };

	p->cutting = cutting_new(&(struct cutting_config) { .base = p->agent->base,
							    .calc = p->calc,
							    .links = p->agent->links,
							    .render = render_of,
							    .flushed = is_flushed,
							    .rested = on_rested,
							    .arg = p },
				 &e);
	if (!p->cutting)
		log_error("policy", "flows that policy denies cannot be cut, they will go on",
			  "why=%s", e.msg);
}

/* ---- life ---- */

int policing_new(struct policing **out, struct agent *a, struct err *e)
{
	struct policing *p = xcalloc(1, sizeof(*p));

	p->agent = a;
	p->on = a->cfg->policy;
	if (!p->on)
		log_info("policy", "network policy is not enforced (policy: false)");
	p->waits.next = p->waits.prev = &p->waits;
	p->own = wep_name_prefix(a->cfg->node, NULL);
	p->mark = xasprintf("%s/policy-in-force", a->cfg->state_dir);
	p->calc = calc_new(a->cfg->node, (uint32_t)agent_now_ms());
	p->feed = policy_feed_new(p->calc);
	p->show = policy_show_new();
	p->turn = evtimer_new(a->base, on_turn, p);
	p->patience = evtimer_new(a->base, policing_on_patience, p);
	p->again = evtimer_new(a->base, on_again, p);
	assert(p->turn && p->patience && p->again);
	if (p->on && a->cfg->cut_flows)
		start_cutting(p);
	link_table_watch(a->links, on_link, p);
	p->net = cluster_sets_new(a, on_network, p);
	felix_watch(a->felix, on_settings, p);
	cache_subscribe(a->cache, KEY_RESOURCES, on_change, p);
	*out = p;
	return 0;
}

void policing_free(struct policing *p)
{
	if (!p)
		return;
	link_table_unwatch(p->agent->links, on_link, p);
	policing_waits_done(p);
	policing_close(p);
	cluster_sets_free(p->net);
	policy_settings_done(&p->set);
	str_done(&p->set_wrong);
	policy_feed_free(p->feed);
	policy_show_free(p->show);
	cutting_free(p->cutting);
	calc_free(p->calc);
	free(p->own);
	free(p->mark);
	event_free(p->turn);
	event_free(p->patience);
	event_free(p->again);
	free(p);
}
