/* iptables_backend.h - nft or legacy: which of the two the node uses, found out once.
 *
 * kubelet and kube-proxy leave a hint; without one the backend with more rules is taken; on a node
 * without any rules, what "iptables" itself is. Legacy tools are not run where the kernel has no
 * legacy tables: running them would make some.
 *
 * Pure: ipt_probe_next says what to run. ipt_backend_find does it all and waits. */
#pragma once

#include "dataplane/iptables.h"

enum ipt_wish {
	IPT_WISH_AUTO,
	IPT_WISH_LEGACY,
	IPT_WISH_NFT,
};

enum { IPT_PROBE_FACTS = 4 }; /* nft and legacy, IPv6 and IPv4 */

struct ipt_probe_fact {
	bool ran;     /* there is such a tool */
	bool missing; /* there is none */
	bool failed;  /* it ran, and failed */
	bool hint;
	unsigned rules;
};

struct ipt_probe {
	enum ipt_wish wish;
	bool legacy_v4, legacy_v6; /* the kernel has legacy tables */
	unsigned step;
	struct ipt_probe_fact fact[IPT_PROBE_FACTS];
	bool default_nft, default_missing; /* "iptables" itself */
};

struct ipt_choice {
	enum ipt_backend backend;
	bool plain_names;
	char why[96];
};

void ipt_probe_init(struct ipt_probe *p, enum ipt_wish wish, bool legacy_v4, bool legacy_v6);
bool ipt_probe_next(struct ipt_probe *p, struct exec_cmd *cmd);
void ipt_probe_done(struct ipt_probe *p, const struct exec_result *r);
void ipt_probe_not_started(struct ipt_probe *p);
/* -ENOENT with a sentence when there is no iptables to speak of. */
int ipt_probe_choice(const struct ipt_probe *p, struct ipt_choice *out, struct err *e);

/* In the current network namespace; some tens of milliseconds. */
int ipt_backend_find(enum ipt_wish wish, struct ipt_choice *out, struct err *e);
