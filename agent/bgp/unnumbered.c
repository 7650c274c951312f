/* unnumbered.c - who is on the other end of a link
 * LIMITS one neighbour a link, and another one a second at most, for each is another session; a flood of advertisements costs READ_MAX of them a turn, and a
 *        solicitation is answered once a second at most.
 * TESTS  tests/netns/test_unnumbered.py; the messages tests/unit/bgp/ra.c */
#include "agent/bgp/unnumbered.h"

#include <assert.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "agent/bgp/bgp_knobs.h"
#include "agent/config.h"
#include "agent/log.h"
#include "bgp/ra.h"
#include "dataplane/link.h"
#include "lib/str.h"

enum {
	INTERVAL_MS = 10000, /* between advertisements; neighbours believe them three times that */
	FIRST_MS = 1000,     /* between the first ones, and between solicitations */
	FIRST_COUNT = 3,
	READ_MAX = 64,
	MESSAGE_MAX = 1500,
};

struct side {
	struct unnumbered_link link;
	uint8_t mac[6];
	bool has_mac, seen;
	unsigned sent;
	int64_t answered_ms, found_ms;
};

struct unnumbered {
	struct agent *agent;
	unnumbered_fn *fn;
	unnumbered_busy_fn *busy;
	void *arg;
	int fd; /* -1: not open */
	struct event *rd, *timer;
	VEC(char *) lists;
	VEC(struct side) sides;
	char trouble[160];
};

/* ---- socket ---- */

static bool set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

static int open_socket(void)
{
	struct icmp6_filter filter;
	int fd = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6);

	if (fd < 0)
		return -errno;
	ICMP6_FILTER_SETBLOCKALL(&filter);
	ICMP6_FILTER_SETPASS(RA_TYPE_ADVERT, &filter);
	ICMP6_FILTER_SETPASS(RA_TYPE_SOLICIT, &filter);
	if (setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter)) < 0 ||
	    !set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) ||
	    !set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) ||
	    !set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, RA_HOP_LIMIT) ||
	    !set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0)) {
		int code = -errno;

		close(fd);
		return code;
	}
	return fd;
}

/* ff02::1 all nodes, ff02::2 all routers, on this link. */
static struct sockaddr_in6 everybody(uint8_t who, uint32_t ifindex)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_scope_id = ifindex };

	to.sin6_addr.s6_addr[0] = 0xff;
	to.sin6_addr.s6_addr[1] = 0x02;
	to.sin6_addr.s6_addr[15] = who;
	return to;
}

/* To hear solicitations. */
static void join(const struct unnumbered *u, uint32_t ifindex)
{
	struct ipv6_mreq m = { .ipv6mr_multiaddr = everybody(2, ifindex).sin6_addr,
			       .ipv6mr_interface = ifindex };

	if (setsockopt(u->fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m)) < 0 &&
	    errno != EADDRINUSE)
		log_from("ra", LOG_LEVEL_WARN, "bgp", "cannot hear solicitations on a link",
			 "ifindex=%u why=%s", ifindex, strerror(errno));
}

