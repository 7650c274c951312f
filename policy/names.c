/* names.c - chain and set names
 * TESTS  tests/unit/policy/chain.c */
#include "policy/names.h"

#include <stdlib.h>
#include <string.h>

#include "policy/hash.h"

struct chain_name chain_name(const char *prefix, const char *suffix)
{
	size_t total = strlen(prefix) + strlen(suffix);
	CLEANUP(freep) char *text = NULL;
	struct chain_name out;
	char digest[HASH_TEXT_MAX];

	/* A suffix of full length that looks like a digest would be another's digest. */
	if (*suffix && (total < CHAIN_NAME_MAX || (total == CHAIN_NAME_MAX && *suffix != '_'))) {
		text = xasprintf("%s%s", prefix, suffix);
	} else {
		hash_text(HASH_SHA256, *suffix ? suffix : "_", digest);
		text = xasprintf("%s_%s", prefix, digest);
	}
	str_copy(out.text, sizeof(out.text), text);
	return out;
}

struct set_name set_name(enum ip_family family, const char *id)
{
	CLEANUP(freep) char *text = xasprintf("cali%d0%s", family == IP_V6 ? 6 : 4, id);
	struct set_name out;

	str_copy(out.text, sizeof(out.text), text);
	return out;
}

char *name_id(const char *prefix, const char *content)
{
	CLEANUP(freep) char *all = xasprintf("%s:%s", prefix, content);
	char digest[HASH_TEXT_MAX];

	hash_text(HASH_SHA224, all, digest);
	return xasprintf("%s:%s", prefix, digest);
}
