/* route_table.h - inside of the route table; only route*.c include this. */
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include <uthash.h>

#include "dataplane/netlink.h"
#include "dataplane/route.h"
#include "dataplane/route_msg.h"
#include "lib/delta.h"

enum {
	ROUTE_BATCH = 256,	/* messages of one sendmsg; from 32 on the kernel is the limit */
	ROUTE_FLIGHT = 16,	/* batches that are written while the caller goes on */
	ROUTE_FLIGHT_MIN = 512, /* keys; fewer are written sooner than a thread is there */
	ROUTE_RETRY_MS = 10000, /* what the kernel refused is tried again */
	ROUTE_GRACE_MS = 10000, /* an unexpected route on a new workload interface stays so long */
	ROUTE_TABLES_MAX = 8,	/* kernel tables that one process looks after */
	ROUTE_UNKNOWN_MAX = 64, /* interfaces that had routes before we heard of them */
	ROUTE_REPAIRS_MAX = 5000, /* repairs a second: two daemons fighting must not eat the CPU */
	ROUTE_SOURCE_MAX = 1 << 24,
};

/* Why a key waits: notes of the delta. */
enum route_note {
	NOTE_WAITING = 1, /* link */
	NOTE_CONFLICT,
	NOTE_FAILED,
	NOTE_GRACE,
	NOTE_TAKEN, /* EEXIST: a dump must tell who holds the key */
	NOTE_FIGHT, /* too many repairs in this second */
};

enum { ROUTE_UNKNOWN = 255, ROUTE_SCOPE_ANY = 255 }; /* type; RT_SCOPE_NOWHERE */

/* The mark byte of a key. */
enum {
	MARK_OURS = 1,	  /* was ours at some time: replace what is there */
	MARK_TOLD = 2,	  /* trouble was reported; so will be its end */
	MARK_WRITTEN = 4, /* we wrote it ourselves, in this life */
};

/* A spec, interned: equal specs are one object, so comparing is comparing pointers. */
struct route_value {
	UT_hash_handle hh;
	uint32_t refs;
	uint32_t first;	     /* keys that want it (delta) */
	bool waiting;	     /* a key of it was held because of a link */
	uint32_t generation; /* of the links, for `resolved` */
	struct route_value
		*resolved; /* with indexes for names and without dead hops; may be itself;
			    * NULL: no hop is usable. Counted unless it is itself */
	size_t size;	   /* of body and nh */
	struct route_body {
		uint8_t type, protocol, scope;
		uint8_t foreign;  /* not ours, and not to be taken over */
		uint32_t unusual; /* else 0; tells unusual ones apart */
		uint32_t mtu;
		struct addr src;
		uint8_t pad_[3];
		uint32_t n_nh;
	} body;
	struct route_nh nh[]; /* sorted, padding zeroed; follows body without a gap */
};

struct route_claim {
	enum route_class cls;
	uint32_t source;
	struct route_value *value;
};

/* Claims that lost against the one in the delta. */
struct route_losers {
	struct route_key key;
	VEC(struct route_claim) claims;
	UT_hash_handle hh;
};

/* Messages of one sendmsg, and what the kernel said to them. */
struct route_batch {
	struct nl_buf out;
	unsigned n;
	uint32_t id[ROUTE_BATCH];
	int code[ROUTE_BATCH];
	char text[96]; /* the kernel's words on the first failure */
};

/* Batches on their way to the kernel, with the requests socket: until they have landed both are the
 * thread's. Their keys are on no list of the delta. */
struct route_flight {
	pthread_t thread;
	sem_t go, landed;
	bool has_thread, end, up;
	enum delta_list list;
	struct nl_sock *nl;
	unsigned n, done; /* batches; those that the kernel has answered */
	struct route_batch *batch;
	int rc; /* of the socket: not yet told to the caller */
	struct err e;
};

struct route_table {
	struct route_config cfg;
	struct link_table *links;
	struct nl_sock requests, events;
	struct delta delta;
	struct route_value *values;
	struct route_losers *losers;
	uint32_t tables[ROUTE_TABLES_MAX];
	unsigned n_tables;
	bool ready, resync; /* resync: a dump is due */
	uint32_t unusual;   /* counter */
	uint32_t link_generation;
	uint32_t unknown[ROUTE_UNKNOWN_MAX]; /* interface indexes */
	unsigned n_unknown;
	uint64_t now_ms, retry_ms, grace_ms, fight_ms; /* UINT64_MAX: not due */
	uint64_t second;
	uint32_t repairs;
	bool gateway_stale; /* look again whether 169.254.1.1 has a route */
	bool may_fly;	    /* in this apply */
	struct route_batch batch;
	struct route_flight flight;
	struct route_counts counts;
	VEC(struct link_age {
		uint32_t ifindex;
		uint64_t since_ms;
	})
	ages; /* workload interfaces younger than the grace time */
};

/* ---- route_value.c ---- */
extern const struct delta_type route_delta_type;
struct route_value *route_value_intern(struct route_table *rt, const struct route_spec *s,
				       bool foreign, bool unusual);
/* Stands for "something of this protocol may be there": what is wanted gets written over it, what
 * is not wanted removed by its key. */
struct route_value *route_value_unknown(struct route_table *rt, uint8_t protocol);
void route_value_ref(void *ctx, void *value);
void route_value_unref(void *ctx, void *value);
/* The form that the kernel gets; NULL while no hop's link is up. Cached until links change. */
struct route_value *route_value_resolve(struct route_table *rt, struct route_value *v);
bool route_value_uses(const struct route_value *v, const struct link *l);
struct route_spec route_value_spec(const struct route_value *v);

/* ---- route.c ---- */
bool route_is_workload(const struct route_table *rt, const char *ifname);
void route_report(struct route_table *rt, uint32_t id, int code, const char *text);

/* ---- route_apply.c ---- */
/* Wait for what is being written and take in what came of it. Whoever changes or looks for keys of
 * the delta by other means than claims calls this first. */
void route_flight_land(struct route_table *rt);
/* Nothing is in flight, or will be soon: the thread ends. */
void route_flight_done(struct route_table *rt);

/* ---- route_sync.c ---- */
int route_resync(struct route_table *rt, struct err *e);
int route_dump_link(struct route_table *rt, uint32_t ifindex, struct err *e);
int route_drain_events(struct route_table *rt);

/* ---- route_links.c ---- */
void route_on_link(void *arg, enum link_event ev, const struct link *l, const struct prefix *addr);
void route_links_scan(struct route_table *rt);
uint64_t route_link_grace(struct route_table *rt, const struct route_value *have);

/* ---- route_gateway.c ---- */
bool route_covers_gateway(const struct route_key *key);
void route_gateway_update(struct route_table *rt);
