/* networkset.c - NetworkSet and GlobalNetworkSet: table and rules
 * TESTS  tests/unit/model/policy.c */
#include "model/networkset.h"

#include <errno.h>

#include "model/object.h"
#include "model/wep.h"

static const struct field rows[] = {
	FIELD_CIDRS(struct networkset, nets, "nets", .flags = FIELD_HOST_BITS | FIELD_ADDR_TOO,
		    .doc = "Addresses and ranges."),
};
const struct fields networkset_fields = FIELDS("spec", struct networkset, rows);

int networkset_check(const struct object *o, const void *spec, struct err *e)
{
	if (object_label(o, WEP_LABEL_NAMESPACE))
		return err_set(e, -EINVAL,
			       "metadata.labels.%s: is set by the namespace: take it out",
			       WEP_LABEL_NAMESPACE);
	return 0;
}
