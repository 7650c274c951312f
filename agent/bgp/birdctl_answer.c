/* birdctl_answer.c - BIRD's control protocol: questions and their answers
 * SPEC   what calicoctl and calico-node read: docs of birdctl.h; BIRD 1.6's codes and columns
 * TESTS  tests/unit/agent/birdctl.c, tests/netns/test_birdctl.py (birdc of BIRD 2) */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/bgp/birdctl.h"

enum {
	CODE_OK = 0,
	CODE_WELCOME = 1,
	CODE_STATUS_END = 13,
	CODE_RESTRICTED = 16,
	CODE_GRACEFUL = 24,
	CODE_VERSION = 1000,
	CODE_PROTOCOLS = 1002,
	CODE_DETAILS = 1006,
	CODE_ROUTES = 1007,
	CODE_STATUS = 1011,
	CODE_HEADING = 2002,
	CODE_NO_PROTOCOL = 8003,
	CODE_DENIED = 8007,
	CODE_SYNTAX = 9001,
};

/* One answer being written. */
struct reply {
	const struct birdctl_facts *f;
	struct str *out;
	int last; /* code of the last line */
	unsigned n;
	char prefix[PREFIX_STR_MAX]; /* of the last route */
};

/* A line behind which others come. */
static void more(struct reply *r, int code, const char *fmt, ...) PRINTF(3, 4);

static void more(struct reply *r, int code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		*p = *p == '\n' || *p == '\r' ? ' ' : *p;
	if (code == r->last)
		str_addf(r->out, " %s\n", text);
	else
		str_addf(r->out, "%04d-%s\n", code, text);
	r->last = code;
}

static void end(struct reply *r, int code, const char *text)
{
	str_addf(r->out, "%04d %s\n", code, text);
}

void birdctl_greet(struct str *out)
{
	str_addf(out, "%04d BIRD v%s-margay ready.\n", CODE_WELCOME, MARGAY_VERSION);
}

/* ---- times ---- */

static struct tm local(const struct birdctl_facts *f, int64_t mono_ms)
{
	time_t t = (time_t)((f->wall_ms - (f->now_ms - mono_ms)) / 1000);
	struct tm tm;

	localtime_r(&t, &tm);
	return tm;
}

/* As BIRD does it: the hour while it is less than a day ago, else the day. */
static const char *since(const struct birdctl_facts *f, int64_t mono_ms, char buf[static 24])
{
	struct tm tm = local(f, mono_ms);
	bool today = f->now_ms - mono_ms < 24LL * 3600 * 1000;

	strftime(buf, 24, today ? "%H:%M:%S" : "%Y-%m-%d", &tm);
	return buf;
}

static const char *moment(const struct birdctl_facts *f, int64_t mono_ms, char buf[static 24])
{
	struct tm tm = local(f, mono_ms);

	strftime(buf, 24, "%Y-%m-%d %H:%M:%S", &tm);
	return buf;
}

/* ---- show status ---- */

static void show_status(struct reply *r)
{
	const struct birdctl_facts *f = r->f;
	struct addr id = addr_v4(f->router_id);
	char text[ADDR_STR_MAX], at[24];

	more(r, CODE_VERSION, "BIRD v%s-margay", MARGAY_VERSION);
	more(r, CODE_STATUS, "Router ID is %s", addr_format(&id, text));
	more(r, CODE_STATUS, "Current server time is %s", moment(f, f->now_ms, at));
	more(r, CODE_STATUS, "Last reboot on %s", moment(f, f->started_ms, at));
	more(r, CODE_STATUS, "Last reconfiguration on %s", moment(f, f->started_ms, at));
	if (!f->converged)
		more(r, CODE_GRACEFUL, "Graceful restart recovery in progress");
	end(r, CODE_STATUS_END, "Daemon is up and running");
}

/* ---- show protocols ---- */

static bool is_ours(const struct reply *r, const struct bgp_peer_status *st)
{
	return st->config->addr.family == r->f->family;
}

