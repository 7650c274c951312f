/* plugin.c - the whole of `margay` in real network namespaces, with an agent that follows a script
 * SHAPE  Each call runs in a child: environment, stdin and stdout as a runtime gives them. The
 * agent is another child: for each line that it gets it writes the "op" into a pipe and sends the
 *        next line of its script, or does what a word with '!' says. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "cni-plugin/program.h"
#include "cni-plugin/verbs.h"
#include "lib/json.h"
#include "tests/unit/dataplane/netns.h"

static const struct program margay = {
	.about = "margay",
	.add = verb_add,
	.del = verb_del,
	.check = verb_check,
	.status = verb_status,
	.gc = verb_gc,
	.add_undo = verb_add_undo,
};

#define GIVES                                                                                     \
	"{\"ok\":true,\"hostInterface\":\"cali1\",\"mtu\":1450,\"ips\":[{\"address\":\"172.31.1." \
	"2/26\"}]"
#define ANSWER GIVES "}"
#define OK     "{\"ok\":true}"
#define NO     "{\"ok\":false,\"code\":100,\"msg\":\"no address left\",\"details\":\"add a pool\"}"

static char dir[64];
static int host_ns = -1, pod_ns = -1;
static char pod_path[64];

static struct {
	pid_t pid;
	FILE *log;
} agent = { -1, NULL };

static char output[65536]; /* of the last call */

/* ---- the scripted agent ---- */

static void flood(int fd)
{
	char block[4096];

	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 100; i++)
		if (send(fd, block, sizeof(block), MSG_NOSIGNAL) < 0)
			return;
}

/* False: this connection is over. */
static bool act(int fd, const char *what)
{
	if (str_eq(what, "!close"))
		return false;
	if (str_eq(what, "!die"))
		_exit(0);
	if (str_eq(what, "!hang"))
		for (;;)
			pause();
	if (str_eq(what, "!flood"))
		flood(fd);
	else
		dprintf(fd, "%s\n", what);
	return true;
}

static void log_request(int log, const char *line)
{
	json_t *r = json_loads(line, 0, NULL);
	const char *op = json_string_value(json_object_get(r, "op"));
	json_t *ipam = json_object_get(r, "ipamResult");

	dprintf(log, "%s%s\n", op ? op : "?", ipam ? "+ipam" : "");
	json_decref(r);
}

static _Noreturn void agent_main(int listener, int log, const char *const *script)
{
	while (*script) {
		int fd = accept(listener, NULL, NULL);
		FILE *f = fdopen(fd, "r");
		char *line = NULL;
		size_t size = 0;

		while (getline(&line, &size, f) > 0) {
			log_request(log, line);
			if (!*script || !act(fd, *script++))
				break;
		}
		free(line);
		fclose(f);
	}
	_exit(0);
}

static void agent_start(const char *const *script)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), log[2];

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/cni.sock", dir);
	unlink(sa.sun_path);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(listener, 5), 0);
	assert_int_equal(pipe(log), 0);
	agent.pid = fork();
	if (agent.pid == 0) {
		close(log[0]);
		agent_main(listener, log[1], script);
	}
	close(listener);
	close(log[1]);
	agent.log = fdopen(log[0], "r");
}

#define AGENT(...) agent_start((const char *const[]) { __VA_ARGS__, NULL })

/* What the agent was asked, in order: "ADD READY ". It is ended. */
static const char *agent_end(void)
{
	static char heard[1024];
	char line[256];

	heard[0] = 0;
	if (agent.pid < 0)
		return heard;
	kill(agent.pid, SIGKILL);
	waitpid(agent.pid, NULL, 0);
	while (fgets(line, sizeof(line), agent.log)) {
		line[strcspn(line, "\n")] = ' ';
		str_copy(heard + strlen(heard), sizeof(heard) - strlen(heard), line);
	}
	fclose(agent.log);
	agent.pid = -1;
	return heard;
}

/* ---- calling the plugin ---- */

