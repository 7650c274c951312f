/* iptables_kernel.c - chains in a real kernel, with both backends */
#include "dataplane/iptables.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "tests/unit/dataplane/filter.h"

static enum ipt_backend backend;
static struct ipt *t;
static char told[8][256];
static int n_told;

static void report(void *arg, enum ipt_table table, const char *chain, int code, const char *text)
{
	if (n_told < 8)
		snprintf(told[n_told], sizeof(told[0]), "%s %s %d %s", ipt_table_name(table), chain,
			 code, text);
	n_told++;
}

static struct ipt *driver(void)
{
	struct ipt_config cfg = { .family = IP_V4, .backend = backend, .report = report };

	return ipt_new(&cfg);
}

static void state_basics(struct ipt *d)
{
	struct ipt_rule jump = RULE("wUHhoiAYhphO9Mso", "--jump cali-FORWARD");
	struct ipt_rule mark[] = {
		RULE("S93hcgKJrXEqnTfs", "-m comment --comment \"Policy explicitly "
					 "accepted packet.\" -m mark --mark "
					 "0x10000/0x10000 --jump ACCEPT"),
		RULE("mp77cMpurHhyjLrM", "--jump MARK --set-mark 0x10000/0x10000")
	};
	struct ipt_rule fw[] = { RULE("aaaaaaaaaaaaaaa1", "--in-interface cali+ --jump cali-fw"),
				 RULE("aaaaaaaaaaaaaaa2", "--jump MARK --set-mark 0/0x1a0000") };
	struct ipt_rule leaf[] = { RULE("bbbbbbbbbbbbbbb1", "--source 10.0.0.1 --jump ACCEPT"),
				   RULE("bbbbbbbbbbbbbbb2", "--source 10.0.0.2 --jump ACCEPT"),
				   RULE("bbbbbbbbbbbbbbb3", "--jump DROP") };
	struct err e;

	ipt_hook(d, IPT_FILTER, "FORWARD", IPT_FIRST, &jump, 1, &e);
	ipt_hook(d, IPT_FILTER, "FORWARD", IPT_LAST, mark, 2, &e);
	assert_int_equal(ipt_chain(d, IPT_FILTER, "cali-FORWARD", fw, 2, &e), 0);
	assert_int_equal(ipt_chain(d, IPT_FILTER, "cali-fw", leaf, 3, &e), 0);
	/* Nobody jumps to it. */
	assert_int_equal(ipt_chain(d, IPT_FILTER, "cali-idle", leaf, 3, &e), 0);
}

static const char *save(const char *table)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "iptables-%s-save -t %s | grep -v '^#\\|^COMMIT\\|^\\*'",
		 backend == IPT_NFT ? "nft" : "legacy", table);
	return out_of(cmd);
}

static void ipt_sh(const char *args)
{
	sh("iptables-%s %s", backend == IPT_NFT ? "nft" : "legacy", args);
}

static const char *const basics =
	":INPUT ACCEPT [0:0]|:FORWARD ACCEPT [0:0]|:OUTPUT ACCEPT [0:0]|:cali-FORWARD - [0:0]|"
	":cali-fw - [0:0]|"
	"-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD|"
	"-A FORWARD -m comment --comment \"cali:S93hcgKJrXEqnTfs\" -m comment --comment \"Policy "
	"explicitly accepted packet.\" -m mark --mark 0x10000/0x10000 -j ACCEPT|"
	"-A FORWARD -m comment --comment \"cali:mp77cMpurHhyjLrM\" -j MARK --set-xmark "
	"0x10000/0x10000|"
	"-A cali-FORWARD -i cali+ -m comment --comment \"cali:aaaaaaaaaaaaaaa1\" -j cali-fw|"
	"-A cali-FORWARD -m comment --comment \"cali:aaaaaaaaaaaaaaa2\" -j MARK --set-xmark "
	"0x0/0x1a0000|"
	"-A cali-fw -s 10.0.0.1/32 -m comment --comment \"cali:bbbbbbbbbbbbbbb1\" -j ACCEPT|"
	"-A cali-fw -s 10.0.0.2/32 -m comment --comment \"cali:bbbbbbbbbbbbbbb2\" -j ACCEPT|"
	"-A cali-fw -m comment --comment \"cali:bbbbbbbbbbbbbbb3\" -j DROP|";

