/* bgpfilter.h - BGPFilter: what may come from a peer and go to it. The rules are tried in order. */
#pragma once

#include "lib/fields.h"

struct object;

enum bgpfilter_match {
	BGPFILTER_EQUAL,
	BGPFILTER_NOT_EQUAL,
	BGPFILTER_IN,
	BGPFILTER_NOT_IN,
};

enum {
	BGPFILTER_OPERATIONS_MAX = 10,
	BGPFILTER_PATH_MAX = 10,
};

/* A BGP community as written; n: of numbers, 2 (standard) or 3 (large). */
struct bgpfilter_community {
	unsigned n;
	uint32_t number[3];
};

struct bgpfilter_add_community {
	char *value;
};
struct bgpfilter_prepend {
	json_t *prefix; /* list of AS numbers */
};
struct bgpfilter_set_priority {
	int value;
};

/* One of the three. */
struct bgpfilter_operation {
	struct bgpfilter_add_community add_community;
	struct bgpfilter_prepend prepend;
	struct bgpfilter_set_priority set_priority;
	bool has_community, has_prepend, has_priority;
};

struct bgpfilter_length {
	int min, max;
	bool has_min, has_max;
};

struct bgpfilter_values {
	struct field_strings values;
};

struct bgpfilter_rule {
	struct prefix cidr; /* IP_NONE: not given */
	int match;	    /* enum bgpfilter_match */
	bool has_match;
	struct bgpfilter_length length;
	bool has_length;
	int source; /* 0: RemotePeers; in import rules it says nothing */
	bool has_source;
	char *interface; /* NULL: any */
	int peer_type;	 /* 0: eBGP, 1: iBGP */
	bool has_peer_type;
	struct bgpfilter_values communities;
	bool has_communities;
	json_t *path_prefix; /* list of AS numbers; NULL */
	int priority;
	bool has_priority;
	int action; /* 0: Accept, 1: Reject */
	bool has_action;
	VEC(struct bgpfilter_operation) operations;
};

struct bgpfilter {
	char *name;
	VEC(struct bgpfilter_rule) export_v4, import_v4, export_v6, import_v6;
};

extern const struct fields bgpfilter_fields;

/* From an object of kind BGPFilter; lenient. bgpfilter_done frees. */
int bgpfilter_decode(const struct object *o, struct bgpfilter *out, struct err *e);
void bgpfilter_done(struct bgpfilter *f);
/* "64512:7", "64512:1:2"; false when it is neither. */
bool bgpfilter_community_parse(const char *text, struct bgpfilter_community *out);
/* A list of at most `max` AS numbers: how many; negative when it is something else. */
int bgpfilter_path(const json_t *list, uint32_t *out, unsigned max);
/* Of the kind's row. */
int bgpfilter_check(const struct object *o, const void *spec, struct err *e);
