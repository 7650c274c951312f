/* delegate.h - another plugin of CNI_PATH, run for its addresses. */
#pragma once

#include <jansson.h>

#include "cni-plugin/conf.h"

enum {
	DELEGATE_OUT_MAX = 256 * 1024, /* of its stdout */
	DELEGATE_MS = 60000,	       /* for one run; DHCP servers are slow */
};

/* Run the IPAM plugin that the configuration names with this verb, our environment and our stdin.
 * out (may be NULL) takes the JSON object that it printed, NULL when it printed nothing. -1 with
 * its own code and words, code 4 or 7 when there is no such program, code 6 for nonsense. */
int delegate_run(const char *verb, const struct conf *c, const struct env *env,
		 uint64_t deadline_ms, json_t **out, struct cni_error *f);
