/* scopes.c - which of the datastore this node keeps in memory
 * WHY    In a cluster of 5 000 nodes the blocks are 100 MB, the endpoints more. An ADD needs this
 *        node's own; the rare rest (borrowing, choosing a new block) asks the store. Other nodes'
 *        endpoints are told and not held: policy keeps of them what it needs.
 * TESTS  tests/unit/agent/cache.c */
#include "agent/scopes.h"

#include <stdlib.h>
#include <string.h>

#include "model/ipamkey.h"
#include "model/key.h"
#include "model/wep.h"

#define WEPS KEY_RESOURCES "workloadendpoints/"

static bool keep_none(void *arg, const struct store_kv *kv)
{
	return false;
}

/* .../workloadendpoints/NAMESPACE/NODE-k8s-...: the node's name with its dashes doubled, then one
 * dash. Two would be a longer name that begins the same way. */
static bool keep_wep(void *arg, const struct store_kv *kv)
{
	const struct scopes *s = arg;
	const char *name = strchr(kv->key + strlen(WEPS), '/');
	size_t n = strlen(s->wep_prefix);

	return name && strncmp(name + 1, s->wep_prefix, n) == 0 && name[1 + n] != '-';
}

/* The string behind the next "name": in p, its length in *len; 0 when it is none. NULL: no more. */
static const char *next_text(const char *p, const char *name, size_t *len)
{
	p = strstr(p, name);
	if (!p)
		return NULL;
	p += strlen(name);
	p += strspn(p, " \t\r\n:");
	*len = *p == '"' ? strcspn(p + 1, "\"") : 0;
	return *p == '"' ? p + 1 : p;
}

/* Who holds the block, by name; *len 0: no node does. */
static const char *owner_of(const char *block, size_t *len)
{
	static const char host[] = "host:";
	const char *p = next_text(block, "\"affinity\"", len);

	if (!p || *len < strlen(host) || strncmp(p, host, strlen(host)) != 0) {
		*len = 0;
		return "";
	}
	*len -= strlen(host);
	return p + strlen(host);
}

/* Own blocks, and those with guests: addresses that another node than the owner holds need routes
 * of their own.
 *
 * Text, not JSON: this runs for every block of the cluster, and a wrong guess costs a read from the
 * store (kept too little) or some memory (too much). */
static bool keep_block(void *arg, const struct store_kv *kv)
{
	const struct scopes *s = arg;
	size_t n, len;
	const char *owner = owner_of(kv->value, &n), *p = kv->value;

	if (n == strlen(s->node) && strncmp(owner, s->node, n) == 0)
		return true;
	while ((p = next_text(p, "\"node\"", &len)))
		if (len && (len != n || strncmp(p, owner, n) != 0))
			return true;
	return false;
}

void scopes_init(struct scopes *s, const char *node)
{
	const struct cache_scope rows[] = {
		{ WEPS, keep_wep, true },
		{ IPAMKEY_BLOCKS, keep_block, false },
		{ IPAMKEY_HANDLES, keep_none, false },
		{ NULL, NULL, false },
	};

	memcpy(s->row, rows, sizeof(rows));
	s->node = xstrdup(node);
	s->wep_prefix = wep_name_prefix(node, NULL);
}

void scopes_done(struct scopes *s)
{
	free(s->node);
	free(s->wep_prefix);
}
