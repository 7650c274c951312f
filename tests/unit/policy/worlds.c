/* worlds.c - random worlds: what is calculated and rendered against the judge, packet by packet, and
 * one state for any order of events; every other world with chains that pods share
 *
 * WORLDS=100000 SEED=7 test-policy-worlds	for longer runs; a failure prints its seed */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/str.h"
#include "model/object.h"
#include "model/tier.h"
#include "policy/input.h"
#include "policy/k8s.h"
#include "tests/unit/policy/kernel.h"
#include "tests/unit/policy/path.h"
#include "tests/unit/policy/world.h"

enum { PACKETS = 12 };

static const char *const host_if[] = { "eth0", "eth1" };
static struct addr host_addr[2];

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- objects as events ---- */

static struct object read_object(const struct wobj *o)
{
	struct object out;
	struct err e = { 0 };
	CLEANUP(freep) char *text = js_dump(o->json);

	if (!o->broken) {
		if (object_from_json(o->json, &out, &e) < 0)
			fail_msg("%s: %s", text, e.msg);
		return out;
	}
	assert_true(object_from_json(o->json, &out, &e) < 0);
	out = object_new(kind_find(json_string_value(json_object_get(o->json, "kind"))), "", "x");
	free(out.name);
	out.name = xstrdup(json_string_value(js_at(o->json, "metadata.name")));
	if (out.ns) {
		free(out.ns);
		out.ns = xstrdup(json_string_value(js_at(o->json, "metadata.namespace")));
	}
	json_decref(out.json);
	out.json = json_deep_copy(o->json);
	return out;
}

static bool is_policy(const struct object *o)
{
	return o->kind->flags & KIND_POLICY;
}

static void feed_profile(struct calc *c, struct object *o, bool gone)
{
	struct calc_event ev = { .kind = CALC_PROFILE };
	struct err e = { 0 };

	if (gone) {
		ev.kind = CALC_PROFILE_GONE;
		ev.of.name = o->name;
	} else if (profile_from_object(o, &ev.of.profile, &e) < 0) {
		fail_msg("%s", e.msg);
	}
	calc_step(c, &ev);
}

static void feed_policy(struct calc *c, struct object *o, const char *k8s_name, bool gone,
			bool broken)
{
	struct calc_event ev = { .kind = CALC_POLICY };
	struct err e = { 0 };
	int rc;

	if (gone) {
		ev.kind = CALC_POLICY_GONE;
		ev.of.policy_id = (struct policy_id) { k8s_name ? POLICY_KUBERNETES
						       : o->ns	? POLICY_NETWORK
								: POLICY_GLOBAL,
						       o->ns, k8s_name ? k8s_name : o->name };
		calc_step(c, &ev);
		return;
	}
	rc = k8s_name ? policy_from_k8s(o, k8s_name, &ev.of.policy, &e)
		      : policy_from_object(o, &ev.of.policy, &e);
	if ((rc < 0) != broken)
		fail_msg("%s: %s", o->name, e.msg);
	assert_non_null(ev.of.policy);
	calc_step(c, &ev);
}

static void feed_tier(struct calc *c, struct object *o, bool gone)
{
	struct tier_state t = { .name = o->name };
	struct calc_event ev = { .kind = gone ? CALC_TIER_GONE : CALC_TIER };

	tier_read(o, &t.order, &t.action);
	if (gone)
		ev.of.name = o->name;
	else
		ev.of.tier = &t;
	calc_step(c, &ev);
}

static void feed_endpoint(struct calc *c, struct object *o, bool gone)
{
	struct endpoint_input in;
	struct err e = { 0 };
	struct calc_event ev = { .kind = gone ? CALC_ENDPOINT_GONE : CALC_ENDPOINT };

	if (endpoint_from_object(o, &in, &e) < 0)
		fail_msg("%s", e.msg);
	ev.of.endpoint = &in.e;
	calc_step(c, &ev);
	endpoint_input_done(&in);
}

static void feed_slice(struct calc *c, const json_t *json, bool gone)
{
	struct slice_input in;
	struct calc_event ev = { .kind = gone ? CALC_SLICE_GONE : CALC_SLICE };

	assert_int_equal(slice_from_json(json, &in, NULL), 0);
	if (gone)
		ev.of.name = in.s.id;
	else
		ev.of.slice = &in.s;
	calc_step(c, &ev);
	slice_input_done(&in);
}

