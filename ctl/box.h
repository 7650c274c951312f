/* box.h - a table with a frame around it, as `calicoctl node status` prints. */
#pragma once

struct table;

void table_print_box(const struct table *t);
