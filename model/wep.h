/* wep.h - WorkloadEndpoint: one interface of one pod. */
#pragma once

#include "lib/fields.h"

struct object;

struct wep_nat {
	struct addr internal, external;
};

struct wep_port {
	char *name;
	json_t *protocol; /* a name or a number */
	int port, host_port;
	char *host_ip;
};

struct wep {
	char *name, *ns;
	char *orchestrator, *workload, *node, *container_id, *pod, *endpoint, *service_account;
	struct field_cidrs networks; /* /32 and /128 */
	VEC(struct wep_nat) nats;
	struct addr gateway_v4, gateway_v6;
	struct field_strings profiles;
	char *interface, *mac;
	VEC(struct wep_port) ports;
	struct field_cidrs allow_spoofed;
	json_t *qos;
};

extern const struct fields wep_fields;

#define WEP_LABEL_NAMESPACE    "projectcalico.org/namespace"
#define WEP_LABEL_ORCHESTRATOR "projectcalico.org/orchestrator"

/* From an object of kind WorkloadEndpoint; lenient. wep_done frees. */
int wep_decode(const struct object *o, struct wep *out, struct err *e);
void wep_done(struct wep *w);
/* Of the kind's row: the name must be the computed one. */
int wep_check(const struct object *o, const void *spec, struct err *e);
/* What an object of this spec must be called, heap; NULL with words when a part is missing or
 * begins or ends with '-'. Node edge-7, pod web-0, endpoint eth0: "edge--7-k8s-web--0-eth0". */
char *wep_name(const struct wep *w, struct err *e);
/* What the names of all endpoints of one node begin with; of one pod when pod is not NULL. Heap. */
char *wep_name_prefix(const char *node, const char *pod);
/* The segments of a name, dashes no longer doubled; heap strings, [n] of them. False when it is no
 * such name. */
enum { WEP_SEGMENTS_MAX = 4 };
bool wep_name_parse(const char *name, char *segment[WEP_SEGMENTS_MAX], size_t *n);
