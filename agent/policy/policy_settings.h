/* policy_settings.h - what is set about the packet filter, as its drivers and rules want it. Pure. */
#pragma once

#include "dataplane/iptables_backend.h"
#include "lib/fields.h"
#include "policy/render_felix.h"

enum { POLICY_PREFIXES_MAX = 8 }; /* of pod interfaces: each adds rules that every packet meets */

struct policy_settings {
	char *prefix[POLICY_PREFIXES_MAX];
	size_t n_prefix;
	struct failsafe_vec failsafe_in, failsafe_out;
	VEC(struct prefix) services;
	char *log_prefix, *log_rate; /* log_rate NULL: no limit */
	uint32_t max_set_size;
	/* of the drivers */
	enum ipt_wish backend;
	bool append, v6;
	unsigned rules_refresh_ms, sets_refresh_ms;
	bool spoofing;		     /* pods may have allowed source prefixes */
	struct render_config render; /* of no family; points into this struct */
	char *text;		     /* two settings of the same text are the same */
};

/* own: what this node's agent begins names of interfaces with; it is always among the prefixes.
 * policy_settings_done frees. What had to be left out (too many prefixes) is appended to wrong. */
void policy_settings_read(const struct felixconfig *c, const struct field_cidrs *services,
			  const char *own, struct policy_settings *out, struct str *wrong);
void policy_settings_done(struct policy_settings *s);
/* Borrows from s. */
struct render_config policy_settings_render(const struct policy_settings *s, enum ip_family family);
/* Is it the host's end of a pod's link? */
bool policy_settings_is_pod(const struct policy_settings *s, const char *interface);
