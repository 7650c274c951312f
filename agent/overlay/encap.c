/* encap.c - how packets reach the pods of other nodes
 * SPEC   Calico's rules, for a node that is Felix and BIRD in one:
 *
 *	  pool          told by                          route
 *	  VXLAN         affinities of blocks, never BGP  via VTEP dev vxlan.calico
 *	  IPIP          affinities if Felix programs     via NODE dev tunl0
 *	                it, BGP if either does
 *	  none          BGP if it programs them,         via NODE dev PARENT
 *	                affinities if Felix does
 *	  CrossSubnet   as its pool                      in this node's subnet: as none
 *	  outside       BGP, always                      as it resolves
 *
 * DIFFERS: with the settings of v3.33 (Felix EnabledIPIPOnly, BGP EnabledNoEncapOnly) Calico's BIRD
 *	  rejects all routes in IPIP pools. Here what BGP tells beyond the blocks (borrowed
 *addresses, several next hops) goes through the tunnel as well. TESTS  tests/unit/agent/overlay/encap.c */
#include "agent/overlay/encap.h"

#include <errno.h>
#include <regex.h>
#include <string.h>

#include <openssl/sha.h>

#include "model/bgpconfig.h"
#include "model/ippool.h"

enum {
	OVERHEAD_IPIP = 20,
	OVERHEAD_VXLAN = 50,
	OVERHEAD_VXLAN_V6 = 70,
	MTU_FALLBACK = 1460, /* Calico's, when no interface is known */
	MTU_LEAST = 1280,    /* what IPv6 asks of every link; below it a setting is a mistake */
};

static enum encap_side_index side_of(const struct addr *a)
{
	return a->family == IP_V6 ? ENCAP_V6 : ENCAP_V4;
}

/* ---- pools ---- */

const struct encap_pool *encap_pool_of(const struct encap_world *w, const struct prefix *dst)
{
	const struct encap_pool *best = NULL;

	/* No client lets pools overlap, but nothing keeps them from being stored so. */
	for (size_t i = 0; i < w->n_pool; i++)
		if (prefix_covers(&w->pool[i].cidr, dst) &&
		    (!best || w->pool[i].cidr.len > best->cidr.len))
			best = &w->pool[i];
	return best;
}

bool encap_same_subnet(const struct prefix *own, const struct addr *other)
{
	return own->addr.family && own->addr.family == other->family && prefix_contains(own, other);
}

enum encap_how encap_of_pool(const struct encap_pool *pool)
{
	if (pool->vxlan != ENCAP_NEVER)
		return ENCAP_VXLAN;
	return pool->ipip != ENCAP_NEVER && pool->cidr.addr.family == IP_V4 ? ENCAP_IPIP
									    : ENCAP_PLAIN;
}

enum encap_how encap_mode(const struct encap_pool *pool, const struct prefix *own,
			  const struct addr *other)
{
	enum encap_how how = encap_of_pool(pool);
	int mode = how == ENCAP_VXLAN ? pool->vxlan : pool->ipip;

	if (how != ENCAP_PLAIN && mode == ENCAP_CROSS_SUBNET && encap_same_subnet(own, other))
		return ENCAP_PLAIN;
	return how;
}

static bool any_pool(const struct encap_world *w, enum encap_how how, enum ip_family family)
{
	for (size_t i = 0; i < w->n_pool; i++)
		if (w->pool[i].cidr.addr.family == family && encap_of_pool(&w->pool[i]) == how)
			return true;
	return false;
}

static uint32_t tunnel_mtu(const struct encap_world *w, uint32_t told, uint32_t overhead)
{
	uint32_t host = w->set.host_mtu ? w->set.host_mtu : MTU_FALLBACK;

	if (told)
		return told;
	return host > MTU_LEAST + overhead ? host - overhead : MTU_LEAST;
}

static void least(uint32_t *mtu, bool wanted, uint32_t other)
{
	if (wanted && (!*mtu || other < *mtu))
		*mtu = other;
}

struct encap_devices encap_devices(const struct encap_world *w)
{
	const struct encap_settings *s = &w->set;
	struct encap_devices d = {
		.ipip = s->ipip_on < 0 ? any_pool(w, ENCAP_IPIP, IP_V4) : s->ipip_on,
		.vxlan = { s->vxlan_on < 0 ? any_pool(w, ENCAP_VXLAN, IP_V4) : s->vxlan_on,
			   s->vxlan_on != 0 && any_pool(w, ENCAP_VXLAN, IP_V6) },
		.ipip_mtu = tunnel_mtu(w, s->ipip_mtu, OVERHEAD_IPIP),
		.vxlan_mtu = { tunnel_mtu(w, s->vxlan_mtu[ENCAP_V4], OVERHEAD_VXLAN),
			       tunnel_mtu(w, s->vxlan_mtu[ENCAP_V6], OVERHEAD_VXLAN_V6) },
	};

	least(&d.pod_mtu, d.ipip, d.ipip_mtu);
	least(&d.pod_mtu, d.vxlan[ENCAP_V4], d.vxlan_mtu[ENCAP_V4]);
	least(&d.pod_mtu, d.vxlan[ENCAP_V6], d.vxlan_mtu[ENCAP_V6]);
	if (!d.pod_mtu)
		d.pod_mtu = s->host_mtu ? s->host_mtu : MTU_FALLBACK;
	return d;
}

/* ---- who programs ---- */