static const char *conf_text = NULL; /* members of the configuration, NULL: the usual ones */
static const char *version = "1.1.0";
static const char *prev_result = NULL;
static const char *out_file = NULL;

static void write_file(const char *name, const char *text, mode_t mode)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void write_conf(void)
{
	char *text = xasprintf("{\"cniVersion\":\"%s\",\"name\":\"net\",\"type\":\"margay\",%s%s%s"
			       "\"agent_socket\":\"%s/cni.sock\",\"state_dir\":\"%s/state\"%s}",
			       version, prev_result ? "\"prevResult\":" : "",
			       prev_result ? prev_result : "", prev_result ? "," : "", dir, dir,
			       conf_text ? conf_text : "");

	write_file("conf", text, 0600);
	free(text);
}

static pid_t call_start(const char *verb, const char *netns)
{
	char in[128], out[128];
	pid_t pid;

	write_conf();
	snprintf(in, sizeof(in), "%s/conf", dir);
	snprintf(out, sizeof(out), "%s/out", dir);
	pid = fork();
	if (pid)
		return pid;
	if (dup2(open(in, O_RDONLY), 0) < 0 ||
	    dup2(open(out_file ? out_file : out, O_WRONLY | O_CREAT | O_TRUNC, 0600), 1) < 0)
		_exit(99);
	setenv("CNI_COMMAND", verb, 1);
	setenv("CNI_CONTAINERID", "c1", 1);
	setenv("CNI_NETNS", netns, 1);
	setenv("CNI_IFNAME", "eth0", 1);
	setenv("CNI_PATH", dir, 1);
	exit(program_run(&margay));
}

static int call_end(pid_t pid)
{
	char path[128];
	int status, fd;
	ssize_t n;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	snprintf(path, sizeof(path), "%s/out", dir);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? 0 : read(fd, output, sizeof(output) - 1);
	close(fd);
	output[n] = 0;
	return WEXITSTATUS(status);
}

static int call(const char *verb)
{
	return call_end(call_start(verb, pod_path));
}

/* The call fails with this code, and its message or details hold this text. */
static void fails(const char *verb, int code, const char *text)
{
	CLEANUP(js_freep) json_t *t = NULL;

	if (call(verb) != 1)
		fail_msg("%s succeeded: %s", verb, output);
	t = json_loads(output, 0, NULL);
	if (json_integer_value(json_object_get(t, "code")) != code || !strstr(output, text))
		fail_msg("%s: %s", verb, output);
}

static void succeeds(const char *verb)
{
	if (call(verb) != 0)
		fail_msg("%s: %s", verb, output);
}

static void in_pod(const char *cmd, const char *expect)
{
	assert_int_equal(setns(pod_ns, CLONE_NEWNET), 0);
	assert_string_equal(out_of(cmd), expect);
	assert_int_equal(setns(host_ns, CLONE_NEWNET), 0);
}

static void pod_do(const char *cmd)
{
	assert_int_equal(setns(pod_ns, CLONE_NEWNET), 0);
	sh("%s", cmd);
	assert_int_equal(setns(host_ns, CLONE_NEWNET), 0);
}

static void nothing_is_left(void)
{
	in_pod("ip -br link | awk '$1 != \"lo\"'", "");
	assert_string_equal(out_of("ip -br link | awk '$1 != \"lo\"'"), "");
}

static const char *journal(void)
{
	static char cmd[128];

	snprintf(cmd, sizeof(cmd), "ls %s/state/cni-journal 2>/dev/null", dir);
	return out_of(cmd);
}

static int setup(void **state)
{
	ns_fresh();
	host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	pod_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_int_equal(setns(host_ns, CLONE_NEWNET), 0);
	snprintf(pod_path, sizeof(pod_path), "/proc/%d/fd/%d", (int)getpid(), pod_ns);
	str_copy(dir, sizeof(dir), "/tmp/margay-plugin-XXXXXX");
	assert_non_null(mkdtemp(dir));
	conf_text = prev_result = out_file = NULL;
	version = "1.1.0";
	return 0;
}

