/* bgp_config.c - which sessions this node has
 * SPEC   Calico's confd (client.go, bgp_processor.go), rules as in bgp_config.h.
 * COST   nodes x BGPPeers selector matches; 5 000 nodes and ten peers are 50 000, some 5 ms.
 * TESTS  tests/unit/agent/bgp/bgp_config.c */
#include "agent/bgp/bgp_config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>
#include <uthash.h>

#include "model/selector.h"

static_assert(BGP_NEXT_HOP_AUTO == 0 && BGP_NEXT_HOP_SELF == 1 && BGP_NEXT_HOP_KEEP == 2,
	      "bgp_world.h counts the same way");

/* One address and port can have one session: who named it first. */
struct seen {
	struct {
		struct addr addr;
		uint32_t ifindex;
		uint16_t port, pad_;
	} key;
	UT_hash_handle hh;
};

struct builder {
	const struct bgp_world *w;
	const struct bgp_node *self;
	bgp_secret_fn *secret;
	void *arg;
	struct bgp_peer_configs *out;
	struct str *remarks;
	struct seen *seen;
};

static struct addr node_addr(const struct bgp_node *n, enum ip_family family)
{
	return family == IP_V6 ? n->v6.addr : n->v4.addr;
}

static bool is_self(const struct builder *b, const struct addr *a)
{
	return addr_eq(a, &b->self->v4.addr) || addr_eq(a, &b->self->v6.addr);
}

/* Does this node match a NAME-or-selector-or-everything side? */
static bool side_has(const char *name, const struct selector *sel, const struct bgp_node *n)
{
	if (sel)
		return selector_match_json(sel, n->labels);
	return !name || strcmp(name, n->name) == 0;
}

bool bgp_config_is_for(const struct bgp_peer_spec *p, const struct bgp_node *n)
{
	return side_has(p->node, p->node_selector, n);
}

/* "10.0.0.9" sorts after "10.0.0.10": both ends must compare the text, or both wait. */
static bool sorts_after(const struct addr *peer, const struct addr *own)
{
	char a[ADDR_STR_MAX], b[ADDR_STR_MAX];

	return strcmp(addr_format(peer, a), addr_format(own, b)) > 0;
}

static void set_name(struct bgp_peer_config *c, uint16_t port)
{
	static const char *const kind[] = {
		[BGP_PEER_MESH] = "Mesh",
		[BGP_PEER_GLOBAL] = "Global",
		[BGP_PEER_NODE] = "Node",
		[BGP_PEER_POD] = "Local_Workload",
	};
	char text[ADDR_STR_MAX];
	int n;

	addr_format(&c->addr, text);
	for (char *p = text; *p; p++)
		if (*p == '.' || *p == ':')
			*p = '_';
	n = snprintf(c->name, sizeof(c->name), "%s_%s", kind[c->kind], text);
	if (port)
		snprintf(c->name + n, sizeof(c->name) - (size_t)n, "_port_%u", port);
}

/* What every session has. */
static struct bgp_peer_config base(const struct builder *b, enum bgp_peer_kind kind,
				   const struct addr *addr, uint16_t port)
{
	enum ip_family family = (enum ip_family)addr->family;
	struct bgp_peer_config c = {
		.kind = kind,
		.addr = *addr,
		.port = port ? port : BGP_PORT,
		.source = node_addr(b->self, family),
		.families = 1u << bgp_af_of(family),
		.hold_s = BGP_CONFIG_HOLD_S,
		.gr_restart_s = BGP_CONFIG_RESTART_S,
		/* as Calico's BIRD offers them; and RFC 8654 */
		.add_path = true,
		.enhanced_refresh = true,
		.long_lived = true,
		.extended_message = true,
	};

	return c;
}

static void take_secret(const struct builder *b, const char *who, const char *name, const char *key,
			struct bgp_peer_config *c)
{
	if (!name || !key || b->secret(b->arg, name, key, c->password))
		return;
	str_addf(b->remarks,
		 "%s: there is no secret %s with key %s of 1 to 80 bytes; the session has no "
		 "password\n",
		 who, name, key);
}

/* RFC 4456 as Calico reads it. peer NULL: not known as a node. */
static void set_reflection(const struct builder *b, const struct bgp_node *peer,
			   struct bgp_peer_config *c)
{
	asn_t local = c->local_as ? c->local_as : bgp_world_as(b->w, b->self);

	if (!b->self->cluster_id || c->remote_as != local)
		return;
	c->rr_same_cluster = peer && peer->cluster_id == b->self->cluster_id;
	c->rr_client = !c->rr_same_cluster;
}

