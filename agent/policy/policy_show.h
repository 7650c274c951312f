/* policy_show.h - what applies to each pod and host endpoint of this node, to be looked at. */
#pragma once

#include <jansson.h>

#include "policy/calc.h"

struct policy_show;

struct policy_show *policy_show_new(void);
void policy_show_free(struct policy_show *s);
void policy_show_take(struct policy_show *s, const struct calc_effects *fx);

/* who: NAMESPACE/POD, NAMESPACE/ENDPOINT, the name of a host endpoint or interface, or an address. A new
 * reference: interface, tiers in order with their policies and chains, profiles; NULL: none here. */
json_t *policy_show_find(const struct policy_show *s, const char *who);
