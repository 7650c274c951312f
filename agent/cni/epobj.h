/* epobj.h - WorkloadEndpoints of this node: their names, their JSON, and what the agent needs of a
 * stored one. Pure.
 *
 * SPEC  Calico's names: NODE-k8s-POD-ENDPOINT, NODE-cni-CONTAINERID-ENDPOINT, a dash inside a part
 * is doubled; host interface = prefix + first 11 hex digits of SHA-1("NAMESPACE.POD"), or the first
 * 11 characters of the container's ID without Kubernetes. */
#pragma once

#include "agent/cni/cni_config.h"
#include "lib/err.h"

#define WEP_KEYS     "/calico/resources/v3/projectcalico.org/workloadendpoints/"
#define PROFILE_KEYS "/calico/resources/v3/projectcalico.org/profiles/"

enum {
	WEP_NETS_MAX = 8,    /* addresses of one endpoint; ours have one of each family */
	WEP_IFNAME_MAX = 16, /* with the NUL */
};

/* "caliXXXXXXXXXXX" for this call; prefix is cut to 4 characters so that it fits. */
void epobj_host_ifname(const char *prefix, const struct cni_call *c,
		       char out[static WEP_IFNAME_MAX]);

/* The key of this call's endpoint. Caller frees. */
char *epobj_key(const struct cni_call *c, const char *node);
/* What the keys of all endpoints of the same workload on this node begin with, caller frees; those
 * of web-0 begin so for web as well, epobj_is_sibling knows. */
char *epobj_key_siblings(const struct cni_call *c, const char *node);
bool epobj_is_sibling(const char *siblings, const char *key);

/* What a new WorkloadEndpoint says. */
struct epobj_new {
	const struct cni_call *call;
	const char *node, *host_ifname, *mac;
	const struct prefix *nets; /* masks are not looked at: stored as /32 and /128 */
	unsigned n_nets;
	const char *uid; /* for a new object */
	int64_t now_ns;	 /* wall clock */
	const char *old; /* stored text that is replaced, or NULL: keeps uid and creation time, and
			  * everything unknown when it is the same container */
};
/* JSON text; caller frees. */
char *epobj_encode(const struct epobj_new *w);

/* What the agent needs of a stored endpoint. */
struct epobj {
	char *node, *container_id, *endpoint, *ifname; /* owned; never NULL, may be "" */
	struct prefix nets[WEP_NETS_MAX];
	unsigned n_nets;
	uint8_t mac[6];
	bool has_mac;
	bool any_source; /* allowSpoofedSourcePrefixes is not empty */
};
/* -EINVAL with words for anything that is not one, also for a bad address or interface name. */
int epobj_decode(struct epobj *w, const char *json, struct err *e);
void epobj_done(struct epobj *w);

/* The Profile that a network without Kubernetes policy gives its workloads, as Calico makes it:
 * egress allowed, ingress from the same network (for pods: from everywhere). Caller frees. */
char *epobj_profile_encode(const struct cni_call *c, const char *uid, int64_t now_ns);
char *epobj_profile_key(const struct cni_call *c);
