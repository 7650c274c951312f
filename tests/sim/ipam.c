/* ipam.c - many hosts race for addresses through a store that fails
 *
 *	SEED=7 WORLDS=100000 SECONDS=60 TRACE=1 build/tests/sim-ipam
 *
 * Each world is a seed: some hosts, one or two tiny pools, settings, faults. In each turn somebody
 * begins, goes on by one request, or dies; time passes, caches fall behind, pools are switched off,
 * writes that nobody heard of happen. tests/sim/ipam_world.c judges all the while; at the end all
 * stop, repair and collect, and everything must agree. */
#include <stdio.h>
#include <time.h>

#include "model/wall.h"
#include "tests/sim/ipam_world.h"

enum { TASKS_MAX = 12 };

struct run {
	struct world w;
	struct task task[TASKS_MAX];
	unsigned n_tasks;
	unsigned fault_percent, stale_percent;
	bool busy[CONTAINERS_MAX]; /* a task is about it */
};

static struct {
	unsigned long worlds, done, failed, crashes, by_fail[16];
} stats;

static const char *const configs[] = {
	NULL,
	NULL,
	"{\"auto_allocate_blocks\":true}",
	"{\"strict_affinity\":true,\"auto_allocate_blocks\":true}",
	"{\"strict_affinity\":true,\"auto_allocate_blocks\":true,\"maxBlocksPerHost\":1}",
	"{\"auto_allocate_blocks\":true,\"ipCooldownSeconds\":30}",
	"{}",
};

static void run_init(struct run *r, uint64_t seed)
{
	struct world *w = &r->w;
	unsigned hosts;

	*r = (struct run) { 0 };
	world_init(w, seed, 2, NULL);
	hosts = 2 + (unsigned)world_random(w, HOSTS_MAX - 1);
	world_init(w, seed, hosts, configs[world_random(w, ARRAY_SIZE(configs))]);
	w->rng += 1;
	world_pool(w, "one", "10.0.0.0/29", world_random(w, 2) ? 30 : 31);
	if (world_random(w, 2))
		world_pool(w, "two", "10.1.0.0/29", 30);
	if (world_random(w, 3) == 0)
		world_pool(w, "six", "fd00::/125", 126);
	if (world_random(w, 4) == 0) {
		prefix_parse("10.0.0.0/32", &w->reserved[0]);
		prefix_parse("10.1.0.0/30", &w->reserved[1]);
		w->n_reserved = 2;
	}
	for (unsigned h = 0; h < hosts; h++)
		for (unsigned c = 0; c < 1 + world_random(w, 4); c++)
			world_container(w, h);
	r->fault_percent = (unsigned[]) { 0, 0, 2, 10, 30 }[world_random(w, 5)];
	r->stale_percent = (unsigned[]) { 0, 10, 60 }[world_random(w, 3)];
	w->faults = r->fault_percent > 0;
}

static bool chance(struct run *r, unsigned percent)
{
	return world_random(&r->w, 100) < percent;
}

static unsigned index_of(const struct run *r, const struct container *c)
{
	return (unsigned)(c - r->w.container);
}

static struct addr some_addr(struct run *r)
{
	const struct ipam_pool *p = &r->w.pool[0][world_random(&r->w, r->w.n_pools)];

	return addr_add(&p->cidr.addr, world_random(&r->w, 8));
}

static void begin(struct run *r, struct task t)
{
	if (t.c)
		r->busy[index_of(r, t.c)] = true;
	r->task[r->n_tasks++] = t;
}

static void begin_for(struct run *r, struct container *c)
{
	struct world *w = &r->w;
	unsigned v6 = w->n_pools > 1 && w->pool[0][w->n_pools - 1].cidr.addr.family == IP_V6 &&
		      world_random(w, 2);
	unsigned v4 = v6 ? 1 : 1 + (unsigned)(world_random(w, 6) == 0);
	struct addr a = some_addr(r);

	switch (c->state) {
	case C_UNKNOWN:
		if (w->faults && chance(r, 20)) {
			container_renew(c); /* forgotten: a leak, if it holds anything */
			return;
		}
		begin(r, chance(r, 60) ? task_del(w, c) : task_add(w, c, v4, v6, chance(r, 60)));
		break;
	case C_IDLE:
		begin(r, chance(r, 12) ? task_add_ip(w, c, &a)
				       : task_add(w, c, v4, v6, chance(r, 60)));
		break;
	case C_LIVE:
		if (chance(r, 15)) {
			unsigned n[2] = { 0 };

			for (size_t i = 0; i < c->addrs.n; i++)
				n[c->addrs.p[i].family == IP_V6]++;
			begin(r, task_add(w, c, n[0], n[1], chance(r, 50)));
		} else if (chance(r, 15)) {
			a = c->addrs.p[0];
			begin(r, task_release(w, (unsigned)world_random(w, w->n_hosts), c,
					      chance(r, 50) ? c->handle : NULL, &a));
		} else {
			begin(r, task_del(w, c));
		}
		break;
	case C_ADDING:
	case C_DELETING:
		break;
	}
}

