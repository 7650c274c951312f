/* The CNI socket with everything behind it that is real: the embedded datastore, ipam's machines,
 * the route table and the kernel of a network namespace of its own. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <event2/event.h>
#include <net/if.h>
#include <sqlite3.h>

#include "agent/agent.h"
#include "agent/cache.h"
#include "agent/cni/cni_server.h"
#include "agent/config.h"
#include "agent/cni/endpoints.h"
#include "agent/cni/ipam_runner.h"
#include "agent/routes.h"
#include "agent/scopes.h"
#include "datastore/ds.h"
#include "lib/json.h"
#include "lib/str.h"
#include "model/block.h"

#define KIND  "/calico/resources/v3/projectcalico.org/"
#define BLOCK "/calico/ipam/v2/assignment/ipv4/block/"

struct world {
	struct agent a;
	struct agent_config cfg;
	struct scopes scopes;
	char dir[64], run_dir[80], state_dir[80], spec[128], sock[108];
};

/* ---- the agent ---- */

static void must(int rc, const struct err *e)
{
	if (rc < 0)
		fail_msg("%s", e->msg);
}

static void agent_start(struct world *w)
{
	struct agent *a = &w->a;
	struct err e = { 0 };

	memset(a, 0, sizeof(*a));
	a->cfg = &w->cfg;
	a->base = event_base_new();
	must(ds_open(&a->ds, a->base, w->spec, DS_CREATE, &e), &e);
	scopes_init(&w->scopes, w->cfg.node);
	a->cache = cache_new(a->base, a->ds, w->scopes.row, &w->scopes);
	a->routes = routes_new(a, &e);
	if (!a->routes)
		fail_msg("%s", e.msg);
	must(endpoints_new(&a->endpoints, a, &e), &e);
	must(ipam_runner_new(&a->ipam, a, &e), &e);
	must(cni_server_new(&a->cni, a, &e), &e);
	routes_claimed(a->routes, ROUTES_BLOCKS);
	routes_claimed(a->routes, ROUTES_FIB);
	routes_claimed(a->routes, ROUTES_OVERLAY);
}

/* As after kill -9: nothing is tidied up that a dead process would not. */
static void agent_end(struct world *w, bool killed)
{
	struct agent *a = &w->a;
	char aside[120];

	snprintf(aside, sizeof(aside), "%s.dead", w->sock);
	if (killed)
		rename(w->sock, aside);
	cni_server_free(a->cni);
	ipam_runner_free(a->ipam);
	endpoints_free(a->endpoints);
	routes_free(a->routes);
	cache_free(a->cache);
	ds_close(a->ds);
	scopes_done(&w->scopes);
	event_base_free(a->base);
	if (killed)
		rename(aside, w->sock);
}

static void store_put(struct world *w, const char *key, const char *value)
{
	struct store_res res = ds_call(w->a.ds, store_update(key, value, 0));

	assert_int_equal(res.status, STORE_OK);
	store_res_done(&res);
}

static void pool(struct world *w, const char *name, const char *cidr, int block)
{
	char key[256], value[512];

	snprintf(key, sizeof(key), KIND "ippools/%s", name);
	snprintf(value, sizeof(value),
		 "{\"kind\":\"IPPool\",\"apiVersion\":\"projectcalico.org/"
		 "v3\",\"metadata\":{\"name\":\"%s\"},"
		 "\"spec\":{\"cidr\":\"%s\",\"blockSize\":%d,\"nodeSelector\":\"all()\"}}",
		 name, cidr, block);
	store_put(w, key, value);
}

static void sh(const char *fmt, ...) PRINTF(1, 2);

static void sh(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		fail_msg("%s", cmd);
}

