/* addr.h - IP addresses and prefixes of both families, as values.
 *
 * Bytes are in network order. An IPv4 address fills the first 4 bytes and leaves the rest zero,
 * so two values are equal exactly when all their bytes are. */
#pragma once

#include "lib/base.h"

struct sockaddr;
struct sockaddr_storage;

enum ip_family {
	IP_NONE = 0,
	IP_V4 = 4,
	IP_V6 = 6,
};

struct addr {
	uint8_t family; /* enum ip_family */
	uint8_t b[16];
};

struct prefix {
	struct addr addr;
	uint8_t len; /* bits: 0..32 or 0..128 */
};

enum {
	ADDR_STR_MAX = 46,   /* longest text of an address, with its NUL */
	PREFIX_STR_MAX = 50, /* the same with "/128" */
};

/* Bits in an address of this family: 32, 128, or 0 for IP_NONE. */
unsigned addr_bits(enum ip_family family);

/* IPv4 from and to a 32-bit number in host order. */
struct addr addr_v4(uint32_t host_order);
uint32_t addr_to_v4(const struct addr *a);
/* From 4 or 16 bytes in network order; any other n gives IP_NONE. */
struct addr addr_from_bytes(const void *bytes, size_t n);

/* Text to value. Total: false, *out untouched, for anything but exactly one address, or one
 * ADDRESS/LENGTH. prefix_parse keeps host bits; prefix_parse_strict refuses them. */
bool addr_parse(const char *s, struct addr *out);
bool prefix_parse(const char *s, struct prefix *out);
bool prefix_parse_strict(const char *s, struct prefix *out);
/* "10.0.0.1" means 10.0.0.1/32. */
bool prefix_parse_or_addr(const char *s, struct prefix *out);

/* Value to text in the caller's buffer, which is returned. IP_NONE gives "none". */
char *addr_format(const struct addr *a, char buf[static ADDR_STR_MAX]);
char *prefix_format(const struct prefix *p, char buf[static PREFIX_STR_MAX]);

/* Order: family, then bytes, then (prefix) length. */
int addr_cmp(const struct addr *a, const struct addr *b);
int prefix_cmp(const struct prefix *a, const struct prefix *b);
bool addr_eq(const struct addr *a, const struct addr *b);
bool prefix_eq(const struct prefix *a, const struct prefix *b);
uint32_t addr_hash(const struct addr *a);
uint32_t prefix_hash(const struct prefix *p);

bool addr_is_zero(const struct addr *a);
bool addr_is_loopback(const struct addr *a);   /* 127/8, ::1 */
bool addr_is_multicast(const struct addr *a);  /* 224/4, ff00::/8 */
bool addr_is_link_local(const struct addr *a); /* 169.254/16, fe80::/10 */

/* The prefix with its host bits cleared; the network of an address at a length (clamped). */
struct prefix prefix_mask(const struct prefix *p);
struct prefix prefix_of(const struct addr *a, unsigned len);
bool prefix_has_host_bits(const struct prefix *p);
/* Is a inside p? Families must match. Host bits of p are ignored. */
bool prefix_contains(const struct prefix *p, const struct addr *a);
/* Is inner equal to or inside outer? */
bool prefix_covers(const struct prefix *outer, const struct prefix *inner);
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);

/* a + n; wraps silently at the end of the family's space. */
struct addr addr_add(const struct addr *a, uint64_t n);
/* How far a lies behind base, when that is below limit; false otherwise. */
bool addr_offset(const struct addr *base, const struct addr *a, uint64_t limit, uint64_t *out);
/* Number of addresses in p, saturating at UINT64_MAX. */
uint64_t prefix_size(const struct prefix *p);

/* To and from the kernel's form. port in host order. Returns the length used; 0 for IP_NONE. */
unsigned addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ss);
/* A v4-mapped IPv6 address becomes IPv4. port may be NULL. */
bool addr_from_sockaddr(const struct sockaddr *sa, struct addr *out, uint16_t *port);
