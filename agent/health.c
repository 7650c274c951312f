/* health.c - GET /liveness and /readiness
 * WHY    Liveness answers from the loop itself, so a loop that hangs does not answer at all.
 *        Readiness is what pods need: a datastore to get addresses from, routes in the kernel,
 *        sessions. After Calico, one session that is up is enough once all were up or 15 s have
 *        passed. */
#include "agent/health.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "agent/cache.h"
#include "agent/config.h"
#include "agent/log.h"
#include "agent/overlay/overlay.h"
#include "agent/owner.h"
#include "agent/bgp/drain.h"
#include "agent/bgp/peering.h"
#include "agent/policy/policing.h"
#include "agent/routes.h"
#include "agent/self.h"

enum {
	RETRY_S = 5,
	SETTLE_S = 15, /* after the start every session is expected to come up */
	BODY_MAX = 0,  /* of a request */
	HEADERS_MAX = 8192,
};

struct health {
	struct agent *agent;
	struct evhttp *http;
	struct event *retry;
	bool said; /* that the port is taken */
};

/* ---- reasons ---- */

static void sessions_down(const struct agent *a, struct str *out)
{
	const struct bgp_speaker *sp = peering_speaker(a->peering);
	struct bgp_peer_status st;
	size_t n = 0, up = 0;
	char down[ADDR_STR_MAX] = "";

	for (; sp && bgp_speaker_peer_status(sp, n, &st); n++) {
		if (st.state == BGP_STATE_ESTABLISHED)
			up++;
		else
			addr_format(&st.config->addr, down);
	}
	if (up == n || (up > 0 && agent_now_ms() - a->started_ms > SETTLE_S * 1000))
		return;
	str_addf(out, "%zu of %zu BGP sessions are up; not with %s\n", up, n, down);
}

void health_not_ready(struct agent *a, struct str *out)
{
	const char *waiting = owner_waiting(a->owner), *trouble = routes_trouble(a->routes);

	if (!cache_synced(a->cache))
		str_addf(out, "the datastore's picture is not complete yet%s%s\n",
			 cache_lost(a->cache) ? ": " : "",
			 cache_lost(a->cache) ? cache_lost(a->cache) : "");
	else if (cache_lost(a->cache))
		str_addf(out, "the datastore cannot be reached: %s\n", cache_lost(a->cache));
	if (waiting)
		str_addf(out, "%s\n", waiting);
	else if (!self_done(a->self))
		str_add(out, "this node is not in the datastore yet\n");
	self_troubles(a->self, out);
	if (trouble)
		str_addf(out, "%s\n", trouble);
	else if (!routes_ready(a->routes))
		str_add(out, "the kernel's routes are not in sync yet\n");
	policing_not_ready(a->policing, out);
	overlay_troubles(a->overlay, out);
	if (!a->cfg->bgp)
		return;
	if (!peering_speaker(a->peering))
		str_add(out, "the BGP speaker has not started yet\n");
	peering_troubles(a->peering, out);
	if (drain_phase(peering_drain(a->peering)) == DRAIN_STOPPED)
		str_add(out, "this node is drained; margayctl node undrain brings it back\n");
	else
		sessions_down(a, out);
}

/* ---- HTTP ---- */

static void answer(struct evhttp_request *req, int code, const char *text)
{
	struct evbuffer *body = evbuffer_new();

	assert(body);
	evbuffer_add(body, text, strlen(text));
	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type",
			  "text/plain; charset=utf-8");
	evhttp_send_reply(req, code, code == 200 ? "OK" : "Service Unavailable", body);
	evbuffer_free(body);
}

static void on_liveness(struct evhttp_request *req, void *arg)
{
	answer(req, 200, "the loop turns\n");
}

static void on_readiness(struct evhttp_request *req, void *arg)
{
	struct health *h = arg;
	struct str reasons = { 0 };

	health_not_ready(h->agent, &reasons);
	if (reasons.len)
		answer(req, 503, str_text(&reasons));
	else
		answer(req, 200, "ready\n");
	str_done(&reasons);
}

static void try_listen(struct health *h)
{
	const struct agent_config *cfg = h->agent->cfg;
	static const struct timeval later = { .tv_sec = RETRY_S };
	const char *host =
		strcmp(cfg->health_host, "localhost") == 0 ? "127.0.0.1" : cfg->health_host;

	if (evhttp_bind_socket(h->http, host, (uint16_t)cfg->health_port) == 0) {
		if (h->said)
			log_info("health", "the health port is free now; serving", "port=%d",
				 cfg->health_port);
		return;
	}
	if (!h->said)
		log_error("health",
			  "cannot serve health; trying again. Choose another --health-port, "
			  "or --health-enabled=false",
			  "host=%s port=%d why=%s", host, cfg->health_port, strerror(errno));
	h->said = true;
	evtimer_add(h->retry, &later);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	try_listen(arg);
}

struct health *health_new(struct agent *a)
{
	struct health *h = xcalloc(1, sizeof(*h));

	h->agent = a;
	if (!a->cfg->health)
		return h;
	h->http = evhttp_new(a->base);
	h->retry = evtimer_new(a->base, on_retry, h);
	assert(h->http && h->retry);
	evhttp_set_allowed_methods(h->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(h->http, HEADERS_MAX);
	evhttp_set_max_body_size(h->http, BODY_MAX);
	evhttp_set_timeout(h->http, 10);
	evhttp_set_cb(h->http, "/liveness", on_liveness, h);
	evhttp_set_cb(h->http, "/readiness", on_readiness, h);
	try_listen(h);
	return h;
}

void health_free(struct health *h)
{
	if (!h)
		return;
	if (h->http)
		evhttp_free(h->http);
	if (h->retry)
		event_free(h->retry);
	free(h);
}
