/* cni_error.c - why a CNI call failed, in the specification's codes */
#include "agent/cni_error.h"

#include <stdio.h>

int cni_fail(struct cni_error *f, enum cni_code code, const char *fmt, ...)
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
