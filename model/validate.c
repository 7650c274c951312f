/* validate.c - checks of single values that several kinds share */
#include "model/validate.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "lib/addr.h"
#include "model/selector.h"

enum {
	FIELD_LEN_MAX = 1024,	/* of a selector, in Calico's schema */
	POLICY_LEN_MAX = 16384, /* of one that was made of a Kubernetes policy's lists */
	IFNAME_LEN_MAX = 15,	/* IFNAMSIZ less its NUL */
};

static bool says_global(const struct selector *s)
{
	if (s->op == SELECTOR_GLOBAL)
		return true;
	for (size_t i = 0; i < s->n_kids; i++)
		if (says_global(s->kids[i]))
			return true;
	return false;
}

static int length_check(const char *text, size_t max, struct err *e)
{
	if (strlen(text) <= max)
		return 0;
	return err_set(e, -EINVAL, "is %zu characters long: at most %zu", strlen(text), max);
}

int selector_length_check(const char *text, struct err *e)
{
	return text ? length_check(text, FIELD_LEN_MAX, e) : 0;
}

int policy_selector_field_check(const void *text, struct err *e)
{
	struct selector *s;
	bool global;

	if (length_check(text, POLICY_LEN_MAX, e) < 0)
		return -EINVAL;
	if (selector_parse(text, &s, e) < 0)
		return -EINVAL;
	global = says_global(s);
	selector_free(s);
	if (global)
		return err_set(e, -EINVAL,
			       "global() is for namespaces of policies: use all() for everything");
	return 0;
}

int selector_field_check(const void *text, struct err *e)
{
	int rc = selector_length_check(text, e);

	return rc < 0 ? rc : policy_selector_field_check(text, e);
}

int ns_selector_field_check(const void *text, struct err *e)
{
	const char *s = text;
	struct selector *parsed;
	bool alone;

	if (!strstr(s, "global(") || selector_parse(s, &parsed, NULL) < 0)
		return policy_selector_field_check(text, e);
	alone = parsed->op == SELECTOR_GLOBAL;
	selector_free(parsed);
	return alone ? 0 : policy_selector_field_check(text, e);
}

/* One decimal number at *s up to max, and what ends it: ':' or the end. */
static bool community_part(const char **s, uint64_t max, bool last)
{
	size_t n = strspn(*s, "0123456789");
	char digits[12];
	uint64_t v;

	if (!n || n >= sizeof(digits) || (*s)[n] != (last ? '\0' : ':'))
		return false;
	memcpy(digits, *s, n);
	digits[n] = '\0';
	*s += n + !last;
	return parse_u64(digits, max, &v);
}

int community_field_check(const void *text, struct err *e)
{
	const char *s = text, *first = strchr(s, ':');
	bool large = first && strchr(first + 1, ':');
	uint64_t max = large ? UINT32_MAX : UINT16_MAX;

	if (community_part(&s, max, false) && (!large || community_part(&s, max, false)) &&
	    community_part(&s, max, true))
		return 0;
	return err_set(
		e, -EINVAL,
		"must be a community such as 64512:7 (two numbers to 65535) or 64512:1:2 (three "
		"to 4294967295), is \"%.60s\"",
		(const char *)text);
}

int severity_field_check(const void *text, struct err *e)
{
	static const char *const words[] = { "Trace", "Debug", "Info",	"Warning",
					     "Warn",  "Error", "Fatal", "None" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcasecmp(text, words[i]))
			return 0;
	return err_set(e, -EINVAL,
		       "must be one of Trace, Debug, Info, Warning, Error, Fatal, is \"%.60s\"",
		       (const char *)text);
}

int ifname_field_check(const void *text, struct err *e)
{
	const char *s = text;
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	if (n && n <= IFNAME_LEN_MAX && !s[n])
		return 0;
	return err_set(
		e, -EINVAL,
		"must be an interface name (1 to 15 letters, digits, '_', '.', '-'), is \"%.60s\"",
		s);
}

int mac_field_check(const void *text, struct err *e)
{
	static const char *const hex = "0123456789abcdefABCDEF";
	const char *s = text;
	bool ok = strlen(s) == 17;

	for (size_t i = 0; ok && i < 17; i++)
		ok = i % 3 == 2 ? s[i] == ':' : strchr(hex, s[i]) != NULL;
	return ok ? 0
		  : err_set(e, -EINVAL,
			    "must be a hardware address such as ee:ee:ee:ee:ee:ee, is \"%.60s\"",
			    s);
}

bool endpoint_parse(const char *text, struct addr *addr, uint16_t *port)
{
	char host[ADDR_STR_MAX];
	const char *end, *start = text, *digits;
	struct addr a;
	uint64_t n;

	if (addr_parse(text, addr)) {
		*port = 0;
		return true;
	}
	if (*text == '[') {
		start = text + 1;
		end = strstr(start, "]:");
		digits = end ? end + 2 : NULL;
	} else {
		end = strchr(start, ':');
		digits = end ? end + 1 : NULL;
	}
	if (!end || (size_t)(end - start) >= sizeof(host))
		return false;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	if (!addr_parse(host, &a) || a.family != (*text == '[' ? IP_V6 : IP_V4) ||
	    !parse_u64(digits, UINT16_MAX, &n) || !n)
		return false;
	*addr = a;
	*port = (uint16_t)n;
	return true;
}

int endpoint_field_check(const void *text, struct err *e)
{
	struct addr addr;
	uint16_t port;

	if (endpoint_parse(text, &addr, &port))
		return 0;
	return err_set(e, -EINVAL, "must be an address, IPV4:PORT or [IPV6]:PORT, is \"%.60s\"",
		       (const char *)text);
}
