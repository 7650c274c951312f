/* ipam/assign_more.h - the two halves of assigning, for each other. */
#pragma once

#include "ipam/machine.h"

/* assign_more.c: the host's own blocks are full. Get blocks, up to limit, or borrow. */
enum ipam_state assign_more(struct ipam_op *op, unsigned limit);
void assign_more_reset(struct ipam_op *op);

/* assign.c */
/* This family cannot be served in full. */
enum ipam_state assign_short(struct ipam_op *op, enum ipam_fail fail, const char *why);
enum ipam_state assign_family_done(struct ipam_op *op);
/* The handle existed before: begin with what it holds. */
enum ipam_state assign_adopt(struct ipam_op *op);
/* Is the block in one of the pools that qualify? */
bool assign_in_pools(const struct ipam_op *op, const struct prefix *cidr);
