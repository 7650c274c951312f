/* tunnel_addr.h - the addresses of this node's tunnel devices: taken from IPAM under handles of
 * their own, from this node's own blocks only, and told to the others in the Node resource.
 *
 * SPEC   datamodel-ipam: handles `ipip-tunnel-addr-NODE`, `vxlan-tunnel-addr-NODE`,
 *        `vxlan-v6-tunnel-addr-NODE`; attributes node and type. */
#pragma once

#include "dataplane/tunnel.h"
#include "lib/str.h"

struct agent;
struct tunnel_addrs;

enum {
	/* Other nodes, and packets on their way, may still use a tunnel that no pool asks for any
	 * more: address and device stay so long. */
	TUNNEL_LINGER_S = 60,
};

struct tunnel_addrs *tunnel_addrs_new(struct agent *a);
void tunnel_addrs_free(struct tunnel_addrs *ta);
/* This agent is the node's only one: from now on it may take and write. */
void tunnel_addrs_start(struct tunnel_addrs *ta);
/* The tunnel is for these pools; its address shall lie in one of them. None: it is not needed, the
 * address goes back after TUNNEL_LINGER_S. Copied. */
void tunnel_addrs_set(struct tunnel_addrs *ta, enum tunnel_kind k, const struct prefix *pools,
		      size_t n);
/* What is not as it should be, one line each. */
void tunnel_addrs_troubles(const struct tunnel_addrs *ta, struct str *out);

/* ---- pure, for tests ---- */

struct tunnel_addr_fields {
	enum tunnel_kind kind;
	struct addr addr;   /* IP_NONE: none, and no MAC either */
	const uint8_t *mac; /* VXLAN: written where the Node tells none; NULL: it stays */
};
/* The Node's JSON with these; NULL when it says so already. -EINVAL for text that is no Node. */
int tunnel_addr_change(const char *node, const struct tunnel_addr_fields *f, const char *stored,
		       char **out, struct err *e);
