/* bgp_neighbor.c - margayctl bgp neighbors ADDRESS: one session as a page */
#include "ctl/bgp_neighbor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/ctl.h"
#include "lib/json.h"

/* One line: a name, and what there is to say; nothing when that is empty. */
static void line(const char *name, const char *fmt, ...) PRINTF(2, 3);

static void line(const char *name, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (*text)
		printf("  %-22s %s\n", name, text);
}

static void heading(const json_t *n)
{
	const char *since = answer_text(n, "since");
	bool waits = json_is_true(json_object_get(n, "passive")) &&
		     strcmp(answer_text(n, "state"), "Active") == 0;

	printf("%s (%s), AS %lld, %s\n", answer_text(n, "address"), answer_text(n, "name"),
	       answer_number(n, "remoteAS"), answer_text(n, "type"));
	line("State", "%s%s%s%s", answer_text(n, "state"), *since ? ", since " : "", since,
	     waits ? ", waiting for the peer to connect" : "");
	line("Router ID", "%s", answer_text(n, "remoteID"));
	line("Filters of BGPPeer", "%s", answer_text(n, "filtersOf"));
}

static void timers(const json_t *n)
{
	const json_t *t = json_object_get(n, "timers"), *left = json_object_get(t, "holdLeft"),
		     *due = json_object_get(t, "keepaliveDueIn"),
		     *next = json_object_get(t, "nextTryIn");

	if (left)
		line("Hold time", "%lld s, %.1f s left", answer_number(n, "holdSeconds"),
		     json_number_value(left));
	if (due)
		line("Keepalive", "every %lld s, next in %.1f s",
		     answer_number(n, "keepaliveSeconds"), json_number_value(due));
	if (next)
		line("Next try", "in %.1f s", json_number_value(next));
}

static void messages(const json_t *n)
{
	const json_t *m = json_object_get(n, "messages");

	line("Received", "%lld messages, %lld of them UPDATEs, %lld bytes",
	     answer_number(m, "received"), answer_number(m, "updatesReceived"),
	     answer_number(m, "bytesReceived"));
	line("Sent", "%lld messages, %lld of them UPDATEs, %lld bytes", answer_number(m, "sent"),
	     answer_number(m, "updatesSent"), answer_number(m, "bytesSent"));
	if (answer_number(m, "treatedAsWithdraw"))
		line("Broken UPDATEs", "%lld, treated as withdrawals (RFC 7606)",
		     answer_number(m, "treatedAsWithdraw"));
}

static void routes(const json_t *n)
{
	const json_t *all = json_object_get(n, "families");
	const char *family;
	json_t *f;

	json_object_foreach ((json_t *)(uintptr_t)all, family, f) {
		line(family, "received %lld, usable %lld, best %lld, sent %lld, stale %lld",
		     answer_number(f, "received"), answer_number(f, "accepted"),
		     answer_number(f, "best"), answer_number(f, "sent"), answer_number(f, "stale"));
	}
	if (answer_number(n, "filtered"))
		line("Filtered on import", "%lld", answer_number(n, "filtered"));
	if (answer_number(n, "prefixLimit"))
		line("Prefix limit", "%lld in each family", answer_number(n, "prefixLimit"));
}

static void ends(const json_t *n)
{
	line("Flaps", "%lld", answer_number(n, "flaps"));
	line("Last NOTIFICATION", "%s%s%s%s", answer_text(n, "lastNotification"),
	     *answer_text(n, "lastNotificationAt") ? " (" : "",
	     answer_text(n, "lastNotificationAt"),
	     *answer_text(n, "lastNotificationAt") ? ")" : "");
	line("Last error", "%s%s%s%s", answer_text(n, "lastError"),
	     *answer_text(n, "lastErrorAt") ? " (" : "", answer_text(n, "lastErrorAt"),
	     *answer_text(n, "lastErrorAt") ? ")" : "");
}

static void add_words(struct str *out, const json_t *v);

/* "seconds 120, notification, families ipv4-unicast": what is false or empty is not said. */
static void add_members(struct str *out, const json_t *object)
{
	const char *name;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)object, name, v) {
		bool empty = (json_is_array(v) && !json_array_size(v)) ||
			     (json_is_object(v) && !json_object_size(v));

		if (json_is_false(v) || json_is_null(v) || empty)
			continue;
		str_addf(out, "%s%s%s", out->len ? ", " : "", name, json_is_true(v) ? "" : " ");
		if (!json_is_true(v))
			add_words(out, v);
	}
}

/* For a person: no JSON, and all of it. */
static void add_words(struct str *out, const json_t *v)
{
	struct str inner = { 0 };
	size_t i;
	json_t *one;

	if (json_is_object(v)) {
		add_members(&inner, v);
		str_add(out, str_text(&inner));
	} else if (json_is_array(v)) {
		json_array_foreach ((json_t *)(uintptr_t)v, i, one) {
			str_add(out, i ? " " : "");
			add_words(out, one);
		}
	} else if (json_is_string(v)) {
		str_add(out, json_string_value(v));
	} else {
		CLEANUP(freep) char *text = js_dump(v);

		str_add(out, json_is_true(v) ? "yes" : text);
	}
	str_done(&inner);
}

/* Heap. "-": there is none. */
static char *words(const json_t *v)
{
	struct str out = { 0 };

	if (v)
		add_words(&out, v);
	if (!out.len)
		str_add(&out, v ? "yes" : "-");
	return str_take(&out);
}

static void capabilities(const json_t *n)
{
	static const char *const head[] = { "  CAPABILITY", "SENT", "RECEIVED" };
	const json_t *caps = json_object_get(n, "capabilities"),
		     *sent = json_object_get(caps, "sent"),
		     *received = json_object_get(caps, "received");
	json_t *all = json_copy((json_t *)(uintptr_t)sent), *v;
	struct table t = { 0 };
	const char *name;

	json_object_update_missing(all, (json_t *)(uintptr_t)received);
	table_head(&t, head, ARRAY_SIZE(head));
	json_object_foreach (all, name, v) {
		table_add(&t, xasprintf("  %s", name));
		table_add(&t, words(json_object_get(sent, name)));
		table_add(&t, words(json_object_get(received, name)));
	}
	table_print(&t);
	table_done(&t);
	json_decref(all);
}

void bgp_neighbor_print(const json_t *n)
{
	heading(n);
	timers(n);
	messages(n);
	routes(n);
	ends(n);
	if (json_object_get(n, "bfd")) {
		CLEANUP(freep) char *bfd = words(json_object_get(n, "bfd"));

		line("BFD", "%s", bfd);
	}
	capabilities(n);
}
