/* fsm.c - every (state, event) pair of the state machine against a list written from RFC
 * 4271 8.2.2; with an argument, docs/fsm.dot is written to that file */
#include "bgp/fsm.h"

#include "bgp/notify.h"
#include "lib/str.h"
#include "tests/unit/bgp/wire.h"

/* clang-format off */
/* One line per state, one word per event in the order of enum bgp_event: the next state's letter (I C A
 * S K E; K is OpenConfirm) and what is done:
 *   .  nothing    d dial      l listen    r redial   w wait      o send OPEN   c confirm
 *   u  up         h hold      U update    R refresh  k KEEPALIVE n notify      x close
 *   F  FSM error */
static const char *const expected[BGP_STATE_MAX_] = {
	/* start, passive, stop, retry, hold, keepalive due, TCP up, TCP down, OPEN, header, OPEN
	 * error, collision, version, NOTIFICATION, KEEPALIVE, UPDATE, its error, send hold, refresh */
	[BGP_STATE_IDLE] =	   "Cd Al I. I. I. I. Ix I. I. I. I. I. I. I. I. I. I. I. I.",
	[BGP_STATE_CONNECT] =	   "C. C. Ix Cr Ix Ix So Aw Ix Ix Ix Ax Ix Ix Ix Ix Ix Ix Ix",
	[BGP_STATE_ACTIVE] =	   "A. A. Ix Cd Ix Ix So Aw Ix Ix Ix A. Ix Ix Ix Ix Ix Ix Ix",
	[BGP_STATE_OPENSENT] =	   "S. S. In IF In IF S. Aw Kc In In In Ix Ix IF IF IF In IF",
	[BGP_STATE_OPENCONFIRM] =  "K. K. In IF In Kk K. Ix IF In In In Ix Ix Eu IF IF In IF",
	[BGP_STATE_ESTABLISHED] =  "E. E. In IF In Ek E. Ix IF In IF In Ix Ix Eh EU In In ER",
};
/* clang-format on */

static char letter(enum bgp_state state)
{
	return "ICASKE"[state];
}

static char deed(enum bgp_action action)
{
	static const char letters[BGP_ACTION_MAX_] = {
		[BGP_DO_PROTOCOL_ERROR] = 'F', [BGP_DO_NOTHING] = '.', [BGP_DO_DIAL] = 'd',
		[BGP_DO_LISTEN] = 'l',	       [BGP_DO_REDIAL] = 'r',  [BGP_DO_WAIT] = 'w',
		[BGP_DO_SEND_OPEN] = 'o',      [BGP_DO_CONFIRM] = 'c', [BGP_DO_UP] = 'u',
		[BGP_DO_HEARD] = 'h',	       [BGP_DO_UPDATE] = 'U',  [BGP_DO_REFRESH] = 'R',
		[BGP_DO_KEEPALIVE] = 'k',      [BGP_DO_NOTIFY] = 'n',  [BGP_DO_CLOSE] = 'x',
	};

	return letters[action];
}

static void all_pairs(void **state)
{
	for (unsigned s = 0; s < BGP_STATE_MAX_; s++) {
		assert_int_equal(strlen(expected[s]), BGP_EVENT_MAX_ * 3 - 1);
		for (unsigned e = 0; e < BGP_EVENT_MAX_; e++) {
			const struct bgp_fsm_row *row =
				bgp_fsm((enum bgp_state)s, (enum bgp_event)e);
			const char *want = expected[s] + (size_t)e * 3;

			if (letter(row->next) != want[0] || deed(row->action) != want[1])
				fail_msg("%s, %s: %c%c, must be %.2s",
					 bgp_state_name((enum bgp_state)s),
					 bgp_event_name((enum bgp_event)e), letter(row->next),
					 deed(row->action), want);
		}
	}
}

