/* policy.c - policies and profiles ready for use
 * TESTS  tests/unit/policy/policy.c */
#include "policy/policy.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/object.h"
#include "model/policy.h"
#include "model/profile.h"
#include "model/selector.h"
#include "policy/combine.h"

static const struct {
	const char *name, *brief;
} kinds[] = {
	[POLICY_NETWORK] = { "NetworkPolicy", "np" },
	[POLICY_GLOBAL] = { "GlobalNetworkPolicy", "gnp" },
	[POLICY_KUBERNETES] = { "KubernetesNetworkPolicy", "knp" },
};

const char *policy_kind_name(enum policy_kind kind)
{
	return kinds[kind].name;
}

const char *policy_kind_short(enum policy_kind kind)
{
	return kinds[kind].brief;
}

struct policy_id policy_id(const struct policy *p)
{
	return (struct policy_id) { p->kind, p->ns, p->name };
}

char *policy_id_text(const struct policy_id *id)
{
	return xasprintf("%s/%s%s%s", policy_kind_short(id->kind), id->ns ? id->ns : "",
			 id->ns ? "/" : "", id->name);
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	rules_done(&p->in);
	rules_done(&p->out);
	selector_free(p->parsed);
	free(p->selector);
	free(p->ns);
	free(p->name);
	free(p->rank);
	free(p->tier);
	free(p);
}

/* Ranks are compared by bytes: '-' and '.' come before '/'. */
int policy_cmp(const struct policy *a, const struct policy *b)
{
	if (a->order < b->order || a->order > b->order)
		return a->order < b->order ? -1 : 1;
	return strcmp(a->rank, b->rank);
}

static void set_identity(struct policy *p, enum policy_kind kind, const char *name)
{
	free(p->name);
	free(p->rank);
	p->kind = kind;
	p->name = xstrdup(name);
	p->rank = xasprintf("%s/%s/%s", name, p->ns ? p->ns : "", policy_kind_name(kind));
}

static struct policy *policy_new(const struct object *o)
{
	struct policy *p = xcalloc(1, sizeof(*p));

	p->ns = xstrdup(o->ns);
	set_identity(p, o->kind->flags & KIND_NAMESPACED ? POLICY_NETWORK : POLICY_GLOBAL, o->name);
	return p;
}

/* Selector text and tree of the parts; the parts may be NULL. */
static int set_selector(struct policy *p, const char *selector, const char *ns_selector,
			const char *account_selector, struct err *e)
{
	int rc = combine_policy(selector, p->ns, ns_selector, account_selector, &p->selector, e);

	return rc < 0 ? rc : selector_parse_combined(p->selector, &p->parsed, e);
}

static bool any_http(const struct rule_specs *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		if (rules->p[i].http && !json_is_null(rules->p[i].http))
			return true;
	return false;
}

static int compile(const struct policy_spec *s, struct policy *p, struct err *e)
{
	unsigned types = policy_spec_types(s);
	int rc = set_selector(p, s->selector, s->ns_selector, s->account_selector, e);

	if (rc < 0)
		return rc;
	p->tier = xstrdup(s->tier && *s->tier ? s->tier : TIER_DEFAULT);
	p->order = policy_spec_order(s);
	p->ingress = types & POLICY_TYPE_INGRESS;
	p->egress = types & POLICY_TYPE_EGRESS;
	p->untracked = s->do_not_track;
	p->pre_dnat = s->pre_dnat;
	/* A namespace's policies are for forwarded packets, too, should a host endpoint be in it. */
	p->forward = s->apply_on_forward || p->ns;
	p->has_http = any_http(&s->ingress);
	if (p->ingress && (rc = rules_compile(&s->ingress, true, p->ns, &p->in, e)) < 0)
		return rc;
	return p->egress ? rules_compile(&s->egress, false, p->ns, &p->out, e) : 0;
}

/* A selector for a policy that fails closed: NULL when it is absent, or cannot be read (*widened). */
static const char *read_selector(const json_t *spec, const char *name, bool *widened)
{
	const json_t *v = json_object_get(spec, name);
	const char *text = json_string_value(v);
	struct selector *s = NULL;

	if (!v || json_is_null(v))
		return NULL;
	if (text && selector_parse(text, &s, NULL) == 0) {
		selector_free(s);
		return text;
	}
	*widened = true;
	return NULL;
}

/* Is anything of a global policy's selectors left that says whom it selects? */
static bool is_bounded(const struct policy *p, const char *selector, const char *ns_selector,
		       const char *account_selector)
{
	return p->ns || !p->widened || selector || ns_selector || account_selector;
}

/* What can be read cannot be put together: all of the namespace, if it has one. */
static bool widen(struct policy *p)
{
	p->widened = true;
	free(TAKE(p->selector));
	return p->ns && set_selector(p, NULL, NULL, NULL, NULL) == 0;
}

