/* cutting.c - which tracked flows policy denies now, and that they come to their end */
#include "agent/policy/cutting.h"

#include <event2/event.h>

#include "agent/policy/policy_feed.h"
#include "dataplane/link.h"
#include "model/key.h"
#include "policy/render.h"
#include "tests/unit/dataplane/netns.h"

struct world {
	struct event_base *base;
	struct calc *calc;
	struct policy_feed *feed;
	struct link_table *links;
	struct cutting *cutting;
	bool unflushed;
	unsigned rested;
};

static bool is_flushed(void *arg)
{
	const struct world *w = arg;

	return !w->unflushed;
}

static const struct render_config *render_of(void *arg, enum ip_family family)
{
	static struct render_config cfg;

	cfg = render_config_default(family);
	cfg.to_host = "RETURN";
	return &cfg;
}

static void on_rested(void *arg)
{
	struct world *w = arg;

	w->rested++;
}

static void flush(struct world *w)
{
	cutting_take(w->cutting, calc_flush(w->calc));
}

static void pod(struct world *w, const char *name, const char *node, const char *ip)
{
	CLEANUP(freep)
	char *key = xasprintf(KEY_RESOURCES "workloadendpoints/x/%s-k8s-%s-eth0", node, name);
	CLEANUP(freep)
	char *text = xasprintf(
		"{\"kind\":\"WorkloadEndpoint\",\"metadata\":{\"name\":\"%s-k8s-%s-eth0\","
		"\"namespace\":\"x\",\"labels\":{\"pod\":\"%s\"}},\"spec\":{\"orchestrator\":"
		"\"k8s\",\"node\":\"%s\",\"pod\":\"%s\",\"endpoint\":\"eth0\",\"ipNetworks\":["
		"\"%s\"],\"profiles\":[\"kns.x\"],\"interfaceName\":\"cali%s\"}}",
		node, name, name, node, name, ip, name);

	policy_feed_take(w->feed, key, text);
}

static void policy(struct world *w, const char *spec)
{
	CLEANUP(freep)
	char *text = spec ? xasprintf("{\"kind\":\"NetworkPolicy\",\"metadata\":{\"name\":\"p\","
				      "\"namespace\":\"x\"},\"spec\":%s}",
				      spec)
			  : NULL;

	policy_feed_take(w->feed, KEY_RESOURCES "networkpolicies/x/p", text);
	flush(w);
}

static int set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct err e = { 0 };

	ns_fresh();
	sh("ip link add eth8 type veth peer p8 && ip link add eth9 type veth peer p9");
	sh("ip addr add 192.0.2.1/24 dev eth9 && ip addr add 198.51.100.1/24 dev eth8");
	sh("for i in eth8 eth9 p8 p9; do ip link set $i up; done; ip route add default dev eth9");
	sh("ip route add 203.0.113.0/24 nexthop dev eth8 nexthop dev eth9");
	w->base = event_base_new();
	w->calc = calc_new("n1", 7);
	w->feed = policy_feed_new(w->calc);
	w->links = link_table_new(&e);
	w->cutting = cutting_new(&(struct cutting_config) { .base = w->base,
							    .calc = w->calc,
							    .links = w->links,
							    .render = render_of,
							    .flushed = is_flushed,
							    .rested = on_rested,
							    .arg = w },
				 &e);
	assert_non_null(w->cutting);
	policy_feed_take(
		w->feed, KEY_RESOURCES "profiles/kns.x",
		"{\"kind\":\"Profile\",\"metadata\":{\"name\":\"kns.x\"},\"spec\":{\"ingress\":[{"
		"\"action\":\"Allow\"}],\"egress\":[{\"action\":\"Allow\"}]}}");
	pod(w, "a", "n1", "10.0.0.1/32");
	pod(w, "b", "n2", "10.0.0.2/32");
	flush(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	cutting_free(w->cutting);
	policy_feed_free(w->feed);
	calc_free(w->calc);
	link_table_free(w->links);
	event_base_free(w->base);
	free(w);
	return 0;
}

static struct flow flow(const char *src, const char *dst, uint16_t dport)
{
	struct flow f = { .proto = 17 };

	assert_true(addr_parse(src, &f.orig.src) && addr_parse(dst, &f.orig.dst));
	f.orig.sport = f.reply.dport = 1000;
	f.orig.dport = f.reply.sport = dport;
	f.reply.src = f.orig.dst;
	f.reply.dst = f.orig.src;
	return f;
}

