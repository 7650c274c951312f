/* veth.c - the messages that make, inspect and take away a pod's interface
 * WHY    An ADD's time is round trips and kernel locks. RTM_NEWLINK takes both ends' names, MACs,
 *        MTUs, queues, flags and the other end's namespace at once; and since it also takes the
 *        index that the link shall have, routes and addresses can follow in the same sendmsg.
 * SPEC   rtnetlink(7), drivers/net/veth.c */
#include "dataplane/veth.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

const uint8_t veth_host_mac[6] = { 0xee, 0xee, 0xee, 0xee, 0xee, 0xee };

struct addr veth_gateway(void)
{
	return addr_v4(0xa9fe0101);
}

struct addr veth_link_local(const uint8_t mac[static 6])
{
	const uint8_t b[16] = {
		0xfe,	     0x80,	  [8] = mac[0] ^ 2, [9] = mac[1],  [10] = mac[2],
		[11] = 0xff, [12] = 0xfe, [13] = mac[3],    [14] = mac[4], [15] = mac[5]
	};

	return addr_from_bytes(b, sizeof(b));
}

/* What both ends have alike. */
static void put_common(struct nl_buf *b, const struct veth *v)
{
	if (v->mtu)
		nl_add_u32(b, IFLA_MTU, v->mtu);
	if (v->queues) {
		nl_add_u32(b, IFLA_NUM_TX_QUEUES, v->queues);
		nl_add_u32(b, IFLA_NUM_RX_QUEUES, v->queues);
	}
}

void veth_put_pair(struct nl_buf *b, const struct veth *v)
{
	struct ifinfomsg pod = {
		.ifi_index = (int)v->pod_index,
		.ifi_flags = IFF_UP,
		.ifi_change = IFF_UP,
	};
	/* Down: the kernel opens it before it knows its other end, and fails (ENOTCONN). */
	struct ifinfomsg host = { 0 };
	size_t info, data, peer;

	nl_msg(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &pod, sizeof(pod));
	nl_add_str(b, IFLA_IFNAME, v->pod_name);
	nl_add(b, IFLA_ADDRESS, v->pod_mac, 6);
	put_common(b, v);
	info = nl_nest(b, IFLA_LINKINFO);
	nl_add_str(b, IFLA_INFO_KIND, "veth");
	data = nl_nest(b, IFLA_INFO_DATA);
	peer = nl_nest(b, VETH_INFO_PEER);
	nl_add_raw(b, &host, sizeof(host));
	nl_add_str(b, IFLA_IFNAME, v->host_name);
	nl_add(b, IFLA_ADDRESS, v->host_mac, 6);
	put_common(b, v);
	nl_add_u32(b, IFLA_NET_NS_FD, (uint32_t)v->host_ns);
	nl_nest_end(b, peer);
	nl_nest_end(b, data);
	nl_nest_end(b, info);
}

void veth_put_host_up(struct nl_buf *b, uint32_t index, bool v6)
{
	struct ifinfomsg ifi = {
		.ifi_index = (int)index,
		.ifi_flags = IFF_UP,
		.ifi_change = IFF_UP,
	};
	size_t spec, inet6;

	nl_msg(b, RTM_SETLINK, 0, &ifi, sizeof(ifi));
	if (!v6)
		return;
	spec = nl_nest(b, IFLA_AF_SPEC);
	inet6 = nl_nest(b, AF_INET6);
	nl_add_u8(b, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_EUI64);
	nl_nest_end(b, inet6);
	nl_nest_end(b, spec);
}

void veth_put_route(struct nl_buf *b, uint32_t index, const struct prefix *dst,
		    const struct addr *gw)
{
	struct rtmsg rt = {
		.rtm_family = nl_family(dst->addr.family),
		.rtm_dst_len = dst->len,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_type = RTN_UNICAST,
		.rtm_scope = gw || dst->addr.family == IP_V6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
	};

	nl_msg(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &rt, sizeof(rt));
	if (dst->len)
		nl_add_addr(b, RTA_DST, &dst->addr);
	if (gw)
		nl_add_addr(b, RTA_GATEWAY, gw);
	nl_add_u32(b, RTA_OIF, index);
}

void veth_put_addr(struct nl_buf *b, uint32_t index, const struct prefix *p)
{
	struct ifaddrmsg ifa = {
		.ifa_family = nl_family(p->addr.family),
		.ifa_prefixlen = p->len,
		.ifa_index = index,
		.ifa_flags = p->addr.family == IP_V6 ? IFA_F_NODAD : 0,
	};

	nl_msg(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &ifa, sizeof(ifa));
	if (p->addr.family == IP_V4)
		nl_add_addr(b, IFA_LOCAL, &p->addr);
	nl_add_addr(b, IFA_ADDRESS, &p->addr);
}

void veth_put_delete(struct nl_buf *b, uint32_t index)
{
	struct ifinfomsg ifi = { .ifi_index = (int)index };

	nl_msg(b, RTM_DELLINK, 0, &ifi, sizeof(ifi));
}

void veth_put_query(struct nl_buf *b, const char *name)
{
	struct ifinfomsg ifi = { 0 };

	nl_msg(b, RTM_GETLINK, 0, &ifi, sizeof(ifi));
	nl_add_str(b, IFLA_IFNAME, name);
}

uint32_t veth_index(int fd, const char *name)
{
	struct ifreq ifr = { 0 };

	if (!str_copy(ifr.ifr_name, sizeof(ifr.ifr_name), name) ||
	    ioctl(fd, SIOCGIFINDEX, &ifr) < 0)
		return 0;
	return (uint32_t)ifr.ifr_ifindex;
}

bool veth_index_taken(int fd, uint32_t index)
{
	struct ifreq ifr = { .ifr_ifindex = (int)index };

	return ioctl(fd, SIOCGIFNAME, &ifr) == 0;
}
