/* store.h - requests to a datastore and their answers, as data.
 *
 * Pure code (ipam/) emits struct store_req and is stepped with struct store_res; the datastore
 * carries them out. Keys are Calico's etcd keys ("/calico/resources/v3/..."), values are JSON text,
 * whatever backend is behind. A revision is the store-wide counter at which a key was last written:
 * 64 bits, never 0 for an existing key. */
#pragma once

#include "lib/base.h"

enum store_verb {
	STORE_GET,    /* one key */
	STORE_LIST,   /* every key that begins with `key` */
	STORE_CREATE, /* write, only if the key does not exist */
	STORE_UPDATE, /* write, only if the key is at revision `rev`; rev 0: whatever it is at, or create */
	STORE_DELETE, /* remove, only if the key is at revision `rev`; rev 0: whatever it is at */
};

struct store_req {
	enum store_verb verb;
	bool fresh;  /* GET, LIST: a cache may not answer, ask the store itself */
	char *key;   /* owned */
	char *value; /* CREATE, UPDATE: owned JSON text; NULL otherwise */
	int64_t rev;
};

enum store_status {
	STORE_OK,
	STORE_NOT_FOUND,   /* GET, UPDATE, DELETE of a key that is not there */
	STORE_EXISTS,	   /* CREATE of a key that is there */
	STORE_CONFLICT,	   /* UPDATE, DELETE: the key is at another revision */
	STORE_UNAVAILABLE, /* not answered now, worth another try: lock, network, disk full */
	STORE_ERROR,	   /* will not get better by itself: corrupt, refused, too large */
};

struct store_kv {
	char *key;   /* owned */
	char *value; /* owned JSON text */
	int64_t rev;
};

struct store_res {
	enum store_status status;
	/* GET, LIST: the store's revision that the answer shows, from which a watch goes on without a
	 * gap. CREATE, UPDATE, DELETE: the revision of this write. */
	int64_t rev;
	struct store_kv *kv; /* GET: one. LIST: n, sorted by key. CONFLICT, EXISTS: none */
	size_t n;
	char msg[256]; /* why not, for a person, when status is not OK */
};

/* Make requests; key and value are copied. */
struct store_req store_get(const char *key);
struct store_req store_list(const char *key_prefix);
struct store_req store_create(const char *key, const char *value);
struct store_req store_update(const char *key, const char *value, int64_t rev);
struct store_req store_delete(const char *key, int64_t rev);
void store_req_done(struct store_req *req);
void store_res_done(struct store_res *res);
/* Deep copy. */
struct store_res store_res_copy(const struct store_res *res);
/* "conflict", "not found", ...: for messages. */
const char *store_status_name(enum store_status status);