static bool denied(struct world *w, const char *src, const char *dst, uint16_t dport)
{
	struct flow f = flow(src, dst, dport);

	return cutting_denies(w->cutting, &f);
}

#define INGRESS_80                                                                          \
	"{\"types\":[\"Ingress\"],\"ingress\":[{\"action\":\"Allow\",\"protocol\":\"UDP\"," \
	"\"source\":{"                                                                      \
	"\"selector\":\"pod == 'b'\"},\"destination\":{\"ports\":[80]}}]}"

static void what_policy_denies_now(void **state)
{
	struct world *w = *state;
	struct flow nat = flow("10.0.0.2", "10.96.0.1", 443);

	assert_false(denied(w, "10.0.0.2", "10.0.0.1", 80));
	policy(w, INGRESS_80);
	assert_false(denied(w, "10.0.0.2", "10.0.0.1", 80));
	assert_true(denied(w, "10.0.0.2", "10.0.0.1", 81));
	assert_true(denied(w, "10.0.0.9", "10.0.0.1", 80));
	/* The pod's own flows, those of other nodes' pods, and the host's. */
	assert_false(denied(w, "10.0.0.1", "10.0.0.2", 81));
	assert_false(denied(w, "10.0.0.9", "10.0.0.2", 81));
	assert_false(denied(w, "192.0.2.1", "10.0.0.1", 81));
	/* A service's address is not what policy sees, but the pod's behind it. */
	assert_true(addr_parse("10.0.0.1", &nat.reply.src));
	nat.reply.sport = 80;
	assert_false(cutting_denies(w->cutting, &nat));
	nat.reply.sport = 81;
	assert_true(cutting_denies(w->cutting, &nat));
	policy(w, "{\"types\":[\"Egress\"]}");
	assert_true(denied(w, "10.0.0.1", "10.0.0.2", 81));
	assert_false(denied(w, "10.0.0.2", "10.0.0.1", 81));
	policy(w, NULL);
	assert_false(denied(w, "10.0.0.1", "10.0.0.2", 81));
}

static void host(struct world *w, const char *name, const char *spec)
{
	CLEANUP(freep) char *key = xasprintf(KEY_RESOURCES "hostendpoints/%s", name);
	CLEANUP(freep)
	char *text =
		spec ? xasprintf("{\"kind\":\"HostEndpoint\",\"metadata\":{\"name\":\"%s\","
				 "\"labels\":{\"host\":\"%s\"}},\"spec\":{\"node\":\"n1\",%s}}",
				 name, name, spec)
		     : NULL;

	policy_feed_take(w->feed, key, text);
	flush(w);
}

static void global(struct world *w, const char *spec)
{
	CLEANUP(freep)
	char *text =
		spec ? xasprintf("{\"kind\":\"GlobalNetworkPolicy\",\"metadata\":{\"name\":\"g\"},"
				 "\"spec\":%s}",
				 spec)
		     : NULL;

	policy_feed_take(w->feed, KEY_RESOURCES "globalnetworkpolicies/g", text);
	flush(w);
}

#define FROM_NEAR "192.0.2.9", "192.0.2.1"
#define FROM_FAR  "8.8.8.8", "192.0.2.1"

/* Whoever speaks with the host itself, past the interface where the host endpoint is. */
static void what_host_endpoints_deny_now(void **state)
{
	struct world *w = *state;

	assert_false(denied(w, FROM_NEAR, 81));
	host(w, "h", "\"interfaceName\":\"eth9\"");
	global(w, "{\"selector\":\"host == 'h'\",\"types\":[\"Ingress\"],\"ingress\":[{\"action\":"
		  "\"Allow\",\"protocol\":\"UDP\",\"destination\":{\"ports\":[80]}}]}");
	assert_false(denied(w, FROM_NEAR, 80));
	assert_true(denied(w, FROM_NEAR, 81));
	assert_true(denied(w, FROM_FAR, 81));
	/* Failsafe ports, tunnels, and the other direction, for which there is no profile. */
	assert_false(denied(w, FROM_NEAR, 68));
	assert_false(denied(w, FROM_NEAR, 4789));
	assert_true(denied(w, "192.0.2.1", "192.0.2.9", 80));
	assert_false(denied(w, "192.0.2.1", "192.0.2.9", 53));
	/* Another interface; one of two ways; itself; others. */
	assert_false(denied(w, "198.51.100.9", "198.51.100.1", 81));
	assert_false(denied(w, "203.0.113.9", "192.0.2.1", 81));
	assert_false(denied(w, "192.0.2.1", "198.51.100.1", 81));
	assert_false(denied(w, "192.0.2.9", "198.51.100.9", 81));
	/* What goes through to a pod is no business of this policy. */
	assert_false(denied(w, "192.0.2.9", "10.0.0.1", 81));
	/* One for all interfaces without their own. */
	host(w, "all", "\"interfaceName\":\"*\"");
	assert_true(denied(w, "198.51.100.9", "198.51.100.1", 81));
	assert_false(denied(w, "203.0.113.9", "192.0.2.1", 81));
	host(w, "all", NULL);
	assert_false(denied(w, "198.51.100.9", "198.51.100.1", 81));
	/* By its address; the lower name counts. */
	host(w, "by", "\"expectedIPs\":[\"192.0.2.1\"],\"profiles\":[\"kns.x\"]");
	assert_false(denied(w, FROM_NEAR, 81));
	host(w, "h", NULL);
	host(w, "by", NULL);
	assert_false(denied(w, FROM_NEAR, 81));
}

