/* ra.c - fuzz target: router advertisements and solicitations
 *
 * Input: a byte of hop limit, a byte that chooses the source, then the message. Whatever it is, it is taken
 * or ignored with a reason; what is taken keeps the rules, and written again reads the same. */
#include "bgp/ra.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct addr from = { .family = IP_V6 };
	uint8_t bytes[RA_MAX_LEN];
	const char *why = NULL;
	struct ra a, b;
	size_t n;

	if (size < 2)
		return 0;
	if (data[1] & 1) {
		from.b[0] = 0xfe;
		from.b[1] = 0x80;
	}
	from.b[15] = data[1] >> 1;
	if (!ra_decode(data + 2, size - 2, data[0], &from, &a, &why)) {
		assert(why);
		return 0;
	}
	assert(data[0] == RA_HOP_LIMIT);
	assert(a.type == RA_TYPE_ADVERT || a.type == RA_TYPE_SOLICIT);
	assert(size - 2 >= (a.type == RA_TYPE_ADVERT ? 16 : 8));
	n = ra_encode(&a, bytes);
	from.b[0] = 0xfe;
	from.b[1] = 0x80;
	assert(ra_decode(bytes, n, RA_HOP_LIMIT, &from, &b, &why));
	assert(a.type == b.type && a.lifetime_s == b.lifetime_s && a.has_mac == b.has_mac &&
	       a.flags == b.flags && a.cur_hop_limit == b.cur_hop_limit &&
	       memcmp(a.mac, b.mac, sizeof(a.mac)) == 0);
	return 0;
}
