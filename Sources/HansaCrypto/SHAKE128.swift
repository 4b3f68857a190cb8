internal import COpenSSL

/// SHAKE128 (FIPS 202): as many bytes as asked from one input.
public enum SHAKE128 {
    // Fetched once, since a fetch costs as much as hashing a kilobyte. Never freed and never altered, so any thread may use it.
    // Without the default provider it is nil, and the first use traps.
    nonisolated(unsafe) private static let algorithm = EVP_MD_fetch(nil, "SHAKE128", nil)

    /// `count` bytes of output.
    public static func hash(_ bytes: [UInt8], count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { output, initialized in
            bytes.withUnsafeBytes { hash($0, into: UnsafeMutableRawBufferPointer(output)) }
            initialized = count
        }
    }

    /// Fills `output`, without allocating a result. Traps when libcrypto fails, which means memory has run out.
    public static func hash(_ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) {
        guard output.count > 0 else { return }
        ERR_clear_error()
        guard let context = EVP_MD_CTX_new() else { preconditionFailure("out of memory") }
        defer { EVP_MD_CTX_free(context) }
        guard EVP_DigestInit_ex(context, algorithm, nil) == 1, EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1,
            EVP_DigestFinalXOF(context, output.baseAddress, output.count) == 1
        else { preconditionFailure("cannot hash: \(OpenSSLError(draining: "EVP_DigestFinalXOF"))") }
    }
}
