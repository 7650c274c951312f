/* policy_backend.c - nft or legacy
 * WHY    Rules of both kinds are in force at once, each with its own idea of who comes first, so
 *        ours must be where the others are. Legacy is not even asked unless its modules are loaded:
 *        asking would load them.
 * TESTS  tests/unit/agent/policy_backend.c */
#include "agent/policy_backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/log.h"
#include "dataplane/exec.h"
#include "lib/str.h"

struct backend_look backend_look(const char *saved)
{
	struct backend_look l = { .usable = true };

	for (const char *p = saved; *p;) {
		size_t n = strcspn(p, "\n");

		if (str_starts(p, ":KUBE-IPTABLES-HINT ") || str_starts(p, ":KUBE-KUBELET-CANARY "))
			l.kubernetes = true;
		l.rules += str_starts(p, "-A ");
		p += n + (p[n] == '\n');
	}
	return l;
}

enum ipt_backend backend_choose(const struct backend_look *nft, const struct backend_look *legacy)
{
	if (!legacy->usable)
		return IPT_NFT;
	if (!nft->usable)
		return IPT_LEGACY;
	if (nft->kubernetes || legacy->kubernetes)
		return nft->kubernetes ? IPT_NFT : IPT_LEGACY;
	return nft->rules >= legacy->rules ? IPT_NFT : IPT_LEGACY;
}

struct asked {
	struct backend_look look;
	bool nft; /* of a tool without the backend in its name */
};

static void on_saved(void *arg, const struct exec_result *r)
{
	struct asked *a = arg;

	if (r->code == 0)
		a->look = backend_look(r->out);
}

static void on_version(void *arg, const struct exec_result *r)
{
	struct asked *a = arg;

	a->look.usable = r->code == 0;
	a->nft = strstr(r->out, "nf_tables") != NULL;
}

static struct backend_look look_at(const char *tool)
{
	struct exec_cmd cmd = { .argv = { tool } };
	struct asked a = { 0 };

	exec_run(&cmd, on_saved, &a, NULL);
	return a.look;
}

static bool answers(const char *tool, struct asked *a)
{
	struct exec_cmd cmd = { .argv = { tool, "--version" } };

	*a = (struct asked) { 0 };
	return exec_run(&cmd, on_version, a, NULL) == 0 && a->look.usable;
}

static int fallback(int want, enum ipt_backend *out, bool *plain, struct err *e)
{
	struct asked a;

	if (!answers("iptables-save", &a))
		return err_set(e, -ENOENT,
			       "no iptables is installed (iptables-nft-save, iptables-legacy-save or "
			       "iptables-save in PATH); install the package iptables, or turn policy "
			       "off with policy: false");
	*plain = true;
	*out = a.nft ? IPT_NFT : IPT_LEGACY;
	if (want != CONFIG_BACKEND_AUTO && (want == CONFIG_BACKEND_NFT) != a.nft)
		return err_set(e, -ENOENT,
			       "iptablesBackend: the iptables that is installed is %s, and no other "
			       "is there",
			       a.nft ? "nft" : "legacy");
	return 0;
}

static enum ipt_backend choose(void)
{
	struct backend_look nft = look_at("iptables-nft-save"), legacy = { 0 };

	if (access("/proc/net/ip_tables_names", F_OK) == 0)
		legacy = look_at("iptables-legacy-save");
	return backend_choose(&nft, &legacy);
}

int policy_backend(const struct agent_config *cfg, enum ipt_backend *out, bool *plain,
		   struct err *e)
{
	int want = cfg->iptables_backend;
	struct asked a;

	*plain = false;
	if (want == CONFIG_BACKEND_AUTO && answers("iptables-nft-save", &a))
		*out = choose();
	else if (want == CONFIG_BACKEND_NFT && answers("iptables-nft-save", &a))
		*out = IPT_NFT;
	else if (want == CONFIG_BACKEND_LEGACY && answers("iptables-legacy-save", &a))
		*out = IPT_LEGACY;
	else
		return fallback(want, out, plain, e);
	return 0;
}
