/* ipset.c - sets in a real kernel, and the tool's language without one */
#include "dataplane/ipset.h"

#include <errno.h>

#include "dataplane/ipset_table.h"
#include "tests/unit/dataplane/filter.h"

static struct ipsets *s;
static char told[8][256];
static int n_told;

static void report(void *arg, const char *set, int code, const char *text)
{
	if (n_told < 8)
		snprintf(told[n_told], sizeof(told[0]), "%s %d %s", set, code, text);
	n_told++;
}

static struct ipsets *driver(enum ip_family family)
{
	struct ipset_config cfg = { .family = family, .report = report };

	return ipsets_new(&cfg);
}

static struct ipset_member member(const char *net, uint8_t proto, uint16_t port)
{
	struct ipset_member m = { .proto = proto, .port = port };

	assert_true(prefix_parse_or_addr(net, &m.net));
	return m;
}

static int add(struct ipsets *d, const char *set, const char *net)
{
	struct ipset_member m = member(net, 0, 0);
	struct err e = { 0 };

	return ipset_add(d, set, &m, &e);
}

static void del(struct ipsets *d, const char *set, const char *net)
{
	struct ipset_member m = member(net, 0, 0);

	ipset_del(d, set, &m);
}

static int both(struct ipsets *d)
{
	int n = ipset_settle(d, IPSET_GROW);

	return n + ipset_settle(d, IPSET_SHRINK);
}

/* "NAME TYPE maxelem N: MEMBER MEMBER ..." sorted. */
static const char *kernel(void)
{
	return out_of("ipset save -sorted | sed 's/ family inet.* maxelem / /; s/ bucketsize.*//'");
}

static void state_two(struct ipsets *d)
{
	struct ipset_member web = member("10.0.0.1", 6, 80), dns = member("10.0.0.1", 17, 53),
			    sctp = member("10.0.0.2", 132, 99);

	assert_int_equal(ipset_want(d, "cali40s:abc", IPSET_NET, 0, NULL), 0);
	assert_int_equal(add(d, "cali40s:abc", "10.0.0.0/24"), 0);
	assert_int_equal(add(d, "cali40s:abc", "10.1.1.1"), 0);
	assert_int_equal(add(d, "cali40s:abc", "10.1.1.1/32"), 0);
	assert_int_equal(ipset_want(d, "cali40n:xyz", IPSET_IP_PORT, 1000, NULL), 0);
	assert_int_equal(ipset_add(d, "cali40n:xyz", &web, NULL), 0);
	assert_int_equal(ipset_add(d, "cali40n:xyz", &dns, NULL), 0);
	assert_int_equal(ipset_add(d, "cali40n:xyz", &sctp, NULL), 0);
}

static const char *const two =
	"create cali40n:xyz hash:ip,port 1000|add cali40n:xyz 10.0.0.1,tcp:80|"
	"add cali40n:xyz 10.0.0.1,udp:53|add cali40n:xyz 10.0.0.2,sctp:99|"
	"create cali40s:abc hash:net 1048576|add cali40s:abc 10.0.0.0/24|"
	"add cali40s:abc 10.1.1.1|";

static const char *sorted(void)
{
	return out_of("for s in $(ipset list -name | sort); do ipset save $s -sorted; done | "
		      "sed 's/ family inet.* maxelem / /; s/ bucketsize.*//'");
}

