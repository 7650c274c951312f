/* notify.c - NOTIFICATION messages in words
 *
 * SHAPE  One table row per (code, subcode). A peer's text is quoted, escaped and cut, since it ends
 *        in our log.
 * SPEC   RFC 4271 4.5, 6; 4486; 6608; 8538; 9003; 9384; 9687 */
#include "bgp/notify.h"

#include <stdio.h>
#include <string.h>

static const char *const codes[] = {
	[BGP_ERR_HEADER] = "Message Header Error",
	[BGP_ERR_OPEN] = "OPEN Message Error",
	[BGP_ERR_UPDATE] = "UPDATE Message Error",
	[BGP_ERR_HOLD] = "Hold Timer Expired",
	[BGP_ERR_FSM] = "Finite State Machine Error",
	[BGP_ERR_CEASE] = "Cease",
	[BGP_ERR_REFRESH] = "ROUTE-REFRESH Message Error",
	[BGP_ERR_SEND_HOLD] = "Send Hold Timer Expired",
};

static const struct {
	uint8_t code, subcode;
	const char *name;
} subcodes[] = {
	{ BGP_ERR_HEADER, BGP_HEADER_NOT_SYNC, "Connection Not Synchronized" },
	{ BGP_ERR_HEADER, BGP_HEADER_BAD_LENGTH, "Bad Message Length" },
	{ BGP_ERR_HEADER, BGP_HEADER_BAD_TYPE, "Bad Message Type" },
	{ BGP_ERR_OPEN, BGP_OPEN_BAD_VERSION, "Unsupported Version Number" },
	{ BGP_ERR_OPEN, BGP_OPEN_BAD_AS, "Bad Peer AS" },
	{ BGP_ERR_OPEN, BGP_OPEN_BAD_ID, "Bad BGP Identifier" },
	{ BGP_ERR_OPEN, BGP_OPEN_BAD_PARAMETER, "Unsupported Optional Parameter" },
	{ BGP_ERR_OPEN, 5, "Authentication Failure" },
	{ BGP_ERR_OPEN, BGP_OPEN_BAD_HOLD, "Unacceptable Hold Time" },
	{ BGP_ERR_OPEN, BGP_OPEN_BAD_CAPABILITY, "Unsupported Capability" },
	{ BGP_ERR_OPEN, BGP_OPEN_BAD_ROLE, "Role Mismatch" },
	{ BGP_ERR_UPDATE, BGP_UPDATE_MALFORMED, "Malformed Attribute List" },
	{ BGP_ERR_UPDATE, BGP_UPDATE_UNKNOWN_WELL_KNOWN, "Unrecognized Well-known Attribute" },
	{ BGP_ERR_UPDATE, BGP_UPDATE_MISSING_WELL_KNOWN, "Missing Well-known Attribute" },
	{ BGP_ERR_UPDATE, BGP_UPDATE_BAD_FLAGS, "Attribute Flags Error" },
	{ BGP_ERR_UPDATE, BGP_UPDATE_BAD_ATTR_LENGTH, "Attribute Length Error" },
	{ BGP_ERR_UPDATE, BGP_UPDATE_BAD_ORIGIN, "Invalid ORIGIN Attribute" },
	{ BGP_ERR_UPDATE, BGP_UPDATE_BAD_NEXT_HOP, "Invalid NEXT_HOP Attribute" },
	{ BGP_ERR_UPDATE, BGP_UPDATE_BAD_OPTIONAL, "Optional Attribute Error" },
	{ BGP_ERR_UPDATE, BGP_UPDATE_BAD_NETWORK, "Invalid Network Field" },
	{ BGP_ERR_UPDATE, BGP_UPDATE_BAD_AS_PATH, "Malformed AS_PATH" },
	{ BGP_ERR_FSM, BGP_FSM_IN_OPENSENT, "Unexpected Message in OpenSent" },
	{ BGP_ERR_FSM, BGP_FSM_IN_OPENCONFIRM, "Unexpected Message in OpenConfirm" },
	{ BGP_ERR_FSM, BGP_FSM_IN_ESTABLISHED, "Unexpected Message in Established" },
	{ BGP_ERR_CEASE, BGP_CEASE_MAX_PREFIXES, "Maximum Number of Prefixes Reached" },
	{ BGP_ERR_CEASE, BGP_CEASE_SHUTDOWN, "Administrative Shutdown" },
	{ BGP_ERR_CEASE, BGP_CEASE_DECONFIGURED, "Peer De-configured" },
	{ BGP_ERR_CEASE, BGP_CEASE_RESET, "Administrative Reset" },
	{ BGP_ERR_CEASE, BGP_CEASE_REJECTED, "Connection Rejected" },
	{ BGP_ERR_CEASE, BGP_CEASE_CONFIG_CHANGE, "Other Configuration Change" },
	{ BGP_ERR_CEASE, BGP_CEASE_COLLISION, "Connection Collision Resolution" },
	{ BGP_ERR_CEASE, BGP_CEASE_RESOURCES, "Out of Resources" },
	{ BGP_ERR_CEASE, BGP_CEASE_HARD_RESET, "Hard Reset" },
	{ BGP_ERR_CEASE, BGP_CEASE_BFD_DOWN, "BFD Down" },
	{ BGP_ERR_REFRESH, BGP_REFRESH_BAD_LENGTH, "Invalid Message Length" },
};

