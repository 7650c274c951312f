/* overlay_read.c - pools, settings and nodes of the picture, as the plan wants them
 * TESTS  tests/unit/agent/overlay_roads.c, tests/netns/test_encap.py */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/cache.h"
#include "agent/config.h"
#include "agent/felix.h"
#include "agent/overlay/overlay_int.h"
#include "model/bgpconfig.h"
#include "model/ippool.h"
#include "model/key.h"
#include "model/node.h"
#include "model/object.h"

enum { POOLS_MAX = 1024 }; /* a cluster has a handful */

/* ---- pools ---- */

static bool add_pool(void *arg, const struct store_kv *kv)
{
	struct overlay_config *cfg = arg;
	struct object o;
	struct ippool p;

	/* What cannot be read is said by the allocator, which reads the same. */
	if (object_decode(kv->key, kv->value, kv->rev, &o, NULL) < 0)
		return true;
	if (ippool_decode(&o, &p, NULL) >= 0) {
		/* Disabled ones too: pods still have their addresses. */
		vec_push(&cfg->pools,
			 (struct encap_pool) { .cidr = p.cidr, .ipip = p.ipip, .vxlan = p.vxlan });
		vec_push(&cfg->names, xstrdup(o.name));
		ippool_done(&p);
	}
	object_done(&o);
	return cfg->pools.n < POOLS_MAX;
}

/* ---- settings ---- */

/* The objects "default" and "node.NAME" of a kind, those that there are. */
static size_t layers(const struct cache *c, const char *plural, const char *node,
		     struct object out[static 2], struct str *remarks)
{
	CLEANUP(freep) char *all = xasprintf(KEY_RESOURCES "%s/default", plural);
	CLEANUP(freep) char *own = xasprintf(KEY_RESOURCES "%s/node.%s", plural, node);
	const char *const keys[] = { all, own };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct store_kv *kv = cache_get(c, keys[i]);
		struct err e = { 0 };

		if (!kv)
			continue;
		if (object_decode(keys[i], kv->value, kv->rev, &out[n], &e) == 0)
			n++;
		else
			str_addf(remarks, "%s: %s\n", keys[i], e.msg);
	}
	return n;
}

/* What is wrong with it is said by felix.h. */
static void read_felix(const struct felixconfig *f, struct overlay_config *cfg)
{
	cfg->set.felix_programs = f->program_routes;
	cfg->set.ipip_on = f->has_ipip_enabled ? f->ipip_enabled : -1;
	cfg->set.vxlan_on = f->has_vxlan_enabled ? f->vxlan_enabled : -1;
	cfg->set.ipip_mtu = (uint32_t)f->ipip_mtu;
	cfg->set.vxlan_mtu[ENCAP_V4] = (uint32_t)f->vxlan_mtu;
	cfg->set.vxlan_mtu[ENCAP_V6] = (uint32_t)f->vxlan_mtu_v6;
	cfg->mtu_pattern = f->has_mtu_pattern ? xstrdup(f->mtu_pattern) : NULL;
	cfg->vni = (uint32_t)f->vxlan_vni;
	cfg->port = (uint16_t)f->vxlan_port;
}

static void read_bgp(const struct cache *c, const char *node, struct overlay_config *cfg,
		     struct str *remarks)
{
	struct object o[2];
	size_t n = layers(c, "bgpconfigurations", node, o, remarks);
	struct bgpconfig b;
	const struct object *all = n && strcmp(o[0].name, "default") == 0 ? &o[0] : NULL;
	const struct object *own = n && strcmp(o[n - 1].name, "default") != 0 ? &o[n - 1] : NULL;

	/* What cannot be read is said by peering, which reads the same. */
	bgpconfig_read(all, own, &b, NULL);
	cfg->set.bgp_programs = b.program_routes;
	bgpconfig_done(&b);
	while (n)
		object_done(&o[--n]);
}

void overlay_config_read(const struct agent *a, struct overlay_config *out, struct str *remarks)
{
	memset(out, 0, sizeof(*out));
	cache_each(a->cache, KEY_RESOURCES "ippools/", add_pool, out);
	read_felix(felix_config(a->felix), out);
	read_bgp(a->cache, a->cfg->node, out, remarks);
}

void overlay_config_done(struct overlay_config *cfg)
{
	vec_foreach (&cfg->names, name)
		free(*name);
	vec_done(&cfg->names);
	vec_done(&cfg->pools);
	free(cfg->mtu_pattern);
	memset(cfg, 0, sizeof(*cfg));
}

/* ---- nodes ---- */

static bool parse_mac(const char *text, uint8_t mac[static 6])
{
	unsigned b[6];
	char end;

	if (!text || sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4],
			    &b[5], &end) != 6)
		return false;
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
	/* A group address is nobody's. */
	return !(mac[0] & 1);
}

static void fill_side(struct encap_side *s, const struct prefix *node, const struct addr *vtep,
		      const char *mac)
{
	s->node = *node;
	s->vtep = *vtep;
	s->has_mac = parse_mac(mac, s->mac);
}

bool overlay_read_node(const struct store_kv *kv, struct encap_node *out)
{
	struct object o;
	struct node n;
	bool ok;

	memset(out, 0, sizeof(*out));
	if (!kv || !kv->value || object_decode(kv->key, kv->value, kv->rev, &o, NULL) < 0)
		return false;
	ok = node_decode(&o, &n, NULL) >= 0;
	if (ok) {
		fill_side(&out->side[ENCAP_V4], &n.bgp.ipv4, &n.vxlan_tunnel_v4, n.vxlan_mac_v4);
		fill_side(&out->side[ENCAP_V6], &n.bgp.ipv6, &n.vxlan_tunnel_v6, n.vxlan_mac_v6);
		out->ipip = n.bgp.ipip_tunnel;
		for (unsigned i = 0; i < ENCAP_SIDES; i++)
			if (!out->side[i].has_mac)
				encap_mac(o.name, (enum encap_side_index)i, out->side[i].mac);
		node_done(&n);
	}
	object_done(&o);
	return ok;
}
