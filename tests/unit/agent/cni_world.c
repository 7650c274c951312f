/* cni_world.c - see cni_world.h */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include <net/if.h>

#include "agent/cni/cni_server.h"
#include "agent/cni/endpoints.h"
#include "agent/cni/ipam_runner.h"
#include "agent/routes.h"
#include "lib/json.h"
#include "model/block.h"
#include "tests/unit/agent/cni_world.h"

/* ---- the agent ---- */

static void must(int rc, const struct err *e)
{
	if (rc < 0)
		fail_msg("%s", e->msg);
}

void agent_start(struct world *w)
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
void agent_end(struct world *w, bool killed)
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

void store_put(struct world *w, const char *key, const char *value)
{
	struct store_res res = ds_call(w->a.ds, store_update(key, value, 0));

	assert_int_equal(res.status, STORE_OK);
	store_res_done(&res);
}

void pool(struct world *w, const char *name, const char *cidr, int block)
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

void sh(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		fail_msg("%s", cmd);
}

int set_up(void **state)
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

int tear_down(void **state)
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

int dial(struct world *w)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	str_copy(sun.sun_path, sizeof(sun.sun_path), w->sock);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		fail_msg("connect: %s", strerror(errno));
	return fd;
}

void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	assert_int_equal(send(fd, "\n", 1, MSG_NOSIGNAL), 1);
}

void turn(struct world *w)
{
	const struct timeval tick = { .tv_usec = 20000 };

	event_base_loopexit(w->a.base, &tick);
	event_base_loop(w->a.base, EVLOOP_ONCE);
}

/* The next line, or NULL when the agent closed. */
json_t *hear(struct world *w, int fd)
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

bool is_ok(const json_t *o)
{
	return json_is_true(json_object_get(o, "ok"));
}

int code(const json_t *o)
{
	return (int)json_integer_value(json_object_get(o, "code"));
}

const char *msg(const json_t *o)
{
	const char *s = json_string_value(json_object_get(o, "msg"));

	return s ? s : "";
}

char *request(const char *op, const char *id, const char *pod, const char *ifname,
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
json_t *ask(struct world *w, const char *line)
{
	int fd = dial(w);
	json_t *o;

	say(fd, line);
	o = hear(w, fd);
	close(fd);
	assert_non_null(o);
	return o;
}

json_t *call(struct world *w, const char *op, const char *id, const char *pod)
{
	CLEANUP(freep) char *line = request(op, id, pod, "eth0", "");

	return ask(w, line);
}

void expect_ok(json_t *o)
{
	if (!is_ok(o))
		fail_msg("code %d: %s", code(o), msg(o));
	json_decref(o);
}

void expect_fail(json_t *o, int want, const char *says)
{
	if (is_ok(o) || code(o) != want || !strstr(msg(o), says))
		fail_msg("ok %d code %d: %s", is_ok(o), code(o), msg(o));
	json_decref(o);
}

const char *first_ip(const json_t *o)
{
	return json_string_value(
		json_object_get(json_array_get(json_object_get(o, "ips"), 0), "address"));
}

const char *host_if(const json_t *o)
{
	return json_string_value(json_object_get(o, "hostInterface"));
}

void make_veth(const char *host)
{
	sh("ip link del %s 2>/dev/null; ip link add %s type veth peer name p%s && ip link set %s "
	   "up && ip link "
	   "set p%s up",
	   host, host, host + 4, host, host + 4);
}

/* First half: connection kept open, reply given. */
int add_half(struct world *w, const char *id, const char *pod, json_t **reply)
{
	CLEANUP(freep) char *line = request("ADD", id, pod, "eth0", "");
	int fd = dial(w);

	say(fd, line);
	*reply = hear(w, fd);
	assert_non_null(*reply);
	return fd;
}

void say_ready(int fd, const char *host)
{
	CLEANUP(freep)
	char *line =
		xasprintf("{\"op\":\"READY\",\"mac\":\"02:00:00:00:00:01\",\"hostIfindex\":%u}",
			  if_nametoindex(host));

	say(fd, line);
}

/* A whole ADD; the address (heap). */
char *add(struct world *w, const char *id, const char *pod)
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

char *stored(struct world *w, const char *key)
{
	struct store_res res = ds_call(w->a.ds, store_get(key));
	char *value = res.status == STORE_OK ? xstrdup(res.kv[0].value) : NULL;

	store_res_done(&res);
	return value;
}

unsigned count_keys(struct world *w, const char *prefix)
{
	struct store_res res = ds_call(w->a.ds, store_list(prefix));
	unsigned n = (unsigned)res.n;

	assert_int_equal(res.status, STORE_OK);
	store_res_done(&res);
	return n;
}

/* Addresses that are taken, over all blocks. */
unsigned count_taken(struct world *w)
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

bool route_there(const char *ip)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "ip route show %s | grep -q .", ip);
	return system(cmd) == 0;
}

/* The route's removal is at the end of the loop's turn. */
void expect_no_route(struct world *w, const char *ip)
{
	for (int i = 0; i < 50 && route_there(ip); i++)
		turn(w);
	assert_false(route_there(ip));
}

unsigned notes(struct world *w, const char *dir)
{
	char cmd[160], out[16] = "";
	FILE *f;

	snprintf(cmd, sizeof(cmd), "ls %s/%s/*.json 2>/dev/null | wc -l", w->state_dir, dir);
	f = popen(cmd, "r");
	assert_non_null(fgets(out, sizeof(out), f));
	pclose(f);
	return (unsigned)atoi(out);
}

void expect_nothing_left(struct world *w)
{
	assert_int_equal(count_taken(w), 0);
	assert_int_equal(count_keys(w, "/calico/ipam/v2/handle/"), 0);
	assert_int_equal(count_keys(w, KIND "workloadendpoints/"), 0);
	assert_int_equal(notes(w, "cni-adding"), 0);
	assert_int_equal(notes(w, "cni-journal"), 0);
}

void settle(struct world *w)
{
	int64_t until = agent_now_ms() + 20000;

	while (ipam_runner_queued(w->a.ipam) && agent_now_ms() < until)
		turn(w);
	turn(w);
}
