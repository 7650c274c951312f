/* The CNI socket when things go wrong: the store is locked, full or read-only, plugins vanish, lines
 * are hostile. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <net/if.h>
#include <sqlite3.h>

#include "agent/cni/cni_server.h"
#include "agent/routes.h"
#include "tests/unit/agent/cni_world.h"

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
		assert_true(agent_now_ms() - begun < 40000);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
