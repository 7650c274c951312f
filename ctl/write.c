/* write.c - margayctl apply, create, replace, delete, validate
 *
 * SHAPE  A command is a row: its words and what it does with one object. Everything is tried, all
 *        that failed is told, and the counts say how far it came. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "ctl/files.h"
#include "ctl/kube.h"
#include "ctl/rules.h"
#include "model/profile.h"

enum { FILE_NAME, FILE_RECURSIVE, FILE_EMPTY, FILE_NAMESPACE, FILE_SKIP_EXISTS };
enum { DELETE_FILE, DELETE_RECURSIVE, DELETE_NAMESPACE, DELETE_SKIP_MISSING };

enum {
	APPLY_TRIES = 5, /* when somebody else writes at the same time */
	APPLY_PAUSE_US = 200000,
};

struct verb {
	const char *infinitive, *past; /* "apply", "applied" */
	/* 0 done, 1 skipped, negative errno. */
	int (*run)(struct ctl *c, struct object *o, struct err *e);
	bool makes; /* objects that were not there */
};

/* "metadata.name: ..." of a rule is about this object. */
static int about(const struct object *o, int rc, struct err *e)
{
	CLEANUP(freep) char *name = ctl_name(o);

	if (rc < 0 && e && !str_starts(e->msg, name))
		err_wrap(e, "%s", name);
	return rc;
}

static int create_one(struct ctl *c, struct object *o, struct err *e)
{
	const struct rules *r = rules_of(o->kind);
	int rc = 0;

	if (o->rev)
		return about(o,
			     err_set(e, -EINVAL, "metadata.resourceVersion: a new object has none"),
			     e);
	if (r->create)
		rc = about(o, r->create(c, o, e), e);
	if (rc == 0)
		rc = ctl_create(c, o, e);
	if (rc == 0 && r->written)
		rc = about(o, r->written(c, o, e), e);
	return rc;
}

/* Nothing of what is stored can be read, so there is nothing to compare with or to keep: write over
 * it, unless the kind has rules about that. */
static int write_over(struct ctl *c, struct object *o, const struct err *why, struct err *e)
{
	CLEANUP(freep) char *key = object_key(o), *what = ctl_name(o);
	struct store_res res;
	uint8_t random[16];
	char now[21];
	int rc;

	if (rules_of(o->kind)->update || o->rev) {
		*e = *why;
		return why->code;
	}
	rc = ctl_call(c, store_get(key), what, &res, e);
	if (rc < 0)
		return rc;
	ctl_now(now);
	ctl_random(random);
	object_fill_new(o, random, now);
	o->rev = res.kv[0].rev;
	store_res_done(&res);
	rc = ctl_update(c, o, e);
	if (rc < 0)
		o->rev = 0;
	return rc;
}

/* Write o over what is stored. A revision that the manifest names must be the stored one. */
static int update_one(struct ctl *c, struct object *o, struct err *e)
{
	const struct rules *r = rules_of(o->kind);
	int64_t said = o->rev;
	struct object stored;
	struct err why = { 0 };
	int rc = ctl_get(c, o->kind, o->ns, o->name, &stored, &why);

	if (rc == -EINVAL)
		return write_over(c, o, &why, e);
	if (rc < 0) {
		*e = why;
		return rc;
	}
	if (said && said != stored.rev) {
		rc = about(o,
			   err_set(e, -ESTALE,
				   "metadata.resourceVersion: is %lld, the stored object is at "
				   "%lld: get it "
				   "again",
				   (long long)said, (long long)stored.rev),
			   e);
		object_done(&stored);
		return rc;
	}
	if (r->update)
		rc = about(o, r->update(c, &stored, o, e), e);
	if (rc == 0) {
		object_keep_identity(o, &stored);
		o->rev = stored.rev;
		rc = ctl_update(c, o, e);
		if (rc < 0)
			o->rev = said;
	}
	if (rc == 0 && r->written)
		rc = about(o, r->written(c, o, e), e);
	object_done(&stored);
	return rc;
}

/* Also when it cannot be read. */
static bool exists(struct ctl *c, const struct object *o)
{
	struct object stored;
	int rc = ctl_get(c, o->kind, o->ns, o->name, &stored, NULL);

	if (rc == 0)
		object_done(&stored);
	return rc == 0 || rc == -EINVAL;
}

