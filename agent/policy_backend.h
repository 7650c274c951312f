/* policy_backend.h - which iptables holds the rules of this host: nft or legacy. */
#pragma once

#include "dataplane/iptables.h"

struct agent_config;

/* What the configuration says; with auto, the one that kubelet and kube-proxy use, else the one with
 * more rules. Waits for the tools, some 10 ms. plain: they are called iptables-save, without the
 * backend in their names. -errno when there are no tools that could be used. */
int policy_backend(const struct agent_config *cfg, enum ipt_backend *out, bool *plain,
		   struct err *e);

/* ---- pure, for tests ---- */

/* What the mangle table, and the whole, of a backend look like. */
struct backend_look {
	bool usable, kubernetes;
	size_t rules;
};
/* Read what iptables-save printed. */
struct backend_look backend_look(const char *saved);
enum ipt_backend backend_choose(const struct backend_look *nft, const struct backend_look *legacy);