static void test_load(void **state)
{
	/* One reading, one writing. */
	assert_int_equal(ipt_settle(t), 2);
	assert_string_equal(save("filter"), basics);
	assert_true(ipt_in_sync(t));
	assert_int_equal(ipt_settle(t), 0);
	assert_int_equal(n_told, 0);
}

static void test_nothing_before_ready(void **state)
{
	struct ipt *d = driver();

	state_basics(d);
	assert_int_equal(ipt_settle(d), 1);
	assert_int_equal(ipt_settle(d), 0);
	assert_int_equal(ipt_counts(d).restores, 0);
	ipt_free(d);
}

/* Another process takes over: everything is right, nothing is written, counters go on. */
static void test_restart_writes_nothing(void **state)
{
	struct ipt *d;

	ipt_settle(t);
	sh("ping -c1 -W1 127.0.0.1 >/dev/null");
	ipt_sh("-A INPUT -s 10.9.9.9");
	d = driver();
	state_basics(d);
	ipt_ready(d);
	assert_int_equal(ipt_settle(d), 1);
	assert_int_equal(ipt_counts(d).restores, 0);
	assert_int_equal(ipt_counts(d).chains, 2);
	assert_int_equal(ipt_counts(d).rules, 5);
	assert_true(ipt_in_sync(d));
	ipt_free(d);
}

static void test_one_change_is_one_write(void **state)
{
	struct ipt_rule leaf[] = { RULE("bbbbbbbbbbbbbbb1", "--source 10.0.0.1 --jump ACCEPT"),
				   RULE("ccccccccccccccc2", "--source 10.0.0.3 --jump ACCEPT"),
				   RULE("ccccccccccccccc3", "--jump DROP"),
				   RULE("ccccccccccccccc4", "--jump RETURN") };
	uint64_t lines;

	ipt_settle(t);
	lines = ipt_counts(t).lines;
	assert_int_equal(ipt_chain(t, IPT_FILTER, "cali-fw", leaf, 4, NULL), 0);
	assert_false(ipt_in_sync(t));
	assert_int_equal(ipt_settle(t), 1);
	/* nft: table, declaration, four rules, COMMIT; legacy: table, two -R, one -A, COMMIT */
	assert_int_equal(ipt_counts(t).lines - lines, backend == IPT_NFT ? 7 : 5);
	assert_non_null(strstr(save("filter"),
			       "-A cali-fw -s 10.0.0.1/32 -m comment --comment "
			       "\"cali:bbbbbbbbbbbbbbb1\" -j ACCEPT|"
			       "-A cali-fw -s 10.0.0.3/32 -m comment --comment "
			       "\"cali:ccccccccccccccc2\" -j ACCEPT|"
			       "-A cali-fw -m comment --comment \"cali:ccccccccccccccc3\" -j DROP|"
			       "-A cali-fw -m comment --comment \"cali:ccccccccccccccc4\" -j "
			       "RETURN|"));
	/* The same again is no work at all. */
	assert_int_equal(ipt_chain(t, IPT_FILTER, "cali-fw", leaf, 4, NULL), 0);
	assert_int_equal(ipt_settle(t), 0);
	assert_int_equal(ipt_chain(t, IPT_FILTER, "cali-fw", leaf, 1, NULL), 0);
	assert_int_equal(ipt_settle(t), 1);
	assert_null(strstr(save("filter"), "ccccccccccc"));
	assert_non_null(strstr(save("filter"), "bbbbbbbbbbbbbbb1"));
}

