/* podns.h - the pod's network namespace and the interface in it. */
#pragma once

#include "cni-plugin/answer.h"
#include "cni-plugin/env.h"
#include "dataplane/netlink.h"

struct podns {
	int pod, host;	   /* descriptors of the two namespaces */
	struct nl_sock nl; /* a request socket in the pod's */
	bool gone;	   /* podns_open failed because there is no such namespace */
};

/* Open CNI_NETNS and a socket in it; the caller stays where it is. -1 with code 8 (4 before
 * CNI 1.1) when it is absent, no network namespace, or the plugin's own without CNI_NETNS_OVERRIDE.
 */
int podns_open(struct podns *p, const struct env *env, int bad_netns_code, struct cni_error *f);
void podns_close(struct podns *p);

/* Go into the pod's namespace and back. Leaving cannot fail: it aborts. */
int podns_enter(const struct podns *p, struct cni_error *f);
void podns_leave(const struct podns *p);

struct podlink {
	uint32_t pod_index, host_index;
	uint8_t mac[6]; /* of the pod's end */
};

/* Index of an interface in the pod, 0 when there is none. */
uint32_t podns_index(const struct podns *p, const char *name);

/* Make the pair, its routes and addresses and the pod's sysctls. On failure nothing is left. */
int podns_make(struct podns *p, const struct env *env, const struct answer *a, struct podlink *out,
	       struct cni_error *f);
/* Take the pod's interface away, and with it the host's end. A missing one is success. */
int podns_remove(struct podns *p, const char *name, struct cni_error *f);
