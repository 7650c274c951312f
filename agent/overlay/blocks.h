/* blocks.h - the blocks that this node holds: a blackhole for each, so that packets to addresses
 * that nobody has do not go round in circles, and their announcement; /32s for borrowed
 * addresses. */
#pragma once

#include "lib/addr.h"

struct agent;
struct blocks;

struct blocks *blocks_new(struct agent *a);
/* This agent is the node's only one: what the store says of the node's blocks is said of this
 * machine. */
void blocks_start(struct blocks *b);
void blocks_free(struct blocks *b);
/* Confirmed ones, sorted; borrowed. */
const struct prefix *blocks_confirmed(const struct blocks *b, size_t *n);
/* Addresses of local pods that lie in other nodes' blocks. */
size_t blocks_borrowed(const struct blocks *b);
