/* adjout_pull.c - take what one peer has not been told: withdrawals, and prefixes by attribute set
 *
 * SHAPE  First the log from the peer's cursor, then, when that is exhausted, the dump. What is
 *        taken counts as told: the caller formats all of it. Therefore the size of the messages is
 *        reckoned here, from above: a set's attributes are at most `frame` bytes in each message,
 *        and a new message begins where a prefix might not fit any more.
 * COST   a few nanoseconds a prefix; sets are found by a small hash of the attributes' address */
#include "bgp/adjout_group.h"

#include <string.h>

#include "bgp/nlri.h"

enum {
	/* Header, both length fields, the head of MP_REACH with two next hops, and every attribute
	 * of fixed size with its head. */
	FRAME_MAX = 23 + 48 + 64,
	PART_HEAD = 4,
	/* AS4_PATH beside AS_PATH, towards an old speaker. */
	AS4_HEAD = 4,
	REFRESH_LEN = BGP_HEADER_LEN + 4,
};

/* One pull at work. */
struct pull {
	struct bgp_adjout *ao;
	struct bgp_group *g;
	struct bgp_member *m;
	struct bgp_batch *b;
	size_t size;
	uint32_t msg_max;
	uint32_t withdraw_room;
	bool full; /* what comes next needs more room than there is */
};

static void batch_clear(struct bgp_batch *b)
{
	b->n_withdrawn = b->n_items = b->n_sets = 0;
	b->begin_of_refresh = b->end_of_refresh = b->end_of_rib = b->trim = false;
	b->bytes = 0;
	memset(b->hash, 0, sizeof(b->hash));
}

/* The most that a message with these attributes takes without prefixes. */
static uint32_t frame_of(const struct bgp_attrs *a)
{
	uint32_t n = FRAME_MAX + AS4_HEAD + a->len[BGP_PART_AS_PATH];

	for (unsigned i = 0; i < BGP_PART_MAX_; i++)
		n += a->len[i] ? PART_HEAD + a->len[i] : 0;
	return n;
}

static struct bgp_batch_set *set_get(struct bgp_batch *b, struct bgp_attrs *attrs)
{
	uint32_t at = attrs->hash % ARRAY_SIZE(b->hash);
	struct bgp_batch_set *set;

	for (; b->hash[at]; at = (at + 1) % ARRAY_SIZE(b->hash)) {
		set = &b->set[b->hash[at] - 1];
		if (set->attrs == attrs)
			return set;
	}
	set = &b->set[b->n_sets++];
	b->hash[at] = b->n_sets;
	*set = (struct bgp_batch_set) {
		.attrs = attrs, .first = UINT32_MAX, .last = UINT32_MAX, .frame = frame_of(attrs)
	};
	return set;
}

/* Count one prefix of n bytes into messages of which the current one has *room left. */
static void reckon(struct pull *p, uint32_t *room, uint32_t frame, uint32_t n)
{
	if (n > *room) {
		p->b->bytes += frame + n;
		*room = frame + n < BGP_MSG_MAX ? BGP_MSG_MAX - frame - n : 0;
		return;
	}
	p->b->bytes += n;
	*room -= n;
}

static void take_announce(struct pull *p, uint32_t route, struct bgp_attrs *attrs)
{
	struct bgp_batch *b = p->b;
	struct bgp_batch_set *set = set_get(b, attrs);
	uint32_t at = b->n_items++;

	b->item[at].route = route;
	b->item[at].next = UINT32_MAX;
	if (set->last == UINT32_MAX)
		set->first = at;
	else
		b->item[set->last].next = at;
	set->last = at;
	reckon(p, &set->room, set->frame, BGP_NLRI_LEN_MAX);
}

static void take_withdraw(struct pull *p, uint32_t route)
{
	p->b->withdrawn[p->b->n_withdrawn++] = route;
	reckon(p, &p->withdraw_room, FRAME_MAX, BGP_NLRI_LEN_MAX);
}

/* Room for one more, be it of any usual size. */
static bool has_room(const struct pull *p)
{
	const struct bgp_batch *b = p->b;

	return !p->full && b->n_items < BGP_BATCH_MAX && b->n_withdrawn < BGP_BATCH_MAX &&
	       b->bytes + BGP_MSG_MAX <= p->size;
}

/* RFC 8654: attributes that need a longer message take room of their own. What fits into none is
 * taken, too: the caller finds out, and has the peer forget the route. */
static bool has_room_for(struct pull *p, const struct bgp_attrs *attrs)
{
	uint32_t need = frame_of(attrs) + BGP_NLRI_LEN_MAX;

	if (need > BGP_MSG_MAX && need <= p->msg_max)
		p->full = p->b->bytes + need > p->size;
	return !p->full;
}

static bool told(const struct pull *p, struct bgp_group_chunk *c, uint32_t route)
{
	return bgp_group_bits(p->g, c, route)[p->m->bit / 8] >> p->m->bit % 8 & 1;
}

static void set_told(const struct pull *p, struct bgp_group_chunk *c, uint32_t route, bool now)
{
	uint8_t *byte = &bgp_group_bits(p->g, c, route)[p->m->bit / 8];
	uint8_t mask = (uint8_t)(1u << p->m->bit % 8);

	if (now == !!(*byte & mask))
		return;
	*byte ^= mask;
	p->m->sent += now ? 1 : UINT32_MAX;
}

