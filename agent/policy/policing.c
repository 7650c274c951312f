/* policing.c - network policy on the loop
 * SHAPE  A change marks the part dirty and arms a zero timer; its turn flushes the calculation into
 *        the drivers when no tool of theirs is running, and when one ends the next turn comes.
 *        `fed` counts changes, `stated` is what of them the drivers know: who waits, waits for its
 *        number to be stated and enforced. */
#include "agent/policy/policing.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <uthash.h>

#include "agent/cache.h"
#include "agent/config.h"
#include "agent/log.h"
#include "agent/policy/policy_feed.h"
#include "agent/policy/policy_kernel.h"
#include "agent/policy/policy_show.h"
#include "dataplane/filter.h"
#include "dataplane/iptables_backend.h"
#include "dataplane/iptables_sweep.h"
#include "dataplane/link.h"
#include "model/ippool.h"
#include "model/key.h"
#include "model/object.h"
#include "model/wep.h"

enum {
	POLL_MS = 20, /* while somebody waits and leftovers are being removed */
	/* A pod of this node that is gone: iptables and the removal of its interface, at the same
	 * time, would make each other wait. Whoever changes something else does not wait. */
	GONE_MS = 100,
};

struct policing_wait {
	struct policing_wait *next, *prev;
	struct policing *p;
	char *interface;
	uint64_t seq;
	int64_t until_ms;
	policing_fn *fn;
	void *arg;
};

/* What the kernel or a driver refuses, until it is right again. */
struct grief {
	UT_hash_handle hh;
	char *name, *text;
};

struct policing {
	struct agent *agent;
	struct calc *calc;
	struct policy_feed *feed;
	struct policy_kernel *kernel; /* NULL before the first complete picture */
	struct filter *filter;
	struct policy_show *show;
	char *own; /* how the names of this node's endpoints begin */
	struct event *turn, *patience;
	struct ipt_choice choice;
	struct ipt_sweep *sweep;
	bool v6, v6_late, links_dirty;
	uint64_t fed, stated;
	bool enforced_once;
	struct policing_wait waits; /* head of a ring */
	struct grief *griefs;
	char broken[256]; /* nothing can be done at all */
};

/* ---- turns ---- */

static void turn_soon(struct policing *p)
{
	static const struct timeval now = { 0 };

	evtimer_add(p->turn, &now);
}

static void changed(struct policing *p)
{
	p->fed++;
	turn_soon(p);
}

static void changed_later(struct policing *p)
{
	static const struct timeval later = { .tv_usec = GONE_MS * 1000 };

	p->fed++;
	if (!evtimer_pending(p->turn, NULL))
		evtimer_add(p->turn, &later);
}

static void wait_free(struct policing_wait *w)
{
	w->prev->next = w->next;
	w->next->prev = w->prev;
	free(w->interface);
	free(w);
}

static void wait_end(struct policing_wait *w, const char *why)
{
	policing_fn *fn = w->fn;
	void *arg = w->arg;

	wait_free(w);
	fn(arg, why);
}

static bool answered(const struct policing *p, const struct policing_wait *w)
{
	return p->kernel && p->stated >= w->seq && filter_enforced(p->filter) &&
	       (!w->interface || policy_kernel_has_pod(p->kernel, w->interface));
}

/* fn may start or stop other waits: begin again after each. */
static void answer_waits(struct policing *p)
{
	struct policing_wait *w = p->waits.next;

	while (w != &p->waits) {
		if (answered(p, w)) {
			wait_end(w, NULL);
			w = p->waits.next;
		} else {
			w = w->next;
		}
	}
}

static const char *backend_name(const struct policing *p)
{
	return p->choice.backend == IPT_NFT ? "nft" : "legacy";
}

static void on_swept(void *arg, unsigned removed, int code, const char *text)
{
	struct policing *p = arg;

	if (code < 0)
		log_warn("policy", "the other iptables could not be looked at for our leftovers",
			 "why=%s", text);
	else if (removed)
		log_info("policy", "removed what an agent had left in the other iptables",
			 "chains=%u", removed);
	ipt_sweep_free(TAKE(p->sweep));
}

/* For the first time in this life. */
static void in_force(struct policing *p)
{
	log_info("policy", "policy is in force", "backend=%s why=%s ipv6=%s", backend_name(p),
		 p->choice.why, p->v6 ? "yes" : "no");
	p->enforced_once = true;
	p->sweep = ipt_sweep_start(
		p->agent->base,
		&(struct ipt_sweep_config) {
			.backend = p->choice.backend == IPT_NFT ? IPT_LEGACY : IPT_NFT,
			.v4 = true,
			.v6 = p->v6,
			.done = on_swept,
			.arg = p });
}

