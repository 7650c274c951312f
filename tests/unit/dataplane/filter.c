/* filter.c - sets and rules together on a loop, and tampering noticed */
#include "dataplane/filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <signal.h>
#include <sys/wait.h>

#include "dataplane/iptables_sweep.h"
#include "dataplane/nft_watch.h"
#include "tests/unit/dataplane/filter.h"

enum { PATIENCE_MS = 30000 }; /* on a machine that has much else to do */

static struct event_base *base;
static struct filter *f;
static enum ipt_backend backend;
static int n_told, n_turns;
static char told[256], repaired[256];

static void report(void *arg, enum ip_family family, const char *kind, const char *where,
		   const char *name, int code, const char *text)
{
	n_told++;
	snprintf(told, sizeof(told), "%d %s %s %s %d %s", family, kind, where, name, code, text);
}

static void on_repaired(void *arg, enum ip_family family, const struct filter_repair *r)
{
	snprintf(repaired, sizeof(repaired), "%s %s %llu %s %u", ipt_table_name(r->table), r->chain,
		 (unsigned long long)r->n, r->by, r->by_pid);
}

static void turn(void *arg, enum ip_family family, enum apply_stage stage)
{
	n_turns++;
}

static void open_filter(unsigned refresh_ms)
{
	struct filter_config cfg = { .v4 = true,
				     .v6 = true,
				     .backend = backend,
				     .rules_refresh_ms = refresh_ms,
				     .sets_refresh_ms = refresh_ms,
				     .turn = turn,
				     .repaired = on_repaired,
				     .report = report };
	struct err e = { 0 };

	f = filter_new(base, &cfg, &e);
	if (!f)
		fail_msg("%s", e.msg);
}

/* Turn the loop until what is asked for is true. */
static bool loop_until(bool (*is)(void), unsigned ms)
{
	struct timeval tick = { .tv_usec = 5000 };
	uint64_t end = now_ms() + ms;

	while (!is() && now_ms() < end) {
		event_base_loopexit(base, &tick);
		event_base_dispatch(base);
	}
	return is();
}

static bool enforced(void)
{
	return filter_enforced(f) && filter_idle(f);
}

static void state_rules(void)
{
	struct ipt_rule jump = RULE("wUHhoiAYhphO9Mso", "--jump cali-FORWARD");
	struct ipt_rule rules[] = { RULE("aaaaaaaaaaaaaaa1",
					 "-m set --match-set cali40s:abc src --jump ACCEPT"),
				    RULE("aaaaaaaaaaaaaaa2", "--jump DROP") };
	struct ipset_member m = { 0 };
	struct err e = { 0 };

	prefix_parse_or_addr("10.0.0.0/24", &m.net);
	ipset_want(filter_sets(f, IP_V4), "cali40s:abc", IPSET_NET, 0, &e);
	ipset_add(filter_sets(f, IP_V4), "cali40s:abc", &m, &e);
	ipt_hook(filter_rules(f, IP_V4), IPT_FILTER, "FORWARD", IPT_FIRST, &jump, 1, &e);
	ipt_chain(filter_rules(f, IP_V4), IPT_FILTER, "cali-FORWARD", rules, 2, &e);
}

static const char *save(void)
{
	return out_of(backend == IPT_NFT ? "iptables-nft-save -t filter 2>/dev/null | grep cali"
					 : "iptables-legacy-save -t filter | grep cali");
}

static const char *const right =
	":cali-FORWARD - [0:0]|"
	"-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD|"
	"-A cali-FORWARD -m set --match-set cali40s:abc src -m comment --comment "
	"\"cali:aaaaaaaaaaaaaaa1\" -j ACCEPT|"
	"-A cali-FORWARD -m comment --comment \"cali:aaaaaaaaaaaaaaa2\" -j DROP|";

static void ipt_sh(const char *args)
{
	sh("iptables-%s -w %s 2>/dev/null", backend == IPT_NFT ? "nft" : "legacy", args);
}

static bool is_right(void)
{
	return enforced() && strcmp(save(), right) == 0;
}

