/* render_nat.c - NAT of pods, and tunnels for nodes only
 *
 * WHY    A packet in a tunnel comes out inside, past all that guards the way in; so who may send one
 *        is known by address, and no pod may: with natOutgoing its packets would even carry the
 *        address of a node.
 * DIFFERS: an address for natOutgoing counts for its own family only; Felix writes an IPv4 address
 *        into ip6tables, which refuses the table. And for IPv6 with ports it is put into brackets.
 * TESTS  tests/unit/policy/nat.c: recorded vectors; tests/netns/test_nat.py */
#include "policy/render_nat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "policy/render.h"

enum {
	PORT_LEAST = 1024, /* no service of the node's has such a port */
	PORT_MOST = 65535,
};

bool render_nat_random(const char *version)
{
	unsigned major, minor, patch = 0;
	const char *v = strstr(version, " v");

	if (!v || sscanf(v, " v%u.%u.%u", &major, &minor, &patch) < 2)
		return false;
	return major * 1000000ull + minor * 1000ull + patch >= 1006002;
}

/* ---- what leaves ---- */

static const char *random_text(const struct render_config *cfg)
{
	return cfg->nat.random_fully ? " --random-fully" : "";
}

/* Which packets: of TCP or UDP (proto), or of any protocol (NULL). Heap. */
static char *outgoing_match(const struct render_config *cfg, const char *proto)
{
	struct set_name masq = set_name(cfg->family, SET_MASQ_POOLS);
	struct set_name all = set_name(cfg->family, SET_ALL_POOLS);
	struct set_name hosts = set_name(cfg->family, SET_HOSTS);
	struct str m = { 0 };

	str_addf(&m, "-m set --match-set %s src -m set ! --match-set %s dst", masq.text, all.text);
	if (cfg->nat.not_to_hosts)
		str_addf(&m, " -m set ! --match-set %s dst", hosts.text);
	if (proto)
		str_addf(&m, " -p %s", proto);
	if (cfg->nat.interface)
		str_addf(&m, " --out-interface %s", cfg->nat.interface);
	return str_take(&m);
}

/* What happens to them. Heap. */
static char *outgoing_action(const struct render_config *cfg, bool ports)
{
	const struct render_nat *n = &cfg->nat;
	char addr[ADDR_STR_MAX], range[16] = "";
	bool v6 = cfg->family == IP_V6;

	if (ports)
		snprintf(range, sizeof(range), "%u-%u", n->port_min, n->port_max);
	if (n->source.family != cfg->family)
		return xasprintf("--jump MASQUERADE%s%s%s", ports ? " --to-ports " : "", range,
				 random_text(cfg));
	addr_format(&n->source, addr);
	return xasprintf("--jump SNAT --to-source %s%s%s%s%s%s", v6 && ports ? "[" : "", addr,
			 v6 && ports ? "]" : "", ports ? ":" : "", range, random_text(cfg));
}

static void outgoing(const struct render_config *cfg, struct chain *c)
{
	static const char *const with_ports[] = { "tcp", "udp" };
	CLEANUP(freep) char *any = outgoing_match(cfg, NULL);
	CLEANUP(freep) char *plain = outgoing_action(cfg, false), *ranged = NULL;

	if (!cfg->nat.masquerade)
		return;
	ranged = outgoing_action(cfg, true);
	for (size_t i = 0; cfg->nat.port_max && i < ARRAY_SIZE(with_ports); i++) {
		CLEANUP(freep) char *match = outgoing_match(cfg, with_ports[i]);

		chain_add(c, NULL, match, ranged);
		/* Where no port of the range was free, none of another. */
		chain_add(c, NULL, match, "--jump RETURN");
	}
	chain_add(c, NULL, any, plain);
}

/* The host's own packets into a tunnel whose source was chosen for another interface. */
static void from_device(const struct render_config *cfg, const char *device, struct chain *c)
{
	static const char src[] =
		"-m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL";
	unsigned below = cfg->vxlan_port - 1u, above = cfg->vxlan_port + 1u;
	bool upper = PORT_MOST - cfg->vxlan_port >= cfg->vxlan_port - PORT_LEAST;
	CLEANUP(freep) char *match = xasprintf("--out-interface %s %s", device, src);
	CLEANUP(freep) char *udp = xasprintf("--out-interface %s -p 17 %s", device, src);
	CLEANUP(freep)
	char *to = xasprintf("--jump MASQUERADE --to-ports %u-%u%s", upper ? above : PORT_LEAST,
			     upper ? PORT_MOST : below, random_text(cfg));
	CLEANUP(freep) char *action = xasprintf("--jump MASQUERADE%s", random_text(cfg));

	/* The port of VXLAN is no port for a reply: it would meet the rule for strangers. */
	if (cfg->vxlan)
		chain_add(c, NULL, udp, to);
	chain_add(c, NULL, match, action);
}

