/* overlay.h - the roads to other nodes' pods: tunnel devices, their peers, and the routes of blocks
 * that follow from who holds them (BGP's routes are fib.h's).
 *
 * WHY    VXLAN pools need no BGP at all, IPIP pools by default take their routes from the same
 *        place: the affinities of blocks, which are in the picture anyway.
 * SHAPE  encap.h says what should be; this part keeps nodes and blocks by name, looks again at what
 *        a change touches, and claims. A block that changes its road is one replaced route: the new
 *        road must be there first, and the old one stays until then. */
#pragma once

#include "agent/overlay/encap.h"
#include "dataplane/tunnel.h"
#include "lib/json.h"
#include "lib/str.h"

struct agent;
struct overlay;

struct overlay *overlay_new(struct agent *a, struct err *e);
/* Leaves the kernel as it is. */
void overlay_free(struct overlay *o);
/* This agent is the node's only one: from now on addresses may be taken in its name. */
void overlay_start(struct overlay *o);

/* For fib.c: what shall become of a route from BGP. */
enum encap_bgp overlay_bgp(const struct overlay *o, const struct prefix *dst,
			   const struct addr *next_hop);
/* MTU of routes through tunl0. */
uint32_t overlay_ipip_mtu(const struct overlay *o);

/* What is not as it should be, one line each: pools whose tunnel the kernel cannot make, addresses
 * that cannot be taken. */
void overlay_troubles(const struct overlay *o, struct str *out);
/* For `node status`; the caller gets the reference. */
json_t *overlay_status(const struct overlay *o);
