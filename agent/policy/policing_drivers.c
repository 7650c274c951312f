/* policing_drivers.c - the packet filter's drivers: made, told all that is calculated, made anew
 * WHY    A setting that rules depend on changes (marks, prefixes, the backend, IPv6): then drivers
 *        are made anew in the running agent. They read the kernel, as at a start, and write what
 *        differs; until then the old rules are in force.
 * SHAPE  First the tools and the kernel are asked whether they are there, because a driver could only
 *        try again for ever. What is missing is said with its remedy, and looked for again.
 * TESTS  tests/unit/agent/policing.c, tests/netns/test_policy_settings.py */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cache.h"
#include "agent/config.h"
#include "agent/felix.h"
#include "agent/log.h"
#include "agent/policy/policing_impl.h"
#include "model/ippool.h"
#include "model/key.h"
#include "model/object.h"

#define OR_OFF	  "; or turn policy off (policy: false)"
#define PROBE_SET "cali60probe"

/* ---- what goes wrong ---- */

static void grief_end(struct policing *p, struct grief *g)
{
	HASH_DEL(p->griefs, g);
	free(g->name);
	free(g->text);
	free(g);
}

void policing_griefs_done(struct policing *p)
{
	struct grief *g, *tmp;

	HASH_ITER (hh, p->griefs, g, tmp)
		grief_end(p, g);
}

static void on_report(void *arg, enum ip_family family, const char *kind, const char *where,
		      const char *name, int code, const char *text)
{
	struct policing *p = arg;
	CLEANUP(freep)
	char *full = xasprintf("IPv%d %s%s%s%s%s", family, kind, *where ? " " : "", where,
			       *name ? " " : "s", name);
	struct grief *g;

	HASH_FIND_STR(p->griefs, full, g);
	if (g)
		grief_end(p, g);
	if (!code) {
		log_from(full, LOG_LEVEL_INFO, "policy", "the kernel has it right again", "what=%s",
			 full);
		return;
	}
	log_from(full, LOG_LEVEL_WARN, "policy", "the kernel does not have it as it should be",
		 "what=%s why=%s", full, text);
	g = xcalloc(1, sizeof(*g));
	g->name = xstrdup(full);
	g->text = xstrdup(text);
	HASH_ADD_KEYPTR(hh, p->griefs, g->name, strlen(g->name), g);
}

/* Somebody else changed what is ours, and it is as it should be again. */
static void on_repaired(void *arg, enum ip_family family, const struct filter_repair *r)
{
	log_from("tampering", LOG_LEVEL_WARN, "policy",
		 "rules of this agent were changed by somebody else; they are right again",
		 "family=%d table=%s chain=%s chains=%llu by=%s pid=%u", family,
		 ipt_table_name(r->table), r->chain, (unsigned long long)r->n,
		 *r->by ? r->by : "unknown", r->by_pid);
}

/* A family has come to rest; possibly from within our own filter_run. */
static void on_rest(void *arg, enum ip_family family, enum apply_stage stage)
{
	struct policing *p = arg;
	/* Not from within our own turn: while something is in trouble that would never end. */
	bool awaited = !p->running && (policing_has_waits(p) || !p->enforced_once ||
				       (p->cutting && cutting_is_due(p->cutting)));

	if (p->batch && filter_settled(p->filter)) {
		p->batch = false;
		p->ended_ms = agent_now_ms();
	}
	if (p->links_dirty || p->net_dirty || p->restate || awaited)
		policing_turn_soon(p);
	else if (p->stated != p->fed)
		policing_turn_in_time(p);
}

/* ---- is all there that is needed? ---- */

/* What the filter table of an iptables has. */
struct seen {
	bool some;
	bool ours;   /* of an agent, be it another's */
	bool policy; /* the same, and it enforces policy */
	bool pods;   /* chains of pods as Calico names them, by the interface */
};

/* A chain that pods share has a longer name than that of any interface. */
static bool has_pods(const char *saved)
{
	static const char head[] = "\n:cali-tw-";

	for (const char *at = saved; (at = strstr(at, head));) {
		at += sizeof(head) - 1;
		if (strcspn(at, " \n") < IFNAMSIZ)
			return true;
	}
	return false;
}

