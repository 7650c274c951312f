/* link.h - the network interfaces of this namespace and their addresses, kept up to date.
 *
 *	struct link_table *lt = link_table_new(&e);	dumps; no events for what was there
 *	link_table_watch(lt, changed, arg);
 *	... loop: when link_table_fd(lt) is readable: link_table_read(lt, &e)
 *
 * Events lost (ENOBUFS) lead to a relist, which yields the same events as data. A rename is GONE
 * with the old name, then NEW. */
#pragma once

#include "lib/addr.h"
#include "lib/err.h"
#include "lib/vec.h"

enum { LINK_NAME_MAX = 16 }; /* IFNAMSIZ, with the NUL */

struct link {
	uint32_t index;
	uint32_t peer;	 /* IFLA_LINK: a veth's other end, a vlan's parent; 0 none */
	uint32_t master; /* bridge or VRF; 0 none */
	uint32_t mtu;
	char name[LINK_NAME_MAX];
	char kind[LINK_NAME_MAX]; /* "veth", "vxlan"; "" for hardware and lo */
	uint8_t mac[6];
	bool has_mac;
	bool up;      /* by the operator: IFF_UP; routes can be added */
	bool running; /* it also has a carrier: IFF_RUNNING */
	bool loopback;
	VEC(struct prefix) addrs; /* with host bits: the address and its subnet */
};

enum link_event {
	LINK_NEW,     /* with its addresses as far as they are known */
	LINK_CHANGED, /* up, running, mtu, mac or master */
	LINK_GONE,
	LINK_ADDR_NEW, /* addr is set */
	LINK_ADDR_GONE,
	LINK_RELISTED, /* l is NULL: events were lost, the differences have been told */
};

/* l and addr live until the call returns. The table is already in its new state; for LINK_GONE the
 * link is no longer found by name or index. The callee must not read the table's socket. */
typedef void (*link_watch_fn)(void *arg, enum link_event ev, const struct link *l,
			      const struct prefix *addr);

struct link_table;

/* Open sockets and list links and addresses. NULL on failure. */
struct link_table *link_table_new(struct err *e);
void link_table_free(struct link_table *t);
/* For the event loop: readable means link_table_read. */
int link_table_fd(const struct link_table *t);
/* Take in what has arrived; never blocks, except for a relist after lost events. Returns 1 when a
 * relist was needed, 0, or a negative errno. */
int link_table_read(struct link_table *t, struct err *e);
/* List everything again, with events for the differences. */
int link_table_relist(struct link_table *t, struct err *e);
/* Watchers are called in the order in which they came; at most 8. */
void link_table_watch(struct link_table *t, link_watch_fn fn, void *arg);
/* Not from within a watcher. */
void link_table_unwatch(struct link_table *t, link_watch_fn fn, void *arg);

/* NULL when there is none. Valid until the next read or relist. */
const struct link *link_by_name(const struct link_table *t, const char *name);
const struct link *link_by_index(const struct link_table *t, uint32_t index);
/* The link that holds this very address; subnet (may be NULL) is the address with its length. */
const struct link *link_by_addr(const struct link_table *t, const struct addr *a,
				struct prefix *subnet);
/* The link with the most specific subnet that contains a: is a neighbour reachable directly? */
const struct link *link_by_subnet(const struct link_table *t, const struct addr *a,
				  struct prefix *subnet);
/* Links one after the other: start with NULL. By rising index. */
const struct link *link_next(const struct link_table *t, const struct link *after);