static int set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	sh("ip link set lo up");
	strcpy(w->dir, "/tmp/margay-cni-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->run_dir, sizeof(w->run_dir), "%s/run", w->dir);
	snprintf(w->state_dir, sizeof(w->state_dir), "%s/state", w->dir);
	snprintf(w->spec, sizeof(w->spec), "sqlite:%s/margay.db", w->dir);
	snprintf(w->sock, sizeof(w->sock), "%s/cni.sock", w->run_dir);
	assert_int_equal(mkdir(w->run_dir, 0700) | mkdir(w->state_dir, 0700), 0);
	w->cfg.node = xstrdup("n1");
	w->cfg.run_dir = w->run_dir;
	w->cfg.state_dir = w->state_dir;
	w->cfg.interface_prefix = xstrdup("cali");
	w->cfg.datastore = xstrdup("sqlite:");
	w->cfg.route_protocol = 80;
	w->cfg.gc_grace_s = 60;
	w->cfg.remove_external_routes = true;
	agent_start(w);
	pool(w, "pods", "172.31.0.0/16", 26);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	agent_end(w, false);
	free(w->cfg.node);
	free(w->cfg.interface_prefix);
	free(w->cfg.datastore);
	sh("rm -rf %s", w->dir);
	free(w);
	return 0;
}

/* ---- the plugin's side ---- */

static int dial(struct world *w)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	str_copy(sun.sun_path, sizeof(sun.sun_path), w->sock);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		fail_msg("connect: %s", strerror(errno));
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	assert_int_equal(send(fd, "\n", 1, MSG_NOSIGNAL), 1);
}

static void turn(struct world *w)
{
	const struct timeval tick = { .tv_usec = 20000 };

	event_base_loopexit(w->a.base, &tick);
	event_base_loop(w->a.base, EVLOOP_ONCE);
}

/* The next line, or NULL when the agent closed. */
static json_t *hear(struct world *w, int fd)
{
	int64_t until = agent_now_ms() + 45000;
	struct str in = { 0 };
	json_t *o = NULL;
	char c;

	while (agent_now_ms() < until) {
		ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

		if (n == 0)
			break;
		if (n < 0) {
			if (errno != EAGAIN)
				break;
			event_base_loop(w->a.base, EVLOOP_NONBLOCK);
			if (recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN)
				turn(w);
			continue;
		}
		if (c == '\n') {
			assert_int_equal(js_parse(in.p, in.len, &o, NULL), 0);
			break;
		}
		str_addc(&in, c);
	}
	str_done(&in);
	return o;
}

static bool is_ok(const json_t *o)
{
	return json_is_true(json_object_get(o, "ok"));
}

static int code(const json_t *o)
{
	return (int)json_integer_value(json_object_get(o, "code"));
}

static const char *msg(const json_t *o)
{
	const char *s = json_string_value(json_object_get(o, "msg"));

	return s ? s : "";
}

static char *request(const char *op, const char *id, const char *pod, const char *ifname,
		     const char *more)
{
	return xasprintf(
		"{\"op\":\"%s\",\"containerID\":\"%s\",\"netns\":\"/x\",\"ifname\":\"%s\","
		"\"args\":\"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=%s\","
		"\"config\":{\"cniVersion\":\"1.1.0\",\"name\":\"net\",\"type\":\"margay\","
		"\"ipam\":{\"type\":\"margay-ipam\"}%s}}",
		op, id, ifname, pod, more);
}

/* One request, one reply on a connection of its own. */
static json_t *ask(struct world *w, const char *line)
{
	int fd = dial(w);
	json_t *o;

	say(fd, line);
	o = hear(w, fd);
	close(fd);
	assert_non_null(o);
	return o;
}

static json_t *call(struct world *w, const char *op, const char *id, const char *pod)
{
	CLEANUP(freep) char *line = request(op, id, pod, "eth0", "");

	return ask(w, line);
}

static void expect_ok(json_t *o)
{
	if (!is_ok(o))
		fail_msg("code %d: %s", code(o), msg(o));
	json_decref(o);
}

static void expect_fail(json_t *o, int want, const char *says)
{
	if (is_ok(o) || code(o) != want || !strstr(msg(o), says))
		fail_msg("ok %d code %d: %s", is_ok(o), code(o), msg(o));
	json_decref(o);
}

static const char *first_ip(const json_t *o)
{
	return json_string_value(
		json_object_get(json_array_get(json_object_get(o, "ips"), 0), "address"));
}

