/* ctl.c - the datastore as commands see it: one call, one answer, words when it fails */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "ctl/files.h"
#include "datastore/ds.h"
#include "model/key.h"

#define AGENT_FILE	  "/etc/margay/margayd.yaml"
#define DATASTORE_DEFAULT "sqlite:/var/lib/margay/margay.db"

enum {
	TRIES_MAX = 10,	       /* while the store is unavailable ... */
	TRY_AGAIN_US = 200000, /* ... so far apart */
};

int ctl_error(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("margayctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return CTL_FAILED;
}

/* `datastore` or `stateDir` of the agent's file, so that margayctl on a node needs no option. Heap;
 * NULL when there is no such file or key. */
static char *from_agent_file(struct err *e, int *rc)
{
	struct yml_docs docs = { 0 };
	const char *text = NULL;
	struct str bytes = { 0 };
	char *found = NULL;

	*rc = file_read(AGENT_FILE, &bytes, e);
	if (*rc == -ENOENT) {
		*rc = 0;
		return NULL;
	}
	if (*rc == 0)
		*rc = yml_parse(AGENT_FILE, str_text(&bytes), bytes.len, &docs, e);
	str_done(&bytes);
	if (*rc == 0 && docs.n && js_str(docs.p[0].value, "datastore", &text, NULL) > 0)
		found = xstrdup(text);
	else if (*rc == 0 && docs.n && js_str(docs.p[0].value, "stateDir", &text, NULL) > 0)
		found = xasprintf("sqlite:%s/margay.db", text);
	yml_docs_done(&docs);
	return found;
}

static char *find_datastore(const struct ctl *c, struct err *e, int *rc)
{
	const char *env = getenv("MARGAY_DATASTORE");
	char *found;

	*rc = 0;
	if (c->datastore)
		return xstrdup(c->datastore);
	if (env && *env)
		return xstrdup(env);
	found = from_agent_file(e, rc);
	return found || *rc < 0 ? found : xstrdup(DATASTORE_DEFAULT);
}

int ctl_open(struct ctl *c, enum ctl_access access, struct err *e)
{
	static const unsigned flags[] = {
		[CTL_READ] = DS_READONLY,
		[CTL_WRITE] = DS_DURABLE,
		[CTL_MAKE] = DS_DURABLE | DS_CREATE,
	};
	CLEANUP(freep) char *spec = NULL;
	int rc;

	if (c->ds)
		return 0;
	spec = find_datastore(c, e, &rc);
	if (rc < 0)
		return rc;
	if (!c->base)
		c->base = event_base_new();
	if (!c->base)
		return err_set(e, -ENOMEM, "no event loop");
	return ds_open(&c->ds, c->base, spec, flags[access], e);
}

void ctl_close(struct ctl *c)
{
	ds_close(c->ds);
	c->ds = NULL;
	if (c->base)
		event_base_free(c->base);
	c->base = NULL;
}

static int status_code(enum store_status status)
{
	switch (status) {
	case STORE_OK:
		return 0;
	case STORE_NOT_FOUND:
		return -ENOENT;
	case STORE_EXISTS:
		return -EEXIST;
	case STORE_CONFLICT:
		return -ESTALE;
	case STORE_UNAVAILABLE:
		return -EAGAIN;
	case STORE_ERROR:
		break;
	}
	return -EIO;
}

static int failed(const struct store_res *res, const char *what, struct err *e)
{
	int code = status_code(res->status);

	switch (res->status) {
	case STORE_NOT_FOUND:
		return err_set(e, code, "%s: does not exist", what);
	case STORE_EXISTS:
		return err_set(e, code, "%s: exists already", what);
	case STORE_CONFLICT:
		return err_set(e, code, "%s: was changed by somebody else: get it again and repeat",
			       what);
	case STORE_OK:
	case STORE_UNAVAILABLE:
	case STORE_ERROR:
		break;
	}
	return err_set(e, code, "%s: %s: %s", what, store_status_name(res->status), res->msg);
}

static struct store_req req_copy(const struct store_req *r)
{
	struct store_req copy = *r;

	copy.key = xstrdup(r->key);
	copy.value = xstrdup(r->value);
	return copy;
}

int ctl_call(struct ctl *c, struct store_req req, const char *what, struct store_res *out,
	     struct err *e)
{
	struct store_res res = ds_call(c->ds, req_copy(&req));
	int rc;

	for (int i = 1; res.status == STORE_UNAVAILABLE && i < TRIES_MAX; i++) {
		store_res_done(&res);
		usleep(TRY_AGAIN_US);
		res = ds_call(c->ds, req_copy(&req));
	}
	store_req_done(&req);
	rc = res.status == STORE_OK ? 0 : failed(&res, what, e);
	if (rc == 0 && out)
		*out = res;
	else
		store_res_done(&res);
	return rc;
}

static char *name_of(const struct kind *kind, const char *ns, const char *name)
{
	return ns ? xasprintf("%s %s/%s", kind->name, ns, name)
		  : xasprintf("%s %s", kind->name, name);
}

char *ctl_name(const struct object *o)
{
	return name_of(o->kind, o->ns, o->name);
}

static int get_key(struct ctl *c, const char *key, const char *what, struct object *out,
		   struct err *e)
{
	struct store_res res;
	int rc = ctl_call(c, store_get(key), what, &res, e);

	if (rc < 0)
		return rc;
	rc = object_decode(key, res.kv[0].value, res.kv[0].rev, out, e);
	store_res_done(&res);
	return rc;
}

/* A policy under the name that older writers stored it by, which get lists without the tier. */
static int get_older(struct ctl *c, const struct kind *kind, const char *ns, const char *name,
		     const char *what, struct object *out)
{
	CLEANUP(freep) char *older = xasprintf("default.%s", name);
	CLEANUP(freep) char *key = key_resource(kind, ns, older);

	return get_key(c, key, what, out, NULL);
}

int ctl_get(struct ctl *c, const struct kind *kind, const char *ns, const char *name,
	    struct object *out, struct err *e)
{
	CLEANUP(freep) char *key = key_resource(kind, ns, name);
	CLEANUP(freep) char *what = name_of(kind, kind->flags & KIND_NAMESPACED ? ns : NULL, name);
	int rc = get_key(c, key, what, out, e);

	if (rc == -ENOENT && kind->flags & KIND_POLICY &&
	    get_older(c, kind, ns, name, what, out) == 0)
		return 0;
	return rc;
}

int ctl_list(struct ctl *c, const struct kind *kind, const char *ns, struct object_vec *out,
	     size_t *broken, struct err *e)
{
	CLEANUP(freep) char *prefix = key_prefix(kind, ns);
	struct store_res res;
	int rc = ctl_call(c, store_list(prefix), kind->plural, &res, e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < res.n; i++) {
		struct err why = { 0 };
		struct object o;

		if (object_decode(res.kv[i].key, res.kv[i].value, res.kv[i].rev, &o, &why) == 0) {
			vec_push(out, o);
			continue;
		}
		ctl_error("%s: left out", why.msg);
		if (broken)
			++*broken;
	}
	store_res_done(&res);
	return 0;
}

int ctl_create(struct ctl *c, struct object *o, struct err *e)
{
	CLEANUP(freep) char *key = object_key(o), *value = NULL, *what = ctl_name(o);
	uint8_t random[16];
	struct store_res res;
	char now[21];
	int rc;

	ctl_now(now);
	ctl_random(random);
	object_fill_new(o, random, now);
	value = object_encode(o);
	rc = ctl_call(c, store_create(key, value), what, &res, e);
	if (rc < 0)
		return rc;
	o->rev = res.rev;
	store_res_done(&res);
	return 0;
}

int ctl_update(struct ctl *c, struct object *o, struct err *e)
{
	CLEANUP(freep) char *key = object_key(o), *value = NULL, *what = ctl_name(o);
	struct store_res res;
	int rc;

	object_fill(o);
	value = object_encode(o);
	rc = ctl_call(c, store_update(key, value, o->rev), what, &res, e);
	if (rc < 0)
		return rc;
	o->rev = res.rev;
	store_res_done(&res);
	return 0;
}

int ctl_delete(struct ctl *c, const struct object *o, int64_t rev, struct err *e)
{
	CLEANUP(freep) char *key = object_key(o), *what = ctl_name(o);

	return ctl_call(c, store_delete(key, rev), what, NULL, e);
}

void ctl_print(const struct ctl *c, const json_t *v)
{
	char *text = c->output == CTL_JSON ? js_dump_pretty(v) : yml_dump(v);

	fputs(text, stdout);
	if (c->output == CTL_JSON)
		putchar('\n');
	free(text);
}

void ctl_now(char out[static 21])
{
	time_t t = time(NULL);
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void ctl_random(uint8_t out[static 16])
{
	if (getrandom(out, 16, 0) != 16)
		abort();
}
