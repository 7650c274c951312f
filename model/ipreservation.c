/* ipreservation.c - IPReservation: table and rules */
#include "model/ipreservation.h"

#include <errno.h>

#include "model/object.h"

static const struct field rows[] = {
	FIELD_STRINGS(struct ipreservation, cidrs, "reservedCIDRs",
		      .doc = "Addresses and ranges that no pod gets unless it asks for them."),
};
const struct fields ipreservation_fields = FIELDS("spec", struct ipreservation, rows);

int ipreservation_ranges(const struct object *o, struct field_cidrs *out, struct err *e)
{
	struct ipreservation r;
	struct prefix cidr;
	int rc = object_spec(o, FIELDS_LENIENT, &r, e);

	if (rc < 0)
		return err_wrap(e, "IPReservation %s", o->name);
	vec_foreach (&r.cidrs, text)
		if (prefix_parse_or_addr(*text, &cidr))
			vec_push(out, prefix_mask(&cidr));
	fields_done(&ipreservation_fields, &r);
	return 0;
}

int ipreservation_check(const struct object *o, const void *spec, struct err *e)
{
	const struct ipreservation *r = spec;
	char right[PREFIX_STR_MAX];

	for (size_t i = 0; i < r->cidrs.n; i++) {
		struct prefix cidr, net;

		if (!prefix_parse_or_addr(r->cidrs.p[i], &cidr))
			return err_set(
				e, -EINVAL,
				"spec.reservedCIDRs[%zu]: must be an address or a range such as "
				"10.20.0.0/28, is \"%.60s\"",
				i, r->cidrs.p[i]);
		net = prefix_mask(&cidr);
		if (prefix_has_host_bits(&cidr))
			return err_set(e, -EINVAL,
				       "spec.reservedCIDRs[%zu]: %.60s has host bits set: %s would "
				       "be right",
				       i, r->cidrs.p[i], prefix_format(&net, right));
	}
	return 0;
}
