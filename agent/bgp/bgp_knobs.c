/* bgp_knobs.c - annotations of BGPPeer and BGPConfiguration
 * TESTS  tests/unit/agent/bgp_knobs.c */
#include "agent/bgp/bgp_knobs.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fields.h"

enum {
	BFD_MIN_MS = 10, /* less is for hardware */
	BFD_MAX_MS = 60000,
	BFD_DEFAULT_MS = 300, /* as in other daemons: survives a busy node */
	BFD_DEFAULT_MULT = 3,
	WORD_MAX = 63,
	SECONDS_MAX = 16777215, /* 24 bits: RFC 9494 */
	INTERFACES_MAX = 512,	/* bytes of the list */
};

/* ---- bfd ---- */

static bool number_parse(const char *s, unsigned long max, unsigned long *out)
{
	char *end;
	unsigned long n;

	if (*s < '0' || *s > '9')
		return false;
	n = strtoul(s, &end, 10);
	if (*end || n > max)
		return false;
	*out = n;
	return true;
}

static bool interval_parse(const char *s, uint32_t *us)
{
	int64_t ms;

	if (!duration_parse(s, 1, &ms) || ms < BFD_MIN_MS || ms > BFD_MAX_MS)
		return false;
	*us = (uint32_t)ms * 1000;
	return true;
}

/* "50ms*3", "50ms/100ms*5", "50ms" */
static bool timers_parse(char *s, struct bfd_config *c)
{
	char *star = strchr(s, '*'), *slash;
	unsigned long mult = BFD_DEFAULT_MULT;

	if (star) {
		*star = '\0';
		if (!number_parse(star + 1, 255, &mult) || !mult)
			return false;
	}
	slash = strchr(s, '/');
	if (slash)
		*slash = '\0';
	if (!interval_parse(s, &c->min_tx_us))
		return false;
	c->min_rx_us = c->min_tx_us;
	if (slash && !interval_parse(slash + 1, &c->min_rx_us))
		return false;
	c->mult = (uint8_t)mult;
	return true;
}

static bool bfd_word(char *word, struct bgp_bfd_knob *k)
{
	if (strcmp(word, "on") == 0)
		k->on = true;
	else if (strcmp(word, "off") == 0)
		k->on = false;
	else if (strcmp(word, "multihop") == 0)
		k->way = BGP_BFD_MULTIHOP;
	else if (strcmp(word, "singlehop") == 0)
		k->way = BGP_BFD_SINGLE_HOP;
	else
		return timers_parse(word, &k->timers);
	return true;
}

static int read_bfd(const char *text, struct bgp_knobs *out, struct err *e)
{
	const char *s = text;

	out->bfd.on = true;
	while (*(s += strspn(s, " "))) {
		size_t n = strcspn(s, " ");
		char word[WORD_MAX + 1];

		if (n > WORD_MAX)
			return err_set(e, -EINVAL, "a word of %zu bytes", n);
		memcpy(word, s, n);
		word[n] = '\0';
		if (!bfd_word(word, &out->bfd))
			return err_set(e, -EINVAL,
				       "\"%.*s\": must be on, off, multihop, singlehop, or timers "
				       "as in 50ms*3 or 50ms/100ms*5 (10ms to 60s, times 1 to 255)",
				       (int)n, s);
		s += n;
	}
	return 0;
}

/* ---- the others ---- */

static int read_hold(const char *text, struct bgp_knobs *out, struct err *e)
{
	int64_t ms;

	if (!duration_parse(text, 1000, &ms) || ms % 1000 || ms > 65535000 || (ms && ms < 3000))
		return err_set(e, -EINVAL,
			       "\"%.64s\": must be 0 (never) or whole seconds from 3s to 65535s",
			       text);
	out->has_hold = true;
	out->hold_s = (uint16_t)(ms / 1000);
	return 0;
}

static int read_limit(const char *text, struct bgp_knobs *out, struct err *e)
{
	unsigned long n;

	if (!number_parse(text, UINT32_MAX, &n) || !n)
		return err_set(e, -EINVAL, "\"%.64s\": must be a number of prefixes from 1", text);
	out->prefix_limit = (uint32_t)n;
	return 0;
}

static int read_seconds(const char *text, uint32_t *out, struct err *e)
{
	int64_t ms;

	if (!duration_parse(text, 1000, &ms) || ms < 1000 || ms / 1000 > SECONDS_MAX)
		return err_set(e, -EINVAL, "\"%.64s\": must be a duration from 1s to %ds", text,
			       SECONDS_MAX);
	*out = (uint32_t)(ms / 1000);
	return 0;
}

static int read_limit_restart(const char *text, struct bgp_knobs *out, struct err *e)
{
	return read_seconds(text, &out->prefix_limit_restart_s, e);
}

