/* ipam_load.h - what the ipam commands look at: pools, settings, blocks. */
#pragma once

#include "ctl/ipam_run.h"
#include "ipam/report.h"
#include "model/ipamconfig.h"

struct ipam_load {
	struct ipam_facts facts;
	struct ipamconfig config;
	int64_t config_rev; /* 0: there is none, these are the defaults */
	struct ipam_blocks blocks;
};

/* Open the datastore and read all of it. Negative errno with words. */
int ipam_load(struct ctl *c, struct ipam_load *l, struct err *e);
/* Only the settings. */
int ipam_load_config(struct ctl *c, struct ipamconfig *config, int64_t *rev, struct err *e);
void ipam_load_done(struct ipam_load *l);
/* Blocks that could not be read, to stderr. How many. */
size_t ipam_load_complain(const struct ipam_load *l);
/* Text from the store, with '?' for control characters; returns it. NULL gives "". */
char *ipam_clean(char *text);
