// Names that cities give to themselves and to packages (CLI.md §17). A value of these types is a valid name.

/// Why a text is no name, and what would be one.
public struct NameFault: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
    /// A name near the given one that would be accepted.
    public let suggestion: String?

    public init(_ description: String, suggestion: String? = nil) {
        self.description = description
        self.suggestion = suggestion
    }
}

/// A city's id: a DNS-like name in lower case such as `kitchener.ca`, in A-label form where it is international.
public struct CityID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let text: String

    public init(_ text: some StringProtocol) throws(NameFault) { try self.init(String(text)) }

    public init(_ text: String) throws(NameFault) {
        guard CityID.isName(text) else {
            let lowered = Characters.suggestion(for: text, allowing: [UInt8(ascii: "."), UInt8(ascii: "-")])
            // An international name without its own letters is another city's.
            let isASCII = text.utf8.allSatisfy { $0 < 0x80 }
            throw NameFault(
                "'\(Characters.printable(text))' is no city id: it is a DNS-like name in lower case, such as kitchener.ca"
                    + (isASCII ? "" : "; an international one is written in its ASCII form, xn--…"),
                suggestion: isASCII && CityID.isName(lowered) ? lowered : nil)
        }
        self.text = text
    }

    /// Two labels at least, each 1 to 63 of a-z, 0-9 and hyphens that neither begin nor end it; 253 bytes at most.
    private static func isName(_ text: String) -> Bool {
        text.withASCII { bytes in
            var dots = 0
            var start = 0
            for index in 0...bytes.count {
                guard index == bytes.count || bytes[index] == 0x2E else {
                    guard Characters.isLowerOrDigit(bytes[index]) || bytes[index] == 0x2D else { return false }
                    continue
                }
                guard (1...63).contains(index - start), bytes[start] != 0x2D, bytes[index - 1] != 0x2D else { return false }
                if index < bytes.count { dots += 1 }
                start = index + 1
            }
            return bytes.count <= 253 && dots >= 1
        }
    }

    public var description: String { text }
    public static func < (left: CityID, right: CityID) -> Bool { left.text.utf8.lexicographicallyPrecedes(right.text.utf8) }
}

/// A package's id: its city and a path of one to eight segments, `kitchener.ca/roads/water-main-breaks`.
public struct PackageID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public static let pathBytesMax = 200
    public static let segmentsMax = 8

    public let city: CityID
    public let path: String

    public init(city: CityID, path: some StringProtocol) throws(NameFault) { try self.init(city: city, path: String(path)) }

    public init(city: CityID, path: String) throws(NameFault) {
        guard PackageID.isPath(path) else {
            let suggested = PackageID.suggestion(for: path)
            throw NameFault(
                "'\(Characters.printable(path))' is no package path: 1 to 8 segments of a-z 0-9 . _ -, each begun by a letter or digit, "
                    + "at most \(PackageID.pathBytesMax) bytes",
                suggestion: PackageID.isPath(suggested) ? "\(city)/\(suggested)" : nil)
        }
        self.city = city
        self.path = path
    }

    /// Reads `city/path`.
    public init(_ text: some StringProtocol) throws(NameFault) { try self.init(String(text)) }

    public init(_ text: String) throws(NameFault) {
        guard let slash = text.utf8.firstIndex(of: 0x2F) else {
            throw NameFault(
                "'\(Characters.printable(text))' is no package id: write city/path, such as kitchener.ca/roads/breaks")
        }
        // By bytes: a combining character after the slash would be one character with it, and be passed over.
        try self.init(city: CityID(String(text[..<slash])), path: String(text[text.utf8.index(after: slash)...]))
    }

    private static func isPath(_ path: String) -> Bool {
        path.withASCII { bytes in
            var slashes = 0
            var start = 0
            for index in 0...bytes.count {
                guard index == bytes.count || bytes[index] == 0x2F else {
                    guard Characters.isSegment(bytes[index]) else { return false }
                    continue
                }
                guard index > start, Characters.isLowerOrDigit(bytes[start]) else { return false }
                if index < bytes.count { slashes += 1 }
                start = index + 1
            }
            return bytes.count <= PackageID.pathBytesMax && slashes < PackageID.segmentsMax
        }
    }

    private static func suggestion(for path: String) -> String {
        let segments = path.split(separator: "/").map { segment in
            let clean = Characters.suggestion(for: String(segment), allowing: [0x2E, 0x5F, 0x2D])
            return String(clean.drop { !$0.utf8.allSatisfy(Characters.isLowerOrDigit) })
        }
        return segments.filter { !$0.isEmpty }.prefix(segmentsMax).joined(separator: "/")
    }

    public var description: String { city.text + "/" + path }
    public static func < (left: PackageID, right: PackageID) -> Bool {
        // As the whole texts order: `.` and `-` sort before the slash that ends a city.
        left.city == right.city
            ? left.path.utf8.lexicographicallyPrecedes(right.path.utf8)
            : left.description.utf8.lexicographicallyPrecedes(right.description.utf8)
    }
}

