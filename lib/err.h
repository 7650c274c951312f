/* err.h - an error that a person will read: a code and a sentence, built from the inside out.
 *
 *	int pool_check(const struct ippool *p, struct err *e)
 *	{
 *		if (p->block_size < 20)
 *			return err_set(e, -ERANGE, "blockSize %u: must be 20..32", p->block_size);
 *		...
 *	if ((rc = pool_check(p, e)) < 0)
 *		return err_wrap(e, "IPPool %s", p->name);	-> "IPPool web: blockSize 9: must be ..."
 *
 * The struct lives on the caller's stack and may be NULL where nobody will read it. */
#pragma once

#include "lib/base.h"

enum { ERR_MSG_MAX = 512 };

struct err {
	int code; /* 0, or a negative errno */
	char msg[ERR_MSG_MAX];
};

/* Set code (negative errno) and text; returns code, for `return err_set(...)`. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);
/* Put "text: " in front of what is there; returns the code that is set. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF(2, 3);
