/* main.c - margayd: start in order, turn the loop, end in reverse order
 * SHAPE  Order matters in three places. Locks come before everything. The kernel is listed before
 *        anything is claimed, and nothing is removed from it until all parts have claimed
 *        (routes.h). The owner record is written before this agent writes anything else.
 * END    SIGTERM leaves routes, pods and endpoints as they are, and closes BGP connections without
 *        a NOTIFICATION, so that peers keep our routes for the time of a restart. */
#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "agent/overlay/blocks.h"
#include "agent/cache.h"
#include "agent/cni/cni_server.h"
#include "agent/config.h"
#include "agent/ctl_answer.h"
#include "agent/ctl_server.h"
#include "agent/cni/endpoints.h"
#include "agent/felix.h"
#include "agent/bgp/fib.h"
#include "agent/health.h"
#include "agent/cni/ipam_runner.h"
#include "agent/lock.h"
#include "agent/log.h"
#include "agent/metrics.h"
#include "agent/metrics_agent.h"
#include "agent/metrics_server.h"
#include "agent/overlay/overlay.h"
#include "agent/owner.h"
#include "agent/bgp/peering.h"
#include "agent/policy/policing.h"
#include "agent/routes.h"
#include "agent/scopes.h"
#include "agent/self.h"
#include "dataplane/sysctl.h"
#include "datastore/ds.h"
#include "lib/json.h"

struct program {
	struct agent agent; /* first: the parts know only this */
	struct agent_config cfg;
	struct scopes scopes;
	int argc;
	char **argv;
	struct event *signals[4];
	int run_lock, state_lock;
	int status;
};

extern char **environ;

/* ---- signals ---- */

static void stop(struct agent *a, int status)
{
	struct program *p = (struct program *)a;

	if (status > p->status)
		p->status = status;
	event_base_loopbreak(a->base);
}

static void on_term(evutil_socket_t sig, short what, void *arg)
{
	log_info("agent", "ending; routes and pods stay as they are", "signal=%s",
		 strsignal((int)sig));
	stop(arg, 0);
}

static void on_hup(evutil_socket_t sig, short what, void *arg)
{
	struct program *p = arg;
	struct agent_config fresh;
	enum config_action action;
	struct str need = { 0 };
	struct err e = { 0 };

	if (config_load(&fresh, p->argc, p->argv, environ, &action, NULL, &e) < 0) {
		log_error("agent", "the configuration is wrong; going on with the old one",
			  "why=%s", e.msg);
		return;
	}
	config_reload(&p->cfg, &fresh, &need);
	log_setup((enum log_level)p->cfg.log_level, (enum log_format)p->cfg.log_format);
	if (need.len)
		log_warn("agent", "these keys changed and take effect at the next start", "keys=%s",
			 str_text(&need));
	else
		log_info("agent", "read the configuration again");
	str_done(&need);
	config_done(&fresh);
}

static void dump_value(const char *name, const json_t *value)
{
	const char *text = json_string_value(value);
	size_t i;
	json_t *item;

	if (json_is_array(value)) {
		json_array_foreach (value, i, item)
			dump_value(name, item);
		return;
	}
	CLEANUP(freep) char *dumped = text ? NULL : js_dump(value);

	log_info("state", "dump", "name=%s value=%s", name, text ? text : dumped);
}

static void on_usr1(evutil_socket_t sig, short what, void *arg)
{
	json_t *state = ctl_status(arg), *value;
	const char *name;

	json_object_foreach (state, name, value)
		dump_value(name, value);
	json_decref(state);
}

static void catch_signals(struct program *p)
{
	static const struct {
		int sig;
		event_callback_fn fn;
	} rows[] = {
		{ SIGTERM, on_term }, { SIGINT, on_term }, { SIGHUP, on_hup }, { SIGUSR1, on_usr1 }
	};

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		p->signals[i] = evsignal_new(p->agent.base, rows[i].sig, rows[i].fn, p);
		evsignal_add(p->signals[i], NULL);
	}
}

/* ---- start ---- */

