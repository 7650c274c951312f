/* ipam_world.c - hosts, containers and a store, watched by a judge */
#include "tests/sim/ipam_world.h"

#include <stdio.h>

#include "model/affinity.h"
#include "model/block.h"
#include "model/handle.h"
#include "model/ipamconfig.h"
#include "model/ipamkey.h"
#include "model/wall.h"

#define EPOCH (INT64_C(1785578400) * NS_PER_S)

void wrong(const struct world *w, const char *fmt, ...)
{
	va_list ap;

	printf("WRONG: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\nseed %llu; again with: SEED=%llu WORLDS=1 TRACE=1\n", (unsigned long long)w->seed,
	       (unsigned long long)w->seed);
	fflush(stdout);
	exit(1);
}

uint64_t world_random(struct world *w, uint64_t below)
{
	uint64_t x = w->rng += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return below ? x % below : x;
}

/* ---- the judge ---- */

static struct block *must_decode(const struct world *w, const char *key, const char *value)
{
	struct block *b = NULL;
	struct err e = { 0 };

	if (value && block_decode(value, strlen(value), &b, &e) < 0)
		wrong(w, "%s written broken: %s: %s", key, e.msg, value);
	return b;
}

static const struct block_attr *attr_at(const struct block *b, const struct addr *a)
{
	unsigned ord;

	return b && block_ord(b, a, &ord) ? block_attr_of(b, ord) : NULL;
}

static void judge_owners(const struct world *w, const struct prefix *cidr, const struct block *new)
{
	for (unsigned i = 0; i < w->n_containers; i++) {
		const struct container *c = &w->container[i];

		for (size_t k = 0; k < c->addrs.n; k++) {
			const struct block_attr *a = attr_at(new, &c->addrs.p[k]);
			char text[ADDR_STR_MAX];

			if (prefix_contains(cidr, &c->addrs.p[k]) &&
			    (!a || !str_eq(a->handle, c->handle)))
				wrong(w, "%s of %s goes to %s", addr_format(&c->addrs.p[k], text),
				      c->handle, a && a->handle ? a->handle : "nobody");
		}
	}
}

static void judge_ordinals(const struct world *w, const struct block *old, const struct block *next)
{
	for (unsigned i = 0; old && i < old->size; i++) {
		const struct block_attr *a = block_attr_of(old, i);
		const struct block_attr *b = next ? block_attr_of(next, i) : NULL;

		if (!a || (b && str_eq(a->handle, b->handle)))
			continue;
		if (a->handle && b && b->handle)
			wrong(w, "an address goes from %s to %s in one write", a->handle,
			      b->handle);
		if (a->handle && !b && w->cooldown_s)
			wrong(w, "an address of %s is free at once", a->handle);
		if (!a->handle && a->released_ns > w->now_ns - (int64_t)w->cooldown_s * NS_PER_S)
			wrong(w, "an address is free before it cooled down");
	}
	if (old && next && next->seq <= old->seq)
		wrong(w, "a block was written without counting its sequence number on");
}

static void judge_returns(const struct world *w, const struct block *old, const struct block *next)
{
	for (unsigned c = 0; next && c < w->n_containers; c++) {
		const char *id = w->container[c].handle;

		if (w->container[c].state == C_IDLE &&
		    block_held_by(next, id, NULL) > (old ? block_held_by(old, id, NULL) : 0))
			wrong(w, "%s gets an address after its DEL", id);
	}
}

static void judge_write(void *arg, const char *key, const char *old, const char *new)
{
	struct world *w = arg;
	struct prefix cidr;
	struct err e = { 0 };

	if (w->trace)
		printf("      %s = %s\n", key, new ? new : "(none)");
	if (ipamkey_parse_block(key, &cidr)) {
		CLEANUP(block_freep) struct block *a = must_decode(w, key, old);
		CLEANUP(block_freep) struct block *b = must_decode(w, key, new);

		judge_owners(w, &cidr, b);
		judge_ordinals(w, a, b);
		judge_returns(w, a, b);
	} else if (new && ipamkey_parse_handle(key)) {
		CLEANUP(handle_freep) struct handle *h = NULL;

		if (handle_decode(new, strlen(new), &h, &e) < 0)
			wrong(w, "%s written broken: %s", key, e.msg);
	}
}

