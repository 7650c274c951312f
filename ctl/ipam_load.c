/* ipam_load.c - what the ipam commands look at */
#include "ctl/ipam_load.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "model/ipamkey.h"

char *ipam_clean(char *text)
{
	if (!text)
		return xstrdup("");
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	return text;
}

int ipam_load_config(struct ctl *c, struct ipamconfig *config, int64_t *rev, struct err *e)
{
	struct store_res res;
	int rc = ctl_call(c, store_get(IPAMKEY_CONFIG), "IPAM settings", &res, e);

	*config = ipamconfig_default();
	*rev = 0;
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	*rev = res.kv[0].rev;
	rc = ipamconfig_decode(res.kv[0].value, strlen(res.kv[0].value), config, e);
	if (rc < 0)
		err_wrap(e, "IPAM settings (%s)", IPAMKEY_CONFIG);
	store_res_done(&res);
	return rc;
}

int ipam_load(struct ctl *c, struct ipam_load *l, struct err *e)
{
	struct store_res res;
	struct timespec now;
	int rc;

	*l = (struct ipam_load) { 0 };
	if ((rc = ctl_open(c, false, e)) < 0 ||
	    (rc = ipam_load_config(c, &l->config, &l->config_rev, e)) < 0 ||
	    (rc = ipam_facts_read(c, &l->facts, e)) < 0 ||
	    (rc = ctl_call(c, store_list(IPAMKEY_BLOCKS), "IPAM blocks", &res, e)) < 0) {
		ipam_load_done(l);
		return rc;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	ipam_blocks_add(&l->blocks, &res, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
			l->config.cooldown_s);
	store_res_done(&res);
	return 0;
}

void ipam_load_done(struct ipam_load *l)
{
	ipam_facts_done(&l->facts);
	ipamconfig_done(&l->config);
	ipam_blocks_done(&l->blocks);
}

size_t ipam_load_complain(const struct ipam_load *l)
{
	for (size_t i = 0; i < l->blocks.problem.n; i++) {
		CLEANUP(freep) char *text = ipam_clean(xstrdup(l->blocks.problem.p[i].text));

		ctl_error("%s", text);
	}
	return l->blocks.problem.n;
}
