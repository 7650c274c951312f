/* block.c - changes to an IPAM block in memory
 * WHY   all rules about who holds an address are here, as operations on one value, so that the step
 *	 machines only have to get reads and writes right.
 * COST  O(size) per call; nothing is allocated but for new attribute entries
 * TESTS tests/unit/model/block.c */
#include "model/block.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/json.h"
#include "model/ipamkey.h"
#include "model/wall.h"

/* Windows nodes keep a block's first three and last addresses under this handle. */
#define WINDOWS_HANDLE "windows-reserved-ipam-handle"

struct block *block_new(const struct prefix *cidr, const char *owner, int64_t now_ns)
{
	struct block *b = xcalloc(1, sizeof(*b));
	char when[WALL_STR_MAX];

	b->cidr = *cidr;
	b->affinity = xstrdup(owner);
	b->claim_time = xstrdup(wall_rfc3339(now_ns, when));
	b->size = (unsigned)prefix_size(cidr);
	b->alloc = xcalloc(b->size, sizeof(*b->alloc));
	b->free = xcalloc(b->size, sizeof(*b->free));
	b->seq_of = xcalloc(b->size, sizeof(*b->seq_of));
	b->n_free = b->size;
	b->seq = now_ns > 0 ? (uint64_t)now_ns : 1;
	for (unsigned i = 0; i < b->size; i++) {
		b->alloc[i] = -1;
		b->free[i] = i;
	}
	return b;
}

void block_free(struct block *b)
{
	if (!b)
		return;
	for (unsigned i = 0; i < b->n_attr; i++) {
		free(b->attr[i].handle);
		free(b->attr[i].json);
	}
	free(b->affinity);
	free(b->claim_time);
	free(b->alloc);
	free(b->free);
	free(b->attr);
	free(b->seq_of);
	free(b->extra);
	free(b);
}

void block_freep(struct block **b)
{
	block_free(*b);
}

/* Every ordinal is allocated or free, and only once. `seen` has a byte for each. */
static int check_free(const struct block *b, unsigned char *seen, struct err *e)
{
	for (unsigned i = 0; i < b->n_free; i++) {
		unsigned ord = b->free[i];

		if (ord >= b->size)
			return err_set(e, -EINVAL, "unallocated[%u] is %u: must be below %u", i,
				       ord, b->size);
		if (seen[ord])
			return err_set(e, -EINVAL, "ordinal %u stands in unallocated twice", ord);
		if (b->alloc[ord] >= 0)
			return err_set(e, -EINVAL,
				       "ordinal %u is allocated and stands in unallocated as well",
				       ord);
		seen[ord] = 1;
	}
	for (unsigned i = 0; i < b->size; i++)
		if (b->alloc[i] < 0 && !seen[i])
			return err_set(e, -EINVAL,
				       "ordinal %u is neither allocated nor in unallocated", i);
	return 0;
}

int block_check(const struct block *b, struct err *e)
{
	unsigned *refs;
	unsigned char *seen;
	int rc = 0;

	for (unsigned i = 0; i < b->size; i++)
		if (b->alloc[i] >= (int)b->n_attr)
			return err_set(e, -EINVAL, "allocations[%u] is %d: there are %u attributes",
				       i, b->alloc[i], b->n_attr);
	refs = xcalloc(b->n_attr, sizeof(*refs));
	seen = xcalloc(b->size, 1);
	for (unsigned i = 0; i < b->size; i++)
		if (b->alloc[i] >= 0)
			refs[b->alloc[i]]++;
	for (unsigned i = 0; i < b->n_attr && rc == 0; i++)
		if (!refs[i])
			rc = err_set(e, -EINVAL, "attributes[%u] belongs to no address", i);
		else if (refs[i] != b->attr[i].n_refs)
			rc = err_set(e, -EINVAL,
				     "attributes[%u] is counted %u times, used %u times", i,
				     b->attr[i].n_refs, refs[i]);
	if (rc == 0)
		rc = check_free(b, seen, e);
	free(refs);
	free(seen);
	return rc;
}

