/* sysctl.h - files under /proc/sys of the caller's network namespace. */
#pragma once

#include "lib/err.h"

enum { SYSCTL_VALUE_MAX = 128 };

/* Remember this namespace's /proc/sys/net for all later calls: for a program that never changes
 * its namespace, once, at its start. */
int sysctl_pin(struct err *e);

/* path as "net/ipv4/conf/eth0/forwarding". Negative errno; -ENOENT where the kernel lacks it. */
int sysctl_write(const char *path, const char *value, struct err *e);
/* Without the final newline. */
int sysctl_read(const char *path, char value[static SYSCTL_VALUE_MAX], struct err *e);
/* Write only when it reads differently. */
int sysctl_set(const char *path, const char *value, struct err *e);
