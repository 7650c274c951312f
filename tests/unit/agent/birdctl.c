/* birdctl.c - BIRD's control protocol: what calicoctl may read, and any bytes as questions */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/bgp/birdctl.h"
#include "lib/base.h"

static struct bgp_speaker *sp;
static struct birdctl_facts facts;

static struct addr addr(const char *text)
{
	struct addr a;

	assert_true(addr_parse(text, &a));
	return a;
}

static struct bgp_peer_config peer(const char *name, const char *address)
{
	struct bgp_peer_config c = { .addr = addr(address),
				     .port = 179,
				     .remote_as = 64512,
				     .hold_s = 240,
				     .passive = true };

	str_copy(c.name, sizeof(c.name), name);
	c.families = 1u << bgp_af_of((enum ip_family)c.addr.family);
	return c;
}

static int begin(void **state)
{
	struct bgp_global g = { .local_as = 64512, .router_id = 0x0a000001, .max_paths = 1 };
	struct bgp_peer_config peers[3];
	struct prefix block = { addr("10.9.0.0"), 26 };

	(void)state;
	g.local_v4 = addr("10.0.0.1");
	peers[0] = peer("Mesh_10_0_0_2", "10.0.0.2");
	peers[1] = peer("Global_10_0_0_3", "10.0.0.3");
	peers[2] = peer("Mesh_fd00__2", "fd00::2");
	sp = bgp_speaker_new(&g, 1);
	bgp_speaker_set_peers(sp, peers, 3, 1000);
	bgp_speaker_set_blocks(sp, &block, 1, 1000);
	while (bgp_speaker_run(sp, 100, 1000))
		;
	facts = (struct birdctl_facts) { .speaker = sp,
					 .family = IP_V4,
					 .router_id = g.router_id,
					 .now_ms = 61000,
					 .wall_ms = 1790000000000,
					 .started_ms = 1000,
					 .converged = true };
	return 0;
}

static int finish(void **state)
{
	(void)state;
	bgp_speaker_free(sp);
	return 0;
}

/* The answer; every line is one that the protocol has. */
static char *ask(const char *line, bool goes_on)
{
	struct str out = { 0 };
	char *text;

	assert_int_equal(birdctl_answer(&facts, line, &out), goes_on);
	text = xstrdup(str_text(&out));
	for (char *at = text; *at; at = strchr(at, '\n') + 1) {
		bool code = strspn(at, "0123456789") == 4 && (at[4] == '-' || at[4] == ' ');

		assert_non_null(strchr(at, '\n'));
		if (!code && *at != ' ')
			fail_msg("\"%s\" gives \"%s\"", line, at);
	}
	str_done(&out);
	return text;
}

static void expect(const char *line, const char *const *words)
{
	char *text = ask(line, true);

	for (; *words; words++) {
		if (!strstr(text, *words))
			fail_msg("\"%s\" must have \"%s\", is:\n%s", line, *words, text);
	}
	free(text);
}

#define WORDS(...)                \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}

static void answers(void **state)
{
	char *text;
	struct str hello = { 0 };

	(void)state;
	birdctl_greet(&hello);
	assert_int_equal(strncmp(str_text(&hello), "0001 BIRD v", 11), 0);
	assert_non_null(strstr(str_text(&hello), " ready.\n"));
	str_done(&hello);
	expect("show status", WORDS("1000-BIRD v", "1011-Router ID is 10.0.0.1\n",
				    "\n Current server time is 20", "\n Last reboot on 20",
				    "\n Last reconfiguration on 20", "\n0013 Daemon is up"));
	expect("show protocols", WORDS("2002-name     proto    table    state  since       info\n",
				       "1002-Mesh_10_0_0_2 BGP      master   start ",
				       "\n Global_10_0_0_3 BGP ", "\n0000 \n"));
	text = ask("show protocols", true);
	assert_null(strstr(text, "fd00"));
	free(text);
	expect("show protocols all Mesh_10_0_0_2",
	       WORDS("1006-  Preference:", "\n   BGP state:          Active\n",
		     "\n     Neighbor address: 10.0.0.2\n", "\n0000 \n"));
	expect("show protocols all Mesh_10_0_0_9", WORDS("8003 No protocols match\n"));
	expect("show route",
	       WORDS("1007-10.9.0.0/26 ", " blackhole [static1 ", "] * (200)", "0000 \n"));
	expect("  show\tstatus \r", WORDS("0013 "));
	expect("restrict", WORDS("0016 Access restricted\n"));
	expect("configure", WORDS("8007 Access denied\n"));
	expect("disable all", WORDS("8007 Access denied\n"));
	expect("show", WORDS("9001 syntax error"));
	expect("show protocols all a b", WORDS("9001 syntax error"));
	free(ask("quit", false));
	text = ask("", true);
	assert_string_equal(text, "");
	free(text);
	facts.family = IP_V6;
	expect("show protocols", WORDS("1002-Mesh_fd00__2 BGP"));
	text = ask("show route", true);
	assert_string_equal(text, "0000 \n");
	free(text);
	facts.converged = false;
	expect("show status", WORDS("\n0024-Graceful restart recovery in progress\n0013 "));
	/* before there is a speaker */
	facts.speaker = NULL;
	expect("show protocols", WORDS("0000 \n"));
	expect("show route", WORDS("0000 \n"));
	expect("show protocols all x", WORDS("8003 "));
}

static void any_bytes(void **state)
{
	static const char *const words[] = { "show",   "protocols", "all",  "route",
					     "status", "%s",	    "\xff", "Mesh_10_0_0_2" };
	uint64_t x = 88172645463325252ull;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		char line[2 * BIRDCTL_LINE_MAX] = "";
		struct str out = { 0 };

		for (unsigned k = 0; k < x % 9; k++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			strcat(line, words[x % ARRAY_SIZE(words)]);
			if (x >> 60)
				strcat(line, " ");
		}
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		if (x % 50 == 0)
			memset(line, 'a' + (int)(x % 20), sizeof(line) - 1);
		birdctl_answer(&facts, line, &out);
		str_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers, begin, finish),
		cmocka_unit_test_setup_teardown(any_bytes, begin, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