static bool set_is_right(void)
{
	return strstr(out_of("ipset save cali40s:abc"), "10.0.0.0/24");
}

static bool no_sets(void)
{
	return !*out_of("ipset list -name");
}

static void test_sets_and_rules(void **state)
{
	state_rules();
	filter_run(f);
	assert_false(loop_until(is_right, 100));
	filter_ready(f);
	filter_run(f);
	assert_true(loop_until(is_right, PATIENCE_MS));
	assert_string_equal(out_of("ipset save cali40s:abc | tail -1"),
			    "add cali40s:abc 10.0.0.0/24|");
	assert_int_equal(n_told, 0);
	assert_true(n_turns >= 2);
	/* Both go in one turn, rules first. */
	ipt_hook(filter_rules(f, IP_V4), IPT_FILTER, "FORWARD", IPT_FIRST, NULL, 0, NULL);
	ipt_chain_forget(filter_rules(f, IP_V4), IPT_FILTER, "cali-FORWARD");
	ipset_forget(filter_sets(f, IP_V4), "cali40s:abc");
	filter_run(f);
	loop_until(enforced, PATIENCE_MS);
	assert_true(loop_until(no_sets, PATIENCE_MS));
	assert_string_equal(save(), "");
	assert_int_equal(n_told, 0);
}

/* Our chain is there and jumped to, be there what else there will. */
static bool has_two(void)
{
	return *out_of("iptables-nft -S FORWARD | grep 'j cali-FORWARD'") &&
	       *out_of("iptables-nft -S cali-FORWARD | grep 'j DROP'");
}

/* nft: the kernel tells us; legacy: we look each second, and by size only. No refresh is set. */
static void test_tampering_is_noticed(void **state)
{
	static const char *const harm[] = {
		"-F cali-FORWARD",
		"-D FORWARD 1",
		"-I FORWARD -s 10.9.9.9 -j ACCEPT",
		"-N cali-theirs",
		"-F",
		/* Seen by nft only. */
		"-R cali-FORWARD 2 -m comment --comment cali:aaaaaaaaaaaaaaa2 -j ACCEPT",
		"-R FORWARD 1 -m comment --comment cali:wUHhoiAYhphO9Mso -j ACCEPT",
		"-R FORWARD 1 -s 10.9.9.9 -m comment --comment cali:wUHhoiAYhphO9Mso "
		"-j cali-FORWARD",
		"-R FORWARD 1 -d 10.9.9.9 -m comment --comment cali:wUHhoiAYhphO9Mso "
		"-j cali-FORWARD",
	};
	size_t n = ARRAY_SIZE(harm) - (backend == IPT_LEGACY ? 4 : 0), slow = 0;

	state_rules();
	filter_ready(f);
	filter_run(f);
	assert_true(loop_until(is_right, PATIENCE_MS));
	for (size_t i = 0; i < n; i++) {
		uint64_t at;

		ipt_sh(harm[i]);
		at = now_ms();
		assert_true(loop_until(is_right, PATIENCE_MS));
		slow += now_ms() - at > 2500;
		sh("iptables-%s -w -D FORWARD -s 10.9.9.9 -j ACCEPT 2>/dev/null || true",
		   backend == IPT_NFT ? "nft" : "legacy");
		assert_true(loop_until(is_right, PATIENCE_MS));
	}
	assert_true(slow <= n / 2);
	/* What follows at once may be repaired together. */
	assert_int_equal(filter_repairs(f, IP_V4).n > 2, backend == IPT_NFT);
	assert_true(filter_repairs(f, IP_V4).last_ms < PATIENCE_MS);
	assert_int_equal(filter_repairs(f, IP_V6).n, 0);
	/* All tables gone, as nft flush ruleset leaves it. */
	if (backend == IPT_NFT && system("command -v nft >/dev/null") == 0) {
		sh("nft flush ruleset");
		assert_true(loop_until(is_right, PATIENCE_MS));
	}
	assert_int_equal(n_told, 0);
}

