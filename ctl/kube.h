/* kube.h - Kubernetes' own manifests: what Calico's controllers would store for them.
 *
 *	networking.k8s.io/v1 NetworkPolicy default/web	-> NetworkPolicy default/knp.default.web
 *	v1 Namespace web				-> Profile kns.web
 *	v1 ServiceAccount default/web			-> Profile ksa.default.web
 *	discovery.k8s.io/v1 EndpointSlice default/web	-> EndpointSlice default/web
 *	v1 Service default/web				-> Service default/web */
#pragma once

#include "model/object.h"

/* Is this document a manifest of Kubernetes (or a v1 List that holds one)? */
bool kube_is(const json_t *doc);
/* Append what it stands for. ns: of those that name none; NULL: "default". Negative errno with file,
 * line and field when it is wrong, also where Calico would leave a part out and go on. */
int kube_objects(const struct yml_doc *doc, struct object_vec *out, struct err *e);

/* A kind and a name as Kubernetes calls them ("namespace" "web"); *name (heap) and *kind are what is
 * stored. False when the word is no such kind. */
bool kube_name(const char *word, const char *ns, const char *given, const struct kind **kind,
	       char **name);
/* The kind alone, and what the stored names of its objects begin with. */
bool kube_kind(const char *word, const struct kind **kind, const char **prefix);
