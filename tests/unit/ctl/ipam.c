/* ipam.c - margayctl ipam show, check, release, configure, against an embedded datastore */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/cmd.h"
#include "ctl/ipam_run.h"
#include "model/ipamkey.h"

enum { WORDS_MAX = 16 };

static char dir[] = "/tmp/margay-ctl-ipam-XXXXXX";
static char *datastore, *captured;

static struct ctl fresh(void)
{
	return (struct ctl) { .run_dir = dir, .datastore = datastore };
}

static int run_line(const char *line)
{
	CLEANUP(freep) char *text = xstrdup(line);
	char *argv[WORDS_MAX] = { xstrdup("margayctl") };
	const char *word[WORDS_MAX];
	const struct cmd *cmd;
	struct ctl c = fresh();
	struct args a;
	int argc = 1, rc;
	bool help;

	for (char *s = strtok(text, " "); s && argc < WORDS_MAX; s = strtok(NULL, " "))
		argv[argc++] = s;
	rc = cmd_parse(&c, argc, argv, word, &cmd, &a, &help, NULL) < 0 ? CTL_USAGE
									: cmd->run(&c, &a);
	ctl_close(&c);
	free(argv[0]);
	return rc;
}

/* Run a command; its two outputs are in `captured`, one file for both. */
static void expect(const char *line, int want_rc, const char *part)
{
	CLEANUP(freep) char *path = xasprintf("%s/out", dir);
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), rc;
	char buf[8192];
	ssize_t n;

	fflush(NULL);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	rc = run_line(line);
	fflush(NULL);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	n = pread(fd, buf, sizeof(buf), 0);
	close(out);
	close(err);
	close(fd);
	free(captured);
	captured = xstrndup(buf, n > 0 ? (size_t)n : 0);
	if (rc != want_rc || !strstr(captured, part))
		fail_msg("%s: exit status %d, \"%s\" lacks \"%s\"", line, rc, captured, part);
}

static void put(const char *key, const char *value)
{
	struct ctl c = fresh();
	struct err e = { 0 };

	if (ctl_open(&c, true, &e) < 0 ||
	    ctl_call(&c, store_update(key, value, 0), key, NULL, &e) < 0)
		fail_msg("%s", e.msg);
	ctl_close(&c);
}

static void add(const char *host, const char *handle)
{
	struct ctl c = fresh();
	struct err e = { 0 };
	struct ipam_facts f;
	json_t *attrs = json_pack("{s:s,s:s,s:s}", "node", host, "namespace", "default", "pod",
				  "web\x1b[0m");
	struct ipam_op *op;

	assert_true(ctl_open(&c, true, &e) == 0 && ipam_facts_read(&c, &f, &e) == 0);
	op = ipam_assign_op(&(struct ipam_assign) { .world = f.world,
						    .host = host,
						    .handle = handle,
						    .attrs = attrs,
						    .use = IPAM_USE_WORKLOAD,
						    .want_v4 = 1 });
	if (ipam_run(&c, op, &e) < 0)
		fail_msg("%s", e.msg);
	ipam_op_free(op);
	json_decref(attrs);
	ipam_facts_done(&f);
	ctl_close(&c);
}

static int setup(void **state)
{
	CLEANUP(freep) char *path = NULL, *line = NULL;
	FILE *f;

	if (!mkdtemp(dir))
		return -1;
	datastore = xasprintf("sqlite:%s/m.db", dir);
	path = xasprintf("%s/pool.yaml", dir);
	line = xasprintf("apply -f %s", path);
	f = fopen(path, "w");
	fputs("apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: web}\n"
	      "spec: {cidr: 10.0.0.0/30, blockSize: 30}\n---\n"
	      "apiVersion: projectcalico.org/v3\nkind: IPReservation\nmetadata: {name: last}\n"
	      "spec: {reservedCIDRs: [10.0.0.3]}\n",
	      f);
	fclose(f);
	expect(line, 0, "Successfully applied 2");
	add("edge-1", "net.a");
	add("edge-2", "net.b");
	return 0;
}