/* The kernel tells the new name only; the rules that jumped to the old one jump to the new one then. */
static void test_renamed_chain_comes_back(void **state)
{
	if (backend != IPT_NFT)
		return;
	state_rules();
	filter_ready(f);
	filter_run(f);
	assert_true(loop_until(is_right, PATIENCE_MS));
	ipt_sh("-E cali-FORWARD nobody");
	assert_true(loop_until(has_two, PATIENCE_MS));
	ipt_sh("-F nobody");
	ipt_sh("-X nobody");
	assert_true(loop_until(is_right, PATIENCE_MS));
	/* To a name that looks like ours. */
	ipt_sh("-E cali-FORWARD cali-nobody");
	assert_true(loop_until(is_right, PATIENCE_MS));
	assert_non_null(strstr(repaired, "filter cali-"));
	assert_non_null(strstr(repaired, " iptables"));
}

/* What others do to their own chains costs us nothing. */
static void test_others_cost_nothing(void **state)
{
	struct ipt_counts before, after;

	state_rules();
	filter_ready(f);
	filter_run(f);
	assert_true(loop_until(is_right, PATIENCE_MS));
	before = ipt_counts(filter_rules(f, IP_V4));
	assert_int_equal(before.saves, 1);
	ipt_sh("-N KUBE-SERVICES");
	for (int i = 0; i < 20; i++)
		ipt_sh("-A KUBE-SERVICES -s 1.1.1.1 -j ACCEPT");
	ipt_sh("-t nat -A POSTROUTING -j MASQUERADE");
	assert_true(loop_until(is_right, PATIENCE_MS));
	after = ipt_counts(filter_rules(f, IP_V4));
	/* In legacy a look at the size cannot tell whose rules they are. */
	assert_true(after.saves <= before.saves + (backend == IPT_LEGACY));
	assert_int_equal(after.restores, before.restores);
}

/* Our own writes, however large, are no reason to read. */
static void test_own_writes_are_not_tampering(void **state)
{
	enum { N = 5000 };
	struct ipt_rule *many = xcalloc(N, sizeof(*many));

	state_rules();
	for (int i = 0; i < N; i++)
		many[i] = RULE("bbbbbbbbbbbbbbbb", "--source 10.0.0.1 --jump RETURN");
	filter_ready(f);
	for (int round = 0; round < 3; round++) {
		ipt_chain(filter_rules(f, IP_V4), IPT_FILTER, "cali-FORWARD", many,
			  N - (size_t)round, NULL);
		filter_run(f);
		assert_true(loop_until(enforced, 20000));
	}
	assert_int_equal(ipt_counts(filter_rules(f, IP_V4)).saves, 1);
	assert_int_equal(ipt_counts(filter_rules(f, IP_V4)).tampered, 0);
	assert_int_equal(ipt_counts(filter_rules(f, IP_V4)).restores, 3);
	free(many);
}

static void test_refresh_notices_too(void **state)
{
	filter_free(f);
	open_filter(100);
	state_rules();
	filter_ready(f);
	filter_run(f);
	assert_true(loop_until(is_right, PATIENCE_MS));
	ipt_sh("-F cali-FORWARD");
	sh("ipset flush cali40s:abc");
	assert_true(loop_until(is_right, PATIENCE_MS));
	assert_true(loop_until(set_is_right, PATIENCE_MS));
}

static uint64_t saves_wanted;

static bool has_read(void)
{
	return enforced() && ipt_counts(filter_rules(f, IP_V4)).saves >= saves_wanted;
}