static void feed_k8s(struct calc *c, const struct wobj *o, bool gone)
{
	struct object made;
	struct str left_out = { 0 };
	const char *name = json_string_value(js_at(o->json, "metadata.name"));
	struct err e = { 0 };
	int rc;

	if (o->kind == W_K8S_POLICY)
		rc = k8s_policy(o->json, &made, &left_out, &e);
	else if (o->kind == W_NAMESPACE)
		rc = k8s_namespace(o->json, &made, &e);
	else
		rc = k8s_account(o->json, &made, &e);
	if (rc < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(left_out.len, 0);
	if (o->kind == W_K8S_POLICY)
		feed_policy(c, &made, name, gone, false);
	else
		feed_profile(c, &made, gone);
	object_done(&made);
	str_done(&left_out);
}

static void feed(struct calc *c, const struct wobj *o, bool gone)
{
	struct object obj;

	if (o->kind == W_SLICE) {
		feed_slice(c, o->json, gone);
		return;
	}
	if (o->kind != W_OBJECT) {
		feed_k8s(c, o, gone);
		return;
	}
	obj = read_object(o);
	if (is_policy(&obj))
		feed_policy(c, &obj, NULL, gone, o->broken);
	else if (!strcmp(obj.kind->name, "Profile"))
		feed_profile(c, &obj, gone);
	else if (!strcmp(obj.kind->name, "Tier"))
		feed_tier(c, &obj, gone);
	else
		feed_endpoint(c, &obj, gone);
	object_done(&obj);
}

/* ---- packets ---- */

static void explain(const struct jworld *w, const struct jpacket *p, const struct kernel *k,
		    const char *what, bool want)
{
	struct wobjs objects = { 0 };
	CLEANUP(freep) char *dump = kernel_dump(k);
	char src[ADDR_STR_MAX], dst[ADDR_STR_MAX];

	world_objects(w, &objects);
	vec_foreach (&objects, o) {
		CLEANUP(freep) char *text = js_dump(o->json);

		fprintf(stderr, "%s\n", text);
	}
	fprintf(stderr, "%s\n", dump);
	wobjs_done(&objects);
	fail_msg("%s: %s:%u -> %s:%u proto %d icmp %d/%d must be %s", what,
		 addr_format(&p->src, src), p->sport, addr_format(&p->dst, dst), p->dport, p->proto,
		 p->icmp_type, p->icmp_code, want ? "accepted" : "dropped");
}

static bool kernel_enter(const struct kernel *k, struct ktransit *t)
{
	return kernel_hook(k, TABLE_RAW, "PREROUTING", t) &&
	       kernel_hook(k, TABLE_MANGLE, "PREROUTING", t);
}

static void try_forward(const struct jnode *n, const struct kernel *k, const char *in,
			const char *out, const struct jpacket *p)
{
	struct ktransit t = { .packet = p, .in = in };
	bool got = kernel_enter(k, &t), want = path_forward(n, in, out, p);
	CLEANUP(freep) char *what = xasprintf("forward %s to %s", in, out);

	t.out = out;
	got = got && kernel_hook(k, TABLE_FILTER, "FORWARD", &t);
	if (got != want)
		explain(n->w, p, k, what, want);
}

static void try_input(const struct jnode *n, const struct kernel *k, const char *in,
		      const struct jpacket *p)
{
	struct ktransit t = { .packet = p, .in = in };
	bool want = path_input(n, in, p), got = kernel_enter(k, &t);
	CLEANUP(freep) char *what = xasprintf("input from %s", in);

	got = got && kernel_hook(k, TABLE_FILTER, "INPUT", &t);
	if (got != want)
		explain(n->w, p, k, what, want);
}

static void try_output(const struct jnode *n, const struct kernel *k, const char *out,
		       const struct jpacket *p)
{
	struct ktransit t = { .packet = p, .out = out };
	bool got = kernel_hook(k, TABLE_RAW, "OUTPUT", &t), want = path_output(n, out, p);
	CLEANUP(freep) char *what = xasprintf("output to %s", out);

	got = got && kernel_hook(k, TABLE_FILTER, "OUTPUT", &t);
	if (got != want)
		explain(n->w, p, k, what, want);
}

static const char *any_interface(struct rng *r)
{
	static char name[24];
	int i = rng_below(r, J_PODS + 4);

	if (i < J_PODS) {
		snprintf(name, sizeof(name), "cali%x%d", (unsigned)i * 7 % 16, i);
		return name;
	}
	return i < J_PODS + 3 ? host_if[i % 2] : "eth7";
}

static struct jnode this_node(const struct jworld *w)
{
	struct jnode n = { .w = w, .n_link = 2 };

	for (int i = 0; i < 2; i++) {
		n.link[i].name = host_if[i];
		n.link[i].addr[0] = host_addr[i];
		n.link[i].n_addr = 1;
	}
	return n;
}

static void try_packets(struct rng *r, const struct jworld *w, const struct kernel *k)
{
	struct jnode n = this_node(w);

	for (int i = 0; i < PACKETS; i++) {
		struct jpacket p = packet_random(r, w);
		CLEANUP(freep)
		char *in = xstrdup(any_interface(r)), *out = xstrdup(any_interface(r));

		try_forward(&n, k, in, out, &p);
		try_input(&n, k, in, &p);
		try_output(&n, k, out, &p);
	}
}

/* ---- worlds ---- */

static void start(struct kernel *k, bool share)
{
	struct host_interface ifs[2];

	for (int i = 0; i < 2; i++)
		ifs[i] = (struct host_interface) { host_if[i], &host_addr[i], 1 };
	kernel_init(k, ifs, 2, share);
}

static void shuffle(struct rng *r, struct wobj *p, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = (size_t)rng_below(r, (int)i);
		struct wobj tmp = p[i - 1];

		p[i - 1] = p[j];
		p[j] = tmp;
	}
}