static void subcodes(void **state)
{
	assert_int_equal(bgp_fsm_subcode(BGP_STATE_OPENSENT), 1);
	assert_int_equal(bgp_fsm_subcode(BGP_STATE_OPENCONFIRM), 2);
	assert_int_equal(bgp_fsm_subcode(BGP_STATE_ESTABLISHED), 3);
	assert_int_equal(bgp_fsm_subcode(BGP_STATE_IDLE), 0);
}

/* Only Idle forgives everything; every protocol error ends in Idle. */
static void no_way_around(void **state)
{
	for (unsigned s = 0; s < BGP_STATE_MAX_; s++)
		for (unsigned e = 0; e < BGP_EVENT_MAX_; e++) {
			const struct bgp_fsm_row *row =
				bgp_fsm((enum bgp_state)s, (enum bgp_event)e);

			if (row->action == BGP_DO_PROTOCOL_ERROR || row->action == BGP_DO_NOTIFY)
				assert_int_equal(row->next, BGP_STATE_IDLE);
			/* nobody becomes Established but by a KEEPALIVE in OpenConfirm */
			if (row->next == BGP_STATE_ESTABLISHED && s != BGP_STATE_ESTABLISHED) {
				assert_int_equal(s, BGP_STATE_OPENCONFIRM);
				assert_int_equal(e, BGP_EVENT_KEEPALIVE);
			}
		}
}

/* The events that lead from one state to another by the same action, as one edge. */
static void dot_edge(struct str *out, enum bgp_state from, enum bgp_state to,
		     enum bgp_action action)
{
	size_t start = out->len;
	unsigned n = 0;

	str_addf(out, "\t%s -> %s [label=\"", bgp_state_name(from), bgp_state_name(to));
	for (unsigned e = 0; e < BGP_EVENT_MAX_; e++) {
		const struct bgp_fsm_row *row = bgp_fsm(from, (enum bgp_event)e);

		if (row->next == to && row->action == action)
			str_addf(out, "%s%s", n++ ? "\\n" : "", bgp_event_name((enum bgp_event)e));
	}
	str_addf(out, "\\n/ %s\"];\n", bgp_action_name(action));
	if (!n)
		str_cut(out, start);
}

static struct str dot(void)
{
	struct str out = { 0 };

	str_add(&out,
		"/* The state machine of one connection, written by tests/unit/bgp/fsm.c from\n"
		" * the table in bgp/fsm.c: test-bgp-fsm docs/fsm.dot. Events that do nothing are\n"
		" * left out. */\n"
		"digraph fsm {\n\tnode [shape=box];\n");
	for (unsigned from = 0; from < BGP_STATE_MAX_; from++)
		for (unsigned to = 0; to < BGP_STATE_MAX_; to++)
			for (unsigned a = 0; a < BGP_ACTION_MAX_; a++)
				if (a != BGP_DO_NOTHING)
					dot_edge(&out, (enum bgp_state)from, (enum bgp_state)to,
						 (enum bgp_action)a);
	str_add(&out, "}\n");
	return out;
}

/* What a reader sees in docs/ is what runs. */
static void picture_is_true(void **state)
{
	struct str want = dot(), have = { 0 };
	FILE *f = fopen(FSM_DOT, "r");
	char buf[512];
	size_t n;

	if (!f)
		fail_msg("%s is missing: run test-bgp-fsm %s", FSM_DOT, FSM_DOT);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		str_addn(&have, buf, n);
	fclose(f);
	if (strcmp(str_text(&have), str_text(&want)) != 0)
		fail_msg("%s is old: run test-bgp-fsm %s", FSM_DOT, FSM_DOT);
	str_done(&have);
	str_done(&want);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_pairs),
		cmocka_unit_test(subcodes),
		cmocka_unit_test(no_way_around),
		cmocka_unit_test(picture_is_true),
	};

	if (argc > 1) {
		struct str text = dot();
		FILE *f = fopen(argv[1], "w");

		if (!f || fputs(str_text(&text), f) < 0 || fclose(f) != 0)
			return 1;
		str_done(&text);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
