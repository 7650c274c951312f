/* cni_add.c - ADD, in two halves with the plugin's veth between them
 *
 *	ASSIGN   the machine of ipam/ takes the addresses (a delegate's are taken as they are)
 *	VETH     first answer is out; the plugin makes the veth and says READY, or not; the pod's
 *		 policy is on its way to the kernel
 *	PROFILE  the profiles that the endpoint names are stored, where they are not yet
 *	STORE    route, sysctls, neighbours in the kernel; the WorkloadEndpoint on its way to the
 *		 store: the answer waits for it and for the policy
 *	UNDO     something went wrong: everything above backwards, then the answer
 *
 * WHY    From the first to the last moment a note in STATE_DIR/cni-adding says how to undo it (a
 *DEL of this container), so that the agent's end in the middle leaks nothing. The note goes before
 *the last answer: after it the runtime's own DEL is responsible. INVARIANTS  An ADD ends by exactly
 *one of add_done and add_undone; addresses that the container had before this ADD (ADD repeated)
 *are never given back by its failure. SPEC   cni.md 3, 7.5, 7.7 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cache.h"
#include "agent/clock.h"
#include "agent/cni/cni_assign.h"
#include "agent/cni/cni_job.h"
#include "agent/cni/cni_server.h"
#include "agent/config.h"
#include "agent/cni/endpoints.h"
#include "agent/cni/ipam_runner.h"
#include "agent/cni/journal.h"
#include "agent/log.h"
#include "agent/cni/node_mtu.h"
#include "agent/policy/policing.h"
#include "agent/policy/profiles.h"
#include "agent/cni/uuid.h"
#include "agent/cni/epobj_store.h"
#include "dataplane/veth.h"
#include "lib/json.h"

enum add_stage { ADD_ASSIGN, ADD_VETH, ADD_PROFILE, ADD_STORE, ADD_UNDO };

struct add {
	struct cni_job *job;
	enum add_stage stage;
	char *key, *siblings; /* of the endpoint; what those of the same pod begin with */
	char ifname[WEP_IFNAME_MAX];
	struct cni_assigned got;
	char mac[18];
	uint32_t ifindex;
	struct policing_wait *wait; /* for its policy */
	bool storing;		    /* the store has not answered yet */
	bool policed;		    /* its policy was begun */
	char *stale_key; /* an endpoint of a dead container of the same pod, under another name */
	char *stale_id;
	bool noted, attached, stored;
	bool aborted; /* the plugin said so: the answer is ok */
	bool failed;  /* why is set; undo as soon as the step at hand is over */
	bool away;    /* the store does not take writes: undoing now would only wait for it again */
	struct cni_error why;
};

static void add_free(struct cni_job *j)
{
	struct add *a = j->op;

	policing_wait_stop(a->wait);
	cni_assigned_done(&a->got);
	free(a->key);
	free(a->siblings);
	free(a->stale_key);
	free(a->stale_id);
	free(a);
}

/* ---- undo ---- */

static void note_drop(struct add *a)
{
	if (a->noted)
		journal_drop(cni_adding(a->job->server), a->job->call.container_id,
			     a->job->call.ifname);
	a->noted = false;
}

static void add_undone(struct add *a)
{
	struct cni_job *j = a->job;
	struct cni_error why = a->why;
	bool ok = a->aborted;

	note_drop(a);
	if (ok)
		cni_job_ok(j, NULL);
	else
		cni_job_fail(j, &why);
}

/* The addresses stay taken: the DEL that is noted gives them back, now from the journal. Not when
 * the container had addresses before: its DEL would take those as well. */
static void undo_later(struct add *a, const char *why)
{
	struct cni_job *j = a->job;
	CLEANUP(freep) char *line = cni_del_line(&j->call);
	struct err e = { 0 };

	log_warn("cni", "a failed ADD cannot be undone now, it is noted for later", "who=%s why=%s",
		 j->who, why);
	if (!a->got.held && journal_keep(cni_journal(j->server), j->call.container_id,
					 j->call.ifname, line, &e) < 0)
		log_error("cni", "a failed ADD leaves addresses taken until the runtime's DEL",
			  "who=%s why=%s", j->who, e.msg);
	add_undone(a);
}

static void on_released(void *arg, struct ipam_op *op, enum ipam_fail fail, const struct err *e)
{
	struct add *a = arg;

	if (fail == IPAM_FAIL_NONE)
		add_undone(a);
	else
		undo_later(a, e->msg);
}

static void undo_addresses(struct add *a)
{
	struct cni_job *j = a->job;
	struct ipam_op *op = cni_assigned_release(&a->got, j);

	if (op)
		ipam_runner_submit(j->agent->ipam, op, on_released, a);
	else
		add_undone(a);
}

