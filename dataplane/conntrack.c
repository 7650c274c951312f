/* conntrack.c - find flows and remove them
 * WHY    Forking conntrack(8) twice for every address, as others do, costs more than the search.
 *        Raw messages, because libnetfilter_conntrack cannot say "flows with this source": the
 *        kernel's filter (CTA_FILTER) takes a part of a tuple. The library is the independent
 *        reader in tests/unit/dataplane/conntrack.c.
 *        Of IPv4 only: for IPv6 the kernel's filter is the wrong way round (Linux 6.18 removes
 * every flow but those of the address; the comparison in ctnetlink_filter_match_tuple is negated).
 * SHAPE  A pass is a dump, read some datagrams a call. A flow is removed by its own tuple and id,
 * as the dump gave them, so that a new flow with the same tuple lives. SPEC
 * linux/netfilter/nfnetlink_conntrack.h; the bits of CTA_FILTER_*_FLAGS are the kernel's
 *        include/linux/netfilter/nf_conntrack_common.h, 1 being the source address. */
#include "dataplane/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/netlink.h"

enum {
	FILTER_IP_SRC = 1,
	MSG_GET = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
	MSG_DELETE = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE,
	BATCH_MAX = 256,
	READ_SIZE = 65536,
};

struct conntrack {
	struct nl_sock ask;  /* requests and their answers */
	struct nl_sock dump; /* fd -1: no pass under way */
	bool kernel_search;  /* as far as we know */
	flow_fn fn;
	void *arg;
	struct nl_buf removals;
	int failed; /* of a batch */
	uint64_t removed, looked;
	uint8_t *rx;
};

