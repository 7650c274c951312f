/* bgp_world.c - what the datastore says about BGP
 * WHY    Read anew as a whole whenever one of its objects changed: the rules look across all of
 *        them, and a cluster's nodes decode in milliseconds.
 * TESTS  tests/unit/agent/bgp/bgp_world.c */
#include "agent/bgp/bgp_world.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/cache.h"
#include "model/bgpconfig.h"
#include "model/bgppeer.h"
#include "model/ippool.h"
#include "model/key.h"
#include "model/node.h"
#include "model/object.h"
#include "model/selector.h"
#include "model/service.h"
#include "model/wep.h"

#define WEPS KEY_RESOURCES "workloadendpoints/"

struct reader {
	const char *self;
	struct bgp_world *out;
	struct str *remarks;
};

/* A remark names the object by its key: all else may be what is wrong. */
static void remark(struct reader *r, const char *key, const struct err *e)
{
	str_addf(r->remarks, "%s: %s; left out\n", key, e->msg);
}

static void bgp_node_done(struct bgp_node *n)
{
	free(n->name);
	json_decref(n->labels);
}

static void bgp_peer_spec_done(struct bgp_peer_spec *p)
{
	free(p->name);
	free(p->node);
	selector_free(p->node_selector);
	selector_free(p->peer_selector);
	selector_free(p->workload_selector);
	free(p->secret_name);
	free(p->secret_key);
	bgp_knobs_done(&p->knobs);
}

static const char *annotation(const void *arg, const char *name)
{
	return object_annotation(arg, name);
}

/* ---- nodes ---- */

/* node.NAME's listenPort before the cluster's: where that node listens. */
static void listen_port(const struct cache *c, const char *node, uint16_t *port)
{
	CLEANUP(freep) char *key = xasprintf(KEY_RESOURCES "bgpconfigurations/node.%s", node);
	const struct store_kv *kv = cache_get(c, key);
	struct object o;
	struct bgpconfig cfg;

	if (!kv || object_decode(kv->key, kv->value, kv->rev, &o, NULL) < 0)
		return;
	bgpconfig_read(NULL, &o, &cfg, NULL);
	if (cfg.has_listen_port)
		*port = (uint16_t)cfg.listen_port;
	bgpconfig_done(&cfg);
	object_done(&o);
}

static void add_node(struct reader *r, const struct object *o, const struct node *n)
{
	struct bgp_node b = {
		.name = xstrdup(o->name),
		.labels = json_incref(js_at(o->json, "metadata.labels")),
		.as = n->bgp.as_number,
	};

	if (n->has_bgp) {
		b.v4 = n->bgp.ipv4;
		b.v6 = n->bgp.ipv6;
		if (n->bgp.cluster_id.family == IP_V4)
			b.cluster_id = addr_to_v4(&n->bgp.cluster_id);
	}
	vec_push(&r->out->nodes, b);
}

static bool read_node(void *arg, const struct store_kv *kv)
{
	struct reader *r = arg;
	struct object o;
	struct node n;
	struct err e = { 0 };

	if (object_decode(kv->key, kv->value, kv->rev, &o, &e) < 0) {
		remark(r, kv->key, &e);
		return true;
	}
	if (node_decode(&o, &n, &e) < 0) {
		remark(r, kv->key, &e);
	} else {
		add_node(r, &o, &n);
		node_done(&n);
	}
	object_done(&o);
	return true;
}

/* ---- peers ---- */

static uint16_t seconds(bool has, int64_t ms, int64_t max)
{
	int64_t s = (ms + 999) / 1000;

	return !has || s < 0 ? 0 : (uint16_t)(s > max ? max : s);
}

static int read_selector(const char *text, const char *field, struct selector **out, struct err *e)
{
	if (!text)
		return 0;
	if (selector_parse(text, out, e) < 0)
		return err_wrap(e, "spec.%s", field);
	return 0;
}

