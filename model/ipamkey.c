/* ipamkey.c - the etcd keys of IPAM's objects
 * TESTS tests/unit/model/ipamobj.c */
#include "model/ipamkey.h"

#include <string.h>

/* In a key the slash of a prefix is a dash. */
static char *cidr_text(const struct prefix *cidr, char buf[static PREFIX_STR_MAX])
{
	char *slash;

	prefix_format(cidr, buf);
	slash = strchr(buf, '/');
	if (slash)
		*slash = '-';
	return buf;
}

static bool cidr_parse(const char *text, enum ip_family family, struct prefix *out)
{
	char buf[PREFIX_STR_MAX], *dash;
	struct prefix p;

	if (!str_copy(buf, sizeof(buf), text))
		return false;
	dash = strrchr(buf, '-');
	if (!dash)
		return false;
	*dash = '/';
	if (!prefix_parse_strict(buf, &p) || p.addr.family != family)
		return false;
	*out = p;
	return true;
}

/* "ipv4/block/10.20.0.64-26" */
static bool family_cidr_parse(const char *text, struct prefix *out)
{
	if (str_starts(text, "ipv4/block/"))
		return cidr_parse(text + 11, IP_V4, out);
	if (str_starts(text, "ipv6/block/"))
		return cidr_parse(text + 11, IP_V6, out);
	return false;
}

char *ipamkey_blocks(enum ip_family family)
{
	return xasprintf(IPAMKEY_BLOCKS "ipv%d/block/", (int)family);
}

char *ipamkey_block(const struct prefix *cidr)
{
	char buf[PREFIX_STR_MAX];

	return xasprintf(IPAMKEY_BLOCKS "ipv%d/block/%s", (int)cidr->addr.family,
			 cidr_text(cidr, buf));
}

char *ipamkey_affinities(const char *owner, enum ip_family family)
{
	if (str_starts(owner, IPAMKEY_OWNER_VIRTUAL))
		return xasprintf(IPAMKEY_VIRTUAL "%s/ipv%d/block/",
				 owner + strlen(IPAMKEY_OWNER_VIRTUAL), (int)family);
	if (str_starts(owner, IPAMKEY_OWNER_HOST))
		owner += strlen(IPAMKEY_OWNER_HOST);
	return xasprintf(IPAMKEY_HOSTS "%s/ipv%d/block/", owner, (int)family);
}

char *ipamkey_affinity(const char *owner, const struct prefix *cidr)
{
	CLEANUP(freep) char *all = ipamkey_affinities(owner, (enum ip_family)cidr->addr.family);
	char buf[PREFIX_STR_MAX];

	return xasprintf("%s%s", all, cidr_text(cidr, buf));
}

char *ipamkey_handle(const char *id)
{
	return xasprintf(IPAMKEY_HANDLES "%s", id);
}

bool ipamkey_parse_block(const char *key, struct prefix *cidr)
{
	return str_starts(key, IPAMKEY_BLOCKS) &&
	       family_cidr_parse(key + strlen(IPAMKEY_BLOCKS), cidr);
}

bool ipamkey_parse_affinity(const char *key, char **owner, struct prefix *cidr)
{
	bool host = str_starts(key, IPAMKEY_HOSTS);
	const char *name, *slash;

	if (!host && !str_starts(key, IPAMKEY_VIRTUAL))
		return false;
	name = key + strlen(host ? IPAMKEY_HOSTS : IPAMKEY_VIRTUAL);
	slash = strchr(name, '/');
	if (!slash || slash == name || !family_cidr_parse(slash + 1, cidr))
		return false;
	*owner = xasprintf("%s%.*s", host ? IPAMKEY_OWNER_HOST : IPAMKEY_OWNER_VIRTUAL,
			   (int)(slash - name), name);
	return true;
}

const char *ipamkey_parse_handle(const char *key)
{
	return str_starts(key, IPAMKEY_HANDLES) ? key + strlen(IPAMKEY_HANDLES) : NULL;
}

bool ipamkey_element_ok(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f || text[i] == '/')
			return false;
	return n > 0 && n <= 253;
}
