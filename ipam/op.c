/* op.c - the driver of every operation: asks, answers, retries, failures
 * WHY   what is the same for all of them is decided once: reads that were not answered are asked
 *	 again, writes that were not answered count as conflicts, conflicts end the use of caches.
 * TESTS tests/unit/ipam/assign.c, tests/sim/ipam.c */
#include "ipam/op.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/machine.h"
#include "ipam/pool.h"

static struct ipam_world world_copy(const struct ipam_world *w)
{
	struct ipam_pool *pool = xcalloc(w->n_pool, sizeof(*pool));

	for (size_t i = 0; i < w->n_pool; i++) {
		pool[i] = w->pool[i];
		pool[i].name = xstrdup(w->pool[i].name);
	}
	return (struct ipam_world) {
		.pool = pool,
		.n_pool = w->n_pool,
		.reserved = xmemdup(w->reserved, w->n_reserved * sizeof(*w->reserved)),
		.n_reserved = w->n_reserved,
	};
}

struct ipam_op *ipam_op_new(const struct ipam_world *world, const char *host, ipam_step_fn *start)
{
	struct ipam_op *op = xcalloc(1, sizeof(*op));

	op->world = world_copy(world);
	op->host = xstrdup(host);
	if (host)
		op->owner = xasprintf(IPAMKEY_OWNER_HOST "%s", host);
	op->start = start;
	return op;
}

static void texts_done(struct ipam_texts *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->p[i]);
	vec_done(t);
}

void ipam_affs_clear(struct ipam_affs *affs)
{
	for (size_t i = 0; i < affs->n; i++)
		free(affs->p[i].owner);
	vec_clear(affs);
}

static void request_done(struct ipam_op *op)
{
	for (size_t i = 0; i < op->world.n_pool; i++)
		free((void *)(uintptr_t)op->world.pool[i].name);
	free((void *)(uintptr_t)op->world.pool);
	free((void *)(uintptr_t)op->world.reserved);
	for (unsigned f = 0; f < 2; f++) {
		for (size_t i = 0; i < op->asked[f].n; i++)
			free((void *)(uintptr_t)op->asked[f].p[i]);
		free((void *)(uintptr_t)op->asked[f].p);
	}
	free(op->host);
	free(op->owner);
	free(op->handle_id);
	free(op->attr_json);
}

static void procedures_done(struct ipam_op *op)
{
	ipam_slot_clear(op);
	if (op->count.id)
		vec_push(&op->others, op->count);
	vec_foreach (&op->others, it) {
		free(it->id);
		handle_free(it->h);
	}
	vec_done(&op->others);
	free(op->claim.owner);
	affinity_done(&op->claim.aff);
	free(op->unclaim.owner);
	affinity_done(&op->unclaim.aff);
	free(op->drop.ords);
	free(op->drop.addrs);
	texts_done(&op->drop.handles);
}

static void assigning_done(struct ipam_assigning *as)
{
	free(as->pool);
	free(as->broken);
	free(as->why);
	ipam_affs_clear(&as->aff);
	vec_done(&as->aff);
	store_res_done(&as->all);
	vec_done(&as->blocks);
	vec_done(&as->stray);
	vec_done(&as->tried);
	vec_done(&as->borrow);
	vec_done(&as->counted);
}

static void releasing_done(struct ipam_releasing *re)
{
	vec_foreach (&re->proof, it)
		free((void *)(uintptr_t)it->handle);
	vec_done(&re->proof);
	vec_done(&re->blocks);
	free(re->network);
	texts_done(&re->live);
}

static void mending_done(struct ipam_mending *m)
{
	ipam_affs_clear(&m->aff);
	vec_done(&m->aff);
	vec_done(&m->owned);
	vec_done(&m->foreign);
	vec_foreach (&m->held, it)
		free(it->id);
	vec_done(&m->held);
	texts_done(&m->handles);
	store_res_done(&m->handle_list);
	vec_done(&m->entries);
}

