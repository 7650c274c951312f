/* handle.h - an IPAM handle: how many addresses one owner holds in which blocks. Its id is in the
 * key, not in the value. */
#pragma once

#include <jansson.h>

#include "lib/addr.h"
#include "lib/err.h"

enum { HANDLE_BLOCKS_MAX = 1024 }; /* a tunnel or pod holds 1 to 4 addresses */

struct handle_entry {
	struct prefix block;
	unsigned n; /* addresses held there */
};

struct handle {
	struct handle_entry *entry; /* [n_entry], no block twice */
	size_t n_entry;
	bool deleted;
	json_t *rest; /* the whole object as read, for members unknown here; NULL: new */
};

/* Total. -EINVAL with words for anything but a handle. */
int handle_decode(const char *text, size_t len, struct handle **out, struct err *e);
/* JSON text, caller frees. */
char *handle_encode(const struct handle *h);
struct handle *handle_new(void);
void handle_free(struct handle *h);
void handle_freep(struct handle **h); /* for CLEANUP */

/* Addresses counted in a block; set the count, 0 removes the block. */
unsigned handle_count(const struct handle *h, const struct prefix *block);
void handle_set(struct handle *h, const struct prefix *block, unsigned n);
