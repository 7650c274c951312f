/* policy_calc.c - network policy's calculation: the first state of a node in a large cluster, and what
 * changes cost after that
 *
 *	policy_calc [ENDPOINTS [POLICIES [LOCAL]]]	100000 2000 250
 *
 * Namespaces of 100 pods, each with its share of policies: a third Kubernetes' default-deny with an
 * allow by label, a third that look into namespaces by label, a third Calico's with two selectors. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "lib/str.h"
#include "model/object.h"
#include "policy/calc.h"
#include "policy/k8s.h"
#include "policy/tables.h"

enum { PODS_EACH = 100, APPS = 20 };

static unsigned n_endpoints = 100000, n_policies = 2000, n_local = 250;

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double rss_mb(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = 0;

	if (f) {
		if (fscanf(f, "%*d %ld", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	return (double)pages * 4096 / 1e6;
}

static unsigned n_namespaces(void)
{
	return n_endpoints / PODS_EACH;
}

/* variant: the same pod with other labels. */
static void feed_pod(struct calc *c, unsigned i, unsigned variant)
{
	char id[64], ns[32], app[32], hash[32], name[32], kns[32], ksa[48], iface[16];
	const char *profiles[] = { kns, ksa };
	unsigned n = i / PODS_EACH, app_n = (i + variant) % APPS;
	struct label labels[] = {
		{ "app", app },
		{ "pod-template-hash", hash },
		{ "tier", app_n % 2 ? "front" : "back" },
		{ "statefulset.kubernetes.io/pod-name", name },
		{ "projectcalico.org/namespace", ns },
		{ "projectcalico.org/orchestrator", "k8s" },
		{ "projectcalico.org/serviceaccount", "default" },
	};
	struct addr a = addr_v4(0x0a000000u + i);
	struct prefix net = prefix_of(&a, 32);
	struct endpoint_port port = { "http", 6, 8080 };
	bool local = i % (n_endpoints / n_local) == 0 && i / (n_endpoints / n_local) < n_local;
	struct endpoint e = { .kind = ENDPOINT_WORKLOAD,
			      .id = id,
			      .label = labels,
			      .n_label = ARRAY_SIZE(labels),
			      .profile = profiles,
			      .n_profile = 2,
			      .net = &net,
			      .n_net = 1,
			      .port = &port,
			      .n_port = 1,
			      .node = local ? "here" : "there",
			      .interface = iface };
	struct calc_event ev = { .kind = CALC_ENDPOINT, .of.endpoint = &e };

	snprintf(ns, sizeof(ns), "ns-%u", n);
	snprintf(app, sizeof(app), "app-%u", app_n);
	snprintf(hash, sizeof(hash), "%x", n * 1000 + app_n);
	snprintf(name, sizeof(name), "pod-%u", i);
	snprintf(id, sizeof(id), "ns-%u/node-k8s-pod-%u-eth0", n, i);
	snprintf(kns, sizeof(kns), "kns.ns-%u", n);
	snprintf(ksa, sizeof(ksa), "ksa.ns-%u.default", n);
	snprintf(iface, sizeof(iface), "cali%08x", i * 2654435761u);
	calc_step(c, &ev);
}

static void feed_namespace(struct calc *c, unsigned n)
{
	CLEANUP(freep)
	char *text = xasprintf("{\"metadata\":{\"name\":\"ns-%u\",\"labels\":{\"team\":\"team-%u\","
			       "\"kubernetes.io/metadata.name\":\"ns-%u\"}}}",
			       n, n % 50, n);
	struct calc_event ev = { .kind = CALC_PROFILE };
	struct object o;
	json_t *json;

	if (js_parse(text, strlen(text), &json, NULL) < 0 || k8s_namespace(json, &o, NULL) < 0 ||
	    profile_from_object(&o, &ev.of.profile, NULL) < 0)
		abort();
	calc_step(c, &ev);
	json_decref(json);
	object_done(&o);
}

/* All of a Kubernetes policy: reading, converting, compiling, stepping. */
static void feed_policy(struct calc *c, unsigned i)
{
	char text[1024], name[32];
	struct calc_event ev = { .kind = CALC_POLICY };
	struct object o;
	struct err e;
	json_t *json;
	int n = 0;

	snprintf(name, sizeof(name), "p%u", i);
	switch (i % 3) {
	case 0:
		n = snprintf(
			text, sizeof(text),
			"{\"metadata\":{\"name\":\"p%u\",\"namespace\":\"ns-%u\"},\"spec\":{"
			"\"podSelector\":"
			"{\"matchLabels\":{\"app\":\"app-%u\"}},\"ingress\":[{\"from\":[{"
			"\"podSelector\":"
			"{\"matchLabels\":{\"tier\":\"front\"}}}],\"ports\":[{\"port\":8080}]}]}}",
			i, i % n_namespaces(), i % APPS);
		break;
	case 1:
		n = snprintf(text, sizeof(text),
			     "{\"metadata\":{\"name\":\"p%u\",\"namespace\":\"ns-%u\"},\"spec\":{"
			     "\"podSelector\":{},"
			     "\"ingress\":[{\"from\":[{\"namespaceSelector\":{\"matchLabels\":{"
			     "\"team\":\"team-%u\"}}}]"
			     "}]}}",
			     i, i % n_namespaces(), i % 50);
		break;
	case 2:
		n = snprintf(text, sizeof(text),
			     "{\"metadata\":{\"name\":\"p%u\",\"namespace\":\"ns-%u\"},\"spec\":{"
			     "\"podSelector\":{},"
			     "\"egress\":[{\"to\":[{\"podSelector\":{\"matchLabels\":{\"app\":"
			     "\"app-%u\"}},"
			     "\"namespaceSelector\":{}}],\"ports\":[{\"port\":\"http\"}]},{\"to\":["
			     "{\"ipBlock\":"
			     "{\"cidr\":\"0.0.0.0/0\",\"except\":[\"10.0.0.0/8\"]}}]}],"
			     "\"policyTypes\":[\"Ingress\",\"Egress\"]}}",
			     i, i % n_namespaces(), i % APPS);
		break;
	}
	if (js_parse(text, (size_t)n, &json, &e) < 0 || k8s_policy(json, &o, NULL, &e) < 0 ||
	    policy_from_k8s(&o, name, &ev.of.policy, &e) < 0) {
		fprintf(stderr, "%s\n", e.msg);
		abort();
	}
	calc_step(c, &ev);
	json_decref(json);
	object_done(&o);
}

