/* nft_watch.h - who changes the tables of iptables-nft: the kernel's word on every change.
 *
 * iptables-nft keeps its rules in nftables, which tells listeners of every chain and rule that came
 * or went, with the netlink address of who did it. What our own children write is dropped in the
 * kernel; of the rest the chain's name is handed on. (iptables-legacy has no such events.) */
#pragma once

#include "dataplane/iptables.h"
#include "dataplane/nlmsg.h"
#include "lib/err.h"

enum { NFT_WATCH_OWN_MAX = 8 }; /* children at a time: filter.c has two at work, two that wait */

struct nft_watch {
	int fd; /* for the loop; -1: closed */
	struct {
		uint32_t pid;	      /* 0: free */
		unsigned generations; /* transactions of it that are in force */
	} own[NFT_WATCH_OWN_MAX];
	/* A chain that was told is in use, and none of its transaction's rules was seen yet. */
	enum ip_family renamed_family;
	enum ipt_table renamed; /* IPT_TABLES_: none */
	/* Whoever ended the transaction under way when `ask` was set: the kernel says it behind the
	 * changes themselves. */
	bool ask;
	struct nft_by {
		uint32_t pid; /* 0: unknown */
		char name[16];
	} by;
};

/* family IP_NONE and chain NULL: everything may have changed (events were lost). chain NULL: the
 * whole table; also where a chain of it may have got another name, because the old one is not told. */
typedef void (*nft_watch_fn)(void *arg, enum ip_family family, enum ipt_table table,
			     const char *chain);

int nft_watch_open(struct nft_watch *w, struct err *e);
void nft_watch_close(struct nft_watch *w);
/* A child of ours writes; it has ended (what arrived until then is given to fn). Between the two
 * its events do not count. */
void nft_watch_own(struct nft_watch *w, pid_t child);
void nft_watch_disown(struct nft_watch *w, pid_t child, nft_watch_fn fn, void *arg);
/* How many transactions of this child have come into force, as far as was read. The kernel says so
 * some ten milliseconds before the child ends, which waits for old rules to be freed. */
unsigned nft_watch_generations(const struct nft_watch *w, pid_t child);
/* Take in what has arrived. 1: perhaps more. */
int nft_watch_read(struct nft_watch *w, nft_watch_fn fn, void *arg);

/* One message that is not our own, pure. */
void nft_watch_parse(struct nft_watch *w, const struct nlmsghdr *h, nft_watch_fn fn, void *arg);
