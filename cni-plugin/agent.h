/* agent.h - the conversation with the node's agent: JSON objects, one a line (README.md). */
#pragma once

#include <jansson.h>

#include "cni-plugin/conf.h"
#include "lib/str.h"

enum { AGENT_LINE_MAX = 256 * 1024 }; /* both ways, with the newline */

struct agent {
	int fd; /* -1: not connected */
	uint64_t deadline_ms;
	struct str rx;
	const char *path; /* for messages */
	bool lost;	  /* no agent, or it went away, as opposed to: it said no */
};

/* Connect. -1 with code 11 and lost set when nobody listens. */
int agent_open(struct agent *a, const char *path, uint64_t deadline_ms, struct cni_error *f);
void agent_close(struct agent *a);

/* {"op":op, ...} with what the verb has of containerID, netns, ifname, args and config. */
json_t *agent_request(const char *op, const struct env *env, const struct conf *c);

/* Send a request (borrowed) and wait for its reply: 0 and, when out is not NULL, the reply with
 * "ok":true. Else -1: what the agent said, or code 11 and lost when it went away, or code 6 when
 * what it said is no reply. */
int agent_call(struct agent *a, const json_t *request, json_t **out, struct cni_error *f);
