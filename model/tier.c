/* tier.c - Tier: table and rules
 * TESTS  tests/unit/model/policy.c */
#include "model/tier.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "model/key.h"
#include "model/object.h"

static const char *const action_words[] = { "Deny", "Pass", NULL };

static int order_field_check(const void *value, struct err *e)
{
	const json_t *v = *(json_t *const *)value;

	return json_is_number(v) && isfinite(json_number_value(v))
		       ? 0
		       : err_set(e, -EINVAL, "must be a number, is %s", js_type_name(v));
}

static const struct field rows[] = {
	FIELD_JSON(struct tier, order, "order", .check = order_field_check,
		   .doc = "Lower numbers go first; without one it goes last."),
	FIELD_ENUM(struct tier, action, "defaultAction", .words = action_words, .def = "Deny",
		   .flags = FIELD_FILL,
		   .doc = "What happens to packets that no rule of its policies matched."),
};
const struct fields tier_fields = FIELDS("spec", struct tier, rows);

static const struct tier_builtin builtins[] = {
	{ "kube-admin", 1000, TIER_PASS },
	{ "default", TIER_ORDER_DEFAULT, TIER_DENY },
	{ "kube-baseline", 10000000, TIER_PASS },
	/* What releases from 3.29 on called kube-admin. */
	{ "adminnetworkpolicy", 1000, TIER_PASS },
};

const struct tier_builtin *tier_builtin_at(size_t i)
{
	return i < ARRAY_SIZE(builtins) ? &builtins[i] : NULL;
}

const struct tier_builtin *tier_builtin(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
		if (!strcmp(name, builtins[i].name))
			return &builtins[i];
	return NULL;
}

void tier_read(const struct object *o, double *order, enum tier_action *action)
{
	const struct tier_builtin *fixed = tier_builtin(o->name);
	const json_t *spec = object_spec_json(o);
	const json_t *n = json_object_get(spec, "order");
	const char *word = json_string_value(json_object_get(spec, "defaultAction"));

	*order = json_is_number(n) ? json_number_value(n) : (double)INFINITY;
	*action = str_eq(word, "Pass") ? TIER_PASS : TIER_DENY;
	if (fixed) {
		*order = fixed->order;
		*action = fixed->action;
	}
}

int tier_check(const struct object *o, const void *spec, struct err *e)
{
	const struct tier *t = spec;
	const struct tier_builtin *fixed = tier_builtin(o->name);
	int rc = label_check("metadata.name", o->name, e);

	if (rc < 0 || !fixed)
		return rc;
	if (t->order && !(json_number_value(t->order) <= fixed->order &&
			  json_number_value(t->order) >= fixed->order))
		return err_set(e, -EINVAL, "spec.order: of the built-in tier %s it is %.0f",
			       fixed->name, fixed->order);
	if (t->action != (int)fixed->action && js_at(o->json, "spec.defaultAction"))
		return err_set(e, -EINVAL, "spec.defaultAction: of the built-in tier %s it is %s",
			       fixed->name, action_words[fixed->action]);
	return 0;
}
