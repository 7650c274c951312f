/* bgp_config.c - which sessions a node has, rule by rule */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/bgp/bgp_config.h"
#include "model/selector.h"

/* A world in text, one word list per line:
 *	node NAME v4=CIDR v6=CIDR as=N cluster=ID port=N label=KEY:VALUE
 *	pod INTERFACE ADDRESS LABEL
 *	peer NAME node=.. nodesel=.. ip=.. port=.. peersel=.. podsel=.. as=.. localas=.. nh=N old manual
 *		nosource ttl=N secret=NAME restart=S allow=N hold=S limit=N limitrestart=S longlived=S own
 *	mesh off	as N	meshsecret NAME	meshrestart S	meshknobs hold=S ... */
static char *word(char **rest)
{
	char *w = strsep(rest, " ");

	while (w && !*w)
		w = strsep(rest, " ");
	return w;
}

static struct prefix cidr(const char *text)
{
	struct prefix p;

	assert_true(prefix_parse_or_addr(text, &p));
	return p;
}

static struct selector *sel(const char *label)
{
	CLEANUP(freep) char *text = xasprintf("has(%s)", label);
	struct selector *s = NULL;

	assert_int_equal(selector_parse(text, &s, NULL), 0);
	return s;
}

static void add_node(struct bgp_world *w, char *rest)
{
	struct bgp_node n = { .name = xstrdup(word(&rest)), .labels = json_object() };
	char *k;

	while ((k = word(&rest))) {
		char *v = strchr(k, '=');

		assert_non_null(v);
		*v++ = '\0';
		if (strcmp(k, "v4") == 0)
			n.v4 = cidr(v);
		else if (strcmp(k, "v6") == 0)
			n.v6 = cidr(v);
		else if (strcmp(k, "as") == 0)
			n.as = (asn_t)atoi(v);
		else if (strcmp(k, "cluster") == 0)
			n.cluster_id = (uint32_t)atoi(v);
		else if (strcmp(k, "port") == 0)
			n.listen_port = (uint16_t)atoi(v);
		else if (strcmp(k, "label") == 0)
			json_object_set_new(n.labels, v, json_string("yes"));
		else
			fail_msg("node key %s", k);
	}
	vec_push(&w->nodes, n);
}

/* One of the annotations' fields; false: it is none. */
static bool add_knob(struct bgp_knobs *k, const char *name, const char *value)
{
	uint32_t n = value ? (uint32_t)atoi(value) : 0;

	if (strcmp(name, "hold") == 0) {
		k->has_hold = true;
		k->hold_s = (uint16_t)n;
	} else if (strcmp(name, "limit") == 0) {
		k->prefix_limit = n;
	} else if (strcmp(name, "limitrestart") == 0) {
		k->prefix_limit_restart_s = n;
	} else if (strcmp(name, "longlived") == 0) {
		k->long_lived_s = n;
	} else if (strcmp(name, "own") == 0) {
		k->own_only = true;
	} else if (strcmp(name, "anyfirst") == 0) {
		k->any_first_as = true;
	} else if (strcmp(name, "sets") == 0) {
		k->accept_as_sets = true;
	} else if (strcmp(name, "role") == 0) {
		k->role = (enum bgp_role)n;
		k->role_strict = true;
	} else {
		return false;
	}
	return true;
}

static void add_peer(struct bgp_world *w, char *rest)
{
	struct bgp_peer_spec p = { .name = xstrdup(word(&rest)) };
	char *k;

	while ((k = word(&rest))) {
		char *v = strchr(k, '=');

		if (v)
			*v++ = '\0';
		if (strcmp(k, "node") == 0)
			p.node = xstrdup(v);
		else if (strcmp(k, "nodesel") == 0)
			p.node_selector = sel(v);
		else if (strcmp(k, "ip") == 0)
			p.ip = cidr(v).addr;
		else if (strcmp(k, "port") == 0)
			p.port = (uint16_t)atoi(v);
		else if (strcmp(k, "peersel") == 0)
			p.peer_selector = sel(v);
		else if (strcmp(k, "podsel") == 0)
			p.workload_selector = sel(v);
		else if (strcmp(k, "as") == 0)
			p.as = (asn_t)atoi(v);
		else if (strcmp(k, "localas") == 0)
			p.local_as = (asn_t)atoi(v);
		else if (strcmp(k, "nh") == 0)
			p.next_hop_mode = atoi(v);
		else if (strcmp(k, "ttl") == 0)
			p.ttl_security = (uint8_t)atoi(v);
		else if (strcmp(k, "allow") == 0)
			p.allowed_local_as = (uint8_t)atoi(v);
		else if (strcmp(k, "restart") == 0) {
			p.has_restart = true;
			p.restart_s = (uint16_t)atoi(v);
		} else if (strcmp(k, "secret") == 0) {
			p.secret_name = xstrdup(v);
			p.secret_key = xstrdup("password");
		} else if (strcmp(k, "old") == 0)
			p.keep_original_next_hop = true;
		else if (strcmp(k, "manual") == 0)
			p.reverse_manual = true;
		else if (strcmp(k, "nosource") == 0)
			p.source_none = true;
		else if (!add_knob(&p.knobs, k, v))
			fail_msg("peer key %s", k);
	}
	vec_push(&w->peers, p);
}

