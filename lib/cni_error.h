/* cni_error.h - why a CNI call failed: the codes of the specification, a message, a remedy.
 *
 *	return cni_fail(f, CNI_AGAIN, "the datastore cannot be reached: %s", why);
 *
 * The plugin and the agent both speak it: the agent's go over the socket and come out of the
 * plugin as they are.
 * SPEC  CNI 1.1 "Error"; https://www.cni.dev/docs/spec/ */
#pragma once

#include "lib/base.h"

enum cni_code {
	CNI_OK = 0,
	CNI_VERSION = 1,     /* the configuration's cniVersion is not spoken here */
	CNI_UNSUPPORTED = 2, /* a field that is not supported */
	CNI_UNKNOWN_CONTAINER = 3,
	CNI_BAD_ENV = 4, /* an environment variable */
	CNI_IO = 5,
	CNI_DECODE = 6,
	CNI_BAD_CONFIG = 7,
	CNI_BAD_NETNS = 8,	/* since CNI 1.1; CNI_BAD_ENV before */
	CNI_AGAIN = 11,		/* will get better: the runtime should repeat the call */
	CNI_NOT_AVAILABLE = 50, /* STATUS: no ADD possible now */
	CNI_BROKEN = 51,	/* STATUS: not even the pods that are there may work */
	CNI_EXHAUSTED = 100,	/* our own: the pools have no address left */
	CNI_ABSENT = 101,	/* our own: CHECK found something missing or changed */
	CNI_KERNEL = 102,	/* our own: the kernel refused */
	CNI_INTERNAL = 999,
};

struct cni_error {
	int code; /* enum cni_code, or whatever a delegate said */
	char msg[512];
	char details[1024]; /* may be empty: what to do about it, or another program's words */
};

/* Set code and message (f may be NULL); returns -1, for `return cni_fail(...)`. */
int cni_fail(struct cni_error *f, int code, const char *fmt, ...) PRINTF(3, 4);
/* Add what a person can do about it; returns -1. */
int cni_remedy(struct cni_error *f, const char *fmt, ...) PRINTF(2, 3);
/* As a plugin prints it, with a newline; caller frees. */
char *cni_error_json(const struct cni_error *f, const char *cni_version);
