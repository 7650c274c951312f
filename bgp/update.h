/* update.h - UPDATE messages: decoded whole before anything is acted upon, and packed.
 *
 * DECODE	struct bgp_update u;
 *		bgp_update_decode(table, wire, body, len, &u);
 *		switch (u.verdict) ...
 *		bgp_update_done(table, &u);
 *
 *	The session does this and hands `const struct bgp_update *` to its handler, which first
 *	withdraws every prefix of withdrawn[], then announces announced[i] with attrs[i]. Under
 *	BGP_TREAT_AS_WITHDRAW all prefixes are in withdrawn[] and there is no announced one, so a
 *	handler need not know the verdict to do the right thing.
 *
 * PACK		struct bgp_attr_block block;
 *		bgp_attr_block_init(&block, wire, af, attrs)	once per group and attribute set
 *		bgp_attr_block_set_next_hop(&block, &mine, 0)	per peer, cheap
 *
 *		bgp_pack_announce(&p, wire, &block, buf, size);
 *		while (more && bgp_pack_add(&p, &prefix, path_id)) ...
 *		len = bgp_pack_end(&p);
 *
 *	makes one message; what did not fit goes into the next.
 *
 * SPEC   RFC 4271 4.3, 5, 6.3, 9; 2545; 4456; 4724 2; 4760; 6793; 7606; 7911 */
#pragma once

#include "bgp/attr.h"
#include "bgp/limits.h"
#include "bgp/nlri.h"

enum {
	/* The message's own field and one MP attribute, in both senses under treat-as-withdraw. */
	BGP_UPDATE_WITHDRAWN_MAX = 4,
	BGP_UPDATE_ANNOUNCED_MAX = 2,
};

struct bgp_update {
	enum bgp_verdict verdict;
	/* End-of-RIB of family end_of_rib_af; nothing else is in the message then. RFC 4724 2 */
	bool end_of_rib;
	enum bgp_af end_of_rib_af;
	/* Do these first. All families here were negotiated. */
	unsigned n_withdrawn;
	struct bgp_nlri_range withdrawn[BGP_UPDATE_WITHDRAWN_MAX];
	/* Then these. attrs[i] is borrowed from the update: bgp_attrs_ref to keep it. */
	unsigned n_announced;
	struct bgp_nlri_range announced[BGP_UPDATE_ANNOUNCED_MAX];
	struct bgp_attrs *attrs[BGP_UPDATE_ANNOUNCED_MAX];
	/* Only when verdict is not BGP_OK: what was wrong, which attribute, its bytes quoted; the
	 * hardest finding of the message. */
	char text[BGP_TEXT_MAX];
	/* Only under BGP_SESSION_RESET. */
	struct bgp_notification notification;
};

/* Decode the body (what follows the 19-byte header). Total. Returns out->verdict. */
enum bgp_verdict bgp_update_decode(struct bgp_attr_table *t, const struct bgp_wire *wire,
				   const uint8_t *body, size_t len, struct bgp_update *out);
/* Drop the references to attrs[]. */
void bgp_update_done(struct bgp_attr_table *t, struct bgp_update *u);

/* Attributes in wire form, without their prefixes. */
struct bgp_attr_block {
	enum bgp_af af;
	bool mp; /* prefixes and next hop go into MP_REACH_NLRI */
	struct addr next_hop, next_hop_ll;
	uint16_t next_hop_at; /* !mp: offset of the 4 bytes of NEXT_HOP */
	uint16_t len;
	uint8_t bytes[BGP_MSG_MAX_EXT];
};

/* Encode for a peer that reads as `wire` says. The attributes go out as they are: what eBGP strips
 * or prepends is the export policy's work. attrs->v.next_hop must be set. False: together with one
 * prefix they do not fit into one message, so the route cannot be announced (withdraw it). */
bool bgp_attr_block_init(struct bgp_attr_block *b, const struct bgp_wire *wire, enum bgp_af af,
			 const struct bgp_attrs *attrs);
/* Replace the next hop by one of the same kind (IPv4, or IPv6); ll may be NULL. */
void bgp_attr_block_set_next_hop(struct bgp_attr_block *b, const struct addr *next_hop,
				 const struct addr *ll);

/* One UPDATE under construction in the caller's buffer. */
struct bgp_pack {
	uint8_t *buf, *p, *limit;	    /* limit: NLRI must end here */
	const struct bgp_attr_block *block; /* NULL: withdraw */
	enum bgp_af af;
	bool mp, add_path;
	unsigned count;
};

/* Begin a message of at most min(size, wire->msg_max) bytes. */
void bgp_pack_announce(struct bgp_pack *p, const struct bgp_wire *wire,
		       const struct bgp_attr_block *block, void *buf, size_t size);
void bgp_pack_withdraw(struct bgp_pack *p, const struct bgp_wire *wire, enum bgp_af af, void *buf,
		       size_t size);
/* Append one prefix of the message's family; false, nothing written: it is full. */
bool bgp_pack_add(struct bgp_pack *p, const struct prefix *prefix, uint32_t path_id);
/* Finish; the message's length, 0 when no prefix was added (nothing to send then). */
size_t bgp_pack_end(struct bgp_pack *p);
/* The End-of-RIB marker of a family; its length (23 or 30), 0 when size is too small. */
size_t bgp_pack_end_of_rib(enum bgp_af af, void *buf, size_t size);
