/* packets.c - the judge of packets: random worlds in two running agents, held against real packets
 *
 *	packet-judge DATASTORE PREFIX RUN_DIR RUN_DIR
 *
 * PREFIX is how the lab's namespaces begin: PREFIX-node1, PREFIX-node2, PREFIX-w0 to -w5; the run
 * directories are those of the two agents, called "here" and "there". tests/packets/test_worlds.py
 * makes all that. In the environment:
 *	SEED=7		of the first world (1)
 *	WORLDS=2000	how many (20)
 *	CHANGES=8	of single objects after each, under traffic (0)
 *	REPORT=FILE	where a mismatch is told in full; also on standard error in short */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/json.h"
#include "lib/yaml.h"
#include "tests/packets/agent.h"
#include "tests/packets/probes.h"
#include "tests/packets/store.h"

enum {
	MISMATCHES_MAX = 5,
	AGAIN_MS = 300,
	CHANGE_S = 120, /* of a machine that does much else, and agents that are killed meanwhile */
};

static const char *const node_names[] = { "here", "there" };
static const char *const link_name = "eth1";

struct run {
	const char *prefix, *run_dir[2], *report;
	struct bench bench;
	struct store *store;
	struct jworld world, mirrored;
	struct jnode nodes[2];
	/* Before its last change. */
	struct jworld old_world, old_mirrored;
	struct jnode old_nodes[2];
	uint64_t changes_a_world;
	uint32_t n_plans; /* what stamps call a world */
	unsigned n_changes;
	uint64_t n_flood;
	uint64_t n_probes, n_accepted;
	int64_t us_put, us_settle, us_probe;
	int n_mismatches;
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- the lab ---- */

static void describe_pod(struct run *r, int i)
{
	struct seat *s = &r->bench.seat[i];
	char text[32];

	snprintf(s->name, sizeof(s->name), "w%d", i);
	snprintf(s->netns, sizeof(s->netns), "/run/netns/%.32s-w%d", r->prefix, i);
	snprintf(s->interface, sizeof(s->interface), "cali%x%d", (unsigned)i * 7 % 16, i);
	s->node = i >= J_PODS / 2;
	snprintf(text, sizeof(text), "10.0.0.%d", i + 1);
	addr_parse(text, &s->addr[0]);
	snprintf(text, sizeof(text), "fd00::%d", i + 1);
	addr_parse(text, &s->addr[1]);
}

static void describe_host(struct run *r, int i)
{
	struct seat *s = &r->bench.seat[J_PODS + i];
	struct jnode *n = &r->nodes[i];
	char text[32];

	snprintf(s->name, sizeof(s->name), "%s", node_names[i]);
	snprintf(s->netns, sizeof(s->netns), "/run/netns/%.32s-node%d", r->prefix, i + 1);
	snprintf(s->interface, sizeof(s->interface), "%s", link_name);
	s->host = true;
	s->node = i;
	snprintf(text, sizeof(text), "192.168.0.%d", i + 1);
	addr_parse(text, &s->addr[0]);
	snprintf(text, sizeof(text), "fd01::%d", i + 1);
	addr_parse(text, &s->addr[1]);
	n->w = i ? &r->mirrored : &r->world;
	n->n_link = 1;
	n->link[0].name = link_name;
	n->link[0].addr[0] = s->addr[0];
	n->link[0].addr[1] = s->addr[1];
	n->link[0].n_addr = 2;
	r->old_nodes[i] = *n;
	r->old_nodes[i].w = i ? &r->old_mirrored : &r->old_world;
}

static int open_lab(struct run *r, struct err *e)
{
	for (int i = 0; i < J_PODS; i++)
		describe_pod(r, i);
	for (int i = 0; i < BENCH_HOSTS; i++)
		describe_host(r, i);
	for (int i = 0; i < BENCH_SEATS; i++)
		if (seat_open(&r->bench.seat[i], e) < 0)
			return e->code;
	return 0;
}

/* ---- a mismatch, in full ---- */

static void tell_world(const struct jworld *w, FILE *f)
{
	struct wobjs objects = { 0 };

	world_objects(w, &objects);
	vec_foreach (&objects, o) {
		CLEANUP(freep) char *text = yml_dump(o->json);

		fprintf(f, "---\n%s", text);
	}
	wobjs_done(&objects);
}

/* What the kernels hold: the tools' own words. */
static void tell_kernels(const struct run *r)
{
	static const char *const tools[] = { "iptables-nft-save", "iptables-legacy-save",
					     "ip6tables-nft-save", "ip6tables-legacy-save",
					     "ipset save" };

	for (int i = 0; i < BENCH_HOSTS; i++)
		for (size_t k = 0; k < ARRAY_SIZE(tools); k++) {
			const char *ns = r->bench.seat[J_PODS + i].netns;
			CLEANUP(freep)
			char *cmd = xasprintf(
				"{ echo '==== %s: %s'; nsenter --net=%s -- %s; } >>%s 2>&1",
				node_names[i], tools[k], ns, tools[k], r->report);

			if (system(cmd) < 0)
				fprintf(stderr, "%s: %s\n", cmd, strerror(errno));
		}
}

static void tell(struct run *r, uint64_t seed, const char *words)
{
	FILE *f;

	fprintf(stderr, "seed %llu:\n%s", (unsigned long long)seed, words);
	if (!r->report || r->n_mismatches++)
		return;
	f = fopen(r->report, "w");
	if (!f) {
		fprintf(stderr, "%s: %s\n", r->report, strerror(errno));
		return;
	}
	fprintf(f, "seed %llu:\n%s", (unsigned long long)seed, words);
	tell_world(&r->world, f);
	fclose(f);
	tell_kernels(r);
}

static void tell_probes(struct run *r, uint64_t seed, bool (*is_bad)(const struct probe *))
{
	struct str words = { 0 };

	for (int i = 0; i < r->bench.now.n; i++)
		if (is_bad(&r->bench.now.p[i]))
			probe_text(&r->bench, &r->bench.now.p[i], &words);
	tell(r, seed, str_text(&words));
	str_done(&words);
}

/* ---- worlds ---- */

/* As the other node sees it. */
static void mirror(const struct jworld *w, struct jworld *out)
{
	world_copy(out, w);
	for (int i = 0; i < J_PODS; i++)
		out->pod[i].here = !w->pod[i].here;
	for (int i = 0; i < J_HOSTS; i++)
		out->host[i].here = !w->host[i].here;
}

static void make_world(struct run *r, struct rng *rng)
{
	world_random(rng, &r->world);
	bench_fit(&r->bench, &r->world);
	mirror(&r->world, &r->mirrored);
}

static int put_world(struct run *r, struct rng *rng, int64_t *rev, struct err *e)
{
	struct wobjs objects = { 0 };
	int64_t start = now_us();
	int rc;

	world_objects(&r->world, &objects);
	rc = store_put(r->store, &objects, rng, rev, e);
	wobjs_done(&objects);
	r->us_put += now_us() - start;
	return rc;
}

static int forget_flows(struct run *r, struct err *e)
{
	int rc = 0;

	for (int i = 0; rc == 0 && i < BENCH_HOSTS; i++)
		rc = seat_flush(&r->bench.seat[J_PODS + i], e);
	return rc;
}

static int settle_world(struct run *r, struct rng *rng, struct err *e)
{
	int64_t rev = 0, start;
	int rc = put_world(r, rng, &rev, e);

	start = now_us();
	for (int i = 0; rc == 0 && i < BENCH_HOSTS; i++)
		rc = agent_settle(r->run_dir[i], rev, e);
	if (rc == 0)
		rc = forget_flows(r, e);
	r->us_settle += now_us() - start;
	return rc;
}

static void count(struct run *r)
{
	r->n_probes += (uint64_t)r->bench.now.n;
	for (int i = 0; i < r->bench.now.n; i++)
		r->n_accepted += r->bench.now.p[i].got;
}

/* The same packets again: was it only too early? */
static void try_again(struct run *r)
{
	int wrong;

	poll(NULL, 0, AGAIN_MS);
	for (int i = 0; i < BENCH_HOSTS; i++)
		seat_flush(&r->bench.seat[J_PODS + i], NULL);
	wrong = bench_run(&r->bench);
	fprintf(stderr, "%d ms later %d packets are wrong\n", AGAIN_MS, wrong);
}

static int try_world(struct run *r, uint64_t seed)
{
	int wrong = bench_run(&r->bench);

	count(r);
	if (wrong) {
		tell_probes(r, seed, probe_wrong);
		try_again(r);
	}
	if (r->bench.n_late)
		fprintf(stderr, "before seed %llu: %d packets came late that must be dropped\n",
			(unsigned long long)seed, r->bench.n_late);
	wrong += r->bench.n_late;
	r->bench.n_late = 0;
	return wrong > 0;
}

/* ---- changes under traffic ---- */

static int flood_until_settled(struct run *r, int64_t rev, struct err *e)
{
	struct agent_wait w[BENCH_HOSTS];
	int64_t end = now_us() + CHANGE_S * 1000000ll;
	int rc = 0;

	for (int i = 0; i < BENCH_HOSTS; i++)
		w[i] = agent_wait(r->run_dir[i], rev);
	while (rc >= 0 && !(w[0].done && w[1].done) && now_us() < end) {
		for (int i = 0; rc >= 0 && i < BENCH_HOSTS; i++)
			rc = agent_wait_step(&w[i], e);
		bench_flood(&r->bench);
	}
	if (rc >= 0 && !(w[0].done && w[1].done))
		rc = err_set(e, -ETIMEDOUT, "a change is not enforced after %d s", CHANGE_S);
	for (int i = 0; i < BENCH_HOSTS; i++)
		agent_wait_done(&w[i]);
	return rc < 0 ? rc : 0;
}

static int one_change(struct run *r, struct rng *rng, uint64_t seed, struct err *e)
{
	struct world_change c;
	int64_t rev = 0;
	int rc;

	world_copy(&r->old_world, &r->world);
	if (!world_change(rng, &r->world, &c))
		return 0;
	mirror(&r->old_world, &r->old_mirrored);
	mirror(&r->world, &r->mirrored);
	bench_plan(&r->bench, ++r->n_plans, rng, r->nodes);
	bench_keep(&r->bench, r->old_nodes, r->nodes, &c);
	rc = forget_flows(r, e);
	bench_flood(&r->bench);
	if (rc == 0)
		rc = put_world(r, rng, &rev, e);
	if (rc == 0)
		rc = flood_until_settled(r, rev, e);
	r->n_changes++;
	for (int i = 0; i < r->bench.now.n; i++)
		r->n_flood += r->bench.now.p[i].sent;
	if (rc == 0)
		rc = bench_kept(&r->bench) > 0;
	if (rc > 0) {
		fprintf(stderr, "a change of %s:\n", c.what);
		tell_probes(r, seed, probe_broken);
		return rc;
	}
	return rc < 0 ? rc : try_world(r, seed);
}

/* 0; 1: packets and judge do not agree. */
static int one_world(struct run *r, uint64_t seed, struct err *e)
{
	struct rng rng = { seed };
	int64_t start;
	int rc;

	make_world(r, &rng);
	rc = settle_world(r, &rng, e);
	if (rc < 0) {
		tell(r, seed, e->msg);
		return rc;
	}
	start = now_us();
	bench_plan(&r->bench, ++r->n_plans, &rng, r->nodes);
	rc = try_world(r, seed);
	r->us_probe += now_us() - start;
	for (uint64_t i = 0; rc == 0 && i < r->changes_a_world; i++)
		rc = one_change(r, &rng, seed, e);
	return rc;
}

static int run_worlds(struct run *r, struct err *e)
{
	uint64_t n = env_number("WORLDS", 20), seed = env_number("SEED", 1), done = 0;
	int wrong = 0, rc = 0;
	int64_t start = now_us();

	for (; done < n && wrong < MISMATCHES_MAX && rc >= 0; done++) {
		rc = one_world(r, seed + done, e);
		wrong += rc > 0;
	}
	if (r->changes_a_world)
		printf("%u changes under %llu packets; ", r->n_changes,
		       (unsigned long long)r->n_flood);
	printf("%llu worlds from seed %llu, %llu packets (%llu accepted), %d worlds wrong, %.1f s; "
	       "a world: %.1f ms to write, %.1f ms to settle, %.1f ms to probe\n",
	       (unsigned long long)done, (unsigned long long)seed, (unsigned long long)r->n_probes,
	       (unsigned long long)r->n_accepted, wrong, (double)(now_us() - start) / 1e6,
	       (double)r->us_put / 1e3 / (double)(done ? done : 1),
	       (double)r->us_settle / 1e3 / (double)(done ? done : 1),
	       (double)r->us_probe / 1e3 / (double)(done ? done : 1));
	return rc < 0 ? rc : wrong;
}

/* Packets of one processor do not overtake each other. */
static void stay_on_one_processor(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
	struct run *r = xcalloc(1, sizeof(*r));
	struct err e = { 0 };
	int rc;

	if (argc != 5) {
		fprintf(stderr, "usage: packet-judge DATASTORE PREFIX RUN_DIR RUN_DIR\n");
		return 2;
	}
	r->prefix = argv[2];
	r->run_dir[0] = argv[3];
	r->run_dir[1] = argv[4];
	r->report = getenv("REPORT");
	r->changes_a_world = env_number("CHANGES", 0);
	stay_on_one_processor();
	rc = open_lab(r, &e);
	if (rc == 0)
		rc = store_open(&r->store, argv[1], &e);
	if (rc == 0)
		rc = run_worlds(r, &e);
	if (rc < 0)
		fprintf(stderr, "packet-judge: %s\n", e.msg);
	for (int i = 0; i < BENCH_SEATS; i++)
		seat_close(&r->bench.seat[i]);
	store_close(r->store);
	free(r);
	return rc != 0;
}
