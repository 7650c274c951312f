/* frame.c - a judge's packet as bytes
 * WHY  SCTP by hand: what is filtered is the packet, and the kernel need not have the protocol. */
#include "tests/packets/frame.h"

#include <arpa/inet.h>
#include <string.h>

static const char magic[4] = "mgPJ";

enum { INIT_TAG = 0x6d61, SEQ = 1000 };

static void put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v & 0xffff);
}

static void put_stamp(uint8_t *at, const struct stamp *s)
{
	memcpy(at, magic, 4);
	put32(at + 4, s->world);
	put16(at + 8, s->index);
	at[10] = s->answer;
	at[11] = s->try;
}

bool frame_stamp(const void *bytes, size_t n, struct stamp *out)
{
	const uint8_t *at = (const uint8_t *)bytes + n - STAMP_LEN;

	if (n < STAMP_LEN || memcmp(at, magic, 4) != 0)
		return false;
	out->world = (uint32_t)at[4] << 24 | (uint32_t)at[5] << 16 | (uint32_t)at[6] << 8 | at[7];
	out->index = (uint16_t)(at[8] << 8 | at[9]);
	out->answer = at[10];
	out->try = at[11];
	return true;
}

/* ---- checksums ---- */

static uint32_t sum(const void *bytes, size_t n, uint32_t start)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++)
		start += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	return start;
}

static unsigned fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return ~s & 0xffff;
}

/* RFC 9260, appendix A. */
static uint32_t crc32c(const uint8_t *p, size_t n)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

/* ---- transport ---- */

struct making {
	const struct jpacket *p;
	const struct stamp *s;
	bool answer;
	uint8_t *at; /* behind the IP header */
};

static size_t make_tcp(struct making *m)
{
	put32(m->at + 4, m->answer ? SEQ * 2 : SEQ);
	put32(m->at + 8, m->answer ? SEQ + 1 : 0);
	m->at[12] = 5 << 4;
	m->at[13] = m->answer ? 0x12 : 0x02;
	put16(m->at + 14, 65535);
	put_stamp(m->at + 20, m->s);
	return 20 + STAMP_LEN;
}

static size_t make_udp(struct making *m)
{
	put16(m->at + 4, 8 + STAMP_LEN);
	put_stamp(m->at + 8, m->s);
	return 8 + STAMP_LEN;
}

/* INIT or INIT ACK, with the stamp in a parameter that the receiver is to skip. */
static size_t make_sctp(struct making *m)
{
	uint8_t *chunk = m->at + 12;
	uint32_t crc;

	put32(m->at + 4, m->answer ? INIT_TAG : 0);
	chunk[0] = m->answer ? 2 : 1;
	put16(chunk + 2, 20 + 4 + STAMP_LEN);
	put32(chunk + 4, INIT_TAG + m->answer);
	put32(chunk + 8, 65535);
	put16(chunk + 12, 1);
	put16(chunk + 14, 1);
	put32(chunk + 16, SEQ);
	put16(chunk + 20, 0x8008);
	put16(chunk + 22, 4 + STAMP_LEN);
	put_stamp(chunk + 24, m->s);
	crc = crc32c(m->at, 12 + 24 + STAMP_LEN);
	for (int i = 0; i < 4; i++)
		m->at[8 + i] = (uint8_t)(crc >> 8 * i);
	return 12 + 24 + STAMP_LEN;
}

static size_t make_icmp(struct making *m)
{
	bool v6 = m->p->src.family == IP_V6;

	m->at[0] = (uint8_t)(!m->answer ? m->p->icmp_type : v6 ? 129 : 0);
	m->at[1] = (uint8_t)m->p->icmp_code;
	put16(m->at + 4, m->s->index);
	put16(m->at + 6, m->s->world & 0xffff);
	put_stamp(m->at + 8, m->s);
	return 8 + STAMP_LEN;
}

static size_t make_transport(struct making *m)
{
	unsigned from = m->answer ? m->p->dport : m->p->sport;
	unsigned to = m->answer ? m->p->sport : m->p->dport;

	if (m->p->proto == 6 || m->p->proto == 17 || m->p->proto == 132) {
		put16(m->at, from);
		put16(m->at + 2, to);
	}
	switch (m->p->proto) {
	case 6:
		return make_tcp(m);
	case 17:
		return make_udp(m);
	case 132:
		return make_sctp(m);
	case 1:
	case 58:
		return make_icmp(m);
	default: /* GRE's header is four zeros here */
		put_stamp(m->at + 4, m->s);
		return 4 + STAMP_LEN;
	}
}

/* addrs: both, as they stand in the IP header. */
static void checksum(const struct jpacket *p, const uint8_t *addrs, uint8_t *at, size_t n)
{
	size_t where = p->proto == 6 ? 16 : p->proto == 17 ? 6 : 2;
	uint32_t pseudo =
		sum(addrs, p->src.family == IP_V4 ? 8 : 32, (uint32_t)p->proto + (uint32_t)n);

	if (p->proto != 6 && p->proto != 17 && p->proto != 1 && p->proto != 58)
		return;
	put16(at + where, fold(sum(at, n, p->proto == 1 ? 0 : pseudo)));
}

/* ---- IP ---- */

size_t frame_build(const struct jpacket *p, const struct stamp *s, bool answer,
		   uint8_t out[static FRAME_MAX])
{
	bool v4 = p->src.family == IP_V4;
	const struct addr *from = answer ? &p->dst : &p->src, *to = answer ? &p->src : &p->dst;
	size_t head = v4 ? 20 : 40, len = v4 ? 4 : 16, n;
	uint8_t *addrs = out + (v4 ? 12 : 8);
	struct making m = { p, s, answer, out + head };

	memset(out, 0, FRAME_MAX);
	memcpy(addrs, from->b, len);
	memcpy(addrs + len, to->b, len);
	n = make_transport(&m);
	checksum(p, addrs, out + head, n);
	if (!v4) {
		out[0] = 0x60;
		put16(out + 4, (unsigned)n);
		out[6] = (uint8_t)p->proto;
		out[7] = 64;
		return head + n;
	}
	out[0] = 0x45;
	put16(out + 2, (unsigned)(head + n));
	put16(out + 4, 1u + s->index);
	out[8] = 64;
	out[9] = (uint8_t)p->proto;
	put16(out + 10, fold(sum(out, 20, 0)));
	return head + n;
}