static bool reads_true(const json_t *spec, const char *name)
{
	return json_is_true(json_object_get(spec, name));
}

/* Does types say that this direction is not governed? */
static bool excluded(const json_t *types, const char *word)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(types) || !json_array_size(types))
		return false;
	json_array_foreach (types, i, v) {
		const char *text = json_string_value(v);

		if (!text || !strcmp(text, word) ||
		    (strcmp(text, "Ingress") && strcmp(text, "Egress")))
			return false;
	}
	return true;
}

/* What can still be read of a policy that is not right: whom it selects, where it stands. */
static struct policy *policy_closed(const struct object *o)
{
	const json_t *spec = json_object_get(o->json, "spec");
	const json_t *types = json_object_get(spec, "types");
	const json_t *order = json_object_get(spec, "order");
	struct policy *p = policy_new(o);
	const char *selector = read_selector(spec, "selector", &p->widened);
	const char *ns_selector =
		p->ns ? NULL : read_selector(spec, "namespaceSelector", &p->widened);
	const char *account_selector = read_selector(spec, "serviceAccountSelector", &p->widened);
	const char *tier = json_string_value(json_object_get(spec, "tier"));

	p->widened |= !json_is_object(spec);
	if (!is_bounded(p, selector, ns_selector, account_selector) ||
	    (set_selector(p, selector, ns_selector, account_selector, NULL) < 0 && !widen(p))) {
		policy_free(p);
		return NULL;
	}
	p->tier = xstrdup(tier && *tier ? tier : TIER_DEFAULT);
	/* Where an order cannot be read, it goes first. */
	p->order = json_is_number(order)	   ? json_number_value(order)
		   : !order || json_is_null(order) ? (double)INFINITY
						   : -(double)INFINITY;
	p->ingress = !excluded(types, "Ingress");
	p->egress = !excluded(types, "Egress");
	p->untracked = reads_true(spec, "doNotTrack");
	p->pre_dnat = reads_true(spec, "preDNAT") && !p->untracked;
	p->forward = p->ns || reads_true(spec, "applyOnForward");
	p->closed = true;
	rules_deny_all(&p->in);
	rules_deny_all(&p->out);
	return p;
}

int policy_from_object(const struct object *o, struct policy **out, struct err *e)
{
	struct policy_spec spec;
	struct policy *p;
	int rc;

	*out = NULL;
	if (str_starts(o->kind->name, "Staged"))
		return 0;
	p = policy_new(o);
	rc = policy_spec_decode(o, &spec, e);
	if (rc == 0) {
		rc = compile(&spec, p, e);
		policy_spec_done(&spec);
		if (rc < 0)
			err_wrap(e, "%s %s%s%s", o->kind->name, p->ns ? p->ns : "",
				 p->ns ? "/" : "", p->name);
	}
	if (rc < 0) {
		policy_free(p);
		p = policy_closed(o);
	}
	*out = p;
	return rc;
}

int policy_from_k8s(const struct object *o, const char *name, struct policy **out, struct err *e)
{
	int rc = policy_from_object(o, out, e);

	if (*out)
		set_identity(*out, POLICY_KUBERNETES, name);
	return rc;
}

void profile_rules_free(struct profile_rules *p)
{
	if (!p)
		return;
	rules_done(&p->in);
	rules_done(&p->out);
	vec_foreach (&p->labels, pair) {
		free(pair->key);
		free(pair->value);
	}
	vec_done(&p->labels);
	free(p->name);
	free(p);
}

struct profile_rules *profile_missing(const char *name)
{
	struct profile_rules *p = xcalloc(1, sizeof(*p));

	p->name = xstrdup(name);
	p->closed = true;
	rules_deny_all(&p->in);
	rules_deny_all(&p->out);
	return p;
}

int profile_from_object(const struct object *o, struct profile_rules **out, struct err *e)
{
	struct profile_rules *p = xcalloc(1, sizeof(*p));
	bool builtin = !strcmp(o->name, PROFILE_DEFAULT_ALLOW);
	struct profile spec;
	int rc = object_spec(o, FIELDS_LENIENT, &spec, e);

	p->name = xstrdup(o->name);
	if (rc == 0) {
		if (!builtin)
			rc = profile_check(o, &spec, e);
		if (rc == 0 && (rc = rules_compile(&spec.ingress, true, NULL, &p->in, e)) == 0)
			rc = rules_compile(&spec.egress, false, NULL, &p->out, e);
		p->labels = spec.labels;
		spec.labels = (struct field_map) { 0 };
		fields_done(&profile_fields, &spec);
	}
	if (rc < 0) {
		err_wrap(e, "Profile %s", o->name);
		/* Calico takes it as absent: no labels either. */
		profile_rules_free(p);
		p = profile_missing(o->name);
	}
	*out = p;
	return rc;
}
