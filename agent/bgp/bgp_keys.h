/* bgp_keys.h - which TCP MD5 keys a listener needs for its peers. Pure.
 *
 * WHY    A key for each of 5 000 mesh peers is more than net.core.optmem_max lets a socket have (963
 *        at its default), and each SYN would walk the list. A key may be for a prefix: peers that
 *        share a password share a key, unless somebody with another password, or with none, has an
 *        address between theirs.
 * COST   n log n for n peers. */
#pragma once

#include "lib/addr.h"
#include "lib/vec.h"

struct bgp_key {
	struct prefix from; /* without host bits */
	char password[81];  /* RFC 2385 */
};

struct bgp_keys {
	struct bgp_key *p;
	size_t n, cap;
};

/* For peers at these addresses (of one family; length 32 or 128; password "" for none) the fewest
 * prefixes that give each the key with its password and nobody without one any; in the order of
 * addresses, disjoint. Of two with the same address one counts. peers is reordered. */
void bgp_keys_cover(struct bgp_keys *peers, struct bgp_keys *out);
/* Wiped. */
void bgp_keys_done(struct bgp_keys *k);