void ipam_op_free(struct ipam_op *op)
{
	if (!op)
		return;
	request_done(op);
	procedures_done(op);
	assigning_done(&op->as);
	releasing_done(&op->re);
	mending_done(&op->mend);
	ipamconfig_done(&op->config);
	free(op->reading);
	free(op->shortage);
	vec_done(&op->addr);
	free(op);
}

void ipam_op_freep(struct ipam_op **op)
{
	ipam_op_free(*op);
}

enum ipam_state ipam_ask(struct ipam_op *op, struct store_req req, ipam_step_fn *next)
{
	bool read = req.verb == STORE_GET || req.verb == STORE_LIST;

	if (read) {
		req.fresh = req.fresh || op->fresh;
		op->asked_fresh = req.fresh;
	}
	free(op->reading);
	op->reading = read ? xstrdup(req.key) : NULL;
	op->verb = req.verb;
	op->next = next;
	*op->out = req;
	return IPAM_WAIT;
}

enum ipam_state ipam_get(struct ipam_op *op, char *key, bool fresh, ipam_step_fn *next)
{
	struct store_req req = { .verb = STORE_GET, .fresh = fresh, .key = key };

	return ipam_ask(op, req, next);
}

enum ipam_state ipam_list(struct ipam_op *op, char *prefix, bool fresh, ipam_step_fn *next)
{
	struct store_req req = { .verb = STORE_LIST, .fresh = fresh, .key = prefix };

	return ipam_ask(op, req, next);
}

enum ipam_state ipam_giveup_err(struct ipam_op *op, enum ipam_fail fail)
{
	ipam_then_fn *on_fail = op->on_fail;

	if (!op->fail)
		op->fail = fail;
	if (!on_fail)
		return IPAM_FAILED;
	op->on_fail = NULL;
	op->tries = op->unavailable = 0;
	/* What was being written may be there or not. */
	op->count.known = false;
	return on_fail(op, 0);
}

enum ipam_state ipam_giveup(struct ipam_op *op, enum ipam_fail fail, int code, const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (op->undoing) { /* the first reason is the one that counts */
		struct err first = op->err;

		err_set(&op->err, first.code, "%.*s; and giving back failed, repair will: %.*s",
			300, first.msg, 150, text);
	} else {
		err_set(&op->err, code, "%s", text);
	}
	return ipam_giveup_err(op, fail);
}

/* 20 ms, 40 ms, ... */
static enum ipam_state unavailable(struct ipam_op *op, struct store_res *r)
{
	op->fresh = true;
	if (++op->unavailable > IPAM_UNAVAILABLE_MAX)
		return ipam_giveup(op, IPAM_FAIL_UNAVAILABLE, -EAGAIN,
				   "the datastore does not answer: %s", r->msg);
	op->pause_ms = 10u << op->unavailable;
	if (op->verb == STORE_GET || op->verb == STORE_LIST) {
		struct store_req req = { .verb = op->verb, .fresh = true, .key = op->reading };

		op->reading = NULL;
		return ipam_ask(op, req, op->next);
	}
	/* Written or not? Whoever handles a conflict reads again and sees. */
	r->status = op->verb == STORE_CREATE ? STORE_EXISTS : STORE_CONFLICT;
	r->n = 0;
	return op->next(op, r);
}

static enum ipam_state answered(struct ipam_op *op, struct store_res *r)
{
	switch (r->status) {
	case STORE_UNAVAILABLE:
		return unavailable(op, r);
	case STORE_ERROR:
		return ipam_giveup(op, IPAM_FAIL_STORE, -EIO, "the datastore refuses: %s", r->msg);
	case STORE_EXISTS:
	case STORE_CONFLICT:
		op->fresh = true;
		if (++op->tries > IPAM_TRIES_MAX)
			return ipam_giveup(op, IPAM_FAIL_BUSY, -EAGAIN,
					   "%d conflicts in a row: too many concurrent IPAM "
					   "requests, try again",
					   IPAM_TRIES_MAX);
		/* Somebody else is quicker every time: step aside for a moment. */
		if (op->tries % 10 == 0)
			op->pause_ms = 1 + op->tries / 10;
		break;
	case STORE_OK:
	case STORE_NOT_FOUND:
		break;
	}
	op->unavailable = 0;
	return op->next(op, r);
}

