/* epobj_store.h - WorkloadEndpoints written to and removed from the store, conditionally and again
 * until nobody else came between. */
#pragma once

#include "agent/agent.h"
#include "agent/cni/epobj.h"
#include "model/store.h"

enum { WEP_TRIES_MAX = 6 }; /* conflicts in a row: as many as Calico's plugin takes */

/* res: the answer to the last request; borrowed. */
typedef void epobj_done_fn(void *arg, const struct store_res *res);

/* Makes the text from what is stored at this moment (NULL: nothing); caller frees. */
typedef char *epobj_make_fn(void *arg, const char *old);
/* Create or replace. done comes from the loop. */
void epobj_put(struct agent *a, const char *key, epobj_make_fn *make, epobj_done_fn *done,
	       void *arg);
/* Remove, if it is this container's; another's or nobody's is success (STORE_OK, STORE_NOT_FOUND).
 * done comes from the loop. */
void epobj_remove(struct agent *a, const char *key, const char *container_id, epobj_done_fn *done,
		  void *arg);