static struct seen see(const char *saved)
{
	return (struct seen) {
		.some = strstr(saved, "\n-A "),
		.ours = strstr(saved, "\"cali:"),
		.policy = strstr(saved, "\n:cali-from-wl-dispatch "),
		.pods = has_pods(saved),
	};
}

struct tried {
	int code;
	char words[200];
	const struct exec_cmd *cmd;
	struct seen *seen; /* NULL: what it prints is of no interest */
};

static void on_tried(void *arg, const struct exec_result *r)
{
	struct tried *t = arg;

	t->code = r->code;
	exec_words(t->cmd, r, t->words, sizeof(t->words));
	if (r->code == 0 && t->seen)
		*t->seen = see(r->out);
}

/* 0; -ENOENT: no such tool; else -EIO with what it said. */
static int try_tool(const struct exec_cmd *cmd, struct seen *seen, struct err *said)
{
	struct tried t = { .cmd = cmd, .seen = seen };

	*said = (struct err) { 0 };
	if (exec_run(cmd, on_tried, &t, said) < 0)
		return said->code == -ENOENT ? -ENOENT : -EIO;
	return t.code == 0 ? 0 : err_set(said, -EIO, "%s", t.words);
}

static int check_sets(struct err *e)
{
	const struct exec_cmd cmd = { .argv = { "ipset", "list", "-name" } };
	struct err said;
	int rc = try_tool(&cmd, NULL, &said);

	if (rc == -ENOENT)
		return err_set(e, rc, "ipset is not installed; install the package ipset" OR_OFF);
	if (rc < 0)
		return err_set(e, rc,
			       "the kernel has no IP sets (%.120s); load the module ip_set" OR_OFF,
			       said.msg);
	return 0;
}

/* Can rules of a family be read here? Then they can be written, mostly. */
static int check_rules(const struct ipt_choice *c, enum ip_family family, struct seen *seen,
		       struct err *e)
{
	const char *kind = c->backend == IPT_NFT ? "nft" : "legacy";
	CLEANUP(freep)
	char *tool = xasprintf("ip%stables%s%s-save", family == IP_V6 ? "6" : "",
			       c->plain_names ? "" : "-", c->plain_names ? "" : kind);
	const struct exec_cmd cmd = { .argv = { tool, "-t", "filter" } };
	struct err said;
	int rc = try_tool(&cmd, seen, &said);

	if (rc == -ENOENT)
		return err_set(e, rc, "%s is not installed; install the package iptables" OR_OFF,
			       tool);
	if (rc < 0)
		return err_set(e, rc,
			       "the kernel does not take rules of iptables-%s (%.120s); load its "
			       "modules or choose another iptablesBackend" OR_OFF,
			       kind, said.msg);
	return 0;
}

static bool look_for_v6(void *arg, const struct store_kv *kv)
{
	bool *found = arg;
	struct object o;
	struct ippool pool;

	if (object_decode(kv->key, kv->value, kv->rev, &o, NULL) < 0)
		return true;
	if (ippool_decode(&o, &pool, NULL) == 0) {
		*found |= pool.cidr.addr.family == IP_V6;
		ippool_done(&pool);
	}
	object_done(&o);
	return !*found;
}

bool policing_wants_v6(const struct policing *p)
{
	bool found = strcmp(p->agent->cfg->ip6, "none") != 0;

	if (!found)
		cache_each(p->agent->cache, KEY_RESOURCES "ippools/", look_for_v6, &found);
	return found;
}

/* Do rules of IPv6 and sets of IPv6 go together here? Each alone may be there without it. Where rules
 * of an agent show that they do, nothing is written. */