static void test_rules_of_others_stay(void **state)
{
	ipt_sh("-N KUBE-FORWARD");
	ipt_sh("-A FORWARD -j KUBE-FORWARD");
	ipt_sh("-A FORWARD -s 10.7.0.0/16 -m comment --comment \"cali:short\" -j ACCEPT");
	ipt_sh("-t nat -A POSTROUTING -j MASQUERADE");
	ipt_settle(t);
	assert_string_equal(out_of(backend == IPT_NFT
					   ? "iptables-nft -S FORWARD | cut -d' ' -f1-6"
					   : "iptables-legacy -S FORWARD | cut -d' ' -f1-6"),
			    "-P FORWARD ACCEPT|"
			    "-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\"|"
			    "-A FORWARD -j KUBE-FORWARD|"
			    "-A FORWARD -s 10.7.0.0/16 -m comment|"
			    "-A FORWARD -m comment --comment \"cali:S93hcgKJrXEqnTfs\"|"
			    "-A FORWARD -m comment --comment \"cali:mp77cMpurHhyjLrM\"|");
	/* And when we leave. */
	ipt_hook(t, IPT_FILTER, "FORWARD", IPT_FIRST, NULL, 0, NULL);
	ipt_hook(t, IPT_FILTER, "FORWARD", IPT_LAST, NULL, 0, NULL);
	ipt_settle(t);
	assert_string_equal(save("filter"),
			    ":INPUT ACCEPT [0:0]|:FORWARD ACCEPT [0:0]|:OUTPUT ACCEPT [0:0]|"
			    ":KUBE-FORWARD - [0:0]|-A FORWARD -j KUBE-FORWARD|"
			    "-A FORWARD -s 10.7.0.0/16 -m comment --comment \"cali:short\" -j "
			    "ACCEPT|");
	assert_non_null(strstr(save("nat"), "-A POSTROUTING -j MASQUERADE"));
}

static void test_chains_of_a_vanished_owner_go(void **state)
{
	ipt_sh("-N cali-old1");
	ipt_sh("-N cali-old2");
	ipt_sh("-N felix-FORWARD");
	ipt_sh("-N OTHER");
	ipt_sh("-A cali-old1 -j cali-old2");
	ipt_sh("-A OTHER -s 10.1.1.1 -j cali-old1");
	ipt_sh("-A FORWARD -j felix-FORWARD");
	ipt_settle(t);
	assert_true(ipt_in_sync(t));
	assert_null(strstr(save("filter"), "old"));
	assert_null(strstr(save("filter"), "felix"));
	assert_non_null(strstr(save("filter"), ":OTHER"));
	assert_int_equal(ipt_counts(t).removed, 3);
	assert_int_equal(ipt_counts(t).restore_errors, 0);
}

static void test_removed_chain_goes_with_its_jump(void **state)
{
	struct ipt_rule fw = RULE("ddddddddddddddd1", "--jump MARK --set-mark 0/0x1a0000");

	ipt_settle(t);
	ipt_chain(t, IPT_FILTER, "cali-FORWARD", &fw, 1, NULL);
	ipt_settle(t);
	assert_null(strstr(save("filter"), "cali-fw"));
	assert_int_equal(ipt_counts(t).restore_errors, 0);
}

static void test_what_others_put_above_goes_below(void **state)
{
	ipt_settle(t);
	ipt_sh("-I FORWARD -s 10.9.9.9 -j ACCEPT");
	ipt_doubt(t);
	ipt_settle_wait(t, 1000);
	assert_non_null(strstr(save("filter"), "|-A FORWARD -m comment --comment "
					       "\"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD|"
					       "-A FORWARD -s 10.9.9.9/32 -j ACCEPT|"));
	assert_int_equal(ipt_counts(t).restores, 2);
}

