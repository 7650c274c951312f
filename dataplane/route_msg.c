/* route_msg.c - kernel routes as netlink messages, both ways
 * SHAPE  rtmsg, then RTA_TABLE, RTA_DST, RTA_PRIORITY, RTA_PREFSRC, RTA_METRICS(RTAX_MTU) and
 * either RTA_OIF + RTA_GATEWAY|RTA_VIA or RTA_MULTIPATH(rtnexthop + the same)*. WHY    Removal
 * names protocol, type and next hops: for IPv4 a priority of 0 matches any, and a bare key could
 * hit the operator's route behind ours. SPEC   rtnetlink(7), net/ipv4/fib_frontend.c,
 * net/ipv6/route.c TESTS  tests/unit/dataplane/route_msg.c, against libnl-route as an independent
 * reader */
#include "dataplane/route_msg.h"

#include <linux/lwtunnel.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static const size_t rtnexthop_size = sizeof(struct rtnexthop);

/* ---- reading ---- */

static struct addr parse_via(const struct nlattr *a)
{
	const uint8_t *p = nl_attr_data(a);
	size_t len = nl_attr_len(a);
	uint16_t family;

	if (len <= sizeof(family))
		return (struct addr) { 0 };
	memcpy(&family, p, sizeof(family));
	if ((family != AF_INET || len != sizeof(family) + 4) &&
	    (family != AF_INET6 || len != sizeof(family) + 16))
		return (struct addr) { 0 };
	return addr_from_bytes(p + sizeof(family), len - sizeof(family));
}

/* Gateway and whatever else a hop may carry. */
static void parse_hop(struct route_msg *r, struct route_nh *nh, const struct nlattr *tb[])
{
	if (tb[RTA_GATEWAY])
		nh->gw = nl_attr_addr(tb[RTA_GATEWAY]);
	else if (tb[RTA_VIA])
		nh->gw = parse_via(tb[RTA_VIA]);
	if (tb[RTA_ENCAP_TYPE] && nl_attr_u16(tb[RTA_ENCAP_TYPE]) != LWTUNNEL_ENCAP_NONE)
		r->unusual = true;
}

static bool parse_multipath(struct route_msg *r, const struct nlattr *a)
{
	const uint8_t *p = nl_attr_data(a);
	size_t len = nl_attr_len(a);

	while (len >= rtnexthop_size) {
		const struct nlattr *tb[RTA_ENCAP + 1];
		struct rtnexthop h;
		struct route_nh *nh;
		size_t step;

		memcpy(&h, p, sizeof(h));
		step = (h.rtnh_len + 3U) & ~3U;
		if (h.rtnh_len < rtnexthop_size || h.rtnh_len > len ||
		    !nl_attrs_in(p + rtnexthop_size, h.rtnh_len - rtnexthop_size, tb, RTA_ENCAP))
			return false;
		if (r->n_nh == ROUTE_NH_MAX) {
			r->unusual = true;
			return true;
		}
		nh = &r->nh[r->n_nh++];
		nh->ifindex = (uint32_t)h.rtnh_ifindex;
		nh->weight = (uint16_t)(h.rtnh_hops + 1);
		nh->onlink = h.rtnh_flags & RTNH_F_ONLINK;
		parse_hop(r, nh, tb);
		p += step < len ? step : len;
		len -= step < len ? step : len;
	}
	return true;
}

static void parse_metrics(struct route_msg *r, const struct nlattr *a)
{
	const struct nlattr *tb[RTAX_MAX + 1];

	if (!nl_nested(a, tb, RTAX_MAX))
		r->unusual = true;
	r->mtu = nl_attr_u32(tb[RTAX_MTU]);
	for (int i = 1; i <= RTAX_MAX; i++)
		if (tb[i] && i != RTAX_MTU)
			r->unusual = true;
}

