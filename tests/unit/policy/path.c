/* path.c - what becomes of a packet on its way through one node */
#include "tests/unit/policy/path.h"

#include <string.h>

static const struct jendpoint *host_of(const struct jnode *n, const char *interface)
{
	for (int i = 0; i < n->n_link; i++)
		if (!strcmp(interface, n->link[i].name))
			return judge_host(n->w, interface, n->link[i].addr, n->link[i].n_addr);
	return judge_host(n->w, interface, NULL, 0);
}

static bool drops(const struct jnode *n, const struct jendpoint *e, bool ingress, enum jclass class,
		  const struct jpacket *p)
{
	return e && judge(n->w, e, ingress, class, p) == J_DROPPED;
}

static bool accepts(const struct jnode *n, const struct jendpoint *e, bool ingress,
		    enum jclass class, const struct jpacket *p)
{
	return e && judge(n->w, e, ingress, class, p) == J_ACCEPTED;
}

static const struct jendpoint *pod_at(const struct jworld *w, const char *interface)
{
	for (int i = 0; i < J_PODS; i++)
		if (w->pod[i].exists && w->pod[i].here && !strcmp(w->pod[i].interface, interface))
			return &w->pod[i];
	return NULL;
}

static bool is_pod_if(const char *name)
{
	return !strncmp(name, "cali", 4);
}

/* What stands before every policy of a pod that sends. */
static bool pod_sends(const struct jnode *n, const char *interface, const struct jpacket *p)
{
	const struct jendpoint *e = pod_at(n->w, interface);

	if (!e || p->proto == 4 || (p->proto == 17 && p->dport == 4789))
		return false;
	return judge(n->w, e, false, J_NORMAL, p) == J_ACCEPTED;
}

/* Untracked and preDNAT policy on the way in. Sets *accepted when one of them allowed. */
static bool enters(const struct jnode *n, const char *in, const struct jpacket *p, bool *accepted)
{
	const struct jendpoint *host = host_of(n, in);

	*accepted = false;
	if (!is_pod_if(in)) {
		if (drops(n, host, true, J_UNTRACKED, p))
			return false;
		*accepted = accepts(n, host, true, J_UNTRACKED, p);
	}
	if (*accepted)
		return true;
	if (drops(n, host, true, J_PREDNAT, p))
		return false;
	*accepted = accepts(n, host, true, J_PREDNAT, p);
	return true;
}

bool path_forward(const struct jnode *n, const char *in, const char *out, const struct jpacket *p)
{
	const struct jendpoint *to = pod_at(n->w, out);
	bool accepted;

	if (!enters(n, in, p, &accepted))
		return false;
	if (!accepted && drops(n, host_of(n, in), true, J_FORWARD, p))
		return false;
	if (is_pod_if(in) && !pod_sends(n, in, p))
		return false;
	if (is_pod_if(out) && !(to && judge(n->w, to, true, J_NORMAL, p) == J_ACCEPTED))
		return false;
	return !drops(n, host_of(n, out), false, J_FORWARD, p);
}

bool path_input(const struct jnode *n, const char *in, const struct jpacket *p)
{
	const struct jendpoint *host = host_of(n, in);
	bool accepted;

	if (!enters(n, in, p, &accepted))
		return false;
	/* Neighbours and routers are found before any policy. */
	if (is_pod_if(in))
		return (p->proto == 58 && p->icmp_type >= 130 && p->icmp_type <= 136) ||
		       pod_sends(n, in, p);
	return accepted || !host || judge(n->w, host, true, J_NORMAL, p) == J_ACCEPTED;
}

bool path_output(const struct jnode *n, const char *out, const struct jpacket *p)
{
	const struct jendpoint *host = host_of(n, out);

	/* To its own pods a host may always send. */
	if (is_pod_if(out) || !host)
		return true;
	return !drops(n, host, false, J_UNTRACKED, p) &&
	       (accepts(n, host, false, J_UNTRACKED, p) ||
		judge(n->w, host, false, J_NORMAL, p) == J_ACCEPTED);
}