/// Which packages: `city/path` with `*` inside a segment and `**` for any number of whole segments.
public struct PackagePattern: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let text: String
    public let city: CityID
    private let segments: [[UInt8]]
    /// The path up to the first segment with a star, without the slash before it.
    private let literalPrefix: [UInt8]
    /// The pattern is the literal prefix and one `**`.
    private let isPrefixOfAll: Bool

    /// Reads a pattern. `<city>/**` is all of a city's packages; the city itself is never a pattern.
    public init(_ text: some StringProtocol) throws(NameFault) {
        let text = String(text)
        let parts = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.count >= 2, let first = parts.first, let cityText = String(first) else {
            throw NameFault(
                "'\(Characters.printable(text))' is no pattern: write city/path, with * inside a segment and ** across segments")
        }
        city = try CityID(cityText)
        segments = parts.dropFirst().map(Array.init)
        let fits =
            text.utf8.count <= 253 + PackageID.pathBytesMax && segments.count <= PackageID.segmentsMax
            && segments.allSatisfy { segment in
                guard let first = segment.first else { return false }
                if segment == PackagePattern.anySegments { return true }
                return (Characters.isLowerOrDigit(first) || first == PackagePattern.star)
                    && segment.allSatisfy { Characters.isSegment($0) || $0 == PackagePattern.star }
                    && !zip(segment, segment.dropFirst()).contains { $0 == PackagePattern.star && $1 == PackagePattern.star }
            }
        guard fits else {
            throw NameFault(
                "'\(Characters.printable(text))' is no pattern: * stands inside a segment, ** is a segment of its own")
        }
        self.text = text
        let literal = segments.prefix { !$0.contains(PackagePattern.star) }
        literalPrefix = Array(literal.joined(separator: [UInt8(ascii: "/")]))
        isPrefixOfAll = segments.count == literal.count + 1 && segments.last == PackagePattern.anySegments
    }

    public func matches(_ package: PackageID) -> Bool {
        guard package.city == city else { return false }
        return package.path.withASCII { path in
            // Most patterns are a prefix and `**`.
            if literalPrefix.count > path.count { return false }
            for index in literalPrefix.indices where literalPrefix[index] != path[index] { return false }
            if isPrefixOfAll {
                return literalPrefix.isEmpty || path.count == literalPrefix.count || path[literalPrefix.count] == 0x2F
            }
            return PackagePattern.match(segments, path)
        }
    }

    private static let star = UInt8(ascii: "*")
    private static let anySegments: [UInt8] = [star, star]

    /// As `matchSegment`, one level up: at a mismatch the last `**` takes one segment more, so the time is at most the product
    /// of the two lengths, whatever a partner writes.
    private static func match(_ pattern: [[UInt8]], _ path: UnsafeBufferPointer<UInt8>) -> Bool {
        let parts = path.split(separator: UInt8(ascii: "/"))
        var p = 0
        var t = 0
        var starAt = -1
        var resume = 0
        while t < parts.count {
            if p < pattern.count, pattern[p] == anySegments {
                starAt = p
                resume = t
                p += 1
            } else if p < pattern.count, matchSegment(pattern[p], parts[t]) {
                p += 1
                t += 1
            } else if starAt >= 0 {
                p = starAt + 1
                resume += 1
                t = resume
            } else {
                return false
            }
        }
        while p < pattern.count, pattern[p] == anySegments { p += 1 }
        return p == pattern.count
    }

    private static func matchSegment(_ pattern: [UInt8], _ text: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
        var p = 0
        var t = text.startIndex
        var starAt = -1
        var resume = t
        while t < text.endIndex {
            if p < pattern.count, pattern[p] == star {
                starAt = p
                resume = t
                p += 1
            } else if p < pattern.count, pattern[p] == text[t] {
                p += 1
                t += 1
            } else if starAt >= 0 {
                p = starAt + 1
                resume += 1
                t = resume
            } else {
                return false
            }
        }
        while p < pattern.count, pattern[p] == star { p += 1 }
        return p == pattern.count
    }

    public var description: String { text }
    public static func < (left: PackagePattern, right: PackagePattern) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }
    public static func == (left: PackagePattern, right: PackagePattern) -> Bool { left.text == right.text }
    public func hash(into hasher: inout Hasher) { hasher.combine(text) }
}