static int probe_v6(const struct ipt_choice *c, struct err *e)
{
	static const char
		make[] = "create " PROBE_SET " hash:net family inet6\n",
		drop[] = "destroy " PROBE_SET "\n",
		rule[] = "*filter\n:cali-probe - [0:0]\n-A cali-probe -m set --match-set " PROBE_SET
			 " src -j DROP\n-F cali-probe\n-X cali-probe\nCOMMIT\n";
	const char *restore = c->plain_names ? "ip6tables-restore" : "ip6tables-nft-restore";
	const struct exec_cmd sets = { .argv = { "ipset", "restore", "-exist" },
				       .in = make,
				       .in_len = sizeof(make) - 1 },
			      rules = { .argv = { restore, "--noflush" },
					.in = rule,
					.in_len = sizeof(rule) - 1 },
			      gone = { .argv = { "ipset", "restore", "-exist" },
				       .in = drop,
				       .in_len = sizeof(drop) - 1 };
	struct err said, ignored;
	int rc;

	if (try_tool(&sets, NULL, &said) < 0)
		return err_set(e, -EIO,
			       "the kernel has no IP sets of IPv6 (%.80s); load the module "
			       "ip_set_hash_net",
			       said.msg);
	/* iptables-legacy would wait for its lock. */
	rc = c->backend == IPT_NFT ? try_tool(&rules, NULL, &said) : 0;
	try_tool(&gone, NULL, &ignored);
	if (rc == 0)
		return 0;
	return err_set(
		e, -EIO,
		"the kernel takes no rules of ip6tables with sets (%.80s); load the module xt_set",
		said.msg);
}

static void choose_v6(struct policing *p)
{
	struct seen seen = { 0 };
	struct err e = { 0 };

	*p->no_v6 = '\0';
	p->v6 = false;
	if (!policing_wants_v6(p))
		str_copy(p->no_v6, sizeof(p->no_v6), "there is no IPv6 pool");
	else if (!p->set.v6)
		str_copy(p->no_v6, sizeof(p->no_v6), "FelixConfiguration says ipv6Support: false");
	else if (check_rules(&p->choice, IP_V6, &seen, &e) < 0 ||
		 (p->on && !seen.ours && probe_v6(&p->choice, &e) < 0))
		str_copy(p->no_v6, sizeof(p->no_v6), e.msg);
	else
		p->v6 = true;
}

/* ---- life of the drivers ---- */

bool policing_marked(const struct policing *p)
{
	return access(p->mark, F_OK) == 0;
}

