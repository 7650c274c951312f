/* parse.h - a test's JSON text as a value */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/json.h"

/* The caller's own; text that is no JSON fails the test. */
static inline json_t *parse(const char *text)
{
	struct err e = { 0 };
	json_t *v = NULL;

	if (js_parse(text, strlen(text), &v, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return v;
}