static void raise_limits(void)
{
	struct rlimit files;

	/* Two sockets for each of some thousand peers. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* One thread; and what a large list took goes back to the system. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 256 << 10);
	mallopt(M_MMAP_THRESHOLD, 256 << 10);
}

static int lock(struct program *p, struct err *e)
{
	p->run_lock = lock_dir(p->cfg.run_dir, e);
	if (p->run_lock < 0)
		return p->run_lock;
	if (strcmp(p->cfg.run_dir, p->cfg.state_dir) != 0) {
		p->state_lock = lock_dir(p->cfg.state_dir, e);
		if (p->state_lock < 0)
			return p->state_lock;
	}
	p->agent.restarted = lock_marked(p->cfg.run_dir, "started-before");
	return 0;
}

static void prepare_sysctls(const struct agent_config *cfg)
{
	struct err e = { 0 };

	if (sysctl_pin(&e) < 0)
		log_warn("agent", "settings of interfaces will be slower to write", "why=%s",
			 e.msg);
	if (!cfg->ip_forward)
		return;
	if (sysctl_set("net/ipv4/ip_forward", "1", &e) < 0)
		log_error("agent", "cannot turn IP forwarding on; pods will not reach other nodes",
			  "why=%s", e.msg);
	if (strcmp(cfg->ip6, "none") != 0 &&
	    sysctl_set("net/ipv6/conf/all/forwarding", "1", &e) < 0)
		log_error("agent", "cannot turn IPv6 forwarding on", "why=%s", e.msg);
}

static void on_ours(void *arg)
{
	struct agent *a = arg;

	self_start(a->self);
	peering_start(a->peering);
	blocks_start(a->blocks);
	overlay_start(a->overlay);
}

/* The parts, in the order of agent.h. */
static int start(struct program *p, struct err *e)
{
	struct agent *a = &p->agent;
	int rc;

	a->metrics = metrics_new();
	rc = ds_open(&a->ds, a->base, p->cfg.datastore, DS_CREATE | DS_CHECK, e);

	if (rc < 0)
		return err_wrap(e, "datastore %s", p->cfg.datastore);
	scopes_init(&p->scopes, p->cfg.node);
	a->cache = cache_new(a->base, a->ds, p->scopes.row, &p->scopes);
	a->felix = felix_new(a, environ);
	a->routes = routes_new(a, e);
	if (!a->routes)
		return err_wrap(e, "kernel routes");
	a->owner = owner_new(a, on_ours, a, e);
	if (!a->owner)
		return e->code;
	a->self = self_new(a);
	a->fib = fib_new(a, e);
	if (!a->fib)
		return err_wrap(e, "kernel routes");
	a->peering = peering_new(a);
	a->blocks = blocks_new(a);
	rc = endpoints_new(&a->endpoints, a, e);
	if (rc == 0)
		rc = policing_new(&a->policing, a, e);
	if (rc == 0)
		rc = ipam_runner_new(&a->ipam, a, e);
	a->overlay = rc == 0 ? overlay_new(a, e) : NULL;
	if (rc == 0 && !a->overlay)
		rc = err_wrap(e, "tunnels");
	if (rc == 0)
		rc = cni_server_new(&a->cni, a, e);
	if (rc < 0)
		return rc;
	a->ctl = ctl_server_new(a, e);
	if (!a->ctl)
		return e->code;
	a->health = health_new(a);
	metrics_agent_sources(a);
	a->metrics_server = metrics_server_new(a);
	return 0;
}

static void end(struct program *p)
{
	struct agent *a = &p->agent;

	metrics_server_free(a->metrics_server);
	health_free(a->health);
	ctl_server_free(a->ctl);
	cni_server_free(a->cni);
	overlay_free(a->overlay);
	ipam_runner_free(a->ipam);
	policing_free(a->policing);
	endpoints_free(a->endpoints);
	blocks_free(a->blocks);
	peering_free(a->peering);
	fib_free(a->fib);
	self_free(a->self);
	routes_free(a->routes);
	felix_free(a->felix);
	cache_free(a->cache);
	owner_free(a->owner, p->status == 0);
	ds_close(a->ds);
	metrics_free(a->metrics);
	scopes_done(&p->scopes);
	for (size_t i = 0; i < ARRAY_SIZE(p->signals); i++)
		if (p->signals[i])
			event_free(p->signals[i]);
	event_base_free(a->base);
}

/* What must not wait (BFD: priority 0) is looked for after each few milliseconds of all else. */
static struct event_base *new_loop(void)
{
	static const struct timeval turn = { .tv_usec = 5000 };
	struct event_config *cfg = event_config_new();
	struct event_base *base;

	assert(cfg);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
	event_config_set_max_dispatch_interval(cfg, &turn, -1, 1);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	assert(base);
	event_base_priority_init(base, 3);
	return base;
}

static int run(struct program *p)
{
	struct err e = { 0 };

	log_setup((enum log_level)p->cfg.log_level, (enum log_format)p->cfg.log_format);
	raise_limits();
	if (lock(p, &e) < 0) {
		log_error("agent", "cannot start", "why=%s", e.msg);
		return 1;
	}
	p->agent.base = new_loop();
	p->agent.cfg = &p->cfg;
	p->agent.stop = stop;
	p->agent.started_ms = agent_now_ms();
	catch_signals(p);
	log_info("agent", "starting", "version=%s node=%s datastore=%s restart=%s", MARGAY_VERSION,
		 p->cfg.node, p->cfg.datastore, p->agent.restarted ? "yes" : "no");
	prepare_sysctls(&p->cfg);
	if (start(p, &e) < 0) {
		log_error("agent", "cannot start", "why=%s", e.msg);
		p->status = 1;
	} else {
		event_base_dispatch(p->agent.base);
	}
	end(p);
	return p->status;
}

static int print(void (*fill)(struct str *out))
{
	struct str out = { 0 };

	fill(&out);
	fputs(str_text(&out), stdout);
	str_done(&out);
	return 0;
}

int main(int argc, char **argv)
{
	static struct program p;
	enum config_action action;
	struct str remarks = { 0 }, out = { 0 };
	struct err e = { 0 };
	int status = 0;

	p.argc = argc;
	p.argv = argv;
	if (config_load(&p.cfg, argc, argv, environ, &action, &remarks, &e) < 0) {
		fprintf(stderr, "margayd: %s\n", e.msg);
		return 2;
	}
	fputs(str_text(&remarks), stderr);
	str_done(&remarks);
	switch (action) {
	case CONFIG_HELP:
		status = print(config_help);
		break;
	case CONFIG_VERSION:
		status = printf("margayd %s\n", MARGAY_VERSION) < 0;
		break;
	case CONFIG_PRINT:
		config_print(&p.cfg, &out);
		fputs(str_text(&out), stdout);
		str_done(&out);
		status = 0;
		break;
	case CONFIG_RUN:
		status = run(&p);
		break;
	}
	config_done(&p.cfg);
	return status;
}
