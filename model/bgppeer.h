/* bgppeer.h - BGPPeer: who on our side speaks with whom. */
#pragma once

#include "lib/fields.h"
#include "model/bgpconfig.h"

enum bgp_next_hop_mode {
	BGP_NEXT_HOP_AUTO,
	BGP_NEXT_HOP_SELF,
	BGP_NEXT_HOP_KEEP,
};

struct bgppeer {
	char *name;
	/* Our side: a node, nodes by selector, or (both NULL) every node. */
	char *node, *node_selector;
	/* Their side: exactly one of the three. */
	char *peer_ip; /* as written */
	char *peer_selector, *local_workload_selector;
	struct addr peer_addr;		     /* of peer_ip; IP_NONE without it */
	uint16_t peer_port;		     /* of peer_ip; 0: none was given */
	uint32_t as_number, local_as_number; /* 0: not given */
	int next_hop_mode;		     /* enum bgp_next_hop_mode */
	bool has_next_hop_mode;
	bool keep_original_next_hop;
	struct secret_from password;
	bool has_password;
	int source_address; /* 0: UseNodeIP, 1: None */
	int64_t max_restart_ms, keepalive_ms;
	bool has_max_restart, has_keepalive;
	int num_allowed_local_as;
	int ttl_security; /* hops; 0: off */
	bool has_ttl_security;
	struct addr reachable_by;
	struct field_strings filters; /* names of BGPFilters, in order */
	int reverse_peering;	      /* 0: Auto, 1: Manual */
};

extern const struct fields bgppeer_fields;

/* From an object of kind BGPPeer; lenient. bgppeer_done frees. */
int bgppeer_decode(const struct object *o, struct bgppeer *out, struct err *e);
void bgppeer_done(struct bgppeer *p);
/* Of the kind's row. */
int bgppeer_check(const struct object *o, const void *spec, struct err *e);
