/* tunnel_msg.c - tunnel devices, forwarding entries and neighbours as netlink messages
 * SPEC   rtnetlink(7), bridge(8); drivers/net/vxlan/vxlan_core.c, net/core/rtnetlink.c
 * TESTS  tests/unit/dataplane/tunnel.c, against the kernel and ip(8) */
#include "dataplane/tunnel_msg.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

/* ---- devices ---- */

static void parse_vxlan(const struct nlattr *data, struct tunnel_link *l)
{
	const struct nlattr *tb[IFLA_VXLAN_COLLECT_METADATA + 1];

	if (!nl_nested(data, tb, IFLA_VXLAN_COLLECT_METADATA)) {
		l->unusual = true;
		return;
	}
	l->vni = nl_attr_u32(tb[IFLA_VXLAN_ID]);
	l->parent = nl_attr_u32(tb[IFLA_VXLAN_LINK]);
	l->port = ntohs(nl_attr_u16(tb[IFLA_VXLAN_PORT]));
	l->local =
		nl_attr_addr(tb[IFLA_VXLAN_LOCAL] ? tb[IFLA_VXLAN_LOCAL] : tb[IFLA_VXLAN_LOCAL6]);
	l->learning = nl_attr_u8(tb[IFLA_VXLAN_LEARNING]);
	l->unusual = nl_attr_u8(tb[IFLA_VXLAN_COLLECT_METADATA]) || tb[IFLA_VXLAN_GBP] ||
		     tb[IFLA_VXLAN_GROUP] || tb[IFLA_VXLAN_GROUP6];
}

bool tunnel_link_parse(const struct nlmsghdr *h, struct tunnel_link *out)
{
	const struct nlattr *tb[IFLA_LINKINFO + 1], *info[IFLA_INFO_DATA + 1];
	const struct ifinfomsg *ifi = nl_body(h, sizeof(*ifi));
	const char *name, *kind;

	if (!ifi || h->nlmsg_type != RTM_NEWLINK || !nl_attrs(h, sizeof(*ifi), tb, IFLA_LINKINFO))
		return false;
	name = nl_attr_str(tb[IFLA_IFNAME]);
	if (!name)
		return false;
	memset(out, 0, sizeof(*out));
	out->index = (uint32_t)ifi->ifi_index;
	out->mtu = nl_attr_u32(tb[IFLA_MTU]);
	out->up = ifi->ifi_flags & IFF_UP;
	str_copy(out->name, sizeof(out->name), name);
	if (nl_attr_len(tb[IFLA_ADDRESS]) == sizeof(out->mac))
		memcpy(out->mac, nl_attr_data(tb[IFLA_ADDRESS]), sizeof(out->mac));
	if (!tb[IFLA_LINKINFO] || !nl_nested(tb[IFLA_LINKINFO], info, IFLA_INFO_DATA))
		return true;
	kind = nl_attr_str(info[IFLA_INFO_KIND]);
	if (kind)
		str_copy(out->kind, sizeof(out->kind), kind);
	if (str_eq(out->kind, "vxlan") && info[IFLA_INFO_DATA])
		parse_vxlan(info[IFLA_INFO_DATA], out);
	return true;
}

void tunnel_put_query(struct nl_buf *b, const char *name)
{
	struct ifinfomsg ifi = { 0 };

	nl_msg(b, RTM_GETLINK, 0, &ifi, sizeof(ifi));
	nl_add_str(b, IFLA_IFNAME, name);
}

static void put_new(struct nl_buf *b, const char *name, bool up)
{
	struct ifinfomsg ifi = { .ifi_flags = up ? IFF_UP : 0, .ifi_change = up ? IFF_UP : 0 };

	nl_msg(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi));
	nl_add_str(b, IFLA_IFNAME, name);
}

void tunnel_put_ipip(struct nl_buf *b, const char *name)
{
	size_t info;

	put_new(b, name, false);
	info = nl_nest(b, IFLA_LINKINFO);
	nl_add_str(b, IFLA_INFO_KIND, "ipip");
	nl_nest_end(b, info);
}

void tunnel_put_vxlan(struct nl_buf *b, const char *name, const struct tunnel_spec *s)
{
	bool v6 = s->local.family == IP_V6;
	size_t info, data;

	put_new(b, name, true);
	nl_add(b, IFLA_ADDRESS, s->mac, sizeof(s->mac));
	nl_add_u32(b, IFLA_MTU, s->mtu);
	info = nl_nest(b, IFLA_LINKINFO);
	nl_add_str(b, IFLA_INFO_KIND, "vxlan");
	data = nl_nest(b, IFLA_INFO_DATA);
	nl_add_u32(b, IFLA_VXLAN_ID, s->vni);
	nl_add_u32(b, IFLA_VXLAN_LINK, s->parent);
	nl_add_u16(b, IFLA_VXLAN_PORT, htons(s->port));
	nl_add_u8(b, IFLA_VXLAN_LEARNING, 0);
	nl_add_addr(b, v6 ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL, &s->local);
	nl_nest_end(b, data);
	nl_nest_end(b, info);
}

