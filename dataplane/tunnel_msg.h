/* tunnel_msg.h - tunnel devices, forwarding entries and neighbours as netlink messages. Pure. */
#pragma once

#include "dataplane/link.h"
#include "dataplane/nlmsg.h"
#include "dataplane/tunnel.h"

/* A device as the kernel tells it. */
struct tunnel_link {
	uint32_t index, mtu, parent;
	char name[LINK_NAME_MAX], kind[LINK_NAME_MAX];
	bool up;
	uint8_t mac[6];
	/* VXLAN */
	uint32_t vni;
	uint16_t port;
	struct addr local;
	bool learning;
	bool unusual; /* has a remote, takes its metadata from elsewhere, or carries group policy */
};

bool tunnel_link_parse(const struct nlmsghdr *h, struct tunnel_link *out);
void tunnel_put_query(struct nl_buf *b, const char *name);
void tunnel_put_ipip(struct nl_buf *b, const char *name);
void tunnel_put_vxlan(struct nl_buf *b, const char *name, const struct tunnel_spec *s);
void tunnel_put_delete(struct nl_buf *b, uint32_t index);
/* Up, with these; 0 and NULL: leave it. */
void tunnel_put_set(struct nl_buf *b, uint32_t index, uint32_t mtu, const uint8_t *mac);
void tunnel_put_addr(struct nl_buf *b, uint32_t index, const struct prefix *p, bool add);
void tunnel_put_addr_dump(struct nl_buf *b, enum ip_family family, uint32_t index);

/* A forwarding entry (bridge) or a neighbour. */
struct tunnel_entry {
	bool fdb;
	uint32_t index;
	struct addr addr; /* fdb: the host behind mac; else: who has mac */
	uint8_t mac[6];
	bool permanent;
	bool gone; /* RTM_DELNEIGH */
};

/* False also for entries that are not about one unicast host: the flood list, failed lookups. */
bool tunnel_entry_parse(const struct nlmsghdr *h, struct tunnel_entry *out);
void tunnel_put_entry(struct nl_buf *b, const struct tunnel_entry *en, bool add);
void tunnel_put_entry_dump(struct nl_buf *b, bool fdb, enum ip_family family, uint32_t index);
