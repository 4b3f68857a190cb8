// Reading what other people's bags say: manifests and tag lines (RFC 8493 §2.1.3, §2.2.2).
public import HansaCore

/// Why a text is no manifest. Lines count from 1.
public struct ManifestFault: Error, Sendable, Equatable, CustomStringConvertible {
    public let line: Int
    public let message: String

    public var description: String { line > 0 ? "line \(line): \(message)" : message }
}

/// A payload or tag manifest: digests by path.
public struct BagManifest: Sendable, Equatable {
    public struct Entry: Sendable, Equatable {
        public let path: String
        public let digest: Digest
    }

    /// In the order of the file.
    public let entries: [Entry]

    /// Reads a SHA-256 manifest: hex in either case, white space, a safe relative path; LF, CR or CRLF ends a line.
    ///
    /// Of percent-encodings only those of CR, LF and `%` are read, as the RFC has it. No path may come twice. Paths are those
    /// of `PayloadPath`; `allowsHidden` also takes segments that begin with a dot, for bags that others made.
    public init(_ bytes: [UInt8], allowsHidden: Bool = false) throws(ManifestFault) {
        guard bytes.count <= Bag.manifestBytesMax else {
            throw ManifestFault(line: 0, message: "larger than \(Bag.manifestBytesMax) bytes")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw ManifestFault(line: 0, message: "is not UTF-8") }
        var entries: [Entry] = []
        var seen: Set<String> = []
        var number = 0
        for line in TagLines.split(text.utf8) {
            number += 1
            if line.isEmpty { continue }
            let entry = try BagManifest.entry(line, number, allowsHidden)
            guard seen.insert(entry.path).inserted else {
                throw ManifestFault(line: number, message: "'\(entry.path.printable(charactersMax: 120))' is listed twice")
            }
            guard entries.count < Limits.filesMax else {
                throw ManifestFault(line: number, message: "more than \(Limits.filesMax) files")
            }
            entries.append(entry)
        }
        self.entries = entries
    }

    private static func entry(
        _ line: Substring.UTF8View, _ number: Int, _ allowsHidden: Bool
    ) throws(ManifestFault) -> Entry {
        let hex = line.prefix(64)
        let rest = line.dropFirst(64)
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 }
        guard let digest = Digest(hex: (String(Substring(hex))).lowercased()), rest.first.map(isSpace) ?? false else {
            throw ManifestFault(line: number, message: "is not 64 hex digits, white space and a path")
        }
        let path = decoded(rest.drop(while: isSpace))
        if let reason = PayloadPath.fault(in: path), !(allowsHidden && reason == .hidden) {
            throw ManifestFault(line: number, message: PathFault(path, reason).description)
        }
        return Entry(path: path, digest: digest)
    }

    private static func decoded(_ path: Substring.UTF8View) -> String {
        guard path.contains(0x25) else { return String(Substring(path)) }
        var bytes: [UInt8] = []
        var rest = path
        while let byte = rest.first {
            let escape = rest.prefix(3).map { (0x61...0x66).contains($0) ? $0 & 0xDF : $0 }
            switch escape {
            case [0x25, 0x32, 0x35]: bytes.append(0x25)
            case [0x25, 0x30, 0x41]: bytes.append(Byte.lineFeed)
            case [0x25, 0x30, 0x44]: bytes.append(Byte.carriageReturn)
            default:
                bytes.append(byte)
                rest = rest.dropFirst()
                continue
            }
            rest = rest.dropFirst(3)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Lines of tag files.
enum TagLines {
    /// Ends at LF, CR or CRLF; the last line needs none.
    static func split(_ text: String.UTF8View) -> [Substring.UTF8View] {
        var lines: [Substring.UTF8View] = []
        var rest = text[...]
        while !rest.isEmpty {
            let end = rest.firstIndex { $0 == Byte.lineFeed || $0 == Byte.carriageReturn } ?? rest.endIndex
            lines.append(rest[..<end])
            rest = rest[end...]
            guard let ending = rest.first else { break }
            rest = rest.dropFirst()
            if ending == Byte.carriageReturn, rest.first == Byte.lineFeed { rest = rest.dropFirst() }
        }
        return lines
    }

    /// `Label: value` lines, with folded lines joined by one space (RFC 8493 §2.2.2). Nil when a line is neither.
    static func labelled(_ bytes: [UInt8]) -> [(label: String, value: String)]? {
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        var result: [(label: String, value: String)] = []
        for line in split(text.utf8) where !line.isEmpty {
            if line.first == 0x20 || line.first == 0x09 {
                guard let last = result.popLast() else { return nil }
                result.append((last.label, last.value + " " + trimmed(line)))
            } else {
                guard let colon = line.firstIndex(of: 0x3A) else { return nil }
                result.append((String(Substring(line[..<colon])), trimmed(line[line.index(after: colon)...])))
            }
        }
        return result
    }

    private static func trimmed(_ text: Substring.UTF8View) -> String {
        var text = text.drop { $0 == 0x20 || $0 == 0x09 }
        while let last = text.last, last == 0x20 || last == 0x09 { text = text.dropLast() }
        return String(Substring(text))
    }
}
