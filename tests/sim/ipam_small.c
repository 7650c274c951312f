/* ipam_small.c - every interleaving of a few operations on one tiny block
 *
 *	SCENARIO=3 TRACE=1 build/tests/sim-ipam-small
 *
 * Each scenario has two or three actors, each doing one or two things. A run is a list of choices:
 * who carries out the next request. All lists are run with at most SWITCHES (2) changes away
 * from an actor that could go on; and those with two changes less again with one fault, at each
 * place: the answer lost with the write done, lost with the write not done, the actor dead, or dead
 * with its write on the way and back for the next thing on its list. */
#include <stdio.h>

#include "model/wall.h"
#include "tests/sim/ipam_world.h"

enum { ACTORS_MAX = 3, DEPTH_MAX = 400 };

typedef struct task begin_fn(struct world *w);

struct scenario {
	const char *name;
	const char *config;
	void (*setup)(struct world *w);
	begin_fn *actor[ACTORS_MAX][3]; /* one after the other; NULL ends */
};

enum fault {
	NO_FAULT,
	DONE_LOST,
	NOT_DONE_LOST,
	DIES,
	DIES_IN_FLIGHT, /* with a write on its way, which somebody else's turn carries out; comes
			   back */
	N_FAULTS
};

struct schedule {
	unsigned choice[DEPTH_MAX], options[DEPTH_MAX], depth;
	unsigned switches; /* allowed */
	enum fault fault;
	unsigned fault_at, n_steps;
};

/* ---- what actors do. Containers: 0 alpha, 1 bravo, 2 charlie, 3 alpha ---- */

static struct task add0(struct world *w)
{
	return task_add(w, &w->container[0], 1, 0, true);
}

static struct task add1(struct world *w)
{
	return task_add(w, &w->container[1], 1, 0, true);
}

static struct task add2(struct world *w)
{
	return task_add(w, &w->container[2], 1, 0, true);
}

static struct task add3(struct world *w)
{
	return task_add(w, &w->container[3], 1, 0, true);
}

static struct task del0(struct world *w)
{
	return task_del(w, &w->container[0]);
}

static struct task del1(struct world *w)
{
	return task_del(w, &w->container[1]);
}

static struct task handback0(struct world *w)
{
	return task_handback(w, 0, true, false);
}

static struct task repair0(struct world *w)
{
	return task_repair(w, 0, true);
}

static struct task repair2(struct world *w)
{
	return task_repair(w, 2, true);
}

static struct task take_first(struct world *w)
{
	struct addr a = w->pool[0][0].cidr.addr;

	return task_add_ip(w, &w->container[2], &a);
}

/* ---- how it begins ---- */

static void now(struct world *w, struct task t)
{
	task_finish(w, &t);
}

static void one_block(struct world *w)
{
	world_pool(w, "tiny", "10.0.0.0/30", 30);
}

static void two_addresses(struct world *w)
{
	world_pool(w, "tiny", "10.0.0.0/31", 31);
}

static void zero_has_one(struct world *w)
{
	one_block(w);
	now(w, add0(w));
}

static void zero_had_one(struct world *w)
{
	zero_has_one(w);
	now(w, del0(w));
	w->now_ns += 120 * NS_PER_S;
}

static void both_have_one(struct world *w)
{
	one_block(w);
	now(w, add0(w));
	now(w, add1(w));
}

#define STRICT "{\"strict_affinity\":true,\"auto_allocate_blocks\":true}"

static const struct scenario scenarios[] = {
	{ "two hosts race for the only block, the loser borrows",
	  NULL,
	  one_block,
	  { { add0 }, { add1 } } },
	{ "two hosts race for the only block, the loser may not borrow",
	  STRICT,
	  one_block,
	  { { add0 }, { add1 } } },
	{ "two pods of one host race for its first block",
	  NULL,
	  one_block,
	  { { add0 }, { add3 } } },
	{ "the last address of a block goes while another host borrows",
	  NULL,
	  zero_has_one,
	  { { del0 }, { add1 } } },
	{ "an empty block is taken over while its owner comes back",
	  NULL,
	  zero_had_one,
	  { { add0 }, { add1 } } },
	{ "the same, strictly", STRICT, zero_had_one, { { add0 }, { add1 } } },
	{ "a host gives its block back while it needs it",
	  NULL,
	  zero_has_one,
	  { { handback0 }, { add3 } } },
	{ "a host gives its block back while another host's pod leaves it",
	  NULL,
	  both_have_one,
	  { { handback0 }, { del1 } } },
	{ "repair comes between the two writes of an ADD",
	  NULL,
	  zero_has_one,
	  { { repair2 }, { add1 } } },
	{ "repair comes between the two writes of a DEL",
	  NULL,
	  both_have_one,
	  { { repair2 }, { del1 } } },
	{ "two repairs", NULL, both_have_one, { { repair0 }, { repair2 } } },
	{ "DEL and ADD again under one handle, beside a repair",
	  NULL,
	  zero_has_one,
	  { { del0, add0 }, { repair2 } } },
	{ "ADD, then DEL under one handle", NULL, one_block, { { add0, del0 } } },
	{ "ADD, then ADD again, beside a repair",
	  NULL,
	  one_block,
	  { { add0, add0 }, { repair2 } } },
	{ "DEL, then ADD again under one handle", NULL, zero_has_one, { { del0, add0 } } },
	{ "a block given back, then needed", NULL, zero_has_one, { { handback0, add3 } } },
	{ "a repair that dies, beside an ADD",
	  NULL,
	  both_have_one,
	  { { repair0, repair0 }, { add2 } } },
	{ "one address for two", NULL, two_addresses, { { add0 }, { take_first } } },
	{ "three hosts and two addresses", NULL, two_addresses, { { add0 }, { add1 }, { add2 } } },
	{ "ADD, take-over and repair at once",
	  NULL,
	  zero_had_one,
	  { { add0 }, { add1 }, { repair2 } } },
	{ "ADD, give-back and repair at once",
	  NULL,
	  zero_has_one,
	  { { add1 }, { handback0 }, { repair2 } } },
};

