/* node_drain.c - margayctl node drain, node undrain: this node leaves the fabric, and comes back */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/ask.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "lib/json.h"

enum { OPT_PAUSE, OPT_TEXT, OPT_NO_WAIT };

enum { LOOK_MS = 200 };

static void nap(void)
{
	const struct timespec ts = { .tv_nsec = LOOK_MS * 1000000L };

	nanosleep(&ts, NULL);
}

/* Ask, print nothing; the drain's state, NULL with the error said. */
static json_t *ask_drain(const struct ctl *c, json_t *question)
{
	struct err e = { 0 };
	json_t *o, *drain;

	if (agent_ask(c, question, &o, &e) < 0) {
		ctl_error("%s", e.msg);
		return NULL;
	}
	drain = json_incref(json_object_get(o, "drain"));
	json_decref(o);
	return drain;
}

static void say(struct ctl *c, const json_t *drain)
{
	static const struct {
		const char *phase, *text;
	} rows[] = {
		{ "none", "This node takes part." },
		{ "announced", "Announced: whoever has another way takes it." },
		{ "withdrawn", "Withdrawn: this node tells no route any more." },
		{ "stopped", "Drained: the sessions have ended." },
	};

	if (c->output == CTL_JSON || c->output == CTL_YAML)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(rows[i].phase, answer_text(drain, "phase")) == 0)
			puts(rows[i].text);
	}
	fflush(stdout);
}

/* Until it is drained; an agent that is started again meanwhile goes on. */
static json_t *follow(struct ctl *c, json_t *drain)
{
	unsigned failed = 0;

	while (strcmp(answer_text(drain, "phase"), "stopped") != 0) {
		struct err e = { 0 };
		json_t *o, *next;

		nap();
		if (agent_ask(c, agent_question("drained"), &o, &e) < 0) {
			if (++failed * LOOK_MS < 30000)
				continue;
			ctl_error("%s", e.msg);
			break;
		}
		failed = 0;
		next = json_incref(json_object_get(o, "drain"));
		json_decref(o);
		if (strcmp(answer_text(next, "phase"), answer_text(drain, "phase")) != 0)
			say(c, next);
		json_decref(drain);
		drain = next;
		if (strcmp(answer_text(drain, "phase"), "none") == 0) {
			ctl_error("somebody has ended the drain meanwhile");
			break;
		}
	}
	return drain;
}

static int result(struct ctl *c, json_t *drain, const char *wanted)
{
	bool good = !wanted || strcmp(answer_text(drain, "phase"), wanted) == 0;

	if (c->output == CTL_JSON || c->output == CTL_YAML)
		ctl_print(c, drain);
	json_decref(drain);
	return good ? CTL_OK : CTL_FAILED;
}

int cmd_node_drain(struct ctl *c, const struct args *a)
{
	json_t *q = agent_question("drain"), *drain;
	uint64_t pause;

	if (a->n_words) {
		json_decref(q);
		return ctl_error("node drain: it is about this node; \"%s\" is too much",
				 a->word[0]);
	}
	if (a->opt[OPT_PAUSE]) {
		if (!parse_u64(a->opt[OPT_PAUSE], INT32_MAX, &pause)) {
			json_decref(q);
			return ctl_error("--pause: must be seconds, is \"%s\"", a->opt[OPT_PAUSE]);
		}
		js_set_int(q, "pauseSeconds", (json_int_t)pause);
	}
	js_set_str(q, "text", a->opt[OPT_TEXT]);
	drain = ask_drain(c, q);
	if (!drain)
		return CTL_FAILED;
	say(c, drain);
	if (a->opt[OPT_NO_WAIT])
		return result(c, drain, NULL);
	return result(c, follow(c, drain), "stopped");
}

int cmd_node_undrain(struct ctl *c, const struct args *a)
{
	json_t *drain = ask_drain(c, agent_question("undrain"));

	(void)a;
	if (!drain)
		return CTL_FAILED;
	say(c, drain);
	return result(c, drain, "none");
}