static void from_devices(const struct render_config *cfg, struct chain *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(cfg->tunnel) && cfg->tunnel[i]; i++)
		from_device(cfg, cfg->tunnel[i], c);
}

static struct chain *begin(struct chains *out, const char *name)
{
	struct chain_name n = chain_name("", name);

	return chains_new(out, &n);
}

void render_nat(const struct render_config *cfg, struct chains *out)
{
	struct chain *c;

	chain_add(begin(out, "cali-PREROUTING"), NULL, NULL, "--jump cali-fip-dnat");
	chain_add(begin(out, "cali-OUTPUT"), NULL, NULL, "--jump cali-fip-dnat");
	c = begin(out, "cali-POSTROUTING");
	chain_add(c, NULL, NULL, "--jump cali-fip-snat");
	chain_add(c, NULL, NULL, "--jump cali-nat-outgoing");
	from_devices(cfg, c);
	begin(out, "cali-fip-dnat");
	begin(out, "cali-fip-snat");
	outgoing(cfg, begin(out, "cali-nat-outgoing"));
}

void render_nat_lean(const struct render_config *cfg, struct chains *out)
{
	struct chain *c = begin(out, "cali-POSTROUTING");

	if (cfg->nat.masquerade)
		chain_add(c, NULL, NULL, "--jump cali-nat-outgoing");
	from_devices(cfg, c);
	if (cfg->nat.masquerade)
		outgoing(cfg, begin(out, "cali-nat-outgoing"));
}

/* ---- tunnels ---- */

static const char *family_text(const struct render_config *cfg)
{
	return cfg->family == IP_V6 ? "IPv6" : "IPv4";
}

static bool has_ipip(const struct render_config *cfg)
{
	return cfg->ipip && cfg->family == IP_V4;
}

void render_tunnels_in(const struct render_config *cfg, struct chain *c)
{
	const char *fam = family_text(cfg);
	struct set_name vxlan = set_name(cfg->family, SET_VXLAN);
	struct set_name hosts = set_name(cfg->family, SET_HOSTS);
	CLEANUP(freep)
	char *port = xasprintf("-p 17 -m multiport --destination-ports %u", cfg->vxlan_port);
	CLEANUP(freep)
	char *known = xasprintf("%s -m set --match-set %s src -m addrtype --dst-type LOCAL", port,
				vxlan.text);
	/* Where the text need not be Calico's, not to the network's broadcast address either. */
	CLEANUP(freep)
	char *any = xasprintf("%s%s", port,
			      cfg->share_endpoints ? "" : " -m addrtype --dst-type LOCAL");
	CLEANUP(freep)
	char *ipip = xasprintf("-p 4 -m set --match-set %s src -m addrtype --dst-type LOCAL",
			       hosts.text);
	CLEANUP(freep) char *allow = xasprintf("Allow %s VXLAN packets from allowed hosts", fam);
	CLEANUP(freep) char *drop = xasprintf("Drop %s VXLAN packets from non-allowed hosts", fam);
	CLEANUP(freep) char *accept = xasprintf("--jump %s", cfg->filter_allow);
	CLEANUP(freep) char *deny = xasprintf("--jump %s", cfg->filter_deny);

	if (has_ipip(cfg)) {
		chain_add(c, "Allow IPIP packets from Calico hosts", ipip, accept);
		chain_add(c, "Drop IPIP packets from non-Calico hosts", "-p 4", deny);
	}
	if (cfg->vxlan) {
		chain_add(c, allow, known, accept);
		chain_add(c, drop, any, cfg->family == IP_V6 ? deny : "--jump DROP");
	}
}

void render_tunnels_out(const struct render_config *cfg, struct chain *c)
{
	struct set_name vxlan = set_name(cfg->family, SET_VXLAN);
	struct set_name hosts = set_name(cfg->family, SET_HOSTS);
	CLEANUP(freep)
	char *ipip = xasprintf("-p 4 -m set --match-set %s dst -m addrtype --src-type LOCAL",
			       hosts.text);
	CLEANUP(freep)
	char *to =
		xasprintf("-p 17 -m multiport --destination-ports %u -m addrtype --src-type LOCAL "
			  "-m set --match-set %s dst",
			  cfg->vxlan_port, vxlan.text);
	CLEANUP(freep)
	char *comment =
		xasprintf("Allow %s VXLAN packets to other allowed hosts", family_text(cfg));
	CLEANUP(freep) char *accept = xasprintf("--jump %s", cfg->filter_allow);

	if (has_ipip(cfg))
		chain_add(c, "Allow IPIP packets to other Calico hosts", ipip, accept);
	if (cfg->vxlan)
		chain_add(c, comment, to, accept);
}
