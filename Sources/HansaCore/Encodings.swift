// Hex and base64 (RFC 4648) by table, without Foundation.

/// Lower-case hex.
public enum Hex {
    private static let digits = Array("0123456789abcdef".utf8)

    public static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(bytes.underestimatedCount * 2)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The bytes, or nil for an odd count or any character but `0-9a-f`.
    public static func decode(_ text: some StringProtocol) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count / 2)
        var high: UInt8?
        for character in text.utf8 {
            let value: UInt8
            switch character {
            case 0x30...0x39: value = character - 0x30
            case 0x61...0x66: value = character - 0x61 + 10
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return high == nil ? bytes : nil
    }
}

/// Base64: written in the standard alphabet with padding; read strictly.
public enum Base64 {
    public enum Alphabet: Sendable { case standard, urlSafe }

    private static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    private static let values: [UInt8] = {
        var table = [UInt8](repeating: 255, count: 256)
        for (value, letter) in letters.enumerated() { table[Int(letter)] = UInt8(value) }
        table[Int(UInt8(ascii: "-"))] = 62
        table[Int(UInt8(ascii: "_"))] = 63
        return table
    }()

    /// Standard alphabet, padded, appended as ASCII.
    public static func encode(_ bytes: some Collection<UInt8>, into text: inout [UInt8]) {
        text.reserveCapacity(text.count + (bytes.count + 2) / 3 * 4)
        var word: UInt32 = 0
        var held = 0
        for byte in bytes {
            word = word << 8 | UInt32(byte)
            held += 1
            if held == 3 {
                text.append(letters[Int(word >> 18 & 63)])
                text.append(letters[Int(word >> 12 & 63)])
                text.append(letters[Int(word >> 6 & 63)])
                text.append(letters[Int(word & 63)])
                word = 0
                held = 0
            }
        }
        if held == 1 {
            text.append(letters[Int(word >> 2 & 63)])
            text.append(letters[Int(word << 4 & 63)])
            text.append(contentsOf: [0x3D, 0x3D])
        } else if held == 2 {
            text.append(letters[Int(word >> 10 & 63)])
            text.append(letters[Int(word >> 4 & 63)])
            text.append(letters[Int(word << 2 & 63)])
            text.append(0x3D)
        }
    }

    public static func encode(_ bytes: some Collection<UInt8>) -> String {
        var text: [UInt8] = []
        encode(bytes, into: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// Reads either alphabet, but not a mix of the two, padded or not. Nil for anything else:
    /// white space, non-zero trailing bits and wrong padding are refused, so that bytes have one spelling per alphabet.
    public static func decode(_ text: some StringProtocol) -> [UInt8]? { decode(ascii: Array(text.utf8)) }

    public static func decode(ascii: [UInt8]) -> [UInt8]? {
        var end = ascii.count
        while end > 0, ascii[end - 1] == 0x3D, ascii.count - end < 2 { end -= 1 }
        if end < ascii.count, ascii.count % 4 != 0 { return nil }
        guard end % 4 != 1 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(end * 3 / 4)
        var word: UInt32 = 0
        var bits = 0
        var standard = false
        var urlSafe = false
        for index in 0..<end {
            let character = ascii[index]
            let value = values[Int(character)]
            guard value != 255 else { return nil }
            if character == 0x2B || character == 0x2F { standard = true }
            if character == 0x2D || character == 0x5F { urlSafe = true }
            word = word << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(bits)))
                word &= (1 << UInt32(bits)) - 1
            }
        }
        return word == 0 && !(standard && urlSafe) ? bytes : nil
    }
}
