/* repair_handles.c - makes handles say what blocks say
 *
 *	list handles, list blocks: whose counts differ?
 *	for each of those:
 *	    read the handle
 *	    for each block it is about: read; where the counts differ, bump the block
 *	    write the handle at the revision at which it was read; changed -> again
 *
 * WHY   a handle that says more than the block may belong to an ADD between its two writes. The
 *bump makes that ADD's block write fail; it then writes the handle again, before the block, and
 *	 that makes our write of the handle fail. So either its count stays, or the address is taken
 *	 under a count written after ours.
 * TESTS tests/sim/ipam.c */
#include "ipam/repair_handles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WINDOWS_HANDLE "windows-reserved-ipam-handle"

static enum ipam_state handle_next(struct ipam_op *op, int ignored);
static enum ipam_state entry_next(struct ipam_op *op);

void repair_note(struct ipam_op *op)
{
	op->tally.failed++;
	if (!op->re.first.code)
		op->re.first = op->err;
	op->fail = IPAM_FAIL_NONE;
}

static enum ipam_state end(struct ipam_op *op)
{
	op->on_fail = NULL;
	if (!op->re.first.code)
		return IPAM_DONE;
	op->err = op->re.first;
	return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
}

static enum ipam_state handle_failed(struct ipam_op *op, int ignored)
{
	if (op->fail != IPAM_FAIL_CORRUPT && op->fail != IPAM_FAIL_BUSY)
		return IPAM_FAILED;
	repair_note(op);
	op->mend.at++;
	return handle_next(op, 0);
}

/* ---- one handle ---- */

static enum ipam_state handle_again(struct ipam_op *op)
{
	return handle_next(op, 0);
}

static enum ipam_state on_written(struct ipam_op *op, const struct store_res *in)
{
	op->count.known = false;
	if (in->status != STORE_OK)
		return handle_again(op);
	op->tally.handles++;
	op->mend.at++;
	return handle_next(op, 0);
}

static enum ipam_state write_handle(struct ipam_op *op)
{
	struct ipam_count *c = &op->count;
	struct store_req req = { .key = ipamkey_handle(c->id), .rev = c->rev };

	req.verb = !c->rev ? STORE_CREATE : c->h->n_entry ? STORE_UPDATE : STORE_DELETE;
	if (req.verb != STORE_DELETE)
		req.value = handle_encode(c->h);
	return ipam_ask(op, req, on_written);
}

static enum ipam_state entry_settled(struct ipam_op *op)
{
	const struct prefix *cidr = &op->mend.entries.p[op->mend.entry_at++];
	unsigned held = op->block ? block_held_by(op->block, op->count.id, NULL) : 0;

	if (handle_count(op->count.h, cidr) != held) {
		handle_set(op->count.h, cidr, held);
		op->mend.dirty = true;
	}
	return entry_next(op);
}

static enum ipam_state on_block(struct ipam_op *op, const struct store_res *in);

static enum ipam_state on_bumped(struct ipam_op *op, const struct store_res *in)
{
	if (in->status != STORE_OK)
		return ipam_slot_get(op, &op->mend.entries.p[op->mend.entry_at], true, on_block);
	return entry_settled(op);
}

static enum ipam_state on_block(struct ipam_op *op, const struct store_res *in)
{
	const struct prefix *cidr = &op->mend.entries.p[op->mend.entry_at];

