/* msg.c - BGP messages found in a stream of bytes, and the short ones written
 *
 * WIRE   [marker: 16 x ff] [length: 2, of all] [type: 1] [body]
 * ERRORS 1/1 marker, 1/2 length with the length as data, 1/3 type with the type as data.
 * SPEC   RFC 4271 4.1, 6.1; 8654 4 */
#include "bgp/msg.h"

#include <stdio.h>
#include <string.h>

#include "bgp/notify.h"

/* Bounds of each type's whole length. */
static const struct {
	const char *name;
	uint16_t min, max;
} types[] = {
	[BGP_MSG_OPEN] = { "OPEN", 29, BGP_MSG_MAX },
	[BGP_MSG_UPDATE] = { "UPDATE", 23, BGP_MSG_MAX_EXT },
	[BGP_MSG_NOTIFICATION] = { "NOTIFICATION", 21, BGP_MSG_MAX_EXT },
	[BGP_MSG_KEEPALIVE] = { "KEEPALIVE", BGP_HEADER_LEN, BGP_HEADER_LEN },
	/* RFC 7313 5 has an error of its own for what is longer. */
	[BGP_MSG_ROUTE_REFRESH] = { "ROUTE-REFRESH", 23, BGP_MSG_MAX },
};

static ssize_t refuse(struct bgp_notification *n, uint8_t subcode, const void *data, size_t len)
{
	*n = bgp_notification(BGP_ERR_HEADER, subcode, data, len);
	return -1;
}

static ssize_t check_header(const uint8_t *p, size_t max, struct bgp_notification *n, char *text)
{
	size_t len = (size_t)(p[16] << 8 | p[17]);
	uint8_t type = p[18];

	if (type == 0 || type >= ARRAY_SIZE(types)) {
		snprintf(text, BGP_TEXT_MAX, "message type %u, must be 1 to 5", type);
		return refuse(n, BGP_HEADER_BAD_TYPE, p + 18, 1);
	}
	if (types[type].max < max)
		max = types[type].max;
	if (len < types[type].min || len > max) {
		snprintf(text, BGP_TEXT_MAX, "%s of %zu bytes, must be %u to %zu", types[type].name,
			 len, types[type].min, max);
		return refuse(n, BGP_HEADER_BAD_LENGTH, p + 16, 2);
	}
	return (ssize_t)len;
}

ssize_t bgp_msg_next(const uint8_t *p, size_t have, size_t max, struct bgp_msg *out,
		     struct bgp_notification *n, char *text)
{
	static const uint8_t marker[BGP_MARKER_LEN] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	};
	ssize_t len;

	/* Whoever speaks another protocol is told at the first byte, not when 19 have come. */
	if (memcmp(p, marker, have < sizeof(marker) ? have : sizeof(marker)) != 0) {
		snprintf(text, BGP_TEXT_MAX,
			 "not BGP: a message must begin with 16 bytes ff, not \"");
		bgp_quote_text(text, BGP_TEXT_MAX - 1, p, have < sizeof(marker) ? have : 16);
		strcat(text, "\"");
		return refuse(n, BGP_HEADER_NOT_SYNC, NULL, 0);
	}
	if (have < BGP_HEADER_LEN)
		return 0;
	len = check_header(p, max, n, text);
	if (len < 0)
		return len;
	if ((size_t)len > have)
		return 0;
	*out = (struct bgp_msg) { p[18], p + BGP_HEADER_LEN, (size_t)len - BGP_HEADER_LEN };
	return len;
}

size_t bgp_msg_begin(struct wr *w, enum bgp_msg_type type)
{
	size_t begin = wr_len(w);
	uint8_t *p = wr_skip(w, BGP_HEADER_LEN);

	if (p) {
		memset(p, 0xff, BGP_MARKER_LEN);
		p[18] = (uint8_t)type;
	}
	return begin;
}

void bgp_msg_end(struct wr *w, size_t begin)
{
	if (!w->bad)
		put_u16(w->start + begin + BGP_MARKER_LEN, (uint16_t)(wr_len(w) - begin));
}

void bgp_msg_keepalive(struct wr *w)
{
	bgp_msg_end(w, bgp_msg_begin(w, BGP_MSG_KEEPALIVE));
}

void bgp_msg_notification(struct wr *w, const struct bgp_notification *n)
{
	size_t begin = bgp_msg_begin(w, BGP_MSG_NOTIFICATION);

	wr_u8(w, n->code);
	wr_u8(w, n->subcode);
	wr_bytes(w, n->data, n->len);
	bgp_msg_end(w, begin);
}

void bgp_msg_refresh(struct wr *w, enum bgp_af af, uint8_t subtype)
{
	size_t begin = bgp_msg_begin(w, BGP_MSG_ROUTE_REFRESH);

	wr_u16(w, bgp_af_info(af)->afi);
	wr_u8(w, subtype);
	wr_u8(w, bgp_af_info(af)->safi);
	bgp_msg_end(w, begin);
}
