/* autoip.h - which of a machine's addresses is the node's. */
#pragma once

#include "dataplane/link.h"

struct autoip {
	const struct link_table *links;
	enum ip_family family;
	const char *want;   /* "autodetect" or ADDRESS[/LENGTH] */
	const char *method; /* of autodetect: first-found, interface=..., skip-interface=...,
			     * can-reach=..., cidr=... */
};

/* The address with its subnet: for an address without length that of the interface that has it,
 * else the whole address. -ENOENT with words when there is none, -EINVAL for a bad pattern. */
int autoip_find(const struct autoip *q, struct prefix *out, struct err *e);
/* Does an interface of this machine carry the address? */
bool autoip_has(const struct link_table *links, const struct addr *a);
