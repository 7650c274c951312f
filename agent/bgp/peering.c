/* peering.c - the BGP speaker at work
 * SHAPE  Every input to the speaker (bytes, timers, configuration) ends in settle(): effects are
 *        carried out, the timer is set, and if there is work to decide, a slice of it is run from a
 *        zero timer. Between two slices the loop looks at all sockets, so a hundred thousand routes
 *        from one peer do not delay a KEEPALIVE to another. */
#include "agent/bgp/peering.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "agent/bgp/bfd_thread.h"
#include "agent/bgp/bgp_config.h"
#include "agent/bgp/bgp_conns.h"
#include "agent/bgp/bgp_listen.h"
#include "agent/bgp/bgp_metrics.h"
#include "agent/bgp/bgp_policy.h"
#include "agent/bgp/bgp_secrets.h"
#include "agent/bgp/birdctl.h"
#include "agent/bgp/pod_peers.h"
#include "agent/bgp/service_feed.h"
#include "agent/bgp/unnumbered.h"
#include "agent/bgp/drain.h"
#include "agent/cache.h"
#include "agent/config.h"
#include "agent/bgp/fib.h"
#include "agent/log.h"
#include "agent/routes.h"
#include "dataplane/link.h"
#include "model/key.h"
#include "model/service.h"

enum {
	RUN_BUDGET = 2048,    /* prefixes decided in one slice: 1 to 2 ms */
	FIB_BUDGET = 2048,    /* forwarding changes taken in one slice */
	LOOK_MS = 5000,	      /* solicitations are answered within a second */
	CONFIG_DELAY_MS = 20, /* changes of nodes and peers that come together are one */
	HOP_CHECK_S = 10,     /* next hops behind routes of others are looked at again */
	HOP_PAUSE_MS = 1000, /* the least between two looks, when such routes change all the time */
};

struct peering {
	struct agent *agent;
	struct bgp_speaker *speaker;
	struct bgp_peer_configs configs; /* as given to the speaker */
	struct bgp_conns *conns;
	struct bgp_listen *listen;
	struct drain *drain;
	struct birdctl *bird;
	struct bgp_metrics *metrics;
	struct bfd_thread *bfd;
	struct unnumbered *unnumbered;
	struct pod_peers *pods;
	bool pods_peer; /* a BGPPeer asks for pods */
	struct service_feed *feed;
	struct service_ranges ranges; /* of services, from the last configuration */
	bool excluded;		      /* this node announces no service */
	int log_level;		      /* enum log_level of BGP's lines; -1: that of all */
	int64_t look_until;	      /* for its neighbours; 0: not begun, 1: done */
	struct bgp_secrets secrets;
	struct event *timer, *run, *configure, *hops;
	int64_t hops_ms; /* the last look at next hops */
	bool hops_soon;	 /* the next one is on its way */
	struct {
		struct prefix *p;
		size_t n;
	} blocks, local;
	struct str remarks, notes; /* of the last configuration; notes: nothing is wrong */
	bool started, restarting, released;
};

static void arm(struct event *ev, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

	evtimer_add(ev, &tv);
}

/* ---- effects ---- */

static enum log_level level_of(enum bgp_level level)
{
	static const enum log_level map[] = {
		[BGP_LEVEL_ERROR] = LOG_LEVEL_ERROR,
		[BGP_LEVEL_WARN] = LOG_LEVEL_WARN,
		[BGP_LEVEL_INFO] = LOG_LEVEL_INFO,
		[BGP_LEVEL_DEBUG] = LOG_LEVEL_DEBUG,
	};

	return map[level];
}

static void log_effect(const struct bgp_effect *ef)
{
	char addr[ADDR_STR_MAX] = "";
	enum log_level level = LOG_LEVEL_DEBUG;

	if (ef->peer)
		addr_format(&ef->peer->addr, addr);
	if (ef->type == BGP_EFFECT_LOG) {
		log_from(addr, level_of(ef->level), "bgp", "the speaker says", "peer=%s text=%s",
			 addr, ef->text);
		return;
	}
	/* The way up and down is for us; being up, and being up no more, is for everybody. */
	if (ef->to == BGP_STATE_ESTABLISHED)
		level = LOG_LEVEL_INFO;
	else if (ef->from == BGP_STATE_ESTABLISHED)
		level = LOG_LEVEL_WARN;
	log_from(addr, level, "bgp", "session changed state", "peer=%s from=%s to=%s why=%s", addr,
		 bgp_state_name(ef->from), bgp_state_name(ef->to), ef->text);
}