static int read_long_lived(const char *text, struct bgp_knobs *out, struct err *e)
{
	return read_seconds(text, &out->long_lived_s, e);
}

static int read_bool(const char *text, bool *out, struct err *e)
{
	*out = strcmp(text, "true") == 0;
	if (*out || strcmp(text, "false") == 0)
		return 0;
	return err_set(e, -EINVAL, "\"%.64s\": must be true or false", text);
}

static int read_own_only(const char *text, struct bgp_knobs *out, struct err *e)
{
	return read_bool(text, &out->own_only, e);
}

static int read_first_as(const char *text, struct bgp_knobs *out, struct err *e)
{
	bool check;
	int rc = read_bool(text, &check, e);

	out->any_first_as = rc == 0 && !check;
	return rc;
}

static int read_as_sets(const char *text, struct bgp_knobs *out, struct err *e)
{
	return read_bool(text, &out->accept_as_sets, e);
}

/* "customer", "customer strict" */
static int read_role(const char *text, struct bgp_knobs *out, struct err *e)
{
	size_t n = strcspn(text, " ");
	const char *rest = text + n + strspn(text + n, " ");

	out->role_strict = strcmp(rest, "strict") == 0;
	for (unsigned r = BGP_ROLE_NONE + 1; r < BGP_ROLE_MAX_ && (out->role_strict || !*rest);
	     r++) {
		const char *name = bgp_role_name((enum bgp_role)r);

		if (strlen(name) == n && strncmp(name, text, n) == 0) {
			out->role = (enum bgp_role)r;
			return 0;
		}
	}
	return err_set(
		e, -EINVAL,
		"\"%.64s\": must be provider, customer, peer, route-server or "
		"route-server-client, as this node is to the peer; behind it may stand strict",
		text);
}

static int read_interface(const char *text, struct bgp_knobs *out, struct err *e)
{
	size_t n = strlen(text);

	if (!n || n > INTERFACES_MAX || strpbrk(text, " \t/"))
		return err_set(e, -EINVAL,
			       "\"%.64s\": must be names of interfaces as in eth1,swp*, at most %d "
			       "bytes",
			       text, INTERFACES_MAX);
	free(out->interfaces);
	out->interfaces = xstrdup(text);
	return 0;
}

static int read_remote_as(const char *text, struct bgp_knobs *out, struct err *e)
{
	unsigned long n = 0;

	out->internal = strcmp(text, "internal") == 0;
	if (!out->internal && strcmp(text, "external") != 0 &&
	    (!number_parse(text, UINT32_MAX, &n) || !n))
		return err_set(e, -EINVAL, "\"%.64s\": must be external, internal or an AS number",
			       text);
	out->remote_as = (asn_t)n;
	return 0;
}

static const struct {
	const char *name;
	int (*read)(const char *text, struct bgp_knobs *out, struct err *e);
} rows[] = {
	{ "margay.io/bfd", read_bfd },
	{ "margay.io/holdTime", read_hold },
	{ "margay.io/prefixLimit", read_limit },
	{ "margay.io/prefixLimitRestart", read_limit_restart },
	{ "margay.io/exportOwnBlocksOnly", read_own_only },
	{ "margay.io/longLivedGracefulRestart", read_long_lived },
	{ "margay.io/interface", read_interface },
	{ "margay.io/remoteAS", read_remote_as },
	{ "margay.io/role", read_role },
	{ "margay.io/enforceFirstAS", read_first_as },
	{ "margay.io/acceptASSets", read_as_sets },
};

int bgp_knobs_read(bgp_knob_fn *get, const void *arg, struct bgp_knobs *out, struct err *e)
{
	*out = (struct bgp_knobs) {
		.bfd.timers = { BFD_DEFAULT_MS * 1000, BFD_DEFAULT_MS * 1000, BFD_DEFAULT_MULT,
				false },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *text = get(arg, rows[i].name);

		if (text && rows[i].read(text, out, e) < 0) {
			bgp_knobs_done(out);
			return err_wrap(e, "metadata.annotations[%s]", rows[i].name);
		}
	}
	return 0;
}

void bgp_knobs_done(struct bgp_knobs *k)
{
	free(k->interfaces);
	k->interfaces = NULL;
}

bool bgp_knobs_has_interface(const char *list, const char *ifname)
{
	const char *s = list;

	while (*s) {
		size_t n = strcspn(s, ",");
		char word[WORD_MAX + 1];

		if (n && n <= WORD_MAX) {
			memcpy(word, s, n);
			word[n] = '\0';
			if (fnmatch(word, ifname, 0) == 0)
				return true;
		}
		s += n + (s[n] == ',');
	}
	return false;
}
