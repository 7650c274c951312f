/* profiles.h - the profiles that a pod's endpoint names, made where nobody else makes them.
 *
 * Under Kubernetes, Calico's controllers store kns.NAMESPACE and ksa.NAMESPACE.ACCOUNT; on a store
 * without them a pod would name profiles that are not there, and be shut. They are made once, as
 * the controllers would make them for a namespace without labels of its own, and never touched
 * again: `margayctl apply` of a v1 Namespace replaces them. */
#pragma once

#include "agent/agent.h"
#include "agent/cni/cni_config.h"
#include "lib/cni_error.h"

/* why NULL: all are there. Called once: at once when nothing is to be made, else from the loop. */
typedef void profiles_fn(void *arg, const struct cni_error *why);
/* call lives until fn was called. */
void profiles_ensure(struct agent *a, const struct cni_call *call, profiles_fn *fn, void *arg);
