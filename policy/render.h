/* render.h - policies, endpoints and the frame around them as iptables chains, for one family.
 *
 * Text and order are those of Calico's agent, so that chains it left behind need no rewriting; where
 * they are not, the place says DIFFERS. Nothing is written here: see tables.h for what is where. */
#pragma once

#include "policy/calc.h"
#include "policy/chain.h"
#include "policy/render_nat.h"

enum table_id {
	TABLE_RAW,
	TABLE_MANGLE,
	TABLE_NAT,
	TABLE_FILTER,
	TABLE_COUNT,
};

const char *table_name(enum table_id t);

struct failsafe {
	uint8_t proto; /* TCP or UDP */
	uint16_t port;
	struct prefix net; /* family IP_NONE: any */
};

struct render_marks {
	uint32_t accept, pass, drop, scratch0, scratch1;
};

/* The bits of a mask from the lowest up. False when it has too few. */
bool render_marks(uint32_t mask, struct render_marks *out);

struct render_config {
	enum ip_family family;
	struct render_marks mark;
	const char *filter_allow, *mangle_allow; /* "ACCEPT", "RETURN" */
	const char *filter_deny;		 /* "DROP", "REJECT" */
	const char *to_host;			 /* endpoint to its own host: "DROP", ... */
	const char *const *prefix;		 /* of pod interfaces: "cali" */
	size_t n_prefix;
	bool vxlan, ipip; /* the device is wanted, or there */
	uint16_t vxlan_port;
	const char *tunnel[2]; /* devices that have an address; NULL: no more */
	struct render_nat nat;
	bool bare;    /* policy is off: only NAT and what tunnels need */
	bool tracked; /* with policy off: somebody else has the kernel track connections */
	bool hosts;   /* a host endpoint is here; tables.h fills it in for itself */
	bool vxlan_from_pods, ipip_from_pods; /* let them send such packets */
	bool allow_spoofing; /* pods may send from the sources that they are allowed */
	bool accept_invalid; /* do not look at state INVALID */
	const struct failsafe *failsafe_in, *failsafe_out;
	size_t n_failsafe_in, n_failsafe_out;
	const char *log_prefix; /* NULL: "calico-packet" */
	const char *log_rate;	/* "10/minute"; NULL: no limit */
	int log_burst;
	const struct prefix *service_net; /* packets to these that nobody takes are dropped */
	size_t n_service_net;
	const char *service_deny; /* "DROP", "REJECT" */
	/* Rules as they are best, not as Calico's agent writes them. Chains of pods are named by what
	 * they say, not by the interface: all pods to which the same applies share one; and the frame
	 * is render_lean.h's. */
	bool share_endpoints;
};

/* What an agent without configuration uses. */
struct render_config render_config_default(enum ip_family family);

struct chain_name render_policy_chain(const struct policy *p, bool ingress);
/* Names of the two chains of a policy, from its policy_id_text. */
struct chain_name render_policy_chain_of(const char *id_text, bool ingress);
struct chain_name render_profile_chain(const char *name, bool ingress);

/* Append the chain of one direction. deny: "DROP", or what the table allows. */
void render_policy(const struct render_config *cfg, const struct policy *p, bool ingress,
		   const char *deny, struct chains *out);
void render_profile(const struct render_config *cfg, const struct profile_rules *p, bool ingress,
		    const char *deny, struct chains *out);

/* Where rules are in the chain made of them: line[i], of rules->n, is the iptables rule that a packet
 * meets when rule i matched it; -1 where the rule does not exist in this family. */
void render_lines(const struct render_config *cfg, const struct rules *rules, int *line);

enum render_endpoint_kind {
	RENDER_WORKLOAD,
	RENDER_HOST, /* normal, filter or mangle */
	RENDER_HOST_FORWARD,
	RENDER_HOST_RAW, /* doNotTrack */
	RENDER_HOST_PREDNAT,
};

/* Append the chains of groups of policies that an endpoint needs in one direction, and behind them
 * the one of its interface (cfg->share_endpoints: of a pod's content). ingress: to a pod, from a
 * network into the host. */
void render_endpoint(const struct render_config *cfg, const struct calc_endpoint *ep,
		     const char *interface, enum render_endpoint_kind kind, bool ingress,
		     enum table_id table, struct chains *out);
struct chain_name render_endpoint_chain(const char *interface, enum render_endpoint_kind kind,
					bool ingress);

struct dispatch_row {
	const char *interface;
	struct chain_name chain; /* that its packets go to, */
	struct chain_name by;	 /* set by render_dispatch: and the one that says so */
};

/* From interfaces to chains: rows sorted by interface, each once. Appends the root and its leaves.
 * `end` is appended to root and leaves. */
struct dispatch {
	const char *root; /* "cali-from-wl-dispatch" */
	bool in;	  /* by the interface that packets come in by */
	struct dispatch_row *row;
	size_t n;
	const struct chain *end; /* rules for the others; NULL: none */
};
void render_dispatch(const struct dispatch *d, struct chains *out);
/* The end of the dispatch to pods: what has no chain is dropped. */
void render_unknown_interface(const struct render_config *cfg, struct chain *end);

/* Chains of one table that do not depend on policies. */
void render_static(const struct render_config *cfg, enum table_id table, struct chains *out);

/* A rule in one of the kernel's own chains. */
struct hook {
	enum table_id table;
	bool append;	    /* at the end, else at the head */
	struct chain rules; /* of the chain's name */
};

struct hooks {
	struct hook *p;
	size_t n, cap;
};
void render_hooks(const struct render_config *cfg, struct hooks *out);
void hooks_done(struct hooks *v);