static void test_load_and_change(void **state)
{
	state_two(s);
	assert_int_equal(both(s), 2);
	assert_string_equal(sorted(), two);
	assert_true(ipset_settled(s, IPSET_GROW) && ipset_settled(s, IPSET_SHRINK));
	assert_int_equal(both(s), 0);
	assert_int_equal(ipset_counts(s).members, 5);
	/* Additions in the first half, removals in the second. */
	del(s, "cali40s:abc", "10.1.1.1");
	add(s, "cali40s:abc", "10.2.0.0/16");
	assert_int_equal(ipset_settle(s, IPSET_GROW), 1);
	assert_non_null(strstr(sorted(), "10.1.1.1|"));
	assert_non_null(strstr(sorted(), "10.2.0.0/16|"));
	assert_true(ipset_settled(s, IPSET_GROW));
	assert_false(ipset_settled(s, IPSET_SHRINK));
	assert_int_equal(ipset_settle(s, IPSET_SHRINK), 1);
	assert_null(strstr(sorted(), "10.1.1.1|"));
	/* What comes and goes before it is written is no work. */
	add(s, "cali40s:abc", "10.3.0.0/16");
	del(s, "cali40s:abc", "10.3.0.0/16");
	assert_int_equal(both(s), 0);
	ipset_forget(s, "cali40s:abc");
	ipset_forget(s, "cali40n:xyz");
	assert_int_equal(both(s), 1);
	assert_string_equal(sorted(), "");
	assert_int_equal(ipset_counts(s).sets, 0);
	assert_int_equal(ipset_counts(s).members, 0);
	assert_int_equal(n_told, 0);
}

static void test_take_over(void **state)
{
	struct ipsets *d;

	state_two(s);
	both(s);
	d = driver(IP_V4);
	state_two(d);
	ipsets_ready(d);
	assert_int_equal(both(d), 1);
	assert_int_equal(ipset_counts(d).lines, 0);
	ipsets_free(d);
}

static void test_nothing_before_ready(void **state)
{
	struct ipsets *d = driver(IP_V4);

	sh("ipset create cali40old hash:net");
	state_two(d);
	assert_int_equal(both(d), 1);
	assert_string_equal(sorted(), "create cali40old hash:net 65536|");
	ipsets_ready(d);
	assert_int_equal(both(d), 2);
	assert_string_equal(sorted(), two);
	ipsets_free(d);
}

static void test_foreign_members_and_sets(void **state)
{
	sh("ipset create cali40s:abc hash:net maxelem 1048576");
	sh("ipset add cali40s:abc 99.0.0.0/8; ipset add cali40s:abc 10.0.0.0/24");
	sh("ipset create other hash:net; ipset add other 1.1.1.1");
	sh("ipset create cali60x hash:net family inet6");
	sh("ipset create cali4t7 hash:ip; ipset create felix-4-old hash:ip");
	state_two(s);
	both(s);
	assert_non_null(strstr(sorted(), two));
	assert_non_null(strstr(sorted(), "create other hash:net 65536|add other 1.1.1.1|"));
	assert_non_null(strstr(sorted(), "create cali60x"));
	assert_null(strstr(sorted(), "99.0.0.0"));
	assert_null(strstr(sorted(), "cali4t7"));
	assert_null(strstr(sorted(), "felix"));
}

/* Other size, options or members that we cannot name: a swap, while rules use the set. */
static void test_swap(void **state)
{
	static const char *const made[] = {
		"hash:net maxelem 500",
		"hash:net maxelem 1048576 timeout 300",
		"hash:net maxelem 1048576",
	};

	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		ns_fresh();
		sh("ipset create cali40s:abc %s; ipset add cali40s:abc 10.0.0.0/24 %s", made[i],
		   i == 2 ? "nomatch" : "");
		sh("ipset create cali4t0 hash:ip,port");
		sh("iptables-nft -A FORWARD -m set --match-set cali40s:abc src -j DROP");
		ipsets_free(s);
		s = driver(IP_V4);
		state_two(s);
		ipsets_ready(s);
		both(s);
		assert_string_equal(sorted(), two);
		assert_int_equal(n_told, 0);
	}
	ipset_want(s, "cali40s:abc", IPSET_NET, 77, NULL);
	add(s, "cali40s:abc", "10.77.0.0/16");
	both(s);
	assert_non_null(strstr(sorted(), "create cali40s:abc hash:net 77|"));
	assert_non_null(strstr(sorted(), "10.77.0.0/16|"));
}

