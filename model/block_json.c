/* block_json.c - an IPAM block to and from Calico's JSON
 * WHY   the only object that is read and written on every ADD: the text is scanned once, attribute
 *	 entries and unknown members are kept as text.
 * COST  a full /26 with 64 different owners (15 KB): some 30 us each way
 * SPEC  Calico AllocationBlock; numbers above 2^53 are exact
 * TESTS tests/unit/model/block.c */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "model/block.h"
#include "model/ipamkey.h"
#include "model/jscur.h"
#include "model/wall.h"

/* Which members were there: each may come once, some must come. */
enum member {
	M_CIDR = 1 << 0,
	M_AFFINITY = 1 << 1,
	M_CLAIM = 1 << 2,
	M_ALLOC = 1 << 3,
	M_FREE = 1 << 4,
	M_ATTR = 1 << 5,
	M_SEQ = 1 << 6,
	M_SEQ_OF = 1 << 7,
	M_DELETED = 1 << 8,
	M_HOST = 1 << 9,
};

#define M_NEEDED (M_CIDR | M_ALLOC | M_FREE)

struct decode {
	struct jscur c;
	struct block *b;
	unsigned seen;
	char *old_host;	   /* hostAffinity of old versions: a host's bare name */
	struct jspan seqs; /* sequenceNumberForAllocation, read when the size is known */
	unsigned n_alloc;
};

static void read_cidr(struct decode *d)
{
	CLEANUP(freep) char *text = jscur_text(&d->c);

	if (text && !prefix_parse_strict(text, &d->b->cidr))
		jscur_fail(&d->c, "cidr must be a network with its length, like 10.20.0.64/26");
	else if (text && prefix_size(&d->b->cidr) > BLOCK_SIZE_MAX)
		jscur_fail(&d->c, "cidr is larger than 4096 addresses");
}

static void read_alloc(struct decode *d)
{
	struct block *b = d->b;
	unsigned cap = 0;

	for (jscur_open(&d->c, '['); jscur_more(&d->c, ']');) {
		if (d->n_alloc == BLOCK_SIZE_MAX) {
			jscur_fail(&d->c, "more than 4096 allocations");
			return;
		}
		if (d->n_alloc == cap) {
			cap = cap ? cap * 2 : 64;
			b->alloc = xreallocarray(b->alloc, cap, sizeof(*b->alloc));
		}
		b->alloc[d->n_alloc++] =
			jscur_null(&d->c) ? -1 : (int)jscur_u64(&d->c, BLOCK_SIZE_MAX);
	}
}

static void read_free(struct decode *d)
{
	struct block *b = d->b;
	unsigned cap = 0;

	if (jscur_null(&d->c))
		return;
	for (jscur_open(&d->c, '['); jscur_more(&d->c, ']');) {
		if (b->n_free == BLOCK_SIZE_MAX) {
			jscur_fail(&d->c, "more than 4096 in unallocated");
			return;
		}
		if (b->n_free == cap) {
			cap = cap ? cap * 2 : 64;
			b->free = xreallocarray(b->free, cap, sizeof(*b->free));
		}
		b->free[b->n_free++] = (unsigned)jscur_u64(&d->c, BLOCK_SIZE_MAX);
	}
}

static void read_released(struct jscur *c, struct block_attr *a)
{
	CLEANUP(freep) char *when = jscur_null(c) ? NULL : jscur_text(c);

	if (when && !wall_parse(when, &a->released_ns))
		jscur_fail(c, "releasedAt must be a time like 2026-08-01T10:00:00Z");
}

/* The entry is kept as text; what the allocator looks at is read beside. */
static void read_attr(struct decode *d, struct block_attr *a)
{
	struct jscur *c = &d->c;
	const char *from;

	jscur_open(c, '{');
	from = c->p - 1;
	while (jscur_more(c, '}')) {
		struct jspan key = jscur_key(c);

		if (jspan_is(key, "handle_id") && !a->handle)
			a->handle = jscur_null(c) ? NULL : jscur_text(c);
		else if (jspan_is(key, "releasedAt"))
			read_released(c, a);
		else
			jscur_value(c);
	}
	if (!c->why)
		a->json = xstrndup(from, (size_t)(c->p - from));
}

static void read_attrs(struct decode *d)
{
	struct block *b = d->b;
	unsigned cap = 0;

	if (jscur_null(&d->c))
		return;
	for (jscur_open(&d->c, '['); jscur_more(&d->c, ']');) {
		if (b->n_attr == BLOCK_SIZE_MAX) {
			jscur_fail(&d->c, "more than 4096 attributes");
			return;
		}
		if (b->n_attr == cap) {
			cap = cap ? cap * 2 : 64;
			b->attr = xreallocarray(b->attr, cap, sizeof(*b->attr));
		}
		b->attr[b->n_attr] = (struct block_attr) { 0 };
		read_attr(d, &b->attr[b->n_attr++]);
	}
}

