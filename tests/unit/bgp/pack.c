/* pack.c - packed UPDATEs: never above 4096, never a prefix lost; and what is written reads the
 * same */
#include "bgp/attr_wire.h"
#include "bgp/update.h"

#include "bgp/msg.h"
#include "tests/unit/bgp/wire.h"

static uint32_t seed = 1;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % below;
}

static struct prefix random_prefix(enum bgp_af af)
{
	struct prefix p = { .len = (uint8_t)rnd(af == BGP_AF_IPV4_UNICAST ? 33 : 129) };

	p.addr.family = af == BGP_AF_IPV4_UNICAST ? IP_V4 : IP_V6;
	for (unsigned i = 0; i < addr_bits(p.addr.family) / 8; i++)
		p.addr.b[i] = (uint8_t)rnd(256);
	return p;
}

static struct bgp_wire random_wire(void)
{
	struct bgp_wire w = {
		.ebgp = rnd(2),
		.as4 = rnd(2),
		.local_as = 64512,
		.remote_as = 65001,
		.families = 3,
		.msg_max = BGP_MSG_MAX,
	};

	if (rnd(2))
		w.add_path_rx = w.add_path_tx = 3;
	return w;
}

struct parts {
	uint8_t b[BGP_PART_MAX_][3000];
};

static void fill_list(struct bgp_attrs_draft *d, struct parts *s, enum bgp_attr_part part,
		      unsigned unit, unsigned max)
{
	unsigned n = rnd(3) ? 0 : rnd(max);

	/* counted up, so that no large community stands twice */
	for (unsigned i = 0; i < n; i++) {
		memset(s->b[part] + i * unit, (int)rnd(256), unit);
		s->b[part][i * unit] = (uint8_t)i;
	}
	d->part[part].p = s->b[part];
	d->part[part].len = (uint16_t)(n * unit);
}

static void fill_path(struct bgp_attrs_draft *d, struct parts *s, const struct bgp_wire *wire)
{
	uint8_t *p = s->b[BGP_PART_AS_PATH], *to = p;
	unsigned segments = rnd(4);

	for (unsigned i = 0; i < segments; i++) {
		unsigned n = 1 + rnd(rnd(8) ? 4 : 60);

		*to++ = (uint8_t)(i ? 1 + rnd(2) : 2);
		*to++ = (uint8_t)n;
		for (unsigned k = 0; k < n; k++, to += 4)
			put_u32(to, 1 + rnd(wire->as4 || rnd(2) ? 4000000000u : 65000));
	}
	d->part[BGP_PART_AS_PATH].p = p;
	d->part[BGP_PART_AS_PATH].len = (uint16_t)(to - p);
}

static void fill_unknown(struct bgp_attrs_draft *d, struct parts *s)
{
	uint8_t *p = s->b[BGP_PART_UNKNOWN], *to = p;

	for (unsigned type = 20; type < 250 && rnd(3) == 0; type += 1 + rnd(60)) {
		unsigned n = rnd(rnd(4) ? 10 : 400);

		if (type == 32 || type == BGP_ATTR_OTC)
			continue;
		*to++ = n > 255 ? 0xf0 : 0xe0;
		*to++ = (uint8_t)type;
		if (n > 255)
			*to++ = (uint8_t)(n >> 8);
		*to++ = (uint8_t)n;
		memset(to, (int)type, n);
		to += n;
	}
	d->part[BGP_PART_UNKNOWN].p = p;
	d->part[BGP_PART_UNKNOWN].len = (uint16_t)(to - p);
}

static void random_draft(struct bgp_attrs_draft *d, struct parts *s, const struct bgp_wire *wire,
			 enum bgp_af af)
{
	*d = (struct bgp_attrs_draft) { .v = { .origin = (uint8_t)rnd(3) } };
	d->v.present = 1ull << BGP_ATTR_ORIGIN | 1ull << BGP_ATTR_AS_PATH;
	if (af == BGP_AF_IPV4_UNICAST)
		addr_parse("10.0.0.1", &d->v.next_hop);
	else
		addr_parse("2001:db8::1", &d->v.next_hop);
	if (af == BGP_AF_IPV6_UNICAST && rnd(2))
		addr_parse("fe80::1", &d->v.next_hop_ll);
	fill_path(d, s, wire);
	fill_list(d, s, BGP_PART_COMMUNITIES, 4, 100);
	fill_list(d, s, BGP_PART_EXT_COMMUNITIES, 8, 30);
	fill_list(d, s, BGP_PART_LARGE_COMMUNITIES, 12, 30);
	fill_unknown(d, s);
	if (rnd(2)) {
		d->v.present |= 1ull << BGP_ATTR_MED;
		d->v.med = rnd(1000);
	}
	if (rnd(4) == 0) {
		d->v.present |= 1ull << BGP_ATTR_AGGREGATOR | 1ull << BGP_ATTR_ATOMIC_AGGREGATE;
		/* RFC 6793 4.2.3: an old-style one makes the reader mistrust AS4_PATH. */
		d->v.aggregator_as = 65536 + rnd(4000000000u);
		d->v.aggregator_id = rnd(1000);
	}
	if (wire->ebgp)
		return;
	fill_list(d, s, BGP_PART_CLUSTER_LIST, 4, 10);
	d->v.present |= 1ull << BGP_ATTR_LOCAL_PREF;
	d->v.local_pref = rnd(1000);
	if (rnd(2)) {
		d->v.present |= 1ull << BGP_ATTR_ORIGINATOR_ID;
		d->v.originator_id = 1 + rnd(1000);
	}
}

