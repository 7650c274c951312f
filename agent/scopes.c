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

/* Text, not JSON: this runs for every block of the cluster, and a wrong guess costs a read from the
 * store (kept too little) or some memory (too much). */
static bool keep_block(void *arg, const struct store_kv *kv)
{
	const struct scopes *s = arg;
	const char *p = strstr(kv->value, "\"affinity\"");
	size_t n = strlen(s->node);

	if (!p)
		return false;
	p += strlen("\"affinity\"");
	p += strspn(p, " \t\r\n:");
	return str_starts(p, "\"host:") && strncmp(p + 6, s->node, n) == 0 && p[6 + n] == '"';
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
