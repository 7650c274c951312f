/* profile.c - Profile: table and rules */
#include "model/profile.h"

#include <errno.h>

#include "model/object.h"

static const struct field rows[] = {
	FIELD_JSON(struct profile, ingress, "ingress", .doc = "Rules for what comes in."),
	FIELD_JSON(struct profile, egress, "egress", .doc = "Rules for what goes out."),
	FIELD_MAP(struct profile, labels, "labelsToApply",
		  .doc = "Labels that endpoints of this profile get."),
};
const struct fields profile_fields = FIELDS("spec", struct profile, rows);

static int check_rules(const char *name, const json_t *rules, struct err *e)
{
	json_t *rule;
	size_t i;

	if (!rules || json_is_array(rules)) {
		json_array_foreach (rules, i, rule)
			if (!json_is_object(rule))
				return err_set(e, -EINVAL, "spec.%s[%zu]: must be an object, is %s",
					       name, i, js_type_name(rule));
		return 0;
	}
	return err_set(e, -EINVAL, "spec.%s: must be a list, is %s", name, js_type_name(rules));
}

int profile_check(const struct object *o, const void *spec, struct err *e)
{
	const struct profile *p = spec;
	int rc = check_rules("ingress", p->ingress, e);

	if (str_eq(o->name, PROFILE_DEFAULT_ALLOW))
		return err_set(e, -EINVAL, "metadata.name: %s is built in and cannot be written",
			       PROFILE_DEFAULT_ALLOW);
	return rc < 0 ? rc : check_rules("egress", p->egress, e);
}

struct object profile_default_allow(void)
{
	static const char *const ways[] = { "ingress", "egress" };
	struct object o = object_new(kind_find("Profile"), NULL, PROFILE_DEFAULT_ALLOW);

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		json_t *rules = json_array(), *rule = json_object();

		js_set_str(rule, "action", "Allow");
		json_array_append_new(rules, rule);
		js_set(object_spec_json(&o), ways[i], rules);
	}
	o.rev = 1;
	return o;
}
