/* cni_assign.c - addresses for one call
 * SPEC  cni.md 3.1 step 5, 5.2 */
#include "agent/cni/cni_assign.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/clock.h"
#include "agent/config.h"
#include "agent/cni/ipam_runner.h"
#include "lib/json.h"
#include "model/wall.h"

/* ---- failures ---- */

struct fail_row {
	enum ipam_fail fail;
	int code; /* enum cni_code */
	const char *remedy;
};

static const struct fail_row fail_rows[] = {
	{ IPAM_FAIL_REQUEST, CNI_BAD_CONFIG, "" },
	{ IPAM_FAIL_NO_POOL, CNI_BAD_CONFIG,
	  "create an IPPool that selects this node (margayctl get ippools -o wide shows what there "
	  "is)" },
	{ IPAM_FAIL_EXHAUSTED, CNI_EXHAUSTED,
	  "add an IPPool, or free addresses: margayctl ipam show --show-blocks says who holds "
	  "them" },
	{ IPAM_FAIL_BLOCK_LIMIT, CNI_EXHAUSTED,
	  "raise maxBlocksPerHost (margayctl ipam configure), or use larger blocks" },
	{ IPAM_FAIL_STRICT, CNI_EXHAUSTED,
	  "add an IPPool, or allow borrowing: margayctl ipam configure --strictaffinity=false" },
	{ IPAM_FAIL_TAKEN, CNI_BAD_CONFIG, "margayctl ipam show --ip=ADDRESS says who holds it" },
	{ IPAM_FAIL_BUSY, CNI_AGAIN, "" },
	{ IPAM_FAIL_UNAVAILABLE, CNI_AGAIN, "see whether the datastore is up and has space" },
	{ IPAM_FAIL_STORE, CNI_IO, "the datastore refuses this write; its own log says more" },
	{ IPAM_FAIL_CORRUPT, CNI_INTERNAL, "margayctl ipam check finds what is broken" },
};

int cni_ipam_fail(struct cni_error *f, enum ipam_fail fail, const char *msg)
{
	for (size_t i = 0; i < ARRAY_SIZE(fail_rows); i++)
		if (fail_rows[i].fail == fail) {
			cni_fail(f, fail_rows[i].code, "%s", msg);
			return cni_remedy(f, "%s", fail_rows[i].remedy);
		}
	return cni_fail(f, CNI_INTERNAL, "%s", msg);
}

/* ---- what was taken ---- */

static bool add_net(struct cni_assigned *got, const struct prefix *net, uint64_t seq, bool had)
{
	if (got->n >= WEP_NETS_MAX)
		return false;
	for (unsigned i = 0; i < got->n_before; i++)
		had = had || addr_eq(&got->before[i].addr, &net->addr);
	got->nets[got->n] = *net;
	got->seq[got->n] = seq;
	got->had[got->n] = had;
	got->held = got->held || had;
	got->n++;
	return true;
}

static void add_op(struct cni_assigned *got, const struct ipam_op *op)
{
	size_t n;
	const struct ipam_addr *a = ipam_op_addrs(op, &n);

	for (size_t i = 0; i < n; i++) {
		const struct prefix net = { .addr = a[i].addr, .len = a[i].block.len };

		add_net(got, &net, a[i].seq, a[i].held);
	}
}

struct ipam_op *cni_assigned_release(const struct cni_assigned *got, struct cni_job *j)
{
	const struct ipam_world *world = ipam_runner_world(j->agent->ipam);
	struct ipam_proof proof[WEP_NETS_MAX];
	struct ipam_release req = { .world = *world, .host = j->agent->cfg->node, .proof = proof };

	if (!got->handle)
		return NULL;
	if (!got->held)
		return got->n || got->unsure
			       ? ipam_release_handle_op(world, j->agent->cfg->node, got->handle)
			       : NULL;
	for (unsigned i = 0; i < got->n; i++)
		if (!got->had[i])
			proof[req.n_proof++] = (struct ipam_proof) { .addr = got->nets[i].addr,
								     .handle = got->handle,
								     .seq = got->seq[i] };
	return req.n_proof ? ipam_release_op(&req) : NULL;
}

void cni_assigned_done(struct cni_assigned *got)
{
	free(got->handle);
	memset(got, 0, sizeof(*got));
}

/* ---- a delegate's result ---- */

