/* labels_impl.h - inside of the label index; for labels*.c only. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "policy/labels.h"
#include "policy/match.h"

struct ids {
	uint32_t *p;
	uint32_t n, cap;
};

struct own {
	uint32_t key, pair;
	uint32_t pos; /* in the slot's items or parents */
};

struct kin {
	uint32_t parent;
	uint32_t pos; /* in the parent's children */
};

struct hit {
	uint32_t sel;
	uint32_t pos; /* in the selector's items */
};

struct item {
	void *user;
	struct own *own; /* sorted by key */
	struct kin *kin; /* in order of precedence */
	struct hit *hit;
	uint32_t n_own, n_kin, n_hit, cap_hit;
	bool used;
	uint32_t next_free;
};

struct parent {
	uint32_t name; /* interned; 0: free */
	struct own *own;
	uint32_t n_own;
	struct ids children;
	uint32_t next_free;
};

struct slot {
	struct ids items; /* of a key's slot: its values that have a slot */
	struct ids parents, sels;
	uint32_t pos; /* of a value's slot: in the key's list */
};

struct sel {
	void *user;
	struct match *match; /* NULL: free */
	uint32_t *place;     /* slots it stands in */
	uint32_t n_place;
	bool unplaced;
	struct ids items;
	uint32_t mark; /* the number of the scan that last found it */
	uint32_t next_free;
};

struct labels {
	struct intern *in;
	struct item *item;
	struct parent *parent;
	struct sel *sel;
	uint32_t n_item, cap_item, free_item, used_items;
	uint32_t n_parent, cap_parent, free_parent;
	uint32_t n_sel, cap_sel, free_sel;
	uint32_t *parent_of; /* by interned name */
	uint32_t cap_parent_of;
	struct slot **slot; /* by interned label or key */
	uint32_t cap_slot;
	struct ids unplaced;
	uint32_t scan;
	struct ids found; /* scratch of a scan */
	uint64_t evals;
};

/* Room for a zeroed element at the end of a growing array, or a freed one. */
#define TAKE_NUMBER(array, n, cap, free_head)                                          \
	__extension__({                                                                \
		uint32_t id_ = (free_head);                                            \
		if (id_) {                                                             \
			(free_head) = (array)[id_].next_free;                          \
		} else {                                                               \
			if ((n) == 0)                                                  \
				(n) = 1;                                               \
			if ((n) >= (cap)) {                                            \
				(cap) = (cap) ? (cap)*2 : 16;                          \
				(array) = xreallocarray(array, cap, sizeof(*(array))); \
			}                                                              \
			id_ = (n)++;                                                   \
		}                                                                      \
		memset(&(array)[id_], 0, sizeof(*(array)));                            \
		id_;                                                                   \
	})

/* labels.c */
uint32_t label_ids_push(struct ids *v, uint32_t id);
/* Move the last one into the gap; returns it, or 0 when the last one itself went. */
uint32_t label_ids_drop(struct ids *v, uint32_t pos);
struct slot *label_slot_find(const struct labels *ix, uint32_t id);
struct slot *label_slot_get(struct labels *ix, uint32_t id);
void label_slot_drop(struct labels *ix, uint32_t id);
/* The label of this key among n sorted ones; NULL. */
struct own *label_own_find(struct own *own, uint32_t n, uint32_t key);
/* Does a selector match what an item shows? */
bool labels_try(struct labels *ix, uint32_t item, const struct sel *s);
void labels_hit_add(struct labels *ix, uint32_t item, uint32_t sel, struct label_changes *out);
