/* iptables_backend.c - nft or legacy
 * SHAPE  First the mangle tables for kubelet's and kube-proxy's hint, nft before legacy, IPv6
 * before IPv4; the first hint decides. Then all tables, to count rules. Last, what plain "iptables"
 *        is.
 * DIFFERS: on a node without any rule Felix takes legacy; here what "iptables" is, because a kernel
 *        without legacy tables is the usual one by now. */
#include "dataplane/iptables_backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum fact {
	NFT6,
	NFT4,
	LEGACY6,
	LEGACY4,
};

static const char *const save_tools[IPT_PROBE_FACTS] = {
	[NFT6] = "ip6tables-nft-save",
	[NFT4] = "iptables-nft-save",
	[LEGACY6] = "ip6tables-legacy-save",
	[LEGACY4] = "iptables-legacy-save",
};

enum {
	STEP_HINTS = 0,
	STEP_COUNTS = IPT_PROBE_FACTS,
	STEP_DEFAULT = 2 * IPT_PROBE_FACTS, /* what is plain iptables? */
	STEP_TOOL,			    /* is there a tool for what was chosen? */
	STEP_END,
};

void ipt_probe_init(struct ipt_probe *p, enum ipt_wish wish, bool legacy_v4, bool legacy_v6)
{
	*p = (struct ipt_probe) { .wish = wish, .legacy_v4 = legacy_v4, .legacy_v6 = legacy_v6 };
	/* A wish needs no facts but whether there are tools for it. */
	if (wish != IPT_WISH_AUTO)
		p->step = STEP_COUNTS;
}

static enum fact chosen_fact(const struct ipt_probe *p);

/* Which tool the step runs; none of the four in STEP_DEFAULT. */
static enum fact step_fact(const struct ipt_probe *p)
{
	return p->step == STEP_TOOL ? chosen_fact(p) : (enum fact)(p->step % IPT_PROBE_FACTS);
}

static bool is_step_needed(const struct ipt_probe *p)
{
	enum fact f = step_fact(p);

	if (p->step == STEP_DEFAULT)
		return true;
	if (p->step == STEP_TOOL)
		return !p->fact[f].ran && !p->fact[f].missing;
	if (p->fact[f].missing)
		return false;
	if (p->wish == IPT_WISH_NFT)
		return f == NFT4;
	if (p->wish == IPT_WISH_LEGACY)
		return f == LEGACY4;
	return !(f == LEGACY4 && !p->legacy_v4) && !(f == LEGACY6 && !p->legacy_v6);
}

static bool is_hint_found(const struct ipt_probe *p)
{
	for (int i = 0; i < IPT_PROBE_FACTS; i++)
		if (p->fact[i].hint)
			return true;
	return false;
}

bool ipt_probe_next(struct ipt_probe *p, struct exec_cmd *cmd)
{
	if (p->wish == IPT_WISH_AUTO && is_hint_found(p) && p->step < STEP_DEFAULT)
		p->step = STEP_END;
	while (p->step < STEP_END && !is_step_needed(p))
		p->step++;
	if (p->step >= STEP_END)
		return false;
	*cmd = (struct exec_cmd) { 0 };
	if (p->step == STEP_DEFAULT) {
		cmd->argv[0] = "iptables";
		cmd->argv[1] = "--version";
		return true;
	}
	cmd->argv[0] = save_tools[step_fact(p)];
	if (p->wish != IPT_WISH_AUTO || p->step == STEP_TOOL) {
		cmd->argv[1] = "--version";
	} else if (p->step < STEP_COUNTS && p->step < LEGACY6) {
		/* Not of legacy: to name a table there is to make it. */
		cmd->argv[1] = "-t";
		cmd->argv[2] = "mangle";
	}
	return true;
}

static unsigned rules_in(const char *text)
{
	unsigned n = 0;

	for (const char *l = text; l; l = strchr(l, '\n')) {
		l += *l == '\n';
		n += *l == '-';
	}
	return n;
}

