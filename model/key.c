/* key.c - the stored keys of v3 resources
 * TESTS  tests/unit/model/key.c */
#include "model/key.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/kind.h"

enum { PLURAL_MAX = 64, LABEL_LEN_MAX = 63 };

char *key_prefix(const struct kind *kind, const char *ns)
{
	if (ns && kind->flags & KIND_NAMESPACED)
		return xasprintf(KEY_RESOURCES "%s/%s/", kind->plural, ns);
	return xasprintf(KEY_RESOURCES "%s/", kind->plural);
}

char *key_resource(const struct kind *kind, const char *ns, const char *name)
{
	if (kind->flags & KIND_NAMESPACED)
		return xasprintf(KEY_RESOURCES "%s/%s/%s", kind->plural, ns, name);
	return xasprintf(KEY_RESOURCES "%s/%s", kind->plural, name);
}

bool key_parse(const char *key, struct key *out)
{
	char plural[PLURAL_MAX];
	const struct kind *kind;
	const char *rest, *slash;
	size_t n;

	if (!str_starts(key, KEY_RESOURCES))
		return false;
	rest = key + strlen(KEY_RESOURCES);
	n = strcspn(rest, "/");
	if (n >= sizeof(plural) || rest[n] != '/')
		return false;
	memcpy(plural, rest, n);
	plural[n] = '\0';
	kind = kind_by_plural(plural);
	if (!kind)
		return false;
	rest += n + 1;
	slash = strchr(rest, '/');
	/* One element behind the plural, or two; none of them empty. */
	if (!(kind->flags & KIND_NAMESPACED)) {
		if (slash || !*rest)
			return false;
		*out = (struct key) { kind, NULL, xstrdup(rest) };
		return true;
	}
	if (!slash || slash == rest || !slash[1] || strchr(slash + 1, '/'))
		return false;
	*out = (struct key) { kind, xstrndup(rest, (size_t)(slash - rest)), xstrdup(slash + 1) };
	return true;
}

void key_done(struct key *k)
{
	free(k->ns);
	free(k->name);
	*k = (struct key) { 0 };
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Labels joined by dots, or one label. */
static bool well_formed(const char *name, bool dots)
{
	for (const char *p = name; *p; p++) {
		bool edge = p == name || p[-1] == '.' || !p[1] || p[1] == '.';

		if (is_alnum(*p) || (*p == '-' && !edge))
			continue;
		if (*p == '.' && dots && p != name && p[-1] != '.' && p[1])
			continue;
		return false;
	}
	return *name;
}

int name_check(const char *what, const char *name, struct err *e)
{
	if (!*name)
		return err_set(e, -EINVAL, "%s: is missing", what);
	if (strlen(name) > NAME_LEN_MAX)
		return err_set(e, -EINVAL, "%s: is %zu characters long: at most %d", what,
			       strlen(name), NAME_LEN_MAX);
	if (!well_formed(name, true))
		return err_set(
			e, -EINVAL,
			"%s: \"%s\": must be lower case letters, digits, '-' and '.', and each "
			"part between dots must begin and end with a letter or digit",
			what, name);
	return 0;
}

int label_check(const char *what, const char *name, struct err *e)
{
	if (strlen(name) > LABEL_LEN_MAX || !well_formed(name, false))
		return err_set(
			e, -EINVAL,
			"%s: \"%.80s\": must be 1 to %d lower case letters, digits and '-', and "
			"begin and end with a letter or digit",
			what, name, LABEL_LEN_MAX);
	return 0;
}
