/* cluster_rules.c - which rules of NAT and tunnels there are to be
 * SHAPE  All that rules depend on is one struct for each family, made anew when settings, pools,
 *        the own node or a tunnel's device change, and compared as bytes. Whether somebody else
 *        has connections tracked, no event says: it is looked at now and then, while it would
 *        make a difference.
 * TESTS  tests/unit/agent/cluster_sets.c, tests/netns/test_nat.py, test_lean.py */
#include <assert.h>
#include <string.h>

#include <event2/event.h>

#include "agent/config.h"
#include "agent/felix.h"
#include "agent/policy/cluster_impl.h"
#include "dataplane/conntrack.h"
#include "dataplane/exec.h"
#include "dataplane/link.h"
#include "dataplane/tunnel.h"

enum {
	AGAIN_S = 5, /* nobody has the kernel track connections: look again */
};

static const enum ip_family families[ENCAP_SIDES] = { [ENCAP_V4] = IP_V4, [ENCAP_V6] = IP_V6 };

static void on_version(void *arg, const struct exec_result *r)
{
	struct cluster_sets *cs = arg;

	cs->random_fully = r->code == 0 && render_nat_random(r->out);
}

/* The tool is asked once, when a rule needs to know. */
static bool knows_random(struct cluster_sets *cs)
{
	const struct felixconfig *f = felix_config(cs->agent->felix);
	struct exec_cmd cmd = { .argv = { "iptables", "--version" } };
	int said = felixconfig_feature(f, "MASQFullyRandom");

	if (said >= 0)
		return said && felixconfig_feature(f, "SNATFullyRandom") != 0;
	if (!cs->probed)
		exec_run(&cmd, on_version, cs, NULL);
	cs->probed = true;
	return cs->random_fully;
}

static bool device_is_up(const struct cluster_sets *cs, enum tunnel_kind k)
{
	const struct link *l = link_by_name(cs->agent->links, tunnel_name(k));

	return l && l->up;
}

/* Which devices pools and settings ask for: encap.h says it of the same facts. */
static struct encap_devices wanted_devices(const struct cluster_sets *cs)
{
	const struct felixconfig *f = felix_config(cs->agent->felix);
	VEC(struct encap_pool) pools = { 0 };
	struct encap_world w = { .set = { .ipip_on = f->has_ipip_enabled ? f->ipip_enabled : -1,
					  .vxlan_on =
						  f->has_vxlan_enabled ? f->vxlan_enabled : -1 } };
	struct encap_devices d;

	for (size_t i = 0; i < cs->pools.n; i++)
		vec_push(&pools, (struct encap_pool) { cs->pools.p[i].cidr, cs->pools.p[i].ipip,
						       cs->pools.p[i].vxlan });
	w.pool = pools.p;
	w.n_pool = pools.n;
	d = encap_devices(&w);
	vec_done(&pools);
	return d;
}

static bool is_masqueraded(const struct cluster_sets *cs, unsigned side)
{
	for (size_t i = 0; i < cs->pools.n; i++)
		if (cs->pools.p[i].masquerade &&
		    cluster_side((enum ip_family)cs->pools.p[i].cidr.addr.family) == side)
			return true;
	return false;
}

static struct render_nat nat_of(struct cluster_sets *cs, unsigned side)
{
	const struct felixconfig *f = felix_config(cs->agent->felix);
	struct render_nat n;

	memset(&n, 0, sizeof(n));
	n.masquerade = is_masqueraded(cs, side);
	if (!n.masquerade)
		return n;
	if (f->nat_address.family == families[side])
		n.source = f->nat_address;
	felixconfig_ports(f->nat_ports, &n.port_min, &n.port_max);
	n.not_to_hosts = f->nat_exclusions == FELIX_NAT_NOT_TO_HOSTS;
	return n;
}

static bool needs_tracking(const struct cluster_sets *cs, const struct net_rules *r)
{
	return !cs->agent->cfg->policy && (r->ipip || r->vxlan) && !r->nat.masquerade;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct cluster_sets *cs = arg;

	if (cluster_rules_read(cs))
		cs->changed(cs->arg, true);
}

static void look_again(struct cluster_sets *cs)
{
	static const struct timeval later = { .tv_sec = AGAIN_S };

	if (!cs->again)
		cs->again = evtimer_new(cs->agent->base, on_again, cs);
	assert(cs->again);
	evtimer_add(cs->again, &later);
}

static bool is_tracked(struct cluster_sets *cs, const struct net_rules *r)
{
	if (!needs_tracking(cs, r))
		return false;
	/* Once it is, our own rules keep it so. */
	cs->tracked |= conntrack_in_use();
	if (!cs->tracked)
		look_again(cs);
	return cs->tracked;
}

static struct net_rules rules_of(struct cluster_sets *cs, unsigned side)
{
	const struct felixconfig *f = felix_config(cs->agent->felix);
	struct encap_devices d = wanted_devices(cs);
	enum tunnel_kind vxlan = side == ENCAP_V6 ? TUNNEL_VXLAN_V6 : TUNNEL_VXLAN;
	struct net_rules r;

	/* A device that nobody wants any more stays a while, and so do its guards. */
	memset(&r, 0, sizeof(r));
	r.vxlan = d.vxlan[side] || device_is_up(cs, vxlan);
	r.vxlan_addr = r.vxlan && cs->vtep[side].family;
	r.ipip = side == ENCAP_V4 && (d.ipip || device_is_up(cs, TUNNEL_IPIP));
	r.ipip_addr = r.ipip && cs->ipip.family;
	r.port = (uint16_t)f->vxlan_port;
	r.nat = nat_of(cs, side);
	if (f->nat_interface)
		str_copy(r.interface, sizeof(r.interface), f->nat_interface);
	r.tracked = is_tracked(cs, &r);
	if (r.nat.masquerade || r.ipip_addr || r.vxlan_addr)
		r.nat.random_fully = knows_random(cs);
	return r;
}

bool cluster_rules_read(struct cluster_sets *cs)
{
	bool differ = false;

	for (unsigned i = 0; i < ENCAP_SIDES; i++) {
		struct net_rules r = rules_of(cs, i);

		differ |= memcmp(&r, &cs->rules[i], sizeof(r)) != 0;
		memcpy(&cs->rules[i], &r, sizeof(r));
	}
	return differ;
}

/* ---- for the renderer ---- */

static bool has_rules(const struct net_rules *r)
{
	return r->nat.masquerade || r->ipip || r->vxlan;
}

bool cluster_sets_any(const struct cluster_sets *cs)
{
	return has_rules(&cs->rules[ENCAP_V4]) || has_rules(&cs->rules[ENCAP_V6]);
}

bool cluster_sets_v6(const struct cluster_sets *cs)
{
	return has_rules(&cs->rules[ENCAP_V6]);
}

void cluster_sets_render(const struct cluster_sets *cs, enum ip_family family,
			 struct render_config *out)
{
	unsigned side = cluster_side(family), n = 0;
	const struct net_rules *r = &cs->rules[side];

	out->ipip = r->ipip;
	out->vxlan = r->vxlan;
	out->tracked = r->tracked;
	out->vxlan_port = r->port;
	out->nat = r->nat;
	out->nat.interface = r->interface[0] ? r->interface : NULL;
	memset(out->tunnel, 0, sizeof(out->tunnel));
	if (r->ipip_addr)
		out->tunnel[n++] = tunnel_name(TUNNEL_IPIP);
	if (r->vxlan_addr)
		out->tunnel[n++] = tunnel_name(side == ENCAP_V6 ? TUNNEL_VXLAN_V6 : TUNNEL_VXLAN);
}
