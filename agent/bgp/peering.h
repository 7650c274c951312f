/* peering.h - the BGP speaker at work: its peers from the datastore, its sockets, its timers. */
#pragma once

#include <jansson.h>

#include "bgp/speaker.h"
#include "lib/err.h"
#include "lib/str.h"

struct agent;
struct drain;
struct peering;

/* Begins when it is started, the datastore's picture is complete, and this node is in it. */
struct peering *peering_new(struct agent *a);
/* This agent is the node's only one: from now on it may speak for it. */
void peering_start(struct peering *p);
/* Closes the sockets without a word, so that peers that do graceful restart keep our routes. */
void peering_free(struct peering *p);

/* This node's confirmed blocks; and other routes of ours (borrowed addresses). Copied. */
void peering_set_blocks(struct peering *p, const struct prefix *blocks, size_t n);
void peering_set_local_routes(struct peering *p, const struct prefix *routes, size_t n);

/* What becomes of routes in the kernel follows other rules now: look at each again. */
void peering_retell(struct peering *p);

/* Has this node been asked to leave the fabric? drain.h */
struct drain *peering_drain(const struct peering *p);
/* What BFD says of the path to this peer, for status; NULL: it is not watched. New reference. */
json_t *peering_bfd(const struct peering *p, const struct bgp_peer_config *peer);
/* Which service has this address, and why it is not announced from here. Heap; NULL: none, or it is. */
char *peering_service_why_not(const struct peering *p, const struct prefix *prefix);
/* NULL while there is none: before the first picture, or with bgp: false. */
struct bgp_speaker *peering_speaker(const struct peering *p);
/* After a restart: have the peers had their say? */
bool peering_converged(const struct peering *p);
/* What is wrong, one line each: a port that is taken, a BGPPeer that cannot be read. */
void peering_troubles(const struct peering *p, struct str *out);
/* What is as the datastore has it, and may surprise, one line each; nothing is wrong with it. */
const char *peering_notes(const struct peering *p);
/* Has the speaker what it needs and does it listen? */
bool peering_running(const struct peering *p);
