/* profile.c - Profile: table and rules */
#include "model/profile.h"

#include <errno.h>

#include "model/object.h"

static const struct field rows[] = {
	FIELD_OBJECTS(struct profile, ingress, rule_spec_fields, "ingress",
		      .doc = "Rules for what comes in."),
	FIELD_OBJECTS(struct profile, egress, rule_spec_fields, "egress",
		      .doc = "Rules for what goes out."),
	FIELD_MAP(struct profile, labels, "labelsToApply",
		  .doc = "Labels that endpoints of this profile get."),
};
const struct fields profile_fields = FIELDS("spec", struct profile, rows);

int profile_check(const struct object *o, const void *spec, struct err *e)
{
	static const struct rule_owner owner = { .global = true };
	const struct profile *p = spec;

	if (str_eq(o->name, PROFILE_DEFAULT_ALLOW))
		return err_set(e, -EINVAL, "metadata.name: %s is built in and cannot be written",
			       PROFILE_DEFAULT_ALLOW);
	if (rule_specs_check(&p->ingress, true, owner, e) < 0 ||
	    rule_specs_check(&p->egress, false, owner, e) < 0)
		return js_err_under(e, "spec");
	return 0;
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