static void test_other_type(void **state)
{
	sh("ipset create cali40s:abc hash:ip; ipset add cali40s:abc 9.9.9.9");
	sh("ipset create cali40n:xyz hash:ip,port,ip");
	state_two(s);
	both(s);
	assert_string_equal(sorted(), two);
}

/* A set in use by a rule with another type cannot be replaced: the others get on. */
static void test_other_type_in_use(void **state)
{
	sh("ipset create cali40s:abc hash:ip");
	sh("iptables-nft -A FORWARD -m set --match-set cali40s:abc src -j DROP");
	state_two(s);
	for (int i = 0; i < 10 && n_told < 2; i++, clock_ms += 100)
		both(s);
	both(s);
	assert_non_null(strstr(sorted(), "create cali40n:xyz"));
	assert_non_null(strstr(sorted(), "create cali40s:abc hash:ip 65536|"));
	assert_non_null(strstr(told[1], "cali40s:abc -5 ipset: exit code 1: ipset v7.17: Error in "
					"line 1: Set cannot be destroyed: it is in use"));
	assert_false(ipset_settled(s, IPSET_GROW));
	assert_true(ipset_due(s, IPSET_SHRINK) > clock_ms);
	sh("iptables-nft -F");
	clock_ms = ipset_due(s, IPSET_SHRINK);
	both(s);
	assert_string_equal(sorted(), two);
}

static void test_repair(void **state)
{
	state_two(s);
	both(s);
	sh("ipset add cali40s:abc 99.0.0.0/8; ipset del cali40s:abc 10.1.1.1; ipset flush "
	   "cali40n:xyz");
	ipset_doubt(s);
	both(s);
	assert_string_equal(sorted(), two);
	sh("ipset destroy");
	ipset_doubt(s);
	both(s);
	assert_string_equal(sorted(), two);
}

static void test_all_addresses(void **state)
{
	ipset_want(s, "cali40s:a", IPSET_NET, 0, NULL);
	assert_int_equal(add(s, "cali40s:a", "0.0.0.0/0"), 0);
	assert_int_equal(add(s, "cali40s:a", "0.0.0.0/1"), 0);
	both(s);
	assert_string_equal(kernel(), "create cali40s:a hash:net 1048576|add cali40s:a "
				      "0.0.0.0/1|add cali40s:a 128.0.0.0/1|");
	del(s, "cali40s:a", "0.0.0.0/0");
	both(s);
	assert_string_equal(kernel(), "create cali40s:a hash:net 1048576|add cali40s:a 0.0.0.0/1|");
	ipset_forget(s, "cali40s:a");
	ipset_want(s, "cali40s:a", IPSET_NET, 0, NULL);
	both(s);
	assert_string_equal(kernel(), "create cali40s:a hash:net 1048576|");
}

static void test_ipv6(void **state)
{
	struct ipsets *d = driver(IP_V6);
	struct ipset_member web = member("2001:db8::1", 6, 80);

	ipset_want(d, "cali60s:a", IPSET_NET, 0, NULL);
	ipset_want(d, "cali60n:a", IPSET_IP_PORT, 0, NULL);
	assert_int_equal(ipset_add(d, "cali60n:a", &web, NULL), 0);
	assert_int_equal(add(d, "cali60s:a", "::/0"), 0);
	assert_int_equal(add(d, "cali60s:a", "fe80::/10"), 0);
	assert_int_equal(add(d, "cali60s:a", "2001:db8:0:0:1:0:0:1"), 0);
	assert_int_equal(add(d, "cali60s:a", "10.0.0.1"), -EINVAL);
	ipsets_ready(d);
	both(d);
	ipset_doubt(d);
	assert_int_equal(both(d), 1);
	assert_non_null(strstr(sorted(), "add cali60s:a 8000::/1"));
	assert_non_null(strstr(sorted(), "add cali60n:a 2001:db8::1,tcp:80|"));
	ipsets_free(d);
}

