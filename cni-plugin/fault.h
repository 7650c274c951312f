/* fault.h - why a CNI call fails, in the form that runtimes read. */
#pragma once

#include "lib/base.h"

enum fault_code {
	FAULT_NONE = 0,
	FAULT_VERSION = 1, /* incompatible CNI version */
	FAULT_ENV = 4,	   /* bad environment variable */
	FAULT_IO = 5,
	FAULT_DECODE = 6,
	FAULT_CONFIG = 7,
	FAULT_NETNS = 8,	  /* since CNI 1.1; FAULT_ENV before */
	FAULT_AGAIN = 11,	  /* try again later */
	FAULT_NOT_AVAILABLE = 50, /* STATUS */
	FAULT_CHECK = 101,	  /* our own: something is not as prevResult says */
	FAULT_KERNEL = 102,	  /* our own: the kernel refused */
	FAULT_INTERNAL = 999,
};

struct fault {
	int code; /* enum fault_code, or whatever the agent or a delegate said */
	char msg[512];
	char details[1024]; /* may be empty: what to do about it, or the words of another program */
};

/* Set code and message; returns -1, for `return fault_set(...)`. */
int fault_set(struct fault *f, int code, const char *fmt, ...) PRINTF(3, 4);
/* The second sentence; returns -1. */
int fault_detail(struct fault *f, const char *fmt, ...) PRINTF(2, 3);
/* The error as JSON text for stdout, with a newline; caller frees. */
char *fault_json(const struct fault *f, const char *cni_version);
