/* nlmsg.h - netlink messages as bytes: a builder of many messages in one buffer, and readers that
 * check every length once. Pure: no sockets here.
 *
 *	nl_msg(&b, RTM_NEWLINK, NLM_F_CREATE, &ifi, sizeof(ifi));
 *	nl_add_str(&b, IFLA_IFNAME, "eth0");
 *	size_t at = nl_nest(&b, IFLA_LINKINFO);
 *	nl_add_str(&b, IFLA_INFO_KIND, "veth");
 *	nl_nest_end(&b, at);
 *	nl_msg(&b, ...);		the next message ends the one before */
#pragma once

#include <linux/netlink.h>

#include "lib/addr.h"
#include "lib/base.h"

struct nl_buf {
	uint8_t *p;
	size_t len, cap;
	size_t last; /* offset of the open message */
	unsigned n;  /* messages */
};

void nl_buf_clear(struct nl_buf *b);
void nl_buf_done(struct nl_buf *b);

/* Begin a message of this type with its fixed body. NLM_F_REQUEST is added; sequence numbers are
 * given when it is sent. */
void nl_msg(struct nl_buf *b, uint16_t type, uint16_t flags, const void *body, size_t size);
void nl_add(struct nl_buf *b, uint16_t type, const void *data, size_t size);
void nl_add_u8(struct nl_buf *b, uint16_t type, uint8_t v);
void nl_add_u16(struct nl_buf *b, uint16_t type, uint16_t v);
void nl_add_u32(struct nl_buf *b, uint16_t type, uint32_t v);
void nl_add_str(struct nl_buf *b, uint16_t type, const char *s); /* with its NUL */
void nl_add_addr(struct nl_buf *b, uint16_t type, const struct addr *a);
/* Raw bytes, padded to 4: the fixed header inside VETH_INFO_PEER, the hops of RTA_MULTIPATH. */
void nl_add_raw(struct nl_buf *b, const void *data, size_t size);
/* Open a nested attribute; nl_nest_end takes what nl_nest gave and writes its length. */
size_t nl_nest(struct nl_buf *b, uint16_t type);
void nl_nest_end(struct nl_buf *b, size_t at);
/* Take back the open message (an encoder that finds it cannot). */
void nl_msg_drop(struct nl_buf *b);

/* The next whole message in *data of *len bytes, which are advanced past it; NULL at the end or
 * where a length is impossible. The message is aligned as the kernel aligned it. */
const struct nlmsghdr *nl_next(const uint8_t **data, size_t *len);
/* The fixed body of a message, NULL when it is shorter than size. */
const void *nl_body(const struct nlmsghdr *h, size_t size);

/* Attributes after a fixed body of this size, sorted by type into tb[0..max] (absent: NULL; of
 * two the last). False, with the attributes read so far, when a length is impossible. */
bool nl_attrs(const struct nlmsghdr *h, size_t body, const struct nlattr *tb[], unsigned max);
/* The same for what a nested attribute holds, and for bare bytes. */
bool nl_nested(const struct nlattr *a, const struct nlattr *tb[], unsigned max);
bool nl_attrs_in(const void *data, size_t len, const struct nlattr *tb[], unsigned max);

/* Payload of an attribute. A missing or short attribute gives 0, NULL or IP_NONE. */
const void *nl_attr_data(const struct nlattr *a);
size_t nl_attr_len(const struct nlattr *a);
uint8_t nl_attr_u8(const struct nlattr *a);
uint16_t nl_attr_u16(const struct nlattr *a);
uint32_t nl_attr_u32(const struct nlattr *a);
/* NULL unless the payload holds a NUL. */
const char *nl_attr_str(const struct nlattr *a);
/* 4 or 16 bytes are an address. */
struct addr nl_attr_addr(const struct nlattr *a);

/* AF_INET, AF_INET6 and back; IP_NONE is AF_UNSPEC. */
uint8_t nl_family(enum ip_family f);
enum ip_family nl_family_of(uint8_t af);
