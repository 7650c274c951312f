/* handle.c - an IPAM handle to and from Calico's JSON
 * TESTS tests/unit/model/ipamobj.c */
#include "model/handle.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/json.h"
#include "model/block.h"

struct handle *handle_new(void)
{
	return xcalloc(1, sizeof(struct handle));
}

void handle_free(struct handle *h)
{
	if (!h)
		return;
	json_decref(h->rest);
	free(h->entry);
	free(h);
}

void handle_freep(struct handle **h)
{
	handle_free(*h);
}

static struct handle_entry *find(const struct handle *h, const struct prefix *block)
{
	for (size_t i = 0; i < h->n_entry; i++)
		if (prefix_eq(&h->entry[i].block, block))
			return &h->entry[i];
	return NULL;
}

unsigned handle_count(const struct handle *h, const struct prefix *block)
{
	const struct handle_entry *entry = find(h, block);

	return entry ? entry->n : 0;
}

void handle_set(struct handle *h, const struct prefix *block, unsigned n)
{
	struct handle_entry *entry = find(h, block);

	if (entry && n == 0) {
		*entry = h->entry[--h->n_entry];
	} else if (entry) {
		entry->n = n;
	} else if (n > 0) {
		h->entry = xreallocarray(h->entry, h->n_entry + 1, sizeof(*h->entry));
		h->entry[h->n_entry++] = (struct handle_entry) { .block = *block, .n = n };
	}
}

static int read_blocks(struct handle *h, json_t *blocks, struct err *e)
{
	const char *cidr;
	json_t *count;

	if (json_object_size(blocks) > HANDLE_BLOCKS_MAX)
		return err_set(e, -E2BIG, "block: more than %d blocks", HANDLE_BLOCKS_MAX);
	json_object_foreach (blocks, cidr, count) {
		struct prefix p;

		if (!prefix_parse_strict(cidr, &p))
			return err_set(e, -EINVAL,
				       "block \"%s\": must be a network like "
				       "10.20.0.64/26",
				       cidr);
		if (!json_is_integer(count) || json_integer_value(count) < 0 ||
		    json_integer_value(count) > BLOCK_SIZE_MAX)
			return err_set(e, -EINVAL,
				       "block \"%s\": must be a number of addresses, "
				       "0 to %d",
				       cidr, BLOCK_SIZE_MAX);
		handle_set(h, &p, (unsigned)json_integer_value(count));
	}
	return 0;
}

int handle_decode(const char *text, size_t len, struct handle **out, struct err *e)
{
	struct handle *h = handle_new();
	json_t *blocks = NULL;
	int rc = js_parse(text, len, &h->rest, e);

	if (rc == 0)
		rc = js_obj(h->rest, "block", &blocks, e);
	if (rc >= 0 && blocks)
		rc = read_blocks(h, blocks, e);
	if (rc >= 0)
		rc = js_bool(h->rest, "deleted", &h->deleted, e);
	if (rc < 0) {
		handle_free(h);
		return rc;
	}
	*out = h;
	return 0;
}

char *handle_encode(const struct handle *h)
{
	CLEANUP(js_freep) json_t *root = h->rest ? json_copy(h->rest) : json_object();
	json_t *blocks = json_object();
	char cidr[PREFIX_STR_MAX];

	for (size_t i = 0; i < h->n_entry; i++)
		js_set_int(blocks, prefix_format(&h->entry[i].block, cidr), h->entry[i].n);
	js_set(root, "block", blocks);
	js_set_bool(root, "deleted", h->deleted);
	return js_dump(root);
}
