/* cap.h - capabilities from and to the optional parameters of an OPEN: the inside of open.c. */
#pragma once

#include "bgp/open.h"

/* Read the capabilities of one parameter into caps, beside those of earlier ones. False: cut or
 * malformed, *bad_code is the one. */
bool bgp_caps_decode(struct bgp_caps *caps, struct rd *r, uint8_t *bad_code);
/* Write all that caps says. */
void bgp_caps_encode(struct wr *w, const struct bgp_caps *caps);