/* What is told to be there must be found by a DEL: the handle leads to it. */
static void judge_handle(const struct world *w, const char *id, const struct block *b)
{
	CLEANUP(freep) char *key = ipamkey_handle(id);
	CLEANUP(handle_freep) struct handle *h = NULL;
	const char *value = mem_value(&w->m, key);

	if (!value || handle_decode(value, strlen(value), &h, NULL) < 0 ||
	    handle_count(h, &b->cidr) != block_held_by(b, id, NULL))
		wrong(w, "%s is told of %u addresses, and its handle is %s", id,
		      block_held_by(b, id, NULL), value ? value : "not there");
}

/* The host believes that the container has these addresses. */
static void judge_answer(struct world *w, struct task *t)
{
	size_t n;
	const struct ipam_addr *a = ipam_op_addrs(t->op, &n);

	if (n < t->want && !ipam_op_shortage(t->op))
		wrong(w, "%s: %zu addresses instead of %u, and no word why", t->c->handle, n,
		      t->want);
	for (size_t i = 0; i < n; i++) {
		CLEANUP(freep) char *key = ipamkey_block(&a[i].block);
		CLEANUP(block_freep) struct block *b = must_decode(w, key, mem_value(&w->m, key));
		const struct block_attr *attr = attr_at(b, &a[i].addr);
		char text[ADDR_STR_MAX];

		if (!attr || !str_eq(attr->handle, t->c->handle))
			wrong(w, "%s is told that it has %s, which is %s's", t->c->handle,
			      addr_format(&a[i].addr, text),
			      attr && attr->handle ? attr->handle : "nobody");
		judge_handle(w, t->c->handle, b);
	}
	for (size_t k = 0; k < t->c->addrs.n; k++) {
		bool found = false;

		for (size_t i = 0; i < n; i++)
			found = found || addr_eq(&a[i].addr, &t->c->addrs.p[k]);
		if (!found && t->kind == T_ADD_AGAIN)
			wrong(w, "%s: a repeated ADD does not give the same address", t->c->handle);
	}
	if (t->kind == T_ADD_AGAIN && n > t->c->addrs.n)
		wrong(w, "%s: a repeated ADD gives more addresses", t->c->handle);
	if (t->kind == T_ADD_AGAIN)
		return;
	for (size_t i = 0; i < n; i++)
		vec_push(&t->c->addrs, a[i].addr);
}

/* ---- the world ---- */

void world_init(struct world *w, uint64_t seed, unsigned n_hosts, const char *config)
{
	struct ipamconfig c;

	*w = (struct world) { .seed = seed, .rng = seed, .n_hosts = n_hosts, .now_ns = EPOCH };
	w->m.on_write = judge_write;
	w->m.arg = w;
	w->trace = getenv("TRACE") != NULL;
	if (!config)
		return;
	mem_put(&w->m, IPAMKEY_CONFIG, config);
	if (ipamconfig_decode(config, strlen(config), &c, NULL) == 0) {
		w->cooldown_s = c.cooldown_s;
		ipamconfig_done(&c);
	}
}

void world_pool(struct world *w, const char *name, const char *cidr, unsigned block_len)
{
	struct ipam_pool pool = { .name = name,
				  .block_len = (uint8_t)block_len,
				  .uses = IPAM_USE_WORKLOAD | IPAM_USE_TUNNEL,
				  .selects_node = true,
				  .selects_namespace = true };

	prefix_parse(cidr, &pool.cidr);
	for (unsigned h = 0; h < HOSTS_MAX; h++)
		w->pool[h][w->n_pools] = pool;
	w->n_pools++;
}

static void name_handle(struct container *c, unsigned id)
{
	snprintf(c->handle, sizeof(c->handle), "net.h%uc%ug%u", c->host, id, c->generation);
}

struct container *world_container(struct world *w, unsigned host)
{
	struct container *c = &w->container[w->n_containers];