static void effects(struct peering *p)
{
	struct bgp_effect ef;

	while (bgp_speaker_next_effect(p->speaker, &ef)) {
		switch (ef.type) {
		case BGP_EFFECT_CONNECT:
			bgp_conns_dial(p->conns, ef.conn, ef.peer);
			break;
		case BGP_EFFECT_CLOSE:
			bgp_conns_close(p->conns, ef.conn, ef.linger);
			break;
		case BGP_EFFECT_WRITE:
			bgp_conns_write(p->conns, ef.conn);
			break;
		case BGP_EFFECT_STATE:
		case BGP_EFFECT_LOG:
			log_effect(&ef);
			break;
		}
	}
}

static void set_timer(struct peering *p)
{
	int64_t deadline = bgp_speaker_deadline(p->speaker), now = agent_now_ms();

	if (deadline == INT64_MAX)
		evtimer_del(p->timer);
	else
		arm(p->timer, deadline > now ? deadline - now : 0);
}

static void settle(struct peering *p)
{
	effects(p);
	if (!event_pending(p->run, EV_TIMEOUT, NULL))
		arm(p->run, 0);
	set_timer(p);
}

static void settle_any(void *arg)
{
	settle(arg);
}

static void heard_any(void *arg)
{
	const struct peering *p = arg;

	bgp_metrics_heard(p->metrics);
}

static void release_when_converged(struct peering *p)
{
	if (p->released || !peering_converged(p))
		return;
	p->released = true;
	fib_release_adopted(p->agent->fib);
}

/* What the speaker wants forwarded, up to FIB_BUDGET changes: how many. */
static unsigned carry_changes(struct peering *p)
{
	static struct bgp_fib_change change[FIB_TOGETHER];
	unsigned n = 0, got;

	do {
		for (got = 0; got < FIB_TOGETHER; got++)
			if (!bgp_speaker_next_fib_change(p->speaker, &change[got]))
				break;
		fib_changes(p->agent->fib, change, got);
		n += got;
	} while (got == FIB_TOGETHER && n < FIB_BUDGET);
	return n;
}

static void on_run(evutil_socket_t fd, short what, void *arg)
{
	struct peering *p = arg;
	bool more = bgp_speaker_run(p->speaker, RUN_BUDGET, agent_now_ms());
	unsigned n = carry_changes(p);

	more |= n == FIB_BUDGET;
	bgp_metrics_decided(p->metrics, n, more);
	effects(p);
	set_timer(p);
	if (more)
		arm(p->run, 0);
	else
		release_when_converged(p);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct peering *p = arg;

	bgp_speaker_tick(p->speaker, agent_now_ms());
	settle(p);
}

/* ---- connections ---- */

static void on_accept(void *arg, int fd, const struct addr *remote, uint32_t ifindex, uint16_t port)
{
	struct peering *p = arg;
	const struct bgp_peer_config *cfg = bgp_peer_configs_find(&p->configs, remote, ifindex);
	char text[ADDR_STR_MAX];

	if (p->speaker && cfg) {
		bgp_conns_accept(p->conns, fd, remote, ifindex, cfg);
		return;
	}
	addr_format(remote, text);
	/* all strangers are one source: whoever has many addresses would have as many */
	log_from("bgp strangers", LOG_LEVEL_INFO, "bgp", "refused a connection that nobody expects",
		 "from=%s", text);
	close(fd);
	/* a neighbour that does not advertise itself: it is dialled, or dials again */
	if (ifindex && !cfg)
		unnumbered_heard(p->unnumbered, ifindex, remote);
}

/* ---- BFD ---- */

