internal import CLinux

/// CRC-32C (Castagnoli; RFC 3720 §B.4): finds torn writes and flipped bits. It is no defence against anybody: digests are.
public struct CRC32C: Sendable {
    /// The checksum of what has been added so far.
    public private(set) var value: UInt32 = 0

    public init() {}

    public mutating func update(_ bytes: UnsafeRawBufferPointer) { value = hansa_crc32c(value, bytes.baseAddress, bytes.count) }

    public mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    public static func checksum(_ bytes: [UInt8]) -> UInt32 {
        var checksum = CRC32C()
        checksum.update(bytes)
        return checksum.value
    }

    /// By table, as processors without the instruction compute it.
    static func portable(_ bytes: [UInt8]) -> UInt32 {
        bytes.withUnsafeBytes { hansa_crc32c_portable(0, $0.baseAddress, $0.count) }
    }
}
