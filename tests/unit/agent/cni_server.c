/* The CNI socket with everything behind it that is real: the embedded datastore, ipam's machines,
 * the route table and the kernel of a network namespace of its own. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/cni/cni_server.h"
#include "agent/cni/endpoints.h"
#include "agent/routes.h"
#include "lib/json.h"
#include "tests/unit/agent/cni_world.h"

static void add_check_del(void **state)
{
	struct world *w = *state;
	CLEANUP(freep) char *ip = add(w, "c1", "pod1");
	CLEANUP(freep) char *wep = NULL;
	CLEANUP(freep) char *check = NULL;
	CLEANUP(freep) char *prev = NULL;

	assert_true(str_starts(ip, "172.31."));
	assert_non_null(strstr(ip, "/32"));
	assert_true(route_there(ip));
	sh("ip route show dev calice0906292e2 | grep -q 'scope link'");
	sh("ip neigh show dev calice0906292e2 | grep -q PERMANENT");
	sh("test $(cat /proc/sys/net/ipv4/conf/calice0906292e2/proxy_arp) = 1");
	wep = stored(w, KIND "workloadendpoints/default/n1-k8s-pod1-eth0");
	assert_non_null(wep);
	assert_non_null(strstr(wep, "\"containerID\":\"c1\""));
	assert_non_null(strstr(wep, ip));
	assert_int_equal(notes(w, "cni-adding"), 0);
	prev = xasprintf(",\"prevResult\":{\"interfaces\":[{\"name\":\"calice0906292e2\"},{"
			 "\"name\":\"eth0\"}],"
			 "\"ips\":[{\"address\":\"%s\",\"interface\":1}]}",
			 ip);
	check = request("CHECK", "c1", "pod1", "eth0", prev);
	expect_ok(ask(w, check));
	sh("ip link del calice0906292e2");
	expect_ok(call(w, "DEL", "c1", "pod1"));
	expect_nothing_left(w);
	expect_no_route(w, ip);
	expect_ok(call(w, "DEL", "c1", "pod1"));
	expect_ok(call(w, "DEL", "never-seen", "pod9"));
}

static void check_finds_what_is_wrong(void **state)
{
	struct world *w = *state;
	CLEANUP(freep)
	char *other = request("CHECK", "c1", "pod1", "eth0",
			      ",\"prevResult\":{\"interfaces\":[{\"name\":\"calice0906292e2\"},"
			      "{\"name\":\"eth0\"}],\"ips\":[{\"address\":\"9.9.9.9/32\","
			      "\"interface\":1}]}");

	free(add(w, "c1", "pod1"));
	expect_ok(call(w, "CHECK", "c1", "pod1"));
	expect_fail(ask(w, other), 101, "9.9.9.9");
	expect_fail(call(w, "CHECK", "c2", "pod1"), 101, "another container");
	expect_fail(call(w, "CHECK", "c9", "pod9"), 101, "not in the datastore");
	sh("echo 0 > /proc/sys/net/ipv4/conf/calice0906292e2/proxy_arp");
	expect_fail(call(w, "CHECK", "c1", "pod1"), 101, "proxy_arp");
	sh("echo 1 > /proc/sys/net/ipv4/conf/calice0906292e2/proxy_arp");
	sh("ip link del calice0906292e2");
	expect_fail(call(w, "CHECK", "c1", "pod1"), 101, "calice0906292e2");
}

static void repeated_add_keeps_its_address(void **state)
{
	struct world *w = *state;
	CLEANUP(freep) char *ip = add(w, "c1", "pod1");
	CLEANUP(freep) char *again = add(w, "c1", "pod1");
	json_t *o;
	int fd;

	assert_string_equal(ip, again);
	assert_int_equal(count_taken(w), 1);
	/* A repetition that fails takes nothing away. */
	fd = add_half(w, "c1", "pod1", &o);
	assert_true(is_ok(o));
	json_decref(o);
	say(fd, "{\"op\":\"ABORT\",\"msg\":\"eth0 exists\"}");
	expect_ok(hear(w, fd));
	close(fd);
	assert_int_equal(count_taken(w), 1);
	assert_true(route_there(ip));
	expect_ok(call(w, "CHECK", "c1", "pod1"));
}