static int fill_peer(const struct bgppeer *p, struct bgp_peer_spec *s, struct err *e)
{
	*s = (struct bgp_peer_spec) {
		.name = xstrdup(p->name),
		.node = p->node && *p->node ? xstrdup(p->node) : NULL,
		.ip = p->peer_addr,
		.port = p->peer_port,
		.as = p->as_number,
		.local_as = p->local_as_number,
		.next_hop_mode = p->next_hop_mode,
		.keep_original_next_hop = p->keep_original_next_hop,
		.source_none = p->source_address == 1,
		.has_restart = p->has_max_restart,
		.restart_s = seconds(p->has_max_restart, p->max_restart_ms, 4095),
		.keepalive_s = seconds(p->has_keepalive, p->keepalive_ms, 65535),
		.allowed_local_as =
			(uint8_t)(p->num_allowed_local_as > 255 ? 255 : p->num_allowed_local_as),
		.ttl_security = (uint8_t)(p->ttl_security > 255 ? 255 : p->ttl_security),
		.reverse_manual = p->reverse_peering == 1,
		.reachable_by = p->reachable_by,
	};
	if (p->has_password && p->password.has_ref) {
		s->secret_name = xstrdup(p->password.ref.name);
		s->secret_key = xstrdup(p->password.ref.key);
	}
	if (read_selector(p->node_selector, "nodeSelector", &s->node_selector, e) < 0)
		return e->code;
	if (read_selector(p->local_workload_selector, "localWorkloadSelector",
			  &s->workload_selector, e) < 0)
		return e->code;
	return read_selector(p->peer_selector, "peerSelector", &s->peer_selector, e);
}

static bool read_peer(void *arg, const struct store_kv *kv)
{
	struct reader *r = arg;
	struct object o;
	struct bgppeer p;
	struct bgp_peer_spec s = { 0 };
	struct err e = { 0 };
	int rc = object_decode(kv->key, kv->value, kv->rev, &o, &e);

	if (rc >= 0) {
		rc = bgppeer_decode(&o, &p, &e);
		if (rc >= 0) {
			rc = fill_peer(&p, &s, &e);
			if (rc >= 0)
				rc = bgp_knobs_read(annotation, &o, &s.knobs, &e);
			bgppeer_done(&p);
		}
		object_done(&o);
	}
	if (rc < 0) {
		remark(r, kv->key, &e);
		bgp_peer_spec_done(&s);
	} else {
		vec_push(&r->out->peers, s);
	}
	return true;
}

/* ---- pods that peer ---- */

static void add_pod(struct reader *r, const struct object *o, const struct wep *w)
{
	struct bgp_world_pod pod = { 0 };

	if (!w->interface || !str_eq(w->node, r->self))
		return;
	str_copy(pod.ifname, sizeof(pod.ifname), w->interface);
	for (size_t i = 0; i < w->networks.n; i++) {
		pod.addr = w->networks.p[i].addr;
		pod.labels = json_incref(js_at(o->json, "metadata.labels"));
		vec_push(&r->out->pods, pod);
	}
}

/* One that cannot be read is named by those who attach and police it. */
static bool read_pod(void *arg, const struct store_kv *kv)
{
	struct reader *r = arg;
	struct object o;
	struct wep w;

	if (object_decode(kv->key, kv->value, kv->rev, &o, NULL) < 0)
		return true;
	if (wep_decode(&o, &w, NULL) >= 0) {
		add_pod(r, &o, &w);
		wep_done(&w);
	}
	object_done(&o);
	return true;
}

static void read_pods(struct reader *r, const struct cache *c)
{
	vec_foreach (&r->out->peers, p)
		r->out->pods_peer |= p->workload_selector != NULL;
	if (r->out->pods_peer)
		cache_each(c, WEPS, read_pod, r);
}

bool bgp_world_own_pod(const char *key, const char *self)
{
	CLEANUP(freep) char *prefix = wep_name_prefix(self, NULL);
	const char *name = str_starts(key, WEPS) ? strchr(key + strlen(WEPS), '/') : NULL;

	/* a longer name's first dash is doubled */
	return name && prefix && str_starts(name + 1, prefix) && name[1 + strlen(prefix)] != '-';
}

