/* open.c - OPEN messages, and what two of them agree on
 *
 * WIRE   [version: 1] [AS: 2] [hold: 2] [id: 4] [length: 1] parameters
 *        or, RFC 9072:  ... [length: 1, not 0] [255: 1] [length: 2] parameters
 *        a parameter is [type: 1] [length: 1, in the second form 2] [value]; type 2 is capabilities
 * SPEC   RFC 4271 4.2, 6.2; 5492; 6286; 6793; 7607; 9072
 * TESTS  tests/unit/bgp/open.c */
#include "bgp/open.h"

#include <stdio.h>
#include <string.h>

#include "bgp/cap.h"
#include "bgp/msg.h"
#include "bgp/notify.h"

enum {
	BGP_VERSION = 4,
	PARAM_CAPABILITIES = 2,
	PARAM_EXTENDED = 255,
	HOLD_MIN_S = 3,
};

static bool refuse(struct bgp_notification *n, char *text, uint8_t subcode, const void *data,
		   size_t len, const char *fmt, ...) PRINTF(6, 7);

static bool refuse(struct bgp_notification *n, char *text, uint8_t subcode, const void *data,
		   size_t len, const char *fmt, ...)
{
	va_list ap;

	*n = bgp_notification(BGP_ERR_OPEN, subcode, data, len);
	va_start(ap, fmt);
	vsnprintf(text, BGP_TEXT_MAX, fmt, ap);
	va_end(ap);
	return false;
}

void bgp_open_encode(struct wr *w, const struct bgp_open *open)
{
	size_t begin = bgp_msg_begin(w, BGP_MSG_OPEN);
	uint8_t caps[512];
	struct wr c = wr_init(caps, sizeof(caps));
	size_t len;

	bgp_caps_encode(&c, &open->caps);
	len = wr_len(&c);
	wr_u8(w, BGP_VERSION);
	wr_u16(w, open->as > 0xffff ? BGP_AS_TRANS : (uint16_t)open->as);
	wr_u16(w, open->hold_s);
	wr_u32(w, open->id);
	if (!len) {
		wr_u8(w, 0);
	} else if (len <= 253) {
		wr_u8(w, (uint8_t)(len + 2));
		wr_u8(w, PARAM_CAPABILITIES);
		wr_u8(w, (uint8_t)len);
	} else {
		wr_u8(w, 255);
		wr_u8(w, PARAM_EXTENDED);
		wr_u16(w, (uint16_t)(len + 3));
		wr_u8(w, PARAM_CAPABILITIES);
		wr_u16(w, (uint16_t)len);
	}
	wr_bytes(w, caps, len);
	bgp_msg_end(w, begin);
}

static bool decode_params(struct rd *r, bool extended, struct bgp_caps *caps,
			  struct bgp_notification *n, char *text)
{
	while (rd_left(r)) {
		uint8_t type = rd_u8(r), bad = 0;
		struct rd v = rd_sub(r, extended ? rd_u16(r) : rd_u8(r));

		if (r->bad)
			return refuse(n, text, BGP_OPEN_UNSPECIFIC, NULL, 0,
				      "optional parameter %u goes over the end of the parameters",
				      type);
		/* RFC 5492 3: the old authentication parameter and others: not supported. */
		if (type != PARAM_CAPABILITIES)
			return refuse(n, text, BGP_OPEN_BAD_PARAMETER, NULL, 0,
				      "optional parameter %u, must be 2 (capabilities)", type);
		if (!bgp_caps_decode(caps, &v, &bad)) {
			const char *name = bgp_cap_name(bad);

			return refuse(n, text, BGP_OPEN_UNSPECIFIC, NULL, 0,
				      "capability %u%s%s%s is malformed or cut", bad,
				      name ? " (" : "", name ? name : "", name ? ")" : "");
		}
	}
	return true;
}

static bool check_fields(struct bgp_open *o, struct bgp_notification *n, char *text)
{
	o->as = o->caps.as4 ? o->caps.as4_number : o->as2;
	if (!o->as || !o->as2)
		return refuse(n, text, BGP_OPEN_BAD_AS, NULL, 0, "AS 0, which nobody may use");
	if (o->hold_s && o->hold_s < HOLD_MIN_S)
		return refuse(n, text, BGP_OPEN_BAD_HOLD, NULL, 0,
			      "hold time %u s, must be 0 or at least %u", o->hold_s, HOLD_MIN_S);
	/* RFC 6286 2.1: any other value is good. */
	if (!o->id)
		return refuse(n, text, BGP_OPEN_BAD_ID, NULL, 0,
			      "router ID 0.0.0.0, must be another one");
	return true;
}

bool bgp_open_decode(const uint8_t *body, size_t len, struct bgp_open *out,
		     struct bgp_notification *n, char *text)
{
	struct rd r = rd_init(body, len), params;
	struct bgp_open o = { .version = rd_u8(&r) };
	bool extended = false;
	size_t params_len;

