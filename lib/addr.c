/* addr.c - IP addresses and prefixes of both families, as values */
#include "lib/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

unsigned addr_bits(enum ip_family family)
{
	return family == IP_V4 ? 32 : family == IP_V6 ? 128 : 0;
}

struct addr addr_v4(uint32_t h)
{
	return (struct addr) { .family = IP_V4,
			       .b = { (uint8_t)(h >> 24), (uint8_t)(h >> 16), (uint8_t)(h >> 8),
				      (uint8_t)h } };
}

uint32_t addr_to_v4(const struct addr *a)
{
	return (uint32_t)a->b[0] << 24 | (uint32_t)a->b[1] << 16 | (uint32_t)a->b[2] << 8 | a->b[3];
}

struct addr addr_from_bytes(const void *bytes, size_t n)
{
	struct addr a = { 0 };

	if (n != 4 && n != 16)
		return a;
	a.family = n == 4 ? IP_V4 : IP_V6;
	memcpy(a.b, bytes, n);
	return a;
}

bool addr_parse(const char *s, struct addr *out)
{
	uint8_t raw[16];

	if (inet_pton(AF_INET, s, raw) == 1)
		*out = addr_from_bytes(raw, 4);
	else if (inet_pton(AF_INET6, s, raw) == 1)
		*out = addr_from_bytes(raw, 16);
	else
		return false;
	return true;
}

bool prefix_parse(const char *s, struct prefix *out)
{
	const char *slash = strchr(s, '/');
	char text[ADDR_STR_MAX];
	struct addr a;
	uint64_t len;

	if (!slash || (size_t)(slash - s) >= sizeof(text))
		return false;
	memcpy(text, s, (size_t)(slash - s));
	text[slash - s] = '\0';
	if (!addr_parse(text, &a) || !parse_u64(slash + 1, addr_bits(a.family), &len))
		return false;
	if (slash[1] == '0' && slash[2])
		return false; /* "/08" */
	*out = (struct prefix) { .addr = a, .len = (uint8_t)len };
	return true;
}

bool prefix_parse_strict(const char *s, struct prefix *out)
{
	struct prefix p;

	if (!prefix_parse(s, &p) || prefix_has_host_bits(&p))
		return false;
	*out = p;
	return true;
}

bool prefix_parse_or_addr(const char *s, struct prefix *out)
{
	struct addr a;

	if (prefix_parse(s, out))
		return true;
	if (!addr_parse(s, &a))
		return false;
	*out = (struct prefix) { .addr = a, .len = (uint8_t)addr_bits(a.family) };
	return true;
}

char *addr_format(const struct addr *a, char buf[static ADDR_STR_MAX])
{
	if (a->family == IP_NONE)
		return strcpy(buf, "none");
	inet_ntop(a->family == IP_V4 ? AF_INET : AF_INET6, a->b, buf, ADDR_STR_MAX);
	return buf;
}

char *prefix_format(const struct prefix *p, char buf[static PREFIX_STR_MAX])
{
	char text[ADDR_STR_MAX];

	snprintf(buf, PREFIX_STR_MAX, "%s/%u", addr_format(&p->addr, text), p->len);
	return buf;
}

int addr_cmp(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, sizeof(a->b));
}

int prefix_cmp(const struct prefix *a, const struct prefix *b)
{
	int c = addr_cmp(&a->addr, &b->addr);

	return c ? c : (int)a->len - (int)b->len;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	return addr_cmp(a, b) == 0;
}

bool prefix_eq(const struct prefix *a, const struct prefix *b)
{
	return prefix_cmp(a, b) == 0;
}

/* FNV-1a over the bytes that can differ, then a mix so that low bits depend on all of them. */
static uint32_t hash_bytes(uint32_t h, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619u;
	return h ^ h >> 15;
}

uint32_t addr_hash(const struct addr *a)
{
	return hash_bytes(2166136261u ^ a->family, a->b, a->family == IP_V4 ? 4 : 16);
}

uint32_t prefix_hash(const struct prefix *p)
{
	return addr_hash(&p->addr) * 31 + p->len;
}

