/* self.c - what this agent writes about its node and cluster
 * SPEC   Calico's node start-up: address rules, default pools, ClusterInformation.
 * TESTS  tests/unit/agent/self.c */
#include "agent/self.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "agent/autoip.h"
#include "agent/cache.h"
#include "agent/clock.h"
#include "agent/config.h"
#include "agent/ensure.h"
#include "agent/log.h"
#include "agent/cni/uuid.h"
#include "model/clusterinfo.h"
#include "model/ippool.h"
#include "model/key.h"
#include "model/node.h"
#include "model/object.h"
#include "model/wall.h"

enum {
	RETRY_S = 5, /* no address yet */
	MOVED_S = 2, /* an address that goes may be back at once: a lease renewed, a cable moved */
};

/* What is to be written. */
enum task {
	TASK_NODE,
	TASK_CLUSTER,
	TASK_POOL_V4,
	TASK_POOL_V6,
	TASK_MAX_,
};

struct job {
	struct self *self;
	enum task task;
	struct ensure *running;
	bool done;
	char trouble[300];
};

struct self {
	struct agent *agent;
	bool allowed, started;
	struct event *retry, *moved;
	struct job job[TASK_MAX_];
};

/* 16 bytes getrandom neither fails nor cuts. */
static void random_16(uint8_t out[static 16])
{
	if (getrandom(out, 16, 0) != 16)
		abort();
}

/* ---- the Node ---- */

static bool set_address(json_t *bgp, const char *name, const struct prefix *p)
{
	char text[PREFIX_STR_MAX];

	if (p->addr.family == IP_NONE)
		return js_change_str(bgp, name, NULL);
	return js_change_str(bgp, name, prefix_format(p, text));
}

static bool set_as(json_t *bgp, uint32_t as)
{
	json_t *old = json_object_get(bgp, "asNumber");

	if (!as || (json_is_integer(old) && json_integer_value(old) == as))
		return false;
	js_set_int(bgp, "asNumber", as);
	return true;
}

static bool change_node(json_t *root, const struct self_node *n)
{
	json_t *spec = js_object_in(root, "spec"), *bgp = js_object_in(spec, "bgp");
	bool changed = false;

	if (n->set_v4)
		changed |= set_address(bgp, "ipv4Address", &n->v4);
	if (n->set_v6)
		changed |= set_address(bgp, "ipv6Address", &n->v6);
	changed |= set_as(bgp, n->as);
	/* An empty `bgp` is no valid Node. */
	if (json_object_size(bgp) == 0)
		json_object_del(spec, "bgp");
	return changed;
}

int self_node_change(const struct self_node *n, const char *stored, char **out, struct err *e)
{
	const struct kind *kind = kind_find("Node");
	struct object o = { 0 };
	bool changed;

	*out = NULL;
	if (stored) {
		CLEANUP(freep) char *key = key_resource(kind, NULL, n->name);

		if (object_decode(key, stored, 0, &o, e) < 0)
			return err_wrap(e, "the stored Node");
		changed = change_node(o.json, n);
	} else {
		o = object_new(kind, NULL, n->name);
		change_node(o.json, n);
		js_set_str(js_object_in(o.json, "metadata"), "uid", n->uid);
		js_set_str(js_object_in(o.json, "metadata"), "creationTimestamp", n->now);
		changed = true;
	}
	if (changed)
		*out = object_encode(&o);
	object_done(&o);
	return 0;
}

/* The addresses that the stored Node has; IP_NONE where it has none. */
static void stored_addresses(const char *name, const char *stored, struct prefix *v4,
			     struct prefix *v6)
{
	CLEANUP(freep) char *key = key_resource(kind_find("Node"), NULL, name);
	struct object o;
	struct node n;

	*v4 = *v6 = (struct prefix) { .addr.family = IP_NONE };
	if (!stored || object_decode(key, stored, 0, &o, NULL) < 0)
		return;
	if (node_decode(&o, &n, NULL) >= 0) {
		*v4 = n.bgp.ipv4;
		*v6 = n.bgp.ipv6;
		node_done(&n);
	}
	object_done(&o);
}

