/* get.c - margayctl get */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "ctl/files.h"
#include "ctl/kube.h"
#include "model/profile.h"

enum { GET_FILE, GET_RECURSIVE, GET_NAMESPACE, GET_ALL, GET_EXPORT };

/* What was asked for and found. */
struct got {
	struct object_vec object;
	const struct kind *kind; /* NULL: several */
	bool one;		 /* one object by its name: printed without a list around it */
	bool show_ns;
	size_t n_failed;
};

static void get_one(struct ctl *c, struct got *g, const struct kind *kind, const char *ns,
		    const char *name)
{
	struct err e = { 0 };
	struct object o;

	if (!strcmp(kind->name, "Profile") && !strcmp(name, PROFILE_DEFAULT_ALLOW)) {
		vec_push(&g->object, profile_default_allow());
		return;
	}
	if (ctl_get(c, kind, ns, name, &o, &e) == 0) {
		vec_push(&g->object, o);
		return;
	}
	ctl_error("%s", e.msg);
	g->n_failed++;
}

/* Those of a kind that stand for one of Kubernetes'. */
static int get_kube(struct ctl *c, const struct args *a, struct got *g, const char *prefix,
		    struct err *e)
{
	const char *ns = a->opt[GET_NAMESPACE] ? a->opt[GET_NAMESPACE] : CTL_NAMESPACE_DEFAULT;
	size_t n = 0;
	int rc = ctl_list(c, g->kind, a->opt[GET_ALL] ? NULL : ns, &g->object, &g->n_failed, e);

	vec_foreach (&g->object, o) {
		if (str_starts(o->name, prefix))
			g->object.p[n++] = *o;
		else
			object_done(o);
	}
	g->object.n = n;
	return rc;
}

static int get_words(struct ctl *c, const struct args *a, struct got *g, struct err *e)
{
	const char *ns = a->opt[GET_NAMESPACE], *prefix = NULL;
	int rc;

	if (!a->n_words)
		return err_set(e, -EINVAL,
			       "what to get is missing: a kind such as ippools, or -f FILE");
	if (!kube_kind(a->word[0], &g->kind, &prefix) &&
	    (rc = kind_get(a->word[0], &g->kind, e)) < 0)
		return rc;
	g->show_ns = g->kind->flags & KIND_NAMESPACED && (ns || a->opt[GET_ALL]);
	g->one = a->n_words == 2;
	for (size_t i = 1; i < a->n_words; i++) {
		const char *in = ns ? ns : CTL_NAMESPACE_DEFAULT;
		const struct kind *kind;
		CLEANUP(freep) char *name = NULL;

		if (!kube_name(a->word[0], in, a->word[i], &kind, &name))
			name = xstrdup(a->word[i]);
		get_one(c, g, g->kind, in, name);
	}
	if (a->n_words > 1)
		return 0;
	if (prefix)
		return get_kube(c, a, g, prefix, e);
	if (!strcmp(g->kind->name, "Profile"))
		vec_push(&g->object, profile_default_allow());
	if (!ns && !a->opt[GET_ALL])
		ns = CTL_NAMESPACE_DEFAULT;
	return ctl_list(c, g->kind, a->opt[GET_ALL] ? NULL : ns, &g->object, &g->n_failed, e);
}

/* The objects that a manifest names, as they are in the store. */
static int get_file(struct ctl *c, const struct args *a, struct got *g, struct err *e)
{
	const char *ns = a->opt[GET_NAMESPACE] ? a->opt[GET_NAMESPACE] : CTL_NAMESPACE_DEFAULT;
	struct manifests m = { 0 };
	int rc = manifests_read(a->opt[GET_FILE], a->opt[GET_RECURSIVE], &m, e);

	g->n_failed += m.n_bad;
	vec_foreach (&m.object, o) {
		get_one(c, g, o->kind, o->ns ? o->ns : ns, o->name);
		g->kind = o == m.object.p || g->kind == o->kind ? o->kind : NULL;
	}
	g->one = m.object.n == 1;
	manifests_done(&m);
	return rc;
}

static void strip(struct object *o)
{
	static const char *const local[] = { "namespace", "uid", "creationTimestamp",
					     "deletionTimestamp", "deletionGracePeriodSeconds" };
	json_t *meta = json_object_get(o->json, "metadata");

	for (size_t i = 0; i < ARRAY_SIZE(local); i++)
		json_object_del(meta, local[i]);
	o->rev = 0;
}

/* The AS number that nodes without one of their own have. */
static uint32_t default_as(struct ctl *c)
{
	const struct kind *kind = kind_find("BGPConfiguration");
	uint32_t as = 64512;
	struct object o;
	json_t *v;

	if (ctl_get(c, kind, NULL, "default", &o, NULL) < 0)
		return as;
	v = js_at(o.json, "spec.asNumber");
	if (json_is_integer(v))
		as = (uint32_t)json_integer_value(v);
	object_done(&o);
	return as;
}

static void print_table(struct ctl *c, const struct kind *kind, struct got *g)
{
	const struct column *cols = c->output == CTL_WIDE ? kind->wide : kind->ps;
	struct column_ctx ctx = { 0 };
	struct table t = { 0 };

	if (!strcmp(kind->name, "Node") && c->output == CTL_WIDE)
		ctx.as_number = default_as(c);
	if (g->show_ns)
		table_add(&t, xstrdup("NAMESPACE"));
	for (const struct column *col = cols; col->head; col++)
		table_add(&t, xstrdup(col->head));
	t.n_cols = t.cell.n;
	vec_foreach (&g->object, o) {
		if (o->kind != kind)
			continue;
		if (g->show_ns)
			table_add(&t, xstrdup(o->ns));
		for (const struct column *col = cols; col->head; col++)
			table_add(&t, object_column(o, col, &ctx));
	}
	table_print(&t);
	table_done(&t);
}

/* One table per kind, in the order of the kinds. */
static void print_tables(struct ctl *c, struct got *g)
{
	const struct kind *kind;
	bool first = true;

	for (size_t i = 0; (kind = kind_at(i)); i++) {
		bool any = kind == g->kind;

		vec_foreach (&g->object, o)
			any |= o->kind == kind;
		if (!any)
			continue;
		if (!first)
			putchar('\n');
		first = false;
		print_table(c, kind, g);
	}
}

static void print(struct ctl *c, struct got *g)
{
	json_t *v;

	if (c->output == CTL_TABLE || c->output == CTL_WIDE) {
		print_tables(c, g);
		return;
	}
	v = g->one ? object_show(&g->object.p[0]) : objects_show(g->kind, &g->object);
	ctl_print(c, v);
	json_decref(v);
}

int cmd_get(struct ctl *c, const struct args *a)
{
	struct got g = { 0 };
	struct err e = { 0 };
	int rc = ctl_open(c, CTL_READ, &e);

	if (rc == 0)
		rc = a->opt[GET_FILE] ? get_file(c, a, &g, &e) : get_words(c, a, &g, &e);
	if (rc < 0)
		ctl_error("%s", e.msg);
	if (a->opt[GET_EXPORT] && g.one)
		vec_foreach (&g.object, o)
			strip(o);
	/* Asked for by name and not there: the message said so, an empty table would say nothing.
	 * */
	if (rc == 0 && (g.object.n || !(g.n_failed || a->n_words > 1)))
		print(c, &g);
	objects_done(&g.object);
	return rc < 0 || g.n_failed ? CTL_FAILED : CTL_OK;
}
