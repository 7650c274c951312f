/* world.h - random worlds, and as manifests. */
#pragma once

#include <jansson.h>

#include "tests/unit/policy/judge.h"

struct rng {
	uint64_t s;
};

uint32_t rng_next(struct rng *r);
/* 0..n-1 */
int rng_below(struct rng *r, int n);
bool rng_one_in(struct rng *r, int n);

void world_random(struct rng *r, struct jworld *w);
struct jpacket packet_random(struct rng *r, const struct jworld *w);

/* Its selectors are its own. */
void world_copy(struct jworld *to, const struct jworld *from);

/* One object becomes another one. */
struct world_change {
	char what[32];
	/* Members of sets change: only packets from or to these addresses may be concerned. None
	 * are: rules change, and with them every verdict may, but from one moment to the next. */
	struct prefix net[J_PODS * 2 + J_NETSETS * 8];
	int n_net;
};

/* False: the world has no room for more selectors. Policies of raw and mangle stay as they are. */
bool world_change(struct rng *r, struct jworld *w, struct world_change *out);

/* One object of the world: what it is, by what it is known, and its JSON. */
enum wobj_kind {
	W_OBJECT, /* of the model: kind and metadata say which */
	W_K8S_POLICY,
	W_NAMESPACE,
	W_ACCOUNT,
	W_SLICE,
};

struct wobj {
	enum wobj_kind kind;
	char *key; /* unique */
	json_t *json;
	bool broken; /* it is not to be accepted by a strict reader */
};

struct wobjs {
	struct wobj *p;
	size_t n, cap;
};

void world_objects(const struct jworld *w, struct wobjs *out);
void wobjs_done(struct wobjs *v);
