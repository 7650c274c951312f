/* tables_impl.h - inside of the tables; for tables*.c only. */
#pragma once

#include <uthash.h>

#include "policy/tables.h"

/* A chain's rules; shared by the tables that it is in. */
struct body {
	unsigned refs;
	struct chain c;
};

struct slot {
	UT_hash_handle hh; /* by name */
	struct chain_name name;
	struct body *body; /* NULL: nobody has made it */
	struct body *told; /* as it was last written; NULL: it is not in the kernel */
	unsigned owners;   /* who has made it */
	unsigned jumps;	   /* from chains that are in the table */
	bool root;	   /* a chain of the kernel jumps to it */
	bool in, dirty;
};

struct slots {
	struct slot *slot;
	VEC(struct slot *) dirty;
};

/* A chain that somebody made for a table. */
struct made {
	enum table_id table;
	enum render_endpoint_kind kind;
	bool ingress;
	bool named; /* has its name already; else it gets one by the interface */
	bool group; /* of policies */
	struct body *body;
};

struct made_vec {
	struct made *p;
	size_t n, cap;
};

/* An endpoint with its chains, not yet under the name of an interface. */
struct owner {
	UT_hash_handle hh; /* by key */
	char *key;	   /* a letter of the kind, and the id */
	enum endpoint_kind kind;
	char *interface;
	struct addr *addr; /* of a host endpoint */
	size_t n_addr;
	struct prefix *spoof; /* other sources that a pod may send from */
	size_t n_spoof;
	struct made_vec made;
};

/* Chains that are installed under an interface's name. */
struct seat {
	UT_hash_handle hh; /* by name */
	char *name;
	const struct owner *owner; /* NULL: to be taken away */
	struct made_vec made;
	struct pod_way way[2]; /* of a pod: from it, to it */
};

struct iface {
	char *name;
	struct addr *addr;
	size_t n_addr;
};

/* Chains of a policy or profile, and of dispatch. */
struct maker_row {
	UT_hash_handle hh;
	char *key;
	struct made_vec made;
};

struct tables {
	struct render_config cfg;
	struct slots table[TABLE_COUNT];
	struct owner *owners;
	unsigned n_hosts; /* of them: host endpoints */
	struct seat *seats[2]; /* pods, host interfaces */
	struct maker_row *rows;
	VEC(struct iface) ifaces;
	bool seats_dirty[2], spoof_dirty;
	/* The trees that lead from pods and to them are what the seats' ways say, so many rows. */
	bool planted[2];
	size_t n_planted[2];
};

/* tables.c */
struct body *tables_body_new(struct chain *c); /* consumes the chain's rules */
/* The same, or another reference to the chain if this very one is there. */
struct body *tables_body_share(struct tables *t, enum table_id table, struct chain *c);
void tables_body_unref(struct body *b);
/* Put the chains in the place of what *now holds; both are consumed. */
void tables_install(struct tables *t, struct made_vec *now, struct made_vec *made);
/* The chains under a key, for what is neither endpoint nor interface. Consumes made. */
void tables_set_row(struct tables *t, const char *key, struct made_vec *made);

/* tables_seats.c */
void tables_owner_set(struct tables *t, const struct calc_endpoint *ep);
void tables_owner_gone(struct tables *t, enum endpoint_kind kind, const char *id);
/* Who sits on which interface, and the way there. */
void tables_seat(struct tables *t);
void tables_free_seats(struct tables *t);

/* tables_spoof.c */

/* Take over from the endpoint what its pod may send from. */
void tables_owner_spoof(struct tables *t, struct owner *o, const struct calc_endpoint *ep);
/* The chain of such sources, when it is not up to date. */
void tables_spoof(struct tables *t);
