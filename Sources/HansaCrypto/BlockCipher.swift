internal import COpenSSL

/// AES-128 (FIPS 197) on single blocks: a keyed permutation of 16 bytes, for cursors that tell their holder nothing.
///
/// It is no way to encrypt messages: equal blocks give equal blocks, and nothing is authenticated.
public struct BlockCipher: Sendable {
    public static let byteCount = 16

    private let key: [UInt8]

    /// A key of 16 bytes. Traps on another length.
    public init(key: [UInt8]) {
        precondition(key.count == Self.byteCount, "an AES-128 key has 16 bytes")
        self.key = key
    }

    /// 16 bytes to 16 bytes. Traps on another length.
    public func encrypt(_ block: [UInt8]) -> [UInt8] { run(block, direction: 1) }
    public func decrypt(_ block: [UInt8]) -> [UInt8] { run(block, direction: 0) }

    private func run(_ block: [UInt8], direction: CInt) -> [UInt8] {
        precondition(block.count == Self.byteCount, "an AES block has 16 bytes")
        ERR_clear_error()
        guard let context = EVP_CIPHER_CTX_new() else { preconditionFailure("out of memory") }
        defer { EVP_CIPHER_CTX_free(context) }
        // Room for one block more than is asked: EVP_CipherUpdate's contract, though without padding it never writes it.
        var output = [UInt8](repeating: 0, count: 2 * Self.byteCount)
        var count: CInt = 0
        guard EVP_CipherInit_ex(context, EVP_aes_128_ecb(), nil, key, nil, direction) == 1,
            EVP_CIPHER_CTX_set_padding(context, 0) == 1,
            EVP_CipherUpdate(context, &output, &count, block, CInt(block.count)) == 1, count == block.count
        else { preconditionFailure("cannot run AES-128: \(OpenSSLError(draining: "EVP_CipherUpdate"))") }
        return Array(output[..<Self.byteCount])
    }
}
