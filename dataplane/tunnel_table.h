/* tunnel_table.h - inside of the tunnels; only tunnel*.c include this. */
#pragma once

#include "dataplane/netlink.h"
#include "dataplane/tunnel.h"
#include "dataplane/tunnel_msg.h"
#include "lib/delta.h"

enum {
	TUNNEL_BATCH = 256,		/* messages of one sendmsg */
	TUNNEL_RETRY_MS = 2000,		/* what the kernel refused is tried again */
	TUNNEL_RETRY_MODULE_MS = 10000, /* a person has to install something first */
	TUNNEL_ADDRS_MAX = 64,		/* addresses on a device of ours: there should be one */
};

/* Why an entry waits: notes of the delta. */
enum tunnel_note {
	NOTE_DEVICE = 1, /* it is not there */
	NOTE_REFUSED,
};

/* Is it a forwarding entry, keyed by the MAC, or a neighbour, keyed by the address? */
struct peer_key {
	uint8_t tunnel; /* enum tunnel_kind */
	uint8_t fdb;
	uint8_t mac[6];
	struct addr addr;
	uint8_t pad_[3];
};

/* The other half. */
struct peer_value {
	uint32_t refs;
	struct addr addr;
	uint8_t mac[6];
};

struct tunnel_device {
	bool wanted, dirty;
	bool ours; /* was wanted in this life, or no longer has to wait for it */
	struct tunnel_spec want;
	struct tunnel_status status;
	uint64_t retry_ms; /* UINT64_MAX: not due */
};

struct tunnels {
	struct nl_sock requests, events;
	struct tunnel_device dev[TUNNEL_MAX_];
	struct delta peers;
	bool ready;
	bool resync_peers; /* a dump is due */
	uint64_t now_ms, retry_peers_ms;
	struct nl_buf out;
	struct tunnel_counts counts;
};

/* ---- tunnel_peers.c ---- */
extern const struct delta_type tunnel_peer_type;
/* The device has another index now, or 0: what hung on the old one went with it. */
void tunnel_peers_moved(struct tunnels *t, enum tunnel_kind k);
void tunnel_peers_unwant(struct tunnels *t, enum tunnel_kind k);
void tunnel_peers_event(struct tunnels *t, const struct nlmsghdr *h);
int tunnel_peers_apply(struct tunnels *t, unsigned *budget, struct err *e);
bool tunnel_peers_dirty(const struct tunnels *t);
