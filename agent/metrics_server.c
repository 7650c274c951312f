/* metrics_server.c - GET /metrics
 * TESTS  tests/netns/test_metrics.py */
#include "agent/metrics_server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "agent/config.h"
#include "agent/felix.h"
#include "agent/log.h"
#include "agent/metrics.h"

enum {
	RETRY_S = 5,
	TIMEOUT_S = 10,
	BODY_MAX = 0, /* of a request */
	HEADERS_MAX = 8192,
};

/* Where it is to be served. */
struct place {
	bool on;
	char host[ADDR_STR_MAX];
	uint16_t port;
};

struct metrics_server {
	struct agent *agent;
	struct evhttp *http;
	struct evhttp_bound_socket *bound; /* NULL: not listening */
	struct event *retry;
	struct place place;
	bool said; /* that it cannot be had */
};

static void answer(struct evhttp_request *req, int code, const char *reason, const char *type,
		   const struct str *text)
{
	struct evbuffer *body = evbuffer_new();

	assert(body);
	evbuffer_add(body, str_text(text), text->len);
	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", type);
	evhttp_send_reply(req, code, reason, body);
	evbuffer_free(body);
}

static void on_metrics(struct evhttp_request *req, void *arg)
{
	struct metrics_server *s = arg;
	struct str text = { 0 };

	metrics_scrape(s->agent->metrics, &text);
	answer(req, 200, "OK", "text/plain; version=0.0.4; charset=utf-8", &text);
	str_done(&text);
}

static void on_other(struct evhttp_request *req, void *arg)
{
	struct str text = { 0 };

	str_add(&text, "the metrics are at /metrics\n");
	answer(req, 404, "Not Found", "text/plain; charset=utf-8", &text);
	str_done(&text);
}

static void try_listen(struct metrics_server *s)
{
	static const struct timeval later = { .tv_sec = RETRY_S };
	const struct place *at = &s->place;

	s->bound = evhttp_bind_socket_with_handle(s->http, at->host, at->port);
	if (s->bound) {
		if (s->said)
			log_info("metrics", "the metrics port is free now; serving", "port=%u",
				 at->port);
		s->said = false;
		return;
	}
	if (!s->said)
		log_error("metrics",
			  "cannot serve metrics; trying again. Choose another --metrics-port, "
			  "or --metrics-enabled=false",
			  "host=%s port=%u why=%s", at->host, at->port, strerror(errno));
	s->said = true;
	evtimer_add(s->retry, &later);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	try_listen(arg);
}

/* What was told to this program counts before FelixConfiguration.
 * DIFFERS: Calico's agent serves no metrics unless it is told to, and then on all addresses unless it
 *        is told where. The second holds here, too; without a word they are on loopback. */
static const char *host_of(const struct agent_config *cfg, const struct felixconfig *f)
{
	if (cfg->has_metrics_host)
		return cfg->metrics_host;
	if (*f->metrics_host)
		return f->metrics_host;
	return f->has_metrics_enabled && f->metrics_enabled ? "0.0.0.0" : "127.0.0.1";
}

static struct place place_of(struct agent *a)
{
	const struct agent_config *cfg = a->cfg;
	const struct felixconfig *f = felix_config(a->felix);
	const char *host = host_of(cfg, f);
	struct place at = { 0 };
	struct addr addr;

	at.on = !cfg->has_metrics && f->has_metrics_enabled ? f->metrics_enabled : cfg->metrics;
	at.port = (uint16_t)(cfg->has_metrics_port ? cfg->metrics_port : f->metrics_port);
	/* A name would have to be looked up, and the loop would stand still meanwhile. */
	if (!strcmp(host, "localhost"))
		host = "127.0.0.1";
	else if (!addr_parse(host, &addr)) {
		log_error("metrics", "prometheusMetricsHost is no address; serving on loopback",
			  "is=%s", host);
		host = "127.0.0.1";
	}
	str_copy(at.host, sizeof(at.host), host);
	return at;
}

static void on_settings(void *arg)
{
	struct metrics_server *s = arg;
	struct place at = place_of(s->agent);

	if (at.on == s->place.on && at.port == s->place.port && !strcmp(at.host, s->place.host))
		return;
	if (s->bound)
		evhttp_del_accept_socket(s->http, s->bound);
	s->bound = NULL;
	s->said = false;
	evtimer_del(s->retry);
	s->place = at;
	if (at.on)
		try_listen(s);
}

struct metrics_server *metrics_server_new(struct agent *a)
{
	struct metrics_server *s = xcalloc(1, sizeof(*s));

	s->agent = a;
	s->http = evhttp_new(a->base);
	s->retry = evtimer_new(a->base, on_retry, s);
	assert(s->http && s->retry);
	evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(s->http, HEADERS_MAX);
	evhttp_set_max_body_size(s->http, BODY_MAX);
	evhttp_set_timeout(s->http, TIMEOUT_S);
	evhttp_set_cb(s->http, "/metrics", on_metrics, s);
	evhttp_set_gencb(s->http, on_other, s);
	felix_watch(a->felix, on_settings, s);
	on_settings(s);
	return s;
}

void metrics_server_free(struct metrics_server *s)
{
	if (!s)
		return;
	evhttp_free(s->http);
	event_free(s->retry);
	free(s);
}
