/* render_felix.h - what FelixConfiguration says, as rules have it. */
#pragma once

#include "model/felixconfig.h"
#include "policy/render.h"

struct failsafe_vec {
	struct failsafe *p;
	size_t n, cap;
};

/* Append; a port 0 stands for none. */
void render_failsafes(const struct felix_port *ports, size_t n, struct failsafe_vec *out);
/* What pods' packets to their own host meet behind policy: "DROP", "RETURN", "ACCEPT". */
const char *render_to_host(const struct felixconfig *f);
