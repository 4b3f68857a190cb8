internal import COpenSSL
public import HansaCore

/// An Ed25519 public key (RFC 8032) that was fit to be enrolled, and the strict check of signatures under it.
///
/// The rule is narrower than RFC 8032's, so that one signature means one message and has one spelling: S < L, A and R canonical
/// and not of small order, and the equation without the cofactor, which is OpenSSL's. What stands up to this stands up to every
/// verifier that we know of.
/// Copies share one libcrypto key, so many signatures under a key do not build it again. Safe to use from any thread.
public struct Ed25519PublicKey: Hashable, Sendable {
    public static let byteCount = 32
    public static let signatureByteCount = 64

    /// The key as RFC 8032 §5.1.2 encodes it, 32 bytes.
    public let bytes: [UInt8]
    /// SHA-256 of the 32 bytes: how documents name the key.
    public let keyID: Digest
    private let handle: KeyHandle

    /// Refuses what must never become anyone's key: points of small order, second spellings, and what is no point at all.
    public init(enrolling bytes: [UInt8]) throws(KeyFault) {
        self = try SignatureMemo.key(bytes) { () throws(KeyFault) in try Self(enrollingNow: bytes) }
    }

    private init(enrollingNow bytes: [UInt8]) throws(KeyFault) {
        guard bytes.count == Self.byteCount else { throw .wrongLength(bytes.count) }
        guard !Edwards.isSmallOrder(bytes[...]) else { throw .smallOrder }
        guard Edwards.isCanonical(bytes[...]) else { throw .notCanonical }
        guard try Edwards.isOnCurve(bytes) else { throw .notOnCurve }
        ERR_clear_error()
        guard let pointer = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, bytes, bytes.count) else {
            throw .library(OpenSSLError(draining: "EVP_PKEY_new_raw_public_key"))
        }
        self.init(trusted: bytes, handle: KeyHandle(owning: pointer))
    }

    /// Of a private key of ours: nothing to check.
    init(trusted bytes: [UInt8], handle: KeyHandle) {
        self.bytes = bytes
        self.handle = handle
        keyID = SHA256.hash(bytes)
    }

    /// Whether this key signed exactly `message`. About 100 µs; the handle is not rebuilt.
    public func isValid(_ signature: [UInt8], for message: [UInt8]) -> Bool {
        guard signature.count == Self.signatureByteCount else { return false }
        return SignatureMemo.verdict(keyID, signature, message) { isValidNow(signature, for: message) }
    }

    private func isValidNow(_ signature: [UInt8], for message: [UInt8]) -> Bool {
        guard Edwards.isScalarBelowOrder(signature[32...]) else { return false }
        guard Edwards.isCanonical(signature[..<32]), !Edwards.isSmallOrder(signature[..<32]) else { return false }
        defer { ERR_clear_error() }
        guard let context = EVP_MD_CTX_new() else { return false }
        defer { EVP_MD_CTX_free(context) }
        guard handle.readyToVerify(context) else { return false }
        return EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
    }

    public static func == (left: Ed25519PublicKey, right: Ed25519PublicKey) -> Bool { left.bytes == right.bytes }
    public func hash(into hasher: inout Hasher) { hasher.combine(keyID) }
}