/* Rules of ours whose comment was kept, by what iptables-save shows of them at the next reading. */
static void test_refresh_notices_kept_comments(void **state)
{
	static const char *const harm[] = {
		"-R cali-FORWARD 2 -m comment --comment cali:aaaaaaaaaaaaaaa2 -j ACCEPT",
		"-R FORWARD 1 -m comment --comment cali:wUHhoiAYhphO9Mso -j ACCEPT",
		("-R FORWARD 1 -s 10.9.9.9 -m comment --comment cali:wUHhoiAYhphO9Mso "
		 "-j cali-FORWARD"),
		"-E cali-FORWARD cali-nobody",
	};

	filter_free(f);
	open_filter(100);
	state_rules();
	filter_ready(f);
	filter_run(f);
	for (size_t i = 0; i < ARRAY_SIZE(harm); i++) {
		assert_true(loop_until(is_right, PATIENCE_MS));
		/* What we write is known as it is shown from the next reading on. */
		saves_wanted = ipt_counts(filter_rules(f, IP_V4)).saves + 2;
		assert_true(loop_until(has_read, PATIENCE_MS));
		*repaired = 0;
		ipt_sh(harm[i]);
		assert_false(is_right());
		if (!loop_until(is_right, PATIENCE_MS))
			fail_msg("%s: %s", harm[i], save());
		assert_non_null(strstr(repaired, "filter "));
	}
	assert_int_equal(n_told, 0);
}

/* Ours stay before what somebody appends, and are not written again for it. */
static void test_what_is_appended_stays_behind_ours(void **state)
{
	struct ipt_rule accept =
		RULE("S93hcgKJrXEqnTfs", "-m mark --mark 0x10000/0x10000 --jump ACCEPT");
	uint64_t restores;

	state_rules();
	ipt_hook(filter_rules(f, IP_V4), IPT_FILTER, "FORWARD", IPT_LAST, &accept, 1, NULL);
	filter_ready(f);
	filter_run(f);
	assert_true(loop_until(enforced, PATIENCE_MS));
	restores = ipt_counts(filter_rules(f, IP_V4)).restores;
	saves_wanted = ipt_counts(filter_rules(f, IP_V4)).saves + 1;
	ipt_sh("-A FORWARD -s 10.8.8.8 -j DROP");
	ipt_sh("-A FORWARD -s 10.9.9.9 -j DROP");
	assert_true(loop_until(has_read, PATIENCE_MS));
	/* Nor for what somebody takes away again that was his. */
	saves_wanted = ipt_counts(filter_rules(f, IP_V4)).saves + 1;
	ipt_sh("-D FORWARD -s 10.8.8.8 -j DROP");
	assert_true(loop_until(has_read, PATIENCE_MS));
	assert_int_equal(ipt_counts(filter_rules(f, IP_V4)).restores, restores);
	assert_string_equal(out_of(backend == IPT_NFT ? "iptables-nft -S FORWARD | tail -1"
						      : "iptables-legacy -S FORWARD | tail -1"),
			    "-A FORWARD -s 10.9.9.9/32 -j DROP|");
}

/* Somebody undoes our work again and again: we keep at it, at a bounded pace. */
static void test_a_fight_is_bounded(void **state)
{
	uint64_t before, end;

	if (backend != IPT_NFT)
		return;
	state_rules();
	filter_ready(f);
	filter_run(f);
	assert_true(loop_until(is_right, PATIENCE_MS));
	before = ipt_counts(filter_rules(f, IP_V4)).restores;
	for (end = now_ms() + 1500; now_ms() < end;) {
		ipt_sh("-F cali-FORWARD");
		loop_until(is_right, 1);
	}
	assert_true(ipt_counts(filter_rules(f, IP_V4)).restores - before <= 8);
	assert_true(loop_until(is_right, PATIENCE_MS));
}

static void on_foreign(void *arg, enum ip_family family, enum ipt_table table, const char *chain)
{
	++*(int *)arg;
}

static void on_ended(void *arg, const struct exec_result *r)
{
	*(int *)arg = r->code;
}