/* ---- pools ---- */

static bool read_pool(void *arg, const struct store_kv *kv)
{
	struct reader *r = arg;
	struct object o;
	struct ippool p;
	struct err e = { 0 };

	if (object_decode(kv->key, kv->value, kv->rev, &o, &e) < 0) {
		remark(r, kv->key, &e);
		return true;
	}
	if (ippool_decode(&o, &p, &e) < 0) {
		remark(r, kv->key, &e);
	} else {
		struct bgp_world_pool w = { p.cidr, p.disable_bgp_export, p.vxlan != ENCAP_NEVER,
					    p.ipip != ENCAP_NEVER };

		/* A disabled pool no longer lets routes out; what it forbids it still forbids. */
		if (!p.disabled || w.disable_export || w.vxlan)
			vec_push(&r->out->pools, w);
		ippool_done(&p);
	}
	object_done(&o);
	return true;
}

/* ---- configuration ---- */

static bool read_object(struct reader *r, const struct cache *c, const char *key, struct object *o)
{
	const struct store_kv *kv = cache_get(c, key);
	struct err e = { 0 };

	if (!kv)
		return false;
	if (object_decode(kv->key, kv->value, kv->rev, o, &e) >= 0)
		return true;
	remark(r, key, &e);
	return false;
}

/* With commas between them; NULL: there is none. Heap. */
static char *join(const struct field_strings *list)
{
	struct str s = { 0 };

	for (size_t i = 0; i < list->n; i++)
		str_addf(&s, "%s%s", i ? "," : "", list->p[i]);
	return list->n ? str_take(&s) : NULL;
}

/* Calico has Debug and Info say so much, and all else as little as BIRD says by itself: what is
 * wrong. */
static enum log_level level_of(const char *severity)
{
	if (strcasecmp(severity, "Debug") == 0)
		return LOG_LEVEL_DEBUG;
	return strcasecmp(severity, "Info") == 0 ? LOG_LEVEL_INFO : LOG_LEVEL_WARN;
}

static void fill_defaults(struct bgp_defaults *d, const struct bgpconfig *cfg)
{
	*d = (struct bgp_defaults) {
		.mesh = cfg->mesh_enabled,
		.as = cfg->as_number,
		.listen_port = cfg->has_listen_port ? (uint16_t)cfg->listen_port : 0,
		.has_mesh_restart = cfg->has_mesh_restart,
		.mesh_restart_s = seconds(cfg->has_mesh_restart, cfg->mesh_restart_ms, 4095),
		.bind_node_ip = cfg->bind_mode == BGP_BIND_NODE_IP,
	};
	d->log_level = level_of(cfg->log_severity);
	d->pod_side[BGP_AF_IPV4_UNICAST] = cfg->local_workload_v4;
	d->pod_side[BGP_AF_IPV6_UNICAST] = cfg->local_workload_v6;
	d->ignored = join(&cfg->ignored_interfaces);
	if (cfg->has_mesh_password && cfg->mesh_password.has_ref) {
		d->secret_name = xstrdup(cfg->mesh_password.ref.name);
		d->secret_key = xstrdup(cfg->mesh_password.ref.key);
	}
}

static void fill_services(struct service_ranges *r, const struct bgpconfig *cfg)
{
	for (size_t i = 0; i < cfg->cluster_ips.n; i++)
		vec_push(&r->cluster, prefix_mask(&cfg->cluster_ips.p[i].cidr));
	for (size_t i = 0; i < cfg->external_ips.n; i++)
		vec_push(&r->external, prefix_mask(&cfg->external_ips.p[i].cidr));
	for (size_t i = 0; i < cfg->load_balancer_ips.n; i++)
		vec_push(&r->balancer, prefix_mask(&cfg->load_balancer_ips.p[i].cidr));
	r->apart = cfg->lb_aggregation == BGP_LB_AGGREGATION_DISABLED;
}

