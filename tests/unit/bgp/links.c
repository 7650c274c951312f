/* links.c - peers on links (unnumbered): a neighbour is an address on a link, so are its next hops; nobody
 * else can name a link; any AS but ours; priorities as metrics */
#include "played.h"

#include "bgp/bgpfilter.h"

static bool count(void *arg, const struct bgp_path_info *path)
{
	unsigned *n = arg;

	*n += path->usable;
	return true;
}

static unsigned usable(struct played_world *w, const char *prefix)
{
	struct prefix p = make_prefix(prefix);
	unsigned n = 0;

	bgp_speaker_each_path(w->sp, &p, count, &n);
	return n;
}

static struct played *add_on_link(struct played_world *w, const char *addr, uint32_t ifindex,
				  asn_t as)
{
	struct played *p = played_add(w, as);

	p->addr = p->config->addr = make_addr(addr);
	p->local = make_addr("fe80::64");
	p->config->ifindex = ifindex;
	snprintf(p->config->ifname, sizeof(p->config->ifname), "swp%u", ifindex);
	p->config->remote_as = 0;
	p->caps.families = p->config->families = 3;
	p->caps.ext_next_hop = 1;
	p->config->ext_next_hop = true;
	return p;
}

static bool nothing_resolves_called;

static struct bgp_resolution nothing(void *arg, const struct addr *next_hop)
{
	(void)arg;
	/* a link in a next hop is for the speaker alone to know */
	if (next_hop->family == IP_V6 && addr_is_link_local(next_hop))
		nothing_resolves_called = true;
	return (struct bgp_resolution) { 0 };
}

/* The same address on two links is two neighbours, and two next hops. */
static void one_address_on_two_links(void **state)
{
	struct played_world w;
	struct played *a, *b;

	(void)state;
	played_begin(&w);
	a = add_on_link(&w, "fe80::1", 5, 65001);
	b = add_on_link(&w, "fe80::1", 0x01020304, 65001);
	a->next_hop = b->next_hop = a->addr;
	played_start(&w);
	bgp_speaker_set_resolver(w.sp, nothing, NULL);
	nothing_resolves_called = false;
	played_announce(&w, a, "10.1.0.0/24");
	assert_int_equal(w.fib.n, 1);
	assert_int_equal(w.fib.ifindex[0], 5);
	assert_true(addr_eq(&w.fib.next_hop[0], &a->addr));
	played_announce(&w, b, "10.1.0.0/24");
	assert_int_equal(w.fib.n, 2);
	assert_int_equal(w.fib.ifindex[0] + w.fib.ifindex[1], 5 + 0x01020304);
	assert_true(addr_eq(&w.fib.next_hop[1], &a->addr));
	assert_false(nothing_resolves_called);
	/* BFD of one link ends that session only */
	assert_int_equal(bgp_speaker_bfd_down(w.sp, &a->addr, 5, w.now), 1);
	played_settle(&w);
	assert_int_equal(w.fib.n, 1);
	assert_int_equal(w.fib.ifindex[0], 0x01020304);
	assert_int_equal(bgp_speaker_bfd_down(w.sp, &a->addr, 7, w.now), 0);
	/* nobody is expected at that address on another link, or on none */
	assert_false(bgp_speaker_accept_on(w.sp, 99, &a->addr, 6, &w.global.local_v6, w.now));
	assert_false(bgp_speaker_accept(w.sp, 99, &a->addr, 179, &w.global.local_v6, w.now));
	played_end(&w);
}

/* Two daemons at one address, which we dial at different ports: what the second one dials is not the
 * first one's restart. */
static void two_sessions_with_one_address(void **state)
{
	struct bgp_peer_status st;
	struct played_world w;
	struct played *p[2];

	(void)state;
	played_begin(&w);
	for (unsigned i = 0; i < 2; i++) {
		p[i] = played_add(&w, 65001);
		p[i]->addr = p[i]->config->addr = p[0]->addr;
		p[i]->config->port = (uint16_t)(179 + i);
		p[i]->config->gr_restart_s = 120;
		p[i]->caps.gr.present = true;
		p[i]->caps.gr.families = p[i]->caps.gr.forwarding = 1;
		p[i]->caps.gr.time_s = 120;
	}
	played_start(&w);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(bgp_speaker_peer_status(w.sp, i, &st));
		assert_int_equal(st.state, BGP_STATE_ESTABLISHED);
		assert_int_equal(st.flaps, 0);
	}
	/* only when both are, one of them may have restarted */
	played_connect(&w, p[0]);
	assert_true(bgp_speaker_peer_status(w.sp, 0, &st));
	assert_int_equal(st.state, BGP_STATE_ESTABLISHED);
	assert_int_equal(st.flaps, 1);
	played_end(&w);
}

/* The link-local one of a pair counts on a link; elsewhere the global one. */
static void global_and_link_local(void **state)
{
	struct bgp_attrs_draft d = { 0 };
	struct played_world w;
	struct played *a;

	(void)state;
	played_begin(&w);
	a = add_on_link(&w, "fe80::1", 5, 65001);
	played_start(&w);
	d.v.next_hop = make_addr("2001:db8::1");
	d.v.next_hop_ll = a->addr;
	played_announce_as(&w, a, "fd00:1::/64", &d);
	assert_int_equal(w.fib.n, 1);
	assert_int_equal(w.fib.ifindex[0], 5);
	assert_true(addr_eq(&w.fib.next_hop[0], &a->addr));
	played_end(&w);
}

