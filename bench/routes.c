/* routes.c - kernel routes a second: the route table beside a bare batched-netlink loop
 *
 *	routes [COUNT]		in a network namespace of its own; needs root
 *	routes COUNT bare	the bare loop once, with nobody listening: two numbers, in and out
 *
 * Both write the same COUNT /26 routes (100 000) through one next hop and remove them again;
 * several rounds, alternating, and the median of each is printed. The bare loop is what the kernel
 * can do. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/netlink.h"
#include "dataplane/route.h"
#include "dataplane/route_msg.h"

enum { ROUNDS = 5, COUNT_MAX = 4000000, BARE_BATCH = 256 };

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "routes: %s: %s\n", what, e->msg);
	exit(1);
}

static struct route_key key_of(uint32_t i)
{
	return (struct route_key) { .dst = { .addr = addr_v4(0x20000000 + i * 64), .len = 26 },
				    .table = ROUTE_TABLE_MAIN };
}

static struct route_nh next_hop(uint32_t ifindex)
{
	return (struct route_nh) {
		.gw = addr_v4(0x0a000002), .ifindex = ifindex, .onlink = true, .weight = 1
	};
}

static void on_fail(void *arg, unsigned index, int code, const char *text)
{
	fprintf(stderr, "routes: %s %s\n", strerror(-code), text);
	exit(1);
}

static double bare(uint32_t ifindex, uint32_t count, bool add)
{
	struct route_nh nh = next_hop(ifindex);
	struct route_spec spec = { .type = ROUTE_UNICAST, .protocol = 80, .n_nh = 1, .nh = &nh };
	struct nl_buf b = { 0 };
	struct nl_sock s;
	struct err e = { 0 };
	double t = now();

	if (nl_open(&s, &e) < 0)
		die("netlink", &e);
	for (uint32_t i = 0; i < count; i++) {
		struct route_key key = key_of(i);

		if (add)
			route_msg_put(&b, &key, &spec, true);
		else
			route_msg_put_delete(&b, &key, &spec);
		if (b.n == BARE_BATCH || i + 1 == count)
			if (nl_batch(&s, &b, on_fail, NULL, &e) < 0)
				die("batch", &e);
	}
	nl_close(&s);
	nl_buf_done(&b);
	return count / (now() - t);
}

static double table(struct route_table *rt, uint32_t ifindex, uint32_t count, bool add)
{
	struct route_nh nh = next_hop(ifindex);
	struct route_spec spec = { .n_nh = 1, .nh = &nh };
	struct err e = { 0 };
	double t = now();

	for (uint32_t i = 0; i < count; i++) {
		struct route_key key = key_of(i);

		if (!add)
			route_forget(rt, ROUTE_CLASS_NOENCAP, 0, &key);
		else if (route_desire(rt, ROUTE_CLASS_NOENCAP, 0, &key, &spec, &e) < 0)
			die("desire", &e);
	}
	if (route_apply(rt, 1000, 0, &e) != 0)
		die("apply", &e);
	return count / (now() - t);
}

/* A start with all routes in place: the dump and the comparison. */
static double adopt(struct link_table *links, uint32_t ifindex, uint32_t count)
{
	struct route_config cfg = { 0 };
	struct err e = { 0 };
	double t = now(), rate;
	struct route_table *rt = route_table_new(&cfg, links, &e);

	if (!rt)
		die("start", &e);
	route_table_ready(rt);
	(void)table(rt, ifindex, count, true);
	rate = count / (now() - t);
	if (route_counts(rt).written || route_counts(rt).removed) {
		fprintf(stderr, "routes: a restart wrote to the kernel\n");
		exit(1);
	}
	route_table_free(rt);
	return rate;
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double v[static ROUNDS])
{
	qsort(v, ROUNDS, sizeof(v[0]), by_size);
	return v[ROUNDS / 2];
}

static int bare_once(uint32_t ifindex, uint32_t count)
{
	double in = bare(ifindex, count, true), out = bare(ifindex, count, false);

	printf("%.0f %.0f\n", in, out);
	return 0;
}

int main(int argc, char **argv)
{
	double r[5][ROUNDS];
	uint64_t count = 100000;
	struct link_table *links;
	struct route_table *rt;
	struct route_config cfg = { 0 };
	struct err e = { 0 };
	uint32_t ifindex;

	if (argc > 3 || (argc > 1 && !parse_u64(argv[1], COUNT_MAX, &count)) || !count ||
	    (argc == 3 && strcmp(argv[2], "bare") != 0)) {
		fprintf(stderr, "usage: routes [COUNT of 1..%d [bare]]\n", COUNT_MAX);
		return 2;
	}
	if (unshare(CLONE_NEWNET) < 0 ||
	    system("ip link add eth0 type veth peer name far0 && ip addr add 10.0.0.1/24 dev eth0 "
		   "&& "
		   "ip link set far0 up && ip link set eth0 up") != 0) {
		fprintf(stderr, "routes: cannot make a network namespace: %s\n", strerror(errno));
		return 1;
	}
	if (argc == 3)
		return bare_once(if_nametoindex("eth0"), (uint32_t)count);
	links = link_table_new(&e);
	rt = links ? route_table_new(&cfg, links, &e) : NULL;
	if (!rt)
		die("start", &e);
	route_table_ready(rt);
	ifindex = link_by_name(links, "eth0")->index;
	for (int i = 0; i < ROUNDS; i++) {
		r[0][i] = bare(ifindex, (uint32_t)count, true);
		r[1][i] = bare(ifindex, (uint32_t)count, false);
		/* What the bare loop did are foreign events to the table: let it see them go. */
		if (route_table_read(rt, &e) < 0 || route_table_resync(rt, &e) < 0)
			die("resync", &e);
		r[2][i] = table(rt, ifindex, (uint32_t)count, true);
		r[4][i] = adopt(links, ifindex, (uint32_t)count);
		r[3][i] = table(rt, ifindex, (uint32_t)count, false);
	}
	printf("%lu routes, median of %d rounds, routes/s\n", (unsigned long)count, ROUNDS);
	printf("  %-28s %10.0f\n", "bare netlink, add", median(r[0]));
	printf("  %-28s %10.0f  %.2f of bare\n", "route table, add", median(r[2]),
	       median(r[2]) / median(r[0]));
	printf("  %-28s %10.0f\n", "bare netlink, remove", median(r[1]));
	printf("  %-28s %10.0f  %.2f of bare\n", "route table, remove", median(r[3]),
	       median(r[3]) / median(r[1]));
	printf("  %-28s %10.0f  no write\n", "restart, dump and adopt", median(r[4]));
	route_table_free(rt);
	link_table_free(links);
	return 0;
}
