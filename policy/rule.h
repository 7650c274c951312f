/* rule.h - a rule ready for use: selectors combined and turned into sets, protocols into numbers.
 *
 * Calico's and Kubernetes' policies and profiles all end here. All criteria that are present must
 * match; the entries of one list are alternatives. */
#pragma once

#include "lib/addr.h"
#include "model/rulespec.h"
#include "policy/setdef.h"

enum { RULE_NOTES_MAX = 4 }; /* each is words of a line, of which iptables-restore takes 255 */
enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMPV6 = 58, PROTO_SCTP = 132 };

struct port_range {
	uint16_t first, last;
};

/* Ports as numbers and as sets of named ports: any of them. */
struct rule_ports {
	struct port_range *range;
	size_t n_range;
	struct setdef **named; /* own references */
	size_t n_named;
};

struct rule_side {
	struct prefix *nets, *not_nets;
	size_t n_nets, n_not_nets;
	struct setdef *nets_set,
		*not_nets_set;	    /* for lists that do not fit into one rule; or NULL */
	struct setdef *in, *not_in; /* endpoints by selector; or NULL */
	struct setdef *service;	    /* or NULL */
	struct rule_ports ports, not_ports;
};

struct rule_icmp {
	int type, code; /* -1: any */
};

struct rule {
	enum rule_action action;
	enum ip_family family; /* IP_NONE: both */
	struct proto_spec proto, not_proto;
	struct rule_icmp icmp, not_icmp;
	struct rule_side src, dst;
	char **notes; /* "key=value", sorted; at most RULE_NOTES_MAX */
	size_t n_notes;
};

struct rules {
	struct rule *p;
	size_t n, cap;
};

/* ns NULL: the owner has no namespace. Appends to out; on failure some may have been appended, and
 * e begins with "DIRECTION[i]". */
int rules_compile(const struct rule_specs *specs, bool ingress, const char *ns, struct rules *out,
		  struct err *e);
/* Append one rule that denies everything. */
void rules_deny_all(struct rules *out);
void rules_allow_all(struct rules *out);
void rules_done(struct rules *r);

/* How a side's ranges are matched in one family. */
struct side_nets {
	bool none;		       /* the rule does not exist in this family */
	const struct prefix *in, *out; /* written into the rule; or NULL */
	bool in_set, out_set;	       /* by nets_set, not_nets_set */
};
struct side_nets side_nets(const struct rule_side *side, enum ip_family family);
/* Does the rule exist in this family: by version, protocol and ranges? */
bool rule_in_family(const struct rule *r, enum ip_family family);

/* Call fn for every set of the rules; a set used twice comes twice. */
typedef void rule_set_fn(void *arg, struct setdef *def);
void rules_each_set(const struct rules *r, rule_set_fn *fn, void *arg);