static void on_path(void *arg, const struct bfd_path *path, enum bfd_event event)
{
	struct peering *p = arg;

	if (!p->speaker)
		return;
	if (event == BFD_EVENT_UP)
		bgp_speaker_bfd_up(p->speaker, &path->peer, path->ifindex, agent_now_ms());
	/* RFC 5882 4.2: a neighbour that switched BFD off says nothing about the path */
	if (event == BFD_EVENT_DOWN)
		bgp_speaker_bfd_down(p->speaker, &path->peer, path->ifindex, agent_now_ms());
	settle(p);
}

/* The link that a peer is on; NULL: it is farther away. */
static const struct link *link_of(const struct peering *p, const struct bgp_peer_config *c)
{
	return c->ifindex ? link_by_index(p->agent->links, c->ifindex)
			  : link_by_subnet(p->agent->links, &c->addr, NULL);
}

/* Which link a neighbour is on may have changed. */
static void watch_paths(struct peering *p)
{
	VEC(struct bfd_want) want = { 0 };

	for (size_t i = 0; i < p->configs.n; i++) {
		const struct bgp_peer_config *c = &p->configs.p[i];
		const struct bgp_bfd_knob *k = &p->configs.extra.p[i].bfd;
		struct bfd_want w = { .path = { .peer = c->addr, .source = c->source },
				      .timers = k->timers };
		const struct link *l = k->way == BGP_BFD_MULTIHOP ? NULL : link_of(p, c);

		if (!k->on)
			continue;
		if (l) {
			w.path.ifindex = l->index;
			str_copy(w.path.ifname, sizeof(w.path.ifname), l->name);
		}
		vec_push(&want, w);
	}
	bfd_thread_set(p->bfd, want.p, want.n);
	vec_done(&want);
}

json_t *peering_bfd(const struct peering *p, const struct bgp_peer_config *peer)
{
	const struct link *l = link_of(p, peer);
	struct bfd_peer_status st;

	if (!(l && bfd_thread_status(p->bfd, &peer->addr, l->index, &st)) &&
	    !bfd_thread_status(p->bfd, &peer->addr, 0, &st))
		return NULL;
	return bfd_show(&st);
}

/* ---- neighbours on links ---- */

static void changed(void *arg, const struct store_kv *kv);

static void links_known(void *arg)
{
	struct peering *p = arg;

	arm(p->configure, 0); /* also when it was armed for later */
}

static bool has_session(void *arg, const struct unnumbered_link *l)
{
	const struct peering *p = arg;
	struct bgp_peer_status st;

	for (size_t i = 0; p->speaker && bgp_speaker_peer_status(p->speaker, i, &st); i++)
		if (st.config->ifindex == l->ifindex && addr_eq(&st.config->addr, &l->neighbour))
			return st.state == BGP_STATE_ESTABLISHED;
	return false;
}

/* Which links are looked at follows from the BGPPeers of this node; whom one finds is for them. */
static void look_at_links(struct peering *p, struct bgp_world *w)
{
	VEC(const char *) lists = { 0 };
	const struct unnumbered_link *l;

	for (size_t i = 0; i < w->peers.n; i++)
		if (w->peers.p[i].knobs.interfaces &&
		    bgp_config_is_for(&w->peers.p[i], bgp_world_node(w, p->agent->cfg->node)))
			vec_push(&lists, w->peers.p[i].knobs.interfaces);
	unnumbered_set(p->unnumbered, lists.p, lists.n);
	vec_done(&lists);
	for (size_t i = 0; (l = unnumbered_get(p->unnumbered, i)); i++)
		vec_push(&w->links, *l);
}

/* After a restart the first set of peers is whom the kernel's routes wait for: neighbours on links get
 * a moment to answer our solicitation, or there were none. */
static bool may_begin(struct peering *p)
{
	int64_t now = agent_now_ms();

	if (!p->look_until)
		p->look_until = now + LOOK_MS;
	if (!p->restarting || now >= p->look_until || !unnumbered_looks(p->unnumbered)) {
		p->look_until = 1;
		return true;
	}
	arm(p->configure, p->look_until - now);
	return false;
}

