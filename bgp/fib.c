/* fib.c - sets of next hops, and the queue of prefixes whose set changed
 *
 * INVARIANTS  a set is referenced by each net whose `hops` it is and by each queue entry whose
 *        `told` it is; it goes with the last one. */
#include "bgp/fib.h"
#include "bgp/nexthop.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct bgp_hops {
	uint32_t refs, hash, next;
	uint32_t n, metric;
	struct addr a[];
};

struct bgp_fib_entry {
	uint32_t net;
	uint32_t told, told_metric;
	enum bgp_af af;
};

enum { BUCKETS = 1024, QUEUE_MIN = 256 };

/* Told: the owner lost track, whatever is wanted must be told. */
#define TOLD_UNKNOWN UINT32_MAX

void bgp_fib_init(struct bgp_fib *fib, struct bgp_rib rib[BGP_AF_MAX_])
{
	*fib = (struct bgp_fib) { .rib = rib, .mask = BUCKETS - 1 };
	fib->buckets = xcalloc(BUCKETS, sizeof(*fib->buckets));
	vec_push(&fib->sets, NULL); /* number 0 */
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		fib->retell[af] = BGP_NET_NONE;
}

void bgp_fib_done(struct bgp_fib *fib)
{
	vec_foreach (&fib->sets, set)
		free(*set);
	vec_done(&fib->sets);
	free(fib->buckets);
	free(fib->queue);
}

/* ---- sets ---- */

static uint32_t hops_hash(const struct addr *a, unsigned n, uint32_t metric)
{
	uint32_t h = n ^ metric * 0x85ebca6bu;

	for (unsigned i = 0; i < n; i++)
		h = h * 0x9e3779b1u + addr_hash(&a[i]);
	return h ^ h >> 16;
}

static bool hops_eq(const struct bgp_hops *s, uint32_t hash, const struct addr *a, unsigned n,
		    uint32_t metric)
{
	if (s->hash != hash || s->n != n || s->metric != metric)
		return false;
	for (unsigned i = 0; i < n; i++) {
		if (!addr_eq(&s->a[i], &a[i]))
			return false;
	}
	return true;
}

static void buckets_grow(struct bgp_fib *fib)
{
	uint32_t size = (fib->mask + 1) * 2;

	free(fib->buckets);
	fib->buckets = xcalloc(size, sizeof(*fib->buckets));
	fib->mask = size - 1;
	for (uint32_t i = 1; i < fib->sets.n; i++) {
		struct bgp_hops *s = fib->sets.p[i];
		uint32_t *at;

		if (!s)
			continue;
		at = &fib->buckets[s->hash & fib->mask];
		s->next = *at;
		*at = i;
	}
}

static uint32_t number_take(struct bgp_fib *fib)
{
	/* Numbers are few (one per distinct set), so a free one is looked for from a hint. */
	for (uint32_t i = fib->free_set; i && i < fib->sets.n; i++) {
		if (!fib->sets.p[i]) {
			fib->free_set = i + 1;
			return i;
		}
	}
	fib->free_set = 0;
	vec_push(&fib->sets, NULL);
	return (uint32_t)fib->sets.n - 1;
}

/* The number of this set, with one more reference. */
static uint32_t hops_intern(struct bgp_fib *fib, const struct addr *a, unsigned n, uint32_t metric)
{
	uint32_t hash = hops_hash(a, n, metric), i;
	struct bgp_hops *s;

	if (!n)
		return 0;
	for (i = fib->buckets[hash & fib->mask]; i; i = fib->sets.p[i]->next) {
		if (hops_eq(fib->sets.p[i], hash, a, n, metric)) {
			fib->sets.p[i]->refs++;
			return i;
		}
	}
	if (++fib->count > fib->mask)
		buckets_grow(fib);
	s = xmalloc(sizeof(*s) + n * sizeof(s->a[0]));
	*s = (struct bgp_hops) { .refs = 1, .hash = hash, .n = n, .metric = metric };
	memcpy(s->a, a, n * sizeof(s->a[0]));
	i = number_take(fib);
	s->next = fib->buckets[hash & fib->mask];
	fib->buckets[hash & fib->mask] = i;
	fib->sets.p[i] = s;
	return i;
}

static void hops_unref(struct bgp_fib *fib, uint32_t number)
{
	struct bgp_hops *s;
	uint32_t *at;

	if (!number || number == TOLD_UNKNOWN)
		return;
	s = fib->sets.p[number];
	if (--s->refs)
		return;
	for (at = &fib->buckets[s->hash & fib->mask]; *at != number;)
		at = &fib->sets.p[*at]->next;
	*at = s->next;
	free(s);
	fib->sets.p[number] = NULL;
	fib->count--;
	if (!fib->free_set || number < fib->free_set)
		fib->free_set = number;
}

/* ---- queue ---- */

