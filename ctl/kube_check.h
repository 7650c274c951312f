/* kube_check.h - is a manifest of Kubernetes right, to the last field? */
#pragma once

#include <jansson.h>

#include "lib/err.h"

/* A NetworkPolicy, Namespace or ServiceAccount as a person wrote it, of other kinds the metadata: as
 * strict as the API server is with kubectl. What is merely left out when it comes from there would be a hole here: a misspelt
 * "from" is a rule for everybody. Negative errno with a message that begins with the field's path. */
int kube_check(const json_t *doc, struct err *e);