/* Each transaction of a child is known to be in force; its single events are nobody else's. */
static void test_generations(void **state)
{
	static const char batch[] = "*filter\n:cali-x - -\n-A cali-x -j ACCEPT\nCOMMIT\n"
				    "*raw\n:cali-x - -\n-A cali-x -j ACCEPT\nCOMMIT\n";
	struct exec_cmd cmd = { .argv = { "iptables-nft-restore", "--noflush" },
				.in = batch,
				.in_len = sizeof(batch) - 1 };
	int foreign = 0, code = -1, *ended = &code;
	struct nft_watch w;
	struct exec *child;
	pid_t pid;

	assert_int_equal(nft_watch_open(&w, NULL), 0);
	for (int round = 0; round < 2; round++) {
		child = exec_start(base, &cmd, on_ended, &code, NULL);
		pid = exec_pid(child);
		nft_watch_own(&w, pid);
		assert_int_equal(nft_watch_generations(&w, pid), 0);
		code = -1;
		while (*ended < 0)
			event_base_loop(base, EVLOOP_ONCE);
		assert_int_equal(code, 0);
		nft_watch_read(&w, on_foreign, &foreign);
		assert_int_equal(nft_watch_generations(&w, pid), 2);
		nft_watch_disown(&w, pid, on_foreign, &foreign);
		assert_int_equal(nft_watch_generations(&w, pid), 0);
		assert_int_equal(foreign, 0);
	}
	sh("iptables-nft -F cali-x");
	nft_watch_read(&w, on_foreign, &foreign);
	assert_int_equal(foreign, 1);
	nft_watch_close(&w);
}

static int swept = -1, sweep_code;

static void on_swept(void *arg, unsigned removed, int code, const char *text)
{
	swept = (int)removed;
	sweep_code = code;
}

static bool is_swept(void)
{
	return swept >= 0;
}

/* ---- tools ahead of need ---- */

enum { SPARES = 4 }; /* of each family one for rules, one for sets */

/* Our children but the shell that looks for them. */
static int children(pid_t *out, int max)
{
	char cmd[128], *save;
	int n = 0;

	snprintf(cmd, sizeof(cmd), "cat /proc/%d/task/%d/children", (int)getpid(), (int)getpid());
	CLEANUP(freep) char *text = xstrdup(out_of(cmd));

	for (char *w = strtok_r(text, " |", &save); w; w = strtok_r(NULL, " |", &save)) {
		pid_t pid = (pid_t)strtol(w, NULL, 10);

		if (kill(pid, 0) == 0 && n < max)
			out[n++] = pid;
	}
	return n;
}

static bool spares_wait(void)
{
	pid_t pid[16];

	return filter_quiet(f) && children(pid, 16) == SPARES;
}

static void in_force(void)
{
	state_rules();
	filter_ready(f);
	filter_run(f);
	assert_true(loop_until(is_right, PATIENCE_MS));
}

static void change_rules(const char *hash)
{
	struct ipt_rule rules[] = { { .text = "--jump DROP" } };
	struct err e = { 0 };

	str_copy(rules[0].hash, sizeof(rules[0].hash), hash);
	ipt_chain(filter_rules(f, IP_V4), IPT_FILTER, "cali-FORWARD", rules, 1, &e);
	filter_run(f);
}

static bool is_changed(void)
{
	return enforced() && strstr(save(), "aaaaaaaaaaaaaaa5");
}

/* What waits is used, and another one comes in its place; when we end, they end. */
static void test_spares(void **state)
{
	pid_t before[16], now[16];
	int gone = 0;

	in_force();
	assert_true(loop_until(spares_wait, PATIENCE_MS));
	children(before, 16);
	change_rules("aaaaaaaaaaaaaaa5");
	assert_true(loop_until(is_changed, PATIENCE_MS));
	assert_true(loop_until(spares_wait, PATIENCE_MS));
	children(now, 16);
	for (int i = 0; i < SPARES; i++)
		gone += kill(before[i], 0) < 0;
	assert_int_equal(gone, 1);
	filter_free(TAKE(f));
	assert_int_equal(children(now, 16), 0);
}

/* Somebody kills those that wait: the next change starts its tool itself. */
static void test_killed_spares(void **state)
{
	pid_t pid[16];
	int n;

	in_force();
	assert_true(loop_until(spares_wait, PATIENCE_MS));
	n = children(pid, 16);
	for (int i = 0; i < n; i++) {
		siginfo_t si;

		kill(pid[i], SIGKILL);
		waitid(P_PID, (id_t)pid[i], &si, WEXITED | WNOWAIT);
	}
	change_rules("aaaaaaaaaaaaaaa5");
	assert_true(loop_until(is_changed, PATIENCE_MS));
	assert_true(loop_until(spares_wait, PATIENCE_MS));
	assert_int_equal(n_told, 0);
}