bool addr_is_zero(const struct addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->b, zero, sizeof(zero)) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (a->family == IP_V4)
		return a->b[0] == 127;
	return a->family == IP_V6 && memcmp(a->b, one, sizeof(one)) == 0;
}

bool addr_is_multicast(const struct addr *a)
{
	if (a->family == IP_V4)
		return a->b[0] >> 4 == 14;
	return a->family == IP_V6 && a->b[0] == 0xff;
}

bool addr_is_link_local(const struct addr *a)
{
	if (a->family == IP_V4)
		return a->b[0] == 169 && a->b[1] == 254;
	return a->family == IP_V6 && a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

static void clear_from(uint8_t b[16], unsigned len)
{
	if (len >= 128)
		return;
	b[len / 8] &= (uint8_t)(0xff00u >> len % 8);
	memset(b + len / 8 + 1, 0, 15 - len / 8);
}

struct prefix prefix_of(const struct addr *a, unsigned len)
{
	struct prefix p = { .addr = *a };

	if (len > addr_bits(a->family))
		len = addr_bits(a->family);
	p.len = (uint8_t)len;
	clear_from(p.addr.b, len);
	return p;
}

struct prefix prefix_mask(const struct prefix *p)
{
	return prefix_of(&p->addr, p->len);
}

bool prefix_has_host_bits(const struct prefix *p)
{
	struct prefix m = prefix_mask(p);

	return !addr_eq(&m.addr, &p->addr);
}

bool prefix_contains(const struct prefix *p, const struct addr *a)
{
	unsigned whole = p->len / 8, rest = p->len % 8;

	if (p->addr.family != a->family || memcmp(p->addr.b, a->b, whole) != 0)
		return false;
	return !rest || (p->addr.b[whole] ^ a->b[whole]) >> (8 - rest) == 0;
}

bool prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
	return inner->len >= outer->len && prefix_contains(outer, &inner->addr);
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return a->len <= b->len ? prefix_covers(a, b) : prefix_covers(b, a);
}

struct addr addr_add(const struct addr *a, uint64_t n)
{
	struct addr r = *a;

	for (unsigned i = addr_bits(a->family) / 8; i-- > 0 && n;) {
		n += r.b[i];
		r.b[i] = (uint8_t)n;
		n >>= 8;
	}
	return r;
}

bool addr_offset(const struct addr *base, const struct addr *a, uint64_t limit, uint64_t *out)
{
	uint8_t d[16] = { 0 };
	unsigned n = addr_bits(base->family) / 8;
	uint64_t v = 0;
	int borrow = 0;

	if (base->family != a->family || addr_cmp(a, base) < 0)
		return false;
	for (unsigned i = n; i-- > 0;) {
		int x = a->b[i] - base->b[i] - borrow;

		borrow = x < 0;
		d[i] = (uint8_t)x;
	}
	for (unsigned i = 0; i < n; i++) {
		if (v >> 56)
			return false;
		v = v << 8 | d[i];
	}
	if (v >= limit)
		return false;
	*out = v;
	return true;
}

uint64_t prefix_size(const struct prefix *p)
{
	unsigned host = addr_bits(p->addr.family) - p->len;

	return host >= 64 ? UINT64_MAX : (uint64_t)1 << host;
}

unsigned addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (a->family == IP_V4) {
		struct sockaddr_in *in = (void *)ss;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, a->b, 4);
		return sizeof(*in);
	}
	if (a->family == IP_V6) {
		struct sockaddr_in6 *in6 = (void *)ss;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, a->b, 16);
		return sizeof(*in6);
	}
	return 0;
}

bool addr_from_sockaddr(const struct sockaddr *sa, struct addr *out, uint16_t *port)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		*out = addr_from_bytes(&in->sin_addr, 4);
		if (port)
			*port = ntohs(in->sin_port);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;
		const uint8_t *b = (const uint8_t *)&in6->sin6_addr;

		*out = memcmp(b, mapped, 12) == 0 ? addr_from_bytes(b + 12, 4)
						  : addr_from_bytes(b, 16);
		if (port)
			*port = ntohs(in6->sin6_port);
		return true;
	}
	return false;
}
