/* felixlayers.h - which FelixConfiguration objects are for a node.
 *
 * Weak to strong: "default"; those whose nodeSelector selects the node's labels, in order of their
 * names; "node.NAME". What is stronger still is not in the store (agent/felix.h). */
#pragma once

#include "lib/str.h"
#include "model/felixconfig.h"
#include "model/object.h"

enum { FELIX_LAYERS_MAX = 64 }; /* objects with a nodeSelector that count for one node */

/* Can an object of this name be for the node? Those of other nodes need not be read. */
bool felixlayers_concern(const char *object, const char *node);
/* Defaults, and what is for the node among objects, which are in any order. labels may be NULL. What
 * is wrong is appended to wrong, a line each. felixconfig_done frees. */
void felixlayers_read(const struct object_vec *objects, const char *node, const json_t *labels,
		      struct felixconfig *out, struct str *wrong);