/* Attributes that this member shall have for the net: none when the route came from it. */
static struct bgp_attrs *wanted(const struct pull *p, const struct bgp_group_chunk *c,
				uint32_t route)
{
	uint32_t i = route % BGP_NETS_PER_CHUNK;

	return c->from[i] == p->m->peer_id ? NULL : c->out[i];
}

/* False: it must be asked for again. */
static bool take_entry(struct pull *p, uint32_t e)
{
	uint32_t route = e & ~BGP_LOG_FILL;
	struct bgp_group_chunk *c = bgp_group_chunk(p->g, route);
	struct bgp_attrs *attrs = wanted(p, c, route);
	bool was = told(p, c, route);

	if (attrs ? was && (e & BGP_LOG_FILL) : !was)
		return true;
	if (attrs && !has_room_for(p, attrs))
		return false;
	set_told(p, c, route, attrs != NULL);
	if (attrs)
		take_announce(p, route, attrs);
	else
		take_withdraw(p, route);
	return true;
}

static void pull_log(struct pull *p)
{
	struct bgp_member *m = p->m;

	p->b->trim = m->cursor == p->g->base;
	while (m->cursor < p->g->head && has_room(p)) {
		uint32_t e = p->g->log[m->cursor & (p->g->cap - 1)];

		if (e == BGP_LOG_OVERTAKEN || take_entry(p, e))
			m->cursor++;
	}
}

/* Routes that the dump may look at now. */
static uint32_t dump_end(const struct pull *p)
{
	uint32_t n = p->ao->rib->n_nets;

	if (p->g->target.add_path)
		return p->g->n_routes;
	return p->g->filled < n ? p->g->filled : n;
}

static bool dump_net(struct pull *p, uint32_t route)
{
	struct bgp_group_chunk *c = bgp_group_chunk(p->g, route);
	struct bgp_attrs *attrs = wanted(p, c, route);

	if (!attrs || (told(p, c, route) && !p->m->dump_all))
		return true;
	if (!has_room_for(p, attrs))
		return false;
	set_told(p, c, route, true);
	take_announce(p, route, attrs);
	return true;
}

/* The log has been seen to its end: what a net has now is what the member shall have. */
static void pull_dump(struct pull *p)
{
	struct bgp_member *m = p->m;
	uint32_t end = dump_end(p);

	while (m->dump < end && has_room(p)) {
		uint32_t next = m->dump + BGP_NETS_PER_CHUNK - m->dump % BGP_NETS_PER_CHUNK;

		if (bgp_group_chunk(p->g, m->dump))
			m->dump += dump_net(p, m->dump);
		else /* nothing there yet; what is behind `end` may come */
			m->dump = next < end ? next : end;
	}
	if (m->dump >= end && p->g->filled == BGP_NET_NONE)
		m->dump = BGP_NET_NONE;
}

static void pull_end_of_rib(struct pull *p)
{
	if (!p->m->end_of_rib_due || p->m->dump != BGP_NET_NONE || p->ao->hold_end_of_rib)
		return;
	p->b->end_of_rib = true;
	p->m->end_of_rib_due = false;
}

/* RFC 7313 4: everything has been told once more. */
static void pull_end_of_refresh(struct pull *p)
{
	struct bgp_member *m = p->m;

	if (m->refreshing && m->dump == BGP_NET_NONE) {
		p->b->end_of_refresh = true;
		m->refreshing = false;
	}
	if (m->refresh_due && !m->refreshing && !m->end_of_rib_due) {
		m->refresh_due = false;
		bgp_adjout_refresh(p->ao, m, true);
	}
}

static bool has_more(const struct bgp_member *m, const struct pull *p)
{
	if (m->end_of_rib_due && m->dump == BGP_NET_NONE && !p->ao->hold_end_of_rib)
		return true;
	return m->cursor < p->g->head || m->begin_due ||
	       (m->dump != BGP_NET_NONE && m->dump < dump_end(p));
}

bool bgp_adjout_pull(struct bgp_adjout *ao, struct bgp_member *m, struct bgp_batch *b, size_t size,
		     uint32_t msg_max)
{
	struct pull p = {
		.ao = ao, .g = m->group, .m = m, .b = b, .size = size, .msg_max = msg_max
	};

	batch_clear(b);
	if (!m->group)
		return false;
	if (size >= BGP_MSG_MAX && m->begin_due) {
		b->begin_of_refresh = true;
		m->begin_due = false;
		b->bytes += REFRESH_LEN;
	}
	pull_log(&p);
	if (m->cursor == p.g->head && m->dump != BGP_NET_NONE)
		pull_dump(&p);
	if (m->cursor == p.g->head && b->bytes + BGP_MSG_MAX <= size) {
		pull_end_of_rib(&p);
		pull_end_of_refresh(&p);
	}
	if (b->n_items || b->n_withdrawn || b->end_of_rib || b->begin_of_refresh ||
	    b->end_of_refresh)
		return true;
	bgp_adjout_taken(ao, m, b);
	if (has_more(m, &p))
		return false; /* size is too small for one message: asked again */
	if (!m->asleep) {
		m->asleep = true;
		p.g->n_asleep++;
	}
	return false;
}

void bgp_adjout_taken(struct bgp_adjout *ao, struct bgp_member *m, const struct bgp_batch *b)
{
	/* only who was last can let go of entries */
	if (b->trim)
		bgp_group_trim(ao, m->group);
}

void bgp_adjout_unsent(struct bgp_member *m, uint32_t route)
{
	struct bgp_group_chunk *c = bgp_group_chunk(m->group, route);
	struct pull p = { .g = m->group, .m = m };

	set_told(&p, c, route, false);
}
