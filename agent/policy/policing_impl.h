/* policing_impl.h - inside of the part; for policing*.c only. */
#pragma once

#include <event2/event.h>
#include <uthash.h>

#include "agent/policy/cluster_sets.h"
#include "agent/policy/cutting.h"
#include "agent/policy/policing.h"
#include "agent/policy/policy_feed.h"
#include "agent/policy/policy_kernel.h"
#include "agent/policy/policy_settings.h"
#include "agent/policy/policy_show.h"
#include "dataplane/filter.h"
#include "dataplane/iptables_backend.h"
#include "dataplane/iptables_sweep.h"

struct policing_wait {
	struct policing_wait *next, *prev;
	struct policing *p;
	char *interface;
	uint64_t seq;
	int64_t until_ms;
	policing_fn *fn;
	void *arg;
};

/* What the kernel or a driver refuses, until it is right again. */
struct grief {
	UT_hash_handle hh;
	char *name, *text;
};

struct policing {
	struct agent *agent;
	bool on; /* policy is enforced; else only what the network needs of the filter */
	struct calc *calc;
	struct policy_feed *feed;
	struct policy_show *show;
	struct cutting *cutting; /* NULL: flows live on */
	struct cluster_sets *net;
	bool net_dirty, net_rules; /* members changed; or rules */
	char *own;		   /* how the names of this node's endpoints begin */
	char *mark;		   /* file that says that rules in the kernel are ours */

	/* the drivers; NULL before the first complete picture, and when they cannot be had */
	struct policy_settings set;
	struct str set_wrong;
	struct policy_kernel *kernel;
	struct filter *filter;
	struct ipt_choice choice;
	bool chains_by_pod; /* Calico's are there: they stay as they are */
	bool v6;
	char no_v6[160];  /* why IPv6 rules cannot be written; "": they can */
	char broken[320]; /* nothing can be done at all */
	bool restate;	  /* make them anew */
	struct grief *griefs;

	struct event *turn, *patience, *again;
	struct ipt_sweep *sweep;
	bool running; /* within our own filter_run: what follows looks at what came of it */
	bool links_dirty;
	uint64_t fed, stated;
	bool urgent;		    /* what was fed is not only pods of other nodes */
	bool batch;		    /* one is being written, */
	int64_t begun_ms, ended_ms; /* or was */
	bool enforced_once;	    /* since the drivers were made */
	bool ever;		    /* in this life */
	struct policing_wait waits; /* head of a ring */
};

/* policing.c */
void policing_turn_soon(struct policing *p);
/* When the rest between two batches is over. */
void policing_turn_in_time(struct policing *p);
/* Flush the calculation for all but the drivers. */
void policing_flush(struct policing *p);

/* Is there anything that this agent has to write at all? */
bool policing_needs_filter(const struct policing *p);
/* Without policy, rules for NAT or a tunnel. */
bool policing_serves_network(const struct policing *p);

/* policing_drivers.c */

/* Make the drivers, or make them anew, and state all that is calculated to them. */
void policing_open(struct policing *p);
void policing_close(struct policing *p);
void policing_griefs_done(struct policing *p);
/* Pods get IPv6 addresses here, or may soon. */
bool policing_wants_v6(const struct policing *p);
/* Are the settings other than those that the drivers were made with? */
bool policing_settings_differ(const struct policing *p);
/* Did an agent that enforced policy leave rules here? Say so, or that they are gone. */
bool policing_marked(const struct policing *p);
void policing_set_mark(const struct policing *p, bool there);

/* policing_wait.c */
void policing_answer_waits(struct policing *p);
void policing_on_patience(evutil_socket_t fd, short what, void *arg);
bool policing_has_waits(const struct policing *p);
/* Nobody is called. */
void policing_waits_done(struct policing *p);
