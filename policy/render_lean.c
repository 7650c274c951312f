/* render_lean.c - the frame of policy, and the guard of tunnels without policy, with few rules
 *
 * WHY    Every packet of every flow meets the frame: a base chain is some 100 ns, a rule some 15, a
 *        set or a look at the routes 100. With Calico's frame a packet between two pods meets some
 *        twenty rules and fourteen base chains before it is known as established.
 * DIFFERS: where no host endpoint is and no chain of Calico's was found, what only host endpoints
 *        need is not written: all of mangle, the marks that carry verdicts of raw and mangle, their
 *        dispatch. nat is written where a pool or a tunnel asks for it, without the chains of
 *        floating addresses; raw holds the look at a pod's source and NOTRACK. What a pod's packet
 *        meets is the same, in the same order: the source, the dispatch by interface (unknown ones
 *        are dropped, established or not), the chains of its endpoints. The first host endpoint
 *        brings all of Calico's frame, the end of the last one takes it away.
 *
 * DIFFERS: a stranger's packet of a tunnel is dropped in INPUT whatever it is addressed to: Calico
 *        asks for an address of the host's, and lets VXLAN to the network's broadcast address pass,
 *        which the tunnel's socket takes as well. So it is where chains of Calico's were found.
 *
 * DIFFERS: nothing is in OUTPUT but NOTRACK. What Calico accepts there, tunnels to nodes, is to pass
 *        host endpoints' policy; a host whose own rules drop what it sends must let its tunnels out.
 *
 * DIFFERS: with policy off, the host's own packets get the tunnel's address as source, and VXLAN goes
 *        untracked, only where connections are tracked anyway: for a pool with natOutgoing, or for
 *        somebody else (cfg->tracked). Else these rules alone would have the kernel track each
 *        connection, a tenth of its work; and the source of what nobody translates is wrong only
 *        where a program has bound to it.
 *
 * DIFFERS: with policy off, the guard of tunnels is in INPUT and FORWARD themselves. A jump to a chain
 *        of ours, its counter and the match that bears its hash would be met by every packet, and cost
 *        as much as the rules behind it.
 * TESTS  tests/unit/policy/lean.c, nat.c, worlds.c; tests/netns/test_nat.py, test_lean.py */
#include "policy/render_lean.h"

#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

enum { MATCH_MAX = 200 };

bool render_is_lean(const struct render_config *cfg)
{
	return !cfg->bare && cfg->share_endpoints && !cfg->hosts;
}

static struct chain *begin(struct chains *out, const char *name)
{
	struct chain_name n = chain_name("", name);

	return chains_new(out, &n);
}

/* A rule for each prefix of pods' interfaces; way: "in", "out"; more: further matches, or "". */
static void add_pods(const struct render_config *cfg, struct chain *c, const char *way,
		     const char *comment, const char *more, const char *action)
{
	for (size_t i = 0; i < cfg->n_prefix; i++) {
		CLEANUP(freep)
		char *match = xasprintf("--%s-interface %s+%s%s", way, cfg->prefix[i],
					*more ? " " : "", more);

		chain_add(c, comment, match, action);
	}
}

/* None of these packets from pods. What the rule is for stands behind its matches, where only packets
 * that are meant meet it: the others are all that pods send. */
static void add_guard(const struct render_config *cfg, struct chain *c, const char *packets,
		      const char *what)
{
	CLEANUP(freep) char *deny = xasprintf("--jump %s", cfg->filter_deny);
	CLEANUP(freep)
	char *match = xasprintf("%s -m comment --comment \"Drop %s encapped packets originating in "
				"workloads\"",
				packets, what);

	add_pods(cfg, c, "in", NULL, match, deny);
}

/* ---- tunnels ---- */

static bool has_ipip(const struct render_config *cfg)
{
	return cfg->ipip && cfg->family == IP_V4;
}

static bool has_tunnel(const struct render_config *cfg)
{
	return cfg->vxlan || has_ipip(cfg);
}

static void vxlan_match(const struct render_config *cfg, char out[static MATCH_MAX])
{
	snprintf(out, MATCH_MAX, "-p udp --dport %u", cfg->vxlan_port);
}

/* One kind of packets: nodes' are taken, all others dropped. */
static void guard_in(const struct render_config *cfg, struct chain *c, const char *packets,
		     const char *set, const char *strangers)
{
	struct set_name name = set_name(cfg->family, set);
	CLEANUP(freep) char *known = xasprintf("%s -m set --match-set %s src", packets, name.text);
	CLEANUP(freep) char *allow = xasprintf("--jump %s", cfg->filter_allow);
	CLEANUP(freep) char *deny = xasprintf("--jump %s", cfg->filter_deny);
	bool plain = cfg->family == IP_V4 && !strcmp(set, SET_VXLAN);

	chain_add(c, NULL, known, allow);
	chain_add(c, strangers, packets, plain ? "--jump DROP" : deny);
}

static void guard_vxlan(const struct render_config *cfg, struct chain *c)
{
	char vxlan[MATCH_MAX];

	vxlan_match(cfg, vxlan);
	if (!cfg->vxlan_from_pods)
		add_guard(cfg, c, vxlan, "VXLAN");
}

static void guard_ipip(const struct render_config *cfg, struct chain *c)
{
	if (!cfg->ipip_from_pods)
		add_guard(cfg, c, "-p 4", "IPinIP");
}