enum ipam_state ipam_step(struct ipam_op *op, const struct store_res *in, int64_t now_ns,
			  struct store_req *out, struct err *e)
{
	struct store_res r = { 0 };
	enum ipam_state state;

	*out = (struct store_req) { 0 };
	op->out = out;
	op->now_ns = now_ns;
	op->pause_ms = 0;
	if (in)
		r = *in; /* borrowed, status apart */
	state = in ? answered(op, &r) : op->start(op, NULL);
	if (state == IPAM_FAILED && e)
		*e = op->err;
	return state;
}

unsigned ipam_op_pause_ms(const struct ipam_op *op)
{
	return op->pause_ms;
}

enum ipam_fail ipam_op_fail(const struct ipam_op *op)
{
	return op->fail;
}

const char *ipam_fail_name(enum ipam_fail fail)
{
	static const char *const names[] = {
		[IPAM_FAIL_NONE] = "none",
		[IPAM_FAIL_REQUEST] = "bad request",
		[IPAM_FAIL_NO_POOL] = "no qualified pool",
		[IPAM_FAIL_EXHAUSTED] = "pool exhausted",
		[IPAM_FAIL_BLOCK_LIMIT] = "block limit",
		[IPAM_FAIL_STRICT] = "strict affinity",
		[IPAM_FAIL_TAKEN] = "address taken",
		[IPAM_FAIL_BUSY] = "too many conflicts",
		[IPAM_FAIL_UNAVAILABLE] = "datastore unavailable",
		[IPAM_FAIL_STORE] = "datastore error",
		[IPAM_FAIL_CORRUPT] = "broken object",
	};

	return names[fail];
}

const struct ipam_addr *ipam_op_addrs(const struct ipam_op *op, size_t *n)
{
	*n = op->addr.n;
	return op->addr.p;
}

const char *ipam_op_shortage(const struct ipam_op *op)
{
	return op->shortage;
}

struct ipam_tally ipam_op_tally(const struct ipam_op *op)
{
	return op->tally;
}

bool ipam_add_addr(struct ipam_op *op, const struct block *b, unsigned ord, bool held)
{
	struct ipam_addr a = {
		.addr = block_addr(b, ord), .block = b->cidr, .seq = b->seq_of[ord], .held = held
	};

	vec_foreach (&op->addr, it)
		if (addr_eq(&it->addr, &a.addr))
			return false;
	vec_push(&op->addr, a);
	return true;
}

bool ipam_unselected(const struct ipam_op *op, const struct prefix *cidr)
{
	for (size_t i = 0; i < op->world.n_pool; i++) {
		const struct ipam_pool *pool = &op->world.pool[i];

		if (prefix_covers(&pool->cidr, cidr) && !pool->disabled && pool->selects_node)
			return false;
	}
	return true;
}

bool ipam_prefixes_has(const struct ipam_prefixes *set, const struct prefix *p)
{
	for (size_t i = 0; i < set->n; i++)
		if (prefix_eq(&set->p[i], p))
			return true;
	return false;
}

int ipam_affs_read(struct ipam_op *op, struct ipam_affs *affs, const struct store_res *in)
{
	for (size_t i = 0; i < in->n; i++) {
		const struct store_kv *kv = &in->kv[i];
		struct ipam_aff item = { .rev = kv->rev };
		struct affinity a;

		if (!ipamkey_parse_affinity(kv->key, &item.owner, &item.cidr))
			continue; /* a stranger below the prefix */
		if (affinity_decode(kv->value, strlen(kv->value), &a, &op->err) < 0) {
			free(item.owner);
			return err_wrap(&op->err, "%s", kv->key);
		}
		item.state = a.state;
		affinity_done(&a);
		vec_push(affs, item);
	}
	return 0;
}
