/* tunnel_addr.c - the addresses of this node's tunnel devices
 *
 *	wanted    assign (what the handle holds already comes first) --> write the Node --> held
 *	            ^    |  it lies in no pool of this kind
 *	            +----+-- release the handle
 *	unwanted  60 s --> clear the Node --> release the handle --> idle
 *
 * One step of one kind is on its way at a time; whatever changes meanwhile is looked at when it is
 * through. A Node that somebody else rewrote is put right again; an address that somebody else gave back
 * (a node that is deleted while it lives) is asked for again, before a pod gets it.
 * TESTS  tests/unit/agent/overlay/tunnel_addr.c, tests/netns/test_encap.py */
#include "agent/overlay/tunnel_addr.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "agent/cache.h"
#include "agent/config.h"
#include "agent/overlay/encap.h"
#include "agent/ensure.h"
#include "agent/cni/ipam_runner.h"
#include "agent/log.h"
#include "lib/json.h"
#include "lib/vec.h"
#include "model/ipamkey.h"
#include "model/key.h"

enum {
	RETRY_S = 5,
	POOLS_MAX = 256, /* of one kind; a cluster has a handful */
};

static const struct {
	const char *handle, *type;
	enum ip_family family;
	enum encap_side_index side;
} kinds[TUNNEL_MAX_] = {
	[TUNNEL_IPIP] = { "ipip-tunnel-addr-", "ipipTunnelAddress", IP_V4, ENCAP_V4 },
	[TUNNEL_VXLAN] = { "vxlan-tunnel-addr-", "vxlanTunnelAddress", IP_V4, ENCAP_V4 },
	[TUNNEL_VXLAN_V6] = { "vxlan-v6-tunnel-addr-", "vxlanV6TunnelAddress", IP_V6, ENCAP_V6 },
};

struct slot {
	struct tunnel_addrs *ta;
	enum tunnel_kind kind;
	char *handle;
	VEC(struct prefix) pools;
	struct addr addr; /* held under the handle, as far as known */
	bool held;	  /* the handle may hold something */
	bool busy, again;
	struct ensure *writing;
	struct event *timer; /* retry, or the end of lingering */
	bool lingers;
	char trouble[300];
};

struct tunnel_addrs {
	struct agent *agent;
	bool started;
	char *node_key;
	struct slot slot[TUNNEL_MAX_];
};

static void work(struct slot *s);

static void later(struct slot *s, int seconds)
{
	const struct timeval tv = { .tv_sec = seconds };

	evtimer_add(s->timer, &tv);
}

/* A step is through. */
static void step_done(struct slot *s)
{
	s->busy = false;
	if (s->again || !s->trouble[0]) {
		s->again = false;
		work(s);
	}
}

/* While it lingers the timer is set already, and later than that. */
static void retry(struct slot *s)
{
	if (!s->lingers)
		later(s, RETRY_S);
}

static void fail(struct slot *s, const char *what, const char *why)
{
	snprintf(s->trouble, sizeof(s->trouble), "%s of %s: %s", what, tunnel_name(s->kind), why);
	log_from(s->handle, LOG_LEVEL_ERROR, "tunnel", "an address is not settled; trying again",
		 "device=%s why=%s in_s=%d", tunnel_name(s->kind), s->trouble, RETRY_S);
	retry(s);
	s->busy = false;
}

static bool in_pools(const struct slot *s, const struct addr *a)
{
	for (size_t i = 0; i < s->pools.n; i++)
		if (prefix_contains(&s->pools.p[i], a))
			return true;
	return false;
}

/* ---- the Node ---- */

static char *change(void *arg, const char *stored)
{
	struct slot *s = arg;
	struct agent *a = s->ta->agent;
	uint8_t mac[6];
	struct tunnel_addr_fields f = { .kind = s->kind, .mac = mac };
	struct err e = { 0 };
	char *out = NULL;

	if (!stored)
		return NULL; /* about to be written: its event comes back here */
	if (s->pools.n)
		f.addr = s->addr;
	encap_mac(a->cfg->node, kinds[s->kind].side, mac);
	if (tunnel_addr_change(a->cfg->node, &f, stored, &out, &e) < 0) {
		str_copy(s->trouble, sizeof(s->trouble), e.msg);
		retry(s);
	}
	return out;
}

static void on_written(void *arg, const char *failed)
{
	struct slot *s = arg;
	char text[ADDR_STR_MAX];

	s->writing = NULL;
	if (failed) {
		fail(s, "writing the address", failed);
		return;
	}
	if (s->pools.n)
		log_info("tunnel", "the tunnel has its address", "device=%s address=%s",
			 tunnel_name(s->kind), addr_format(&s->addr, text));
	step_done(s);
}

