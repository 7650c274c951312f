/* cluster_sets.c - sets of nodes and pools, event by event, on ipsets that only remember */
#include "agent/policy/cluster_sets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "agent/cache.h"
#include "agent/config.h"
#include "agent/felix.h"
#include "dataplane/conntrack.h"
#include "dataplane/exec.h"
#include "dataplane/ipset.h"
#include "dataplane/link.h"
#include "dataplane/tunnel.h"
#include "policy/render.h"

/* ---- a world of stubs ---- */

static struct felixconfig settings;
static cache_changed_fn *on_node, *on_pool;
static felix_fn *on_felix;
static link_watch_fn on_link;
static void *arg_of;
static VEC(struct store_kv) pools;
static VEC(char *) kernel; /* "SET MEMBER", and "SET" for each that is wanted */
static bool synced, device_up;
static bool tracking, armed; /* the kernel tracks connections; a timer is running, */
static event_callback_fn on_timer;
static void *timer_arg; /* and this is behind it */
static unsigned told, told_rules, writes;

bool cache_synced(const struct cache *c)
{
	return synced;
}

void cache_subscribe(struct cache *c, const char *prefix, cache_changed_fn *fn, void *arg)
{
	*(strstr(prefix, "nodes") ? &on_node : &on_pool) = fn;
	arg_of = arg;
}

void cache_each(const struct cache *c, const char *prefix, cache_each_fn *fn, void *arg)
{
	vec_foreach (&pools, kv)
		if (!fn(arg, kv))
			return;
}

const struct felixconfig *felix_config(const struct felix *f)
{
	return &settings;
}

void felix_watch(struct felix *f, felix_fn *fn, void *arg)
{
	on_felix = fn;
}

void link_table_watch(struct link_table *t, link_watch_fn fn, void *arg)
{
	on_link = fn;
}

void link_table_unwatch(struct link_table *t, link_watch_fn fn, void *arg)
{
}

const struct link *link_by_name(const struct link_table *t, const char *name)
{
	static const struct link up = { .name = "vxlan.calico", .up = true };

	return device_up && !strcmp(name, up.name) ? &up : NULL;
}

const char *tunnel_name(enum tunnel_kind k)
{
	static const char *const names[] = { "tunl0", "vxlan.calico", "vxlan-v6.calico" };

	return names[k];
}

bool conntrack_in_use(void)
{
	return tracking;
}

struct event *event_new(struct event_base *base, evutil_socket_t fd, short what,
			event_callback_fn fn, void *arg)
{
	on_timer = fn;
	timer_arg = arg;
	return (struct event *)&armed;
}

int event_add(struct event *ev, const struct timeval *after)
{
	armed = true;
	return 0;
}

void event_free(struct event *ev)
{
	armed = false;
}

int exec_run(const struct exec_cmd *cmd, exec_fn fn, void *arg, struct err *e)
{
	fn(arg, &(struct exec_result) { .out = "iptables v1.8.9 (nf_tables)\n" });
	return 0;
}

static size_t place(const char *text)
{
	size_t i = 0;

	while (i < kernel.n && strcmp(kernel.p[i], text))
		i++;
	return i;
}

static void note(bool in, const char *set, const struct ipset_member *m)
{
	char net[PREFIX_STR_MAX] = "", text[128];
	size_t i;

	if (m)
		prefix_format(&m->net, net);
	snprintf(text, sizeof(text), "%s%s%s", set, *net ? " " : "", net);
	i = place(text);
	writes++;
	if (in && i == kernel.n)
		vec_push(&kernel, xstrdup(text));
	if (!in && i < kernel.n) {
		free(kernel.p[i]);
		vec_remove(&kernel, i);
	}
}

int ipset_want(struct ipsets *s, const char *name, enum ipset_type type, uint32_t maxelem,
	       struct err *e)
{
	note(true, name, NULL);
	return 0;
}

void ipset_forget(struct ipsets *s, const char *name)
{
	for (size_t i = kernel.n; i-- > 0;) {
		if (!str_starts(kernel.p[i], name))
			continue;
		free(kernel.p[i]);
		vec_remove(&kernel, i);
	}
}

