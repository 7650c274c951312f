/* tunnel_addr_steps.c - a tunnel's address, step by step: which pools are asked, what an earlier life
 * left over, what somebody else gave back. Time passes when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "agent/agent.h"
#include "agent/cache.h"
#include "agent/cni/ipam_runner.h"
#include "agent/config.h"
#include "agent/ensure.h"
#include "agent/overlay/tunnel_addr.h"
#include "lib/vec.h"

/* ---- a world of stubs ---- */

static struct ipam_pool pools[4];
static struct ipam_world world = { .pool = pools };
static char said[512]; /* what was asked of the allocator and the store, "; " after each */
static struct {
	ipam_done_fn *fn;
	void *arg;
} waiting;
static struct {
	ensure_change_fn *change;
	ensure_done_fn *done;
	void *arg;
} writing;
static char *node; /* the stored Node, heap; NULL: none */
static struct ipam_addr given;
static cache_changed_fn *on_block, *on_node;
static void *on_block_arg, *on_node_arg;
static struct event *timers[TUNNEL_MAX_ + 1]; /* armed */
static long last_s;			      /* for how long, the last one */

static void note(const char *what, const char *name)
{
	size_t n = strlen(said);

	snprintf(said + n, sizeof(said) - n, "%s %s; ", what, name);
}

/* The library's, so that no test waits for a clock. */
int event_add(struct event *ev, const struct timeval *tv)
{
	unsigned i = 0;

	while (timers[i] && timers[i] != ev)
		assert_true(++i < ARRAY_SIZE(timers));
	timers[i] = ev;
	last_s = tv->tv_sec;
	return 0;
}

int event_del(struct event *ev)
{
	unsigned i = 0, n = 0;

	for (; i < ARRAY_SIZE(timers); i++)
		if (timers[i] != ev)
			timers[n++] = timers[i];
	while (n < i)
		timers[n++] = NULL;
	return 0;
}

static void time_passes(void)
{
	struct event *due[ARRAY_SIZE(timers)];

	memcpy(due, timers, sizeof(due));
	memset(timers, 0, sizeof(timers));
	for (unsigned i = 0; i < ARRAY_SIZE(due) && due[i]; i++)
		event_get_callback(due[i])(-1, EV_TIMEOUT, event_get_callback_arg(due[i]));
}

bool cache_synced(const struct cache *c)
{
	return true;
}

const struct store_kv *cache_get(const struct cache *c, const char *key)
{
	static struct store_kv kv;

	kv.value = node;
	return node ? &kv : NULL;
}

void cache_subscribe(struct cache *c, const char *prefix, cache_changed_fn *fn, void *arg)
{
	if (strstr(prefix, "/ipam/")) {
		on_block = fn;
		on_block_arg = arg;
	} else {
		on_node = fn;
		on_node_arg = arg;
	}
}

struct ensure *ensure_new(struct agent *a, const char *key, ensure_change_fn *change,
			  ensure_done_fn *done, void *arg)
{
	note("write", strrchr(key, '/') + 1);
	writing.change = change;
	writing.done = done;
	writing.arg = arg;
	return NULL;
}

void ensure_free(struct ensure *en)
{
}

const struct ipam_world *ipam_runner_world(struct ipam_runner *r)
{
	return &world;
}

void ipam_runner_submit(struct ipam_runner *r, struct ipam_op *op, ipam_done_fn *done, void *arg)
{
	waiting.fn = done;
	waiting.arg = arg;
}

struct ipam_op *ipam_assign_op(const struct ipam_assign *req)
{
	const struct ipam_names *asked = req->want_v6 ? &req->pools_v6 : &req->pools_v4;

	note("assign", req->handle);
	for (size_t i = 0; i < asked->n; i++)
		note("of", asked->p[i]);
	return NULL;
}

struct ipam_op *ipam_release_handle_op(const struct ipam_world *w, const char *host,
				       const char *handle)
{
	note("release", handle);
	return NULL;
}

const struct ipam_addr *ipam_op_addrs(const struct ipam_op *op, size_t *n)
{
	*n = 1;
	return &given;
}