static void begin_something(struct run *r)
{
	struct world *w = &r->w;
	unsigned host = (unsigned)world_random(w, w->n_hosts);
	struct container *c = &w->container[world_random(w, w->n_containers)];
	struct addr a = some_addr(r);

	if (r->n_tasks == TASKS_MAX)
		return;
	switch (world_random(w, 16)) {
	case 0:
		begin(r, task_gc(w, host, false));
		break;
	case 1:
		begin(r, task_handback(w, host, chance(r, 40), chance(r, 30)));
		break;
	case 2:
		begin(r, task_repair(w, host, chance(r, 50)));
		break;
	case 3: /* a release with a proof that holds for nobody alive */
		begin(r, task_release(w, host, NULL, "net.nobody", &a));
		break;
	default:
		if (!r->busy[index_of(r, c)])
			begin_for(r, c);
	}
}

static void end_task(struct run *r, unsigned i)
{
	if (r->task[i].c)
		r->busy[index_of(r, r->task[i].c)] = false;
	r->task[i] = r->task[--r->n_tasks];
}

static enum fate some_fate(struct run *r)
{
	static const enum fate fates[] = { FATE_CONFLICT, FATE_LOST, FATE_DONE_LOST, FATE_DONE_LOST,
					   FATE_DELAYED_LOST };

	return chance(r, r->fault_percent) ? fates[world_random(&r->w, ARRAY_SIZE(fates))]
					   : FATE_DONE;
}

static void step_some(struct run *r)
{
	unsigned i = (unsigned)world_random(&r->w, r->n_tasks);
	struct task *t = &r->task[i];

	if (!task_step(&r->w, t, some_fate(r), chance(r, r->fault_percent / 3))) {
		stats.done += t->state == IPAM_DONE;
		stats.failed += t->state == IPAM_FAILED;
		end_task(r, i);
	}
}

/* A host dies with everything it was doing; its agent comes back and repairs. */
static void crash(struct run *r)
{
	unsigned host = (unsigned)world_random(&r->w, r->w.n_hosts);

	stats.crashes++;
	if (r->w.trace)
		printf("host %u dies\n", host);
	for (unsigned i = r->n_tasks; i-- > 0;)
		if (r->task[i].host == host) {
			task_abandon(&r->task[i]);
			end_task(r, i);
		}
	if (r->n_tasks < TASKS_MAX)
		begin(r, task_repair(&r->w, host, false));
}

static void circumstances(struct run *r)
{
	struct world *w = &r->w;
	unsigned host = (unsigned)world_random(w, w->n_hosts);
	unsigned pool = (unsigned)world_random(w, w->n_pools);

	w->now_ns += (int64_t)world_random(w, 1000) * 1000000;
	if (chance(r, 2))
		w->now_ns += 70 * NS_PER_S;
	if (chance(r, r->stale_percent)) {
		if (!w->cache_rev[host] || chance(r, 50))
			w->cache_rev[host] = w->m.rev ? w->m.rev : 1;
	} else {
		w->cache_rev[host] = 0;
	}
	if (w->delayed.n && chance(r, 10))
		world_delayed(w, world_random(w, w->delayed.n), chance(r, 80));
	if (chance(r, 1))
		w->pool[host][pool].selects_node = !w->pool[host][pool].selects_node;
	if (chance(r, 1)) {
		bool off = chance(r, 30);

		for (unsigned h = 0; h < w->n_hosts; h++)
			w->pool[h][pool].disabled = off;
	}
	if (chance(r, 1) && r->fault_percent)
		crash(r);
}

static void run_world(uint64_t seed)
{
	struct run r;
	unsigned turns;

	run_init(&r, seed);
	turns = 100 + (unsigned)world_random(&r.w, 900);
	for (unsigned i = 0; i < turns; i++) {
		circumstances(&r);
		if (r.n_tasks == 0 || chance(&r, 15))
			begin_something(&r);
		if (r.n_tasks)
			step_some(&r);
	}
	while (r.w.delayed.n)
		world_delayed(&r.w, 0, chance(&r, 50));
	r.fault_percent = 0;
	while (r.n_tasks) {
		if (!r.w.faults || chance(&r, 50)) {
			task_finish(&r.w, &r.task[0]);
		} else {
			task_abandon(&r.task[0]);
		}
		end_task(&r, 0);
	}
	for (unsigned i = 0; i < r.w.n_containers && !r.w.faults; i++)
		if (r.w.container[i].state == C_UNKNOWN) {
			struct task t = task_del(&r.w, &r.w.container[i]);

			task_finish(&r.w, &t);
		}
	world_settle(&r.w);
	world_done(&r.w);
	stats.worlds++;
}

static unsigned long env_number(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : otherwise;
}

int main(void)
{
	unsigned long seed = env_number("SEED", 1), worlds = env_number("WORLDS", 1000000);
	time_t end = time(NULL) + (time_t)env_number("SECONDS", 5);

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("seed %lu\n", seed);
	for (unsigned long i = 0; i < worlds && (worlds < 1000000 || time(NULL) < end); i++)
		run_world(seed + i);
	printf("%lu worlds: %lu operations done, %lu failed, %lu crashes: no address twice, none "
	       "leaked\n",
	       stats.worlds, stats.done, stats.failed, stats.crashes);
	return 0;
}
