/* policy_view.c - what is set for a node of what matters to the way of a packet
 * TESTS  tests/netns/test_policy_explain.py */
#include "ctl/policy_view.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "model/felixlayers.h"

static void view_failsafes(const struct felixconfig *f, struct policy_view *v)
{
	struct render_config *r = &v->render;

	render_failsafes(f->failsafe_in.p, f->failsafe_in.n, &v->in);
	render_failsafes(f->failsafe_out.p, f->failsafe_out.n, &v->out);
	if (f->has_failsafe_in) {
		r->failsafe_in = v->in.p;
		r->n_failsafe_in = v->in.n;
	}
	if (f->has_failsafe_out) {
		r->failsafe_out = v->out.p;
		r->n_failsafe_out = v->out.n;
	}
}

static void view_felix(const struct felixconfig *f, struct policy_view *v)
{
	if (f->has_endpoint_to_host)
		v->render.to_host = render_to_host(f);
	v->render.vxlan_port = (uint16_t)f->vxlan_port;
	v->render.vxlan_from_pods = f->vxlan_from_pods;
	v->render.ipip_from_pods = f->ipip_from_pods;
	view_failsafes(f, v);
}

/* ---- from whom ---- */

/* What holds there, if the agent that answers here is the node's. */
static bool ask_agent(struct ctl *c, const char *node, struct felixconfig *out, struct str *wrong)
{
	json_t *answer = NULL;
	bool own;

	if (agent_ask(c, agent_question("settings"), &answer, NULL) < 0)
		return false;
	own = !strcmp(answer_text(answer, "node"), node);
	if (own) {
		felixconfig_init(out);
		felixconfig_add(out, json_object_get(answer, "settings"), "the agent", wrong);
	}
	json_decref(answer);
	return own;
}

static void read_store(const struct policy_world *w, const char *node, struct felixconfig *out,
		       struct str *wrong)
{
	const struct object *o = policy_world_find(w, "Node", NULL, node);
	const json_t *labels = o ? js_at(o->json, "metadata.labels") : NULL;
	struct object_vec layers = { 0 };

	for (o = NULL; (o = policy_world_next(w, "FelixConfiguration", o));)
		vec_push(&layers, *o);
	felixlayers_read(&layers, node, labels, out, wrong);
	vec_done(&layers);
}

static void note_lines(const char *text, json_t *notes)
{
	for (size_t n; *text; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		CLEANUP(freep) char *line = xstrndup(text, n);

		if (n)
			json_array_append_new(notes, js_text(line));
	}
}

static void note_unasked(const char *node, json_t *notes)
{
	CLEANUP(freep)
	char *text = xasprintf("what margayd of %s was told by options or FELIX_* variables is not "
			       "known here: ask there",
			       node);

	json_array_append_new(notes, js_text(text));
}

void policy_view_read(struct ctl *c, const struct policy_world *w, const char *node, bool of_host,
		      enum ip_family family, struct policy_view *out, json_t *notes)
{
	struct felixconfig f;
	struct str wrong = { 0 };

	*out = (struct policy_view) { .render = render_config_default(family) };
	/* What agents do that are not told otherwise. */
	out->render.to_host = "RETURN";
	if (!node)
		return;
	if (!ask_agent(c, node, &f, &wrong)) {
		read_store(w, node, &f, &wrong);
		if (of_host)
			note_unasked(node, notes);
	}
	view_felix(&f, out);
	note_lines(str_text(&wrong), notes);
	str_done(&wrong);
	felixconfig_done(&f);
}

void policy_view_done(struct policy_view *v)
{
	vec_done(&v->in);
	vec_done(&v->out);
}