static int teardown(void **state)
{
	(void)agent_end();
	close(pod_ns);
	close(host_ns);
	sh("rm -r %s", dir);
	return 0;
}

/* ---- */

static void test_add_check_del(void **state)
{
	CLEANUP(freep) char *result = NULL;

	AGENT(ANSWER, OK, OK, OK, OK);
	succeeds("ADD");
	result = xstrdup(output);
	in_pod("ip -br addr show eth0 | cut -c1-5; ip route; cat /proc/sys/net/ipv4/ip_forward",
	       "eth0@|default via 169.254.1.1 dev eth0|169.254.1.1 dev eth0 scope link|0|");
	in_pod("ip -4 -o addr show eth0 | grep -o 'inet [0-9./]*'", "inet 172.31.1.2/32|");
	assert_string_equal(out_of("ip -o link show cali1 | grep -o 'LOWER_UP\\|mtu 1450\\|"
				   "ee:ee:ee:ee:ee:ee'"),
			    "LOWER_UP|mtu 1450|ee:ee:ee:ee:ee:ee|");
	prev_result = result;
	succeeds("CHECK");
	assert_string_equal(output, "");
	succeeds("STATUS");
	assert_string_equal(output, "");
	succeeds("DEL");
	assert_string_equal(output, "");
	nothing_is_left();
	assert_string_equal(agent_end(), "ADD READY CHECK STATUS DEL ");
	assert_string_equal(journal(), "");
}

static void test_check_sees_what_changed(void **state)
{
	static const struct {
		const char *harm, *complaint, *repair;
	} rows[] = {
		{ "ip addr del 172.31.1.2/32 dev eth0", "172.31.1.2/32 is missing",
		  /* the last address takes the routes along */
		  "ip addr add 172.31.1.2/32 dev eth0; ip route add 169.254.1.1 dev eth0 scope "
		  "link; "
		  "ip route add default via 169.254.1.1 dev eth0" },
		{ "ip route del default", "no route through its gateway",
		  "ip route add default via 169.254.1.1 dev eth0" },
		{ "ip link set eth0 mtu 1300", "another MTU", "ip link set eth0 mtu 1450" },
		{ "sysctl -qw net.ipv4.ip_forward=1", "ip_forward in the pod is 1",
		  "sysctl -qw net.ipv4.ip_forward=0" },
		{ "ip link set eth0 down", "is down",
		  "ip link set eth0 up; ip route replace 169.254.1.1 dev eth0 scope link; "
		  "ip route replace default via 169.254.1.1 dev eth0" },
		{ "ip link set eth0 address 02:11:11:11:11:11", "another MAC", "true" },
		{ "ip link del eth0", "is missing", "true" },
	};
	CLEANUP(freep) char *result = NULL;

	AGENT(ANSWER, OK, OK, OK, OK, OK, OK, OK, OK);
	succeeds("ADD");
	prev_result = result = xstrdup(output);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		succeeds("CHECK");
		pod_do(rows[i].harm);
		fails("CHECK", 101, rows[i].complaint);
		pod_do(rows[i].repair);
		if (str_eq(rows[i].repair, "true"))
			return;
	}
}

static void test_agent_says_no(void **state)
{
	AGENT(NO);
	fails("ADD", 100, "add a pool");
	assert_non_null(strstr(output, "no address left"));
	nothing_is_left();
	assert_string_equal(agent_end(), "ADD ");
}

static void test_second_half_refused(void **state)
{
	AGENT(ANSWER, NO, OK);
	fails("ADD", 100, "no address left");
	nothing_is_left();
	assert_string_equal(agent_end(), "ADD READY ABORT ");
}

static void test_agent_hangs_up_before_the_answer(void **state)
{
	AGENT("!close", OK);
	fails("ADD", 11, "closed the connection without an answer");
	nothing_is_left();
	/* It may have given an address: its successor is told. */
	assert_string_equal(agent_end(), "ADD DEL ");
	assert_string_equal(journal(), "");
}

