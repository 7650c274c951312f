/* config_rows.h - the table of settings */
#pragma once

#include "lib/fields.h"

/* Rows of a struct agent_config, in the order of --help; "defaultPoolV4.cidr" is a row in a row. */
extern const struct fields config_table;
