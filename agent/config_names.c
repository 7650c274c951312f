/* config_names.c - the names of a setting, made from its key
 * TESTS  tests/unit/agent/config.c */
#include "agent/config_names.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "agent/config_rows.h"
#include "lib/str.h"

static void name_fill(struct config_name *n, const char *path)
{
	char *o = n->option, *v = n->var;

	str_copy(n->path, sizeof(n->path), path);
	for (const char *p = path; *p && o < n->option + CONFIG_NAME_MAX - 2; p++) {
		if (*p == '.' ||
		    (isupper((unsigned char)*p) && p > path && !isupper((unsigned char)p[-1]))) {
			*o++ = '-';
			*v++ = '_';
		}
		if (*p == '.')
			continue;
		*o++ = (char)tolower((unsigned char)*p);
		*v++ = (char)toupper((unsigned char)*p);
	}
	*o = *v = '\0';
}

static void names_add(struct config_names *all, const struct fields *t, const char *under)
{
	for (size_t i = 0; i < t->n; i++) {
		char path[CONFIG_NAME_MAX];

		snprintf(path, sizeof(path), "%s%s%s", under, *under ? "." : "", t->row[i].name);
		if (t->row[i].type == FIELD_TYPE_OBJECT) {
			names_add(all, t->row[i].sub, path);
			continue;
		}
		assert(all->n < CONFIG_NAMES_MAX);
		name_fill(&all->name[all->n], path);
		all->name[all->n++].field = &t->row[i];
	}
}

void config_names_fill(struct config_names *all)
{
	all->n = 0;
	names_add(all, &config_table, "");
}

static const char *name_option(const void *arg, size_t i)
{
	return ((const struct config_names *)arg)->name[i].option;
}

static const char *name_var(const void *arg, size_t i)
{
	return ((const struct config_names *)arg)->name[i].var;
}

static const struct config_name *find(const struct config_names *all,
				      const char *(*name)(const void *arg, size_t i), const char *s,
				      size_t len)
{
	for (size_t i = 0; i < all->n; i++)
		if (strlen(name(all, i)) == len && strncmp(name(all, i), s, len) == 0)
			return &all->name[i];
	return NULL;
}

const struct config_name *config_names_option(const struct config_names *all, const char *s,
					      size_t len)
{
	return find(all, name_option, s, len);
}

const struct config_name *config_names_var(const struct config_names *all, const char *s,
					   size_t len)
{
	return find(all, name_var, s, len);
}

const char *config_names_near_option(const struct config_names *all, const char *s)
{
	return word_nearest(s, name_option, all, all->n);
}

const char *config_names_near_var(const struct config_names *all, const char *s)
{
	return word_nearest(s, name_var, all, all->n);
}

int config_set_from(struct agent_config *c, const char *path, const char *value, const char *where,
		    struct err *e)
{
	struct err local;
	size_t skip = strlen(path);
	const char *text = local.msg;

	if (fields_set(&config_table, path, value, c, &local) >= 0)
		return 0;
	if (strncmp(text, path, skip) == 0 && strncmp(text + skip, ": ", 2) == 0)
		text += skip + 2;
	return err_set(e, local.code, "%s: %s", where, text);
}
