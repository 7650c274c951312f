/* netlink.c - what the kernel might send: any bytes are walked within their bounds, and a route
 * that is taken has a possible key and, written again, reads back as the same */
#include <stdlib.h>
#include <string.h>

#include "dataplane/route_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void write_and_reread(const struct route_msg *r)
{
	struct route_spec s = {
		.type = (enum route_type)r->type,
		.protocol = r->protocol,
		.scope = r->scope,
		.mtu = r->mtu,
		.src = r->src,
		.n_nh = r->n_nh,
		.nh = r->nh,
	};
	struct nl_buf b = { 0 };
	struct route_msg back;

	route_msg_put(&b, &r->key, &s, false);
	if (!route_msg_parse((const void *)b.p, &back) ||
	    memcmp(&back.key, &r->key, sizeof(r->key)) != 0 || back.mtu != r->mtu)
		abort();
	nl_buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	const uint8_t *p = copy;
	struct route_msg r;

	memcpy(copy, data, len);
	for (const struct nlmsghdr *h; (h = nl_next(&p, &len));)
		if (route_msg_parse(h, &r)) {
			if (r.n_nh > ROUTE_NH_MAX ||
			    r.key.dst.len > addr_bits((enum ip_family)r.key.dst.addr.family))
				abort();
			if (!r.unusual)
				write_and_reread(&r);
		}
	free(copy);
	return 0;
}
