/* tunnel_addr_node.c - a tunnel's address in the Node resource
 * TESTS  tests/unit/agent/overlay/tunnel_addr.c */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/overlay/tunnel_addr.h"
#include "lib/json.h"
#include "model/key.h"
#include "model/object.h"

static const struct {
	const char *addr, *mac; /* mac NULL: none */
	bool in_bgp;
} places[TUNNEL_MAX_] = {
	[TUNNEL_IPIP] = { "ipv4IPIPTunnelAddr", NULL, true },
	[TUNNEL_VXLAN] = { "ipv4VXLANTunnelAddr", "vxlanTunnelMACAddr", false },
	[TUNNEL_VXLAN_V6] = { "ipv6VXLANTunnelAddr", "vxlanTunnelMACAddrV6", false },
};

static bool set_mac(json_t *o, const char *name, const uint8_t *mac)
{
	char text[18];

	if (!mac)
		return js_change_str(o, name, NULL);
	if (json_object_get(o, name))
		return false;
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	return js_change_str(o, name, text);
}

static bool change(json_t *root, const struct tunnel_addr_fields *f)
{
	json_t *spec = js_object_in(root, "spec"), *bgp = json_object_get(spec, "bgp"), *o = spec;
	bool none = f->addr.family == IP_NONE, changed;
	char text[ADDR_STR_MAX];

	if (places[f->kind].in_bgp) {
		if (none && !bgp)
			return false;
		o = js_object_in(spec, "bgp");
	}
	changed = js_change_str(o, places[f->kind].addr, none ? NULL : addr_format(&f->addr, text));
	if (places[f->kind].mac && (none || f->mac))
		changed |= set_mac(o, places[f->kind].mac, none ? NULL : f->mac);
	/* An empty `bgp` is no valid Node. */
	if (o != spec && json_object_size(o) == 0)
		json_object_del(spec, "bgp");
	return changed;
}

int tunnel_addr_change(const char *node, const struct tunnel_addr_fields *f, const char *stored,
		       char **out, struct err *e)
{
	const struct kind *kind = kind_find("Node");
	CLEANUP(freep) char *key = key_resource(kind, NULL, node);
	struct object o;

	*out = NULL;
	if (object_decode(key, stored, 0, &o, e) < 0)
		return err_wrap(e, "the stored Node");
	if (change(o.json, f))
		*out = object_encode(&o);
	object_done(&o);
	return 0;
}