/* Create, or update when it exists; again when it was changed or deleted in between. */
static int apply_one(struct ctl *c, struct object *o, struct err *e)
{
	int rc = 0;

	for (int i = 0; i < APPLY_TRIES; i++) {
		if (i)
			usleep(APPLY_PAUSE_US);
		rc = exists(c, o) || o->rev ? update_one(c, o, e) : create_one(c, o, e);
		if (o->rev || (rc != -ESTALE && rc != -EEXIST && rc != -ENOENT))
			break;
	}
	return rc;
}

static int create_or_skip(struct ctl *c, struct object *o, struct err *e)
{
	if (exists(c, o))
		return 1;
	return create_one(c, o, e);
}

static int delete_one(struct ctl *c, struct object *o, struct err *e)
{
	const struct rules *r = rules_of(o->kind);
	struct object stored;
	int rc;

	/* The key of a policy may be one of older writers. */
	if (!r->delete &&!(o->kind->flags & KIND_POLICY))
		return ctl_delete(c, o, o->rev, e);
	rc = ctl_get(c, o->kind, o->ns, o->name, &stored, e);
	/* What cannot be read can still be removed. */
	if (rc < 0)
		return r->delete || rc == -ENOENT ? rc : ctl_delete(c, o, o->rev, e);
	if (r->delete)
		rc = about(o, r->delete (c, &stored, o->rev, e), e);
	else
		rc = ctl_delete(c, &stored, o->rev, e);
	object_done(&stored);
	return rc;
}

static int delete_or_skip(struct ctl *c, struct object *o, struct err *e)
{
	int rc = delete_one(c, o, e);

	return rc == -ENOENT ? 1 : rc;
}

static int check_one(struct ctl *c, struct object *o, struct err *e)
{
	return 0; /* reading the manifest has checked it */
}

static int refuse(const struct object *o, struct err *e)
{
	if (o->kind->flags & KIND_READ_ONLY)
		return err_set(e, -EPERM, "kind %s cannot be written: programs keep it",
			       o->kind->name);
	if (!strcmp(o->kind->name, "Profile") && !strcmp(o->name, PROFILE_DEFAULT_ALLOW))
		return err_set(e, -EPERM, "is built in and cannot be written");
	return 0;
}

struct tally {
	size_t n_done, n_skipped, n_failed;
	const struct kind *kind; /* of all; NULL: several */
};

static void run_all(struct ctl *c, const struct verb *v, struct object_vec *objects,
		    bool reads_only, struct tally *t)
{
	vec_foreach (objects, o) {
		struct err e = { 0 };
		int rc = reads_only ? 0 : about(o, refuse(o, &e), &e);

		if (rc == 0)
			rc = v->run(c, o, &e);
		t->kind = o == objects->p || t->kind == o->kind ? o->kind : NULL;
		t->n_done += rc == 0;
		t->n_skipped += rc > 0;
		if (rc >= 0)
			continue;
		t->n_failed++;
		if (o->file)
			ctl_error("hit error: %s:%u: %s", o->file, o->line, e.msg);
		else
			ctl_error("hit error: %s", e.msg);
	}
}

/* "Successfully applied 2 'IPPool' resource(s)". Returns the exit status. */
static int tell(const struct verb *v, const struct tally *t)
{
	CLEANUP(freep) char *kind = t->kind ? xasprintf("'%s' ", t->kind->name) : xstrdup("");
	size_t n = t->n_done + t->n_skipped + t->n_failed;

	if (t->n_skipped)
		printf("Skipped %zu %sresource(s)\n", t->n_skipped, kind);
	if (!t->n_failed && (t->n_done || !t->n_skipped))
		printf("Successfully %s %zu %sresource(s)\n", v->past, t->n_done, kind);
	else if (t->n_failed && t->n_done)
		ctl_error("Partial success: %s %zu out of %zu %sresources", v->past, t->n_done, n,
			  kind);
	else if (t->n_failed)
		ctl_error("failed to %s any %sresources", v->infinitive, kind);
	return t->n_failed ? CTL_FAILED : CTL_OK;
}

static void set_namespaces(struct object_vec *objects, const char *ns)
{
	vec_foreach (objects, o)
		if (o->kind->flags & KIND_NAMESPACED && !o->ns)
			object_set_namespace(o, ns ? ns : CTL_NAMESPACE_DEFAULT);
}

