/* node_rules.c - what goes with a node that is deleted
 *
 * SHAPE  In this order, so that a crash in between can be repeated: addresses of its endpoints, the
 *        endpoints, tunnel addresses, blocks and affinities, peers and configurations that name it,
 *        the node. DIFFERS: Calico forgets the IPv6 tunnel addresses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ipam_run.h"
#include "ctl/rules.h"
#include "lib/fields.h"
#include "model/wep.h"

static int release_addresses(struct ctl *c, const struct ipam_facts *f,
			     const struct field_cidrs *ips, struct err *e)
{
	struct ipam_proof *proof = xcalloc(ips->n, sizeof(*proof));
	struct ipam_op *op;
	int rc;

	for (size_t i = 0; i < ips->n; i++)
		proof[i].addr = ips->p[i].addr;
	op = ipam_release_op(&(struct ipam_release) {
		.world = f->world, .host = "", .proof = proof, .n_proof = ips->n });
	rc = ips->n ? ipam_run(c, op, e) : 0;
	ipam_op_free(op);
	free(proof);
	return rc;
}

static int delete_endpoints(struct ctl *c, const struct ipam_facts *f, const char *node,
			    struct err *e)
{
	struct object_vec list = { 0 };
	int rc = ctl_list(c, kind_find("WorkloadEndpoint"), NULL, &list, NULL, e);

	vec_foreach (&list, o) {
		struct wep w;

		if (rc < 0 || wep_decode(o, &w, NULL) < 0)
			continue;
		if (!strcmp(w.node, node)) {
			rc = release_addresses(c, f, &w.networks, e);
			if (rc == 0)
				rc = ctl_delete(c, o, 0, e);
			if (rc == -ENOENT)
				rc = 0;
		}
		wep_done(&w);
	}
	objects_done(&list);
	return rc;
}

static int release_tunnels(struct ctl *c, const struct ipam_facts *f, const char *node,
			   struct err *e)
{
	static const char *const tunnels[] = { "ipip", "vxlan", "vxlan-v6", "wireguard",
					       "wireguard-v6" };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(tunnels); i++) {
		char *handle = xasprintf("%s-tunnel-addr-%s", tunnels[i], node);
		struct ipam_op *op = ipam_release_handle_op(&f->world, node, handle);

		rc = ipam_run(c, op, e);
		ipam_op_free(op);
		free(handle);
	}
	return rc;
}

static int hand_back(struct ctl *c, const struct ipam_facts *f, const char *node, struct err *e)
{
	struct ipam_op *op = ipam_handback_op(
		&(struct ipam_handback) { .world = f->world, .host = node, .even_used = true });
	int rc = ipam_run(c, op, e);

	ipam_op_free(op);
	return rc;
}

static int delete_peers(struct ctl *c, const char *node, struct err *e)
{
	struct object_vec list = { 0 };
	int rc = ctl_list(c, kind_find("BGPPeer"), NULL, &list, NULL, e);

	vec_foreach (&list, o) {
		const char *name = NULL;

		if (rc < 0 || js_str(o->json, "spec.node", &name, NULL) <= 0 || strcmp(name, node))
			continue;
		rc = ctl_delete(c, o, 0, e);
		if (rc == -ENOENT)
			rc = 0;
	}
	objects_done(&list);
	return rc;
}

static int delete_configs(struct ctl *c, const char *node, struct err *e)
{
	static const char *const kinds[] = { "BGPConfiguration", "FelixConfiguration" };
	CLEANUP(freep) char *name = xasprintf("node.%s", node);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(kinds); i++) {
		struct object o = object_new(kind_find(kinds[i]), NULL, name);

		rc = ctl_delete(c, &o, 0, e);
		if (rc == -ENOENT)
			rc = 0;
		object_done(&o);
	}
	return rc;
}

int node_delete(struct ctl *c, struct object *stored, int64_t rev, struct err *e)
{
	struct ipam_facts facts;
	int rc = ipam_facts_read(c, &facts, e);

	if (rc < 0)
		return rc;
	rc = delete_endpoints(c, &facts, stored->name, e);
	if (rc == 0)
		rc = release_tunnels(c, &facts, stored->name, e);
	if (rc == 0)
		rc = hand_back(c, &facts, stored->name, e);
	if (rc == 0)
		rc = delete_peers(c, stored->name, e);
	if (rc == 0)
		rc = delete_configs(c, stored->name, e);
	if (rc == 0)
		rc = ctl_delete(c, stored, rev, e);
	else
		err_wrap(e, "Node %s: was not deleted, some of what belongs to it was",
			 stored->name);
	ipam_facts_done(&facts);
	return rc;
}
