/* ipset_table.h - inside the ipset driver.
 *
 * ipset.c keeps what is wanted, ipset_text.c reads and writes the tool's language, ipset_run.c
 * decides when to do what. */
#pragma once

#include <uthash.h>

#include "dataplane/ipset.h"
#include "lib/delta.h"
#include "lib/str.h"
#include "lib/vec.h"

enum {
	IPSET_NAME = 32,
};

/* A member as the key of a delta: every byte counts. */
struct ipset_key {
	uint8_t b[16];
	uint8_t len, proto;
	uint16_t port;
};

enum ipset_have {
	IPSET_ABSENT,
	IPSET_THERE,
	IPSET_REBUILD, /* there, but with another size or with what we cannot name: swap it */
	IPSET_REPLACE, /* there with another type, which cannot be swapped */
};

struct iset {
	char name[IPSET_NAME];
	enum ipset_type type;
	uint32_t maxelem;
	bool wanted;
	/* What the kernel has. */
	bool there;
	bool strange; /* of a type or family that we never make */
	bool odd;     /* with members or options that we cannot name */
	enum ipset_type have_type;
	uint32_t have_max;
	struct delta d; /* wanted members against those that are there */
	bool dirty;	/* is on the list of those that may need work */
	bool seen;	/* by the reading under way */
	bool busy;	/* in the batch under way */
	uint64_t held_until;
	unsigned held_ms;
	UT_hash_handle hh;
};

enum ipset_op {
	IPSET_OP_ADD,
	IPSET_OP_DEL,
	IPSET_OP_MADE, /* created, or built anew and swapped */
	IPSET_OP_DESTROYED,
};

/* What a line of the batch does. */
struct ipset_item {
	enum ipset_op op;
	struct iset *set;
	struct ipset_key key;
	enum ipset_type type; /* MADE: what it was made */
	uint32_t maxelem;
};

enum ipset_state {
	IPSET_IDLE,
	IPSET_SAVING,	  /* everything at once */
	IPSET_NAMING,	  /* that failed: the names, */
	IPSET_SAVING_ONE, /* then one by one */
	IPSET_RESTORING,
};

struct ipsets {
	struct ipset_config cfg;
	struct iset *sets;
	VEC(struct iset *) dirty;
	uint32_t n_wanted;
	uint64_t members;

	enum ipset_state state;
	enum ipset_phase phase; /* RESTORING: which half */
	bool running;		/* a command is out */
	bool ready, need_read, was_read, in_trouble;
	uint64_t retry_at, refresh_at, destroy_at;
	unsigned backoff_ms;
	VEC(struct ipset_name { char s[IPSET_NAME]; }) todo; /* SAVING_ONE */

	struct str batch;
	VEC(struct ipset_item) items; /* of line i: items.p[line_item[i]] */
	VEC(uint32_t) line_item;
	char blamed[IPSET_NAME];
	struct ipset_counts counts;
};

void iset_dirty(struct ipsets *s, struct iset *set);
struct iset *iset_find(const struct ipsets *s, const char *name);
struct iset *iset_get(struct ipsets *s, const char *name, size_t len);
/* Drop those from the list that need nothing, and those from the table that are nothing. */
void isets_prune(struct ipsets *s);
/* What every member that is wanted or there points to. */
extern char ipset_is_member;
bool iset_name_is_ours(const struct ipsets *s, const char *name);

/* False: not a member of this family and type. */
bool ipset_key_of(enum ip_family family, enum ipset_type type, const struct ipset_member *m,
		  struct ipset_key *out);
void ipset_key_text(enum ip_family family, enum ipset_type type, const struct ipset_key *k,
		    struct str *out);
bool ipset_key_parse(enum ip_family family, enum ipset_type type, const char *text,
		     struct ipset_key *out);
bool ipset_type_parse(const char *text, enum ipset_type *out);

/* Take in what "ipset save" printed, in pieces. */
void ipset_read_begin(struct ipsets *s);
int ipset_read_text(struct ipsets *s, const char *out, size_t len, struct err *e);
void ipset_read_end(struct ipsets *s);

/* Make the batch of one half. False: there is nothing that could be done now. */
bool ipset_render(struct ipsets *s, enum ipset_phase phase, uint64_t now);
void ipset_batch_done(struct ipsets *s);
void ipset_batch_undo(struct ipsets *s);
enum ipset_have iset_have(const struct iset *set);
bool iset_needs(const struct iset *set, enum ipset_phase phase);
