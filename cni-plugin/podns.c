/* podns.c - the pod's network namespace and the interface in it
 * WHY    A thread that is in the wrong namespace does damage, so the plugin is in the pod's one
 * only for as long as it takes to open a socket or a sysctl there: the socket stays in it. SHAPE
 * One sendmsg makes everything (dataplane/veth.h). The index that the new link shall have is looked
 * up before; when somebody else takes it meanwhile, the next one is tried. ERRORS Whatever fails,
 * the pair is taken away again before podns_make returns. */
#include "cni-plugin/podns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/sysctl.h"
#include "dataplane/veth.h"

enum {
	INDEX_TRIES = 64, /* a pod has few interfaces; a router in a pod perhaps dozens */
	STEPS_MAX = 8 + ANSWER_IPS_MAX + ANSWER_ROUTES_MAX,
};

static bool same_namespace(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

int podns_open(struct podns *p, const struct env *env, int bad_netns_code, struct cni_error *f)
{
	struct err e = { 0 };
	int rc;

	*p = (struct podns) { .nl.fd = -1 };
	p->host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	p->pod = open(env->netns, O_RDONLY | O_CLOEXEC);
	if (p->host < 0)
		return cni_fail(f, CNI_IO, "/proc/self/ns/net: %s", strerror(errno));
	if (p->pod < 0) {
		p->gone = errno == ENOENT || errno == ENOTDIR;
		return cni_fail(f, bad_netns_code, "CNI_NETNS \"%.128s\": %s", env->netns,
				strerror(errno));
	}
	if (!env->netns_override && same_namespace(p->host, p->pod))
		return cni_fail(f, bad_netns_code,
				"CNI_NETNS \"%.128s\": is the namespace that the "
				"plugin itself runs in, not a pod's",
				env->netns);
	if (setns(p->pod, CLONE_NEWNET) < 0) {
		/* What is left of a bind mount after umount is an ordinary empty file. */
		p->gone = errno == EINVAL;
		return cni_fail(f, bad_netns_code,
				"CNI_NETNS \"%.128s\": is not a network namespace "
				"that can be entered: %s",
				env->netns, strerror(errno));
	}
	rc = nl_open(&p->nl, &e);
	podns_leave(p);
	return rc < 0 ? cni_fail(f, CNI_IO, "in CNI_NETNS: %s", e.msg) : 0;
}

void podns_close(struct podns *p)
{
	nl_close(&p->nl);
	closep(&p->pod);
	closep(&p->host);
	p->pod = p->host = -1;
}

int podns_enter(const struct podns *p, struct cni_error *f)
{
	if (setns(p->pod, CLONE_NEWNET) < 0)
		return cni_fail(f, CNI_IO, "entering CNI_NETNS: %s", strerror(errno));
	return 0;
}

void podns_leave(const struct podns *p)
{
	if (setns(p->host, CLONE_NEWNET) < 0) {
		fprintf(stderr, "margay: cannot return to the host's namespace: %s\n",
			strerror(errno));
		abort();
	}
}

uint32_t podns_index(const struct podns *p, const char *name)
{
	return veth_index(p->nl.fd, name);
}

/* A random MAC of the locally administered kind. */
static void random_mac(uint8_t mac[static 6])
{
	if (getrandom(mac, 6, 0) != 6)
		abort(); /* not for six bytes, by getrandom(2) */
	mac[0] = (uint8_t)((mac[0] & 0xfe) | 0x02);
}

static int set_in_pod(const char *path, const char *value, bool may_lack, struct cni_error *f)
{
	struct err e = { 0 };
	int rc = sysctl_set(path, value, &e);

	if (rc == 0 || (may_lack && rc == -ENOENT))
		return 0;
	return cni_fail(f, CNI_KERNEL, "in the pod: %s", e.msg);
}

static int pod_sysctls(const struct answer *a, struct cni_error *f)
{
	static const char *const v6[][2] = {
		{ "net/ipv6/conf/all/disable_ipv6", "0" },
		{ "net/ipv6/conf/default/disable_ipv6", "0" },
		{ "net/ipv6/conf/lo/disable_ipv6", "0" },
		/* Inherited by the interface to come: its addresses are usable at once. */
		{ "net/ipv6/conf/default/accept_dad", "0" },
	};
	const char *forward = a->ip_forward ? "1" : "0";

	if (set_in_pod("net/ipv4/ip_forward", forward, !a->v4, f) < 0 ||
	    set_in_pod("net/ipv6/conf/all/forwarding", forward, !a->v6, f) < 0)
		return -1;
	for (size_t i = 0; a->v6 && i < ARRAY_SIZE(v6); i++)
		if (set_in_pod(v6[i][0], v6[i][1], false, f) < 0)
			return -1;
	return 0;
}

static uint32_t free_index(const struct podns *p, uint32_t from)
{
	for (uint32_t i = from; i < from + INDEX_TRIES; i++)
		if (!veth_index_taken(p->nl.fd, i))
			return i;
	return 0;
}

/* The messages of one attempt, and in words what each does. */
struct plan {
	struct nl_buf b;
	const char *step[STEPS_MAX];
	unsigned failed; /* index of the first that failed */
	int code;	 /* its errno, 0: none */
	char text[256];	 /* the kernel's words */
};

static void step(struct plan *p, const char *what)
{
	p->step[p->b.n - 1] = what;
}

static void plan_family(struct plan *p, const struct answer *a, uint32_t index,
			enum ip_family family)
{
	struct prefix all = { .addr.family = (uint8_t)family };
	struct addr gw = family == IP_V4 ? veth_gateway() : veth_link_local(a->host_mac);
	unsigned custom = 0;

	if (family == IP_V4) {
		struct prefix host = { .addr = gw, .len = 32 };

		veth_put_route(&p->b, index, &host, NULL);
		step(p, "route to the gateway 169.254.1.1");
	}
	for (unsigned i = 0; i < a->n_routes; i++) {
		if (a->routes[i].addr.family != family)
			continue;
		veth_put_route(&p->b, index, &a->routes[i], &gw);
		step(p, "custom route");
		custom++;
	}
	if (custom)
		return;
	veth_put_route(&p->b, index, &all, &gw);
	step(p, "default route");
}

static void plan_make(struct plan *p, const struct veth *v, const struct answer *a)
{
	*p = (struct plan) { 0 };
	veth_put_pair(&p->b, v);
	step(p, "veth pair");
	if (a->v4)
		plan_family(p, a, v->pod_index, IP_V4);
	if (a->v6)
		plan_family(p, a, v->pod_index, IP_V6);
	for (unsigned i = 0; i < a->n_ips; i++) {
		veth_put_addr(&p->b, v->pod_index, &a->ips[i]);
		step(p, "address");
	}
}

static void plan_failed(void *arg, unsigned index, int code, const char *text)
{
	struct plan *p = arg;

	if (p->code)
		return;
	p->code = code;
	p->failed = index;
	str_copy(p->text, sizeof(p->text), text);
}

static int remove_index(struct nl_sock *nl, uint32_t index, struct err *e)
{
	struct nl_buf b = { 0 };
	int rc;

	veth_put_delete(&b, index);
	rc = nl_run(nl, &b, e);
	nl_buf_done(&b);
	return rc == -ENODEV ? 0 : rc;
}

/* 0, or what the kernel said of the first message that failed. */
static int attempt(struct podns *p, const struct veth *v, const struct answer *a,
		   struct cni_error *f)
{
	struct err e = { 0 };
	struct plan plan;
	int rc;

	plan_make(&plan, v, a);
	rc = nl_batch(&p->nl, &plan.b, plan_failed, &plan, &e);
	nl_buf_done(&plan.b);
	if (rc == 0 && !plan.code)
		return 0;
	if (rc < 0) {
		plan.code = rc;
		cni_fail(f, CNI_KERNEL, "making the pod's interface: %s", e.msg);
	} else {
		cni_fail(f, CNI_KERNEL, "making the pod's interface: %s: %s",
			 plan.step[plan.failed], strerror(-plan.code));
		cni_remedy(f, "%s", plan.text);
	}
	/* The pair stands although something behind it failed. */
	if ((rc < 0 || plan.failed > 0) && podns_index(p, v->pod_name) == v->pod_index)
		(void)remove_index(&p->nl, v->pod_index, NULL);
	return plan.code;
}

struct kind {
	char name[16];
};

static void take_kind(void *arg, const struct nlmsghdr *h)
{
	const struct nlattr *tb[IFLA_LINKINFO + 1], *info[IFLA_INFO_KIND + 1];
	struct kind *k = arg;
	const char *kind;

	if (!nl_attrs(h, sizeof(struct ifinfomsg), tb, IFLA_LINKINFO) || !tb[IFLA_LINKINFO] ||
	    !nl_nested(tb[IFLA_LINKINFO], info, IFLA_INFO_KIND))
		return;
	kind = nl_attr_str(info[IFLA_INFO_KIND]);
	if (kind)
		str_copy(k->name, sizeof(k->name), kind);
}

/* What an earlier ADD of the same pod left in the host's namespace. Only ever a veth. */
static int remove_stale(struct nl_sock *host, const char *name, struct cni_error *f)
{
	uint32_t index = veth_index(host->fd, name);
	struct kind kind = { 0 };
	struct nl_buf b = { 0 };
	struct err e = { 0 };
	int rc;

	if (!index)
		return 0;
	veth_put_query(&b, name);
	rc = nl_ask(host, &b, take_kind, &kind, &e);
	nl_buf_done(&b);
	if (rc == 0 && !str_eq(kind.name, "veth"))
		return cni_fail(f, CNI_KERNEL,
				"host interface %s exists and is no veth (kind "
				"\"%s\"): it is not a pod's, so it stays",
				name, kind.name);
	if (rc == 0)
		rc = remove_index(host, index, &e);
	if (rc < 0 && rc != -ENODEV)
		return cni_fail(f, CNI_KERNEL, "removing the old host interface %s: %s", name,
				e.msg);
	return 0;
}

/* IPv6 wants sysctls on the host's end before it comes up, or its link-local address, which is the
 * pod's gateway, would be tentative for a second. */
static int host_end_up(struct nl_sock *host, const struct answer *a, uint32_t index,
		       struct cni_error *f)
{
	static const char *const v6[][2] = { { "accept_dad", "0" }, { "disable_ipv6", "0" } };
	struct nl_buf b = { 0 };
	struct err e = { 0 };
	int rc = 0;

	for (size_t i = 0; a->v6 && rc == 0 && i < ARRAY_SIZE(v6); i++) {
		char path[64];

		snprintf(path, sizeof(path), "net/ipv6/conf/%s/%s", a->host_if, v6[i][0]);
		rc = sysctl_set(path, v6[i][1], &e);
	}
	veth_put_host_up(&b, index, a->v6);
	if (rc == 0)
		rc = nl_run(host, &b, &e);
	nl_buf_done(&b);
	return rc < 0 ? cni_fail(f, CNI_KERNEL, "host interface %s: %s", a->host_if, e.msg) : 0;
}

static int make_pair(struct podns *p, struct nl_sock *host, struct veth *v, const struct answer *a,
		     struct cni_error *f)
{
	int code = -EEXIST;

	if (remove_stale(host, a->host_if, f) < 0)
		return -1;
	v->pod_index = 1; /* lo */
	for (int i = 0; i < 4 && (code == -EEXIST || code == -EBUSY); i++) {
		v->pod_index = free_index(p, v->pod_index + 1);
		if (!v->pod_index)
			return cni_fail(f, CNI_KERNEL,
					"the pod's namespace has no free interface "
					"index below %d",
					INDEX_TRIES);
		code = attempt(p, v, a, f);
	}
	return code ? -1 : 0;
}

int podns_make(struct podns *p, const struct env *env, const struct answer *a, struct podlink *out,
	       struct cni_error *f)
{
	struct podlink l = { 0 };
	struct nl_sock host = { .fd = -1 };
	struct veth v = {
		.pod_name = env->ifname,
		.pod_mac = l.mac,
		.host_name = a->host_if,
		.host_mac = a->host_mac,
		.host_ns = p->host,
		.mtu = a->mtu,
		.queues = a->queues,
	};
	struct err e = { 0 };
	int rc;

	if (a->has_mac)
		memcpy(l.mac, a->mac, sizeof(l.mac));
	else
		random_mac(l.mac);
	if (podns_enter(p, f) < 0)
		return -1;
	rc = pod_sysctls(a, f);
	podns_leave(p);
	if (rc < 0)
		return -1;
	if (nl_open(&host, &e) < 0)
		return cni_fail(f, CNI_IO, "%s", e.msg);
	rc = make_pair(p, &host, &v, a, f);
	if (rc == 0) {
		l.pod_index = v.pod_index;
		l.host_index = veth_index(host.fd, a->host_if);
		rc = host_end_up(&host, a, l.host_index, f);
		if (rc < 0)
			(void)remove_index(&p->nl, l.pod_index, NULL);
	}
	nl_close(&host);
	if (rc == 0)
		*out = l;
	return rc;
}

int podns_remove(struct podns *p, const char *name, struct cni_error *f)
{
	uint32_t index = podns_index(p, name);
	struct err e = { 0 };

	if (index && remove_index(&p->nl, index, &e) < 0)
		return cni_fail(f, CNI_KERNEL, "removing %s from the pod: %s", name, e.msg);
	return 0;
}
