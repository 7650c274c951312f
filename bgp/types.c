/* types.c - tables of families, states and verdicts */
#include "bgp/types.h"

static const struct bgp_af_info families[BGP_AF_MAX_] = {
	[BGP_AF_IPV4_UNICAST] = { 1, 1, IP_V4, "ipv4-unicast" },
	[BGP_AF_IPV6_UNICAST] = { 2, 1, IP_V6, "ipv6-unicast" },
};

const struct bgp_af_info *bgp_af_info(enum bgp_af af)
{
	return &families[af];
}

enum bgp_af bgp_af_find(uint16_t afi, uint8_t safi)
{
	for (unsigned i = 0; i < BGP_AF_MAX_; i++)
		if (families[i].afi == afi && families[i].safi == safi)
			return (enum bgp_af)i;
	return BGP_AF_MAX_;
}

enum bgp_af bgp_af_of(enum ip_family family)
{
	for (unsigned i = 0; i < BGP_AF_MAX_; i++)
		if (families[i].family == family)
			return (enum bgp_af)i;
	return BGP_AF_MAX_;
}

const char *bgp_state_name(enum bgp_state state)
{
	static const char *const names[BGP_STATE_MAX_] = {
		[BGP_STATE_IDLE] = "Idle",
		[BGP_STATE_CONNECT] = "Connect",
		[BGP_STATE_ACTIVE] = "Active",
		[BGP_STATE_OPENSENT] = "OpenSent",
		[BGP_STATE_OPENCONFIRM] = "OpenConfirm",
		[BGP_STATE_ESTABLISHED] = "Established",
	};

	return state < BGP_STATE_MAX_ ? names[state] : "?";
}

const char *bgp_verdict_name(enum bgp_verdict verdict)
{
	static const char *const names[] = {
		[BGP_OK] = "ok",
		[BGP_ATTR_DISCARD] = "attribute-discard",
		[BGP_TREAT_AS_WITHDRAW] = "treat-as-withdraw",
		[BGP_AFI_DISABLE] = "afi-disable",
		[BGP_SESSION_RESET] = "session-reset",
	};

	return names[verdict];
}

const char *bgp_role_name(enum bgp_role role)
{
	static const char *const names[BGP_ROLE_MAX_] = {
		[BGP_ROLE_NONE] = "none",	  [BGP_ROLE_PROVIDER] = "provider",
		[BGP_ROLE_RS] = "route-server",	  [BGP_ROLE_RS_CLIENT] = "route-server-client",
		[BGP_ROLE_CUSTOMER] = "customer", [BGP_ROLE_PEER] = "peer",
	};

	return names[role];
}