	*c = (struct container) { .host = host };
	name_handle(c, w->n_containers++);
	return c;
}

void container_renew(struct container *c)
{
	unsigned id = 0;

	sscanf(c->handle, "net.h%*uc%u", &id);
	c->generation++;
	c->state = C_IDLE;
	name_handle(c, id);
}

void world_done(struct world *w)
{
	mem_done(&w->m);
	for (unsigned i = 0; i < w->n_containers; i++)
		vec_done(&w->container[i].addrs);
	vec_foreach (&w->delayed, it)
		store_req_done(it);
	vec_done(&w->delayed);
}

void world_delayed(struct world *w, size_t i, bool happens)
{
	struct store_req req = w->delayed.p[i];
	struct store_res res;

	vec_remove(&w->delayed, i);
	if (happens) {
		if (w->trace)
			printf("  delayed write happens: %s\n", req.key);
		res = mem_do(&w->m, &req, 0);
		store_res_done(&res);
	}
	store_req_done(&req);
}

/* ---- tasks ---- */

static struct ipam_world view(const struct world *w, unsigned host)
{
	return (struct ipam_world) { .pool = w->pool[host],
				     .n_pool = w->n_pools,
				     .reserved = w->reserved,
				     .n_reserved = w->n_reserved };
}

static const char *host_name(unsigned host)
{
	static const char *const names[] = { "alpha", "bravo", "charlie", "delta", "echo", "fox" };

	return names[host];
}

static json_t *attributes(const struct world *w, unsigned host)
{
	char when[WALL_STR_MAX];

	return json_pack("{s:s,s:s,s:s}", "node", host_name(host), "pod", "p", "timestamp",
			 wall_gostring(w->now_ns, when));
}

static struct task task_begin(struct world *w, struct task t)
{
	if (w->trace)
		printf("%s: %s %s begins\n", host_name(t.host), t.name, t.c ? t.c->handle : "");
	if (t.c) {
		CLEANUP(freep) char *key = ipamkey_handle(t.c->handle);

		t.clean = mem_value(&w->m, key) == NULL;
	}
	t.state = ipam_step(t.op, NULL, w->now_ns, &t.out, &t.err);
	return t;
}

struct task task_add(struct world *w, struct container *c, unsigned v4, unsigned v6, bool all)
{
	json_t *attrs = attributes(w, c->host);
	struct ipam_assign req = { .world = view(w, c->host),
				   .host = host_name(c->host),
				   .handle = c->handle,
				   .attrs = attrs,
				   .use = IPAM_USE_WORKLOAD,
				   .want_v4 = v4,
				   .want_v6 = v6,
				   .all_or_nothing = all };
	struct task t = { .op = ipam_assign_op(&req),
			  .kind = c->state == C_LIVE ? T_ADD_AGAIN : T_ADD,
			  .name = "add",
			  .host = c->host,
			  .want = v4 + v6,
			  .c = c };

	json_decref(attrs);
	if (c->state != C_LIVE)
		c->state = C_ADDING;
	return task_begin(w, t);
}

struct task task_add_ip(struct world *w, struct container *c, const struct addr *a)
{
	json_t *attrs = attributes(w, c->host);
	struct ipam_assign_ip req = { .world = view(w, c->host),
				      .host = host_name(c->host),
				      .handle = c->handle,
				      .attrs = attrs,
				      .addr = *a };
	struct task t = { .op = ipam_assign_ip_op(&req),
			  .kind = T_ADD_IP,
			  .name = "add ip",
			  .host = c->host,
			  .want = 1,
			  .c = c };

	json_decref(attrs);
	c->state = C_ADDING;
	return task_begin(w, t);
}

struct task task_del(struct world *w, struct container *c)
{
	struct ipam_world seen = view(w, c->host);
	struct task t = { .op = ipam_release_handle_op(&seen, host_name(c->host), c->handle),
			  .kind = T_DEL,
			  .name = "del",
			  .host = c->host,
			  .c = c };

	vec_clear(&c->addrs);
	c->state = C_DELETING;
	return task_begin(w, t);
}