static void what_host_endpoints_do_not_forward_now(void **state)
{
	struct world *w = *state;

	host(w, "h", "\"interfaceName\":\"eth9\"");
	global(w, "{\"selector\":\"host == 'h'\",\"applyOnForward\":true,\"types\":[\"Ingress\","
		  "\"Egress\"],\"ingress\":[{\"action\":\"Allow\",\"protocol\":\"UDP\","
		  "\"destination\":"
		  "{\"ports\":[80]}}]}");
	assert_false(denied(w, "192.0.2.9", "10.0.0.1", 80));
	assert_true(denied(w, "192.0.2.9", "10.0.0.1", 81));
	assert_true(denied(w, "10.0.0.1", "192.0.2.9", 80));
	assert_false(denied(w, "10.0.0.1", "198.51.100.9", 80));
}

static void addresses_follow_their_pods(void **state)
{
	struct world *w = *state;

	policy(w, "{\"types\":[\"Ingress\"]}");
	assert_true(denied(w, "10.0.0.2", "10.0.0.1", 80));
	/* Another address, with the same rules. */
	pod(w, "a", "n1", "10.0.0.4/32");
	flush(w);
	assert_false(denied(w, "10.0.0.2", "10.0.0.1", 80));
	assert_true(denied(w, "10.0.0.2", "10.0.0.4", 80));
	pod(w, "c", "n1", "10.0.0.3/32");
	flush(w);
	assert_true(denied(w, "10.0.0.2", "10.0.0.3", 80));
	policy_feed_take(w->feed, KEY_RESOURCES "workloadendpoints/x/n1-k8s-a-eth0", NULL);
	flush(w);
	assert_false(denied(w, "10.0.0.2", "10.0.0.4", 80));
	assert_true(denied(w, "10.0.0.2", "10.0.0.3", 80));
}

static int count(void)
{
	return atoi(out_of("conntrack -L 2>/dev/null | grep -c dport= || true"));
}

static void make(const char *src, const char *dst, int port)
{
	sh("conntrack -I -s %s -d %s -p udp --sport 1000 --dport %d -t 300 >/dev/null 2>&1", src,
	   dst, port);
}

static void a_pass_cuts_them_and_no_others(void **state)
{
	struct world *w = *state;

	make("10.0.0.2", "10.0.0.1", 80);
	make("10.0.0.2", "10.0.0.1", 81);
	make("10.0.0.7", "10.0.0.8", 81);
	cutting_enforced(w->cutting, true);
	event_base_dispatch(w->base);
	assert_int_equal(count(), 3);
	policy(w, INGRESS_80);
	w->unflushed = true;
	cutting_enforced(w->cutting, true);
	for (int i = 0; i < 5; i++)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(count(), 3);
	/* What changes meanwhile makes another pass. */
	policy(w, "{\"types\":[\"Ingress\"]}");
	w->unflushed = false;
	event_base_dispatch(w->base);
	assert_int_equal(w->rested, 1);
	assert_int_equal(count(), 1);
	cutting_enforced(w->cutting, true);
	event_base_dispatch(w->base);
	assert_int_equal(count(), 1);
	assert_int_equal(cutting_count(w->cutting), 2);
	/* Nothing changed: nothing is looked at. */
	make("10.0.0.2", "10.0.0.1", 82);
	cutting_enforced(w->cutting, true);
	event_base_dispatch(w->base);
	assert_int_equal(count(), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_policy_denies_now, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_host_endpoints_deny_now, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_host_endpoints_do_not_forward_now, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(addresses_follow_their_pods, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_pass_cuts_them_and_no_others, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
