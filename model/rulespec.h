/* rulespec.h - one rule of a policy or profile, as it is written in a manifest.
 *
 * What it means (selectors combined, names of protocols resolved) is policy/rule.h. */
#pragma once

#include "lib/fields.h"

enum rule_action {
	RULE_ALLOW,
	RULE_DENY,
	RULE_LOG,
	RULE_PASS,
};

enum {
	RULES_MAX = 1024,    /* for each direction; Calico's schema, as are the next ones */
	RULE_NETS_MAX = 256, /* in one list */
	RULE_PORTS_MAX = 50,
	RULE_HTTP_MAX = 20,
};

/* One entry of a list of ports. */
struct port_spec {
	uint16_t first, last;
	char *name; /* owned; NULL: the numbers count */
};

struct port_specs {
	struct port_spec *p;
	size_t n, cap;
};

struct proto_spec {
	bool set;
	uint8_t number;
	const char *name; /* lower case, static; NULL: it was written as a number */
};

struct rule_accounts {
	struct field_strings names;
	char *selector;
};

struct rule_service {
	char *name, *ns;
};

struct rule_side_spec {
	struct field_cidrs nets, not_nets;
	char *selector, *not_selector, *ns_selector;
	json_t *ports, *not_ports; /* port_specs_parse reads them */
	struct rule_accounts accounts;
	struct rule_service service;
	bool has_service;
};

struct rule_icmp_spec {
	int type, code;
	bool has_type, has_code;
};

struct rule_meta_spec {
	struct field_map annotations;
};

struct rule_spec {
	int action; /* enum rule_action */
	bool has_action;
	int ip_version;			 /* 4, 6; 0: not given */
	json_t *protocol, *not_protocol; /* proto_spec_parse reads them */
	struct rule_icmp_spec icmp, not_icmp;
	bool has_icmp, has_not_icmp;
	json_t *http;
	struct rule_meta_spec metadata;
	struct rule_side_spec source, destination;
};

struct rule_specs {
	struct rule_spec *p;
	size_t n, cap;
};

extern const struct fields rule_spec_fields;

/* A list of at most RULE_PORTS_MAX of 80, "8000:8010", "name"; json NULL: none. */
int port_specs_parse(const json_t *json, struct port_specs *out, struct err *e);
void port_specs_done(struct port_specs *s);
/* "TCP" in any case, 6 or "6"; json NULL: not set. */
int proto_spec_parse(const json_t *json, struct proto_spec *out, struct err *e);
/* The same from text, for Kubernetes objects; NULL: not set. */
bool proto_spec_name(const char *text, struct proto_spec *out);
/* Is this a protocol with ports that policy knows: TCP, UDP, SCTP? */
bool proto_has_ports(uint8_t number);
/* Does it hold every address of its family? */
bool prefix_is_all(const struct prefix *p);

/* Write the protocol of an object, and of both lists of rules of a spec, as Calico's nodes want them:
 * they leave a policy out that says "tcp". */
void proto_spec_fill(json_t *object, const char *name);
void rule_specs_fill(json_t *spec);

/* Who has the rules. */
struct rule_owner {
	bool global;	/* it has no namespace */
	bool converted; /* from Kubernetes: lists and selectors are as long as they were there */
};

/* Beyond the tables: how the fields of a rule go together. ingress: of which direction. Messages
 * begin with "DIRECTION[i].field". */
int rule_specs_check(const struct rule_specs *rules, bool ingress, struct rule_owner owner,
		     struct err *e);
