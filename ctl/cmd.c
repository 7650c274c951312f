/* cmd.c - the table of commands, and how a command line is read by it
 * TESTS  tests/unit/ctl/cmd.c */
#include "ctl/cmd.h"

#include <errno.h>
#include <string.h>

#include "ctl/ctl.h"

const struct opt global_opts[] = {
	{ "datastore", 0, "DS", "sqlite:PATH, etcd:URL[,URL...] or kubernetes[:KUBECONFIG]." },
	{ "run-dir", 0, "DIR", "Folder of the agent's sockets, /run/margay." },
	{ "output", 'o', "FORMAT", "table, wide, yaml or json." },
	{ "help", 'h', NULL, "Say how it is called." },
	{ 0 },
};

/* clang-format off */
#define OPT_FILE      { "filename", 'f', "FILE", "Manifest: a file, a folder, or - for stdin." }
#define OPT_RECURSIVE { "recursive", 'R', NULL, "Look into folders of the folder, too." }
#define OPT_EMPTY     { "skip-empty", 0, NULL, "No resource in the files is no error." }
#define OPT_NAMESPACE { "namespace", 'n', "NS", "Namespace, for kinds that have one." }
#define OPTS(...)     (const struct opt[]){ __VA_ARGS__, { 0 } }
/* clang-format on */

/* The order of opts is the order of args.opt: the functions name them in enums. */
const struct cmd commands[] = {
	{ "get", "(KIND [NAME...] | -f FILE)", "Show resources.", WORDS_KINDS,
	  OPTS(OPT_FILE, OPT_RECURSIVE, OPT_NAMESPACE,
	       { "all-namespaces", 'A', NULL, "Resources of every namespace." },
	       { "export", 0, NULL,
		 "Leave out what only this cluster knows: uid, times, revision." }),
	  cmd_get },
	{ "apply", "-f FILE", "Create resources, or change those that exist.", WORDS_NONE,
	  OPTS(OPT_FILE, OPT_RECURSIVE, OPT_EMPTY, OPT_NAMESPACE), cmd_apply },
	{ "create", "-f FILE", "Create resources.", WORDS_NONE,
	  OPTS(OPT_FILE, OPT_RECURSIVE, OPT_EMPTY, OPT_NAMESPACE,
	       { "skip-exists", 0, NULL,
		 "A resource that exists is no error, and stays as it is." }),
	  cmd_create },
	{ "replace", "-f FILE", "Change resources that exist.", WORDS_NONE,
	  OPTS(OPT_FILE, OPT_RECURSIVE, OPT_EMPTY, OPT_NAMESPACE), cmd_replace },
	{ "delete", "(KIND NAME... | -f FILE)", "Delete resources.", WORDS_KINDS,
	  OPTS(OPT_FILE, OPT_RECURSIVE, OPT_NAMESPACE,
	       { "skip-not-exists", 's', NULL, "A resource that does not exist is no error." }),
	  cmd_delete },
	{ "validate", "-f FILE", "Check manifests without a datastore.", WORDS_NONE,
	  OPTS(OPT_FILE, OPT_RECURSIVE, OPT_EMPTY), cmd_validate },
	{ "label", "KIND NAME KEY=VALUE... [KEY-...]", "Set and remove labels of a resource.",
	  WORDS_KINDS,
	  OPTS(OPT_NAMESPACE, { "remove", 0, NULL, "The words are keys, which are removed." },
	       { "overwrite", 0, NULL, "Change a label that has another value." }),
	  cmd_label },
	{ "explain", "KIND", "Say which fields a kind has and what they may be.", WORDS_KINDS, NULL,
	  cmd_explain },
	{ "ipam show", "", "How full pools and blocks are, or who holds an address.", WORDS_NONE,
	  OPTS({ "ip", 0, "ADDRESS", "Who holds this address." },
	       { "show-blocks", 0, NULL, "The blocks of each pool as well." },
	       { "show-borrowed", 0, NULL, "Addresses used by another node than their block's." },
	       { "show-configuration", 0, NULL, "The allocator's settings." }),
	  cmd_ipam_show },
	{ "ipam check", "", "Look for blocks, handles and endpoints that disagree.", WORDS_NONE,
	  OPTS({ "show-all-ips", 0, NULL, "List every allocated address, and every problem." },
	       { "show-problem-ips", 0, NULL, "List every problem." }),
	  cmd_ipam_check },
	{ "ipam release", "", "Give an address back that nothing uses.", WORDS_NONE,
	  OPTS({ "ip", 0, "ADDRESS", "This address." },
	       { "handle", 0, "ID",
		 "With --ip: only if this handle holds it; else all of the handle's." }),
	  cmd_ipam_release },
	{ "ipam configure", "", "Change the allocator's settings.", WORDS_NONE,
	  OPTS({ "strictaffinity", 0, "true|false", "Nodes use their own blocks only." },
	       { "max-blocks-per-host", 0, "N", "Blocks that a node may hold; 0: 20." },
	       { "kubevirt-ip-persistence", 0, "Enabled|Disabled",
		 "Virtual machines keep their address." },
	       { "ip-cooldown-seconds", 0, "N",
		 "Time before a released address is used again, up to 1200." },
	       { "auto-allocate-blocks", 0, "true|false", "Nodes take new blocks when they need." }),
	  cmd_ipam_configure },
	{ "node status", "", "What the agent of this node is doing, and its BGP sessions.",
	  WORDS_NONE, NULL, cmd_node_status },
	{ "policy explain", "--from WHO --to WHO --proto PROTOCOL --port PORT",
	  "Which rule of which policy lets a packet pass, or does not, at both ends of its way.",
	  WORDS_NONE,
	  OPTS({ "from", 0, "WHO", "NAMESPACE/POD, an address, or the name of a node." },
	       { "to", 0, "WHO", "The same, of who receives it." },
	       { "proto", 0, "PROTOCOL", "tcp, udp, sctp, icmp, icmpv6 or a number; tcp." },
	       { "port", 0, "PORT", "The destination's: a number, or a name that it has." },
	       { "source-port", 0, "PORT", "50000." },
	       { "icmp-type", 0, "TYPE", "An echo request." },
	       { "icmp-code", 0, "CODE", "0." },
	       { "ip-version", 0, "4|6", "Where both ends have both; 4." }),
	  cmd_policy_explain },
	{ "node drain", "", "Have this node leave the fabric without losing a packet.", WORDS_NONE,
	  OPTS({ "pause", 0, "SECONDS",
		 "Between telling all to go another way, withdrawing and ending; 10." },
	       { "text", 0, "TEXT", "What the peers' operators shall read." },
	       { "no-wait", 0, NULL, "Return as soon as it has begun." }),
	  cmd_node_drain },
	{ "node undrain", "", "Have this node take part again.", WORDS_NONE, NULL, cmd_node_undrain },
	{ "policy show", "NAMESPACE/POD", "Policies of a pod of this node, in their order.",
	  WORDS_NONE, NULL, cmd_policy_show },
	{ "bgp neighbors", "[ADDRESS]", "The BGP sessions of this node in numbers.", WORDS_NONE, NULL,
	  cmd_bgp_neighbors },
	{ "bgp routes", "[PREFIX]", "The paths that this node knows over BGP, and why one is best.",
	  WORDS_NONE, NULL, cmd_bgp_routes },
	{ "bgp why", "PREFIX", "Why a prefix is told to a peer, or is not.", WORDS_NONE,
	  OPTS({ "to", 0, "PEER", "This peer, by its address or the name of its session; else all." }),
	  cmd_bgp_why },
	{ "completion", "bash",
	  "Print completion for a shell: source <(margayctl completion bash).", WORDS_SHELLS, NULL,
	  cmd_completion },
	{ "version", "", "Print the version.", WORDS_NONE, NULL, cmd_version },
	{ 0 },
};