static void apply_knobs(const struct bgp_knobs *k, struct bgp_peer_config *c)
{
	if (k->has_hold)
		c->hold_s = k->hold_s;
	c->prefix_limit = k->prefix_limit;
	c->prefix_limit_restart_s = k->prefix_limit_restart_s;
	c->long_lived_s = k->long_lived_s;
	c->own_only = k->own_only;
}

/* Append, unless the address and port have a session already or are our own. */
static void emit(struct builder *b, const struct bgp_peer_config *c,
		 const struct bgp_peer_extra *extra)
{
	struct seen *s = xcalloc(1, sizeof(*s)), *old;

	s->key.addr = c->addr;
	s->key.ifindex = c->ifindex;
	s->key.port = c->port;
	HASH_FIND(hh, b->seen, &s->key, sizeof(s->key), old);
	if (old || is_self(b, &c->addr)) {
		free(s);
		return;
	}
	HASH_ADD(hh, b->seen, key, sizeof(s->key), s);
	vec_push(b->out, *c);
	vec_push(&b->out->extra, *extra);
}

/* ---- BGPPeers ---- */

/* What a BGPPeer says of the session, whichever end it is. */
static void apply_spec(const struct builder *b, const struct bgp_peer_spec *p,
		       struct bgp_peer_config *c)
{
	char who[300];

	c->next_hop_mode = (enum bgp_next_hop_mode)p->next_hop_mode;
	c->keep_original_next_hop = p->keep_original_next_hop;
	c->ttl_security = p->ttl_security;
	c->keepalive_s = p->keepalive_s;
	if (p->has_restart)
		c->gr_restart_s = p->restart_s;
	/* the set is there when the BGPPeer names filters: bgp_policy.h */
	str_copy(c->filters, sizeof(c->filters), p->name);
	if (p->source_none)
		c->source = (struct addr) { .family = IP_NONE };
	apply_knobs(&p->knobs, c);
	c->any_first_as = p->knobs.any_first_as;
	c->accept_as_sets = p->knobs.accept_as_sets;
	c->role = p->knobs.role;
	c->role_strict = p->knobs.role_strict;
	if (p->workload_selector)
		return;
	snprintf(who, sizeof(who), "BGPPeer %s", p->name);
	take_secret(b, who, p->secret_name, p->secret_key, c);
}

/* What the other end of a session is. */
static enum bgp_role other_role(enum bgp_role role)
{
	static const enum bgp_role other[BGP_ROLE_MAX_] = {
		[BGP_ROLE_PROVIDER] = BGP_ROLE_CUSTOMER, [BGP_ROLE_CUSTOMER] = BGP_ROLE_PROVIDER,
		[BGP_ROLE_RS] = BGP_ROLE_RS_CLIENT,	 [BGP_ROLE_RS_CLIENT] = BGP_ROLE_RS,
		[BGP_ROLE_PEER] = BGP_ROLE_PEER,
	};

	return other[role];
}

/* A session with another node, one per family that both have. reverse: we are the remote side. */
static void emit_node(struct builder *b, const struct bgp_peer_spec *p, enum bgp_peer_kind kind,
		      const struct bgp_node *peer, unsigned families, bool reverse)
{
	static const enum ip_family all[] = { IP_V4, IP_V6 };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct addr addr = node_addr(peer, all[i]), own = node_addr(b->self, all[i]);
		struct bgp_peer_config c;

		if (addr.family == IP_NONE || own.family == IP_NONE ||
		    !(families & 1u << bgp_af_of(all[i])))
			continue;
		c = base(b, kind, &addr, peer->listen_port);
		c.remote_as = bgp_world_as(b->w, peer);
		/* Calico does not carry these two to the reverse side. */
		c.local_as = reverse ? 0 : p->local_as;
		c.allowed_local_as = reverse ? 0 : p->allowed_local_as;
		apply_spec(b, p, &c);
		if (reverse)
			c.role = other_role(c.role);
		set_reflection(b, peer, &c);
		set_name(&c, peer->listen_port);
		emit(b, &c, &(struct bgp_peer_extra) { .bfd = p->knobs.bfd });
	}
}

/* The node that has this address, speaks this AS, and listens there. */
static const struct bgp_node *node_at(const struct builder *b, const struct bgp_peer_spec *p)
{
	for (size_t i = 0; i < b->w->nodes.n; i++) {
		const struct bgp_node *n = &b->w->nodes.p[i];
		uint16_t port = n->listen_port ? n->listen_port : BGP_PORT;

		if ((addr_eq(&p->ip, &n->v4.addr) || addr_eq(&p->ip, &n->v6.addr)) &&
		    bgp_world_as(b->w, n) == p->as && (!p->port || p->port == port))
			return n;
	}
	return NULL;
}

