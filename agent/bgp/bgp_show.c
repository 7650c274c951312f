/* bgp_show.c - the speaker's answers to an operator, as JSON
 * TESTS  tests/unit/agent/bgp_show.c, tests/netns/test_bgp_ops.py */
#include "agent/bgp/bgp_show.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bgp/why.h"
#include "lib/json.h"

static void set_addr(json_t *o, const char *name, const struct addr *a)
{
	char text[ADDR_STR_MAX];

	if (a->family != IP_NONE)
		js_set_str(o, name, addr_format(a, text));
}

/* ---- capabilities ---- */

static json_t *families(uint32_t set)
{
	json_t *list = json_array();

	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (set >> af & 1)
			json_array_append_new(list, js_text(bgp_af_info((enum bgp_af)af)->name));
	}
	return list;
}

static json_t *graceful(const struct bgp_caps *c)
{
	json_t *o = json_object();

	js_set_int(o, "seconds", c->gr.time_s);
	js_set_bool(o, "restarting", c->gr.restarting);
	js_set_bool(o, "notification", c->gr.notification);
	js_set(o, "families", families(c->gr.families));
	js_set(o, "forwardingKept", families(c->gr.forwarding));
	return o;
}

static json_t *long_lived(const struct bgp_caps *c)
{
	json_t *o = json_object(), *seconds = json_object();

	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (c->llgr.families >> af & 1)
			js_set_int(seconds, bgp_af_info((enum bgp_af)af)->name, c->llgr.time_s[af]);
	}
	js_set(o, "seconds", seconds);
	js_set(o, "forwardingKept", families(c->llgr.forwarding));
	return o;
}

/* Codes that nothing here knows what to do with. */
static json_t *unknown_codes(const struct bgp_caps *c)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < c->n_seen; i++) {
		const char *name = bgp_cap_name(c->seen[i]);
		char text[16];

		snprintf(text, sizeof(text), "%u", c->seen[i]);
		if (!name)
			json_array_append_new(list, js_text(text));
	}
	return list;
}

static json_t *capabilities(const struct bgp_caps *c)
{
	json_t *o = json_object(), *other = unknown_codes(c);

	if (c->mp)
		js_set(o, bgp_cap_name(BGP_CAP_MULTIPROTOCOL), families(c->families));
	if (c->as4)
		js_set_int(o, bgp_cap_name(BGP_CAP_AS4), c->as4_number);
	if (c->refresh)
		js_set_bool(o, bgp_cap_name(BGP_CAP_ROUTE_REFRESH), true);
	if (c->enhanced_refresh)
		js_set_bool(o, bgp_cap_name(BGP_CAP_ENHANCED_REFRESH), true);
	if (c->extended_message)
		js_set_bool(o, bgp_cap_name(BGP_CAP_EXTENDED_MESSAGE), true);
	if (c->ext_next_hop)
		js_set(o, bgp_cap_name(BGP_CAP_EXTENDED_NEXT_HOP), families(c->ext_next_hop));
	if (c->add_path_rx | c->add_path_tx) {
		json_t *paths = json_object();

		js_set(paths, "receive", families(c->add_path_rx));
		js_set(paths, "send", families(c->add_path_tx));
		js_set(o, bgp_cap_name(BGP_CAP_ADD_PATH), paths);
	}
	if (c->role != BGP_ROLE_NONE)
		js_set_str(o, bgp_cap_name(BGP_CAP_ROLE),
			   c->role < BGP_ROLE_MAX_ ? bgp_role_name(c->role) : "unknown");
	if (c->gr.present)
		js_set(o, bgp_cap_name(BGP_CAP_GRACEFUL_RESTART), graceful(c));
	if (c->llgr.present)
		js_set(o, bgp_cap_name(BGP_CAP_LONG_LIVED_GR), long_lived(c));
	if (json_array_size(other))
		js_set(o, "other", other);
	else
		json_decref(other);
	return o;
}

/* ---- timers ---- */

static void set_left(json_t *o, const char *name, int64_t at_ms, int64_t now_ms)
{
	if (at_ms)
		js_set(o, name, json_real((double)(at_ms > now_ms ? at_ms - now_ms : 0) / 1000));
}

void bgp_show_details(json_t *o, const struct bgp_peer_status *st, int64_t now_ms)
{
	json_t *caps = json_object(), *timers = json_object();

	js_set(caps, "sent", capabilities(&st->local_caps));
	if (st->remote_id)
		js_set(caps, "received", capabilities(&st->remote_caps));
	js_set(o, "capabilities", caps);
	set_left(timers, "holdLeft", st->hold_at_ms, now_ms);
	set_left(timers, "keepaliveDueIn", st->keepalive_at_ms, now_ms);
	set_left(timers, "nextTryIn", st->next_retry_ms, now_ms);
	js_set(o, "timers", timers);
	if (st->last_notification[0])
		js_set_str(o, "lastNotification", st->last_notification);
	js_set_int(o, "filtered", (json_int_t)st->filtered);
	if (st->config->prefix_limit)
		js_set_int(o, "prefixLimit", st->config->prefix_limit);
	js_set_bool(o, "exportOwnOnly", st->config->own_only);
	if (st->config->filters[0])
		js_set_str(o, "filtersOf", st->config->filters);
}