static void on_wep_removed(void *arg, const struct store_res *res)
{
	struct add *a = arg;

	if (res->status == STORE_OK || res->status == STORE_NOT_FOUND)
		undo_addresses(a);
	else
		undo_later(a, res->msg);
}

static void undo(struct add *a)
{
	struct cni_job *j = a->job;

	a->stage = ADD_UNDO;
	j->on_line = NULL;
	if (a->attached)
		endpoints_detach(j->agent->endpoints, a->key, j->call.container_id);
	a->attached = false;
	if (a->policed)
		policing_unexpect(j->agent->policing, a->key);
	if (a->away)
		undo_later(a, a->why.msg);
	else if (a->stored)
		epobj_remove(j->agent, a->key, j->call.container_id, on_wep_removed, a);
	else
		undo_addresses(a);
}

/* Take it back: now when nothing is under way, else when that is over. */
static void give_up(struct add *a)
{
	a->failed = true;
	if (a->stage == ADD_VETH)
		undo(a);
}

static void on_gone(struct cni_job *j)
{
	struct add *a = j->op;

	if (a->stage == ADD_UNDO || a->failed)
		return;
	cni_fail(&a->why, CNI_AGAIN, "the plugin went away in the middle of ADD");
	give_up(a);
}

void cni_add_cancel(struct cni_job *j, const char *why)
{
	struct add *a = j->op;

	if (a->stage == ADD_UNDO || a->failed)
		return;
	cni_fail(&a->why, CNI_AGAIN, "%s", why);
	give_up(a);
}

/* ---- second half ---- */

static char *make_wep(void *arg, const char *old)
{
	struct add *a = arg;
	char uid[UUID_STR_MAX];
	const struct epobj_new w = { .call = &a->job->call,
				     .node = a->job->agent->cfg->node,
				     .host_ifname = a->ifname,
				     .mac = *a->mac ? a->mac : NULL,
				     .nets = a->got.nets,
				     .n_nets = a->got.n,
				     .uid = uuid_random(uid),
				     .now_ns = clock_wall_ns(),
				     .old = old };

	return epobj_encode(&w);
}

static void ignore_wep(void *arg, const struct store_res *res)
{
}

static void add_done(struct add *a)
{
	struct cni_job *j = a->job;

	if (a->stale_key)
		epobj_remove(j->agent, a->stale_key, a->stale_id, ignore_wep, NULL);
	note_drop(a);
	log_info("cni", "attached", "who=%s container=%s interface=%s", j->who,
		 j->call.container_id, a->ifname);
	cni_job_ok(j, NULL);
}

/* Neither store nor policy is still to come. */
static void settle(struct add *a)
{
	if (a->storing || (a->wait && !a->failed))
		return;
	policing_wait_stop(TAKE(a->wait));
	if (a->failed)
		undo(a);
	else
		add_done(a);
}

static void on_policed(void *arg, const char *why)
{
	struct add *a = arg;

	a->wait = NULL;
	if (why && !a->failed) {
		a->failed = true;
		cni_fail(&a->why, CNI_AGAIN, "the policy of %s is not in the kernel: %s",
			 a->job->who, why);
		cni_remedy(&a->why, "see margayctl node status and the agent's log");
	}
	settle(a);
}

static void on_stored(void *arg, const struct store_res *res)
{
	struct add *a = arg;

	a->storing = false;
	if (res->status == STORE_UNAVAILABLE)
		a->away = true;
	if (res->status != STORE_OK && !a->failed) {
		a->failed = true;
		cni_store_fail(&a->why, res, "WorkloadEndpoint");
	}
	settle(a);
}

static int attach(struct add *a, const char *text)
{
	struct err e = { 0 };
	struct epobj w;
	int rc = epobj_decode(&w, text, &e);

	if (!rc) {
		rc = endpoints_attach(a->job->agent->endpoints, a->key, &w, a->ifindex, &e);
		epobj_done(&w);
	}
	if (rc < 0)
		cni_fail(&a->why, rc == -EAGAIN || rc == -ENODEV ? CNI_AGAIN : CNI_INTERNAL,
			 "the host's side of %s: %s", a->job->who, e.msg);
	return rc;
}

/* Policy, store and routes are worked on at the same time: each of them mostly waits. The packets of
 * the pod are dropped until its policy is in force. */