static void queue_push(struct bgp_fib *fib, const struct bgp_fib_entry *e)
{
	if (fib->n == fib->cap) {
		uint32_t cap = fib->cap ? fib->cap * 2 : QUEUE_MIN;
		struct bgp_fib_entry *q = xreallocarray(NULL, cap, sizeof(*q));

		for (uint32_t i = 0; i < fib->n; i++)
			q[i] = fib->queue[(fib->head + i) & (fib->cap - 1)];
		free(fib->queue);
		fib->queue = q;
		fib->cap = cap;
		fib->head = 0;
	}
	fib->queue[(fib->head + fib->n++) & (fib->cap - 1)] = *e;
}

void bgp_fib_want(struct bgp_fib *fib, enum bgp_af af, uint32_t index, const struct addr *hops,
		  unsigned n, uint32_t metric)
{
	struct bgp_net *net = bgp_rib_net(&fib->rib[af], index);
	uint32_t old = net->hops, set;

	if (old ? hops_eq(fib->sets.p[old], hops_hash(hops, n, metric), hops, n, metric) : n == 0)
		return;
	set = hops_intern(fib, hops, n, metric);
	net->hops = set;
	if (net->flags & BGP_NET_TELL) {
		hops_unref(fib, old);
		return;
	}
	net->flags |= BGP_NET_TELL;
	queue_push(fib, &(struct bgp_fib_entry) {
				.net = index,
				.told = old,
				.told_metric = old ? fib->sets.p[old]->metric : 0,
				.af = af,
			});
}

static void fill(const struct bgp_fib *fib, enum bgp_af af, const struct bgp_net *net,
		 struct bgp_fib_change *out)
{
	const struct bgp_hops *s = fib->sets.p[net->hops];

	out->prefix = bgp_net_prefix(&fib->rib[af], net);
	out->n = net->hops ? s->n : 0;
	out->metric = out->old_metric = net->hops ? s->metric : 0;
	for (size_t i = 0; i < out->n; i++)
		out->ifindex[i] = bgp_hop_link(&s->a[i], &out->next_hop[i]);
}

static bool next_retold(struct bgp_fib *fib, struct bgp_fib_change *out, enum bgp_af *af,
			uint32_t *index)
{
	for (unsigned f = 0; f < BGP_AF_MAX_; f++) {
		const struct bgp_rib *rib = &fib->rib[f];

		for (; fib->retell[f] < rib->n_nets;) {
			uint32_t at = fib->retell[f]++;
			const struct bgp_net *net = bgp_rib_net(rib, at);

			/* what is queued is told by the queue */
			if ((net->flags & (BGP_NET_FREE | BGP_NET_TELL)) || !net->hops)
				continue;
			*af = (enum bgp_af)f;
			*index = at;
			fill(fib, *af, net, out);
			return true;
		}
		fib->retell[f] = BGP_NET_NONE;
	}
	return false;
}

/* A burst's memory is not kept. */
static void queue_shrink(struct bgp_fib *fib)
{
	if (fib->n || fib->cap <= QUEUE_MIN)
		return;
	free(fib->queue);
	fib->queue = NULL;
	fib->cap = fib->head = 0;
}

enum bgp_fib_step bgp_fib_next(struct bgp_fib *fib, struct bgp_fib_change *out, enum bgp_af *af,
			       uint32_t *index)
{
	struct bgp_fib_entry e;
	struct bgp_net *net;
	bool same;

	if (!fib->n)
		return next_retold(fib, out, af, index) ? BGP_FIB_CHANGE : BGP_FIB_NONE;
	e = fib->queue[fib->head];
	fib->head = (fib->head + 1) & (fib->cap - 1);
	fib->n--;
	queue_shrink(fib);
	net = bgp_rib_net(&fib->rib[e.af], e.net);
	net->flags &= (uint8_t)~BGP_NET_TELL;
	*af = e.af;
	*index = e.net;
	same = net->hops == e.told;
	hops_unref(fib, e.told);
	if (same)
		return BGP_FIB_SETTLED;
	fill(fib, e.af, net, out);
	out->old_metric = e.told ? e.told_metric : out->metric;
	return BGP_FIB_CHANGE;
}

void bgp_fib_retell(struct bgp_fib *fib)
{
	uint32_t n = fib->n, kept = 0;

	/* The walk tells what is there; the queue keeps what is gone, and who had another metric. */
	for (uint32_t i = 0; i < n; i++) {
		struct bgp_fib_entry e = fib->queue[(fib->head + i) & (fib->cap - 1)];
		struct bgp_net *net = bgp_rib_net(&fib->rib[e.af], e.net);

		bool moved = e.told && net->hops &&
			     fib->sets.p[net->hops]->metric != e.told_metric;

		hops_unref(fib, e.told);
		e.told = TOLD_UNKNOWN;
		if (net->hops && !moved)
			net->flags &= (uint8_t)~BGP_NET_TELL;
		else
			fib->queue[(fib->head + kept++) & (fib->cap - 1)] = e;
	}
	fib->n = kept;
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		fib->retell[af] = 0;
}

bool bgp_fib_idle(const struct bgp_fib *fib)
{
	bool idle = !fib->n;

	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		idle &= fib->retell[af] == BGP_NET_NONE;
	return idle;
}
