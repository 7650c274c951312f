/* store.h - a world in the agents' datastore. */
#pragma once

#include "lib/err.h"
#include "tests/unit/policy/world.h"

struct store;

/* spec: as for margayctl --datastore. */
int store_open(struct store **out, const char *spec, struct err *e);
void store_close(struct store *s);

/* Bring the store from what was put last to these objects, in random order. *rev: the revision that
 * says all of it. */
int store_put(struct store *s, const struct wobjs *objects, struct rng *r, int64_t *rev,
	      struct err *e);