/* ---- configuration ---- */

static void start_speaker(struct peering *p, const struct bgp_global *global)
{
	struct bgp_global g = *global;

	g.restarting = p->restarting;
	if (p->speaker) {
		bgp_speaker_set_global(p->speaker, &g, agent_now_ms());
		return;
	}
	p->speaker = bgp_speaker_new(&g, (uint32_t)agent_now_ms() ^ g.router_id ^
						 (uint32_t)getpid() << 16);
	bgp_conns_set_speaker(p->conns, p->speaker);
	bgp_speaker_set_resolver(p->speaker, fib_resolve, p->agent->fib);
	bgp_speaker_set_blocks(p->speaker, p->blocks.p, p->blocks.n, agent_now_ms());
	bgp_speaker_set_local_routes(p->speaker, p->local.p, p->local.n, agent_now_ms());
}

static void set_pools(struct peering *p, const struct bgp_world *w)
{
	VEC(struct bgp_pool) pools = { 0 };

	for (size_t i = 0; i < w->pools.n; i++) {
		const struct bgp_world_pool *from = &w->pools.p[i];
		struct bgp_pool pool = { .cidr = from->cidr,
					 .disable_export = from->disable_export,
					 .vxlan = from->vxlan };

		vec_push(&pools, pool);
	}
	bgp_speaker_set_pools(p->speaker, pools.p, pools.n, agent_now_ms());
	vec_done(&pools);
}

static void set_gateways(struct peering *p)
{
	VEC(struct fib_gateway) all = { 0 };

	for (size_t i = 0; i < p->configs.n; i++) {
		const struct bgp_peer_extra *extra = &p->configs.extra.p[i];
		struct fib_gateway g = { p->configs.p[i].addr, extra->reachable_by, "" };

		str_copy(g.pod, sizeof(g.pod), extra->pod);
		if (extra->reachable_by.family || extra->pod[0])
			vec_push(&all, g);
	}
	fib_set_gateways(p->agent->fib, all.p, all.n);
	vec_done(&all);
}

/* What is announced for services. */
static void set_services(struct peering *p)
{
	struct services_out out;
	struct bgp_services all;

	services_announced(service_feed_services(p->feed), &p->ranges, p->excluded, &out);
	all = (struct bgp_services) { out.route.p, out.route.n, out.range.p, out.range.n };
	bgp_speaker_set_services(p->speaker, &all, agent_now_ms());
	services_out_done(&out);
}

static void services_changed(void *arg)
{
	struct peering *p = arg;

	if (!p->speaker)
		return;
	set_services(p);
	settle(p);
}

char *peering_service_why_not(const struct peering *p, const struct prefix *prefix)
{
	return services_why_not(service_feed_services(p->feed), &p->ranges, p->excluded, prefix);
}

/* Ranges of services are the cluster's, or what this agent was told; consumes the world's. */
static void take_ranges(struct peering *p, struct bgp_world *w, const struct bgp_node *self)
{
	const struct field_cidrs *told = &p->agent->cfg->cluster_ips;

	service_ranges_done(&p->ranges);
	p->ranges = w->defaults.services;
	w->defaults.services = (struct service_ranges) { 0 };
	if (told->n) {
		vec_clear(&p->ranges.cluster);
		for (size_t i = 0; i < told->n; i++)
			vec_push(&p->ranges.cluster, prefix_mask(&told->p[i]));
		p->ranges.cluster_by = "advertiseClusterIPs of this agent";
	}
	p->excluded = bgp_world_excluded(self);
	if (p->excluded && p->ranges.cluster.n + p->ranges.external.n + p->ranges.balancer.n)
		str_addf(&p->notes,
			 "Node %s: its label " SERVICE_EXCLUDE_LABEL
			 " has it announce no services\n",
			 self->name);
}

/* What leads to next hops. */
static void set_ways(struct peering *p, const struct bgp_world *w)
{
	set_gateways(p);
	fib_set_ignored(p->agent->fib, w->defaults.ignored);
	if (p->pods_peer || w->pods_peer)
		pod_peers_set(p->pods, &p->configs, w->defaults.pod_side);
	p->pods_peer = w->pods_peer;
	arm(p->hops, 0);
}

