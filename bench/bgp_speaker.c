/* bgp_speaker.c - peers announce a million /26, another one hears them: the speaker alone
 *
 * WHY    What the tables cost, without sockets and kernel: the number to compare with BIRD's
 *        3.0 M routes/s and 97 bytes of peak memory a route (which include its sockets).
 * SHAPE  The peers of a speaker are played here: bytes go in and come out as the agent would move
 *        them. With several senders each announces the same prefixes, one UPDATE of each in turn.
 *        The incoming UPDATEs are made before the clock starts, and their memory is not counted.
 * RUN    bench-bgp-speaker [routes [routes per UPDATE [senders]]]; build: -Dbuildtype=release */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bgp/nlri.h"
#include "bgp/open.h"
#include "bgp/speaker.h"
#include "bgp/update.h"

enum { CHUNK = 65536, BUDGET = 4096, PEERS_MAX = 501 };

struct feed {
	uint8_t *p;
	size_t n, cap;
};

/* A peer that is played: what the speaker says to it is counted. */
struct played {
	struct addr addr;
	asn_t as;
	uint64_t conn;
	size_t routes, messages, bytes;
	uint8_t rest[BGP_MSG_MAX]; /* of a cut message */
	size_t n_rest;
};

/* Of this process: the machine may be busy with other things. */
static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static long resident_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long kib = 0;

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "VmRSS: %ld", &kib);
	if (f)
		fclose(f);
	return kib;
}

