/* metrics_agent.c - numbers of the process, the datastore's picture, policy, routes, pods
 * WHY    Names are Felix's where the number means the same, so that dashboards made for Calico go on.
 * TESTS  tests/netns/test_metrics.py */
#include "agent/metrics_agent.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "agent/cache.h"
#include "agent/clock.h"
#include "agent/cni/endpoints.h"
#include "agent/config.h"
#include "agent/health.h"
#include "agent/metrics.h"
#include "agent/overlay/blocks.h"
#include "agent/policy/policing.h"
#include "agent/routes.h"
#include "dataplane/filter.h"
#include "dataplane/route.h"
#include "model/key.h"
#include "policy/calc.h"

static void gauge(struct metrics *m, const char *name, const char *help, double value)
{
	metrics_add(m, name, help, METRIC_GAUGE, NULL, value);
}

static void counter(struct metrics *m, const char *name, const char *help, double value)
{
	metrics_add(m, name, help, METRIC_COUNTER, NULL, value);
}

/* ---- the process ---- */

static double seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static double open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n > 3 ? n - 3 : 0; /* ".", ".." and the folder itself */
}

static void process_memory(struct metrics *m)
{
	double page = (double)sysconf(_SC_PAGESIZE);
	unsigned long virtual, resident;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%lu %lu", &virtual, &resident) == 2) {
		gauge(m, "process_virtual_memory_bytes", "Virtual memory size in bytes.",
		      (double)virtual * page);
		gauge(m, "process_resident_memory_bytes", "Resident memory size in bytes.",
		      (double)resident * page);
	}
	if (f)
		fclose(f);
}

static void process_metrics(void *arg, struct metrics *m)
{
	const struct agent *a = arg;
	struct rusage use;
	struct rlimit files;

	if (getrusage(RUSAGE_SELF, &use) == 0)
		counter(m, "process_cpu_seconds_total",
			"Total user and system CPU time spent in seconds.",
			seconds(&use.ru_utime) + seconds(&use.ru_stime));
	process_memory(m);
	gauge(m, "process_open_fds", "Number of open file descriptors.", open_files());
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		gauge(m, "process_max_fds", "Maximum number of open file descriptors.",
		      (double)files.rlim_cur);
	gauge(m, "process_start_time_seconds",
	      "Start time of the process since unix epoch in seconds.",
	      (double)clock_wall_ns() / 1e9 - (double)(agent_now_ms() - a->started_ms) / 1e3);
}

/* ---- the node ---- */

static bool count_one(void *arg, const struct store_kv *kv)
{
	++*(size_t *)arg;
	return true;
}

static void node_metrics(void *arg, struct metrics *m)
{
	struct agent *a = arg;
	struct str reasons = { 0 };
	bool reached = cache_synced(a->cache) && !cache_lost(a->cache);
	size_t hosts = 0;

	metrics_add(m, "margay_build_info", "The version that runs; always 1.", METRIC_GAUGE,
		    METRIC_LABELS({ "version", MARGAY_VERSION }), 1);
	metrics_add(m, "felix_host", "The node that this is; always 1.", METRIC_GAUGE,
		    METRIC_LABELS({ "host", a->cfg->node }), 1);
	health_not_ready(a, &reasons);
	gauge(m, "margay_ready", "Is the node ready for pods, as /readiness says?", !reasons.len);
	str_done(&reasons);
	/* Felix: 1 waiting, 2 reading, 3 in sync. */
	gauge(m, "felix_resync_state", "State of the datastore's picture: 3 in sync, else 2.",
	      reached ? 3 : 2);
	gauge(m, "margay_datastore_keys", "Keys that the datastore's picture holds.",
	      (double)cache_count(a->cache));
	gauge(m, "margay_datastore_revision", "Revision that the picture shows.",
	      (double)cache_rev(a->cache));
	cache_each(a->cache, KEY_RESOURCES "nodes/", count_one, &hosts);
	gauge(m, "felix_cluster_num_hosts", "Nodes in the cluster.", (double)hosts);
}

