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

static inline int hansa_err_reason(unsigned long code) { return ERR_GET_REASON(code); }

// EVP_EC_gen is a macro over a variadic function.
static inline EVP_PKEY *hansa_p256_generate(void) { return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"); }

static inline long hansa_bio_mem_data(BIO *bio, char **data) { return BIO_get_mem_data(bio, data); }

// TLS: libssl's setters that are macros over SSL_CTX_ctrl and SSL_ctrl.
static inline int hansa_ssl_ctx_only_tls13(SSL_CTX *context) {
    return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) && SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION);
}
static inline int hansa_ssl_ctx_set_groups(SSL_CTX *context, const char *names) { return SSL_CTX_set1_groups_list(context, names) == 1; }
static inline void hansa_ssl_ctx_set_options(SSL_CTX *context) {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
}
static inline void hansa_ssl_ctx_no_sessions(SSL_CTX *context) { SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); }
static inline void hansa_ssl_ctx_set_max_cert_list(SSL_CTX *context, long bytes) { SSL_CTX_set_max_cert_list(context, bytes); }
static inline void hansa_ssl_ctx_set_mode(SSL_CTX *context, long mode) { SSL_CTX_set_mode(context, mode); }
static inline void hansa_bio_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void hansa_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
static inline int hansa_ssl_set_owner(SSL *ssl, void *owner) { return SSL_set_app_data(ssl, owner); }
static inline void *hansa_ssl_owner(const SSL *ssl) { return SSL_get_app_data(ssl); }
static inline SSL *hansa_store_context_ssl(X509_STORE_CTX *store) {
    return (SSL *)X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
}
#endif