static void test_refused_by_us(void **state)
{
	struct ipset_member port = member("10.0.0.0/24", 6, 80), gre = member("10.0.0.1", 47, 80);
	struct err e;

	assert_int_equal(ipset_want(s, "kube", IPSET_NET, 0, &e), -EINVAL);
	assert_int_equal(ipset_want(s, "cali60", IPSET_NET, 0, &e), -EINVAL);
	assert_int_equal(ipset_want(s, "cali40 x", IPSET_NET, 0, &e), -EINVAL);
	assert_int_equal(ipset_want(s, "cali40\nx", IPSET_NET, 0, &e), -EINVAL);
	assert_int_equal(ipset_want(s, "cali40123456789012345678901234567", IPSET_NET, 0, &e),
			 -EINVAL);
	assert_int_equal(add(s, "cali40none", "10.0.0.1"), -ENOENT);
	ipset_want(s, "cali40p", IPSET_IP_PORT, 2, &e);
	assert_int_equal(ipset_add(s, "cali40p", &port, &e), -EINVAL);
	assert_int_equal(ipset_add(s, "cali40p", &gre, &e), -EINVAL);
	port = member("10.0.0.1", 6, 80);
	assert_int_equal(ipset_want(s, "cali40p", IPSET_NET, 0, &e), 0);
	ipset_want(s, "cali40i", IPSET_IP, 2, &e);
	assert_int_equal(add(s, "cali40i", "0.0.0.0"), -EINVAL);
	assert_int_equal(add(s, "cali40i", "10.0.0.1"), 0);
	assert_int_equal(add(s, "cali40i", "10.0.0.2"), 0);
	assert_int_equal(add(s, "cali40i", "10.0.0.2"), 0);
	assert_int_equal(add(s, "cali40i", "10.0.0.3"), -ENOSPC);
	both(s);
	assert_int_equal(n_told, 0);
}

/* Many sets go at a bounded pace. */
static void test_destroy_in_batches(void **state)
{
	int rounds = 0;

	sh("for i in $(seq 80); do echo create cali40x$i hash:net; done | ipset restore");
	ipset_settle(s, IPSET_GROW);
	for (int i = 0; i < 10 && !ipset_settled(s, IPSET_SHRINK); i++) {
		rounds += ipset_settle(s, IPSET_SHRINK);
		clock_ms = ipset_due(s, IPSET_SHRINK);
	}
	assert_int_equal(rounds, 3);
	assert_string_equal(kernel(), "");
}

static void test_many_members(void **state)
{
	char net[32];

	ipset_want(s, "cali40s:m", IPSET_NET, 0, NULL);
	for (int i = 0; i < 10000; i++) {
		snprintf(net, sizeof(net), "10.%d.%d.0/24", i / 250, i % 250);
		add(s, "cali40s:m", net);
	}
	assert_int_equal(both(s), 2);
	assert_string_equal(out_of("ipset save | wc -l"), "10001|");
	add(s, "cali40s:m", "1.1.1.1");
	both(s);
	assert_int_equal(ipset_counts(s).lines, 10002);
	ipset_doubt(s);
	both(s);
	assert_int_equal(ipset_counts(s).lines, 10002);
}

/* ---- without a kernel ---- */

static struct exec_result printed(int code, const char *out, const char *err)
{
	return (struct exec_result) {
		.code = code, .out = out, .out_len = strlen(out), .err = err
	};
}

