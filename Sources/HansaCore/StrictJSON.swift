// The scanner that every signed document, request and manifest passes before a decoder sees it (FORMATS.md §1).
//
// Decoders differ in what they forgive: repeated keys, a BOM, lone surrogates, leading zeros. On signed bytes such a
// difference lets two readers see two documents, so all of it is refused here. The scanner decodes nothing.

/// Why a text is not the JSON we accept, and at which byte.
public struct JSONFault: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Kind: Equatable, Sendable {
        case tooLarge(limit: Int)
        case tooDeep(limit: Int)
        case truncated
        case unexpected(UInt8)
        case trailing
        case byteOrderMark
        case notUTF8
        /// A control character below U+0020 in a string.
        case control(UInt8)
        case badEscape
        case loneSurrogate
        case leadingZero
        case badNumber
        /// A fraction, an exponent or −0 where integers are asked.
        case notInteger
        /// Beyond a signed 64-bit integer.
        case integerTooLarge
        case duplicateKey(String)
        /// A key with a character that Unicode takes for an ASCII one (U+212A for `K`): a decoder would find another key.
        case ambiguousKey(String)
        /// A decoder refused what the scanner had passed: the shape is wrong. The text says where and what.
        case shape(String)
    }

    public let kind: Kind
    /// Byte offset in the text.
    public let offset: Int

    public init(_ kind: Kind, at offset: Int) {
        self.kind = kind
        self.offset = offset
    }

    public var description: String {
        if case .shape(let text) = kind { return text }
        return "\(what), at byte \(offset)"
    }

    private var what: String {
        switch kind {
        case .tooLarge(let limit): "more than \(limit) bytes"
        case .tooDeep(let limit): "nested deeper than \(limit)"
        case .truncated: "the text ends too early"
        case .unexpected(let byte):
            (0x21...0x7E).contains(byte) ? "unexpected '\(Character(UnicodeScalar(byte)))'" : "unexpected byte \(byte)"
        case .trailing: "something stands after the value"
        case .byteOrderMark: "a byte order mark"
        case .notUTF8: "not UTF-8"
        case .control: "a control character in a string"
        case .badEscape: "an unknown escape"
        case .loneSurrogate: "half of a surrogate pair"
        case .leadingZero: "a leading zero"
        case .badNumber: "not a number"
        case .notInteger: "a number that is no integer"
        case .integerTooLarge: "an integer beyond 64 bits"
        case .duplicateKey(let name): "the key '\(name.printable(charactersMax: 60))' twice in one object"
        case .ambiguousKey(let name):
            "the key '\(name.printable(charactersMax: 60))' holds a character that stands for an ASCII one"
        case .shape(let text): text
        }
    }
}

/// RFC 8259 and nothing more.
public enum StrictJSON {
    /// Passes one JSON text or says what is wrong with it.
    ///
    /// UTF-8 without BOM; no key twice in an object, compared after unescaping and by canonical equivalence, as Swift's decoders
    /// do, so that none of them drops a member; no lone surrogates; nesting at most `depthMax`
    /// (1…64; a scalar is depth 0). With `integersOnly`, numbers have no fraction and no exponent, are not −0 and fit in 64 bits
    /// signed. Time is O(n log n) for any input; memory is 32 bytes for each key of the objects that are open.
    public static func check(
        _ bytes: [UInt8], bytesMax: Int = Limits.documentBytesMax, depthMax: Int = Limits.jsonDepthMax, integersOnly: Bool = true
    ) throws(JSONFault) {
        guard bytes.count <= bytesMax else { throw JSONFault(.tooLarge(limit: bytesMax), at: bytesMax) }
        precondition((1...64).contains(depthMax), "depthMax out of range")
        // The scanner holds the pointer, so it may not outlive this closure; the fault is carried out as a value.
        let fault: JSONFault? = bytes.withUnsafeBufferPointer { buffer in
            var scanner = Scanner(bytes: buffer, depthMax: depthMax, integersOnly: integersOnly)
            do throws(JSONFault) {
                try scanner.run()
                return nil
            } catch {
                return error
            }
        }
        if let fault { throw fault }
    }

    private struct Key {
        var hash: UInt64
        var start: Int32
        var count: Int32
        /// Where its quotation mark stands in the text.
        var offset: Int32
        /// Unescaped in `scratch`, else as it stands in the text.
        var isEscaped: Bool
        var isASCII: Bool
    }