static void test_agent_dies_between_the_halves(void **state)
{
	AGENT(ANSWER, "!die");
	fails("ADD", 11, "closed the connection");
	nothing_is_left();
	assert_string_equal(agent_end(), "ADD READY ");
	assert_string_equal(journal(), "c1-eth0.json|");
}

static void test_nonsense_from_the_agent(void **state)
{
	static const char *const says[] = { "hello",
					    "[]",
					    "{}",
					    "{\"ok\":7}",
					    "{\"ok\":true}",
					    "!flood",
					    "{\"ok\":true,\"ok\":true}",
					    "" };

	for (size_t i = 0; i < ARRAY_SIZE(says); i++) {
		AGENT(says[i], OK, OK);
		fails("ADD", 6, "margay agent");
		nothing_is_left();
		(void)agent_end();
	}
}

static void test_no_agent(void **state)
{
	fails("ADD", 11, "does not answer");
	fails("STATUS", 50, "does not answer");
	nothing_is_left();
	assert_string_equal(journal(), "");
	AGENT(ANSWER, OK);
	succeeds("ADD");
	(void)agent_end();
	succeeds("DEL");
	nothing_is_left();
	assert_string_equal(journal(), "c1-eth0.json|");
	succeeds("DEL");
	assert_string_equal(journal(), "c1-eth0.json|");
}

static void test_journal_that_cannot_be_written(void **state)
{
	write_file("state", "a file where a directory should be", 0600);
	fails("DEL", 5, "Not a directory");
}

static void test_namespaces_that_are_none(void **state)
{
	char file[128], none[128];

	write_file("notns", "", 0600);
	snprintf(file, sizeof(file), "%s/notns", dir);
	snprintf(none, sizeof(none), "%s/none", dir);
	assert_int_equal(call_end(call_start("ADD", none)), 1);
	assert_non_null(strstr(output, "\"code\": 8"));
	assert_int_equal(call_end(call_start("ADD", file)), 1);
	assert_non_null(strstr(output, "\"code\": 8"));
	assert_int_equal(call_end(call_start("ADD", "/proc/self/ns/net")), 1);
	assert_non_null(strstr(output, "the plugin itself runs in"));
	assert_int_equal(call_end(call_start("DEL", "/proc/self/ns/net")), 1);
	version = "1.0.0";
	assert_int_equal(call_end(call_start("ADD", none)), 1);
	assert_non_null(strstr(output, "\"code\": 4"));
	AGENT(OK, OK, OK);
	assert_int_equal(call_end(call_start("DEL", none)), 0);
	assert_int_equal(call_end(call_start("DEL", file)), 0);
	assert_int_equal(call_end(call_start("DEL", "")), 0);
	assert_string_equal(agent_end(), "DEL DEL DEL ");
}

static void test_second_add_harms_nobody(void **state)
{
	AGENT(ANSWER, OK, ANSWER);
	succeeds("ADD");
	fails("ADD", 4, "eth0 exists already");
	in_pod("ip route | wc -l", "2|");
	assert_string_equal(agent_end(), "ADD READY ");
}

static void test_old_host_end_goes(void **state)
{
	sh("ip link add cali1 type veth peer name old0");
	AGENT(ANSWER, OK);
	succeeds("ADD");
	assert_string_equal(out_of("ip -br link | awk '{print $1}'"), "lo|cali1@if2|");
}

static void test_what_is_no_veth_stays(void **state)
{
	sh("ip link add cali1 type bridge");
	AGENT(ANSWER, OK, OK);
	fails("ADD", 102, "is no veth");
	assert_string_equal(out_of("ip -br link | awk '{print $1}'"), "lo|cali1|");
	in_pod("ip -br link | awk '{print $1}'", "lo|");
	assert_string_equal(agent_end(), "ADD ABORT ");
}

