/* update.c - UPDATE decoding: a vector for each attribute and kind of error, with its RFC 7606
 * verdict */
#include "bgp/update.h"

#include "bgp/attr_wire.h"
#include "bgp/notify.h"
#include "tests/unit/bgp/wire.h"

/* A route that has all it needs, from eBGP with 4-octet AS numbers. */
#define ORIGIN	 "40 01 01 00 "
#define PATH	 "40 02 06 02 01 0000fde9 " /* 65001 */
#define NEXT_HOP "40 03 04 0a000001 "
#define BASE	 ORIGIN PATH NEXT_HOP
#define NLRI	 "18 0a0102" /* 10.1.2.0/24 */
#define REACH6	 "80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8 "

static const struct bgp_wire ebgp = {
	.ebgp = true,
	.as4 = true,
	.local_as = 64512,
	.remote_as = 65001,
	.families = 1u << BGP_AF_IPV4_UNICAST | 1u << BGP_AF_IPV6_UNICAST,
	.msg_max = BGP_MSG_MAX,
};

static struct bgp_wire rules(const char *flags)
{
	struct bgp_wire w = ebgp;

	for (; flags && *flags; flags++) {
		if (*flags == 'i')
			w.ebgp = false;
		else if (*flags == 'o')
			w.as4 = false;
		else if (*flags == 'f')
			w.first_as_check = true;
		else if (*flags == 's')
			w.refuse_as_sets = true;
		else if (*flags == '4')
			w.families = 1u << BGP_AF_IPV4_UNICAST;
		else if (*flags == '6')
			w.families = 1u << BGP_AF_IPV6_UNICAST;
		else if (*flags == 'e')
			w.ext_next_hop = 1u << BGP_AF_IPV4_UNICAST;
		else if (*flags == 'p')
			w.add_path_rx = w.families;
	}
	return w;
}

struct row {
	const char *name;
	const char *flags; /* i: iBGP, o: old speaker, f: first AS checked, s: sets refused, ... */
	const char *withdrawn, *attrs, *nlri;
	enum bgp_verdict verdict;
	unsigned withdrawn_n, announced_n; /* prefixes */
	int subcode;			   /* under reset */
	const char *words;		   /* in text */
};

#define OK	BGP_OK
#define DISCARD BGP_ATTR_DISCARD
#define TAW	BGP_TREAT_AS_WITHDRAW
#define RESET	BGP_SESSION_RESET