static void test_repair(void **state)
{
	static const char *const harm[] = {
		"-D cali-fw 1",
		"-F cali-fw",
		"-I cali-fw -j ACCEPT",
		"-F cali-FORWARD",
		"-F FORWARD",
		"-F",
		"-D FORWARD 1",
		"-D FORWARD 3",
		"-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD",
	};

	ipt_settle(t);
	for (size_t i = 0; i < ARRAY_SIZE(harm); i++) {
		ipt_sh(harm[i]);
		assert_string_not_equal(save("filter"), basics);
		ipt_doubt(t);
		ipt_settle_wait(t, 2000);
		assert_string_equal(save("filter"), basics);
	}
	sh("iptables-%s -F; iptables-%s -X", backend == IPT_NFT ? "nft" : "legacy",
	   backend == IPT_NFT ? "nft" : "legacy");
	ipt_doubt(t);
	ipt_settle_wait(t, 2000);
	assert_string_equal(save("filter"), basics);
	assert_int_equal(ipt_counts(t).restore_errors, 0);
	assert_int_equal(n_told, 0);
}

/* A changed rule with its comment left: known by the event, not by reading. */
static void test_repair_of_a_touched_chain(void **state)
{
	ipt_settle(t);
	ipt_sh("-R cali-fw 3 -m comment --comment \"cali:bbbbbbbbbbbbbbb3\" -j ACCEPT");
	ipt_doubt(t);
	ipt_settle_wait(t, 2000);
	assert_string_not_equal(save("filter"), basics);
	ipt_touched(t, IPT_FILTER, "KUBE-FORWARD");
	ipt_touched(t, IPT_FILTER, "INPUT");
	assert_true(ipt_in_sync(t));
	ipt_touched(t, IPT_FILTER, "cali-fw");
	assert_false(ipt_in_sync(t));
	ipt_settle_wait(t, 2000);
	assert_string_equal(save("filter"), basics);
	/* Somebody makes a chain with a name like ours. */
	ipt_sh("-N cali-theirs");
	ipt_touched(t, IPT_FILTER, "cali-theirs");
	ipt_touched(t, IPT_FILTER, "cali-theirs-gone-already");
	ipt_settle_wait(t, 2000);
	assert_string_equal(save("filter"), basics);
	assert_int_equal(ipt_counts(t).tampered, 3);
}

static void test_refresh(void **state)
{
	struct ipt_config cfg = { .family = IP_V4, .backend = backend, .refresh_ms = 20 };
	struct ipt *d = ipt_new(&cfg);

	state_basics(d);
	ipt_ready(d);
	ipt_settle(d);
	ipt_sh("-F cali-fw");
	assert_int_equal(ipt_settle(d), 0);
	clock_ms = ipt_due(d);
	ipt_settle(d);
	assert_string_equal(save("filter"), basics);
	ipt_free(d);
}

/* One chain that the kernel does not take keeps nobody else out. */
static void test_refused_chain(void **state)
{
	struct ipt_rule bad =
		RULE("eeeeeeeeeeeeeee1", "-m set --match-set nosuchset src --jump DROP");
	struct ipt_rule fw[] = { RULE("eeeeeeeeeeeeeee2", "--jump cali-fw"),
				 RULE("eeeeeeeeeeeeeee3", "--jump cali-new") };

	ipt_settle(t);
	ipt_chain(t, IPT_FILTER, "cali-FORWARD", fw, 2, NULL);
	ipt_chain(t, IPT_FILTER, "cali-fw", &bad, 1, NULL);
	ipt_chain(t, IPT_FILTER, "cali-new", &bad, 1, NULL);
	ipt_settle_wait(t, 5000);
	/* The old rules of the one go on, the other drops. */
	assert_non_null(strstr(save("filter"), "bbbbbbbbbbbbbbb3"));
	assert_non_null(strstr(save("filter"), "eeeeeeeeeeeeeee3"));
	assert_non_null(strstr(save("filter"), "-A cali-new -m comment --comment "
					       "\"cali:margay_no_chain_\" -j DROP|"));
	assert_int_equal(ipt_counts(t).held, 2);
	assert_true(n_told >= 3);
	assert_non_null(strstr(told[0], "nosuchset"));
	assert_true(ipt_due(t) > clock_ms + 1000);
	/* It gets right. */
	bad = RULE("eeeeeeeeeeeeeee4", "--jump ACCEPT");
	ipt_chain(t, IPT_FILTER, "cali-new", &bad, 1, NULL);
	ipt_chain(t, IPT_FILTER, "cali-fw", &bad, 1, NULL);
	ipt_settle_wait(t, 1000);
	assert_null(strstr(save("filter"), "bbbbbbbbbbbbbbb3"));
	assert_null(strstr(save("filter"), "no_chain"));
}