static int sock_open(struct nl_sock *s, struct err *e)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };

	*s = (struct nl_sock) { .fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
					     NETLINK_NETFILTER) };
	if (s->fd < 0)
		return err_set(e, -errno, "conntrack socket: %s", strerror(errno));
	if (bind(s->fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return 0;
	err_set(e, -errno, "conntrack socket: %s", strerror(errno));
	nl_close(s);
	return -EIO;
}

struct conntrack *conntrack_open(struct err *e)
{
	struct conntrack *c = xcalloc(1, sizeof(*c));

	c->dump.fd = -1;
	c->kernel_search = true;
	if (sock_open(&c->ask, e) < 0) {
		free(c);
		return NULL;
	}
	return c;
}

void conntrack_close(struct conntrack *c)
{
	if (!c)
		return;
	nl_close(&c->ask);
	nl_close(&c->dump);
	nl_buf_done(&c->removals);
	free(c->rx);
	free(c);
}

void conntrack_let_kernel_search(struct conntrack *c, bool may)
{
	c->kernel_search = may;
}

uint64_t conntrack_removed(const struct conntrack *c)
{
	return c->removed;
}

/* ---- messages ---- */

static void msg(struct nl_buf *b, uint16_t type, uint16_t flags, enum ip_family family)
{
	/* Version 1: the family counts. */
	struct nfgenmsg g = { .nfgen_family = nl_family(family), .version = 1 };

	nl_msg(b, type, flags, &g, sizeof(g));
}

/* "Remove the flows whose first packet (or whose answers) came from a." An old kernel that does not
 * know the filter refuses: the tuple is not whole. */
static void put_forget(struct nl_buf *b, const struct addr *a, bool reply)
{
	size_t tuple, ip, filter;

	msg(b, MSG_DELETE, 0, IP_V4);
	tuple = nl_nest(b, NLA_F_NESTED | (reply ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG));
	ip = nl_nest(b, NLA_F_NESTED | CTA_TUPLE_IP);
	nl_add_addr(b, CTA_IP_V4_SRC, a);
	nl_nest_end(b, ip);
	nl_nest_end(b, tuple);
	filter = nl_nest(b, NLA_F_NESTED | CTA_FILTER);
	nl_add_u32(b, reply ? CTA_FILTER_REPLY_FLAGS : CTA_FILTER_ORIG_FLAGS, FILTER_IP_SRC);
	nl_nest_end(b, filter);
}

static void copy_attr(struct nl_buf *b, const struct nlattr *a)
{
	if (a)
		nl_add(b, a->nla_type, nl_attr_data(a), nl_attr_len(a));
}

static void put_removal(struct nl_buf *b, enum ip_family family, const struct nlattr *const tb[])
{
	msg(b, MSG_DELETE, 0, family);
	copy_attr(b, tb[CTA_TUPLE_ORIG]);
	copy_attr(b, tb[CTA_ZONE]);
	copy_attr(b, tb[CTA_ID]);
}

static uint16_t be16(const struct nlattr *a)
{
	return ntohs(nl_attr_u16(a));
}

static uint32_t be32(const struct nlattr *a)
{
	return ntohl(nl_attr_u32(a));
}

static void side_parse(const struct nlattr *tuple, struct flow *f, struct flow_side *s)
{
	const struct nlattr *tb[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1], *l4[CTA_PROTO_MAX + 1];

	nl_nested(tuple, tb, CTA_TUPLE_MAX);
	nl_nested(tb[CTA_TUPLE_IP], ip, CTA_IP_MAX);
	nl_nested(tb[CTA_TUPLE_PROTO], l4, CTA_PROTO_MAX);
	s->src = nl_attr_addr(ip[CTA_IP_V4_SRC] ? ip[CTA_IP_V4_SRC] : ip[CTA_IP_V6_SRC]);
	s->dst = nl_attr_addr(ip[CTA_IP_V4_DST] ? ip[CTA_IP_V4_DST] : ip[CTA_IP_V6_DST]);
	s->sport = be16(l4[CTA_PROTO_SRC_PORT]);
	s->dport = be16(l4[CTA_PROTO_DST_PORT]);
	if (s != &f->orig)
		return;
	f->proto = nl_attr_u8(l4[CTA_PROTO_NUM]);
	f->icmp_type = nl_attr_u8(l4[CTA_PROTO_ICMP_TYPE] ? l4[CTA_PROTO_ICMP_TYPE]
							  : l4[CTA_PROTO_ICMPV6_TYPE]);
	f->icmp_code = nl_attr_u8(l4[CTA_PROTO_ICMP_CODE] ? l4[CTA_PROTO_ICMP_CODE]
							  : l4[CTA_PROTO_ICMPV6_CODE]);
}

/* ---- a pass ---- */

static void on_refused(void *arg, unsigned index, int code, const char *text)
{
	struct conntrack *c = arg;

	c->removed--;
	/* It ended by itself meanwhile. */
	if (code != -ENOENT)
		c->failed = code;
}

static int removals_send(struct conntrack *c, struct err *e)
{
	int rc;

	if (!c->removals.n)
		return 0;
	c->failed = 0;
	c->removed += c->removals.n;
	rc = nl_batch(&c->ask, &c->removals, on_refused, c, e);
	if (rc < 0)
		return rc;
	return c->failed
		       ? err_set(e, c->failed, "a flow cannot be removed: %s", strerror(-c->failed))
		       : 0;
}

static void flow_look(struct conntrack *c, const struct nlmsghdr *h)
{
	const struct nfgenmsg *g = nl_body(h, sizeof(*g));
	const struct nlattr *tb[CTA_MAX + 1];
	struct flow f = { 0 };

	if (!g || !nl_attrs(h, sizeof(*g), tb, CTA_MAX) || !tb[CTA_TUPLE_ORIG])
		return;
	c->looked++;
	side_parse(tb[CTA_TUPLE_ORIG], &f, &f.orig);
	side_parse(tb[CTA_TUPLE_REPLY], &f, &f.reply);
	f.mark = be32(tb[CTA_MARK]);
	f.status = be32(tb[CTA_STATUS]);
	if (f.orig.src.family != IP_NONE && c->fn(c->arg, &f))
		put_removal(&c->removals, nl_family_of(g->nfgen_family), tb);
}

static int pass_end(struct conntrack *c, int rc)
{
	nl_close(&c->dump);
	nl_buf_clear(&c->removals);
	return rc;
}

/* 1: more to come; 0: that was the end; -errno. */
static int datagram_take(struct conntrack *c, const uint8_t *p, size_t left, struct err *e)
{
	const struct nlmsghdr *h;

	while ((h = nl_next(&p, &left))) {
		const struct nlmsgerr *err = nl_body(h, sizeof(*err));

		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return err_set(e, err && err->error ? err->error : -EPROTO,
				       "the kernel's list of flows: %s",
				       strerror(err ? -err->error : EPROTO));
		flow_look(c, h);
	}
	return 1;
}

static int datagram_read(struct conntrack *c, struct err *e)
{
	struct pollfd fd = { .fd = c->dump.fd, .events = POLLIN };
	ssize_t n;

	if (!c->rx)
		c->rx = xmalloc(READ_SIZE);
	if (poll(&fd, 1, NL_WAIT_MS) == 0)
		return err_set(e, -ETIMEDOUT, "the kernel's list of flows: no answer");
	n = recv(c->dump.fd, c->rx, READ_SIZE, 0);
	if (n < 0 && errno == EINTR)
		return 1;
	if (n < 0)
		return err_set(e, -errno, "the kernel's list of flows: %s", strerror(errno));
	return datagram_take(c, c->rx, (size_t)n, e);
}

int conntrack_cut(struct conntrack *c, enum ip_family family, flow_fn fn, void *arg, struct err *e)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct nl_buf b = { 0 };
	ssize_t n;
	int rc;

	if (c->dump.fd >= 0)
		return err_set(e, -EBUSY, "flows are being looked through already");
	rc = sock_open(&c->dump, e);
	if (rc < 0)
		return rc;
	msg(&b, MSG_GET, NLM_F_DUMP, family);
	n = sendto(c->dump.fd, b.p, b.len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	nl_buf_done(&b);
	if (n < 0)
		return pass_end(c, err_set(e, -errno, "conntrack: %s", strerror(errno)));
	c->fn = fn;
	c->arg = arg;
	c->looked = 0;
	return 0;
}

int conntrack_step(struct conntrack *c, unsigned flows, struct err *e)
{
	uint64_t end = c->looked + flows;
	int rc = 1;

	if (c->dump.fd < 0)
		return 0;
	while (rc > 0 && c->looked < end) {
		int sent = 0;

		rc = datagram_read(c, e);
		if (c->removals.n >= BATCH_MAX || rc <= 0)
			sent = removals_send(c, e);
		if (sent < 0)
			rc = sent;
		if (c->looked > CONNTRACK_LOOK_MAX)
			rc = 0;
	}
	if (rc > 0) {
		int sent = removals_send(c, e);

		rc = sent < 0 ? sent : 1;
	}
	return rc > 0 ? 1 : pass_end(c, rc);
}

/* ---- addresses ---- */

struct wanted {
	const struct addr *addrs; /* sorted */
	size_t n;
};

static int by_addr(const void *a, const void *b)
{
	return addr_cmp(a, b);
}

static bool is_wanted(const struct wanted *w, const struct addr *a)
{
	return bsearch(a, w->addrs, w->n, sizeof(*a), by_addr) != NULL;
}

static bool began_or_answers(void *arg, const struct flow *f)
{
	return is_wanted(arg, &f->orig.src) || is_wanted(arg, &f->reply.src);
}

/* In a pass of its own, though another may be under way. */
static int forget_by_pass(struct conntrack *c, enum ip_family family, struct wanted *w,
			  struct err *e)
{
	struct conntrack own = { .ask = c->ask, .dump = { .fd = -1 } };
	int rc = conntrack_cut(&own, family, began_or_answers, w, e);

	while (rc >= 0 && (rc = conntrack_step(&own, UINT32_MAX, e)) > 0)
		;
	c->removed += own.removed;
	c->ask = own.ask;
	nl_buf_done(&own.removals);
	free(own.rx);
	return rc;
}

static void on_no_search(void *arg, unsigned index, int code, const char *text)
{
	struct conntrack *c = arg;

	if (code != -ENOENT)
		c->failed = code;
}

/* 0: done; 1: this kernel cannot; -errno. */
static int forget_by_kernel(struct conntrack *c, const struct addr *addrs, size_t n, struct err *e)
{
	struct nl_buf b = { 0 };
	int rc;

	for (size_t i = 0; i < n; i++) {
		if (addrs[i].family != IP_V4)
			continue;
		put_forget(&b, &addrs[i], false);
		put_forget(&b, &addrs[i], true);
	}
	c->failed = 0;
	rc = nl_batch(&c->ask, &b, on_no_search, c, e);
	nl_buf_done(&b);
	if (rc < 0)
		return rc;
	if (c->failed)
		c->kernel_search = false;
	return c->failed != 0;
}

static int forget_all_by_pass(struct conntrack *c, const struct addr *addrs, size_t n, bool v4,
			      bool v6, struct err *e)
{
	CLEANUP(freep) struct addr *sorted = xmemdup(addrs, n * sizeof(*addrs));
	struct wanted w = { .addrs = sorted, .n = n };
	int rc = 0;

	qsort(sorted, n, sizeof(*sorted), by_addr);
	if (v4)
		rc = forget_by_pass(c, IP_V4, &w, e);
	if (rc >= 0 && v6)
		rc = forget_by_pass(c, IP_V6, &w, e);
	return rc < 0 ? rc : 0;
}

int conntrack_forget(struct conntrack *c, const struct addr *addrs, size_t n, struct err *e)
{
	bool v6 = false;
	size_t n_v4 = 0;
	int rc = 1;

	for (size_t i = 0; i < n; i++) {
		v6 |= addrs[i].family == IP_V6;
		n_v4 += addrs[i].family == IP_V4;
	}
	if (c->kernel_search && n_v4 <= CONNTRACK_ASK_MAX)
		rc = forget_by_kernel(c, addrs, n, e);
	if (rc < 0)
		return rc;
	if ((!rc || !n_v4) && !v6)
		return 0;
	return forget_all_by_pass(c, addrs, n, rc && n_v4, v6, e);
}

/* ---- is there any? ---- */

bool conntrack_in_use(void)
{
	FILE *f = fopen("/proc/sys/net/netfilter/nf_conntrack_count", "re");
	unsigned n = 0;

	if (!f)
		return false;
	if (fscanf(f, "%u", &n) != 1)
		n = 0;
	fclose(f);
	return n > 0;
}
