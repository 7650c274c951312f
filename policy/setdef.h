/* setdef.h - what defines a set of addresses: equal definitions are one set, whoever uses it.
 *
 * Immutable and counted; the id is made from the content. */
#pragma once

#include "lib/addr.h"
#include "lib/err.h"

struct selector;

enum setdef_kind {
	SETDEF_SELECTOR,      /* addresses of endpoints and network sets that match */
	SETDEF_PORT,	      /* address and number of a named port of endpoints that match */
	SETDEF_SERVICE,	      /* address and port of a service's endpoints */
	SETDEF_SERVICE_ADDRS, /* their addresses only */
	SETDEF_NETS,	      /* a list of ranges out of a rule */
};

enum { SETDEF_PROTO_ANY = 0 };

struct setdef {
	unsigned refs;
	enum setdef_kind kind;
	struct selector *sel; /* SELECTOR, PORT */
	char *port;	      /* PORT: its name */
	uint8_t proto;	      /* PORT: its protocol, or SETDEF_PROTO_ANY */
	char *service;	      /* SERVICE, SERVICE_ADDRS: "namespace/name" */
	struct prefix *nets;  /* NETS: sorted, each once */
	size_t n_nets;
	char *id;
};

/* Constructors give one reference. -EINVAL for a selector that cannot be read. */
int setdef_selector(const char *text, struct setdef **out, struct err *e);
int setdef_port(const char *selector, uint8_t proto, const char *port, struct setdef **out,
		struct err *e);
struct setdef *setdef_service(const char *service, bool with_ports);
struct setdef *setdef_nets(const struct prefix *nets, size_t n);
struct setdef *setdef_ref(struct setdef *d);
void setdef_unref(struct setdef *d);
/* Do its members have a port? (hash:ip,port, else hash:net) */
bool setdef_has_ports(const struct setdef *d);
