/* flows.h - addresses that pods gave up lose their flows, before somebody else has them. */
#pragma once

#include "lib/addr.h"

struct event_base;
struct flows;

/* Never fails: where the kernel has no connection tracking there is nothing to forget. */
struct flows *flows_new(struct event_base *base);
void flows_free(struct flows *f);

/* The pod at this address is gone: at the end of this turn of the loop, when its route is gone, too. */
void flows_forget(struct flows *f, const struct addr *a);
/* A new pod is about to get this address: forget now what is still to be forgotten. */
void flows_settle(struct flows *f, const struct addr *a);
