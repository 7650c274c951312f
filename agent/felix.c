/* felix.c - the FelixConfiguration that holds for this node, live
 * SHAPE  Any change of an object that matters arms a zero timer; its turn adds all layers anew and
 *        compares, so watchers hear of differences only.
 * TESTS  tests/unit/agent/felix.c */
#include "agent/felix.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent/cache.h"
#include "agent/config.h"
#include "agent/log.h"
#include "model/bgpconfig.h"
#include "model/felixlayers.h"
#include "model/key.h"

#define OBJECTS	    KEY_RESOURCES "felixconfigurations/"
#define BGP_OBJECTS KEY_RESOURCES "bgpconfigurations/"
#define ENV_PREFIX  "FELIX_"

enum {
	SERVICES_MAX = 256, /* ranges: each is a rule */
};

struct felix {
	struct agent *agent;
	char *const *envp;
	char *node_key;
	struct event *turn;
	struct felixconfig config;
	struct field_cidrs services;
	struct str wrong;
	size_t n_wrong;
	json_t *shown; /* config as it was last told, to be compared */
	struct {
		felix_fn *fn;
		void *arg;
	} watcher[FELIX_WATCHERS_MAX];
	size_t n_watchers;
};

/* ---- layers ---- */

struct reading {
	const struct felix *f;
	struct object_vec objects;
	struct felixconfig *c;
	struct str *wrong;
};

static bool read_object(void *arg, const struct store_kv *kv)
{
	struct reading *r = arg;
	struct err e = { 0 };
	struct object o;

	if (!felixlayers_concern(kv->key + strlen(OBJECTS), r->f->agent->cfg->node))
		return true;
	if (object_decode(kv->key, kv->value, kv->rev, &o, &e) < 0)
		str_addf(r->wrong, "%s: %s\n", kv->key, e.msg);
	else
		vec_push(&r->objects, o);
	return true;
}

/* NULL: the node has none yet. */
static json_t *node_labels(const struct felix *f)
{
	const struct store_kv *kv = cache_get(f->agent->cache, f->node_key);
	json_t *labels = NULL;
	struct object o;

	if (kv && object_decode(kv->key, kv->value, kv->rev, &o, NULL) == 0) {
		labels = json_incref(js_at(o.json, "metadata.labels"));
		object_done(&o);
	}
	return labels;
}

static void add_objects(struct reading *r)
{
	CLEANUP(js_freep) json_t *labels = node_labels(r->f);

	cache_each(r->f->agent->cache, OBJECTS, read_object, r);
	felixlayers_read(&r->objects, r->f->agent->cfg->node, labels, r->c, r->wrong);
	objects_done(&r->objects);
}

static void add_env(struct reading *r)
{
	for (char *const *env = r->f->envp; env && *env; env++) {
		const char *name = *env + strlen(ENV_PREFIX), *eq = strchr(*env, '=');
		struct err e = { 0 };

		if (!str_starts(*env, ENV_PREFIX) || !eq || !eq[1])
			continue;
		CLEANUP(freep) char *field = xstrndup(name, (size_t)(eq - name));

		/* What no row knows is for others. */
		if (felixconfig_set(r->c, field, eq + 1, &e) == -EINVAL)
			str_addf(r->wrong, "variable " ENV_PREFIX "%s: %s\n", field, e.msg);
	}
}

/* Words of two tables that mean the same stand at other places in them. */
static void add_told(struct felixconfig *c, const struct agent_config *cfg)
{
	static const int to_host[] = { FELIX_TO_HOST_DROP, FELIX_TO_HOST_RETURN,
				       FELIX_TO_HOST_ACCEPT };
	static const int backend[] = { [CONFIG_BACKEND_AUTO] = FELIX_BACKEND_AUTO,
				       [CONFIG_BACKEND_NFT] = FELIX_BACKEND_NFT,
				       [CONFIG_BACKEND_LEGACY] = FELIX_BACKEND_LEGACY };

	if (cfg->has_mark_mask)
		c->mark_mask = (int64_t)strtoul(cfg->mark_mask, NULL, 0);
	/* DIFFERS: Calico's agent drops what pods send to their own host unless it is told otherwise,
	 * and every manifest tells it; here the host's own rules decide. */
	if (cfg->has_endpoint_to_host || !c->has_endpoint_to_host)
		c->endpoint_to_host = to_host[cfg->endpoint_to_host];
	c->has_endpoint_to_host = true;
	if (cfg->has_iptables_backend)
		c->iptables_backend = backend[cfg->iptables_backend];
	if (cfg->has_filter_allow)
		c->filter_allow = cfg->filter_allow;
	if (cfg->has_mangle_allow)
		c->mangle_allow = cfg->mangle_allow;
	if (cfg->has_filter_deny)
		c->filter_deny = cfg->filter_deny;
	if (cfg->has_chain_insert)
		c->chain_insert = cfg->chain_insert;
	if (cfg->has_rules_refresh)
		c->rules_refresh_ms = cfg->rules_refresh_s * (int64_t)1000;
	if (cfg->has_sets_refresh)
		c->sets_refresh_ms = cfg->sets_refresh_s * (int64_t)1000;
}

/* ---- services ---- */

