/* bgp_codec.c - how fast UPDATEs are read and written, without a RIB behind them
 *
 *	bgp_codec [routes]		1 000 000 unless told otherwise
 *
 * Each line is one kind of load: what a peer sends is made first, then only the work is timed. A route
 * is counted when its prefix is in hand and its attributes are interned. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bgp/msg.h"
#include "bgp/update.h"

enum {
	PER_UPDATE = 100,
	DISTINCT_SETS = 50000,
};

static const struct bgp_wire wire = {
	.ebgp = true,
	.as4 = true,
	.local_as = 64512,
	.remote_as = 65001,
	.families = 3,
	.msg_max = BGP_MSG_MAX,
};

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The i-th /26 of 10/8 and behind, or its like in IPv6. */
static struct prefix nth_prefix(enum bgp_af af, unsigned i)
{
	struct prefix p = { .len = 26 };

	if (af == BGP_AF_IPV4_UNICAST) {
		p.addr = addr_v4(0x0a000000 + (i << 6));
		return p;
	}
	addr_parse("2001:db8::", &p.addr);
	p.len = 64;
	put_u32(p.addr.b + 4, i);
	return p;
}

/* The k-th set of attributes: AS_PATH and MED differ. */
static struct bgp_attrs *nth_attrs(struct bgp_attr_table *t, enum bgp_af af, unsigned k)
{
	uint8_t path[2 + 3 * 4] = { 2, 3 };
	struct bgp_attrs_draft d = { .part[BGP_PART_AS_PATH] = { path, sizeof(path) } };

	put_u32(path + 2, 65001);
	put_u32(path + 6, 100000 + k);
	put_u32(path + 10, 65010);
	addr_parse(af == BGP_AF_IPV4_UNICAST ? "10.99.0.2" : "2001:db8::2", &d.v.next_hop);
	d.v.present = 1ull << BGP_ATTR_MED;
	d.v.med = k;
	return bgp_attrs_intern(t, &d);
}

struct stream {
	uint8_t *p;
	size_t n, cap;
};

static void stream_add(struct stream *s, const uint8_t *p, size_t n)
{
	if (s->n + n > s->cap) {
		s->cap = (s->n + n) * 2;
		s->p = xrealloc(s->p, s->cap);
	}
	memcpy(s->p + s->n, p, n);
	s->n += n;
}

/* What a peer sends: `routes` prefixes, per_update in each, every message with the next of `sets`
 * attribute sets. Returns the seconds that packing took. */
static double make_stream(struct stream *s, enum bgp_af af, unsigned routes, unsigned per_update,
			  unsigned sets)
{
	static struct bgp_attr_block block;
	struct bgp_attr_table *t = bgp_attr_table_new();
	struct bgp_attrs *attrs = NULL;
	uint8_t buf[BGP_MSG_MAX];
	double start = seconds();

	for (unsigned i = 0; i < routes;) {
		struct bgp_pack p;
		size_t len;

		if (!attrs || sets > 1) {
			bgp_attrs_unref(t, attrs);
			attrs = nth_attrs(t, af, i / per_update % sets);
			bgp_attr_block_init(&block, &wire, af, attrs);
		}
		bgp_pack_announce(&p, &wire, &block, buf, sizeof(buf));
		for (unsigned k = 0; k < per_update && i < routes; k++, i++) {
			struct prefix prefix = nth_prefix(af, i);

			if (!bgp_pack_add(&p, &prefix, 0))
				break;
		}
		len = bgp_pack_end(&p);
		stream_add(s, buf, len);
	}
	start = seconds() - start;
	bgp_attrs_unref(t, attrs);
	bgp_attr_table_free(t);
	return start;
}

/* Read it all; the number of routes. All attribute sets stay referenced, as in a RIB. */
static unsigned read_stream(const struct stream *s, unsigned *sum)
{
	static struct bgp_attrs *held[DISTINCT_SETS];
	struct bgp_attr_table *t = bgp_attr_table_new();
	unsigned routes = 0, n_held = 0;

	for (size_t at = 0; at < s->n;) {
		struct bgp_notification n;
		char text[BGP_TEXT_MAX];
		struct bgp_update u;
		struct bgp_msg m;
		ssize_t used = bgp_msg_next(s->p + at, s->n - at, BGP_MSG_MAX, &m, &n, text);

		if (used <= 0 || bgp_update_decode(t, &wire, m.body, m.len, &u) != BGP_OK)
			abort();
		for (unsigned i = 0; i < u.n_announced; i++) {
			struct bgp_nlri_range it = u.announced[i];
			struct bgp_nlri nlri;

			while (bgp_nlri_next(&it, &nlri)) {
				routes++;
				*sum += nlri.prefix.addr.b[3];
			}
			if (u.attrs[i]->refs < 4 && n_held < DISTINCT_SETS)
				held[n_held++] = bgp_attrs_ref(u.attrs[i]);
		}
		bgp_update_done(t, &u);
		at += (size_t)used;
	}
	while (n_held)
		bgp_attrs_unref(t, held[--n_held]);
	bgp_attr_table_free(t);
	return routes;
}

static void run(const char *name, enum bgp_af af, unsigned routes, unsigned per_update,
		unsigned sets)
{
	struct stream s = { 0 };
	double pack = make_stream(&s, af, routes, per_update, sets), read;
	unsigned sum = 0, got;

	read = seconds();
	got = read_stream(&s, &sum);
	read = seconds() - read;
	if (got != routes)
		abort();
	printf("%-52s read %6.2f M routes/s   write %6.2f M routes/s   %5.1f MB\n", name,
	       routes / read / 1e6, routes / pack / 1e6, (double)s.n / 1e6);
	free(s.p);
}

int main(int argc, char **argv)
{
	unsigned routes = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;

	run("ipv4 /26, 100 per UPDATE, one attribute set", BGP_AF_IPV4_UNICAST, routes, PER_UPDATE,
	    1);
	run("ipv4 /26, 100 per UPDATE, a set each", BGP_AF_IPV4_UNICAST, routes, PER_UPDATE,
	    DISTINCT_SETS);
	run("ipv4 /26, 1 per UPDATE, one attribute set", BGP_AF_IPV4_UNICAST, routes, 1, 1);
	run("ipv4 /26, 1 per UPDATE, 50 000 sets in turn", BGP_AF_IPV4_UNICAST, routes, 1,
	    DISTINCT_SETS);
	run("ipv6 /64, 100 per UPDATE, one attribute set", BGP_AF_IPV6_UNICAST, routes, PER_UPDATE,
	    1);
	run("ipv6 /64, 1 per UPDATE, one attribute set", BGP_AF_IPV6_UNICAST, routes, 1, 1);
	return 0;
}
