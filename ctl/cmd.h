/* cmd.h - commands of margayctl: one row and one function each.
 *
 * A command adds a row to the table in cmd.c and a function `int cmd_NAME(struct ctl *c, const
 * struct args *a)` in a file of its own; help, completion and the parsing of its options follow
 * from the row. The function returns the program's exit status: 0 all done, 1 something was not. */
#pragma once

#include "lib/err.h"
#include "lib/str.h"

struct ctl;

enum { CMD_OPTS_MAX = 16 };

struct opt {
	const char *name; /* "filename" is --filename; NULL ends a list */
	char letter;	  /* 'f' is -f; 0: none */
	const char *arg;  /* what the help calls the value; NULL: takes none */
	const char *doc;  /* one sentence */
};

/* What the command was called with. */
struct args {
	const char *const *word; /* [n_words] what is no option, in order */
	size_t n_words;
	/* By the order of the command's opts: the value ("" for one that takes none); NULL: not
	 * given. */
	const char *opt[CMD_OPTS_MAX];
};

enum cmd_words {
	WORDS_NONE,  /* for completion: nothing */
	WORDS_KINDS, /* kinds of resources */
	WORDS_SHELLS,
};

struct cmd {
	const char *name;  /* "get", or two words: "ipam show" */
	const char *usage; /* "KIND [NAME...]", behind the name in the help */
	const char *doc;   /* one sentence */
	enum cmd_words words;
	const struct opt *opts; /* NULL: none */
	int (*run)(struct ctl *c, const struct args *a);
};

extern const struct cmd commands[]; /* ended by a row without name */
extern const struct opt global_opts[];

/* Take argv apart: options of the program into *c, then the command and its arguments. word has
 * room for argc pointers. -EINVAL: e says what is wrong. *cmd is NULL when there is none or help is
 * asked for (*help). */
int cmd_parse(struct ctl *c, int argc, char *const *argv, const char **word, const struct cmd **cmd,
	      struct args *a, bool *help, struct err *e);
/* The help of one command; of all when cmd is NULL. */
void cmd_help(const struct cmd *cmd, struct str *out);

int cmd_get(struct ctl *c, const struct args *a);
int cmd_apply(struct ctl *c, const struct args *a);
int cmd_create(struct ctl *c, const struct args *a);
int cmd_replace(struct ctl *c, const struct args *a);
int cmd_delete(struct ctl *c, const struct args *a);
int cmd_validate(struct ctl *c, const struct args *a);
int cmd_policy_show(struct ctl *c, const struct args *a);
int cmd_policy_explain(struct ctl *c, const struct args *a);
int cmd_label(struct ctl *c, const struct args *a);
int cmd_explain(struct ctl *c, const struct args *a);
int cmd_completion(struct ctl *c, const struct args *a);
int cmd_version(struct ctl *c, const struct args *a);
int cmd_ipam_show(struct ctl *c, const struct args *a);
int cmd_ipam_check(struct ctl *c, const struct args *a);
int cmd_ipam_release(struct ctl *c, const struct args *a);
int cmd_ipam_configure(struct ctl *c, const struct args *a);
int cmd_node_drain(struct ctl *c, const struct args *a);
int cmd_node_undrain(struct ctl *c, const struct args *a);
int cmd_node_status(struct ctl *c, const struct args *a);
int cmd_bgp_neighbors(struct ctl *c, const struct args *a);
int cmd_bgp_routes(struct ctl *c, const struct args *a);
int cmd_bgp_why(struct ctl *c, const struct args *a);
