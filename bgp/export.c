/* export.c - in what form a path is told
 *
 * SHAPE  a path that may be told (filter.c) is edited for its target: operations of the operator's
 *        rules first, then what the protocol wants, so that nothing an operator writes breaks it.
 * SPEC   RFC 4271 5.1; 4456 8, 10; 8326 4; 9234 5
 * TESTS  tests/unit/bgp/filter.c, export.c */
#include "bgp/filter.h"

#include <string.h>

/* Does the next hop become our own address? AUTO: always to eBGP; to iBGP for what was made
 * here. */
bool bgp_export_wants_self(const struct bgp_target *to, const struct bgp_source *src,
			   const struct bgp_attrs *a)
{
	if (src->index == 0 || a->v.next_hop.family == IP_NONE || to->self_always)
		return true;
	return to->ebgp && !to->keep;
}

static void attr_set(struct bgp_attrs_draft *d, enum bgp_attr_type type)
{
	d->v.present |= (uint64_t)1 << type;
}

static void attr_clear(struct bgp_attrs_draft *d, enum bgp_attr_type type)
{
	d->v.present &= ~((uint64_t)1 << type);
}

/* RFC 4271 5.1.4, 5.1.5: MED and LOCAL_PREF are for one AS; so are the reflector's marks. */
static void strip_for_ebgp(struct bgp_attrs_draft *d)
{
	attr_clear(d, BGP_ATTR_MED);
	attr_clear(d, BGP_ATTR_LOCAL_PREF);
	attr_clear(d, BGP_ATTR_ORIGINATOR_ID);
	attr_clear(d, BGP_ATTR_CLUSTER_LIST);
	d->v.med = d->v.local_pref = d->v.originator_id = 0;
	d->part[BGP_PART_CLUSTER_LIST].len = 0;
}

/* RFC 4456 8: who brought it in, and that it went through us. scratch: 4 bytes more than there are */
static void mark_reflected(struct bgp_attrs_draft *d, const struct bgp_policy *pol,
			   const struct bgp_source *src, uint8_t *scratch)
{
	size_t old = d->part[BGP_PART_CLUSTER_LIST].len;

	if (!(d->v.present >> BGP_ATTR_ORIGINATOR_ID & 1)) {
		attr_set(d, BGP_ATTR_ORIGINATOR_ID);
		d->v.originator_id = src->router_id;
	}
	attr_set(d, BGP_ATTR_CLUSTER_LIST);
	put_u32(scratch, pol->cluster_id);
	if (old)
		memcpy(scratch + 4, d->part[BGP_PART_CLUSTER_LIST].p, old);
	d->part[BGP_PART_CLUSTER_LIST].p = scratch;
	d->part[BGP_PART_CLUSTER_LIST].len = (uint16_t)(old + 4);
}

static void set_otc(struct bgp_attrs_draft *d, const struct bgp_target *to,
		    const struct bgp_source *src, const struct bgp_attrs *attrs)
{
	asn_t otc = bgp_effective_otc(src, attrs);
	bool down = to->role == BGP_ROLE_PROVIDER || to->role == BGP_ROLE_PEER ||
		    to->role == BGP_ROLE_RS;

	if (!otc && to->ebgp && down)
		otc = to->local_as;
	if (!otc)
		return;
	attr_set(d, BGP_ATTR_OTC);
	d->v.otc = otc;
}

/* What the operator wants on it, and communities that say in what state it is. long_lived: we keep
 * it past its session (RFC 9494 4.2). */
static bool add_extras(struct bgp_edit *e, const struct bgp_policy *pol,
		       const struct bgp_export_plan *plan, bool long_lived)
{
	const struct bgp_advert_set *advert = plan ? plan->advert : NULL;

	if (plan && plan->rule && !bgp_rule_apply(plan->rule, e))
		return false;
	if (advert && (!bgp_edit_add(e, BGP_PART_COMMUNITIES, advert->communities.p,
				     advert->communities.n / 4, 4) ||
		       !bgp_edit_add(e, BGP_PART_LARGE_COMMUNITIES, advert->large.p,
				     advert->large.n / 12, 12)))
		return false;
	if (long_lived && !bgp_edit_add_community(e, BGP_COMMUNITY_LLGR_STALE))
		return false;
	return !pol->draining || bgp_edit_add_community(e, BGP_COMMUNITY_GRACEFUL_SHUTDOWN);
}

/* RFC 8326 4.2: whoever knows not the community knows LOCAL_PREF 0. */
static void set_local_pref(struct bgp_attrs_draft *d, const struct bgp_policy *pol, enum bgp_af af,
			   const struct bgp_source *src, const struct bgp_attrs *attrs)
{
	if (!(d->v.present >> BGP_ATTR_LOCAL_PREF & 1) || attrs->marks & BGP_MARK_GRACEFUL_SHUTDOWN)
		d->v.local_pref = bgp_effective_local_pref(pol, af, src, attrs);
	if (pol->draining)
		d->v.local_pref = 0;
	attr_set(d, BGP_ATTR_LOCAL_PREF);
}

struct bgp_attrs *bgp_export_attrs(struct bgp_attr_table *t, const struct bgp_policy *pol,
				   const struct bgp_target *to, const struct bgp_source *src,
				   const struct bgp_attrs *attrs,
				   const struct bgp_export_plan *plan)
{
	struct bgp_edit e = bgp_edit_begin(attrs);
	bool reflected = !to->ebgp && src->index != 0 && !src->ebgp;
	uint8_t path[BGP_MSG_MAX], clusters[BGP_MSG_MAX];
	struct bgp_attrs *out = NULL;
	bool fits = add_extras(&e, pol, plan, src->af[to->af].long_lived);

	if (bgp_export_wants_self(to, src, attrs)) {
		e.d.v.next_hop = to->self;
		e.d.v.next_hop_ll = to->self_ll;
	}
	set_otc(&e.d, to, src, attrs);
	if (to->ebgp) {
		strip_for_ebgp(&e.d);
		fits = fits && bgp_attrs_prepend(&e.d, to->local_as, 1, path, sizeof(path));
	} else {
		set_local_pref(&e.d, pol, to->af, src, attrs);
	}
	if (reflected) {
		fits = fits && e.d.part[BGP_PART_CLUSTER_LIST].len + 4u <= sizeof(clusters);
		if (fits)
			mark_reflected(&e.d, pol, src, clusters);
	}
	if (fits)
		out = bgp_attrs_intern(t, &e.d);
	bgp_edit_done(&e);
	return out;
}