struct task task_release(struct world *w, unsigned host, struct container *c, const char *handle,
			 const struct addr *a)
{
	struct ipam_proof proof = { .addr = *a, .handle = handle };
	struct ipam_release req = {
		.world = view(w, host), .host = host_name(host), .proof = &proof, .n_proof = 1
	};
	struct task t = { .op = ipam_release_op(&req),
			  .kind = T_RELEASE,
			  .host = host,
			  .c = c,
			  .name = "release" };

	if (c) {
		vec_clear(&c->addrs);
		c->state = C_DELETING;
	}
	return task_begin(w, t);
}

struct task task_gc(struct world *w, unsigned host, bool only_live)
{
	const char *live[CONTAINERS_MAX];
	struct ipam_gc req = { .world = view(w, host),
			       .host = host_name(host),
			       .network = "net",
			       .live = live,
			       .grace_ns = 10 * NS_PER_S };
	struct task t = { .kind = T_OTHER, .name = "gc", .host = host };

	for (unsigned i = 0; i < w->n_containers; i++)
		if (only_live ? w->container[i].state == C_LIVE : w->container[i].state != C_IDLE)
			live[req.n_live++] = w->container[i].handle;
	t.op = ipam_gc_op(&req);
	return task_begin(w, t);
}

struct task task_handback(struct world *w, unsigned host, bool even_used, bool unselected)
{
	struct ipam_handback req = { .world = view(w, host),
				     .host = host_name(host),
				     .even_used = even_used,
				     .unselected = unselected };
	struct task t = {
		.op = ipam_handback_op(&req), .kind = T_OTHER, .host = host, .name = "handback"
	};

	return task_begin(w, t);
}

struct task task_repair(struct world *w, unsigned host, bool all_handles)
{
	struct ipam_repair req = { .world = view(w, host),
				   .host = host_name(host),
				   .handles = true,
				   .all_handles = all_handles };
	struct task t = {
		.op = ipam_repair_op(&req), .kind = T_OTHER, .host = host, .name = "repair"
	};

	return task_begin(w, t);
}

/* An ADD that fails leaves nothing, if the store lets it. */
static void judge_failure(struct world *w, const struct task *t)
{
	CLEANUP(freep) char *key = ipamkey_handle(t->c->handle);

	if (!w->faults && t->clean && mem_value(&w->m, key))
		wrong(w, "%s failed and left %s", t->c->handle, mem_value(&w->m, key));
}

static void task_over(struct world *w, struct task *t)
{
	bool ok = t->state == IPAM_DONE;

	if (w->trace)
		printf("%s: %s %s %s %s\n", host_name(t->host), t->name, t->c ? t->c->handle : "",
		       ok ? "done" : "failed:", ok ? "" : t->err.msg);
	if (!ok && (!t->err.msg[0] || !ipam_op_fail(t->op)))
		wrong(w, "%s failed without words", t->name);
	if (!ok && !w->faults &&
	    (ipam_op_fail(t->op) == IPAM_FAIL_UNAVAILABLE ||
	     ipam_op_fail(t->op) == IPAM_FAIL_STORE || ipam_op_fail(t->op) == IPAM_FAIL_CORRUPT))
		wrong(w, "%s failed without a fault: %s", t->name, t->err.msg);
	switch (t->kind) {
	case T_ADD_AGAIN:
		if (ok && t->c->state == C_LIVE)
			judge_answer(w, t);
		break;
	case T_ADD:
	case T_ADD_IP:
		if (ok)
			judge_answer(w, t);
		else
			judge_failure(w, t);
		t->c->state = ok ? C_LIVE : C_UNKNOWN;
		break;
	case T_DEL:
		t->c->state = ok ? C_IDLE : C_UNKNOWN;
		break;
	case T_RELEASE:
		if (t->c)
			t->c->state = C_UNKNOWN; /* it may hold more */
		break;
	case T_OTHER:
		break;
	}
	ipam_op_free(t->op);
	t->op = NULL;
}

static struct store_req copy_req(const struct store_req *req)
{
	struct store_req copy = *req;