static bool has_hint(const char *mangle)
{
	return strstr(mangle, "\n:KUBE-IPTABLES-HINT ") ||
	       strstr(mangle, "\n:KUBE-KUBELET-CANARY ");
}

void ipt_probe_done(struct ipt_probe *p, const struct exec_result *r)
{
	struct ipt_probe_fact *f = &p->fact[step_fact(p)];

	f->ran |= p->step != STEP_DEFAULT;
	if (p->step == STEP_DEFAULT) {
		p->default_nft = strstr(r->out, "nf_tables") != NULL;
		p->default_missing = r->code != 0;
	} else if (r->code != 0) {
		f->failed = true;
	} else if (p->step < STEP_COUNTS && p->wish == IPT_WISH_AUTO) {
		f->hint = has_hint(r->out);
	} else if (p->step < STEP_DEFAULT) {
		f->rules = rules_in(r->out);
	}
	p->step++;
}

void ipt_probe_not_started(struct ipt_probe *p)
{
	if (p->step == STEP_DEFAULT)
		p->default_missing = true;
	else
		p->fact[step_fact(p)].missing = true;
	p->step++;
}

static void choose(const struct ipt_probe *p, struct ipt_choice *c)
{
	unsigned nft = p->fact[NFT4].rules + p->fact[NFT6].rules;
	unsigned legacy = p->fact[LEGACY4].rules + p->fact[LEGACY6].rules;

	if (p->wish != IPT_WISH_AUTO) {
		c->backend = p->wish == IPT_WISH_NFT ? IPT_NFT : IPT_LEGACY;
		snprintf(c->why, sizeof(c->why), "as configured");
	} else if (is_hint_found(p)) {
		c->backend = p->fact[NFT4].hint || p->fact[NFT6].hint ? IPT_NFT : IPT_LEGACY;
		snprintf(c->why, sizeof(c->why), "kubelet uses it");
	} else if (nft || legacy) {
		c->backend = nft > legacy ? IPT_NFT : IPT_LEGACY;
		snprintf(c->why, sizeof(c->why), "%u rules are in nft, %u in legacy", nft, legacy);
	} else {
		c->backend = p->default_nft || p->default_missing ? IPT_NFT : IPT_LEGACY;
		snprintf(c->why, sizeof(c->why), "there are no rules yet, iptables is the %s one",
			 c->backend == IPT_NFT ? "nft" : "legacy");
	}
}

static enum fact chosen_fact(const struct ipt_probe *p)
{
	struct ipt_choice c = { 0 };

	choose(p, &c);
	return c.backend == IPT_NFT ? NFT4 : LEGACY4;
}

int ipt_probe_choice(const struct ipt_probe *p, struct ipt_choice *out, struct err *e)
{
	struct ipt_choice c = { 0 };
	bool is_default;

	choose(p, &c);
	is_default = !p->default_missing && p->default_nft == (c.backend == IPT_NFT);
	c.plain_names = p->fact[chosen_fact(p)].missing;
	if (c.plain_names && !is_default)
		return err_set(e, -ENOENT,
			       "iptables: neither iptables-%s-save nor an iptables of that kind is "
			       "installed (package iptables)",
			       c.backend == IPT_NFT ? "nft" : "legacy");
	*out = c;
	return 0;
}

static void on_done(void *arg, const struct exec_result *r)
{
	ipt_probe_done(arg, r);
}

static bool has_text(const char *path)
{
	FILE *f = fopen(path, "re");
	bool some = f && fgetc(f) != EOF;

	if (f)
		fclose(f);
	return some;
}

int ipt_backend_find(enum ipt_wish wish, struct ipt_choice *out, struct err *e)
{
	struct exec_cmd cmd;
	struct ipt_probe p;

	ipt_probe_init(&p, wish, has_text("/proc/net/ip_tables_names"),
		       has_text("/proc/net/ip6_tables_names"));
	while (ipt_probe_next(&p, &cmd))
		if (exec_run(&cmd, on_done, &p, NULL) < 0)
			ipt_probe_not_started(&p);
	return ipt_probe_choice(&p, out, e);
}