/* 1: *out is to be written; 0: what is stored stays; -errno: there should be one and is not. */
static int decide_address(const struct self *s, enum ip_family family, const char *want,
			  const struct prefix *stored, struct prefix *out, struct err *e)
{
	struct autoip q = { s->agent->links, family, want, s->agent->cfg->ip_method };
	int rc;

	*out = (struct prefix) { .addr.family = IP_NONE };
	if (strcmp(want, "none") == 0)
		return 1;
	if (!*want) {
		if (stored->addr.family != IP_NONE && autoip_has(q.links, &stored->addr))
			return 0;
		q.want = "autodetect";
	}
	rc = autoip_find(&q, out, e);
	return rc < 0 ? rc : 1;
}

static char *node_json(struct self *s, const char *stored, struct err *e)
{
	const struct agent_config *cfg = s->agent->cfg;
	char uid[UUID_STR_MAX], now[WALL_STR_MAX], text[PREFIX_STR_MAX], *out = NULL;
	struct self_node n = { .name = cfg->node, .as = cfg->as, .uid = uid, .now = now };
	struct prefix v4, v6;
	int r4, r6;

	uuid_random(uid);
	wall_rfc3339(clock_wall_ns(), now);
	stored_addresses(cfg->node, stored, &v4, &v6);
	r4 = decide_address(s, IP_V4, cfg->ip, &v4, &n.v4, e);
	r6 = r4 < 0 ? r4 : decide_address(s, IP_V6, cfg->ip6, &v6, &n.v6, e);
	if (r4 < 0 || r6 < 0)
		return NULL;
	n.set_v4 = r4 == 1;
	n.set_v6 = r6 == 1;
	if (self_node_change(&n, stored, &out, e) < 0)
		return NULL;
	if (out)
		log_info("self", "writing the Node resource", "node=%s ipv4=%s", n.name,
			 prefix_format(n.set_v4 ? &n.v4 : &v4, text));
	return out;
}

/* ---- pools ---- */

bool self_default_cidr(const struct prefix *used, size_t n, struct prefix *out)
{
	/* Calico's list: 192.168.0.0/16, then 172.16.0.0/16 to 172.31.0.0/16. */
	for (unsigned i = 0; i <= 16; i++) {
		struct addr a = addr_v4(i == 0 ? 0xc0a80000u : 0xac100000u + (i - 1) * 0x10000u);
		struct prefix p = prefix_of(&a, 16);
		bool overlaps = false;

		for (size_t k = 0; k < n && !overlaps; k++)
			overlaps = prefix_overlaps(&p, &used[k]);
		if (!overlaps) {
			*out = p;
			return true;
		}
	}
	return false;
}

static bool choose_cidr(const struct self *s, struct prefix *out)
{
	VEC(struct prefix) used = { 0 };
	bool ok;

	for (const struct link *l = link_next(s->agent->links, NULL); l;
	     l = link_next(s->agent->links, l))
		for (size_t i = 0; i < l->addrs.n; i++)
			vec_push(&used, l->addrs.p[i]);
	ok = self_default_cidr(used.p, used.n, out);
	vec_done(&used);
	return ok;
}

struct family_search {
	enum ip_family family;
	bool found;
};

static bool pool_of_family(void *arg, const struct store_kv *kv)
{
	struct family_search *f = arg;
	struct object o;
	struct ippool p;

	if (object_decode(kv->key, kv->value, kv->rev, &o, NULL) < 0)
		return true;
	if (ippool_decode(&o, &p, NULL) >= 0) {
		f->found = p.cidr.addr.family == f->family;
		ippool_done(&p);
	}
	object_done(&o);
	return !f->found;
}