/* 7.5: the old sandbox was never deleted; its late DEL must not touch the new one. */
static void new_sandbox_replaces_the_old(void **state)
{
	struct world *w = *state;
	CLEANUP(freep) char *old = add(w, "c1", "pod1");
	CLEANUP(freep) char *new = add(w, "c2", "pod1");
	CLEANUP(freep) char *wep = NULL;

	assert_string_not_equal(old, new);
	expect_no_route(w, old);
	expect_ok(call(w, "DEL", "c1", "pod1"));
	wep = stored(w, KIND "workloadendpoints/default/n1-k8s-pod1-eth0");
	assert_non_null(wep);
	assert_non_null(strstr(wep, "\"containerID\":\"c2\""));
	assert_true(route_there(new));
	assert_int_equal(count_taken(w), 1);
	expect_ok(call(w, "DEL", "c2", "pod1"));
	expect_nothing_left(w);
}

static void second_attachment_is_refused(void **state)
{
	struct world *w = *state;
	CLEANUP(freep) char *line = request("ADD", "c1", "pod1", "net1", "");

	free(add(w, "c1", "pod1"));
	CLEANUP(freep) char *del = request("DEL", "c1", "pod1", "net1", "");

	expect_fail(ask(w, line), 7, "already has a margay interface, eth0");
	assert_int_equal(count_taken(w), 1);
	/* The runtime deletes what failed: the first attachment's address stays. */
	expect_ok(ask(w, del));
	assert_int_equal(count_taken(w), 1);
	expect_ok(call(w, "CHECK", "c1", "pod1"));
	assert_int_equal(notes(w, "cni-adding"), 0);
}

/* web and web-0 are two pods: a dash in a name is doubled in the key, which begins alike. */
static void names_that_begin_alike(void **state)
{
	struct world *w = *state;

	free(add(w, "c1", "web-0"));
	free(add(w, "c2", "web"));
	settle(w);
	assert_int_equal(count_keys(w, KIND "workloadendpoints/"), 2);
	expect_ok(call(w, "CHECK", "c1", "web-0"));
	expect_ok(call(w, "DEL", "c2", "web"));
	expect_ok(call(w, "CHECK", "c1", "web-0"));
	assert_int_equal(count_taken(w), 1);
}

/* The plugin vanishes, or says what it must not, at every point of ADD. */
static void half_adds_leave_nothing(void **state)
{
	static const char *const second[] = {
		NULL, /* closes */
		"{\"op\":\"ABORT\",\"msg\":\"x\"}",
		"{\"op\":\"ABORT\"}",
		"garbage",
		"{}",
		"{\"op\":\"READY\"}",
		"{\"op\":\"READY\",\"mac\":\"zz\",\"hostIfindex\":1}",
		"{\"op\":\"READY\",\"mac\":\"02:00:00:00:00:01\",\"hostIfindex\":-1}",
		"{\"op\":\"READY\",\"mac\":\"02:00:00:00:00:01\",\"hostIfindex\":99999}",
		"{\"op\":\"ADD\"}",
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(second); i++) {
		json_t *o, *end;
		int fd = add_half(w, "c1", "pod1", &o);

		assert_true(is_ok(o));
		json_decref(o);
		assert_int_equal(count_taken(w), 1);
		assert_int_equal(notes(w, "cni-adding"), 1);
		if (second[i]) {
			say(fd, second[i]);
			end = hear(w, fd);
			assert_non_null(end);
			assert_int_equal(is_ok(end), strstr(second[i], "ABORT") != NULL);
			assert_true(is_ok(end) || *msg(end));
			json_decref(end);
		}
		close(fd);
		turn(w);
		settle(w);
		expect_nothing_left(w);
	}
}

static void plugin_gone_before_the_first_answer(void **state)
{
	struct world *w = *state;
	CLEANUP(freep) char *line = request("ADD", "c1", "pod1", "eth0", "");

	for (size_t cut = 0; cut <= strlen(line) + 1; cut += cut < strlen(line) ? 37 : 1) {
		int fd = dial(w);
		CLEANUP(freep) char *part = xasprintf("%s\n", line);

		send(fd, part, cut > strlen(part) ? strlen(part) : cut, MSG_NOSIGNAL);
		close(fd);
		turn(w);
		settle(w);
	}
	for (int i = 0; i < 20 && cni_server_conns(w->a.cni); i++)
		turn(w);
	settle(w);
	assert_int_equal(cni_server_conns(w->a.cni), 0);
	expect_nothing_left(w);
}

/* Killed between the halves: the next life gives the address back before it answers. */
static void agent_killed_between_the_halves(void **state)
{
	struct world *w = *state;
	json_t *o;
	int fd = add_half(w, "c1", "pod1", &o);

	assert_true(is_ok(o));
	json_decref(o);
	assert_int_equal(count_taken(w), 1);
	agent_end(w, true);
	agent_start(w);
	expect_ok(ask(w, "{\"op\":\"STATUS\",\"config\":{\"name\":\"net\"}}"));
	expect_nothing_left(w);
	close(fd);
}

