/* ipam_show.c - margayctl ipam show: use of pools and blocks, holders of addresses, settings */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/box.h"
#include "ctl/cmd.h"
#include "ctl/ipam_load.h"
#include "lib/json.h"

enum { SHOW_IP, SHOW_BLOCKS, SHOW_BORROWED, SHOW_CONFIGURATION };

static bool as_table(const struct ctl *c)
{
	return c->output == CTL_TABLE || c->output == CTL_WIDE;
}

/* ---- pools and blocks ---- */

/* Five digits are enough for an IPv6 pool; and the share. */
static char *count(double n, double total)
{
	return xasprintf("%.5g (%.0f%%)", n, total > 0 ? 100 * n / total : 0);
}

static void usage_table(const struct ipam_usages *u)
{
	static const char *const head[] = { "GROUPING",	  "CIDR",	  "IPS TOTAL",
					    "IPS IN USE", "IPS RESERVED", "IPS FREE" };
	struct table t = { .n_cols = ARRAY_SIZE(head) };

	for (size_t i = 0; i < ARRAY_SIZE(head); i++)
		table_add(&t, xstrdup(head[i]));
	for (size_t i = 0; i < u->n; i++) {
		const struct ipam_usage *row = &u->p[i];
		char cidr[PREFIX_STR_MAX];

		table_add(&t, xstrdup(row->is_pool ? "IP Pool" : "Block"));
		table_add(&t, xstrdup(prefix_format(&row->cidr, cidr)));
		table_add(&t, xasprintf("%.5g", row->total));
		table_add(&t, count(row->used, row->total));
		table_add(&t, count(row->reserved, row->total));
		table_add(&t, count(row->free, row->total));
	}
	table_print_box(&t);
	table_done(&t);
}

/* A count as an integer, while that is exact. */
static json_t *number(double n)
{
	return n < 9007199254740992.0 ? json_integer((json_int_t)n) : json_real(n);
}

static json_t *usage_json(const struct ipam_usage *row)
{
	json_t *o = json_object();
	char cidr[PREFIX_STR_MAX];

	js_set_str(o, row->is_pool ? "name" : "affinity", row->is_pool ? row->name : row->owner);
	js_set_str(o, "cidr", prefix_format(&row->cidr, cidr));
	js_set(o, "total", number(row->total));
	js_set(o, "inUse", number(row->used));
	js_set(o, "reserved", number(row->reserved));
	js_set(o, "free", number(row->free));
	return o;
}

static void usage_print(const struct ctl *c, const struct ipam_usages *u, bool blocks)
{
	json_t *list = json_array(), *in = NULL;

	for (size_t i = 0; i < u->n; i++) {
		json_t *o = usage_json(&u->p[i]);

		if (!u->p[i].is_pool) {
			json_array_append_new(in, o);
			continue;
		}
		if (blocks)
			js_set(o, "blocks", in = json_array());
		json_array_append_new(list, o);
	}
	ctl_print(c, list);
	json_decref(list);
}

static void show_usage(const struct ctl *c, const struct ipam_load *l, bool blocks)
{
	struct ipam_usages u = { 0 };

	ipam_usage(&l->facts.world, &l->blocks, blocks, &u);
	if (as_table(c))
		usage_table(&u);
	else
		usage_print(c, &u, blocks);
	vec_done(&u);
}

/* ---- one address ---- */

static void holder_text(const char *ip, const struct block_attr *a)
{
	json_t *owner = a ? block_attr_owner(a) : NULL, *value;
	const char *key;

	if (!a) {
		printf("%s is not assigned\n", ip);
		return;
	}
	if (!a->handle && a->released_ns) {
		printf("%s is not assigned; it was released and cools down\n", ip);
		return;
	}
	printf("IP %s is in use\n", ip);
	if (a->handle) {
		CLEANUP(freep) char *id = ipam_clean(xstrdup(a->handle));

		printf("Handle ID: %s\n", id);
	}
	if (json_object_size(owner))
		puts("Attributes:");
	json_object_foreach (owner, key, value) {
		CLEANUP(freep) char *name = ipam_clean(xstrdup(key));
		CLEANUP(freep) char *text = ipam_clean(xstrdup(json_string_value(value)));

		printf("  %s: %s\n", name, text);
	}
	json_decref(owner);
}

static void holder_print(const struct ctl *c, const char *ip, const struct block_attr *a,
			 uint64_t seq)
{
	json_t *o = json_object(), *owner = a ? block_attr_owner(a) : NULL;

	js_set_str(o, "ip", ip);
	js_set_bool(o, "inUse", a && (a->handle || !a->released_ns));
	if (a) {
		js_set_str(o, "handle", a->handle);
		js_set_int(o, "sequenceNumber", (int64_t)seq);
	}
	if (owner)
		js_set(o, "attributes", owner);
	ctl_print(c, o);
	json_decref(o);
}

