/* nft_watch.c - who changes the tables of iptables-nft
 * WHY    A transaction of 20 000 rules of our own would be 20 000 events to read, more than the
 *        socket holds; so the kernel drops them by the sender's address, which is our child's pid.
 *        What slips through that filter (it is set after the child has started) is recognised here.
 * SHAPE  NFNLGRP_NFTABLES carries one message for each chain or rule; a table that goes says so
 *        itself and for each of its chains.
 * SPEC   linux/netfilter/nf_tables.h. A process of another pid namespace may bear the pid of our
 *        child for these milliseconds; the refresh interval is for that. */
#include "dataplane/nft_watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	RCVBUF = 4 << 20, /* 4 MiB: about 8000 rules changed by others between two loop turns */
	READ_SIZE = 65536,
	READ_MAX = 256, /* datagrams a call */
	MSG_NEWGEN = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN,
};

static int sock_open(struct nft_watch *w, struct err *e)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int group = NFNLGRP_NFTABLES, size = RCVBUF;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);

	if (fd < 0)
		return err_set(e, -errno, "nftables events: %s", strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0) {
		int rc = err_set(e, -errno, "nftables events: %s", strerror(errno));

		close(fd);
		return rc;
	}
	w->fd = fd;
	return 0;
}

int nft_watch_open(struct nft_watch *w, struct err *e)
{
	*w = (struct nft_watch) { .fd = -1, .renamed = IPT_TABLES_ };
	return sock_open(w, e);
}

void nft_watch_close(struct nft_watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

/* ---- our own ---- */

/* A constant as a filter sees it: filters load big-endian, headers are in the machine's own order. */
static uint32_t seen32(uint32_t v)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? v : __builtin_bswap32(v);
}

static uint32_t seen16(uint16_t v)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? v : __builtin_bswap16(v);
}

