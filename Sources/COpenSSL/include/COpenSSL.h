// The system's libssl and libcrypto (OpenSSL 3), and functions for those of its macros that Swift cannot see.
#ifndef HANSA_COPENSSL_H
#define HANSA_COPENSSL_H
// SHA256_Init and its kind are deprecated for EVP, but an EVP digest costs a fetch and an allocation for each hash,
// several times what hashing 65 bytes of a Merkle node costs. They are still the same assembler code.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// SHA-256 in one call, on the stack.
static inline void hansa_sha256(const void *bytes, size_t count, uint8_t *digest) {
    SHA256_CTX context;
    SHA256_Init(&context);
    if (count > 0) SHA256_Update(&context, bytes, count);
    SHA256_Final(digest, &context);
}

// EVP_EC_gen is a macro over a variadic function.
static inline EVP_PKEY *hansa_p256_generate(void) { return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"); }

static inline long hansa_bio_mem_data(BIO *bio, char **data) { return BIO_get_mem_data(bio, data); }
#endif
