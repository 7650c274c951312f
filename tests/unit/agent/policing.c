/* policing.c - the part on a loop, with a real kernel: on, off, settings, who waits */
#include "agent/policy/policing.h"

#include <unistd.h>

#include "agent/cache.h"
#include "agent/config.h"
#include "agent/felix.h"
#include "dataplane/link.h"
#include "model/key.h"
#include "tests/unit/agent/box.h"
#include "tests/unit/dataplane/netns.h"

#define WEP_KEY KEY_RESOURCES "workloadendpoints/x/n1-k8s-a-eth0"
#define WEP(ip)                                                                                 \
	"{\"kind\":\"WorkloadEndpoint\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{" \
	"\"name\":\"n1-k8s-a-eth0\",\"namespace\":\"x\"},\"spec\":{\"orchestrator\":\"k8s\","   \
	"\"node\":"                                                                             \
	"\"n1\",\"pod\":\"a\",\"endpoint\":\"eth0\",\"ipNetworks\":[\"" ip "\"],\"profiles\":[" \
	"\"kns.x\"],\"interfaceName\":\"cali1\"}}"
#define POOL(cidr) \
	"{\"kind\":\"IPPool\",\"metadata\":{\"name\":\"p\"},\"spec\":{\"cidr\":\"" cidr "\"}}"
#define FELIX(spec) \
	"{\"kind\":\"FelixConfiguration\",\"metadata\":{\"name\":\"default\"},\"spec\":" spec "}"

struct world {
	struct box *box;
	struct agent_config cfg;
	struct agent a;
	struct event *tick;
	unsigned ticks;
	char *why; /* of a wait that ended; "": well */
	bool ended;
};

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct world *w = arg;

	w->ticks++;
}

static void begin_here(struct world *w, void *box, bool on)
{
	static const struct timeval every = { .tv_usec = 20000 };
	struct err e = { 0 };

	w->box = box;
	w->cfg = (struct agent_config) { .node = xstrdup("n1"),
					 .state_dir = w->box->dir,
					 .ip6 = xstrdup("none"),
					 .interface_prefix = xstrdup("cali"),
					 .mark_mask = xstrdup("0xffff0000"),
					 .iptables_backend = CONFIG_BACKEND_NFT,
					 .has_iptables_backend = true,
					 .iptables_lock_s = 5,
					 .policy = on };
	w->a = (struct agent) { .base = w->box->base, .cfg = &w->cfg };
	w->a.ds = w->box->ds;
	w->a.cache = cache_new(w->box->base, w->box->ds, NULL, NULL);
	w->a.felix = felix_new(&w->a, NULL);
	w->a.links = link_table_new(&e);
	assert_non_null(w->a.links);
	if (policing_new(&w->a.policing, &w->a, &e) < 0)
		fail_msg("%s", e.msg);
	w->tick = event_new(w->box->base, -1, EV_PERSIST, on_tick, w);
	event_add(w->tick, &every);
}

static void begin(struct world *w, void *box, bool on)
{
	ns_fresh();
	begin_here(w, box, on);
}

static void end(struct world *w)
{
	policing_free(w->a.policing);
	link_table_free(w->a.links);
	felix_free(w->a.felix);
	cache_free(w->a.cache);
	event_free(w->tick);
	free(w->cfg.node);
	free(w->cfg.ip6);
	free(w->cfg.interface_prefix);
	free(w->cfg.mark_mask);
	free(w->why);
}

enum { TICKS_MAX = 3000 }; /* a minute, where the machine has time */

/* Turn the loop until the command prints these words. */
static void until(struct world *w, const char *cmd, const char *words, bool there)
{
	for (int i = 0; i < TICKS_MAX; i++) {
		if (!strstr(out_of(cmd), words) == !there)
			return;
		box_run_to(w->box, &w->ticks, w->ticks + 1);
	}
	fail_msg("%s: \"%s\" is %sthere: %s", cmd, words, there ? "not " : "", out_of(cmd));
}

static void until_ready(struct world *w)
{
	struct str why = { 0 };

	for (int i = 0; i < TICKS_MAX; i++) {
		str_cut(&why, 0);
		policing_not_ready(w->a.policing, &why);
		if (!why.len)
			break;
		box_run_to(w->box, &w->ticks, w->ticks + 1);
	}
	assert_string_equal(str_text(&why), "");
	str_done(&why);
}

static void on_waited(void *arg, const char *why)
{
	struct world *w = arg;

	w->ended = true;
	free(w->why);
	w->why = xstrdup(why ? why : "");
}

static const char *wait_for(struct world *w, const char *interface)
{
	w->ended = false;
	policing_wait(w->a.policing, interface, on_waited, w);
	box_run(w->box, &w->ended);
	return w->why;
}

static bool in_force(const struct world *w)
{
	CLEANUP(js_freep) json_t *o = policing_status(w->a.policing);

	return json_is_true(json_object_get(o, "inForce"));
}

/* Is it noted that rules are ours, for a later agent? */
static bool marked(const struct world *w)
{
	CLEANUP(freep) char *file = xasprintf("%s/policy-in-force", w->box->dir);

	return access(file, F_OK) == 0;
}