static const char *host_if(const json_t *o)
{
	return json_string_value(json_object_get(o, "hostInterface"));
}

static void make_veth(const char *host)
{
	sh("ip link del %s 2>/dev/null; ip link add %s type veth peer name p%s && ip link set %s "
	   "up && ip link "
	   "set p%s up",
	   host, host, host + 4, host, host + 4);
}

/* First half: connection kept open, reply given. */
static int add_half(struct world *w, const char *id, const char *pod, json_t **reply)
{
	CLEANUP(freep) char *line = request("ADD", id, pod, "eth0", "");
	int fd = dial(w);

	say(fd, line);
	*reply = hear(w, fd);
	assert_non_null(*reply);
	return fd;
}

static void say_ready(int fd, const char *host)
{
	CLEANUP(freep)
	char *line =
		xasprintf("{\"op\":\"READY\",\"mac\":\"02:00:00:00:00:01\",\"hostIfindex\":%u}",
			  if_nametoindex(host));

	say(fd, line);
}

/* A whole ADD; the address (heap). */
static char *add(struct world *w, const char *id, const char *pod)
{
	json_t *o, *done;
	int fd = add_half(w, id, pod, &o);
	char *ip;

	if (!is_ok(o))
		fail_msg("code %d: %s", code(o), msg(o));
	ip = xstrdup(first_ip(o));
	make_veth(host_if(o));
	say_ready(fd, host_if(o));
	done = hear(w, fd);
	assert_non_null(done);
	expect_ok(done);
	close(fd);
	json_decref(o);
	return ip;
}

/* ---- what is there ---- */

static char *stored(struct world *w, const char *key)
{
	struct store_res res = ds_call(w->a.ds, store_get(key));
	char *value = res.status == STORE_OK ? xstrdup(res.kv[0].value) : NULL;

	store_res_done(&res);
	return value;
}

static unsigned count_keys(struct world *w, const char *prefix)
{
	struct store_res res = ds_call(w->a.ds, store_list(prefix));
	unsigned n = (unsigned)res.n;

	assert_int_equal(res.status, STORE_OK);
	store_res_done(&res);
	return n;
}

/* Addresses that are taken, over all blocks. */
static unsigned count_taken(struct world *w)
{
	struct store_res res = ds_call(w->a.ds, store_list(BLOCK));
	unsigned n = 0;

	for (size_t i = 0; i < res.n; i++) {
		struct block *b = NULL;

		assert_int_equal(block_decode(res.kv[i].value, strlen(res.kv[i].value), &b, NULL),
				 0);
		n += b->size - b->n_free;
		block_free(b);
	}
	store_res_done(&res);
	return n;
}

static bool route_there(const char *ip)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "ip route show %s | grep -q .", ip);
	return system(cmd) == 0;
}

/* The route's removal is at the end of the loop's turn. */
static void expect_no_route(struct world *w, const char *ip)
{
	for (int i = 0; i < 50 && route_there(ip); i++)
		turn(w);
	assert_false(route_there(ip));
}

static unsigned notes(struct world *w, const char *dir)
{
	char cmd[160], out[16] = "";
	FILE *f;

	snprintf(cmd, sizeof(cmd), "ls %s/%s/*.json 2>/dev/null | wc -l", w->state_dir, dir);
	f = popen(cmd, "r");
	assert_non_null(fgets(out, sizeof(out), f));
	pclose(f);
	return (unsigned)atoi(out);
}

static void expect_nothing_left(struct world *w)
{
	assert_int_equal(count_taken(w), 0);
	assert_int_equal(count_keys(w, "/calico/ipam/v2/handle/"), 0);
	assert_int_equal(count_keys(w, KIND "workloadendpoints/"), 0);
	assert_int_equal(notes(w, "cni-adding"), 0);
	assert_int_equal(notes(w, "cni-journal"), 0);
}

static void settle(struct world *w)
{
	int64_t until = agent_now_ms() + 20000;

	while (ipam_runner_queued(w->a.ipam) && agent_now_ms() < until)
		turn(w);
	turn(w);
}

/* ---- tests ---- */

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

