/* render_static.c - the frame that policies hang in: chains that depend on configuration only
 *
 * This one is Calico's; render_lean.c has the other, where it need not be.
 * Of Calico's frame these are not here: WireGuard, kube-proxy in IPVS mode, OpenStack, DSCP.
 * TESTS  tests/unit/policy/chain.c: recorded vectors; tests/unit/policy/render.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "policy/render_lean.h"

#define HEP_ACCEPTED "Host endpoint policy accepted packet."

/* A chain being written, with the texts that recur. */
struct frame {
	const struct render_config *cfg;
	struct chains *out;
	struct chain *c;
	char accept_set[48], scratch0_set[48], scratch0_clear[48]; /* matches */
	char clear_all[48];					   /* action */
	char filter_allow[32], mangle_allow[32], deny[32];
};

static struct frame frame_new(const struct render_config *cfg, struct chains *out)
{
	const struct render_marks *k = &cfg->mark;
	struct frame f = { .cfg = cfg, .out = out };

	snprintf(f.accept_set, sizeof(f.accept_set), "-m mark --mark 0x%x/0x%x", k->accept,
		 k->accept);
	snprintf(f.scratch0_set, sizeof(f.scratch0_set), "-m mark --mark 0x%x/0x%x", k->scratch0,
		 k->scratch0);
	snprintf(f.scratch0_clear, sizeof(f.scratch0_clear), "-m mark --mark 0/0x%x", k->scratch0);
	snprintf(f.clear_all, sizeof(f.clear_all), "--jump MARK --set-mark 0/0x%x",
		 k->accept | k->pass | k->scratch0 | k->scratch1);
	snprintf(f.filter_allow, sizeof(f.filter_allow), "--jump %s", cfg->filter_allow);
	snprintf(f.mangle_allow, sizeof(f.mangle_allow), "--jump %s", cfg->mangle_allow);
	snprintf(f.deny, sizeof(f.deny), "--jump %s", cfg->filter_deny);
	return f;
}

static void begin(struct frame *f, const char *name)
{
	struct chain_name n = chain_name("", name);

	f->c = chains_new(f->out, &n);
}

static void add(struct frame *f, const char *match, const char *action)
{
	chain_add(f->c, NULL, match, action);
}

/* One rule for each prefix of pod interfaces. */
static void add_pods(struct frame *f, const char *way, const char *action)
{
	for (size_t i = 0; i < f->cfg->n_prefix; i++) {
		CLEANUP(freep)
		char *match = xasprintf("--%s-interface %s+", way, f->cfg->prefix[i]);

		add(f, match, action);
	}
}

static void add_untracked_vxlan(struct frame *f)
{
	CLEANUP(freep) char *match = xasprintf("-p udp --dport %u", f->cfg->vxlan_port);

	if (f->cfg->vxlan)
		add(f, match, "--jump NOTRACK");
}

static void raw(struct frame *f)
{
	CLEANUP(freep)
	char *set0 = xasprintf("--jump MARK --set-mark 0x%x/0x%x", f->cfg->mark.scratch0,
			       f->cfg->mark.scratch0);
	CLEANUP(freep)
	char *spoofed = xasprintf("%s -m rpfilter --invert --validmark", f->scratch0_set);

	begin(f, "cali-PREROUTING");
	add(f, NULL, f->clear_all);
	add_untracked_vxlan(f);
	add_pods(f, "in", set0);
	add(f, f->scratch0_set, "--jump cali-rpf-skip");
	/* raw knows no REJECT. */
	add(f, spoofed, "--jump DROP");
	add(f, f->scratch0_clear, "--jump cali-from-host-endpoint");
	add(f, f->accept_set, "--jump ACCEPT");
	begin(f, "cali-OUTPUT");
	add(f, NULL, f->clear_all);
	add(f, NULL, "--jump cali-to-host-endpoint");
	add_untracked_vxlan(f);
	add(f, f->accept_set, "--jump ACCEPT");
}

static void mangle(struct frame *f)
{
	begin(f, "cali-PREROUTING");
	add(f, "-m conntrack --ctstate RELATED,ESTABLISHED", f->mangle_allow);
	add(f, f->accept_set, f->mangle_allow);
	add(f, NULL, "--jump cali-from-host-endpoint");
	chain_add(f->c, HEP_ACCEPTED, f->accept_set, f->mangle_allow);
	begin(f, "cali-POSTROUTING");
	add(f, f->accept_set, "--jump RETURN");
	add(f, NULL, f->clear_all);
	add(f, "-m conntrack --ctstate DNAT", "--jump cali-to-host-endpoint");
	chain_add(f->c, HEP_ACCEPTED, f->accept_set, "--jump RETURN");
}

