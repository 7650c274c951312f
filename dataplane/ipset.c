/* ipset.c - what sets should hold
 * SHAPE  Each set has a delta of its members. Sets that may need work are on a list, so that a turn
 *        looks at those only.
 * COST   A member costs 76 bytes here, be it wanted, there, or both. */
#include "dataplane/ipset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/ipset_table.h"

static bool same(void *ctx, void *want, void *have)
{
	return true;
}

static const struct delta_type members = { .key_size = sizeof(struct ipset_key), .same = same };

char ipset_is_member;

struct iset *iset_find(const struct ipsets *s, const char *name)
{
	struct iset *set;

	HASH_FIND_STR(s->sets, name, set);
	return set;
}

struct iset *iset_get(struct ipsets *s, const char *name, size_t len)
{
	char key[IPSET_NAME] = { 0 };
	struct iset *set;

	memcpy(key, name, len < IPSET_NAME ? len : IPSET_NAME - 1);
	set = iset_find(s, key);
	if (set)
		return set;
	set = xcalloc(1, sizeof(*set));
	memcpy(set->name, key, sizeof(key));
	delta_init(&set->d, &members, NULL, 0);
	HASH_ADD_STR(s->sets, name, set);
	return set;
}

static void iset_free(struct ipsets *s, struct iset *set)
{
	HASH_DEL(s->sets, set);
	delta_done(&set->d);
	free(set);
}

void iset_dirty(struct ipsets *s, struct iset *set)
{
	if (set->dirty)
		return;
	set->dirty = true;
	vec_push(&s->dirty, set);
}

enum ipset_have iset_have(const struct iset *set)
{
	if (!set->there)
		return IPSET_ABSENT;
	if (set->strange || set->have_type != set->type)
		return IPSET_REPLACE;
	return set->odd || set->have_max != set->maxelem ? IPSET_REBUILD : IPSET_THERE;
}

bool iset_needs(const struct iset *set, enum ipset_phase phase)
{
	if (phase == IPSET_GROW)
		return set->wanted && (iset_have(set) != IPSET_THERE || set->d.count[DELTA_SET]);
	if (!set->wanted)
		return set->there;
	return iset_have(set) == IPSET_THERE && set->d.count[DELTA_DEL];
}

void isets_prune(struct ipsets *s)
{
	for (size_t i = 0; i < s->dirty.n;) {
		struct iset *set = s->dirty.p[i];

		if (iset_needs(set, IPSET_GROW) || iset_needs(set, IPSET_SHRINK)) {
			i++;
			continue;
		}
		vec_remove_fast(&s->dirty, i);
		set->dirty = false;
		if (!set->wanted && !set->there && !set->busy)
			iset_free(s, set);
	}
}

/* "cali40...", "cali4t0", and what Felix once used, of this family. */
bool iset_name_is_ours(const struct ipsets *s, const char *name)
{
	bool v6 = s->cfg.family == IP_V6;

	return str_starts(name, v6 ? "cali6" : "cali4") ||
	       str_starts(name, v6 ? "felix-6" : "felix-4");
}

static bool is_plain(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 127 || *s == '"' || *s == '\\')
			return false;
	return true;
}

int ipset_want(struct ipsets *s, const char *name, enum ipset_type type, uint32_t maxelem,
	       struct err *e)
{
	struct iset *set;

	if (!iset_name_is_ours(s, name) || !is_plain(name) || strlen(name) > IPSET_NAME_MAX)
		return err_set(e, -EINVAL,
			       "set \"%.40s\": not a name of at most %d characters "
			       "that begins with cali%c",
			       name, IPSET_NAME_MAX, s->cfg.family == IP_V6 ? '6' : '4');
	set = iset_get(s, name, strlen(name));
	if (!set->wanted)
		s->n_wanted++;
	set->wanted = true;
	if (set->d.wanted && set->type != type)
		return err_set(e, -EEXIST, "set %s: it has members of another type", name);
	set->type = type;
	set->maxelem = maxelem ? maxelem : IPSET_MAXELEM;
	iset_dirty(s, set);
	return 0;
}