static const struct row rows[] = {
	{ "a plain route", "", "", BASE, NLRI, OK, 0, 1, 0, "" },
	{ "two withdrawn, one announced", "", "18 0a0100 20 0a020304", BASE, NLRI, OK, 2, 1, 0,
	  "" },
	{ "withdrawals alone", "", "18 0a0100", "", "", OK, 1, 0, 0, "" },
	{ "default route", "", "", BASE, "00", OK, 0, 1, 0, "" },

	/* framing: RFC 4271 6.3, RFC 7606 3 */
	{ "NLRI longer than 32 bits", "", "", BASE, "21 0a01020304", RESET, 0, 0, 10, "too long" },
	{ "NLRI cut", "", "", BASE, "18 0a01", RESET, 0, 0, 10, "cut" },
	{ "withdrawn longer than 32 bits", "", "ff 00", "", "", RESET, 0, 0, 10,
	  "withdrawn routes" },
	{ "withdrawn cut", "", "18 0a", BASE, NLRI, RESET, 0, 0, 10, "withdrawn routes" },

	/* attribute headers: RFC 7606 4 */
	{ "attribute over the end", "", "", ORIGIN PATH "40 03 05 0a000001", NLRI, TAW, 1, 0, 0,
	  "over the end" },
	{ "one byte left for an attribute", "", "", BASE "40", NLRI, TAW, 1, 0, 0, "over the end" },
	{ "extended length cut", "", "", BASE "50 08 00", NLRI, TAW, 1, 0, 0, "over the end" },
	{ "the same without prefixes", "", "", BASE "40", "", RESET, 0, 0, 1, "over the end" },
	{ "extended length where it need not be", "", "", "50 01 0001 00 " PATH NEXT_HOP, NLRI, OK,
	  0, 1, 0, "" },

	/* repetition: RFC 7606 3 g */
	{ "ORIGIN twice", "", "", BASE "40 01 01 02", NLRI, DISCARD, 0, 1, 0,
	  "ORIGIN stands twice" },
	{ "unknown one twice", "", "", BASE "c0 63 00 c0 63 00", NLRI, DISCARD, 0, 1, 0,
	  "attribute 99 stands twice" },
	{ "MP_REACH_NLRI twice", "", "", ORIGIN PATH REACH6 REACH6, "", RESET, 0, 0, 1,
	  "MP_REACH_NLRI stands twice" },
	{ "MP_UNREACH_NLRI twice", "", "", "80 0f 03 0002 01 80 0f 03 0002 01", "", RESET, 0, 0, 1,
	  "MP_UNREACH_NLRI stands twice" },

	/* missing: RFC 7606 3 d */
	{ "no ORIGIN", "", "", PATH NEXT_HOP, NLRI, TAW, 1, 0, 0, "ORIGIN is missing" },
	{ "no AS_PATH", "", "", ORIGIN NEXT_HOP, NLRI, TAW, 1, 0, 0, "AS_PATH is missing" },
	{ "no NEXT_HOP", "", "", ORIGIN PATH, NLRI, TAW, 1, 0, 0, "NEXT_HOP is missing" },
	{ "no attributes at all", "", "", "", NLRI, TAW, 1, 0, 0, "missing" },
	{ "no NEXT_HOP needed with MP_REACH_NLRI", "", "", ORIGIN PATH REACH6, "", OK, 0, 1, 0,
	  "" },
	{ "no LOCAL_PREF on iBGP is taken", "i", "", BASE, NLRI, OK, 0, 1, 0, "" },

	/* ORIGIN */
	{ "ORIGIN of length 0", "", "", "40 01 00 " PATH NEXT_HOP, NLRI, TAW, 1, 0, 0,
	  "ORIGIN: length 0, must be 1" },
	{ "ORIGIN of length 2", "", "", "40 01 02 0000 " PATH NEXT_HOP, NLRI, TAW, 1, 0, 0,
	  "ORIGIN: length 2, must be 1 (bytes 40 01 02 00 00)" },
	{ "ORIGIN value 3", "", "", "40 01 01 03 " PATH NEXT_HOP, NLRI, TAW, 1, 0, 0, "0 to 2" },
	{ "ORIGIN optional", "", "", "c0 01 01 00 " PATH NEXT_HOP, NLRI, TAW, 1, 0, 0,
	  "flags c0, must be 40" },
	{ "ORIGIN not transitive", "", "", "00 01 01 00 " PATH NEXT_HOP, NLRI, TAW, 1, 0, 0,
	  "flags" },
	{ "ORIGIN partial is not minded", "", "", "60 01 01 00 " PATH NEXT_HOP, NLRI, OK, 0, 1, 0,
	  "" },

	/* AS_PATH: RFC 7606 7.2 */
	{ "AS_PATH empty", "i", "", ORIGIN "40 02 00 " NEXT_HOP, NLRI, OK, 0, 1, 0, "" },
	{ "AS_PATH segment type 0", "", "", ORIGIN "40 02 06 00 01 0000fde9 " NEXT_HOP, NLRI, TAW,
	  1, 0, 0, "unknown segment type" },
	{ "AS_PATH segment type 5", "", "", ORIGIN "40 02 06 05 01 0000fde9 " NEXT_HOP, NLRI, TAW,
	  1, 0, 0, "unknown segment type" },
	{ "AS_PATH segment empty", "", "", ORIGIN "40 02 02 02 00 " NEXT_HOP, NLRI, TAW, 1, 0, 0,
	  "without AS numbers" },
	{ "AS_PATH segment over the end", "", "", ORIGIN "40 02 06 02 02 0000fde9 " NEXT_HOP, NLRI,
	  TAW, 1, 0, 0, "over the end" },
	{ "AS_PATH one byte left", "", "", ORIGIN "40 02 07 02 01 0000fde9 02 " NEXT_HOP, NLRI, TAW,
	  1, 0, 0, "one byte" },
	{ "AS_PATH with AS 0", "", "", ORIGIN "40 02 0a 02 02 0000fde9 00000000 " NEXT_HOP, NLRI,
	  TAW, 1, 0, 0, "AS 0" },
	{ "AS_PATH of 2 octets from a new speaker", "", "", ORIGIN "40 02 04 02 01 fde9 " NEXT_HOP,
	  NLRI, TAW, 1, 0, 0, "over the end" },
	{ "AS_PATH of 2 octets from an old speaker", "o", "",
	  ORIGIN "40 02 04 02 01 fde9 " NEXT_HOP, NLRI, OK, 0, 1, 0, "" },
	{ "confederation segment from eBGP", "", "", ORIGIN "40 02 06 03 01 0000fde9 " NEXT_HOP,
	  NLRI, TAW, 1, 0, 0, "confederation" },
	{ "confederation segment from iBGP", "i", "", ORIGIN "40 02 06 03 01 0000fde9 " NEXT_HOP,
	  NLRI, OK, 0, 1, 0, "" },
	{ "first AS is another's", "f", "", ORIGIN "40 02 06 02 01 0000fdea " NEXT_HOP, NLRI, TAW,
	  1, 0, 0, "begins with AS 65002, must begin with the peer's AS 65001" },
	{ "first AS missing", "f", "", ORIGIN "40 02 00 " NEXT_HOP, NLRI, TAW, 1, 0, 0, "AS 0" },
	{ "first AS is the peer's", "f", "", BASE, NLRI, OK, 0, 1, 0, "" },
	{ "first AS of iBGP is not looked at", "fi", "", ORIGIN "40 02 06 02 01 0000fdea " NEXT_HOP,
	  NLRI, OK, 0, 1, 0, "" },
	{ "AS_SET", "", "", ORIGIN "40 02 0c 02 01 0000fde9 01 01 0000fdea " NEXT_HOP, NLRI, OK, 0,
	  1, 0, "" },
	{ "AS_SET refused by RFC 9774", "s", "",
	  ORIGIN "40 02 0c 02 01 0000fde9 01 01 0000fdea " NEXT_HOP, NLRI, TAW, 1, 0, 0, "AS_SET" },

	/* NEXT_HOP */
	{ "NEXT_HOP of length 3", "", "", ORIGIN PATH "40 03 03 0a0000", NLRI, TAW, 1, 0, 0,
	  "length 3, must be 4" },
	{ "NEXT_HOP of length 16", "", "", ORIGIN PATH "40 03 10 0a000001000000000000000000000000",
	  NLRI, TAW, 1, 0, 0, "length 16" },
	{ "NEXT_HOP 0.0.0.0", "", "", ORIGIN PATH "40 03 04 00000000", NLRI, TAW, 1, 0, 0, "host" },
	{ "NEXT_HOP multicast", "", "", ORIGIN PATH "40 03 04 e0000001", NLRI, TAW, 1, 0, 0,
	  "host" },
	{ "NEXT_HOP loopback", "", "", ORIGIN PATH "40 03 04 7f000001", NLRI, TAW, 1, 0, 0,
	  "host" },
	{ "NEXT_HOP optional", "", "", ORIGIN PATH "80 03 04 0a000001", NLRI, TAW, 1, 0, 0,
	  "flags" },

	/* MED, LOCAL_PREF */
	{ "MED", "", "", BASE "80 04 04 00000007", NLRI, OK, 0, 1, 0, "" },
	{ "MED of length 3", "", "", BASE "80 04 03 000007", NLRI, TAW, 1, 0, 0,
	  "MULTI_EXIT_DISC" },
	{ "MED transitive", "", "", BASE "c0 04 04 00000007", NLRI, TAW, 1, 0, 0, "flags c0" },
	{ "LOCAL_PREF from iBGP", "i", "", BASE "40 05 04 00000064", NLRI, OK, 0, 1, 0, "" },
	{ "LOCAL_PREF from eBGP", "", "", BASE "40 05 04 00000064", NLRI, DISCARD, 0, 1, 0,
	  "LOCAL_PREF: from an eBGP peer" },
	{ "LOCAL_PREF of length 5 from eBGP", "", "", BASE "40 05 05 0000006400", NLRI, DISCARD, 0,
	  1, 0, "LOCAL_PREF" },
	{ "LOCAL_PREF of length 5 from iBGP", "i", "", BASE "40 05 05 0000006400", NLRI, TAW, 1, 0,
	  0, "length 5" },

	/* ATOMIC_AGGREGATE, AGGREGATOR */
	{ "ATOMIC_AGGREGATE", "", "", BASE "40 06 00", NLRI, OK, 0, 1, 0, "" },
	{ "ATOMIC_AGGREGATE of length 1", "", "", BASE "40 06 01 00", NLRI, DISCARD, 0, 1, 0,
	  "ATOMIC_AGGREGATE: length must be 0" },
	{ "AGGREGATOR", "", "", BASE "c0 07 08 0000fde9 0a000001", NLRI, OK, 0, 1, 0, "" },
	{ "AGGREGATOR of length 6 from a new speaker", "", "", BASE "c0 07 06 fde9 0a000001", NLRI,
	  DISCARD, 0, 1, 0, "AGGREGATOR: length must be 8" },
	{ "AGGREGATOR of length 8 from an old speaker", "o", "",
	  ORIGIN "40 02 04 02 01 fde9 " NEXT_HOP "c0 07 08 0000fde9 0a000001", NLRI, DISCARD, 0, 1,
	  0, "length must be 6" },
	{ "AGGREGATOR with AS 0", "", "", BASE "c0 07 08 00000000 0a000001", NLRI, DISCARD, 0, 1, 0,
	  "AS 0" },
	{ "AGGREGATOR with wrong flags", "", "", BASE "40 07 08 0000fde9 0a000001", NLRI, TAW, 1, 0,
	  0, "flags" },

	/* communities */
	{ "COMMUNITIES", "", "", BASE "c0 08 08 fde90001 fde90002", NLRI, OK, 0, 1, 0, "" },
	{ "COMMUNITIES of length 0", "", "", BASE "c0 08 00", NLRI, TAW, 1, 0, 0,
	  "must be a multiple of 4, not 0" },
	{ "COMMUNITIES of length 5", "", "", BASE "c0 08 05 fde9000100", NLRI, TAW, 1, 0, 0,
	  "length 5" },
	{ "COMMUNITIES not transitive", "", "", BASE "80 08 04 fde90001", NLRI, TAW, 1, 0, 0,
	  "flags" },
	{ "EXTENDED COMMUNITIES", "", "", BASE "c0 10 08 0002fde900000001", NLRI, OK, 0, 1, 0, "" },
	{ "EXTENDED COMMUNITIES of length 0", "", "", BASE "c0 10 00", NLRI, TAW, 1, 0, 0, "of 8" },
	{ "EXTENDED COMMUNITIES of length 7", "", "", BASE "c0 10 07 0002fde9000000", NLRI, TAW, 1,
	  0, 0, "length 7" },
	{ "LARGE_COMMUNITY", "", "", BASE "c0 20 0c 0000fde9 00000001 00000002", NLRI, OK, 0, 1, 0,
	  "" },
	{ "LARGE_COMMUNITY of length 0", "", "", BASE "c0 20 00", NLRI, TAW, 1, 0, 0, "of 12" },
	{ "LARGE_COMMUNITY of length 11", "", "", BASE "c0 20 0b 0000fde9 00000001 000000", NLRI,
	  TAW, 1, 0, 0, "length 11" },

	/* reflection */
	{ "ORIGINATOR_ID from iBGP", "i", "", BASE "80 09 04 0a000009", NLRI, OK, 0, 1, 0, "" },
	{ "ORIGINATOR_ID from eBGP", "", "", BASE "80 09 04 0a000009", NLRI, DISCARD, 0, 1, 0,
	  "ORIGINATOR_ID" },
	{ "ORIGINATOR_ID of length 3 from iBGP", "i", "", BASE "80 09 03 0a0000", NLRI, TAW, 1, 0,
	  0, "length 3" },
	{ "CLUSTER_LIST from iBGP", "i", "", BASE "80 0a 08 00000001 00000002", NLRI, OK, 0, 1, 0,
	  "" },
	{ "CLUSTER_LIST from eBGP", "", "", BASE "80 0a 03 000000", NLRI, DISCARD, 0, 1, 0,
	  "CLUSTER_LIST" },
	{ "CLUSTER_LIST of length 0 from iBGP", "i", "", BASE "80 0a 00", NLRI, TAW, 1, 0, 0,
	  "of 4" },
	{ "CLUSTER_LIST of length 6 from iBGP", "i", "", BASE "80 0a 06 00000001 0000", NLRI, TAW,
	  1, 0, 0, "length 6" },

	/* MP_REACH_NLRI: RFC 7606 7.11 */
	{ "both families in one", "", "", BASE REACH6, NLRI, OK, 0, 2, 0, "" },
	{ "MP_REACH_NLRI shorter than 5", "", "", ORIGIN PATH "80 0e 04 00020110", "", RESET, 0, 0,
	  9, "shorter than 5" },
	{ "MP_REACH_NLRI of length 0", "", "", ORIGIN PATH "80 0e 00", "", RESET, 0, 0, 9,
	  "length 0" },
	{ "MP_REACH_NLRI next hop over the end", "", "",
	  ORIGIN PATH "80 0e 0a 0002 01 10 20010db80000", "", RESET, 0, 0, 9, "over the end" },
	{ "MP_REACH_NLRI next hop of 4 bytes for IPv6", "", "",
	  ORIGIN PATH "80 0e 0a 0002 01 04 0a000001 00 00", "", RESET, 0, 0, 9, "does not fit" },
	{ "MP_REACH_NLRI prefix too long", "", "",
	  ORIGIN PATH "80 0e 17 0002 01 10 20010db8000000000000000000000001 00 81 20", "", RESET, 0,
	  0, 9, "MP_REACH_NLRI: a prefix" },
	{ "MP_REACH_NLRI next hop ::", "", "",
	  ORIGIN PATH "80 0e 1a 0002 01 10 00000000000000000000000000000000 00 20 20010db8", "",
	  TAW, 1, 0, 0, "not the address of a host" },
	{ "MP_REACH_NLRI with link-local too", "", "",
	  ORIGIN PATH "80 0e 2a 0002 01 20 20010db8000000000000000000000001"
		      "fe800000000000000000000000000001 00 20 20010db8",
	  "", OK, 0, 1, 0, "" },
	{ "MP_REACH_NLRI well-known", "", "",
	  ORIGIN PATH "40 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8", "",
	  TAW, 1, 0, 0, "flags 40, must be 80" },
	{ "MP_REACH_NLRI of a family not negotiated", "4", "", ORIGIN PATH REACH6, "", DISCARD, 0,
	  0, 0, "AFI 2 SAFI 1" },
	{ "MP_REACH_NLRI of a family unheard of", "", "",
	  ORIGIN PATH "80 0e 0a 0019 41 04 0a000001 00 00", "", DISCARD, 0, 0, 0,
	  "AFI 25 SAFI 65" },
	{ "MP_REACH_NLRI of IPv4", "", "", ORIGIN PATH "80 0e 0d 0001 01 04 0a000001 00 18 0a0102",
	  "", OK, 0, 1, 0, "" },
	{ "IPv4 with an IPv6 next hop, not negotiated", "", "",
	  ORIGIN PATH "80 0e 19 0001 01 10 20010db8000000000000000000000001 00 18 0a0102", "",
	  RESET, 0, 0, 9, "does not fit" },
	{ "IPv4 with an IPv6 next hop, negotiated", "e", "",
	  ORIGIN PATH "80 0e 19 0001 01 10 20010db8000000000000000000000001 00 18 0a0102", "", OK,
	  0, 1, 0, "" },
	{ "IPv4 prefixes on an IPv6 session", "6", "18 0a0100", BASE REACH6, NLRI, DISCARD, 0, 1, 0,
	  "ipv4-unicast, which was not negotiated" },

	/* MP_UNREACH_NLRI: RFC 7606 7.12 */
	{ "MP_UNREACH_NLRI", "", "", "80 0f 08 0002 01 20 20010db8", "", OK, 1, 0, 0, "" },
	{ "MP_UNREACH_NLRI shorter than 3", "", "", "80 0f 02 0002", "", RESET, 0, 0, 9,
	  "shorter" },
	{ "MP_UNREACH_NLRI prefix cut", "", "", "80 0f 06 0002 01 20 2001", "", RESET, 0, 0, 9,
	  "MP_UNREACH_NLRI: a prefix" },
	{ "MP_UNREACH_NLRI transitive", "", "", "c0 0f 08 0002 01 20 20010db8", "", TAW, 1, 0, 0,
	  "flags c0" },

	/* from old speakers: RFC 6793 6 */
	{ "AS4_PATH from a new speaker is passed over", "", "", BASE "c0 11 01 00", NLRI, OK, 0, 1,
	  0, "" },
	{ "AS4_PATH broken", "o", "", ORIGIN "40 02 04 02 01 5ba0 " NEXT_HOP "c0 11 03 020100",
	  NLRI, DISCARD, 0, 1, 0, "AS4_PATH" },
	{ "AS4_PATH empty", "o", "", ORIGIN "40 02 04 02 01 5ba0 " NEXT_HOP "c0 11 00", NLRI,
	  DISCARD, 0, 1, 0, "AS4_PATH" },
	{ "AS4_AGGREGATOR of length 6", "o", "",
	  ORIGIN "40 02 04 02 01 5ba0 " NEXT_HOP "c0 12 06 000000000000", NLRI, DISCARD, 0, 1, 0,
	  "AS4_AGGREGATOR" },

	/* unknown */
	{ "unknown optional transitive", "", "", BASE "c0 63 02 abcd", NLRI, OK, 0, 1, 0, "" },
	{ "unknown optional non-transitive", "", "", BASE "80 63 02 abcd", NLRI, OK, 0, 1, 0, "" },
	{ "unknown well-known", "", "", BASE "40 63 02 abcd", NLRI, RESET, 0, 0, 2,
	  "attribute 99 claims to be well-known" },

	/* several: the hardest one counts */
	{ "discard and treat-as-withdraw", "", "", BASE "40 06 01 00 c0 08 00", NLRI, TAW, 1, 0, 0,
	  "COMMUNITIES" },
	{ "treat-as-withdraw and reset", "", "", BASE "c0 08 00 40 63 00", NLRI, RESET, 0, 0, 2,
	  "attribute 99" },
	{ "withdrawals stay under treat-as-withdraw", "", "18 0a0100", BASE "c0 08 00", NLRI, TAW,
	  2, 0, 0, "COMMUNITIES" },
	{ "treat-as-withdraw of both families", "", "18 0a0100",
	  BASE REACH6 "80 0f 08 0002 01 20 20010db9 c0 08 00", NLRI, TAW, 4, 0, 0, "COMMUNITIES" },
	{ "a discard without prefixes is no reset", "", "", BASE "40 06 01 00", "", DISCARD, 0, 0,
	  0, "ATOMIC" },
	{ "treat-as-withdraw without prefixes is one", "", "", BASE "c0 08 00", "", RESET, 0, 0, 5,
	  "COMMUNITIES" },
};

