/* members.h - what is in a set, counted, and what changed since the last look.
 *
 * Several objects may contribute one member; it goes when the last of them does. Changes that undo
 * each other between two looks are no changes. */
#pragma once

#include "lib/vec.h"
#include "lib/addr.h"

/* A range of addresses; or an address with protocol and port. */
struct member {
	struct prefix net;
	uint8_t proto; /* 0: of a set of ranges */
	uint16_t port;
};

struct member_vec {
	struct member *p;
	size_t n, cap;
};

struct member_slot;

struct members {
	struct member_slot *slot;
	uint32_t n_slot, used;
	size_t count; /* members with a contribution */
	struct member_vec dirty;
};

void members_done(struct members *m);
/* A range of all addresses goes in as its two halves: the kernel's sets hold no /0. Returns true
 * when this is the first change since the last look. */
bool members_add(struct members *m, const struct member *one);
bool members_del(struct members *m, const struct member *one);
/* Append what came and what went since the last look. */
void members_take(struct members *m, struct member_vec *added, struct member_vec *gone);
/* Nothing is known any more: the next look tells all that are in as added, and nothing as gone.
 * Returns true when this is the first change since the last look. */
bool members_forget(struct members *m);
/* Append all that are in, sorted. */
void members_all(const struct members *m, struct member_vec *out);
/* Is an address in one of the ranges; is it in with this protocol and port? */
bool members_have(const struct members *m, const struct addr *a);
bool members_have_port(const struct members *m, const struct addr *a, uint8_t proto, uint16_t port);
int member_cmp(const struct member *a, const struct member *b);

enum { MEMBER_STR_MAX = 72 };
/* "10.0.0.0/8", "10.0.0.1", "10.0.0.1,tcp:80": as ipset reads it. */
char *member_format(const struct member *m, char buf[static MEMBER_STR_MAX]);