	copy.key = xstrdup(req->key);
	copy.value = xstrdup(req->value);
	return copy;
}

static struct store_res carry_out(struct world *w, struct task *t, enum fate fate, bool read_lost)
{
	struct store_res r = { 0 };
	bool read = t->out.verb == STORE_GET || t->out.verb == STORE_LIST;

	if (read && read_lost)
		r.status = STORE_UNAVAILABLE;
	else if (read)
		return mem_do(&w->m, &t->out, t->out.fresh ? 0 : w->cache_rev[t->host]);
	else if (fate == FATE_DONE)
		return mem_do(&w->m, &t->out, 0);
	else if (fate == FATE_CONFLICT)
		r.status = t->out.verb == STORE_CREATE ? STORE_EXISTS : STORE_CONFLICT;
	else
		r.status = STORE_UNAVAILABLE;
	if (!read && fate == FATE_DONE_LOST) {
		struct store_res done = mem_do(&w->m, &t->out, 0);

		store_res_done(&done);
	}
	if (!read && fate == FATE_DELAYED_LOST)
		vec_push(&w->delayed, copy_req(&t->out));
	snprintf(r.msg, sizeof(r.msg), "simulated fault");
	return r;
}

bool task_step(struct world *w, struct task *t, enum fate fate, bool read_lost)
{
	struct store_res r;

	if (t->state == IPAM_WAIT) {
		static const char *const verbs[] = { "get", "list", "create", "update", "delete" };

		r = carry_out(w, t, fate, read_lost);
		if (w->trace)
			printf("  %s: %s %s%s -> %s%s\n", host_name(t->host), verbs[t->out.verb],
			       t->out.key, t->out.fresh ? " fresh" : "",
			       store_status_name(r.status),
			       fate == FATE_DONE_LOST && r.status == STORE_UNAVAILABLE
				       ? " (but done)"
				       : "");
		store_req_done(&t->out);
		t->state = ipam_step(t->op, &r, w->now_ns, &t->out, &t->err);
		store_res_done(&r);
	}
	if (t->state == IPAM_WAIT) {
		if (++t->steps > 20000)
			wrong(w, "%s %s does not end", t->name, t->c ? t->c->handle : "");
		return true;
	}
	task_over(w, t);
	return false;
}

void task_send(struct world *w, struct task *t)
{
	if (t->state == IPAM_WAIT && t->out.verb != STORE_GET && t->out.verb != STORE_LIST)
		vec_push(&w->delayed, copy_req(&t->out));
}

void task_abandon(struct task *t)
{
	store_req_done(&t->out);
	ipam_op_free(t->op);
	t->op = NULL;
	if (t->c && t->kind != T_ADD_AGAIN)
		t->c->state = C_UNKNOWN;
}

void task_finish(struct world *w, struct task *t)
{
	while (task_step(w, t, FATE_DONE, false))
		;
}

/* ---- the end ---- */

static void check_block(const struct world *w, const struct mem_key *k, const char *value)
{
	CLEANUP(block_freep) struct block *b = must_decode(w, k->key, value);

	for (unsigned i = 0; i < b->size; i++) {
		const struct block_attr *a = block_attr_of(b, i);
		struct addr addr = block_addr(b, i);
		bool owned = !a || !a->handle;
		char text[ADDR_STR_MAX];

		for (unsigned c = 0; c < w->n_containers && !owned; c++)
			for (size_t n = 0; n < w->container[c].addrs.n; n++)
				owned = owned || (addr_eq(&addr, &w->container[c].addrs.p[n]) &&
						  str_eq(a->handle, w->container[c].handle));
		if (!owned)
			wrong(w, "%s leaked: held by %s", addr_format(&addr, text), a->handle);
		if (a && a->handle) {
			CLEANUP(freep) char *key = ipamkey_handle(a->handle);
			CLEANUP(handle_freep) struct handle *h = NULL;
			const char *text_h = mem_value(&w->m, key);

			if (!text_h || handle_decode(text_h, strlen(text_h), &h, NULL) < 0)
				wrong(w, "%s is held by %s, which has no handle",
				      addr_format(&addr, text), a->handle);
			if (handle_count(h, &b->cidr) != block_held_by(b, a->handle, NULL))
				wrong(w, "%s: %s says %u", key, text_h,
				      block_held_by(b, a->handle, NULL));
		}
	}
	if (b->affinity) {
		CLEANUP(freep) char *key = ipamkey_affinity(b->affinity, &b->cidr);
		const char *aff = mem_value(&w->m, key);

		if (!aff || !strstr(aff, "\"confirmed\""))
			wrong(w, "%s has no confirmed affinity: %s", k->key, aff ? aff : "none");
	} else if (block_is_empty(b)) {
		wrong(w, "%s is empty and nobody's", k->key);
	}
}

