/* drain.c - a node leaves the fabric without losing a packet, and comes back
 * SPEC   RFC 8326 4; 8538 3; 9003
 * TESTS  tests/unit/agent/drain.c, tests/netns/test_drain.py */
#include "agent/bgp/drain.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent/clock.h"
#include "agent/log.h"
#include "lib/json.h"
#include "model/wall.h"

struct drain {
	struct drain_state s;
	char *path;
	struct event *timer;
	drain_changed_fn *changed;
	void *arg;
};

/* ---- how far it is ---- */

static const char *const names[DRAIN_PHASE_MAX_] = {
	[DRAIN_NONE] = "none",
	[DRAIN_ANNOUNCED] = "announced",
	[DRAIN_WITHDRAWN] = "withdrawn",
	[DRAIN_STOPPED] = "stopped",
};

const char *drain_phase_name(enum drain_phase phase)
{
	return names[phase];
}

int64_t drain_deadline(const struct drain_state *s)
{
	if (s->phase == DRAIN_NONE || s->phase == DRAIN_STOPPED)
		return INT64_MAX;
	return s->since_ms + (int64_t)s->pause_s * 1000;
}

bool drain_step(struct drain_state *s, int64_t wall_ms)
{
	enum drain_phase before = s->phase;

	if (wall_ms < s->since_ms)
		s->since_ms = wall_ms;
	while (wall_ms >= drain_deadline(s)) {
		s->since_ms = drain_deadline(s);
		s->phase++;
	}
	return s->phase != before;
}

/* ---- as a file ---- */

char *drain_encode(const struct drain_state *s)
{
	json_t *o = json_object();
	char *text;

	js_set_str(o, "phase", names[s->phase]);
	js_set_int(o, "sinceMs", s->since_ms);
	js_set_int(o, "pauseSeconds", s->pause_s);
	js_set_str(o, "text", s->text);
	text = js_dump(o);
	json_decref(o);
	return text;
}

static int read_fields(const json_t *o, struct drain_state *out, struct err *e)
{
	const char *phase = "", *text = "";
	int64_t since = 0, pause = DRAIN_PAUSE_S;
	int p = DRAIN_NONE;

	if (js_need(js_str(o, "phase", &phase, e), "phase", e) < 0 ||
	    js_str(o, "text", &text, e) < 0 ||
	    js_int(o, "sinceMs", 0, INT64_MAX / 2, &since, e) < 0 ||
	    js_int(o, "pauseSeconds", 0, DRAIN_PAUSE_MAX_S, &pause, e) < 0)
		return -EINVAL;
	while (p < DRAIN_PHASE_MAX_ && strcmp(names[p], phase) != 0)
		p++;
	if (p == DRAIN_PHASE_MAX_)
		return err_set(e, -EINVAL, "phase: must be announced, withdrawn or stopped");
	*out = (struct drain_state) { .phase = (enum drain_phase)p,
				      .since_ms = since,
				      .pause_s = (unsigned)pause };
	str_copy(out->text, sizeof(out->text), text);
	return 0;
}

int drain_decode(const char *text, struct drain_state *s, struct err *e)
{
	json_t *o = NULL;
	int rc = js_parse(text, strlen(text), &o, e);

	if (rc == 0)
		rc = read_fields(o, s, e);
	json_decref(o);
	return rc < 0 ? -EINVAL : 0;
}

/* A power cut must not bring a drained node back. */
static bool write_whole(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
	return close(fd) == 0 && ok;
}

static int keep(const struct drain *d, const struct drain_state *s, struct err *e)
{
	CLEANUP(freep) char *fresh = xasprintf("%s.new", d->path), *text = drain_encode(s);

	if (s->phase == DRAIN_NONE) {
		if (unlink(d->path) == 0 || errno == ENOENT)
			return 0;
	} else if (write_whole(fresh, text) && rename(fresh, d->path) == 0) {
		return 0;
	}
	return err_set(e, -errno, "%s: %s; without it a restart would forget", d->path,
		       strerror(errno));
}

