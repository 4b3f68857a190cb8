internal import COpenSSL
public import HansaCrypto

/// The settings that all connections of a node share: identity, protocol, and how narrow TLS is made.
///
/// TLS 1.3 only, both sides show a certificate, no sessions, tickets, early data, renegotiation or compression. One context serves
/// both roles. Safe to use from any thread.
public final class TLSContext: Sendable {
    /// All certificates that a partner sends, in bytes; ours is about 400.
    public static let certificateListBytesMax = 16_384

    public let applicationProtocol: String
    // Never changes, and the SSL_CTX behind it is not altered after init; libssl counts references and locks for itself.
    nonisolated(unsafe) let pointer: OpaquePointer

    /// Takes a reference to the identity's key and certificate. `applicationProtocol` has 1 to 255 bytes, such as `hansa/1`.
    public init(identity: TLSIdentity, applicationProtocol: String) throws(TLSFault) {
        let name = Array(applicationProtocol.utf8)
        precondition((1...255).contains(name.count), "an ALPN name has 1 to 255 bytes")
        ERR_clear_error()
        guard let pointer = SSL_CTX_new(TLS_method()) else { throw .setup(OpenSSLError(draining: "SSL_CTX_new")) }
        self.pointer = pointer
        self.applicationProtocol = applicationProtocol
        try restrict()
        guard SSL_CTX_set_alpn_protos(pointer, [UInt8(name.count)] + name, CUnsignedInt(name.count + 1)) == 0 else {
            throw .setup(OpenSSLError(draining: "SSL_CTX_set_alpn_protos"))
        }
        let accepted = identity.withHandles { key, certificate in
            SSL_CTX_use_certificate(pointer, certificate) == 1 && SSL_CTX_use_PrivateKey(pointer, key) == 1
        }
        guard accepted else { throw .setup(OpenSSLError(draining: "SSL_CTX_use_certificate")) }
        SSL_CTX_set_client_hello_cb(pointer, TLSCallbacks.clientHello, nil)
        SSL_CTX_set_alpn_select_cb(pointer, TLSCallbacks.selectApplicationProtocol, nil)
        SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
        SSL_CTX_set_cert_verify_callback(pointer, TLSCallbacks.verifyCertificate, nil)
    }

    deinit { SSL_CTX_free(pointer) }

    private func restrict() throws(TLSFault) {
        // AES-128-GCM is the fastest where the processor has AES, ChaCha20 where it has not.
        guard hansa_ssl_ctx_only_tls13(pointer) == 1,
            SSL_CTX_set_ciphersuites(
                pointer, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") == 1
        else { throw .setup(OpenSSLError(draining: "SSL_CTX_set_ciphersuites")) }
        // The large groups cost a server milliseconds for each stranger's hello. X25519 is missing in FIPS mode.
        if hansa_ssl_ctx_set_groups(pointer, "X25519:P-256") != 1 {
            ERR_clear_error()
            guard hansa_ssl_ctx_set_groups(pointer, "P-256") == 1 else {
                throw .setup(OpenSSLError(draining: "SSL_CTX_set1_groups_list"))
            }
        }
        // No tickets, compression or renegotiation; the server chooses the cipher.
        hansa_ssl_ctx_set_options(pointer)
        // SSL_OP_NO_TICKET alone leaves stateful tickets in TLS 1.3.
        guard SSL_CTX_set_num_tickets(pointer, 0) == 1, SSL_CTX_set_max_early_data(pointer, 0) == 1 else {
            throw .setup(OpenSSLError(draining: "SSL_CTX_set_num_tickets"))
        }
        hansa_ssl_ctx_no_sessions(pointer)
        hansa_ssl_ctx_set_max_cert_list(pointer, TLSContext.certificateListBytesMax)
        // Only our certificate is sent, and libssl does not look for a chain to it.
        hansa_ssl_ctx_set_mode(pointer, Int(SSL_MODE_NO_AUTO_CHAIN) | Int(SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER))
    }
}
