/* memstore.h - a datastore in memory that remembers every version: for tests and simulations.
 *
 * Reads may be answered as of an earlier revision, as a cache would. Nothing is random here. */
#pragma once

#include "lib/vec.h"
#include "model/store.h"

struct mem_version {
	char *value; /* NULL: deleted */
	int64_t rev;
};

struct mem_key {
	char *key;
	VEC(struct mem_version) version;
};

struct memstore {
	VEC(struct mem_key) key; /* sorted */
	int64_t rev;
	unsigned n_writes, n_reads, n_fresh;
	/* Called before a write takes effect. old, new: NULL for none. */
	void (*on_write)(void *arg, const char *key, const char *old, const char *new);
	void *arg;
};

/* Carry out a request. as_of: reads show that revision; 0: the present. */
struct store_res mem_do(struct memstore *m, const struct store_req *req, int64_t as_of);
/* The present value; NULL: there is none. Borrowed. */
const char *mem_value(const struct memstore *m, const char *key);
/* Write whatever is there. */
void mem_put(struct memstore *m, const char *key, const char *value);
void mem_done(struct memstore *m);
