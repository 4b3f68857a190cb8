// Reading and writing of binary formats: big-endian integers and QUIC varints (RFC 9000 §16), bounded, one encoding for each value.

/// Why bytes could not be read.
public enum ByteFault: Error, Equatable, Sendable {
    case truncated(wanted: Int, left: Int)
    /// A varint that was not written in its shortest form.
    case overlongInteger
    /// A count or length above the limit that the caller named.
    case aboveLimit(UInt64, limit: Int)
    case trailing(Int)
    /// A field holds what its format does not allow; the text names the field.
    case malformed(String)
}

/// Appends to a byte array.
public struct ByteWriter: Sendable {
    public private(set) var bytes: [UInt8]

    public init(reserving capacity: Int = 0) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    public var count: Int { bytes.count }
    public mutating func u8(_ value: UInt8) { bytes.append(value) }
    public mutating func u16(_ value: UInt16) { integer(value.bigEndian) }
    public mutating func u24(_ value: UInt32) {
        precondition(value < 1 << 24, "u24 out of range")
        bytes.append(UInt8(truncatingIfNeeded: value >> 16))
        integer(UInt16(truncatingIfNeeded: value).bigEndian)
    }
    public mutating func u32(_ value: UInt32) { integer(value.bigEndian) }
    public mutating func u64(_ value: UInt64) { integer(value.bigEndian) }
    public mutating func digest(_ value: Digest) { value.withUnsafeBytes { bytes.append(contentsOf: $0) } }
    public mutating func raw(_ value: some Sequence<UInt8>) { bytes.append(contentsOf: value) }
    public mutating func raw(_ value: [UInt8]) { bytes.append(contentsOf: value) }

    /// A QUIC varint in its shortest form. Traps above 2^62 − 1.
    public mutating func varint(_ value: UInt64) {
        switch value {
        case 0..<(1 << 6): bytes.append(UInt8(value))
        case 0..<(1 << 14): u16(UInt16(value) | 0x4000)
        case 0..<(1 << 30): u32(UInt32(value) | 0x8000_0000)
        default:
            precondition(value < 1 << 62, "varint out of range")
            u64(value | 0xC000_0000_0000_0000)
        }
    }
    public mutating func varint(_ value: Int) { varint(UInt64(value)) }

    /// A varint length, then the bytes.
    public mutating func prefixed(_ value: some Collection<UInt8>) {
        varint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }
    public mutating func prefixed(_ value: [UInt8]) {
        varint(value.count)
        bytes.append(contentsOf: value)
    }
    public mutating func prefixed(_ text: String) {
        varint(text.utf8.count)
        bytes.append(contentsOf: text.utf8)
    }

    private mutating func integer<T: FixedWidthInteger>(_ value: T) {
        Swift.withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }
}

/// Reads a byte array from its front; every length is checked before anything is copied.
public struct ByteReader: Sendable {
    private let bytes: ArraySlice<UInt8>
    private var position: Int

    public init(_ bytes: [UInt8]) { self.init(bytes[...]) }
    public init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    public var left: Int { bytes.endIndex - position }
    public var isAtEnd: Bool { position == bytes.endIndex }

    public mutating func u8() throws(ByteFault) -> UInt8 {
        try need(1)
        defer { position += 1 }
        return bytes[position]
    }
    public mutating func u16() throws(ByteFault) -> UInt16 { try UInt16(integer(2)) }
    public mutating func u24() throws(ByteFault) -> UInt32 { try UInt32(integer(3)) }
    public mutating func u32() throws(ByteFault) -> UInt32 { try UInt32(integer(4)) }
    public mutating func u64() throws(ByteFault) -> UInt64 { try integer(8) }

    public mutating func varint() throws(ByteFault) -> UInt64 {
        try need(1)
        let size = 1 << Int(bytes[position] >> 6)
        let raw = try integer(size)
        let value = size == 8 ? raw & 0x3FFF_FFFF_FFFF_FFFF : raw & ((1 << UInt64(size * 8 - 2)) - 1)
        switch size {
        case 2 where value < 1 << 6, 4 where value < 1 << 14, 8 where value < 1 << 30: throw .overlongInteger
        default: return value
        }
    }

    /// A varint that counts something: refused above `limit`, before anything is allocated for it.
    public mutating func count(max limit: Int) throws(ByteFault) -> Int {
        let value = try varint()
        guard value <= UInt64(limit) else { throw .aboveLimit(value, limit: limit) }
        return Int(value)
    }

    public mutating func digest() throws(ByteFault) -> Digest {
        try need(Digest.byteCount)
        defer { position += Digest.byteCount }
        return bytes.withUnsafeBytes { Digest($0, at: position - bytes.startIndex) }
    }

    public mutating func raw(_ count: Int) throws(ByteFault) -> ArraySlice<UInt8> {
        try need(count)
        defer { position += count }
        return bytes[position..<(position + count)]
    }

    /// A varint length, at most `limit`, then that many bytes.
    public mutating func prefixed(max limit: Int) throws(ByteFault) -> ArraySlice<UInt8> { try raw(count(max: limit)) }

    /// Text: valid UTF-8 only.
    public mutating func text(max limit: Int) throws(ByteFault) -> String {
        guard let text = String(validating: try prefixed(max: limit), as: UTF8.self) else {
            throw .malformed("text is not UTF-8")
        }
        return text
    }

    public mutating func rest() -> ArraySlice<UInt8> {
        defer { position = bytes.endIndex }
        return bytes[position...]
    }

    /// Call last: nothing may stand after what was read.
    public func end() throws(ByteFault) { if !isAtEnd { throw .trailing(left) } }

    private func need(_ count: Int) throws(ByteFault) {
        guard (0...left).contains(count) else { throw .truncated(wanted: count, left: left) }
    }

    private mutating func integer(_ size: Int) throws(ByteFault) -> UInt64 {
        try need(size)
        var value: UInt64 = 0
        for index in position..<(position + size) { value = value << 8 | UInt64(bytes[index]) }
        position += size
        return value
    }
}
