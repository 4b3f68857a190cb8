// Paths inside a package: what may stand below `data/`, and which names may not stand side by side.
internal import HansaCore

/// Why a text is no path of a package. The path is in the message, made safe for a terminal.
public struct PathFault: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Reason: Equatable, Sendable {
        case empty
        case absolute
        case emptySegment
        /// `.` or `..`.
        case dots
        /// A segment that starts with a dot.
        case hidden
        case backslash
        /// NUL, another control character or a line separator.
        case control
        case notUTF8
        /// A mark that makes one character with the slash before it, or a sign that does with the one after it.
        case markAtSlash
        case tooLong(bytesMax: Int)
        case segmentTooLong(bytesMax: Int)
    }

    public let path: String
    public let reason: Reason

    public init(_ path: String, _ reason: Reason) {
        self.path = path
        self.reason = reason
    }

    public var description: String { "'\(path.printable(charactersMax: 120))' \(why)" }

    private var why: String {
        switch reason {
        case .empty: "is an empty path"
        case .absolute: "is an absolute path; paths are relative to the package"
        case .emptySegment: "has an empty segment"
        case .dots: "holds '.' or '..' as a segment"
        case .hidden: "has a segment that starts with a dot"
        case .backslash: "holds a backslash, which is a separator on other systems"
        case .control: "holds a control character"
        case .notUTF8: "is not UTF-8"
        case .markAtSlash: "has a segment that begins with a combining mark, or ends with a sign that joins what follows"
        case .tooLong(let bytesMax): "is longer than \(bytesMax) bytes"
        case .segmentTooLong(let bytesMax): "has a segment longer than \(bytesMax) bytes"
        }
    }
}

/// A relative POSIX path of a file in a package, such as `2026/counts.csv`. A value of this type is a valid path.
///
/// One or more segments, none empty and none begun by a dot; no backslash, no control character, no replacement character;
/// at most 1,024 bytes, 255 a segment. `<` orders paths as their bytes do.
public struct PayloadPath: Hashable, Comparable, Sendable, CustomStringConvertible {
    public static let bytesMax = Limits.filePathBytesMax
    public static let segmentBytesMax = 255

    public let text: String

    public init(_ text: String) throws(PathFault) {
        if let reason = PayloadPath.fault(in: text) { throw PathFault(text, reason) }
        self.text = text
    }

    /// What is wrong with `text` as a path, or nil. O(bytes).
    public static func fault(in text: String) -> PathFault.Reason? {
        var text = text
        // In line: the storage is made contiguous when it is not, and nothing escapes the closure.
        return text.withUTF8 { fault(in: $0) }
    }

    private static func fault(in bytes: UnsafeBufferPointer<UInt8>) -> PathFault.Reason? {
        if bytes.isEmpty { return .empty }
        if bytes.count > bytesMax { return .tooLong(bytesMax: bytesMax) }
        if bytes[0] == slash { return .absolute }
        var segmentStart = 0
        var ascii = true
        for index in 0...bytes.count {
            let byte = index < bytes.count ? bytes[index] : slash
            if byte == slash {
                let count = index - segmentStart
                if count == 0 { return .emptySegment }
                if count > segmentBytesMax { return .segmentTooLong(bytesMax: segmentBytesMax) }
                if bytes[segmentStart] == dot {
                    return count == 1 || count == 2 && bytes[segmentStart + 1] == dot ? .dots : .hidden
                }
                segmentStart = index + 1
            } else if byte < 0x20 || byte == 0x7F {
                return .control
            } else if byte == backslash {
                return .backslash
            } else if byte >= 0x80 {
                ascii = false
            }
        }
        return ascii ? nil : faultBeyondASCII(bytes)
    }

    private static func faultBeyondASCII(_ bytes: UnsafeBufferPointer<UInt8>) -> PathFault.Reason? {
        let text = String(decoding: bytes, as: UTF8.self)
        if !text.hasWholeSlashes { return .markAtSlash }
        for scalar in text.unicodeScalars {
            switch scalar.value {
            // A name that was not UTF-8 arrives repaired: the file could not be found again by it.
            case 0xFFFD: return .notUTF8
            case 0x80...0x9F, 0x2028, 0x2029: return .control
            default: continue
            }
        }
        return nil
    }

    public var description: String { text }
    public static func < (left: PayloadPath, right: PayloadPath) -> Bool { precedes(left.text, right.text) }

    /// Whether `left` stands before `right` in the order of their UTF-8 bytes: the order of manifests and file tables.
    public static func precedes(_ left: String, _ right: String) -> Bool { left.utf8.lexicographicallyPrecedes(right.utf8) }

    public static func == (left: PayloadPath, right: PayloadPath) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }
    public func hash(into hasher: inout Hasher) { for byte in text.utf8 { hasher.combine(byte) } }

    private static let slash = UInt8(ascii: "/")
    private static let dot = UInt8(ascii: ".")
    private static let backslash = UInt8(ascii: "\\")
}