static void send_one(const struct unnumbered *u, const struct side *s, uint8_t type)
{
	struct ra ra = { .type = type, .has_mac = s->has_mac };
	struct sockaddr_in6 to = everybody(type == RA_TYPE_SOLICIT ? 2 : 1, s->link.ifindex);
	uint8_t out[RA_MAX_LEN];
	size_t len;

	memcpy(ra.mac, s->mac, sizeof(ra.mac));
	len = ra_encode(&ra, out);
	/* Lost like on a broken link: the next one comes. */
	if (sendto(u->fd, out, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		log_from(s->link.ifname, LOG_LEVEL_DEBUG, "bgp", "cannot advertise on a link",
			 "link=%s why=%s", s->link.ifname, strerror(errno));
}

static void arm(struct unnumbered *u, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

	evtimer_add(u->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct unnumbered *u = arg;
	bool first = false;

	vec_foreach (&u->sides, s) {
		send_one(u, s, RA_TYPE_ADVERT);
		if (s->link.neighbour.family == IP_NONE)
			send_one(u, s, RA_TYPE_SOLICIT);
		first = first || ++s->sent < FIRST_COUNT;
	}
	if (u->sides.n)
		arm(u, first ? FIRST_MS : INTERVAL_MS);
}

/* ---- neighbours ---- */

static struct side *side_on(struct unnumbered *u, uint32_t ifindex)
{
	vec_foreach (&u->sides, s)
		if (s->link.ifindex == ifindex)
			return s;
	return NULL;
}

void unnumbered_heard(struct unnumbered *u, uint32_t ifindex, const struct addr *from)
{
	struct side *s = side_on(u, ifindex);
	int64_t now = agent_now_ms();
	char who[ADDR_STR_MAX];

	if (!s || addr_eq(&s->link.neighbour, from) || !addr_is_link_local(from))
		return;
	addr_format(from, who);
	if (s->link.neighbour.family && u->busy(u->arg, &s->link)) {
		log_from(
			s->link.ifname, LOG_LEVEL_WARN, "bgp",
			"two routers on a link that is peered with by interface: the second one is "
			"left alone",
			"link=%s second=%s", s->link.ifname, who);
		return;
	}
	/* who is there says so again */
	if (s->link.neighbour.family && now < s->found_ms + FIRST_MS)
		return;
	log_from(s->link.ifname, LOG_LEVEL_INFO, "bgp", "found the neighbour on a link",
		 "link=%s peer=%s", s->link.ifname, who);
	s->link.neighbour = *from;
	s->found_ms = now;
	u->fn(u->arg);
}

static void answer(struct unnumbered *u, struct side *s)
{
	int64_t now = agent_now_ms();

	if (now < s->answered_ms + FIRST_MS)
		return;
	s->answered_ms = now;
	send_one(u, s, RA_TYPE_ADVERT);
}

static void take(struct unnumbered *u, const uint8_t *p, size_t len, int hops, uint32_t ifindex,
		 const struct addr *from)
{
	struct side *s = side_on(u, ifindex);
	const char *why = "";
	struct ra ra;

	/* On other links it is not for us. */
	if (!s)
		return;
	if (!ra_decode(p, len, hops, from, &ra, &why)) {
		log_from(s->link.ifname, LOG_LEVEL_INFO, "bgp", "ignored a router advertisement",
			 "link=%s why=%s", s->link.ifname, why);
		return;
	}
	if (ra.type == RA_TYPE_SOLICIT)
		answer(u, s);
	else
		unnumbered_heard(u, ifindex, from);
}

static bool receive_one(struct unnumbered *u)
{
	uint8_t bytes[MESSAGE_MAX];
	union {
		char bytes[256];
		struct cmsghdr align;
	} control;
	struct sockaddr_in6 from;
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct msghdr msg = { .msg_name = &from,
			      .msg_namelen = sizeof(from),
			      .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct in6_pktinfo info = { 0 };
	int hops = -1;
	ssize_t n = recvmsg(u->fd, &msg, 0);
	struct addr a;

	if (n < 0)
		return errno == EINTR;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)
			memcpy(&hops, CMSG_DATA(c), sizeof(hops));
		else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			memcpy(&info, CMSG_DATA(c), sizeof(info));
	}
	a = addr_from_bytes(&from.sin6_addr, 16);
	take(u, bytes, (size_t)n, hops, info.ipi6_ifindex, &a);
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct unnumbered *u = arg;

	for (unsigned i = 0; i < READ_MAX && u->fd >= 0 && receive_one(u); i++)
		;
}

/* ---- links ---- */

static bool wanted(const struct unnumbered *u, const struct link *l)
{
	bool has_address = false;

	if (!l->up || l->loopback || str_starts(l->name, u->agent->cfg->interface_prefix))
		return false;
	for (size_t i = 0; i < l->addrs.n; i++)
		has_address = has_address || (l->addrs.p[i].addr.family == IP_V6 &&
					      addr_is_link_local(&l->addrs.p[i].addr));
	for (size_t i = 0; has_address && i < u->lists.n; i++)
		if (bgp_knobs_has_interface(u->lists.p[i], l->name))
			return true;
	return false;
}

static void side_new(struct unnumbered *u, const struct link *l)
{
	struct side s = { .link = { .ifindex = l->index }, .has_mac = l->has_mac, .seen = true };

	str_copy(s.link.ifname, sizeof(s.link.ifname), l->name);
	memcpy(s.mac, l->mac, sizeof(s.mac));
	vec_push(&u->sides, s);
	join(u, l->index);
	arm(u, 0);
}

static void close_socket(struct unnumbered *u)
{
	if (u->fd < 0)
		return;
	event_free(u->rd);
	close(u->fd);
	u->fd = -1;
	evtimer_del(u->timer);
}

static bool ensure_socket(struct unnumbered *u)
{
	if (u->fd >= 0)
		return true;
	u->fd = open_socket();
	if (u->fd < 0) {
		int code = -u->fd;

		u->fd = -1;
		str_copy(u->trouble, sizeof(u->trouble), strerror(code));
		return false;
	}
	u->trouble[0] = '\0';
	u->rd = event_new(u->agent->base, u->fd, EV_READ | EV_PERSIST, on_readable, u);
	assert(u->rd);
	event_add(u->rd, NULL);
	return true;
}

void unnumbered_links_changed(struct unnumbered *u)
{
	bool lost = false;

	if (!u->lists.n)
		return;
	if (!ensure_socket(u))
		return;
	vec_foreach (&u->sides, s)
		s->seen = false;
	for (const struct link *l = link_next(u->agent->links, NULL); l;
	     l = link_next(u->agent->links, l)) {
		struct side *s = side_on(u, l->index);

		if (!wanted(u, l))
			continue;
		if (s && str_eq(s->link.ifname, l->name))
			s->seen = true;
		else if (!s)
			side_new(u, l);
	}
	for (size_t i = u->sides.n; i-- > 0;) {
		if (u->sides.p[i].seen)
			continue;
		lost = lost || u->sides.p[i].link.neighbour.family;
		vec_remove(&u->sides, i);
	}
	if (lost)
		u->fn(u->arg);
}

static void forget_lists(struct unnumbered *u)
{
	vec_foreach (&u->lists, l)
		free(*l);
	vec_clear(&u->lists);
}

void unnumbered_set(struct unnumbered *u, const char *const *lists, size_t n)
{
	forget_lists(u);
	for (size_t i = 0; i < n; i++)
		vec_push(&u->lists, xstrdup(lists[i]));
	if (n) {
		unnumbered_links_changed(u);
		return;
	}
	vec_clear(&u->sides);
	close_socket(u);
	u->trouble[0] = '\0';
}

/* ---- life, questions ---- */

struct unnumbered *unnumbered_new(struct agent *a, unnumbered_fn *fn, unnumbered_busy_fn *busy,
				  void *arg)
{
	struct unnumbered *u = xcalloc(1, sizeof(*u));

	u->agent = a;
	u->fn = fn;
	u->busy = busy;
	u->arg = arg;
	u->fd = -1;
	u->timer = evtimer_new(a->base, on_timer, u);
	assert(u->timer);
	return u;
}

void unnumbered_free(struct unnumbered *u)
{
	if (!u)
		return;
	forget_lists(u);
	close_socket(u);
	event_free(u->timer);
	vec_done(&u->lists);
	vec_done(&u->sides);
	free(u);
}

const struct unnumbered_link *unnumbered_get(const struct unnumbered *u, size_t i)
{
	for (size_t k = 0; k < u->sides.n; k++)
		if (u->sides.p[k].link.neighbour.family && i-- == 0)
			return &u->sides.p[k].link;
	return NULL;
}

bool unnumbered_looks(const struct unnumbered *u)
{
	for (size_t i = 0; i < u->sides.n; i++)
		if (!u->sides.p[i].link.neighbour.family)
			return true;
	return false;
}

void unnumbered_troubles(const struct unnumbered *u, struct str *out)
{
	if (u->trouble[0])
		str_addf(out, "cannot advertise on links: %s\n", u->trouble);
	for (size_t i = 0; i < u->sides.n; i++)
		if (!u->sides.p[i].link.neighbour.family)
			str_addf(out,
				 "nobody has been heard on %s, which is peered with by interface\n",
				 u->sides.p[i].link.ifname);
}
