public import HansaCrypto
public import NIOCore

/// Why a TLS connection could not be made or did not go on. After any of these the channel is closed.
public enum TLSFault: Error, Equatable, Sendable {
    /// libssl refused our own settings, key or certificate.
    case setup(OpenSSLError)
    /// Our `verify` said no to the partner's key.
    case peerRefused(TLSPeer)
    /// The partner speaks TLS but did not agree on our application protocol; what it chose, if anything.
    case applicationProtocolMissing(chosen: String?)
    /// The handshake broke off: no certificate, another TLS version, too large, not TLS at all. The text says which.
    case handshakeFailed(OpenSSLError)
    /// The handshake was not done in time.
    case handshakeTookTooLong(TimeAmount)
    /// The connection ended before the handshake was done.
    case endedInHandshake
    /// The partner ended the connection with this alert (RFC 8446 §6.2). A server that does not accept a client's certificate
    /// says so by alert after the client's handshake has completed.
    case alert(UInt8, OpenSSLError)
    /// A record could not be decrypted or broke the protocol.
    case recordInvalid(OpenSSLError)
    /// The connection ended without close_notify: somebody may have cut it, and data may be missing (RFC 8446 §6.1).
    case truncated
}

extension TLSFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .setup(let error): "cannot set up TLS: \(error)"
        case .peerRefused(let peer): "the partner's TLS key \(peer.spki) is none that we trust"
        case .applicationProtocolMissing(nil): "the partner did not agree on an application protocol"
        case .applicationProtocolMissing(let chosen?): "the partner chose the application protocol \(chosen.debugDescription)"
        case .handshakeFailed(let error): "the TLS handshake failed: \(error)"
        case .handshakeTookTooLong(let limit): "the TLS handshake was not done within \(limit.nanoseconds / 1_000_000) ms"
        case .endedInHandshake: "the connection ended during the TLS handshake"
        case .alert(let number, let error): "the partner ended the connection with TLS alert \(number): \(error)"
        case .recordInvalid(let error): "the TLS connection broke: \(error)"
        case .truncated: "the connection ended without TLS close_notify; data may be missing"
        }
    }
}