    private struct Scanner {
        let bytes: UnsafeBufferPointer<UInt8>
        let depthMax: Int
        let integersOnly: Bool
        var position = 0
        var depth = 0
        /// Bit d: the container at depth d + 1 is an object.
        var objects: UInt64 = 0
        /// Keys of the open objects, innermost last; an object's own are contiguous, because those of inner ones are gone when they close.
        var keys: [Key] = []
        var keyStarts: [Int] = []
        var scratch: [UInt8] = []

        init(bytes: UnsafeBufferPointer<UInt8>, depthMax: Int, integersOnly: Bool) {
            self.bytes = bytes
            self.depthMax = depthMax
            self.integersOnly = integersOnly
        }

        mutating func run() throws(JSONFault) {
            if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF { throw JSONFault(.byteOrderMark, at: 0) }
            while true {
                // Here a value is due.
                skipSpace()
                switch try peek() {
                case 0x7B:
                    try open(object: true)
                    skipSpace()
                    if try peek() != 0x7D {
                        try key()
                        continue
                    }
                    position += 1
                    try close()
                case 0x5B:
                    try open(object: false)
                    skipSpace()
                    if try peek() != 0x5D { continue }
                    position += 1
                    try close()
                case 0x22: try string()
                case 0x74: try word("true")
                case 0x66: try word("false")
                case 0x6E: try word("null")
                case 0x2D, 0x30...0x39: try number()
                case let byte: throw JSONFault(.unexpected(byte), at: position)
                }
                if try afterValue() { return }
            }
        }

        /// Closes what ends here; true at the end of the text, false when another value is due.
        private mutating func afterValue() throws(JSONFault) -> Bool {
            while true {
                skipSpace()
                if depth == 0 {
                    guard position == bytes.count else { throw JSONFault(.trailing, at: position) }
                    return true
                }
                let isObject = objects >> UInt64(depth - 1) & 1 == 1
                switch try peek() {
                case 0x2C:
                    position += 1
                    if isObject {
                        skipSpace()
                        try key()
                    }
                    return false
                case 0x7D where isObject, 0x5D where !isObject:
                    position += 1
                    try close()
                case let byte: throw JSONFault(.unexpected(byte), at: position)
                }
            }
        }

        private mutating func open(object: Bool) throws(JSONFault) {
            guard depth < depthMax else { throw JSONFault(.tooDeep(limit: depthMax), at: position) }
            let bit: UInt64 = 1 << UInt64(depth)
            objects = object ? objects | bit : objects & ~bit
            if object { keyStarts.append(keys.count) }
            depth += 1
            position += 1
        }

        private mutating func close() throws(JSONFault) {
            depth -= 1
            guard objects >> UInt64(depth) & 1 == 1, let start = keyStarts.popLast() else { return }
            try refuseDuplicates(from: start)
            keys.removeLast(keys.count - start)
        }

        // MARK: Tokens

        private func peek() throws(JSONFault) -> UInt8 {
            guard position < bytes.count else { throw JSONFault(.truncated, at: position) }
            return bytes[position]
        }

        private mutating func skipSpace() {
            while position < bytes.count {
                switch bytes[position] {
                case 0x20, 0x0A, 0x0D, 0x09: position += 1
                default: return
                }
            }
        }

        private mutating func word(_ text: StaticString) throws(JSONFault) {
            for index in 0..<text.utf8CodeUnitCount {
                let byte = try peek()
                guard byte == text.utf8Start[index] else { throw JSONFault(.unexpected(byte), at: position) }
                position += 1
            }
        }

        private mutating func number() throws(JSONFault) {
            let start = position
            let isNegative = bytes[position] == 0x2D
            if isNegative { position += 1 }
            guard position < bytes.count, isDigit(bytes[position]) else { throw JSONFault(.badNumber, at: start) }
            let first = position
            var magnitude: UInt64 = 0
            var isLarge = false
            while position < bytes.count, isDigit(bytes[position]) {
                let (product, overflow) = magnitude.multipliedReportingOverflow(by: 10)
                let (sum, carry) = product.addingReportingOverflow(UInt64(bytes[position] - 0x30))
                isLarge = isLarge || overflow || carry
                magnitude = sum
                position += 1
            }
            if bytes[first] == 0x30, position - first > 1 { throw JSONFault(.leadingZero, at: start) }
            let end = position
            if position < bytes.count, bytes[position] == 0x2E {
                position += 1
                try digits(of: start)
            }
            if position < bytes.count, bytes[position] | 0x20 == 0x65 {
                position += 1
                if position < bytes.count, bytes[position] == 0x2B || bytes[position] == 0x2D { position += 1 }
                try digits(of: start)
            }
            guard integersOnly else { return }
            if position != end || (isNegative && magnitude == 0 && !isLarge) { throw JSONFault(.notInteger, at: start) }
            let limit: UInt64 = isNegative ? 1 << 63 : (1 << 63) - 1
            if isLarge || magnitude > limit { throw JSONFault(.integerTooLarge, at: start) }
        }

