/* story.c - commands against an embedded datastore, as a person types them
 * SHAPE  They run inside of this process, stdout and stderr in files. */
#include "tests/unit/ctl/story.h"

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
#include "ctl/ctl.h"

enum { WORDS_MAX = 16 };

char story_dir[] = "/tmp/margay-ctl-test-XXXXXX";
char *story_store;

static char *slurp(const char *name)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", story_dir, name);
	FILE *f = fopen(path, "r");
	struct str s = { 0 };
	int ch;

	assert_non_null(f);
	while ((ch = getc(f)) != EOF)
		str_addc(&s, (char)ch);
	fclose(f);
	return str_take(&s);
}

static void spill(const char *name, const char *text)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", story_dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Point fd at a file of story_dir; the old one comes back by dup2. */
static int redirect(int fd, const char *name)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", story_dir, name);
	int old = dup(fd), new = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(old >= 0 && new >= 0);
	dup2(new, fd);
	close(new);
	return old;
}

static void restore(int fd, int old)
{
	dup2(old, fd);
	close(old);
}

static int run_command(struct ctl *c, const char *line)
{
	CLEANUP(freep) char *text = xstrdup(line);
	char *argv[WORDS_MAX] = { NULL };
	const char *word[WORDS_MAX];
	const struct cmd *cmd;
	struct err e = { 0 };
	struct args a;
	int argc = 0;
	bool help;

	for (char *s = strtok(text, " "); s && argc < WORDS_MAX; s = strtok(NULL, " "))
		argv[argc++] = s;
	if (cmd_parse(c, argc, argv, word, &cmd, &a, &help, &e) < 0)
		return ctl_error("%s", e.msg);
	return cmd->run(c, &a);
}

/* Returns the exit status; out and err get what was printed, heap. manifest: what "-f M" is. */
int story_run(const char *line, const char *manifest, char **out, char **err)
{
	CLEANUP(freep) char *file = xasprintf("%s/m.yaml", story_dir), *full = NULL;
	struct ctl c = { .run_dir = story_dir, .datastore = story_store };
	int old_out, old_err, rc;

	spill("m.yaml", manifest ? manifest : "");
	full = xasprintf("margayctl %s%s%s", line, manifest ? " -f " : "", manifest ? file : "");
	fflush(stdout);
	old_out = redirect(STDOUT_FILENO, "out");
	old_err = redirect(STDERR_FILENO, "err");
	rc = run_command(&c, full);
	ctl_close(&c);
	fflush(stdout);
	fflush(stderr);
	restore(STDOUT_FILENO, old_out);
	restore(STDERR_FILENO, old_err);
	*out = slurp("out");
	*err = slurp("err");
	return rc;
}

static void expect(const struct story_step *s, const char *what, const char *is, const char *want)
{
	if (want && (*want ? !strstr(is, want) : *is))
		fail_msg("%s: %s is \"%s\", not \"%s\"", s->line, what, is, want);
}

void story_play(const struct story_step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		CLEANUP(freep) char *out = NULL, *err = NULL;
		int rc = story_run(steps[i].line, steps[i].manifest, &out, &err);

		if (rc != steps[i].rc)
			fail_msg("%s: exit status %d\n%s%s", steps[i].line, rc, out, err);
		expect(&steps[i], "stdout", out, steps[i].out);
		expect(&steps[i], "stderr", err, steps[i].err);
	}
}

int story_set_up(void **state)
{
	if (!mkdtemp(story_dir))
		return -1;
	story_store = xasprintf("sqlite:%s/t.db", story_dir);
	return 0;
}

int story_tear_down(void **state)
{
	CLEANUP(freep) char *line = xasprintf("rm -rf %s", story_dir);

	free(story_store);
	return system(line);
}