/* Give the drivers all that was fed. */
static void state(struct policing *p)
{
	const struct calc_effects *fx = calc_flush(p->calc);

	policy_kernel_take(p->kernel, fx);
	policy_show_take(p->show, fx);
	p->stated = p->fed;
}

static void run(struct policing *p)
{
	if (!p->kernel)
		return;
	if (filter_idle(p->filter)) {
		if (p->links_dirty)
			policy_kernel_links(p->kernel, p->agent->links);
		p->links_dirty = false;
		if (p->stated != p->fed)
			state(p);
		filter_run(p->filter);
	}
	if (!p->enforced_once && filter_enforced(p->filter))
		in_force(p);
	answer_waits(p);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	run(arg);
}

/* A family has come to rest; possibly from within our own filter_run. */
static void on_rest(void *arg, enum ip_family family, enum apply_stage stage)
{
	struct policing *p = arg;

	if (p->stated != p->fed || p->links_dirty || p->waits.next != &p->waits ||
	    !p->enforced_once)
		turn_soon(p);
}

/* ---- what goes wrong ---- */

static void grief_end(struct policing *p, struct grief *g)
{
	HASH_DEL(p->griefs, g);
	free(g->name);
	free(g->text);
	free(g);
}

static void on_report(void *arg, enum ip_family family, const char *kind, const char *where,
		      const char *name, int code, const char *text)
{
	struct policing *p = arg;
	CLEANUP(freep)
	char *full = xasprintf("IPv%d %s%s%s%s%s", family, *name ? kind : kind, *where ? " " : "",
			       where, *name ? " " : "s", name);
	struct grief *g;

	HASH_FIND_STR(p->griefs, full, g);
	if (g)
		grief_end(p, g);
	if (!code) {
		log_from(full, LOG_LEVEL_INFO, "policy", "the kernel has it right again", "what=%s",
			 full);
		return;
	}
	log_from(full, LOG_LEVEL_WARN, "policy", "the kernel does not have it as it should be",
		 "what=%s why=%s", full, text);
	g = xcalloc(1, sizeof(*g));
	g->name = xstrdup(full);
	g->text = xstrdup(text);
	HASH_ADD_KEYPTR(hh, p->griefs, g->name, strlen(g->name), g);
}

/* ---- the picture ---- */

static bool look_for_v6(void *arg, const struct store_kv *kv)
{
	bool *found = arg;
	struct err e = { 0 };
	struct object o;
	struct ippool pool;

	if (object_decode(kv->key, kv->value, kv->rev, &o, &e) < 0)
		return true;
	if (ippool_decode(&o, &pool, &e) == 0) {
		*found |= pool.cidr.addr.family == IP_V6;
		ippool_done(&pool);
	}
	object_done(&o);
	return !*found;
}

static bool has_v6_pool(const struct policing *p)
{
	bool found = false;

	cache_each(p->agent->cache, KEY_RESOURCES "ippools/", look_for_v6, &found);
	return found;
}

static int open_filter(struct policing *p, struct err *e)
{
	const struct agent_config *cfg = p->agent->cfg;
	static const enum ipt_wish wish[] = {
		[CONFIG_BACKEND_AUTO] = IPT_WISH_AUTO,
		[CONFIG_BACKEND_NFT] = IPT_WISH_NFT,
		[CONFIG_BACKEND_LEGACY] = IPT_WISH_LEGACY,
	};
	int rc = ipt_backend_find(wish[cfg->iptables_backend], &p->choice, e);

	if (rc < 0)
		return rc;
	p->v6 = strcmp(cfg->ip6, "none") != 0 || has_v6_pool(p);
	p->filter = filter_new(
		p->agent->base,
		&(struct filter_config) { .v4 = true,
					  .v6 = p->v6,
					  .backend = p->choice.backend,
					  .plain_names = p->choice.plain_names,
					  .append = cfg->chain_insert == 1,
					  .lock_s = (unsigned)cfg->iptables_lock_s,
					  .rules_refresh_ms = (unsigned)cfg->rules_refresh_s * 1000,
					  .sets_refresh_ms = (unsigned)cfg->sets_refresh_s * 1000,
					  .turn = on_rest,
					  .report = on_report,
					  .arg = p },
		e);
	if (!p->filter)
		return e->code ? e->code : -EIO;
	p->kernel = policy_kernel_new(cfg, p->filter, p->v6, e);
	return p->kernel ? 0 : e->code;
}