static unsigned count(const struct bgp_nlri_range *r, unsigned n)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < n; i++) {
		struct bgp_nlri_range it = r[i];
		struct bgp_nlri nlri;
		unsigned walked = 0;

		while (bgp_nlri_next(&it, &nlri))
			walked++;
		assert_int_equal(walked, r[i].count);
		sum += walked;
	}
	return sum;
}

static void check_row(struct bgp_attr_table *t, const struct row *row)
{
	struct bytes body = update_body(row->withdrawn, row->attrs, row->nlri);
	struct bgp_wire wire = rules(row->flags);
	uint8_t *bytes = exact(body.b, body.n);
	struct bgp_update u;

	bgp_update_decode(t, &wire, bytes, body.n, &u);
	if (u.verdict != row->verdict)
		fail_msg("%s: %s, must be %s (%s)", row->name, bgp_verdict_name(u.verdict),
			 bgp_verdict_name(row->verdict), u.text);
	if (count(u.withdrawn, u.n_withdrawn) != row->withdrawn_n ||
	    count(u.announced, u.n_announced) != row->announced_n)
		fail_msg("%s: %u withdrawn, %u announced", row->name,
			 count(u.withdrawn, u.n_withdrawn), count(u.announced, u.n_announced));
	if (!strstr(u.text, row->words) || (!*row->words && *u.text))
		fail_msg("%s: \"%s\" lacks \"%s\"", row->name, u.text, row->words);
	if (u.verdict == BGP_SESSION_RESET) {
		assert_int_equal(u.notification.code, BGP_ERR_UPDATE);
		if (u.notification.subcode != row->subcode)
			fail_msg("%s: subcode %u, must be %d", row->name, u.notification.subcode,
				 row->subcode);
	}
	assert_false(u.end_of_rib);
	bgp_update_done(t, &u);
	free(bytes);
}