static void test_unstated_chain_drops(void **state)
{
	ipt_settle(t);
	ipt_chain_forget(t, IPT_FILTER, "cali-fw");
	ipt_settle(t);
	assert_non_null(strstr(save("filter"), "-A cali-fw -m comment --comment "
					       "\"cali:margay_no_chain_\" -j DROP|"));
	assert_int_equal(n_told, 1);
	assert_non_null(strstr(told[0], "filter cali-fw -2 rules jump to cali-fw"));
}

static void test_tables_in_one_go(void **state)
{
	struct ipt_rule snat = RULE("fffffffffffffff1", "--jump cali-POSTROUTING");
	struct ipt_rule nat = RULE("fffffffffffffff2", "--source 10.0.0.0/8 --jump MASQUERADE");
	struct ipt_rule pre = RULE("fffffffffffffff3", "--jump cali-PREROUTING");
	struct ipt_rule raw = RULE("fffffffffffffff4", "--jump MARK --set-mark 0/0x1b0000");

	ipt_sh("-t nat -A POSTROUTING -s 1.1.1.1 -j ACCEPT");
	ipt_hook(t, IPT_NAT, "POSTROUTING", IPT_LAST, &snat, 1, NULL);
	ipt_chain(t, IPT_NAT, "cali-POSTROUTING", &nat, 1, NULL);
	ipt_hook(t, IPT_RAW, "PREROUTING", IPT_FIRST, &pre, 1, NULL);
	ipt_chain(t, IPT_RAW, "cali-PREROUTING", &raw, 1, NULL);
	ipt_hook(t, IPT_MANGLE, "PREROUTING", IPT_FIRST, &pre, 1, NULL);
	ipt_chain(t, IPT_MANGLE, "cali-PREROUTING", &raw, 1, NULL);
	assert_int_equal(ipt_settle(t), 2);
	assert_non_null(strstr(save("nat"), "-A POSTROUTING -s 1.1.1.1/32 -j ACCEPT|"
					    "-A POSTROUTING -m comment --comment "
					    "\"cali:fffffffffffffff1\" -j cali-POSTROUTING|"));
	assert_non_null(strstr(save("raw"), "fffffffffffffff4"));
	assert_non_null(strstr(save("mangle"), "fffffffffffffff4"));
	assert_string_equal(save("filter"), basics);
}

static void test_append_mode(void **state)
{
	struct ipt_config cfg = { .family = IP_V4, .backend = backend, .append = true };
	struct ipt *d = ipt_new(&cfg);

	ipt_sh("-A FORWARD -s 1.1.1.1 -j ACCEPT");
	state_basics(d);
	ipt_ready(d);
	ipt_settle(d);
	assert_non_null(strstr(save("filter"),
			       "|-A FORWARD -s 1.1.1.1/32 -j ACCEPT|"
			       "-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\""));
	ipt_sh("-A FORWARD -s 1.1.1.2 -j ACCEPT");
	ipt_doubt(d);
	ipt_settle_wait(d, 1000);
	assert_int_equal(ipt_counts(d).restores, 1);
	ipt_free(d);
}