void policing_set_mark(const struct policing *p, bool there)
{
	int fd;

	if (there == policing_marked(p))
		return;
	if (!there) {
		unlink(p->mark);
		return;
	}
	fd = open(p->mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		log_warn("policy",
			 "cannot note that rules are ours; turning policy off will leave them",
			 "file=%s why=%s", p->mark, strerror(errno));
	else
		close(fd);
}

static void read_settings(const struct agent *a, struct policy_settings *out, struct str *wrong)
{
	policy_settings_read(felix_config(a->felix), felix_services(a->felix),
			     a->cfg->interface_prefix, out, wrong);
}

bool policing_settings_differ(const struct policing *p)
{
	struct policy_settings now;
	struct str wrong = { 0 };
	bool differ;

	read_settings(p->agent, &now, &wrong);
	differ = !str_eq(now.text, p->set.text);
	policy_settings_done(&now);
	str_done(&wrong);
	return differ;
}

/* With policy off here, policy that is in the kernel is somebody else's; and so is NAT. */
static int check_alone(const struct policing *p, const struct seen *seen, struct err *e)
{
	if (p->on || policing_marked(p) || !seen->policy)
		return 0;
	return err_set(
		e, -EBUSY,
		"NAT and the guard of tunnels are left to the agent (Calico's?) whose policy is "
		"in the kernel; say so with network-rules=false, or end it and remove its "
		"chains (cali-*)");
}

/* A kernel may list tables of iptables-nft and yet have none of IPv4's (user-mode-linux). Where no
 * rule shows that it has, a chain is made and taken back. */
static int check_nft(const struct ipt_choice *c, const struct seen *seen, struct err *e)
{
	static const char probe[] = "*filter\n:cali-probe - [0:0]\n-X cali-probe\nCOMMIT\n";
	const char *restore = c->plain_names ? "iptables-restore" : "iptables-nft-restore";
	const struct exec_cmd make = { .argv = { restore, "--noflush" },
				       .in = probe,
				       .in_len = sizeof(probe) - 1 };
	struct err said;

	if (seen->some || try_tool(&make, NULL, &said) >= 0)
		return 0;
	return err_set(e, -EIO,
		       "the kernel does not take rules of iptables-nft (%.120s); load its modules "
		       "or choose another iptablesBackend" OR_OFF,
		       said.msg);
}

/* Which iptables. Where any will do, and nft's is not to be had, the other one. */
static int choose_backend(struct policing *p, struct seen *seen, struct err *e)
{
	int rc = ipt_backend_find(p->set.backend, &p->choice, e);
	struct ipt_choice other;

	if (rc == 0)
		rc = check_rules(&p->choice, IP_V4, seen, e);
	if (rc == 0 && p->choice.backend == IPT_NFT)
		rc = check_nft(&p->choice, seen, e);
	if (rc == 0 || p->set.backend != IPT_WISH_AUTO || p->choice.backend != IPT_NFT)
		return rc;
	*seen = (struct seen) { 0 };
	if (ipt_backend_find(IPT_WISH_LEGACY, &other, NULL) < 0 ||
	    check_rules(&other, IP_V4, seen, NULL) < 0)
		return rc;
	p->choice = other;
	str_copy(p->choice.why, sizeof(p->choice.why), "the kernel does not take those of nft");
	return 0;
}

static int make(struct policing *p, struct err *e)
{
	struct seen seen = { 0 };
	int rc = choose_backend(p, &seen, e);

	p->chains_by_pod = seen.pods && p->choice.backend == IPT_NFT;
	if (rc == 0)
		rc = check_alone(p, &seen, e);
	if (rc == 0)
		rc = check_sets(e);
	if (rc < 0)
		return rc;
	choose_v6(p);
	p->filter = filter_new(
		p->agent->base,
		&(struct filter_config) { .v4 = true,
					  .v6 = p->v6,
					  .backend = p->choice.backend,
					  .plain_names = p->choice.plain_names,
					  .append = p->set.append,
					  .lock_s = (unsigned)p->agent->cfg->iptables_lock_s,
					  .rules_refresh_ms = p->set.rules_refresh_ms,
					  .sets_refresh_ms = p->set.sets_refresh_ms,
					  .turn = on_rest,
					  .report = on_report,
					  .repaired = on_repaired,
					  .arg = p },
		e);
	if (!p->filter)
		return e->code ? e->code : -EIO;
	p->kernel = policy_kernel_new(
		&p->set, p->net, p->filter,
		(struct policy_form) { .v6 = p->v6, .bare = !p->on, .by_pod = p->chains_by_pod },
		e);
	return p->kernel ? 0 : e->code;
}

void policing_close(struct policing *p)
{
	ipt_sweep_free(TAKE(p->sweep));
	filter_free(TAKE(p->filter));
	policy_kernel_free(TAKE(p->kernel));
	policing_griefs_done(p);
}

static void broke(struct policing *p, struct err *e)
{
	char *remedy = strstr(e->msg, OR_OFF);

	policing_close(p);
	if (remedy && !p->on)
		*remedy = '\0';
	if (strcmp(p->broken, e->msg) != 0)
		log_error("policy",
			  p->on ? "policy cannot be enforced; no pod will be attached"
				: "the packet filter cannot be written",
			  "why=%s", e->msg);
	str_copy(p->broken, sizeof(p->broken), e->msg);
}

void policing_open(struct policing *p)
{
	struct err e = { 0 };

	policing_close(p);
	p->restate = p->enforced_once = false;
	policy_settings_done(&p->set);
	str_cut(&p->set_wrong, 0);
	read_settings(p->agent, &p->set, &p->set_wrong);
	if (make(p, &e) < 0) {
		broke(p, &e);
		return;
	}
	/* From here on something may be written. */
	policing_set_mark(p, p->on || policing_serves_network(p) || policing_marked(p));
	if (*p->broken)
		log_info("policy", "what was missing is there");
	*p->broken = '\0';
	policy_kernel_links(p->kernel, p->agent->links);
	/* Who is gone meanwhile is told to all but the new drivers, which never knew them. */
	policing_flush(p);
	calc_restate(p->calc);
	p->links_dirty = p->net_dirty = p->net_rules = false;
}
