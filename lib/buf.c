/* buf.c - bounded cursors over bytes */
#include "lib/buf.h"

#include <string.h>

struct rd rd_init(const void *data, size_t len)
{
	const uint8_t *p = data;

	return (struct rd) { .p = p, .end = p ? p + len : p };
}

size_t rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->p);
}

const uint8_t *rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *at = r->p;

	if (r->bad || n > rd_left(r)) {
		r->bad = true;
		return NULL;
	}
	if (n)
		r->p += n;
	return at;
}

uint8_t rd_u8(struct rd *r)
{
	const uint8_t *b = rd_bytes(r, 1);

	return b ? b[0] : 0;
}

uint16_t rd_u16(struct rd *r)
{
	const uint8_t *b = rd_bytes(r, 2);

	return b ? (uint16_t)(b[0] << 8 | b[1]) : 0;
}

uint32_t rd_u32(struct rd *r)
{
	const uint8_t *b = rd_bytes(r, 4);

	return b ? (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3] : 0;
}

struct rd rd_sub(struct rd *r, size_t n)
{
	const uint8_t *b = rd_bytes(r, n);

	if (!b)
		return (struct rd) { .bad = true };
	return rd_init(b, n);
}

struct wr wr_init(void *data, size_t size)
{
	uint8_t *p = data;

	return (struct wr) { .start = p, .p = p, .end = p ? p + size : p };
}

size_t wr_len(const struct wr *w)
{
	return (size_t)(w->p - w->start);
}

size_t wr_left(const struct wr *w)
{
	return (size_t)(w->end - w->p);
}

uint8_t *wr_skip(struct wr *w, size_t n)
{
	uint8_t *at = w->p;

	if (w->bad || n > wr_left(w)) {
		w->bad = true;
		return NULL;
	}
	if (n)
		w->p += n;
	return at;
}

void wr_u8(struct wr *w, uint8_t v)
{
	uint8_t *b = wr_skip(w, 1);

	if (b)
		*b = v;
}

void wr_u16(struct wr *w, uint16_t v)
{
	uint8_t *b = wr_skip(w, 2);

	if (b)
		put_u16(b, v);
}

void wr_u32(struct wr *w, uint32_t v)
{
	uint8_t *b = wr_skip(w, 4);

	if (b)
		put_u32(b, v);
}

void wr_bytes(struct wr *w, const void *p, size_t n)
{
	uint8_t *b = wr_skip(w, n);

	if (b && n)
		memcpy(b, p, n);
}

void put_u16(uint8_t *at, uint16_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

void put_u32(uint8_t *at, uint32_t v)
{
	put_u16(at, (uint16_t)(v >> 16));
	put_u16(at + 2, (uint16_t)v);
}
