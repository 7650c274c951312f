/* policy_feed.c - stored objects as events of the policy calculation
 * SHAPE  One row for each kind that policy is made of. A deletion names only a key, so the identity
 *        that a policy had is remembered beside its trouble; of other kinds the key says it.
 * TESTS  tests/unit/agent/policy/policy_feed.c */
#include "agent/policy/policy_feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "agent/log.h"
#include "model/key.h"
#include "model/object.h"
#include "policy/input.h"
#include "policy/k8s.h"

/* What is remembered of a key: only policies, and whatever is in trouble. */
struct row {
	UT_hash_handle hh;
	char *key;
	struct policy_id id; /* name NULL: no policy */
	char *ns, *name;
	char *trouble;
};

struct policy_feed {
	struct calc *calc;
	struct row *rows;
	size_t n_troubles;
};

/* ---- rows ---- */

static struct row *row_find(const struct policy_feed *f, const char *key)
{
	struct row *r;

	HASH_FIND_STR(f->rows, key, r);
	return r;
}

static struct row *row_get(struct policy_feed *f, const char *key)
{
	struct row *r = row_find(f, key);

	if (r)
		return r;
	r = xcalloc(1, sizeof(*r));
	r->key = xstrdup(key);
	HASH_ADD_KEYPTR(hh, f->rows, r->key, strlen(r->key), r);
	return r;
}

static void row_drop(struct policy_feed *f, struct row *r)
{
	HASH_DEL(f->rows, r);
	f->n_troubles -= r->trouble != NULL;
	free(r->key);
	free(r->ns);
	free(r->name);
	free(r->trouble);
	free(r);
}

/* msg NULL: all is well. */
static void set_trouble(struct policy_feed *f, const char *key, const char *what, const char *msg)
{
	struct row *r = msg ? row_get(f, key) : row_find(f, key);

	if (!r || (msg && r->trouble && strstr(r->trouble, msg)))
		return;
	if (msg)
		log_warn("policy", "an object cannot be used as it is", "object=%s why=%s", what,
			 msg);
	else if (r->trouble)
		log_info("policy", "an object is right again", "object=%s", what);
	f->n_troubles += !!msg;
	f->n_troubles -= r->trouble != NULL;
	free(r->trouble);
	r->trouble = msg ? xasprintf("%s: %s", what, msg) : NULL;
	if (!msg && !r->name)
		row_drop(f, r);
}

/* ---- one function for each kind: put, gone ---- */

struct subject {
	struct policy_feed *f;
	const char *key, *what; /* "NetworkPolicy default/web" */
	const struct key *k;
};

static bool step(struct policy_feed *f, const struct calc_event *ev)
{
	calc_step(f->calc, ev);
	return true;
}

static void remember(struct policy_feed *f, const char *key, const struct policy_id *id)
{
	struct row *r = row_get(f, key);

	free(r->ns);
	free(r->name);
	r->ns = id->ns ? xstrdup(id->ns) : NULL;
	r->name = xstrdup(id->name);
	r->id = (struct policy_id) { .kind = id->kind, .ns = r->ns, .name = r->name };
}

static bool policy_gone(const struct subject *s)
{
	struct row *r = row_find(s->f, s->key);

	if (!r || !r->name)
		return false;
	return step(s->f, &(struct calc_event) { .kind = CALC_POLICY_GONE, .of.policy_id = r->id });
}

static bool same_id(const struct policy_id *a, const struct policy_id *b)
{
	return a->kind == b->kind && !strcmp(a->name, b->name) &&
	       !strcmp(a->ns ? a->ns : "", b->ns ? b->ns : "");
}

/* Of the trouble's words: what that means now. */
static void say_widened(const struct policy *p, struct err *e)
{
	struct err old = *e;

	err_set(e, old.code, "%.300s; until it can be read, it denies for all pods %s%s", old.msg,
		p->ns ? "of namespace " : "that its other selectors select", p->ns ? p->ns : "");
}

static bool policy_put(const struct subject *s, const struct object *o, struct err *e)
{
	bool k8s = o->ns && str_starts(o->name, K8S_POLICY_PREFIX);
	struct policy *p = NULL;
	struct policy_id id;
	struct row *r;

	if (k8s)
		policy_from_k8s(o, o->name + strlen(K8S_POLICY_PREFIX), &p, e);
	else
		policy_from_object(o, &p, e);
	if (!p)
		return false;
	id = policy_id(p);
	r = row_find(s->f, s->key);
	/* What was known of it says better whom it selects. */
	if (p->widened && r && r->name) {
		policy_free(p);
		return false;
	}
	if (p->widened)
		say_widened(p, e);
	if (r && r->name && !same_id(&r->id, &id))
		policy_gone(s);
	remember(s->f, s->key, &id);
	return step(s->f, &(struct calc_event) { .kind = CALC_POLICY, .of.policy = p });
}

static bool profile_put(const struct subject *s, const struct object *o, struct err *e)
{
	struct profile_rules *p;

	profile_from_object(o, &p, e);
	return step(s->f, &(struct calc_event) { .kind = CALC_PROFILE, .of.profile = p });
}

static bool profile_gone(const struct subject *s)
{
	return step(s->f,
		    &(struct calc_event) { .kind = CALC_PROFILE_GONE, .of.name = s->k->name });
}

static bool tier_put(const struct subject *s, const struct object *o, struct err *e)
{
	struct tier_state t = { .name = o->name };

	tier_read(o, &t.order, &t.action);
	return step(s->f, &(struct calc_event) { .kind = CALC_TIER, .of.tier = &t });
}

static bool tier_gone(const struct subject *s)
{
	return step(s->f, &(struct calc_event) { .kind = CALC_TIER_GONE, .of.name = s->k->name });
}