static void add_pod(struct bgp_world *w, char *rest)
{
	struct bgp_world_pod pod = { .labels = json_object() };

	str_copy(pod.ifname, sizeof(pod.ifname), word(&rest));
	pod.addr = cidr(word(&rest)).addr;
	json_object_set_new(pod.labels, word(&rest), json_string("yes"));
	vec_push(&w->pods, pod);
}

static void build(struct bgp_world *w, const char *text)
{
	CLEANUP(freep) char *copy = xstrdup(text);
	char *lines = copy, *line;

	w->defaults.mesh = true;
	while ((line = strsep(&lines, "\n"))) {
		char *what = word(&line);

		if (!what)
			continue;
		if (strcmp(what, "node") == 0)
			add_node(w, line);
		else if (strcmp(what, "peer") == 0)
			add_peer(w, line);
		else if (strcmp(what, "pod") == 0)
			add_pod(w, line);
		else if (strcmp(what, "mesh") == 0)
			w->defaults.mesh = false;
		else if (strcmp(what, "as") == 0)
			w->defaults.as = (asn_t)atoi(line);
		else if (strcmp(what, "meshrestart") == 0) {
			w->defaults.has_mesh_restart = true;
			w->defaults.mesh_restart_s = (uint16_t)atoi(line);
		} else if (strcmp(what, "meshknobs") == 0) {
			char *k;

			while ((k = word(&line))) {
				char *v = strchr(k, '=');

				if (v)
					*v++ = '\0';
				assert_true(add_knob(&w->defaults.knobs, k, v));
			}
		} else if (strcmp(what, "meshsecret") == 0) {
			w->defaults.secret_name = xstrdup(line);
			w->defaults.secret_key = xstrdup("password");
		} else
			fail_msg("line %s", what);
	}
}

/* Secrets are their own name, but for "none". */
static bool secret(void *arg, const char *name, const char *key, char out[static 81])
{
	if (strcmp(name, "none") == 0)
		return false;
	str_copy(out, 81, name);
	return true;
}

/* A session as text: NAME AS, and only what differs from the ordinary. */
static void show(const struct bgp_peer_config *c, struct str *out)
{
	char a[ADDR_STR_MAX];

	str_addf(out, "%s as %u", c->name, c->remote_as);
	if (c->port != BGP_PORT)
		str_addf(out, " port %u", c->port);
	if (c->passive)
		str_add(out, " passive");
	if (c->rr_client)
		str_add(out, " client");
	if (c->rr_same_cluster)
		str_add(out, " same-cluster");
	if (c->local_as)
		str_addf(out, " local-as %u", c->local_as);
	if (c->allowed_local_as)
		str_addf(out, " allow %u", c->allowed_local_as);
	if (c->next_hop_mode)
		str_addf(out, " nh %u", (unsigned)c->next_hop_mode);
	if (c->keep_original_next_hop)
		str_add(out, " keep");
	if (c->ttl_security)
		str_addf(out, " ttl %u", c->ttl_security);
	if (c->password[0])
		str_addf(out, " key %s", c->password);
	if (c->gr_restart_s != 120)
		str_addf(out, " restart %u", c->gr_restart_s);
	if (c->source.family == IP_NONE)
		str_add(out, " any-source");
	if (c->families != 1u << bgp_af_of((enum ip_family)c->addr.family))
		str_addf(out, " families %x of %s", c->families, addr_format(&c->addr, a));
	if (c->hold_s != 240)
		str_addf(out, " hold %u", c->hold_s);
	if (c->prefix_limit || c->prefix_limit_restart_s)
		str_addf(out, " limit %u rest %u", c->prefix_limit, c->prefix_limit_restart_s);
	if (c->long_lived_s)
		str_addf(out, " long-lived %u", c->long_lived_s);
	if (c->own_only)
		str_add(out, " own-only");
	if (c->any_first_as)
		str_add(out, " any-first-as");
	if (c->accept_as_sets)
		str_add(out, " as-sets");
	if (c->role)
		str_addf(out, " %s%s", bgp_role_name(c->role), c->role_strict ? "!" : "");
	str_add(out, "\n");
}