static void configure_with(struct peering *p, struct bgp_world *w)
{
	const struct agent_config *cfg = p->agent->cfg;
	const struct bgp_node *self = bgp_world_node(w, cfg->node);
	struct bgp_global g = { .max_paths = 16 };
	struct bgp_policy_set policy;

	if (!self)
		return; /* about to be written: see self.c */
	g.local_as = bgp_world_as(w, self);
	g.router_id = bgp_config_router_id(cfg->router_id, self);
	g.local_v4 = self->v4.addr;
	g.local_v6 = self->v6.addr;
	g.cluster_id = self->cluster_id;
	if (!g.router_id) {
		str_addf(&p->remarks,
			 "node %s has no IPv4 address and so no BGP identifier: set routerId to "
			 "hash or to four numbers\n",
			 cfg->node);
		return;
	}
	bgp_policy_read(p->agent->cache, cfg->node, &policy, &p->remarks);
	memcpy(g.normal_priority, policy.normal_priority, sizeof(g.normal_priority));
	g.draining = drain_phase(p->drain) >= DRAIN_ANNOUNCED;
	g.muted = drain_phase(p->drain) >= DRAIN_WITHDRAWN;
	start_speaker(p, &g);
	if (drain_phase(p->drain) == DRAIN_STOPPED)
		bgp_speaker_stop(p->speaker, false, drain_text(p->drain), agent_now_ms());
	else
		bgp_speaker_start(p->speaker, agent_now_ms());
	set_pools(p, w);
	take_ranges(p, w, self);
	set_services(p);
	bgp_speaker_set_filters(p->speaker, policy.filters.p, policy.filters.n, agent_now_ms());
	bgp_speaker_set_adverts(p->speaker, policy.adverts.p, policy.adverts.n, agent_now_ms());
	bgp_policy_set_done(&policy);
	bgp_peer_configs_clear(&p->configs);
	bgp_secrets_forget(&p->secrets);
	look_at_links(p, w);
	bgp_config_peers(w, cfg->node, bgp_secrets_read, &p->secrets, &p->configs, &p->remarks);
	/* Keys and listener first: a peer that dials at once must find them. */
	bgp_listen_set(p->listen, w->defaults.bind_node_ip ? &g : NULL,
		       self->listen_port ? self->listen_port : BGP_PORT, &p->configs);
	set_ways(p, w);
	bgp_conns_change_keys(p->conns, &p->configs);
	if (!may_begin(p))
		return;
	bgp_speaker_set_peers(p->speaker, p->configs.p, p->configs.n, agent_now_ms());
	watch_paths(p);
	log_debug("bgp", "configured", "peers=%zu as=%u", p->configs.n, g.local_as);
}

/* What was not said before. */
static void log_remarks(const struct str *remarks, const char *before)
{
	const char *s = str_text(remarks);

	while (*s) {
		size_t n = strcspn(s, "\n");
		CLEANUP(freep) char *line = xstrndup(s, n);

		if (n && !strstr(before, line))
			log_warn("bgp", "not all of the peering in the datastore is usable",
				 "why=%s", line);
		s += n + (s[n] == '\n');
	}
}

/* SPEC  logSeverityScreen is for the BGP daemon's log; what this agent itself was told is stronger. */
static void set_log_level(struct peering *p, enum log_level level)
{
	static const char *const mods[] = { "bgp", "bfd", "fib", "ra", NULL };
	int now = p->agent->cfg->has_log_level ? -1 : (int)level;

	if (now == p->log_level)
		return;
	p->log_level = now;
	log_set_level_of(now < 0 ? NULL : mods, level);
}

