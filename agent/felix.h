/* felix.h - the FelixConfiguration that holds for this node, live.
 *
 * LAYERS, weak to strong: the fields' own defaults; the objects that are for this node, as
 * model/felixlayers.h has it; FELIX_* of the environment; what margayd itself was told (file,
 * MARGAY_*, options). A field that is wrong is named in felix_troubles
 * and does not count; the others of its layer do. */
#pragma once

#include "agent/agent.h"
#include "lib/str.h"
#include "model/felixconfig.h"

struct felix;

/* envp: borrowed for its life. */
struct felix *felix_new(struct agent *a, char *const *envp);
void felix_free(struct felix *f);

/* Has something been stored that is looked at in the loop's next turn? */
bool felix_pending(const struct felix *f);
/* What holds now; defaults before the first picture. Borrowed until the loop turns. */
const struct felixconfig *felix_config(const struct felix *f);
/* The same as the spec of an object that would say all of it. */
const json_t *felix_shown(const struct felix *f);
/* Service ranges of BGPConfiguration "default": cluster, external, load balancer; sorted, each once. */
const struct field_cidrs *felix_services(const struct felix *f);
/* fn is called from the loop when one of the two is other than before. Not for the first picture:
 * then felix is right before any other part hears of the picture. At most FELIX_WATCHERS_MAX. */
enum { FELIX_WATCHERS_MAX = 8 };
typedef void felix_fn(void *arg);
void felix_watch(struct felix *f, felix_fn *fn, void *arg);

/* What is wrong with objects and variables, a line each; returns how many there are. */
size_t felix_troubles(const struct felix *f, struct str *out);
