/* policy_words.c - rules of policies in words
 * TESTS  tests/unit/ctl/policy.c */
#include "ctl/policy_words.h"

#include <string.h>

static void add_text(struct str *out, const char *text)
{
	for (; *text; text++)
		str_addc(out, (unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
}

/* A value as a person would write it: text without quotes, a list with commas. */
static void add_value(struct str *out, const json_t *v)
{
	const json_t *item;
	size_t i;

	if (json_is_string(v)) {
		add_text(out, json_string_value(v));
	} else if (json_is_array(v)) {
		json_array_foreach (v, i, item) {
			str_add(out, i ? ", " : "");
			add_value(out, item);
		}
	} else {
		CLEANUP(freep) char *text = js_dump(v);

		add_text(out, text);
	}
}

/* " and NAME VALUE", where there is such a field with something in it. */
static void add_field(struct str *out, const json_t *o, const char *field, const char *name,
		      const char **before)
{
	const json_t *v = json_object_get(o, field);

	if (!v || json_is_null(v) || (json_is_array(v) && !json_array_size(v)) ||
	    (json_is_string(v) && !*json_string_value(v)))
		return;
	str_addf(out, "%s%s ", *before, name);
	add_value(out, v);
	*before = " and ";
}

static void add_service(struct str *out, const json_t *s, const char **before)
{
	const char *name = json_string_value(json_object_get(s, "name"));
	const char *ns = json_string_value(json_object_get(s, "namespace"));

	if (!json_is_object(s))
		return;
	str_addf(out, "%sservice ", *before);
	add_text(out, ns ? ns : "");
	str_add(out, ns ? "/" : "");
	add_text(out, name ? name : "");
	*before = " and ";
}

static void add_side(struct str *out, const json_t *side, const char *word)
{
	static const struct {
		const char *field, *name;
	} rows[] = {
		{ "namespaceSelector", "namespaces" },
		{ "selector", "selector" },
		{ "notSelector", "not selector" },
		{ "nets", "nets" },
		{ "notNets", "not nets" },
		{ "ports", "ports" },
		{ "notPorts", "not ports" },
	};
	const json_t *accounts = json_object_get(side, "serviceAccounts");
	CLEANUP(freep) char *start = xasprintf(" %s ", word);
	const char *before = start;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		add_field(out, side, rows[i].field, rows[i].name, &before);
	add_field(out, accounts, "names", "service accounts", &before);
	add_field(out, accounts, "selector", "service accounts that are", &before);
	add_service(out, json_object_get(side, "services"), &before);
}

static void add_icmp(struct str *out, const json_t *icmp, const char *word)
{
	const char *before = word;

	add_field(out, icmp, "type", "type", &before);
	if (json_object_get(icmp, "code"))
		before = " ";
	add_field(out, icmp, "code", "code", &before);
}

void rule_words(const json_t *rule, struct str *out)
{
	const char *action = json_string_value(json_object_get(rule, "action"));
	const json_t *not_proto = json_object_get(rule, "notProtocol");
	const char *before = " ";

	add_text(out, action ? action : "?");
	add_field(out, rule, "ipVersion", "IP version", &before);
	if (json_object_get(rule, "protocol")) {
		str_addc(out, ' ');
		add_value(out, json_object_get(rule, "protocol"));
	}
	if (not_proto) {
		str_add(out, " not ");
		add_value(out, not_proto);
	}
	add_icmp(out, json_object_get(rule, "icmp"), " ");
	add_icmp(out, json_object_get(rule, "notICMP"), " not ");
	add_side(out, json_object_get(rule, "source"), "from");
	add_side(out, json_object_get(rule, "destination"), "to");
	if (json_is_object(json_object_get(rule, "http")))
		str_add(out, " (and HTTP conditions, which a packet filter does not look at)");
}