static void read_seqs(struct decode *d)
{
	struct jscur c = jscur_init(d->seqs.p, d->seqs.len);

	if (!d->seqs.p || jscur_null(&c))
		return;
	for (jscur_open(&c, '{'); jscur_more(&c, '}');) {
		struct jspan key = jscur_key(&c);
		struct jscur k = jscur_init(key.p, key.len);
		unsigned ord = (unsigned)jscur_u64(&k, BLOCK_SIZE_MAX);
		uint64_t seq = jscur_u64(&c, UINT64_MAX);

		/* Of an ordinal that is free the number means nothing any more. */
		if (jscur_end(&k) && ord < d->b->size && d->b->alloc[ord] >= 0)
			d->b->seq_of[ord] = seq;
		else if (k.why || ord >= d->b->size)
			jscur_fail(&c, "sequenceNumberForAllocation names an ordinal outside of "
				       "the block");
	}
	if (!jscur_end(&c)) {
		d->c.p = c.p; /* one text: the place is right */
		jscur_fail(&d->c, c.why);
	}
}

static void keep_extra(struct decode *d, struct jspan key)
{
	struct jspan value = jscur_value(&d->c);
	char *extra;

	if (!value.p)
		return;
	extra = xasprintf("%s%s\"%.*s\":%.*s", d->b->extra ? d->b->extra : "",
			  d->b->extra ? "," : "", (int)key.len, key.p, (int)value.len, value.p);
	free(d->b->extra);
	d->b->extra = extra;
}

static const struct {
	const char *name;
	enum member member;
} members[] = {
	{ "cidr", M_CIDR },
	{ "affinity", M_AFFINITY },
	{ "affinity_claim_time", M_CLAIM },
	{ "affinityClaimTime", M_CLAIM }, /* the CRD's spelling */
	{ "allocations", M_ALLOC },
	{ "unallocated", M_FREE },
	{ "attributes", M_ATTR },
	{ "sequenceNumber", M_SEQ },
	{ "sequenceNumberForAllocation", M_SEQ_OF },
	{ "deleted", M_DELETED },
	{ "hostAffinity", M_HOST },
};

static unsigned member_of(struct jspan key)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (jspan_is(key, members[i].name))
			return members[i].member;
	return 0;
}

static void read_member(struct decode *d, struct jspan key)
{
	struct jscur *c = &d->c;
	unsigned m = member_of(key);

	if (!m) {
		keep_extra(d, key);
		return;
	}
	if (d->seen & m) {
		jscur_fail(c, "a member stands twice");
		return;
	}
	d->seen |= m;
	switch ((enum member)m) {
	case M_CIDR:
		read_cidr(d);
		break;
	case M_AFFINITY:
		d->b->affinity = jscur_null(c) ? NULL : jscur_text(c);
		break;
	case M_CLAIM:
		d->b->claim_time = jscur_null(c) ? NULL : jscur_text(c);
		break;
	case M_ALLOC:
		read_alloc(d);
		break;
	case M_FREE:
		read_free(d);
		break;
	case M_ATTR:
		read_attrs(d);
		break;
	case M_SEQ:
		d->b->seq = jscur_null(c) ? 0 : jscur_u64(c, UINT64_MAX);
		break;
	case M_SEQ_OF:
		d->seqs = jscur_value(c);
		break;
	case M_DELETED:
		d->b->deleted = jscur_null(c) ? false : jscur_bool(c);
		break;
	case M_HOST:
		d->old_host = jscur_null(c) ? NULL : jscur_text(c);
		break;
	}
}