static void restart_adopts(void **state)
{
	struct world *w = *state;
	CLEANUP(freep) char *ip = add(w, "c1", "pod1");
	struct route_counts n;

	agent_end(w, true);
	agent_start(w);
	expect_ok(call(w, "CHECK", "c1", "pod1"));
	turn(w);
	n = route_counts(routes_table(w->a.routes));
	assert_int_equal(n.removed, 0);
	assert_int_equal(endpoints_count(w->a.endpoints).n, 1);
	assert_int_equal(endpoints_count(w->a.endpoints).missing, 0);
	/* Somebody else deletes the endpoint: its route goes. */
	struct store_res res = ds_call(
		w->a.ds, store_delete(KIND "workloadendpoints/default/n1-k8s-pod1-eth0", 0));
	assert_int_equal(res.status, STORE_OK);
	store_res_done(&res);
	expect_no_route(w, ip);
}

static void del_cancels_an_add(void **state)
{
	struct world *w = *state;
	json_t *o, *end;
	int fd = add_half(w, "c1", "pod1", &o);

	assert_true(is_ok(o));
	json_decref(o);
	expect_ok(call(w, "DEL", "c1", "pod1"));
	end = hear(w, fd);
	assert_non_null(end);
	expect_fail(end, 11, "DEL");
	close(fd);
	settle(w);
	expect_nothing_left(w);
}

static void the_same_add_twice_at_once(void **state)
{
	struct world *w = *state;
	json_t *o;
	int fd = add_half(w, "c1", "pod1", &o);

	json_decref(o);
	expect_fail(call(w, "ADD", "c1", "pod1"), 11, "under way");
	assert_int_equal(count_taken(w), 1);
	assert_int_equal(notes(w, "cni-adding"), 1);
	close(fd);
}

/* Fifty at once, the halves interleaved; then all deleted at once. */
static void fifty_at_once(void **state)
{
	enum { N = 50 };
	struct world *w = *state;
	int fds[N];
	char ips[N][32];

	for (int i = 0; i < N; i++) {
		char id[16], pod[16];

		snprintf(id, sizeof(id), "c%d", i);
		snprintf(pod, sizeof(pod), "pod%d", i);
		CLEANUP(freep) char *line = request("ADD", id, pod, "eth0", "");
		fds[i] = dial(w);
		say(fds[i], line);
	}
	for (int i = 0; i < N; i++) {
		json_t *o = hear(w, fds[i]);

		if (!is_ok(o))
			fail_msg("code %d: %s", code(o), msg(o));
		str_copy(ips[i], sizeof(ips[i]), first_ip(o));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(ips[i], ips[k]);
		make_veth(host_if(o));
		say_ready(fds[i], host_if(o));
		json_decref(o);
	}
	for (int i = 0; i < N; i++) {
		expect_ok(hear(w, fds[i]));
		close(fds[i]);
		assert_true(route_there(ips[i]));
	}
	assert_int_equal(count_taken(w), N);
	for (int i = 0; i < N; i++) {
		char id[16], pod[16];

		snprintf(id, sizeof(id), "c%d", i);
		snprintf(pod, sizeof(pod), "pod%d", i);
		CLEANUP(freep) char *line = request("DEL", id, pod, "eth0", "");
		fds[i] = dial(w);
		say(fds[i], line);
	}
	for (int i = 0; i < N; i++) {
		expect_ok(hear(w, fds[i]));
		close(fds[i]);
	}
	expect_nothing_left(w);
}

static void exhaustion_names_the_pool(void **state)
{
	struct world *w = *state;
	struct store_res res = ds_call(w->a.ds, store_delete(KIND "ippools/pods", 0));
	char id[16], pod[16];
	json_t *o;

	store_res_done(&res);
	pool(w, "tiny", "10.9.0.0/30", 30);
	for (int i = 0; i < 4; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		snprintf(pod, sizeof(pod), "pod%d", i);
		free(add(w, id, pod));
	}
	o = call(w, "ADD", "c5", "pod5");
	assert_non_null(json_object_get(o, "details"));
	expect_fail(o, 100, "tiny");
	settle(w);
	assert_int_equal(count_taken(w), 4);
	assert_int_equal(notes(w, "cni-adding"), 0);
	expect_ok(call(w, "DEL", "c2", "pod2"));
	CLEANUP(freep) char *ip = add(w, "c5", "pod5");
	assert_string_equal(ip, "10.9.0.2/32");
}

