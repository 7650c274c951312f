/* attr.c - questions to interned path attributes, and their text for a person
 *
 * SPEC   RFC 1997, 4271 5, 4360, 4456, 8092 */
#include "bgp/attr.h"

#include <string.h>

#include "bgp/aspath.h"

struct rd bgp_attrs_part(const struct bgp_attrs *a, enum bgp_attr_part part)
{
	size_t at = 0;

	for (unsigned i = 0; i < part; i++)
		at += a->len[i];
	return rd_init(a->bytes + at, a->len[part]);
}

/* AS_PATH is the first part, so it needs no search. */
bool bgp_attrs_path_contains(const struct bgp_attrs *a, asn_t as)
{
	return bgp_path_count(a->bytes, a->len[BGP_PART_AS_PATH], as) > 0;
}

unsigned bgp_attrs_path_count(const struct bgp_attrs *a, asn_t as)
{
	return bgp_path_count(a->bytes, a->len[BGP_PART_AS_PATH], as);
}

static bool part_has_u32(const struct bgp_attrs *a, enum bgp_attr_part part, uint32_t want)
{
	struct rd r = bgp_attrs_part(a, part);

	while (rd_left(&r))
		if (rd_u32(&r) == want)
			return true;
	return false;
}

bool bgp_attrs_cluster_contains(const struct bgp_attrs *a, uint32_t cluster_id)
{
	return part_has_u32(a, BGP_PART_CLUSTER_LIST, cluster_id);
}

bool bgp_attrs_has_community(const struct bgp_attrs *a, uint32_t community)
{
	return part_has_u32(a, BGP_PART_COMMUNITIES, community);
}

void bgp_attrs_path_text(const struct bgp_attrs *a, struct str *out)
{
	bgp_path_text(a->bytes, a->len[BGP_PART_AS_PATH], out);
}

static const char *well_known_community(uint32_t c)
{
	static const struct {
		uint32_t value;
		const char *name;
	} names[] = {
		{ 0xffff0000, "graceful-shutdown" },
		{ 0xffff0006, "llgr-stale" },
		{ 0xffff0007, "no-llgr" },
		{ 0xffff029a, "blackhole" },
		{ 0xffffff01, "no-export" },
		{ 0xffffff02, "no-advertise" },
		{ 0xffffff03, "no-export-subconfed" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].value == c)
			return names[i].name;
	return NULL;
}

static void separate(struct str *out, size_t start)
{
	if (out->len > start)
		str_addc(out, ' ');
}

void bgp_attrs_communities_text(const struct bgp_attrs *a, struct str *out)
{
	struct rd std = bgp_attrs_part(a, BGP_PART_COMMUNITIES);
	struct rd ext = bgp_attrs_part(a, BGP_PART_EXT_COMMUNITIES);
	struct rd large = bgp_attrs_part(a, BGP_PART_LARGE_COMMUNITIES);
	size_t start = out->len;

	while (rd_left(&std)) {
		uint32_t c = rd_u32(&std);
		const char *name = well_known_community(c);

		separate(out, start);
		if (name)
			str_add(out, name);
		else
			str_addf(out, "%u:%u", c >> 16, c & 0xffff);
	}
	while (rd_left(&ext)) {
		uint32_t high = rd_u32(&ext), low = rd_u32(&ext);

		separate(out, start);
		str_addf(out, "ext:%08x%08x", high, low);
	}
	while (rd_left(&large)) {
		uint32_t admin = rd_u32(&large), one = rd_u32(&large), two = rd_u32(&large);

		separate(out, start);
		str_addf(out, "%u:%u:%u", admin, one, two);
	}
}

struct bgp_attrs_draft bgp_attrs_edit(const struct bgp_attrs *a)
{
	struct bgp_attrs_draft d = { .v = a->v };
	const uint8_t *p = a->bytes;

	for (unsigned i = 0; i < BGP_PART_MAX_; i++) {
		d.part[i].p = p;
		d.part[i].len = a->len[i];
		p += a->len[i];
	}
	return d;
}

bool bgp_attrs_prepend(struct bgp_attrs_draft *d, asn_t as, unsigned n, uint8_t *scratch,
		       size_t size)
{
	size_t len = bgp_path_prepend(d->part[BGP_PART_AS_PATH].p, d->part[BGP_PART_AS_PATH].len,
				      as, n, scratch, size < BGP_PATH_MAX ? size : BGP_PATH_MAX);

	if (!len)
		return false;
	d->part[BGP_PART_AS_PATH].p = scratch;
	d->part[BGP_PART_AS_PATH].len = (uint16_t)len;
	d->v.present |= 1u << BGP_ATTR_AS_PATH;
	return true;
}
