/* help.h - an operation against a store in memory, carried out at once; for the tests of ipam/. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ipam/op.h"
#include "ipam/pool.h"
#include "model/block.h"
#include "model/handle.h"
#include "model/ipamkey.h"
#include "model/wall.h"
#include "tests/sim/memstore.h"

#define NOW (INT64_C(1785578400) * NS_PER_S) /* 2026-08-01T10:00:00Z */

struct bench {
	struct memstore m;
	int64_t now_ns;
	struct ipam_pool pool[4];
	struct ipam_world world;
	struct prefix reserved[4];
	struct err e;
	enum ipam_fail fail;
	unsigned writes, fresh, reads; /* of the last operation */
	enum store_status fault;       /* what the `fault_at`-th write gets instead */
	unsigned fault_at;
	bool fault_done; /* and it is carried out all the same */
};

static inline void bench_pool(struct bench *t, const char *name, const char *cidr, unsigned len)
{
	struct ipam_pool *p = &t->pool[t->world.n_pool++];

	*p = (struct ipam_pool) { .name = name,
				  .block_len = (uint8_t)len,
				  .uses = IPAM_USE_WORKLOAD | IPAM_USE_TUNNEL,
				  .selects_node = true,
				  .selects_namespace = true };
	assert_true(prefix_parse_strict(cidr, &p->cidr));
	t->world.pool = t->pool;
}

static inline struct bench bench_new(void)
{
	return (struct bench) { .now_ns = NOW };
}

static inline struct store_res bench_answer(struct bench *t, const struct store_req *req)
{
	struct store_res r = { 0 };

	if (req->verb == STORE_GET || req->verb == STORE_LIST || !t->fault ||
	    ++t->writes != t->fault_at)
		return mem_do(&t->m, req, 0);
	if (t->fault_done) {
		struct store_res done = mem_do(&t->m, req, 0);

		store_res_done(&done);
	}
	r.status = t->fault;
	snprintf(r.msg, sizeof(r.msg), "disk full");
	return r;
}

/* To its end. Consumes nothing. */
static inline enum ipam_state bench_run(struct bench *t, struct ipam_op *op)
{
	struct store_res r = { 0 };
	struct store_req req;
	enum ipam_state state;
	unsigned before[3] = { t->m.n_writes, t->m.n_reads, t->m.n_fresh };

	t->e = (struct err) { 0 };
	t->writes = 0;
	state = ipam_step(op, NULL, t->now_ns, &req, &t->e);
	for (unsigned i = 0; state == IPAM_WAIT; i++) {
		assert_true(i < 5000);
		r = bench_answer(t, &req);
		store_req_done(&req);
		state = ipam_step(op, &r, t->now_ns, &req, &t->e);
		store_res_done(&r);
	}
	t->fail = ipam_op_fail(op);
	t->writes = t->m.n_writes - before[0];
	t->reads = t->m.n_reads - before[1];
	t->fresh = t->m.n_fresh - before[2];
	t->fault = STORE_OK;
	return state;
}

/* An ADD. The first address as text, or "" when it failed. */
static inline const char *bench_add(struct bench *t, const char *host, const char *handle)
{
	static char text[ADDR_STR_MAX];
	char when[WALL_STR_MAX];
	json_t *attrs =
		json_pack("{s:s,s:s}", "node", host, "timestamp", wall_gostring(t->now_ns, when));
	struct ipam_assign req = { .world = t->world,
				   .host = host,
				   .handle = handle,
				   .attrs = attrs,
				   .use = IPAM_USE_WORKLOAD,
				   .want_v4 = 1,
				   .all_or_nothing = true };
	struct ipam_op *op = ipam_assign_op(&req);
	size_t n;

	text[0] = '\0';
	if (bench_run(t, op) == IPAM_DONE) {
		addr_format(&ipam_op_addrs(op, &n)[0].addr, text);
		assert_int_equal(n, 1);
	}
	ipam_op_free(op);
	json_decref(attrs);
	return text;
}

static inline unsigned bench_del(struct bench *t, const char *host, const char *handle)
{
	struct ipam_op *op = ipam_release_handle_op(&t->world, host, handle);
	unsigned n;

	if (bench_run(t, op) != IPAM_DONE)
		fail_msg("%s", t->e.msg);
	n = ipam_op_tally(op).released;
	ipam_op_free(op);
	return n;
}

/* The block as it is in the store; NULL: none. block_free. */
static inline struct block *bench_block(struct bench *t, const char *cidr)
{
	struct prefix p;
	struct block *b = NULL;
	const char *value;
	char *key;

	assert_true(prefix_parse_strict(cidr, &p));
	key = ipamkey_block(&p);
	value = mem_value(&t->m, key);
	free(key);
	if (value && block_decode(value, strlen(value), &b, &t->e) < 0)
		fail_msg("%s", t->e.msg);
	return b;
}

static inline const char *bench_value(struct bench *t, const char *key)
{
	const char *value = mem_value(&t->m, key);

	return value ? value : "";
}

static inline void bench_expect(struct bench *t, enum ipam_fail fail, const char *part)
{
	if (t->fail != fail)
		fail_msg("%s instead of %s: %s", ipam_fail_name(t->fail), ipam_fail_name(fail),
			 t->e.msg);
	if (!strstr(t->e.msg, part))
		fail_msg("\"%s\" lacks \"%s\"", t->e.msg, part);
}
