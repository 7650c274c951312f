/* route.h - kernel routes: what should be there against what is there.
 *
 * Callers state what they want (route_desire, route_forget); route_apply brings the kernel there
 * in batches: additions and replacements first, removals last. What the kernel has is known from
 * one dump at the start and from events after that; a dump is repeated only when events were lost.
 * A restart therefore adopts what is right and writes nothing.
 *
 *	struct route_table *rt = route_table_new(&cfg, links, &e);
 *	route_desire(rt, ROUTE_CLASS_NOENCAP, 0, &key, &spec);
 *	route_table_ready(rt);		all that is wanted is known: leftovers may go
 *	route_apply(rt, now_ms, 0, &e);
 *	... loop: when route_table_fd(rt) is readable: route_table_read(rt, &e), then route_apply
 *	... at route_table_due(rt): route_apply
 *
 * OWNERSHIP (what may be replaced or removed): routes in the configured table with our protocol;
 * with any protocol on a workload interface ("cali*"); with a protocol listed in take_over, only
 * where the same key is wanted. Never default routes, connected routes (protocol kernel), local
 * and multicast ones, fe80::/10. A wanted key that a foreign route holds waits in ROUTE_CONFLICT
 *and goes in when the foreign route goes. */
#pragma once

#include "lib/addr.h"
#include "lib/err.h"
#include "dataplane/link.h"

enum {
	ROUTE_NH_MAX = 64, /* next hops of one route; ECMP of a fabric is 8 to 32 wide */
	ROUTE_TABLE_MAIN = 254,
	ROUTE_PROTO_BOOT = 3,
	ROUTE_PROTO_BIRD = 12,
	ROUTE_PROTO_MARGAY = 80,
	ROUTE_SCOPE_GLOBAL = 0,
	ROUTE_SCOPE_LINK = 253,
};

enum route_type {
	ROUTE_UNICAST = 1, /* RTN_UNICAST */
	ROUTE_BLACKHOLE = 6,
};

/* Who wins when several want the same key: the lowest. Inside a class the higher interface index
 * (the newer pod), then the later claim. */
enum route_class {
	ROUTE_CLASS_WORKLOAD,
	ROUTE_CLASS_GATEWAY, /* 169.254.1.1 on lo, kept by the table itself */
	ROUTE_CLASS_WIREGUARD,
	ROUTE_CLASS_VXLAN_SAME_SUBNET,
	ROUTE_CLASS_VXLAN,
	ROUTE_CLASS_IPIP_SAME_SUBNET,
	ROUTE_CLASS_IPIP,
	ROUTE_CLASS_NOENCAP,
	ROUTE_CLASS_BLACKHOLE,
	ROUTE_CLASS_MAX_,
};

/* The kernel's key of a route. Zero the struct first (or use an initialiser): it is compared as
 * bytes. metric 0 of IPv6 means 1024, as in the kernel. */
struct route_key {
	struct prefix dst; /* without host bits */
	uint8_t pad_[2];
	uint32_t metric;
	uint32_t table; /* 0: the configured one */
};

struct route_nh {
	struct addr gw;		    /* IP_NONE: straight out of the interface */
	uint32_t ifindex;	    /* or 0, and */
	char ifname[LINK_NAME_MAX]; /* the name, looked up whenever the link comes or goes */
	uint16_t weight;	    /* 0 and 1 are the same; up to 256 */
	bool onlink;
};

struct route_spec {
	enum route_type type;	   /* 0: unicast */
	uint8_t protocol;	   /* 0: the configured one */
	uint8_t scope;		   /* IPv4: ROUTE_SCOPE_LINK for a pod's /32 */
	uint32_t mtu;		   /* 0: none */
	struct addr src;	   /* preferred source; IP_NONE: none */
	unsigned n_nh;		   /* 0 for blackhole */
	const struct route_nh *nh; /* order does not matter; copied */
};

struct route_config {
	uint8_t protocol;	     /* ours; 0: 80 */
	uint32_t table;		     /* 0: 254, main */
	const char *const *workload; /* interface name prefixes, ended by NULL; NULL: "cali" only */
	const uint8_t *take_over;    /* protocols, ended by 0; NULL: bird (12) */
	bool keep_external;	     /* on workload interfaces remove only protocols 3 and ours */
	bool gateway;		     /* keep 169.254.1.1 answerable without a default route */
	unsigned thread_from;	     /* so many writes at once are a thread's; 0: 512 */
	/* A route failed, got into conflict, or works again (code 0). Called from route_apply, or
	 * from whatever had to wait for its writes; text is one sentence. May be NULL. */
	void (*report)(void *arg, const struct route_key *key, int code, const char *text);
	void *arg;
};

