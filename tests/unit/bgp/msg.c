/* msg.c - framing: every cut, every wrong header */
#include "bgp/msg.h"

#include "bgp/notify.h"
#include "tests/unit/bgp/wire.h"

#define MARKER "ffffffffffffffffffffffffffffffff "

static void headers(void **state)
{
	static const struct {
		const char *name, *bytes;
		ssize_t used;
		uint8_t subcode;
		const char *data, *words;
	} rows[] = {
		{ "KEEPALIVE", MARKER "0013 04", 19, 0, "", "" },
		{ "two of them", MARKER "0013 04" MARKER "0013 04", 19, 0, "", "" },
		{ "marker wrong in the first byte", "fe", -1, 1, "", "16 bytes ff, not \"\\xfe\"" },
		{ "another protocol", "474554202f20485454502f312e310d0a", -1, 1, "", "GET / HTTP" },
		{ "marker wrong in the last byte", "ffffffffffffffffffffffffffffff00 0013 04", -1,
		  1, "", "not BGP" },
		{ "length 0", MARKER "0000 04", -1, 2, "0000", "KEEPALIVE of 0 bytes" },
		{ "length 18", MARKER "0012 02", -1, 2, "0012",
		  "UPDATE of 18 bytes, must be 23 to" },
		{ "KEEPALIVE of 20", MARKER "0014 04 00", -1, 2, "0014", "must be 19 to 19" },
		{ "OPEN of 28", MARKER "001c 01", -1, 2, "001c", "OPEN of 28" },
		{ "UPDATE of 22", MARKER "0016 02", -1, 2, "0016", "UPDATE of 22" },
		{ "NOTIFICATION of 20", MARKER "0014 03", -1, 2, "0014", "NOTIFICATION of 20" },
		{ "ROUTE-REFRESH of 22", MARKER "0016 05", -1, 2, "0016", "ROUTE-REFRESH" },
		{ "UPDATE of 4097", MARKER "1001 02", -1, 2, "1001", "must be 23 to 4096" },
		{ "UPDATE of 4096, its rest to come", MARKER "1000 02", 0, 0, "", "" },
		{ "UPDATE of 65535", MARKER "ffff 02", -1, 2, "ffff", "must be" },
		{ "type 0", MARKER "0013 00", -1, 3, "00", "message type 0, must be 1 to 5" },
		{ "type 6", MARKER "0013 06", -1, 3, "06", "message type 6" },
		{ "type 255", MARKER "0013 ff", -1, 3, "ff", "message type 255" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes b = hex(rows[i].bytes), data = hex(rows[i].data);
		uint8_t *p = exact(b.b, b.n);
		struct bgp_notification n = { 0 };
		char text[BGP_TEXT_MAX] = "";
		struct bgp_msg m;
		ssize_t used = bgp_msg_next(p, b.n, BGP_MSG_MAX, &m, &n, text);

		if (used != rows[i].used || !strstr(text, rows[i].words))
			fail_msg("%s: %zd, \"%s\"", rows[i].name, used, text);
		if (used < 0) {
			assert_int_equal(n.code, BGP_ERR_HEADER);
			assert_int_equal(n.subcode, rows[i].subcode);
			assert_int_equal(n.len, data.n);
			assert_memory_equal(n.data, data.b, data.n);
		}
		free(p);
	}
}

static void long_messages_when_negotiated(void **state)
{
	struct bytes b = hex(MARKER "ffff 02");
	struct bgp_notification n;
	char text[BGP_TEXT_MAX];
	struct bgp_msg m;

	assert_int_equal(bgp_msg_next(b.b, b.n, BGP_MSG_MAX_EXT, &m, &n, text), 0);
	/* RFC 8654 4: not for OPEN and KEEPALIVE */
	b = hex(MARKER "1001 01");
	assert_int_equal(bgp_msg_next(b.b, b.n, BGP_MSG_MAX_EXT, &m, &n, text), -1);
}

static void every_cut_wants_more(void **state)
{
	struct bytes b = hex(MARKER "0017 02 0000 0000");
	struct bgp_notification n;
	char text[BGP_TEXT_MAX];
	struct bgp_msg m;

	for (size_t len = 1; len < b.n; len++) {
		uint8_t *p = exact(b.b, len);

		assert_int_equal(bgp_msg_next(p, len, BGP_MSG_MAX, &m, &n, text), 0);
		free(p);
	}
	assert_int_equal(bgp_msg_next(b.b, b.n, BGP_MSG_MAX, &m, &n, text), 23);
	assert_int_equal(m.type, BGP_MSG_UPDATE);
	assert_int_equal(m.len, 4);
	assert_ptr_equal(m.body, b.b + 19);
}

static void short_ones_are_written(void **state)
{
	struct bgp_notification n = bgp_notification(6, 2, "ab", 2);
	struct bytes want =
		hex(MARKER "0013 04" MARKER "0017 03 06 02 6162" MARKER "0017 05 0002 00 01");
	uint8_t buf[128];
	struct wr w = wr_init(buf, sizeof(buf));

	bgp_msg_keepalive(&w);
	bgp_msg_notification(&w, &n);
	bgp_msg_refresh(&w, BGP_AF_IPV6_UNICAST, 0);
	assert_false(w.bad);
	assert_int_equal(wr_len(&w), want.n);
	assert_memory_equal(buf, want.b, want.n);
	w = wr_init(buf, 18);
	bgp_msg_keepalive(&w);
	assert_true(w.bad);
}

static void notifications_in_words(void **state)
{
	static const struct {
		const char *body, *text;
	} rows[] = {
		{ "02 02", "OPEN Message Error/Bad Peer AS" },
		{ "04 00", "Hold Timer Expired" },
		{ "06 02 04 6261636b", "Cease/Administrative Shutdown \"back\"" },
		{ "06 02 00", "Cease/Administrative Shutdown" },
		{ "06 02 ff 6261636b", "Cease/Administrative Shutdown \"back\"" },
		{ "06 02 04 0a22005c", "Cease/Administrative Shutdown \"\\x0a\\x22\\x00\\x5c\"" },
		{ "06 09 04 00", "Cease/Hard Reset for Hold Timer Expired" },
		{ "06 09 06 09 06 09", "Cease/Hard Reset for " },
		{ "01 02 0012", "Message Header Error/Bad Message Length (data 00 12)" },
		{ "03 63", "UPDATE Message Error/subcode 99" },
		{ "63 07", "error 99/7" },
		{ "", "error 0/0" },
		{ "06", "error 0/0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes b = hex(rows[i].body);
		struct bgp_notification n = bgp_notification_decode(b.b, b.n);
		char text[BGP_TEXT_MAX];

		bgp_notification_text(&n, text, sizeof(text));
		assert_string_equal(text, rows[i].text);
	}
}

/* Any bytes, any size of the text: never past the end, always terminated. */
static void notification_text_is_bounded(void **state)
{
	for (unsigned code = 0; code < 10; code++)
		for (size_t size = 1; size < 200; size += 7) {
			struct bgp_notification n = { .code = (uint8_t)code,
						      .subcode = 2,
						      .len = 255 };
			char *text = malloc(size);

			memset(n.data, (int)(size * 31), sizeof(n.data));
			bgp_notification_text(&n, text, size);
			assert_true(strlen(text) < size);
			free(text);
		}
}

static void shutdown_text_is_cut_between_letters(void **state)
{
	char text[400];
	struct bgp_notification n;

	for (size_t i = 0; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa4", 2);
	text[398] = '\0';
	n = bgp_cease(BGP_CEASE_SHUTDOWN, text);
	assert_int_equal(n.len, 255);
	assert_int_equal(n.data[0], 254);
	memmove(text + 1, text, 398);
	text[0] = 'x';
	text[399] = '\0';
	n = bgp_cease(BGP_CEASE_SHUTDOWN, text);
	assert_int_equal(n.data[0], 253);
	n = bgp_cease(BGP_CEASE_COLLISION, "only 2 and 4 carry text");
	assert_int_equal(n.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(long_messages_when_negotiated),
		cmocka_unit_test(every_cut_wants_more),
		cmocka_unit_test(short_ones_are_written),
		cmocka_unit_test(notifications_in_words),
		cmocka_unit_test(notification_text_is_bounded),
		cmocka_unit_test(shutdown_text_is_cut_between_letters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
