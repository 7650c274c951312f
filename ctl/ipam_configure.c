/* ipam_configure.c - margayctl ipam configure: the allocator's settings
 * WHY   the object under IPAM's own key: in etcd and sqlite the kind IPAMConfiguration is another
 *	 one, which the allocator does not read. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/ipam_load.h"
#include "model/ipamkey.h"

enum { SET_STRICT, SET_MAX_BLOCKS, SET_PERSISTENCE, SET_COOLDOWN, SET_AUTO };

static int set_bool(const char *name, const char *text, bool *out, struct err *e)
{
	if (!text)
		return 0;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return err_set(e, -EINVAL, "--%s: must be true or false, is \"%.40s\"", name, text);
	*out = text[0] == 't';
	return 0;
}

static int set_number(const char *name, const char *text, uint64_t max, unsigned *out,
		      struct err *e)
{
	uint64_t n;

	if (!text)
		return 0;
	if (!parse_u64(text, max, &n))
		return err_set(e, -EINVAL, "--%s: must be 0..%llu, is \"%.40s\"", name,
			       (unsigned long long)max, text);
	*out = (unsigned)n;
	return 0;
}

static int set_persistence(const char *text, bool *off, struct err *e)
{
	if (!text)
		return 0;
	if (strcmp(text, "Enabled") != 0 && strcmp(text, "Disabled") != 0)
		return err_set(
			e, -EINVAL,
			"--kubevirt-ip-persistence: must be Enabled or Disabled, is \"%.40s\"",
			text);
	*off = text[0] == 'D';
	return 0;
}

static int set_all(const struct args *a, struct ipamconfig *config, struct err *e)
{
	int rc = set_bool("strictaffinity", a->opt[SET_STRICT], &config->strict_affinity, e);

	if (rc == 0)
		rc = set_bool("auto-allocate-blocks", a->opt[SET_AUTO],
			      &config->auto_allocate_blocks, e);
	if (rc == 0)
		rc = set_number("max-blocks-per-host", a->opt[SET_MAX_BLOCKS],
				IPAMCONFIG_BLOCKS_MAX, &config->max_blocks_per_host, e);
	if (rc == 0)
		rc = set_number("ip-cooldown-seconds", a->opt[SET_COOLDOWN],
				IPAMCONFIG_COOLDOWN_MAX, &config->cooldown_s, e);
	if (rc == 0)
		rc = set_persistence(a->opt[SET_PERSISTENCE], &config->vm_persistence_off, e);
	return rc < 0 ? rc : ipamconfig_check(config, e);
}

static int write_config(struct ctl *c, const struct ipamconfig *config, int64_t rev, struct err *e)
{
	CLEANUP(freep) char *value = ipamconfig_encode(config);

	return ctl_call(c,
			rev ? store_update(IPAMKEY_CONFIG, value, rev)
			    : store_create(IPAMKEY_CONFIG, value),
			"IPAM settings", NULL, e);
}

int cmd_ipam_configure(struct ctl *c, const struct args *a)
{
	struct ipamconfig config = { 0 };
	struct err e = { 0 };
	bool any = false;
	int64_t rev;
	int rc;

	for (int i = SET_STRICT; i <= SET_AUTO; i++)
		any = any || a->opt[i];
	if (!any) {
		ctl_error("nothing to set; see margayctl ipam configure --help");
		return CTL_USAGE;
	}
	rc = ctl_open(c, true, &e);
	if (rc == 0)
		rc = ipam_load_config(c, &config, &rev, &e);
	if (rc == 0)
		rc = set_all(a, &config, &e);
	if (rc == 0)
		rc = write_config(c, &config, rev, &e);
	ipamconfig_done(&config);
	if (rc < 0)
		return ctl_error("%s", e.msg);
	puts("Successfully set the IPAM settings");
	return CTL_OK;
}
