/* iptables.c - one chain changed among many, and many members into a set: the driver beside a bare
 * run of the same tool with the same text
 *
 *	iptables [CHAINS [RULES_PER_CHAIN [ROUNDS]]]		1000 20 50
 *
 * Works in a network namespace of its own; needs root. Times are medians in milliseconds. */
#include "dataplane/iptables.h"

#include <errno.h>
#include <event2/event.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/filter.h"
#include "dataplane/nft_watch.h"
#include "lib/vec.h"

enum { MEMBERS = 10000 };

static unsigned chains = 1000, per_chain = 20, rounds = 50;
static char last_in[1 << 20];
static size_t last_len;
static const char *last_argv[EXEC_ARGS_MAX + 1];

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *t, size_t n)
{
	qsort(t, n, sizeof(*t), cmp);
	return n ? t[n / 2] : 0;
}

static void keep(const struct exec_cmd *cmd)
{
	memcpy(last_argv, cmd->argv, sizeof(last_argv));
	last_len = cmd->in_len < sizeof(last_in) ? cmd->in_len : 0;
	memcpy(last_in, cmd->in, last_len);
}

static void on_ipt(void *arg, const struct exec_result *r)
{
	if (r->code)
		fprintf(stderr, "%s\n", r->err);
	ipt_done(arg, 0, r);
}

static void settle(struct ipt *t)
{
	struct exec_cmd cmd;

	while (ipt_next(t, 0, &cmd)) {
		keep(&cmd);
		exec_run(&cmd, on_ipt, t, NULL);
	}
	if (!ipt_in_sync(t)) {
		fprintf(stderr, "not in sync\n");
		exit(1);
	}
}

static void on_bare(void *arg, const struct exec_result *r)
{
	if (r->code)
		fprintf(stderr, "%s\n", r->err);
}

/* The same text again, by nobody's hand but the tool's. */
static double bare(void)
{
	struct exec_cmd cmd = { .in = last_in, .in_len = last_len };
	double t = now();

	memcpy(cmd.argv, last_argv, sizeof(last_argv));
	exec_run(&cmd, on_bare, NULL, NULL);
	return now() - t;
}

static void state_leaf(struct ipt *t, unsigned chain, unsigned generation)
{
	struct ipt_rule *r = xcalloc(per_chain, sizeof(*r));
	char name[32], (*text)[96] = xcalloc(per_chain, sizeof(*text));

	for (unsigned i = 0; i < per_chain; i++) {
		snprintf(r[i].hash, sizeof(r[i].hash), "%08u%08u", generation % 100000000,
			 i % 100000000);
		snprintf(text[i], sizeof(text[i]),
			 "-p tcp --source 10.%u.%u.0/24 -m multiport --destination-ports 80,443 "
			 "--jump ACCEPT",
			 generation % 250, i % 250);
		r[i].text = text[i];
	}
	snprintf(name, sizeof(name), "cali-fw-cali%u", chain);
	ipt_chain(t, IPT_FILTER, name, r, per_chain, NULL);
	free(r);
	free(text);
}

static void state_all(struct ipt *t)
{
	struct ipt_rule jump = { "wUHhoiAYhphO9Mso", "--jump cali-FORWARD" };
	struct ipt_rule *r = xcalloc(chains, sizeof(*r));
	char(*text)[64] = xcalloc(chains, sizeof(*text));

	for (unsigned i = 0; i < chains; i++) {
		snprintf(r[i].hash, sizeof(r[i].hash), "%016u", i);
		snprintf(text[i], sizeof(text[i]), "--in-interface cali%u --goto cali-fw-cali%u", i,
			 i);
		r[i].text = text[i];
		state_leaf(t, i, 0);
	}
	ipt_chain(t, IPT_FILTER, "cali-FORWARD", r, chains, NULL);
	ipt_hook(t, IPT_FILTER, "FORWARD", IPT_FIRST, &jump, 1, NULL);
	ipt_ready(t);
	free(r);
	free(text);
}