static void verdicts(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bgp_attr_table *t = bgp_attr_table_new();

		/* The second time, the raw cache may answer: it must say the same. */
		check_row(t, &rows[i]);
		check_row(t, &rows[i]);
		bgp_attr_table_free(t);
	}
}

/* One table for all: what an earlier UPDATE left in the cache must not leak into the next. */
static void verdicts_do_not_depend_on_the_past(void **state)
{
	struct bgp_attr_table *t = bgp_attr_table_new();

	for (size_t step = 1; step < 6; step++)
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
			check_row(t, &rows[i * step % ARRAY_SIZE(rows)]);
	bgp_attr_table_free(t);
}

static void every_cut_and_every_flip_is_survived(void **state)
{
	struct bgp_attr_table *t = bgp_attr_table_new();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes body = update_body(rows[i].withdrawn, rows[i].attrs, rows[i].nlri);
		struct bgp_wire wire = rules(rows[i].flags);
		struct bgp_update u;

		for (size_t n = 0; n <= body.n; n++) {
			uint8_t *cut = exact(body.b, n);

			bgp_update_decode(t, &wire, cut, n, &u);
			bgp_update_done(t, &u);
			free(cut);
		}
		for (size_t at = 0; at < body.n * 8; at++) {
			uint8_t *flip = exact(body.b, body.n);

			flip[at / 8] ^= (uint8_t)(1u << at % 8);
			bgp_update_decode(t, &wire, flip, body.n, &u);
			bgp_update_done(t, &u);
			free(flip);
		}
	}
	bgp_attr_table_free(t);
}