static bool endpoint_put(const struct subject *s, const struct object *o, struct err *e)
{
	struct endpoint_input in;

	if (endpoint_from_object(o, &in, e) < 0)
		return false;
	step(s->f, &(struct calc_event) { .kind = CALC_ENDPOINT, .of.endpoint = &in.e });
	endpoint_input_done(&in);
	return true;
}

static bool endpoint_gone(const struct subject *s, enum endpoint_kind kind)
{
	CLEANUP(freep)
	char *id = s->k->ns ? xasprintf("%s/%s", s->k->ns, s->k->name) : xstrdup(s->k->name);
	struct endpoint ep = { .kind = kind, .id = id };

	return step(s->f, &(struct calc_event) { .kind = CALC_ENDPOINT_GONE, .of.endpoint = &ep });
}

static bool workload_gone(const struct subject *s)
{
	return endpoint_gone(s, ENDPOINT_WORKLOAD);
}

static bool host_gone(const struct subject *s)
{
	return endpoint_gone(s, ENDPOINT_HOST);
}

static bool nets_gone(const struct subject *s)
{
	return endpoint_gone(s, ENDPOINT_NETS);
}

/* A slice of no service, or one that cannot be read, is nobody's. */
static bool slice_gone(const struct subject *s)
{
	CLEANUP(freep) char *id = xasprintf("%s/%s", s->k->ns, s->k->name);

	return step(s->f, &(struct calc_event) { .kind = CALC_SLICE_GONE, .of.name = id });
}

static bool slice_put(const struct subject *s, const struct object *o, struct err *e)
{
	struct slice_input in;
	int rc = slice_from_object(o, &in, e);

	if (rc == -ENOENT)
		*e = (struct err) { 0 };
	if (rc < 0)
		return slice_gone(s);
	step(s->f, &(struct calc_event) { .kind = CALC_SLICE, .of.slice = &in.s });
	slice_input_done(&in);
	return true;
}

static const struct feed_kind {
	const char *kind;
	/* True: the calculation was told; e is set when something of the object is wrong. */
	bool (*put)(const struct subject *s, const struct object *o, struct err *e);
	bool (*gone)(const struct subject *s);
} kinds[] = {
	{ "WorkloadEndpoint", endpoint_put, workload_gone },
	{ "HostEndpoint", endpoint_put, host_gone },
	{ "NetworkSet", endpoint_put, nets_gone },
	{ "GlobalNetworkSet", endpoint_put, nets_gone },
	{ "NetworkPolicy", policy_put, policy_gone },
	{ "GlobalNetworkPolicy", policy_put, policy_gone },
	{ "Profile", profile_put, profile_gone },
	{ "Tier", tier_put, tier_gone },
	{ "EndpointSlice", slice_put, slice_gone },
};

static const struct feed_kind *feed_kind(const struct kind *k)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].kind, k->name))
			return &kinds[i];
	return NULL;
}

/* ---- interface ---- */

struct policy_feed *policy_feed_new(struct calc *calc)
{
	struct policy_feed *f = xcalloc(1, sizeof(*f));

	f->calc = calc;
	return f;
}

void policy_feed_free(struct policy_feed *f)
{
	struct row *r, *tmp;

	if (!f)
		return;
	HASH_ITER (hh, f->rows, r, tmp)
		row_drop(f, r);
	free(f);
}

/* Not even an object: of a policy its key says the namespace. */
static bool put_nothing(const struct subject *s, struct err *e)
{
	struct object o = object_new(s->k->kind, s->k->ns, s->k->name);
	struct err why = *e;
	bool told;

	js_set(o.json, "spec", json_array());
	told = policy_put(s, &o, e);
	object_done(&o);
	if (told)
		err_set(e, why.code,
			"%.300s; until it can be read, it denies for all pods of namespace %s",
			why.msg, s->k->ns);
	else
		*e = why;
	return told;
}

static bool put(const struct subject *s, const struct feed_kind *kind, const char *value)
{
	struct err e = { 0 };
	struct object o;
	bool told = false;

	if (object_decode(s->key, value, 1, &o, &e) == 0) {
		told = kind->put(s, &o, &e);
		object_done(&o);
	} else if (kind->put == policy_put) {
		told = put_nothing(s, &e);
	}
	set_trouble(s->f, s->key, s->what, e.code ? e.msg : NULL);
	return told;
}

static bool gone(const struct subject *s, const struct feed_kind *kind)
{
	bool told = kind->gone(s);
	struct row *r = row_find(s->f, s->key);

	if (r)
		row_drop(s->f, r);
	return told;
}

bool policy_feed_take(struct policy_feed *f, const char *key, const char *value)
{
	const struct feed_kind *kind;
	struct key k;
	bool told = false;

	if (!key_parse(key, &k))
		return false;
	kind = feed_kind(k.kind);
	if (kind) {
		CLEANUP(freep)
		char *what = xasprintf("%s %s%s%s", k.kind->name, k.ns ? k.ns : "", k.ns ? "/" : "",
				       k.name);
		struct subject s = { .f = f, .key = key, .what = what, .k = &k };

		told = value ? put(&s, kind, value) : gone(&s, kind);
	}
	key_done(&k);
	return told;
}

size_t policy_feed_troubles(const struct policy_feed *f, struct str *out)
{
	size_t shown = 0;

	for (const struct row *r = f->rows; r && shown < POLICY_TROUBLES_SHOWN; r = r->hh.next) {
		if (!r->trouble)
			continue;
		str_addf(out, "%s\n", r->trouble);
		shown++;
	}
	return f->n_troubles;
}
