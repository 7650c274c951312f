/* cni_boot.h - before the first ADD is answered: mend what the last life left, replay what waits.
 *
 *	picture complete -> addresses repaired -> ADDs cut in half undone -> journal replayed ->
 *open */
#pragma once

#include "agent/cni/cni_server.h"
#include "agent/cni/journal.h"

struct cni_boot;

/* done is called once, from the loop, when everything was tried; what could not be done because the
 * store is away is tried again later by itself. */
int cni_boot_new(struct cni_boot **out, struct cni_server *s, struct agent *a,
		 void (*done)(void *arg), void *arg, struct err *e);
void cni_boot_free(struct cni_boot *b);

/* DELs for later; and the undoing of ADDs that are under way. */
struct journal *cni_boot_journal(const struct cni_boot *b);
struct journal *cni_boot_adding(const struct cni_boot *b);