/* Ascending types, but for the MP attribute in front (RFC 7606 5.1). */
static void check_order(const struct bgp_msg *m)
{
	struct rd r = rd_init(m->body, m->len), attrs;
	unsigned last = 0, n = 0;

	rd_sub(&r, rd_u16(&r));
	attrs = rd_sub(&r, rd_u16(&r));
	for (; rd_left(&attrs); n++) {
		uint8_t flags = rd_u8(&attrs), type = rd_u8(&attrs);

		rd_sub(&attrs, flags & 0x10 ? rd_u16(&attrs) : rd_u8(&attrs));
		assert_false(attrs.bad);
		if (n == 0 && (type == BGP_ATTR_MP_REACH_NLRI || type == BGP_ATTR_MP_UNREACH_NLRI))
			continue;
		assert_true(type > last);
		last = type;
	}
}

static struct bgp_update decode(struct bgp_attr_table *t, const struct bgp_wire *wire,
				const uint8_t *msg, size_t len)
{
	struct bgp_notification n;
	char text[BGP_TEXT_MAX];
	struct bgp_update u;
	struct bgp_msg m;

	assert_int_equal(bgp_msg_next(msg, len, BGP_MSG_MAX, &m, &n, text), len);
	check_order(&m);
	if (bgp_update_decode(t, wire, m.body, m.len, &u) != BGP_OK)
		fail_msg("%s", u.text);
	return u;
}

static void expect_prefixes(const struct bgp_nlri_range *range, const struct prefix *want,
			    unsigned n, bool add_path)
{
	struct bgp_nlri_range it = *range;
	struct bgp_nlri got;

	assert_int_equal(range->count, n);
	for (unsigned i = 0; i < n; i++) {
		struct prefix masked = prefix_mask(&want[i]);

		assert_true(bgp_nlri_next(&it, &got));
		assert_true(prefix_eq(&got.prefix, &masked));
		assert_int_equal(got.path_id, add_path ? want[i].addr.b[0] + 1u : 0);
	}
	assert_false(bgp_nlri_next(&it, &got));
}

enum { PREFIXES = 2000 };

/* Pack all prefixes into as many messages as it takes, reading each back. attrs NULL: withdraw. */
static void round_trip(struct bgp_attr_table *t, const struct bgp_wire *wire, enum bgp_af af,
		       const struct bgp_attrs *attrs, const struct prefix *prefixes, size_t size)
{
	static struct bgp_attr_block block;
	bool add_path = wire->add_path_tx >> af & 1;
	unsigned done = 0;

	if (attrs && !bgp_attr_block_init(&block, wire, af, attrs))
		return;
	while (done < PREFIXES) {
		uint8_t *buf = malloc(size);
		struct bgp_update u;
		struct bgp_pack p;
		unsigned n = 0;
		size_t len;

		if (attrs)
			bgp_pack_announce(&p, wire, &block, buf, size);
		else
			bgp_pack_withdraw(&p, wire, af, buf, size);
		while (done + n < PREFIXES &&
		       bgp_pack_add(&p, &prefixes[done + n], prefixes[done + n].addr.b[0] + 1u))
			n++;
		len = bgp_pack_end(&p);
		assert_true(len <= size && len <= BGP_MSG_MAX);
		if (!n) {
			/* only where the buffer is too small, and then nothing is written */
			assert_int_equal(len, 0);
			assert_true(size < BGP_MSG_MAX);
			free(buf);
			return;
		}
		/* full: the next prefix would not have fitted, whatever its size */
		if (done + n < PREFIXES)
			assert_true(len + BGP_NLRI_LEN_MAX + 34 >
				    (size < BGP_MSG_MAX ? size : BGP_MSG_MAX));
		u = decode(t, wire, buf, len);
		if (attrs) {
			expect_prefixes(&u.announced[0], prefixes + done, n, add_path);
			assert_ptr_equal(u.attrs[0], attrs);
		} else {
			expect_prefixes(&u.withdrawn[0], prefixes + done, n, add_path);
		}
		bgp_update_done(t, &u);
		done += n;
		free(buf);
	}
}