/* Which row of a list an argument such as "--output=yaml" or "-oyaml" is; its value, when it is in
 * the same argument, to *value (else NULL). -1: none. */
static int opt_find(const struct opt *opts, const char *arg, const char **value)
{
	*value = NULL;
	for (int i = 0; opts && opts[i].name; i++) {
		size_t n = strlen(opts[i].name);

		if (arg[1] == '-' && !strncmp(arg + 2, opts[i].name, n) &&
		    (!arg[2 + n] || arg[2 + n] == '=')) {
			*value = arg[2 + n] ? arg + 3 + n : NULL;
			return i;
		}
		if (arg[1] != '-' && arg[1] == opts[i].letter) {
			*value = arg[2] ? arg + 2 + (arg[2] == '=') : NULL;
			return i;
		}
	}
	return -1;
}

static const struct cmd *two_words(const char *a, const char *b)
{
	for (const struct cmd *cmd = commands; cmd->name; cmd++) {
		size_t n = strlen(a);

		if (b && !strncmp(cmd->name, a, n) && cmd->name[n] == ' ' &&
		    !strcmp(cmd->name + n + 1, b))
			return cmd;
		if (!b && !strcmp(cmd->name, a))
			return cmd;
	}
	return NULL;
}

static const char *cmd_name(const void *arg, size_t i)
{
	return commands[i].name;
}

static int unknown_command(const char *word, struct err *e)
{
	size_t n = 0;
	const char *near;

	while (commands[n].name)
		n++;
	near = word_nearest(word, cmd_name, NULL, n);
	return err_set(e, -EINVAL, "\"%.60s\": no such command; %s%s%s", word,
		       near ? "did you mean \"" : "see margayctl --help", near ? near : "",
		       near ? "\"?" : "");
}