enum route_state {
	ROUTE_ABSENT, /* not wanted and not known */
	ROUTE_IN_KERNEL,
	ROUTE_PENDING,	/* wanted; the next route_apply writes it */
	ROUTE_WAITING,	/* for a link to exist and be up */
	ROUTE_CONFLICT, /* a foreign route holds the key */
	ROUTE_FAILED,	/* the kernel refused; tried again every 10 s and at each link event */
	ROUTE_LEAVING,	/* no longer wanted, still there */
};

struct route_counts {
	uint32_t desired, installed, waiting, conflicts, failed;
	uint64_t written, removed; /* accepted by the kernel, since the start */
	uint64_t foreign;	   /* times that somebody changed or removed a route of ours */
	uint64_t resyncs;	   /* dumps after the first */
	uint64_t others;	   /* times that a route of somebody else's may have changed */
};

struct route_table;

/* Open sockets in the current network namespace, dump the kernel's routes. links must outlive the
 * table, which watches it. NULL on failure. */
struct route_table *route_table_new(const struct route_config *cfg, struct link_table *links,
				    struct err *e);
void route_table_free(struct route_table *rt); /* leaves the kernel as it is */

/* Claim a key. (class, source, key) is the identity of a claim: source tells several claimants of
 * one class apart (a number for each pod; 0 where there is only one). Claiming again replaces.
 * -EINVAL with a sentence when the claim can never be a route. */
int route_desire(struct route_table *rt, enum route_class cls, uint32_t source,
		 const struct route_key *key, const struct route_spec *spec, struct err *e);
/* Give a claim up; unknown ones are ignored. */
void route_forget(struct route_table *rt, enum route_class cls, uint32_t source,
		  const struct route_key *key);
/* These, ROUTE_PREFETCH_MAX at most, will be claimed or given up soon: what that looks at comes into the
 * cache for all of them at once. */
enum { ROUTE_PREFETCH_MAX = 32 };
void route_prefetch(const struct route_table *rt, const struct route_key *keys, unsigned n);
/* Everything wanted at start has been claimed: from now on unwanted routes of ours are removed.
 * Before this call route_apply only adds. Calling it again does nothing. */
void route_table_ready(struct route_table *rt);

/* Bring the kernel nearer to what is wanted; at most budget writes (0: all). now_ms is monotonic.
 * Returns 1 when work is left that could be done at once, 0 when not, -errno when the socket
 * failed (the next call starts with a dump). With a budget a large number of writes is begun only:
 * the caller does other work, the next call waits for their outcome. What they are about is
 * ROUTE_PENDING so long; claims of just these keys, and events, wait for them too. */
int route_apply(struct route_table *rt, uint64_t now_ms, unsigned budget, struct err *e);
/* Is there anything that route_apply could do now? */
bool route_table_dirty(const struct route_table *rt);
/* When to call route_apply next although nothing happened; UINT64_MAX: never. */
uint64_t route_table_due(const struct route_table *rt);

int route_table_fd(const struct route_table *rt);
/* Take in events; then call route_apply. 1: events were lost and the tables dumped. */
int route_table_read(struct route_table *rt, struct err *e);
/* Dump the kernel's routes again (SIGUSR2, a timer, a test). */
int route_table_resync(struct route_table *rt, struct err *e);

enum route_state route_state(const struct route_table *rt, const struct route_key *key);
/* Is there such a claim, winning or not? */
bool route_has_claim(const struct route_table *rt, enum route_class cls, uint32_t source,
		     const struct route_key *key);
/* What wins the key now, or is there though nobody wants it; false when there is neither. nh has
 * room for ROUTE_NH_MAX and is what spec points to. */
bool route_lookup(const struct route_table *rt, const struct route_key *key,
		  struct route_spec *spec, struct route_nh *nh);
struct route_counts route_counts(const struct route_table *rt);
const char *route_state_text(enum route_state s);
/* Every known key once, in no order. spec is what is wanted, or what is there when nothing is. */
typedef void (*route_each_fn)(void *arg, const struct route_key *key, enum route_state state,
			      const struct route_spec *spec);
void route_each(const struct route_table *rt, route_each_fn fn, void *arg);
