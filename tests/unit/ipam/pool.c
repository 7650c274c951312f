/* pool.c - which pools serve, and in which order blocks are tried */
#include "tests/unit/ipam/help.h"

static void the_hash(void **state)
{
	assert_int_equal(fnv1("host01"), 1611109258u);
	assert_int_equal(fnv1(""), 2166136261u);
}

static void the_order_visits_every_block_once(void **state)
{
	struct ipam_pool p = { .block_len = 30 };
	unsigned char seen[64] = { 0 };
	uint32_t n, start;

	prefix_parse("10.0.0.0/24", &p.cidr);
	n = pool_n_blocks(&p);
	assert_int_equal(n, 64);
	start = pool_start(fnv1("host01"), n);
	for (uint32_t i = 0; i < n; i++) {
		struct prefix b = pool_block_at(&p, (start + i) % n);
		uint64_t off = 0;

		assert_true(prefix_covers(&p.cidr, &b) && !prefix_has_host_bits(&b));
		addr_offset(&p.cidr.addr, &b.addr, 256, &off);
		assert_int_equal(seen[off / 4]++, 0);
	}
}

static void hosts_spread(void **state)
{
	unsigned hit[16] = { 0 }, empty = 0;
	char name[16];

	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "node-%d", i);
		hit[pool_start(fnv1(name), 16)]++;
	}
	for (int i = 0; i < 16; i++)
		empty += hit[i] == 0;
	assert_true(empty <= 2);
}

static void sizes(void **state)
{
	struct ipam_pool p = { .block_len = 122 };
	struct prefix b;
	struct addr a;
	char buf[PREFIX_STR_MAX];

	prefix_parse("fd00::/48", &p.cidr);
	assert_true(pool_n_blocks(&p) == UINT32_MAX);
	b = pool_block_at(&p, 1u << 31);
	assert_string_equal(prefix_format(&b, buf), "fd00::20:0:0/122");
	addr_parse("fd00::41", &a);
	b = pool_block(&p, &a);
	assert_string_equal(prefix_format(&b, buf), "fd00::40/122");
	p.block_len = 40;
	assert_int_equal(pool_n_blocks(&p), 0);
}

static const char *const ask_web[] = { "web" };
static const char *const ask_cidr[] = { "10.1.0.0/24", "web" };
static const char *const ask_none[] = { "nope" };
static const char *const ask_off[] = { "off" };
static const char *const ask_six[] = { "six" };

static const struct {
	const char *name;
	enum ip_family family;
	enum ipam_use use;
	struct ipam_names asked;
	const char *want; /* names, or what the error says */
} rows[] = {
	{ "every pool that selects, by name", IP_V4, IPAM_USE_WORKLOAD, { 0 }, "any tunnels" },
	{ "by use", IP_V4, IPAM_USE_TUNNEL, { 0 }, "any" },
	{ "asked for by name: bypasses selectors",
	  IP_V4,
	  IPAM_USE_WORKLOAD,
	  { ask_web, 1 },
	  "web" },
	{ "by CIDR, and manual", IP_V4, IPAM_USE_WORKLOAD, { ask_cidr, 2 }, "manual web" },
	{ "asked for, not there",
	  IP_V4,
	  IPAM_USE_WORKLOAD,
	  { ask_none, 1 },
	  "!IPPool nope, asked for, does not exist" },
	{ "asked for, disabled", IP_V4, IPAM_USE_WORKLOAD, { ask_off, 1 }, "!is disabled" },
	{ "asked for, other family", IP_V4, IPAM_USE_WORKLOAD, { ask_six, 1 }, "!is IPv6" },
	{ "nothing left",
	  IP_V4,
	  IPAM_USE_LOAD_BALANCER,
	  { 0 },
	  "!no qualified IPv4 pool for host edge: web (nodeSelector does not select the node), any "
	  "(allowedUses), manual (assignmentMode Manual), off (disabled)" },
	{ "nothing of the family", IP_V6, IPAM_USE_LOAD_BALANCER, { 0 }, "!six (allowedUses)" },
};

static void choice(void **state)
{
	struct bench t = bench_new();
	struct ipam_pool all[6];
	struct ipam_world world = { .pool = all, .n_pool = 6 };

	bench_pool(&t, "web", "10.0.0.0/24", 26);
	bench_pool(&t, "any", "10.2.0.0/24", 26);
	bench_pool(&t, "manual", "10.1.0.0/24", 26);
	bench_pool(&t, "off", "10.3.0.0/24", 26);
	memcpy(all, t.pool, 4 * sizeof(*all));
	all[0].selects_node = false;
	all[2].manual = true;
	all[3].disabled = true;
	all[4] = all[1];
	all[4].name = "six";
	prefix_parse("fd00::/64", &all[4].cidr);
	all[5] = all[1];
	all[5].name = "tunnels";
	all[5].uses = IPAM_USE_WORKLOAD;
	prefix_parse("10.4.0.0/24", &all[5].cidr);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pool_query q = { .world = &world,
					.family = rows[i].family,
					.use = rows[i].use,
					.asked = rows[i].asked,
					.host = "edge" };
		char got[128] = "";
		struct err e = { 0 };
		size_t index[6];
		ssize_t n = pool_choose(&q, index, &e);

		for (ssize_t k = 0; k < n; k++) {
			strcat(got, k ? " " : "");
			strcat(got, all[index[k]].name);
		}
		if (n < 0 ? rows[i].want[0] != '!' || !strstr(e.msg, rows[i].want + 1)
			  : strcmp(got, rows[i].want) != 0)
			fail_msg("%s: \"%s\" %s", rows[i].name, got, e.msg);
	}
	world.n_pool = 0;
	{
		struct pool_query q = { .world = &world, .family = IP_V4, .host = "edge" };
		size_t none[1];
		struct err e = { 0 };

		assert_true(pool_choose(&q, none, &e) < 0);
		assert_non_null(strstr(e.msg, "there is no IPv4 pool: create an IPPool"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hash),	cmocka_unit_test(the_order_visits_every_block_once),
		cmocka_unit_test(hosts_spread), cmocka_unit_test(sizes),
		cmocka_unit_test(choice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
