/* bfd.h - Bidirectional Forwarding Detection: is the path to a neighbour alive? Without a socket or a
 * clock.
 *
 * WHY    A broken path is noticed in three lost packets, 150 ms with the timers of a usual fabric,
 *        instead of a hold time.
 * SHAPE  One struct bfd_session per neighbour. Inputs: a packet (bfd_packet_decode, then
 *        bfd_receive), time (bfd_tick at bfd_deadline). Outputs: BFD_EVENT_* as return value, and a
 *        packet to send when bfd_transmit says so.
 * WHO    A packet is for the session that its "your discriminator" names; when that is 0, for the one
 *        with the packet's source address. The owner looks that up.
 * SPEC   RFC 5880 (asynchronous mode without echo and authentication), 5881 (one hop: port 3784, sent
 *        with TTL 255 and not accepted with less), 5883 (several hops: port 4784), 5882 */
#pragma once

#include "lib/base.h"
#include "lib/buf.h"

enum {
	BFD_PORT = 3784,
	BFD_PORT_MULTIHOP = 4784,
	BFD_SOURCE_PORT_MIN = 49152, /* one per session, RFC 5881 4 */
	BFD_PACKET_LEN = 24,
	/* RFC 5880 6.8.3: how often at most while it is not up, so that dead neighbours cost little */
	BFD_SLOW_US = 1000000,
};

enum bfd_state {
	BFD_ADMIN_DOWN,
	BFD_DOWN,
	BFD_INIT,
	BFD_UP,
	BFD_STATE_MAX_,
};

/* RFC 5880 4.1 */
enum bfd_diag {
	BFD_DIAG_NONE = 0,
	BFD_DIAG_EXPIRED = 1, /* nothing heard for the detection time */
	BFD_DIAG_NEIGHBOUR_DOWN = 3,
	BFD_DIAG_ADMIN_DOWN = 7,
};

enum bfd_flag {
	BFD_FLAG_POLL = 0x20,
	BFD_FLAG_FINAL = 0x10,
	BFD_FLAG_INDEPENDENT = 0x08, /* C: it does not share fate with the control plane */
	BFD_FLAG_AUTH = 0x04,
	BFD_FLAG_DEMAND = 0x02,
	BFD_FLAG_MULTIPOINT = 0x01,
};

struct bfd_packet {
	uint8_t diag, flags, mult;
	enum bfd_state state;
	uint32_t my_disc, your_disc;
	uint32_t desired_min_tx_us, required_min_rx_us, required_min_echo_us;
};

/* Total. False: to be dropped, and *why says why (RFC 5880 6.8.6). */
bool bfd_packet_decode(const uint8_t *p, size_t len, struct bfd_packet *out, const char **why);
void bfd_packet_encode(const struct bfd_packet *p, uint8_t out[static BFD_PACKET_LEN]);

struct bfd_config {
	uint32_t min_tx_us, min_rx_us; /* 10000 to 60000000 */
	uint8_t mult;		       /* 1 to 255 */
	bool passive;		       /* does not speak first */
};

enum bfd_event {
	BFD_EVENT_NONE,
	BFD_EVENT_UP,
	BFD_EVENT_DOWN,	      /* it was up: the path is broken */
	BFD_EVENT_ADMIN_DOWN, /* it was up, and the neighbour switched BFD off: RFC 5882 4.2: no news
			       * about the path */
};

struct bfd_session {
	struct bfd_config config;
	enum bfd_state state, remote_state;
	enum bfd_diag diag, remote_diag;
	uint32_t my_disc, remote_disc; /* mine: not 0, the owner's to keep unique */
	bool remote_independent;       /* C bit of its last packet */
	/* in use now; config says what is wanted. RFC 5880 6.8.3: some changes wait for a Final */
	uint32_t tx_us, rx_us;
	bool polling, final_due;
	uint32_t remote_min_rx_us, remote_min_tx_us;
	uint8_t remote_mult;
	int64_t next_tx_us, expires_us; /* INT64_MAX: not running */
	uint64_t packets_in, packets_out, ups, downs;
	uint32_t random;
};

/* Down, and speaking at once unless passive. seed: for jitter. */
void bfd_session_init(struct bfd_session *s, const struct bfd_config *config, uint32_t my_disc,
		      uint32_t seed, int64_t now_us);
/* New timers: by poll sequence when it is up. */
void bfd_session_configure(struct bfd_session *s, const struct bfd_config *config, int64_t now_us);
/* AdminDown (the neighbour is told) or back to Down. */
void bfd_session_admin(struct bfd_session *s, bool down, int64_t now_us);

enum bfd_event bfd_receive(struct bfd_session *s, const struct bfd_packet *p, int64_t now_us);
enum bfd_event bfd_tick(struct bfd_session *s, int64_t now_us);
/* Is a packet due? Then out is it, and the next one is scheduled. */
bool bfd_transmit(struct bfd_session *s, uint8_t out[static BFD_PACKET_LEN], int64_t now_us);
int64_t bfd_deadline(const struct bfd_session *s);
/* How long nothing may be heard before it is down; 0: not known yet. RFC 5880 6.8.4 */
uint64_t bfd_detection_us(const struct bfd_session *s);

const char *bfd_state_name(enum bfd_state state);
const char *bfd_diag_text(uint8_t diag);
