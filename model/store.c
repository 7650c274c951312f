/* store.c - requests to a datastore and their answers, as data */
#include "model/store.h"

#include <stdlib.h>

static struct store_req make(enum store_verb verb, const char *key, const char *value, int64_t rev)
{
	return (struct store_req){
		.verb = verb, .key = xstrdup(key), .value = xstrdup(value), .rev = rev
	};
}

struct store_req store_get(const char *key)
{
	return make(STORE_GET, key, NULL, 0);
}

struct store_req store_list(const char *key_prefix)
{
	return make(STORE_LIST, key_prefix, NULL, 0);
}

struct store_req store_create(const char *key, const char *value)
{
	return make(STORE_CREATE, key, value, 0);
}

struct store_req store_update(const char *key, const char *value, int64_t rev)
{
	return make(STORE_UPDATE, key, value, rev);
}

struct store_req store_delete(const char *key, int64_t rev)
{
	return make(STORE_DELETE, key, NULL, rev);
}

void store_req_done(struct store_req *req)
{
	free(req->key);
	free(req->value);
	*req = (struct store_req){ 0 };
}

void store_res_done(struct store_res *res)
{
	for (size_t i = 0; i < res->n; i++) {
		free(res->kv[i].key);
		free(res->kv[i].value);
	}
	free(res->kv);
	*res = (struct store_res){ 0 };
}

struct store_res store_res_copy(const struct store_res *res)
{
	struct store_res copy = *res;

	copy.kv = res->n ? xcalloc(res->n, sizeof(*copy.kv)) : NULL;
	for (size_t i = 0; i < res->n; i++) {
		copy.kv[i].key = xstrdup(res->kv[i].key);
		copy.kv[i].value = xstrdup(res->kv[i].value);
		copy.kv[i].rev = res->kv[i].rev;
	}
	return copy;
}

const char *store_status_name(enum store_status status)
{
	switch (status) {
	case STORE_OK:
		return "ok";
	case STORE_NOT_FOUND:
		return "not found";
	case STORE_EXISTS:
		return "already exists";
	case STORE_CONFLICT:
		return "conflict";
	case STORE_UNAVAILABLE:
		return "unavailable";
	case STORE_ERROR:
		return "error";
	}
	return "?";
}
