/* check.c - CHECK: is the pod still as ADD left it?
 * SHAPE  What prevResult says against three dumps in the pod (link, addresses, routes) and the
 * host's end; then the agent looks at its side. Prints nothing. WHY    A chain may add addresses
 * and routes of its own: what is more than expected is no error. */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "cni-plugin/agent.h"
#include "cni-plugin/delegate.h"
#include "cni-plugin/io.h"
#include "cni-plugin/podns.h"
#include "cni-plugin/result.h"
#include "cni-plugin/verbs.h"
#include "dataplane/sysctl.h"
#include "dataplane/veth.h"
#include "lib/json.h"

/* What the kernel says of the pod. */
struct seen {
	const struct expected *x;
	uint32_t index, peer, mtu;
	bool up, veth;
	uint8_t mac[6];
	unsigned ips;	     /* how many of the expected ones, as bits */
	bool gw_route;	     /* 169.254.1.1 straight out of the interface */
	bool via_v4, via_v6; /* at least one route through a gateway */
};

static void see_link(void *arg, const struct nlmsghdr *h)
{
	const struct nlattr *tb[IFLA_LINKINFO + 1], *info[IFLA_INFO_KIND + 1];
	const struct ifinfomsg *ifi = nl_body(h, sizeof(*ifi));
	struct seen *s = arg;

	if (!ifi || !nl_attrs(h, sizeof(*ifi), tb, IFLA_LINKINFO))
		return;
	s->index = (uint32_t)ifi->ifi_index;
	s->up = ifi->ifi_flags & IFF_UP;
	s->peer = nl_attr_u32(tb[IFLA_LINK]);
	s->mtu = nl_attr_u32(tb[IFLA_MTU]);
	if (nl_attr_len(tb[IFLA_ADDRESS]) == sizeof(s->mac))
		memcpy(s->mac, nl_attr_data(tb[IFLA_ADDRESS]), sizeof(s->mac));
	if (tb[IFLA_LINKINFO] && nl_nested(tb[IFLA_LINKINFO], info, IFLA_INFO_KIND))
		s->veth = str_eq(nl_attr_str(info[IFLA_INFO_KIND]), "veth");
}

static void see_addr(void *arg, const struct nlmsghdr *h)
{
	const struct ifaddrmsg *ifa = nl_body(h, sizeof(*ifa));
	const struct nlattr *tb[IFA_LOCAL + 1];
	struct seen *s = arg;
	struct addr a;

	if (!ifa || ifa->ifa_index != s->index || !nl_attrs(h, sizeof(*ifa), tb, IFA_LOCAL))
		return;
	a = nl_attr_addr(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS]);
	for (unsigned i = 0; i < s->x->n_ips; i++)
		if (addr_eq(&a, &s->x->ips[i].addr))
			s->ips |= 1U << i;
}

static void see_route(void *arg, const struct nlmsghdr *h)
{
	const struct rtmsg *rt = nl_body(h, sizeof(*rt));
	struct addr gw = veth_gateway(), dst, via;
	const struct nlattr *tb[RTA_GATEWAY + 1];
	struct seen *s = arg;

	if (!rt || rt->rtm_table != RT_TABLE_MAIN || !nl_attrs(h, sizeof(*rt), tb, RTA_GATEWAY) ||
	    nl_attr_u32(tb[RTA_OIF]) != s->index)
		return;
	dst = nl_attr_addr(tb[RTA_DST]);
	via = nl_attr_addr(tb[RTA_GATEWAY]);
	if (addr_eq(&dst, &gw) && rt->rtm_dst_len == 32 && rt->rtm_scope == RT_SCOPE_LINK)
		s->gw_route = true;
	if (addr_eq(&via, &gw))
		s->via_v4 = true;
	if (via.family == IP_V6 && addr_is_link_local(&via))
		s->via_v6 = true;
}

static int look(struct podns *ns, const struct env *env, struct seen *s, struct err *e)
{
	struct ifaddrmsg ifa = { 0 };
	struct rtmsg rt = { 0 };
	struct nl_buf b = { 0 };
	int rc;

	veth_put_query(&b, env->ifname);
	rc = nl_ask(&ns->nl, &b, see_link, s, e);
	if (rc == 0) {
		nl_msg(&b, RTM_GETADDR, 0, &ifa, sizeof(ifa));
		rc = nl_dump(&ns->nl, &b, see_addr, s, e);
	}
	for (int i = 0; i < 2 && rc == 0; i++) {
		rt.rtm_family = i ? AF_INET6 : AF_INET;
		nl_msg(&b, RTM_GETROUTE, 0, &rt, sizeof(rt));
		rc = nl_dump(&ns->nl, &b, see_route, s, e);
	}
	nl_buf_done(&b);
	return rc;
}