/* A peer that is not on a link cannot lead us onto one, whatever bytes it writes; a neighbour on a link
 * not onto another. */
static void links_cannot_be_forged(void **state)
{
	static const char *const forged[] = { "fe80::1", "fe80::5:0:0:1", "fe80:0:5::1",
					      "fe80:0:0:5::1" };
	struct played_world w;
	struct played *far, *near;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forged); i++) {
		played_begin(&w);
		far = played_add(&w, 65001);
		far->addr = far->config->addr = make_addr("fd99::2");
		far->caps.ext_next_hop = 1;
		far->config->ext_next_hop = true;
		near = add_on_link(&w, "fe80::1", 7, 65002);
		played_start(&w);
		far->next_hop = near->next_hop = make_addr(forged[i]);
		played_announce(&w, far, "10.1.0.0/24");
		assert_int_equal(usable(&w, "10.1.0.0/24"), 0);
		played_announce(&w, near, "10.2.0.0/24");
		if (usable(&w, "10.2.0.0/24")) {
			assert_int_equal(w.fib.n, 1);
			assert_int_equal(w.fib.ifindex[0], 7);
			assert_true(addr_eq(&w.fib.next_hop[0], &near->next_hop));
		}
		played_end(&w);
	}
}

static void any_as_but_ours(void **state)
{
	struct played_world w;
	struct played *p;

	(void)state;
	played_begin(&w);
	p = add_on_link(&w, "fe80::1", 5, 4200000000);
	played_start(&w);
	assert_int_equal(played_status(&w, p).remote_as, 4200000000);
	p->next_hop = p->addr;
	played_announce(&w, p, "10.1.0.0/24"); /* its AS in front: checked against what it said */
	assert_int_equal(usable(&w, "10.1.0.0/24"), 1);
	played_end(&w);

	played_begin(&w);
	p = add_on_link(&w, "fe80::1", 5, 64512);
	w.sp = bgp_speaker_new(&w.global, 7);
	bgp_speaker_set_peers(w.sp, w.config, w.n, w.now);
	played_connect(&w, p);
	assert_int_equal(played_status(&w, p).state == BGP_STATE_ESTABLISHED, 0);
	assert_int_equal(p->notification.code, BGP_ERR_OPEN);
	assert_int_equal(p->notification.subcode, BGP_OPEN_BAD_AS);
	assert_non_null(strstr(played_status(&w, p).last_error, "our own AS 64512"));
	played_end(&w);
}

/* ---- metrics ---- */

static void local_pref_is_the_metric(void **state)
{
	struct bgp_attrs_draft d = { 0 };
	struct played_world w;
	struct played *p;

	(void)state;
	played_begin(&w);
	w.global.normal_priority[BGP_AF_IPV4_UNICAST] = 1024;
	p = played_add(&w, 64512);
	played_start(&w);
	d.v.present = 1ull << BGP_ATTR_LOCAL_PREF;
	d.v.local_pref = BGP_PRIORITY_BASE - 1024;
	played_announce_as(&w, p, "10.1.0.0/24", &d);
	/* the usual priority is no metric */
	assert_int_equal(w.fib.metric, 0);
	assert_int_equal(w.fib.old_metric, 0);
	/* raised: another route for the kernel, and which one was there */
	d.v.local_pref = BGP_PRIORITY_BASE - 512;
	d.part[BGP_PART_AS_PATH].len = 0;
	played_announce_as(&w, p, "10.1.0.0/24", &d);
	assert_int_equal(w.fib.n, 1);
	assert_int_equal(w.fib.metric, 512);
	assert_int_equal(w.fib.old_metric, 0);
	/* telling all again knows of no other */
	bgp_speaker_retell_fib(w.sp);
	played_settle(&w);
	assert_int_equal(w.fib.metric, 512);
	assert_int_equal(w.fib.old_metric, 512);
	/* none says any: as far back as can be; more than there is: the very first */
	d.v.local_pref = UINT32_MAX;
	d.part[BGP_PART_AS_PATH].len = 0;
	played_announce_as(&w, p, "10.1.0.0/24", &d);
	assert_int_equal(w.fib.metric, 1);
	d = (struct bgp_attrs_draft) { 0 };
	played_announce_as(&w, p, "10.1.0.0/24", &d);
	assert_int_equal(w.fib.metric, BGP_PRIORITY_BASE - 100);
	/* gone: the one that was there */
	assert_int_equal(bgp_speaker_bfd_down(w.sp, &p->addr, 0, w.now), 1);
	played_settle(&w);
	assert_int_equal(w.fib.n, 0);
	assert_int_equal(w.fib.old_metric, BGP_PRIORITY_BASE - 100);
	played_end(&w);

	/* without a priority of its own the node asks for none */
	played_begin(&w);
	p = played_add(&w, 64512);
	played_start(&w);
	d.v.present = 1ull << BGP_ATTR_LOCAL_PREF;
	d.v.local_pref = 7;
	played_announce_as(&w, p, "10.1.0.0/24", &d);
	assert_int_equal(w.fib.n, 1);
	assert_int_equal(w.fib.metric, 0);
	played_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_sessions_with_one_address),
		cmocka_unit_test(one_address_on_two_links),
		cmocka_unit_test(global_and_link_local),
		cmocka_unit_test(links_cannot_be_forged),
		cmocka_unit_test(any_as_but_ours),
		cmocka_unit_test(local_pref_is_the_metric),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