static void store_and_police(struct add *a)
{
	struct agent *agent = a->job->agent;
	CLEANUP(freep) char *text = make_wep(a, NULL);

	a->stage = ADD_STORE;
	if (a->policed)
		a->wait = policing_wait(agent->policing, a->ifname, on_policed, a);
	a->stored = a->storing = true;
	epobj_put(agent, a->key, make_wep, on_stored, a);
	a->attached = attach(a, text) == 0;
	if (!a->attached)
		a->failed = true;
}

static void on_profiles(void *arg, const struct cni_error *why)
{
	struct add *a = arg;

	if (why && !a->failed) {
		a->failed = true;
		a->why = *why;
	}
	if (a->failed)
		undo(a);
	else
		store_and_police(a);
}

static void on_ready(struct add *a, uint32_t ifindex)
{
	a->stage = ADD_PROFILE;
	a->ifindex = ifindex;
	profiles_ensure(a->job->agent, &a->job->call, on_profiles, a);
}

static int read_ready(struct add *a, const json_t *o, int64_t *ifindex)
{
	const char *mac = NULL;
	uint8_t bytes[6];
	struct err e = { 0 };

	if (js_need(js_str(o, "mac", &mac, &e), "mac", &e) < 0 ||
	    js_need(js_int(o, "hostIfindex", 1, INT32_MAX, ifindex, &e), "hostIfindex", &e) < 0)
		return cni_fail(&a->why, CNI_DECODE, "READY: %s", e.msg);
	if (!mac_parse(mac, bytes))
		return cni_fail(&a->why, CNI_DECODE,
				"READY: mac \"%.32s\": must be six bytes in hex with colons", mac);
	str_copy(a->mac, sizeof(a->mac), mac);
	return 0;
}

static void on_line(struct cni_job *j, const char *line, size_t len)
{
	CLEANUP(js_freep) json_t *o = NULL;
	struct add *a = j->op;
	const char *op = "", *msg = "";
	struct err e = { 0 };
	int64_t ifindex = 0;

	if (js_parse(line, len, &o, &e) < 0) {
		cni_fail(&a->why, CNI_DECODE, "second request: %s", e.msg);
	} else if (js_str(o, "op", &op, NULL) == 1 && !strcmp(op, "READY")) {
		if (read_ready(a, o, &ifindex) == 0) {
			on_ready(a, (uint32_t)ifindex);
			return;
		}
	} else if (!strcmp(op, "ABORT")) {
		js_str(o, "msg", &msg, NULL);
		log_info("cni", "the plugin gave an ADD up", "who=%s why=%s", j->who, msg);
		a->aborted = true;
	} else {
		cni_fail(&a->why, CNI_DECODE,
			 "second request: op \"%.32s\": must be READY or ABORT", op);
	}
	give_up(a);
}

/* ---- first half ---- */

static json_t *first_answer(const struct add *a)
{
	const struct cni_call *c = &a->job->call;
	json_t *o = json_object(), *ips = json_array();
	char buf[PREFIX_STR_MAX];

	js_set_str(o, "hostInterface", a->ifname);
	js_set_str(o, "hostMac", "ee:ee:ee:ee:ee:ee");
	js_set_int(o, "mtu", c->mtu ? c->mtu : node_mtu(a->job->agent));
	for (unsigned i = 0; i < a->got.n; i++) {
		struct prefix host = prefix_of(&a->got.nets[i].addr, 128);
		json_t *ip = json_object();

		js_set_str(ip, "address", prefix_format(&host, buf));
		json_array_append_new(ips, ip);
	}
	js_set(o, "ips", ips);
	if (c->routes)
		js_set(o, "routes", json_incref(c->routes));
	js_set_str(o, "mac", c->mac);
	js_set_bool(o, "ipForward", c->ip_forward);
	js_set_int(o, "numQueues", c->num_queues ? c->num_queues : 1);
	return o;
}

/* All that policy goes by is known before there is an interface: its chains are written while the
 * plugin makes that. */
static void police(struct add *a)
{
	struct policing *p = a->job->agent->policing;
	CLEANUP(freep) char *text = NULL;

	if (!policing_on(p))
		return;
	text = make_wep(a, NULL);
	a->policed = true;
	policing_expect(p, a->key, text);
}

static void answer_first(struct add *a)
{
	struct cni_job *j = a->job;

	a->stage = ADD_VETH;
	j->on_line = on_line;
	cni_job_say(j, first_answer(a), CNI_VETH_S);
	police(a);
}

/* An address that the rules do not cover would be open. */
static void check_policed(struct add *a)
{
	struct err e = { 0 };

	for (unsigned i = 0; i < a->got.n && !a->failed; i++) {
		enum ip_family family = a->got.nets[i].addr.family;

		if (policing_can(a->job->agent->policing, family, &e))
			continue;
		a->failed = true;
		cni_fail(&a->why, CNI_AGAIN, "%s", e.msg);
	}
}