uint64_t block_next_write(struct block *b)
{
	return b->seq++;
}

char *block_attr_json(const char *handle, json_t *secondary)
{
	json_t *entry = json_object();
	char *text;

	js_set_str(entry, "handle_id", handle);
	if (secondary)
		js_set(entry, "secondary", json_incref(secondary));
	text = json_dumps(entry, JSON_COMPACT | JSON_SORT_KEYS); /* the order that Go writes */
	json_decref(entry);
	return text;
}

json_t *block_attr_owner(const struct block_attr *a)
{
	CLEANUP(js_freep) json_t *entry = NULL;
	json_t *owner;

	if (js_parse(a->json, strlen(a->json), &entry, NULL) < 0)
		return NULL;
	owner = json_object_get(entry, "secondary");
	return json_is_object(owner) ? json_incref(owner) : NULL;
}

char *block_attr_get(const struct block_attr *a, const char *name)
{
	CLEANUP(js_freep) json_t *owner = block_attr_owner(a);

	return owner ? xstrdup(json_string_value(json_object_get(owner, name))) : NULL;
}

/* The handle in an entry that we made ourselves, on the heap; NULL when there is none. */
static char *entry_handle(const char *json, int64_t *released_ns)
{
	CLEANUP(js_freep) json_t *entry = NULL;
	const char *when;

	*released_ns = 0;
	if (js_parse(json, strlen(json), &entry, NULL) < 0)
		return NULL;
	when = json_string_value(json_object_get(entry, "releasedAt"));
	if (when)
		wall_parse(when, released_ns);
	return xstrdup(json_string_value(json_object_get(entry, "handle_id")));
}

/* The same entry, whatever the order of its members and the blanks between them? */
static bool json_same(const char *one, const char *other)
{
	CLEANUP(js_freep) json_t *a = NULL;
	CLEANUP(js_freep) json_t *b = NULL;

	return strcmp(one, other) == 0 ||
	       (js_parse(one, strlen(one), &a, NULL) == 0 &&
		js_parse(other, strlen(other), &b, NULL) == 0 && json_equal(a, b));
}

/* The index of an entry that says the same, appended when there is none. Entries are shared: two
 * addresses of one workload point at one. */
static unsigned attr_intern(struct block *b, const char *json)
{
	struct block_attr new = { 0 };

	new.handle = entry_handle(json, &new.released_ns);
	for (unsigned i = 0; i < b->n_attr; i++)
		if (str_eq(b->attr[i].handle, new.handle) && json_same(b->attr[i].json, json)) {
			free(new.handle);
			return i;
		}
	new.json = xstrdup(json);
	b->attr = xreallocarray(b->attr, b->n_attr + 1, sizeof(*b->attr));
	b->attr[b->n_attr] = new;
	return b->n_attr++;
}

/* Remove the entries that nothing points at; those behind move down. */
static void attr_sweep(struct block *b)
{
	int *moved = xcalloc(b->n_attr, sizeof(*moved));
	unsigned n = 0;

	for (unsigned i = 0; i < b->n_attr; i++) {
		if (b->attr[i].n_refs == 0) {
			free(b->attr[i].handle);
			free(b->attr[i].json);
			continue;
		}
		moved[i] = (int)n;
		b->attr[n++] = b->attr[i];
	}
	b->n_attr = n;
	for (unsigned i = 0; i < b->size; i++)
		if (b->alloc[i] >= 0)
			b->alloc[i] = moved[b->alloc[i]];
	free(moved);
}

static void take_at(struct block *b, unsigned at, const char *attr_json, uint64_t seq)
{
	unsigned ord = b->free[at], attr = attr_intern(b, attr_json);

	memmove(b->free + at, b->free + at + 1, (b->n_free - at - 1) * sizeof(*b->free));
	b->n_free--;
	b->alloc[ord] = (int)attr;
	b->attr[attr].n_refs++;
	b->seq_of[ord] = seq;
}

