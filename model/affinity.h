/* affinity.h - whether a host holds a block: the state that routes are announced by.
 *
 *	(none) --claim--> pending --block is there--> confirmed --release--> pendingDeletion -->
 *(none)
 *
 * Owner and block are in the key, not in the value. */
#pragma once

#include <jansson.h>

#include "lib/err.h"

enum affinity_state {
	AFFINITY_CONFIRMED, /* also what very old data means by an empty state */
	AFFINITY_PENDING,
	AFFINITY_PENDING_DELETION,
};

struct affinity {
	enum affinity_state state;
	bool deleted;
	json_t *rest; /* the whole object as read, for members unknown here; NULL: new */
};

/* Total. -EINVAL with words for anything but an affinity. `deleted` may be a text, as the CRD has
 * it. */
int affinity_decode(const char *text, size_t len, struct affinity *out, struct err *e);
/* JSON text, caller frees. */
char *affinity_encode(const struct affinity *a);
void affinity_done(struct affinity *a);

/* "pending", "confirmed", "pendingDeletion". */
const char *affinity_state_name(enum affinity_state state);