static void recall(struct drain *d)
{
	char text[1024];
	FILE *f = fopen(d->path, "re");
	struct err e = { 0 };
	size_t n;

	if (!f)
		return;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	if (drain_decode(text, &d->s, &e) < 0)
		log_error("bgp", "cannot read whether this node is drained; taking it as not",
			  "file=%s why=%s", d->path, e.msg);
	else
		log_info("bgp", "this node is being drained", "phase=%s", names[d->s.phase]);
}

/* ---- at work ---- */

static int64_t wall_ms(void)
{
	return clock_wall_ns() / 1000000;
}

static void arm(struct drain *d)
{
	int64_t at = drain_deadline(&d->s), left = at - wall_ms();
	struct timeval tv = { 0 };

	evtimer_del(d->timer);
	if (at == INT64_MAX)
		return;
	left = left > 0 ? left + 1 : 0;
	tv.tv_sec = left / 1000;
	tv.tv_usec = left % 1000 * 1000;
	evtimer_add(d->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct drain *d = arg;
	struct err e = { 0 };

	if (drain_step(&d->s, wall_ms())) {
		if (keep(d, &d->s, &e) < 0)
			log_error("bgp", "cannot remember how far the drain is", "why=%s", e.msg);
		log_info("bgp", "draining", "phase=%s", names[d->s.phase]);
		d->changed(d->arg);
	}
	arm(d);
}

struct drain *drain_new(struct event_base *base, const char *state_dir, drain_changed_fn *changed,
			void *arg)
{
	struct drain *d = xcalloc(1, sizeof(*d));

	d->path = xasprintf("%s/drain", state_dir);
	d->changed = changed;
	d->arg = arg;
	d->timer = evtimer_new(base, on_timer, d);
	assert(d->timer);
	recall(d);
	drain_step(&d->s, wall_ms());
	arm(d);
	return d;
}

void drain_free(struct drain *d)
{
	if (!d)
		return;
	event_free(d->timer);
	free(d->path);
	free(d);
}

enum drain_phase drain_phase(const struct drain *d)
{
	return d->s.phase;
}

const char *drain_text(const struct drain *d)
{
	return d->s.text;
}

static int take(struct drain *d, const struct drain_state *next, struct err *e)
{
	enum drain_phase before = d->s.phase;
	int rc = keep(d, next, e);

	if (rc < 0)
		return rc;
	d->s = *next;
	arm(d);
	if (before == d->s.phase)
		return 0;
	log_info("bgp", "draining", "phase=%s", names[d->s.phase]);
	d->changed(d->arg);
	return 0;
}

int drain_begin(struct drain *d, unsigned pause_s, const char *text, struct err *e)
{
	struct drain_state next = d->s;

	next.pause_s = pause_s;
	if (next.phase == DRAIN_NONE) {
		next.phase = DRAIN_ANNOUNCED;
		next.since_ms = wall_ms();
		str_copy(next.text, sizeof(next.text), text);
	}
	return take(d, &next, e);
}

int drain_end(struct drain *d, struct err *e)
{
	const struct drain_state none = { .phase = DRAIN_NONE };

	return take(d, &none, e);
}

json_t *drain_show(const struct drain *d)
{
	json_t *o = json_object();
	int64_t at = drain_deadline(&d->s), left = at - wall_ms();
	char text[WALL_STR_MAX];

	js_set_str(o, "phase", names[d->s.phase]);
	if (d->s.phase == DRAIN_NONE)
		return o;
	js_set_str(o, "since", wall_rfc3339(d->s.since_ms * 1000000, text));
	js_set_int(o, "pauseSeconds", d->s.pause_s);
	if (at != INT64_MAX)
		js_set(o, "nextInSeconds", json_real((double)(left > 0 ? left : 0) / 1000));
	if (d->s.text[0])
		js_set_str(o, "text", d->s.text);
	return o;
}