static size_t apply(struct calc *c, struct tables *t)
{
	struct table_changes changes = { 0 };
	const struct calc_effects *fx = calc_flush(c);
	size_t n;

	tables_take(t, fx);
	tables_flush(t, &changes);
	n = changes.n;
	vec_done(&changes);
	return n;
}

static void first_state(struct calc *c, struct tables *t)
{
	double start = seconds(), policies, namespaces, endpoints, flush, render;
	struct calc_stats stats;
	const struct calc_effects *fx;
	struct table_changes changes = { 0 };

	for (unsigned i = 0; i < n_policies; i++)
		feed_policy(c, i);
	policies = seconds();
	for (unsigned i = 0; i < n_namespaces(); i++)
		feed_namespace(c, i);
	namespaces = seconds();
	for (unsigned i = 0; i < n_endpoints; i++)
		feed_pod(c, i, 0);
	endpoints = seconds();
	fx = calc_flush(c);
	flush = seconds();
	tables_take(t, fx);
	tables_flush(t, &changes);
	render = seconds();
	stats = calc_stats(c);
	printf("first state   %.3f s (policies from JSON %.3f, namespaces %.3f, endpoints %.3f, "
	       "flush %.3f); rendering of %zu chains %.3f s\n",
	       flush - start, policies - start, namespaces - policies, endpoints - namespaces,
	       flush - endpoints, changes.n, render - flush);
	printf("              %zu endpoints (%zu here), %zu policies (%zu in use), %zu sets, %zu "
	       "members, %lu evaluations\n",
	       stats.endpoints, stats.local_endpoints, stats.policies, stats.active_policies,
	       stats.sets, stats.members, (unsigned long)stats.evals);
	malloc_trim(0);
	printf("memory        %.1f MB\n", rss_mb());
	vec_done(&changes);
}

/* n changes, flushed ten at a time. */
static void pod_changes(struct calc *c, struct tables *t, bool local_only)
{
	unsigned n = 20000, stride = n_endpoints / n_local;
	size_t chains = 0;
	double start = cpu(), spent;

	for (unsigned i = 0; i < n; i++) {
		unsigned pod = local_only ? i * 17 % n_local * stride : i * 7919 % n_endpoints;

		feed_pod(c, pod, 1 + i / 1000);
		if (i % 10 == 9)
			chains += apply(c, t);
	}
	spent = cpu() - start;
	printf("%-13s %.1f us each, 1000 a second are %.2f %% of a core; %.2f chains written "
	       "each\n",
	       local_only ? "local pods" : "any pods", spent / n * 1e6, spent / n * 1000 * 100,
	       (double)chains / n);
}

static void policy_changes(struct calc *c, struct tables *t)
{
	unsigned n = 2000;
	double start = cpu(), spent;

	for (unsigned i = 0; i < n; i++) {
		struct policy_id id = { POLICY_KUBERNETES, NULL, NULL };
		CLEANUP(freep) char *name = xasprintf("p%u", i % n_policies);
		CLEANUP(freep) char *ns = xasprintf("ns-%u", i % n_policies % n_namespaces());
		struct calc_event ev = { .kind = CALC_POLICY_GONE };

		id.name = name;
		id.ns = ns;
		ev.of.policy_id = id;
		calc_step(c, &ev);
		apply(c, t);
		feed_policy(c, i % n_policies);
		apply(c, t);
	}
	spent = cpu() - start;
	printf("policies      %.1f us each to delete and create\n", spent / n * 1e6);
}

int main(int argc, char **argv)
{
	struct render_config cfg = render_config_default(IP_V4);
	struct calc *c;
	struct tables *t;

	if (argc > 1)
		n_endpoints = (unsigned)atoi(argv[1]);
	if (argc > 2)
		n_policies = (unsigned)atoi(argv[2]);
	if (argc > 3)
		n_local = (unsigned)atoi(argv[3]);
	if (n_endpoints < PODS_EACH || !n_local || n_local > n_endpoints) {
		fprintf(stderr, "usage: policy_calc [ENDPOINTS [POLICIES [LOCAL]]]\n");
		return 2;
	}
	c = calc_new("here", 1);
	t = tables_new(&cfg);
	first_state(c, t);
	pod_changes(c, t, false);
	pod_changes(c, t, true);
	policy_changes(c, t);
	tables_free(t);
	calc_free(c);
	return 0;
}