static void emit_ip(struct builder *b, const struct bgp_peer_spec *p, enum bgp_peer_kind kind)
{
	const struct bgp_node *peer = node_at(b, p);
	uint16_t port = p->port ? p->port : peer ? peer->listen_port : 0;
	struct addr own = node_addr(b->self, (enum ip_family)p->ip.family);
	struct bgp_peer_config c;

	if (own.family == IP_NONE)
		return;
	if (!p->as) {
		str_addf(b->remarks, "BGPPeer %s: asNumber is missing, peerIP needs it; left out\n",
			 p->name);
		return;
	}
	c = base(b, kind, &p->ip, port);
	c.remote_as = p->as;
	c.local_as = p->local_as;
	c.allowed_local_as = p->allowed_local_as;
	apply_spec(b, p, &c);
	c.passive = kind == BGP_PEER_GLOBAL && peer && sorts_after(&p->ip, &own);
	/* The cluster of a peer that is given by address is not known: a client. */
	set_reflection(b, NULL, &c);
	set_name(&c, port);
	emit(b, &c,
	     &(struct bgp_peer_extra) { .bfd = p->knobs.bfd, .reachable_by = p->reachable_by });
}

/* Whoever is on the links that the BGPPeer names: both families over one session, between link-local
 * addresses. DIFFERS: not in Calico. */
static void emit_links(struct builder *b, const struct bgp_peer_spec *p, enum bgp_peer_kind kind)
{
	b->out->on_links = true;
	for (size_t i = 0; i < b->w->links.n; i++) {
		const struct unnumbered_link *l = &b->w->links.p[i];
		struct bgp_peer_config c;

		if (!bgp_knobs_has_interface(p->knobs.interfaces, l->ifname))
			continue;
		c = base(b, kind, &l->neighbour, p->port);
		c.ifindex = l->ifindex;
		str_copy(c.ifname, sizeof(c.ifname), l->ifname);
		c.families = 1u << BGP_AF_IPV4_UNICAST | 1u << BGP_AF_IPV6_UNICAST;
		c.ext_next_hop = true;
		c.local_as = p->local_as;
		c.remote_as = p->knobs.remote_as ? p->knobs.remote_as : p->as;
		if (p->knobs.internal)
			c.remote_as = c.local_as ? c.local_as : bgp_world_as(b->w, b->self);
		c.allowed_local_as = p->allowed_local_as;
		apply_spec(b, p, &c);
		c.source = (struct addr) { .family = IP_NONE };
		set_reflection(b, NULL, &c);
		set_name(&c, 0);
		emit(b, &c, &(struct bgp_peer_extra) { .bfd = p->knobs.bfd });
	}
}

/* Pods of this node: they dial, from whatever they run on, without a password. */
static void emit_pods(struct builder *b, const struct bgp_peer_spec *p)
{
	for (size_t i = 0; i < b->w->pods.n; i++) {
		const struct bgp_world_pod *pod = &b->w->pods.p[i];
		struct bgp_peer_extra extra = { .bfd = p->knobs.bfd };
		struct bgp_peer_config c;

		if (!selector_match_json(p->workload_selector, pod->labels))
			continue;
		c = base(b, BGP_PEER_POD, &pod->addr, 0);
		c.remote_as = p->as;
		c.local_as = p->local_as;
		c.allowed_local_as = p->allowed_local_as;
		apply_spec(b, p, &c);
		c.passive = true;
		c.gr_restart_s = BGP_CONFIG_RESTART_S;
		c.source = (struct addr) { .family = IP_NONE };
		set_reflection(b, NULL, &c);
		set_name(&c, 0);
		str_copy(extra.pod, sizeof(extra.pod), pod->ifname);
		emit(b, &c, &extra);
	}
}

static void forward(struct builder *b, const struct bgp_peer_spec *p, enum bgp_peer_kind kind)
{
	if (!side_has(p->node, p->node_selector, b->self))
		return;
	if (p->knobs.interfaces) {
		emit_links(b, p, kind);
		return;
	}
	if (p->workload_selector) {
		emit_pods(b, p);
		return;
	}
	if (!p->peer_selector) {
		if (p->ip.family != IP_NONE)
			emit_ip(b, p, kind);
		return;
	}
	for (size_t i = 0; i < b->w->nodes.n; i++) {
		const struct bgp_node *n = &b->w->nodes.p[i];

		if (n != b->self && selector_match_json(p->peer_selector, n->labels))
			emit_node(b, p, kind, n, ~0u, false);
	}
}

