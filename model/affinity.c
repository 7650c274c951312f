/* affinity.c - a block's affinity to and from Calico's JSON
 * TESTS tests/unit/model/ipamobj.c */
#include "model/affinity.h"

#include <errno.h>
#include <string.h>

#include "lib/json.h"

static const char *const state_names[] = {
	[AFFINITY_CONFIRMED] = "confirmed",
	[AFFINITY_PENDING] = "pending",
	[AFFINITY_PENDING_DELETION] = "pendingDeletion",
};

const char *affinity_state_name(enum affinity_state state)
{
	return state_names[state];
}

static int read_state(const char *text, enum affinity_state *out, struct err *e)
{
	if (!*text) {
		*out = AFFINITY_CONFIRMED;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(state_names); i++)
		if (strcmp(text, state_names[i]) == 0) {
			*out = (enum affinity_state)i;
			return 0;
		}
	return err_set(e, -EINVAL, "state \"%s\": must be pending, confirmed or pendingDeletion",
		       text);
}

static int read_deleted(const json_t *root, bool *out, struct err *e)
{
	const json_t *value = js_at(root, "deleted");

	if (json_is_string(value)) {
		*out = strcmp(json_string_value(value), "true") == 0;
		return 0;
	}
	return js_bool(root, "deleted", out, e);
}

int affinity_decode(const char *text, size_t len, struct affinity *out, struct err *e)
{
	struct affinity a = { 0 };
	const char *state = "";
	int rc = js_parse(text, len, &a.rest, e);

	if (rc == 0)
		rc = js_str(a.rest, "state", &state, e);
	if (rc >= 0)
		rc = read_state(state, &a.state, e);
	if (rc >= 0)
		rc = read_deleted(a.rest, &a.deleted, e);
	if (rc < 0) {
		affinity_done(&a);
		return rc;
	}
	*out = a;
	return 0;
}

char *affinity_encode(const struct affinity *a)
{
	CLEANUP(js_freep) json_t *root = a->rest ? json_copy(a->rest) : json_object();

	js_set_str(root, "state", affinity_state_name(a->state));
	js_set_bool(root, "deleted", a->deleted);
	return js_dump(root);
}

void affinity_done(struct affinity *a)
{
	json_decref(a->rest);
	*a = (struct affinity) { 0 };
}
