/* ctl_answer.c - questions to the agent and their answers
 * TESTS  tests/unit/agent/ctl.c */
#include "agent/ctl_answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/overlay/blocks.h"
#include "agent/cache.h"
#include "agent/clock.h"
#include "agent/config.h"
#include "agent/ctl_server.h"
#include "agent/cni/endpoints.h"
#include "agent/felix.h"
#include "agent/bgp/fib.h"
#include "agent/health.h"
#include "agent/log.h"
#include "agent/overlay/overlay.h"
#include "agent/bgp/bgp_show.h"
#include "agent/bgp/drain.h"
#include "agent/bgp/peering.h"
#include "agent/policy/policing.h"
#include "agent/policy/policy_counters.h"
#include "agent/routes.h"
#include "lib/json.h"
#include "model/wall.h"

json_t *ctl_refusal(const char *msg)
{
	json_t *o = json_object();

	js_set_bool(o, "ok", false);
	js_set_str(o, "msg", msg);
	return o;
}

static json_t *ok(void)
{
	json_t *o = json_object();

	js_set_bool(o, "ok", true);
	return o;
}

/* A monotonic time as a wall clock's, or nothing for 0. */
static void set_time(json_t *o, const char *name, int64_t mono_ms)
{
	char text[WALL_STR_MAX];

	if (mono_ms)
		js_set_str(
			o, name,
			wall_rfc3339(clock_wall_ns() - (agent_now_ms() - mono_ms) * 1000000, text));
}

static void set_addr(json_t *o, const char *name, const struct addr *a)
{
	char text[ADDR_STR_MAX];

	if (a->family != IP_NONE)
		js_set_str(o, name, addr_format(a, text));
}

static void set_id(json_t *o, const char *name, uint32_t id)
{
	struct addr a = addr_v4(id);

	if (id)
		set_addr(o, name, &a);
}

static json_t *lines(const char *text)
{
	json_t *list = json_array();

	while (*text) {
		size_t n = strcspn(text, "\n");
		CLEANUP(freep) char *line = xstrndup(text, n);

		if (n)
			json_array_append_new(list, js_text(line));
		text += n + (text[n] == '\n');
	}
	return list;
}

/* ---- sessions ---- */

static const char *type_name(enum bgp_peer_kind kind)
{
	switch (kind) {
	case BGP_PEER_MESH:
		return "node-to-node mesh";
	case BGP_PEER_GLOBAL:
		return "global";
	case BGP_PEER_NODE:
		return "node specific";
	case BGP_PEER_POD:
		return "local workload";
	}
	return "";
}

/* What a table of sessions shows. */
static json_t *session_brief(const struct bgp_peer_status *st)
{
	json_t *o = json_object();

	set_addr(o, "address", &st->config->addr);
	js_set_int(o, "port", st->config->port);
	js_set_str(o, "name", st->config->name);
	js_set_str(o, "type", type_name(st->config->kind));
	js_set_str(o, "state", bgp_state_name(st->state));
	set_time(o, "since", st->since_ms);
	if (st->state != BGP_STATE_ESTABLISHED && st->last_error[0])
		js_set_str(o, "info", st->last_error);
	return o;
}

static json_t *families(const struct bgp_peer_status *st)
{
	json_t *all = json_object();

	for (unsigned i = 0; i < BGP_AF_MAX_; i++) {
		json_t *o;

		if (!((st->families ? st->families : st->config->families) & 1u << i))
			continue;
		o = json_object();
		js_set_int(o, "received", st->routes_received[i]);
		js_set_int(o, "accepted", st->routes_accepted[i]);
		js_set_int(o, "best", st->routes_best[i]);
		js_set_int(o, "sent", st->routes_sent[i]);
		js_set_int(o, "stale", st->routes_stale[i]);
		js_set(all, bgp_af_info((enum bgp_af)i)->name, o);
	}
	return all;
}

