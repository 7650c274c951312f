/* tables.h - the chains that one family's tables must hold, kept up to date by the change.
 *
 *	t = tables_new(&config);
 *	tables_interfaces(t, list, n);		interfaces of the host, when they change
 *	tables_take(t, fx);			what calc_flush told
 *	tables_flush(t, &changes);		chains to write and to delete, in all tables at once
 *
 * A chain is in a table when something that is there jumps to it; so policies of pods are in filter
 * only. An interface that two endpoints claim is the one's whose id is lower. */
#pragma once

#include "policy/render.h"

struct tables;

struct table_change {
	enum table_id table;
	struct chain_name name;
	const struct chain *chain; /* borrowed until the next call; NULL: to be deleted */
};

struct table_changes {
	struct table_change *p;
	size_t n, cap;
};

/* An interface of the host that is no pod's. */
struct host_interface {
	const char *name;
	const struct addr *addr;
	size_t n_addr;
};

/* cfg is copied, what it points to is not. */
struct tables *tables_new(const struct render_config *cfg);
void tables_free(struct tables *t);
/* Tunnels or NAT have changed in the configuration (ipip, vxlan, tunnel, nat, tracked); nothing
 * else of it has, and of these no chain of an endpoint makes use. */
void tables_frame(struct tables *t, const struct render_config *cfg);
/* Afterwards another frame may be the right one: cfg.hosts of render_hooks is
 * tables_has_hosts(). */
void tables_take(struct tables *t, const struct calc_effects *fx);
bool tables_has_hosts(const struct tables *t);
void tables_interfaces(struct tables *t, const struct host_interface *list, size_t n);
/* Append what is different since the last time. Deletions come last. */
void tables_flush(struct tables *t, struct table_changes *out);

/* The chain of this name that is in a table now; NULL. */
const struct chain *tables_find(const struct tables *t, enum table_id table, const char *name);
/* The chains by which packets of a pod's interface go: the one that tells interfaces apart, and
 * the pod's own. False: nobody sits there. */
struct pod_way {
	struct chain_name dispatch, own;
};
bool tables_pod_way(const struct tables *t, const char *interface, bool ingress,
		    struct pod_way *out);
/* Call fn for every chain that is in a table, in no order. */
typedef void tables_fn(void *arg, enum table_id table, const struct chain *c);
void tables_each(const struct tables *t, tables_fn *fn, void *arg);