/* "up" is Established, all else "start": what BIRD's protocol says while it tries. */
static void protocol_row(struct reply *r, const struct bgp_peer_status *st)
{
	bool up = st->state == BGP_STATE_ESTABLISHED;
	char at[24];

	more(r, CODE_PROTOCOLS, "%-8s %-8s %-8s %-5s  %-10s  %s %s", st->config->name, "BGP",
	     "master", up ? "up" : "start", since(r->f, st->since_ms, at),
	     bgp_state_name(st->state), up ? "" : st->last_error);
}

static void session_timers(struct reply *r, const struct bgp_peer_status *st)
{
	int64_t now = r->f->now_ms;

	if (st->hold_at_ms)
		more(r, CODE_DETAILS, "    Hold timer:       %lld/%u",
		     (long long)(st->hold_at_ms - now) / 1000, st->hold_s);
	if (st->keepalive_at_ms)
		more(r, CODE_DETAILS, "    Keepalive timer:  %lld/%u",
		     (long long)(st->keepalive_at_ms - now) / 1000, st->keepalive_s);
}

static void protocol_details(struct reply *r, const struct bgp_peer_status *st)
{
	enum bgp_af af = bgp_af_of(r->f->family);
	struct addr id = addr_v4(st->remote_id);
	char text[ADDR_STR_MAX];

	more(r, CODE_DETAILS, "  Preference:     100");
	more(r, CODE_DETAILS, "  Routes:         %u imported, %u exported, %u preferred",
	     st->routes_accepted[af], st->routes_sent[af], st->routes_best[af]);
	more(r, CODE_DETAILS, "  BGP state:          %s", bgp_state_name(st->state));
	more(r, CODE_DETAILS, "    Neighbor address: %s", addr_format(&st->config->addr, text));
	more(r, CODE_DETAILS, "    Neighbor AS:      %u", st->remote_as);
	if (st->remote_id)
		more(r, CODE_DETAILS, "    Neighbor ID:      %s", addr_format(&id, text));
	if (st->config->source.family != IP_NONE)
		more(r, CODE_DETAILS, "    Source address:   %s",
		     addr_format(&st->config->source, text));
	session_timers(r, st);
	if (st->last_error[0])
		more(r, CODE_DETAILS, "    Last error:       %s", st->last_error);
}

/* only: of this name; NULL: all. */
static void show_protocols(struct reply *r, const char *only, bool details)
{
	struct bgp_peer_status st;
	unsigned n = 0;

	if (!only && r->f->speaker)
		more(r, CODE_HEADING, "name     proto    table    state  since       info");
	for (size_t i = 0; r->f->speaker && bgp_speaker_peer_status(r->f->speaker, i, &st); i++) {
		if (!is_ours(r, &st) || (only && strcmp(only, st.config->name) != 0))
			continue;
		if (only && !n)
			more(r, CODE_HEADING, "name     proto    table    state  since       info");
		protocol_row(r, &st);
		if (details)
			protocol_details(r, &st);
		n++;
	}
	if (only && !n)
		end(r, CODE_NO_PROTOCOL, "No protocols match");
	else
		end(r, CODE_OK, "");
}

/* ---- show route ---- */

static void via_text(const struct reply *r, const struct bgp_path_info *p, char *out, size_t size)
{
	const struct addr *hop = &p->attrs->v.next_hop;
	struct bgp_resolution res = { 0 };
	char text[ADDR_STR_MAX];

	if (!p->peer) {
		str_copy(out, size, "blackhole");
		return;
	}
	if (r->f->resolve)
		res = r->f->resolve(r->f->arg, hop);
	if (p->usable && res.ifname[0])
		snprintf(out, size, "via %s on %s", addr_format(hop, text), res.ifname);
	else
		str_copy(out, size, "unreachable");
}

static const char origins[] = { 'i', 'e', '?' };

