/* cap.c - capabilities, as rows of a table
 *
 * SHAPE  decode reads one value into struct bgp_caps; encode writes whole capabilities out of it,
 *        none when the side cannot do it. A code that is not in the table is noted and passed over.
 *        To add one: a row, its two functions, a field in struct bgp_caps, vectors in
 *        tests/unit/bgp/open.c; what follows from both sides having it goes into bgp_negotiate.
 * SPEC   RFC 5492; 2918; 4724 3; 4760 8; 6793; 7313; 7911 4; 8538; 8654; 8950 4; 9234 4.1; 9494 3 */
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

/* RFC 8950 4: [AFI: 2] [SAFI: 2] [next hop's AFI: 2] each. */
static bool enhe_decode(struct bgp_caps *caps, struct rd *v)
{
	while (rd_left(v) && !v->bad) {
		uint16_t afi = rd_u16(v), safi = rd_u16(v), nh = rd_u16(v);
		enum bgp_af af = safi <= 255 ? bgp_af_find(afi, (uint8_t)safi) : BGP_AF_MAX_;

		if (!v->bad && af != BGP_AF_MAX_ && nh == bgp_af_info(BGP_AF_IPV6_UNICAST)->afi)
			caps->ext_next_hop |= 1u << af;
	}
	return !v->bad;
}

static void enhe_encode(struct wr *w, const struct bgp_caps *caps)
{
	size_t n = (size_t)__builtin_popcount(caps->ext_next_hop);

	if (!n)
		return;
	put_head(w, BGP_CAP_EXTENDED_NEXT_HOP, 6 * n);
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (!(caps->ext_next_hop >> af & 1))
			continue;
		wr_u16(w, bgp_af_info((enum bgp_af)af)->afi);
		wr_u16(w, bgp_af_info((enum bgp_af)af)->safi);
		wr_u16(w, bgp_af_info(BGP_AF_IPV6_UNICAST)->afi);
	}
}

static bool extended_decode(struct bgp_caps *caps, struct rd *v)
{
	(void)v;
	return caps->extended_message = true;
}

static void extended_encode(struct wr *w, const struct bgp_caps *caps)
{
	if (caps->extended_message)
		put_head(w, BGP_CAP_EXTENDED_MESSAGE, 0);
}

/* RFC 9234 4.2: the same role twice is once; two different ones are a mismatch. */
static bool role_decode(struct bgp_caps *caps, struct rd *v)
{
	uint8_t code = rd_u8(v);
	enum bgp_role role = code < BGP_ROLE_MAX_ - 1 ? (enum bgp_role)(code + 1) : BGP_ROLE_MAX_;

	if (v->bad || rd_left(v))
		return false;
	caps->role_twice |= caps->role != BGP_ROLE_NONE && caps->role != role;
	caps->role = role;
	return true;
}

static void role_encode(struct wr *w, const struct bgp_caps *caps)
{
	if (caps->role == BGP_ROLE_NONE)
		return;
	put_head(w, BGP_CAP_ROLE, 1);
	wr_u8(w, (uint8_t)(caps->role - 1));
}

enum {
	ADD_PATH_RECEIVE = 1,
	ADD_PATH_SEND = 2,
};

/* RFC 7911 4: [AFI: 2] [SAFI: 1] [1 receive, 2 send, 3 both] each; another value: passed over. */
static bool add_path_decode(struct bgp_caps *caps, struct rd *v)
{
	while (rd_left(v) && !v->bad) {
		uint16_t afi = rd_u16(v);
		enum bgp_af af = bgp_af_find(afi, rd_u8(v));
		uint8_t how = rd_u8(v);

		if (v->bad || af == BGP_AF_MAX_ || how > (ADD_PATH_RECEIVE | ADD_PATH_SEND))
			continue;
		caps->add_path_rx |= how & ADD_PATH_RECEIVE ? 1u << af : 0;
		caps->add_path_tx |= how & ADD_PATH_SEND ? 1u << af : 0;
	}
	return !v->bad;
}

