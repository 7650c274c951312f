/* bgp_keys.c - the fewest TCP MD5 keys: each peer finds its own by the longest prefix, who has none
 * finds none; examples, and random sets against a plain list */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/bgp/bgp_keys.h"

static void add(struct bgp_keys *k, const char *addr, const char *password)
{
	struct bgp_key key = { 0 };

	assert_true(prefix_parse_or_addr(addr, &key.from));
	str_copy(key.password, sizeof(key.password), password);
	vec_push(k, key);
}

/* "10.0.0.0/30 a, 10.0.0.4/32 b" */
static const char *text(const struct bgp_keys *k)
{
	static char out[1024];
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < k->n; i++) {
		char p[PREFIX_STR_MAX];

		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%s %s", i ? ", " : "",
				      prefix_format(&k->p[i].from, p), k->p[i].password);
	}
	return out;
}

static void examples(void **state)
{
	static const struct {
		const char *what;
		struct {
			const char *addr, *password;
		} peer[6];
		const char *want;
	} rows[] = {
		{ "nobody", { { NULL, NULL } }, "" },
		{ "one", { { "10.0.0.1", "a" } }, "10.0.0.1/32 a" },
		{ "one without", { { "10.0.0.1", "" } }, "" },
		{ "a mesh shares one key",
		  { { "10.0.0.1", "a" }, { "10.0.0.2", "a" }, { "10.0.3.200", "a" } },
		  "10.0.0.0/22 a" },
		{ "a router with another password between them",
		  { { "10.0.0.1", "a" }, { "10.0.0.2", "b" }, { "10.0.0.3", "a" } },
		  "10.0.0.1/32 a, 10.0.0.2/32 b, 10.0.0.3/32 a" },
		{ "somebody without one at the side",
		  { { "10.0.0.1", "" }, { "10.0.0.16", "a" }, { "10.0.0.17", "a" } },
		  "10.0.0.16/31 a" },
		{ "the ends of the space",
		  { { "0.0.0.0", "a" }, { "255.255.255.255", "a" } },
		  "0.0.0.0/0 a" },
		{ "twice the same address",
		  { { "10.0.0.1", "a" }, { "10.0.0.1", "a" } },
		  "10.0.0.1/32 a" },
		{ "IPv6",
		  { { "fd00::1", "a" }, { "fd00::2", "a" }, { "fd00::8000", "" } },
		  "fd00::/126 a" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bgp_keys in = { 0 }, out = { 0 };

		for (size_t k = 0; k < 6 && rows[i].peer[k].addr; k++)
			add(&in, rows[i].peer[k].addr, rows[i].peer[k].password);
		bgp_keys_cover(&in, &out);
		if (strcmp(text(&out), rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].what, text(&out));
		bgp_keys_done(&in);
		bgp_keys_done(&out);
	}
}

static const char *lookup(const struct bgp_keys *k, const struct addr *a)
{
	const struct bgp_key *best = NULL;

	for (size_t i = 0; i < k->n; i++)
		if (prefix_contains(&k->p[i].from, a) &&
		    (!best || k->p[i].from.len > best->from.len))
			best = &k->p[i];
	return best ? best->password : "";
}

static void random_sets(void **state)
{
	(void)state;
	srand(7);
	for (unsigned round = 0; round < 300; round++) {
		struct bgp_keys in = { 0 }, out = { 0 }, peers = { 0 };

		for (unsigned i = 0; i < 60; i++) {
			static const char *const word[] = { "", "a", "a", "a", "b" };
			struct bgp_key key = { 0 };
			struct addr a = addr_v4(0x0a000000u | ((unsigned)rand() & 0x1ff));

			key.from = prefix_of(&a, 32);
			if (*lookup(&peers, &a))
				continue;
			str_copy(key.password, sizeof(key.password), word[rand() % 5]);
			for (size_t k = 0; k < peers.n; k++)
				if (addr_eq(&peers.p[k].from.addr, &a))
					str_copy(key.password, sizeof(key.password),
						 peers.p[k].password);
			vec_push(&in, key);
			vec_push(&peers, key);
		}
		bgp_keys_cover(&in, &out);
		for (size_t i = 0; i < peers.n; i++)
			assert_string_equal(lookup(&out, &peers.p[i].from.addr),
					    peers.p[i].password);
		assert_true(out.n <= peers.n);
		for (size_t i = 0; i < out.n; i++) {
			assert_false(prefix_has_host_bits(&out.p[i].from));
			assert_true(out.p[i].password[0]);
			for (size_t k = 0; k < i; k++)
				assert_false(prefix_overlaps(&out.p[i].from, &out.p[k].from));
		}
		bgp_keys_done(&in);
		bgp_keys_done(&out);
		bgp_keys_done(&peers);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples),
		cmocka_unit_test(random_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
