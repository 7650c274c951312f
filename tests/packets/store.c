/* store.c - a world in the agents' datastore
 * WHY  Values are written as they are, past margayctl: worlds hold objects that no strict reader takes. */
#include "tests/packets/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "datastore/ds.h"
#include "lib/json.h"
#include "lib/vec.h"
#include "model/key.h"
#include "model/object.h"
#include "policy/k8s.h"

struct entry {
	char *key, *value;
};

struct entries {
	struct entry *p;
	size_t n, cap;
};

struct store {
	struct event_base *base;
	struct ds *ds;
	struct entries now;
	size_t waiting;
	int64_t rev;
	struct err trouble;
};

static void entries_done(struct entries *v)
{
	vec_foreach (v, x) {
		free(x->key);
		free(x->value);
	}
	vec_done(v);
}

static const char *find(const struct entries *v, const char *key)
{
	for (size_t i = 0; i < v->n; i++)
		if (!strcmp(v->p[i].key, key))
			return v->p[i].value;
	return NULL;
}

/* ---- objects as they are stored ---- */

static int object_of_broken(const struct wobj *o, struct object *out)
{
	const char *ns = NULL, *name = "";

	js_str(o->json, "metadata.namespace", &ns, NULL);
	js_str(o->json, "metadata.name", &name, NULL);
	*out = object_new(kind_find(json_string_value(json_object_get(o->json, "kind"))), ns, name);
	json_decref(out->json);
	out->json = json_deep_copy(o->json);
	return 0;
}

/* As margayctl stores Kubernetes' manifest. */
static int object_of_slice(const struct wobj *o, struct object *out)
{
	static const char *const members[] = { "addressType", "endpoints", "ports" };
	const char *ns = "", *name = "";

	js_str(o->json, "metadata.namespace", &ns, NULL);
	js_str(o->json, "metadata.name", &name, NULL);
	*out = object_new(kind_find("EndpointSlice"), ns, name);
	json_object_set(json_object_get(out->json, "metadata"), "labels",
			js_at(o->json, "metadata.labels"));
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		json_object_set(object_spec_json(out), members[i],
				json_object_get(o->json, members[i]));
	return 0;
}

static int object_of(const struct wobj *o, struct object *out, struct err *e)
{
	struct str left_out = { 0 };
	int rc = -EINVAL;

	switch (o->kind) {
	case W_OBJECT:
		return o->broken ? object_of_broken(o, out) : object_from_json(o->json, out, e);
	case W_K8S_POLICY:
		rc = k8s_policy(o->json, out, &left_out, e);
		break;
	case W_NAMESPACE:
		return k8s_namespace(o->json, out, e);
	case W_ACCOUNT:
		return k8s_account(o->json, out, e);
	case W_SLICE:
		return object_of_slice(o, out);
	}
	str_done(&left_out);
	return rc;
}

static int entries_of(const struct wobjs *objects, struct entries *out, struct err *e)
{
	for (size_t i = 0; i < objects->n; i++) {
		struct object o;
		int rc = object_of(&objects->p[i], &o, e);

		if (rc < 0)
			return err_wrap(e, "%s", objects->p[i].key);
		vec_push(out, (struct entry) { object_key(&o), object_encode(&o) });
		object_done(&o);
	}
	return 0;
}

/* ---- writes ---- */

static void written(void *arg, struct store_res *res)
{
	struct store *s = arg;

	if (res->status != STORE_OK)
		err_set(&s->trouble, -EIO, "store: %s: %s", store_status_name(res->status),
			res->msg);
	else if (res->rev > s->rev)
		s->rev = res->rev;
	if (--s->waiting == 0)
		event_base_loopbreak(s->base);
}

struct requests {
	struct store_req *p;
	size_t n, cap;
};

static void collect(const struct entries *from, const struct entries *to, struct requests *out)
{
	for (size_t i = 0; i < from->n; i++)
		if (!find(to, from->p[i].key))
			vec_push(out, store_delete(from->p[i].key, 0));
	for (size_t i = 0; i < to->n; i++) {
		const char *old = find(from, to->p[i].key);

		if (!old || strcmp(old, to->p[i].value) != 0)
			vec_push(out, store_update(to->p[i].key, to->p[i].value, 0));
	}
}

int store_put(struct store *s, const struct wobjs *objects, struct rng *r, int64_t *rev,
	      struct err *e)
{
	struct entries next = { 0 };
	struct requests req = { 0 };
	int rc = entries_of(objects, &next, e);

	if (rc == 0)
		collect(&s->now, &next, &req);
	for (size_t i = req.n; i > 1; i--) {
		size_t j = (size_t)rng_below(r, (int)i);
		struct store_req tmp = req.p[i - 1];

		req.p[i - 1] = req.p[j];
		req.p[j] = tmp;
	}
	s->waiting = req.n;
	vec_foreach (&req, x)
		ds_submit(s->ds, *x, written, s);
	while (s->waiting)
		event_base_dispatch(s->base);
	vec_done(&req);
	entries_done(&s->now);
	s->now = next;
	*rev = s->rev;
	if (rc == 0 && s->trouble.code) {
		rc = s->trouble.code;
		*e = s->trouble;
	}
	return rc;
}

/* ---- life ---- */

/* What an earlier run left is to go; what agents made stays. */
static bool is_ours(const char *key)
{
	static const char *const kinds[] = { "networkpolicies/", "globalnetworkpolicies/",
					     "networksets/",	 "globalnetworksets/",
					     "hostendpoints/",	 "workloadendpoints/",
					     "profiles/prof",	 "profiles/kns.n",
					     "profiles/ksa.n",	 "tiers/t",
					     "endpointslices/n" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_starts(key + strlen(KEY_RESOURCES), kinds[i]))
			return true;
	return false;
}

static int read_present(struct store *s, struct err *e)
{
	struct store_res res = ds_call(s->ds, store_list(KEY_RESOURCES));

	if (res.status != STORE_OK)
		err_set(e, -EIO, "store: %s", res.msg);
	for (size_t i = 0; i < res.n; i++)
		if (is_ours(res.kv[i].key))
			vec_push(&s->now, (struct entry) { xstrdup(res.kv[i].key),
							   xstrdup(res.kv[i].value) });
	s->rev = res.rev;
	store_res_done(&res);
	return e->code;
}

int store_open(struct store **out, const char *spec, struct err *e)
{
	struct store *s = xcalloc(1, sizeof(*s));
	int rc;

	s->base = event_base_new();
	rc = ds_open(&s->ds, s->base, spec, 0, e);
	if (rc < 0) {
		event_base_free(s->base);
		free(s);
		return rc;
	}
	*out = s;
	return read_present(s, e);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	ds_close(s->ds);
	event_base_free(s->base);
	entries_done(&s->now);
	free(s);
}