static void on_configure(evutil_socket_t fd, short what, void *arg)
{
	struct peering *p = arg;
	struct bgp_world w = { 0 };
	CLEANUP(freep) char *before = str_take(&p->remarks);
	CLEANUP(freep) char *noted = str_take(&p->notes);

	if (!p->agent->cfg->bgp) {
		p->released = true;
		fib_release_adopted(p->agent->fib);
		return;
	}
	bgp_world_read(p->agent->cache, p->agent->cfg->node, &w, &p->remarks);
	set_log_level(p, w.defaults.log_level);
	configure_with(p, &w);
	bgp_world_done(&w);
	log_remarks(&p->remarks, before);
	log_remarks(&p->notes, noted);
	if (p->speaker)
		settle(p);
}

static void changed(void *arg, const struct store_kv *kv)
{
	struct peering *p = arg;

	if (p->started && cache_synced(p->agent->cache) &&
	    !event_pending(p->configure, EV_TIMEOUT, NULL))
		arm(p->configure, kv ? CONFIG_DELAY_MS : 0);
}

static void pods_changed(void *arg, const struct store_kv *kv)
{
	const struct peering *p = arg;

	if (kv && p->pods_peer && bgp_world_own_pod(kv->key, p->agent->cfg->node))
		changed(arg, kv);
}

static void all_applied(void *arg)
{
	struct peering *p = arg;

	bgp_metrics_in_kernel(p->metrics);
}

static void drain_moved(void *arg)
{
	changed(arg, NULL);
}

void peering_start(struct peering *p)
{
	p->started = true;
	changed(p, NULL);
}

/* ---- links ---- */

static void reconsider(struct peering *p)
{
	if (!p->speaker)
		return;
	bgp_speaker_next_hops_changed(p->speaker, agent_now_ms());
	bgp_speaker_retell_fib(p->speaker);
	settle(p);
}

/* Pods come and go by the hundred; only what can carry a next hop counts. */
static void link_changed(void *arg, enum link_event ev, const struct link *l,
			 const struct prefix *addr)
{
	struct peering *p = arg;

	if (str_starts(l->name, p->agent->cfg->interface_prefix) || l->loopback)
		return;
	if (ev == LINK_NEW && l->addrs.n == 0)
		return;
	arm(p->hops, 0);
}

/* A default route or a static one, maybe: what led to a next hop may lead elsewhere. */
static void others_changed(void *arg)
{
	struct peering *p = arg;
	int64_t at = p->hops_ms + HOP_PAUSE_MS, now = agent_now_ms();

	if (p->hops_soon)
		return;
	p->hops_soon = true;
	arm(p->hops, at > now ? at - now : 0);
}

static void on_hops(evutil_socket_t fd, short what, void *arg)
{
	struct peering *p = arg;

	p->hops_soon = false;
	p->hops_ms = agent_now_ms();
	if (fib_recheck(p->agent->fib))
		reconsider(p);
	watch_paths(p);
	unnumbered_links_changed(p->unnumbered);
	if (p->pods_peer)
		pod_peers_check(p->pods, &p->configs);
	if (bgp_secrets_changed(&p->secrets))
		changed(p, NULL);
	arm(p->hops, HOP_CHECK_S * 1000);
}

/* ---- interface ---- */

struct peering *peering_new(struct agent *a)
{
	struct peering *p = xcalloc(1, sizeof(*p));

