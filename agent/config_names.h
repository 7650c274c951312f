/* config_names.h - a setting under its names
 *
 * "healthPort" is the file's key, --health-port the option, MARGAY_HEALTH_PORT the variable. */
#pragma once

#include <stddef.h>

#include "agent/config.h"
#include "lib/err.h"

#define ENV_PREFIX "MARGAY_"

enum { CONFIG_NAME_MAX = 64, CONFIG_NAMES_MAX = 96 };

struct config_name {
	char path[CONFIG_NAME_MAX];   /* defaultPoolV4.cidr */
	char option[CONFIG_NAME_MAX]; /* default-pool-v4-cidr */
	char var[CONFIG_NAME_MAX];    /* DEFAULT_POOL_V4_CIDR, behind ENV_PREFIX */
	const struct field *field;
};

struct config_names {
	struct config_name name[CONFIG_NAMES_MAX];
	size_t n;
};

/* The names of all settings, in the table's order. */
void config_names_fill(struct config_names *all);

/* The one whose option or variable (without its prefix) is the len characters at s; NULL: none. */
const struct config_name *config_names_option(const struct config_names *all, const char *s,
					      size_t len);
const struct config_name *config_names_var(const struct config_names *all, const char *s,
					   size_t len);

/* What a slip of the pen may have meant, as an option or a variable; NULL: nothing is near. */
const char *config_names_near_option(const struct config_names *all, const char *s);
const char *config_names_near_var(const struct config_names *all, const char *s);

/* Set one value by its key. The error names where (an option, a variable), not the key. */
int config_set_from(struct agent_config *c, const char *path, const char *value, const char *where,
		    struct err *e);
