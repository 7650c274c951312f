/* memstore.c - a datastore in memory that remembers every version */
#include "tests/sim/memstore.h"

#include <stdio.h>

static struct mem_key *find(const struct memstore *m, const char *key, size_t *at)
{
	size_t lo = 0, hi = m->key.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(m->key.p[mid].key, key);

		if (c == 0) {
			*at = mid;
			return &m->key.p[mid];
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*at = lo;
	return NULL;
}

static struct mem_key *find_or_add(struct memstore *m, const char *key)
{
	size_t at;
	struct mem_key *k = find(m, key, &at);
	struct mem_key new = { 0 };

	if (k)
		return k;
	new.key = xstrdup(key);
	vec_push(&m->key, new);
	memmove(&m->key.p[at + 1], &m->key.p[at], (m->key.n - 1 - at) * sizeof(new));
	m->key.p[at] = new;
	return &m->key.p[at];
}

static const struct mem_version *version_at(const struct mem_key *k, int64_t as_of)
{
	for (size_t i = k ? k->version.n : 0; i > 0; i--)
		if (!as_of || k->version.p[i - 1].rev <= as_of)
			return k->version.p[i - 1].value ? &k->version.p[i - 1] : NULL;
	return NULL;
}

static struct store_kv copy_kv(const struct mem_key *k, const struct mem_version *v)
{
	return (struct store_kv) { xstrdup(k->key), xstrdup(v->value), v->rev };
}

static struct store_res get(struct memstore *m, const char *key, int64_t as_of)
{
	struct store_res r = { .rev = as_of ? as_of : m->rev };
	size_t at;
	const struct mem_key *k = find(m, key, &at);
	const struct mem_version *v = version_at(k, as_of);

	if (!v) {
		r.status = STORE_NOT_FOUND;
		return r;
	}
	r.kv = xcalloc(1, sizeof(*r.kv));
	r.kv[r.n++] = copy_kv(k, v);
	return r;
}

static struct store_res list(struct memstore *m, const char *prefix, int64_t as_of)
{
	struct store_res r = { .rev = as_of ? as_of : m->rev };
	size_t at;

	r.kv = xcalloc(m->key.n, sizeof(*r.kv));
	find(m, prefix, &at);
	for (; at < m->key.n && str_starts(m->key.p[at].key, prefix); at++) {
		const struct mem_version *v = version_at(&m->key.p[at], as_of);

		if (v)
			r.kv[r.n++] = copy_kv(&m->key.p[at], v);
	}
	return r;
}

static int64_t write_value(struct memstore *m, const char *key, const char *value)
{
	struct mem_key *k = find_or_add(m, key);
	const struct mem_version *old = version_at(k, 0);

	if (m->on_write)
		m->on_write(m->arg, key, old ? old->value : NULL, value);
	vec_push(&k->version, (struct mem_version) { xstrdup(value), ++m->rev });
	return m->rev;
}

static struct store_res write_checked(struct memstore *m, const struct store_req *req)
{
	struct store_res r = { 0 };
	size_t at;
	const struct mem_version *v = version_at(find(m, req->key, &at), 0);

	if (req->verb == STORE_CREATE && v)
		r.status = STORE_EXISTS;
	else if (req->verb == STORE_DELETE && !v)
		r.status = STORE_NOT_FOUND;
	else if (req->verb == STORE_UPDATE && !v && req->rev)
		r.status = STORE_NOT_FOUND;
	else if (req->verb != STORE_CREATE && req->rev && v && v->rev != req->rev)
		r.status = STORE_CONFLICT;
	else
		r.rev = write_value(m, req->key, req->verb == STORE_DELETE ? NULL : req->value);
	snprintf(r.msg, sizeof(r.msg), "%s", store_status_name(r.status));
	return r;
}

struct store_res mem_do(struct memstore *m, const struct store_req *req, int64_t as_of)
{
	if (req->verb == STORE_GET || req->verb == STORE_LIST) {
		m->n_reads++;
		m->n_fresh += req->fresh;
		return req->verb == STORE_GET ? get(m, req->key, as_of) : list(m, req->key, as_of);
	}
	m->n_writes++;
	return write_checked(m, req);
}

const char *mem_value(const struct memstore *m, const char *key)
{
	size_t at;
	const struct mem_version *v = version_at(find(m, key, &at), 0);

	return v ? v->value : NULL;
}

void mem_put(struct memstore *m, const char *key, const char *value)
{
	write_value(m, key, value);
}

void mem_done(struct memstore *m)
{
	vec_foreach (&m->key, k) {
		vec_foreach (&k->version, v)
			free(v->value);
		vec_done(&k->version);
		free(k->key);
	}
	vec_done(&m->key);
	*m = (struct memstore) { 0 };
}
