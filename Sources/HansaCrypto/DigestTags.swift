internal import COpenSSL
public import HansaCore

/// AES-128-CMAC (RFC 4493) of messages of one shape, a digest and one byte, many at a time.
///
/// A message of 33 bytes is three AES blocks, each of which needs the one before; the blocks of 128 messages go through the cipher together,
/// so that a tag costs some 20 ns and not the 400 ns of one call each. Tags are read as big-endian numbers, to be added up.
///
/// For one thread at a time.
public final class DigestTags {
    public static let keyByteCount = 16

    private static let blockBytes = 16
    private static let batchMax = 128

    private let cipher: OpaquePointer
    private let blocks: UnsafeMutableRawBufferPointer
    /// K2 of RFC 4493 §2.3, as two words in the order of its bytes.
    private var lastKey: (UInt64, UInt64) = (0, 0)

    /// A key of 16 bytes. Traps on another length, and when libcrypto fails, which means memory has run out.
    public init(key: [UInt8]) {
        precondition(key.count == Self.keyByteCount, "an AES-128 key has 16 bytes")
        ERR_clear_error()
        guard let cipher = EVP_CIPHER_CTX_new() else { preconditionFailure("out of memory") }
        guard EVP_CipherInit_ex(cipher, EVP_aes_128_ecb(), nil, key, nil, 1) == 1, EVP_CIPHER_CTX_set_padding(cipher, 0) == 1
        else { preconditionFailure("cannot set up AES-128: \(OpenSSLError(draining: "EVP_CipherInit_ex"))") }
        self.cipher = cipher
        // Room for one block more than is asked: EVP_CipherUpdate's contract, though without padding it never writes it.
        blocks = .allocate(byteCount: (Self.batchMax + 1) * Self.blockBytes, alignment: 16)
        blocks.initializeMemory(as: UInt8.self, repeating: 0)
        encrypt(1)
        let zero = UInt128(self.word(0).bigEndian) << 64 | UInt128(self.word(1).bigEndian)
        let second = Self.doubled(Self.doubled(zero))
        lastKey = (UInt64(truncatingIfNeeded: second >> 64).bigEndian, UInt64(truncatingIfNeeded: second).bigEndian)
    }

    deinit {
        EVP_CIPHER_CTX_free(cipher)
        blocks.deallocate()
    }

    /// Calls `tag` with the tag of each message, in order. `message` is asked for each index twice.
    public func each(_ count: Int, message: (Int) -> (Digest, UInt8), tag: (Int, UInt128) -> Void) {
        var start = 0
        while start < count {
            let batch = min(Self.batchMax, count - start)
            for index in 0..<batch {
                message(start + index).0.withUnsafeBytes { bytes in
                    set(2 * index, bytes.loadUnaligned(as: UInt64.self))
                    set(2 * index + 1, bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                }
            }
            encrypt(batch)
            for index in 0..<batch {
                message(start + index).0.withUnsafeBytes { bytes in
                    set(2 * index, word(2 * index) ^ bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
                    set(2 * index + 1, word(2 * index + 1) ^ bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
                }
            }
            encrypt(batch)
            for index in 0..<batch {
                // The last block is the byte, a set bit and zeros.
                let last = (UInt64(message(start + index).1) << 56 | 0x80 << 48).bigEndian
                set(2 * index, word(2 * index) ^ last ^ lastKey.0)
                set(2 * index + 1, word(2 * index + 1) ^ lastKey.1)
            }
            encrypt(batch)
            for index in 0..<batch {
                tag(start + index, UInt128(word(2 * index).bigEndian) << 64 | UInt128(word(2 * index + 1).bigEndian))
            }
            start += batch
        }
    }

    private func word(_ index: Int) -> UInt64 { blocks.load(fromByteOffset: index * 8, as: UInt64.self) }
    private func set(_ index: Int, _ value: UInt64) { blocks.storeBytes(of: value, toByteOffset: index * 8, as: UInt64.self) }

    private func encrypt(_ count: Int) {
        let start = blocks.baseAddress?.assumingMemoryBound(to: UInt8.self)
        var written: CInt = 0
        guard EVP_CipherUpdate(cipher, start, &written, start, CInt(count * Self.blockBytes)) == 1,
            Int(written) == count * Self.blockBytes
        else { preconditionFailure("cannot run AES-128: \(OpenSSLError(draining: "EVP_CipherUpdate"))") }
    }

    /// Twice a value in the field of 2^128 elements (RFC 4493 §2.3).
    private static func doubled(_ value: UInt128) -> UInt128 {
        value >> 127 == 0 ? value << 1 : value << 1 ^ 0x87
    }
}
