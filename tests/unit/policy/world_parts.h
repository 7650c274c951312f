/* world_parts.h - single parts of a world, random. Only for world_change.c. */
#pragma once

#include "tests/unit/policy/world.h"

void world_random_policy(struct rng *r, struct jworld *w, int i);
void world_random_labels(struct rng *r, struct jlabels *l, bool sly);
void world_random_service(struct rng *r, struct jservice *s);
void world_random_set(struct rng *r, struct jworld *w, int i);