void tunnel_put_delete(struct nl_buf *b, uint32_t index)
{
	struct ifinfomsg ifi = { .ifi_index = (int)index };

	nl_msg(b, RTM_DELLINK, 0, &ifi, sizeof(ifi));
}

void tunnel_put_set(struct nl_buf *b, uint32_t index, uint32_t mtu, const uint8_t *mac)
{
	struct ifinfomsg ifi = {
		.ifi_index = (int)index,
		.ifi_flags = IFF_UP,
		.ifi_change = IFF_UP,
	};

	nl_msg(b, RTM_NEWLINK, 0, &ifi, sizeof(ifi));
	if (mtu)
		nl_add_u32(b, IFLA_MTU, mtu);
	if (mac)
		nl_add(b, IFLA_ADDRESS, mac, 6);
}

/* ---- addresses ---- */

void tunnel_put_addr(struct nl_buf *b, uint32_t index, const struct prefix *p, bool add)
{
	struct ifaddrmsg ifa = {
		.ifa_family = nl_family((enum ip_family)p->addr.family),
		.ifa_prefixlen = p->len,
		.ifa_index = index,
		.ifa_flags = p->addr.family == IP_V6 ? IFA_F_NODAD : 0,
	};

	nl_msg(b, add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_REPLACE : 0, &ifa,
	       sizeof(ifa));
	nl_add_addr(b, IFA_LOCAL, &p->addr);
	nl_add_addr(b, IFA_ADDRESS, &p->addr);
}

void tunnel_put_addr_dump(struct nl_buf *b, enum ip_family family, uint32_t index)
{
	struct ifaddrmsg ifa = { .ifa_family = nl_family(family), .ifa_index = index };

	nl_msg(b, RTM_GETADDR, 0, &ifa, sizeof(ifa));
}

/* ---- forwarding entries and neighbours ---- */

static bool is_unicast_mac(const uint8_t mac[static 6])
{
	static const uint8_t zero[6];

	return !(mac[0] & 1) && memcmp(mac, zero, sizeof(zero)) != 0;
}

bool tunnel_entry_parse(const struct nlmsghdr *h, struct tunnel_entry *out)
{
	const struct ndmsg *nd = nl_body(h, sizeof(*nd));
	const struct nlattr *tb[NDA_MAX + 1];

	if (!nd || (h->nlmsg_type != RTM_NEWNEIGH && h->nlmsg_type != RTM_DELNEIGH) ||
	    !nl_attrs(h, sizeof(*nd), tb, NDA_MAX))
		return false;
	memset(out, 0, sizeof(*out));
	out->fdb = nd->ndm_family == AF_BRIDGE;
	out->index = (uint32_t)nd->ndm_ifindex;
	out->gone = h->nlmsg_type == RTM_DELNEIGH;
	out->permanent = nd->ndm_state & NUD_PERMANENT;
	out->addr = nl_attr_addr(tb[NDA_DST]);
	if (nl_attr_len(tb[NDA_LLADDR]) == sizeof(out->mac))
		memcpy(out->mac, nl_attr_data(tb[NDA_LLADDR]), sizeof(out->mac));
	if (!out->addr.family || addr_is_multicast(&out->addr))
		return false;
	/* Neighbours that the kernel asks for itself have no MAC, or one by and by. */
	return out->fdb ? is_unicast_mac(out->mac)
			: !(nd->ndm_flags & NTF_PROXY) && !(nd->ndm_state & NUD_NOARP);
}

void tunnel_put_entry(struct nl_buf *b, const struct tunnel_entry *en, bool add)
{
	struct ndmsg nd = {
		.ndm_family = en->fdb ? AF_BRIDGE : nl_family((enum ip_family)en->addr.family),
		.ndm_ifindex = (int)en->index,
		.ndm_state = NUD_PERMANENT,
		.ndm_flags = en->fdb ? NTF_SELF : 0,
	};

	nl_msg(b, add ? RTM_NEWNEIGH : RTM_DELNEIGH, add ? NLM_F_CREATE | NLM_F_REPLACE : 0, &nd,
	       sizeof(nd));
	nl_add_addr(b, NDA_DST, &en->addr);
	if (add || en->fdb)
		nl_add(b, NDA_LLADDR, en->mac, sizeof(en->mac));
}

void tunnel_put_entry_dump(struct nl_buf *b, bool fdb, enum ip_family family, uint32_t index)
{
	struct ndmsg nd = {
		.ndm_family = fdb ? AF_BRIDGE : nl_family(family),
		.ndm_ifindex = fdb ? (int)index : 0,
	};

	nl_msg(b, RTM_GETNEIGH, 0, &nd, sizeof(nd));
	/* Neighbours take the filter as an attribute, the bridge's entries in the header. */
	if (!fdb)
		nl_add_u32(b, NDA_IFINDEX, index);
}