struct ranges {
	const struct bgp_service_range *p;
	size_t n;
};

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

static void sort_services(struct field_cidrs *out)
{
	size_t n = 0;

	if (out->n)
		qsort(out->p, out->n, sizeof(*out->p), by_prefix);
	for (size_t i = 0; i < out->n; i++)
		if (!n || !prefix_eq(&out->p[n - 1], &out->p[i]))
			out->p[n++] = out->p[i];
	out->n = n;
}

/* What is wrong with that object is said by peering, which reads the same. */
static void read_services(const struct felix *f, struct field_cidrs *out)
{
	const struct store_kv *kv = cache_get(f->agent->cache, BGP_OBJECTS "default");
	struct object o;
	struct bgpconfig b;

	if (!kv || object_decode(kv->key, kv->value, kv->rev, &o, NULL) < 0)
		return;
	bgpconfig_read(&o, NULL, &b, NULL);
	const struct ranges all[] = {
		{ b.cluster_ips.p, b.cluster_ips.n },
		{ b.external_ips.p, b.external_ips.n },
		{ b.load_balancer_ips.p, b.load_balancer_ips.n },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (size_t k = 0; k < all[i].n && out->n < SERVICES_MAX; k++)
			vec_push(out, prefix_mask(&all[i].p[k].cidr));
	sort_services(out);
	bgpconfig_done(&b);
	object_done(&o);
}

static bool same_services(const struct field_cidrs *a, const struct field_cidrs *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!prefix_eq(&a->p[i], &b->p[i]))
			return false;
	return true;
}

/* ---- turns ---- */

static size_t lines_in(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void take_wrong(struct felix *f, struct str *wrong)
{
	bool news = strcmp(str_text(wrong), str_text(&f->wrong)) != 0;

	str_done(&f->wrong);
	f->wrong = *wrong;
	f->n_wrong = lines_in(str_text(&f->wrong));
	if (news && f->n_wrong)
		log_warn("felix", "settings that are wrong do not count", "n=%zu first=%.*s",
			 f->n_wrong, (int)strcspn(str_text(&f->wrong), "\n"), str_text(&f->wrong));
}

/* Returns true when something is other than before. */
static bool read_all(struct felix *f)
{
	struct felixconfig c;
	struct field_cidrs services = { 0 };
	struct str wrong = { 0 };
	struct reading r = { .f = f, .c = &c, .wrong = &wrong };
	json_t *shown = json_object();
	bool differs;

	add_objects(&r);
	add_env(&r);
	add_told(&c, f->agent->cfg);
	read_services(f, &services);
	take_wrong(f, &wrong);
	fields_encode(&felixconfig_fields, &c, shown);
	differs = !json_equal(shown, f->shown) || !same_services(&services, &f->services);
	felixconfig_done(&f->config);
	f->config = c;
	vec_done(&f->services);
	f->services = services;
	json_decref(f->shown);
	f->shown = shown;
	return differs;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct felix *f = arg;

	if (!read_all(f))
		return;
	for (size_t i = 0; i < f->n_watchers; i++)
		f->watcher[i].fn(f->watcher[i].arg);
}

static void on_change(void *arg, const struct store_kv *kv)
{
	static const struct timeval now = { 0 };
	struct felix *f = arg;

	/* The first complete picture: the other parts begin with it. */
	if (!kv)
		on_turn(-1, 0, f);
	else if (cache_synced(f->agent->cache))
		evtimer_add(f->turn, &now);
}

/* ---- interface ---- */

struct felix *felix_new(struct agent *a, char *const *envp)
{
	struct felix *f = xcalloc(1, sizeof(*f));

	f->agent = a;
	f->envp = envp;
	f->node_key = xasprintf(KEY_RESOURCES "nodes/%s", a->cfg->node);
	f->turn = evtimer_new(a->base, on_turn, f);
	assert(f->turn);
	read_all(f);
	cache_subscribe(a->cache, OBJECTS, on_change, f);
	cache_subscribe(a->cache, BGP_OBJECTS, on_change, f);
	cache_subscribe(a->cache, f->node_key, on_change, f);
	return f;
}

void felix_free(struct felix *f)
{
	if (!f)
		return;
	felixconfig_done(&f->config);
	vec_done(&f->services);
	str_done(&f->wrong);
	json_decref(f->shown);
	event_free(f->turn);
	free(f->node_key);
	free(f);
}

bool felix_pending(const struct felix *f)
{
	return event_pending(f->turn, EV_TIMEOUT, NULL);
}

const struct felixconfig *felix_config(const struct felix *f)
{
	return &f->config;
}

const struct field_cidrs *felix_services(const struct felix *f)
{
	return &f->services;
}

const json_t *felix_shown(const struct felix *f)
{
	return f->shown;
}

void felix_watch(struct felix *f, felix_fn *fn, void *arg)
{
	assert(f->n_watchers < FELIX_WATCHERS_MAX);
	f->watcher[f->n_watchers].fn = fn;
	f->watcher[f->n_watchers++].arg = arg;
}

size_t felix_troubles(const struct felix *f, struct str *out)
{
	str_add(out, str_text(&f->wrong));
	return f->n_wrong;
}
