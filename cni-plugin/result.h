/* result.h - the result of ADD in the form of the configuration's cniVersion, and what CHECK reads
 * from the one it gets. Pure. */
#pragma once

#include <jansson.h>

#include "cni-plugin/answer.h"
#include "cni-plugin/conf.h"

/* Host veth first and without a sandbox, the pod's interface second: portmap and bandwidth find
 * their ends by that. dns is a delegate's (NULL: none). Caller frees the text. */
char *result_json(const struct conf *c, const struct env *env, const struct answer *a,
		  const uint8_t mac[static 6], const json_t *dns);

/* What an IPAM plugin's result is made of: ips and routes as the agent gave them, by version. */
char *result_ipam_json(const struct conf *c, const json_t *reply);

/* The pod's interface in a prevResult: what CHECK compares with. */
struct expected {
	char host_if[16];
	uint8_t mac[6];
	bool has_mac;
	uint32_t mtu; /* 0: prevResult does not say */
	unsigned n_ips;
	struct prefix ips[ANSWER_IPS_MAX];
};

/* -1 with code 7 when prevResult is not the result of an ADD for this interface. */
int result_expect(struct expected *x, const json_t *prev, const struct env *env,
		  struct cni_error *f);
