/* bgp_speaker.c - one peer announces a million /26, another one hears them: the speaker alone
 *
 * WHY    What the tables cost, without sockets and kernel: the number to compare with BIRD's
 *        3.0 M routes/s and 97 bytes of peak memory a route (which include its sockets).
 * SHAPE  Two peers of a speaker, played here: bytes go in and come out as the agent would move them.
 *        The incoming UPDATEs are made before the clock starts, and their memory is not counted.
 * RUN    bench-bgp-speaker [routes] [routes per UPDATE]; release build: -Dbuildtype=release */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bgp/nlri.h"
#include "bgp/open.h"
#include "bgp/speaker.h"
#include "bgp/update.h"

enum { CHUNK = 65536, BUDGET = 4096 };

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

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
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
	struct played peer[2];
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
			struct played *p = e.conn == o->peer[1].conn ? &o->peer[1] : &o->peer[0];
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

static void feed_all(struct owner *o, unsigned from, const struct feed *f)
{
	for (size_t at = 0; at < f->n; at += CHUNK) {
		size_t n = f->n - at < CHUNK ? f->n - at : CHUNK;

		bgp_speaker_received(o->sp, o->peer[from].conn, f->p + at, n, 1000);
		drain(o);
	}
}

static void connect_peers(struct owner *o)
{
	struct bgp_peer_config cfg[2] = { 0 };
	struct addr local = o->peer[0].addr;
	uint8_t buf[256];

	local.b[3] = 1;
	for (unsigned i = 0; i < 2; i++) {
		cfg[i].addr = o->peer[i].addr;
		cfg[i].port = BGP_PORT;
		cfg[i].remote_as = o->peer[i].as;
		cfg[i].families = 1u << BGP_AF_IPV4_UNICAST;
		cfg[i].passive = true;
		cfg[i].hold_s = 240;
		cfg[i].prefix_limit = 16000000;
	}
	bgp_speaker_set_peers(o->sp, cfg, 2, 1000);
	for (unsigned i = 0; i < 2; i++) {
		bgp_speaker_accept(o->sp, o->peer[i].conn, &o->peer[i].addr, 1, &local, 1000);
		bgp_speaker_received(o->sp, o->peer[i].conn, buf,
				     make_open(buf, sizeof(buf), &o->peer[i]), 1000);
		drain(o);
	}
}

int main(int argc, char **argv)
{
	size_t routes = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	size_t per = argc > 2 ? strtoul(argv[2], NULL, 10) : 100;
	struct bgp_global global = { .local_as = 64512, .router_id = 0x0a630001, .max_paths = 16 };
	struct bgp_pool pool = { 0 };
	struct feed up = { 0 }, down = { 0 };
	struct owner o = { 0 };
	long before, settled;
	double t0, t1, t2;

	for (unsigned i = 0; i < 2; i++) {
		o.peer[i].addr = addr_v4(0x0a630002 + i);
		o.peer[i].as = 65001 + i;
		o.peer[i].conn = 1 + i;
	}
	make_updates(&up, &o.peer[0], routes, per);
	make_withdraws(&down, routes);
	global.local_v4 = addr_v4(0x0a630001);
	o.sp = bgp_speaker_new(&global, 1);
	prefix_parse("0.0.0.0/0", &pool.cidr);
	bgp_speaker_set_pools(o.sp, &pool, 1, 1000);
	connect_peers(&o);
	before = peak_kib() > resident_kib() ? peak_kib() : resident_kib();

	t0 = seconds();
	feed_all(&o, 0, &up);
	t1 = seconds();
	settled = resident_kib();
	printf("announce: %zu routes, %zu per UPDATE: %.3f s, %.2f M routes/s; heard %zu in %zu messages\n",
	       routes, per, t1 - t0, (double)routes / (t1 - t0) / 1e6, o.peer[1].routes,
	       o.peer[1].messages);
	printf("memory: %.1f bytes a route at peak, %.1f when settled; %zu FIB changes\n",
	       (double)(peak_kib() - before) * 1024 / (double)routes,
	       (double)(settled - before) * 1024 / (double)routes, o.fib);
	if (o.peer[1].routes != routes)
		return 1;
	t1 = seconds();
	feed_all(&o, 0, &down);
	t2 = seconds();
	printf("withdraw: %.3f s, %.2f M routes/s\n", t2 - t1, (double)routes / (t2 - t1) / 1e6);
	if (o.peer[1].routes != 2 * routes || bgp_speaker_prefix_count(o.sp, BGP_AF_IPV4_UNICAST))
		return 1;
	bgp_speaker_free(o.sp);
	free(up.p);
	free(down.p);
	return 0;
}