int ipset_add(struct ipsets *s, const char *name, const struct ipset_member *m, struct err *e)
{
	assert_true(place(name) < kernel.n);
	note(true, name, m);
	return 0;
}

void ipset_del(struct ipsets *s, const char *name, const struct ipset_member *m)
{
	note(false, name, m);
}

/* ---- events ---- */

static void changed(void *arg, bool rules)
{
	told++;
	told_rules += rules;
}

static void tell_node(const char *name, const char *spec)
{
	CLEANUP(freep)
	char *key = xasprintf("/calico/resources/v3/projectcalico.org/nodes/%s", name);
	CLEANUP(freep)
	char *value = spec ? xasprintf("{\"apiVersion\":\"projectcalico.org/v3\",\"kind\":\"Node\","
				       "\"metadata\":{\"name\":\"%s\"},\"spec\":%s}",
				       name, spec)
			   : NULL;
	struct store_kv kv = { .key = key, .value = value };

	on_node(arg_of, &kv);
}

static void at(const char *name, const char *address)
{
	CLEANUP(freep) char *spec = xasprintf("{\"bgp\":{\"ipv4Address\":\"%s\"}}", address);

	tell_node(name, spec);
}

static void set_pool(const char *name, const char *more)
{
	CLEANUP(freep)
	char *key = xasprintf("/calico/resources/v3/projectcalico.org/ippools/%s", name);
	char *value = xasprintf("{\"apiVersion\":\"projectcalico.org/v3\",\"kind\":\"IPPool\","
				"\"metadata\":{\"name\":\"%s\"},\"spec\":{%s}}",
				name, more);
	size_t i = 0;

	while (i < pools.n && strcmp(pools.p[i].key, key))
		i++;
	if (i == pools.n)
		vec_push(&pools, (struct store_kv) { .key = xstrdup(key) });
	free(pools.p[i].value);
	pools.p[i].value = value;
	if (synced)
		on_pool(arg_of, &pools.p[i]);
}

static struct cluster_sets *fresh(void)
{
	static char self[] = "self";
	static struct agent_config cfg;
	static struct agent agent = { .cfg = &cfg };
	struct cluster_sets *cs;

	cfg.node = self;
	felixconfig_init(&settings);
	synced = device_up = tracking = armed = false;
	told = told_rules = 0;
	cs = cluster_sets_new(&agent, changed, NULL);
	return cs;
}

static void complete(void)
{
	synced = true;
	on_node(arg_of, NULL);
	on_pool(arg_of, NULL);
}

static void end(struct cluster_sets *cs)
{
	cluster_sets_free(cs);
	felixconfig_done(&settings);
	vec_foreach (&pools, kv) {
		free(kv->key);
		free(kv->value);
	}
	vec_foreach (&kernel, text)
		free(*text);
	vec_done(&pools);
	vec_done(&kernel);
}

static bool in(const char *text)
{
	return place(text) < kernel.n;
}

static struct render_config render(const struct cluster_sets *cs, enum ip_family family)
{
	struct render_config r = render_config_default(family);

	cluster_sets_render(cs, family, &r);
	return r;
}

/* ---- cases ---- */

static void before_the_picture_nothing_is_told(void **state)
{
	struct cluster_sets *cs = fresh();

	at("b", "192.0.2.2/24");
	set_pool("pods", "\"cidr\":\"10.0.0.0/16\",\"natOutgoing\":true,\"vxlanMode\":\"Always\"");
	at("self", "192.0.2.1/24");
	complete();
	assert_int_equal(told, 0);
	assert_true(cluster_sets_any(cs));
	assert_false(cluster_sets_v6(cs));
	cluster_sets_state(cs, IP_V4, NULL);
	assert_true(in("cali40all-vxlan-net 192.0.2.2/32"));
	assert_false(in("cali40all-vxlan-net 192.0.2.1/32"));
	assert_true(in("cali40all-ipam-pools 10.0.0.0/16"));
	assert_true(in("cali40masq-ipam-pools 10.0.0.0/16"));
	assert_false(in("cali40all-hosts-net"));
	cluster_sets_state(cs, IP_V6, NULL);
	assert_int_equal(kernel.n, 3 + 3);
	end(cs);
}