void ipset_forget(struct ipsets *s, const char *name)
{
	struct iset *set = iset_find(s, name);
	uint32_t next;

	if (!set || !set->wanted)
		return;
	set->wanted = false;
	s->n_wanted--;
	s->members -= set->d.wanted;
	for (uint32_t id = delta_next(&set->d, DELTA_NONE); id != DELTA_NONE; id = next) {
		next = delta_next(&set->d, id);
		if (!delta_want_of(&set->d, id))
			continue;
		*delta_mark(&set->d, id) = 0;
		delta_unwant(&set->d, id);
	}
	iset_dirty(s, set);
}

/* ---- members ---- */

/* A member for all addresses is two for the kernel. Marks tell why a half is wanted. */
enum { MARK_ITSELF = 1, MARK_ALL = 2 };

static void member_want(struct ipsets *s, struct iset *set, const struct ipset_key *k, uint8_t mark)
{
	uint32_t id = delta_find(&set->d, k);

	s->members += id == DELTA_NONE || !delta_want_of(&set->d, id);
	id = delta_want(&set->d, k, &ipset_is_member, 0);
	*delta_mark(&set->d, id) |= mark;
}

static void member_unwant(struct ipsets *s, struct iset *set, const struct ipset_key *k,
			  uint8_t mark)
{
	uint32_t id = delta_find(&set->d, k);

	if (id == DELTA_NONE || !(*delta_mark(&set->d, id) & mark))
		return;
	*delta_mark(&set->d, id) &= (uint8_t)~mark;
	if (*delta_mark(&set->d, id))
		return;
	s->members--;
	delta_unwant(&set->d, id);
}

static bool is_all(const struct iset *set, const struct ipset_key *k)
{
	return set->type == IPSET_NET && k->len == 0;
}

static void halve(const struct ipset_key *all, struct ipset_key half[2])
{
	half[0] = half[1] = *all;
	half[0].len = half[1].len = 1;
	half[1].b[0] = 0x80;
}

int ipset_add(struct ipsets *s, const char *name, const struct ipset_member *m, struct err *e)
{
	struct iset *set = iset_find(s, name);
	struct ipset_key k, half[2];
	char text[PREFIX_STR_MAX];

	if (!set || !set->wanted)
		return err_set(e, -ENOENT, "set %.40s: there is no such set", name);
	if (!ipset_key_of(s->cfg.family, set->type, m, &k))
		return err_set(e, -EINVAL, "set %s (%s): %s cannot be in it", name,
			       ipset_type_name(set->type), prefix_format(&m->net, text));
	if (set->d.wanted + 1 + is_all(set, &k) > set->maxelem &&
	    delta_find(&set->d, &k) == DELTA_NONE)
		return err_set(e, -ENOSPC, "set %s is full with %u members", name, set->d.wanted);
	if (is_all(set, &k)) {
		halve(&k, half);
		member_want(s, set, &half[0], MARK_ALL);
		member_want(s, set, &half[1], MARK_ALL);
	} else {
		member_want(s, set, &k, MARK_ITSELF);
	}
	iset_dirty(s, set);
	return 0;
}

void ipset_del(struct ipsets *s, const char *name, const struct ipset_member *m)
{
	struct iset *set = iset_find(s, name);
	struct ipset_key k, half[2];

	if (!set || !set->wanted || !ipset_key_of(s->cfg.family, set->type, m, &k))
		return;
	if (is_all(set, &k)) {
		halve(&k, half);
		member_unwant(s, set, &half[0], MARK_ALL);
		member_unwant(s, set, &half[1], MARK_ALL);
	} else {
		member_unwant(s, set, &k, MARK_ITSELF);
	}
	iset_dirty(s, set);
}

/* ---- life ---- */

struct ipsets *ipsets_new(const struct ipset_config *cfg)
{
	struct ipsets *s = xcalloc(1, sizeof(*s));

	s->cfg = *cfg;
	s->need_read = true;
	return s;
}

void ipsets_free(struct ipsets *s)
{
	struct iset *set, *next;

	if (!s)
		return;
	HASH_ITER (hh, s->sets, set, next)
		iset_free(s, set);
	vec_done(&s->dirty);
	vec_done(&s->todo);
	vec_done(&s->items);
	vec_done(&s->line_item);
	str_done(&s->batch);
	free(s);
}

void ipsets_ready(struct ipsets *s)
{
	s->ready = true;
}

struct ipset_counts ipset_counts(const struct ipsets *s)
{
	struct ipset_counts c = s->counts;

	c.sets = s->n_wanted;
	c.members = s->members;
	return c;
}
