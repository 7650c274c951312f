/* cni_config.h - what one CNI call asks for: the request of the plugin, its network configuration
 *and CNI_ARGS, checked. Pure.
 *
 *	struct cni_call c;
 *	if (cni_call_decode(&c, line, len, &fail) < 0) ...	code 6 or 7, with the key and what
 *is right
 *	...
 *	cni_call_done(&c);
 *
 * Strings are borrowed from the request's JSON tree, which the struct keeps.
 *
 * SPEC  CNI 1.1; Calico's keys where there are some (ipam.assign_ipv4 is a string there), so that
 *the configuration of a calico list works here when `type` is changed. Unknown keys are passed
 *       over: the specification lets a list carry keys of others. */
#pragma once

#include <jansson.h>

#include "lib/cni_error.h"
#include "lib/addr.h"

enum {
	CNI_POOLS_MAX = 16,	    /* names in ipv4_pools + ipv6_pools; a cluster has a handful */
	CNI_ROUTES_MAX = 64,	    /* custom routes of one pod; more is a routing table */
	CNI_SOURCES_MAX = 64,	    /* allowed source ranges of one workload */
	CNI_LABELS_MAX = 128,	    /* labels of one workload; Kubernetes users stay below 50 */
	CNI_ATTACHMENTS_MAX = 4096, /* of GC: pods of one node times networks */
	CNI_ID_MAX = 200,     /* container ID; runtimes use 64 hex digits. A handle is NETWORK.ID,
			       * and a name in /calico holds 253 */
	CNI_NETWORK_MAX = 50, /* network name, see there */
};

struct cni_call {
	json_t *root; /* owns every string below */
	const char *op;
	const char *container_id, *netns, *ifname; /* "" where the verb has none */

	/* CNI_ARGS */
	bool k8s;			      /* both of the next two were given */
	const char *pod_namespace, *pod_name; /* "default" and "" without Kubernetes */
	char *args;			      /* own copy that the two above may point into */

	/* the network configuration */
	json_t *config; /* borrowed from root */
	const char *cni_version;
	const char *network; /* its name */
	bool policy_k8s;     /* policy.type k8s: profiles of the namespace and service account */
	unsigned mtu, num_queues; /* 0: not given */
	bool ip_forward;
	json_t *routes;	 /* [{"dst":..}] to hand to the plugin, owned; NULL: none */
	const char *mac; /* wanted for the container's end; NULL: any */
	json_t *labels;	 /* args.margay.labels: {"key":"value"}, or NULL */
	const char *service_account; /* args.margay.serviceAccount, or "default" */
	/* Sources besides its own that the pod may send from: a list of ranges, owned; NULL: none.
	 * args.margay.allowedSourcePrefixes, or the pod's annotation where the runtime hands it on
	 * (capability io.kubernetes.cri.pod-annotations). */
	json_t *source_prefixes;

	/* addresses */
	bool delegated; /* another IPAM plugin gave them: ipam_result */
	json_t *ipam_result;
	bool want_v4, want_v6;
	struct addr ip_v4, ip_v6; /* asked for by number; IP_NONE: any */
	const char *pools_v4[CNI_POOLS_MAX], *pools_v6[CNI_POOLS_MAX]; /* names or CIDRs */
	unsigned n_pools_v4, n_pools_v6;
};

/* One line of the socket protocol. For ADD and IPAM_ADD everything is checked; for the other verbs
 * only what they use, because they are repeated with the configuration of long ago. */
int cni_call_decode(struct cni_call *c, const char *line, size_t len, struct cni_error *f);
void cni_call_done(struct cni_call *c);

/* The IPAM handle of this call: "NETWORK.CONTAINERID". Caller frees. */
char *cni_call_handle(const struct cni_call *c);
/* "default/web-0", or the container's ID: for messages. Caller frees. */
char *cni_call_who(const struct cni_call *c);

/* Are the addresses from our own pools? Reads ipam.type as any verb may have it; absent is ours. */
bool cni_call_ours(const struct cni_call *c);

/* cni.dev/valid-attachments of a GC: a JSON list of {containerID, ifname}, borrowed; checked. */
int cni_call_attachments(const struct cni_call *c, json_t **out, struct cni_error *f);
/* Is the container in this list? */
bool cni_attachments_have(const json_t *list, const char *container_id);

/* "aa:bb:cc:dd:ee:ff" to bytes. */
bool mac_parse(const char *text, uint8_t out[static 6]);