/* Somebody's set of a revision that the tool does not know. */
static void test_read_one_by_one(void **state)
{
	struct exec_result fails = printed(1, "", "ipset v7.17: Kernel and userspace incompatible");
	struct exec_result names = printed(0, "other\ncali40s:abc\ncali40gone\ncali60x\n", "");
	struct exec_result gone =
		printed(1, "", "ipset v7.17: The set with the given name does not exist");
	struct exec_result one = printed(
		0,
		"create cali40s:abc hash:net family inet hashsize 1024 maxelem 1048576\nadd "
		"cali40s:abc 10.0.0.0/24\n",
		"");
	struct exec_cmd cmd;

	ipset_want(s, "cali40s:abc", IPSET_NET, 0, NULL);
	add(s, "cali40s:abc", "10.0.0.0/24");
	assert_true(ipset_next(s, IPSET_GROW, 1, &cmd));
	assert_string_equal(cmd.argv[1], "save");
	assert_null(cmd.argv[2]);
	ipset_done(s, 1, &fails);
	assert_true(ipset_next(s, IPSET_GROW, 1, &cmd));
	assert_string_equal(cmd.argv[2], "-name");
	ipset_done(s, 1, &names);
	assert_true(ipset_next(s, IPSET_GROW, 1, &cmd));
	assert_string_equal(cmd.argv[2], "cali40gone");
	ipset_done(s, 1, &gone);
	assert_true(ipset_next(s, IPSET_GROW, 1, &cmd));
	assert_string_equal(cmd.argv[2], "cali40s:abc");
	ipset_done(s, 1, &one);
	assert_false(ipset_next(s, IPSET_GROW, 1, &cmd));
	assert_false(ipset_next(s, IPSET_SHRINK, 1, &cmd));
	assert_true(ipset_settled(s, IPSET_GROW));
	assert_int_equal(n_told, 0);
}

/* Anything the tool may print gives a state or an error, and a bounded number of commands. */
static void test_hostile_output(void **state)
{
	static const char *const outs[] = {
		"create\n",
		"create cali40x\n",
		"create cali40x hash:net family\n",
		"create cali40x hash:net family inet maxelem\n",
		"create cali40x hash:net family inet maxelem -1\n",
		"create cali40x hash:net family inet maxelem 99999999999999999999\n",
		"create cali40x bitmap:port range 0-65535\nadd cali40x 80\n",
		"create cali40aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa hash:net\n",
		"add\n",
		"add cali40s:abc\n",
		"add cali40never 1.1.1.1\n",
		"create cali40s:abc hash:ip,port family inet maxelem 5\nadd cali40s:abc 1.1.1.1\n",
		("create cali40s:abc hash:ip,port family inet maxelem 5\n"
		 "add cali40s:abc 1.1.1.1,tcp\nadd cali40s:abc 1.1.1.1,:\n"
		 "add cali40s:abc ,tcp:1\nadd cali40s:abc 1.1.1.1,tcp:99999\n"
		 "add cali40s:abc 1.1.1.1,0x11:1\n"),
		"create cali40s:abc hash:net family inet6 maxelem 1048576\nadd cali40s:abc ::1\n",
		"create cali40s:abc hash:net family inet maxelem 1048576\nadd cali40s:abc ::1\n",
		("create cali40s:abc hash:net family inet maxelem 1048576\n"
		 "add cali40s:abc 1.1.1.1/33\n"),
		"\n\n\n",
		"garbage\n",
		"create cali40s:abc hash:net",
	};

	for (size_t i = 0; i < ARRAY_SIZE(outs); i++) {
		struct ipsets *d = driver(IP_V4);
		struct exec_result r = printed(0, outs[i], "");
		struct exec_cmd cmd;

		ipset_want(d, "cali40s:abc", IPSET_NET, 0, NULL);
		add(d, "cali40s:abc", "10.0.0.0/24");
		ipsets_ready(d);
		assert_true(ipset_next(d, IPSET_GROW, 1, &cmd));
		ipset_done(d, 1, &r);
		if (ipset_next(d, IPSET_GROW, 1, &cmd)) {
			r = printed(0, "", "");
			ipset_done(d, 1, &r);
			while (ipset_next(d, IPSET_SHRINK, 1000000, &cmd))
				ipset_done(d, 1, &r);
			assert_true(ipset_settled(d, IPSET_GROW));
		} else {
			assert_true(ipset_due(d, IPSET_SHRINK) > 1);
		}
		ipsets_free(d);
	}
}