static void nodes_by_the_change(void **state)
{
	struct cluster_sets *cs = fresh();

	set_pool("pods", "\"cidr\":\"10.0.0.0/16\",\"ipipMode\":\"Always\"");
	complete();
	cluster_sets_state(cs, IP_V4, NULL);
	at("b", "192.0.2.2/24");
	assert_int_equal(told, 1);
	cluster_sets_update(cs, IP_V4, NULL);
	assert_true(in("cali40all-hosts-net 192.0.2.2/32"));
	/* the same once more, as with each heartbeat */
	writes = 0;
	at("b", "192.0.2.2/24");
	assert_int_equal(told, 1);
	/* another node by the same address, for a while */
	at("c", "192.0.2.2/24");
	tell_node("b", NULL);
	cluster_sets_update(cs, IP_V4, NULL);
	assert_true(in("cali40all-hosts-net 192.0.2.2/32"));
	assert_int_equal(writes, 0);
	at("c", "192.0.2.3/24");
	cluster_sets_update(cs, IP_V4, NULL);
	assert_true(in("cali40all-hosts-net 192.0.2.3/32"));
	assert_false(in("cali40all-hosts-net 192.0.2.2/32"));
	/* what cannot be read leaves what was known */
	tell_node("c", "7,");
	cluster_sets_update(cs, IP_V4, NULL);
	assert_true(in("cali40all-hosts-net 192.0.2.3/32"));
	tell_node("c", "{}");
	cluster_sets_update(cs, IP_V4, NULL);
	assert_false(in("cali40all-hosts-net 192.0.2.3/32"));
	assert_int_equal(told_rules, 0);
	end(cs);
}

static void fire(void)
{
	assert_true(armed);
	armed = false;
	on_timer(-1, 0, timer_arg);
}

/* Rules of tunnels that would have connections tracked wait for somebody else who does. */
static void who_tracks(void **state)
{
	struct cluster_sets *cs = fresh();

	set_pool("pods", "\"cidr\":\"10.0.0.0/16\",\"natOutgoing\":true");
	complete();
	assert_false(armed); /* no tunnel */
	set_pool("pods", "\"cidr\":\"10.0.0.0/16\",\"natOutgoing\":true,\"vxlanMode\":\"Always\"");
	assert_false(armed); /* the pool's NAT does */
	set_pool("pods", "\"cidr\":\"10.0.0.0/16\",\"vxlanMode\":\"Always\"");
	assert_false(render(cs, IP_V4).tracked);
	told_rules = 0;
	fire();
	assert_true(armed && !told_rules);
	tracking = true;
	fire();
	assert_int_equal(told_rules, 1);
	assert_true(render(cs, IP_V4).tracked && !armed);
	/* From now on it is our own rules that do. */
	tracking = false;
	set_pool("pods", "\"cidr\":\"10.0.0.0/24\",\"vxlanMode\":\"Always\"");
	assert_true(render(cs, IP_V4).tracked);
	end(cs);
}

