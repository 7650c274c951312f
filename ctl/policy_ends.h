/* policy_ends.h - who is meant by the words behind --from and --to. */
#pragma once

#include "ctl/policy_world.h"

/* One end of a packet's way. */
struct policy_end {
	struct explain_end at; /* its texts are borrowed from the world */
	char *name;	       /* as it is shown: "x/a", "node1", "8.8.8.8" */
	char *id;	       /* of the pod's endpoint; at.pod points to it */
	struct addr addr;
	const struct object *object; /* the pod's endpoint, the node or host endpoint; NULL */
};

/* NAMESPACE/POD, an address, or the name of a node or host endpoint. family: of the address to take;
 * IP_NONE: IPv4 where there is one. -ENOENT with words that say what there is, near names first. */
int policy_end_find(const struct policy_world *w, const char *who, enum ip_family family,
		    struct policy_end *out, struct err *e);
void policy_end_done(struct policy_end *end);

/* The families in which both ends have an address: what to find them with. IP_NONE, with words:
 * there is none. wish IP_NONE: IPv4 first. */
enum ip_family policy_ends_family(const struct policy_world *w, const char *from, const char *to,
				  enum ip_family wish, struct err *e);
/* The port by this name at an end. -ENOENT with the names that there are. */
int policy_end_port(const struct policy_end *end, uint8_t proto, const char *name, uint16_t *port,
		    struct err *e);
