/* cmd.c - ctl/cmd: command lines by the table */
#include "ctl/cmd.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/ctl.h"

enum { WORDS_MAX = 16 };

struct parsed {
	struct ctl c;
	const struct cmd *cmd;
	struct args a;
	const char *word[WORDS_MAX];
	bool help;
	struct err e;
	char text[256];
	char *argv[WORDS_MAX];
	int rc;
};

/* Blanks separate the words of a line. */
static struct parsed *parse(struct parsed *p, const char *line)
{
	int argc = 0;

	memset(p, 0, sizeof(*p));
	assert_true(str_copy(p->text, sizeof(p->text), line));
	for (char *s = strtok(p->text, " "); s; s = strtok(NULL, " "))
		p->argv[argc++] = s;
	p->rc = cmd_parse(&p->c, argc, p->argv, p->word, &p->cmd, &p->a, &p->help, &p->e);
	return p;
}

static void lines_that_are_right(void **state)
{
	static const struct {
		const char *line, *cmd, *words, *file, *datastore;
		enum ctl_output output;
	} rows[] = {
		{ "m get pools", "get", "pools", NULL, NULL, CTL_TABLE },
		{ "m get pools a b -o yaml", "get", "pools a b", NULL, NULL, CTL_YAML },
		{ "m -o json get pools", "get", "pools", NULL, NULL, CTL_JSON },
		{ "m get -ojson pools", "get", "pools", NULL, NULL, CTL_JSON },
		{ "m get --output=wide pools", "get", "pools", NULL, NULL, CTL_WIDE },
		{ "m --datastore sqlite:x get -f - ", "get", "", "-", "sqlite:x", CTL_TABLE },
		{ "m apply --filename=a=b --datastore=etcd:http://x", "apply", "", "a=b",
		  "etcd:http://x", CTL_TABLE },
		{ "m apply -f=x", "apply", "", "x", NULL, CTL_TABLE },
		{ "m delete pool -- -x", "delete", "pool -x", NULL, NULL, CTL_TABLE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct parsed p;
		struct str words = { 0 };

		if (parse(&p, rows[i].line)->rc < 0)
			fail_msg("%s: %s", rows[i].line, p.e.msg);
		assert_string_equal(p.cmd->name, rows[i].cmd);
		for (size_t j = 0; j < p.a.n_words; j++)
			str_addf(&words, "%s%s", j ? " " : "", p.a.word[j]);
		assert_string_equal(str_text(&words), rows[i].words);
		assert_true(str_eq(p.a.opt[0], rows[i].file));
		assert_true(str_eq(p.c.datastore, rows[i].datastore));
		assert_int_equal(p.c.output, rows[i].output);
		assert_false(p.help);
		str_done(&words);
	}
}

static void lines_that_are_wrong(void **state)
{
	static const struct {
		const char *line, *words;
	} rows[] = {
		{ "m gett", "\"gett\": no such command; did you mean \"get\"?" },
		{ "m frobnicate", "\"frobnicate\": no such command; see margayctl --help" },
		{ "m get --filenam x",
		  "--filenam: no such option of get; see margayctl get --help" },
		{ "m get -f", "--filename: FILE is missing" },
		{ "m get -o", "--output: FORMAT is missing" },
		{ "m get -o xml", "--output: must be table, wide, yaml or json, is \"xml\"" },
		{ "m get --export=1", "--export takes no value" },
		{ "m -f x get", "-f: no such option; see margayctl --help" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct parsed p;

		if (parse(&p, rows[i].line)->rc == 0)
			fail_msg("%s: accepted", rows[i].line);
		assert_string_equal(p.e.msg, rows[i].words);
	}
}

static void help(void **state)
{
	struct parsed p;
	struct str all = { 0 }, one = { 0 };

	assert_true(parse(&p, "m --help")->help && !p.cmd);
	assert_true(parse(&p, "m help")->help);
	assert_true(parse(&p, "m get -h")->help);
	assert_string_equal(p.cmd->name, "get");
	assert_null(parse(&p, "m")->cmd);
	assert_false(p.help);
	cmd_help(NULL, &all);
	for (const struct cmd *cmd = commands; cmd->name; cmd++) {
		size_t n = 0;

		assert_non_null(strstr(str_text(&all), cmd->name));
		assert_int_equal(cmd->doc[strlen(cmd->doc) - 1], '.');
		for (; cmd->opts && cmd->opts[n].name; n++)
			assert_int_equal(cmd->opts[n].doc[strlen(cmd->opts[n].doc) - 1], '.');
		assert_true(n <= CMD_OPTS_MAX);
	}
	cmd_help(p.cmd ? p.cmd : commands, &one);
	assert_non_null(strstr(str_text(&one), "--filename FILE"));
	str_done(&all);
	str_done(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_that_are_right),
		cmocka_unit_test(lines_that_are_wrong),
		cmocka_unit_test(help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