static void lengths_over_the_end(void **state)
{
	static const char *const bodies[] = {
		"",	     "00",	     "0000",	  "0000 00",	 "0001 0000",
		"0000 0001", "0005 18 0a01", "ffff 0000", "0000 ffff 40"
	};
	struct bgp_attr_table *t = bgp_attr_table_new();
	struct bgp_update u;

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct bytes b = hex(bodies[i]);
		uint8_t *body = exact(b.b, b.n);

		assert_int_equal(bgp_update_decode(t, &ebgp, body, b.n, &u), BGP_SESSION_RESET);
		assert_int_equal(u.notification.subcode, BGP_UPDATE_MALFORMED);
		free(body);
	}
	bgp_attr_table_free(t);
}

static struct bgp_update decode(struct bgp_attr_table *t, const char *flags, const char *withdrawn,
				const char *attrs, const char *nlri, struct bytes *body)
{
	struct bgp_wire wire = rules(flags);
	struct bgp_update u;

	*body = update_body(withdrawn, attrs, nlri);
	bgp_update_decode(t, &wire, body->b, body->n, &u);
	return u;
}

static void values_arrive(void **state)
{
	struct bgp_attr_table *t = bgp_attr_table_new();
	struct bytes body;
	struct bgp_update u =
		decode(t, "i", "",
		       "40 01 01 02 40 02 10 02 02 0000fde9 00010000 01 01 00000007 " NEXT_HOP
		       "80 04 04 00000007 40 05 04 00000064 40 06 00 "
		       "c0 07 08 00010000 0a000003 c0 08 08 fde90001 ffffff01 "
		       "80 09 04 0a000009 80 0a 08 00000001 00000002 "
		       "c0 10 08 0002fde900000001 c0 20 0c 0000fde90000000100000002",
		       NLRI " 19 0a0102ff", &body);
	const struct bgp_attrs *a = u.attrs[0];
	struct bgp_nlri_range it = u.announced[0];
	struct str s = { 0 };
	struct bgp_nlri n;
	char text[PREFIX_STR_MAX];

	assert_int_equal(u.verdict, BGP_OK);
	assert_int_equal(a->v.origin, BGP_ORIGIN_INCOMPLETE);
	assert_int_equal(a->v.med, 7);
	assert_int_equal(a->v.local_pref, 100);
	assert_int_equal(a->v.aggregator_as, 65536);
	assert_int_equal(a->v.aggregator_id, 0x0a000003);
	assert_int_equal(a->v.originator_id, 0x0a000009);
	assert_string_equal(addr_format(&a->v.next_hop, text), "10.0.0.1");
	assert_true(bgp_attrs_has(a, BGP_ATTR_ATOMIC_AGGREGATE));
	assert_true(bgp_attrs_has(a, BGP_ATTR_MED));
	assert_false(bgp_attrs_has(a, BGP_ATTR_NEXT_HOP));
	assert_int_equal(a->first_as, 65001);
	assert_int_equal(a->origin_as, 7);
	assert_int_equal(a->path_len, 3);
	assert_true(bgp_attrs_path_contains(a, 65536));
	assert_false(bgp_attrs_path_contains(a, 8));
	assert_int_equal(bgp_attrs_path_count(a, 7), 1);
	assert_true(bgp_attrs_cluster_contains(a, 2));
	assert_false(bgp_attrs_cluster_contains(a, 3));
	assert_true(bgp_attrs_has_community(a, 0xffffff01));
	bgp_attrs_path_text(a, &s);
	assert_string_equal(str_text(&s), "65001 65536 {7}");
	str_cut(&s, 0);
	bgp_attrs_communities_text(a, &s);
	assert_string_equal(str_text(&s), "65001:1 no-export ext:0002fde900000001 65001:1:2");
	str_done(&s);
	assert_true(bgp_nlri_next(&it, &n));
	assert_string_equal(prefix_format(&n.prefix, text), "10.1.2.0/24");
	assert_true(bgp_nlri_next(&it, &n));
	/* host bits of the last byte are gone */
	assert_string_equal(prefix_format(&n.prefix, text), "10.1.2.128/25");
	assert_false(bgp_nlri_next(&it, &n));
	bgp_update_done(t, &u);
	bgp_attr_table_free(t);
}

