/* policy_question.h - the packet that margayctl policy explain is asked about, and what is answered. */
#pragma once

#include "ctl/policy_ends.h"

struct args;

struct policy_question {
	struct ctl *ctl;
	const struct args *args;
	struct policy_world world;
	struct policy_end from, to;
	struct explain_packet packet;
	struct proto_spec proto;
	json_t *notes;
};

/* The packet by the command's options; the world is loaded. */
int policy_question_read(struct policy_question *q, struct err *e);
/* The answer as a new object: ends, packet, verdict, stages with their steps, notes. */
json_t *policy_answer(struct policy_question *q);