const char *tunnel_name(enum tunnel_kind k)
{
	static const char *const names[] = { "tunl0", "vxlan.calico", "vxlan-v6.calico" };

	return names[k];
}

/* ---- helpers ---- */

static struct tunnel_addrs *ta;
static struct event_base *base;

static struct prefix cidr(const char *text)
{
	struct prefix p = { 0 };

	assert_true(prefix_parse(text, &p));
	return p;
}

static int setup(void **state)
{
	static struct agent_config cfg;
	static struct agent agent;
	static char name[] = "n1";

	cfg.node = name;
	base = event_base_new();
	agent = (struct agent) { .base = base, .cfg = &cfg };
	said[0] = '\0';
	memset(timers, 0, sizeof(timers));
	world.n_pool = 0;
	node = xstrdup("{\"kind\":\"Node\",\"apiVersion\":\"projectcalico.org/v3\","
		       "\"metadata\":{\"name\":\"n1\"},\"spec\":{}}");
	ta = tunnel_addrs_new(&agent);
	return 0;
}

static int teardown(void **state)
{
	tunnel_addrs_free(ta);
	event_base_free(base);
	free(node);
	node = NULL;
	return 0;
}

static void add_pool(const char *name, const char *net, bool disabled, unsigned uses, bool selects)
{
	pools[world.n_pool++] = (struct ipam_pool) { .name = name,
						     .cidr = cidr(net),
						     .disabled = disabled,
						     .uses = uses,
						     .selects_node = selects };
}

static void want_all(void)
{
	struct prefix nets[ARRAY_SIZE(pools)];

	for (size_t i = 0; i < world.n_pool; i++)
		nets[i] = pools[i].cidr;
	tunnel_addrs_set(ta, TUNNEL_VXLAN, nets, world.n_pool);
}

static void assert_said(const char *want)
{
	assert_string_equal(said, want);
	said[0] = '\0';
}

static void answer(const char *addr)
{
	assert_true(addr_parse(addr, &given.addr));
	waiting.fn(waiting.arg, NULL, IPAM_FAIL_NONE, NULL);
}

/* The store takes what is to be written. */
static void write_it(void)
{
	char *fresh = writing.change(writing.arg, node);

	if (fresh) {
		free(node);
		node = fresh;
	}
	writing.done(writing.arg, NULL);
}

static void block(const char *handle)
{
	CLEANUP(freep) char *value = xasprintf("{\"attributes\":[{\"handle_id\":\"%s\"}]}", handle);
	struct store_kv kv = {
		.key = (char[]) { "/calico/ipam/v2/assignment/ipv4/block/10.4.0.0-26" },
		.value = value,
	};

	on_block(on_block_arg, &kv);
}

enum { PODS = IPAM_USE_WORKLOAD, BOTH = IPAM_USE_WORKLOAD | IPAM_USE_TUNNEL };

/* ---- which pools ---- */

static void only_pools_that_serve_are_asked(void **state)
{
	add_pool("disabled", "10.1.0.0/16", true, BOTH, true);
	add_pool("pods-only", "10.2.0.0/16", false, PODS, true);
	add_pool("elsewhere", "10.3.0.0/16", false, BOTH, false);
	add_pool("right", "10.4.0.0/16", false, BOTH, true);
	want_all();
	assert_said("");
	tunnel_addrs_start(ta);
	assert_said("assign vxlan-tunnel-addr-n1; of right; ");
	answer("10.4.0.1");
	assert_said("write n1; ");
	write_it();
	assert_non_null(strstr(node, "\"10.4.0.1\""));
	assert_said("");
	/* It is disabled later: the address stays. */
	pools[3].disabled = true;
	want_all();
	assert_said("");
}

static void the_least_bad_are_asked(void **state)
{
	add_pool("disabled", "10.1.0.0/16", true, BOTH, true);
	add_pool("elsewhere", "10.3.0.0/16", false, BOTH, false);
	want_all();
	tunnel_addrs_start(ta);
	assert_said("assign vxlan-tunnel-addr-n1; of elsewhere; ");
}

