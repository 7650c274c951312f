/* workload.c - what the host end of a pod's veth needs besides its route
 * WHY  proxy_arp makes the host answer for 169.254.1.1, which no interface holds; proxy_delay 0
 * makes it answer at once; forwarding lets the packets through; accept_ra 0 keeps a pod from
 * teaching the host routes. The values are written only where they differ. */
#include "dataplane/workload.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/sysctl.h"

enum key_flags {
	KEY_V6 = 1,	 /* only with IPv6 */
	KEY_LENIENT = 2, /* a failure harms nothing */
	KEY_RP_FILTER = 4,
	KEY_NO_V6 = 8, /* only where no IPv6 may be */
};

/* In the order in which they are set: DIR/INTERFACE/KEY. */
static const struct {
	const char *dir, *key, *value;
	int flags;
} keys[] = {
	/* Else a pod that may talk to nobody could talk to its host by link-local addresses. */
	{ "net/ipv6/conf", "disable_ipv6", "1", KEY_NO_V6 | KEY_LENIENT },
	{ "net/ipv6/conf", "accept_ra", "0", KEY_LENIENT },
	{ "net/ipv4/conf", "route_localnet", "1", 0 },
	{ "net/ipv4/neigh", "proxy_delay", "0", KEY_LENIENT },
	{ "net/ipv4/conf", "proxy_arp", "1", 0 },
	{ "net/ipv4/conf", "forwarding", "1", 0 },
	{ "net/ipv4/conf", "rp_filter", "1", KEY_RP_FILTER },
	{ "net/ipv6/conf", "proxy_ndp", "1", KEY_V6 },
	{ "net/ipv6/conf", "forwarding", "1", KEY_V6 },
};

static void rp_filter_value(const struct workload_if *w, char value[static SYSCTL_VALUE_MAX])
{
	if (w->any_source)
		str_copy(value, SYSCTL_VALUE_MAX, "0");
	else if (w->rp_filter)
		str_copy(value, SYSCTL_VALUE_MAX, w->rp_filter);
	else if (sysctl_read("net/ipv4/conf/default/rp_filter", value, NULL) < 0)
		str_copy(value, SYSCTL_VALUE_MAX, "1");
}

static int check_key(const char *path, const char *value, struct err *e)
{
	char now[SYSCTL_VALUE_MAX];
	int rc = sysctl_read(path, now, e);

	if (rc < 0)
		return rc;
	if (strcmp(now, value) != 0)
		return err_set(e, -ESTALE, "/proc/sys/%s is %s, should be %s", path, now, value);
	return 0;
}

static int each_key(const struct workload_if *w,
		    int (*fn)(const char *, const char *, struct err *), struct err *e)
{
	if (!w->ifname[0] || strchr(w->ifname, '/') || w->ifname[0] == '.')
		return err_set(e, -EINVAL, "\"%s\" is no interface name", w->ifname);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		char path[128], value[SYSCTL_VALUE_MAX];
		bool lenient = keys[i].flags & KEY_LENIENT;
		int rc;

		if (((keys[i].flags & KEY_V6) && !w->ipv6) ||
		    ((keys[i].flags & KEY_NO_V6) && !w->no_ipv6))
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s", keys[i].dir, w->ifname, keys[i].key);
		str_copy(value, sizeof(value), keys[i].value);
		if (keys[i].flags & KEY_RP_FILTER)
			rp_filter_value(w, value);
		rc = fn(path, value, lenient ? NULL : e);
		if (rc < 0 && !lenient)
			return rc;
	}
	return 0;
}

int workload_sysctls(const struct workload_if *w, struct err *e)
{
	return each_key(w, sysctl_set, e);
}

int workload_sysctls_check(const struct workload_if *w, struct err *e)
{
	return each_key(w, check_key, e);
}

int workload_neighbour(struct nl_sock *s, uint32_t ifindex, const struct addr *pod,
		       const uint8_t mac[static 6], struct err *e)
{
	struct ndmsg nd = {
		.ndm_family = nl_family(pod->family),
		.ndm_ifindex = (int)ifindex,
		.ndm_state = NUD_PERMANENT,
	};
	struct nl_buf b = { 0 };
	int rc;

	nl_msg(&b, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &nd, sizeof(nd));
	nl_add_addr(&b, NDA_DST, pod);
	nl_add(&b, NDA_LLADDR, mac, 6);
	rc = nl_run(s, &b, e);
	nl_buf_done(&b);
	return rc;
}
