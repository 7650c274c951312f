/* epobj_store.c - WorkloadEndpoints written and removed, conditionally
 *
 *	begin -> write by what the picture shows -> conflict -> read from the store -> write again
 *
 * WHY    The picture is right nearly always, so the usual case is one request. */
#include "agent/cni/epobj_store.h"

#include <stdlib.h>
#include <string.h>

#include "agent/cache.h"
#include "agent/cni/ipam_runner.h"

struct change {
	struct agent *agent;
	char *key, *container_id; /* container_id: to be removed; NULL: to be put */
	epobj_make_fn *make;
	epobj_done_fn *done;
	void *arg;
	unsigned tries;
};

static void change_end(struct change *c, const struct store_res *res)
{
	c->done(c->arg, res);
	free(c->key);
	free(c->container_id);
	free(c);
}

static void change_read(struct change *c);

static bool came_between(const struct store_res *res)
{
	return res->status == STORE_CONFLICT || res->status == STORE_EXISTS;
}

static void on_written(void *arg, struct store_res *res)
{
	struct change *c = arg;
	bool again = came_between(res) || (res->status == STORE_NOT_FOUND && !c->container_id);

	if (again && ++c->tries < WEP_TRIES_MAX)
		change_read(c);
	else
		change_end(c, res);
}

static bool is_container(const char *json, const char *container_id)
{
	struct epobj w;
	bool is;

	/* What cannot be read is nobody's: it is left for a person. */
	if (epobj_decode(&w, json, NULL) < 0)
		return false;
	is = !strcmp(w.container_id, container_id);
	epobj_done(&w);
	return is;
}

static void change_write(struct change *c, const struct store_kv *old)
{
	CLEANUP(freep) char *text = NULL;
	struct store_res none = { .status = STORE_NOT_FOUND };

	if (c->container_id) {
		if (old && is_container(old->value, c->container_id))
			store_write(c->agent, store_delete(c->key, old->rev), on_written, c);
		else
			change_end(c, &none);
		return;
	}
	text = c->make(c->arg, old ? old->value : NULL);
	store_write(c->agent,
		    old ? store_update(c->key, text, old->rev) : store_create(c->key, text),
		    on_written, c);
}

static void on_read(void *arg, struct store_res *res)
{
	struct change *c = arg;

	if (res->status == STORE_OK && res->n == 1)
		change_write(c, &res->kv[0]);
	else if (res->status == STORE_NOT_FOUND)
		change_write(c, NULL);
	else
		change_end(c, res);
}

static void change_read(struct change *c)
{
	struct store_req req = store_get(c->key);

	req.fresh = true;
	ds_submit(c->agent->ds, req, on_read, c);
}

static struct change *change_new(struct agent *a, const char *key, epobj_done_fn *done, void *arg)
{
	struct change *c = xcalloc(1, sizeof(*c));

	*c = (struct change) { .agent = a, .key = xstrdup(key), .done = done, .arg = arg };
	return c;
}

void epobj_put(struct agent *a, const char *key, epobj_make_fn *make, epobj_done_fn *done,
	       void *arg)
{
	struct change *c = change_new(a, key, done, arg);

	c->make = make;
	change_write(c, cache_get(a->cache, key));
}

void epobj_remove(struct agent *a, const char *key, const char *container_id, epobj_done_fn *done,
		  void *arg)
{
	struct change *c = change_new(a, key, done, arg);
	const struct store_kv *kv = cache_get(a->cache, key);

	c->container_id = xstrdup(container_id);
	if (kv && is_container(kv->value, container_id))
		change_write(c, kv);
	else
		change_read(c);
}
