/* kube.c - Kubernetes' own manifests
 * TESTS  tests/netns/test_policy.py */
#include "ctl/kube.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctl/ctl.h"
#include "ctl/kube_check.h"
#include "lib/json.h"
#include "policy/k8s.h"

struct kube_row {
	const char *api, *kind;
	const char *words[4]; /* as typed behind get and delete */
	const char *stored, *prefix;
	bool namespaced; /* the stored name has the namespace in it */
};

static const struct kube_row rows[] = {
	{ "networking.k8s.io/v1",
	  "NetworkPolicy",
	  { "networkpolicies.networking.k8s.io", "netpol", "knp", NULL },
	  "NetworkPolicy",
	  K8S_POLICY_PREFIX,
	  false },
	{ "v1",
	  "Namespace",
	  { "namespace", "namespaces", "ns", NULL },
	  "Profile",
	  K8S_NAMESPACE_PREFIX,
	  false },
	{ "v1",
	  "ServiceAccount",
	  { "serviceaccount", "serviceaccounts", "sa", NULL },
	  "Profile",
	  K8S_ACCOUNT_PREFIX,
	  true },
	{ "discovery.k8s.io/v1",
	  "EndpointSlice",
	  { "endpointslices.discovery.k8s.io", NULL },
	  "EndpointSlice",
	  "",
	  false },
	{ "v1", "Service", { NULL }, "Service", "", false },
};

static const struct kube_row *row_of(const json_t *doc)
{
	const char *api = json_string_value(json_object_get(doc, "apiVersion"));
	const char *kind = json_string_value(json_object_get(doc, "kind"));

	for (size_t i = 0; api && kind && i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].api, api) && !strcmp(rows[i].kind, kind))
			return &rows[i];
	return NULL;
}

/* What a manifest's member stands for, below spec. */
static void move_member(const json_t *json, const char *name, struct object *o)
{
	json_t *v = json_object_get(json, name);

	if (v && !json_is_null(v))
		json_object_set(object_spec_json(o), name, v);
}

/* Kinds whose manifests are stored nearly as they are, and what those have beside metadata. */
static const char *const slice_members[] = { "endpoints", "ports", "addressType", NULL };
static const char *const service_members[] = { "spec", "status", NULL };

static int check_members(const json_t *json, const char *const *members, struct err *e)
{
	static const char *const known[] = { "apiVersion", "kind", "metadata" };
	const char *key;
	json_t *v;

	/* jansson's iterators want a plain pointer, and change nothing. */
	json_object_foreach ((json_t *)(uintptr_t)json, key, v) {
		bool ok = false;

		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			ok |= !strcmp(known[i], key);
		for (size_t i = 0; members[i]; i++)
			ok |= !strcmp(members[i], key);
		if (!ok)
			return err_set(e, -EINVAL, "%.60s: unknown field; there are %s, %s%s%s",
				       key, members[0], members[1], members[2] ? ", " : "",
				       members[2] ? members[2] : "");
	}
	return 0;
}

/* Name, namespace and labels; the manifest's other metadata is Kubernetes' own. */
static int begin(const json_t *json, const char *kind, const char *const *members, struct object *o,
		 struct err *e)
{
	const char *name = NULL, *ns = "default";
	int rc = js_need(js_str(json, "metadata.name", &name, e), "metadata.name", e);

	if (rc < 0 || (rc = js_str(json, "metadata.namespace", &ns, e)) < 0 ||
	    (rc = check_members(json, members, e)) < 0)
		return rc;
	*o = object_new(kind_find(kind), ns, name);
	if (json_is_object(js_at(json, "metadata.labels")))
		json_object_set(json_object_get(o->json, "metadata"), "labels",
				js_at(json, "metadata.labels"));
	return 0;
}

/* With its status: who else would say here which addresses a load balancer gave it? */
static int service(const json_t *json, struct object *o, struct err *e)
{
	int rc = begin(json, "Service", service_members, o, e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; service_members[i]; i++) {
		json_t *v = json_object_get(json, service_members[i]);

		if (v && !json_is_null(v))
			json_object_set(o->json, service_members[i], v);
	}
	rc = object_check(o, e);
	if (rc < 0)
		object_done(o);
	return rc;
}

