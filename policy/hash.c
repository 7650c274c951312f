/* hash.c - digests as text
 * TESTS  tests/unit/policy/chain.c */
#include "policy/hash.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const EVP_MD *digest_of(enum hash_kind kind)
{
	switch (kind) {
	case HASH_SHA224:
		return EVP_sha224();
	case HASH_SHA256:
		return EVP_sha256();
	case HASH_SHA3_224:
		return EVP_sha3_224();
	}
	return NULL;
}

size_t hash_bytes(enum hash_kind kind, const void *a, size_t a_len, const void *b, size_t b_len,
		  uint8_t out[static HASH_BYTES_MAX])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned len = 0;

	/* Fails only for want of memory, or of a library that cannot hash. */
	if (!ctx || !EVP_DigestInit_ex(ctx, digest_of(kind), NULL) ||
	    !EVP_DigestUpdate(ctx, a, a_len) || !EVP_DigestUpdate(ctx, b, b_len) ||
	    !EVP_DigestFinal_ex(ctx, out, &len)) {
		fprintf(stderr, "level=error msg=\"libcrypto cannot compute a digest\"\n");
		abort();
	}
	EVP_MD_CTX_free(ctx);
	return len;
}

void base64url(const uint8_t *bytes, size_t n, char *out)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned bits = 0, have = 0;

	for (size_t i = 0; i < n; i++) {
		bits = (bits << 8 | bytes[i]) & 0xffff;
		for (have += 8; have >= 6; have -= 6)
			*out++ = letters[bits >> (have - 6) & 63];
	}
	if (have)
		*out++ = letters[bits << (6 - have) & 63];
	*out = '\0';
}

void hash_text(enum hash_kind kind, const char *text, char out[static HASH_TEXT_MAX])
{
	uint8_t bytes[HASH_BYTES_MAX];
	size_t n = hash_bytes(kind, text, strlen(text), "", 0, bytes);

	base64url(bytes, n, out);
}