static json_t *session_full(const struct bgp_peer_status *st)
{
	json_t *o = session_brief(st), *msgs = json_object();
	const struct bgp_peer_config *c = st->config;

	js_set_int(o, "remoteAS", st->remote_as);
	if (c->ifindex)
		js_set_str(o, "interface", c->ifname);
	if (c->local_as)
		js_set_int(o, "localAS", c->local_as);
	set_addr(o, "source", &c->source);
	set_id(o, "remoteID", st->remote_id);
	js_set_bool(o, "passive", c->passive);
	js_set_bool(o, "routeReflectorClient", c->rr_client);
	js_set_bool(o, "password", c->password[0] != '\0');
	js_set_int(o, "holdSeconds", st->hold_s);
	js_set_int(o, "keepaliveSeconds", st->keepalive_s);
	js_set_bool(o, "fourOctetAS", st->as4);
	js_set_bool(o, "routeRefresh", st->refresh);
	js_set_bool(o, "gracefulRestart", st->graceful);
	js_set_int(msgs, "received", (json_int_t)st->msgs_in);
	js_set_int(msgs, "sent", (json_int_t)st->msgs_out);
	js_set_int(msgs, "updatesReceived", (json_int_t)st->updates_in);
	js_set_int(msgs, "updatesSent", (json_int_t)st->updates_out);
	js_set_int(msgs, "bytesReceived", (json_int_t)st->bytes_in);
	js_set_int(msgs, "bytesSent", (json_int_t)st->bytes_out);
	js_set_int(msgs, "treatedAsWithdraw", (json_int_t)st->withdrawn_by_error);
	js_set(o, "messages", msgs);
	js_set(o, "families", families(st));
	js_set_int(o, "flaps", (json_int_t)st->flaps);
	if (st->last_error[0])
		js_set_str(o, "lastError", st->last_error);
	set_time(o, "lastErrorAt", st->last_error_ms);
	set_time(o, "nextRetryAt", st->next_retry_ms);
	set_time(o, "lastNotificationAt", st->last_notification_ms);
	bgp_show_details(o, st, agent_now_ms());
	return o;
}

static json_t *sessions(const struct agent *a, json_t *(*show)(const struct bgp_peer_status *))
{
	const struct bgp_speaker *sp = peering_speaker(a->peering);
	json_t *list = json_array();
	struct bgp_peer_status st;

	for (size_t i = 0; sp && bgp_speaker_peer_status(sp, i, &st); i++) {
		json_t *o = show(&st), *bfd = peering_bfd(a->peering, st.config);

		if (bfd)
			js_set(o, "bfd", bfd);
		json_array_append_new(list, o);
	}
	return list;
}

/* ---- status ---- */

static json_t *datastore(const struct agent *a)
{
	json_t *o = json_object();

	js_set_str(o, "spec", a->cfg->datastore);
	js_set_bool(o, "synced", cache_synced(a->cache));
	js_set_int(o, "revision", cache_rev(a->cache));
	js_set_int(o, "keys", (json_int_t)cache_count(a->cache));
	js_set_str(o, "lost", cache_lost(a->cache));
	return o;
}

static json_t *block_list(const struct agent *a)
{
	json_t *list = json_array();
	char text[PREFIX_STR_MAX];
	size_t n;
	const struct prefix *p = blocks_confirmed(a->blocks, &n);

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, js_text(prefix_format(&p[i], text)));
	return list;
}

static json_t *route_numbers(const struct agent *a)
{
	struct route_counts c = route_counts(routes_table(a->routes));
	json_t *o = json_object();

	js_set_int(o, "wanted", c.desired);
	js_set_int(o, "installed", c.installed);
	js_set_int(o, "waiting", c.waiting);
	js_set_int(o, "conflicts", c.conflicts);
	js_set_int(o, "failed", c.failed);
	js_set_int(o, "written", (json_int_t)c.written);
	js_set_int(o, "removed", (json_int_t)c.removed);
	js_set_int(o, "foreignChanges", (json_int_t)c.foreign);
	js_set_int(o, "resyncs", (json_int_t)c.resyncs);
	js_set_int(o, "adopted", (json_int_t)fib_adopted(a->fib));
	js_set_int(o, "adoptedWaiting", (json_int_t)fib_waiting(a->fib));
	return o;
}

static void set_bgp(const struct agent *a, json_t *o)
{
	const struct bgp_speaker *sp = peering_speaker(a->peering);

	js_set_bool(o, "bgp", a->cfg->bgp);
	js_set(o, "drain", drain_show(peering_drain(a->peering)));
	if (!sp)
		return;
	js_set_bool(o, "bgpConverged", peering_converged(a->peering));
	js_set_int(o, "prefixesIPv4",
		   (json_int_t)bgp_speaker_prefix_count(sp, BGP_AF_IPV4_UNICAST));
	js_set_int(o, "prefixesIPv6",
		   (json_int_t)bgp_speaker_prefix_count(sp, BGP_AF_IPV6_UNICAST));
}

static void set_policy(const struct agent *a, json_t *o)
{
	struct str wrong = { 0 };

	js_set(o, "policy", policing_status(a->policing));
	js_set_int(o, "policyObjectsWrong", (json_int_t)policing_troubles(a->policing, &wrong));
	js_set(o, "policyTroubles", lines(str_text(&wrong)));
	str_done(&wrong);
}