        private mutating func digits(of start: Int) throws(JSONFault) {
            let first = position
            while position < bytes.count, isDigit(bytes[position]) { position += 1 }
            if position == first { throw JSONFault(.badNumber, at: start) }
        }

        private func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

        /// Passes a string whose quotation mark is the next byte.
        private mutating func string() throws(JSONFault) {
            position += 1
            while true {
                let byte = try peek()
                if byte == 0x22 {
                    position += 1
                    return
                } else if byte == 0x5C {
                    _ = try escape()
                } else if byte < 0x20 {
                    throw JSONFault(.control(byte), at: position)
                } else if byte < 0x80 {
                    position += 1
                } else {
                    position += try sequence()
                }
            }
        }

        /// Passes a key and its colon, and keeps what tells it from others.
        private mutating func key() throws(JSONFault) {
            let byte = try peek()
            guard byte == 0x22 else { throw JSONFault(.unexpected(byte), at: position) }
            let start = position
            try string()
            var key = Key(
                hash: 0, start: Int32(start + 1), count: Int32(position - start - 2), offset: Int32(start), isEscaped: false,
                isASCII: true)
            let text = bytes[(start + 1)..<(position - 1)]
            if text.contains(0x5C) {
                key.isEscaped = true
                key.start = Int32(scratch.count)
                unescape(from: start + 1, to: position - 1)
                key.count = Int32(scratch.count) - key.start
            }
            // FNV-1a only sorts and skips: keys of equal hash are compared whole, so chosen collisions cost a comparison.
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            var bits: UInt8 = 0
            withText(of: key) { text in
                for byte in text {
                    hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
                    bits |= byte
                }
            }
            key.hash = hash
            key.isASCII = bits < 0x80
            if !key.isASCII, withText(of: key, Scanner.standsForASCII) {
                throw JSONFault(.ambiguousKey(withText(of: key) { String(decoding: $0, as: UTF8.self) }), at: start)
            }
            keys.append(key)
            skipSpace()
            let colon = try peek()
            guard colon == 0x3A else { throw JSONFault(.unexpected(colon), at: position) }
            position += 1
        }

        /// Passes an escape; the scalar that it stands for, surrogate pairs joined.
        private mutating func escape() throws(JSONFault) -> UInt32 {
            let start = position
            position += 1
            let letter = try peek()
            position += 1
            switch letter {
            case 0x22, 0x5C, 0x2F: return UInt32(letter)
            case 0x62: return 0x08
            case 0x66: return 0x0C
            case 0x6E: return 0x0A
            case 0x72: return 0x0D
            case 0x74: return 0x09
            case 0x75: break
            default: throw JSONFault(.badEscape, at: start)
            }
            let unit = try fourHexDigits(of: start)
            switch unit {
            case 0xDC00...0xDFFF: throw JSONFault(.loneSurrogate, at: start)
            case 0xD800...0xDBFF:
                guard position + 1 < bytes.count, bytes[position] == 0x5C, bytes[position + 1] == 0x75 else {
                    throw JSONFault(.loneSurrogate, at: start)
                }
                position += 2
                let low = try fourHexDigits(of: start)
                guard (0xDC00...0xDFFF).contains(low) else { throw JSONFault(.loneSurrogate, at: start) }
                return 0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)
            default: return unit
            }
        }

        private mutating func fourHexDigits(of start: Int) throws(JSONFault) -> UInt32 {
            var value: UInt32 = 0
            for _ in 0..<4 {
                let byte = try peek()
                position += 1
                switch byte {
                case 0x30...0x39: value = value << 4 | UInt32(byte - 0x30)
                case 0x41...0x46: value = value << 4 | UInt32(byte - 0x41 + 10)
                case 0x61...0x66: value = value << 4 | UInt32(byte - 0x61 + 10)
                default: throw JSONFault(.badEscape, at: start)
                }
            }
            return value
        }