/* What can be said only when all members are there. */
static int finish(struct decode *d, struct err *e)
{
	struct block *b = d->b;

	if ((d->seen & M_NEEDED) != M_NEEDED)
		return err_set(e, -EINVAL, "%s is missing",
			       !(d->seen & M_CIDR)    ? "cidr"
			       : !(d->seen & M_ALLOC) ? "allocations"
						      : "unallocated");
	b->size = (unsigned)prefix_size(&b->cidr);
	if (d->n_alloc != b->size)
		return err_set(e, -EINVAL, "%u allocations: must be %u, the size of the cidr",
			       d->n_alloc, b->size);
	/* Room for every ordinal to come back. */
	b->free =
		xreallocarray(b->free, b->n_free > b->size ? b->n_free : b->size, sizeof(*b->free));
	b->seq_of = xcalloc(b->size, sizeof(*b->seq_of));
	if (!b->affinity && d->old_host && *d->old_host)
		b->affinity = xasprintf(IPAMKEY_OWNER_HOST "%s", d->old_host);
	for (unsigned i = 0; i < b->size; i++)
		if (b->alloc[i] >= 0 && (unsigned)b->alloc[i] < b->n_attr)
			b->attr[b->alloc[i]].n_refs++;
	read_seqs(d);
	if (d->c.why)
		return err_set(e, -EINVAL, "byte %zu: %s", jscur_at(&d->c), d->c.why);
	return block_check(b, e);
}

static int decode(struct decode *d, struct err *e)
{
	for (jscur_open(&d->c, '{'); jscur_more(&d->c, '}');)
		read_member(d, jscur_key(&d->c));
	if (!jscur_end(&d->c))
		return err_set(e, -EINVAL, "byte %zu: %s", jscur_at(&d->c), d->c.why);
	return finish(d, e);
}

int block_decode(const char *text, size_t len, struct block **out, struct err *e)
{
	struct decode d = { .c = jscur_init(text, len), .b = xcalloc(1, sizeof(struct block)) };
	int rc = decode(&d, e);

	free(d.old_host);
	if (rc < 0) {
		block_free(d.b);
		return rc;
	}
	*out = d.b;
	return 0;
}

/* A number, a few times faster than printf: there are up to three for each address. */
static void add_u64(struct str *s, uint64_t v)
{
	char buf[20], *p = buf + sizeof(buf);

	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	str_addn(s, p, (size_t)(buf + sizeof(buf) - p));
}

static void add_text(struct str *s, const char *text)
{
	str_addc(s, '"');
	for (; *text; text++) {
		unsigned char ch = (unsigned char)*text;

		if (ch == '"' || ch == '\\' || ch < 0x20)
			str_addf(s, "\\u%04x", ch);
		else
			str_addc(s, *text);
	}
	str_addc(s, '"');
}

static void add_member(struct str *s, const char *name, const char *text)
{
	str_addf(s, ",\"%s\":", name);
	if (text)
		add_text(s, text);
	else
		str_add(s, "null");
}

static void add_allocations(struct str *s, const struct block *b)
{
	str_add(s, ",\"allocations\":[");
	for (unsigned i = 0; i < b->size; i++) {
		if (i)
			str_addc(s, ',');
		if (b->alloc[i] < 0)
			str_add(s, "null");
		else
			add_u64(s, (uint64_t)b->alloc[i]);
	}
	str_add(s, "],\"unallocated\":[");
	for (unsigned i = 0; i < b->n_free; i++) {
		if (i)
			str_addc(s, ',');
		add_u64(s, b->free[i]);
	}
	str_add(s, "],\"attributes\":[");
	for (unsigned i = 0; i < b->n_attr; i++) {
		if (i)
			str_addc(s, ',');
		str_add(s, b->attr[i].json);
	}
	str_addc(s, ']');
}

static void add_sequence(struct str *s, const struct block *b)
{
	bool first = true;

	str_add(s, ",\"sequenceNumber\":");
	add_u64(s, b->seq);
	str_add(s, ",\"sequenceNumberForAllocation\":{");
	for (unsigned i = 0; i < b->size; i++) {
		if (!b->seq_of[i])
			continue;
		str_add(s, first ? "\"" : ",\"");
		add_u64(s, i);
		str_add(s, "\":");
		add_u64(s, b->seq_of[i]);
		first = false;
	}
	str_addc(s, '}');
}

static char *encode(const struct block *b, const char *claim_name)
{
	struct str s = { 0 };
	char cidr[PREFIX_STR_MAX];

	str_addf(&s, "{\"cidr\":\"%s\"", prefix_format(&b->cidr, cidr));
	add_member(&s, "affinity", b->affinity);
	if (b->claim_time)
		add_member(&s, claim_name, b->claim_time);
	add_allocations(&s, b);
	add_sequence(&s, b);
	str_addf(&s, ",\"deleted\":%s", b->deleted ? "true" : "false");
	if (b->extra) {
		str_addc(&s, ',');
		str_add(&s, b->extra);
	}
	str_addc(&s, '}');
	return str_take(&s);
}

char *block_encode(const struct block *b)
{
	return encode(b, "affinity_claim_time");
}

char *block_encode_crd(const struct block *b)
{
	return encode(b, "affinityClaimTime");
}