static void none_serves(void **state)
{
	struct str troubles = { 0 };
	struct prefix unread = cidr("10.9.0.0/16");

	add_pool("disabled", "10.1.0.0/16", true, BOTH, true);
	want_all();
	tunnel_addrs_start(ta);
	assert_said("assign vxlan-tunnel-addr-n1; of disabled; ");
	answer("10.1.0.1");
	assert_said("write n1; ");
	write_it();
	/* One that the allocator cannot read: no name at all would mean any pool. */
	tunnel_addrs_set(ta, TUNNEL_VXLAN, &unread, 1);
	assert_said("release vxlan-tunnel-addr-n1; ");
	waiting.fn(waiting.arg, NULL, IPAM_FAIL_NONE, NULL);
	assert_said("");
	tunnel_addrs_troubles(ta, &troubles);
	assert_non_null(strstr(str_text(&troubles), "none of its IPPools can be read"));
	str_done(&troubles);
}

/* ---- what others leave and take ---- */

static void an_earlier_life_left_its_handle(void **state)
{
	/* It ended between clearing the Node and giving back the address. */
	tunnel_addrs_start(ta);
	block("vxlan-tunnel-addr-n1");
	assert_said("");
	time_passes();
	assert_said("release vxlan-tunnel-addr-n1; ");
	waiting.fn(waiting.arg, NULL, IPAM_FAIL_NONE, NULL);
	assert_said("");
}

static void nothing_is_left_over(void **state)
{
	tunnel_addrs_start(ta);
	block("vxlan-tunnel-addr-n11");
	time_passes();
	assert_said("");
}

/* 10.4.0.1 is assigned and written. */
static void settled(void)
{
	add_pool("right", "10.4.0.0/16", false, BOTH, true);
	want_all();
	tunnel_addrs_start(ta);
	answer("10.4.0.1");
	write_it();
	said[0] = '\0';
}

static void somebody_gives_it_back(void **state)
{
	settled();
	block("vxlan-tunnel-addr-n1");
	assert_said("");
	block("a-pod");
	assert_said("assign vxlan-tunnel-addr-n1; of right; ");
	answer("10.4.0.2");
	write_it();
	assert_non_null(strstr(node, "\"10.4.0.2\""));
}

static void set_node(const char *text)
{
	struct store_kv kv = { .key = (char[]) { "nodes/n1" } };

	free(node);
	node = xstrdup(text);
	kv.value = node;
	on_node(on_node_arg, &kv);
}

static void a_node_that_cannot_be_read_is_looked_at_again(void **state)
{
	struct str troubles = { 0 };

	settled();
	set_node("nonsense");
	tunnel_addrs_troubles(ta, &troubles);
	assert_non_null(strstr(str_text(&troubles), "the stored Node"));
	set_node("{\"kind\":\"Node\",\"apiVersion\":\"projectcalico.org/v3\","
		 "\"metadata\":{\"name\":\"n1\"},\"spec\":{}}");
	time_passes();
	assert_said("write n1; ");
	write_it();
	str_cut(&troubles, 0);
	tunnel_addrs_troubles(ta, &troubles);
	assert_string_equal(str_text(&troubles), "");
	str_done(&troubles);
}

static void what_fails_meanwhile_does_not_shorten_the_lingering(void **state)
{
	const struct err e = { .msg = "no" };

	add_pool("right", "10.4.0.0/16", false, BOTH, true);
	want_all();
	tunnel_addrs_start(ta);
	tunnel_addrs_set(ta, TUNNEL_VXLAN, NULL, 0);
	assert_int_equal(last_s, TUNNEL_LINGER_S);
	waiting.fn(waiting.arg, NULL, IPAM_FAIL_BUSY, &e);
	assert_int_equal(last_s, TUNNEL_LINGER_S);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(only_pools_that_serve_are_asked),
		T(the_least_bad_are_asked),
		T(none_serves),
		T(an_earlier_life_left_its_handle),
		T(nothing_is_left_over),
		T(somebody_gives_it_back),
		T(a_node_that_cannot_be_read_is_looked_at_again),
		T(what_fails_meanwhile_does_not_shorten_the_lingering),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
