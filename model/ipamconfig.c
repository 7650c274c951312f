/* ipamconfig.c - the allocator's settings to and from JSON
 * TESTS tests/unit/model/ipamobj.c */
#include "model/ipamconfig.h"

#include <errno.h>
#include <string.h>

#include "lib/json.h"

#define PERSISTENCE "kubeVirtVMAddressPersistence"

struct ipamconfig ipamconfig_default(void)
{
	return (struct ipamconfig) { .auto_allocate_blocks = true };
}

/* Either spelling; the allocator's own wins. */
static int read_bool(const json_t *root, const char *snake, const char *camel, bool *out,
		     struct err *e)
{
	int rc = js_bool(root, snake, out, e);

	return rc == 0 ? js_bool(root, camel, out, e) : rc;
}

static int read_unsigned(const json_t *root, const char *name, int64_t max, unsigned *out,
			 struct err *e)
{
	int64_t n = 0;
	int rc = js_int(root, name, 0, max, &n, e);

	*out = (unsigned)n;
	return rc;
}

static int read_persistence(const json_t *root, bool *off, struct err *e)
{
	const char *text = "Enabled";
	int rc = js_str(root, PERSISTENCE, &text, e);

	*off = strcmp(text, "Disabled") == 0;
	if (rc > 0 && !*off && *text && strcmp(text, "Enabled") != 0)
		return err_set(e, -EINVAL, PERSISTENCE " \"%s\": must be Enabled or Disabled",
			       text);
	return rc;
}

int ipamconfig_decode(const char *text, size_t len, struct ipamconfig *out, struct err *e)
{
	struct ipamconfig c = { 0 };
	int rc = js_parse(text, len, &c.rest, e);

	if (rc == 0)
		rc = read_bool(c.rest, "strict_affinity", "strictAffinity", &c.strict_affinity, e);
	if (rc >= 0)
		rc = read_bool(c.rest, "auto_allocate_blocks", "autoAllocateBlocks",
			       &c.auto_allocate_blocks, e);
	if (rc >= 0)
		rc = read_unsigned(c.rest, "maxBlocksPerHost", IPAMCONFIG_BLOCKS_MAX,
				   &c.max_blocks_per_host, e);
	if (rc >= 0)
		rc = read_unsigned(c.rest, "ipCooldownSeconds", IPAMCONFIG_COOLDOWN_MAX,
				   &c.cooldown_s, e);
	if (rc >= 0)
		rc = read_persistence(c.rest, &c.vm_persistence_off, e);
	if (rc < 0) {
		ipamconfig_done(&c);
		return rc;
	}
	*out = c;
	return 0;
}

int ipamconfig_check(const struct ipamconfig *c, struct err *e)
{
	if (!c->strict_affinity && !c->auto_allocate_blocks)
		return err_set(e, -EINVAL,
			       "strictAffinity false with autoAllocateBlocks false: one "
			       "of them must be true");
	if (c->max_blocks_per_host && !c->strict_affinity)
		return err_set(e, -EINVAL, "maxBlocksPerHost %u: needs strictAffinity true",
			       c->max_blocks_per_host);
	if (c->cooldown_s > IPAMCONFIG_COOLDOWN_MAX)
		return err_set(e, -ERANGE, "ipCooldownSeconds %u: must be 0..%d", c->cooldown_s,
			       IPAMCONFIG_COOLDOWN_MAX);
	return 0;
}

static void set_bool(json_t *root, const char *name, bool value)
{
	json_object_del(root, name);
	if (value)
		js_set_bool(root, name, true);
}

static void set_unsigned(json_t *root, const char *name, unsigned value)
{
	json_object_del(root, name);
	if (value)
		js_set_int(root, name, value);
}

static char *encode(const struct ipamconfig *c, bool snake)
{
	CLEANUP(js_freep) json_t *root = c->rest ? json_copy(c->rest) : json_object();

	json_object_del(root, snake ? "strictAffinity" : "strict_affinity");
	json_object_del(root, snake ? "autoAllocateBlocks" : "auto_allocate_blocks");
	set_bool(root, snake ? "strict_affinity" : "strictAffinity", c->strict_affinity);
	set_bool(root, snake ? "auto_allocate_blocks" : "autoAllocateBlocks",
		 c->auto_allocate_blocks);
	set_unsigned(root, "maxBlocksPerHost", c->max_blocks_per_host);
	set_unsigned(root, "ipCooldownSeconds", c->cooldown_s);
	json_object_del(root, PERSISTENCE);
	if (c->vm_persistence_off)
		js_set_str(root, PERSISTENCE, "Disabled");
	return js_dump(root);
}

char *ipamconfig_encode(const struct ipamconfig *c)
{
	return encode(c, true);
}

char *ipamconfig_encode_kind(const struct ipamconfig *c)
{
	return encode(c, false);
}

void ipamconfig_done(struct ipamconfig *c)
{
	json_decref(c->rest);
	*c = (struct ipamconfig) { 0 };
}
