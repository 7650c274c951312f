/* fnv.h - FNV-1a, 64 bits: one number for some bytes. Where who chooses the bytes gains by a collision, begin
 * with a seed that he does not know, or take something stronger. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FNV_START 0xcbf29ce484222325u

/* h: FNV_START, or what came of the bytes before. */
static inline uint64_t fnv_add(uint64_t h, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}