bool block_take(struct block *b, unsigned ord, const char *attr_json, uint64_t seq)
{
	for (unsigned i = 0; i < b->n_free; i++)
		if (b->free[i] == ord) {
			take_at(b, i, attr_json, seq);
			return true;
		}
	return false;
}

static bool is_reserved(const struct block *b, unsigned ord, const struct prefix *reserved,
			size_t n_reserved)
{
	struct addr a = block_addr(b, ord);

	for (size_t i = 0; i < n_reserved; i++)
		if (prefix_contains(&reserved[i], &a))
			return true;
	return false;
}

unsigned block_take_next(struct block *b, unsigned want, const struct prefix *reserved,
			 size_t n_reserved, const char *attr_json, uint64_t seq, unsigned *ords)
{
	unsigned n = 0, at = 0;

	while (n < want && at < b->n_free) {
		if (is_reserved(b, b->free[at], reserved, n_reserved)) {
			at++;
			continue;
		}
		ords[n++] = b->free[at];
		take_at(b, at, attr_json, seq);
	}
	return n;
}

unsigned block_available(const struct block *b, const struct prefix *reserved, size_t n_reserved)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->n_free; i++)
		n += !is_reserved(b, b->free[i], reserved, n_reserved);
	return n;
}

void block_release(struct block *b, unsigned ord, int64_t now_ns)
{
	char when[WALL_STR_MAX], json[WALL_STR_MAX + 32];
	unsigned attr;

	if (ord >= b->size || b->alloc[ord] < 0)
		return;
	snprintf(json, sizeof(json), "{\"releasedAt\":\"%s\"}", wall_rfc3339(now_ns, when));
	attr = attr_intern(b, json);
	b->attr[b->alloc[ord]].n_refs--;
	b->alloc[ord] = (int)attr;
	b->attr[attr].n_refs++;
	attr_sweep(b);
}

unsigned block_collect(struct block *b, int64_t now_ns, unsigned cooldown_s)
{
	int64_t before = now_ns - (int64_t)cooldown_s * NS_PER_S;
	unsigned n = 0;

	for (unsigned i = 0; i < b->size; i++) {
		struct block_attr *a = b->alloc[i] >= 0 ? &b->attr[b->alloc[i]] : NULL;

		if (!a || !a->released_ns || a->handle ||
		    (cooldown_s > 0 && a->released_ns > before))
			continue;
		a->n_refs--;
		b->alloc[i] = -1;
		b->seq_of[i] = 0;
		b->free[b->n_free++] = i;
		n++;
	}
	if (n)
		attr_sweep(b);
	return n;
}

bool block_is_empty(const struct block *b)
{
	for (unsigned i = 0; i < b->n_attr; i++)
		if (!b->attr[i].handle || strcasecmp(b->attr[i].handle, WINDOWS_HANDLE) != 0)
			return false;
	return true;
}

const struct block_attr *block_attr_of(const struct block *b, unsigned ord)
{
	return ord < b->size && b->alloc[ord] >= 0 ? &b->attr[b->alloc[ord]] : NULL;
}

unsigned block_held_by(const struct block *b, const char *handle, unsigned *ords)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->size; i++) {
		const struct block_attr *a = block_attr_of(b, i);

		if (!a || !str_eq(a->handle, handle))
			continue;
		if (ords)
			ords[n] = i;
		n++;
	}
	return n;
}

struct addr block_addr(const struct block *b, unsigned ord)
{
	return addr_add(&b->cidr.addr, ord);
}

bool block_ord(const struct block *b, const struct addr *a, unsigned *ord)
{
	uint64_t off;

	if (!addr_offset(&b->cidr.addr, a, b->size, &off))
		return false;
	*ord = (unsigned)off;
	return true;
}

bool block_owned_by(const struct block *b, const char *owner)
{
	return b->affinity && strcmp(b->affinity, owner) == 0;
}

int64_t block_claimed_ns(const struct block *b)
{
	int64_t ns;

	return b->claim_time && wall_parse(b->claim_time, &ns) ? ns : 0;
}