/* We are on the remote side of this BGPPeer: sessions back to all of its local side. */
static void reverse(struct builder *b, const struct bgp_peer_spec *p)
{
	unsigned families = ~0u;

	if (p->reverse_manual || p->knobs.interfaces || p->workload_selector)
		return;
	if (p->peer_selector) {
		if (!selector_match_json(p->peer_selector, b->self->labels))
			return;
	} else {
		if (p->ip.family == IP_NONE || node_at(b, p) != b->self)
			return;
		families = 1u << bgp_af_of((enum ip_family)p->ip.family);
	}
	for (size_t i = 0; i < b->w->nodes.n; i++) {
		const struct bgp_node *n = &b->w->nodes.p[i];

		if (n != b->self && side_has(p->node, p->node_selector, n))
			emit_node(b, p, BGP_PEER_NODE, n, families, true);
	}
}

static bool is_global(const struct bgp_peer_spec *p)
{
	return !p->node && !p->node_selector;
}

static void bgp_peers(struct builder *b)
{
	for (size_t i = 0; i < b->w->peers.n; i++)
		if (is_global(&b->w->peers.p[i]))
			forward(b, &b->w->peers.p[i], BGP_PEER_GLOBAL);
	for (size_t i = 0; i < b->w->peers.n; i++)
		if (!is_global(&b->w->peers.p[i]))
			forward(b, &b->w->peers.p[i], BGP_PEER_NODE);
	for (size_t i = 0; i < b->w->peers.n; i++)
		reverse(b, &b->w->peers.p[i]);
}

/* ---- mesh ---- */

static void mesh_with(struct builder *b, const struct bgp_node *n, enum ip_family family,
		      const char *password)
{
	struct addr addr = node_addr(n, family), own = node_addr(b->self, family);
	struct bgp_peer_config c;

	if (addr.family == IP_NONE || own.family == IP_NONE)
		return;
	c = base(b, BGP_PEER_MESH, &addr, n->listen_port);
	c.remote_as = bgp_world_as(b->w, n);
	c.passive = sorts_after(&addr, &own);
	if (b->w->defaults.has_mesh_restart)
		c.gr_restart_s = b->w->defaults.mesh_restart_s;
	apply_knobs(&b->w->defaults.knobs, &c);
	str_copy(c.password, sizeof(c.password), password);
	set_name(&c, 0);
	emit(b, &c, &(struct bgp_peer_extra) { .bfd = b->w->defaults.knobs.bfd });
}

static void mesh(struct builder *b)
{
	struct bgp_peer_config secret = { 0 };

	if (!b->w->defaults.mesh || b->self->cluster_id)
		return;
	take_secret(b, "BGPConfiguration default", b->w->defaults.secret_name,
		    b->w->defaults.secret_key, &secret);
	for (size_t i = 0; i < b->w->nodes.n; i++) {
		const struct bgp_node *n = &b->w->nodes.p[i];

		if (n == b->self || n->cluster_id)
			continue;
		mesh_with(b, n, IP_V4, secret.password);
		mesh_with(b, n, IP_V6, secret.password);
	}
}

void bgp_config_peers(const struct bgp_world *w, const char *self, bgp_secret_fn *secret, void *arg,
		      struct bgp_peer_configs *out, struct str *remarks)
{
	struct builder b = { w, bgp_world_node(w, self), secret, arg, out, remarks, NULL };
	struct seen *s, *next;

	if (!b.self)
		return;
	bgp_peers(&b);
	mesh(&b);
	HASH_ITER (hh, b.seen, s, next) {
		HASH_DEL(b.seen, s);
		free(s);
	}
}

/* ---- the rest ---- */

void bgp_peer_configs_clear(struct bgp_peer_configs *c)
{
	vec_clear(c);
	vec_clear(&c->extra);
	c->on_links = false;
}

const struct bgp_peer_config *bgp_peer_configs_find(const struct bgp_peer_configs *c,
						    const struct addr *a, uint32_t ifindex)
{
	for (size_t i = 0; i < c->n; i++)
		if (addr_eq(&c->p[i].addr, a) && c->p[i].ifindex == ifindex)
			return &c->p[i];
	return NULL;
}

void bgp_peer_configs_done(struct bgp_peer_configs *c)
{
	if (c->p)
		explicit_bzero(c->p, c->cap * sizeof(*c->p));
	vec_done(c);
	vec_done(&c->extra);
}

uint32_t bgp_config_router_id(const char *how, const struct bgp_node *self)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	struct addr a;

	if (strcmp(how, "hash") == 0) {
		SHA256((const uint8_t *)self->name, strlen(self->name), sum);
		if (sum[0] > 223)
			sum[0] = (uint8_t)(sum[0] - 32);
		a = addr_from_bytes(sum, 4);
		return addr_to_v4(&a);
	}
	if (addr_parse(how, &a) && a.family == IP_V4)
		return addr_to_v4(&a);
	return self->v4.addr.family == IP_V4 ? addr_to_v4(&self->v4.addr) : 0;
}
