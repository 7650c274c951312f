/* policy_way.h - what is between the two ends of a packet's way. */
#pragma once

#include "ctl/policy_ends.h"

/* A node sends from its tunnel's address into a tunnel, where no interface but
 * "*" has a host endpoint. What a person should know is appended to notes. */
void policy_way_between(const struct policy_world *w, struct policy_end *from,
			struct policy_end *to, json_t *notes);
