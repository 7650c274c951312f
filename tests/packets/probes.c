/* probes.c - one world's packets
 * WHY  A packet that the rules drop says nothing. But nothing is queued on its way: veths hand it on in
 *      the sender's own system call, so when the last one is sent the first ones are there, and only
 *      what was wanted and is missing has to be waited for. What comes late is known by its stamp. */
#include "tests/packets/probes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
	FLOOD_MAX = 150, /* packets a round: the fewer, the more rounds */
	FLOOD = 255,	 /* its stamps */
	SHORT_MS = 60,
	LONG_MS = 5000, /* only for what seems wrong */
	TRIES = 2,
};

/* ---- the world fitted to the lab ---- */

void bench_fit(const struct bench *b, struct jworld *w)
{
	for (int i = 0; i < J_PODS; i++) {
		struct jendpoint *e = &w->pod[i];
		bool v6 = e->n_net > 1;

		e->here = b->seat[i].node == 0;
		snprintf(e->interface, sizeof(e->interface), "%s", b->seat[i].interface);
		e->net[0] = prefix_of(&b->seat[i].addr[0], 32);
		e->net[1] = prefix_of(&b->seat[i].addr[1], 128);
		e->n_net = 1 + v6;
	}
}

/* ---- planning ---- */

static uint16_t any_port(struct rng *r)
{
	static const uint16_t ports[] = { 54, 80, 443, 8080 };

	return (uint16_t)(ports[rng_below(r, 4)] + (rng_one_in(r, 5) ? 100 : 0));
}

static bool same_flow(const struct jpacket *a, const struct jpacket *b)
{
	bool turned = addr_eq(&a->src, &b->dst) && addr_eq(&a->dst, &b->src) &&
		      a->sport == b->dport && a->dport == b->sport;
	bool same = addr_eq(&a->src, &b->src) && addr_eq(&a->dst, &b->dst) &&
		    a->sport == b->sport && a->dport == b->dport;

	return a->proto == b->proto && (turned || same);
}

static bool is_new_flow(const struct probes *all, const struct jpacket *p)
{
	bool icmp = p->proto == 1 || p->proto == 58; /* each has an identifier of its own */

	for (int i = 0; !icmp && i < all->n; i++)
		if (same_flow(&all->p[i].packet, p))
			return false;
	return true;
}

static struct jpacket any_packet(const struct bench *b, struct rng *r, int from, int to)
{
	static const int protos[] = { 6, 6, 6, 17, 17, 132, 1, 47 };
	int v6 = rng_one_in(r, 3);
	struct jpacket p = { .src = b->seat[from].addr[v6],
			     .dst = b->seat[to].addr[v6],
			     .proto = protos[rng_below(r, 8)],
			     .icmp_type = -1,
			     .icmp_code = -1 };

	if (p.proto == 1) {
		p.proto = v6 ? 58 : 1;
		p.icmp_type = v6 ? 128 : 8;
		p.icmp_code = rng_below(r, 2);
	} else if (p.proto != 47) {
		p.sport = rng_one_in(r, 2) ? any_port(r) : (uint16_t)(20000 + rng_below(r, 40000));
		p.dport = p.proto == 17 && rng_one_in(r, 12) ? 4789 : any_port(r);
	}
	return p;
}

static const char *link_to(const struct bench *b, int node, int seat)
{
	const struct seat *s = &b->seat[seat];

	return s->node == node && !s->host ? s->interface : b->seat[J_PODS + node].interface;
}

static bool leaves(const struct bench *b, const struct jnode *n, int from, const char *out,
		   const struct jpacket *p)
{
	return b->seat[from].host ? path_output(n, out, p)
				  : path_forward(n, b->seat[from].interface, out, p);
}

/* The judge's verdict at the sender's node. */
static bool sets_out(const struct bench *b, const struct jnode nodes[2], int from, int to,
		     const struct jpacket *p)
{
	const struct seat *s = &b->seat[from], *t = &b->seat[to];

	if (s->node == t->node && t->host)
		return path_input(&nodes[s->node], s->interface, p);
	return leaves(b, &nodes[s->node], from, link_to(b, s->node, to), p);
}

/* And at the receiver's, if that is the other one. */
static bool gets_in(const struct bench *b, const struct jnode nodes[2], int from, int to,
		    const struct jpacket *p)
{
	const struct seat *s = &b->seat[from], *t = &b->seat[to];
	const char *link = b->seat[J_PODS + t->node].interface;

	if (s->node == t->node)
		return true;
	return t->host ? path_input(&nodes[t->node], link, p)
		       : path_forward(&nodes[t->node], link, t->interface, p);
}