static void what_is_written_reads_the_same(void **state)
{
	static struct prefix prefixes[PREFIXES];
	struct bgp_attr_table *t = bgp_attr_table_new();
	static struct parts parts;

	for (unsigned turn = 0; turn < 400; turn++) {
		enum bgp_af af = (enum bgp_af)rnd(BGP_AF_MAX_);
		struct bgp_wire wire = random_wire();
		struct bgp_attrs_draft d;
		struct bgp_attrs *attrs;

		for (unsigned i = 0; i < PREFIXES; i++)
			prefixes[i] = random_prefix(af);
		random_draft(&d, &parts, &wire, af);
		attrs = bgp_attrs_intern(t, &d);
		round_trip(t, &wire, af, attrs, prefixes, turn % 3 ? 65536 : 30 + rnd(5000));
		round_trip(t, &wire, af, NULL, prefixes, turn % 3 ? 65536 : 30 + rnd(5000));
		bgp_attrs_unref(t, attrs);
	}
	bgp_attr_table_free(t);
}

static void too_many_attributes_are_told(void **state)
{
	static uint8_t communities[8000];
	struct bgp_wire wire = { .as4 = true, .families = 3, .msg_max = BGP_MSG_MAX };
	struct bgp_attr_table *t = bgp_attr_table_new();
	struct bgp_attr_block block;
	unsigned fits = 0, not = 0;

	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		for (uint16_t len = 3900; len < 4200; len = (uint16_t)(len + 4)) {
			struct bgp_attrs_draft d = { .part[BGP_PART_COMMUNITIES] = { communities,
										     len } };
			struct prefix p = random_prefix((enum bgp_af)af);
			struct bgp_attrs *a;
			struct bgp_pack pack;
			uint8_t buf[BGP_MSG_MAX];

			addr_parse(af ? "2001:db8::1" : "10.0.0.1", &d.v.next_hop);
			addr_parse(af ? "fe80::1" : "", &d.v.next_hop_ll);
			a = bgp_attrs_intern(t, &d);
			if (bgp_attr_block_init(&block, &wire, (enum bgp_af)af, a)) {
				/* then at least one prefix of any size does */
				p.len = (uint8_t)addr_bits(p.addr.family);
				bgp_pack_announce(&pack, &wire, &block, buf, sizeof(buf));
				assert_true(bgp_pack_add(&pack, &p, 0));
				assert_true(bgp_pack_end(&pack) <= BGP_MSG_MAX);
				fits++;
			} else {
				not ++;
			}
			bgp_attrs_unref(t, a);
		}
	assert_true(fits > 20 && not > 20);
	bgp_attr_table_free(t);
}

static void next_hop_is_patched(void **state)
{
	static const struct {
		enum bgp_af af;
		const char *before, *after, *ll;
	} rows[] = {
		{ BGP_AF_IPV4_UNICAST, "10.0.0.1", "192.168.61.11", NULL },
		{ BGP_AF_IPV6_UNICAST, "2001:db8::1", "2001:db8::2", NULL },
		{ BGP_AF_IPV6_UNICAST, "2001:db8::1", "2001:db8::2", "fe80::2" },
	};
	struct bgp_wire wire = { .as4 = true, .families = 3, .msg_max = BGP_MSG_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bgp_attr_table *t = bgp_attr_table_new();
		struct bgp_attrs_draft d = { 0 };
		struct bgp_attr_block block;
		struct bgp_attrs *a;
		struct prefix p = random_prefix(rows[i].af);
		struct addr after, ll;
		struct bgp_update u;
		struct bgp_pack pack;
		uint8_t buf[BGP_MSG_MAX];
		size_t len;

		addr_parse(rows[i].before, &d.v.next_hop);
		a = bgp_attrs_intern(t, &d);
		assert_true(bgp_attr_block_init(&block, &wire, rows[i].af, a));
		addr_parse(rows[i].after, &after);
		if (rows[i].ll)
			addr_parse(rows[i].ll, &ll);
		bgp_attr_block_set_next_hop(&block, &after, rows[i].ll ? &ll : NULL);
		bgp_pack_announce(&pack, &wire, &block, buf, sizeof(buf));
		assert_true(bgp_pack_add(&pack, &p, 0));
		len = bgp_pack_end(&pack);
		u = decode(t, &wire, buf, len);
		assert_true(addr_eq(&u.attrs[0]->v.next_hop, &after));
		if (rows[i].ll)
			assert_true(addr_eq(&u.attrs[0]->v.next_hop_ll, &ll));
		bgp_update_done(t, &u);
		bgp_attrs_unref(t, a);
		bgp_attr_table_free(t);
	}
}