static int show_ip(const struct ctl *c, const struct ipam_load *l, const char *text)
{
	const struct block_attr *a;
	struct addr ip;
	uint64_t seq = 0;

	if (!addr_parse(text, &ip)) {
		ctl_error("--ip: must be an address like 10.0.0.1, is \"%.60s\"", text);
		return CTL_USAGE;
	}
	a = ipam_holder(&l->blocks, &ip, &seq);
	if (as_table(c))
		holder_text(text, a);
	else
		holder_print(c, text, a, seq);
	return CTL_OK;
}

/* ---- borrowed addresses ---- */

static void show_borrowed(const struct ctl *c, const struct ipam_load *l)
{
	static const char *const head[] = { "IP",	   "BORROWING-NODE", "BLOCK",
					    "BLOCK OWNER", "TYPE",	     "ALLOCATED-TO" };
	static const char *const name[] = { "ip",	  "borrowingNode", "block",
					    "blockOwner", "type",	   "allocatedTo" };
	struct table t = { .n_cols = ARRAY_SIZE(head) };
	json_t *list = json_array();
	struct ipam_borrows b = { 0 };

	ipam_borrowed(&l->blocks, &b);
	for (size_t i = 0; i < ARRAY_SIZE(head); i++)
		table_add(&t, xstrdup(head[i]));
	vec_foreach (&b, it) {
		char ip[ADDR_STR_MAX], cidr[PREFIX_STR_MAX];
		const char *const cell[] = { addr_format(&it->addr, ip),
					     it->node,
					     prefix_format(&it->block, cidr),
					     it->owner,
					     it->type,
					     it->what };
		json_t *o = json_object();

		for (size_t i = 0; i < ARRAY_SIZE(cell); i++) {
			js_set_str(o, name[i], cell[i]);
			table_add(&t, ipam_clean(xstrdup(cell[i])));
		}
		json_array_append_new(list, o);
	}
	if (as_table(c))
		table_print_box(&t);
	else
		ctl_print(c, list);
	json_decref(list);
	table_done(&t);
	ipam_borrows_done(&b);
}

/* ---- settings ---- */

static void show_configuration(const struct ctl *c, const struct ipamconfig *config)
{
	const struct {
		const char *name, *key;
		char *text;
		json_t *value;
	} rows[] = {
		{ "StrictAffinity", "strictAffinity",
		  xstrdup(config->strict_affinity ? "true" : "false"),
		  json_boolean(config->strict_affinity) },
		{ "AutoAllocateBlocks", "autoAllocateBlocks",
		  xstrdup(config->auto_allocate_blocks ? "true" : "false"),
		  json_boolean(config->auto_allocate_blocks) },
		{ "MaxBlocksPerHost", "maxBlocksPerHost",
		  xasprintf("%u", config->max_blocks_per_host),
		  json_integer(config->max_blocks_per_host) },
		{ "KubeVirtVMAddressPersistence", "kubeVirtVMAddressPersistence",
		  xstrdup(config->vm_persistence_off ? "Disabled" : "Enabled"),
		  json_string(config->vm_persistence_off ? "Disabled" : "Enabled") },
		{ "IPCooldownSeconds", "ipCooldownSeconds", xasprintf("%u", config->cooldown_s),
		  json_integer(config->cooldown_s) },
	};
	struct table t = { .n_cols = 2 };
	json_t *o = json_object();

	table_add(&t, xstrdup("PROPERTY"));
	table_add(&t, xstrdup("VALUE"));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		table_add(&t, xstrdup(rows[i].name));
		table_add(&t, rows[i].text);
		js_set(o, rows[i].key, rows[i].value);
	}
	if (as_table(c))
		table_print_box(&t);
	else
		ctl_print(c, o);
	json_decref(o);
	table_done(&t);
}

int cmd_ipam_show(struct ctl *c, const struct args *a)
{
	struct ipam_load l;
	struct err e = { 0 };
	int rc = CTL_OK;

	if (ipam_load(c, &l, &e) < 0)
		return ctl_error("%s", e.msg);
	if (a->opt[SHOW_IP])
		rc = show_ip(c, &l, a->opt[SHOW_IP]);
	else if (a->opt[SHOW_BORROWED])
		show_borrowed(c, &l);
	else if (a->opt[SHOW_CONFIGURATION])
		show_configuration(c, &l.config);
	else
		show_usage(c, &l, a->opt[SHOW_BLOCKS] != NULL);
	if (ipam_load_complain(&l) && rc == CTL_OK)
		rc = CTL_FAILED;
	ipam_load_done(&l);
	return rc;
}
