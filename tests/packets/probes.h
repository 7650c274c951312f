/* probes.h - one world's packets: made, judged, sent all at once, and what came of them. */
#pragma once

#include "lib/str.h"
#include "tests/packets/seat.h"
#include "tests/unit/policy/path.h"
#include "tests/unit/policy/world.h"

enum {
	BENCH_HOSTS = 2,
	BENCH_SEATS = J_PODS + BENCH_HOSTS, /* pods first, then hosts */
	PROBES_A_PAIR = 6,
	PROBES_MAX = BENCH_SEATS * BENCH_SEATS * PROBES_A_PAIR,
};

/* What a packet may rely on while its world changes. */
enum keeps { KEEPS_NOTHING, KEEPS_OPEN, KEEPS_SHUT };

struct probe {
	struct jpacket packet;
	uint8_t from, to; /* seats */
	bool want, got;
	bool want_answer, got_answer;
	enum keeps keeps;
	unsigned sent, seen; /* while the world changed */
};

struct probes {
	uint32_t world;
	struct probe p[PROBES_MAX];
	int n;
};

struct bench {
	struct seat seat[BENCH_SEATS];
	struct probes now, before; /* before: to know what comes late */
	int n_late;		   /* packets of `before` that should not have come */
};

/* Give the world's pods the interfaces, addresses and nodes that the lab's pods have. */
void bench_fit(const struct bench *b, struct jworld *w);
/* Begin a world: nodes are its two, seen from themselves. */
void bench_plan(struct bench *b, uint32_t world, struct rng *r, const struct jnode nodes[2]);
/* Send, wait, and send again what is missing. Returns how many probes came out wrong. */
int bench_run(struct bench *b);
bool probe_wrong(const struct probe *p);

/* Under traffic. Say which of the planned packets are let through before and after the change and
 * between, or never; then flood as often as wanted; then see. Returns how many were not kept. */
void bench_keep(struct bench *b, const struct jnode before[2], const struct jnode after[2],
		const struct world_change *c);
void bench_flood(struct bench *b);
int bench_kept(struct bench *b);
bool probe_broken(const struct probe *p);
/* "w0 -> w3: 10.0.0.1:80 -> 10.0.0.4:443 proto 6: must be dropped, arrived" */
void probe_text(const struct bench *b, const struct probe *p, struct str *out);