static void test_ipv6(void **state)
{
	struct ipt_config cfg = { .family = IP_V6, .backend = backend };
	struct ipt_rule jump = RULE("Cz_u1IQiXIMmKD4c", "--jump cali-INPUT");
	struct ipt_rule in =
		RULE("ggggggggggggggg1", "-p 58 -m icmp6 --icmpv6-type 130 --jump ACCEPT");
	struct ipt *d = ipt_new(&cfg);

	ipt_hook(d, IPT_FILTER, "INPUT", IPT_FIRST, &jump, 1, NULL);
	ipt_chain(d, IPT_FILTER, "cali-INPUT", &in, 1, NULL);
	ipt_ready(d);
	ipt_settle(d);
	assert_true(ipt_in_sync(d));
	ipt_doubt(d);
	ipt_settle(d);
	assert_int_equal(ipt_counts(d).restores, 1);
	ipt_free(d);
}

/* What the other backend still has from before is removed by a driver that wants nothing. */
static void test_leftovers_of_the_other_backend(void **state)
{
	struct ipt_config cfg = { .family = IP_V4, .backend = backend };
	struct ipt *d = ipt_new(&cfg);

	ipt_sh("-A FORWARD -s 1.1.1.1 -j ACCEPT");
	ipt_settle(t);
	ipt_ready(d);
	ipt_settle(d);
	assert_string_equal(save("filter"),
			    ":INPUT ACCEPT [0:0]|:FORWARD ACCEPT [0:0]|:OUTPUT ACCEPT [0:0]|"
			    "-A FORWARD -s 1.1.1.1/32 -j ACCEPT|");
	ipt_free(d);
}

/* The tool is killed when the first of two tables is in. */
static void test_killed_in_the_middle(void **state)
{
	struct ipt_rule pre = RULE("fffffffffffffff3", "--jump cali-PREROUTING");
	struct ipt_rule raw = RULE("fffffffffffffff4", "--jump MARK --set-mark 0/0x1b0000");
	const char *tool = backend == IPT_NFT ? "nft" : "legacy";
	const char *path = getenv("PATH");
	char dir[] = "/tmp/margay-ipt-XXXXXX";
	CLEANUP(freep) char *keep = xstrdup(path);

	assert_non_null(mkdtemp(dir));
	sh("printf '#!/bin/sh\\n/usr/bin/sed /COMMIT/q | %s/iptables-%s-restore --noflush\\nkill "
	   "-9 $$\\n' "
	   ">%s/"
	   "iptables-%s-restore; chmod +x %s/*",
	   "/usr/sbin", tool, dir, tool, dir);
	ipt_hook(t, IPT_RAW, "PREROUTING", IPT_FIRST, &pre, 1, NULL);
	ipt_chain(t, IPT_RAW, "cali-PREROUTING", &raw, 1, NULL);
	setenv("PATH", dir, 1);
	ipt_settle(t);
	setenv("PATH", keep, 1);
	assert_int_equal(ipt_counts(t).restore_errors, 1);
	assert_int_equal(n_told, 1);
	assert_non_null(strstr(told[0], "was killed"));
	assert_non_null(strstr(save("raw"), "fffffffffffffff4"));
	assert_null(strstr(save("filter"), "cali"));
	ipt_settle_wait(t, 2000);
	assert_string_equal(save("filter"), basics);
	assert_int_equal(ipt_counts(t).restores, 2);
	assert_int_equal(n_told, 2);
	sh("rm -r %s", dir);
}

static void test_no_such_tool(void **state)
{
	struct ipt_config cfg = { .family = IP_V4, .backend = backend, .report = report };
	struct ipt *d = ipt_new(&cfg);
	struct exec_cmd cmd;
	struct err e = { .code = -ENOENT, .msg = "no such program" };

	ipt_ready(d);
	assert_true(ipt_next(d, 1000, &cmd));
	ipt_not_started(d, 1000, &e);
	assert_false(ipt_next(d, 1000, &cmd));
	assert_int_equal(ipt_due(d), 1010);
	assert_int_equal(n_told, 1);
	assert_true(ipt_next(d, 1010, &cmd));
	ipt_not_started(d, 1010, &e);
	assert_int_equal(ipt_due(d), 1030);
	assert_int_equal(n_told, 1);
	ipt_free(d);
}