static void bench_rules(enum ipt_backend backend, bool watched)
{
	struct ipt_config cfg = { .family = IP_V4, .backend = backend };
	double *ours = xcalloc(rounds, sizeof(*ours)), *same = xcalloc(rounds, sizeof(*same));
	struct ipt *t = ipt_new(&cfg);
	struct nft_watch w = { .fd = -1 };
	double start = now(), first, adopt;

	if (watched)
		nft_watch_open(&w, NULL);
	state_all(t);
	settle(t);
	first = now() - start;
	ipt_free(t);
	t = ipt_new(&cfg);
	state_all(t);
	start = now();
	settle(t);
	adopt = now() - start;
	for (unsigned i = 0; i < rounds; i++) {
		start = now();
		state_leaf(t, i * 7 % chains, i + 1);
		settle(t);
		ours[i] = now() - start;
		same[i] = bare();
	}
	printf("%-16s %-9s first write %7.1f  taken over %6.1f  one chain %6.2f  bare tool %6.2f\n",
	       backend == IPT_NFT ? "iptables-nft" : "iptables-legacy", watched ? "watched" : "",
	       first, adopt, median(ours, rounds), median(same, rounds));
	nft_watch_close(&w);
	ipt_free(t);
	free(ours);
	free(same);
}

/* ---- on the loop: until the rules are in force ---- */

static void on_turn(void *arg, enum ip_family family, enum apply_stage stage)
{
	if (stage >= APPLY_SHRINKING)
		event_base_loopbreak(arg);
}

static void bench_loop(enum ipt_backend backend)
{
	struct event_base *base = event_base_new();
	struct filter_config cfg = { .v4 = true, .backend = backend, .turn = on_turn, .arg = base };
	double *ours = xcalloc(rounds, sizeof(*ours)), start;
	struct filter *f = filter_new(base, &cfg, NULL);

	state_all(filter_rules(f, IP_V4));
	filter_ready(f);
	filter_run(f);
	event_base_dispatch(base);
	for (unsigned i = 0; i < rounds; i++) {
		start = now();
		state_leaf(filter_rules(f, IP_V4), i * 7 % chains, i + 1);
		filter_run(f);
		event_base_dispatch(base);
		ours[i] = now() - start;
		/* The tool's own end is not part of it. */
		while (!filter_quiet(f))
			event_base_loop(base, EVLOOP_ONCE);
	}
	printf("%-16s on the loop, one chain until it is in force %6.2f\n",
	       backend == IPT_NFT ? "iptables-nft" : "iptables-legacy", median(ours, rounds));
	filter_free(f);
	event_base_free(base);
	free(ours);
}

static void on_set(void *arg, const struct exec_result *r)
{
	ipset_done(arg, 0, r);
}

static void bench_sets(void)
{
	struct ipset_config cfg = { .family = IP_V4 };
	struct ipsets *s = ipsets_new(&cfg);
	struct exec_cmd cmd;
	double start, add, one, same;

	ipset_want(s, "cali40s:bench", IPSET_NET, 0, NULL);
	ipsets_ready(s);
	while (ipset_next(s, IPSET_GROW, 0, &cmd))
		exec_run(&cmd, on_set, s, NULL);
	start = now();
	for (uint32_t i = 0; i < MEMBERS; i++) {
		struct ipset_member m = { .net = { .addr = addr_v4(0x0a000000 + i * 7),
						   .len = 32 } };

		ipset_add(s, "cali40s:bench", &m, NULL);
	}
	while (ipset_next(s, IPSET_GROW, 0, &cmd)) {
		keep(&cmd);
		exec_run(&cmd, on_set, s, NULL);
	}
	add = now() - start;
	same = bare();
	start = now();
	struct ipset_member m = { .net = { .addr = addr_v4(0x0b000000), .len = 32 } };
	ipset_add(s, "cali40s:bench", &m, NULL);
	while (ipset_next(s, IPSET_GROW, 0, &cmd))
		exec_run(&cmd, on_set, s, NULL);
	one = now() - start;
	printf("ipset            %d members %.1f  bare tool %.1f  one more %.2f\n", MEMBERS, add,
	       same, one);
	ipsets_free(s);
}

int main(int argc, char **argv)
{
	unsigned *args[] = { &chains, &per_chain, &rounds };

	for (int i = 1; i < argc && i <= 3; i++)
		*args[i - 1] = (unsigned)strtoul(argv[i], NULL, 10);
	if (unshare(CLONE_NEWNET) < 0) {
		perror("a network namespace");
		return 1;
	}
	printf("%u chains of %u rules, %u rounds, milliseconds\n", chains, per_chain, rounds);
	bench_rules(IPT_NFT, false);
	unshare(CLONE_NEWNET);
	bench_rules(IPT_NFT, true);
	bench_loop(IPT_NFT);
	bench_rules(IPT_LEGACY, false);
	bench_loop(IPT_LEGACY);
	bench_sets();
	return 0;
}
