/* verbs.c - what `margay` does for each verb
 * SHAPE  ADD is two halves with the veth between them:
 *
 *	[delegate ADD]  ADD -> agent          address, host interface name, MTU
 *	                veth, routes, sysctls  (podns.c)
 *	                READY -> agent        endpoint, policy, host route, sysctls
 *	                result
 *
 *        Everything that was done is undone in the reverse order when a later step fails: the veth
 *        first, so that the address is free only when nobody uses it any more.
 * WHY    When the agent dies between the halves nobody can say whether it had given the address
 *        already: a DEL is sent to its successor, or noted in the journal for it. */
#include "cni-plugin/verbs.h"

#include <stdio.h>
#include <string.h>

#include "cni-plugin/agent.h"
#include "cni-plugin/answer.h"
#include "cni-plugin/delegate.h"
#include "cni-plugin/io.h"
#include "cni-plugin/journal.h"
#include "cni-plugin/podns.h"
#include "cni-plugin/result.h"
#include "lib/json.h"

static int bad_netns(const struct conf *c)
{
	return conf_version_from(c, "1.1.0") ? CNI_BAD_NETNS : CNI_BAD_ENV;
}

/* One request on a connection of its own. *lost: nobody was there to hear it. */
static int tell_agent(const char *op, const struct env *env, const struct conf *c,
		      uint64_t deadline_ms, bool *lost, struct cni_error *f)
{
	CLEANUP(js_freep) json_t *request = agent_request(op, env, c);
	struct agent a;
	int rc = agent_open(&a, c->agent_socket, deadline_ms, f);

	if (rc == 0)
		rc = agent_call(&a, request, NULL, f);
	if (lost)
		*lost = a.lost;
	agent_close(&a);
	return rc;
}

/* DEL at the agent, or in the journal when there is none. */
static int release(const struct env *env, const struct conf *c, uint64_t deadline_ms,
		   struct cni_error *f)
{
	CLEANUP(js_freep) json_t *request = NULL;
	bool lost = false;
	int rc = tell_agent("DEL", env, c, deadline_ms, &lost, f);

	if (rc == 0 || !lost)
		return rc;
	request = agent_request("DEL", env, c);
	return journal_add(c->state_dir, env, request, f);
}

struct add {
	const struct env *env;
	const struct conf *c;
	struct podns ns;
	struct agent agent;
	json_t *ipam; /* a delegate's result */
	struct answer answer;
	struct podlink link;
	bool asked, linked; /* the agent may have given an address; the veth stands */
};

/* The veth is gone already. Say so to the agent that still listens, else to whoever comes next. */
static void give_back(struct add *a, const char *why)
{
	CLEANUP(js_freep) json_t *request = json_object();
	struct cni_error ignored = { 0 };

	if (!a->asked)
		return;
	js_set_str(request, "op", "ABORT");
	js_set_str(request, "msg", why);
	a->agent.deadline_ms = io_now_ms() + IO_UNDO_MS;
	if (a->agent.fd >= 0 && agent_call(&a->agent, request, NULL, &ignored) == 0)
		return;
	agent_close(&a->agent);
	if (release(a->env, a->c, io_now_ms() + IO_UNDO_MS, &ignored) < 0)
		fprintf(stderr, "margay: giving the address of %s back: %s\n", a->env->container_id,
			ignored.msg);
}

static void undo(struct add *a, const char *why)
{
	struct cni_error ignored = { 0 };

	io_shield();
	if (a->linked && podns_remove(&a->ns, a->env->ifname, &ignored) < 0)
		fprintf(stderr, "margay: %s\n", ignored.msg);
	give_back(a, why);
	if (a->ipam &&
	    delegate_run("DEL", a->c, a->env, io_now_ms() + IO_UNDO_MS, NULL, &ignored) < 0)
		fprintf(stderr, "margay: %s\n", ignored.msg);
}

static int ask(struct add *a, uint64_t deadline_ms, struct cni_error *f)
{
	CLEANUP(js_freep) json_t *request = agent_request("ADD", a->env, a->c);
	CLEANUP(js_freep) json_t *reply = NULL;
	int rc;

	if (a->ipam)
		js_set(request, "ipamResult", json_incref(a->ipam));
	if (agent_open(&a->agent, a->c->agent_socket, deadline_ms, f) < 0)
		return -1;
	a->asked = true;
	rc = agent_call(&a->agent, request, &reply, f);
	if (rc == 0)
		return answer_parse(&a->answer, reply, f);
	/* It said no: then it has given nothing, and there is nothing to give back. */
	if (a->agent.fd >= 0 && !a->agent.lost && !io_interrupted())
		a->asked = false;
	return rc;
}

