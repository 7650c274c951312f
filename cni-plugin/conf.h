/* conf.h - the network configuration of one plugin, as it comes on stdin. Pure.
 *
 *	struct conf c;
 *	if (conf_parse(&c, text, len, &env, &why) < 0) ...
 *	... conf_done(&c); */
#pragma once

#include <jansson.h>

#include "cni-plugin/env.h"

#define CONF_SOCKET    "/run/margay/cni.sock"
#define CONF_STATE_DIR "/var/lib/margay"

enum {
	/* A request to the agent is this and a little more, in a line of 256 KiB. */
	CONF_SIZE_MAX = 224 * 1024,
	CONF_MTU_MAX = 65535,
	CONF_QUEUES_MAX = 4096,
};

struct conf {
	json_t *root;	     /* as it came; the texts below are borrowed from it */
	const char *version; /* cniVersion, one of ours once conf_parse has returned 0 */
	const char *name, *type;
	const char *agent_socket, *state_dir;
	const char *ipam_type; /* "margay-ipam" where absent; for ADD the agent insists on it */
	bool delegated;	       /* addresses come from another IPAM plugin */
	unsigned mtu, queues;  /* 0: not given */
	bool ip_forward;       /* container_settings.allow_ip_forwarding */
	json_t *prev_result;   /* NULL where absent */
};

/* Codes 6 (not JSON), 1 (a cniVersion that we do not speak), 7 (a value that cannot be, naming its
 * key). Unknown keys are no error: runtimes and chains add theirs. *c is always safe to give to
 * conf_done. */
int conf_parse(struct conf *c, const char *text, size_t len, const struct env *env,
	       struct cni_error *f);
void conf_done(struct conf *c);

/* At least this version? Versions are ours: "0.3.0" ... "1.1.0". */
bool conf_version_from(const struct conf *c, const char *from);
/* What VERSION prints; caller frees. */
char *conf_versions_json(void);