static void end_of_rib_is_written(void **state)
{
	struct bgp_wire wire = { .families = 3 };
	struct bgp_attr_table *t = bgp_attr_table_new();

	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		uint8_t buf[64];
		size_t len = bgp_pack_end_of_rib((enum bgp_af)af, buf, sizeof(buf));
		struct bgp_update u;

		assert_int_equal(len, af == BGP_AF_IPV4_UNICAST ? 23 : 30);
		u = decode(t, &wire, buf, len);
		assert_true(u.end_of_rib);
		assert_int_equal(u.end_of_rib_af, af);
		assert_int_equal(bgp_pack_end_of_rib((enum bgp_af)af, buf, 22), 0);
	}
	bgp_attr_table_free(t);
}

static void prepending(void **state)
{
	static const struct {
		const char *name, *path, *after;
		unsigned n;
	} rows[] = {
		{ "an empty path", "", "02 01 0000fc00", 1 },
		{ "a sequence", "02 01 0000fde9", "02 02 0000fc00 0000fde9", 1 },
		{ "thrice", "02 01 0000fde9", "02 04 0000fc00 0000fc00 0000fc00 0000fde9", 3 },
		{ "a set in front", "01 01 0000fde9", "02 01 0000fc00 01 01 0000fde9", 1 },
		{ "a confederation in front", "03 01 0000fde9", "02 01 0000fc00 03 01 0000fde9",
		  1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes path = hex(rows[i].path), want = hex(rows[i].after);
		struct bgp_attrs_draft d = {
			.part[BGP_PART_AS_PATH] = { path.b, (uint16_t)path.n },
		};
		uint8_t scratch[64];

		assert_false(bgp_attrs_prepend(&d, 64512, rows[i].n, scratch, want.n - 1));
		assert_true(bgp_attrs_prepend(&d, 64512, rows[i].n, scratch, sizeof(scratch)));
		if (d.part[BGP_PART_AS_PATH].len != want.n || memcmp(scratch, want.b, want.n) != 0)
			fail_msg("%s", rows[i].name);
	}
}

static void a_full_sequence_gets_a_new_segment(void **state)
{
	uint8_t path[2 + 255 * 4] = { 2, 255 }, scratch[2048];
	struct bgp_attrs_draft d = { .part[BGP_PART_AS_PATH] = { path, sizeof(path) } };

	assert_true(bgp_attrs_prepend(&d, 64512, 1, scratch, sizeof(scratch)));
	assert_int_equal(d.part[BGP_PART_AS_PATH].len, sizeof(path) + 6);
	assert_int_equal(scratch[1], 1);
	assert_int_equal(scratch[7], 255);
}

static void nlri_sizes(void **state)
{
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		for (unsigned turn = 0; turn < 2000; turn++) {
			struct prefix p = random_prefix((enum bgp_af)af), masked = prefix_mask(&p);
			bool add_path = rnd(2);
			size_t size = bgp_nlri_size(&p, add_path), bad_at;
			uint8_t *buf = malloc(size);
			struct bgp_nlri_range r;
			struct bgp_nlri n;

			assert_true(size <= BGP_NLRI_LEN_MAX);
			assert_int_equal(bgp_nlri_put(buf, &p, add_path, 77), size);
			assert_true(
				bgp_nlri_check(buf, size, (enum bgp_af)af, add_path, &r, &bad_at));
			assert_int_equal(r.count, 1);
			assert_true(bgp_nlri_next(&r, &n));
			assert_true(prefix_eq(&n.prefix, &masked));
			assert_int_equal(n.path_id, add_path ? 77 : 0);
			/* one byte less is never well */
			assert_false(bgp_nlri_check(buf, size - 1, (enum bgp_af)af, add_path, &r,
						    &bad_at) &&
				     size > 1);
			free(buf);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reads_the_same),
		cmocka_unit_test(too_many_attributes_are_told),
		cmocka_unit_test(next_hop_is_patched),
		cmocka_unit_test(end_of_rib_is_written),
		cmocka_unit_test(prepending),
		cmocka_unit_test(a_full_sequence_gets_a_new_segment),
		cmocka_unit_test(nlri_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
