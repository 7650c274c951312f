/* bgp_msg.c - any bytes as BGP messages: a value or an error; what was read is written and read again
 *
 * The first byte chooses the rules of the session, the second one the type; the rest is the body. */
#include <stdlib.h>
#include <string.h>

#include "bgp/msg.h"
#include "bgp/notify.h"
#include "bgp/open.h"
#include "bgp/update.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static struct bgp_wire rules(uint8_t bits)
{
	struct bgp_wire w = {
		.ebgp = bits & 1,
		.as4 = bits & 2,
		.first_as_check = bits & 4,
		.refuse_as_sets = bits & 8,
		.local_as = 64512,
		.remote_as = 65001,
		.families = 3,
		.msg_max = BGP_MSG_MAX,
	};

	if (bits & 16)
		w.add_path_rx = w.add_path_tx = 3;
	if (bits & 32)
		w.ext_next_hop = 1u << BGP_AF_IPV4_UNICAST;
	if (bits & 64)
		w.families = bits & 128 ? 1 : 2;
	return w;
}

/* One announced range packed anew and read again: the same attributes, the same prefixes. */
static void write_and_read(struct bgp_attr_table *t, struct bgp_wire wire,
			   const struct bgp_nlri_range *range, const struct bgp_attrs *attrs)
{
	static struct bgp_attr_block block;
	struct bgp_nlri_range it = *range, back;
	uint8_t buf[BGP_MSG_MAX];
	struct bgp_nlri n, m;
	bool more;

	if (!bgp_attr_block_init(&block, &wire, range->af, attrs))
		return;
	more = bgp_nlri_next(&it, &n);
	while (more) {
		struct bgp_nlri_range from = it;
		struct bgp_nlri first = n;
		struct bgp_update u;
		struct bgp_pack p;
		size_t size;

		bgp_pack_announce(&p, &wire, &block, buf, sizeof(buf));
		while (more && bgp_pack_add(&p, &n.prefix, n.path_id))
			more = bgp_nlri_next(&it, &n);
		size = bgp_pack_end(&p);
		must(size > 0 && size <= BGP_MSG_MAX);
		bgp_update_decode(t, &wire, buf + BGP_HEADER_LEN, size - BGP_HEADER_LEN, &u);
		must(u.verdict == BGP_OK && u.n_announced == 1);
		/* Only what an old speaker cannot be told may have changed. */
		must(u.attrs[0] == attrs || !wire.as4);
		back = u.announced[0];
		for (uint32_t i = 0; i < u.announced[0].count; i++) {
			must(bgp_nlri_next(&back, &m) && prefix_eq(&m.prefix, &first.prefix) &&
			     m.path_id == first.path_id);
			bgp_nlri_next(&from, &first);
		}
		bgp_update_done(t, &u);
	}
}

static void check_update(const struct bgp_wire *wire, const uint8_t *body, size_t len)
{
	struct bgp_attr_table *t = bgp_attr_table_new();
	struct bgp_update u, again;

	bgp_update_decode(t, wire, body, len, &u);
	must(strlen(u.text) < BGP_TEXT_MAX);
	must((u.verdict == BGP_OK) == !u.text[0]);
	must(u.verdict < BGP_TREAT_AS_WITHDRAW || !u.n_announced);
	for (unsigned i = 0; i < u.n_announced; i++)
		write_and_read(t, *wire, &u.announced[i], u.attrs[i]);
	/* Whatever is in the cache now: the same bytes are the same. */
	bgp_update_decode(t, wire, body, len, &again);
	must(again.verdict == u.verdict && again.n_announced == u.n_announced &&
	     again.n_withdrawn == u.n_withdrawn && !strcmp(again.text, u.text));
	for (unsigned i = 0; i < u.n_announced; i++)
		must(again.attrs[i] == u.attrs[i]);
	bgp_update_done(t, &again);
	bgp_update_done(t, &u);
	bgp_attr_table_free(t);
}

static void check_open(const uint8_t *body, size_t len)
{
	struct bgp_notification n;
	struct bgp_open o, back;
	char text[BGP_TEXT_MAX];
	uint8_t buf[BGP_MSG_MAX];
	struct wr w = wr_init(buf, sizeof(buf));

	if (!bgp_open_decode(body, len, &o, &n, text)) {
		must(n.code == BGP_ERR_OPEN && text[0]);
		return;
	}
	bgp_open_encode(&w, &o);
	must(!w.bad);
	must(bgp_open_decode(buf + BGP_HEADER_LEN, wr_len(&w) - BGP_HEADER_LEN, &back, &n, text));
	must(back.as == o.as && back.id == o.id && back.hold_s == o.hold_s &&
	     back.caps.families == o.caps.families &&
	     back.caps.add_path_rx == o.caps.add_path_rx &&
	     back.caps.add_path_tx == o.caps.add_path_tx &&
	     back.caps.ext_next_hop == o.caps.ext_next_hop &&
	     back.caps.enhanced_refresh == o.caps.enhanced_refresh &&
	     back.caps.extended_message == o.caps.extended_message &&
	     !memcmp(&back.caps.llgr, &o.caps.llgr, sizeof(o.caps.llgr)) &&
	     !memcmp(&back.caps.gr, &o.caps.gr, sizeof(o.caps.gr)));
}

static void check_notification(const uint8_t *body, size_t len)
{
	struct bgp_notification n = bgp_notification_decode(body, len);
	char text[BGP_TEXT_MAX];

	bgp_notification_text(&n, text, sizeof(text));
	for (const char *c = text; *c; c++)
		must(*c >= 0x20 && *c < 0x7f);
}

static void check_header(const uint8_t *p, size_t len)
{
	struct bgp_notification n;
	char text[BGP_TEXT_MAX];
	struct bgp_msg m;

	if (len && bgp_msg_next(p, len, BGP_MSG_MAX, &m, &n, text) > 0)
		must(m.body + m.len <= p + len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bgp_wire wire;

	if (len < 2)
		return 0;
	wire = rules(data[0]);
	switch (data[1] % 4) {
	case 0:
		check_header(data + 2, len - 2);
		break;
	case 1:
		check_open(data + 2, len - 2);
		break;
	case 2:
		check_notification(data + 2, len - 2);
		break;
	case 3:
		check_update(&wire, data + 2, len - 2);
		break;
	}
	return 0;
}
