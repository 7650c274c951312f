/* node_mtu.c - how large a pod's packets may be */
#include "agent/cni/node_mtu.h"

#include <string.h>

#include "agent/cache.h"
#include "agent/config.h"
#include "dataplane/link.h"
#include "lib/json.h"

enum { MTU_ETHERNET = 1500 };

static unsigned uplink_mtu(const struct agent *a, const json_t *node, const char *path)
{
	const char *text = NULL;
	const struct link *l;
	struct prefix p;

	if (js_str(node, path, &text, NULL) != 1 || !prefix_parse_or_addr(text, &p))
		return 0;
	l = link_by_addr(a->links, &p.addr, NULL);
	/* An address on lo is reached over links that have none: lo's MTU says nothing of them. */
	return l && !l->loopback ? l->mtu : 0;
}

unsigned node_mtu(const struct agent *a)
{
	CLEANUP(freep) char *key = NULL;
	CLEANUP(js_freep) json_t *node = NULL;
	const struct store_kv *kv;
	unsigned v4, v6;

	if (a->cfg->mtu > 0)
		return (unsigned)a->cfg->mtu;
	if (a->pod_mtu)
		return a->pod_mtu;
	key = xasprintf("/calico/resources/v3/projectcalico.org/nodes/%s", a->cfg->node);
	kv = cache_get(a->cache, key);
	if (!kv || js_parse(kv->value, strlen(kv->value), &node, NULL) < 0)
		return MTU_ETHERNET;
	v4 = uplink_mtu(a, node, "spec.bgp.ipv4Address");
	v6 = uplink_mtu(a, node, "spec.bgp.ipv6Address");
	if (v4 && v6)
		return v4 < v6 ? v4 : v6;
	return v4 || v6 ? v4 + v6 : MTU_ETHERNET;
}
