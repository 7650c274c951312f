/* path.h - what becomes of a packet on its way through one node: the judge asked at every place. */
#pragma once

#include "tests/unit/policy/judge.h"

enum { JNODE_LINKS = 2, JNODE_ADDRS = 4 };

/* A node of a world: the endpoints that are `here` in it are this node's. */
struct jnode {
	const struct jworld *w;
	struct {
		const char *name; /* "eth0" */
		struct addr addr[JNODE_ADDRS];
		int n_addr;
	} link[JNODE_LINKS];
	int n_link;
};

/* Is it let through? Interfaces of pods begin with "cali"; failsafe ports are not looked at. */
bool path_forward(const struct jnode *n, const char *in, const char *out, const struct jpacket *p);
bool path_input(const struct jnode *n, const char *in, const struct jpacket *p);
bool path_output(const struct jnode *n, const char *out, const struct jpacket *p);