static bool parse_hops(struct route_msg *r, const struct rtmsg *rt, const struct nlattr *tb[])
{
	/* IPv6 says "dev lo" of a blackhole, which goes nowhere all the same. */
	if (rt->rtm_type == RTN_BLACKHOLE)
		return true;
	if (tb[RTA_MULTIPATH])
		return parse_multipath(r, tb[RTA_MULTIPATH]);
	if (!tb[RTA_OIF])
		return true;
	r->nh[0].ifindex = nl_attr_u32(tb[RTA_OIF]);
	r->nh[0].weight = 1;
	r->nh[0].onlink = rt->rtm_flags & RTNH_F_ONLINK;
	r->n_nh = 1;
	parse_hop(r, &r->nh[0], tb);
	return true;
}

static bool parse_key(struct route_msg *r, const struct rtmsg *rt, const struct nlattr *tb[])
{
	enum ip_family family = nl_family_of(rt->rtm_family);

	r->key.dst.addr = tb[RTA_DST] ? nl_attr_addr(tb[RTA_DST])
				      : (struct addr) { .family = (uint8_t)family };
	r->key.dst.len = rt->rtm_dst_len;
	r->key.metric = nl_attr_u32(tb[RTA_PRIORITY]);
	r->key.table = tb[RTA_TABLE] ? nl_attr_u32(tb[RTA_TABLE]) : rt->rtm_table;
	return family && r->key.dst.addr.family == family && rt->rtm_dst_len <= addr_bits(family) &&
	       !prefix_has_host_bits(&r->key.dst);
}

bool route_msg_parse(const struct nlmsghdr *h, struct route_msg *out)
{
	const struct rtmsg *rt = nl_body(h, sizeof(*rt));
	const struct nlattr *tb[RTA_MAX + 1];

	memset(out, 0, sizeof(*out));
	if (!rt || rt->rtm_tos || rt->rtm_src_len || (rt->rtm_flags & RTM_F_CLONED) ||
	    !nl_attrs(h, sizeof(*rt), tb, RTA_MAX) || !parse_key(out, rt, tb))
		return false;
	out->type = rt->rtm_type;
	out->protocol = rt->rtm_protocol;
	out->scope = rt->rtm_scope;
	out->src = nl_attr_addr(tb[RTA_PREFSRC]);
	out->unusual = tb[RTA_NH_ID] || tb[RTA_FLOW];
	if (tb[RTA_METRICS])
		parse_metrics(out, tb[RTA_METRICS]);
	return parse_hops(out, rt, tb);
}

/* ---- writing ---- */

static void put_gateway(struct nl_buf *b, enum ip_family family, const struct addr *gw)
{
	struct {
		uint16_t family;
		uint8_t addr[16];
	} via;

	if (!gw->family)
		return;
	if (gw->family == family) {
		nl_add_addr(b, RTA_GATEWAY, gw);
		return;
	}
	/* RFC 8950: an IPv4 prefix by way of an IPv6 neighbour. */
	via.family = nl_family((enum ip_family)gw->family);
	memcpy(via.addr, gw->b, sizeof(via.addr));
	nl_add(b, RTA_VIA, &via, sizeof(via.family) + addr_bits(gw->family) / 8);
}

static void put_multipath(struct nl_buf *b, enum ip_family family, const struct route_spec *s)
{
	size_t nest = nl_nest(b, RTA_MULTIPATH);

	for (unsigned i = 0; i < s->n_nh; i++) {
		const struct route_nh *nh = &s->nh[i];
		struct rtnexthop h = {
			.rtnh_ifindex = (int)nh->ifindex,
			.rtnh_hops = (uint8_t)(nh->weight > 1 ? nh->weight - 1 : 0),
			.rtnh_flags = nh->onlink ? RTNH_F_ONLINK : 0,
		};
		size_t at = b->len;

		nl_add_raw(b, &h, sizeof(h));
		put_gateway(b, family, &nh->gw);
		h.rtnh_len = (unsigned short)(b->len - at);
		memcpy(b->p + at, &h, sizeof(h));
	}
	nl_nest_end(b, nest);
}

