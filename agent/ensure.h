/* ensure.h - bring one object of the datastore to what it should be, by compare-and-swap.
 *
 *	ensure_new(a, key, change, arg)
 *
 * `change` looks at the stored text (NULL: there is none) and returns what should be there instead
 * (heap), or NULL when all is well. It is called again when somebody else wrote in between, and the
 * store is asked again when it could not be reached. */
#pragma once

struct agent;
struct ensure;

typedef char *ensure_change_fn(void *arg, const char *stored);
/* failed: the store refuses for good, with its words; NULL: the object is as it should be. Called
 * once from the loop; the ensure is gone afterwards. */
typedef void ensure_done_fn(void *arg, const char *failed);

struct ensure *ensure_new(struct agent *a, const char *key, ensure_change_fn *change,
			  ensure_done_fn *done, void *arg);
/* Stop before it is done; done is not called. NULL is fine. */
void ensure_free(struct ensure *en);
