/* members.c - what is in a set
 * SHAPE  Open addressing, linear probing, at most two thirds full; sets of a few members are common,
 *        so tables start small.
 * TESTS  tests/unit/policy/worlds.c */
#include "policy/members.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct member_slot {
	struct member m; /* family IP_NONE: free */
	uint32_t count;	 /* contributions */
	bool known;	 /* in at the last look */
	bool dirty;	 /* on the list of changes */
};

static uint32_t member_hash(const struct member *m)
{
	uint32_t h = prefix_hash(&m->net) + (uint32_t)m->port * 2654435761u + m->proto;

	h ^= h >> 15;
	h *= 0x2c1b3c6du;
	return h ^ h >> 13;
}

static bool member_eq(const struct member *a, const struct member *b)
{
	return a->port == b->port && a->proto == b->proto && prefix_eq(&a->net, &b->net);
}

int member_cmp(const struct member *a, const struct member *b)
{
	int rc = prefix_cmp(&a->net, &b->net);

	if (rc)
		return rc;
	return a->proto != b->proto ? a->proto - b->proto : a->port - b->port;
}

void members_done(struct members *m)
{
	free(m->slot);
	vec_done(&m->dirty);
	*m = (struct members) { 0 };
}

static uint32_t place_of(const struct members *m, const struct member *one)
{
	uint32_t mask = m->n_slot - 1, i = member_hash(one) & mask;

	while (m->slot[i].m.net.addr.family && !member_eq(&m->slot[i].m, one))
		i = (i + 1) & mask;
	return i;
}

static void grow(struct members *m)
{
	struct member_slot *old = m->slot;
	uint32_t n = m->n_slot;

	m->n_slot = n ? n * 2 : 4;
	m->slot = xcalloc(m->n_slot, sizeof(*m->slot));
	for (uint32_t i = 0; i < n; i++)
		if (old[i].m.net.addr.family)
			m->slot[place_of(m, &old[i].m)] = old[i];
	free(old);
}

static void remove_slot(struct members *m, uint32_t at)
{
	uint32_t mask = m->n_slot - 1, next = at;

	memset(&m->slot[at], 0, sizeof(m->slot[at]));
	m->used--;
	for (;;) {
		uint32_t home;

		next = (next + 1) & mask;
		if (!m->slot[next].m.net.addr.family)
			return;
		home = member_hash(&m->slot[next].m) & mask;
		if (((next - home) & mask) < ((next - at) & mask))
			continue;
		m->slot[at] = m->slot[next];
		memset(&m->slot[next], 0, sizeof(m->slot[next]));
		at = next;
	}
}

static bool mark_dirty(struct members *m, struct member_slot *s)
{
	if (s->dirty)
		return false;
	s->dirty = true;
	vec_push(&m->dirty, s->m);
	return m->dirty.n == 1;
}

static bool add_one(struct members *m, const struct member *one)
{
	struct member_slot *s;

	if ((m->used + 1) * 3 > m->n_slot * 2)
		grow(m);
	s = &m->slot[place_of(m, one)];
	if (!s->m.net.addr.family) {
		s->m = *one;
		m->used++;
	}
	if (s->count++)
		return false;
	m->count++;
	return mark_dirty(m, s);
}

static bool del_one(struct members *m, const struct member *one)
{
	struct member_slot *s = m->n_slot ? &m->slot[place_of(m, one)] : NULL;

	if (!s || !s->count || --s->count)
		return false;
	m->count--;
	return mark_dirty(m, s);
}

/* The lower half of all addresses, or the upper. */
static struct member half(const struct member *all, bool upper)
{
	struct member m = *all;

	m.net.len = 1;
	m.net.addr.b[0] = upper ? 0x80 : 0;
	return m;
}

bool members_add(struct members *m, const struct member *one)
{
	struct member low, high;
	bool first;

	if (one->net.len)
		return add_one(m, one);
	low = half(one, false);
	high = half(one, true);
	first = add_one(m, &low);
	return add_one(m, &high) || first;
}

bool members_del(struct members *m, const struct member *one)
{
	struct member low, high;
	bool first;

	if (one->net.len)
		return del_one(m, one);
	low = half(one, false);
	high = half(one, true);
	first = del_one(m, &low);
	return del_one(m, &high) || first;
}

void members_take(struct members *m, struct member_vec *added, struct member_vec *gone)
{
	for (size_t i = 0; i < m->dirty.n; i++) {
		uint32_t at = place_of(m, &m->dirty.p[i]);
		struct member_slot *s = &m->slot[at];

		s->dirty = false;
		if (s->count && !s->known)
			vec_push(added, s->m);
		if (!s->count && s->known)
			vec_push(gone, s->m);
		s->known = s->count;
		if (!s->count)
			remove_slot(m, at);
	}
	vec_done(&m->dirty);
}

bool members_forget(struct members *m)
{
	bool clean = !m->dirty.n;

	for (uint32_t i = 0; i < m->n_slot; i++) {
		if (!m->slot[i].m.net.addr.family)
			continue;
		m->slot[i].known = false;
		mark_dirty(m, &m->slot[i]);
	}
	return clean;
}

static int by_member(const void *a, const void *b)
{
	return member_cmp(a, b);
}

void members_all(const struct members *m, struct member_vec *out)
{
	size_t before = out->n;

	for (uint32_t i = 0; i < m->n_slot; i++)
		if (m->slot[i].count)
			vec_push(out, m->slot[i].m);
	if (out->n > before)
		qsort(out->p + before, out->n - before, sizeof(*out->p), by_member);
}

static bool has(const struct members *m, const struct member *one)
{
	return m->n_slot && m->slot[place_of(m, one)].count;
}

bool members_have(const struct members *m, const struct addr *a)
{
	/* A range of all addresses is in as two halves. */
	for (unsigned len = addr_bits((enum ip_family)a->family); len; len--) {
		struct member one = { .net = prefix_of(a, len) };

		if (has(m, &one))
			return true;
	}
	return false;
}

bool members_have_port(const struct members *m, const struct addr *a, uint8_t proto, uint16_t port)
{
	struct member one = { prefix_of(a, addr_bits((enum ip_family)a->family)), proto, port };

	return has(m, &one);
}

static const char *proto_text(uint8_t proto)
{
	return proto == 6 ? "tcp" : proto == 17 ? "udp" : "sctp";
}

char *member_format(const struct member *m, char buf[static MEMBER_STR_MAX])
{
	char text[PREFIX_STR_MAX];
	bool single = m->net.len == addr_bits(m->net.addr.family);

	if (single)
		addr_format(&m->net.addr, text);
	else
		prefix_format(&m->net, text);
	if (m->proto)
		snprintf(buf, MEMBER_STR_MAX, "%s,%s:%u", text, proto_text(m->proto), m->port);
	else
		snprintf(buf, MEMBER_STR_MAX, "%s", text);
	return buf;
}
