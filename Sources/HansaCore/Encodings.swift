// Hex and base64 (RFC 4648) by table, without Foundation.

/// Lower-case hex.
public enum Hex {
    /// The digit for 0…15.
    @inline(__always)
    static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }

    /// 0…15 for `0-9a-f`, nil for anything else.
    @inline(__always)
    static func value(of digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x61...0x66: digit - 0x57
        default: nil
        }
    }

    /// Where between two places the next 64 digits stand that have no other digit beside them there: a digest that is spelled out. Looks at about
    /// every 64th byte of a text without any.
    public static func nextDigest(in bytes: UnsafeRawBufferPointer, from start: Int, to end: Int) -> Int? {
        let count = 2 * Digest.byteCount
        // 64 digits cover a 64th place: what lies between need not be looked at.
        var probe = start + count - 1
        while probe < end {
            guard value(of: bytes[probe]) != nil else {
                probe += count
                continue
            }
            var first = probe
            while first > start, value(of: bytes[first - 1]) != nil { first -= 1 }
            var next = probe + 1
            while next < end, value(of: bytes[next]) != nil { next += 1 }
            if next - first == count { return first }
            probe = next + count - 1
        }
        return nil
    }

    public static func encode(_ bytes: some Sequence<UInt8>) -> String { encode([UInt8](bytes)) }

    public static func encode(_ bytes: [UInt8]) -> String {
        String(unsafeUninitializedCapacity: bytes.count * 2) { text in
            for index in bytes.indices {
                text[2 * index] = digit(bytes[index] >> 4)
                text[2 * index + 1] = digit(bytes[index] & 15)
            }
            return bytes.count * 2
        }
    }

    /// The bytes, or nil for an odd count or any character but `0-9a-f`.
    public static func decode(_ text: some StringProtocol) -> [UInt8]? {
        text.withASCII { digits in
            guard digits.count % 2 == 0 else { return nil }
            var bytes: [UInt8] = []
            bytes.reserveCapacity(digits.count / 2)
            for index in stride(from: 0, to: digits.count, by: 2) {
                guard let high = value(of: digits[index]), let low = value(of: digits[index + 1]) else { return nil }
                bytes.append(high << 4 | low)
            }
            return bytes
        }
    }
}

/// Base64: written in the standard alphabet with padding; read strictly.
public enum Base64 {
    public enum Alphabet: Sendable { case standard, urlSafe }

    private static let padding: UInt8 = 0x3D

    /// The letter for 0…63 of the standard alphabet.
    @inline(__always)
    private static func letter(_ value: UInt32) -> UInt8 {
        let value = UInt8(truncatingIfNeeded: value & 63)
        switch value {
        case 0..<26: return 0x41 + value
        case 26..<52: return 0x61 + value - 26
        case 52..<62: return 0x30 + value - 52
        case 62: return 0x2B
        default: return 0x2F
        }
    }

    /// 0…63 for a letter of either alphabet; 255 for anything else.
    @inline(__always)
    private static func value(of letter: UInt8) -> UInt8 {
        switch letter {
        case 0x41...0x5A: letter - 0x41
        case 0x61...0x7A: letter - 0x61 + 26
        case 0x30...0x39: letter - 0x30 + 52
        case 0x2B, 0x2D: 62
        case 0x2F, 0x5F: 63
        default: 255
        }
    }

    /// Standard alphabet, padded, appended as ASCII.
    public static func encode(_ bytes: some Collection<UInt8>, into text: inout [UInt8]) {
        if bytes.withContiguousStorageIfAvailable({ encode(contiguous: $0, into: &text) }) == nil {
            Array(bytes).withUnsafeBufferPointer { encode(contiguous: $0, into: &text) }
        }
    }

    private static func encode(contiguous bytes: UnsafeBufferPointer<UInt8>, into text: inout [UInt8]) {
        text.reserveCapacity(text.count + (bytes.count + 2) / 3 * 4)
        var index = 0
        while index + 3 <= bytes.count {
            let word = UInt32(bytes[index]) << 16 | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2])
            text.append(letter(word >> 18))
            text.append(letter(word >> 12))
            text.append(letter(word >> 6))
            text.append(letter(word))
            index += 3
        }
        switch bytes.count - index {
        case 1:
            let word = UInt32(bytes[index]) << 16
            text.append(letter(word >> 18))
            text.append(letter(word >> 12))
            text.append(padding)
            text.append(padding)
        case 2:
            let word = UInt32(bytes[index]) << 16 | UInt32(bytes[index + 1]) << 8
            text.append(letter(word >> 18))
            text.append(letter(word >> 12))
            text.append(letter(word >> 6))
            text.append(padding)
        default: break
        }
    }

    public static func encode(_ bytes: some Collection<UInt8>) -> String {
        var text: [UInt8] = []
        encode(bytes, into: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// Reads either alphabet, but not a mix of the two, padded or not. Nil for anything else:
    /// white space, non-zero trailing bits and wrong padding are refused, so that bytes have one spelling per alphabet.
    public static func decode(_ text: some StringProtocol) -> [UInt8]? { text.withASCII { decode(contiguous: $0) } }

    public static func decode(ascii: [UInt8]) -> [UInt8]? { ascii.withUnsafeBufferPointer { decode(contiguous: $0) } }

    private static func decode(contiguous ascii: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        var end = ascii.count
        while end > 0, ascii[end - 1] == padding, ascii.count - end < 2 { end -= 1 }
        if end < ascii.count, ascii.count % 4 != 0 { return nil }
        guard end % 4 != 1 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(end * 3 / 4)
        var word: UInt32 = 0
        var bits: UInt32 = 0
        var standard = false
        var urlSafe = false
        for index in 0..<end {
            let character = ascii[index]
            let value = value(of: character)
            guard value != 255 else { return nil }
            if value >= 62 {
                if character == 0x2B || character == 0x2F { standard = true } else { urlSafe = true }
            }
            word = word << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: word >> bits))
                word &= (1 << bits) - 1
            }
        }
        return word == 0 && !(standard && urlSafe) ? bytes : nil
    }
}

extension StringProtocol {
    /// Calls `body` with the text's UTF-8, in place where it is contiguous.
    @inline(__always)
    func withASCII<T>(_ body: (UnsafeBufferPointer<UInt8>) -> T) -> T {
        if let result = utf8.withContiguousStorageIfAvailable(body) { return result }
        return Array(utf8).withUnsafeBufferPointer(body)
    }
}