static bool passes(const struct bench *b, const struct jnode nodes[2], int from, int to,
		   const struct jpacket *p)
{
	return sets_out(b, nodes, from, to, p) && gets_in(b, nodes, from, to, p);
}

/* Without tracking, an answer is one more packet that its own rules must allow. */
static bool has_untracked(const struct jworld *w)
{
	for (int i = 0; i < J_POLICIES; i++)
		if (w->policy[i].exists && w->policy[i].untracked)
			return true;
	return false;
}

static void plan_pair(struct bench *b, struct rng *r, const struct jnode nodes[2], int from, int to)
{
	bool answers = !b->seat[from].host && !b->seat[to].host && !has_untracked(nodes[0].w);

	for (int i = 0; i < PROBES_A_PAIR; i++) {
		struct jpacket p = any_packet(b, r, from, to);
		bool want;

		if (!is_new_flow(&b->now, &p))
			continue;
		want = passes(b, nodes, from, to, &p);
		b->now.p[b->now.n++] = (struct probe) { .packet = p,
							.from = (uint8_t)from,
							.to = (uint8_t)to,
							.want = want,
							.want_answer = want && answers };
	}
}

void bench_plan(struct bench *b, uint32_t world, struct rng *r, const struct jnode nodes[2])
{
	b->before = b->now;
	b->now.world = world;
	b->now.n = 0;
	for (int i = 0; i < BENCH_SEATS; i++)
		for (int j = 0; j < BENCH_SEATS; j++)
			if (i != j)
				plan_pair(b, r, nodes, i, j);
}

/* ---- sending and seeing ---- */

static void arrived(struct bench *b, int seat, const struct stamp *s)
{
	struct probes *all = s->world == b->now.world ? &b->now : &b->before;
	struct probe *p = s->index < all->n ? &all->p[s->index] : NULL;

	if (s->world != all->world || !p || seat != (s->answer ? p->from : p->to))
		return;
	if (s->try == FLOOD) {
		p->seen++;
		return;
	}
	if (all == &b->before && !s->answer && !p->want)
		b->n_late++;
	if (s->answer)
		p->got_answer = true;
	else
		p->got = true;
}

static void read_seat(struct bench *b, int seat, int fd)
{
	uint8_t bytes[2048];
	struct stamp s;
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		if (frame_stamp(bytes, (size_t)n, &s))
			arrived(b, seat, &s);
}

static void read_all(struct bench *b, int wait_ms)
{
	struct pollfd fds[BENCH_SEATS * SEAT_SOCKETS];
	int seat[BENCH_SEATS * SEAT_SOCKETS];
	nfds_t n = 0;

	for (int i = 0; i < BENCH_SEATS; i++)
		for (int k = 0; k < b->seat[i].n_in; k++, n++) {
			fds[n] = (struct pollfd) { .fd = b->seat[i].in[k], .events = POLLIN };
			seat[n] = i;
		}
	if (poll(fds, n, wait_ms) <= 0)
		return;
	for (nfds_t i = 0; i < n; i++)
		if (fds[i].revents)
			read_seat(b, seat[i], fds[i].fd);
}

static bool is_missing(const struct probe *p, bool answer)
{
	return answer ? p->want_answer && p->got && !p->got_answer : p->want && !p->got;
}

