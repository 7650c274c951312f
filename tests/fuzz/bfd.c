/* bfd.c - fuzz target: BFD packets, and a session under a script of packets, times and changes
 *
 * Input: first bytes that are tried as one packet (what is written reads the same); then steps of a
 * session, of which these must hold: it never speaks more often than it may, deadlines lie ahead once
 * they were served, and it is Up only while it hears something. */
#include "bgp/bfd.h"

#include <assert.h>
#include <string.h>

static void packet(const uint8_t *data, size_t size)
{
	struct bfd_packet a, b;
	uint8_t bytes[BFD_PACKET_LEN];
	const char *why = NULL;

	if (!bfd_packet_decode(data, size, &a, &why)) {
		assert(why);
		return;
	}
	bfd_packet_encode(&a, bytes);
	assert(bfd_packet_decode(bytes, sizeof(bytes), &b, &why));
	assert(a.state == b.state && a.flags == b.flags && a.mult == b.mult && a.diag == b.diag &&
	       a.my_disc == b.my_disc && a.your_disc == b.your_disc &&
	       a.desired_min_tx_us == b.desired_min_tx_us &&
	       a.required_min_rx_us == b.required_min_rx_us);
}

static void serve(struct bfd_session *s, int64_t now)
{
	uint8_t out[BFD_PACKET_LEN];
	struct bfd_packet p;
	const char *why;
	unsigned n = 0;

	bfd_tick(s, now);
	while (bfd_transmit(s, out, now)) {
		assert(bfd_packet_decode(out, sizeof(out), &p, &why));
		assert(p.my_disc == s->my_disc);
		/* an answer to a Poll and a packet of its own, at most, in one instant */
		assert(++n <= 2);
	}
	assert(bfd_deadline(s) > now);
	assert(s->state != BFD_UP || s->expires_us != INT64_MAX);
}

static uint32_t timer(uint8_t b)
{
	return 10000u + b * 20000u;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bfd_config config = { 50000, 50000, 3, false };
	struct bfd_session s;
	int64_t now = 1000;

	packet(data, size);
	bfd_session_init(&s, &config, 7, 1, now);
	while (size >= 4) {
		struct bfd_packet p = { .mult = (uint8_t)(data[1] | 1),
					.my_disc = 1u + data[1] % 3,
					.your_disc = data[2] & 1 ? 7 : 0,
					.state = (enum bfd_state)(data[2] >> 6),
					.flags = data[2] & (BFD_FLAG_POLL | BFD_FLAG_FINAL),
					.desired_min_tx_us = timer(data[3]),
					.required_min_rx_us = data[3] & 1 ? 0 : timer(data[1]) };

		switch (data[0] % 4) {
		case 0:
			now += (int64_t)data[1] * 10000;
			break;
		case 1:
			bfd_receive(&s, &p, now);
			break;
		case 2:
			config = (struct bfd_config) { timer(data[1]), timer(data[2]),
						       (uint8_t)(data[3] | 1), false };
			bfd_session_configure(&s, &config, now);
			break;
		default:
			bfd_session_admin(&s, data[1] & 1, now);
		}
		serve(&s, now);
		data += 4;
		size -= 4;
	}
	return 0;
}
