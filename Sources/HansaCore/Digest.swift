/// A SHA-256 value: 32 bytes, held in line as four words so that sets and dictionaries of digests are cheap.
///
/// The words are the bytes read big-endian, so `<` orders digests as their bytes do.
public struct Digest: Hashable, Comparable, Sendable {
    public static let byteCount = 32
    /// 32 zero bytes: "no digest" where a fixed field needs one.
    public static let zero = Digest(0, 0, 0, 0)

    @usableFromInline let a: UInt64
    @usableFromInline let b: UInt64
    @usableFromInline let c: UInt64
    @usableFromInline let d: UInt64

    @inlinable
    public init(_ a: UInt64, _ b: UInt64, _ c: UInt64, _ d: UInt64) {
        self.a = a
        self.b = b
        self.c = c
        self.d = d
    }

    /// The digest whose bytes are these; nil unless there are exactly 32.
    @inlinable
    public init?(_ bytes: some Sequence<UInt8>) {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        var count = 0
        for byte in bytes {
            switch count >> 3 {
            case 0: words.0 = words.0 << 8 | UInt64(byte)
            case 1: words.1 = words.1 << 8 | UInt64(byte)
            case 2: words.2 = words.2 << 8 | UInt64(byte)
            case 3: words.3 = words.3 << 8 | UInt64(byte)
            default: return nil
            }
            count += 1
        }
        guard count == Digest.byteCount else { return nil }
        self.init(words.0, words.1, words.2, words.3)
    }

    /// Reads 32 bytes at `offset`. Traps when they are not there: callers have checked the length.
    @inlinable
    public init(_ buffer: UnsafeRawBufferPointer, at offset: Int = 0) {
        self.init(
            UInt64(bigEndian: buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)),
            UInt64(bigEndian: buffer.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)),
            UInt64(bigEndian: buffer.loadUnaligned(fromByteOffset: offset + 16, as: UInt64.self)),
            UInt64(bigEndian: buffer.loadUnaligned(fromByteOffset: offset + 24, as: UInt64.self)))
    }

    /// 64 lower-case hex digits; nil for anything else, upper case included: a digest has one spelling.
    public init?(hex: some StringProtocol) {
        guard let digest = hex.withASCII({ Digest(hexDigits: $0[...]) }) else { return nil }
        self = digest
    }

    /// `sha256:` and 64 hex digits, as documents write it.
    public init?(prefixed text: some StringProtocol) {
        let prefix: StaticString = "sha256:"
        let digest = text.withASCII { bytes -> Digest? in
            guard bytes.count == prefix.utf8CodeUnitCount + 2 * Digest.byteCount else { return nil }
            for index in 0..<prefix.utf8CodeUnitCount where bytes[index] != prefix.utf8Start[index] { return nil }
            return Digest(hexDigits: bytes[prefix.utf8CodeUnitCount...])
        }
        guard let digest else { return nil }
        self = digest
    }

    /// The same as bytes.
    public init?(hexDigits: UnsafeRawBufferPointer) {
        guard let digest = hexDigits.withMemoryRebound(to: UInt8.self, { Digest(hexDigits: $0[...]) }) else { return nil }
        self = digest
    }

    private init?(hexDigits: Slice<UnsafeBufferPointer<UInt8>>) {
        guard hexDigits.count == 2 * Digest.byteCount else { return nil }
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        var position = hexDigits.startIndex
        for word in 0..<4 {
            var value: UInt64 = 0
            for _ in 0..<16 {
                guard let digit = Hex.value(of: hexDigits[position]) else { return nil }
                value = value << 4 | UInt64(digit)
                position += 1
            }
            switch word {
            case 0: words.0 = value
            case 1: words.1 = value
            case 2: words.2 = value
            default: words.3 = value
            }
        }
        self.init(words.0, words.1, words.2, words.3)
    }

    @inlinable
    public static func < (left: Digest, right: Digest) -> Bool {
        if left.a != right.a { return left.a < right.a }
        if left.b != right.b { return left.b < right.b }
        if left.c != right.c { return left.c < right.c }
        return left.d < right.d
    }

    @inlinable
    public func hash(into hasher: inout Hasher) {
        // The value is uniform already when honest; both outer words, so that a chosen prefix does not pile up one bucket.
        hasher.combine(a)
        hasher.combine(d)
    }

    /// Calls `body` with the 32 bytes.
    @inlinable
    public func withUnsafeBytes<T>(_ body: (UnsafeRawBufferPointer) throws -> T) rethrows -> T {
        let words = (a.bigEndian, b.bigEndian, c.bigEndian, d.bigEndian)
        return try Swift.withUnsafeBytes(of: words, body)
    }

    public var bytes: [UInt8] { withUnsafeBytes { [UInt8]($0) } }
    /// 64 lower-case hex digits.
    public var hex: String {
        String(unsafeUninitializedCapacity: 64) { text in
            appendHex(to: text, at: 0)
            return 64
        }
    }
    /// As documents write it: `sha256:` and 64 hex digits.
    public var prefixed: String {
        let prefix: StaticString = "sha256:"
        return String(unsafeUninitializedCapacity: 71) { text in
            for index in 0..<7 { text[index] = prefix.utf8Start[index] }
            appendHex(to: text, at: 7)
            return 71
        }
    }
    private func appendHex(to text: UnsafeMutableBufferPointer<UInt8>, at start: Int) {
        withUnsafeBytes { bytes in
            for index in 0..<Digest.byteCount {
                text[start + 2 * index] = Hex.digit(bytes[index] >> 4)
                text[start + 2 * index + 1] = Hex.digit(bytes[index] & 15)
            }
        }
    }
    /// The first 12 hex digits, as people see it.
    public var short: String { String(hex.prefix(12)) }
}

extension Digest: CustomStringConvertible, Codable {
    public var description: String { prefixed }

    /// In JSON a digest is always written `sha256:…`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let digest = Digest(prefixed: text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a digest (sha256: and 64 hex digits)")
        }
        self = digest
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(prefixed)
    }
}
