/* nft_watch.c - who changes the tables of iptables-nft
 * WHY    A transaction of 20 000 rules of our own would be 20 000 events to read, more than the
 *        socket holds; so the kernel drops them by the sender's address, which is our child's pid.
 *        What slips through that filter (it is set after the child has started) is recognised here.
 * SHAPE  NFNLGRP_NFTABLES carries one message for each chain or rule; a table that goes says so
 *        itself and for each of its chains.
 * SPEC   linux/netfilter/nf_tables.h. A process of another pid namespace may bear the pid of our
 *        child for these milliseconds; the refresh interval is for that. */
#include "dataplane/nft_watch.h"

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
	*w = (struct nft_watch) { .fd = -1 };
	return sock_open(w, e);
}

void nft_watch_close(struct nft_watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

/* ---- our own ---- */

/* "Is the sender one of these? Then drop it." Empty: no filter at all. */
static void filter_set(struct nft_watch *w)
{
	struct sock_filter code[NFT_WATCH_OWN_MAX + 3] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
	};
	struct sock_fprog prog = { .len = 1, .filter = code };
	unsigned n = 0;
	int none = 0;

	for (int i = 0; i < NFT_WATCH_OWN_MAX; i++)
		n += w->own[i] != 0;
	if (!n) {
		setsockopt(w->fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));
		return;
	}
	for (int i = 0; i < NFT_WATCH_OWN_MAX; i++) {
		/* The kernel loads big-endian, the address is in the host's order. */
		uint32_t pid = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
				       ? w->own[i]
				       : __builtin_bswap32(w->own[i]);

		if (w->own[i]) {
			uint8_t over = (uint8_t)(n--);

			code[prog.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
									pid, over, 0);
		}
	}
	code[prog.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
	code[prog.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	setsockopt(w->fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

static void own_replace(struct nft_watch *w, uint32_t old, uint32_t new)
{
	for (int i = 0; i < NFT_WATCH_OWN_MAX; i++) {
		if (w->own[i] != old)
			continue;
		w->own[i] = new;
		filter_set(w);
		return;
	}
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

static bool is_own(const struct nft_watch *w, uint32_t pid)
{
	for (int i = 0; pid && i < NFT_WATCH_OWN_MAX; i++)
		if (w->own[i] == pid)
			return true;
	return false;
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

void nft_watch_parse(const struct nlmsghdr *h, nft_watch_fn fn, void *arg)
{
	const struct nlattr *tb[NFTA_CHAIN_NAME + 1] = { NULL };
	const struct nfgenmsg *g = nl_body(h, sizeof(*g));
	const char *table_name, *chain_name;
	unsigned table, chain;
	enum ip_family family;
	enum ipt_table t;

	if (!g || !names_of(h->nlmsg_type, &table, &chain))
		return;
	family = family_of(g->nfgen_family);
	nl_attrs(h, sizeof(*g), tb, NFTA_CHAIN_NAME);
	table_name = nl_attr_str(tb[table]);
	chain_name = chain ? nl_attr_str(tb[chain]) : NULL;
	if (family == IP_NONE || !table_name || (chain && !chain_name))
		return;
	t = ipt_table_of(table_name);
	/* A table that comes has chains to come, which speak for themselves. */
	if (t == IPT_TABLES_ || NFNL_MSG_TYPE(h->nlmsg_type) == NFT_MSG_NEWTABLE)
		return;
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
			if (!is_own(w, h->nlmsg_pid))
				nft_watch_parse(h, fn, arg);
	}
	return 1;
}