static void test_failure_in_the_middle_of_the_batch(void **state)
{
	AGENT(GIVES ",\"routes\":[{\"dst\":\"10.0.0.0/8\"},{\"dst\":\"10.0.0.0/8\"}]}", OK);
	fails("ADD", 102, "custom route: File exists");
	nothing_is_left();
	assert_string_equal(agent_end(), "ADD ABORT ");
}

static void test_custom_routes_and_mac(void **state)
{
	AGENT(GIVES ",\"routes\":[{\"dst\":\"10.0.0.0/8\"},{\"dst\":\"fd00::/8\"}],"
		    "\"mac\":\"02:00:00:00:00:77\",\"ipForward\":true}",
	      OK);
	succeeds("ADD");
	in_pod("ip route; cat /proc/sys/net/ipv4/ip_forward; ip -o link show eth0 | "
	       "grep -o 02:00:00:00:00:77",
	       "10.0.0.0/8 via 169.254.1.1 dev eth0|169.254.1.1 dev eth0 scope link|1|"
	       "02:00:00:00:00:77|");
}

static void test_both_families(void **state)
{
	CLEANUP(freep) char *result = NULL;

	AGENT("{\"ok\":true,\"hostInterface\":\"cali1\",\"ips\":[{\"address\":\"172.31.1.2/32\"},"
	      "{\"address\":\"fd00::2/128\"}]}",
	      OK, OK);
	succeeds("ADD");
	in_pod("ip -6 route show default; ip -6 -o addr show eth0 scope global | "
	       "grep -o 'inet6 [0-9a-f:/]*'",
	       "default via fe80::ecee:eeff:feee:eeee dev eth0 metric 1024 pref medium|"
	       "inet6 fd00::2/128|");
	assert_string_equal(
		out_of("ip -6 -o addr show cali1 | grep -o 'fe80[0-9a-f:]*\\|tentative'"),
		"fe80::ecee:eeff:feee:eeee|");
	in_pod("ping -6 -c1 -W2 fe80::ecee:eeff:feee:eeee%eth0 >/dev/null && echo reached",
	       "reached|");
	prev_result = result = xstrdup(output);
	succeeds("CHECK");
}

static void test_other_interfaces_in_the_pod(void **state)
{
	pod_do("ip link add net1 type bridge && ip link add net2 type bridge");
	AGENT(ANSWER, OK, OK);
	succeeds("ADD");
	in_pod("ip -br link | awk '{sub(\"@.*\", \"\", $1); print $1}'", "lo|net1|net2|eth0|");
	succeeds("DEL");
	in_pod("ip -br link | awk '{print $1}'", "lo|net1|net2|");
}

static void test_sigterm_in_the_middle(void **state)
{
	char line[64];
	pid_t pid;

	AGENT(ANSWER, "!hang");
	pid = call_start("ADD", pod_path);
	assert_non_null(fgets(line, sizeof(line), agent.log));
	assert_non_null(fgets(line, sizeof(line), agent.log));
	assert_string_equal(line, "READY\n");
	in_pod("ip -br link | wc -l", "2|");
	kill(pid, SIGTERM);
	assert_int_equal(setns(pod_ns, CLONE_NEWNET), 0);
	for (int i = 0; i < 1000 && system("ip link show eth0 >/dev/null 2>&1") == 0; i++)
		;
	assert_int_equal(setns(host_ns, CLONE_NEWNET), 0);
	/* Now it asks the agent to take the address back. */
	kill(agent.pid, SIGKILL);
	assert_int_equal(call_end(pid), 1);
	assert_non_null(strstr(output, "stopped by a signal"));
	nothing_is_left();
	assert_string_equal(journal(), "c1-eth0.json|");
}

static void test_result_that_nobody_takes(void **state)
{
	out_file = "/dev/full";
	AGENT(ANSWER, OK, OK);
	assert_int_equal(call("ADD"), 1);
	nothing_is_left();
	assert_string_equal(agent_end(), "ADD READY DEL ");
}

static void test_del_passes_the_agents_words(void **state)
{
	AGENT(ANSWER, OK, "{\"ok\":false,\"code\":11,\"msg\":\"datastore away\"}");
	succeeds("ADD");
	fails("DEL", 11, "datastore away");
	nothing_is_left();
	assert_string_equal(journal(), "");
}