struct bgp_notification bgp_notification(uint8_t code, uint8_t subcode, const void *data,
					 size_t len)
{
	struct bgp_notification n = { .code = code, .subcode = subcode };

	if (!data)
		return n;
	n.len = (uint8_t)(len < sizeof(n.data) ? len : sizeof(n.data));
	memcpy(n.data, data, n.len);
	return n;
}

/* The longest head of s, at most max bytes, that does not cut a UTF-8 sequence. */
static size_t utf8_cut(const char *s, size_t max)
{
	size_t len = strlen(s);

	if (len <= max)
		return len;
	while (max && ((uint8_t)s[max] & 0xc0) == 0x80)
		max--;
	return max;
}

struct bgp_notification bgp_cease(uint8_t subcode, const char *text)
{
	struct bgp_notification n = { .code = BGP_ERR_CEASE, .subcode = subcode };
	size_t len;

	if (!text || (subcode != BGP_CEASE_SHUTDOWN && subcode != BGP_CEASE_RESET))
		return n;
	/* RFC 9003 2: one byte of length, then that many of UTF-8; 254 fill our data. */
	len = utf8_cut(text, sizeof(n.data) - 1);
	n.data[0] = (uint8_t)len;
	memcpy(n.data + 1, text, len);
	n.len = (uint8_t)(len + 1);
	return n;
}

struct bgp_notification bgp_hard_reset(const struct bgp_notification *n)
{
	struct bgp_notification h = { .code = BGP_ERR_CEASE, .subcode = BGP_CEASE_HARD_RESET };
	size_t len = n->len < sizeof(h.data) - 2 ? n->len : sizeof(h.data) - 2;

	h.data[0] = n->code;
	h.data[1] = n->subcode;
	memcpy(h.data + 2, n->data, len);
	h.len = (uint8_t)(len + 2);
	return h;
}

bool bgp_notification_is_final(const struct bgp_notification *n)
{
	if (n->code != BGP_ERR_CEASE)
		return false;
	switch (n->subcode) {
	case BGP_CEASE_MAX_PREFIXES:
	case BGP_CEASE_SHUTDOWN:
	case BGP_CEASE_DECONFIGURED:
	case BGP_CEASE_HARD_RESET:
	/* RFC 9384 3: the path is gone, not only the session. */
	case BGP_CEASE_BFD_DOWN:
		return true;
	default:
		return false;
	}
}