/* Members change while the batch is out: what was written is known, the rest is still to do. */
static void test_changes_while_writing(void **state)
{
	struct exec_result ok = printed(0, "", "");
	struct exec_cmd cmd;

	ipset_want(s, "cali40s:abc", IPSET_NET, 0, NULL);
	add(s, "cali40s:abc", "10.0.0.1");
	assert_true(ipset_next(s, IPSET_GROW, 1, &cmd));
	ipset_done(s, 1, &ok);
	assert_true(ipset_next(s, IPSET_GROW, 1, &cmd));
	assert_memory_equal(cmd.in,
			    "create cali40s:abc hash:net family inet maxelem 1048576\nadd "
			    "cali40s:abc 10.0.0.1\n",
			    cmd.in_len);
	del(s, "cali40s:abc", "10.0.0.1");
	add(s, "cali40s:abc", "10.0.0.2");
	ipset_want(s, "cali40s:new", IPSET_NET, 0, NULL);
	ipset_done(s, 1, &ok);
	assert_true(ipset_next(s, IPSET_GROW, 1, &cmd));
	assert_int_equal(cmd.in_len, strlen("add cali40s:abc 10.0.0.2\ncreate cali40s:new hash:net "
					    "family inet maxelem 1048576\n"));
	ipset_forget(s, "cali40s:abc");
	ipset_forget(s, "cali40s:new");
	ipset_done(s, 1, &ok);
	assert_false(ipset_next(s, IPSET_GROW, 1, &cmd));
	assert_true(ipset_next(s, IPSET_SHRINK, 1, &cmd));
	assert_int_equal(cmd.in_len, strlen("destroy cali40s:abc\ndestroy cali40s:new\n"));
	ipset_done(s, 1, &ok);
	assert_true(ipset_settled(s, IPSET_SHRINK));
}

/* ---- random worlds, against a naive kernel ---- */

enum { WORLD_SETS = 5, WORLD_MEMBERS = 12, WORLD_ROUNDS = 600 };

struct naive_set {
	bool there, member[WORLD_MEMBERS];
	unsigned max;
};

static struct naive_set naive[WORLD_SETS], wish[WORLD_SETS], temp;

static struct naive_set *naive_of(const char *name)
{
	return name[5] == 't' ? &temp : &naive[atoi(name + 6)];
}

/* One line of ipset -exist restore; false: the kernel refuses. */
static bool naive_line(const char *l)
{
	char op[16], name[32], rest[64] = "";
	struct naive_set *n, *to, swap;
	int i;

	sscanf(l, "%15s %31s %63[^\n]", op, name, rest);
	n = naive_of(name);
	i = strrchr(rest, '.') ? atoi(strrchr(rest, '.') + 1) : 0;
	if (strcmp(op, "create") == 0) {
		unsigned max = (unsigned)atoi(strstr(rest, "maxelem ") + 8);

		if (n->there && n->max != max)
			return false;
		if (!n->there)
			*n = (struct naive_set) { .there = true, .max = max };
		return true;
	}
	if (!n->there)
		return false;
	if (strcmp(op, "add") == 0)
		n->member[i] = true;
	else if (strcmp(op, "del") == 0)
		n->member[i] = false;
	else if (strcmp(op, "destroy") == 0)
		*n = (struct naive_set) { 0 };
	else if (strcmp(op, "swap") == 0) {
		to = naive_of(rest);
		swap = *n;
		*n = *to;
		*to = swap;
	}
	return true;
}

static void naive_save(struct str *out)
{
	str_cut(out, 0);
	if (temp.there)
		str_addf(out, "create cali4t0 hash:net family inet maxelem %u\n", temp.max);
	for (int i = 0; i < WORLD_SETS; i++) {
		if (!naive[i].there)
			continue;
		str_addf(out, "create cali40%d hash:net family inet hashsize 1024 maxelem %u\n", i,
			 naive[i].max);
		for (int k = 0; k < WORLD_MEMBERS; k++)
			if (naive[i].member[k])
				str_addf(out, "add cali40%d 10.0.0.%d\n", i, k);
	}
}

