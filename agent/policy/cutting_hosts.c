/* cutting_hosts.c - which host endpoints of this node a tracked flow meets
 * SHAPE  Host endpoints as the calculation tells them; an interface's is found as tables_seats.c does
 *        it. Ways to peers are asked of the kernel, and remembered for one pass over the flows.
 * COST   A lookup of some microseconds for each new peer, only where there are host endpoints.
 * TESTS  tests/unit/agent/cutting.c */
#include "agent/policy/cutting_hosts.h"

#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "dataplane/link.h"
#include "dataplane/netlink.h"
#include "dataplane/route_msg.h"
#include "model/hostendpoint.h"

enum { WAYS_MAX = 4096 }; /* remembered; strangers may be any number */

struct host {
	UT_hash_handle hh;
	char *id, *interface; /* interface NULL: by address */
	struct addr *addr;
	size_t n;
};

struct way {
	UT_hash_handle hh;
	struct addr peer;
	bool known;
	const char *uplink; /* of a host; NULL: none */
};

struct cutting_hosts {
	const struct link_table *links;
	struct nl_sock nl;
	struct host *hosts;
	struct way *ways;
};

/* ---- host endpoints ---- */

static void host_free(struct cutting_hosts *h, struct host *host)
{
	HASH_DEL(h->hosts, host);
	free(host->id);
	free(host->interface);
	free(host->addr);
	free(host);
}

static void host_drop(struct cutting_hosts *h, const char *id)
{
	struct host *host;

	HASH_FIND_STR(h->hosts, id, host);
	if (host)
		host_free(h, host);
}

static void host_set(struct cutting_hosts *h, const struct calc_endpoint *ep)
{
	struct host *host = xcalloc(1, sizeof(*host));

	host_drop(h, ep->id);
	host->id = xstrdup(ep->id);
	host->interface = ep->interface && *ep->interface ? xstrdup(ep->interface) : NULL;
	host->addr = xcalloc(ep->n_net + 1, sizeof(*host->addr));
	for (size_t i = 0; i < ep->n_net; i++)
		host->addr[host->n++] = ep->net[i].addr;
	HASH_ADD_KEYPTR(hh, h->hosts, host->id, strlen(host->id), host);
}

void cutting_hosts_take(struct cutting_hosts *h, const struct calc_effects *fx)
{
	for (size_t i = 0; i < fx->endpoints.n; i++)
		if (fx->endpoints.p[i].kind == ENDPOINT_HOST)
			host_set(h, &fx->endpoints.p[i]);
	for (size_t i = 0; i < fx->endpoints_gone.n; i++)
		if (fx->endpoints_gone.p[i].kind == ENDPOINT_HOST)
			host_drop(h, fx->endpoints_gone.p[i].id);
	cutting_hosts_forget_ways(h);
}

bool cutting_hosts_any(const struct cutting_hosts *h)
{
	return h->hosts;
}

static bool has_addr(const struct host *host, const struct link *l)
{
	for (size_t i = 0; i < host->n; i++)
		for (size_t k = 0; k < l->addrs.n; k++)
			if (addr_eq(&host->addr[i], &l->addrs.p[k].addr))
				return true;
	return false;
}

/* On an interface of its own, else (l NULL) on all others; of several the lowest name. */
static bool sits_on(const struct host *host, const struct link *l)
{
	if (!l)
		return host->interface && !strcmp(host->interface, HEP_ANY_INTERFACE);
	return host->interface ? !strcmp(host->interface, l->name) : has_addr(host, l);
}

static const char *find_on(const struct cutting_hosts *h, const struct link *l)
{
	const char *lowest = NULL;

	for (const struct host *host = h->hosts; host; host = host->hh.next)
		if (sits_on(host, l) && (!lowest || strcmp(host->id, lowest) < 0))
			lowest = host->id;
	return lowest;
}

/* ---- ways ---- */

static void take_way(void *arg, const struct nlmsghdr *msg)
{
	struct route_msg *out = arg;

	if (msg->nlmsg_type == RTM_NEWROUTE && !route_msg_parse(msg, out))
		out->n_nh = 0;
}

/* All next hops must lead past the same one. */
static void way_look(struct cutting_hosts *h, struct way *w)
{
	struct route_msg route = { .n_nh = 0 };
	struct nl_buf b = { 0 };

	route_msg_put_lookup(&b, &w->peer);
	if (nl_ask(&h->nl, &b, take_way, &route, NULL) < 0 || route.type != RTN_UNICAST)
		route.n_nh = 0;
	nl_buf_done(&b);
	for (unsigned i = 0; i < route.n_nh; i++) {
		const struct link *l = link_by_index(h->links, route.nh[i].ifindex);
		const char *uplink = l ? find_on(h, l) : NULL;

		if (!l || (i && !str_eq(uplink, w->uplink))) {
			w->known = false;
			return;
		}
		w->uplink = uplink;
		w->known = true;
	}
}

void cutting_hosts_forget_ways(struct cutting_hosts *h)
{
	struct way *w, *next;

	HASH_ITER (hh, h->ways, w, next) {
		HASH_DEL(h->ways, w);
		free(w);
	}
}

static const struct way *way_to(struct cutting_hosts *h, const struct addr *peer)
{
	struct way *w;

	HASH_FIND(hh, h->ways, peer, sizeof(*peer), w);
	if (w)
		return w;
	if (HASH_COUNT(h->ways) >= WAYS_MAX)
		cutting_hosts_forget_ways(h);
	w = xcalloc(1, sizeof(*w));
	w->peer = *peer;
	way_look(h, w);
	HASH_ADD(hh, h->ways, peer, sizeof(w->peer), w);
	return w;
}

bool cutting_hosts_find(struct cutting_hosts *h, const struct addr *peer, struct explain_end *end)
{
	const struct way *w = peer ? way_to(h, peer) : NULL;

	end->uplink = w ? w->uplink : NULL;
	end->every = find_on(h, NULL);
	return !w || w->known;
}

/* ---- life ---- */

struct cutting_hosts *cutting_hosts_new(const struct link_table *links)
{
	struct cutting_hosts *h = xcalloc(1, sizeof(*h));

	h->links = links;
	/* Without it no way is known, and flows of host endpoints stay. */
	if (nl_open(&h->nl, NULL) < 0)
		h->nl.fd = -1;
	return h;
}

void cutting_hosts_free(struct cutting_hosts *h)
{
	if (!h)
		return;
	cutting_hosts_forget_ways(h);
	while (h->hosts)
		host_free(h, h->hosts);
	nl_close(&h->nl);
	free(h);
}