static void no_pool(void **state)
{
	struct world *w = *state;
	struct store_res res = ds_call(w->a.ds, store_delete(KIND "ippools/pods", 0));

	store_res_done(&res);
	expect_fail(call(w, "ADD", "c1", "pod1"), 7, "pool");
	expect_nothing_left(w);
}

static void one_address_by_number(void **state)
{
	struct world *w = *state;
	CLEANUP(freep) char *one = request("ADD", "c1", "pod1;IP=172.31.7.9", "eth0", "");
	CLEANUP(freep) char *two = request("ADD", "c2", "pod2;IP=172.31.7.9", "eth0", "");
	int fd = dial(w);
	json_t *o;

	say(fd, one);
	o = hear(w, fd);
	assert_true(is_ok(o));
	assert_string_equal(first_ip(o), "172.31.7.9/32");
	json_decref(o);
	expect_fail(ask(w, two), 7, "172.31.7.9");
	close(fd);
	settle(w);
	turn(w);
	settle(w);
	expect_nothing_left(w);
}

static void delegated_addresses(void **state)
{
	struct world *w = *state;
	const char *line =
		"{\"op\":\"ADD\",\"containerID\":\"c1\",\"ifname\":\"eth0\",\"args\":\"\","
		"\"ipamResult\":{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.99.1.5/24\","
		"\"gateway\":\"10.99.1.1\"}]},\"config\":{\"name\":\"net\",\"ipam\":{\"type\":"
		"\"host-local\",\"subnet\":\"10.99.1.0/24\"}}}";
	int fd = dial(w);
	json_t *o;

	say(fd, line);
	o = hear(w, fd);
	assert_true(is_ok(o));
	assert_string_equal(first_ip(o), "10.99.1.5/32");
	assert_string_equal(host_if(o), "calic1");
	make_veth("calic1");
	say_ready(fd, "calic1");
	expect_ok(hear(w, fd));
	close(fd);
	json_decref(o);
	assert_true(route_there("10.99.1.5"));
	assert_int_equal(count_taken(w), 0);
	CLEANUP(freep) char *wep = stored(w, KIND "workloadendpoints/default/n1-cni-c1-eth0");
	assert_non_null(wep);
	CLEANUP(freep) char *profile = stored(w, KIND "profiles/net");
	assert_non_null(profile);
	sh("ip link del calic1");
	expect_ok(ask(w, "{\"op\":\"DEL\",\"containerID\":\"c1\",\"ifname\":\"eth0\",\"args\":\"\","
			 "\"config\":"
			 "{\"name\":\"net\",\"ipam\":{\"type\":\"host-local\"}}}"));
	expect_no_route(w, "10.99.1.5");
	expect_nothing_left(w);
}

static void addresses_for_other_plugins(void **state)
{
	struct world *w = *state;
	json_t *o = call(w, "IPAM_ADD", "c1", "pod1");
	CLEANUP(freep) char *text = js_dump(o);

	assert_true(is_ok(o));
	assert_non_null(strstr(first_ip(o), "/26"));
	assert_non_null(strstr(text, "\"routes\":[{\"dst\":\"172.31."));
	json_decref(o);
	o = call(w, "IPAM_ADD", "c1", "pod1");
	CLEANUP(freep) char *again = js_dump(o);
	assert_string_equal(text, again);
	json_decref(o);
	expect_ok(call(w, "IPAM_CHECK", "c1", "pod1"));
	expect_ok(call(w, "IPAM_STATUS", "c1", "pod1"));
	expect_ok(call(w, "IPAM_DEL", "c1", "pod1"));
	expect_ok(call(w, "IPAM_DEL", "c1", "pod1"));
	expect_fail(call(w, "IPAM_CHECK", "c1", "pod1"), 101, "c1");
	expect_nothing_left(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(add_check_del),
		TEST(check_finds_what_is_wrong),
		TEST(repeated_add_keeps_its_address),
		TEST(new_sandbox_replaces_the_old),
		TEST(second_attachment_is_refused),
		TEST(names_that_begin_alike),
		TEST(half_adds_leave_nothing),
		TEST(plugin_gone_before_the_first_answer),
		TEST(agent_killed_between_the_halves),
		TEST(restart_adopts),
		TEST(del_cancels_an_add),
		TEST(the_same_add_twice_at_once),
		TEST(fifty_at_once),
		TEST(exhaustion_names_the_pool),
		TEST(no_pool),
		TEST(one_address_by_number),
		TEST(delegated_addresses),
		TEST(addresses_for_other_plugins),
	};

	/* Network namespaces need it; on other machines this test has nothing to say. */
	if (unshare(CLONE_NEWNET) < 0) {
		printf("1..0 # SKIP needs root for network namespaces\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