static bool programs(int setting, enum encap_how how)
{
	switch ((enum program_routes)setting) {
	case PROGRAM_ROUTES_DISABLED:
		return false;
	case PROGRAM_ROUTES_ENABLED:
		return true;
	case PROGRAM_ROUTES_IPIP_ONLY:
		return how == ENCAP_IPIP;
	case PROGRAM_ROUTES_NO_ENCAP_ONLY:
		return how == ENCAP_PLAIN;
	}
	return false;
}

static bool by_affinity(const struct encap_settings *s, enum encap_how pool_how)
{
	return pool_how == ENCAP_VXLAN || programs(s->felix_programs, pool_how);
}

static bool by_bgp(const struct encap_settings *s, enum encap_how pool_how)
{
	if (pool_how == ENCAP_VXLAN)
		return false;
	return programs(s->bgp_programs, pool_how) ||
	       (pool_how == ENCAP_IPIP && programs(s->felix_programs, pool_how));
}

/* ---- a block ---- */

static void wait(struct encap_plan *out, const char *why)
{
	out->verdict = ENCAP_WAIT;
	out->why = why;
}

static void plan_tunnel(const struct encap_world *w, const struct encap_side *other,
			enum encap_side_index side, struct encap_plan *out)
{
	struct encap_devices d = encap_devices(w);

	if (w->broken[out->how][side]) {
		wait(out, w->broken[out->how][side]);
		out->firm = true;
		return;
	}
	if (out->how == ENCAP_IPIP) {
		out->gw = other->node.addr;
		out->mtu = d.ipip_mtu;
	} else {
		out->gw = other->vtep;
		out->mtu = d.vxlan_mtu[side];
	}
	if (out->gw.family == IP_NONE)
		wait(out, "its node has not told the address of its tunnel yet");
	else
		out->verdict = ENCAP_ROUTE;
}

void encap_block(const struct encap_world *w, const struct prefix *block,
		 const struct encap_node *owner, struct encap_plan *out)
{
	const struct encap_pool *pool = encap_pool_of(w, block);
	enum encap_side_index side = side_of(&block->addr);
	const struct encap_side *own = &w->self.side[side], *other;

	*out = (struct encap_plan) { .verdict = ENCAP_NOT_OURS };
	if (!pool)
		return;
	out->pool_how = encap_of_pool(pool);
	if (!by_affinity(&w->set, out->pool_how))
		return;
	other = owner ? &owner->side[side] : NULL;
	if (!other || other->node.addr.family == IP_NONE) {
		if (out->pool_how != ENCAP_PLAIN)
			wait(out, owner ? "its node has no address"
					: "its node is not in the datastore");
		out->firm = !owner;
		return;
	}
	if (own->node.addr.family == IP_NONE) {
		wait(out, "this node has no address");
		return;
	}
	/* A tunnel to it would end here, and its packets go round until their TTL is used up. */
	if (addr_eq(&own->node.addr, &other->node.addr)) {
		wait(out, "its node says it has this node's address");
		out->firm = true;
		return;
	}
	out->how = encap_mode(pool, &own->node, &other->node.addr);
	if (out->how != ENCAP_PLAIN) {
		plan_tunnel(w, other, side, out);
		return;
	}
	/* Without a tunnel only a neighbour can be a gateway; the others are for BGP. */
	if (!encap_same_subnet(&own->node, &other->node.addr))
		return;
	out->verdict = ENCAP_ROUTE;
	out->gw = other->node.addr;
}

/* ---- a route from BGP ---- */

enum encap_bgp encap_bgp(const struct encap_world *w, const struct prefix *dst,
			 const struct addr *next_hop)
{
	const struct encap_pool *pool = encap_pool_of(w, dst);
	const struct prefix *own = &w->self.side[side_of(next_hop)].node;
	enum encap_how how;

	if (!pool || own->addr.family == IP_NONE)
		return ENCAP_BGP_PLAIN;
	how = encap_mode(pool, own, next_hop);
	if (!by_bgp(&w->set, encap_of_pool(pool)))
		return ENCAP_BGP_REJECT;
	if (how == ENCAP_PLAIN)
		return ENCAP_BGP_PLAIN;
	return w->broken[ENCAP_IPIP][ENCAP_V4] ? ENCAP_BGP_WAIT : ENCAP_BGP_IPIP;
}

/* ---- numbers ---- */

int encap_host_mtu(const struct encap_link *link, size_t n, const char *pattern, uint32_t *out,
		   struct err *e)
{
	uint32_t mtu = 0;
	regex_t re;
	int rc = pattern ? regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) : 0;

	if (rc) {
		char why[128];

		regerror(rc, &re, why, sizeof(why));
		return err_set(e, -EINVAL, "mtuIfacePattern \"%.64s\": %s", pattern, why);
	}
	for (size_t i = 0; i < n; i++)
		least(&mtu,
		      link[i].running && (pattern ? regexec(&re, link[i].name, 0, NULL, 0) == 0
						  : link[i].has_node_address),
		      link[i].mtu);
	if (pattern)
		regfree(&re);
	*out = mtu;
	return 0;
}

void encap_mac(const char *node, enum encap_side_index side, uint8_t out[static 6])
{
	CLEANUP(freep) char *name = xasprintf("%s%s", node, side == ENCAP_V6 ? "-v6" : "");
	uint8_t digest[SHA_DIGEST_LENGTH];

	SHA1((const uint8_t *)name, strlen(name), digest);
	out[0] = 0x66;
	memcpy(out + 1, digest, 5);
}