/* Does the picture's Node say otherwise? */
static bool node_differs(struct slot *s)
{
	const struct store_kv *kv = cache_get(s->ta->agent->cache, s->ta->node_key);
	CLEANUP(freep) char *fresh = NULL;

	s->trouble[0] = '\0';
	fresh = kv ? change(s, kv->value) : NULL;
	return fresh != NULL;
}

static void write_node(struct slot *s)
{
	s->busy = true;
	s->writing = ensure_new(s->ta->agent, s->ta->node_key, change, on_written, s);
}

/* ---- IPAM ---- */

static void on_released(void *arg, struct ipam_op *op, enum ipam_fail failed, const struct err *e)
{
	struct slot *s = arg;

	if (failed != IPAM_FAIL_NONE) {
		fail(s, "giving back the address", e->msg);
		return;
	}
	s->addr = (struct addr) { 0 };
	s->held = false;
	s->trouble[0] = '\0';
	step_done(s);
}

static void release(struct slot *s)
{
	struct agent *a = s->ta->agent;

	s->busy = true;
	ipam_runner_submit(
		a->ipam,
		ipam_release_handle_op(ipam_runner_world(a->ipam), a->cfg->node, s->handle),
		on_released, s);
}

static void on_assigned(void *arg, struct ipam_op *op, enum ipam_fail failed, const struct err *e)
{
	struct slot *s = arg;
	const struct ipam_addr *got;
	size_t n = 0;

	if (failed != IPAM_FAIL_NONE) {
		fail(s, "the address", e->msg);
		return;
	}
	got = ipam_op_addrs(op, &n);
	assert(n > 0);
	s->addr = got[0].addr;
	s->trouble[0] = '\0';
	step_done(s);
}

static bool is_of_kind(const struct slot *s, const struct ipam_pool *p)
{
	for (size_t i = 0; i < s->pools.n; i++)
		if (prefix_eq(&s->pools.p[i], &p->cidr))
			return true;
	return false;
}

/* Which pools to ask. One that is disabled, or for pods only, would spoil it for the others, and one
 * whose nodeSelector leaves this node out comes last. Are there none but those, all: the allocator
 * says why not. */
static size_t pools_to_ask(const struct slot *s, const struct ipam_world *w,
			   const char *name[static POOLS_MAX])
{
	size_t n = 0;

	for (int pass = 0; pass < 3 && n == 0; pass++)
		for (size_t i = 0; i < w->n_pool && n < POOLS_MAX; i++) {
			const struct ipam_pool *p = &w->pool[i];
			bool may = !p->disabled && p->uses & IPAM_USE_TUNNEL;

			if (is_of_kind(s, p) &&
			    (pass == 2 || (may && (pass == 1 || p->selects_node))))
				name[n++] = p->name;
		}
	return n;
}

static void assign(struct slot *s)
{
	struct agent *a = s->ta->agent;
	const char *name[POOLS_MAX];
	bool v6 = kinds[s->kind].family == IP_V6;
	struct ipam_assign req = {
		.world = *ipam_runner_world(a->ipam),
		.host = a->cfg->node,
		.handle = s->handle,
		.use = IPAM_USE_TUNNEL,
		.want_v4 = !v6,
		.want_v6 = v6,
		.all_or_nothing = true,
		.own_only = true,
	};
	struct ipam_names names = { name, pools_to_ask(s, &req.world, name) };
	CLEANUP(js_freep) json_t *attrs = json_object();

	/* No name at all would mean every pool. */
	if (names.n == 0) {
		fail(s, "the address", "none of its IPPools can be read");
		return;
	}
	*(v6 ? &req.pools_v6 : &req.pools_v4) = names;
	js_set_str(attrs, "node", a->cfg->node);
	js_set_str(attrs, "type", kinds[s->kind].type);
	req.attrs = attrs;
	s->busy = s->held = true;
	ipam_runner_submit(a->ipam, ipam_assign_op(&req), on_assigned, s);
}

/* ---- what to do next ---- */

static void work_wanted(struct slot *s)
{
	/* Also at the start: the handle says what this node has. */
	if (s->addr.family == IP_NONE)
		assign(s);
	else if (!in_pools(s, &s->addr))
		release(s);
	else if (node_differs(s))
		write_node(s);
}

static void work_unwanted(struct slot *s)
{
	if (s->lingers)
		return;
	/* After a restart the Node says whether there is anything to give back. */
	if (node_differs(s)) {
		s->held = true;
		write_node(s);
	} else if (s->held) {
		release(s);
	}
}

