/* held_by.h - who holds an address, by the picture. */
#pragma once

#include "agent/agent.h"

struct holder {
	char *handle;	 /* owned; NULL: nobody, or nobody knows */
	int64_t when_ns; /* by the allocation's timestamp; 0: it does not say */
};

/* The block of the pool around the address is looked at; false when there is no such pool or block.
 */
bool held_by(struct agent *a, const struct addr *addr, struct holder *out);
void holder_done(struct holder *h);
