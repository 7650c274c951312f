/* frame.h - a judge's packet as bytes, and the stamp by which it is known again. */
#pragma once

#include "tests/unit/policy/judge.h"

enum {
	FRAME_MAX = 160,
	STAMP_LEN = 12, /* the last bytes of every packet */
};

struct stamp {
	uint32_t world;
	uint16_t index; /* of the probe */
	uint8_t answer, try;
};

/* From the IP header on; checksums are right, the packet is the first of its flow, or with `answer`
 * what its target sends back (addresses and ports are still those of the first). Returns its length. */
size_t frame_build(const struct jpacket *p, const struct stamp *s, bool answer,
		   uint8_t out[static FRAME_MAX]);
/* False: none of ours. */
bool frame_stamp(const void *bytes, size_t n, struct stamp *out);
