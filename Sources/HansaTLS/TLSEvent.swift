public import HansaCore

/// Who is at the other end, as far as TLS tells: a key. Names and dates in the certificate prove nothing.
public struct TLSPeer: Hashable, Sendable {
    /// SHA-256 of the DER SubjectPublicKeyInfo: what pins are compared with.
    public let spki: Digest
    public let certificateDER: [UInt8]

    public init(spki: Digest, certificateDER: [UInt8]) {
        self.spki = spki
        self.certificateDER = certificateDER
    }
}

/// What `TLSHandler` tells the handlers behind it, as user inbound events.
public enum TLSEvent: Equatable, Sendable {
    /// The handshake is done on our side and `verify` accepted the peer. On a client the server may still refuse *us*: that arrives
    /// as `TLSFault.alert`, so a client knows that it is accepted only by the first application data.
    case handshakeCompleted(TLSPeer)
    /// The partner said that it sends no more (close_notify). We may go on sending; whoever has nothing more to say closes.
    case inputClosed
}
