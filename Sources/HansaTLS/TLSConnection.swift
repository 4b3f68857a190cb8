internal import COpenSSL
internal import HansaCore
internal import HansaCrypto
internal import NIOCore

/// Which end of the handshake we are.
public enum TLSRole: Sendable { case client, server }

/// One `SSL`: bytes in and out by `bio`, steps by calls. Each call clears the error queue, calls libssl and reads the queue, without
/// a suspension between. Knows no channel; not for use from several threads at once.
final class TLSConnection {
    enum HandshakeStep { case done(TLSPeer), wantsInput, failed(TLSFault) }
    enum ReadStep { case bytes, wantsInput, ended, failed(TLSFault) }

    /// AES-GCM keys serve 2^24.5 full records (RFC 8446 §5.5), about 380 GB; ours are changed long before.
    static let keyBytesMax = 1 << 36

    let context: TLSContext
    let bio: BufferBIO
    /// Set by a callback that refuses, and more to the point than what libssl makes of the refusal.
    var refusal: TLSFault?
    /// The accepted peer; only after the handshake.
    private(set) var peer: TLSPeer?
    /// Accepted by `verify`, but it has not proved yet that it holds the key.
    private var candidate: TLSPeer?
    /// Plaintext since our sending key was last changed, and how much is allowed.
    private var keyBytes = 0
    var keyBytesMax = TLSConnection.keyBytesMax
    private(set) var keyUpdates = 0

    private let ssl: OpaquePointer
    private let role: TLSRole
    private let verify: @Sendable (TLSPeer) -> Bool

    init(
        context: TLSContext, role: TLSRole, allocator: ByteBufferAllocator, verify: @escaping @Sendable (TLSPeer) -> Bool
    ) throws(TLSFault) {
        ERR_clear_error()
        guard let ssl = SSL_new(context.pointer) else { throw .setup(OpenSSLError(draining: "SSL_new")) }
        let bio = BufferBIO(allocator: allocator)
        guard let wire = bio.pointer else {
            SSL_free(ssl)
            throw .setup(OpenSSLError(draining: "BIO_new"))
        }
        // Gives the BIO away: for both directions one reference is counted.
        SSL_set_bio(ssl, wire, wire)
        switch role {
        case .client: SSL_set_connect_state(ssl)
        case .server: SSL_set_accept_state(ssl)
        }
        self.context = context
        self.bio = bio
        self.role = role
        self.verify = verify
        self.ssl = ssl
        guard hansa_ssl_set_owner(ssl, Unmanaged.passUnretained(self).toOpaque()) == 1 else {
            throw .setup(OpenSSLError(draining: "SSL_set_ex_data"))
        }
    }

    deinit { SSL_free(ssl) }

    /// Goes on with the handshake as far as the input goes. After `.failed` libssl has left its alert in the output.
    func handshake() -> HandshakeStep {
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        guard result != 1 else { return completed() }
        if SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ { return .wantsInput }
        let fault = fault(of: "TLS handshake") { .handshakeFailed($0) }
        return .failed(refusal ?? fault)
    }

    /// Appends decrypted bytes to `buffer`'s free room, which must not be empty.
    func read(into buffer: inout ByteBuffer) -> ReadStep {
        precondition(buffer.writableBytes > 0, "no room to read into")
        ERR_clear_error()
        var count = 0
        let result = buffer.withUnsafeMutableWritableBytes { SSL_read_ex(ssl, $0.baseAddress, $0.count, &count) }
        if result == 1 {
            buffer.moveWriterIndex(forwardBy: count)
            return .bytes
        }
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsInput
        case SSL_ERROR_ZERO_RETURN: return .ended
        default: return .failed(fault(of: "SSL_read") { .recordInvalid($0) })
        }
    }

    /// Whether `read` can give anything without more from the network.
    var hasInput: Bool { bio.inbound.readableBytes > 0 || SSL_pending(ssl) > 0 }

    /// Encrypts all of `bytes`; nil when that went well. The BIO takes everything, so nothing is ever half written.
    func write(_ bytes: UnsafeRawBufferPointer) -> TLSFault? {
        guard bytes.count > 0 else { return nil }
        ERR_clear_error()
        if keyBytes > keyBytesMax {
            guard SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 else {
                return .recordInvalid(OpenSSLError(draining: "SSL_key_update"))
            }
            keyBytes = 0
            keyUpdates += 1
        }
        keyBytes += bytes.count
        var count = 0
        guard SSL_write_ex(ssl, bytes.baseAddress, bytes.count, &count) == 1, count == bytes.count else {
            return fault(of: "SSL_write") { .recordInvalid($0) }
        }
        return nil
    }

    /// Writes close_notify: we send no more, and may go on reading.
    func endOutput() {
        ERR_clear_error()
        // 0 says that the partner has not closed yet, −1 that the connection has failed already; neither changes what we do.
        SSL_shutdown(ssl)
        ERR_clear_error()
    }

    /// RFC 8446 §7.5. Nil before the handshake is done or when libssl refuses the arguments.
    func exportKeyingMaterial(label: String, context: [UInt8], count: Int) -> [UInt8]? {
        ERR_clear_error()
        guard peer != nil, count > 0 else { return nil }
        var material = [UInt8](repeating: 0, count: count)
        let length = label.utf8.count
        guard SSL_export_keying_material(ssl, &material, count, label, length, context, context.count, 1) == 1 else {
            ERR_clear_error()
            return nil
        }
        return material
    }

    /// Called by libssl in the midst of the handshake, with the partner's first certificate.
    func accepts(certificate: OpaquePointer?) -> Bool {
        // The protocol is settled before certificates are; only here can a client still refuse with an alert.
        guard chosenProtocol == context.applicationProtocol else {
            refusal = .applicationProtocolMissing(chosen: chosenProtocol)
            return false
        }
        guard let certificate, let spki = spkiHash(ofCertificate: certificate), let der = der(ofCertificate: certificate) else {
            return false
        }
        let peer = TLSPeer(spki: spki, certificateDER: der)
        guard verify(peer) else {
            refusal = .peerRefused(peer)
            return false
        }
        candidate = peer
        return true
    }

    /// The handshake is done; nothing is taken for granted that a setting above was meant to bring about.
    private func completed() -> HandshakeStep {
        guard SSL_version(ssl) == TLS1_3_VERSION, let candidate, SSL_session_reused(ssl) == 0 else {
            return .failed(.handshakeFailed(OpenSSLError(draining: "TLS 1.3 with a new session and a certificate")))
        }
        guard chosenProtocol == context.applicationProtocol else {
            return .failed(.applicationProtocolMissing(chosen: chosenProtocol))
        }
        peer = candidate
        return .done(candidate)
    }

    private var chosenProtocol: String? {
        var name: UnsafePointer<UInt8>?
        var count: CUnsignedInt = 0
        SSL_get0_alpn_selected(ssl, &name, &count)
        return name.map { String(decoding: UnsafeBufferPointer(start: $0, count: Int(count)), as: UTF8.self) }
    }

    /// Drains the queue. Reasons from 1000 on are the partner's alerts (`SSL_AD_REASON_OFFSET`).
    private func fault(of operation: String, _ other: (OpenSSLError) -> TLSFault) -> TLSFault {
        let reason = hansa_err_reason(ERR_peek_last_error())
        let error = OpenSSLError(draining: operation)
        guard reason >= SSL_AD_REASON_OFFSET, reason < SSL_AD_REASON_OFFSET + 256 else { return other(error) }
        return .alert(UInt8(reason - SSL_AD_REASON_OFFSET), error)
    }
}