	if (ipam_slot_read(op, cidr, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	if (op->block &&
	    block_held_by(op->block, op->count.id, NULL) != handle_count(op->count.h, cidr))
		return ipam_slot_bump(op, on_bumped);
	return entry_settled(op);
}

static enum ipam_state entry_next(struct ipam_op *op)
{
	struct ipam_mending *m = &op->mend;

	if (m->entry_at < m->entries.n)
		return ipam_slot_get(op, &m->entries.p[m->entry_at], true, on_block);
	if (m->dirty || (op->count.rev && op->count.h->n_entry == 0))
		return write_handle(op);
	m->at++;
	return handle_next(op, 0);
}

static void add_entry(struct ipam_mending *m, const struct prefix *cidr)
{
	if (!ipam_prefixes_has(&m->entries, cidr))
		vec_push(&m->entries, *cidr);
}

static enum ipam_state on_handle(struct ipam_op *op, int ignored)
{
	struct ipam_mending *m = &op->mend;
	struct ipam_count *c = &op->count;

	vec_clear(&m->entries);
	m->entry_at = 0;
	m->dirty = false;
	if (!c->h)
		c->h = handle_new(); /* revision 0 says that it does not exist */
	for (size_t i = 0; i < c->h->n_entry; i++)
		add_entry(m, &c->h->entry[i].block);
	vec_foreach (&m->held, it)
		if (strcmp(it->id, c->id) == 0)
			add_entry(m, &it->cidr);
	return entry_next(op);
}

static enum ipam_state handle_next(struct ipam_op *op, int ignored)
{
	struct ipam_mending *m = &op->mend;

	if (m->at == m->handles.n)
		return end(op);
	op->on_fail = handle_failed;
	if (!op->count.id || strcmp(op->count.id, m->handles.p[m->at]) != 0)
		op->tries = 0;
	ipam_count_for(op, m->handles.p[m->at]);
	return ipam_count_read(op, true, on_handle);
}

/* ---- which handles? ---- */

static int by_held(const void *a, const void *b)
{
	const struct ipam_held *x = a, *y = b;
	int c = strcmp(x->id, y->id);

	return c ? c : prefix_cmp(&x->cidr, &y->cidr);
}

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

static const struct ipam_held *find_held(const struct ipam_mending *m, const char *id,
					 const struct prefix *cidr)
{
	struct ipam_held key = { .id = (char *)(uintptr_t)id, .cidr = *cidr };

	return m->held.n ? bsearch(&key, m->held.p, m->held.n, sizeof(key), by_held) : NULL;
}

/* Another host's agent looks after what its blocks are about. */
static bool is_foreign(const struct ipam_mending *m, const struct prefix *cidr)
{
	return !m->all_handles && m->foreign.n &&
	       bsearch(cidr, m->foreign.p, m->foreign.n, sizeof(*cidr), by_prefix);
}

static void add_handle(struct ipam_mending *m, const char *id)
{
	if (strcasecmp(id, WINDOWS_HANDLE) == 0 || !ipamkey_element_ok(id))
		return;
	vec_push(&m->handles, xstrdup(id));
}

static bool is_wrong(const struct ipam_mending *m, const char *id, const struct handle *h)
{
	for (size_t i = 0; i < h->n_entry; i++) {
		const struct ipam_held *held = find_held(m, id, &h->entry[i].block);

		if (h->entry[i].n != (held ? held->n : 0) && !is_foreign(m, &h->entry[i].block))
			return true;
	}
	return h->n_entry == 0;
}

/* An address whose handle does not lead to it. */
static bool is_unled(const struct ipam_mending *m, const struct ipam_held *held,
		     const struct handle *h)
{
	return (!h || handle_count(h, &held->cidr) != held->n) && !is_foreign(m, &held->cidr);
}

static int by_key(const void *a, const void *b)
{
	const struct store_kv *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static struct handle *listed_handle(const struct ipam_mending *m, const char *id)
{
	struct store_kv key = { .key = ipamkey_handle(id) };
	const struct store_kv *kv = NULL;
	struct handle *h = NULL;

	if (m->handle_list.n)
		kv = bsearch(&key, m->handle_list.kv, m->handle_list.n, sizeof(key), by_key);
	free(key.key);
	if (kv)
		handle_decode(kv->value, strlen(kv->value), &h, NULL);
	return h;
}

static void judge_listed(struct ipam_op *op)
{
	struct ipam_mending *m = &op->mend;

	for (size_t i = 0; i < m->handle_list.n; i++) {
		const struct store_kv *kv = &m->handle_list.kv[i];
		CLEANUP(handle_freep) struct handle *h = NULL;

		if (handle_decode(kv->value, strlen(kv->value), &h, &op->err) < 0) {
			err_wrap(&op->err, "%s", kv->key);
			repair_note(op);
		} else if (is_wrong(m, ipamkey_parse_handle(kv->key), h)) {
			add_handle(m, ipamkey_parse_handle(kv->key));
		}
	}
}

static void judge_held(struct ipam_mending *m)
{
	const char *last = NULL;

	vec_foreach (&m->held, it) {
		CLEANUP(handle_freep) struct handle *h = NULL;

		if (last && strcmp(last, it->id) == 0)
			continue;
		h = listed_handle(m, it->id);
		if (!is_unled(m, it, h))
			continue;
		add_handle(m, it->id);
		last = it->id;
	}
}

static void hold(struct ipam_mending *m, const struct block *b)
{
	for (unsigned i = 0; i < b->n_attr; i++) {
		struct ipam_held held = { .cidr = b->cidr, .n = b->attr[i].n_refs };
		bool more = false;

		if (!b->attr[i].handle)
			continue;
		/* Entries of one handle may differ in their attributes. */
		for (unsigned k = 0; k < b->n_attr; k++)
			if (k != i && str_eq(b->attr[k].handle, b->attr[i].handle)) {
				more = more || k < i;
				held.n += b->attr[k].n_refs;
			}
		if (more)
			continue;
		held.id = xstrdup(b->attr[i].handle);
		vec_push(&m->held, held);
	}
}

static enum ipam_state on_blocks(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_mending *m = &op->mend;

	for (size_t i = 0; i < in->n; i++) {
		CLEANUP(block_freep) struct block *b = NULL;

		if (block_decode(in->kv[i].value, strlen(in->kv[i].value), &b, NULL) < 0)
			continue;
		hold(m, b);
		if (b->affinity && !block_owned_by(b, op->owner))
			vec_push(&m->foreign, b->cidr);
	}
	if (m->stage++ == 0)
		return ipam_list(op, ipamkey_blocks(IP_V6), true, on_blocks);
	if (m->held.n)
		qsort(m->held.p, m->held.n, sizeof(*m->held.p), by_held);
	if (m->foreign.n)
		qsort(m->foreign.p, m->foreign.n, sizeof(*m->foreign.p), by_prefix);
	judge_listed(op);
	judge_held(m);
	m->at = 0;
	return handle_next(op, 0);
}

static enum ipam_state on_handles(struct ipam_op *op, const struct store_res *in)
{
	op->mend.handle_list = store_res_copy(in);
	op->mend.stage = 0;
	return ipam_list(op, ipamkey_blocks(IP_V4), true, on_blocks);
}

enum ipam_state repair_handles(struct ipam_op *op)
{
	op->on_fail = NULL;
	if (!op->mend.want_handles)
		return end(op);
	return ipam_list(op, xstrdup(IPAMKEY_HANDLES), true, on_handles);
}