#define THREE                                \
	"node a v4=10.0.0.9/24 label=rack\n" \
	"node b v4=10.0.0.10/24 label=tor\n" \
	"node c v4=10.0.0.11/24 label=rack\n"

static const struct {
	const char *name, *world, *self, *want, *remark;
} cases[] = {
	{ "mesh; the side whose text is greater waits: 10 sorts before 9", THREE, "a",
	  "Mesh_10_0_0_10 as 64512\n"
	  "Mesh_10_0_0_11 as 64512\n",
	  "" },
	{ "the other end of it dials nobody that dials it", THREE, "b",
	  "Mesh_10_0_0_9 as 64512 passive\n"
	  "Mesh_10_0_0_11 as 64512 passive\n",
	  "" },
	{ "a node that is not there has no sessions", THREE, "x", "", "" },
	{ "what annotations say, of a BGPPeer and of the mesh",
	  THREE "meshknobs hold=9 limit=7\n"
		"peer p ip=10.0.0.1 as=65001 hold=30 limit=100 limitrestart=60 longlived=3600 own",
	  "a",
	  "Global_10_0_0_1 as 65001 hold 30 limit 100 rest 60 long-lived 3600 own-only\n"
	  "Mesh_10_0_0_10 as 64512 hold 9 limit 7 rest 0\n"
	  "Mesh_10_0_0_11 as 64512 hold 9 limit 7 rest 0\n",
	  "" },
	{ "what a session asks of paths",
	  "mesh off\n" THREE "peer p ip=10.0.0.1 as=65001 anyfirst sets role=4", "a",
	  "Global_10_0_0_1 as 65001 any-first-as as-sets customer!\n", "" },
	{ "what the mesh does not ask of them", THREE "meshknobs anyfirst sets role=4", "a",
	  "Mesh_10_0_0_10 as 64512\nMesh_10_0_0_11 as 64512\n", "" },
	{ "of two nodes one is the provider", "mesh off\n" THREE "peer p node=a peersel=tor role=4", "b",
	  "Node_10_0_0_9 as 64512 provider!\n", "" },
	{ "mesh off", THREE "mesh off", "a", "", "" },
	{ "a reflector has no mesh", THREE "node r v4=10.0.0.1/24 cluster=1", "r", "", "" },
	{ "and is not in that of others", THREE "node r v4=10.0.0.1/24 cluster=1", "a",
	  "Mesh_10_0_0_10 as 64512\nMesh_10_0_0_11 as 64512\n", "" },
	{ "AS of the cluster", THREE "as 65000", "a",
	  "Mesh_10_0_0_10 as 65000\nMesh_10_0_0_11 as 65000\n", "" },
	{ "AS and port of the other node, and mesh as eBGP",
	  "node a v4=10.0.0.1/24 as=65001\nnode b v4=10.0.0.2/24 as=65002 port=1179", "a",
	  "Mesh_10_0_0_2 as 65002 port 1179 passive\n", "" },
	{ "a session for each family that both have",
	  "node a v4=10.0.0.1/24 v6=fd00::1/64\nnode b v4=10.0.0.2/24 v6=fd00::2/64\n"
	  "node c v6=fd00::3/64",
	  "a",
	  "Mesh_10_0_0_2 as 64512 passive\nMesh_fd00__2 as 64512 passive\n"
	  "Mesh_fd00__3 as 64512 passive\n",
	  "" },
	{ "a node without addresses has no sessions and is in nobody's",
	  "node a\nnode b v4=10.0.0.2/24", "a", "", "" },
	{ "password and restart time of the mesh", THREE "meshsecret s3\nmeshrestart 30", "a",
	  "Mesh_10_0_0_10 as 64512 key s3 restart 30\nMesh_10_0_0_11 as 64512 key s3 restart 30\n",
	  "" },
	{ "a secret that is not there", THREE "meshsecret none", "a",
	  "Mesh_10_0_0_10 as 64512\nMesh_10_0_0_11 as 64512\n",
	  "BGPConfiguration default: there is no secret none" },

	{ "a global peer", "node a v4=10.0.0.1/24\npeer t ip=10.0.0.254 as=65001", "a",
	  "Global_10_0_0_254 as 65001\n", "" },
	{ "a peer of one node", "node a v4=10.0.0.1/24\npeer t node=a ip=10.0.0.254 as=65001", "a",
	  "Node_10_0_0_254 as 65001\n", "" },
	{ "a peer of another node", "node a v4=10.0.0.1/24\npeer t node=b ip=10.0.0.254 as=65001",
	  "a", "", "" },
	{ "a peer of nodes by selector",
	  "mesh off\n" THREE "peer t nodesel=rack ip=10.0.0.254 as=65001", "a",
	  "Node_10_0_0_254 as 65001\n", "" },
	{ "a peer whose selector is for others",
	  "mesh off\n" THREE "peer t nodesel=rack ip=10.0.0.254 as=65001", "b", "", "" },
	{ "a port in the peer's address is in its name",
	  "node a v4=10.0.0.1/24\npeer t ip=10.0.0.254 port=1790 as=65001", "a",
	  "Global_10_0_0_254_port_1790 as 65001 port 1790\n", "" },
	{ "IPv6", "node a v4=10.0.0.1/24 v6=fd00::1/64\npeer t ip=fd00::fe as=65001", "a",
	  "Global_fd00__fe as 65001\n", "" },
	{ "a peer of a family that we do not have",
	  "node a v4=10.0.0.1/24\npeer t ip=fd00::fe as=1", "a", "", "" },
	{ "ourselves", "node a v4=10.0.0.1/24\npeer t ip=10.0.0.1 as=64512", "a", "", "" },
	{ "no AS number", "node a v4=10.0.0.1/24\npeer t ip=10.0.0.254", "a", "",
	  "BGPPeer t: asNumber is missing" },
	{ "everything that a peer can say",
	  "node a v4=10.0.0.1/24\npeer t ip=10.0.0.254 as=65001 localas=64999 allow=2 nh=1 old "
	  "ttl=1 "
	  "secret=s3 restart=60 nosource",
	  "a",
	  "Global_10_0_0_254 as 65001 local-as 64999 allow 2 nh 1 keep ttl 1 key s3 restart 60 "
	  "any-source\n",
	  "" },
	{ "no graceful restart at all",
	  "node a v4=10.0.0.1/24\nnode b v4=10.0.0.2/24\nmeshrestart 0\npeer t ip=10.0.0.254 as=65001 "
	  "restart=0",
	  "a", "Global_10_0_0_254 as 65001 restart 0\nMesh_10_0_0_2 as 64512 passive restart 0\n", "" },
	{ "global before node, and the second is dropped",
	  "node a v4=10.0.0.1/24\npeer a node=a ip=10.0.0.254 as=65009\npeer z ip=10.0.0.254 "
	  "as=65001",
	  "a", "Global_10_0_0_254 as 65001\n", "" },
	{ "another port is another peer",
	  "node a v4=10.0.0.1/24\npeer a node=a ip=10.0.0.254 port=1179 as=65009\n"
	  "peer z ip=10.0.0.254 as=65001",
	  "a", "Global_10_0_0_254 as 65001\nNode_10_0_0_254_port_1179 as 65009 port 1179\n", "" },

	{ "a peer that is a node takes the place of the mesh session; passive, as it is global",
	  "node a v4=10.0.0.1/24\nnode b v4=10.0.0.2/24\npeer t ip=10.0.0.2 as=64512 nh=1", "a",
	  "Global_10_0_0_2 as 64512 passive nh 1\n", "" },
	{ "and its other end is the reverse peering",
	  "node a v4=10.0.0.1/24\nnode b v4=10.0.0.2/24\npeer t ip=10.0.0.2 as=64512 nh=1", "b",
	  "Node_10_0_0_1 as 64512 nh 1\n", "" },
	{ "its AS must be the node's, else it is somebody else there: port and passive do not "
	  "follow",
	  "mesh off\nnode a v4=10.0.0.1/24\nnode b v4=10.0.0.2/24 port=1179\n"
	  "peer t ip=10.0.0.2 as=65009",
	  "a", "Global_10_0_0_2 as 65009\n", "" },
	{ "the port of a node is known",
	  "mesh off\nnode a v4=10.0.0.1/24\n"
	  "node b v4=10.0.0.2/24 port=1179\npeer t ip=10.0.0.2 as=64512",
	  "a", "Global_10_0_0_2_port_1179 as 64512 port 1179 passive\n", "" },
	{ "a node-scoped peer is never passive by text",
	  "mesh off\nnode a v4=10.0.0.1/24\nnode b v4=10.0.0.2/24\npeer t node=a ip=10.0.0.2 "
	  "as=64512",
	  "a", "Node_10_0_0_2 as 64512\n", "" },

	{ "peers by selector: all that match but ourselves, nobody passive",
	  "mesh off\n" THREE "peer t peersel=rack", "a",
	  "Global_10_0_0_11 as 64512\n"
	  "Node_10_0_0_10 as 64512\n",
	  "" },
	{ "of these the other end, in reverse: sessions back to every local side",
	  "mesh off\n" THREE "peer t nodesel=tor peersel=rack", "a", "Node_10_0_0_10 as 64512\n",
	  "" },
	{ "and forward", "mesh off\n" THREE "peer t nodesel=tor peersel=rack", "b",
	  "Node_10_0_0_9 as 64512\nNode_10_0_0_11 as 64512\n", "" },
	{ "a node on neither side",
	  "mesh off\n" THREE "node d v4=10.0.0.12/24\n"
	  "peer t nodesel=tor peersel=rack",
	  "d", "", "" },
	{ "reverse peering by hand", "mesh off\n" THREE "peer t nodesel=tor peersel=rack manual",
	  "a", "", "" },
	{ "reverse peering does not take the local AS along, the rest it does",
	  "mesh off\n" THREE
	  "peer t nodesel=tor peersel=rack localas=65009 allow=3 ttl=2 secret=s3",
	  "a", "Node_10_0_0_10 as 64512 ttl 2 key s3\n", "" },
	{ "reverse of a peer by address: same family only",
	  "mesh off\nnode a v4=10.0.0.1/24 v6=fd00::1/64\nnode b v4=10.0.0.2/24 v6=fd00::2/64\n"
	  "peer t node=b ip=10.0.0.1 as=64512",
	  "a", "Node_10_0_0_2 as 64512\n", "" },
	{ "pods of the node by selector: they dial, without password, restart time or address of ours; "
	  "nobody peers back",
	  "mesh off\n" THREE "pod cali1 10.65.0.2 tor\npod cali1 fd65::2 tor\npod cali2 10.65.0.3 web\n"
	  "peer t nodesel=rack podsel=tor as=65010 localas=64999 secret=s3 restart=5 allow=1 nh=1",
	  "a",
	  "Local_Workload_10_65_0_2 as 65010 passive local-as 64999 allow 1 nh 1 any-source\n"
	  "Local_Workload_fd65__2 as 65010 passive local-as 64999 allow 1 nh 1 any-source\n",
	  "" },
	{ "and only on the nodes that the BGPPeer is for",
	  "mesh off\n" THREE "pod cali1 10.65.0.2 tor\npeer t nodesel=rack podsel=tor as=65010", "b",
	  "", "" },
	{ "a reflector's iBGP pod is a client",
	  "node r v4=10.0.0.1/24 cluster=7\npod cali1 10.65.0.2 tor\npeer t podsel=tor as=64512", "r",
	  "Local_Workload_10_65_0_2 as 64512 passive client any-source\n", "" },
	{ "an explicit forward peering wins over the reverse one",
	  "mesh off\nnode a v4=10.0.0.1/24 label=x\nnode b v4=10.0.0.2/24 label=y\n"
	  "peer p nodesel=x peersel=y ttl=5\npeer q nodesel=y peersel=x ttl=9",
	  "a", "Node_10_0_0_2 as 64512 ttl 5\n", "" },

	{ "a reflector's iBGP peers by selector are clients",
	  "node r v4=10.0.0.1/24 cluster=7 label=rr\nnode b v4=10.0.0.2/24\n"
	  "peer t nodesel=rr peersel=none\npeer u peersel=rr",
	  "r", "Node_10_0_0_2 as 64512 client\n", "" },
	{ "a reflector of the same cluster is a plain peer, one of another a client",
	  "node r v4=10.0.0.1/24 cluster=7 label=rr\nnode s v4=10.0.0.2/24 cluster=7 label=rr\n"
	  "node t v4=10.0.0.3/24 cluster=8 label=rr\npeer p nodesel=rr peersel=rr",
	  "r", "Node_10_0_0_2 as 64512 same-cluster\nNode_10_0_0_3 as 64512 client\n", "" },
	{ "an iBGP peer by address is a client of a reflector, an eBGP one is not",
	  "node r v4=10.0.0.1/24 cluster=7\npeer p ip=10.0.0.8 as=64512\npeer q ip=10.0.0.9 "
	  "as=65001",
	  "r", "Global_10_0_0_8 as 64512 client\nGlobal_10_0_0_9 as 65001\n", "" },
	{ "local AS decides what is iBGP",
	  "node r v4=10.0.0.1/24 cluster=7\npeer q ip=10.0.0.9 as=65001 localas=65001", "r",
	  "Global_10_0_0_9 as 65001 client local-as 65001\n", "" },
	{ "clients of a reflector: the mesh among them stays off only if told so",
	  "mesh off\nnode r v4=10.0.0.1/24 cluster=7 label=rr\nnode b v4=10.0.0.2/24\n"
	  "node c v4=10.0.0.3/24\npeer u peersel=rr",
	  "b", "Global_10_0_0_1 as 64512\n", "" },
};

