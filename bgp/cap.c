/* cap.c - capabilities, as rows of a table
 *
 * SHAPE  decode reads one value into struct bgp_caps; encode writes whole capabilities out of it,
 *        none when the side cannot do it. A code that is not in the table is noted and passed over.
 *        To add one: a row, its two functions, a field in struct bgp_caps, vectors in
 *        tests/unit/bgp/open.c; what follows from both sides having it goes into bgp_negotiate.
 * SPEC   RFC 5492; 2918; 4724 3; 4760 8; 6793; 8538 */
#include "bgp/cap.h"

#include <string.h>

struct cap_row {
	uint8_t code;
	const char *name;
	/* False: the value is malformed. */
	bool (*decode)(struct bgp_caps *caps, struct rd *v);
	/* NULL: known by name only. */
	void (*encode)(struct wr *w, const struct bgp_caps *caps);
};

static void put_head(struct wr *w, uint8_t code, size_t len)
{
	wr_u8(w, code);
	wr_u8(w, (uint8_t)len);
}

static bool mp_decode(struct bgp_caps *caps, struct rd *v)
{
	uint16_t afi = rd_u16(v);
	enum bgp_af af;

	rd_u8(v); /* reserved */
	af = bgp_af_find(afi, rd_u8(v));
	caps->mp = true;
	if (af != BGP_AF_MAX_)
		caps->families |= 1u << af;
	return !v->bad && !rd_left(v);
}

static void put_family(struct wr *w, enum bgp_af af)
{
	wr_u16(w, bgp_af_info(af)->afi);
	wr_u8(w, 0);
	wr_u8(w, bgp_af_info(af)->safi);
}

static void mp_encode(struct wr *w, const struct bgp_caps *caps)
{
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (!(caps->families >> af & 1))
			continue;
		put_head(w, BGP_CAP_MULTIPROTOCOL, 4);
		put_family(w, (enum bgp_af)af);
	}
}

/* RFC 2918: no value; a longer one harms nobody. */
static bool refresh_decode(struct bgp_caps *caps, struct rd *v)
{
	return caps->refresh = true;
}

static void refresh_encode(struct wr *w, const struct bgp_caps *caps)
{
	if (caps->refresh)
		put_head(w, BGP_CAP_ROUTE_REFRESH, 0);
}

static bool as4_decode(struct bgp_caps *caps, struct rd *v)
{
	caps->as4 = true;
	caps->as4_number = rd_u32(v);
	return !v->bad && !rd_left(v);
}

static void as4_encode(struct wr *w, const struct bgp_caps *caps)
{
	if (!caps->as4)
		return;
	put_head(w, BGP_CAP_AS4, 4);
	wr_u32(w, caps->as4_number);
}

enum {
	GR_RESTARTING = 0x8000,
	GR_NOTIFICATION = 0x4000,
	GR_TIME = 0x0fff,
	GR_FORWARDING = 0x80,
};

/* RFC 4724 3: [R N . . time: 12 bits], then [AFI: 2] [SAFI: 1] [F . . . . . . .] for each family.
 * If it is there twice, the last one counts. */
static bool gr_decode(struct bgp_caps *caps, struct rd *v)
{
	uint16_t head = rd_u16(v);

	memset(&caps->gr, 0, sizeof(caps->gr));
	caps->gr.present = true;
	caps->gr.restarting = head & GR_RESTARTING;
	caps->gr.notification = head & GR_NOTIFICATION;
	caps->gr.time_s = head & GR_TIME;
	while (rd_left(v) && !v->bad) {
		uint16_t afi = rd_u16(v);
		enum bgp_af af = bgp_af_find(afi, rd_u8(v));
		uint8_t flags = rd_u8(v);

		if (v->bad || af == BGP_AF_MAX_)
			continue;
		caps->gr.families |= 1u << af;
		if (flags & GR_FORWARDING)
			caps->gr.forwarding |= 1u << af;
	}
	return !v->bad;
}

static void gr_encode(struct wr *w, const struct bgp_caps *caps)
{
	size_t n = (size_t)__builtin_popcount(caps->gr.families);
	uint16_t head = caps->gr.time_s & GR_TIME;

	if (!caps->gr.present)
		return;
	head = (uint16_t)(head | (caps->gr.restarting ? GR_RESTARTING : 0));
	head = (uint16_t)(head | (caps->gr.notification ? GR_NOTIFICATION : 0));
	put_head(w, BGP_CAP_GRACEFUL_RESTART, 2 + 4 * n);
	wr_u16(w, head);
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (!(caps->gr.families >> af & 1))
			continue;
		wr_u16(w, bgp_af_info((enum bgp_af)af)->afi);
		wr_u8(w, bgp_af_info((enum bgp_af)af)->safi);
		wr_u8(w, (uint8_t)(caps->gr.forwarding >> af & 1 ? GR_FORWARDING : 0));
	}
}

static const struct cap_row rows[] = {
	{ BGP_CAP_MULTIPROTOCOL, "multiprotocol", mp_decode, mp_encode },
	{ BGP_CAP_ROUTE_REFRESH, "route-refresh", refresh_decode, refresh_encode },
	{ BGP_CAP_EXTENDED_NEXT_HOP, "extended-next-hop", NULL, NULL },
	{ BGP_CAP_EXTENDED_MESSAGE, "extended-message", NULL, NULL },
	{ BGP_CAP_ROLE, "role", NULL, NULL },
	{ BGP_CAP_GRACEFUL_RESTART, "graceful-restart", gr_decode, gr_encode },
	{ BGP_CAP_AS4, "4-octet-as", as4_decode, as4_encode },
	{ BGP_CAP_ADD_PATH, "add-path", NULL, NULL },
	{ BGP_CAP_ENHANCED_REFRESH, "enhanced-route-refresh", NULL, NULL },
	{ BGP_CAP_LONG_LIVED_GR, "long-lived-graceful-restart", NULL, NULL },
	{ BGP_CAP_HOSTNAME, "hostname", NULL, NULL },
};

static const struct cap_row *row_of(uint8_t code)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].code == code)
			return &rows[i];
	return NULL;
}

const char *bgp_cap_name(uint8_t code)
{
	const struct cap_row *row = row_of(code);

	return row ? row->name : NULL;
}

static void note_seen(struct bgp_caps *caps, uint8_t code)
{
	if (caps->n_seen < BGP_CAPS_SEEN_MAX && !memchr(caps->seen, code, caps->n_seen))
		caps->seen[caps->n_seen++] = code;
}

bool bgp_caps_decode(struct bgp_caps *caps, struct rd *r, uint8_t *bad_code)
{
	while (rd_left(r)) {
		uint8_t code = rd_u8(r);
		struct rd v = rd_sub(r, rd_u8(r));
		const struct cap_row *row = row_of(code);

		*bad_code = code;
		if (r->bad)
			return false;
		note_seen(caps, code);
		if (row && row->decode && !row->decode(caps, &v))
			return false;
	}
	return true;
}

void bgp_caps_encode(struct wr *w, const struct bgp_caps *caps)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].encode)
			rows[i].encode(w, caps);
}