#define TO_POD "-A cali-to-wl-dispatch -o cali1 "

static void a_pod_waits_for_its_chains(void **state)
{
	struct world w = { 0 };

	begin(&w, *state, true);
	assert_true(policing_on(w.a.policing));
	policing_expect(w.a.policing, WEP_KEY, WEP("10.0.0.1/32"));
	assert_string_equal(wait_for(&w, "cali1"), "");
	assert_non_null(strstr(out_of("iptables-nft-save"), "-A cali-from-wl-dispatch -i cali1 "));
	until_ready(&w);
	until(&w, "iptables-nft-save -t filter", TO_POD, true);
	json_decref(policing_of(w.a.policing, "x/a"));
	policing_unexpect(w.a.policing, WEP_KEY);
	until(&w, "iptables-nft-save -t filter", TO_POD, false);
	assert_null(policing_of(w.a.policing, "x/a"));
	end(&w);
	/* The end leaves rules in force. */
	assert_non_null(strstr(out_of("iptables-nft-save"), "cali-FORWARD"));
}

/* Where a Calico agent's chain of a pod is, pods have chains by their names; else by their content. */
static void calicos_chains_stay(void **state)
{
	struct world w = { 0 };

	ns_fresh();
	out_of("iptables-nft -N cali-tw-cali9");
	begin_here(&w, *state, true);
	policing_expect(w.a.policing, WEP_KEY, WEP("10.0.0.1/32"));
	assert_string_equal(wait_for(&w, "cali1"), "");
	assert_non_null(strstr(out_of("iptables-nft-save"), "-g cali-tw-cali1"));
	until(&w, "iptables-nft-save -t filter", "cali-tw-cali9", false);
	end(&w);
}

static void a_setting_makes_rules_anew(void **state)
{
	struct world w = { 0 };

	begin(&w, *state, true);
	policing_expect(w.a.policing, WEP_KEY, WEP("10.0.0.1/32"));
	assert_string_equal(wait_for(&w, "cali1"), "");
	box_put(w.box, KEY_RESOURCES "felixconfigurations/default",
		FELIX("{\"iptablesFilterDenyAction\":\"Reject\"}"));
	until(&w, "iptables-nft-save -t filter", "REJECT", true);
	until_ready(&w);
	assert_non_null(strstr(out_of("iptables-nft-save"), TO_POD));
	box_put(w.box, KEY_RESOURCES "felixconfigurations/default",
		FELIX("{\"logSeverityScreen\":\"Info\"}"));
	until(&w, "iptables-nft-save -t filter", "REJECT", false);
	end(&w);
}

struct witness {
	struct world *w;
	unsigned seen;
	bool in_force;
};

/* Told after the parts, in the same call of the store. */
static void on_setting(void *arg, const struct store_kv *kv)
{
	struct witness *x = arg;

	if (!kv || !kv->value)
		return;
	x->seen++;
	x->in_force = in_force(x->w);
}

/* Who sees the revision in the status reads of rules that are as it wants them. */
static void a_setting_is_in_force_when_it_is(void **state)
{
	struct world w = { 0 };
	struct witness x = { &w, 0, false };

	begin(&w, *state, true);
	cache_subscribe(w.a.cache, KEY_RESOURCES "felixconfigurations/", on_setting, &x);
	while (!in_force(&w))
		box_run_to(w.box, &w.ticks, w.ticks + 1);
	box_put(w.box, KEY_RESOURCES "felixconfigurations/default",
		FELIX("{\"iptablesFilterDenyAction\":\"Reject\"}"));
	box_run_to(w.box, &x.seen, 1);
	assert_false(x.in_force);
	while (!in_force(&w))
		box_run_to(w.box, &w.ticks, w.ticks + 1);
	assert_non_null(strstr(out_of("iptables-nft-save -t filter"), "REJECT"));
	end(&w);
}

static void ipv6_comes_with_its_pool(void **state)
{
	struct world w = { 0 };
	struct err e = { 0 };

	begin(&w, *state, true);
	until_ready(&w);
	assert_true(policing_can(w.a.policing, IP_V4, &e));
	assert_false(policing_can(w.a.policing, IP_V6, &e));
	assert_non_null(strstr(e.msg, "there is no IPv6 pool"));
	box_put(w.box, KEY_RESOURCES "ippools/p", POOL("fd00::/112"));
	until(&w, "ip6tables-nft-save -t filter", "cali-FORWARD", true);
	until_ready(&w);
	assert_true(policing_can(w.a.policing, IP_V6, &e));
	assert_null(strstr(out_of("ipset list -name"), "probe"));
	assert_null(strstr(out_of("ip6tables-nft-save"), "probe"));
	box_put(w.box, KEY_RESOURCES "felixconfigurations/default",
		FELIX("{\"ipv6Support\":false}"));
	for (int i = 0; i < TICKS_MAX && policing_can(w.a.policing, IP_V6, &e); i++)
		box_run_to(w.box, &w.ticks, w.ticks + 1);
	assert_false(policing_can(w.a.policing, IP_V6, &e));
	assert_non_null(strstr(e.msg, "ipv6Support"));
	end(&w);
}

