/* buf.h - bounded cursors over bytes: the one place where lengths are checked.
 *
 * Both cursors have a sticky error: after the first read or write that does not fit, `bad` is set,
 * reads give zero and writes do nothing, so a decoder reads like the RFC and checks once.
 * Integers are big-endian on the wire and host order from the moment they leave rd_u*(). */
#pragma once

#include "lib/base.h"

struct rd {
	const uint8_t *p, *end;
	bool bad;
};

struct rd rd_init(const void *data, size_t len);
size_t rd_left(const struct rd *r);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
/* The next n bytes, borrowed from the input; NULL and bad when there are fewer. */
const uint8_t *rd_bytes(struct rd *r, size_t n);
/* A cursor over the next n bytes, which are consumed here; an empty bad one when fewer are left. */
struct rd rd_sub(struct rd *r, size_t n);

struct wr {
	uint8_t *start, *p, *end;
	bool bad;
};

struct wr wr_init(void *data, size_t size);
size_t wr_len(const struct wr *w);
size_t wr_left(const struct wr *w);
void wr_u8(struct wr *w, uint8_t v);
void wr_u16(struct wr *w, uint16_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_bytes(struct wr *w, const void *p, size_t n);
/* n bytes to fill in later; NULL when they do not fit. */
uint8_t *wr_skip(struct wr *w, size_t n);
/* Write v at a place that wr_skip gave. */
void put_u16(uint8_t *at, uint16_t v);
void put_u32(uint8_t *at, uint32_t v);