/* Only legacy has a lock. */
static void test_lock_held_by_another(void **state)
{
	struct ipt_config cfg = {
		.family = IP_V4, .backend = IPT_LEGACY, .lock_s = 1, .report = report
	};
	struct ipt *d = ipt_new(&cfg);
	int fd;

	state_basics(d);
	ipt_ready(d);
	fd = open(getenv("XTABLES_LOCKFILE"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	ipt_settle(d);
	assert_int_equal(ipt_counts(d).restore_errors, 1);
	assert_non_null(strstr(told[0], "xtables lock"));
	close(fd);
	ipt_settle_wait(d, 2000);
	assert_int_equal(n_told, 2);
	ipt_free(d);
}

enum { MANY = 20000 };

/* 20 000 rules in 1000 chains: taken over without a write; one chain changed is one chain written.
 */
static void test_many_rules(void **state)
{
	struct ipt *d = NULL;

	for (int round = 0; round < 2; round++) {
		struct ipt_rule in[1000], leaf[20];
		char text[1000][40];

		d = driver();
		for (int i = 0; i < 1000; i++) {
			snprintf(text[i], sizeof(text[i]), "-i cali%d --jump cali-fw-cali%d", i, i);
			in[i].text = text[i];
			snprintf(in[i].hash, sizeof(in[i].hash), "%016d", i);
		}
		for (int i = 0; i < 20; i++)
			leaf[i] = RULE("xxxxxxxxxxxxxxxx", "--source 10.0.0.1 --jump ACCEPT");
		state_basics(d);
		ipt_chain(d, IPT_FILTER, "cali-FORWARD", in, 1000, NULL);
		for (int i = 0; i < 1000; i++) {
			char name[32];

			snprintf(name, sizeof(name), "cali-fw-cali%d", i);
			ipt_chain(d, IPT_FILTER, name, leaf, 19, NULL);
		}
		ipt_ready(d);
		assert_int_equal(ipt_settle(d), round ? 1 : 2);
		assert_int_equal(ipt_counts(d).restores, round ? 0 : 1);
		if (round) {
			uint64_t lines = ipt_counts(d).lines;

			ipt_chain(d, IPT_FILTER, "cali-fw-cali500", leaf, 20, NULL);
			assert_int_equal(ipt_settle(d), 1);
			assert_true(ipt_counts(d).lines - lines < 30);
		}
		ipt_free(d);
	}
}

static int setup(void **state)
{
	ns_fresh();
	n_told = 0;
	t = driver();
	state_basics(t);
	ipt_ready(t);
	return 0;
}

static int teardown(void **state)
{
	ipt_free(t);
	return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest both[] = {
		T(test_load),
		T(test_nothing_before_ready),
		T(test_restart_writes_nothing),
		T(test_one_change_is_one_write),
		T(test_rules_of_others_stay),
		T(test_chains_of_a_vanished_owner_go),
		T(test_removed_chain_goes_with_its_jump),
		T(test_what_others_put_above_goes_below),
		T(test_repair),
		T(test_repair_of_a_touched_chain),
		T(test_refresh),
		T(test_refused_chain),
		T(test_unstated_chain_drops),
		T(test_tables_in_one_go),
		T(test_append_mode),
		T(test_ipv6),
		T(test_leftovers_of_the_other_backend),
		T(test_killed_in_the_middle),
		T(test_no_such_tool),
		T(test_many_rules),
	};
	const struct CMUnitTest legacy[] = { T(test_lock_held_by_another) };
	char lock[64];
	int failed;

	snprintf(lock, sizeof(lock), "/tmp/margay-ipt-lock.%d", (int)getpid());
	setenv("XTABLES_LOCKFILE", lock, 1);
	failed = cmocka_run_group_tests_name("iptables-nft", both, NULL, NULL);
	backend = IPT_LEGACY;
	failed += cmocka_run_group_tests_name("iptables-legacy", both, NULL, NULL);
	failed += cmocka_run_group_tests_name("iptables-legacy's lock", legacy, NULL, NULL);
	unlink(lock);
	return failed;
}