/* The picture is complete: state all of it, then let the drivers look at the kernel. */
static void begin(struct policing *p)
{
	struct err e = { 0 };

	if (*p->broken)
		return;
	if (open_filter(p, &e) < 0) {
		str_copy(p->broken, sizeof(p->broken), e.msg);
		log_error("policy", "policy cannot be enforced; no pod will be attached", "why=%s",
			  e.msg);
		return;
	}
	policy_kernel_links(p->kernel, p->agent->links);
	state(p);
	filter_ready(p->filter);
	turn_soon(p);
}

/* Does this endpoint's name begin with this node's? */
static bool is_own(const struct policing *p, const char *key)
{
	const char *name = strrchr(key, '/') + 1;
	size_t n = strlen(p->own);

	return strncmp(name, p->own, n) == 0 && name[n] != '-';
}

static void on_change(void *arg, const struct store_kv *kv)
{
	struct policing *p = arg;

	if (!kv) {
		if (!p->kernel)
			begin(p);
		return;
	}
	if (p->kernel && !p->v6 && kv->value && str_starts(kv->key, KEY_RESOURCES "ippools/"))
		look_for_v6(&p->v6_late, kv);
	if (!policy_feed_take(p->feed, kv->key, kv->value))
		return;
	if (kv->value || !str_starts(kv->key, KEY_RESOURCES "workloadendpoints/") ||
	    !is_own(p, kv->key))
		changed(p);
	else
		changed_later(p);
}

static void on_link(void *arg, enum link_event ev, const struct link *l, const struct prefix *addr)
{
	struct policing *p = arg;

	if (l && str_starts(l->name, p->agent->cfg->interface_prefix))
		return;
	p->links_dirty = true;
	turn_soon(p);
}

/* ---- pods ---- */

void policing_expect(struct policing *p, const char *key, const char *text)
{
	if (p && policy_feed_take(p->feed, key, text))
		changed(p);
}

void policing_unexpect(struct policing *p, const char *key)
{
	const struct store_kv *kv = p ? cache_get(p->agent->cache, key) : NULL;

	if (p && policy_feed_take(p->feed, key, kv ? kv->value : NULL))
		changed(p);
}

static const char *why_not(const struct policing *p)
{
	if (*p->broken)
		return p->broken;
	if (p->griefs)
		return p->griefs->text;
	return "iptables did not come to its end in time";
}

static void on_patience(evutil_socket_t fd, short what, void *arg)
{
	struct policing *p = arg;
	static const struct timeval later = { .tv_usec = POLL_MS * 1000 };
	int64_t now = agent_now_ms();
	struct policing_wait *w;

	answer_waits(p);
	w = p->waits.next;
	while (w != &p->waits) {
		if (now >= w->until_ms || *p->broken) {
			wait_end(w, why_not(p));
			w = p->waits.next;
		} else {
			w = w->next;
		}
	}
	if (p->waits.next != &p->waits)
		evtimer_add(p->patience, &later);
}

struct policing_wait *policing_wait(struct policing *p, const char *interface, policing_fn *fn,
				    void *arg)
{
	struct policing_wait *w = xcalloc(1, sizeof(*w));
	static const struct timeval later = { .tv_usec = POLL_MS * 1000 };

	w->p = p;
	w->interface = interface ? xstrdup(interface) : NULL;
	w->seq = p->fed;
	w->until_ms = agent_now_ms() + POLICING_WAIT_S * 1000;
	w->fn = fn;
	w->arg = arg;
	w->prev = p->waits.prev;
	w->next = &p->waits;
	w->prev->next = w;
	w->next->prev = w;
	turn_soon(p);
	if (!evtimer_pending(p->patience, NULL))
		evtimer_add(p->patience, &later);
	return w;
}

void policing_wait_stop(struct policing_wait *w)
{
	if (w)
		wait_free(w);
}

bool policing_can(const struct policing *p, enum ip_family family, struct err *e)
{
	if (!p || family != IP_V6 || p->v6 || !p->kernel)
		return true;
	err_set(e, -EAGAIN,
		"IPv6 came after the agent had started without it; restart the agent, so that it "
		"writes IPv6 rules");
	return false;
}

/* ---- to be seen ---- */