        /// The length of the UTF-8 sequence that begins here (RFC 3629: shortest form, no surrogates, at most U+10FFFF).
        private func sequence() throws(JSONFault) -> Int {
            let lead = bytes[position]
            let count: Int
            var second: ClosedRange<UInt8> = 0x80...0xBF
            switch lead {
            case 0xC2...0xDF: count = 2
            case 0xE0: (count, second) = (3, 0xA0...0xBF)
            case 0xED: (count, second) = (3, 0x80...0x9F)
            case 0xE1...0xEF: count = 3
            case 0xF0: (count, second) = (4, 0x90...0xBF)
            case 0xF4: (count, second) = (4, 0x80...0x8F)
            case 0xF1...0xF3: count = 4
            default: throw JSONFault(.notUTF8, at: position)
            }
            guard position + count <= bytes.count, second.contains(bytes[position + 1]) else {
                throw JSONFault(.notUTF8, at: position)
            }
            for index in 2..<max(count, 2) where bytes[position + index] & 0xC0 != 0x80 {
                throw JSONFault(.notUTF8, at: position)
            }
            return count
        }

        // MARK: Keys

        /// Appends the text from `start` to `end`, which `string()` has passed, unescaped to `scratch`.
        private mutating func unescape(from start: Int, to end: Int) {
            let resume = position
            position = start
            while position < end {
                if bytes[position] != 0x5C {
                    scratch.append(bytes[position])
                    position += 1
                    continue
                }
                // `string()` has passed every escape in this range, so none can fail now.
                guard let scalar = try? escape(), let character = UnicodeScalar(scalar) else { break }
                scratch.append(contentsOf: UTF8.encode(character)!)  // Every scalar has a UTF-8 form.
            }
            position = resume
        }

        /// Whether one of the three characters that are canonically equivalent to an ASCII one is in the text: U+037E (`;`),
        /// U+1FEF (the grave accent) and U+212A (`K`).
        private static func standsForASCII(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
            for index in text.indices.dropFirst() {
                let two = (text[index - 1], text[index])
                if two == (0xCD, 0xBE) { return true }
                guard index + 1 < text.count else { continue }
                if two == (0xE1, 0xBF), text[index + 1] == 0xAF { return true }
                if two == (0xE2, 0x84), text[index + 1] == 0xAA { return true }
            }
            return false
        }

        private func withText<T>(of key: Key, _ body: (UnsafeBufferPointer<UInt8>) -> T) -> T {
            let range = Int(key.start)..<Int(key.start + key.count)
            if key.isEscaped { return scratch.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[range])) } }
            return body(UnsafeBufferPointer(rebasing: bytes[range]))
        }

        private func order(_ left: Key, _ right: Key) -> Bool {
            if left.hash != right.hash { return left.hash < right.hash }
            return withText(of: left) { left in withText(of: right) { left.lexicographicallyPrecedes($0) } }
        }

        private func isSame(_ left: Key, _ right: Key) -> Bool {
            guard left.hash == right.hash, left.count == right.count else { return false }
            return withText(of: left) { left in withText(of: right) { left.elementsEqual($0) } }
        }

        private mutating func refuseDuplicates(from start: Int) throws(JSONFault) {
            let count = keys.count - start
            if count < 2 { return }
            if keys[start...].contains(where: { !$0.isASCII }) {
                // Swift's strings compare by canonical equivalence, and so do the dictionaries of its decoders.
                var names: Set<String> = []
                for key in keys[start...] where !names.insert(withText(of: key) { String(decoding: $0, as: UTF8.self) }).inserted
                {
                    throw duplicate(key)
                }
                return
            }
            if count <= 16 {
                for later in (start + 1)..<keys.count {
                    for earlier in start..<later where isSame(keys[earlier], keys[later]) { throw duplicate(keys[later]) }
                }
                return
            }
            // Sorted, so that a hostile object of tens of thousands of keys costs n log n.
            let sorted = keys[start...].sorted(by: order)
            for index in 1..<sorted.count where isSame(sorted[index - 1], sorted[index]) {
                throw duplicate(sorted[index - 1].offset > sorted[index].offset ? sorted[index - 1] : sorted[index])
            }
        }

        private func duplicate(_ key: Key) -> JSONFault {
            let name = withText(of: key) { String(decoding: $0, as: UTF8.self) }
            return JSONFault(.duplicateKey(name), at: Int(key.offset))
        }
    }
}