static void next_hops_of_ipv6(void **state)
{
	static const struct {
		const char *name, *bytes, *next_hop, *ll;
	} cases[] = {
		{ "global", "10 20010db8000000000000000000000001", "2001:db8::1", "none" },
		{ "link-local alone", "10 fe800000000000000000000000000001", "fe80::1", "none" },
		{ "global and link-local",
		  "20 20010db8000000000000000000000001 fe800000000000000000000000000001",
		  "2001:db8::1", "fe80::1" },
		{ "link-local twice",
		  "20 fe800000000000000000000000000001 fe800000000000000000000000000001", "fe80::1",
		  "none" },
		{ ":: and link-local",
		  "20 00000000000000000000000000000000 fe800000000000000000000000000001", "fe80::1",
		  "none" },
		{ "global twice",
		  "20 20010db8000000000000000000000001 20010db8000000000000000000000002",
		  "2001:db8::1", "none" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bgp_attr_table *t = bgp_attr_table_new();
		struct bytes nh = hex(cases[i].bytes), body;
		char attrs[512], text[ADDR_STR_MAX];
		struct bgp_update u;

		snprintf(attrs, sizeof(attrs), ORIGIN PATH "80 0e %02zx 0002 01 %s 00 20 20010db8",
			 nh.n + 4 + 5, cases[i].bytes);
		u = decode(t, "", "", attrs, "", &body);
		if (u.verdict != BGP_OK)
			fail_msg("%s: %s", cases[i].name, u.text);
		assert_string_equal(addr_format(&u.attrs[0]->v.next_hop, text), cases[i].next_hop);
		assert_string_equal(addr_format(&u.attrs[0]->v.next_hop_ll, text), cases[i].ll);
		bgp_update_done(t, &u);
		bgp_attr_table_free(t);
	}
}

/* RFC 6793 4.2.3 */
static void as4_is_merged(void **state)
{
	static const struct {
		const char *name, *attrs, *path;
		asn_t aggregator;
	} cases[] = {
		{ "AS_TRANS replaced", "40 02 06 02 02 fde9 5ba0 | c0 11 06 02 01 00010000",
		  "65001 65536", 0 },
		{ "all of it replaced",
		  "40 02 06 02 02 fde9 5ba0 | c0 11 0a 02 02 0000fde9 00010000", "65001 65536", 0 },
		{ "AS4_PATH longer: ignored",
		  "40 02 04 02 01 5ba0 | c0 11 0a 02 02 00010000 00010001", "23456", 0 },
		{ "confederation left out",
		  "40 02 06 02 02 fde9 5ba0 | c0 11 0c 03 01 00000005 02 01 00010000",
		  "65001 65536", 0 },
		{ "a set", "40 02 0a 02 01 fde9 01 02 5ba0 5ba0 | c0 11 0a 01 02 00010000 00010001",
		  "65001 {65536,65537}", 0 },
		{ "real aggregator: AS4_* are stale",
		  "40 02 06 02 02 fde9 5ba0 | c0 07 06 fde9 0a000001 | c0 11 06 02 01 00010000 |"
		  "c0 12 08 00010000 0a000001",
		  "65001 23456", 65001 },
		{ "AS_TRANS aggregator replaced",
		  "40 02 06 02 02 fde9 5ba0 | c0 07 06 5ba0 0a000001 | c0 11 06 02 01 00010000 |"
		  "c0 12 08 00010000 0a000001",
		  "65001 65536", 65536 },
		{ "no AS4_PATH", "40 02 06 02 02 fde9 5ba0", "65001 23456", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bgp_attr_table *t = bgp_attr_table_new();
		struct str s = { 0 };
		struct bytes body;
		struct bgp_update u;
		char attrs[512];

		snprintf(attrs, sizeof(attrs), ORIGIN NEXT_HOP "%s", cases[i].attrs);
		u = decode(t, "o", "", attrs, NLRI, &body);
		if (u.verdict != BGP_OK)
			fail_msg("%s: %s", cases[i].name, u.text);
		bgp_attrs_path_text(u.attrs[0], &s);
		if (strcmp(str_text(&s), cases[i].path) != 0)
			fail_msg("%s: %s, must be %s", cases[i].name, str_text(&s), cases[i].path);
		assert_int_equal(u.attrs[0]->v.aggregator_as, cases[i].aggregator);
		str_done(&s);
		bgp_update_done(t, &u);
		bgp_attr_table_free(t);
	}
}

static void unknown_is_kept_partial_and_ascending(void **state)
{
	struct bgp_attr_table *t = bgp_attr_table_new();
	struct bytes body, want = hex("e0 62 01 01 | e0 63 02 abcd | e0 64 00");
	struct bgp_update u = decode(
		t, "", "", BASE "c0 64 00 d0 63 0002 abcd 80 65 01 00 c0 62 01 01", NLRI, &body);
	struct rd got;

	assert_int_equal(u.verdict, BGP_OK);
	got = bgp_attrs_part(u.attrs[0], BGP_PART_UNKNOWN);
	assert_int_equal(rd_left(&got), want.n);
	assert_memory_equal(got.p, want.b, want.n);
	bgp_update_done(t, &u);
	bgp_attr_table_free(t);
}

static void large_communities_lose_duplicates(void **state)
{
	struct bgp_attr_table *t = bgp_attr_table_new();
	struct bytes body;
	struct bgp_update u =
		decode(t, "", "",
		       BASE "c0 20 24 000000010000000100000001 000000020000000100000001"
			    "000000010000000100000001",
		       NLRI, &body);
	struct rd got = bgp_attrs_part(u.attrs[0], BGP_PART_LARGE_COMMUNITIES);

	assert_int_equal(rd_left(&got), 24);
	bgp_update_done(t, &u);
	bgp_attr_table_free(t);
}

static void end_of_rib(void **state)
{
	static const struct {
		const char *name, *flags, *withdrawn, *attrs, *nlri;
		int af; /* -1: none */
	} cases[] = {
		{ "IPv4: the empty message", "", "", "", "", BGP_AF_IPV4_UNICAST },
		{ "IPv6: empty MP_UNREACH_NLRI", "", "", "80 0f 03 0002 01", "",
		  BGP_AF_IPV6_UNICAST },
		{ "IPv4 by MP_UNREACH_NLRI", "", "", "80 0f 03 0001 01", "", BGP_AF_IPV4_UNICAST },
		{ "extended length", "", "", "90 0f 0003 0002 01", "", BGP_AF_IPV6_UNICAST },
		{ "the empty message on an IPv6 session", "6", "", "", "", -1 },
		{ "a family not negotiated", "4", "", "80 0f 03 0002 01", "", -1 },
		{ "with another attribute", "", "", "80 0f 03 0002 01 " ORIGIN, "", -1 },
		{ "with a prefix", "", "18 0a0102", "80 0f 03 0002 01", "", -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bgp_attr_table *t = bgp_attr_table_new();
		struct bytes body;
		struct bgp_update u = decode(t, cases[i].flags, cases[i].withdrawn, cases[i].attrs,
					     cases[i].nlri, &body);

		if (u.end_of_rib != (cases[i].af >= 0))
			fail_msg("%s: %d", cases[i].name, u.end_of_rib);
		if (u.end_of_rib)
			assert_int_equal(u.end_of_rib_af, cases[i].af);
		bgp_update_done(t, &u);
		bgp_attr_table_free(t);
	}
}

static void add_path_ids_are_read(void **state)
{
	struct bgp_attr_table *t = bgp_attr_table_new();
	struct bytes body;
	struct bgp_update u =
		decode(t, "p", "00000009 18 0a0100", BASE, "00000007 18 0a0102", &body);
	struct bgp_nlri_range it;
	struct bgp_nlri n;

	assert_int_equal(u.verdict, BGP_OK);
	it = u.withdrawn[0];
	assert_true(bgp_nlri_next(&it, &n));
	assert_int_equal(n.path_id, 9);
	it = u.announced[0];
	assert_true(bgp_nlri_next(&it, &n));
	assert_int_equal(n.path_id, 7);
	bgp_update_done(t, &u);
	/* a prefix without its id */
	u = decode(t, "p", "", BASE, "18 0a0102", &body);
	assert_int_equal(u.verdict, BGP_SESSION_RESET);
	bgp_attr_table_free(t);
}

/* Same bytes, other rules: the cache must not answer. */
static void cache_knows_its_rules(void **state)
{
	struct bgp_attr_table *t = bgp_attr_table_new();
	struct bytes body;
	struct bgp_update u = decode(t, "i", "", BASE "40 05 04 00000064", NLRI, &body);

	assert_int_equal(u.verdict, BGP_OK);
	bgp_update_done(t, &u);
	u = decode(t, "", "", BASE "40 05 04 00000064", NLRI, &body);
	assert_int_equal(u.verdict, BGP_ATTR_DISCARD);
	assert_false(bgp_attrs_has(u.attrs[0], BGP_ATTR_LOCAL_PREF));
	bgp_update_done(t, &u);
	/* no prefixes of the kind that was remembered */
	u = decode(t, "", "", BASE, NLRI, &body);
	bgp_update_done(t, &u);
	u = decode(t, "", "", ORIGIN PATH, NLRI, &body);
	assert_int_equal(u.verdict, BGP_TREAT_AS_WITHDRAW);
	bgp_attr_table_free(t);
}

static void names(void **state)
{
	assert_string_equal(bgp_attr_name(2), "AS_PATH");
	assert_string_equal(bgp_attr_name(32), "LARGE_COMMUNITY");
	assert_null(bgp_attr_name(0));
	assert_null(bgp_attr_name(99));
	assert_null(bgp_attr_name(255));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),
		cmocka_unit_test(verdicts_do_not_depend_on_the_past),
		cmocka_unit_test(every_cut_and_every_flip_is_survived),
		cmocka_unit_test(lengths_over_the_end),
		cmocka_unit_test(values_arrive),
		cmocka_unit_test(next_hops_of_ipv6),
		cmocka_unit_test(as4_is_merged),
		cmocka_unit_test(unknown_is_kept_partial_and_ascending),
		cmocka_unit_test(large_communities_lose_duplicates),
		cmocka_unit_test(end_of_rib),
		cmocka_unit_test(add_path_ids_are_read),
		cmocka_unit_test(cache_knows_its_rules),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
