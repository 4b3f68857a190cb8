/* The other side of the TLS bars: libssl alone, two processes, blocking sockets, server -> client over loopback.
 *
 *   openssl-pair CERT KEY BYTES      prints bytes a second, from the first byte asked for to the last one read
 *
 * Mutual TLS 1.3 with one suite, 256 KiB a write and a read, no tickets: what `openssl s_server` -> `s_client` would do if s_client read
 * more than 1 KiB at a time and neither went through stdio. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 256 * 1024 };
static unsigned char block[BLOCK];

static void fail(const char *what) {
    perror(what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static int accept_any(int depth, X509_STORE_CTX *store) {
    (void)depth, (void)store;
    return 1; /* The certificate is made for this run: chains are not what is measured. */
}

static SSL *session(const SSL_METHOD *method, const char *certificate, const char *key, int descriptor) {
    SSL_CTX *context = SSL_CTX_new(method);
    if (!context || SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1 || SSL_CTX_set_num_tickets(context, 0) != 1)
        fail("cannot set up TLS");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, accept_any);
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    SSL *ssl = SSL_new(context);
    if (!ssl || SSL_set_fd(ssl, descriptor) != 1) fail("cannot make a session");
    return ssl;
}

static void serve(int listener, const char *certificate, const char *key, uint64_t bytes) {
    int descriptor = accept(listener, NULL, NULL);
    if (descriptor < 0) fail("accept");
    SSL *ssl = session(TLS_server_method(), certificate, key, descriptor);
    unsigned char go;
    if (SSL_accept(ssl) != 1 || SSL_read(ssl, &go, 1) != 1) fail("no handshake");
    while (bytes > 0) {
        int count = bytes < BLOCK ? (int)bytes : BLOCK;
        if (SSL_write(ssl, block, count) != count) fail("SSL_write");
        bytes -= count;
    }
    SSL_shutdown(ssl);
    _exit(0);
}

int main(int count, char **arguments) {
    if (count != 4) {
        fprintf(stderr, "usage: openssl-pair CERT KEY BYTES\n");
        return 64;
    }
    uint64_t bytes = strtoull(arguments[3], NULL, 10), received = 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        fail("listen");
    pid_t server = fork();
    if (server < 0) fail("fork");
    if (server == 0) serve(listener, arguments[1], arguments[2], bytes);
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&address, length) != 0) fail("connect");
    SSL *ssl = session(TLS_client_method(), arguments[1], arguments[2], descriptor);
    if (SSL_connect(ssl) != 1) fail("no handshake");
    double start = seconds();
    if (SSL_write(ssl, "g", 1) != 1) fail("SSL_write");
    while (received < bytes) {
        int got = SSL_read(ssl, block, BLOCK);
        if (got <= 0) fail("SSL_read");
        received += got;
    }
    double took = seconds() - start;
    int status;
    if (waitpid(server, &status, 0) < 0 || status != 0) fail("the server failed");
    printf("%.0f\n", received / took);
    return 0;
}
