/* bgp_socket.h - TCP sockets as BGP wants them: keys, TTLs, precedence.
 *
 * SPEC  RFC 2385 (MD5), RFC 5082 (TTL security), RFC 4271 8.2.1. All sockets are non-blocking. */
#pragma once

#include "bgp/speaker.h"

enum { BGP_TTL = 64 }; /* Calico's BIRD: multihop 64 for every peer */

/* Begin to connect to the peer from peer->source. The descriptor, writable when it is decided; or a
 * negative errno with words. */
int bgp_socket_dial(const struct bgp_peer_config *peer, struct err *e);
/* After it became writable: 0, or the negative errno of the attempt. */
int bgp_socket_result(int fd);
/* Listen on addr (of this family; all zero: any). */
int bgp_socket_listen(const struct addr *addr, uint16_t port, struct err *e);
/* The key that connections from this prefix must carry; "" removes it. Listeners only. */
int bgp_socket_listen_key(int listener, const struct prefix *from, const char *password,
			  struct err *e);
/* Another key for a connection that has one, whatever its state; it goes on as soon as the peer has
 * it, too. */
int bgp_socket_change_key(int fd, const struct addr *remote, const char *password, struct err *e);
/* SYN-ACKs leave with the listener's TTL: 255 as soon as one peer wants TTL security. */
void bgp_socket_listen_ttl(int listener, enum ip_family family, bool security);
/* Options of an accepted connection of this peer. */
int bgp_socket_accepted(int fd, const struct bgp_peer_config *peer, struct err *e);
struct sockaddr_storage;
/* Which link a link-local remote address is on; 0 for any other. */
uint32_t bgp_socket_link(const struct sockaddr_storage *ss, const struct addr *remote);
/* Our end's address; IP_NONE when the kernel will not say. */
struct addr bgp_socket_local(int fd);