static void input(struct frame *f)
{
	begin(f, "cali-INPUT");
	render_tunnels_in(f->cfg, f->c);
	add_pods(f, "in", "--goto cali-wl-to-host");
	add(f, f->accept_set, f->filter_allow);
	add(f, NULL, f->clear_all);
	add(f, NULL, "--jump cali-from-host-endpoint");
	chain_add(f->c, HEP_ACCEPTED, f->accept_set, f->filter_allow);
}

static void add_icmp6(struct frame *f, const int *type, size_t n, const char *action)
{
	for (size_t i = 0; f->cfg->family == IP_V6 && i < n; i++) {
		CLEANUP(freep) char *match = xasprintf("-p 58 -m icmp6 --icmpv6-type %d", type[i]);

		add(f, match, action);
	}
}

static void pods_to_host(struct frame *f)
{
	/* Neighbours and routers are found before any policy. */
	static const int types[] = { 130, 131, 132, 133, 135, 136 };
	CLEANUP(freep) char *action = xasprintf("--jump %s", f->cfg->to_host);

	begin(f, "cali-wl-to-host");
	add_icmp6(f, types, ARRAY_SIZE(types), f->filter_allow);
	add(f, NULL, "--jump cali-from-wl-dispatch");
	chain_add(f->c, "Configured DefaultEndpointToHostAction", NULL, action);
}

static void forward(struct frame *f)
{
	const struct render_marks *k = &f->cfg->mark;
	CLEANUP(freep)
	char *clear =
		xasprintf("--jump MARK --set-mark 0/0x%x", k->pass | k->scratch0 | k->scratch1);
	CLEANUP(freep) char *undecided = xasprintf("-m mark --mark 0/0x%x", k->accept);

	begin(f, "cali-FORWARD");
	add(f, NULL, clear);
	add(f, undecided, "--jump cali-from-hep-forward");
	for (size_t i = 0; i < f->cfg->n_prefix; i++) {
		CLEANUP(freep) char *in = xasprintf("--in-interface %s+", f->cfg->prefix[i]);
		CLEANUP(freep) char *out = xasprintf("--out-interface %s+", f->cfg->prefix[i]);

		add(f, in, "--jump cali-from-wl-dispatch");
		add(f, out, "--jump cali-to-wl-dispatch");
	}
	add(f, NULL, "--jump cali-to-hep-forward");
	add(f, NULL, "--jump cali-cidr-block");
}

static void output(struct frame *f)
{
	begin(f, "cali-OUTPUT");
	add(f, f->accept_set, f->filter_allow);
	add_pods(f, "out", "--jump RETURN");
	render_tunnels_out(f->cfg, f->c);
	add(f, NULL, f->clear_all);
	add(f, "-m conntrack ! --ctstate DNAT", "--jump cali-to-host-endpoint");
	chain_add(f->c, HEP_ACCEPTED, f->accept_set, f->filter_allow);
}

static void service_loops(struct frame *f)
{
	CLEANUP(freep) char *deny = xasprintf("--jump %s", f->cfg->service_deny);

	begin(f, "cali-cidr-block");
	for (size_t i = 0; i < f->cfg->n_service_net; i++) {
		char net[PREFIX_STR_MAX];
		CLEANUP(freep)
		char *match =
			xasprintf("--destination %s", prefix_format(&f->cfg->service_net[i], net));

		if (f->cfg->service_net[i].addr.family == f->cfg->family)
			add(f, match, deny);
	}
}

static void failsafes(struct frame *f, const struct failsafe *list, size_t n, bool in, bool reply)
{
	for (size_t i = 0; i < n; i++) {
		struct str m = { 0 };
		char net[PREFIX_STR_MAX];

		if (list[i].net.addr.family && list[i].net.addr.family != f->cfg->family)
			continue;
		str_addf(&m, "-p %s -m multiport --%s-ports %u",
			 list[i].proto == 17 ? "udp" : "tcp", reply ? "source" : "destination",
			 list[i].port);
		if (list[i].net.addr.family)
			str_addf(&m, " --%s %s", in ? "source" : "destination",
				 prefix_format(&list[i].net, net));
		add(f, str_text(&m), "--jump ACCEPT");
		str_done(&m);
	}
}

/* DIFFERS: Calico's failsafe ports are of no use over IPv6 where a host endpoint denies all, because
 * its neighbours are not found any more. Here whatever keeps an IPv6 link alive is a failsafe, too:
 * groups (130 to 132, 143), routers (133, 134), neighbours (135, 136); none of it passes a router. */
static void failsafe_link(struct frame *f)
{
	static const int types[] = { 130, 131, 132, 133, 134, 135, 136, 143 };

	add_icmp6(f, types, ARRAY_SIZE(types), "--jump ACCEPT");
}

