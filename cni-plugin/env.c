/* env.c - what the runtime says in the environment, checked
 * SPEC  CNI 1.1 section 2, "Parameters"; the checks are those of the reference skeleton. */
#include "cni-plugin/env.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "lib/str.h"

/* A container ID is part of a file name (NAME-IFNAME.json, at most 255). */
enum { ID_MAX = 200, IFNAME_MAX = 15 };

enum {
	NEED_ID = 1,
	NEED_NETNS = 2,
	NEED_IFNAME = 4,
	NEED_PATH = 8,
};

static const struct {
	const char *name;
	enum verb verb;
	int needs;
} verbs[] = {
	{ "ADD", VERB_ADD, NEED_ID | NEED_NETNS | NEED_IFNAME | NEED_PATH },
	{ "DEL", VERB_DEL, NEED_ID | NEED_IFNAME | NEED_PATH },
	{ "CHECK", VERB_CHECK, NEED_ID | NEED_NETNS | NEED_IFNAME | NEED_PATH },
	{ "STATUS", VERB_STATUS, NEED_PATH },
	{ "GC", VERB_GC, NEED_PATH },
	{ "VERSION", VERB_VERSION, 0 },
};

bool env_is_id(const char *s)
{
	if (!isalnum((unsigned char)*s))
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("_.-", *s))
			return false;
	return true;
}

static int check_id(const char *id, struct cni_error *f)
{
	if (*id && !env_is_id(id))
		return cni_fail(f, CNI_BAD_ENV,
				"CNI_CONTAINERID \"%.64s\": must begin with a letter or "
				"digit and hold only letters, digits, '_', '.' and '-'",
				id);
	if (strlen(id) > ID_MAX)
		return cni_fail(f, CNI_BAD_ENV,
				"CNI_CONTAINERID: is %zu characters long, may be %d", strlen(id),
				ID_MAX);
	return 0;
}

static int check_ifname(const char *name, struct cni_error *f)
{
	if (!*name)
		return 0;
	if (strlen(name) > IFNAME_MAX)
		return cni_fail(f, CNI_BAD_ENV,
				"CNI_IFNAME \"%.64s\": is longer than %d characters", name,
				IFNAME_MAX);
	if (str_eq(name, ".") || str_eq(name, ".."))
		return cni_fail(f, CNI_BAD_ENV, "CNI_IFNAME \"%s\": is not an interface name",
				name);
	for (const char *c = name; *c; c++)
		if (*c == '/' || *c == ':' || isspace((unsigned char)*c))
			return cni_fail(f, CNI_BAD_ENV,
					"CNI_IFNAME \"%s\": must not hold '/', ':' or blanks",
					name);
	return 0;
}

/* K=V;K=V. Which keys there are is the agent's matter. */
static int check_args(const char *args, struct cni_error *f)
{
	while (*args) {
		size_t len = strcspn(args, ";");
		const char *eq = memchr(args, '=', len);

		if (!eq || eq == args)
			return cni_fail(f, CNI_BAD_ENV, "CNI_ARGS: \"%.*s\" is not KEY=VALUE",
					(int)(len > 64 ? 64 : len), args);
		args += len;
		args += *args == ';';
	}
	return 0;
}

static int check_present(const struct env *env, int needs, struct cni_error *f)
{
	const struct {
		int need;
		const char *name, *value;
	} vars[] = {
		{ NEED_ID, "CNI_CONTAINERID", env->container_id },
		{ NEED_NETNS, "CNI_NETNS", env->netns },
		{ NEED_IFNAME, "CNI_IFNAME", env->ifname },
		{ NEED_PATH, "CNI_PATH", env->path },
	};
	struct str missing = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(vars); i++)
		if ((needs & vars[i].need) && !*vars[i].value)
			str_addf(&missing, "%s%s", missing.len ? ", " : "", vars[i].name);
	if (missing.len)
		cni_fail(f, CNI_BAD_ENV, "CNI_COMMAND %s needs %s in the environment",
			 env->verb_name, str_text(&missing));
	needs = missing.len ? -1 : 0;
	str_done(&missing);
	return needs;
}

static const char *text_of(char *(*get)(const char *), const char *name)
{
	const char *s = get(name);

	return s ? s : "";
}

static bool is_truthy(const char *s)
{
	return strcasecmp(s, "1") == 0 || strcasecmp(s, "true") == 0 || strcasecmp(s, "t") == 0;
}

int env_read(struct env *env, char *(*get)(const char *name), struct cni_error *f)
{
	int needs = 0;

	*env = (struct env) {
		.verb_name = text_of(get, "CNI_COMMAND"),
		.container_id = text_of(get, "CNI_CONTAINERID"),
		.netns = text_of(get, "CNI_NETNS"),
		.ifname = text_of(get, "CNI_IFNAME"),
		.args = text_of(get, "CNI_ARGS"),
		.path = text_of(get, "CNI_PATH"),
		.netns_override = is_truthy(text_of(get, "CNI_NETNS_OVERRIDE")),
	};
	if (!*env->verb_name)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (str_eq(env->verb_name, verbs[i].name)) {
			env->verb = verbs[i].verb;
			needs = verbs[i].needs;
		}
	if (env->verb == VERB_NONE)
		return cni_fail(f, CNI_BAD_ENV,
				"CNI_COMMAND \"%.32s\": must be ADD, DEL, CHECK, STATUS, "
				"GC or VERSION",
				env->verb_name);
	if (env->verb == VERB_VERSION)
		return 0;
	if (check_present(env, needs, f) < 0 || check_id(env->container_id, f) < 0 ||
	    check_ifname(env->ifname, f) < 0 || check_args(env->args, f) < 0)
		return -1;
	return 0;
}
