/* json.c - lib/json: any bytes give a value or an error; what was read is written and read the same */
#include "lib/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	json_t *v, *back;
	struct err e;
	char *text;

	if (js_parse(data, len, &v, &e) < 0)
		return 0;
	text = js_dump(v);
	if (js_parse(text, strlen(text), &back, &e) < 0 || !json_equal(v, back))
		abort();
	free(text);
	json_decref(v);
	json_decref(back);
	return 0;
}
