/* policy_feed.c - stored objects as events of the policy calculation
 * SHAPE  policy/feed.h tells the calculation; here is what a store that changes needs besides. A
 *        deletion names only a key, so the identity that a policy had is remembered beside its
 *        trouble; of other kinds the key says it.
 * TESTS  tests/unit/agent/policy/policy_feed.c */
#include "agent/policy/policy_feed.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "agent/log.h"
#include "model/key.h"
#include "model/object.h"
#include "policy/feed.h"

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
	r->trouble = !msg		     ? NULL
		     : str_starts(msg, what) ? xstrdup(msg)
					     : xasprintf("%s: %s", what, msg);
	if (!msg && !r->name)
		row_drop(f, r);
}

/* ---- policies: who they were, and what was known of them ---- */

struct subject {
	struct policy_feed *f;
	const char *key, *what; /* "NetworkPolicy default/web" */
	const struct key *k;
};

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
	calc_step(s->f->calc,
		  &(struct calc_event) { .kind = CALC_POLICY_GONE, .of.policy_id = r->id });
	return true;
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

/* To deny for everybody would cut the cluster off for one typing error. */
static void say_nobody(const struct subject *s, struct err *e)
{
	struct err old = *e;

	if (e->code && !s->k->ns)
		err_set(e, old.code,
			"%.300s; whom it selects cannot be read, so %s until it can be", old.msg,
			row_find(s->f, s->key) && row_find(s->f, s->key)->name
				? "what was known of it stays in force"
				: "it is not in force");
}

static bool policy_put(const struct subject *s, const struct object *o, struct err *e)
{
	struct policy *p = feed_policy(o, e);
	struct policy_id id;
	struct row *r;

	if (!p) {
		say_nobody(s, e);
		return false;
	}
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
	calc_step(s->f->calc, &(struct calc_event) { .kind = CALC_POLICY, .of.policy = p });
	return true;
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
	struct object o = feed_unreadable(s->k);
	struct err why = *e;
	bool told;

	told = policy_put(s, &o, e);
	object_done(&o);
	if (told)
		err_set(e, why.code,
			"%.300s; until it can be read, it denies for all pods of namespace %s",
			why.msg, s->k->ns);
	if (told)
		return true;
	*e = why;
	say_nobody(s, e);
	return false;
}

static bool put(const struct subject *s, const char *value)
{
	bool is_policy = feed_is_policy(s->k->kind->name), told = false;
	struct err e = { 0 };
	struct object o;

	if (object_decode(s->key, value, 1, &o, &e) == 0) {
		told = is_policy ? policy_put(s, &o, &e) : feed_object(s->f->calc, &o, &e);
		object_done(&o);
	} else if (is_policy) {
		told = put_nothing(s, &e);
	} else if (strcmp(s->k->kind->name, "HostEndpoint")) {
		/* As after a restart, when nothing would be known of it: a profile or pod that is not
		 * there denies, a tier goes last and denies, a network set lets nobody in. A host
		 * endpoint that is not there would let everybody in. */
		told = feed_gone(s->f->calc, s->k);
	} else {
		feed_say_kept(&e);
	}
	set_trouble(s->f, s->key, s->what, e.code ? e.msg : NULL);
	return told;
}

static bool gone(const struct subject *s)
{
	bool told = feed_is_policy(s->k->kind->name) ? policy_gone(s) : feed_gone(s->f->calc, s->k);
	struct row *r = row_find(s->f, s->key);

	if (r)
		row_drop(s->f, r);
	return told;
}

bool policy_feed_take(struct policy_feed *f, const char *key, const char *value)
{
	struct key k;
	bool told = false;

	if (!key_parse(key, &k))
		return false;
	if (feed_takes(k.kind->name)) {
		CLEANUP(freep)
		char *what = xasprintf("%s %s%s%s", k.kind->name, k.ns ? k.ns : "", k.ns ? "/" : "",
				       k.name);
		struct subject s = { .f = f, .key = key, .what = what, .k = &k };

		told = value ? put(&s, value) : gone(&s);
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
