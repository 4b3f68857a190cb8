internal import COpenSSL
public import HansaCore

/// HMAC with SHA-256 (RFC 2104, FIPS 198-1).
public enum HMACSHA256 {
    /// The 32-byte tag. Traps when libcrypto fails, which means memory has run out.
    public static func authenticate(_ bytes: [UInt8], key: [UInt8]) -> Digest {
        ERR_clear_error()
        return withUnsafeTemporaryAllocation(byteCount: Digest.byteCount, alignment: 8) { tag in
            // An empty array's pointer may be nil, and HMAC() reads a nil key as "the key of last time"; it gets a valid pointer.
            var count: CUnsignedInt = 0
            let output = (key.isEmpty ? [0] : key).withUnsafeBytes { start in
                HMAC(EVP_sha256(), start.baseAddress, CInt(key.count), bytes, bytes.count, tag.baseAddress, &count)
            }
            precondition(output != nil && count == Digest.byteCount, "cannot authenticate: \(OpenSSLError(draining: "HMAC"))")
            return Digest(UnsafeRawBufferPointer(tag))
        }
    }

    /// Whether `tag` is the tag of `bytes`, in a time that does not tell where they differ.
    public static func isValid(_ tag: Digest, for bytes: [UInt8], key: [UInt8]) -> Bool {
        let expected = authenticate(bytes, key: key)
        return expected.withUnsafeBytes { left in
            tag.withUnsafeBytes { CRYPTO_memcmp(left.baseAddress, $0.baseAddress, $0.count) == 0 }
        }
    }
}
