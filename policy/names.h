/* names.h - what chains and sets are called in the kernel, as Calico's agent calls them. */
#pragma once

#include "lib/addr.h"

enum {
	CHAIN_NAME_MAX = 28, /* characters; iptables allows no more */
	SET_NAME_MAX = 31,   /* IPSET_MAXNAMELEN less its NUL */
};

struct chain_name {
	char text[CHAIN_NAME_MAX + 1];
};

struct set_name {
	char text[SET_NAME_MAX + 1];
};

/* prefix and suffix, or prefix and a digest of the suffix where that would be too long. */
struct chain_name chain_name(const char *prefix, const char *suffix);
/* The set of one family for a definition's id ("s:..."). */
struct set_name set_name(enum ip_family family, const char *id);
/* The id of what content defines: "PREFIX:" and a digest. Heap. */
char *name_id(const char *prefix, const char *content);

/* Prefixes; "cali-pi-" and "cali-po-" are a policy's ingress and egress chain. */
#define CHAIN_POLICY_IN	   "cali-pi-"
#define CHAIN_POLICY_OUT   "cali-po-"
#define CHAIN_PROFILE_IN   "cali-pri-"
#define CHAIN_PROFILE_OUT  "cali-pro-"
#define CHAIN_GROUP_IN	   "cali-gi-"
#define CHAIN_GROUP_OUT	   "cali-go-"
#define CHAIN_TO_WL	   "cali-tw-"
#define CHAIN_FROM_WL	   "cali-fw-"
#define CHAIN_TO_HOST	   "cali-th-"
#define CHAIN_FROM_HOST	   "cali-fh-"
#define CHAIN_TO_HOST_FW   "cali-thfw-"
#define CHAIN_FROM_HOST_FW "cali-fhfw-"
