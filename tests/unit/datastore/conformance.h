/* conformance.h - what the parts of the datastore conformance suite share.
 *
 * The suite is written against datastore/ds.h only. MARGAY_TEST_DS names the datastore to run on;
 * without it a fresh sqlite file is used. Every test works below a key prefix of its own, so that a
 * server which is in use otherwise does as well. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "datastore/ds.h"
#include "lib/vec.h"

struct event_base;

struct box {
	struct event_base *base;
	struct ds *ds;
	char prefix[64]; /* "/margay-test/PID-N/" */
};

/* cmocka set-up and tear-down: *state is a struct box with an open datastore. */
int box_open(void **state);
int box_close(void **state);
/* Close and open the datastore of a box. */
void box_reopen(struct box *b, unsigned flags);
/* prefix + name, in one of four static buffers. */
const char *key_of(const struct box *b, const char *name);
/* The datastore's spec, and a temporary directory of this run. */
const char *suite_spec(void);
const char *suite_dir(void);

/* One request, answered. Status is asserted; the revision of the answer comes back. */
int64_t must(struct box *b, struct store_req req, enum store_status want);
/* The value of a key; "" when it does not exist. In a static buffer. */
const char *value_of(struct box *b, const char *key);

/* What a watch told. */
struct seen_event {
	enum ds_event_type type;
	char *key, *value;
	int64_t rev;
};

struct seen {
	VEC(struct seen_event) ev;
	size_t changes, synced, gone, lost;
	struct ds_watch *w;
};

void seen_cb(void *arg, const struct ds_event *ev);
void seen_watch(struct seen *s, struct box *b, const char *prefix, int64_t from);
void seen_done(struct seen *s);
/* Both tell the same changes, those of `all` from after rev `from` on. */
void assert_seen_suffix(const struct seen *all, const struct seen *part, int64_t from);

/* Run the loop until cond is true; fails the test after 30 seconds. */
typedef bool cond_fn(void *arg);
void loop_until(struct box *b, cond_fn *cond, void *arg);
bool is_synced(void *seen);

/* Run this program again as `--child ROLE SPEC ARG...`: a forked SQLite may not be used. Returns
 * the process id; *out, unless NULL, reads what it writes. */
pid_t child_start(int *out, const char *role, const char *a, const char *b);
/* Wait for it; the exit status must be 0. */
void child_wait(pid_t pid);
int child_main(int argc, char **argv);

int requests_tests(void);
int watch_tests(void);
int process_tests(void);