/* A kernel with sets, and rules of IPv6, that has no sets of IPv6. */
static void ipv6_needs_its_sets(void **state)
{
	struct world w = { .box = *state };
	CLEANUP(freep) char *path = xasprintf("%s:%s", w.box->dir, getenv("PATH"));
	CLEANUP(freep) char *old = xstrdup(getenv("PATH"));
	struct err e = { 0 };

	sh("printf '#!/bin/sh\\nPATH=%s\\nin=$(cat)\\ncase \"$in\" in *inet6*) echo no such type "
	   ">&2; exit 1;; "
	   "esac\\necho \"$in\" | exec ipset \"$@\"\\n' > %s/ipset; chmod +x %s/ipset",
	   old, w.box->dir, w.box->dir);
	setenv("PATH", path, 1);
	begin(&w, *state, true);
	box_put(w.box, KEY_RESOURCES "ippools/p", POOL("fd00::/112"));
	for (int i = 0; i < TICKS_MAX; i++) {
		box_run_to(w.box, &w.ticks, w.ticks + 1);
		if (!policing_can(w.a.policing, IP_V6, &e) && strstr(e.msg, "no IP sets of IPv6"))
			break;
	}
	assert_non_null(strstr(e.msg, "ip_set_hash_net"));
	until_ready(&w);
	assert_null(strstr(out_of("ip6tables-nft-save 2>/dev/null"), "cali"));
	setenv("PATH", old, 1);
	end(&w);
}

static void off_nobody_waits_and_what_was_ours_goes(void **state)
{
	struct world w = { 0 };

	begin(&w, *state, true);
	until_ready(&w);
	while (!in_force(&w))
		box_run_to(w.box, &w.ticks, w.ticks + 1);
	assert_true(marked(&w));
	end(&w);
	w = (struct world) { 0 };
	begin_here(&w, *state, false);
	assert_false(policing_on(w.a.policing));
	policing_expect(w.a.policing, WEP_KEY, WEP("10.0.0.1/32"));
	assert_string_equal(wait_for(&w, "cali1"), "");
	until(&w, "iptables-nft-save", "cali-", false);
	for (int i = 0; i < TICKS_MAX && marked(&w); i++)
		box_run_to(w.box, &w.ticks, w.ticks + 1);
	assert_false(marked(&w));
	end(&w);
}

static void off_rules_of_others_stay(void **state)
{
	struct world w = { 0 };
	struct str why = { 0 };

	begin(&w, *state, false);
	sh("iptables-nft -N cali-FORWARD");
	box_put(w.box, KEY_RESOURCES "nodes/n1",
		"{\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\"}}");
	for (int i = 0; i < 20; i++)
		box_run_to(w.box, &w.ticks, w.ticks + 1);
	policing_not_ready(w.a.policing, &why);
	assert_string_equal(str_text(&why), "");
	assert_non_null(strstr(out_of("iptables-nft-save"), "cali-FORWARD"));
	end(&w);
}

static void a_wait_can_be_stopped(void **state)
{
	struct world w = { 0 };
	struct policing_wait *wait;

	begin(&w, *state, true);
	wait = policing_wait(w.a.policing, "cali7", on_waited, &w);
	policing_wait_stop(wait);
	policing_wait_stop(NULL);
	policing_wait(w.a.policing, "cali8", on_waited, &w); /* freed with the part, not told */
	until_ready(&w);
	assert_false(w.ended);
	end(&w);
	assert_false(w.ended);
}

static void without_the_part_nothing_is_enforced(void **state)
{
	struct str out = { 0 };

	assert_false(policing_on(NULL));
	assert_true(policing_can(NULL, IP_V6, NULL));
	policing_expect(NULL, WEP_KEY, "{}");
	policing_unexpect(NULL, WEP_KEY);
	policing_restate(NULL);
	policing_not_ready(NULL, &out);
	assert_int_equal(policing_troubles(NULL, &out), 0);
	assert_int_equal(out.len, 0);
	assert_null(policing_status(NULL));
	assert_null(policing_of(NULL, "x"));
	policing_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pod_waits_for_its_chains, box_open, box_close),
		cmocka_unit_test_setup_teardown(calicos_chains_stay, box_open, box_close),
		cmocka_unit_test_setup_teardown(a_setting_makes_rules_anew, box_open, box_close),
		cmocka_unit_test_setup_teardown(a_setting_is_in_force_when_it_is, box_open,
						box_close),
		cmocka_unit_test_setup_teardown(ipv6_comes_with_its_pool, box_open, box_close),
		cmocka_unit_test_setup_teardown(ipv6_needs_its_sets, box_open, box_close),
		cmocka_unit_test_setup_teardown(off_nobody_waits_and_what_was_ours_goes, box_open,
						box_close),
		cmocka_unit_test_setup_teardown(off_rules_of_others_stay, box_open, box_close),
		cmocka_unit_test_setup_teardown(a_wait_can_be_stopped, box_open, box_close),
		cmocka_unit_test(without_the_part_nothing_is_enforced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