/* ---- one run ---- */

struct actor {
	begin_fn *const *script;
	unsigned at;
	struct task task;
	bool running, dead;
};

static bool runnable(struct world *w, struct actor *a)
{
	if (a->dead)
		return false;
	if (!a->running && a->script[a->at]) {
		a->task = a->script[a->at++](w);
		a->running = true;
	}
	return a->running;
}

/* Who goes on? The first option is whoever went on last. */
static int choose(struct world *w, struct actor *a, struct schedule *s, int last,
		  unsigned *switches)
{
	int option[ACTORS_MAX + 1];
	unsigned n = 0, pick;
	bool can_stay = last >= 0 && last < ACTORS_MAX && runnable(w, &a[last]);

	if (can_stay)
		option[n++] = last;
	for (int i = 0; i < ACTORS_MAX; i++)
		if (i != last && (!can_stay || *switches > 0) && runnable(w, &a[i]))
			option[n++] = i;
	if (w->delayed.n)
		option[n++] = ACTORS_MAX; /* the write on its way arrives */
	if (n == 0)
		return -1;
	if (s->n_steps >= DEPTH_MAX)
		wrong(w, "a schedule has no end");
	pick = s->n_steps < s->depth ? s->choice[s->n_steps] : 0;
	s->choice[s->n_steps] = pick;
	s->options[s->n_steps++] = n;
	*switches -= can_stay && pick > 0 && option[pick] != ACTORS_MAX;
	return option[pick];
}

static void advance(struct world *w, struct actor *a, struct schedule *s)
{
	bool here = s->fault && s->n_steps - 1 == s->fault_at;
	enum fate fate = !here || s->fault == DIES ? FATE_DONE
			 : s->fault == DONE_LOST   ? FATE_DONE_LOST
						   : FATE_LOST;

	if (here && s->fault == DIES_IN_FLIGHT)
		task_send(w, &a->task);
	if (here && (s->fault == DIES || s->fault == DIES_IN_FLIGHT)) {
		task_abandon(&a->task);
		a->running = false;
		a->dead = s->fault == DIES;
		return;
	}
	a->running = task_step(w, &a->task, fate, false);
}

static void run(const struct scenario *sc, struct schedule *s, uint64_t number)
{
	struct world w;
	struct actor a[ACTORS_MAX] = { 0 };
	unsigned switches = s->switches;
	int last = -1;

	world_init(&w, number, 3, sc->config);
	for (unsigned h = 0; h < 4; h++)
		world_container(&w, h % 3);
	w.trace = false;
	sc->setup(&w);
	w.trace = getenv("TRACE") != NULL;
	w.faults = s->fault != NO_FAULT;
	s->n_steps = 0;
	for (int i = 0; i < ACTORS_MAX; i++)
		a[i].script = sc->actor[i];
	while ((last = choose(&w, a, s, last, &switches)) >= 0)
		if (last == ACTORS_MAX)
			world_delayed(&w, 0, true);
		else
			advance(&w, &a[last], s);
	world_settle(&w);
	world_done(&w);
}

/* The next list of choices; false after the last. */
static bool next_schedule(struct schedule *s)
{
	unsigned d = s->n_steps;

	while (d > 0 && s->choice[d - 1] + 1 >= s->options[d - 1])
		d--;
	if (d == 0)
		return false;
	s->choice[d - 1]++;
	s->depth = d;
	return true;
}

static unsigned long run_all(const struct scenario *sc, enum fault fault, unsigned switches)
{
	unsigned long n = 0;

	for (unsigned at = 0;; at++) {
		struct schedule s = { .switches = switches, .fault = fault, .fault_at = at };
		bool reached = false;

		do {
			run(sc, &s, n++);
			reached = reached || s.n_steps > at;
		} while (next_schedule(&s));
		if (!fault || !reached)
			return n;
	}
}

int main(void)
{
	const char *only = getenv("SCENARIO"), *more = getenv("SWITCHES");
	unsigned long all = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		unsigned switches = more ? (unsigned)atoi(more) : 2;
		unsigned long n;

		if (only && (size_t)atoi(only) != i)
			continue;
		printf("%2zu %s: ", i, scenarios[i].name);
		n = run_all(&scenarios[i], NO_FAULT, switches);
		for (int f = NO_FAULT + 1; f < N_FAULTS; f++)
			n += run_all(&scenarios[i], (enum fault)f, switches > 2 ? switches - 2 : 0);
		printf("%lu runs\n", n);
		all += n;
	}
	printf("%lu runs: no address twice, none leaked\n", all);
	return 0;
}