static long peak_kib(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

/* ---- what the peers say ---- */

static size_t make_open(uint8_t *buf, size_t size, const struct played *peer)
{
	struct wr w = wr_init(buf, size);
	struct bgp_open o = { .version = 4,
			      .as = peer->as,
			      .hold_s = 240,
			      .id = addr_to_v4(&peer->addr),
			      .caps = { .mp = true,
					.families = 1u << BGP_AF_IPV4_UNICAST,
					.as4 = true,
					.as4_number = peer->as } };

	bgp_open_encode(&w, &o);
	memset(wr_skip(&w, BGP_MARKER_LEN), 0xff, BGP_MARKER_LEN);
	wr_u16(&w, BGP_HEADER_LEN);
	wr_u8(&w, BGP_MSG_KEEPALIVE);
	return wr_len(&w);
}

static uint8_t *feed_room(struct feed *f)
{
	if (f->n + BGP_MSG_MAX > f->cap) {
		f->cap = f->cap ? f->cap * 2 : 1 << 20;
		f->p = realloc(f->p, f->cap);
	}
	return f->p + f->n;
}

static struct prefix nth(size_t i)
{
	struct addr base = addr_v4(0x0a000000);

	return (struct prefix){ .addr = addr_add(&base, i * 64), .len = 26 };
}

/* UPDATEs of `per` routes with attributes of their own. */
static void make_updates(struct feed *f, const struct played *peer, size_t routes, size_t per)
{
	struct bgp_attr_table *t = bgp_attr_table_new();
	struct bgp_wire wire = { .ebgp = true, .as4 = true, .msg_max = BGP_MSG_MAX,
				 .families = 1u << BGP_AF_IPV4_UNICAST };
	uint8_t path[] = { 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	struct bgp_attr_block block;
	struct bgp_pack pack;

	put_u32(path + 2, peer->as);
	for (size_t i = 0; i < routes;) {
		struct bgp_attrs_draft d = { 0 };
		struct bgp_attrs *a;

		d.v.present = 1u << BGP_ATTR_ORIGIN | 1u << BGP_ATTR_AS_PATH;
		d.v.next_hop = peer->addr;
		put_u32(path + 6, (uint32_t)(100000 + i / per));
		put_u32(path + 10, 64999);
		d.part[BGP_PART_AS_PATH].p = path;
		d.part[BGP_PART_AS_PATH].len = sizeof(path);
		a = bgp_attrs_intern(t, &d);
		bgp_attr_block_init(&block, &wire, BGP_AF_IPV4_UNICAST, a);
		bgp_pack_announce(&pack, &wire, &block, feed_room(f), BGP_MSG_MAX);
		for (size_t k = 0; k < per && i < routes; k++) {
			struct prefix p = nth(i);

			if (!bgp_pack_add(&pack, &p, 0))
				break;
			i++;
		}
		f->n += bgp_pack_end(&pack);
		bgp_attrs_unref(t, a);
	}
	bgp_attr_table_free(t);
}

static void make_withdraws(struct feed *f, size_t routes)
{
	struct bgp_wire wire = { .as4 = true, .msg_max = BGP_MSG_MAX };
	struct bgp_pack pack;

	for (size_t i = 0; i < routes;) {
		bgp_pack_withdraw(&pack, &wire, BGP_AF_IPV4_UNICAST, feed_room(f), BGP_MSG_MAX);
		for (; i < routes; i++) {
			struct prefix p = nth(i);

			if (!bgp_pack_add(&pack, &p, 0))
				break;
		}
		f->n += bgp_pack_end(&pack);
	}
}

/* ---- what the peers hear ---- */

/* NLRI of a message, as bytes of /26 without path ids: 5 each. */
static void hear_message(struct played *p, const uint8_t *m, size_t len)
{
	size_t withdrawn, attrs;

	p->messages++;
	if (m[18] != BGP_MSG_UPDATE)
		return;
	withdrawn = (size_t)(m[19] << 8 | m[20]);
	attrs = (size_t)(m[21 + withdrawn] << 8 | m[22 + withdrawn]);
	p->routes += (withdrawn + len - 23 - withdrawn - attrs) / 5;
}

static void hear(struct played *p, const uint8_t *b, size_t n)
{
	p->bytes += n;
	while (n) {
		size_t want = BGP_HEADER_LEN, take;

		if (p->n_rest >= BGP_HEADER_LEN)
			want = (size_t)(p->rest[16] << 8 | p->rest[17]);
		take = want - p->n_rest < n ? want - p->n_rest : n;
		memcpy(p->rest + p->n_rest, b, take);
		p->n_rest += take;
		b += take;
		n -= take;
		if (p->n_rest >= BGP_HEADER_LEN &&
		    p->n_rest == (size_t)(p->rest[16] << 8 | p->rest[17])) {
			hear_message(p, p->rest, p->n_rest);
			p->n_rest = 0;
		}
	}
}

/* ---- the owner ---- */

struct owner {
	struct bgp_speaker *sp;
	struct played peer[PEERS_MAX]; /* the last one listens */
	unsigned n_peers;
	size_t fib;
};

static void drain(struct owner *o)
{
	static struct bgp_fib_change change;
	struct bgp_effect e;
	bool more = true;

	while (more) {
		more = bgp_speaker_run(o->sp, BUDGET, 1000);
		while (bgp_speaker_next_fib_change(o->sp, &change))
			o->fib++;
		while (bgp_speaker_next_effect(o->sp, &e)) {
			struct played *p = &o->peer[e.conn - 1];
			const void *b;
			size_t len;

			if (e.type != BGP_EFFECT_WRITE)
				continue;
			while ((b = bgp_speaker_output(o->sp, e.conn, &len, 1000))) {
				hear(p, b, len);
				bgp_speaker_written(o->sp, e.conn, len, 1000);
			}
		}
	}
}

/* Each sender's feed, a socket read of each in turn. */
static void feed_all(struct owner *o, const struct feed *f)
{
	bool more = true;

	for (size_t at = 0; more; at += CHUNK) {
		more = false;
		for (unsigned i = 0; i + 1 < o->n_peers; i++) {
			size_t left = at < f[i].n ? f[i].n - at : 0;

			if (!left)
				continue;
			bgp_speaker_received(o->sp, o->peer[i].conn, f[i].p + at,
					     left < CHUNK ? left : CHUNK, 1000);
			drain(o);
			more = true;
		}
	}
}

static void connect_peers(struct owner *o)
{
	static struct bgp_peer_config cfg[PEERS_MAX];
	struct addr local = addr_v4(0x0a630001);
	uint8_t buf[256];

	for (unsigned i = 0; i < o->n_peers; i++) {
		cfg[i].addr = o->peer[i].addr;
		cfg[i].port = BGP_PORT;
		cfg[i].remote_as = o->peer[i].as;
		cfg[i].families = 1u << BGP_AF_IPV4_UNICAST;
		cfg[i].passive = true;
		cfg[i].hold_s = 240;
		cfg[i].prefix_limit = 16000000;
	}
	bgp_speaker_set_peers(o->sp, cfg, o->n_peers, 1000);
	for (unsigned i = 0; i < o->n_peers; i++) {
		bgp_speaker_accept(o->sp, o->peer[i].conn, &o->peer[i].addr, 1, &local, 1000);
		bgp_speaker_received(o->sp, o->peer[i].conn, buf,
				     make_open(buf, sizeof(buf), &o->peer[i]), 1000);
		drain(o);
	}
}

static void report(const struct owner *o, size_t routes, size_t senders, double s, long before)
{
	const struct played *p = &o->peer[o->n_peers - 1];
	double all = (double)(routes * senders);

	printf("announce: %zu routes from each of %zu: %.3f s of CPU, %.2f M routes/s; "
	       "heard %zu in %zu messages\n",
	       routes, senders, s, all / s / 1e6, p->routes, p->messages);
	printf("memory: %.1f bytes a route at peak, %.1f when settled; %zu FIB changes\n",
	       (double)(peak_kib() - before) * 1024 / all,
	       (double)(resident_kib() - before) * 1024 / all, o->fib);
}

static size_t number(int argc, char **argv, int i, size_t otherwise)
{
	return argc > i ? strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	static struct feed up[PEERS_MAX], down[PEERS_MAX];
	static struct owner o;
	size_t routes = number(argc, argv, 1, 1000000), per = number(argc, argv, 2, 100);
	size_t senders = number(argc, argv, 3, 1);
	struct bgp_global global = { .local_as = 64512, .router_id = 0x0a630001, .max_paths = 16 };
	struct bgp_pool pool = { 0 };
	long before;
	double t;

	o.n_peers = (unsigned)senders + 1;
	if (!senders || o.n_peers > PEERS_MAX || !per || !routes)
		return 2;
	for (unsigned i = 0; i < o.n_peers; i++) {
		o.peer[i].addr = addr_v4(0x0a630002 + i);
		o.peer[i].as = 65001 + i;
		o.peer[i].conn = 1 + i;
		if (i < senders) {
			make_updates(&up[i], &o.peer[i], routes, per);
			make_withdraws(&down[i], routes);
		}
	}
	global.local_v4 = addr_v4(0x0a630001);
	o.sp = bgp_speaker_new(&global, 1);
	prefix_parse("0.0.0.0/0", &pool.cidr);
	bgp_speaker_set_pools(o.sp, &pool, 1, 1000);
	connect_peers(&o);
	before = peak_kib() > resident_kib() ? peak_kib() : resident_kib();

	t = seconds();
	feed_all(&o, up);
	report(&o, routes, senders, seconds() - t, before);
	if (o.peer[senders].routes < routes)
		return 1;
	t = seconds();
	feed_all(&o, down);
	t = seconds() - t;
	printf("withdraw: %.3f s of CPU, %.2f M routes/s\n", t,
	       (double)(routes * senders) / t / 1e6);
	if (bgp_speaker_prefix_count(o.sp, BGP_AF_IPV4_UNICAST))
		return 1;
	bgp_speaker_free(o.sp);
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		free(up[i].p);
		free(down[i].p);
	}
	return 0;
}
