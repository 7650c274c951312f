/* make.h - attributes, prefixes and random numbers for the tests of the tables */
#pragma once

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bgp/attr.h"
#include "bgp/rib.h"

/* What differs from "ORIGIN IGP, no path, next hop 192.0.2.1". */
struct make {
	asn_t path[8]; /* up to the first 0 */
	bool has_lp, has_med;
	uint32_t lp, med;
	uint8_t origin;
	uint32_t originator;	/* 0: none */
	uint32_t clusters[4];	/* up to the first 0 */
	uint32_t communities[4]; /* up to the first 0 */
	const char *next_hop;	/* NULL: 192.0.2.1; "": none */
};

static inline struct prefix make_prefix(const char *s)
{
	struct prefix p;

	assert_true(prefix_parse_strict(s, &p));
	return p;
}

static inline struct addr make_addr(const char *s)
{
	struct addr a = { 0 };

	if (*s)
		assert_true(addr_parse(s, &a));
	return a;
}

static inline uint16_t make_words(uint8_t *out, const uint32_t *v, size_t max)
{
	size_t n = 0;

	for (; n < max && v[n]; n++)
		put_u32(out + 4 * n, v[n]);
	return (uint16_t)(4 * n);
}

static inline struct bgp_attrs *make_attrs(struct bgp_attr_table *t, const struct make *m)
{
	uint8_t path[2 + 32], clusters[16], communities[16];
	struct bgp_attrs_draft d = { 0 };
	uint16_t n = make_words(path + 2, m->path, ARRAY_SIZE(m->path));

	path[0] = 2;
	path[1] = (uint8_t)(n / 4);
	d.v.present = 1u << BGP_ATTR_ORIGIN | 1u << BGP_ATTR_AS_PATH;
	d.v.origin = m->origin;
	d.v.next_hop = make_addr(m->next_hop ? m->next_hop : "192.0.2.1");
	d.part[BGP_PART_AS_PATH].p = path;
	d.part[BGP_PART_AS_PATH].len = n ? (uint16_t)(n + 2) : 0;
	if (m->has_lp)
		d.v.present |= 1u << BGP_ATTR_LOCAL_PREF;
	if (m->has_med)
		d.v.present |= 1u << BGP_ATTR_MED;
	d.v.local_pref = m->has_lp ? m->lp : 0;
	d.v.med = m->has_med ? m->med : 0;
	if (m->originator)
		d.v.present |= 1u << BGP_ATTR_ORIGINATOR_ID;
	d.v.originator_id = m->originator;
	d.part[BGP_PART_CLUSTER_LIST].p = clusters;
	d.part[BGP_PART_CLUSTER_LIST].len = make_words(clusters, m->clusters, 4);
	if (d.part[BGP_PART_CLUSTER_LIST].len)
		d.v.present |= 1u << BGP_ATTR_CLUSTER_LIST;
	d.part[BGP_PART_COMMUNITIES].p = communities;
	d.part[BGP_PART_COMMUNITIES].len = make_words(communities, m->communities, 4);
	if (d.part[BGP_PART_COMMUNITIES].len)
		d.v.present |= 1u << BGP_ATTR_COMMUNITIES;
	return bgp_attrs_intern(t, &d);
}

/* Same seed, same numbers, on every machine. */
struct make_rng {
	uint64_t state;
};

static inline uint32_t make_random(struct make_rng *r, uint32_t below)
{
	r->state = r->state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(r->state >> 33) % below;
}
