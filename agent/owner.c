/* owner.c - is this the only agent that calls itself by this node's name?
 * SHAPE  start -> read -> free, ended or ours: claim
 *                      -> another's: watch its beat -> moved: end with words
 *                                                   -> still: claim
 *        claimed -> beat every OWNER_BEAT_MS by compare-and-swap
 *                -> conflict: read -> a newer claim: take back; an older one: end with words
 * TESTS  tests/unit/agent/owner.c */
#include "agent/owner.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "agent/config.h"
#include "agent/log.h"
#include "agent/cni/uuid.h"
#include "datastore/ds.h"
#include "lib/json.h"

enum {
	RETRY_MS = 1000,
	RELEASE_MS = 300, /* at the end, for the store to take our last word */
};

struct owner {
	struct agent *agent;
	owner_ours_fn *ours;
	void *arg;
	char *key;
	struct owner_record me;
	int64_t rev; /* of our record */
	/* the other one, while we watch it */
	struct owner_record other;
	int64_t give_up_at;
	struct event *timer;
	bool claimed, told;
	bool asked, dead;
	int beat_ms, wait_ms, retry_ms;
	char waiting[400];
};

static void read_record(struct owner *o);

/* ---- the record ---- */

char *owner_encode(const struct owner_record *r)
{
	json_t *obj = json_object();
	char *text;

	js_set_str(obj, "instance", r->instance);
	js_set_int(obj, "claim", r->claim);
	js_set_int(obj, "beat", r->beat);
	js_set_bool(obj, "ended", r->ended);
	js_set_str(obj, "host", r->host);
	js_set_int(obj, "pid", r->pid);
	text = js_dump(obj);
	json_decref(obj);
	return text;
}

void owner_decode(const char *text, struct owner_record *r)
{
	json_t *obj = NULL;
	const char *s;

	*r = (struct owner_record) { 0 };
	if (js_parse(text, strlen(text), &obj, NULL) < 0)
		return;
	if (js_str(obj, "instance", &s, NULL) == 1)
		str_copy(r->instance, sizeof(r->instance), s);
	if (js_str(obj, "host", &s, NULL) == 1)
		str_copy(r->host, sizeof(r->host), s);
	js_int(obj, "claim", 0, INT64_MAX - 1, &r->claim, NULL);
	js_int(obj, "beat", 0, INT64_MAX - 1, &r->beat, NULL);
	js_int(obj, "pid", 0, INT32_MAX, &r->pid, NULL);
	js_bool(obj, "ended", &r->ended, NULL);
	json_decref(obj);
}

/* ---- machine ---- */

static void arm(struct owner *o, int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (long)(ms % 1000) * 1000 };

	evtimer_add(o->timer, &tv);
}

static void destroy(struct owner *o)
{
	event_free(o->timer);
	free(o->key);
	free(o);
}

static bool answered(struct owner *o)
{
	o->asked = false;
	if (!o->dead)
		return false;
	destroy(o);
	return true;
}

static void refuse(struct owner *o, const struct owner_record *other)
{
	log_error(
		"owner",
		"another agent runs with this node's name; ending. Give each machine a name of its "
		"own (--node), or stop the other one",
		"node=%s other_host=%s other_pid=%lld", o->agent->cfg->node, other->host,
		(long long)other->pid);
	o->agent->stop(o->agent, 1);
}

static void is_ours(struct owner *o)
{
	o->waiting[0] = '\0';
	o->claimed = true;
	arm(o, o->beat_ms);
	if (o->told)
		return;
	o->told = true;
	o->ours(o->arg);
}

static void on_written(void *arg, struct store_res *res)
{
	struct owner *o = arg;

	if (answered(o))
		return;
	switch (res->status) {
	case STORE_OK:
		o->rev = res->rev;
		is_ours(o);
		break;
	case STORE_NOT_FOUND:
	case STORE_EXISTS:
	case STORE_CONFLICT:
		read_record(o);
		break;
	case STORE_UNAVAILABLE:
		arm(o, o->retry_ms);
		break;
	case STORE_ERROR:
		/* A store that cannot hold the key (Kubernetes names its nodes itself). */
		log_from("owner", LOG_LEVEL_DEBUG, "owner", "the datastore keeps no owner record",
			 "why=%s", res->msg);
		is_ours(o);
		break;
	}
}

/* rev 0: there was no record. */
static void write_record(struct owner *o, int64_t rev)
{
	CLEANUP(freep) char *text = owner_encode(&o->me);

	o->asked = true;
	ds_submit(o->agent->ds, rev ? store_update(o->key, text, rev) : store_create(o->key, text),
		  on_written, o);
}

/* Take the record from whoever had it: our claim is the next one, unless we take back what was
 * ours. */
static void claim(struct owner *o, const struct owner_record *old, int64_t rev)
{
	if (!o->claimed)
		o->me.claim = old->claim + 1;
	o->me.beat++;
	write_record(o, rev);
}