/* "[Mesh_10_0_0_2 10:12:33] * (100/0) [AS65001i]" */
static bool route_row(void *arg, const struct bgp_path_info *p)
{
	struct reply *r = arg;
	char prefix[PREFIX_STR_MAX], via[ADDR_STR_MAX + 32], last[32] = "", at[24];
	bool again;

	if (p->prefix.addr.family != r->f->family)
		return true;
	if (p->attrs->path_len)
		snprintf(last, sizeof(last), "AS%u", p->attrs->origin_as);
	prefix_format(&p->prefix, prefix);
	again = strcmp(prefix, r->prefix) == 0;
	via_text(r, p, via, sizeof(via));
	more(r, CODE_ROUTES, "%-18s %s [%s %s]%s (%s) [%s%c]", again ? "" : prefix, via,
	     p->peer ? p->peer->name : "static1", since(r->f, r->f->started_ms, at),
	     p->best ? " *" : "", p->peer ? "100/0" : "200", last,
	     origins[p->attrs->v.origin < sizeof(origins) ? p->attrs->v.origin : 2]);
	str_copy(r->prefix, sizeof(r->prefix), prefix);
	return ++r->n < BIRDCTL_ROUTES_MAX;
}

static void show_route(struct reply *r)
{
	if (r->f->speaker)
		bgp_speaker_each_path(r->f->speaker, NULL, route_row, r);
	end(r, CODE_OK, "");
}

/* ---- questions ---- */

enum { WORDS_MAX = 8 };

/* Words of the line, cut in place; how many, at most WORDS_MAX. */
static unsigned split(char *line, const char *word[WORDS_MAX])
{
	char *at = NULL;
	unsigned n = 0;

	for (char *w = strtok_r(line, " \t\r", &at); w && n < WORDS_MAX;
	     w = strtok_r(NULL, " \t\r", &at))
		word[n++] = w;
	return n;
}

static bool is(const char *const *word, unsigned n, unsigned i, const char *text)
{
	return i < n && strcmp(word[i], text) == 0;
}

/* Things that a BIRD would do and this one does not: they change it. */
static bool is_denied(const char *word)
{
	static const char *const denied[] = { "configure", "disable", "enable", "restart",
					      "reload",	   "down",    "debug",	"echo" };

	for (size_t i = 0; i < ARRAY_SIZE(denied); i++) {
		if (strcmp(word, denied[i]) == 0)
			return true;
	}
	return false;
}

static bool show(struct reply *r, const char *const *word, unsigned n)
{
	if (n == 2 && is(word, n, 1, "status"))
		show_status(r);
	else if (n == 2 && is(word, n, 1, "route"))
		show_route(r);
	else if (n == 2 && is(word, n, 1, "protocols"))
		show_protocols(r, NULL, false);
	else if ((n == 3 || n == 4) && is(word, n, 1, "protocols") && is(word, n, 2, "all"))
		show_protocols(r, n == 4 ? word[3] : NULL, true);
	else if (n == 3 && is(word, n, 1, "protocols"))
		show_protocols(r, word[2], false);
	else
		return false;
	return true;
}

bool birdctl_answer(const struct birdctl_facts *f, const char *line, struct str *out)
{
	struct reply r = { .f = f, .out = out, .last = -1 };
	char copy[BIRDCTL_LINE_MAX];
	const char *word[WORDS_MAX];
	unsigned n;

	str_copy(copy, sizeof(copy), line);
	n = split(copy, word);
	if (n == 0)
		return true;
	if (is(word, n, 0, "quit") || is(word, n, 0, "exit"))
		return false;
	if (is(word, n, 0, "show") && show(&r, word, n))
		return true;
	if (n == 1 && is(word, n, 0, "restrict"))
		end(&r, CODE_RESTRICTED, "Access restricted");
	else if (is_denied(word[0]))
		end(&r, CODE_DENIED, "Access denied");
	else
		end(&r, CODE_SYNTAX,
		    "syntax error: show status, show protocols [all [NAME]] and "
		    "show route are understood");
	return true;
}
