/* speaker_effect.c - effects waiting for the owner, and log lines that a peer cannot flood
 *
 * Effects other than log lines are bounded by what the owner did since it took the last ones: one
 * for each connection and state. Log lines are limited per peer, and dropped when much is
 * waiting. */
#include "bgp/speaker_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void grow(struct bgp_speaker *sp)
{
	size_t cap = sp->effects.cap ? sp->effects.cap * 2 : 16;
	struct bgp_effect *p = xreallocarray(NULL, cap, sizeof(*p));

	for (size_t i = 0; i < sp->effects.n; i++)
		p[i] = sp->effects.p[(sp->effects.head + i) & (sp->effects.cap - 1)];
	free(sp->effects.p);
	sp->effects.p = p;
	sp->effects.cap = cap;
	sp->effects.head = 0;
}

struct bgp_effect *bgp_speaker_effect(struct bgp_speaker *sp, enum bgp_effect_type type,
				      const struct bgp_peer *p)
{
	struct bgp_effect *e;

	if (sp->effects.n == sp->effects.cap)
		grow(sp);
	e = &sp->effects.p[(sp->effects.head + sp->effects.n++) & (sp->effects.cap - 1)];
	e->type = type;
	e->conn = 0;
	e->peer = p ? &p->config : NULL;
	e->linger = false;
	e->from = e->to = BGP_STATE_IDLE;
	e->level = BGP_LEVEL_INFO;
	e->text[0] = '\0';
	return e;
}

bool bgp_speaker_next_effect(struct bgp_speaker *sp, struct bgp_effect *out)
{
	if (!sp->effects.n) {
		if (sp->effects.cap > 256) { /* a burst's memory is not kept */
			free(sp->effects.p);
			sp->effects.p = NULL;
			sp->effects.cap = 0;
		}
		sp->effects.head = 0;
		bgp_speaker_bury(sp); /* no effect points at them any more */
		return false;
	}
	*out = sp->effects.p[sp->effects.head];
	sp->effects.head = (sp->effects.head + 1) & (sp->effects.cap - 1);
	sp->effects.n--;
	return true;
}

/* False: this peer has had its share of lines for now. */
static bool log_allowed(struct bgp_speaker *sp, struct bgp_peer *p)
{
	if (sp->now - p->log.since >= BGP_LOG_WINDOW_MS) {
		p->log.since = sp->now;
		p->log.n = 0;
	}
	if (p->log.n++ < BGP_LOG_BURST)
		return true;
	p->log.suppressed++;
	return false;
}

void bgp_speaker_log(struct bgp_speaker *sp, struct bgp_peer *p, enum bgp_level level,
		     const char *fmt, ...)
{
	struct bgp_effect *e;
	size_t len;
	va_list ap;

	if (sp->effects.n >= BGP_EFFECTS_MAX || (p && !log_allowed(sp, p)))
		return;
	e = bgp_speaker_effect(sp, BGP_EFFECT_LOG, p);
	e->level = level;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	len = strlen(e->text);
	if (p && p->log.suppressed) {
		snprintf(e->text + len, sizeof(e->text) - len, " (suppressed %u before)",
			 p->log.suppressed);
		p->log.suppressed = 0;
	}
}
