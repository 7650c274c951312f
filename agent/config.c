/* config.c - file, environment and options, from one table
 * SHAPE  config_rows.c is the table, config_names.c makes the names ("healthPort" is the file's
 *        key, --health-port, MARGAY_HEALTH_PORT), config_calico.c knows Calico's, config_text.c
 *        prints. Layers: defaults, file, Calico's variables, MARGAY_*, options; each may replace
 *        what the one before said.
 * TESTS  tests/unit/agent/config.c */
#include "agent/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config_calico.h"
#include "agent/config_names.h"
#include "agent/config_rows.h"
#include "lib/yaml.h"

/* ---- layers ---- */

static int read_file(const char *path, bool may_miss, struct str *out, struct err *e)
{
	char buf[4096];
	FILE *f = fopen(path, "re");
	size_t n;
	int rc = 0;

	if (!f)
		return may_miss && errno == ENOENT
			       ? 0
			       : err_set(e, -errno, "%s: cannot read the configuration: %s", path,
					 strerror(errno));
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0 && out->len <= YML_SIZE_MAX)
		str_addn(out, buf, n);
	if (ferror(f))
		rc = err_set(e, -EIO, "%s: cannot read the configuration: %s", path,
			     strerror(errno));
	fclose(f);
	return rc;
}

static int apply_doc(struct agent_config *c, const struct yml_doc *doc, struct err *e)
{
	if (json_is_null(doc->value))
		return 0;
	if (!json_is_object(doc->value))
		return err_set(e, -EINVAL, "%s: must be \"key: value\" lines, is %s", doc->file,
			       js_type_name(doc->value));
	if (fields_apply(&config_table, doc->value, FIELDS_STRICT, c, e) < 0)
		return yml_err_at(doc, e);
	return 0;
}

static int load_file(struct agent_config *c, const char *path, bool may_miss, struct err *e)
{
	struct yml_docs docs = { 0 };
	struct str text = { 0 };
	int rc = read_file(path, may_miss, &text, e);

	if (rc == 0)
		rc = yml_parse(path, str_text(&text), text.len, &docs, e);
	if (rc >= 0 && docs.n > 1)
		rc = err_set(e, -EINVAL, "%s: holds %zu YAML documents, must be one", path, docs.n);
	if (rc >= 0 && docs.n == 1)
		rc = apply_doc(c, &docs.p[0], e);
	yml_docs_done(&docs);
	str_done(&text);
	return rc;
}

/* A MARGAY_ variable that is none of ours may be somebody else's (Kubernetes makes
 * MARGAY_SERVICE_HOST out of a service's name), so only what looks like a slip is worth a word. */
static void remark_unknown(const struct config_names *names, const char *var, size_t len,
			   struct str *remarks)
{
	CLEANUP(freep) char *name = xstrndup(var, len);
	bool service = strstr(name, "SERVICE_HOST") || strstr(name, "SERVICE_PORT");
	const char *near = service ? NULL : config_names_near_var(names, name);

	if (near && remarks)
		str_addf(remarks,
			 "variable " ENV_PREFIX "%s is not known and has no effect; did you "
			 "mean " ENV_PREFIX "%s?\n",
			 name, near);
}

static int load_env(struct agent_config *c, const struct config_names *names, char *const *envp,
		    struct str *remarks, struct err *e)
{
	for (; envp && *envp; envp++) {
		const char *var = *envp + strlen(ENV_PREFIX), *eq = strchr(*envp, '=');
		const struct config_name *n;
		char where[CONFIG_NAME_MAX + 32];

		if (!str_starts(*envp, ENV_PREFIX) || !eq || !eq[1])
			continue;
		n = config_names_var(names, var, (size_t)(eq - var));
		if (!n) {
			remark_unknown(names, var, (size_t)(eq - var), remarks);
			continue;
		}
		snprintf(where, sizeof(where), "variable " ENV_PREFIX "%s", n->var);
		if (config_set_from(c, n->path, eq + 1, where, e) < 0)
			return e ? e->code : -EINVAL;
	}
	return 0;
}

/* What the options say besides values. */
struct command_line {
	enum config_action action;
	const char *file;
};

static int option_unknown(const struct config_names *names, const char *arg, struct err *e)
{
	CLEANUP(freep) char *name = xstrndup(arg + 2, strcspn(arg + 2, "="));
	const char *near = config_names_near_option(names, name);

	if (near)
		return err_set(e, -EINVAL, "option --%s is not known; did you mean --%s?", name,
			       near);
	return err_set(e, -EINVAL, "option --%s is not known; margayd --help lists all", name);
}