static void on_assigned(void *arg, const struct cni_error *f)
{
	struct add *a = arg;

	a->away = a->got.unsure;
	if (f && !a->failed) {
		a->failed = true;
		a->why = *f;
	}
	check_policed(a);
	if (a->failed)
		undo(a);
	else
		answer_first(a);
}

/* One endpoint a pod. One of another container is of a dead sandbox: it is replaced. One of this
 * container under another interface name would be a second attachment. */
static bool look_at_sibling(void *arg, const struct store_kv *kv)
{
	struct add *a = arg;
	const struct cni_call *c = &a->job->call;
	struct epobj w;

	if (!strcmp(kv->key, a->key) || !epobj_is_sibling(a->siblings, kv->key) ||
	    epobj_decode(&w, kv->value, NULL) < 0)
		return true;
	if (!strcmp(w.container_id, c->container_id)) {
		cni_fail(
			&a->why, CNI_BAD_CONFIG,
			"CNI_IFNAME %s: %s already has a margay interface, %s; one for each pod is "
			"possible",
			c->ifname, a->job->who, w.endpoint);
		cni_remedy(&a->why,
			   "for further interfaces use another plugin, such as macvlan or bridge "
			   "with margay-ipam or host-local");
		a->failed = true;
	} else if (!a->stale_key) {
		a->stale_key = xstrdup(kv->key);
		a->stale_id = xstrdup(w.container_id);
	}
	epobj_done(&w);
	return !a->failed;
}

/* The endpoint stands already: its addresses are not this ADD's to give back. */
static void look_at_own(struct add *a)
{
	const struct store_kv *kv = cache_get(a->job->agent->cache, a->key);
	struct epobj w;

	if (!kv || epobj_decode(&w, kv->value, NULL) < 0)
		return;
	if (!strcmp(w.container_id, a->job->call.container_id)) {
		memcpy(a->got.before, w.nets, sizeof(w.nets));
		a->got.n_before = w.n_nets;
		a->got.held = true;
	}
	epobj_done(&w);
}

static int check_identity(struct add *a)
{
	struct cni_job *j = a->job;
	const char *node = NULL;

	if (cni_job_find(j->server, "ADD", j->call.container_id, j->call.ifname, j))
		return cni_fail(&a->why, CNI_AGAIN, "another ADD of %s %s is under way",
				j->call.container_id, j->call.ifname);
	if (journal_hurry(cni_journal(j->server), j->call.container_id, j->call.ifname))
		return cni_fail(&a->why, CNI_AGAIN,
				"the last DEL of %s %s is still to be carried out",
				j->call.container_id, j->call.ifname);
	/* Calico's installers put the node's name into the list; "__KUBERNETES_NODE_NAME__" is a
	 * template that nobody filled in. */
	if (js_str(j->call.config, "nodename", &node, NULL) == 1 && *node && *node != '_' &&
	    strcmp(node, j->agent->cfg->node) != 0)
		return cni_fail(&a->why, CNI_BAD_CONFIG,
				"network configuration: nodename \"%.64s\": this agent's node is "
				"\"%s\"; leave "
				"the key away, or point agent_socket to the right agent",
				node, j->agent->cfg->node);
	cache_each(j->agent->cache, a->siblings, look_at_sibling, a);
	look_at_own(a);
	return a->failed ? -1 : 0;
}

static int note_add(struct add *a)
{
	struct cni_job *j = a->job;
	CLEANUP(freep) char *line = cni_del_line(&j->call);
	struct err e = { 0 };

	if (journal_note(cni_adding(j->server), j->call.container_id, j->call.ifname, line, &e) <
	    0) {
		cni_fail(&a->why, CNI_AGAIN, "%s", e.msg);
		return cni_remedy(&a->why, "the agent's state directory must be writable");
	}
	a->noted = true;
	return 0;
}

void cni_op_add(struct cni_job *j)
{
	struct add *a = xcalloc(1, sizeof(*a));
	struct cni_error f;

	j->op = a;
	j->op_free = add_free;
	a->job = j;
	a->key = epobj_key(&j->call, j->agent->cfg->node);
	a->siblings = epobj_key_siblings(&j->call, j->agent->cfg->node);
	epobj_host_ifname(j->agent->cfg->interface_prefix, &j->call, a->ifname);
	if (cni_ready(j->agent, &a->why) < 0 || check_identity(a) < 0 || note_add(a) < 0) {
		f = a->why;
		cni_job_fail(j, &f);
		return;
	}
	j->on_gone = on_gone;
	cni_assign(&a->got, j, on_assigned, a);
}