static void put_hops(struct nl_buf *b, enum ip_family family, const struct route_spec *s)
{
	if (s->n_nh > 1) {
		put_multipath(b, family, s);
	} else if (s->n_nh == 1) {
		nl_add_u32(b, RTA_OIF, s->nh[0].ifindex);
		put_gateway(b, family, &s->nh[0].gw);
	}
}

static void put_head(struct nl_buf *b, uint16_t type, uint16_t flags, const struct route_key *key,
		     const struct rtmsg *base)
{
	struct rtmsg rt = *base;

	rt.rtm_family = nl_family((enum ip_family)key->dst.addr.family);
	rt.rtm_dst_len = key->dst.len;
	rt.rtm_table = key->table < 256 ? (uint8_t)key->table : RT_TABLE_UNSPEC;
	nl_msg(b, type, flags, &rt, sizeof(rt));
	if (key->table >= 256)
		nl_add_u32(b, RTA_TABLE, key->table);
	if (key->dst.len)
		nl_add_addr(b, RTA_DST, &key->dst.addr);
	if (key->metric)
		nl_add_u32(b, RTA_PRIORITY, key->metric);
}

static unsigned head_flags(const struct route_spec *s)
{
	return s->n_nh == 1 && s->nh[0].onlink ? RTNH_F_ONLINK : 0;
}

void route_msg_put(struct nl_buf *b, const struct route_key *key, const struct route_spec *s,
		   bool excl)
{
	enum ip_family family = (enum ip_family)key->dst.addr.family;
	struct rtmsg rt = {
		.rtm_protocol = s->protocol,
		.rtm_scope = s->scope,
		.rtm_type = (uint8_t)s->type,
		.rtm_flags = head_flags(s),
	};

	put_head(b, RTM_NEWROUTE, (uint16_t)(NLM_F_CREATE | (excl ? NLM_F_EXCL : NLM_F_REPLACE)),
		 key, &rt);
	if (s->src.family)
		nl_add_addr(b, RTA_PREFSRC, &s->src);
	if (s->mtu) {
		size_t nest = nl_nest(b, RTA_METRICS);

		nl_add_u32(b, RTAX_MTU, s->mtu);
		nl_nest_end(b, nest);
	}
	put_hops(b, family, s);
}

void route_msg_put_delete(struct nl_buf *b, const struct route_key *key, const struct route_spec *s)
{
	enum ip_family family = (enum ip_family)key->dst.addr.family;
	struct rtmsg rt = {
		.rtm_protocol = s->protocol,
		.rtm_scope = s->scope,
		.rtm_type = (uint8_t)s->type,
		.rtm_flags = head_flags(s),
	};

	put_head(b, RTM_DELROUTE, 0, key, &rt);
	/* Without a hop IPv6 takes all hops of the route; with RTA_MULTIPATH one by one. */
	if (family == IP_V4 || s->n_nh == 1)
		put_hops(b, family, s);
}

void route_msg_put_dump(struct nl_buf *b, enum ip_family family, uint32_t table, uint32_t oif)
{
	struct rtmsg rt = {
		.rtm_family = nl_family(family),
		.rtm_table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC,
	};

	nl_msg(b, RTM_GETROUTE, 0, &rt, sizeof(rt));
	nl_add_u32(b, RTA_TABLE, table);
	if (oif)
		nl_add_u32(b, RTA_OIF, oif);
}

void route_msg_put_lookup(struct nl_buf *b, const struct addr *dst)
{
	struct rtmsg rt = {
		.rtm_family = nl_family((enum ip_family)dst->family),
		.rtm_dst_len = (uint8_t)addr_bits((enum ip_family)dst->family),
		.rtm_flags = RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH,
	};

	nl_msg(b, RTM_GETROUTE, 0, &rt, sizeof(rt));
	nl_add_addr(b, RTA_DST, dst);
}