static char *pool_json(struct self *s, enum ip_family family, struct err *e)
{
	const struct config_pool *cfg =
		family == IP_V4 ? &s->agent->cfg->pool_v4 : &s->agent->cfg->pool_v6;
	struct object o =
		object_new(kind_find("IPPool"), NULL,
			   family == IP_V4 ? "default-ipv4-ippool" : "default-ipv6-ippool");
	struct prefix cidr = cfg->cidr;
	json_t *spec = js_object_in(o.json, "spec");
	static const char *const encap[] = { "Never", "Always", "CrossSubnet" };
	char text[PREFIX_STR_MAX], now[WALL_STR_MAX];
	uint8_t random[16];
	char *out = NULL;

	if (cidr.addr.family == IP_NONE && !choose_cidr(s, &cidr)) {
		err_set(e, -ENOENT,
			"no default IPv4 pool: this node uses all of 192.168.0.0/16 and "
			"172.16.0.0/12 itself; name one with --default-pool-v4-cidr");
	} else {
		js_set_str(spec, "cidr", prefix_format(&cidr, text));
		js_set_int(spec, "blockSize", cfg->block_size);
		js_set_str(spec, "nodeSelector", cfg->node_selector);
		js_set_str(spec, "ipipMode", encap[family == IP_V4 ? cfg->ipip : 0]);
		js_set_str(spec, "vxlanMode", encap[cfg->vxlan]);
		js_set_bool(spec, "natOutgoing", cfg->nat_outgoing);
		if (cfg->disable_bgp_export)
			js_set_bool(spec, "disableBGPExport", true);
		random_16(random);
		wall_rfc3339(clock_wall_ns(), now);
		object_fill_new(&o, random, now);
		if (object_check(&o, e) == 0)
			out = object_encode(&o);
		if (out)
			log_info("self", "there is no pool; making one", "cidr=%s", text);
	}
	object_done(&o);
	return out;
}

/* ---- ClusterInformation ---- */

static char *cluster_json(void)
{
	uint8_t random[16];
	char now[WALL_STR_MAX], *out;
	struct object o;

	random_16(random);
	o = clusterinfo_new(random, "margay,bgp");
	random_16(random);
	wall_rfc3339(clock_wall_ns(), now);
	object_fill_new(&o, random, now);
	out = object_encode(&o);
	object_done(&o);
	return out;
}

/* ---- jobs ---- */

static void on_done(void *arg, const char *failed)
{
	struct job *j = arg;
	const struct timeval tv = { .tv_sec = RETRY_S };

	j->running = NULL;
	if (failed)
		str_copy(j->trouble, sizeof(j->trouble), failed);
	j->done = !j->trouble[0];
	if (j->done)
		return;
	log_from("self", LOG_LEVEL_ERROR, "self", "could not write to the datastore; trying again",
		 "why=%s in_s=%d", j->trouble, RETRY_S);
	evtimer_add(j->self->retry, &tv);
}

static char *change(void *arg, const char *stored)
{
	struct job *j = arg;
	struct err e = { 0 };
	char *out = NULL;

	j->trouble[0] = '\0';
	switch (j->task) {
	case TASK_NODE:
		out = node_json(j->self, stored, &e);
		break;
	case TASK_CLUSTER:
		out = stored ? NULL : cluster_json();
		break;
	case TASK_POOL_V4:
	case TASK_POOL_V6:
		/* Also a pool of that name of somebody else's making will do. */
		if (!stored)
			out = pool_json(j->self, j->task == TASK_POOL_V4 ? IP_V4 : IP_V6, &e);
		break;
	case TASK_MAX_:
		break;
	}
	if (e.code)
		str_copy(j->trouble, sizeof(j->trouble), e.msg);
	return out;
}

static bool pool_needed(const struct self *s, enum ip_family family)
{
	struct family_search f = { family, false };

	if (s->agent->cfg->no_default_pools)
		return false;
	if (family == IP_V6 && s->agent->cfg->pool_v6.cidr.addr.family == IP_NONE)
		return false;
	cache_each(s->agent->cache, KEY_RESOURCES "ippools/", pool_of_family, &f);
	return !f.found;
}

static char *job_key(const struct job *j)
{
	switch (j->task) {
	case TASK_NODE:
		return xasprintf(KEY_RESOURCES "nodes/%s", j->self->agent->cfg->node);
	case TASK_CLUSTER:
		return xstrdup(KEY_RESOURCES "clusterinformations/default");
	case TASK_POOL_V4:
		return xstrdup(KEY_RESOURCES "ippools/default-ipv4-ippool");
	case TASK_POOL_V6:
		return xstrdup(KEY_RESOURCES "ippools/default-ipv6-ippool");
	case TASK_MAX_:
		break;
	}
	return NULL;
}