static int count_missing(const struct bench *b, bool answer)
{
	int n = 0;

	for (int i = 0; i < b->now.n; i++)
		n += is_missing(&b->now.p[i], answer);
	return n;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void gather(struct bench *b, bool answer, int limit_ms)
{
	int64_t end = now_ms() + limit_ms, left;

	read_all(b, 0);
	while (count_missing(b, answer) && (left = end - now_ms()) > 0)
		read_all(b, (int)left);
	read_all(b, 0);
}

static void send_probe(const struct bench *b, int index, bool answer, int try)
{
	const struct probe *p = &b->now.p[index];
	struct stamp s = { b->now.world, (uint16_t)index, answer, (uint8_t)try };
	uint8_t bytes[FRAME_MAX];
	size_t n = frame_build(&p->packet, &s, answer, bytes);
	int seat = answer ? p->to : p->from;
	const struct addr *to = answer ? &p->packet.src : &p->packet.dst;

	while (seat_send(&b->seat[seat], to, bytes, n) == -ENOBUFS)
		poll(NULL, 0, 1);
}

/* Everything once; then, should something wanted be missing, that again and with more patience. */
static void wave(struct bench *b, bool answer)
{
	for (int i = 0; i < b->now.n; i++) {
		if (!answer || (b->now.p[i].want_answer && b->now.p[i].got))
			send_probe(b, i, answer, 0);
		if (i % 64 == 63)
			read_all(b, 0);
	}
	gather(b, answer, SHORT_MS);
	for (int try = 1; try < TRIES && count_missing(b, answer); try++) {
		for (int i = 0; i < b->now.n; i++)
			if (is_missing(&b->now.p[i], answer))
				send_probe(b, i, answer, try);
		gather(b, answer, LONG_MS);
	}
}

bool probe_wrong(const struct probe *p)
{
	return p->want != p->got || (p->want_answer && !p->got_answer);
}

int bench_run(struct bench *b)
{
	int wrong = 0;

	for (int i = 0; i < b->now.n; i++)
		b->now.p[i].got = b->now.p[i].got_answer = false;
	wave(b, false);
	wave(b, true);
	for (int i = 0; i < b->now.n; i++)
		wrong += probe_wrong(&b->now.p[i]);
	return wrong;
}

/* ---- while the world changes ---- */

static bool is_concerned(const struct world_change *c, const struct jpacket *p)
{
	for (int i = 0; i < c->n_net; i++)
		if (prefix_contains(&c->net[i], &p->src) || prefix_contains(&c->net[i], &p->dst))
			return true;
	return false;
}

/* Each node goes from one state to the next at once, but not both at the same time: shut is only what
 * one of them shuts before and after. */
static enum keeps keeps(const struct bench *b, const struct jnode before[2],
			const struct jnode after[2], const struct probe *p)
{
	const struct jpacket *k = &p->packet;
	bool out = sets_out(b, before, p->from, p->to, k),
	     in = gets_in(b, before, p->from, p->to, k);
	bool out2 = sets_out(b, after, p->from, p->to, k),
	     in2 = gets_in(b, after, p->from, p->to, k);

	if (out && in && out2 && in2)
		return KEEPS_OPEN;
	return (!out && !out2) || (!in && !in2) ? KEEPS_SHUT : KEEPS_NOTHING;
}

void bench_keep(struct bench *b, const struct jnode before[2], const struct jnode after[2],
		const struct world_change *c)
{
	int n[3] = { 0 };

	/* From both ends of the list: all seats are to be in. */
	for (int k = 0; k < b->now.n; k++) {
		struct probe *p = &b->now.p[k * 7919 % b->now.n];

		if (!is_concerned(c, &p->packet))
			p->keeps = keeps(b, before, after, p);
		if (n[p->keeps]++ >= FLOOD_MAX / 2)
			p->keeps = KEEPS_NOTHING;
	}
}

void bench_flood(struct bench *b)
{
	for (int i = 0; i < b->now.n; i++) {
		if (b->now.p[i].keeps == KEEPS_NOTHING)
			continue;
		b->now.p[i].sent++;
		send_probe(b, i, false, FLOOD);
	}
	read_all(b, 0);
}

bool probe_broken(const struct probe *p)
{
	return p->keeps == KEEPS_OPEN ? p->seen != p->sent : p->keeps == KEEPS_SHUT && p->seen;
}

static int count_broken(const struct bench *b)
{
	int n = 0;

	for (int i = 0; i < b->now.n; i++)
		n += probe_broken(&b->now.p[i]);
	return n;
}

int bench_kept(struct bench *b)
{
	int64_t end = now_ms() + LONG_MS, left;

	read_all(b, 0);
	while (count_broken(b) && (left = end - now_ms()) > 0)
		read_all(b, (int)left);
	return count_broken(b);
}

void probe_text(const struct bench *b, const struct probe *p, struct str *out)
{
	char src[ADDR_STR_MAX], dst[ADDR_STR_MAX];

	str_addf(out, "%s -> %s: %s:%u -> %s:%u proto %d", b->seat[p->from].name,
		 b->seat[p->to].name, addr_format(&p->packet.src, src), p->packet.sport,
		 addr_format(&p->packet.dst, dst), p->packet.dport, p->packet.proto);
	if (p->packet.icmp_type >= 0)
		str_addf(out, " icmp %d/%d", p->packet.icmp_type, p->packet.icmp_code);
	if (probe_broken(p))
		str_addf(out, ": must stay %s; %u sent, %u arrived\n",
			 p->keeps == KEEPS_OPEN ? "open" : "shut", p->sent, p->seen);
	else if (p->want != p->got)
		str_addf(out, ": judge: %s, kernel: %s\n", p->want ? "accepted" : "dropped",
			 p->got ? "accepted" : "dropped");
	else
		str_add(out, ": accepted, but its answer was dropped\n");
}