static void failsafe_chains(struct frame *f, bool replies)
{
	const struct render_config *c = f->cfg;

	begin(f, "cali-failsafe-in");
	failsafes(f, c->failsafe_in, c->n_failsafe_in, true, false);
	/* Nothing is tracked in raw: answers to what we may send come by here, too. */
	if (replies)
		failsafes(f, c->failsafe_out, c->n_failsafe_out, true, true);
	failsafe_link(f);
	begin(f, "cali-failsafe-out");
	failsafes(f, c->failsafe_out, c->n_failsafe_out, false, false);
	if (replies)
		failsafes(f, c->failsafe_in, c->n_failsafe_in, false, true);
	failsafe_link(f);
}

void render_pods_to_host(const struct render_config *cfg, struct chains *out)
{
	struct frame f = frame_new(cfg, out);

	pods_to_host(&f);
}

void render_service_loops(const struct render_config *cfg, struct chains *out)
{
	struct frame f = frame_new(cfg, out);

	service_loops(&f);
}

void render_static(const struct render_config *cfg, enum table_id table, struct chains *out)
{
	struct frame f = frame_new(cfg, out);

	if (cfg->bare || render_is_lean(cfg)) {
		(cfg->bare ? render_bare : render_lean)(cfg, table, out);
		return;
	}
	switch (table) {
	case TABLE_RAW:
		raw(&f);
		failsafe_chains(&f, true);
		break;
	case TABLE_MANGLE:
		mangle(&f);
		failsafe_chains(&f, false);
		break;
	case TABLE_NAT:
		render_nat(cfg, out);
		break;
	case TABLE_FILTER:
		input(&f);
		pods_to_host(&f);
		forward(&f);
		output(&f);
		service_loops(&f);
		failsafe_chains(&f, false);
		break;
	case TABLE_COUNT:
		break;
	}
}

/* Is there anything to jump to? Calico's frame has all of it. */
static bool has_chain(const struct render_config *cfg, enum table_id table, const char *name)
{
	struct chains chains = { 0 };
	bool found = false;

	if (!cfg->bare && !render_is_lean(cfg))
		return true;
	render_static(cfg, table, &chains);
	vec_foreach (&chains, c)
		found |= strcmp(c->name.text, name) == 0;
	chains_done(&chains);
	return found;
}

/* What policy has accepted; and that it was forwarded, which mangle wants to know. */
static void add_end(const struct render_config *cfg, struct chain *c)
{
	CLEANUP(freep)
	char *match = xasprintf("-m mark --mark 0x%x/0x%x", cfg->mark.accept, cfg->mark.accept);
	CLEANUP(freep)
	char *set =
		xasprintf("--jump MARK --set-mark 0x%x/0x%x", cfg->mark.accept, cfg->mark.accept);
	CLEANUP(freep) char *allow = xasprintf("--jump %s", cfg->filter_allow);

	chain_add(c, "Policy explicitly accepted packet.", match, allow);
	chain_add(c, NULL, NULL, set);
}

static void render_end(const struct render_config *cfg, struct hooks *out)
{
	struct hook end = { .table = TABLE_FILTER, .append = true };

	end.rules.name = chain_name("", "FORWARD");
	(render_is_lean(cfg) ? render_lean_end : add_end)(cfg, &end.rules);
	vec_push(out, end);
}

void render_hooks(const struct render_config *cfg, struct hooks *out)
{
	static const struct {
		enum table_id table;
		const char *chain;
		bool append;
	} rows[] = {
		{ TABLE_RAW, "PREROUTING", false },
		{ TABLE_RAW, "OUTPUT", false },
		{ TABLE_MANGLE, "PREROUTING", false },
		{ TABLE_MANGLE, "POSTROUTING", false },
		{ TABLE_NAT, "PREROUTING", false },
		{ TABLE_NAT, "OUTPUT", false },
		/* Behind kube-proxy, whose mark for masquerading is looked at first. */
		{ TABLE_NAT, "POSTROUTING", true },
		{ TABLE_FILTER, "INPUT", false },
		{ TABLE_FILTER, "FORWARD", false },
		{ TABLE_FILTER, "OUTPUT", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct hook h = { .table = rows[i].table, .append = rows[i].append };
		CLEANUP(freep) char *name = xasprintf("cali-%s", rows[i].chain);
		CLEANUP(freep) char *jump = xasprintf("--jump %s", name);

		if (!has_chain(cfg, rows[i].table, name))
			continue;
		h.rules.name = chain_name("", rows[i].chain);
		chain_add(&h.rules, NULL, NULL, jump);
		vec_push(out, h);
	}
	if (cfg->bare)
		render_bare_hooks(cfg, out);
	else
		render_end(cfg, out);
}

void hooks_done(struct hooks *v)
{
	vec_foreach (v, h)
		chain_done(&h->rules);
	vec_done(v);
}
