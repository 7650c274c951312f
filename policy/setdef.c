/* setdef.c - definitions of sets
 * TESTS  tests/unit/policy/chain.c */
#include "policy/setdef.h"

#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "model/selector.h"
#include "policy/names.h"

static struct setdef *setdef_new(enum setdef_kind kind)
{
	struct setdef *d = xcalloc(1, sizeof(*d));

	d->refs = 1;
	d->kind = kind;
	return d;
}

struct setdef *setdef_ref(struct setdef *d)
{
	d->refs++;
	return d;
}

void setdef_unref(struct setdef *d)
{
	if (!d || --d->refs)
		return;
	selector_free(d->sel);
	free(d->port);
	free(d->service);
	free(d->nets);
	free(d->id);
	free(d);
}

int setdef_selector(const char *text, struct setdef **out, struct err *e)
{
	struct selector *sel;
	CLEANUP(freep) char *normal = NULL;
	int rc = selector_parse_combined(text, &sel, e);

	if (rc < 0)
		return rc;
	*out = setdef_new(SETDEF_SELECTOR);
	(*out)->sel = sel;
	normal = selector_text(sel);
	(*out)->id = name_id("s", normal);
	return 0;
}

static const char *proto_text(uint8_t proto)
{
	switch (proto) {
	case SETDEF_PROTO_ANY:
		return "any";
	case 6:
		return "tcp";
	case 17:
		return "udp";
	default:
		return "sctp";
	}
}

int setdef_port(const char *selector, uint8_t proto, const char *port, struct setdef **out,
		struct err *e)
{
	CLEANUP(freep) char *content = NULL;
	struct setdef *d;
	int rc = setdef_selector(selector, &d, e);

	if (rc < 0)
		return rc;
	content = xasprintf("%s,%s,%s", d->id, proto_text(proto), port);
	free(d->id);
	d->id = name_id("n", content);
	d->kind = SETDEF_PORT;
	d->proto = proto;
	d->port = xstrdup(port);
	*out = d;
	return 0;
}

struct setdef *setdef_service(const char *service, bool with_ports)
{
	struct setdef *d = setdef_new(with_ports ? SETDEF_SERVICE : SETDEF_SERVICE_ADDRS);

	d->service = xstrdup(service);
	d->id = name_id(with_ports ? "svc" : "svcnoport", service);
	return d;
}

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

struct setdef *setdef_nets(const struct prefix *nets, size_t n)
{
	struct setdef *d = setdef_new(SETDEF_NETS);
	struct str content = { 0 };
	char text[PREFIX_STR_MAX];

	d->nets = xreallocarray(NULL, n ? n : 1, sizeof(*d->nets));
	for (size_t i = 0; i < n; i++)
		d->nets[i] = prefix_mask(&nets[i]);
	if (n)
		qsort(d->nets, n, sizeof(*d->nets), by_prefix);
	for (size_t i = 0; i < n; i++) {
		if (i && prefix_eq(&d->nets[i], &d->nets[i - 1]))
			continue;
		d->nets[d->n_nets] = d->nets[i];
		str_addf(&content, "%s,", prefix_format(&d->nets[d->n_nets++], text));
	}
	d->id = name_id("c", str_text(&content));
	str_done(&content);
	return d;
}

bool setdef_has_ports(const struct setdef *d)
{
	return d->kind == SETDEF_PORT || d->kind == SETDEF_SERVICE;
}