static void work(struct slot *s)
{
	if (s->busy) {
		s->again = true;
		return;
	}
	if (!s->ta->started || !cache_synced(s->ta->agent->cache))
		return;
	(s->pools.n ? work_wanted : work_unwanted)(s);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct slot *s = arg;

	s->lingers = false;
	work(s);
}

static void node_changed(void *arg, const struct store_kv *kv)
{
	struct tunnel_addrs *ta = arg;

	for (unsigned k = 0; k < TUNNEL_MAX_; k++)
		if (!ta->slot[k].trouble[0])
			work(&ta->slot[k]);
}

/* Text, not JSON: a wrong guess costs one question, which the handle answers. */
static bool has_handle(const char *block, const char *handle)
{
	CLEANUP(freep) char *quoted = xasprintf("\"%s\"", handle);

	return strstr(block, quoted) != NULL;
}

static void block_changed(void *arg, const struct store_kv *kv)
{
	struct tunnel_addrs *ta = arg;
	struct prefix block;

	if (!kv || !ipamkey_parse_block(kv->key, &block))
		return;
	for (unsigned k = 0; k < TUNNEL_MAX_; k++) {
		struct slot *s = &ta->slot[k];

		/* A life that ended between the Node and the handle left nothing else to see. */
		if (!s->held && kv->value && has_handle(kv->value, s->handle))
			s->held = true;
		if (s->addr.family == IP_NONE || !prefix_contains(&block, &s->addr) ||
		    (kv->value && has_handle(kv->value, s->handle)))
			continue;
		if (!s->busy) /* not as a step of ours */
			log_warn("tunnel", "somebody has given the tunnel's address back",
				 "device=%s block=%s", tunnel_name(s->kind), kv->key);
		s->addr = (struct addr) { 0 };
		work(s);
	}
}

/* ---- interface ---- */

void tunnel_addrs_set(struct tunnel_addrs *ta, enum tunnel_kind k, const struct prefix *pools,
		      size_t n)
{
	struct slot *s = &ta->slot[k];
	bool was = s->pools.n > 0;

	if (n > POOLS_MAX)
		n = POOLS_MAX;
	if (n == s->pools.n && (n == 0 || memcmp(s->pools.p, pools, n * sizeof(*pools)) == 0))
		return;
	vec_clear(&s->pools);
	for (size_t i = 0; i < n; i++)
		vec_push(&s->pools, pools[i]);
	s->trouble[0] = '\0';
	evtimer_del(s->timer);
	s->lingers = was && n == 0;
	if (s->lingers)
		later(s, TUNNEL_LINGER_S);
	work(s);
}

void tunnel_addrs_start(struct tunnel_addrs *ta)
{
	ta->started = true;
	for (unsigned k = 0; k < TUNNEL_MAX_; k++)
		work(&ta->slot[k]);
}

void tunnel_addrs_troubles(const struct tunnel_addrs *ta, struct str *out)
{
	for (unsigned k = 0; k < TUNNEL_MAX_; k++)
		if (ta->slot[k].trouble[0])
			str_addf(out, "%s\n", ta->slot[k].trouble);
}

struct tunnel_addrs *tunnel_addrs_new(struct agent *a)
{
	struct tunnel_addrs *ta = xcalloc(1, sizeof(*ta));

	ta->agent = a;
	ta->node_key = xasprintf(KEY_RESOURCES "nodes/%s", a->cfg->node);
	for (unsigned k = 0; k < TUNNEL_MAX_; k++) {
		struct slot *s = &ta->slot[k];

		s->ta = ta;
		s->kind = (enum tunnel_kind)k;
		s->handle = xasprintf("%s%s", kinds[k].handle, a->cfg->node);
		s->timer = evtimer_new(a->base, on_timer, s);
		assert(s->timer);
		/* What an earlier life left over is given back when it is certain that no pool
		 * wants it. */
		s->lingers = true;
		later(s, TUNNEL_LINGER_S);
	}
	cache_subscribe(a->cache, ta->node_key, node_changed, ta);
	cache_subscribe(a->cache, IPAMKEY_BLOCKS, block_changed, ta);
	return ta;
}

void tunnel_addrs_free(struct tunnel_addrs *ta)
{
	if (!ta)
		return;
	for (unsigned k = 0; k < TUNNEL_MAX_; k++) {
		ensure_free(ta->slot[k].writing);
		event_free(ta->slot[k].timer);
		vec_done(&ta->slot[k].pools);
		free(ta->slot[k].handle);
	}
	free(ta->node_key);
	free(ta);
}
