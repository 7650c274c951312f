/* why.h - why one prefix is told to one peer, or is not: the questions that an export asks, with their
 * answers.
 *
 * SHAPE  Nothing here decides: the functions that decide (decide.c, filter.c, export.c, pack.c) are asked
 *        again with a trace, for one prefix and one peer. What they say now is compared with what the
 *        peer has been told. */
#pragma once

#include "bgp/speaker.h"
#include "lib/vec.h"

enum bgp_why_verdict {
	BGP_WHY_TOLD,	  /* it has it, as it shall */
	BGP_WHY_NOT_TOLD, /* and shall not have it */
	BGP_WHY_WAITS, /* it shall have it, or another form of it, or have it no more: not sent yet */
};

const char *bgp_why_verdict_name(enum bgp_why_verdict v); /* "not-told" */

struct bgp_why_step {
	char question[96];
	char answer[256];
};

struct bgp_why {
	const struct bgp_peer_config *peer; /* borrowed until the next call into the speaker */
	enum bgp_why_verdict verdict;
	const char *rule; /* what decided, for programs: "own-block", "no-path", "session" ... */
	char text[256];	  /* the same in words */
	VEC(struct bgp_why_step) steps;
	/* the rule of a BGPFilter that decided; filter[0] is 0: none did */
	char filter[64];
	unsigned rule_number;
	struct bgp_attrs *attrs; /* in what form it is told (the first path); NULL: not at all */
	struct bgp_speaker *sp;
};

/* Ask about session number `peer` in the order of bgp_speaker_peer_status. False: there is none. After
 * true bgp_why_done is due, before the speaker is freed. */
bool bgp_speaker_why(struct bgp_speaker *sp, const struct prefix *prefix, size_t peer,
		     struct bgp_why *out);
void bgp_why_done(struct bgp_why *w);