void policing_not_ready(const struct policing *p, struct str *out)
{
	if (!p)
		return;
	if (*p->broken)
		str_addf(out, "policy cannot be enforced: %s\n", p->broken);
	else if (!p->enforced_once)
		str_add(out, "policy is not in the kernel yet\n");
	if (p->kernel && policy_kernel_trouble(p->kernel))
		str_addf(out, "policy: %s\n", policy_kernel_trouble(p->kernel));
	for (const struct grief *g = p->griefs; g; g = g->hh.next)
		str_addf(out, "policy: %s: %s\n", g->name, g->text);
	if (p->v6_late)
		str_add(out, "policy: an IPv6 pool came after the start; restart the agent\n");
}

size_t policing_troubles(const struct policing *p, struct str *out)
{
	return p ? policy_feed_troubles(p->feed, out) : 0;
}

json_t *policing_of(const struct policing *p, const char *who)
{
	return p ? policy_show_find(p->show, who) : NULL;
}

static json_t *family_status(const struct policing *p, enum ip_family family)
{
	struct ipt_counts rules = ipt_counts(filter_rules(p->filter, family));
	struct ipset_counts sets = ipset_counts(filter_sets(p->filter, family));
	json_t *o = json_object();

	js_set_int(o, "chains", rules.chains);
	js_set_int(o, "rules", rules.rules);
	js_set_int(o, "sets", sets.sets);
	js_set_int(o, "members", (json_int_t)sets.members);
	js_set_int(o, "restores", (json_int_t)rules.restores);
	js_set_int(o, "chainsWritten", (json_int_t)rules.written);
	js_set_int(o, "chainsRemoved", (json_int_t)rules.removed);
	js_set_int(o, "chainsTampered", (json_int_t)rules.tampered);
	js_set_int(o, "chainsRefused", rules.held);
	js_set_int(o, "setCalls", (json_int_t)sets.calls);
	js_set_int(o, "errors",
		   (json_int_t)(rules.save_errors + rules.restore_errors + sets.errors));
	return o;
}

json_t *policing_status(const struct policing *p)
{
	struct calc_stats s;
	json_t *o;

	if (!p)
		return NULL;
	o = json_object();
	s = calc_stats(p->calc);
	js_set_bool(o, "inForce",
		    p->enforced_once && p->stated == p->fed && filter_enforced(p->filter));
	js_set_int(o, "endpoints", (json_int_t)s.endpoints);
	js_set_int(o, "localEndpoints", (json_int_t)s.local_endpoints);
	js_set_int(o, "policies", (json_int_t)s.policies);
	js_set_int(o, "activePolicies", (json_int_t)s.active_policies);
	if (!p->kernel)
		return o;
	js_set_str(o, "backend", backend_name(p));
	js_set(o, "ipv4", family_status(p, IP_V4));
	if (p->v6)
		js_set(o, "ipv6", family_status(p, IP_V6));
	return o;
}

bool policing_parts(const struct policing *p, struct policing_parts *out)
{
	if (!p)
		return false;
	*out = (struct policing_parts) {
		.calc = p->calc,
		.filter = p->filter,
		.backend = p->choice.backend,
		.v6 = p->v6,
		.in_force = p->enforced_once && p->stated == p->fed && filter_enforced(p->filter),
	};
	return true;
}

/* ---- life ---- */

int policing_new(struct policing **out, struct agent *a, struct err *e)
{
	struct policing *p;

	*out = NULL;
	if (!a->cfg->policy) {
		log_info("policy", "network policy is not enforced (policy: false); rules "
				   "that are in the kernel stay");
		return 0;
	}
	p = xcalloc(1, sizeof(*p));
	p->agent = a;
	p->waits.next = p->waits.prev = &p->waits;
	p->own = wep_name_prefix(a->cfg->node, NULL);
	p->calc = calc_new(a->cfg->node, (uint32_t)agent_now_ms());
	p->feed = policy_feed_new(p->calc);
	p->show = policy_show_new();
	p->turn = evtimer_new(a->base, on_turn, p);
	p->patience = evtimer_new(a->base, on_patience, p);
	assert(p->turn && p->patience);
	link_table_watch(a->links, on_link, p);
	cache_subscribe(a->cache, KEY_RESOURCES, on_change, p);
	*out = p;
	return 0;
}

void policing_free(struct policing *p)
{
	struct grief *g, *tmp;

	if (!p)
		return;
	while (p->waits.next != &p->waits)
		wait_free(p->waits.next);
	ipt_sweep_free(p->sweep);
	filter_free(p->filter);
	policy_kernel_free(p->kernel);
	policy_feed_free(p->feed);
	policy_show_free(p->show);
	calc_free(p->calc);
	HASH_ITER (hh, p->griefs, g, tmp)
		grief_end(p, g);
	free(p->own);
	event_free(p->turn);
	event_free(p->patience);
	free(p);
}