json_t *ctl_status(struct agent *a)
{
	json_t *o = ok();
	struct str reasons = { 0 };
	struct endpoints_counts eps = endpoints_count(a->endpoints);

	health_not_ready(a, &reasons);
	js_set_str(o, "node", a->cfg->node);
	js_set_str(o, "version", MARGAY_VERSION);
	js_set_int(o, "pid", getpid());
	set_time(o, "since", a->started_ms);
	js_set_bool(o, "ready", reasons.len == 0);
	js_set(o, "notReady", lines(str_text(&reasons)));
	js_set(o, "bgpNotes", lines(peering_notes(a->peering)));
	js_set(o, "datastore", datastore(a));
	js_set(o, "blocks", block_list(a));
	js_set(o, "tunnels", overlay_status(a->overlay));
	js_set_int(o, "borrowedAddresses", (json_int_t)blocks_borrowed(a->blocks));
	js_set_int(o, "endpoints", eps.n);
	js_set_int(o, "endpointsWithoutInterface", eps.missing);
	set_bgp(a, o);
	js_set(o, "sessions", sessions(a, session_brief));
	js_set(o, "routes", route_numbers(a));
	set_policy(a, o);
	str_done(&reasons);
	return o;
}

/* ---- paths ---- */

struct path_list {
	json_t *list;
	bool cut;
};

static json_t *path_json(const struct bgp_path_info *p)
{
	json_t *o = json_object();
	char text[PREFIX_STR_MAX];

	js_set_str(o, "prefix", prefix_format(&p->prefix, text));
	if (p->peer) {
		set_addr(o, "peer", &p->peer->addr);
		js_set_str(o, "peerName", p->peer->name);
	} else {
		js_set_str(o, "peerName", "local");
	}
	bgp_show_attrs(o, p->attrs);
	js_set_bool(o, "best", p->best);
	js_set_bool(o, "multipath", p->multipath);
	js_set_bool(o, "usable", p->usable);
	js_set_bool(o, "stale", p->stale);
	js_set_bool(o, "longStale", p->long_stale);
	js_set_str(o, "why", p->why);
	if (p->made_for)
		js_set_str(o, "for", p->made_for);
	return o;
}

static bool add_path(void *arg, const struct bgp_path_info *p)
{
	struct path_list *l = arg;

	l->cut = json_array_size(l->list) >= CTL_ROUTES_MAX;
	if (!l->cut)
		json_array_append_new(l->list, path_json(p));
	return !l->cut;
}

static json_t *answer_routes(struct agent *a, const json_t *q)
{
	struct bgp_speaker *sp = peering_speaker(a->peering);
	struct path_list l = { json_array(), false };
	const char *text = NULL;
	struct prefix p;
	struct err e = { 0 };
	json_t *o;

	if (js_str(q, "prefix", &text, &e) < 0 || (text && !prefix_parse_or_addr(text, &p))) {
		json_decref(l.list);
		return ctl_refusal(e.code ? e.msg
					  : "prefix: must be ADDRESS/LENGTH as in 10.0.0.0/26");
	}
	if (text)
		p = prefix_mask(&p);
	if (sp)
		bgp_speaker_each_path(sp, text ? &p : NULL, add_path, &l);
	o = ok();
	js_set(o, "routes", l.list);
	js_set_bool(o, "cut", l.cut);
	return o;
}

/* The speaker knows what is announced; which service would be is known here. */
static void name_service(const struct agent *a, const char *prefix, const json_t *list)
{
	CLEANUP(freep) char *text = NULL;
	struct prefix p;
	json_t *one;
	size_t i;

	if (prefix_parse_or_addr(prefix, &p))
		text = peering_service_why_not(a->peering, &p);
	json_array_foreach (list, i, one)
		if (text)
			js_set_str(one, "service", text);
}

static json_t *answer_why(struct agent *a, const json_t *q)
{
	struct bgp_speaker *sp = peering_speaker(a->peering);
	const char *prefix = "", *to = NULL;
	struct err e = { 0 };
	json_t *list, *o;

	if (js_need(js_str(q, "prefix", &prefix, &e), "prefix", &e) < 0 ||
	    js_str(q, "to", &to, &e) < 0)
		return ctl_refusal(e.msg);
	if (!sp)
		return ctl_refusal("this node does not speak BGP (yet): see node status");
	list = bgp_show_why(sp, prefix, to, &e);
	if (!list)
		return ctl_refusal(e.msg);
	name_service(a, prefix, list);
	o = ok();
	js_set(o, "why", list);
	return o;
}

static json_t *drained(struct agent *a)
{
	json_t *o = ok();

	js_set(o, "drain", drain_show(peering_drain(a->peering)));
	return o;
}

