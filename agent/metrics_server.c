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
#include "agent/log.h"
#include "agent/metrics.h"

enum {
	RETRY_S = 5,
	TIMEOUT_S = 10,
	BODY_MAX = 0, /* of a request */
	HEADERS_MAX = 8192,
};

struct metrics_server {
	struct agent *agent;
	struct evhttp *http;
	struct event *retry;
	bool said; /* that the port is taken */
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
	const struct agent_config *cfg = s->agent->cfg;
	static const struct timeval later = { .tv_sec = RETRY_S };
	const char *host =
		strcmp(cfg->metrics_host, "localhost") == 0 ? "127.0.0.1" : cfg->metrics_host;

	if (evhttp_bind_socket(s->http, host, (uint16_t)cfg->metrics_port) == 0) {
		if (s->said)
			log_info("metrics", "the metrics port is free now; serving", "port=%d",
				 cfg->metrics_port);
		return;
	}
	if (!s->said)
		log_error("metrics",
			  "cannot serve metrics; trying again. Choose another --metrics-port, "
			  "or --metrics-enabled=false",
			  "host=%s port=%d why=%s", host, cfg->metrics_port, strerror(errno));
	s->said = true;
	evtimer_add(s->retry, &later);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	try_listen(arg);
}

struct metrics_server *metrics_server_new(struct agent *a)
{
	struct metrics_server *s = xcalloc(1, sizeof(*s));

	s->agent = a;
	if (!a->cfg->metrics)
		return s;
	s->http = evhttp_new(a->base);
	s->retry = evtimer_new(a->base, on_retry, s);
	assert(s->http && s->retry);
	evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(s->http, HEADERS_MAX);
	evhttp_set_max_body_size(s->http, BODY_MAX);
	evhttp_set_timeout(s->http, TIMEOUT_S);
	evhttp_set_cb(s->http, "/metrics", on_metrics, s);
	evhttp_set_gencb(s->http, on_other, s);
	try_listen(s);
	return s;
}

void metrics_server_free(struct metrics_server *s)
{
	if (!s)
		return;
	if (s->http)
		evhttp_free(s->http);
	if (s->retry)
		event_free(s->retry);
	free(s);
}
