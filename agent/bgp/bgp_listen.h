/* bgp_listen.h - where BGP peers reach us: one listener per address family.
 *
 * A port that is taken is said (bgp_listen_trouble) and tried again; the agent goes on, because
 * sessions that we dial ourselves work all the same. */
#pragma once

#include "agent/bgp/bgp_config.h"

struct bgp_listen;
struct event_base;

/* fd is the callee's. ifindex: the link of a link-local remote address; else 0. */
typedef void bgp_accept_fn(void *arg, int fd, const struct addr *remote, uint32_t ifindex,
			   uint16_t port);

struct bgp_listen *bgp_listen_new(struct event_base *base, bgp_accept_fn *fn, void *arg);
void bgp_listen_free(struct bgp_listen *l);
/* Listen on this port for these peers: on the addresses of `only`, or on all when it is NULL. */
void bgp_listen_set(struct bgp_listen *l, const struct bgp_global *only, uint16_t port,
		    const struct bgp_peer_configs *peers);
/* Why we do not listen where we should; NULL when we do. */
const char *bgp_listen_trouble(const struct bgp_listen *l);
