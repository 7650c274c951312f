/* fault.c - why a CNI call fails, in the form that runtimes read
 * SPEC  CNI 1.1, "Error". The reference skeleton leaves cniVersion out; parsers take both. */
#include "cni-plugin/fault.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/json.h"

int fault_set(struct fault *f, int code, const char *fmt, ...)
{
	va_list ap;

	f->code = code;
	f->details[0] = 0;
	va_start(ap, fmt);
	vsnprintf(f->msg, sizeof(f->msg), fmt, ap);
	va_end(ap);
	return -1;
}

int fault_detail(struct fault *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->details, sizeof(f->details), fmt, ap);
	va_end(ap);
	return -1;
}

char *fault_json(const struct fault *f, const char *cni_version)
{
	CLEANUP(js_freep) json_t *o = json_object();
	CLEANUP(freep) char *text = NULL;

	js_set_str(o, "cniVersion", cni_version);
	js_set_int(o, "code", f->code);
	js_set_str(o, "msg", f->msg);
	if (f->details[0])
		js_set_str(o, "details", f->details);
	text = js_dump_pretty(o);
	return xasprintf("%s\n", text);
}
