/* uuid.c - names for new objects */
#include "agent/cni/uuid.h"

#include <stdlib.h>
#include <sys/random.h>

char *uuid_random(char out[static UUID_STR_MAX])
{
	uint8_t b[16];
	char *p = out;

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		abort();
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = "0123456789abcdef"[b[i] >> 4];
		*p++ = "0123456789abcdef"[b[i] & 15];
	}
	*p = 0;
	return out;
}
