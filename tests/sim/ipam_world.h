/* ipam_world.h - hosts, containers and a store, watched by a judge: for the IPAM simulations.
 *
 * The judge sees every write to the store and every answer that a host believes. It says at once
 * when an address that was given to a container leaves that container without a release, when two
 * containers hold one, when a block or handle is broken, when an address comes back too early. */
#pragma once

#include "ipam/op.h"
#include "tests/sim/memstore.h"

enum { HOSTS_MAX = 6, POOLS_MAX = 3, CONTAINERS_MAX = 24 };

enum container_state {
	C_IDLE, /* holds nothing that anybody knows of */
	C_ADDING,
	C_LIVE, /* an ADD succeeded: these addresses are its own */
	C_DELETING,
	C_UNKNOWN, /* an ADD or DEL failed or was cut off */
};

struct container {
	char handle[64];
	unsigned host, generation;
	enum container_state state;
	VEC(struct addr) addrs; /* while LIVE */
};

enum task_kind { T_ADD, T_ADD_IP, T_ADD_AGAIN, T_DEL, T_RELEASE, T_OTHER };

struct task {
	struct ipam_op *op;
	enum task_kind kind;
	unsigned host;
	struct container *c; /* NULL for T_OTHER */
	struct store_req out;
	unsigned steps, want;
	bool clean; /* the handle did not exist when it began */
	struct err err;
	enum ipam_state state;
	const char *name;
};

/* What becomes of a write. */
enum fate {
	FATE_DONE,
	FATE_CONFLICT,	   /* refused although nothing changed */
	FATE_LOST,	   /* not done, not answered */
	FATE_DONE_LOST,	   /* done, not answered */
	FATE_DELAYED_LOST, /* not answered, done some time later */
};

struct world {
	struct memstore m;
	uint64_t seed, rng;
	int64_t now_ns;
	unsigned n_hosts, n_pools;
	struct ipam_pool pool[HOSTS_MAX][POOLS_MAX]; /* as each host sees them */
	struct prefix reserved[2];
	size_t n_reserved;
	unsigned cooldown_s;
	int64_t cache_rev[HOSTS_MAX]; /* 0: up to date */
	struct container container[CONTAINERS_MAX];
	unsigned n_containers;
	VEC(struct store_req) delayed;
	bool trace, faults;
};

/* A world that is wrong: says why and how to see it again, and ends the program. */
_Noreturn void wrong(const struct world *w, const char *fmt, ...) PRINTF(2, 3);

void world_init(struct world *w, uint64_t seed, unsigned n_hosts, const char *config);
void world_pool(struct world *w, const char *name, const char *cidr, unsigned block_len);
struct container *world_container(struct world *w, unsigned host);
/* A new life under a new handle. */
void container_renew(struct container *c);
void world_done(struct world *w);
uint64_t world_random(struct world *w, uint64_t below);

/* Begin something. */
struct task task_add(struct world *w, struct container *c, unsigned v4, unsigned v6, bool all);
struct task task_add_ip(struct world *w, struct container *c, const struct addr *a);
struct task task_del(struct world *w, struct container *c);
struct task task_release(struct world *w, unsigned host, struct container *c, const char *handle,
			 const struct addr *a);
struct task task_gc(struct world *w, unsigned host, bool only_live);
struct task task_handback(struct world *w, unsigned host, bool even_used, bool unselected);
struct task task_repair(struct world *w, unsigned host, bool all_handles);
/* One step: the request is carried out with this fate, and answered. False when the task is over.
 */
bool task_step(struct world *w, struct task *t, enum fate fate, bool read_lost);
/* The request is on its way, nobody waits for the answer: it joins w->delayed, if it is a write. */
void task_send(struct world *w, struct task *t);
/* The host dies in the middle. */
void task_abandon(struct task *t);
/* To the end, without faults. */
void task_finish(struct world *w, struct task *t);
/* Delayed writes happen now; or never. */
void world_delayed(struct world *w, size_t i, bool happens);

/* Everything stopped, repaired, collected: does every object agree with every other? */
void world_settle(struct world *w);