static void rules_follow_pools_settings_and_devices(void **state)
{
	struct cluster_sets *cs = fresh();
	struct render_config r;

	set_pool("pods", "\"cidr\":\"10.0.0.0/16\"");
	complete();
	assert_false(cluster_sets_any(cs));
	set_pool("pods", "\"cidr\":\"10.0.0.0/16\",\"natOutgoing\":true");
	assert_int_equal(told_rules, 1);
	r = render(cs, IP_V4);
	assert_true(r.nat.masquerade && r.nat.random_fully && !r.vxlan && !r.ipip);
	assert_null(r.nat.interface);
	/* what says the same is no change */
	set_pool("pods", "\"cidr\":\"10.0.0.0/16\",\"natOutgoing\":true,\"disabled\":true");
	assert_int_equal(told_rules, 1);
	settings.nat_interface = xstrdup("eth+");
	settings.nat_ports = json_string("1000:2000");
	settings.nat_exclusions = FELIX_NAT_NOT_TO_HOSTS;
	on_felix(arg_of);
	r = render(cs, IP_V4);
	assert_string_equal(r.nat.interface, "eth+");
	assert_int_equal(r.nat.port_max, 2000);
	assert_true(r.nat.not_to_hosts);
	assert_int_equal(told_rules, 2);
	/* the device comes, its address, the pool's wish goes, then the device */
	set_pool("pods", "\"cidr\":\"10.0.0.0/16\",\"vxlanMode\":\"Always\"");
	r = render(cs, IP_V4);
	assert_true(r.vxlan && !r.tunnel[0]);
	tell_node("self", "{\"ipv4VXLANTunnelAddr\":\"10.0.0.1\"}");
	assert_string_equal(render(cs, IP_V4).tunnel[0], "vxlan.calico");
	device_up = true;
	set_pool("pods", "\"cidr\":\"10.0.0.0/16\"");
	assert_true(render(cs, IP_V4).vxlan);
	device_up = false;
	on_link(arg_of, LINK_GONE, &(struct link) { .name = "vxlan.calico" }, NULL);
	assert_false(render(cs, IP_V4).vxlan);
	told = 0;
	on_link(arg_of, LINK_GONE, &(struct link) { .name = "cali1" }, NULL);
	assert_int_equal(told, 0);
	end(cs);
}

static void families_apart(void **state)
{
	struct cluster_sets *cs = fresh();
	struct render_config r;

	set_pool("four", "\"cidr\":\"10.0.0.0/16\",\"natOutgoing\":true");
	set_pool("six", "\"cidr\":\"fd00::/64\",\"vxlanMode\":\"Always\"");
	complete();
	tell_node(
		"b",
		"{\"bgp\":{\"ipv4Address\":\"192.0.2.2/24\",\"ipv6Address\":\"2001:db8::2/64\"}}");
	assert_true(cluster_sets_v6(cs));
	r = render(cs, IP_V6);
	assert_true(r.vxlan && !r.nat.masquerade);
	r = render(cs, IP_V4);
	assert_true(!r.vxlan && r.nat.masquerade);
	assert_true(addr_parse("2001:db8::9", &settings.nat_address));
	on_felix(arg_of);
	assert_int_equal(render(cs, IP_V4).nat.source.family, IP_NONE);
	cluster_sets_state(cs, IP_V6, NULL);
	assert_true(in("cali60all-vxlan-net 2001:db8::2/128"));
	assert_false(in("cali60all-ipam-pools"));
	end(cs);
}

static void others_and_load_balancers(void **state)
{
	struct cluster_sets *cs = fresh();
	struct prefix net;

	set_pool("pods", "\"cidr\":\"10.0.0.0/16\",\"natOutgoing\":true,\"vxlanMode\":\"Always\"");
	set_pool("lb", "\"cidr\":\"203.0.113.0/24\",\"allowedUses\":[\"LoadBalancer\"]");
	assert_true(prefix_parse_or_addr("198.51.100.7", &net));
	vec_push(&settings.external_nodes, net);
	complete();
	cluster_sets_state(cs, IP_V4, NULL);
	assert_true(in("cali40all-vxlan-net 198.51.100.7/32"));
	assert_true(in("cali40all-ipam-pools 10.0.0.0/16"));
	assert_false(in("cali40all-ipam-pools 203.0.113.0/24"));
	vec_clear(&settings.external_nodes);
	on_felix(arg_of);
	assert_int_equal(told_rules, 0);
	assert_int_equal(told, 1);
	cluster_sets_update(cs, IP_V4, NULL);
	assert_false(in("cali40all-vxlan-net 198.51.100.7/32"));
	/* rules that need a set no more take it along */
	set_pool("pods", "\"cidr\":\"10.0.0.0/16\",\"vxlanMode\":\"Always\"");
	cluster_sets_state(cs, IP_V4, NULL);
	assert_false(in("cali40all-ipam-pools"));
	assert_true(in("cali40all-vxlan-net"));
	end(cs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_the_picture_nothing_is_told),
		cmocka_unit_test(nodes_by_the_change),
		cmocka_unit_test(who_tracks),
		cmocka_unit_test(rules_follow_pools_settings_and_devices),
		cmocka_unit_test(families_apart),
		cmocka_unit_test(others_and_load_balancers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
