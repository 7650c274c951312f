/* unnumbered.h - who is on the other end of a link: neighbours that are peered with by interface.
 *
 * WHY    A fabric without addresses on its links: a BGPPeer names interfaces (bgp_knobs.h), and the
 *        two ends find each other's link-local address by router advertisements.
 * SHAPE  On each such link that is up and has a link-local address we advertise (as no default
 *        router), solicit until somebody answers, and take the source of the first advertisement for
 *        the neighbour. One that only dials (unnumbered_heard) is as good. Another one takes its
 *        place when there is no session with it (any more).
 * SPEC   RFC 4861 6; RFC 8950 is the speaker's. */
#pragma once

#include "lib/addr.h"
#include "lib/vec.h"

struct agent;
struct unnumbered;

/* A link whose other end is known. */
struct unnumbered_link {
	uint32_t ifindex;
	char ifname[16];
	struct addr neighbour; /* link-local */
};

/* What is known changed: ask for the links again. */
typedef void unnumbered_fn(void *arg);
/* Is there a session with this neighbour, so that another one must not take its place? */
typedef bool unnumbered_busy_fn(void *arg, const struct unnumbered_link *l);

struct unnumbered *unnumbered_new(struct agent *a, unnumbered_fn *fn, unnumbered_busy_fn *busy,
				  void *arg);
void unnumbered_free(struct unnumbered *u);
/* Lists of interfaces ("eth1,swp*"), the whole set; copied. n 0: silent. */
void unnumbered_set(struct unnumbered *u, const char *const *lists, size_t n);
/* Links came, went, or changed. */
void unnumbered_links_changed(struct unnumbered *u);
/* Somebody at this link-local address wants to speak. */
void unnumbered_heard(struct unnumbered *u, uint32_t ifindex, const struct addr *from);
/* Number i of the links with a neighbour; NULL behind the last one. */
const struct unnumbered_link *unnumbered_get(const struct unnumbered *u, size_t i);
/* Is there a link whose other end is not known (yet)? */
bool unnumbered_looks(const struct unnumbered *u);
/* What is in the way, one line each, appended. */
struct str;
void unnumbered_troubles(const struct unnumbered *u, struct str *out);
