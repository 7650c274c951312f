/* policy.c - rules of policies in words: what is written, and any JSON at all */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/policy_words.h"

static const struct {
	const char *rule, *words;
} rows[] = {
	{ "{'action':'Allow'}", "Allow" },
	{ "{'action':'Deny','protocol':'TCP','destination':{'ports':[80,'8000:8010','web']}}",
	  "Deny TCP to ports 80, 8000:8010, web" },
	{ "{'action':'Allow','protocol':6,'source':{'selector':'a == \\'b\\''}}",
	  "Allow 6 from selector a == 'b'" },
	{ "{'action':'Allow','source':{'nets':['10.0.0.0/8'],'notNets':['10.1.0.0/16']}}",
	  "Allow from nets 10.0.0.0/8 and not nets 10.1.0.0/16" },
	{ "{'action':'Pass','notProtocol':'UDP','source':{'namespaceSelector':'all()','selector':"
	  "'x'},'destination':{'notSelector':'y','notPorts':[1]}}",
	  "Pass not UDP from namespaces all() and selector x to not selector y and not ports 1" },
	{ "{'action':'Log','ipVersion':4}", "Log IP version 4" },
	{ "{'action':'Allow','protocol':'ICMP','icmp':{'type':8,'code':0}}",
	  "Allow ICMP type 8 code 0" },
	{ "{'action':'Allow','protocol':'ICMP','notICMP':{'type':8}}", "Allow ICMP not type 8" },
	{ "{'action':'Allow','destination':{'services':{'name':'dns','namespace':'sys'}}}",
	  "Allow to service sys/dns" },
	{ "{'action':'Allow','source':{'serviceAccounts':{'names':['a','b'],'selector':'x'}}}",
	  "Allow from service accounts a, b and service accounts that are x" },
	{ "{'action':'Allow','source':{'nets':[],'selector':'','ports':null}}", "Allow" },
	{ "{'action':'Allow','http':{'methods':['GET']}}",
	  "Allow (and HTTP conditions, which a packet filter does not look at)" },
	/* What nobody should write. */
	{ "{}", "?" },
	{ "{'action':5,'source':'x','destination':[1],'protocol':{'a':1}}", "? {\"a\":1}" },
	{ "{'action':'Al\\u001b[31mlow'}", "Al?[31mlow" },
	{ "{'action':'Deny','source':{'nets':{'a':[true]}}}", "Deny from nets {\"a\":[true]}" },
};

/* With ' for ", and \' for '. */
static json_t *parse(const char *text)
{
	CLEANUP(freep) char *json = xstrdup(text);
	json_t *v = NULL;
	struct err e = { 0 };
	char *to = json;

	for (const char *p = text; *p; p++) {
		if (p[0] == '\\' && p[1] == '\'')
			*to++ = *++p;
		else
			*to++ = *p == '\'' ? '"' : *p;
	}
	*to = '\0';
	if (js_parse(json, strlen(json), &v, &e) < 0)
		fail_msg("%s: %s", json, e.msg);
	return v;
}

static void rules_are_words(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *rule = parse(rows[i].rule);
		struct str out = { 0 };

		rule_words(rule, &out);
		assert_string_equal(str_text(&out), rows[i].words);
		str_done(&out);
		json_decref(rule);
	}
}

static void no_rule_is_words_too(void **state)
{
	struct str out = { 0 };

	rule_words(NULL, &out);
	assert_string_equal(str_text(&out), "?");
	str_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(rules_are_words),
					    cmocka_unit_test(no_rule_is_words_too) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