static void pod_metrics(void *arg, struct metrics *m)
{
	const struct agent *a = arg;
	struct endpoints_counts eps = endpoints_count(a->endpoints);
	size_t n = 0;

	blocks_confirmed(a->blocks, &n);
	gauge(m, "margay_endpoints", "Pods' interfaces of this node that are known.", eps.n);
	gauge(m, "margay_endpoints_without_interface",
	      "Of these, those that have no interface now.", eps.missing);
	gauge(m, "margay_ipam_blocks", "Blocks of addresses that are this node's.", (double)n);
	gauge(m, "margay_ipam_borrowed_addresses",
	      "Addresses in use here out of blocks of other nodes.",
	      (double)blocks_borrowed(a->blocks));
}

static void route_metrics(void *arg, struct metrics *m)
{
	const struct agent *a = arg;
	struct route_counts c = route_counts(routes_table(a->routes));
	const struct {
		const char *state;
		uint32_t n;
	} rows[] = {
		{ "wanted", c.desired },  { "installed", c.installed },
		{ "waiting", c.waiting }, { "conflicting", c.conflicts },
		{ "failed", c.failed },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		metrics_add(m, "margay_routes", "Kernel routes of this agent by their state.",
			    METRIC_GAUGE, METRIC_LABELS({ "state", rows[i].state }), rows[i].n);
	counter(m, "margay_routes_written_total", "Routes that the kernel accepted.",
		(double)c.written);
	counter(m, "margay_routes_removed_total", "Routes that were taken out of the kernel.",
		(double)c.removed);
	counter(m, "margay_routes_tampered_total", "Routes that somebody else changed or removed.",
		(double)c.foreign);
	counter(m, "margay_routes_resyncs_total", "Times that all routes were read again.",
		(double)c.resyncs);
}

/* ---- policy ---- */

static void calc_metrics(const struct calc *calc, struct metrics *m)
{
	struct calc_stats s = calc_stats(calc);

	gauge(m, "felix_active_local_endpoints", "Endpoints of this node.",
	      (double)s.local_endpoints);
	gauge(m, "felix_active_local_policies", "Policies that select an endpoint of this node.",
	      (double)s.active_policies);
	gauge(m, "felix_active_local_selectors",
	      "Sets of addresses that policies of this node refer to.", (double)s.sets);
	gauge(m, "felix_cluster_num_policies", "Policies in the cluster.", (double)s.policies);
	gauge(m, "felix_label_index_num_endpoints", "Endpoints and network sets in the cluster.",
	      (double)s.endpoints);
	counter(m, "felix_label_index_selector_evals", "Times that a selector was tried on labels.",
		(double)s.evals);
	gauge(m, "margay_policy_set_members", "Members of all sets.", (double)s.members);
}

/* Numbers of one family; what Felix has as one number for both is summed by the caller. */
struct filter_sums {
	double saves, save_errors, restores, restore_errors, lines, tampered, held;
	double set_calls, set_errors, set_lines;
};

static void family_metrics(struct filter *f, enum ip_family family, struct filter_sums *sum,
			   struct metrics *m)
{
	struct ipt_counts rules = ipt_counts(filter_rules(f, family));
	struct ipset_counts sets = ipset_counts(filter_sets(f, family));
	const char *version = family == IP_V6 ? "6" : "4";

	for (int i = 0; i < IPT_TABLES_; i++) {
		enum ipt_table table = (enum ipt_table)i;
		struct ipt_size size = ipt_size(filter_rules(f, family), table);
		const char *name = ipt_table_name(table);

		metrics_add(m, "felix_iptables_chains", "Chains of this agent in the kernel.",
			    METRIC_GAUGE,
			    METRIC_LABELS({ "ip_version", version }, { "table", name }),
			    size.chains);
		metrics_add(m, "felix_iptables_rules", "Rules of this agent in the kernel.",
			    METRIC_GAUGE,
			    METRIC_LABELS({ "ip_version", version }, { "table", name }),
			    size.rules);
	}
	metrics_add(m, "margay_policy_repair_seconds",
		    "Time from the kernel's word on somebody else's change to rules that are right "
		    "again, the last time.",
		    METRIC_GAUGE, METRIC_LABELS({ "ip_version", version }),
		    filter_repairs(f, family).last_ms / 1000.0);
	metrics_add(m, "felix_ipsets_calico", "Sets of this agent.", METRIC_GAUGE,
		    METRIC_LABELS({ "ip_version", family == IP_V6 ? "inet6" : "inet" }), sets.sets);
	sum->saves += (double)rules.saves;
	sum->save_errors += (double)rules.save_errors;
	sum->restores += (double)rules.restores;
	sum->restore_errors += (double)rules.restore_errors;
	sum->lines += (double)rules.lines;
	sum->tampered += (double)rules.tampered;
	sum->held += rules.held;
	sum->set_calls += (double)sets.calls;
	sum->set_errors += (double)sets.errors;
	sum->set_lines += (double)sets.lines;
}

static void filter_metrics(const struct policing_parts *p, struct metrics *m)
{
	struct filter_sums s = { 0 };

	family_metrics(p->filter, IP_V4, &s, m);
	if (p->v6)
		family_metrics(p->filter, IP_V6, &s, m);
	counter(m, "felix_iptables_save_calls", "Runs of iptables-save.", s.saves);
	counter(m, "felix_iptables_save_errors", "Of these, those that failed.", s.save_errors);
	counter(m, "felix_iptables_restore_calls", "Runs of iptables-restore.", s.restores);
	counter(m, "felix_iptables_restore_errors", "Of these, those that failed.",
		s.restore_errors);
	counter(m, "felix_iptables_lines_executed", "Lines given to iptables-restore.", s.lines);
	counter(m, "felix_ipset_calls", "Runs of ipset.", s.set_calls);
	counter(m, "felix_ipset_errors", "Of these, those that failed.", s.set_errors);
	counter(m, "felix_ipset_lines_executed", "Lines given to ipset.", s.set_lines);
	counter(m, "felix_int_dataplane_failures",
		"Runs of iptables and ipset that failed and are tried again.",
		s.save_errors + s.restore_errors + s.set_errors);
	counter(m, "margay_policy_chains_tampered_total",
		"Chains that somebody else changed and that were repaired.", s.tampered);
	gauge(m, "margay_policy_chains_refused", "Chains that the kernel does not take now.",
	      s.held);
}

/* "GlobalNetworkPolicy web: spec.selector: ..." as labels; of an object's several troubles in one field
 * the first. */
static void name_invalid(struct metrics *m, const char *text)
{
	VEC(char *) told = { 0 };

	for (const char *next; *text; text = next) {
		size_t n = strcspn(text, "\n"), name = strcspn(text, ":\n");
		CLEANUP(freep) char *line = xstrndup(text, n);
		CLEANUP(freep) char *object = xstrndup(text, name);
		const char *at = strstr(line, " spec.");
		CLEANUP(freep)
		char *field = xstrndup(at ? at + 1 : "", at ? strcspn(at, ":") - 1 : 0);
		char *both = xasprintf("%s %s", object, field);
		bool again = false;

		next = text + n + (text[n] == '\n');
		vec_foreach (&told, t)
			again |= !strcmp(*t, both);
		vec_push(&told, both);
		if (!again)
			metrics_add(m, "margay_policy_object_invalid",
				    "A stored object that policy cannot use as it is; always 1.",
				    METRIC_GAUGE,
				    METRIC_LABELS({ "field", field }, { "object", object }), 1);
	}
	vec_foreach (&told, t)
		free(*t);
	vec_done(&told);
}

static void policy_metrics(void *arg, struct metrics *m)
{
	const struct agent *a = arg;
	struct policing_parts p;
	struct str wrong = { 0 };

	if (!policing_parts(a->policing, &p))
		return;
	gauge(m, "margay_policy_objects_invalid",
	      "Stored objects that policy cannot use as they are; margayctl node status names "
	      "them.",
	      (double)policing_troubles(a->policing, &wrong));
	name_invalid(m, str_text(&wrong));
	str_done(&wrong);
	gauge(m, "margay_policy_in_force", "Does the kernel enforce all that is stored?",
	      p.in_force);
	metrics_add(m, "margay_policy_backend_info", "Which iptables holds the rules; always 1.",
		    METRIC_GAUGE,
		    METRIC_LABELS({ "backend", p.backend == IPT_NFT ? "nft" : "legacy" }), 1);
	calc_metrics(p.calc, m);
	if (p.filter)
		filter_metrics(&p, m);
}

void metrics_agent_sources(struct agent *a)
{
	metrics_source(a->metrics, process_metrics, a);
	metrics_source(a->metrics, node_metrics, a);
	metrics_source(a->metrics, pod_metrics, a);
	metrics_source(a->metrics, route_metrics, a);
	metrics_source(a->metrics, policy_metrics, a);
}
