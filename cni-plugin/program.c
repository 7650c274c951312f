/* program.c - the frame of both programs
 * SPEC  CNI 1.1 section 2: result or error on stdout, exit status 0 or 1; VERSION does not need the
 *       configuration. */
#include "cni-plugin/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cni-plugin/io.h"

static int read_conf(struct conf *c, const struct env *env, struct cni_error *f)
{
	struct str text = { 0 };
	int rc = io_read_all(STDIN_FILENO, CONF_SIZE_MAX, io_now_ms() + IO_BUDGET_MS, &text);

	*c = (struct conf) { .version = "1.1.0" };
	if (rc < 0 && rc != -EFBIG)
		rc = cni_fail(f, CNI_IO, "network configuration on stdin: %s", strerror(-rc));
	else
		rc = conf_parse(c, str_text(&text), text.len, env, f);
	str_done(&text);
	return rc;
}

static int print(const char *text)
{
	return io_write_all(STDOUT_FILENO, text, strlen(text), io_now_ms() + IO_UNDO_MS);
}

static verb_fn verb_of(const struct program *p, enum verb verb)
{
	switch (verb) {
	case VERB_ADD:
		return p->add;
	case VERB_DEL:
		return p->del;
	case VERB_CHECK:
		return p->check;
	case VERB_STATUS:
		return p->status;
	case VERB_GC:
		return p->gc;
	case VERB_NONE:
	case VERB_VERSION:
		break;
	}
	return NULL;
}

static int run_verb(const struct program *p, const struct env *env, struct conf *c,
		    struct cni_error *f)
{
	CLEANUP(freep) char *out = NULL;
	int rc = read_conf(c, env, f);

	if (rc == 0)
		rc = verb_of(p, env->verb)(env, c, &out, f);
	if (rc < 0 || !out)
		return rc;
	rc = print(out);
	if (rc == 0)
		return 0;
	if (env->verb == VERB_ADD && p->add_undo)
		p->add_undo(env, c);
	return cni_fail(f, CNI_IO, "writing the result: %s", strerror(-rc));
}

static int print_versions(void)
{
	CLEANUP(freep) char *text = conf_versions_json();

	return print(text) < 0;
}

int program_run(const struct program *p)
{
	struct cni_error f = { 0 };
	struct conf c = { .version = "1.1.0" };
	struct env env;
	int rc;

	io_init();
	rc = env_read(&env, getenv, &f);
	if (rc == 0 && env.verb == VERB_NONE) {
		fprintf(stderr, "%s\n", p->about);
		return 0;
	}
	if (rc == 0 && env.verb == VERB_VERSION)
		return print_versions();
	if (rc == 0)
		rc = run_verb(p, &env, &c, &f);
	if (rc < 0) {
		CLEANUP(freep) char *text = cni_error_json(&f, c.version);

		(void)print(text);
	}
	conf_done(&c);
	return rc < 0;
}