/* Nothing is written while any document of the files is wrong. */
static int read_all(const char *path, bool recursive, bool empty_ok, const char *ns,
		    struct manifests *m)
{
	struct err e = { 0 };

	if (!path)
		return ctl_error("-f FILE is missing");
	if (manifests_read(path, recursive, m, &e) < 0)
		return ctl_error("%s", e.msg);
	if (m->n_bad)
		return ctl_error("%zu document(s) with mistakes: nothing was done", m->n_bad);
	if (!m->object.n && !empty_ok)
		return ctl_error("%s: no resources in it", path);
	set_namespaces(&m->object, ns);
	return CTL_OK;
}

static int run_files(struct ctl *c, const struct args *a, const struct verb *v)
{
	struct manifests m = { 0 };
	struct tally t = { 0 };
	struct err e = { 0 };
	bool offline = v->run == check_one;
	int rc = read_all(a->opt[FILE_NAME], a->opt[FILE_RECURSIVE], a->opt[FILE_EMPTY],
			  offline ? NULL : a->opt[FILE_NAMESPACE], &m);

	if (rc == CTL_OK && a->n_words)
		rc = ctl_error("%s: unexpected; resources come from -f FILE", a->word[0]);
	/* Configuration may be there before the first agent. */
	if (rc == CTL_OK && !offline && ctl_open(c, v->makes ? CTL_MAKE : CTL_WRITE, &e) < 0)
		rc = ctl_error("%s", e.msg);
	if (rc == CTL_OK) {
		run_all(c, v, &m.object, offline, &t);
		rc = tell(v, &t);
	}
	manifests_done(&m);
	return rc;
}

int cmd_apply(struct ctl *c, const struct args *a)
{
	return run_files(c, a, &(struct verb) { "apply", "applied", apply_one, true });
}

int cmd_create(struct ctl *c, const struct args *a)
{
	bool skip = a->opt[FILE_SKIP_EXISTS];

	return run_files(
		c, a,
		&(struct verb) { "create", "created", skip ? create_or_skip : create_one, true });
}

int cmd_replace(struct ctl *c, const struct args *a)
{
	return run_files(c, a, &(struct verb) { "replace", "replaced", update_one, false });
}

int cmd_validate(struct ctl *c, const struct args *a)
{
	return run_files(c, a, &(struct verb) { "validate", "validated", check_one, false });
}

/* Objects with nothing but their names. */
static int named(const struct args *a, struct object_vec *out, struct err *e)
{
	const char *ns =
		a->opt[DELETE_NAMESPACE] ? a->opt[DELETE_NAMESPACE] : CTL_NAMESPACE_DEFAULT;
	const struct kind *kind;
	char *name;
	int rc;

	if (a->n_words < 2)
		return err_set(e, -EINVAL, "what to delete is missing: KIND NAME, or -f FILE");
	for (size_t i = 1; i < a->n_words; i++) {
		if (kube_name(a->word[0], ns, a->word[i], &kind, &name)) {
			vec_push(out, object_new(kind, ns, name));
			free(name);
			continue;
		}
		if ((rc = kind_get(a->word[0], &kind, e)) < 0)
			return rc;
		vec_push(out, object_new(kind, ns, a->word[i]));
	}
	return 0;
}

int cmd_delete(struct ctl *c, const struct args *a)
{
	struct verb v = { "delete", "deleted",
			  a->opt[DELETE_SKIP_MISSING] ? delete_or_skip : delete_one, false };
	struct manifests m = { 0 };
	struct tally t = { 0 };
	struct err e = { 0 };
	int rc = CTL_OK;

	if (a->opt[DELETE_FILE])
		rc = read_all(a->opt[DELETE_FILE], a->opt[DELETE_RECURSIVE], false,
			      a->opt[DELETE_NAMESPACE], &m);
	else if (named(a, &m.object, &e) < 0)
		rc = ctl_error("%s", e.msg);
	if (rc == CTL_OK && ctl_open(c, CTL_WRITE, &e) < 0)
		rc = ctl_error("%s", e.msg);
	if (rc == CTL_OK) {
		run_all(c, &v, &m.object, false, &t);
		rc = tell(&v, &t);
	}
	manifests_done(&m);
	return rc;
}