/* "Is it a generation? Take it. Is the sender one of these? Then drop it." */
static void filter_set(struct nft_watch *w)
{
	enum { HEAD = 3, LAST = HEAD + NFT_WATCH_OWN_MAX };
	struct sock_filter code[LAST + 2] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, seen16(MSG_NEWGEN), LAST - 2, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		[LAST] = BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
		[LAST + 1] = BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	/* A free place compares with 0, the kernel's own address, which changes nothing by itself:
	 * jump over nothing then. */
	for (int i = 0; i < NFT_WATCH_OWN_MAX; i++) {
		uint8_t drop = w->own[i].pid ? (uint8_t)(NFT_WATCH_OWN_MAX - i) : 0;

		code[HEAD + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							      seen32(w->own[i].pid), drop, 0);
	}
	setsockopt(w->fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

static int own_find(const struct nft_watch *w, uint32_t pid)
{
	for (int i = 0; i < NFT_WATCH_OWN_MAX; i++)
		if (w->own[i].pid == pid)
			return i;
	return -1;
}

static void own_replace(struct nft_watch *w, uint32_t old, uint32_t new)
{
	int i = own_find(w, old);

	if (i < 0)
		return;
	w->own[i].pid = new;
	w->own[i].generations = 0;
	filter_set(w);
}

unsigned nft_watch_generations(const struct nft_watch *w, pid_t child)
{
	int i = child > 0 ? own_find(w, (uint32_t)child) : -1;

	return i < 0 ? 0 : w->own[i].generations;
}

void nft_watch_own(struct nft_watch *w, pid_t child)
{
	if (w->fd >= 0 && child > 0)
		own_replace(w, 0, (uint32_t)child);
}

void nft_watch_disown(struct nft_watch *w, pid_t child, nft_watch_fn fn, void *arg)
{
	if (w->fd < 0 || child <= 0)
		return;
	while (nft_watch_read(w, fn, arg) > 0)
		;
	own_replace(w, (uint32_t)child, 0);
}

/* Is it one of ours? Then only that it is in force matters. */
static bool is_own(struct nft_watch *w, const struct nlmsghdr *h)
{
	int i = h->nlmsg_pid ? own_find(w, h->nlmsg_pid) : -1;

	if (i >= 0 && h->nlmsg_type == MSG_NEWGEN)
		w->own[i].generations++;
	return i >= 0;
}

/* ---- events ---- */

/* Where a message names its table and its chain; chain 0: it names none. */
static bool names_of(uint16_t type, unsigned *table, unsigned *chain)
{
	if (NFNL_SUBSYS_ID(type) != NFNL_SUBSYS_NFTABLES)
		return false;
	*chain = 0;
	switch (NFNL_MSG_TYPE(type)) {
	case NFT_MSG_NEWTABLE:
	case NFT_MSG_DELTABLE:
		*table = NFTA_TABLE_NAME;
		return true;
	case NFT_MSG_NEWCHAIN:
	case NFT_MSG_DELCHAIN:
		*table = NFTA_CHAIN_TABLE;
		*chain = NFTA_CHAIN_NAME;
		return true;
	case NFT_MSG_NEWRULE:
	case NFT_MSG_DELRULE:
		*table = NFTA_RULE_TABLE;
		*chain = NFTA_RULE_CHAIN;
		return true;
	default:
		return false;
	}
}

static enum ip_family family_of(uint8_t nfproto)
{
	switch (nfproto) {
	case NFPROTO_IPV4:
		return IP_V4;
	case NFPROTO_IPV6:
		return IP_V6;
	default:
		return IP_NONE;
	}
}

/* The end of somebody's transaction. A chain of it that is in use, and got no rule in it, is an old one
 * under a new name (iptables -E). */
static void generation(struct nft_watch *w, const struct nlmsghdr *h, nft_watch_fn fn, void *arg)
{
	const struct nlattr *tb[NFTA_GEN_MAX + 1] = { NULL };
	enum ipt_table renamed = w->renamed;
	const char *name;

	w->renamed = IPT_TABLES_;
	if (renamed < IPT_TABLES_)
		fn(arg, w->renamed_family, renamed, NULL);
	if (!w->ask)
		return;
	nl_attrs(h, sizeof(struct nfgenmsg), tb, NFTA_GEN_MAX);
	name = nl_attr_str(tb[NFTA_GEN_PROC_NAME]);
	w->ask = false;
	w->by.pid = ntohl(nl_attr_u32(tb[NFTA_GEN_PROC_PID]));
	str_copy(w->by.name, sizeof(w->by.name), name ? name : "");
}

static void maybe_renamed(struct nft_watch *w, uint16_t type, const struct nlattr *const tb[],
			  enum ip_family family, enum ipt_table t)
{
	bool is_chain = NFNL_MSG_TYPE(type) == NFT_MSG_NEWCHAIN && !tb[NFTA_CHAIN_HOOK];

	w->renamed = is_chain && nl_attr_u32(tb[NFTA_CHAIN_USE]) ? t : IPT_TABLES_;
	w->renamed_family = family;
}

void nft_watch_parse(struct nft_watch *w, const struct nlmsghdr *h, nft_watch_fn fn, void *arg)
{
	const struct nlattr *tb[NFTA_CHAIN_USE + 1] = { NULL };
	const struct nfgenmsg *g = nl_body(h, sizeof(*g));
	const char *table_name, *chain_name;
	unsigned table, chain;
	enum ip_family family;
	enum ipt_table t;

	if (g && h->nlmsg_type == MSG_NEWGEN)
		generation(w, h, fn, arg);
	if (!g || !names_of(h->nlmsg_type, &table, &chain))
		return;
	family = family_of(g->nfgen_family);
	nl_attrs(h, sizeof(*g), tb, NFTA_CHAIN_USE);
	table_name = nl_attr_str(tb[table]);
	chain_name = chain ? nl_attr_str(tb[chain]) : NULL;
	if (family == IP_NONE || !table_name || (chain && !chain_name))
		return;
	t = ipt_table_of(table_name);
	/* A table that comes has chains to come, which speak for themselves. */
	if (t == IPT_TABLES_ || NFNL_MSG_TYPE(h->nlmsg_type) == NFT_MSG_NEWTABLE)
		return;
	maybe_renamed(w, h->nlmsg_type, tb, family, t);
	fn(arg, family, t, chain_name);
}

int nft_watch_read(struct nft_watch *w, nft_watch_fn fn, void *arg)
{
	static _Alignas(struct nlmsghdr) uint8_t buf[READ_SIZE];

	for (int i = 0; i < READ_MAX; i++) {
		struct sockaddr_nl from = { 0 };
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(w->fd, buf, sizeof(buf), MSG_DONTWAIT,
				     (struct sockaddr *)&from, &from_len);
		const uint8_t *p = buf;
		const struct nlmsghdr *h;
		size_t left;

		if (n < 0 && errno == ENOBUFS)
			fn(arg, IP_NONE, IPT_TABLES_, NULL);
		else if (n < 0 && errno != EINTR)
			return 0;
		if (n <= 0 || from.nl_pid != 0)
			continue;
		left = (size_t)n;
		while ((h = nl_next(&p, &left)))
			if (!is_own(w, h))
				nft_watch_parse(w, h, fn, arg);
	}
	return 1;
}