static void pass_ms(unsigned ms)
{
	struct timeval tv = { .tv_usec = (suseconds_t)ms * 1000 };

	event_base_loopexit(base, &tv);
	event_base_dispatch(base);
}

/* Told that rules are to come: when they do not, nobody else waits for the lock. */
static void test_expected_in_vain(void **state)
{
	in_force();
	assert_true(loop_until(spares_wait, PATIENCE_MS));
	filter_expect(f);
	filter_expect(f);
	pass_ms(100);
	ipt_sh("-w 1 -N somebodys");
	assert_true(strstr(out_of(backend == IPT_NFT ? "iptables-nft-save 2>/dev/null"
						     : "iptables-legacy-save"),
			   ":somebodys - "));
	assert_true(loop_until(spares_wait, PATIENCE_MS));
	filter_expect(f);
	filter_run(f);
	ipt_sh("-w 1 -X somebodys");
	assert_true(loop_until(is_right, PATIENCE_MS));
}

static void test_expected(void **state)
{
	in_force();
	assert_true(loop_until(spares_wait, PATIENCE_MS));
	filter_expect(f);
	change_rules("aaaaaaaaaaaaaaa5");
	assert_true(loop_until(is_changed, PATIENCE_MS));
	assert_int_equal(n_told, 0);
	assert_int_equal(ipt_counts(filter_rules(f, IP_V4)).restore_errors, 0);
}

/* What is in the other backend goes, what others have there stays. */
static void test_sweep(void **state)
{
	struct ipt_sweep_config cfg = {
		.backend = backend, .v4 = true, .v6 = true, .done = on_swept
	};
	struct ipt_sweep *s;

	swept = -1;
	state_rules();
	filter_ready(f);
	filter_run(f);
	assert_true(loop_until(is_right, PATIENCE_MS));
	filter_free(f);
	f = NULL;
	ipt_sh("-A FORWARD -s 1.1.1.1 -j ACCEPT");
	s = ipt_sweep_start(base, &cfg);
	assert_non_null(s);
	assert_true(loop_until(is_swept, PATIENCE_MS));
	assert_int_equal(sweep_code, 0);
	assert_int_equal(swept, 1);
	assert_string_equal(save(), "");
	ipt_sweep_free(s);
	/* Legacy tables are not made by looking for them. */
	ns_fresh();
	cfg.backend = IPT_LEGACY;
	assert_null(ipt_sweep_start(base, &cfg));
	assert_string_equal(out_of("cat /proc/net/ip_tables_names"), "");
}

/* ---- the order, without a kernel ---- */

static struct exec_result ok = { .out = "", .err = "" };

static void settle_empty(struct apply *a)
{
	struct exec_cmd cmd;

	for (int i = 0; i < 2; i++) {
		assert_true(apply_next(a, 1, &cmd));
		assert_true(strstr(cmd.argv[0], "save") || strstr(cmd.argv[1], "save"));
		apply_done(a, 1, &ok);
	}
}