/* Whoever is on the named links; nobody of Calico's is chosen by the selector, and nobody peers back. */
static void on_links(void **state)
{
	static const struct {
		const char *name, *interfaces;
		asn_t remote_as;
		bool internal;
		size_t n;
		asn_t want_as;
	} rows[] = {
		{ "one link, any AS", "eth1", 0, false, 1, 0 },
		{ "a pattern, ours", "swp*", 0, true, 2, 64512 },
		{ "a number", "eth1,swp*", 65001, false, 3, 65001 },
		{ "none of them", "eth9", 0, false, 0, 0 },
	};
	static const struct {
		const char *ifname, *addr;
	} links[] = { { "eth1", "fe80::1" }, { "swp1", "fe80::1" }, { "swp2", "fe80::2" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bgp_world w = { 0 };
		struct bgp_peer_configs out = { 0 };
		struct str remarks = { 0 };

		build(&w, "mesh off\nnode a v4=10.0.0.1/32\npeer rack peersel=none");
		w.peers.p[0].knobs.interfaces = xstrdup(rows[i].interfaces);
		w.peers.p[0].knobs.remote_as = rows[i].remote_as;
		w.peers.p[0].knobs.internal = rows[i].internal;
		for (size_t k = 0; k < ARRAY_SIZE(links); k++) {
			struct unnumbered_link l = { .ifindex = (uint32_t)k + 7 };

			str_copy(l.ifname, sizeof(l.ifname), links[k].ifname);
			assert_true(addr_parse(links[k].addr, &l.neighbour));
			vec_push(&w.links, l);
		}
		bgp_config_peers(&w, "a", secret, NULL, &out, &remarks);
		assert_int_equal(remarks.len, 0);
		if (out.n != rows[i].n)
			fail_msg("%s: %zu sessions", rows[i].name, out.n);
		assert_true(out.on_links);
		for (size_t k = 0; k < out.n; k++) {
			assert_int_equal(out.p[k].remote_as, rows[i].want_as);
			assert_int_equal(out.p[k].families, 3);
			assert_true(out.p[k].ext_next_hop && out.p[k].ifindex >= 7);
			assert_int_equal(out.p[k].source.family, IP_NONE);
		}
		str_done(&remarks);
		bgp_peer_configs_done(&out);
		bgp_world_done(&w);
	}
}

static void sessions(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bgp_world w = { 0 };
		struct bgp_peer_configs out = { 0 };
		struct str got = { 0 }, remarks = { 0 };

		build(&w, cases[i].world);
		bgp_config_peers(&w, cases[i].self, secret, NULL, &out, &remarks);
		vec_foreach (&out, c)
			show(c, &got);
		if (strcmp(str_text(&got), cases[i].want) != 0)
			fail_msg("%s:\n--- want\n%s--- got\n%s", cases[i].name, cases[i].want,
				 str_text(&got));
		if (!strstr(str_text(&remarks), cases[i].remark) ||
		    (!cases[i].remark[0] && remarks.len))
			fail_msg("%s: remarks: %s", cases[i].name, str_text(&remarks));
		str_done(&got);
		str_done(&remarks);
		bgp_peer_configs_done(&out);
		bgp_world_done(&w);
	}
}