static int teardown(void **state)
{
	CLEANUP(freep) char *line = xasprintf("rm -rf %s", dir);

	free(captured);
	free(datastore);
	return system(line);
}

static void show(void **state)
{
	expect("ipam show", 0,
	       "| IP Pool  | 10.0.0.0/30 | 4         | 2 (50%)    | 1 (25%)      | 1 (25%)  |");
	assert_null(strstr(captured, "Block"));
	expect("ipam show --show-blocks", 0, "| Block    | 10.0.0.0/30 | 4         | 2 (50%)");
	expect("ipam show --show-blocks -o json", 0, "\"affinity\": \"host:edge-1\"");
	expect("ipam show -o yaml", 0, "inUse: 2\n");
	expect("ipam show --ip=10.0.0.0", 0,
	       "IP 10.0.0.0 is in use\nHandle ID: net.a\nAttributes:\n");
	assert_non_null(strstr(captured, "  pod: web?[0m\n"));
	expect("ipam show --ip=10.0.0.0 -o json", 0, "\"handle\": \"net.a\"");
	expect("ipam show --ip=10.0.0.2", 0, "10.0.0.2 is not assigned");
	expect("ipam show --ip=10.0.0", CTL_USAGE, "must be an address like 10.0.0.1");
	expect("ipam show --show-borrowed", 0,
	       "| 10.0.0.1 | edge-2         | 10.0.0.0/30 | edge-1");
	expect("ipam show --show-configuration -o json", 0, "\"autoAllocateBlocks\": true");
}

static void configure(void **state)
{
	expect("ipam configure", CTL_USAGE, "nothing to set");
	expect("ipam configure --max-blocks-per-host=2", 1, "needs strictAffinity true");
	expect("ipam configure --strictaffinity=maybe", 1, "must be true or false, is \"maybe\"");
	expect("ipam configure --ip-cooldown-seconds=1201", 1, "must be 0..1200");
	expect("ipam configure --kubevirt-ip-persistence=no", 1, "must be Enabled or Disabled");
	expect("ipam configure --strictaffinity=true --max-blocks-per-host=2", 0,
	       "Successfully set");
	expect("ipam show --show-configuration", 0, "| MaxBlocksPerHost             | 2       |");
	expect("ipam configure --strictaffinity=false", 1, "needs strictAffinity true");
	expect("ipam configure --strictaffinity=false --max-blocks-per-host=0", 0, "Successfully");
	expect("ipam configure --auto-allocate-blocks=false", 1, "one of them must be true");
}

static void check_and_release(void **state)
{
	expect("ipam check", 0, "found 0 problems");
	assert_non_null(strstr(captured, "1 pools, 1 blocks, 2 handles; 2 addresses allocated"));
	put(IPAMKEY_HANDLES "net.c", "{\"block\":{\"10.0.0.0/30\":1}}");
	expect("ipam check --show-problem-ips", 1, "1 handles without addresses\n    net.c\n");
	expect("ipam check -o json", 1, "\"text\": \"net.c\"");
	expect("ipam release --handle=net.c", 0, "Successfully released 0 IP addresses");
	expect("ipam check", 0, "found 0 problems");
	expect("ipam release", CTL_USAGE, "--ip=ADDRESS or --handle=ID");
	expect("ipam release --ip=10.0.0.1 --handle=net.a", 1, "is held by somebody else");
	expect("ipam release --ip=10.0.0.1 --handle=net.b", 0, "Successfully released IP address");
	expect("ipam release --ip=10.0.0.1", 0, "10.0.0.1 is not assigned");
	expect("ipam check", 0, "1 addresses allocated");
	put(IPAMKEY_BLOCKS "ipv4/block/10.9.0.0-30", "{}");
	expect("ipam show", 1, "10.9.0.0-30: cidr is missing");
	expect("ipam check --show-all-ips", 1, "1 broken objects\n    block ");
	assert_non_null(strstr(captured, "  10.0.0.0  net.a\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(show),
		cmocka_unit_test(configure),
		cmocka_unit_test(check_and_release),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