static int delegate_net(struct cni_assigned *got, const char *text, struct cni_error *f)
{
	struct prefix p;

	if (!text || !prefix_parse_or_addr(text, &p))
		return cni_fail(f, CNI_DECODE,
				"the IPAM plugin's result: ips[%u].address: must be "
				"ADDRESS/LENGTH, is \"%.64s\"",
				got->n, text ? text : "absent");
	for (unsigned i = 0; i < got->n; i++)
		if (addr_eq(&got->nets[i].addr, &p.addr))
			return 0;
	if (!add_net(got, &p, 0, false))
		return cni_fail(
			f, CNI_UNSUPPORTED,
			"the IPAM plugin's result: more than %d addresses are not supported",
			WEP_NETS_MAX);
	return 0;
}

/* 0.1 and 0.2 have ip4.ip and ip6.ip, later versions ips[].address. */
static int take_delegate(struct cni_assigned *got, const json_t *result, struct cni_error *f)
{
	static const char *const old[] = { "ip4.ip", "ip6.ip" };
	const char *text;
	json_t *list = NULL, *v;
	struct err e = { 0 };
	size_t i;

	if (js_list(result, "ips", &list, &e) < 0)
		return cni_fail(f, CNI_DECODE, "the IPAM plugin's result: %s", e.msg);
	json_array_foreach (list, i, v)
		if (delegate_net(got, json_string_value(json_object_get(v, "address")), f) < 0)
			return -1;
	for (i = 0; i < ARRAY_SIZE(old); i++)
		if (js_str(result, old[i], &text, NULL) == 1 && delegate_net(got, text, f) < 0)
			return -1;
	if (!got->n)
		return cni_fail(f, CNI_DECODE, "the IPAM plugin's result has no address");
	return 0;
}

/* ---- our own pools ---- */

static json_t *owner_attrs(const struct cni_job *j)
{
	json_t *o = json_object();
	char now[WALL_STR_MAX];

	if (j->call.k8s)
		js_set_str(o, "namespace", j->call.pod_namespace);
	js_set_str(o, "node", j->agent->cfg->node);
	if (j->call.k8s)
		js_set_str(o, "pod", j->call.pod_name);
	js_set_str(o, "timestamp", wall_gostring(clock_wall_ns(), now));
	return o;
}

static void submit_next(struct cni_assigned *got);

static void on_op(void *arg, struct ipam_op *op, enum ipam_fail fail, const struct err *e)
{
	struct cni_assigned *got = arg;
	struct cni_error f;

	if (fail != IPAM_FAIL_NONE) {
		got->unsure = fail == IPAM_FAIL_UNAVAILABLE || fail == IPAM_FAIL_BUSY;
		cni_ipam_fail(&f, fail, e->msg);
		got->done(got->arg, &f);
		return;
	}
	add_op(got, op);
	got->at++;
	if (got->at < got->n_wanted)
		submit_next(got);
	else
		got->done(got->arg, NULL);
}

/* The next of the addresses asked for by number. */
static void submit_next(struct cni_assigned *got)
{
	struct agent *a = got->job->agent;
	CLEANUP(js_freep) json_t *attrs = owner_attrs(got->job);
	const struct ipam_assign_ip req = { .world = *ipam_runner_world(a->ipam),
					    .host = a->cfg->node,
					    .handle = got->handle,
					    .attrs = attrs,
					    .addr = got->wanted[got->at] };

	ipam_runner_submit(a->ipam, ipam_assign_ip_op(&req), on_op, got);
}

static void submit_any(struct cni_assigned *got)
{
	const struct cni_call *c = &got->job->call;
	struct agent *a = got->job->agent;
	CLEANUP(js_freep) json_t *attrs = owner_attrs(got->job);
	const struct ipam_assign req = {
		.world = *ipam_runner_world(a->ipam),
		.host = a->cfg->node,
		.handle = got->handle,
		.attrs = attrs,
		.use = IPAM_USE_WORKLOAD,
		.want_v4 = c->want_v4,
		.want_v6 = c->want_v6,
		.pools_v4 = { c->pools_v4, c->n_pools_v4 },
		.pools_v6 = { c->pools_v6, c->n_pools_v6 },
		.all_or_nothing = true,
	};

	ipam_runner_submit(a->ipam, ipam_assign_op(&req), on_op, got);
}

void cni_assign(struct cni_assigned *got, struct cni_job *j, cni_done_fn *done, void *arg)
{
	const struct cni_call *c = &j->call;
	struct cni_error f;

	got->job = j;
	got->done = done;
	got->arg = arg;
	if (c->delegated) {
		done(arg, take_delegate(got, c->ipam_result, &f) < 0 ? &f : NULL);
		return;
	}
	got->handle = cni_call_handle(c);
	if (c->ip_v4.family != IP_NONE)
		got->wanted[got->n_wanted++] = c->ip_v4;
	if (c->ip_v6.family != IP_NONE)
		got->wanted[got->n_wanted++] = c->ip_v6;
	if (got->n_wanted)
		submit_next(got);
	else
		submit_any(got);
}
