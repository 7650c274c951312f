/* answer.h - what the agent decided for a pod: the reply to ADD as values. Pure. */
#pragma once

#include <jansson.h>

#include "lib/cni_error.h"
#include "lib/addr.h"

enum {
	ANSWER_IPS_MAX = 8,	/* one of each family is usual */
	ANSWER_ROUTES_MAX = 64, /* custom routes of one pod */
};

struct answer {
	char host_if[16];
	uint8_t host_mac[6];
	uint8_t mac[6]; /* wanted for the pod end */
	bool has_mac;
	uint32_t mtu;	 /* 0: the kernel's own */
	uint32_t queues; /* at least 1 */
	bool ip_forward;
	unsigned n_ips, n_routes;
	struct prefix ips[ANSWER_IPS_MAX];	 /* /32 and /128 */
	struct prefix routes[ANSWER_ROUTES_MAX]; /* instead of a default route */
	bool v4, v6;				 /* is there an address of the family? */
};

/* -1 with code 6, naming the field: the agent's form is checked like anybody's. */
int answer_parse(struct answer *out, const json_t *reply, struct cni_error *f);

/* "02:00:5e:10:00:01". */
bool mac_parse(const char *text, uint8_t mac[static 6]);
enum { MAC_STR_MAX = 18 };
char *mac_format(const uint8_t mac[static 6], char buf[static MAC_STR_MAX]);