	p->agent = a;
	p->secrets.state_dir = a->cfg->state_dir;
	p->log_level = -1;
	p->restarting = a->restarted || fib_adopted(a->fib) > 0;
	p->timer = evtimer_new(a->base, on_timer, p);
	p->run = evtimer_new(a->base, on_run, p);
	p->configure = evtimer_new(a->base, on_configure, p);
	p->hops = evtimer_new(a->base, on_hops, p);
	assert(p->timer && p->run && p->configure && p->hops);
	p->conns = bgp_conns_new(a->base, &(struct bgp_conns_owner) { settle_any, heard_any, p });
	p->listen = bgp_listen_new(a->base, on_accept, p);
	p->drain = drain_new(a->base, a->cfg->state_dir, drain_moved, p);
	p->bird = birdctl_new(a);
	p->metrics = bgp_metrics_new(a);
	routes_on_applied(a->routes, all_applied, p);
	routes_on_others(a->routes, others_changed, p);
	p->bfd = bfd_thread_new(a->base, on_path, p);
	p->unnumbered = unnumbered_new(a, links_known, has_session, p);
	p->pods = pod_peers_new(a);
	p->feed = service_feed_new(a, services_changed, p);
	link_table_watch(a->links, link_changed, p);
	cache_subscribe(a->cache, KEY_RESOURCES "nodes/", changed, p);
	cache_subscribe(a->cache, KEY_RESOURCES "bgppeers/", changed, p);
	cache_subscribe(a->cache, KEY_RESOURCES "bgpfilters/", changed, p);
	cache_subscribe(a->cache, KEY_RESOURCES "bgpconfigurations/", changed, p);
	cache_subscribe(a->cache, KEY_RESOURCES "ippools/", changed, p);
	cache_subscribe(a->cache, KEY_RESOURCES "workloadendpoints/", pods_changed, p);
	arm(p->hops, HOP_CHECK_S * 1000);
	return p;
}

void peering_free(struct peering *p)
{
	if (!p)
		return;
	/* first: nobody must take the end of BFD for a broken path */
	bfd_thread_free(p->bfd);
	if (p->speaker) {
		bgp_speaker_stop(p->speaker, true, "", agent_now_ms());
		effects(p);
	}
	bgp_conns_free(p->conns);
	bgp_listen_free(p->listen);
	unnumbered_free(p->unnumbered);
	pod_peers_free(p->pods);
	service_feed_free(p->feed);
	service_ranges_done(&p->ranges);
	bgp_secrets_forget(&p->secrets);
	vec_done(&p->secrets.files);
	drain_free(p->drain);
	birdctl_free(p->bird);
	routes_on_applied(p->agent->routes, NULL, NULL);
	routes_on_others(p->agent->routes, NULL, NULL);
	bgp_metrics_free(p->metrics);
	bgp_speaker_free(p->speaker);
	event_free(p->timer);
	event_free(p->run);
	event_free(p->configure);
	event_free(p->hops);
	bgp_peer_configs_done(&p->configs);
	free(p->blocks.p);
	free(p->local.p);
	str_done(&p->remarks);
	str_done(&p->notes);
	free(p);
}

void peering_set_blocks(struct peering *p, const struct prefix *blocks, size_t n)
{
	free(p->blocks.p);
	p->blocks.p = n ? xmemdup(blocks, n * sizeof(*blocks)) : NULL;
	p->blocks.n = n;
	if (!p->speaker)
		return;
	bgp_speaker_set_blocks(p->speaker, p->blocks.p, n, agent_now_ms());
	settle(p);
}

void peering_set_local_routes(struct peering *p, const struct prefix *routes, size_t n)
{
	free(p->local.p);
	p->local.p = n ? xmemdup(routes, n * sizeof(*routes)) : NULL;
	p->local.n = n;
	if (!p->speaker)
		return;
	bgp_speaker_set_local_routes(p->speaker, p->local.p, n, agent_now_ms());
	settle(p);
}

void peering_retell(struct peering *p)
{
	if (!p->speaker)
		return;
	bgp_speaker_retell_fib(p->speaker);
	settle(p);
}

struct drain *peering_drain(const struct peering *p)
{
	return p->drain;
}

struct bgp_speaker *peering_speaker(const struct peering *p)
{
	return p->speaker;
}

bool peering_converged(const struct peering *p)
{
	return p->speaker && bgp_speaker_converged(p->speaker);
}

void peering_troubles(const struct peering *p, struct str *out)
{
	const char *listen = bgp_listen_trouble(p->listen);

	str_add(out, str_text(&p->remarks));
	bfd_thread_trouble(p->bfd, out);
	unnumbered_troubles(p->unnumbered, out);
	service_feed_troubles(p->feed, out);
	if (listen)
		str_addf(out, "%s\n", listen);
}

const char *peering_notes(const struct peering *p)
{
	return str_text(&p->notes);
}

bool peering_running(const struct peering *p)
{
	return p->speaker && !bgp_listen_trouble(p->listen);
}