static void wait_for_other(struct owner *o, const struct owner_record *other, int64_t rev)
{
	int64_t now = agent_now_ms();

	if (!o->give_up_at || strcmp(o->other.instance, other->instance) != 0) {
		o->other = *other;
		o->give_up_at = now + o->wait_ms;
		snprintf(o->waiting, sizeof(o->waiting),
			 "node %s belonged to an agent on %s; waiting up to %d s to see whether it "
			 "still runs",
			 o->agent->cfg->node, other->host, o->wait_ms / 1000);
		log_warn("owner",
			 "this node's name belongs to another agent; looking whether it runs",
			 "node=%s other_host=%s wait_ms=%d", o->agent->cfg->node, other->host,
			 o->wait_ms);
	} else if (other->beat != o->other.beat) {
		refuse(o, other);
		return;
	}
	if (now < o->give_up_at) {
		arm(o, o->retry_ms);
		return;
	}
	log_info("owner", "the other agent does not run any more; taking over", "node=%s",
		 o->agent->cfg->node);
	claim(o, other, rev);
}

static void found(struct owner *o, const struct owner_record *r, int64_t rev)
{
	bool same = strcmp(r->instance, o->me.instance) == 0;

	/* Cloned machines have one instance number, so the claim decides. */
	if (o->claimed && r->claim < o->me.claim && !r->ended)
		refuse(o, r); /* the older owner has taken its record back */
	else if (o->claimed || same || r->ended || !r->instance[0])
		claim(o, r, rev);
	else
		wait_for_other(o, r, rev);
}

static void on_read(void *arg, struct store_res *res)
{
	struct owner *o = arg;
	struct owner_record r = { 0 };

	if (answered(o))
		return;
	if (res->status == STORE_OK && res->n == 1) {
		owner_decode(res->kv[0].value, &r);
		found(o, &r, res->kv[0].rev);
	} else if (res->status == STORE_NOT_FOUND) {
		claim(o, &r, 0);
	} else if (res->status == STORE_UNAVAILABLE) {
		str_copy(o->waiting, sizeof(o->waiting), res->msg);
		arm(o, o->retry_ms);
	} else {
		is_ours(o);
	}
}

static void read_record(struct owner *o)
{
	struct store_req req = store_get(o->key);

	req.fresh = true;
	o->asked = true;
	ds_submit(o->agent->ds, req, on_read, o);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct owner *o = arg;

	if (o->asked)
		return;
	if (!o->claimed || !o->rev) {
		read_record(o);
		return;
	}
	o->me.beat++;
	write_record(o, o->rev);
}

/* ---- life ---- */

/* The instance's number: made once, kept in the state directory. */
static int read_instance(struct owner *o, struct err *e)
{
	CLEANUP(freep) char *path = xasprintf("%s/instance", o->agent->cfg->state_dir);
	CLEANUP(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ssize_t n;

	if (fd < 0)
		return err_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
	n = read(fd, o->me.instance, 36);
	if (n == 36)
		return 0;
	uuid_random(o->me.instance);
	if (pwrite(fd, o->me.instance, 36, 0) != 36 || fdatasync(fd) < 0)
		return err_set(e, -errno, "cannot write %s: %s", path, strerror(errno));
	return 0;
}

struct owner *owner_new(struct agent *a, owner_ours_fn *ours, void *arg, struct err *e)
{
	struct owner *o = xcalloc(1, sizeof(*o));

	o->agent = a;
	o->ours = ours;
	o->arg = arg;
	o->key = xasprintf("/margay/v1/agents/%s", a->cfg->node);
	o->beat_ms = OWNER_BEAT_MS;
	o->wait_ms = OWNER_WAIT_MS;
	o->retry_ms = RETRY_MS;
	o->timer = evtimer_new(a->base, on_timer, o);
	assert(o->timer);
	str_copy(o->waiting, sizeof(o->waiting), "the datastore has not answered yet");
	if (read_instance(o, e) < 0) {
		destroy(o);
		return NULL;
	}
	gethostname(o->me.host, sizeof(o->me.host) - 1);
	o->me.pid = getpid();
	read_record(o);
	return o;
}

void owner_set_times(struct owner *o, int beat_ms, int wait_ms)
{
	o->beat_ms = beat_ms;
	o->wait_ms = wait_ms;
	o->retry_ms = beat_ms;
}

static void on_released(void *arg, struct store_res *res)
{
	bool *done = arg;

	*done = true;
}

static void on_release_late(evutil_socket_t fd, short what, void *arg)
{
	bool *done = arg;

	*done = true;
}

/* Mark the record as ended. Everything else of the agent is gone; the loop runs for this alone. */
static void release_record(struct owner *o)
{
	static const struct timeval limit = { .tv_usec = RELEASE_MS * 1000 };
	static bool done; /* outlives this frame: the store may answer later than we wait */
	CLEANUP(freep) char *text = NULL;

	o->me.ended = true;
	text = owner_encode(&o->me);
	done = false;
	event_base_once(o->agent->base, -1, EV_TIMEOUT, on_release_late, &done, &limit);
	ds_submit(o->agent->ds, store_update(o->key, text, o->rev), on_released, &done);
	while (!done && event_base_loop(o->agent->base, EVLOOP_ONCE) == 0)
		;
}

void owner_free(struct owner *o, bool release)
{
	if (!o)
		return;
	event_del(o->timer);
	if (release && o->claimed && o->rev && !o->asked)
		release_record(o);
	o->dead = true;
	if (!o->asked)
		destroy(o);
}

const char *owner_waiting(const struct owner *o)
{
	return o->waiting[0] ? o->waiting : NULL;
}