/* Whoever of two nodes dials, the other waits: for every pair exactly one. */
static void one_side_of_a_mesh_dials(void **state)
{
	struct bgp_world w = { 0 };
	char name[8], other[8];

	build(&w, "");
	for (unsigned i = 0; i < 40; i++) {
		struct bgp_node n = { .v4 = cidr("10.0.0.0/8") };

		snprintf(name, sizeof(name), "n%u", i);
		n.name = xstrdup(name);
		n.v4.addr = addr_add(&n.v4.addr, i * 37 + 1);
		vec_push(&w.nodes, n);
	}
	bool dials[40][40] = { { false } };

	for (unsigned i = 0; i < 40; i++) {
		struct bgp_peer_configs out = { 0 };

		snprintf(name, sizeof(name), "n%u", i);
		bgp_config_peers(&w, name, secret, NULL, &out, NULL);
		assert_int_equal(out.n, 39);
		for (unsigned k = 0; k < 39; k++) {
			unsigned to = k < i ? k : k + 1;

			snprintf(other, sizeof(other), "n%u", to);
			dials[i][to] = !out.p[k].passive;
		}
		bgp_peer_configs_done(&out);
	}
	for (unsigned i = 0; i < 40; i++)
		for (unsigned k = 0; k < i; k++)
			assert_true(dials[i][k] != dials[k][i]);
	bgp_world_done(&w);
}

