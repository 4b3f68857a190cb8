internal import COpenSSL
public import HansaCore

/// A SHA-256 hash in progress (FIPS 180-4), in line and without allocation.
///
/// Feed it with `update`, then `finish` once. The context is libcrypto's low-level one: hashing 64 bytes costs no algorithm
/// fetch, and large buffers run at the speed of `openssl speed`.
public struct SHA256: ~Copyable, Sendable {
    private var context = SHA256_CTX()

    @inline(__always)
    public init() { SHA256_Init(&context) }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress, bytes.count > 0 else { return }
        SHA256_Update(&context, start, bytes.count)
    }

    /// Contiguous collections are hashed in place, others are copied first.
    @inlinable
    public mutating func update(_ bytes: some Collection<UInt8>) {
        let done: Void? = bytes.withContiguousStorageIfAvailable { update(UnsafeRawBufferPointer($0)) }
        if done == nil { [UInt8](bytes).withUnsafeBytes { update($0) } }
    }

    public mutating func update(_ digest: Digest) { digest.withUnsafeBytes { update($0) } }

    /// One byte, such as the domain byte of a Merkle node.
    public mutating func update(byte: UInt8) { withUnsafeBytes(of: byte) { update($0) } }

    /// What both hashes of `updateAndHash` read at a time: the second finds it in the processor's first cache.
    private static let sliceBytes = 16 * 1024

    /// Feeds `bytes`, and gives the hash of them alone.
    public mutating func updateAndHash(_ bytes: UnsafeRawBufferPointer) -> Digest {
        var alone = SHA256()
        var rest = bytes[...]
        while !rest.isEmpty {
            let slice = UnsafeRawBufferPointer(rebasing: rest.prefix(SHA256.sliceBytes))
            update(slice)
            alone.update(slice)
            rest = rest.dropFirst(SHA256.sliceBytes)
        }
        return alone.finish()
    }

    /// The state so far, to go on two ways.
    public borrowing func copy() -> SHA256 {
        var other = SHA256()
        other.context = context
        return other
    }

    public consuming func finish() -> Digest {
        var context = self.context
        return withUnsafeTemporaryAllocation(byteCount: Digest.byteCount, alignment: 8) { digest in
            SHA256_Final(digest.baseAddress, &context)
            return Digest(UnsafeRawBufferPointer(digest))
        }
    }
}

extension SHA256 {
    public static func hash(_ bytes: UnsafeRawBufferPointer) -> Digest {
        withUnsafeTemporaryAllocation(byteCount: Digest.byteCount, alignment: 8) { digest in
            hansa_sha256(bytes.baseAddress, bytes.count, digest.baseAddress)
            return Digest(UnsafeRawBufferPointer(digest))
        }
    }

    @inlinable
    public static func hash(_ bytes: some Collection<UInt8>) -> Digest {
        bytes.withContiguousStorageIfAvailable { hash(UnsafeRawBufferPointer($0)) } ?? [UInt8](bytes).withUnsafeBytes { hash($0) }
    }

    /// The hash of all parts, one after the other, with nothing between them.
    public static func hash(_ parts: [[UInt8]]) -> Digest {
        var hash = SHA256()
        for part in parts { hash.update(part) }
        return hash.finish()
    }

    /// The hash of the domain's UTF-8 and all parts, one after the other, with nothing between them: a domain should end in a
    /// byte that no longer domain has in its place (`hansa-fingerprint/1`).
    public static func hash(domain: String, _ parts: [UInt8]...) -> Digest {
        var hash = SHA256()
        hash.update(domain.utf8)
        for part in parts { hash.update(part) }
        return hash.finish()
    }
}
