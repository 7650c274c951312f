/* bgp_conns.h - the speaker's connections: dialled, accepted, written, ended. */
#pragma once

#include "agent/bgp/bgp_config.h"

struct event_base;
struct bgp_conns;
struct bgp_speaker;

/* settle: the speaker has been told something, its effects wait. heard: a peer said something. */
struct bgp_conns_owner {
	void (*settle)(void *arg);
	void (*heard)(void *arg);
	void *arg;
};

struct bgp_conns *bgp_conns_new(struct event_base *base, const struct bgp_conns_owner *owner);
/* Closes all at once, without a word. */
void bgp_conns_free(struct bgp_conns *cs);
/* Whom to tell; before anything is dialled or accepted. Borrowed. */
void bgp_conns_set_speaker(struct bgp_conns *cs, struct bgp_speaker *sp);

/* The speaker's effects. */
void bgp_conns_dial(struct bgp_conns *cs, uint64_t id, const struct bgp_peer_config *peer);
void bgp_conns_close(struct bgp_conns *cs, uint64_t id, bool linger);
void bgp_conns_write(struct bgp_conns *cs, uint64_t id);

/* The listener's news: takes fd, whatever becomes of it. */
void bgp_conns_accept(struct bgp_conns *cs, int fd, const struct addr *remote, uint32_t ifindex,
		      const struct bgp_peer_config *cfg);
/* Connections take other passwords as they are, those that gained or lost theirs end. */
void bgp_conns_change_keys(struct bgp_conns *cs, const struct bgp_peer_configs *configs);
