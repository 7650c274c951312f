/* conf.c - the network configuration of one plugin, as it comes on stdin
 * SPEC  CNI 1.1 section 1; the keys are Calico's where there is one of that meaning. */
#include "cni-plugin/conf.h"

#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

/* Oldest first. */
static const char *const versions[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0" };

static int version_rank(const char *version)
{
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		if (str_eq(version, versions[i]))
			return (int)i;
	return -1;
}

bool conf_version_from(const struct conf *c, const char *from)
{
	return version_rank(c->version) >= version_rank(from);
}

char *conf_versions_json(void)
{
	CLEANUP(js_freep) json_t *o = json_object();
	CLEANUP(freep) char *text = NULL;
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		json_array_append_new(list, js_text(versions[i]));
	js_set_str(o, "cniVersion", versions[ARRAY_SIZE(versions) - 1]);
	js_set(o, "supportedVersions", list);
	text = js_dump(o);
	return xasprintf("%s\n", text);
}

static int check_version(struct conf *c, struct cni_error *f)
{
	struct err e = { 0 };
	const char *version = "0.1.0"; /* what a missing cniVersion means */

	if (js_str(c->root, "cniVersion", &version, &e) < 0)
		return cni_fail(f, CNI_BAD_CONFIG, "network configuration: %s", e.msg);
	if (version_rank(version) < 0) {
		cni_fail(f, CNI_VERSION, "cniVersion \"%.32s\" is not supported", version);
		return cni_remedy(f, "supported are 0.3.0, 0.3.1, 0.4.0, 1.0.0 and 1.1.0");
	}
	c->version = version;
	return 0;
}

/* A path that the plugin opens or makes: never relative to wherever the runtime happens to be. */
static int get_path(const struct conf *c, const char *key, const char **out, struct cni_error *f)
{
	struct err e = { 0 };
	int rc = js_str(c->root, key, out, &e);

	if (rc < 0)
		return cni_fail(f, CNI_BAD_CONFIG, "network configuration: %s", e.msg);
	if (**out != '/')
		return cni_fail(f, CNI_BAD_CONFIG,
				"network configuration: %s \"%.64s\": must be an "
				"absolute path",
				key, *out);
	return 0;
}

static int get_number(const struct conf *c, const char *key, int64_t min, int64_t max,
		      unsigned *out, struct cni_error *f)
{
	struct err e = { 0 };
	int64_t n = 0;

	if (js_int(c->root, key, min, max, &n, &e) < 0)
		return cni_fail(f, CNI_BAD_CONFIG, "network configuration: %s", e.msg);
	*out = n > 0 ? (unsigned)n : 0;
	return 0;
}

static int get_names(struct conf *c, struct cni_error *f)
{
	struct err e = { 0 };
	json_t *ipam = NULL, *settings = NULL;

	if (js_need(js_str(c->root, "name", &c->name, &e), "name", &e) < 0 ||
	    js_str(c->root, "type", &c->type, &e) < 0 || js_obj(c->root, "ipam", &ipam, &e) < 0 ||
	    js_str(c->root, "ipam.type", &c->ipam_type, &e) < 0 ||
	    js_obj(c->root, "container_settings", &settings, &e) < 0 ||
	    js_bool(c->root, "container_settings.allow_ip_forwarding", &c->ip_forward, &e) < 0 ||
	    js_obj(c->root, "prevResult", &c->prev_result, &e) < 0)
		return cni_fail(f, CNI_BAD_CONFIG, "network configuration: %s", e.msg);
	if (!env_is_id(c->name))
		return cni_fail(
			f, CNI_BAD_CONFIG,
			"network configuration: name \"%.64s\": must begin "
			"with a letter or digit and hold only letters, digits, '_', '.' and "
			"'-'",
			c->name);
	/* The type becomes a file name in the directories of CNI_PATH. */
	if (!*c->ipam_type || strchr(c->ipam_type, '/'))
		return cni_fail(f, CNI_BAD_CONFIG,
				"network configuration: ipam.type \"%.64s\": must be "
				"the name of an IPAM plugin",
				c->ipam_type);
	c->delegated = !str_eq(c->ipam_type, "margay-ipam");
	return 0;
}

static int check_verb(const struct conf *c, const struct env *env, struct cni_error *f)
{
	static const struct {
		enum verb verb;
		const char *since;
	} rows[] = { { VERB_CHECK, "0.4.0" }, { VERB_STATUS, "1.1.0" }, { VERB_GC, "1.1.0" } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].verb == env->verb && !conf_version_from(c, rows[i].since))
			return cni_fail(f, CNI_VERSION,
					"%s is part of CNI from %s on, and the "
					"configuration's cniVersion is %s",
					env->verb_name, rows[i].since, c->version);
	if (env->verb == VERB_CHECK && !c->prev_result)
		return cni_fail(f, CNI_BAD_CONFIG,
				"network configuration: prevResult: is missing; CHECK "
				"compares with the result of ADD");
	return 0;
}

int conf_parse(struct conf *c, const char *text, size_t len, const struct env *env,
	       struct cni_error *f)
{
	struct err e = { 0 };

	*c = (struct conf) {
		.version = versions[ARRAY_SIZE(versions) - 1],
		.type = "margay",
		.agent_socket = CONF_SOCKET,
		.state_dir = CONF_STATE_DIR,
		.ipam_type = "margay-ipam",
	};
	if (len > CONF_SIZE_MAX)
		return cni_fail(f, CNI_DECODE,
				"network configuration on stdin: is longer than %d "
				"bytes",
				CONF_SIZE_MAX);
	if (js_parse(text, len, &c->root, &e) < 0)
		return cni_fail(f, CNI_DECODE, "network configuration on stdin: %s", e.msg);
	if (!json_is_object(c->root))
		return cni_fail(f, CNI_DECODE,
				"network configuration on stdin: must be an object, is "
				"%s",
				js_type_name(c->root));
	if (check_version(c, f) < 0 || get_names(c, f) < 0 ||
	    get_path(c, "agent_socket", &c->agent_socket, f) < 0 ||
	    get_path(c, "state_dir", &c->state_dir, f) < 0 ||
	    get_number(c, "mtu", 0, CONF_MTU_MAX, &c->mtu, f) < 0 ||
	    get_number(c, "num_queues", INT32_MIN, CONF_QUEUES_MAX, &c->queues, f) < 0)
		return -1;
	return check_verb(c, env, f);
}

void conf_done(struct conf *c)
{
	js_freep(&c->root);
}