static void begin(struct job *j)
{
	CLEANUP(freep) char *key = job_key(j);

	j->running = ensure_new(j->self->agent, key, change, on_done, j);
}

static void run(struct job *j)
{
	if (j->done || j->running)
		return;
	if ((j->task == TASK_POOL_V4 && !pool_needed(j->self, IP_V4)) ||
	    (j->task == TASK_POOL_V6 && !pool_needed(j->self, IP_V6))) {
		j->done = true;
		return;
	}
	begin(j);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct self *s = arg;

	for (unsigned i = 0; i < TASK_MAX_; i++)
		run(&s->job[i]);
}

static void write_nodename(const struct self *s)
{
	const char *path = s->agent->cfg->nodename_file;
	CLEANUP(closep) int fd = -1;

	if (!*path)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, s->agent->cfg->node, strlen(s->agent->cfg->node)) < 0)
		log_error("self", "cannot write the file with the node's name", "file=%s why=%s",
			  path, strerror(errno));
}

static void maybe_start(struct self *s)
{
	if (s->started || !s->allowed || !cache_synced(s->agent->cache))
		return;
	s->started = true;
	write_nodename(s);
	on_retry(-1, 0, s);
}

/* Somebody took our Node away, or its addresses: put it back. */
static void node_changed(void *arg, const struct store_kv *kv)
{
	struct self *s = arg;

	maybe_start(s);
	if (!kv || kv->value || !s->started ||
	    strcmp(strrchr(kv->key, '/') + 1, s->agent->cfg->node))
		return;
	log_warn("self", "this node's resource was deleted; writing it again", "node=%s",
		 s->agent->cfg->node);
	s->job[TASK_NODE].done = false;
	run(&s->job[TASK_NODE]);
}

/* Is the Node's address still what it should be? */
static void on_moved(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval later = { .tv_sec = MOVED_S };
	struct self *s = arg;
	struct job *j = &s->job[TASK_NODE];

	if (j->running)
		evtimer_add(s->moved, &later);
	else
		begin(j);
}

static void on_link(void *arg, enum link_event ev, const struct link *l, const struct prefix *addr)
{
	static const struct timeval later = { .tv_sec = MOVED_S };
	struct self *s = arg;

	if (!s->started || (ev != LINK_ADDR_NEW && ev != LINK_ADDR_GONE && ev != LINK_RELISTED) ||
	    (l && str_starts(l->name, s->agent->cfg->interface_prefix)))
		return;
	evtimer_add(s->moved, &later);
}

struct self *self_new(struct agent *a)
{
	struct self *s = xcalloc(1, sizeof(*s));

	s->agent = a;
	s->retry = evtimer_new(a->base, on_retry, s);
	s->moved = evtimer_new(a->base, on_moved, s);
	assert(s->retry && s->moved);
	link_table_watch(a->links, on_link, s);
	for (unsigned i = 0; i < TASK_MAX_; i++)
		s->job[i] = (struct job) { .self = s, .task = (enum task)i };
	cache_subscribe(a->cache, KEY_RESOURCES "nodes/", node_changed, s);
	return s;
}

void self_free(struct self *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < TASK_MAX_; i++)
		ensure_free(s->job[i].running);
	link_table_unwatch(s->agent->links, on_link, s);
	event_free(s->retry);
	event_free(s->moved);
	free(s);
}

void self_start(struct self *s)
{
	s->allowed = true;
	maybe_start(s);
}

bool self_done(const struct self *s)
{
	for (unsigned i = 0; i < TASK_MAX_; i++)
		if (!s->job[i].done)
			return false;
	return true;
}

void self_troubles(const struct self *s, struct str *out)
{
	for (unsigned i = 0; i < TASK_MAX_; i++)
		if (s->job[i].trouble[0])
			str_addf(out, "%s\n", s->job[i].trouble);
}
