/* profile.h - Profile: rules and labels that endpoints inherit. */
#pragma once

#include "lib/fields.h"
#include "model/rulespec.h"

struct object;

struct profile {
	struct rule_specs ingress, egress;
	struct field_map labels;
};

extern const struct fields profile_fields;

/* Of the kind's row. */
int profile_check(const struct object *o, const void *spec, struct err *e);
/* The profile that allows everything: always there, never stored. */
#define PROFILE_DEFAULT_ALLOW "projectcalico-default-allow"
struct object profile_default_allow(void);
