/* completion.c - what margayctl says about itself: words for the shell, from the table of commands;
 * its version */
#include <stdio.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/ctl.h"

/* First words of the commands, each once: rows of one group stand together. */
static void print_first_words(void)
{
	const char *last = "";
	size_t last_len = 0;

	for (const struct cmd *cmd = commands; cmd->name; cmd++) {
		size_t n = strcspn(cmd->name, " ");

		if (n != last_len || strncmp(cmd->name, last, n))
			printf(" %.*s", (int)n, cmd->name);
		last = cmd->name;
		last_len = n;
	}
}

static void print_opts(const struct opt *opts)
{
	for (; opts && opts->name; opts++)
		printf(" --%s%s", opts->name, opts->arg ? "=" : "");
}

static void print_words(enum cmd_words words)
{
	const struct kind *kind;

	switch (words) {
	case WORDS_KINDS:
		for (size_t i = 0; (kind = kind_at(i)); i++)
			printf(" %s", kind->plural);
		break;
	case WORDS_SHELLS:
		printf(" bash");
		break;
	case WORDS_NONE:
		break;
	}
}

/* The second words of a group such as "ipam". */
static void print_group(const char *group, size_t n)
{
	for (const struct cmd *cmd = commands; cmd->name; cmd++)
		if (!strncmp(cmd->name, group, n) && cmd->name[n] == ' ')
			printf(" %s", cmd->name + n + 1);
}

int cmd_completion(struct ctl *c, const struct args *a)
{
	if (a->n_words != 1 || strcmp(a->word[0], "bash"))
		return ctl_error("completion: the shell is missing or unknown: bash");
	printf("_margayctl() {\n\tlocal words cur=${COMP_WORDS[COMP_CWORD]}\n"
	       "\tlocal line=\" ${COMP_WORDS[*]:1:COMP_CWORD-1} \"\n\tcase \"$line\" in\n");
	for (const struct cmd *cmd = commands; cmd->name; cmd++) {
		printf("\t*\" %s \"*) words=\"", cmd->name);
		print_words(cmd->words);
		print_opts(cmd->opts);
		printf("\";;\n");
	}
	for (const struct cmd *cmd = commands; cmd->name; cmd++) {
		size_t n = strcspn(cmd->name, " ");

		if (!cmd->name[n])
			continue;
		printf("\t*\" %.*s \"*) words=\"", (int)n, cmd->name);
		print_group(cmd->name, n);
		printf("\";;\n");
	}
	printf("\t*) words=\"");
	print_first_words();
	print_opts(global_opts);
	printf("\";;\n\tesac\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	       "\t[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n}\n"
	       "complete -o default -F _margayctl margayctl\n");
	return CTL_OK;
}

int cmd_version(struct ctl *c, const struct args *a)
{
	printf("margayctl %s\n", MARGAY_VERSION);
	return CTL_OK;
}