static bool has_key(const struct wobjs *v, const char *key)
{
	for (size_t i = 0; i < v->n; i++)
		if (!strcmp(v->p[i].key, key))
			return true;
	return false;
}

static void maybe_flush(struct rng *r, struct calc *c, struct kernel *k)
{
	if (rng_one_in(r, 6))
		kernel_apply(k, calc_flush(c));
}

/* From another world to this one, in any order. */
static void run_detour(struct rng *r, const struct wobjs *from, struct wobjs *to, struct calc *c,
		       struct kernel *k)
{
	struct wobjs gone = { 0 };

	shuffle(r, from->p, from->n);
	for (size_t i = 0; i < from->n; i++) {
		feed(c, &from->p[i], false);
		maybe_flush(r, c, k);
		if (!has_key(to, from->p[i].key))
			vec_push(&gone, from->p[i]);
	}
	shuffle(r, to->p, to->n);
	for (size_t i = 0, g = 0; i < to->n || g < gone.n;) {
		if (i < to->n && (g == gone.n || rng_one_in(r, 2)))
			feed(c, &to->p[i++], false);
		else
			feed(c, &gone.p[g++], true);
		maybe_flush(r, c, k);
	}
	kernel_apply(k, calc_flush(c));
	vec_done(&gone);
}

static void expect_same(char *a, char *b, const char *what)
{
	if (strcmp(a, b)) {
		fprintf(stderr, "--- straight\n%s\n--- by a detour\n%s\n", a, b);
		fail_msg("%s differs by the order of events", what);
	}
	free(a);
	free(b);
}

static void one_world(uint64_t seed)
{
	struct rng r = { seed };
	struct jworld *w = xmalloc(sizeof(*w)), *other = xmalloc(sizeof(*other));
	struct wobjs objects = { 0 }, before = { 0 };
	struct calc *straight = calc_new("here", 1), *detour = calc_new("here", 2);
	struct kernel k, k2;
	const struct calc_effects *fx;

	start(&k, seed % 2);
	start(&k2, seed % 2);
	world_random(&r, w);
	world_random(&r, other);
	world_objects(w, &objects);
	world_objects(other, &before);
	for (size_t i = 0; i < objects.n; i++)
		feed(straight, &objects.p[i], false);
	kernel_apply(&k, calc_flush(straight));
	try_packets(&r, w, &k);
	run_detour(&r, &before, &objects, detour, &k2);
	expect_same(calc_dump(straight), calc_dump(detour), "calculation");
	expect_same(kernel_dump(&k), kernel_dump(&k2), "kernel");
	/* The same again is nothing new. */
	for (size_t i = 0; i < objects.n; i++)
		feed(straight, &objects.p[i], false);
	fx = calc_flush(straight);
	assert_int_equal(fx->sets.n + fx->sets_gone.n + fx->endpoints.n + fx->endpoints_gone.n, 0);
	/* And without everything there is nothing. */
	for (size_t i = 0; i < objects.n; i++)
		feed(detour, &objects.p[i], true);
	kernel_apply(&k2, calc_flush(detour));
	assert_int_equal(k2.sets.n, 0);
	assert_int_equal(calc_stats(detour).members, 0);
	calc_free(straight);
	calc_free(detour);
	kernel_done(&k);
	kernel_done(&k2);
	wobjs_done(&objects);
	wobjs_done(&before);
	free(w);
	free(other);
}

static void random_worlds(void **state)
{
	uint64_t n = env_number("WORLDS", 300), seed = env_number("SEED", 1);

	for (uint64_t i = 0; i < n; i++) {
		if (n < 2 || getenv("WORLDS_TRACE"))
			fprintf(stderr, "seed %lu\n", (unsigned long)(seed + i));
		one_world(seed + i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(random_worlds) };

	addr_parse("192.168.0.1", &host_addr[0]);
	addr_parse("192.168.0.2", &host_addr[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