	if (!r.bad && o.version != BGP_VERSION)
		/* RFC 4271 6.2: the data is the version that we can do. */
		return refuse(n, text, BGP_OPEN_BAD_VERSION, "\0\4", 2, "version %u, must be %u",
			      o.version, BGP_VERSION);
	o.as2 = rd_u16(&r);
	o.hold_s = rd_u16(&r);
	o.id = rd_u32(&r);
	params_len = rd_u8(&r);
	if (params_len && rd_left(&r) && r.p[0] == PARAM_EXTENDED) {
		extended = true;
		rd_u8(&r);
		params_len = rd_u16(&r);
	}
	params = rd_sub(&r, params_len);
	if (r.bad || rd_left(&r))
		return refuse(n, text, BGP_OPEN_UNSPECIFIC, NULL, 0,
			      "optional parameters of %zu bytes do not fill the message",
			      params_len);
	if (!decode_params(&params, extended, &o.caps, n, text) || !check_fields(&o, n, text))
		return false;
	*out = o;
	return true;
}

/* RFC 9234 4.2: provider and customer, server and client, peer and peer. */
static bool roles_fit(const struct bgp_open *open, const struct bgp_expect *expect)
{
	static const enum bgp_role partner[BGP_ROLE_MAX_] = {
		[BGP_ROLE_PROVIDER] = BGP_ROLE_CUSTOMER, [BGP_ROLE_RS] = BGP_ROLE_RS_CLIENT,
		[BGP_ROLE_RS_CLIENT] = BGP_ROLE_RS,	 [BGP_ROLE_CUSTOMER] = BGP_ROLE_PROVIDER,
		[BGP_ROLE_PEER] = BGP_ROLE_PEER,
	};

	if (expect->role == BGP_ROLE_NONE)
		return true;
	if (open->caps.role_twice)
		return false;
	if (open->caps.role == BGP_ROLE_NONE)
		return !expect->role_strict;
	return open->caps.role == partner[expect->role];
}

bool bgp_open_check(const struct bgp_open *open, const struct bgp_expect *expect,
		    struct bgp_notification *n, char *text)
{
	char id[ADDR_STR_MAX];
	struct addr a;

	if (!expect->remote_as && open->as == expect->local_as)
		return refuse(n, text, BGP_OPEN_BAD_AS, NULL, 0,
			      "the peer is in our own AS %u, must be in another one", open->as);
	if (expect->remote_as && open->as != expect->remote_as)
		return refuse(n, text, BGP_OPEN_BAD_AS, NULL, 0,
			      "the peer is in AS %u, must be in AS %u as configured", open->as,
			      expect->remote_as);
	if (expect->local_as != expect->remote_as && !roles_fit(open, expect))
		return refuse(n, text, BGP_OPEN_BAD_ROLE, NULL, 0,
			      "the peer's role is %s%s, which does not go with ours, %s",
			      open->caps.role < BGP_ROLE_MAX_ ? bgp_role_name(open->caps.role)
							      : "unknown",
			      open->caps.role_twice ? " among others" : "",
			      bgp_role_name(expect->role));
	/* RFC 6286 2.2: unique inside of an AS. */
	if (expect->local_as == expect->remote_as && open->id == expect->local_id) {
		a = addr_v4(open->id);
		return refuse(n, text, BGP_OPEN_BAD_ID, NULL, 0,
			      "the peer has our own router ID %s, must have another one in AS %u",
			      addr_format(&a, id), open->as);
	}
	return true;
}

static uint32_t offered_families(const struct bgp_open *o)
{
	/* RFC 4760 8: who says nothing speaks IPv4 unicast. */
	return o->caps.mp ? o->caps.families : 1u << BGP_AF_IPV4_UNICAST;
}

/* What follows from one side being able to send and the other to receive. */
static void negotiate_wire(struct bgp_wire *wire, const struct bgp_caps *local,
			   const struct bgp_caps *remote)
{
	wire->ext_next_hop = local->ext_next_hop & remote->ext_next_hop & wire->families;
	wire->add_path_rx = local->add_path_rx & remote->add_path_tx & wire->families;
	wire->add_path_tx = local->add_path_tx & remote->add_path_rx & wire->families;
	wire->msg_max =
		local->extended_message && remote->extended_message ? BGP_MSG_MAX_EXT : BGP_MSG_MAX;
	wire->role = wire->ebgp ? local->role : BGP_ROLE_NONE;
}

static uint16_t keepalive_time(uint16_t hold_s, uint16_t wanted_s)
{
	uint16_t third = (uint16_t)(hold_s / 3);

	return wanted_s && wanted_s < third ? wanted_s : third;
}

struct bgp_negotiated bgp_negotiate(const struct bgp_open *local, const struct bgp_open *remote,
				    uint16_t keepalive_s)
{
	struct bgp_negotiated neg = {
		.hold_s = local->hold_s < remote->hold_s ? local->hold_s : remote->hold_s,
		.refresh = local->caps.refresh && remote->caps.refresh,
		.graceful = local->caps.gr.present && remote->caps.gr.present,
		.remote_id = remote->id,
		.wire = {
			.ebgp = local->as != remote->as,
			.as4 = local->caps.as4 && remote->caps.as4,
			.local_as = local->as,
			.remote_as = remote->as,
			.families = offered_families(local) & offered_families(remote),
		},
	};

	neg.graceful_notification =
		neg.graceful && local->caps.gr.notification && remote->caps.gr.notification;
	neg.enhanced_refresh =
		neg.refresh && local->caps.enhanced_refresh && remote->caps.enhanced_refresh;
	neg.long_lived = local->caps.llgr.present && remote->caps.llgr.present;
	negotiate_wire(&neg.wire, &local->caps, &remote->caps);

	/* A hold time of 0, once any side says so, means no timers at all (RFC 4271 4.2). */
	neg.keepalive_s = keepalive_time(neg.hold_s, keepalive_s);
	return neg;
}
