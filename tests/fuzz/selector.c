/* selector.c - model/selector: any text gives a selector or an error; the normal form of a selector
 * reads back as itself and matches the same labels */
#include "model/selector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A label's presence and value depend on its first byte only. */
static const char *label(void *arg, const char *key)
{
	static const char *const values[] = { NULL, "", "a", "b", "ab", "x\"y" };

	return values[((unsigned char)key[0] + *(unsigned *)arg) % ARRAY_SIZE(values)];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = xstrndup((const char *)data, len), *normal, *again;
	struct selector *s, *back;
	struct err e = { 0 };

	if (selector_parse(text, &s, &e) < 0) {
		if (e.code != -EINVAL || !e.msg[0])
			abort();
		free(text);
		return 0;
	}
	normal = selector_text(s);
	if (strlen(normal) <= SELECTOR_LEN_MAX) {
		if (selector_parse(normal, &back, &e) < 0)
			abort();
		again = selector_text(back);
		if (strcmp(normal, again))
			abort();
		for (unsigned i = 0; i < 6; i++)
			if (selector_match(s, label, &i) != selector_match(back, label, &i))
				abort();
		free(again);
		selector_free(back);
	}
	free(text);
	free(normal);
	selector_free(s);
	return 0;
}