static void test_gc(void **state)
{
	conf_text = ",\"cni.dev/valid-attachments\":[]";
	AGENT(OK);
	succeeds("GC");
	assert_string_equal(agent_end(), "GC ");
	fails("GC", 11, "does not answer");
}

/* ---- another IPAM plugin ---- */

static void delegate_is(const char *body)
{
	char *text =
		xasprintf("#!/bin/sh\ncat >%s/ipam-stdin\necho $CNI_COMMAND >>%s/ipam-log\n%s\n",
			  dir, dir, body);

	write_file("fakeipam", text, 0700);
	free(text);
	conf_text = ",\"ipam\":{\"type\":\"fakeipam\",\"x\":1}";
}

static const char *delegate_log(void)
{
	static char cmd[128];

	snprintf(cmd, sizeof(cmd), "cat %s/ipam-log", dir);
	return out_of(cmd);
}

static void test_delegate(void **state)
{
	delegate_is(
		"[ $CNI_COMMAND != ADD ] || echo '{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":"
		"\"10.9.0.5/24\"}],\"dns\":{\"domain\":\"x.y\"}}'");
	AGENT(ANSWER, OK, OK, OK, OK);
	succeeds("ADD");
	assert_non_null(strstr(output, "\"domain\": \"x.y\""));
	succeeds("STATUS");
	succeeds("GC");
	succeeds("DEL");
	assert_string_equal(delegate_log(), "ADD|STATUS|GC|DEL|");
	assert_string_equal(agent_end(), "ADD+ipam READY STATUS GC DEL ");
}

static void test_delegate_is_undone(void **state)
{
	delegate_is("[ $CNI_COMMAND != ADD ] || echo '{\"ips\":[{\"address\":\"10.9.0.5/24\"}]}'");
	AGENT(NO);
	fails("ADD", 100, "no address left");
	assert_string_equal(delegate_log(), "ADD|DEL|");
	nothing_is_left();
}

static void test_delegate_says_no(void **state)
{
	delegate_is(
		"[ $CNI_COMMAND = DEL ] && exit 0; echo '{\"code\":57,\"msg\":\"range is full\"}'; "
		"exit 1");
	fails("ADD", 57, "fakeipam: ADD: range is full");
	assert_string_equal(delegate_log(), "ADD|DEL|");
	delegate_is("exit 3");
	fails("ADD", 999, "exit status 3");
	delegate_is("kill -9 $$");
	fails("ADD", 999, "ended by signal 9");
	delegate_is("echo nonsense");
	fails("ADD", 6, "printed no valid result");
	delegate_is("yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	fails("ADD", 11, "printed too much");
	nothing_is_left();
}

static void test_delegate_is_missing(void **state)
{
	conf_text = ",\"ipam\":{\"type\":\"nosuch\"}";
	fails("ADD", 7, "no such program in CNI_PATH");
	nothing_is_left();
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_add_check_del),
		T(test_check_sees_what_changed),
		T(test_agent_says_no),
		T(test_second_half_refused),
		T(test_agent_hangs_up_before_the_answer),
		T(test_agent_dies_between_the_halves),
		T(test_nonsense_from_the_agent),
		T(test_no_agent),
		T(test_journal_that_cannot_be_written),
		T(test_namespaces_that_are_none),
		T(test_second_add_harms_nobody),
		T(test_old_host_end_goes),
		T(test_what_is_no_veth_stays),
		T(test_failure_in_the_middle_of_the_batch),
		T(test_custom_routes_and_mac),
		T(test_both_families),
		T(test_other_interfaces_in_the_pod),
		T(test_sigterm_in_the_middle),
		T(test_result_that_nobody_takes),
		T(test_del_passes_the_agents_words),
		T(test_gc),
		T(test_delegate),
		T(test_delegate_is_undone),
		T(test_delegate_says_no),
		T(test_delegate_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