static void test_order(void **state)
{
	struct ipt *rules = filter_rules(f, IP_V4);
	struct ipsets *sets = filter_sets(f, IP_V4);
	struct apply a;
	struct exec_cmd cmd;
	struct exec_result bad = { .code = 2, .out = "", .err = "Error occurred at line: 1" };

	apply_init(&a, sets, rules);
	ipsets_ready(sets);
	ipt_ready(rules);
	settle_empty(&a);
	assert_false(apply_next(&a, 1, &cmd));
	assert_int_equal(a.stage, APPLY_IDLE);
	state_rules();
	assert_true(apply_next(&a, 1, &cmd));
	assert_int_equal(a.stage, APPLY_GROWING);
	assert_false(apply_enforced(&a));
	apply_done(&a, 1, &ok);
	assert_true(apply_next(&a, 1, &cmd));
	assert_int_equal(a.stage, APPLY_WRITING);
	/* A set that goes while the rules are on their way stays until no rule needs it. */
	ipset_forget(sets, "cali40s:abc");
	ipt_hook(rules, IPT_FILTER, "FORWARD", IPT_FIRST, NULL, 0, NULL);
	apply_done(&a, 1, &ok);
	assert_true(apply_next(&a, 1, &cmd));
	assert_int_equal(a.stage, APPLY_WRITING);
	/* The rules fail: the set stays. */
	apply_done(&a, 1, &bad);
	assert_false(apply_next(&a, 1, &cmd));
	assert_int_equal(a.stage, APPLY_WAITING);
	assert_int_equal(apply_due(&a), 11);
	/* Reading shows the old state. */
	assert_true(apply_next(&a, 11, &cmd));
	assert_non_null(strstr(cmd.argv[0], "save"));
	struct exec_result old = {
		.out = "*filter\n:FORWARD ACCEPT [0:0]\n:cali-FORWARD - [0:0]\n"
		       "-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD\n"
		       "COMMIT\n",
		.err = ""
	};
	old.out_len = strlen(old.out);
	apply_done(&a, 11, &old);
	assert_true(apply_next(&a, 11, &cmd));
	assert_int_equal(a.stage, APPLY_WRITING);
	apply_done(&a, 11, &ok);
	assert_true(apply_next(&a, 11, &cmd));
	assert_int_equal(a.stage, APPLY_SHRINKING);
	assert_true(apply_enforced(&a));
	/* Whom a set still holds, a rule still lets in. */
	assert_false(apply_settled(&a));
	assert_memory_equal(cmd.in, "destroy cali40s:abc\n", cmd.in_len);
	apply_done(&a, 11, &ok);
	assert_false(apply_next(&a, 11, &cmd));
	assert_true(apply_settled(&a));
	assert_int_equal(a.stage, APPLY_IDLE);
}

/* ---- events as bytes ---- */

static char seen[256];

static void note(void *arg, enum ip_family family, enum ipt_table table, const char *chain)
{
	snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%d %s %s;", family,
		 ipt_table_name(table), chain ? chain : "*");
}

static struct nft_watch watch;

static const char *parse(uint16_t type, uint8_t family, const char *a1, const char *a2,
			 const char *a3)
{
	struct {
		uint8_t family, version;
		uint16_t res;
	} g = { .family = family };
	struct nl_buf b = { 0 };

	nl_msg(&b, type, 0, &g, sizeof(g));
	if (a1)
		nl_add_str(&b, 1, a1);
	if (a2)
		nl_add_str(&b, 2, a2);
	if (a3)
		nl_add_str(&b, 3, a3);
	seen[0] = 0;
	watch.renamed = IPT_TABLES_;
	nft_watch_parse(&watch, (const void *)b.p, note, NULL);
	nl_buf_done(&b);
	return seen;
}

/* A transaction: a chain as it is told with its number of users, perhaps a rule, the end. */
static const char *transaction(uint32_t use, bool base_chain, const char *rule_in)
{
	static const uint32_t pid = 0x01020304;
	struct nfgenmsg g = { .nfgen_family = 2 };
	struct nl_buf b = { 0 };
	const uint8_t *p;
	const struct nlmsghdr *h;
	size_t left;

	nl_msg(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, 0, &g, sizeof(g));
	nl_add_str(&b, NFTA_CHAIN_TABLE, "filter");
	nl_add_str(&b, NFTA_CHAIN_NAME, "new");
	nl_add_u32(&b, NFTA_CHAIN_USE, htonl(use));
	if (base_chain)
		nl_add_u32(&b, NFTA_CHAIN_HOOK, 0);
	if (rule_in) {
		nl_msg(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, 0, &g, sizeof(g));
		nl_add_str(&b, NFTA_RULE_TABLE, "filter");
		nl_add_str(&b, NFTA_RULE_CHAIN, rule_in);
	}
	nl_msg(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN, 0, &g, sizeof(g));
	nl_add_u32(&b, NFTA_GEN_PROC_PID, htonl(pid));
	nl_add_str(&b, NFTA_GEN_PROC_NAME, "somebody");
	seen[0] = 0;
	p = b.p;
	left = b.len;
	while ((h = nl_next(&p, &left)))
		nft_watch_parse(&watch, h, note, NULL);
	nl_buf_done(&b);
	return seen;
}