/* Whose link a pod is behind is for the sockets and the routes; a peer that is none has none. */
static void pods_are_behind_links(void **state)
{
	struct bgp_world w = { 0 };
	struct bgp_peer_configs out = { 0 };
	struct str remarks = { 0 };
	struct addr pod, tor;

	(void)state;
	build(&w, "mesh off\nnode a v4=10.0.0.1/24\npod cali7 10.65.0.2 tor\npeer t podsel=tor as=65010\n"
		  "peer u ip=10.0.0.254 as=65001");
	bgp_config_peers(&w, "a", secret, NULL, &out, &remarks);
	assert_int_equal(out.n, 2);
	assert_string_equal(out.extra.p[0].pod, "cali7");
	assert_string_equal(out.extra.p[1].pod, "");
	assert_true(addr_parse("10.65.0.2", &pod) && addr_parse("10.0.0.254", &tor));
	assert_ptr_equal(bgp_peer_configs_find(&out, &pod, 0), &out.p[0]);
	assert_ptr_equal(bgp_peer_configs_find(&out, &tor, 0), &out.p[1]);
	assert_null(bgp_peer_configs_find(&out, &tor, 3));
	str_done(&remarks);
	bgp_peer_configs_done(&out);
	bgp_world_done(&w);
}

static void router_id(void **state)
{
	char name[] = "host01";
	struct bgp_node n = { .name = name, .v4 = { .addr = addr_v4(0x0a000001), .len = 24 } };
	uint32_t hash;

	assert_int_equal(bgp_config_router_id("", &n), 0x0a000001);
	assert_int_equal(bgp_config_router_id("1.2.3.4", &n), 0x01020304);
	hash = bgp_config_router_id("hash", &n);
	assert_true(hash != 0 && hash >> 24 <= 223);
	n.v4 = (struct prefix) { .len = 0 };
	assert_int_equal(bgp_config_router_id("", &n), 0);
	assert_int_equal(bgp_config_router_id("hash", &n), hash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions),
		cmocka_unit_test(on_links),
		cmocka_unit_test(one_side_of_a_mesh_dials),
		cmocka_unit_test(pods_are_behind_links),
		cmocka_unit_test(router_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