static void journal_is_replayed(void **state)
{
	struct world *w = *state;
	CLEANUP(freep) char *ip = add(w, "c1", "pod1");
	CLEANUP(freep) char *line = request("DEL", "c1", "pod1", "eth0", "");
	char path[160];
	FILE *f;

	agent_end(w, false);
	snprintf(path, sizeof(path), "%s/cni-journal/c1-eth0.json", w->state_dir);
	f = fopen(path, "w");
	fputs(line, f);
	fclose(f);
	snprintf(path, sizeof(path), "%s/cni-journal/c0-eth0.json", w->state_dir);
	f = fopen(path, "w");
	fputs("{\"op\":\"DEL\"", f);
	fclose(f);
	agent_start(w);
	expect_ok(ask(w, "{\"op\":\"STATUS\",\"config\":{\"name\":\"net\"}}"));
	expect_nothing_left(w);
	expect_no_route(w, ip);
	snprintf(path, sizeof(path), "%s/cni-journal/bad/c0-eth0.json", w->state_dir);
	assert_int_equal(access(path, F_OK), 0);
}

static void locked_datastore(void **state)
{
	struct world *w = *state;
	CLEANUP(freep) char *ip = add(w, "c1", "pod1");

	store_put(w, KIND "clusterinformations/default",
		  "{\"kind\":\"ClusterInformation\",\"metadata\":{\"name\":\"default\"},\"spec\":{"
		  "\"datastoreReady\":false}}");
	for (int i = 0; i < 10; i++)
		turn(w);
	expect_fail(call(w, "ADD", "c2", "pod2"), 11, "locked");
	expect_fail(ask(w, "{\"op\":\"STATUS\",\"config\":{\"name\":\"net\"}}"), 50, "locked");
	/* DEL succeeds, and is done when the lock is gone. */
	sh("ip link del calice0906292e2");
	expect_ok(call(w, "DEL", "c1", "pod1"));
	assert_int_equal(notes(w, "cni-journal"), 1);
	assert_int_equal(count_taken(w), 1);
	expect_no_route(w, ip);
	store_put(w, KIND "clusterinformations/default",
		  "{\"kind\":\"ClusterInformation\",\"metadata\":{\"name\":\"default\"},\"spec\":{"
		  "\"datastoreReady\":true}}");
	for (int i = 0; i < 10; i++)
		turn(w);
	/* The container's own ADD hurries it. */
	json_t *o = call(w, "ADD", "c1", "pod1");
	json_decref(o);
	for (int i = 0; i < 500 && notes(w, "cni-journal"); i++)
		turn(w);
	settle(w);
	expect_nothing_left(w);
}

