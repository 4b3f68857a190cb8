/// Why a key or a certificate was not accepted.
public enum KeyFault: Error, Equatable, Sendable {
    /// Not 32 bytes.
    case wrongLength(Int)
    /// One of the 14 encodings of a point of small order: under such a key one signature fits many messages.
    case smallOrder
    /// The y coordinate is not below 2^255 − 19: a second spelling of another key.
    case notCanonical
    /// No point of the curve has this y coordinate: nothing can ever verify under the key.
    case notOnCurve
    /// No PEM that we read: not PKCS#8, encrypted, or damaged.
    case unreadable(OpenSSLError)
    /// A key of another algorithm than this place needs.
    case wrongAlgorithm(wanted: String, found: String)
    /// The certificate is for another key than the one that stands before it.
    case certificateOfAnotherKey
    /// libcrypto failed at something that does not depend on the input.
    case library(OpenSSLError)
}

extension KeyFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .wrongLength(let count): "the key has \(count) bytes instead of 32"
        case .smallOrder: "the key is a point of small order; one signature under it fits many messages"
        case .notCanonical: "the key is not in canonical form (its y coordinate is not below 2^255 - 19)"
        case .notOnCurve: "the key is no point of Ed25519"
        case .unreadable(let error): "not a PEM key that can be read here (unencrypted PKCS#8): \(error)"
        case .wrongAlgorithm(let wanted, let found): "the key is \(found), but \(wanted) is needed"
        case .certificateOfAnotherKey: "the certificate is for another key than the one beside it"
        case .library(let error): "OpenSSL failed: \(error)"
        }
    }
}
