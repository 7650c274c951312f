/* cni_error.c - why a CNI call failed, in the form that runtimes read
 * SPEC  CNI 1.1, "Error". The reference skeleton leaves cniVersion out; parsers take both. */
#include "lib/cni_error.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/json.h"

int cni_fail(struct cni_error *f, int code, const char *fmt, ...)
{
	va_list ap;

	if (!f)
		return -1;
	f->code = code;
	f->details[0] = 0;
	va_start(ap, fmt);
	vsnprintf(f->msg, sizeof(f->msg), fmt, ap);
	va_end(ap);
	return -1;
}

int cni_remedy(struct cni_error *f, const char *fmt, ...)
{
	va_list ap;

	if (!f)
		return -1;
	va_start(ap, fmt);
	vsnprintf(f->details, sizeof(f->details), fmt, ap);
	va_end(ap);
	return -1;
}

char *cni_error_json(const struct cni_error *f, const char *cni_version)
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
