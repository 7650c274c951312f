/* node_status.c - margayctl node status: what the agent of this node is doing */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/box.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"

static void print_list(const char *head, const json_t *list)
{
	size_t i;
	json_t *v;

	printf("%s", head);
	json_array_foreach (list, i, v)
		printf(" %s", json_string_value(v));
	puts(json_array_size(list) ? "" : " none");
}

/* "Tunnels: vxlan.calico up, to 3 nodes. Pod MTU 1450." */
static void print_tunnels(const json_t *o)
{
	const json_t *devices = json_object_get(o, "devices");
	size_t i;
	json_t *d;

	printf("Tunnels:");
	json_array_foreach (devices, i, d)
		printf("%s %s %s", i ? "," : "", answer_text(d, "device"), answer_text(d, "state"));
	if (!json_array_size(devices))
		printf(" none");
	printf("; %lld VXLAN peers, %lld blocks of other nodes", answer_number(o, "peers"),
	       answer_number(o, "blocks"));
	if (answer_number(o, "waiting"))
		printf(", %lld of them without a road", answer_number(o, "waiting"));
	printf(". Pod MTU %lld.\n", answer_number(o, "podMTU"));
}

/* "Draining: withdrawn since ..., next step in 4 s." Nothing when it is not. */
static void print_drain(const json_t *o)
{
	const json_t *next = json_object_get(o, "nextInSeconds");
	const char *phase = answer_text(o, "phase");

	if (!*phase || strcmp(phase, "none") == 0)
		return;
	printf("Draining: %s since %s", phase, answer_text(o, "since"));
	if (next)
		printf(", next step in %.0f s", json_number_value(next));
	if (*answer_text(o, "text"))
		printf(" (%s)", answer_text(o, "text"));
	puts(".");
}

/* "Policy: in force (iptables-nft; no IPv6: there is no IPv6 pool), 3 of 7 policies apply here." And what
 * of objects and settings does not count. */
static void print_policy(const json_t *status)
{
	const json_t *o = json_object_get(status, "policy"),
		     *wrong = json_object_get(status, "policyTroubles");
	const char *none = answer_text(o, "noIPv6");
	size_t i;
	json_t *v;

	if (!json_is_true(json_object_get(o, "on"))) {
		puts("Policy: off.");
	} else {
		printf("Policy: %sin force",
		       json_is_true(json_object_get(o, "inForce")) ? "" : "not (all) ");
		if (*answer_text(o, "backend"))
			printf(" (iptables-%s%s%s)", answer_text(o, "backend"),
			       *none ? "; no IPv6: " : "", none);
		printf(", %lld of %lld policies apply here.\n", answer_number(o, "activePolicies"),
		       answer_number(o, "policies"));
	}
	if (json_array_size(wrong))
		printf("Not right, and so left out or closed (%lld):\n",
		       answer_number(status, "policyObjectsWrong"));
	json_array_foreach (wrong, i, v)
		printf("  - %s\n", json_string_value(v));
}

static void print_node(const json_t *o)
{
	const json_t *ds = json_object_get(o, "datastore"), *routes = json_object_get(o, "routes"),
		     *why = json_object_get(o, "notReady"),
		     *notes = json_object_get(o, "bgpNotes");
	size_t i;
	json_t *v;

	printf("Node %s: agent %s is running (process %lld, since %s).\n", answer_text(o, "node"),
	       answer_text(o, "version"), answer_number(o, "pid"), answer_text(o, "since"));
	puts(json_array_size(why) ? "Not ready:" : "Ready.");
	json_array_foreach (why, i, v)
		printf("  - %s\n", json_string_value(v));
	json_array_foreach (notes, i, v)
		printf("Note: %s\n", json_string_value(v));
	print_drain(json_object_get(o, "drain"));
	printf("Datastore: %s, %s at revision %lld.\n", answer_text(ds, "spec"),
	       *answer_text(ds, "lost")			     ? "not in reach, last seen"
	       : json_is_true(json_object_get(ds, "synced")) ? "in sync"
							     : "not in sync",
	       answer_number(ds, "revision"));
	print_list("Blocks:", json_object_get(o, "blocks"));
	print_tunnels(json_object_get(o, "tunnels"));
	printf("Endpoints: %lld. Routes: %lld wanted, %lld in the kernel.\n",
	       answer_number(o, "endpoints"), answer_number(routes, "wanted"),
	       answer_number(routes, "installed"));
	print_policy(o);
}

static void add_session(struct table *t, const json_t *s)
{
	bool up = strcmp(answer_text(s, "state"), "Established") == 0;
	const char *info = answer_text(s, "info");

	table_add(t, xstrdup(answer_text(s, "address")));
	table_add(t, xstrdup(answer_text(s, "type")));
	table_add(t, xstrdup(up ? "up" : "start"));
	table_add(t, answer_since(s, "since"));
	table_add(t, *info ? xasprintf("%s: %s", answer_text(s, "state"), info)
			   : xstrdup(answer_text(s, "state")));
}

static void print_sessions(const json_t *sessions, bool v6)
{
	static const char *const head[] = { "PEER ADDRESS", "PEER TYPE", "STATE", "SINCE", "INFO" };
	struct table t = { .n_cols = ARRAY_SIZE(head) };
	size_t i;
	json_t *s;

	printf("\n%s BGP status\n", v6 ? "IPv6" : "IPv4");
	for (size_t k = 0; k < ARRAY_SIZE(head); k++)
		table_add(&t, xstrdup(head[k]));
	json_array_foreach (sessions, i, s)
		if (!!strchr(answer_text(s, "address"), ':') == v6)
			add_session(&t, s);
	if (t.cell.n > ARRAY_SIZE(head))
		table_print_box(&t);
	else
		printf("No %s peers found.\n", v6 ? "IPv6" : "IPv4");
	table_done(&t);
}

int cmd_node_status(struct ctl *c, const struct args *a)
{
	struct err e = { 0 };
	json_t *o;

	if (agent_ask(c, agent_question("status"), &o, &e) < 0)
		return ctl_error("%s", e.msg);
	json_object_del(o, "ok");
	if (c->output == CTL_JSON || c->output == CTL_YAML) {
		ctl_print(c, o);
	} else {
		print_node(o);
		print_sessions(json_object_get(o, "sessions"), false);
		print_sessions(json_object_get(o, "sessions"), true);
	}
	json_decref(o);
	return CTL_OK;
}
