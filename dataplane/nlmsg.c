/* nlmsg.c - netlink messages as bytes
 * SHAPE  A buffer holds messages back to back, each aligned to 4. The length of the open message
 *        is kept right after every append, so the buffer is always ready to be sent.
 * INVARIANTS  Readers never look past the length they were given, whatever the bytes say; the
 *        kernel is trusted for meaning, not for sizes. */
#include "dataplane/nlmsg.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BUF_FIRST = 4096 };

/* The kernel's NLA_ and NLMSG_ macros mix signs. */
static const size_t attr_hdr = sizeof(struct nlattr);
static const unsigned attr_type_mask = 0x3fff;

static size_t align4(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

/* n zeroed bytes at the end, padded to 4. */
static uint8_t *grow(struct nl_buf *b, size_t n)
{
	size_t want = align4(n);
	uint8_t *at;

	if (b->len + want > b->cap) {
		b->cap = b->len + want + (b->cap ? b->cap : BUF_FIRST);
		b->p = xrealloc(b->p, b->cap);
	}
	at = b->p + b->len;
	memset(at, 0, want);
	b->len += want;
	return at;
}

static struct nlmsghdr *open_msg(const struct nl_buf *b)
{
	return (void *)(b->p + b->last);
}

static void settle(struct nl_buf *b)
{
	open_msg(b)->nlmsg_len = (uint32_t)(b->len - b->last);
}

void nl_buf_clear(struct nl_buf *b)
{
	b->len = b->last = 0;
	b->n = 0;
}

void nl_buf_done(struct nl_buf *b)
{
	free(b->p);
	*b = (struct nl_buf) { 0 };
}

void nl_msg(struct nl_buf *b, uint16_t type, uint16_t flags, const void *body, size_t size)
{
	struct nlmsghdr *h;

	b->last = b->len;
	h = (void *)grow(b, sizeof(*h) + size);
	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST);
	memcpy(h + 1, body, size);
	settle(b);
	b->n++;
}

void nl_msg_drop(struct nl_buf *b)
{
	assert(b->n);
	b->len = b->last;
	b->n--;
}

void nl_add(struct nl_buf *b, uint16_t type, const void *data, size_t size)
{
	struct nlattr *a = (void *)grow(b, attr_hdr + size);

	assert(size <= UINT16_MAX - attr_hdr);
	a->nla_type = type;
	a->nla_len = (uint16_t)(attr_hdr + size);
	if (size)
		memcpy(a + 1, data, size);
	settle(b);
}

void nl_add_u8(struct nl_buf *b, uint16_t type, uint8_t v)
{
	nl_add(b, type, &v, sizeof(v));
}

void nl_add_u16(struct nl_buf *b, uint16_t type, uint16_t v)
{
	nl_add(b, type, &v, sizeof(v));
}

void nl_add_u32(struct nl_buf *b, uint16_t type, uint32_t v)
{
	nl_add(b, type, &v, sizeof(v));
}

void nl_add_str(struct nl_buf *b, uint16_t type, const char *s)
{
	nl_add(b, type, s, strlen(s) + 1);
}

void nl_add_addr(struct nl_buf *b, uint16_t type, const struct addr *a)
{
	nl_add(b, type, a->b, addr_bits(a->family) / 8);
}

void nl_add_raw(struct nl_buf *b, const void *data, size_t size)
{
	memcpy(grow(b, size), data, size);
	settle(b);
}

size_t nl_nest(struct nl_buf *b, uint16_t type)
{
	size_t at = b->len;

	nl_add(b, type, NULL, 0);
	return at;
}

void nl_nest_end(struct nl_buf *b, size_t at)
{
	struct nlattr *a = (void *)(b->p + at);

	assert(b->len - at <= UINT16_MAX);
	a->nla_len = (uint16_t)(b->len - at);
}

const struct nlmsghdr *nl_next(const uint8_t **data, size_t *len)
{
	const struct nlmsghdr *h = (const void *)*data;
	size_t step;

	if (*len < sizeof(*h) || h->nlmsg_len < sizeof(*h) || h->nlmsg_len > *len)
		return NULL;
	step = align4(h->nlmsg_len);
	if (step > *len)
		step = *len;
	*data += step;
	*len -= step;
	return h;
}

const void *nl_body(const struct nlmsghdr *h, size_t size)
{
	return h->nlmsg_len >= sizeof(*h) + size ? h + 1 : NULL;
}

bool nl_attrs_in(const void *data, size_t len, const struct nlattr *tb[], unsigned max)
{
	const uint8_t *p = data;

	memset(tb, 0, (max + 1) * sizeof(tb[0]));
	while (len >= sizeof(struct nlattr)) {
		const struct nlattr *a = (const void *)p;
		unsigned type = a->nla_type & attr_type_mask;
		size_t step = align4(a->nla_len);

		if (a->nla_len < sizeof(*a) || a->nla_len > len)
			return false;
		if (type <= max)
			tb[type] = a;
		if (step >= len)
			return true;
		p += step;
		len -= step;
	}
	return len == 0;
}

bool nl_attrs(const struct nlmsghdr *h, size_t body, const struct nlattr *tb[], unsigned max)
{
	size_t skip = sizeof(*h) + align4(body);

	if (h->nlmsg_len < skip) {
		memset(tb, 0, (max + 1) * sizeof(tb[0]));
		return h->nlmsg_len >= sizeof(*h) + body;
	}
	return nl_attrs_in((const uint8_t *)h + skip, h->nlmsg_len - skip, tb, max);
}

bool nl_nested(const struct nlattr *a, const struct nlattr *tb[], unsigned max)
{
	return nl_attrs_in(nl_attr_data(a), nl_attr_len(a), tb, max);
}

const void *nl_attr_data(const struct nlattr *a)
{
	return a ? a + 1 : NULL;
}

size_t nl_attr_len(const struct nlattr *a)
{
	return a ? a->nla_len - sizeof(*a) : 0;
}

uint8_t nl_attr_u8(const struct nlattr *a)
{
	return nl_attr_len(a) >= 1 ? *(const uint8_t *)nl_attr_data(a) : 0;
}

uint16_t nl_attr_u16(const struct nlattr *a)
{
	uint16_t v = 0;

	if (nl_attr_len(a) >= sizeof(v))
		memcpy(&v, nl_attr_data(a), sizeof(v));
	return v;
}

uint32_t nl_attr_u32(const struct nlattr *a)
{
	uint32_t v = 0;

	if (nl_attr_len(a) >= sizeof(v))
		memcpy(&v, nl_attr_data(a), sizeof(v));
	return v;
}

const char *nl_attr_str(const struct nlattr *a)
{
	const char *s = nl_attr_data(a);

	return s && memchr(s, 0, nl_attr_len(a)) ? s : NULL;
}

struct addr nl_attr_addr(const struct nlattr *a)
{
	size_t n = nl_attr_len(a);

	if (n != 4 && n != 16)
		return (struct addr) { 0 };
	return addr_from_bytes(nl_attr_data(a), n);
}

uint8_t nl_family(enum ip_family f)
{
	return f == IP_V4 ? AF_INET : f == IP_V6 ? AF_INET6 : AF_UNSPEC;
}

enum ip_family nl_family_of(uint8_t af)
{
	return af == AF_INET ? IP_V4 : af == AF_INET6 ? IP_V6 : IP_NONE;
}
