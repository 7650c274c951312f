/* validate.h - checks of single values that several kinds share, for the rows of field tables. Each
 * is given what struct field's `check` is: the text of a string field. */
#pragma once

#include "lib/err.h"

/* A selector of at most 1024 characters, without global(). */
int selector_field_check(const void *text, struct err *e);
/* The same for policies, where converters write longer ones: selector_length_check is for the rest. */
int policy_selector_field_check(const void *text, struct err *e);
/* The same, or global() and nothing else: namespaces of a rule's peers. */
int ns_selector_field_check(const void *text, struct err *e);
/* At most 1024 characters; NULL is right. */
int selector_length_check(const char *text, struct err *e);
/* "64512:7", or "64512:1:2" (large). */
int community_field_check(const void *text, struct err *e);
/* Debug, Info, ... in any case. */
int severity_field_check(const void *text, struct err *e);
/* The name of a network interface: 1 to 15 of letters, digits, '_', '.', '-'. */
int ifname_field_check(const void *text, struct err *e);
/* A hardware address: six pairs of hexadecimal digits. */
int mac_field_check(const void *text, struct err *e);
/* "10.0.0.1", "10.0.0.1:1790", "fd00::1", "[fd00::1]:1790". */
int endpoint_field_check(const void *text, struct err *e);

struct addr;
/* The same, taken apart; *port 0: none was given. */
bool endpoint_parse(const char *text, struct addr *addr, uint16_t *port);