/* What pods send is looked at before it is known by its source, unless policy does that. */
static void tunnels_in(const struct render_config *cfg, struct chain *c)
{
	CLEANUP(freep)
	char *strangers = xasprintf("Drop %s VXLAN packets from non-allowed hosts",
				    cfg->family == IP_V6 ? "IPv6" : "IPv4");
	char vxlan[MATCH_MAX];

	vxlan_match(cfg, vxlan);
	if (cfg->bare)
		guard_vxlan(cfg, c);
	if (cfg->vxlan)
		guard_in(cfg, c, vxlan, SET_VXLAN, strangers);
	if (cfg->bare)
		guard_ipip(cfg, c);
	if (has_ipip(cfg))
		guard_in(cfg, c, "-p 4", SET_HOSTS, "Drop IPIP packets from non-Calico hosts");
}

/* No packet of a tunnel from a pod's interface to somewhere else, whatever source address it
 * bears. */
static void guard_pods(const struct render_config *cfg, struct chain *c)
{
	guard_vxlan(cfg, c);
	guard_ipip(cfg, c);
}

/* ---- tables ---- */

/* Are connections tracked on our account or, without policy, on somebody else's? */
static bool is_tracked(const struct render_config *cfg)
{
	return !cfg->bare || cfg->nat.masquerade || cfg->tracked;
}

static void raw(const struct render_config *cfg, struct chains *out)
{
	bool notrack = cfg->vxlan && is_tracked(cfg);
	char vxlan[MATCH_MAX];
	struct chain *c;

	if (cfg->bare && !notrack)
		return;
	vxlan_match(cfg, vxlan);
	c = begin(out, "cali-PREROUTING");
	if (notrack)
		chain_add(c, NULL, vxlan, "--jump NOTRACK");
	if (!cfg->bare && cfg->allow_spoofing)
		add_pods(cfg, c, "in", NULL, "", "--jump cali-rpf-skip");
	/* raw knows no REJECT. */
	if (!cfg->bare)
		add_pods(cfg, c, "in", NULL, "-m rpfilter --invert --validmark", "--jump DROP");
	if (notrack)
		chain_add(begin(out, "cali-OUTPUT"), NULL, vxlan, "--jump NOTRACK");
}

static void nat(const struct render_config *cfg, struct chains *out)
{
	if (is_tracked(cfg) && (cfg->nat.masquerade || has_tunnel(cfg)))
		render_nat_lean(cfg, out);
}

static void input(const struct render_config *cfg, struct chains *out)
{
	struct chain *c = begin(out, "cali-INPUT");

	tunnels_in(cfg, c);
	add_pods(cfg, c, "in", NULL, "", "--goto cali-wl-to-host");
}

static bool has_service_net(const struct render_config *cfg)
{
	for (size_t i = 0; i < cfg->n_service_net; i++)
		if (cfg->service_net[i].addr.family == cfg->family)
			return true;
	return false;
}

/* Endpoints' chains clear the marks that they use. */
static void forward(const struct render_config *cfg, struct chains *out)
{
	struct chain *c = begin(out, "cali-FORWARD");

	for (size_t i = 0; i < cfg->n_prefix; i++) {
		CLEANUP(freep) char *from = xasprintf("--in-interface %s+", cfg->prefix[i]);
		CLEANUP(freep) char *to = xasprintf("--out-interface %s+", cfg->prefix[i]);

		chain_add(c, NULL, from, "--jump cali-from-wl-dispatch");
		chain_add(c, NULL, to, "--jump cali-to-wl-dispatch");
	}
	if (has_service_net(cfg))
		chain_add(c, NULL, NULL, "--jump cali-cidr-block");
}

void render_lean(const struct render_config *cfg, enum table_id table, struct chains *out)
{
	switch (table) {
	case TABLE_RAW:
		raw(cfg, out);
		break;
	case TABLE_NAT:
		nat(cfg, out);
		break;
	case TABLE_FILTER:
		input(cfg, out);
		render_pods_to_host(cfg, out);
		forward(cfg, out);
		if (has_service_net(cfg))
			render_service_loops(cfg, out);
		break;
	case TABLE_MANGLE:
	case TABLE_COUNT:
		break;
	}
}

void render_bare(const struct render_config *cfg, enum table_id table, struct chains *out)
{
	if (table == TABLE_RAW)
		raw(cfg, out);
	if (table == TABLE_NAT)
		nat(cfg, out);
}

static struct chain *begin_hook(struct hooks *out, const char *name)
{
	vec_push(out, (struct hook) { .table = TABLE_FILTER, .rules.name = chain_name("", name) });
	return &out->p[out->n - 1].rules;
}

void render_bare_hooks(const struct render_config *cfg, struct hooks *out)
{
	if (!has_tunnel(cfg))
		return;
	tunnels_in(cfg, begin_hook(out, "INPUT"));
	if (!cfg->vxlan_from_pods || !cfg->ipip_from_pods)
		guard_pods(cfg, begin_hook(out, "FORWARD"));
}

/* Nothing clears the mark of a packet that is not a pod's, so it says nothing about that one. */
void render_lean_end(const struct render_config *cfg, struct chain *c)
{
	CLEANUP(freep)
	char *mark = xasprintf("-m mark --mark 0x%x/0x%x", cfg->mark.accept, cfg->mark.accept);
	CLEANUP(freep) char *allow = xasprintf("--jump %s", cfg->filter_allow);

	add_pods(cfg, c, "in", "Policy explicitly accepted packet.", mark, allow);
	add_pods(cfg, c, "out", "Policy explicitly accepted packet.", mark, allow);
}
