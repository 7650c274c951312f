/* ipam_check.c - margayctl ipam check: do blocks, handles, affinities, endpoints and nodes agree?
 * DIFFERS: calicoctl does not know the IPv6 tunnel addresses of nodes and reports them as leaks. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/ipam_load.h"
#include "lib/json.h"
#include "model/ipamkey.h"
#include "model/node.h"
#include "model/wep.h"

enum { CHECK_ALL_IPS, CHECK_PROBLEM_IPS };

struct users {
	VEC(struct ipam_user) user;
	VEC(char *) text;
};

static void add_user(struct users *u, const struct addr *a, char *who)
{
	struct ipam_user user = { .addr = *a, .who = who };

	vec_push(&u->text, who);
	if (a->family)
		vec_push(&u->user, user);
}

static int read_endpoints(struct ctl *c, struct users *u, struct err *e)
{
	struct object_vec list = { 0 };
	int rc = ctl_list(c, kind_find("WorkloadEndpoint"), NULL, &list, NULL, e);

	vec_foreach (&list, o) {
		struct wep w;

		if (wep_decode(o, &w, NULL) < 0)
			continue;
		vec_foreach (&w.networks, ip)
			add_user(u, &ip->addr,
				 xasprintf("workload %s/%s", w.ns ? w.ns : "", w.name));
		wep_done(&w);
	}
	objects_done(&list);
	return rc;
}

static int read_nodes(struct ctl *c, struct users *u, struct err *e)
{
	struct object_vec list = { 0 };
	int rc = ctl_list(c, kind_find("Node"), NULL, &list, NULL, e);

	vec_foreach (&list, o) {
		struct node n;

		if (node_decode(o, &n, NULL) < 0)
			continue;
		add_user(u, &n.bgp.ipip_tunnel, xasprintf("IPIP tunnel of node %s", n.name));
		add_user(u, &n.vxlan_tunnel_v4, xasprintf("VXLAN tunnel of node %s", n.name));
		add_user(u, &n.vxlan_tunnel_v6, xasprintf("VXLAN tunnel of node %s", n.name));
		add_user(u, &n.wireguard.ipv4, xasprintf("WireGuard of node %s", n.name));
		add_user(u, &n.wireguard.ipv6, xasprintf("WireGuard of node %s", n.name));
		node_done(&n);
	}
	objects_done(&list);
	return rc;
}

static void users_done(struct users *u)
{
	vec_foreach (&u->text, it)
		free(*it);
	vec_done(&u->text);
	vec_done(&u->user);
}

/* Affinities of hosts and of virtual owners, as one sorted list. */
static int read_affinities(struct ctl *c, struct store_res *out, struct err *e)
{
	struct store_res virtual;
	int rc = ctl_call(c, store_list(IPAMKEY_HOSTS), "affinities", out, e);

	if (rc < 0)
		return rc;
	rc = ctl_call(c, store_list(IPAMKEY_VIRTUAL), "affinities", &virtual, e);
	if (rc < 0) {
		store_res_done(out);
		return rc;
	}
	out->kv = xreallocarray(out->kv, out->n + virtual.n, sizeof(*out->kv));
	if (virtual.n)
		memcpy(out->kv + out->n, virtual.kv, virtual.n * sizeof(*out->kv));
	out->n += virtual.n;
	virtual.n = 0;
	store_res_done(&virtual);
	return 0;
}

static void print_problems(const struct ipam_blocks *all, bool each)
{
	for (unsigned kind = 0; kind < PROBLEM_MAX_; kind++) {
		size_t n = 0;

		for (size_t i = 0; i < all->problem.n; i++)
			n += all->problem.p[i].kind == kind;
		printf("  %zu %s\n", n, ipam_problem_name((enum ipam_problem_kind)kind));
		for (size_t i = 0; each && n && i < all->problem.n; i++) {
			CLEANUP(freep) char *text = NULL;

			if (all->problem.p[i].kind != kind)
				continue;
			text = ipam_clean(xstrdup(all->problem.p[i].text));
			printf("    %s\n", text);
		}
	}
}

static void print_addresses(const struct ipam_blocks *all)
{
	for (size_t i = 0; i < all->block.n; i++)
		for (unsigned ord = 0; ord < all->block.p[i]->size; ord++) {
			const struct block_attr *a = block_attr_of(all->block.p[i], ord);
			struct addr ip = block_addr(all->block.p[i], ord);
			char text[ADDR_STR_MAX];
			CLEANUP(freep) char *id = NULL;

			if (!a || !a->handle)
				continue;
			id = ipam_clean(xstrdup(a->handle));
			printf("  %s  %s\n", addr_format(&ip, text), id);
		}
}

static void print_json(const struct ctl *c, const struct ipam_blocks *all, size_t n_allocated)
{
	json_t *o = json_object(), *list = json_array();

	js_set_int(o, "allocations", (int64_t)n_allocated);
	for (size_t i = 0; i < all->problem.n; i++) {
		const struct ipam_problem *p = &all->problem.p[i];
		json_t *row = json_object();
		char ip[ADDR_STR_MAX];

		js_set_str(row, "kind", ipam_problem_name(p->kind));
		js_set_str(row, "text", p->text);
		if (p->addr.family)
			js_set_str(row, "ip", addr_format(&p->addr, ip));
		js_set_str(row, "handle", p->handle);
		if (p->seq)
			js_set_int(row, "sequenceNumber", (int64_t)p->seq);
		json_array_append_new(list, row);
	}
	js_set(o, "problems", list);
	ctl_print(c, o);
	json_decref(o);
}

static int check(struct ctl *c, const struct args *a, struct ipam_load *l, struct users *u,
		 struct err *e)
{
	struct store_res handles, affinities;
	struct ipam_check in = { .world = l->facts.world,
				 .blocks = &l->blocks,
				 .handles = &handles,
				 .affinities = &affinities };
	size_t n;
	int rc;

	if ((rc = read_endpoints(c, u, e)) < 0 || (rc = read_nodes(c, u, e)) < 0 ||
	    (rc = ctl_call(c, store_list(IPAMKEY_HANDLES), "handles", &handles, e)) < 0)
		return rc;
	if ((rc = read_affinities(c, &affinities, e)) < 0) {
		store_res_done(&handles);
		return rc;
	}
	in.user = u->user.p;
	in.n_user = u->user.n;
	n = ipam_check(&in);
	if (c->output == CTL_JSON || c->output == CTL_YAML) {
		print_json(c, &l->blocks, n);
	} else {
		printf("%zu pools, %zu blocks, %zu handles; %zu addresses allocated, %zu in use.\n",
		       l->facts.world.n_pool, l->blocks.block.n, handles.n, n, u->user.n);
		if (a->opt[CHECK_ALL_IPS])
			print_addresses(&l->blocks);
		print_problems(&l->blocks, a->opt[CHECK_PROBLEM_IPS] || a->opt[CHECK_ALL_IPS]);
		printf("Check complete; found %zu problems.\n", l->blocks.problem.n);
	}
	store_res_done(&handles);
	store_res_done(&affinities);
	return 0;
}

int cmd_ipam_check(struct ctl *c, const struct args *a)
{
	struct ipam_load l;
	struct users u = { 0 };
	struct err e = { 0 };
	int rc;

	if (ipam_load(c, &l, &e) < 0)
		return ctl_error("%s", e.msg);
	rc = check(c, a, &l, &u, &e) < 0 ? ctl_error("%s", e.msg)
	     : l.blocks.problem.n	 ? CTL_FAILED
					 : CTL_OK;
	users_done(&u);
	ipam_load_done(&l);
	return rc;
}