/* One option with a value. Returns how many words it took, or a negative errno. */
static int option_value(struct agent_config *c, const struct config_names *names, char *const *argv,
			struct err *e)
{
	const char *eq = strchr(argv[0], '=');
	size_t len = eq ? (size_t)(eq - argv[0]) - 2 : strlen(argv[0]) - 2;
	const struct config_name *n = config_names_option(names, argv[0] + 2, len);
	const char *value = eq ? eq + 1 : argv[1];
	char where[CONFIG_NAME_MAX + 8];
	bool is_bool;

	if (!n)
		return option_unknown(names, argv[0], e);
	is_bool = n->field->type == FIELD_TYPE_BOOL;
	if (is_bool && !eq)
		value = "true";
	if (!value)
		return err_set(e, -EINVAL, "option --%s needs a value", n->option);
	snprintf(where, sizeof(where), "--%s", n->option);
	/* c NULL: the first pass, which only looks for -c. */
	if (c && config_set_from(c, n->path, value, where, e) < 0)
		return e ? e->code : -EINVAL;
	return eq || is_bool ? 1 : 2;
}

static int load_options(struct agent_config *c, const struct config_names *names, int argc,
			char *const *argv, struct command_line *cl, struct err *e)
{
	for (int i = 1; i < argc;) {
		const char *a = argv[i];
		int took = 1;

		if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0)
			cl->action = CONFIG_HELP;
		else if (strcmp(a, "--version") == 0 || strcmp(a, "-V") == 0)
			cl->action = CONFIG_VERSION;
		else if (strcmp(a, "--print-config") == 0)
			cl->action = CONFIG_PRINT;
		else if (str_starts(a, "--config="))
			cl->file = a + strlen("--config=");
		else if (strcmp(a, "-c") == 0 || strcmp(a, "--config") == 0) {
			if (!argv[i + 1])
				return err_set(e, -EINVAL, "option %s needs a file", a);
			cl->file = argv[i + 1];
			took = 2;
		} else if (str_starts(a, "--") && a[2])
			took = option_value(c, names, argv + i, e);
		else
			return err_set(e, -EINVAL,
				       "\"%s\" is not an option; margayd takes only options, "
				       "margayd --help lists them",
				       a);
		if (took < 0)
			return took;
		i += took;
	}
	return 0;
}

/* ---- what follows from what was said ---- */

static int default_node(struct agent_config *c, struct err *e)
{
	char host[256] = "";

	if (*c->node)
		return 0;
	if (gethostname(host, sizeof(host) - 1) < 0)
		return err_set(e, -errno, "node: cannot read the host's name: %s", strerror(errno));
	for (char *p = host; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return config_set_from(c, "node", host,
			       "the host's name, which stands in for an unset \"node\"", e);
}

static void derive(struct agent_config *c)
{
	if (!*c->datastore) {
		free(c->datastore);
		c->datastore = xasprintf("sqlite:%s/margay.db", c->state_dir);
	}
}

/* Members whose row has no default are NULL until set. */
static void no_nulls(struct agent_config *c)
{
	char **text[] = { &c->node,
			  &c->datastore,
			  &c->run_dir,
			  &c->state_dir,
			  &c->ip,
			  &c->ip6,
			  &c->ip_method,
			  &c->router_id,
			  &c->pool_v4.node_selector,
			  &c->pool_v6.node_selector,
			  &c->interface_prefix,
			  &c->mark_mask,
			  &c->nodename_file,
			  &c->health_host,
			  &c->metrics_host };

	for (size_t i = 0; i < ARRAY_SIZE(text); i++)
		if (!*text[i])
			*text[i] = xstrdup("");
}

int config_load(struct agent_config *c, int argc, char *const *argv, char *const *envp,
		enum config_action *action, struct str *remarks, struct err *e)
{
	struct command_line cl = { CONFIG_RUN, NULL };
	struct config_names names;
	int rc;

	config_names_fill(&names);
	fields_init(&config_table, c);
	no_nulls(c);
	rc = load_options(NULL, &names, argc, argv, &cl, e);
	if (rc >= 0 && cl.action != CONFIG_HELP && cl.action != CONFIG_VERSION) {
		rc = load_file(c, cl.file ? cl.file : CONFIG_FILE_DEFAULT, !cl.file, e);
		if (rc >= 0)
			rc = config_calico_load(c, envp, e);
		if (rc >= 0)
			rc = load_env(c, &names, envp, remarks, e);
		if (rc >= 0)
			rc = load_options(c, &names, argc, argv, &cl, e);
		if (rc >= 0)
			rc = fields_complete(&config_table, c, e);
		no_nulls(c);
		if (rc >= 0)
			rc = default_node(c, e);
		derive(c);
	}
	if (rc < 0)
		config_done(c);
	*action = cl.action;
	return rc < 0 ? rc : 0;
}

void config_done(struct agent_config *c)
{
	fields_done(&config_table, c);
}