/* A bad annotation leaves the others of the object, and all of its fields, alone. */
static void read_mesh_knobs(struct reader *r, const struct object *cluster)
{
	struct err e = { 0 };

	if (bgp_knobs_read(annotation, cluster, &r->out->defaults.knobs, &e) < 0)
		remark(r, KEY_RESOURCES "bgpconfigurations/default", &e);
}

static void read_config(struct reader *r, const struct cache *c, const char *self)
{
	CLEANUP(freep) char *own = xasprintf(KEY_RESOURCES "bgpconfigurations/node.%s", self);
	struct object cluster, node;
	bool has_cluster = read_object(r, c, KEY_RESOURCES "bgpconfigurations/default", &cluster),
	     has_node = read_object(r, c, own, &node);
	struct bgpconfig cfg;

	bgpconfig_read(has_cluster ? &cluster : NULL, has_node ? &node : NULL, &cfg, r->remarks);
	fill_defaults(&r->out->defaults, &cfg);
	fill_services(&r->out->defaults.services, &cfg);
	bgpconfig_done(&cfg);
	if (has_cluster) {
		read_mesh_knobs(r, &cluster);
		object_done(&cluster);
	}
	if (has_node)
		object_done(&node);
}

/* Where each node listens: what node.NAME says, else what the cluster says. */
static void read_ports(struct reader *r, const struct cache *c)
{
	struct object cluster;
	struct bgpconfig cfg;
	uint16_t common = 0;

	if (read_object(r, c, KEY_RESOURCES "bgpconfigurations/default", &cluster)) {
		bgpconfig_read(&cluster, NULL, &cfg, NULL);
		common = cfg.has_listen_port ? (uint16_t)cfg.listen_port : 0;
		bgpconfig_done(&cfg);
		object_done(&cluster);
	}
	vec_foreach (&r->out->nodes, n) {
		n->listen_port = common;
		listen_port(c, n->name, &n->listen_port);
	}
}

void bgp_world_read(const struct cache *c, const char *self, struct bgp_world *out,
		    struct str *remarks)
{
	struct reader r = { .self = self, .out = out, .remarks = remarks };

	cache_each(c, KEY_RESOURCES "nodes/", read_node, &r);
	cache_each(c, KEY_RESOURCES "bgppeers/", read_peer, &r);
	cache_each(c, KEY_RESOURCES "ippools/", read_pool, &r);
	read_config(&r, c, self);
	read_ports(&r, c);
	read_pods(&r, c);
}

/* ---- access ---- */

const struct bgp_node *bgp_world_node(const struct bgp_world *w, const char *self)
{
	for (size_t i = 0; i < w->nodes.n; i++)
		if (strcmp(w->nodes.p[i].name, self) == 0)
			return &w->nodes.p[i];
	return NULL;
}

bool bgp_world_excluded(const struct bgp_node *n)
{
	const char *v = json_string_value(json_object_get(n->labels, SERVICE_EXCLUDE_LABEL));

	return v && strcmp(v, "true") == 0;
}

asn_t bgp_world_as(const struct bgp_world *w, const struct bgp_node *n)
{
	return n->as ? n->as : w->defaults.as ? w->defaults.as : (asn_t)BGP_WORLD_AS;
}

void bgp_world_done(struct bgp_world *w)
{
	vec_foreach (&w->nodes, n)
		bgp_node_done(n);
	vec_done(&w->nodes);
	vec_foreach (&w->peers, p)
		bgp_peer_spec_done(p);
	vec_done(&w->peers);
	vec_done(&w->pools);
	vec_done(&w->links);
	vec_foreach (&w->pods, pod)
		json_decref(pod->labels);
	vec_done(&w->pods);
	free(w->defaults.ignored);
	free(w->defaults.secret_name);
	free(w->defaults.secret_key);
	bgp_knobs_done(&w->defaults.knobs);
	service_ranges_done(&w->defaults.services);
	memset(&w->defaults, 0, sizeof(w->defaults));
}