struct bgp_notification bgp_notification_inner(const struct bgp_notification *n)
{
	if (n->code == BGP_ERR_CEASE && n->subcode == BGP_CEASE_HARD_RESET && n->len >= 2)
		return bgp_notification_decode(n->data, n->len);
	return *n;
}

struct bgp_notification bgp_notification_decode(const uint8_t *body, size_t len)
{
	if (len < 2)
		return (struct bgp_notification) { 0 };
	return bgp_notification(body[0], body[1], body + 2, len - 2);
}

void bgp_quote_text(char *out, size_t size, const uint8_t *p, size_t len)
{
	size_t at = strlen(out), shown = len < BGP_QUOTE_MAX ? len : BGP_QUOTE_MAX;

	for (size_t i = 0; i < shown && at + 5 < size; i++) {
		if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' && p[i] != '\\')
			out[at++] = (char)p[i];
		else
			at += (size_t)snprintf(out + at, size - at, "\\x%02x", p[i]);
	}
	out[at] = '\0';
	if (shown < len)
		snprintf(out + at, size - at, "...");
}

void bgp_quote_hex(char *out, size_t size, const uint8_t *p, size_t len)
{
	size_t at = strlen(out), shown = len < BGP_QUOTE_MAX / 4 ? len : BGP_QUOTE_MAX / 4;

	for (size_t i = 0; i < shown && at + 4 < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%02x", i ? " " : "", p[i]);
	if (shown < len)
		snprintf(out + at, size - at, " ...");
}

static const char *subcode_name(uint8_t code, uint8_t subcode)
{
	for (size_t i = 0; i < ARRAY_SIZE(subcodes); i++)
		if (subcodes[i].code == code && subcodes[i].subcode == subcode)
			return subcodes[i].name;
	return NULL;
}

static void name_text(const struct bgp_notification *n, char *out, size_t size)
{
	const char *code = n->code < ARRAY_SIZE(codes) ? codes[n->code] : NULL;
	const char *sub = subcode_name(n->code, n->subcode);

	if (!code)
		snprintf(out, size, "error %u/%u", n->code, n->subcode);
	else if (sub)
		snprintf(out, size, "%s/%s", code, sub);
	else if (n->subcode)
		snprintf(out, size, "%s/subcode %u", code, n->subcode);
	else
		snprintf(out, size, "%s", code);
}

void bgp_notification_text(const struct bgp_notification *n, char *out, size_t size)
{
	const uint8_t *data = n->data;
	size_t len = n->len, at;
	bool text;

	name_text(n, out, size);
	/* RFC 8538 3.1: a Hard Reset carries the real code, subcode and data. */
	if (n->code == BGP_ERR_CEASE && n->subcode == BGP_CEASE_HARD_RESET && len >= 2) {
		struct bgp_notification inner = bgp_notification_decode(data, len);

		at = strlen(out);
		snprintf(out + at, size - at, " for ");
		at = strlen(out);
		if (inner.code != BGP_ERR_CEASE || inner.subcode != BGP_CEASE_HARD_RESET)
			bgp_notification_text(&inner, out + at, size - at);
		return;
	}
	if (!len)
		return;
	text = n->code == BGP_ERR_CEASE &&
	       (n->subcode == BGP_CEASE_SHUTDOWN || n->subcode == BGP_CEASE_RESET);
	at = strlen(out);
	if (text) {
		size_t said = data[0] < len ? data[0] : len - 1;

		if (!said)
			return;
		snprintf(out + at, size - at, " \"");
		bgp_quote_text(out, size > 2 ? size - 1 : size, data + 1, said);
		at = strlen(out);
		snprintf(out + at, size - at, "\"");
		return;
	}
	snprintf(out + at, size - at, " (data ");
	bgp_quote_hex(out, size > 2 ? size - 1 : size, data, len);
	at = strlen(out);
	snprintf(out + at, size - at, ")");
}