/* Another process sits on the database: ADD says try again and leaves nothing, DEL is noted. */
static void store_that_cannot_be_written(void **state)
{
	struct world *w = *state;
	CLEANUP(freep) char *ip = add(w, "c1", "pod1");
	sqlite3 *other;
	json_t *o;
	int fd;

	fd = add_half(w, "c3", "pod3", &o);
	assert_true(is_ok(o));
	make_veth(host_if(o));
	assert_int_equal(sqlite3_open(strchr(w->spec, ':') + 1, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	/* Between the halves: the endpoint cannot be written, and the undoing is noted. */
	say_ready(fd, host_if(o));
	json_decref(o);
	o = hear(w, fd);
	assert_non_null(o);
	expect_fail(o, 11, "WorkloadEndpoint");
	close(fd);
	assert_int_equal(notes(w, "cni-journal"), 1);
	expect_fail(call(w, "ADD", "c2", "pod2"), 11, "");
	sh("ip link del calice0906292e2");
	expect_ok(call(w, "DEL", "c1", "pod1"));
	assert_true(notes(w, "cni-journal") >= 2);
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	/* Their own ADDs hurry them. */
	json_decref(call(w, "ADD", "c1", "pod1"));
	for (int i = 0; i < 1000 && notes(w, "cni-journal"); i++)
		turn(w);
	settle(w);
	expect_nothing_left(w);
	assert_false(route_there(ip));
}

/* The disk is full: reading goes on, writing does not. */
static void full_disk(void **state)
{
	struct world *w = *state;
	int64_t begun;
	char filler[128];
	FILE *f;

	free(add(w, "c1", "pod1"));
	agent_end(w, false);
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	sh("mount --make-rprivate / && mkdir %s/small && mount -t tmpfs -o size=4m tmpfs %s/small "
	   "&& cp %s/margay.db* "
	   "%s/small/",
	   w->dir, w->dir, w->dir, w->dir);
	snprintf(w->spec, sizeof(w->spec), "sqlite:%s/small/margay.db", w->dir);
	agent_start(w);
	expect_ok(ask(w, "{\"op\":\"STATUS\",\"config\":{\"name\":\"net\"}}"));
	snprintf(filler, sizeof(filler), "%s/small/filler", w->dir);
	f = fopen(filler, "w");
	while (fputc('x', f) != EOF && fflush(f) == 0)
		fwrite(filler, 1, sizeof(filler), f);
	fclose(f);
	for (int i = 0; i < 40; i++) { /* some writes may still fit into what is allocated */
		char id[16];
		json_t *o;

		snprintf(id, sizeof(id), "d%d", i);
		begun = agent_now_ms();
		o = call(w, "IPAM_ADD", id, id);
		if (is_ok(o)) {
			json_decref(o);
			continue;
		}
		expect_fail(o, 11, "no space left");
		assert_true(agent_now_ms() - begun < 15000);
		break;
	}
	expect_ok(call(w, "DEL", "c1", "pod1"));
	assert_int_equal(unlink(filler), 0);
	for (int i = 0; i < 1000 && notes(w, "cni-journal"); i++)
		turn(w);
	free(add(w, "c9", "pod9"));
	agent_end(w, false);
	sh("umount -l %s/small", w->dir);
	snprintf(w->spec, sizeof(w->spec), "sqlite:%s/margay.db", w->dir);
	agent_start(w);
}

static void status_says_broken(void **state)
{
	struct world *w = *state;

	expect_ok(ask(w, "{\"op\":\"STATUS\",\"config\":{\"name\":\"net\"}}"));
	cni_server_broken(w->a.cni, "routes cannot be written");
	expect_fail(ask(w, "{\"op\":\"STATUS\",\"config\":{\"name\":\"net\"}}"), 51,
		    "routes cannot");
	cni_server_broken(w->a.cni, NULL);
	expect_ok(ask(w, "{\"op\":\"STATUS\",\"config\":{\"name\":\"net\"}}"));
}

static void hostile_lines(void **state)
{
	struct world *w = *state;
	CLEANUP(freep) char *big = xcalloc(1, CNI_LINE_MAX + 10);
	static const char *const lines[] = {
		"",
		"{",
		"{}",
		"[]",
		"null",
		"7",
		"\"x\"",
		"{\"op\":\"NO\"}",
		"{\"op\":\"ADD\"}",
		"{\"op\":\"ADD\",\"op\":\"DEL\"}",
		"\xff\xfe",
		"{\"op\":\"DEL\",\"containerID\":\"../../etc\"}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		json_t *o = ask(w, lines[i]);

		assert_false(is_ok(o));
		assert_true(code(o) > 0 && *msg(o));
		json_decref(o);
	}
	memset(big, 'x', CNI_LINE_MAX + 9);
	int fd = dial(w);
	int flags = fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	for (size_t at = 0; at < CNI_LINE_MAX + 9;) {
		ssize_t n = send(fd, big + at, CNI_LINE_MAX + 9 - at, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break;
		at += n > 0 ? (size_t)n : 0;
		event_base_loop(w->a.base, EVLOOP_NONBLOCK);
	}
	json_t *o = hear(w, fd);
	assert_non_null(o);
	expect_fail(o, 6, "256 KiB");
	close(fd);
	expect_ok(ask(w, "{\"op\":\"STATUS\",\"config\":{\"name\":\"net\"}}"));
}

static void too_many_connections(void **state)
{
	struct world *w = *state;
	int fds[CNI_CONNS_MAX + 5];
	json_t *o;

	for (int i = 0; i < CNI_CONNS_MAX; i++) {
		fds[i] = dial(w);
		event_base_loop(w->a.base, EVLOOP_NONBLOCK);
	}
	while (cni_server_conns(w->a.cni) < CNI_CONNS_MAX)
		event_base_loop(w->a.base, EVLOOP_NONBLOCK);
	fds[CNI_CONNS_MAX] = dial(w);
	o = hear(w, fds[CNI_CONNS_MAX]);
	assert_non_null(o);
	expect_fail(o, 11, "try again");
	for (int i = 0; i <= CNI_CONNS_MAX; i++)
		close(fds[i]);
	for (int i = 0; i < 100 && cni_server_conns(w->a.cni); i++)
		turn(w);
	assert_int_equal(cni_server_conns(w->a.cni), 0);
	expect_ok(ask(w, "{\"op\":\"STATUS\",\"config\":{\"name\":\"net\"}}"));
}

static void socket_file(void **state)
{
	struct world *w = *state;
	struct cni_server *second = NULL;
	struct err e = { 0 };
	struct stat st;

	assert_int_equal(stat(w->sock, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(cni_server_new(&second, &w->a, &e) < 0);
	assert_non_null(strstr(e.msg, "another agent"));
}

static void gc_frees_what_is_stale(void **state)
{
	struct world *w = *state;
	CLEANUP(freep) char *live = add(w, "c1", "pod1");
	CLEANUP(freep) char *dead = add(w, "c2", "pod2");
	CLEANUP(freep) char *young = NULL, *block = NULL;
	struct store_res res = ds_call(w->a.ds, store_list(BLOCK));

	/* Make all that is there old. */
	assert_int_equal(res.n, 1);
	block = xstrdup(res.kv[0].value);
	for (char *p = block; (p = strstr(p, "\"timestamp\":\"")); p += 13)
		memcpy(p + 13, "2001", 4);
	store_put(w, res.kv[0].key, block);
	store_res_done(&res);
	for (int i = 0; i < 10; i++)
		turn(w);
	young = add(w, "c3", "pod3");
	CLEANUP(freep)
	char *gc = request("GC", "x", "x", "eth0",
			   ",\"cni.dev/valid-attachments\":[{\"containerID\":\"c1\",\"ifname\":"
			   "\"eth0\"}]");
	expect_ok(ask(w, gc));
	settle(w);
	assert_true(route_there(live));
	expect_no_route(w, dead);
	assert_true(route_there(young));
	assert_int_equal(count_taken(w), 2);
	assert_int_equal(count_keys(w, KIND "workloadendpoints/"), 2);
	assert_int_equal(if_nametoindex("calibd2348b4f67"), 0);
	assert_int_not_equal(if_nametoindex("calice0906292e2"), 0);
	CLEANUP(freep) char *bare = request("GC", "x", "x", "eth0", "");
	expect_fail(ask(w, bare), 7, "valid-attachments");
}

static void a_foreign_route_is_named(void **state)
{
	struct world *w = *state;
	json_t *o;
	int fd = add_half(w, "c1", "pod1", &o);
	CLEANUP(freep) char *ip = xstrdup(first_ip(o));

	sh("ip link add other type veth peer name rehto && ip link set other up && ip route add %s "
	   "dev other",
	   ip);
	make_veth(host_if(o));
	say_ready(fd, host_if(o));
	json_decref(o);
	o = hear(w, fd);
	assert_non_null(o);
	expect_fail(o, 999, "exists for another interface");
	close(fd);
	expect_nothing_left(w);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

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
		TEST(journal_is_replayed),
		TEST(locked_datastore),
		TEST(store_that_cannot_be_written),
		TEST(full_disk),
		TEST(status_says_broken),
		TEST(hostile_lines),
		TEST(too_many_connections),
		TEST(socket_file),
		TEST(gc_frees_what_is_stale),
		TEST(a_foreign_route_is_named),
	};

	/* Network namespaces need it; on other machines this test has nothing to say. */
	if (unshare(CLONE_NEWNET) < 0) {
		printf("1..0 # SKIP needs root for network namespaces\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
