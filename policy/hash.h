/* hash.h - digests as text, for names and for telling whether a rule is ours. No secret is kept by
 * them: they are names that do not collide. */
#pragma once

#include "lib/base.h"

enum hash_kind {
	HASH_SHA224,
	HASH_SHA256,
	HASH_SHA3_224,
};

enum {
	HASH_BYTES_MAX = 32,
	HASH_TEXT_MAX = 44, /* base64 of 32 bytes without padding, and a NUL */
};

/* Digest of two pieces, one behind the other; either may be empty. Returns its length in bytes. */
size_t hash_bytes(enum hash_kind kind, const void *a, size_t a_len, const void *b, size_t b_len,
		  uint8_t out[static HASH_BYTES_MAX]);
/* base64 with '-' and '_', without padding. out has room for 4 characters for each 3 bytes. */
void base64url(const uint8_t *bytes, size_t n, char *out);
/* Digest of text as base64url. */
void hash_text(enum hash_kind kind, const char *text, char out[static HASH_TEXT_MAX]);
