// Scans over raw bytes, eight or sixteen at a time, without intrinsics.

enum Byte {
    static let lineFeed: UInt8 = 0x0A
    static let carriageReturn: UInt8 = 0x0D
    static let quote: UInt8 = 0x22
    /// U+FEFF in UTF-8.
    static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
}

/// Words of eight bytes in which each byte that equals a given one is flagged by its top bit, exactly.
enum WordScan {
    @inline(__always)
    static func pattern(_ byte: UInt8) -> UInt64 { UInt64(byte) &* 0x0101_0101_0101_0101 }

    /// 0x80 in each byte of `word` that equals the byte of `pattern`, 0 elsewhere. No carry crosses bytes.
    @inline(__always)
    static func matches(_ word: UInt64, _ pattern: UInt64) -> UInt64 {
        let low: UInt64 = 0x7F7F_7F7F_7F7F_7F7F
        let difference = word ^ pattern
        return ~(((difference & low) &+ low) | difference | low)
    }
}

/// Finds what may end a field, or start quotes: delimiter, LF, CR, quote. The first byte of a word is its lowest.
struct StopFinder {
    private let delimiter: UInt64

    init(delimiter: UInt8) { self.delimiter = WordScan.pattern(delimiter) }

    @inline(__always)
    func flags(_ word: UInt64) -> UInt64 {
        let word = UInt64(littleEndian: word)
        return WordScan.matches(word, delimiter) | WordScan.matches(word, WordScan.pattern(Byte.lineFeed))
            | WordScan.matches(word, WordScan.pattern(Byte.carriageReturn)) | WordScan.matches(word, WordScan.pattern(Byte.quote))
    }

    /// The same for the fewer than eight bytes that are left.
    func flags(tail bytes: UnsafeRawBufferPointer, from start: Int) -> UInt64 {
        var word: UInt64 = 0
        for index in start..<bytes.count { word |= UInt64(bytes[index]) << UInt64((index - start) * 8) }
        return flags(UInt64(littleEndian: word)) & ((1 << UInt64((bytes.count - start) * 8)) - 1)
    }
}

enum QuoteFinder {
    /// The index of the first quote at or behind `start`; the count when there is none.
    @inline(__always)
    static func firstQuote(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start
        while index + 8 <= bytes.count {
            let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            let flags = WordScan.matches(word, WordScan.pattern(Byte.quote))
            if flags != 0 { return index + flags.trailingZeroBitCount >> 3 }
            index += 8
        }
        while index < bytes.count, bytes[index] != Byte.quote { index += 1 }
        return index
    }
}

/// Checks, over any number of buffers, that bytes are UTF-8 (RFC 3629) without NUL.
struct TextCheck: Sendable {
    /// Continuation bytes still due, and the range the next one must lie in.
    private var due = 0
    private var lower: UInt8 = 0x80
    private var upper: UInt8 = 0xBF

    /// False inside a sequence.
    var isComplete: Bool { due == 0 }

    /// The offset of the first byte that cannot stand there; nil when all can.
    mutating func firstBadByte(in bytes: UnsafeRawBufferPointer) -> Int? {
        var index = 0
        while index < bytes.count {
            if due == 0 {
                index = TextCheck.plainEnd(bytes, from: index)
                if index == bytes.count { return nil }
            }
            guard step(bytes[index]) else { return index }
            index += 1
        }
        return nil
    }

    // Skips bytes 0x01…0x7F, sixteen at a time while all are.
    private static func plainEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start
        let highs = SIMD16<UInt8>(repeating: 0x7F)
        let ones = SIMD16<UInt8>(repeating: 1)
        while index + 64 <= bytes.count {
            let a = bytes.loadUnaligned(fromByteOffset: index, as: SIMD16<UInt8>.self)
            let b = bytes.loadUnaligned(fromByteOffset: index + 16, as: SIMD16<UInt8>.self)
            let c = bytes.loadUnaligned(fromByteOffset: index + 32, as: SIMD16<UInt8>.self)
            let d = bytes.loadUnaligned(fromByteOffset: index + 48, as: SIMD16<UInt8>.self)
            // 0x01…0x7F less one is at most 0x7E; NUL wraps to 0xFF and bytes from 0x80 stay at or above 0x7F.
            let worst = pointwiseMax(pointwiseMax(a &- ones, b &- ones), pointwiseMax(c &- ones, d &- ones))
            if any(worst .>= highs) { break }
            index += 64
        }
        while index < bytes.count, (0x01...0x7F).contains(bytes[index]) { index += 1 }
        return index
    }

    private mutating func step(_ byte: UInt8) -> Bool {
        if due > 0 {
            guard byte >= lower, byte <= upper else { return false }
            due -= 1
            (lower, upper) = (0x80, 0xBF)
            return true
        }
        switch byte {
        case 0x01...0x7F: return true
        case 0xC2...0xDF: due = 1
        case 0xE0: (due, lower) = (2, 0xA0)
        case 0xED: (due, upper) = (2, 0x9F)
        case 0xE1...0xEF: due = 2
        case 0xF0: (due, lower) = (3, 0x90)
        case 0xF1...0xF3: due = 3
        case 0xF4: (due, upper) = (3, 0x8F)
        default: return false
        }
        return true
    }
}
