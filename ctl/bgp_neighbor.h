/* bgp_neighbor.h - one BGP session as a page. */
#pragma once

#include <jansson.h>

/* One of the answer's neighbours, onto stdout. */
void bgp_neighbor_print(const json_t *neighbor);
