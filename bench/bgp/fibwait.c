/* fibwait.c - when has this namespace's kernel got the load's routes?
 *
 * WHY    The kernel itself is asked, by looking up addresses in a sample of the prefixes: cheap enough
 *        not to disturb who is measured, and the same for every daemon. At the end all are counted.
 * OUT    the monotonic clock when the last of the sample was there (or gone), and the count
 * RUN    bench-bgp-fibwait ROUTES there|gone SECONDS */
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "dataplane/netlink.h"
#include "dataplane/nlmsg.h"
#include "lib/addr.h"

enum { SAMPLE = 400, PAUSE_US = 2000, FIRST = 0x14000000, STEP = 64 };

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void ignore(void *arg, const struct nlmsghdr *h)
{
}

static bool is_there(struct nl_sock *s, struct nl_buf *b, uint32_t addr)
{
	struct rtmsg m = { .rtm_family = AF_INET, .rtm_dst_len = 32 };
	struct err e;
	struct addr a = addr_v4(addr);

	nl_msg(b, RTM_GETROUTE, 0, &m, sizeof(m));
	nl_add_addr(b, RTA_DST, &a);
	return nl_ask(s, b, ignore, NULL, &e) == 0;
}

static void count_one(void *arg, const struct nlmsghdr *h)
{
	const struct rtmsg *m = nl_body(h, sizeof(*m));

	*(unsigned *)arg += m && h->nlmsg_type == RTM_NEWROUTE && m->rtm_dst_len == 26;
}

static unsigned count(struct nl_sock *s, struct nl_buf *b)
{
	struct rtmsg m = { .rtm_family = AF_INET };
	struct err e;
	unsigned n;
	int rc;

	do {
		n = 0;
		nl_msg(b, RTM_GETROUTE, NLM_F_DUMP, &m, sizeof(m));
		rc = nl_dump(s, b, count_one, &n, &e);
	} while (rc < 0);
	return n;
}

int main(int argc, char **argv)
{
	uint32_t routes = argc > 3 ? (uint32_t)atoi(argv[1]) : 0;
	bool want = argc > 3 && strcmp(argv[2], "there") == 0;
	struct nl_buf b = { 0 };
	struct nl_sock s;
	struct err e;
	double until;

	if (!routes || nl_open(&s, &e) < 0)
		return 2;
	until = now() + atoi(argv[3]);
	for (uint32_t i = 0; i < SAMPLE;) {
		uint32_t at = (uint32_t)((uint64_t)i * (routes - 1) / (SAMPLE - 1));

		if (is_there(&s, &b, FIRST + at * STEP) == want) {
			i++;
			continue;
		}
		if (now() > until) {
			fprintf(stderr, "fibwait: %u of the sample of %d after %s s\n", i, SAMPLE,
				argv[3]);
			return 1;
		}
		nanosleep(&(struct timespec) { .tv_nsec = PAUSE_US * 1000 }, NULL);
	}
	printf("%.6f ", now());
	printf("%u\n", count(&s, &b));
	return 0;
}