static void test_renames(void **state)
{
	watch = (struct nft_watch) { .renamed = IPT_TABLES_ };
	assert_string_equal(transaction(0, false, NULL), "4 filter new;");
	assert_string_equal(transaction(2, false, NULL), "4 filter new;4 filter *;");
	assert_string_equal(transaction(2, true, NULL), "4 filter new;");
	assert_string_equal(transaction(2, false, "new"), "4 filter new;4 filter new;");
	assert_string_equal(transaction(2, false, "FORWARD"), "4 filter new;4 filter FORWARD;");
	assert_int_equal(watch.by.pid, 0);
	watch.ask = true;
	transaction(0, false, NULL);
	assert_int_equal(watch.by.pid, 0x01020304);
	assert_string_equal(watch.by.name, "somebody");
	assert_false(watch.ask);
}

static void test_events(void **state)
{
	enum {
		NFT = 10 << 8,
		DELTABLE = NFT | 2,
		NEWCHAIN = NFT | 3,
		DELRULE = NFT | 8,
		NEWRULE = NFT | 6,
		NEWSET = NFT | 9
	};

	assert_string_equal(parse(NEWRULE, 2, "filter", "cali-FORWARD", NULL),
			    "4 filter cali-FORWARD;");
	assert_string_equal(parse(DELRULE, 10, "raw", "PREROUTING", NULL), "6 raw PREROUTING;");
	assert_string_equal(parse(NEWCHAIN, 2, "nat", NULL, "cali-x"), "4 nat cali-x;");
	assert_string_equal(parse(DELTABLE, 2, "filter", NULL, NULL), "4 filter *;");
	assert_string_equal(parse(NFT | 0, 2, "filter", NULL, NULL), "");
	assert_string_equal(parse(NEWRULE, 1, "filter", "FORWARD", NULL), "");
	assert_string_equal(parse(NEWRULE, 2, "calico", "FORWARD", NULL), "");
	assert_string_equal(parse(NEWRULE, 2, NULL, "FORWARD", NULL), "");
	assert_string_equal(parse(NEWRULE, 2, "filter", NULL, NULL), "");
	assert_string_equal(parse(NEWSET, 2, "filter", "x", "y"), "");
	assert_string_equal(parse(6, 2, "filter", "x", "y"), "");
}

static int setup(void **state)
{
	ns_fresh();
	base = event_base_new();
	n_told = n_turns = 0;
	*repaired = 0;
	open_filter(0);
	return 0;
}

static int teardown(void **state)
{
	filter_free(f);
	event_base_free(base);
	return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest both[] = {
		T(test_sets_and_rules),
		T(test_tampering_is_noticed),
		T(test_others_cost_nothing),
		T(test_own_writes_are_not_tampering),
		T(test_renamed_chain_comes_back),
		T(test_refresh_notices_too),
		T(test_refresh_notices_kept_comments),
		T(test_what_is_appended_stays_behind_ours),
		T(test_sweep),
		T(test_a_fight_is_bounded),
		T(test_spares),
		T(test_killed_spares),
		T(test_expected_in_vain),
		T(test_expected),
	};
	const struct CMUnitTest pure[] = { T(test_order), T(test_events), T(test_renames),
					   T(test_generations) };
	char lock[64];
	int failed;

	snprintf(lock, sizeof(lock), "/tmp/margay-filter-lock.%d", (int)getpid());
	setenv("XTABLES_LOCKFILE", lock, 1);
	failed = cmocka_run_group_tests_name("pure", pure, NULL, NULL);
	failed += cmocka_run_group_tests_name("iptables-nft", both, NULL, NULL);
	backend = IPT_LEGACY;
	failed += cmocka_run_group_tests_name("iptables-legacy", both, NULL, NULL);
	unlink(lock);
	return failed;
}
