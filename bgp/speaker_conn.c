/* speaker_conn.c - sockets of the owner, by name, to sessions */
#include "bgp/speaker_int.h"

#include <string.h>

/* Where id is or would be in conns. */
static size_t conn_at(const struct bgp_speaker *sp, uint64_t id)
{
	size_t lo = 0, hi = sp->conns.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (sp->conns.p[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct bgp_conn_ref *bgp_speaker_conn(const struct bgp_speaker *sp, uint64_t id)
{
	size_t at = conn_at(sp, id);

	return at < sp->conns.n && sp->conns.p[at].id == id ? &sp->conns.p[at] : NULL;
}

void bgp_speaker_conn_add(struct bgp_speaker *sp, uint64_t id, struct bgp_peer *p)
{
	size_t at = conn_at(sp, id);

	vec_reserve(&sp->conns, sp->conns.n + 1);
	memmove(sp->conns.p + at + 1, sp->conns.p + at,
		(sp->conns.n - at) * sizeof(sp->conns.p[0]));
	sp->conns.p[at] = (struct bgp_conn_ref) { .id = id, .peer = p };
	sp->conns.n++;
}

void bgp_speaker_conn_forget(struct bgp_speaker *sp, uint64_t id)
{
	size_t at = conn_at(sp, id);

	if (at < sp->conns.n && sp->conns.p[at].id == id)
		vec_remove(&sp->conns, at);
}

bool bgp_speaker_accept(struct bgp_speaker *sp, uint64_t conn, const struct addr *remote,
			uint16_t remote_port, const struct addr *local, int64_t now_ms)
{
	(void)remote_port; /* a dialling peer's port says nothing */
	return bgp_speaker_accept_on(sp, conn, remote, 0, local, now_ms);
}

static bool offer(struct bgp_peer *p, uint64_t conn, const struct addr *local)
{
	/* before the call: what it causes may name the connection */
	bgp_speaker_conn_add(p->sp, conn, p);
	if (bgp_session_accept(p->session, conn, local, p->sp->now))
		return true;
	bgp_speaker_conn_forget(p->sp, conn);
	return false;
}

bool bgp_speaker_accept_on(struct bgp_speaker *sp, uint64_t conn, const struct addr *remote,
			   uint32_t ifindex, const struct addr *local, int64_t now_ms)
{
	bool taken = false;

	bgp_speaker_enter(sp, now_ms);
	/* Of several sessions with one address, which dial different ports of it, first those that
	 * have no peer yet: to one that is Established it would look like the peer's restart. */
	for (size_t i = 0; i < 2 * sp->peers.n && !taken; i++) {
		struct bgp_peer *p = sp->peers.p[i % sp->peers.n];
		bool any = i >= sp->peers.n;

		if (addr_eq(&p->config.addr, remote) && p->config.ifindex == ifindex &&
		    (any || bgp_session_awaits(p->session)))
			taken = offer(p, conn, local);
	}
	bgp_speaker_leave(sp);
	return taken;
}

/* Begin an input about a connection; NULL when it is not known (any more). */
static struct bgp_peer *enter(struct bgp_speaker *sp, uint64_t conn, int64_t now_ms)
{
	struct bgp_conn_ref *c = bgp_speaker_conn(sp, conn);

	bgp_speaker_enter(sp, now_ms);
	return c ? c->peer : NULL;
}

void bgp_speaker_connected(struct bgp_speaker *sp, uint64_t conn, const struct addr *local,
			   int64_t now_ms)
{
	struct bgp_peer *p = enter(sp, conn, now_ms);

	if (p)
		bgp_session_connected(p->session, conn, local, now_ms);
	bgp_speaker_leave(sp);
}

void bgp_speaker_connect_failed(struct bgp_speaker *sp, uint64_t conn, const char *why,
				int64_t now_ms)
{
	struct bgp_peer *p = enter(sp, conn, now_ms);

	bgp_speaker_conn_forget(sp, conn);
	if (p)
		bgp_session_connect_failed(p->session, conn, why, now_ms);
	bgp_speaker_leave(sp);
}

void bgp_speaker_received(struct bgp_speaker *sp, uint64_t conn, const void *bytes, size_t len,
			  int64_t now_ms)
{
	struct bgp_peer *p = enter(sp, conn, now_ms);

	if (p)
		bgp_session_received(p->session, conn, bytes, len, now_ms);
	bgp_speaker_leave(sp);
}

void bgp_speaker_closed(struct bgp_speaker *sp, uint64_t conn, const char *why, int64_t now_ms)
{
	struct bgp_peer *p = enter(sp, conn, now_ms);

	bgp_speaker_conn_forget(sp, conn);
	if (p)
		bgp_session_closed(p->session, conn, why, now_ms);
	bgp_speaker_leave(sp);
}

const void *bgp_speaker_output(struct bgp_speaker *sp, uint64_t conn, size_t *len, int64_t now_ms)
{
	struct bgp_conn_ref *c = bgp_speaker_conn(sp, conn);
	const void *bytes;

	*len = 0;
	if (!c)
		return NULL;
	bgp_speaker_enter(sp, now_ms);
	c->write_due = false;
	bytes = bgp_session_output(c->peer->session, conn, len, now_ms);
	/* nothing here calls into a session, so the bytes stay valid */
	bgp_speaker_leave(sp);
	return bytes;
}

void bgp_speaker_written(struct bgp_speaker *sp, uint64_t conn, size_t len, int64_t now_ms)
{
	struct bgp_peer *p = enter(sp, conn, now_ms);

	if (p)
		bgp_session_written(p->session, conn, len, now_ms);
	bgp_speaker_leave(sp);
}
