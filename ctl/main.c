/* main.c - margayctl: read the command line, run the command */
#include <stdio.h>
#include <stdlib.h>

#include "ctl/cmd.h"
#include "ctl/ctl.h"

int main(int argc, char **argv)
{
	const char *run_dir = getenv("MARGAY_RUN_DIR");
	struct ctl c = { .run_dir = run_dir && *run_dir ? run_dir : "/run/margay" };
	const char **word = xcalloc((size_t)argc + 1, sizeof(*word));
	const struct cmd *cmd;
	struct str text = { 0 };
	struct err e = { 0 };
	struct args a;
	bool help;
	int rc;

	if (cmd_parse(&c, argc, argv, word, &cmd, &a, &help, &e) < 0) {
		ctl_error("%s", e.msg);
		rc = CTL_USAGE;
	} else if (help || !cmd) {
		cmd_help(cmd, &text);
		fputs(str_text(&text), help ? stdout : stderr);
		str_done(&text);
		rc = help ? CTL_OK : CTL_USAGE;
	} else {
		rc = cmd->run(&c, &a);
	}
	ctl_close(&c);
	free(word);
	/* A full disk behind stdout is a failure, too. */
	return fflush(stdout) == 0 && !ferror(stdout) ? rc : CTL_FAILED;
}