static void naive_run(struct ipsets *d, uint64_t now, const struct exec_cmd *cmd, int fail_in)
{
	struct exec_result r = { .out = "", .err = "" };
	struct str out = { 0 };
	char words[64];
	int line = 0;

	if (!cmd->in_len) {
		naive_save(&out);
		r.out = str_text(&out);
		r.out_len = out.len;
	}
	for (const char *l = cmd->in, *end = l + cmd->in_len; l < end; l = strchr(l, '\n') + 1) {
		line++;
		if (line == fail_in || !naive_line(l)) {
			snprintf(words, sizeof(words), "ipset v7.17: Error in line %d: no", line);
			r.code = 1;
			r.err = words;
			break;
		}
	}
	ipset_done(d, now, &r);
	str_done(&out);
}

static void world_change(struct ipsets *d, unsigned *seed)
{
	int i = rand_r(seed) % WORLD_SETS, k = rand_r(seed) % WORLD_MEMBERS;
	char name[16], net[16];

	snprintf(name, sizeof(name), "cali40%d", i);
	snprintf(net, sizeof(net), "10.0.0.%d", k);
	switch (rand_r(seed) % 8) {
	case 0:
		ipset_forget(d, name);
		wish[i] = (struct naive_set) { 0 };
		break;
	case 1:
		wish[i].there = true;
		wish[i].max = rand_r(seed) % 2 ? 100 : 200;
		ipset_want(d, name, IPSET_NET, wish[i].max, NULL);
		break;
	case 2:
		/* Somebody else. */
		naive[i].member[k] = naive[i].there && rand_r(seed) % 2;
		ipset_doubt(d);
		break;
	case 3:
	case 4:
		del(d, name, net);
		wish[i].member[k] = false;
		break;
	default:
		if (add(d, name, net) == 0)
			wish[i].member[k] = true;
	}
}

static void test_random_worlds(void **state)
{
	for (unsigned seed = 1; seed <= 200; seed++) {
		struct ipsets *d = driver(IP_V4);
		unsigned dice = seed;
		struct exec_cmd cmd;
		uint64_t now = 1;

		memset(naive, 0, sizeof(naive));
		memset(wish, 0, sizeof(wish));
		memset(&temp, 0, sizeof(temp));
		ipsets_ready(d);
		for (int round = 0; round < WORLD_ROUNDS; round++, now += 7) {
			enum ipset_phase phase = rand_r(&dice) % 2 ? IPSET_GROW : IPSET_SHRINK;

			world_change(d, &dice);
			if (rand_r(&dice) % 3 == 0 && ipset_next(d, phase, now, &cmd)) {
				world_change(d, &dice);
				naive_run(d, now, &cmd,
					  seed % 2 && rand_r(&dice) % 5 == 0 ? 1 + rand_r(&dice) % 4
									     : 0);
			}
		}
		now += 10000000;
		for (int i = 0; i < 100; i++, now += 10000000)
			while (ipset_next(d, IPSET_GROW, now, &cmd) ||
			       ipset_next(d, IPSET_SHRINK, now, &cmd))
				naive_run(d, now, &cmd, 0);
		assert_true(ipset_settled(d, IPSET_GROW) && ipset_settled(d, IPSET_SHRINK));
		assert_memory_equal(naive, wish, sizeof(naive));
		ipsets_free(d);
	}
}

static int setup(void **state)
{
	ns_fresh();
	n_told = 0;
	s = driver(IP_V4);
	ipsets_ready(s);
	return 0;
}

static int teardown(void **state)
{
	ipsets_free(s);
	return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_load_and_change),
		T(test_take_over),
		T(test_nothing_before_ready),
		T(test_foreign_members_and_sets),
		T(test_swap),
		T(test_other_type),
		T(test_other_type_in_use),
		T(test_repair),
		T(test_all_addresses),
		T(test_ipv6),
		T(test_refused_by_us),
		T(test_destroy_in_batches),
		T(test_many_members),
		T(test_read_one_by_one),
		T(test_hostile_output),
		T(test_changes_while_writing),
		cmocka_unit_test(test_random_worlds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
