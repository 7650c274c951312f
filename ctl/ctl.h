/* ctl.h - what all commands of margayctl share: options of the program, the datastore, words. */
#pragma once

#include "lib/err.h"
#include "lib/json.h"
#include "model/object.h"
#include "model/store.h"

struct ds;
struct event_base;

enum ctl_output {
	CTL_TABLE,
	CTL_WIDE,
	CTL_YAML,
	CTL_JSON,
};

struct ctl {
	enum ctl_output output;
	const char *datastore; /* as typed; NULL: find out */
	const char *run_dir;   /* never NULL */
	struct event_base *base;
	struct ds *ds;
};

enum {
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2, /* the command line itself is wrong */
};

#define CTL_NAMESPACE_DEFAULT "default"

/* A line to stderr that begins with the program's name. Returns CTL_FAILED. */
int ctl_error(const char *fmt, ...) PRINTF(1, 2);

enum ctl_access {
	CTL_READ,
	CTL_WRITE, /* what is there is changed */
	CTL_MAKE,  /* and an embedded datastore made when there is none */
};

/* Open the datastore: --datastore, MARGAY_DATASTORE, `datastore` of the agent's file, else the
 * embedded one. Opening twice is fine, and keeps the first access. */
int ctl_open(struct ctl *c, enum ctl_access access, struct err *e);
void ctl_close(struct ctl *c);

/* One request, tried again for about two seconds while the store is unavailable. Negative errno and
 * words (what: "IPPool web") unless it is STORE_OK: -ENOENT, -EEXIST, -ESTALE (another revision),
 * -EAGAIN, -EIO. res may be NULL. The caller releases *res when it is OK. */
int ctl_call(struct ctl *c, struct store_req req, const char *what, struct store_res *res,
	     struct err *e);

/* Resources. ns NULL: every namespace. Stored objects that are broken are told on stderr, counted
 * in *broken (may be NULL), and left out. */
int ctl_get(struct ctl *c, const struct kind *kind, const char *ns, const char *name,
	    struct object *out, struct err *e);
int ctl_list(struct ctl *c, const struct kind *kind, const char *ns, struct object_vec *out,
	     size_t *broken, struct err *e);
int ctl_create(struct ctl *c, struct object *o, struct err *e);
/* Write o over the object at revision o->rev. */
int ctl_update(struct ctl *c, struct object *o, struct err *e);
/* rev 0: whatever is there. */
int ctl_delete(struct ctl *c, const struct object *o, int64_t rev, struct err *e);
/* "IPPool web", "WorkloadEndpoint default/x", heap. */
char *ctl_name(const struct object *o);

/* One resource request's worth of rows, all of the same number of cells, as aligned columns. */
struct table {
	size_t n_cols;
	VEC(char *) cell; /* owned, row by row; the first row is the head */
};
void table_add(struct table *t, char *cell); /* takes it */
/* Headings of n more columns; only before the first row. */
void table_head(struct table *t, const char *const *names, size_t n);
void table_print(const struct table *t);
void table_done(struct table *t);

/* A JSON value as -o says (yaml or json) to stdout. */
void ctl_print(const struct ctl *c, const json_t *v);

/* 2026-08-01T10:00:00Z */
void ctl_now(char out[static 21]);
void ctl_random(uint8_t out[static 16]);
