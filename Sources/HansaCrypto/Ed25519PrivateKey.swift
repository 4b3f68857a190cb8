internal import COpenSSL

/// An Ed25519 private key (RFC 8032), held by libcrypto. Safe to use from any thread.
public final class Ed25519PrivateKey: Sendable {
    public static let seedByteCount = 32

    public let publicKey: Ed25519PublicKey
    private let handle: KeyHandle

    /// A new key from the system's random source. Traps when there is none: nothing safe can follow.
    public static func generate() -> Ed25519PrivateKey {
        var seed = [UInt8](repeating: 0, count: seedByteCount)
        defer { OPENSSL_cleanse(&seed, seed.count) }
        precondition(RAND_priv_bytes(&seed, CInt(seed.count)) == 1, "no randomness: \(OpenSSLError(draining: "RAND_priv_bytes"))")
        do {
            return try Ed25519PrivateKey(seed: seed)
        } catch {
            preconditionFailure("libcrypto has no Ed25519: \(error)")
        }
    }

    /// The key of a 32-byte seed (RFC 8032 §5.1.5). The caller erases its copy of the seed.
    public convenience init(seed: [UInt8]) throws(KeyFault) {
        guard seed.count == Self.seedByteCount else { throw .wrongLength(seed.count) }
        ERR_clear_error()
        guard let pointer = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, seed, seed.count) else {
            throw .library(OpenSSLError(draining: "EVP_PKEY_new_raw_private_key"))
        }
        try self.init(handle: KeyHandle(owning: pointer))
    }

    /// Reads PEM: an unencrypted PKCS#8 key (RFC 5958, RFC 8410), as `openssl genpkey -algorithm ed25519` writes it.
    public convenience init(pem: [UInt8]) throws(KeyFault) {
        let handle = try PEM.readKey(pem)
        guard EVP_PKEY_get_id(handle.pointer) == EVP_PKEY_ED25519 else {
            throw .wrongAlgorithm(wanted: "Ed25519", found: PEM.algorithm(of: handle))
        }
        try self.init(handle: handle)
    }

    private init(handle: KeyHandle) throws(KeyFault) {
        var bytes = [UInt8](repeating: 0, count: Ed25519PublicKey.byteCount)
        var count = bytes.count
        guard EVP_PKEY_get_raw_public_key(handle.pointer, &bytes, &count) == 1, count == bytes.count else {
            throw .library(OpenSSLError(draining: "EVP_PKEY_get_raw_public_key"))
        }
        self.handle = handle
        publicKey = Ed25519PublicKey(trusted: bytes, handle: handle)
    }

    /// 64 bytes, the same for the same message (RFC 8032 §5.1.6). Traps when libcrypto fails, which means memory has run out.
    public func sign(_ message: [UInt8]) -> [UInt8] {
        SignatureMemo.signature(publicKey.keyID, message) { signNow(message) }
    }

    private func signNow(_ message: [UInt8]) -> [UInt8] {
        ERR_clear_error()
        guard let context = EVP_MD_CTX_new() else { preconditionFailure("out of memory") }
        defer { EVP_MD_CTX_free(context) }
        var signature = [UInt8](repeating: 0, count: Ed25519PublicKey.signatureByteCount)
        var count = signature.count
        guard handle.readyToSign(context),
            EVP_DigestSign(context, &signature, &count, message, message.count) == 1, count == signature.count
        else { preconditionFailure("cannot sign: \(OpenSSLError(draining: "EVP_DigestSign"))") }
        return signature
    }

    /// Unencrypted PKCS#8 in PEM, for a file that only its owner reads (`KeyFile`).
    public func pem() -> [UInt8] { PEM.write(handle, certificate: nil) }
}