static void check_affinity(const struct world *w, const struct mem_key *k, const char *value)
{
	struct prefix cidr;
	CLEANUP(freep) char *owner = NULL;
	CLEANUP(freep) char *key = NULL;
	CLEANUP(block_freep) struct block *b = NULL;

	if (!ipamkey_parse_affinity(k->key, &owner, &cidr))
		return;
	key = ipamkey_block(&cidr);
	b = must_decode(w, key, mem_value(&w->m, key));
	if (!strstr(value, "\"confirmed\"") || !b || !block_owned_by(b, owner))
		wrong(w, "affinity %s %s: the block is %s's", k->key, value,
		      b && b->affinity ? b->affinity : "nobody");
}

static void check_handle(const struct world *w, const struct mem_key *k, const char *value)
{
	CLEANUP(handle_freep) struct handle *h = NULL;

	if (handle_decode(value, strlen(value), &h, NULL) < 0 || h->n_entry == 0)
		wrong(w, "handle %s: %s", k->key, value);
	for (size_t i = 0; i < h->n_entry; i++) {
		CLEANUP(freep) char *key = ipamkey_block(&h->entry[i].block);
		CLEANUP(block_freep) struct block *b = must_decode(w, key, mem_value(&w->m, key));

		if (!b || block_held_by(b, ipamkey_parse_handle(k->key), NULL) != h->entry[i].n)
			wrong(w, "handle %s: %s, and block %s says otherwise", k->key, value, key);
	}
}

static void check_all(const struct world *w)
{
	struct prefix p;

	vec_foreach (&((struct world *)(uintptr_t)w)->m.key, k) {
		const char *value = mem_value(&w->m, k->key);

		if (!value)
			continue;
		if (ipamkey_parse_block(k->key, &p))
			check_block(w, k, value);
		else if (ipamkey_parse_handle(k->key))
			check_handle(w, k, value);
		else
			check_affinity(w, k, value);
	}
	for (unsigned c = 0; c < w->n_containers; c++)
		for (size_t i = 0; i < w->container[c].addrs.n; i++) {
			char text[ADDR_STR_MAX];
			bool found = false;

			for (size_t k = 0; k < w->m.key.n; k++) {
				const char *value = mem_value(&w->m, w->m.key.p[k].key);

				if (!value || !ipamkey_parse_block(w->m.key.p[k].key, &p) ||
				    !prefix_contains(&p, &w->container[c].addrs.p[i]))
					continue;
				found = strstr(value, w->container[c].handle) != NULL;
			}
			if (!found)
				wrong(w, "%s lost %s", w->container[c].handle,
				      addr_format(&w->container[c].addrs.p[i], text));
		}
}

void world_settle(struct world *w)
{
	/* Where nothing went wrong there is nothing to repair. */
	if (!w->faults)
		check_all(w);
	w->faults = false;
	w->now_ns += 3600 * NS_PER_S;
	for (unsigned h = 0; h < w->n_hosts; h++)
		w->cache_rev[h] = 0;
	for (unsigned h = 0; h < w->n_hosts; h++) {
		struct task repair = task_repair(w, h, false);

		task_finish(w, &repair);
	}
	for (unsigned h = 0; h < w->n_hosts; h++) {
		struct task gc = task_gc(w, h, true);

		task_finish(w, &gc);
	}
	check_all(w);
}