static json_t *answer_drain(struct agent *a, const json_t *q)
{
	int64_t pause = DRAIN_PAUSE_S;
	const char *text = NULL;
	struct err e = { 0 };

	if (js_int(q, "pauseSeconds", 0, DRAIN_PAUSE_MAX_S, &pause, &e) < 0 ||
	    js_str(q, "text", &text, &e) < 0)
		return ctl_refusal(e.msg);
	if (!a->cfg->bgp)
		return ctl_refusal("this node does not speak BGP: there is nothing to drain");
	if (drain_begin(peering_drain(a->peering), (unsigned)pause, text ? text : "", &e) < 0)
		return ctl_refusal(e.msg);
	return drained(a);
}

static json_t *answer_undrain(struct agent *a, const json_t *q)
{
	struct err e = { 0 };

	if (drain_end(peering_drain(a->peering), &e) < 0)
		return ctl_refusal(e.msg);
	return drained(a);
}

static json_t *answer_drained(struct agent *a, const json_t *q)
{
	return drained(a);
}

/* ---- commands ---- */

static json_t *answer_status(struct agent *a, const json_t *q)
{
	return ctl_status(a);
}

static json_t *answer_neighbors(struct agent *a, const json_t *q)
{
	json_t *o = ok();

	js_set(o, "neighbors", sessions(a, session_full));
	return o;
}

static json_t *answer_version(struct agent *a, const json_t *q)
{
	json_t *o = ok();

	js_set_str(o, "version", MARGAY_VERSION);
	js_set_str(o, "node", a->cfg->node);
	js_set_int(o, "pid", getpid());
	return o;
}

/* What holds here of FelixConfiguration, with what margayd was told. */
static json_t *answer_settings(struct agent *a, const json_t *q)
{
	json_t *o = ok();

	js_set_str(o, "node", a->cfg->node);
	js_set(o, "settings", json_deep_copy(felix_shown(a->felix)));
	return o;
}

static json_t *answer_log(struct agent *a, const json_t *q)
{
	const char *text = NULL;
	enum log_level level;
	struct err e = { 0 };
	json_t *o;

	if (js_str(q, "level", &text, &e) < 0)
		return ctl_refusal(e.msg);
	if (text && !log_level_parse(text, &level))
		return ctl_refusal("level: must be error, warn, info or debug");
	if (text)
		log_set_level(level);
	o = ok();
	js_set_str(o, "level", log_level_name(log_get_level()));
	return o;
}

static json_t *policy_answer(json_t *found)
{
	json_t *o = ok();

	js_set(o, "policy", found);
	return o;
}

static void on_counted(void *arg, json_t *found)
{
	struct ctl_later *later = arg;

	later->work = NULL;
	later->fn(later->arg, policy_answer(found));
}

static void stop_counting(void *work)
{
	policy_count_stop(work);
}

static json_t *answer_policy(struct agent *a, const json_t *q, struct ctl_later *later)
{
	const char *of = "";
	struct str wrong = { 0 };
	struct err e = { 0 };
	json_t *found;

	if (js_need(js_str(q, "of", &of, &e), "of", &e) < 0)
		return ctl_refusal(e.msg);
	if (!policing_on(a->policing))
		return ctl_refusal("policy is turned off by this agent's configuration");
	found = policing_of(a->policing, of);
	if (!found) {
		CLEANUP(freep)
		char *msg = xasprintf("%.128s: no pod or host endpoint of this node", of);

		return ctl_refusal(msg);
	}
	policing_troubles(a->policing, &wrong);
	js_set(found, "troubles", lines(str_text(&wrong)));
	str_done(&wrong);
	later->stop = stop_counting;
	later->work = policing_count(a->policing, found, on_counted, later);
	return later->work ? NULL : policy_answer(found);
}

static const struct command {
	const char *name;
	json_t *(*answer)(struct agent *a, const json_t *q);
} commands[] = {
	{ "status", answer_status },   { "neighbors", answer_neighbors },
	{ "routes", answer_routes },   { "why", answer_why },
	{ "version", answer_version }, { "log", answer_log },
	{ "drain", answer_drain },     { "undrain", answer_undrain },
	{ "drained", answer_drained }, { "settings", answer_settings },
};

json_t *ctl_answer(struct agent *a, const char *line, size_t len, struct ctl_later *later)
{
	json_t *q = NULL, *out = NULL;
	const char *cmd;
	struct err e = { 0 };

	if (js_parse(line, len, &q, &e) < 0 || js_need(js_str(q, "cmd", &cmd, &e), "cmd", &e) < 0) {
		json_decref(q);
		return ctl_refusal(e.msg);
	}
	if (strcmp(cmd, "policy") == 0)
		out = answer_policy(a, q, later);
	for (size_t i = 0; i < ARRAY_SIZE(commands) && !out; i++)
		if (strcmp(commands[i].name, cmd) == 0)
			out = commands[i].answer(a, q);
	json_decref(q);
	return out || later->work ? out
		   : ctl_refusal("cmd: must be one of status, neighbors, routes, why, version, "
				 "log, policy, drain, undrain, drained");
}
