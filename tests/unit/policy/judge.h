/* judge.h - what network policy means, said once more: simple, slow, and of its own.
 *
 * A world is a few of everything, in structs of the judge's own; world.c makes random ones and writes
 * them as manifests. The judge reads nothing but the world: selectors are trees of its own, sets are
 * never built, every packet is held against every endpoint. */
#pragma once

#include "lib/addr.h"

enum {
	J_NAMESPACES = 3,
	J_ACCOUNTS = 2,
	J_PODS = 6,
	J_HOSTS = 3,
	J_NETSETS = 4,
	J_TIERS = 3,
	J_POLICIES = 7,
	J_RULES = 3,
	J_LIST = 20, /* entries of a list in a rule */
	J_SERVICES = 2,
	J_NODES = 1024, /* of selectors */
	J_PROFILES = 2,
	J_LABELS = 4,
};

struct jlabel {
	char key[48], value[24];
};

struct jlabels {
	struct jlabel p[J_LABELS * 4];
	int n;
};

enum jop {
	JS_ALL,
	JS_GLOBAL,
	JS_HAS,
	JS_EQ,
	JS_NE,
	JS_IN,
	JS_NOT_IN,
	JS_CONTAINS,
	JS_STARTS,
	JS_ENDS,
	JS_NOT,
	JS_AND,
	JS_OR
};

struct jsel {
	enum jop op;
	char key[16], value[2][8];
	int n_value;
	struct jsel *a, *b;
};

struct jport {
	char name[8]; /* "": numbers */
	uint16_t first, last;
};

struct jside {
	struct prefix net[J_LIST], not_net[J_LIST];
	int n_net, n_not_net;
	struct jsel *sel, *not_sel, *ns_sel, *sa_sel;
	char sa_name[8]; /* "": none */
	struct jport port[J_LIST], not_port[J_LIST];
	int n_port, n_not_port;
	int service; /* -1: none */
};

enum jaction { J_ALLOW, J_DENY, J_LOG, J_PASS };

struct jrule {
	enum jaction action;
	int version;		  /* 0, 4, 6 */
	int proto, not_proto;	  /* 0: any */
	int icmp_type, icmp_code; /* -1: any */
	int not_icmp_type, not_icmp_code;
	struct jside src, dst;
};

/* Kubernetes' own. */
struct jk8s_sel {
	bool given;
	struct jlabel label[2];
	int n_label;
	int expression; /* 0: none, 1: In, 2: NotIn, 3: Exists, 4: DoesNotExist */
	char key[16], value[2][8];
};

struct jk8s_peer {
	bool block;
	struct prefix cidr, except[2];
	int n_except;
	struct jk8s_sel pods, namespaces;
};

struct jk8s_port {
	int proto; /* 0: left out */
	char name[8];
	int port, end; /* 0: left out */
};

struct jk8s_rule {
	struct jk8s_peer peer[2];
	struct jk8s_port port[3];
	int n_peer, n_port;
};

enum jkind { J_NP, J_GNP, J_KNP };

struct jpolicy {
	bool exists;
	enum jkind kind;
	int ns;
	char name[16];
	char tier[16];
	bool has_order;
	int order;
	struct jsel *sel, *ns_sel, *sa_sel;
	bool in, out; /* as written in types; neither: not written */
	struct jrule rule_in[J_RULES], rule_out[J_RULES];
	int n_in, n_out;
	bool untracked, pre_dnat, forward;
	bool broken; /* something in it cannot be read */
	struct jk8s_sel pods;
	struct jk8s_rule k8s_in[J_RULES], k8s_out[J_RULES];
};

struct jendpoint {
	bool exists, host, nets; /* neither host nor nets: a pod */
	char name[16];
	int ns;	     /* pods, network sets; -1: global */
	int account; /* of pods; -1: none */
	bool here;
	char interface[16]; /* "": none */
	struct jlabels labels;
	struct prefix net[4];
	int n_net;
	struct {
		char name[8];
		int proto;
		uint16_t port;
	} port[2];
	int n_port;
	int profile[J_PROFILES]; /* of hosts; -1: none, J_PROFILES: one that does not exist */
};

struct jnamespace {
	bool exists;
	struct jlabels labels;
	struct {
		bool exists;
		struct jlabels labels;
	} account[J_ACCOUNTS];
};

struct jprofile {
	bool exists;
	struct jlabels labels;
	struct jrule in[2], out[2];
	int n_in, n_out;
};

struct jtier {
	bool exists;
	char name[16];
	bool has_order;
	int order;
	bool pass;
};

struct jservice {
	struct prefix addr[2];
	int n_addr;
	int proto;
	uint16_t port;
	bool exists;
};

struct jworld {
	struct jnamespace ns[J_NAMESPACES];
	struct jendpoint pod[J_PODS], host[J_HOSTS], set[J_NETSETS];
	struct jtier tier[J_TIERS];
	struct jpolicy policy[J_POLICIES];
	struct jprofile profile[J_PROFILES];
	struct jservice service[J_SERVICES];
	struct jsel node[J_NODES];
	int n_node;
};

struct jpacket {
	struct addr src, dst;
	int proto;
	uint16_t sport, dport;
	int icmp_type, icmp_code;
};

enum jverdict { J_ACCEPTED, J_DROPPED, J_UNDECIDED };

enum jclass { J_NORMAL, J_FORWARD, J_UNTRACKED, J_PREDNAT };

/* The verdict of one endpoint (pod or host) in one direction; failsafes are not looked at. */
enum jverdict judge(const struct jworld *w, const struct jendpoint *ep, bool ingress,
		    enum jclass class, const struct jpacket *p);
/* The host endpoint of an interface; NULL. */
const struct jendpoint *judge_host(const struct jworld *w, const char *interface,
				   const struct addr *addrs, int n);