static int set_output(struct ctl *c, const char *value, struct err *e)
{
	static const struct {
		const char *name;
		enum ctl_output output;
	} rows[] = {
		{ "table", CTL_TABLE }, { "ps", CTL_TABLE },  { "wide", CTL_WIDE },
		{ "yaml", CTL_YAML },	{ "json", CTL_JSON },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!strcmp(value, rows[i].name)) {
			c->output = rows[i].output;
			return 0;
		}
	}
	return err_set(e, -EINVAL, "--output: must be table, wide, yaml or json, is \"%.40s\"",
		       value);
}

static int set_global(struct ctl *c, int i, const char *value, bool *help, struct err *e)
{
	switch (i) {
	case 0:
		c->datastore = value;
		return 0;
	case 1:
		c->run_dir = value;
		return 0;
	case 2:
		return set_output(c, value, e);
	default:
		*help = true;
		return 0;
	}
}

/* The state of reading a command line. */
struct reader {
	struct ctl *c;
	char *const *argv;
	int argc, at;
	const struct cmd *cmd;
	struct args *a;
	bool *help;
	struct err *e;
};

static int take_value(struct reader *r, const struct opt *o, const char **value)
{
	if (!o->arg) {
		if (*value)
			return err_set(r->e, -EINVAL, "--%s takes no value", o->name);
		*value = "";
		return 0;
	}
	if (!*value && r->at + 1 < r->argc)
		*value = r->argv[++r->at];
	if (!*value)
		return err_set(r->e, -EINVAL, "--%s: %s is missing", o->name, o->arg);
	return 0;
}

static int take_option(struct reader *r)
{
	const char *arg = r->argv[r->at], *value;
	const struct opt *own = r->cmd ? r->cmd->opts : NULL;
	int i = opt_find(own, arg, &value), rc;

	if (i >= 0) {
		rc = take_value(r, &own[i], &value);
		if (rc == 0)
			r->a->opt[i] = value;
		return rc;
	}
	i = opt_find(global_opts, arg, &value);
	if (i < 0)
		return err_set(r->e, -EINVAL, "%.60s: no such option%s%s; see margayctl %s%s--help",
			       arg, r->cmd ? " of " : "", r->cmd ? r->cmd->name : "",
			       r->cmd ? r->cmd->name : "", r->cmd ? " " : "");
	rc = take_value(r, &global_opts[i], &value);
	return rc < 0 ? rc : set_global(r->c, i, value, r->help, r->e);
}

/* The first word, or the first two, name the command; the others are its arguments. */
static int take_word(struct reader *r, const char **word)
{
	const char *text = r->argv[r->at];
	const char *next = r->at + 1 < r->argc ? r->argv[r->at + 1] : NULL;

	if (r->cmd) {
		word[r->a->n_words++] = text;
		return 0;
	}
	r->cmd = next ? two_words(text, next) : NULL;
	if (r->cmd) {
		r->at++;
		return 0;
	}
	r->cmd = two_words(text, NULL);
	if (!r->cmd && !strcmp(text, "help")) {
		*r->help = true;
		return 0;
	}
	return r->cmd ? 0 : unknown_command(text, r->e);
}

int cmd_parse(struct ctl *c, int argc, char *const *argv, const char **word, const struct cmd **cmd,
	      struct args *a, bool *help, struct err *e)
{
	struct reader r = { c, argv, argc, 1, NULL, a, help, e };
	bool only_words = false;
	int rc = 0;

	*a = (struct args) { .word = word };
	*help = false;
	for (; rc == 0 && r.at < argc; r.at++) {
		if (!only_words && !strcmp(argv[r.at], "--"))
			only_words = true;
		else if (!only_words && argv[r.at][0] == '-' && argv[r.at][1])
			rc = take_option(&r);
		else
			rc = take_word(&r, word);
	}
	*cmd = r.cmd;
	return rc;
}

static void help_opts(const struct opt *opts, struct str *out)
{
	for (; opts && opts->name; opts++) {
		char *name = xasprintf("--%s%s%s", opts->name, opts->arg ? " " : "",
				       opts->arg ? opts->arg : "");

		if (opts->letter)
			str_addf(out, "  -%c, ", opts->letter);
		else
			str_add(out, "      ");
		str_addf(out, "%-22s  %s\n", name, opts->doc);
		freep(&name);
	}
}

void cmd_help(const struct cmd *cmd, struct str *out)
{
	if (cmd) {
		str_addf(out, "%s\n\n  margayctl %s %s\n\n", cmd->doc, cmd->name, cmd->usage);
		help_opts(cmd->opts, out);
	} else {
		str_add(out, "Look at and change what margay works on.\n\n"
			     "  margayctl [OPTIONS] COMMAND ...\n\nCommands:\n");
		for (cmd = commands; cmd->name; cmd++)
			str_addf(out, "  %-16s %s\n", cmd->name, cmd->doc);
		str_add(out, "\nOptions of every command:\n");
	}
	help_opts(global_opts, out);
}