static int ready(struct add *a, struct cni_error *f)
{
	CLEANUP(js_freep) json_t *request = json_object();
	char mac[MAC_STR_MAX];

	js_set_str(request, "op", "READY");
	js_set_str(request, "mac", mac_format(a->link.mac, mac));
	js_set_int(request, "hostIfindex", a->link.host_index);
	return agent_call(&a->agent, request, NULL, f);
}

static int add_steps(struct add *a, uint64_t deadline_ms, struct cni_error *f)
{
	if (podns_open(&a->ns, a->env, bad_netns(a->c), f) < 0)
		return -1;
	/* Before anything is asked of anybody: an interface that works must not lose its address
	 * because ADD came twice. */
	if (podns_index(&a->ns, a->env->ifname))
		return cni_fail(f, CNI_BAD_ENV,
				"CNI_IFNAME: %s exists already in %.128s; a second ADD "
				"needs a DEL before it",
				a->env->ifname, a->env->netns);
	if (a->c->delegated && delegate_run("ADD", a->c, a->env, deadline_ms, &a->ipam, f) < 0) {
		a->ipam = json_object(); /* half done is possible: it gets its DEL */
		return -1;
	}
	if (ask(a, deadline_ms, f) < 0)
		return -1;
	if (podns_make(&a->ns, a->env, &a->answer, &a->link, f) < 0)
		return -1;
	a->linked = true;
	if (ready(a, f) == 0)
		return 0;
	/* Stopped while it was at work on READY: it may finish, and ABORT would come too late. DEL
	 * takes back whatever there is by then. */
	if (io_interrupted())
		agent_close(&a->agent);
	return -1;
}

int verb_add(const struct env *env, const struct conf *c, char **out, struct cni_error *f)
{
	struct add a = { .env = env, .c = c, .agent.fd = -1 };
	int rc;

	a.ns = (struct podns) { .pod = -1, .host = -1, .nl.fd = -1 };
	rc = add_steps(&a, io_now_ms() + IO_BUDGET_MS, f);
	if (rc < 0)
		undo(&a, f->msg);
	else
		*out = result_json(c, env, &a.answer, a.link.mac, json_object_get(a.ipam, "dns"));
	agent_close(&a.agent);
	podns_close(&a.ns);
	js_freep(&a.ipam);
	return rc;
}

/* The pod's side of DEL. No namespace, no interface: done already. */
static int remove_link(const struct env *env, const struct conf *c, struct cni_error *f)
{
	struct podns ns;
	int rc = 0;

	if (!*env->netns)
		return 0;
	if (podns_open(&ns, env, bad_netns(c), f) == 0)
		rc = podns_remove(&ns, env->ifname, f);
	else if (!ns.gone)
		rc = -1;
	podns_close(&ns);
	return rc;
}

int verb_del(const struct env *env, const struct conf *c, char **out, struct cni_error *f)
{
	uint64_t deadline_ms = io_now_ms() + IO_BUDGET_MS;
	struct cni_error later = { 0 };
	int rc;

	if (remove_link(env, c, f) < 0)
		return -1;
	/* Both are tried whatever the other says: DEL frees as much as it can. */
	rc = c->delegated ? delegate_run("DEL", c, env, deadline_ms, NULL, f) : 0;
	if (release(env, c, deadline_ms, rc < 0 ? &later : f) < 0)
		return -1;
	return rc;
}

void verb_add_undo(const struct env *env, const struct conf *c)
{
	struct cni_error f = { 0 };
	char *out = NULL;

	io_shield();
	if (verb_del(env, c, &out, &f) < 0)
		fprintf(stderr, "margay: taking back an ADD: %s\n", f.msg);
}

int verb_status(const struct env *env, const struct conf *c, char **out, struct cni_error *f)
{
	uint64_t deadline_ms = io_now_ms() + IO_BUDGET_MS;
	bool lost = false;

	if (tell_agent("STATUS", env, c, deadline_ms, &lost, f) < 0) {
		if (lost)
			f->code = CNI_NOT_AVAILABLE;
		return -1;
	}
	return c->delegated ? delegate_run("STATUS", c, env, deadline_ms, NULL, f) : 0;
}

int verb_gc(const struct env *env, const struct conf *c, char **out, struct cni_error *f)
{
	uint64_t deadline_ms = io_now_ms() + IO_BUDGET_MS;
	struct cni_error later = { 0 };
	int rc = c->delegated ? delegate_run("GC", c, env, deadline_ms, NULL, f) : 0;

	if (tell_agent("GC", env, c, deadline_ms, NULL, rc < 0 ? &later : f) < 0)
		return -1;
	return rc;
}