static void add_path_encode(struct wr *w, const struct bgp_caps *caps)
{
	uint32_t any = caps->add_path_rx | caps->add_path_tx;

	if (!any)
		return;
	put_head(w, BGP_CAP_ADD_PATH, 4 * (size_t)__builtin_popcount(any));
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		unsigned how = (caps->add_path_rx >> af & 1 ? ADD_PATH_RECEIVE : 0) |
			       (caps->add_path_tx >> af & 1 ? ADD_PATH_SEND : 0);

		if (!how)
			continue;
		wr_u16(w, bgp_af_info((enum bgp_af)af)->afi);
		wr_u8(w, bgp_af_info((enum bgp_af)af)->safi);
		wr_u8(w, (uint8_t)how);
	}
}

static bool enhanced_decode(struct bgp_caps *caps, struct rd *v)
{
	(void)v;
	return caps->enhanced_refresh = true;
}

static void enhanced_encode(struct wr *w, const struct bgp_caps *caps)
{
	if (caps->enhanced_refresh)
		put_head(w, BGP_CAP_ENHANCED_REFRESH, 0);
}

/* RFC 9494 3: [AFI: 2] [SAFI: 1] [F . . . . . . .] [stale time: 3] each; none: it only knows what
 * LLGR_STALE means. */
static bool llgr_decode(struct bgp_caps *caps, struct rd *v)
{
	memset(&caps->llgr, 0, sizeof(caps->llgr));
	caps->llgr.present = true;
	while (rd_left(v) && !v->bad) {
		uint16_t afi = rd_u16(v);
		enum bgp_af af = bgp_af_find(afi, rd_u8(v));
		uint8_t flags = rd_u8(v);
		uint32_t time_s = (uint32_t)rd_u8(v) << 16;

		time_s |= rd_u16(v);
		if (v->bad || af == BGP_AF_MAX_)
			continue;
		caps->llgr.families |= 1u << af;
		caps->llgr.time_s[af] = time_s;
		if (flags & GR_FORWARDING)
			caps->llgr.forwarding |= 1u << af;
	}
	return !v->bad;
}

static void llgr_encode(struct wr *w, const struct bgp_caps *caps)
{
	if (!caps->llgr.present)
		return;
	put_head(w, BGP_CAP_LONG_LIVED_GR, 7 * (size_t)__builtin_popcount(caps->llgr.families));
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (!(caps->llgr.families >> af & 1))
			continue;
		wr_u16(w, bgp_af_info((enum bgp_af)af)->afi);
		wr_u8(w, bgp_af_info((enum bgp_af)af)->safi);
		wr_u8(w, (uint8_t)(caps->llgr.forwarding >> af & 1 ? GR_FORWARDING : 0));
		wr_u8(w, (uint8_t)(caps->llgr.time_s[af] >> 16));
		wr_u16(w, (uint16_t)caps->llgr.time_s[af]);
	}
}

static const struct cap_row rows[] = {
	{ BGP_CAP_MULTIPROTOCOL, "multiprotocol", mp_decode, mp_encode },
	{ BGP_CAP_ROUTE_REFRESH, "route-refresh", refresh_decode, refresh_encode },
	{ BGP_CAP_EXTENDED_NEXT_HOP, "extended-next-hop", enhe_decode, enhe_encode },
	{ BGP_CAP_EXTENDED_MESSAGE, "extended-message", extended_decode, extended_encode },
	{ BGP_CAP_ROLE, "role", role_decode, role_encode },
	{ BGP_CAP_GRACEFUL_RESTART, "graceful-restart", gr_decode, gr_encode },
	{ BGP_CAP_AS4, "4-octet-as", as4_decode, as4_encode },
	{ BGP_CAP_ADD_PATH, "add-path", add_path_decode, add_path_encode },
	{ BGP_CAP_ENHANCED_REFRESH, "enhanced-route-refresh", enhanced_decode, enhanced_encode },
	{ BGP_CAP_LONG_LIVED_GR, "long-lived-graceful-restart", llgr_decode, llgr_encode },
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