static int differs(struct cni_error *f, const struct env *env, const char *what)
{
	cni_fail(f, CNI_ABSENT, "%s in the pod: %s", env->ifname, what);
	return cni_remedy(f,
			  "it was right after ADD and has been changed since; make the pod anew");
}

static int compare(const struct seen *s, const struct env *env, struct cni_error *f)
{
	const struct expected *x = s->x;
	char text[PREFIX_STR_MAX + 32];

	if (!s->veth)
		return differs(f, env, "is no veth");
	if (!s->up)
		return differs(f, env, "is down");
	if (x->has_mac && memcmp(x->mac, s->mac, sizeof(s->mac)) != 0)
		return differs(f, env, "has another MAC address than in prevResult");
	if (x->mtu && x->mtu != s->mtu)
		return differs(f, env, "has another MTU than in prevResult");
	for (unsigned i = 0; i < x->n_ips; i++) {
		bool v4 = x->ips[i].addr.family == IP_V4;

		if (!(s->ips & 1U << i)) {
			prefix_format(&x->ips[i], text);
			strcat(text, " is missing");
			return differs(f, env, text);
		}
		if (v4 && !s->gw_route)
			return differs(f, env, "has no route to 169.254.1.1");
		if (v4 ? !s->via_v4 : !s->via_v6)
			return differs(f, env, "has no route through its gateway");
	}
	return 0;
}

static int check_host_end(const struct seen *s, const struct env *env, struct cni_error *f)
{
	struct nl_sock host;
	struct err e = { 0 };
	uint32_t index;

	if (!s->x->host_if[0])
		return 0;
	if (nl_open(&host, &e) < 0)
		return cni_fail(f, CNI_IO, "%s", e.msg);
	index = veth_index(host.fd, s->x->host_if);
	nl_close(&host);
	if (!index)
		return cni_fail(f, CNI_ABSENT, "host interface %s: is missing", s->x->host_if);
	if (index != s->peer)
		return cni_fail(f, CNI_ABSENT,
				"host interface %s: is not the other end of the pod's %s",
				s->x->host_if, env->ifname);
	return 0;
}

static int check_forwarding(const struct podns *ns, const struct conf *c, struct cni_error *f)
{
	const char *want = c->ip_forward ? "1" : "0";
	char now[SYSCTL_VALUE_MAX];
	int rc;

	if (podns_enter(ns, f) < 0)
		return -1;
	rc = sysctl_read("net/ipv4/ip_forward", now, NULL);
	podns_leave(ns);
	if (rc < 0 || str_eq(now, want))
		return 0;
	return cni_fail(f, CNI_ABSENT, "net.ipv4.ip_forward in the pod is %s, should be %s", now,
			want);
}

static int check_pod(const struct env *env, const struct conf *c, struct podns *ns,
		     struct cni_error *f)
{
	struct expected x;
	struct seen s = { .x = &x };
	struct err e = { 0 };

	if (result_expect(&x, c->prev_result, env, f) < 0)
		return -1;
	if (podns_open(ns, env, conf_version_from(c, "1.1.0") ? CNI_BAD_NETNS : CNI_BAD_ENV, f) < 0)
		return -1;
	if (!podns_index(ns, env->ifname))
		return differs(f, env, "is missing");
	if (look(ns, env, &s, &e) < 0)
		return cni_fail(f, CNI_IO, "looking into the pod: %s", e.msg);
	if (compare(&s, env, f) < 0 || check_host_end(&s, env, f) < 0)
		return -1;
	return check_forwarding(ns, c, f);
}

static int check_agent(const struct env *env, const struct conf *c, uint64_t deadline_ms,
		       struct cni_error *f)
{
	CLEANUP(js_freep) json_t *request = agent_request("CHECK", env, c);
	struct agent a;
	int rc = agent_open(&a, c->agent_socket, deadline_ms, f);

	if (rc == 0)
		rc = agent_call(&a, request, NULL, f);
	agent_close(&a);
	return rc;
}

int verb_check(const struct env *env, const struct conf *c, char **out, struct cni_error *f)
{
	uint64_t deadline_ms = io_now_ms() + IO_BUDGET_MS;
	struct podns ns;
	int rc;

	ns = (struct podns) { .pod = -1, .host = -1, .nl.fd = -1 };
	rc = check_pod(env, c, &ns, f);
	podns_close(&ns);
	if (rc == 0 && c->delegated)
		rc = delegate_run("CHECK", c, env, deadline_ms, NULL, f);
	return rc < 0 ? rc : check_agent(env, c, deadline_ms, f);
}