/// What kind of thing a package holds (KINDS.md).
public enum PackageKind: String, Sendable, Codable, CaseIterable, Comparable {
    case dataset, practice, profile, offer, challenge
    public static func < (left: PackageKind, right: PackageKind) -> Bool { left.rawValue < right.rawValue }
}

/// The Traffic Light Protocol 2.0 label of a release, ordered by sensitivity (TERMS.md §4).
public enum TLP: String, Sendable, Codable, CaseIterable, Comparable {
    case clear = "TLP:CLEAR"
    case green = "TLP:GREEN"
    case amber = "TLP:AMBER"
    case amberStrict = "TLP:AMBER+STRICT"
    case red = "TLP:RED"

    private var rank: Int {
        switch self {
        case .clear: 0
        case .green: 1
        case .amber: 2
        case .amberStrict: 3
        case .red: 4
        }
    }

    public static func < (left: TLP, right: TLP) -> Bool { left.rank < right.rank }

    /// Reads a label with or without its `TLP:`, in any case, as people type it. Documents hold the label verbatim.
    public init?(lenient text: String) {
        let upper = text.uppercased()
        self.init(rawValue: upper.hasPrefix("TLP:") ? upper : "TLP:" + upper)
    }
}

enum Characters {
    static func isLowerOrDigit(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) }
    static func isSegment(_ byte: UInt8) -> Bool { isLowerOrDigit(byte) || byte == 0x2E || byte == 0x5F || byte == 0x2D }

    /// Lower case, and a hyphen for each run of what may not stand.
    static func suggestion(for text: String, allowing extra: [UInt8]) -> String {
        var result: [UInt8] = []
        for byte in text.lowercased().utf8 {
            if isLowerOrDigit(byte) || extra.contains(byte) {
                result.append(byte)
            } else if result.last != 0x2D {
                result.append(0x2D)
            }
        }
        while result.last == 0x2D { result.removeLast() }
        while result.first == 0x2D { result.removeFirst() }
        return String(decoding: result, as: UTF8.self)
    }

    static func printable(_ text: String) -> String { text.printable(charactersMax: 80) }
}

extension String {
    /// Safe on a terminal and in a log line: control and format characters become U+FFFD, and it is cut at a length.
    /// Everything that a partner or a file supplied goes through here before a person sees it.
    public func printable(charactersMax: Int = 200) -> String {
        var result = ""
        var count = 0
        for scalar in unicodeScalars {
            if count == charactersMax { return result + "…" }
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
                result.unicodeScalars.append("\u{FFFD}")
            default: result.unicodeScalars.append(scalar)
            }
            count += 1
        }
        return result
    }
}

extension CityID: Codable {
    public init(from decoder: any Decoder) throws {
        self = try NameCoding.decode(decoder) { text throws(NameFault) in try CityID(text) }
    }
    public func encode(to encoder: any Encoder) throws { try NameCoding.encode(text, encoder) }
}
extension PackageID: Codable {
    public init(from decoder: any Decoder) throws {
        self = try NameCoding.decode(decoder) { text throws(NameFault) in try PackageID(text) }
    }
    public func encode(to encoder: any Encoder) throws { try NameCoding.encode(description, encoder) }
}
extension PackagePattern: Codable {
    public init(from decoder: any Decoder) throws {
        self = try NameCoding.decode(decoder) { text throws(NameFault) in try PackagePattern(text) }
    }
    public func encode(to encoder: any Encoder) throws { try NameCoding.encode(text, encoder) }
}

private enum NameCoding {
    static func decode<T>(_ decoder: any Decoder, _ read: (String) throws(NameFault) -> T) throws -> T {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        do { return try read(text) } catch {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: error.description)
        }
    }
    static func encode(_ text: String, _ encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

extension String {
    /// Whether each slash is a character by itself, also one that is put before the text. A combining mark behind a slash, or a prefix before it, makes
    /// one character with it: such a path has other segments for who counts bytes than for who counts characters. O(1) memory for ASCII.
    public var hasWholeSlashes: Bool {
        if utf8.allSatisfy({ $0 < 0x80 }) { return true }
        let bytes = utf8.reduce(1) { $1 == 0x2F ? $0 + 1 : $0 }
        return ("/" + self).reduce(0) { $1 == "/" ? $0 + 1 : $0 } == bytes
    }
}