/* ---- attributes ---- */

static void set_id(json_t *o, const char *name, uint32_t id)
{
	struct addr a = addr_v4(id);

	set_addr(o, name, &a);
}

static void set_reflection(json_t *o, const struct bgp_attrs *a)
{
	struct rd ids = bgp_attrs_part(a, BGP_PART_CLUSTER_LIST);
	json_t *list = json_array();

	if (bgp_attrs_has(a, BGP_ATTR_ORIGINATOR_ID))
		set_id(o, "originatorId", a->v.originator_id);
	while (rd_left(&ids) >= 4) {
		char text[ADDR_STR_MAX];
		struct addr id = addr_v4(rd_u32(&ids));

		json_array_append_new(list, js_text(addr_format(&id, text)));
	}
	if (json_array_size(list))
		js_set(o, "clusterList", list);
	else
		json_decref(list);
}

void bgp_show_attrs(json_t *o, const struct bgp_attrs *a)
{
	static const char *const origins[] = { "IGP", "EGP", "incomplete" };
	struct str s = { 0 };

	set_addr(o, "nextHop", &a->v.next_hop);
	set_addr(o, "nextHopLinkLocal", &a->v.next_hop_ll);
	bgp_attrs_path_text(a, &s);
	js_set_str(o, "asPath", str_text(&s));
	str_cut(&s, 0);
	bgp_attrs_communities_text(a, &s);
	if (s.len)
		js_set_str(o, "communities", str_text(&s));
	str_done(&s);
	if (bgp_attrs_has(a, BGP_ATTR_LOCAL_PREF))
		js_set_int(o, "localPref", a->v.local_pref);
	if (bgp_attrs_has(a, BGP_ATTR_MED))
		js_set_int(o, "med", a->v.med);
	if (a->v.origin < ARRAY_SIZE(origins))
		js_set_str(o, "origin", origins[a->v.origin]);
	set_reflection(o, a);
}

/* ---- why ---- */

static json_t *why_json(const struct bgp_why *w)
{
	json_t *o = json_object(), *steps = json_array();

	js_set_str(o, "peer", w->peer->name);
	set_addr(o, "address", &w->peer->addr);
	js_set_str(o, "verdict", bgp_why_verdict_name(w->verdict));
	js_set_str(o, "rule", w->rule);
	js_set_str(o, "text", w->text);
	if (w->filter[0]) {
		js_set_str(o, "filter", w->filter);
		js_set_int(o, "filterRule", w->rule_number);
	}
	if (w->attrs) {
		json_t *as = json_object();

		bgp_show_attrs(as, w->attrs);
		js_set(o, "as", as);
	}
	for (size_t i = 0; i < w->steps.n; i++) {
		json_t *step = json_object();

		js_set_str(step, "question", w->steps.p[i].question);
		js_set_str(step, "answer", w->steps.p[i].answer);
		json_array_append_new(steps, step);
	}
	js_set(o, "steps", steps);
	return o;
}

static bool is_meant(const struct bgp_peer_config *c, const char *to)
{
	char text[ADDR_STR_MAX];

	return !to || strcmp(c->name, to) == 0 || strcmp(addr_format(&c->addr, text), to) == 0;
}

static int no_session(const struct bgp_speaker *sp, const char *to, struct err *e)
{
	struct bgp_peer_status st;
	struct str names = { 0 };

	for (size_t i = 0; i < 8 && bgp_speaker_peer_status(sp, i, &st); i++) {
		char text[ADDR_STR_MAX];

		str_addf(&names, "%s%s", i ? ", " : "", addr_format(&st.config->addr, text));
	}
	err_set(e, -ENOENT, "to: no session with \"%.64s\"; there is one with %s", to ? to : "",
		names.len ? str_text(&names) : "nobody");
	str_done(&names);
	return -ENOENT;
}

json_t *bgp_show_why(struct bgp_speaker *sp, const char *prefix, const char *to, struct err *e)
{
	json_t *list = json_array();
	struct bgp_peer_status st;
	struct prefix p;

	if (!prefix_parse_or_addr(prefix, &p)) {
		err_set(e, -EINVAL,
			"prefix: must be ADDRESS/LENGTH as in 10.0.0.0/26, is \"%.64s\"", prefix);
		json_decref(list);
		return NULL;
	}
	for (size_t i = 0; bgp_speaker_peer_status(sp, i, &st); i++) {
		struct bgp_why w;

		if (!is_meant(st.config, to) || !bgp_speaker_why(sp, &p, i, &w))
			continue;
		json_array_append_new(list, why_json(&w));
		bgp_why_done(&w);
	}
	if (!json_array_size(list)) {
		no_session(sp, to, e);
		json_decref(list);
		return NULL;
	}
	return list;
}
