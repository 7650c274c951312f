/* render_felix.c - what FelixConfiguration says, as rules have it
 * TESTS  tests/unit/agent/policy_settings.c */
#include "policy/render_felix.h"

#include <strings.h>

#include "lib/vec.h"

static struct failsafe failsafe_of(const struct felix_port *p)
{
	return (struct failsafe) { .proto = strcasecmp(p->protocol, "udp") ? PROTO_TCP : PROTO_UDP,
				   .port = (uint16_t)p->port,
				   .net = prefix_mask(&p->net) };
}

void render_failsafes(const struct felix_port *ports, size_t n, struct failsafe_vec *out)
{
	for (size_t i = 0; i < n; i++)
		if (ports[i].port)
			vec_push(out, failsafe_of(&ports[i]));
}

const char *render_to_host(const struct felixconfig *f)
{
	static const char *const words[] = { [FELIX_TO_HOST_DROP] = "DROP",
					     [FELIX_TO_HOST_RETURN] = "RETURN",
					     [FELIX_TO_HOST_ACCEPT] = "ACCEPT" };

	return words[f->endpoint_to_host];
}
