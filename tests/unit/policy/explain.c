/* explain.c - what is said to decide, against the judge: the same verdict for any packet in random
 * worlds, and in small ones the tier, policy and rule by name
 *
 * WORLDS=100000 SEED=7 test-policy-explain	for longer runs; a failure prints its seed */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/str.h"
#include "model/key.h"
#include "model/object.h"
#include "policy/explain_path.h"
#include "policy/feed.h"
#include "policy/input.h"
#include "policy/k8s.h"
#include "tests/unit/policy/path.h"
#include "tests/unit/policy/world.h"

enum { PACKETS = 8 };

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- objects ---- */

/* As the store has it: nothing is refused. */
static struct object stored(const json_t *json)
{
	const struct kind *kind = kind_find(json_string_value(json_object_get(json, "kind")));
	CLEANUP(freep)
	char *key = key_resource(kind, json_string_value(js_at(json, "metadata.namespace")),
				 json_string_value(js_at(json, "metadata.name")));
	CLEANUP(freep) char *text = js_dump(json);
	struct object out;
	struct err e = { 0 };

	if (object_decode(key, text, 1, &out, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return out;
}

static struct object object_of(const struct wobj *o)
{
	struct object out;
	struct str left_out = { 0 };
	struct err e = { 0 };
	int rc = 0;

	switch (o->kind) {
	case W_K8S_POLICY:
		rc = k8s_policy(o->json, &out, &left_out, &e);
		break;
	case W_NAMESPACE:
		rc = k8s_namespace(o->json, &out, &e);
		break;
	case W_ACCOUNT:
		rc = k8s_account(o->json, &out, &e);
		break;
	case W_OBJECT:
	case W_SLICE:
		out = stored(o->json);
		break;
	}
	if (rc < 0)
		fail_msg("%s", e.msg);
	str_done(&left_out);
	return out;
}

static void feed_slice(struct calc *c, const json_t *json)
{
	struct slice_input in;

	assert_int_equal(slice_from_json(json, &in, NULL), 0);
	calc_step(c, &(struct calc_event) { .kind = CALC_SLICE, .of.slice = &in.s });
	slice_input_done(&in);
}

static bool is_endpoint(const struct object *o)
{
	return !strcmp(o->kind->name, "WorkloadEndpoint") || !strcmp(o->kind->name, "HostEndpoint");
}

/* all_here: endpoints of other nodes are taken for this one's. */
static void feed(struct calc *c, const struct wobj *o, bool all_here)
{
	struct object obj;
	struct err e = { 0 };

	if (o->kind == W_SLICE) {
		feed_slice(c, o->json);
		return;
	}
	obj = object_of(o);
	assert_true(feed_takes(obj.kind->name));
	if (all_here && is_endpoint(&obj))
		assert_true(feed_endpoint_on(c, &obj, "here", &e));
	else
		assert_true(feed_object(c, &obj, &e));
	assert_int_equal(e.code != 0, o->broken);
	object_done(&obj);
}

/* ---- random worlds ---- */

static char *say(const struct explain *x)
{
	struct str s = { 0 };

	for (const struct explain_step *step = x->steps.p; step < x->steps.p + x->steps.n; step++)
		str_addf(&s, "\n  %d tier %s policy %s profile %s rule %zu action %d", step->what,
			 step->tier ? step->tier : "-", step->policy ? step->policy->name : "-",
			 step->profile ? step->profile : "-", step->index, step->action);
	return str_take(&s);
}

static void expect(const struct jworld *w, struct calc *c, const struct jendpoint *e,
		   enum jclass class, bool ingress, const struct jpacket *p, uint64_t seed)
{
	static const enum explain_verdict want[] = { [J_ACCEPTED] = EXPLAIN_ALLOW,
						     [J_DROPPED] = EXPLAIN_DENY,
						     [J_UNDECIDED] = EXPLAIN_OPEN };
	static const enum calc_class classes[] = { [J_NORMAL] = CLASS_NORMAL,
						   [J_FORWARD] = CLASS_FORWARD,
						   [J_UNTRACKED] = CLASS_UNTRACKED,
						   [J_PREDNAT] = CLASS_PRE_DNAT };
	struct explain_packet packet = { p->src,   p->dst,	 (uint8_t)p->proto, p->sport,
					 p->dport, p->icmp_type, p->icmp_code,	    NULL };
	enum jverdict judged = judge(w, e, ingress, class, p);
	struct explain x = { 0 };
	CLEANUP(freep) char *id = NULL;

	if (e->host)
		id = xstrdup(e->name);
	else
		id = xasprintf("n%d/%s-k8s-%s-eth0", e->ns, e->here ? "here" : "there", e->name);
	if (!explain_endpoint(c, e->host ? ENDPOINT_HOST : ENDPOINT_WORKLOAD, id, ingress,
			      classes[class], &packet, &x))
		fail_msg("seed %lu: no endpoint %s", (unsigned long)seed, id);
	if (x.verdict != want[judged]) {
		CLEANUP(freep) char *steps = say(&x);
		char a[ADDR_STR_MAX], b[ADDR_STR_MAX];

		fail_msg("seed %lu: %s %s class %d: %s:%u -> %s:%u proto %d: judged %d, explained "
			 "%d by%s",
			 (unsigned long)seed, id, ingress ? "ingress" : "egress", class,
			 addr_format(&p->src, a), p->sport, addr_format(&p->dst, b), p->dport,
			 p->proto, judged, x.verdict, steps);
	}
	assert_true(x.steps.n > 0);
	explain_done(&x);
}

static void one_world(uint64_t seed)
{
	struct rng r = { seed };
	struct jworld *w = xmalloc(sizeof(*w));
	struct wobjs objects = { 0 };
	struct calc *c = calc_new("here", 1);
	bool all = seed % 2;

	world_random(&r, w);
	world_objects(w, &objects);
	for (size_t i = 0; i < objects.n; i++)
		feed(c, &objects.p[i], all);
	calc_flush(c);
	for (int n = 0; n < PACKETS; n++) {
		struct jpacket p = packet_random(&r, w);

		for (int i = 0; i < J_PODS; i++)
			for (int in = 0; in < 2; in++)
				if (w->pod[i].exists && (all || w->pod[i].here))
					expect(w, c, &w->pod[i], J_NORMAL, in, &p, seed);
		for (int i = 0; i < J_HOSTS; i++)
			for (int in = 0; in < 2; in++)
				for (int k = J_NORMAL; k <= J_PREDNAT; k++)
					if (w->host[i].exists && (all || w->host[i].here))
						expect(w, c, &w->host[i], (enum jclass)k, in, &p,
						       seed);
	}
	calc_free(c);
	wobjs_done(&objects);
	free(w);
}

static void random_worlds(void **state)
{
	uint64_t n = env_number("WORLDS", 500), seed = env_number("SEED", 1);

	for (uint64_t i = 0; i < n; i++)
		one_world(seed + i);
}

/* ---- whole ways through one node ---- */

static struct jnode node_of(const struct jworld *w)
{
	struct jnode n = { .w = w, .n_link = 1 };

	n.link[0].name = "eth0";
	n.link[0].n_addr = 1;
	addr_parse("192.168.0.1", &n.link[0].addr[0]);
	return n;
}

static struct explain_end node_end(const struct jnode *n, enum explain_place place)
{
	const struct jendpoint *up = judge_host(n->w, "eth0", n->link[0].addr, n->link[0].n_addr);
	const struct jendpoint *every = judge_host(n->w, "none", NULL, 0);

	return (struct explain_end) { .place = place,
				      .node = place == EXPLAIN_OUTSIDE ? NULL : "here",
				      .uplink = up && strcmp(up->interface, "*") ? up->name : NULL,
				      .every = every ? every->name : NULL };
}

/* Ways that were allowed and denied. */
static size_t seen[2];

static void expect_way(const struct jworld *w, struct calc *c, const struct explain_end *of,
		       const struct explain_end *where, const struct jpacket *p, bool want,
		       const char *what)
{
	struct explain_end from = *of, to = *where;
	struct render_config cfg = render_config_default(IP_V4);
	struct explain_packet packet = { p->src,   p->dst,	 (uint8_t)p->proto, p->sport,
					 p->dport, p->icmp_type, p->icmp_code,	    NULL };
	struct explain_path path;

	cfg.n_failsafe_in = cfg.n_failsafe_out = 0;
	cfg.to_host = "RETURN";
	from.cfg = to.cfg = &cfg;
	explain_path(c, &from, &to, &packet, &path);
	if ((path.verdict != EXPLAIN_DENY) != want)
		fail_msg("%s: %s, must be %s", what, path.verdict ? "denied" : "allowed",
			 want ? "allowed" : "denied");
	assert_int_equal(path.denied == path.stages.n, want);
	for (size_t i = 0; i < path.denied; i++)
		assert_int_not_equal(path.stages.p[i].verdict, EXPLAIN_DENY);
	seen[want]++;
	explain_path_done(&path);
}

static void try_ways(struct rng *r, const struct jworld *w, struct calc *c, uint64_t seed)
{
	struct jnode n = node_of(w);
	struct jpacket p = packet_random(r, w);
	const struct jendpoint *a = &w->pod[rng_below(r, J_PODS)],
			       *b = &w->pod[rng_below(r, J_PODS)];
	struct explain_end out = node_end(&n, EXPLAIN_OUTSIDE), host = node_end(&n, EXPLAIN_HOST),
			   from = node_end(&n, EXPLAIN_POD), to = from;
	CLEANUP(freep) char *id_a = xasprintf("n%d/here-k8s-%s-eth0", a->ns, a->name);
	CLEANUP(freep) char *id_b = xasprintf("n%d/here-k8s-%s-eth0", b->ns, b->name);
	CLEANUP(freep) char *what = xasprintf("seed %lu", (unsigned long)seed);

	if (!a->exists || !b->exists || !a->here || !b->here || addr_eq(&p.src, &p.dst))
		return;
	from.pod = id_a;
	to.pod = id_b;
	expect_way(w, c, &from, &to, &p, path_forward(&n, a->interface, b->interface, &p), what);
	expect_way(w, c, &from, &out, &p, path_forward(&n, a->interface, "eth0", &p), what);
	expect_way(w, c, &out, &to, &p, path_forward(&n, "eth0", b->interface, &p), what);
	expect_way(w, c, &from, &host, &p, path_input(&n, a->interface, &p), what);
	expect_way(w, c, &out, &host, &p, path_input(&n, "eth0", &p), what);
	expect_way(w, c, &host, &out, &p, path_output(&n, "eth0", &p), what);
	expect_way(w, c, &host, &to, &p, true, what);
}

static void ways_world(uint64_t seed)
{
	struct rng r = { seed };
	struct jworld *w = xmalloc(sizeof(*w));
	struct wobjs objects = { 0 };
	struct calc *c = calc_new("here", 1);

	world_random(&r, w);
	world_objects(w, &objects);
	for (size_t i = 0; i < objects.n; i++)
		feed(c, &objects.p[i], false);
	calc_flush(c);
	for (int i = 0; i < 4 * PACKETS; i++)
		try_ways(&r, w, c, seed);
	calc_free(c);
	wobjs_done(&objects);
	free(w);
}

static void random_ways(void **state)
{
	uint64_t n = env_number("WORLDS", 400), seed = env_number("SEED", 1);

	for (uint64_t i = 0; i < n; i++)
		ways_world(seed + i);
	assert_true(seen[true] > n && seen[false] > n);
}

/* A host endpoint without policy and profile: only failsafe ports are open. */
static void shut_host(struct calc *c, const char *name)
{
	calc_step(c, &(struct calc_event) { .kind = CALC_ENDPOINT,
					    .of.endpoint = &(struct endpoint) {
						    .kind = ENDPOINT_HOST,
						    .id = name,
						    .node = "here",
						    .interface = "eth0",
					    } });
}

/* Each node's agent has its own failsafe ports. */
static void settings_of_both_ends(void **state)
{
	static const struct failsafe ssh = { .proto = PROTO_TCP, .port = 22 };
	struct render_config none = render_config_default(IP_V4), in, out;
	struct explain_packet p = { .proto = PROTO_TCP, .dst_port = 22 };
	struct calc *c = calc_new("here", 1);

	none.n_failsafe_in = none.n_failsafe_out = 0;
	in = out = none;
	in.failsafe_in = out.failsafe_out = &ssh;
	in.n_failsafe_in = out.n_failsafe_out = 1;
	assert_true(addr_parse("192.0.2.1", &p.src) && addr_parse("192.0.2.2", &p.dst));
	shut_host(c, "h1");
	shut_host(c, "h2");
	calc_flush(c);
	for (int i = 0; i < 4; i++) {
		struct explain_end from = { .place = EXPLAIN_HOST,
					    .node = "n1",
					    .uplink = "h1",
					    .cfg = i & 1 ? &out : &in },
				   to = { .place = EXPLAIN_HOST,
					  .node = "n2",
					  .uplink = "h2",
					  .cfg = i & 2 ? &in : &out };
		struct explain_path path;

		explain_path(c, &from, &to, &p, &path);
		assert_int_equal(path.verdict, i == 3 ? EXPLAIN_ALLOW : EXPLAIN_DENY);
		assert_int_equal(path.denied, i == 3 ? 2 : !(i & 1) ? 0 : 1);
		explain_path_done(&path);
	}
	calc_free(c);
}

/* preDNAT policy sees the destination that the packet came with. */
static void before_translation(void **state)
{
	struct explain_packet before = { .proto = PROTO_TCP, .dst_port = 80 }, p = before;
	struct render_config cfg = render_config_default(IP_V4);
	struct explain_end from = { .place = EXPLAIN_OUTSIDE }, to = {
		.place = EXPLAIN_HOST, .node = "here", .uplink = "h", .cfg = &cfg
	};
	struct calc *c = calc_new("here", 1);
	struct object o = object_new(kind_find("GlobalNetworkPolicy"), NULL, "p");
	struct explain_path path;

	js_set(o.json, "spec",
	       json_pack("{sb sb s[s] s[{ss ss s{s[i]}}]}", "preDNAT", 1, "applyOnForward", 1,
			 "types", "Ingress", "ingress", "action", "Allow", "protocol", "TCP",
			 "destination", "ports", 80));
	assert_true(feed_object(c, &o, NULL));
	object_done(&o);
	shut_host(c, "h");
	calc_flush(c);
	assert_true(addr_parse("192.0.2.1", &p.src) && addr_parse("192.0.2.2", &p.dst));
	before.src = p.src;
	before.dst = p.dst;
	p.dst_port = 8080;
	for (int i = 0; i < 2; i++) {
		p.before = i ? &before : NULL;
		explain_path(c, &from, &to, &p, &path);
		assert_int_equal(path.verdict, i ? EXPLAIN_ALLOW : EXPLAIN_DENY);
		explain_path_done(&path);
	}
	calc_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(settings_of_both_ends),
					    cmocka_unit_test(before_translation),
					    cmocka_unit_test(random_worlds),
					    cmocka_unit_test(random_ways) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
