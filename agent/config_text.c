/* config_text.c - the settings for a person: --help, --print-config, what needs a restart
 * TESTS  tests/unit/agent/config.c */
#include <string.h>

#include "agent/config.h"
#include "agent/config_calico.h"
#include "agent/config_names.h"
#include "agent/config_rows.h"
#include "lib/yaml.h"

void config_help(struct str *out)
{
	struct config_names names;

	config_names_fill(&names);
	str_add(out,
		"margayd - gives pods their addresses and carries them across hosts\n\n"
		"usage: margayd [-c FILE] [OPTION...]\n\n"
		"  -c, --config FILE\n        file of keys (YAML); default " CONFIG_FILE_DEFAULT
		"\n"
		"  --print-config\n        show what holds after file, environment and options\n"
		"  --help, --version\n\n"
		"Options go before the environment, the environment before the file.\n"
		"DATASTORE_TYPE, ETCD_ENDPOINTS and KUBECONFIG stand for --datastore.\n"
		"Every FELIX_NAME is read as that field of FelixConfiguration, over the objects of "
		"the\n"
		"datastore and below what is told here.\n\n");
	for (size_t i = 0; i < names.n; i++) {
		const struct config_name *n = &names.name[i];

		str_addf(out, "  --%s VALUE\n        %s ", n->option, n->field->doc);
		field_expects(n->field, out);
		if (n->field->def && *n->field->def)
			str_addf(out, "; default %s", n->field->def);
		str_add(out, "\n");
		str_addf(out, "        file: %s  environment: " ENV_PREFIX "%s", n->path, n->var);
		config_calico_help(n->path, out);
		str_add(out, "\n");
	}
	str_add(out, "\nSignals: TERM ends (routes and pods stay as they are), HUP reads the "
		     "configuration\n"
		     "again, USR1 writes the state to the log.\n");
}

static void print_rows(const struct fields *t, const json_t *obj, const char *indent,
		       struct str *out)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->row[i];
		json_t *value = json_object_get(obj, f->name);

		str_addf(out, "%s# %s\n", indent, f->doc);
		if (f->type == FIELD_TYPE_OBJECT) {
			str_addf(out, "%s%s:\n", indent, f->name);
			print_rows(f->sub, value, "  ", out);
		} else if (!value) {
			str_addf(out, "%s# %s:\n", indent, f->name);
		} else {
			json_t *one = json_object();

			json_object_set(one, f->name, value);
			CLEANUP(freep) char *text = yml_dump(one);

			str_addf(out, "%s%s", indent, text);
			json_decref(one);
		}
	}
}

void config_print(const struct agent_config *c, struct str *out)
{
	json_t *obj = json_object();

	fields_encode(&config_table, c, obj);
	print_rows(&config_table, obj, "", out);
	json_decref(obj);
}

void config_reload(struct agent_config *c, const struct agent_config *fresh,
		   struct str *need_restart)
{
	json_t *old = json_object(), *new = json_object();

	c->log_level = fresh->log_level;
	c->has_log_level = fresh->has_log_level;
	c->log_format = fresh->log_format;
	fields_encode(&config_table, c, old);
	fields_encode(&config_table, fresh, new);
	for (size_t i = 0; i < config_table.n; i++) {
		const json_t *a = json_object_get(old, config_table.row[i].name),
			     *b = json_object_get(new, config_table.row[i].name);

		if (a == b || json_equal(a, b))
			continue;
		str_addf(need_restart, "%s%s", need_restart->len ? ", " : "",
			 config_table.row[i].name);
	}
	json_decref(old);
	json_decref(new);
}