static int slice(const json_t *json, struct object *o, struct err *e)
{
	int rc = begin(json, "EndpointSlice", slice_members, o, e);

	if (rc < 0)
		return rc;
	move_member(json, "addressType", o);
	move_member(json, "endpoints", o);
	move_member(json, "ports", o);
	rc = object_check(o, e);
	if (rc < 0) {
		/* In the manifest the fields are not below a spec. */
		if (str_starts(e->msg, "spec."))
			memmove(e->msg, e->msg + 5, strlen(e->msg + 5) + 1);
		object_done(o);
	}
	return rc;
}

static bool is_list(const json_t *doc)
{
	const char *kind = json_string_value(json_object_get(doc, "kind"));

	return kind && !strcmp(kind, "List") && json_object_get(doc, "items");
}

bool kube_is(const json_t *doc)
{
	return row_of(doc) ||
	       (is_list(doc) && row_of(json_array_get(json_object_get(doc, "items"), 0)));
}

static int convert(const struct kube_row *row, const json_t *json, struct object *o, struct err *e)
{
	struct str left_out = { 0 };
	int rc = kube_check(json, e);

	if (rc < 0)
		return rc;
	if (!strcmp(row->kind, "Namespace"))
		return k8s_namespace(json, o, e);
	if (!strcmp(row->kind, "ServiceAccount"))
		return k8s_account(json, o, e);
	if (!strcmp(row->kind, "EndpointSlice"))
		return slice(json, o, e);
	if (!strcmp(row->kind, "Service"))
		return service(json, o, e);
	rc = k8s_policy(json, o, &left_out, e);
	if (rc == 0 && left_out.len) {
		rc = err_set(e, -EINVAL, "%.*s", (int)strcspn(str_text(&left_out), "\n"),
			     str_text(&left_out));
		object_done(o);
	} else if (rc == 0 && (rc = object_check(o, e)) < 0) {
		/* What no agent could take would deny all. */
		err_wrap(e, "as Calico has it");
		object_done(o);
	}
	str_done(&left_out);
	return rc;
}

/* item: where it is in a list, as a path; "" for the document itself. */
static int add_one(const struct yml_doc *doc, const json_t *json, const char *item,
		   struct object_vec *out, struct err *e)
{
	const struct kube_row *row = row_of(json);
	struct object o;

	if (!row)
		return err_set(e, -EINVAL,
			       "%s:%u: a list holds kinds of Kubernetes or of "
			       "projectcalico.org/v3, not both",
			       doc->file, doc->mark.line);
	if (convert(row, json, &o, e) < 0) {
		if (*item)
			js_err_under(e, "%s", item);
		return yml_err_at(doc, e);
	}
	o.file = doc->file;
	o.line = *item ? yml_line(doc, item) : doc->mark.line;
	vec_push(out, o);
	return 0;
}

int kube_objects(const struct yml_doc *doc, struct object_vec *out, struct err *e)
{
	size_t before = out->n, i;
	const json_t *one;
	int rc = 0;

	if (!is_list(doc->value))
		return add_one(doc, doc->value, "", out, e);
	json_array_foreach (json_object_get(doc->value, "items"), i, one) {
		char item[32];

		snprintf(item, sizeof(item), "items[%zu]", i);
		rc = add_one(doc, one, item, out, e);
		if (rc < 0)
			break;
	}
	while (rc < 0 && out->n > before)
		object_done(&out->p[--out->n]);
	return rc;
}

static const struct kube_row *row_by_word(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t k = 0; rows[i].words[k]; k++)
			if (!strcasecmp(rows[i].words[k], word))
				return &rows[i];
	return NULL;
}

bool kube_kind(const char *word, const struct kind **kind, const char **prefix)
{
	const struct kube_row *row = row_by_word(word);

	if (!row)
		return false;
	*kind = kind_find(row->stored);
	*prefix = row->prefix;
	return true;
}

bool kube_name(const char *word, const char *ns, const char *given, const struct kind **kind,
	       char **name)
{
	const struct kube_row *row = row_by_word(word);

	if (!row)
		return false;
	*kind = kind_find(row->stored);
	*name = row->namespaced ? xasprintf("%s%s.%s", row->prefix, ns, given)
				: xasprintf("%s%s", row->prefix, given);
	return true;
}
