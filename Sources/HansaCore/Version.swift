/// A release's version: MAJOR.MINOR.PATCH (Semantic Versioning 2.0.0, without pre-release and build parts).
public struct Version: Hashable, Comparable, Sendable, CustomStringConvertible, Codable {
    public static let partMax: UInt32 = 999_999_999

    public let major: UInt32
    public let minor: UInt32
    public let patch: UInt32

    public init(_ major: UInt32, _ minor: UInt32, _ patch: UInt32) {
        self.major = major
        self.minor = minor
        self.patch = patch
    }

    /// Nil unless it is three decimal numbers without leading zeros.
    public init?(_ text: some StringProtocol) {
        let numbers = text.withASCII { bytes -> (UInt32, UInt32, UInt32)? in
            var position = 0
            guard let major = Version.number(in: bytes, at: &position), Version.dot(in: bytes, at: &position),
                let minor = Version.number(in: bytes, at: &position), Version.dot(in: bytes, at: &position),
                let patch = Version.number(in: bytes, at: &position), position == bytes.count
            else { return nil }
            return (major, minor, patch)
        }
        guard let numbers else { return nil }
        self.init(numbers.0, numbers.1, numbers.2)
    }

    /// One to nine digits without a leading zero.
    private static func number(in bytes: UnsafeBufferPointer<UInt8>, at position: inout Int) -> UInt32? {
        let start = position
        var value: UInt32 = 0
        while position < bytes.count, bytes[position] &- 0x30 < 10 {
            guard position - start < 9 else { return nil }
            value = value * 10 + UInt32(bytes[position] - 0x30)
            position += 1
        }
        guard position > start, position - start == 1 || bytes[start] != 0x30 else { return nil }
        return value
    }

    private static func dot(in bytes: UnsafeBufferPointer<UInt8>, at position: inout Int) -> Bool {
        guard position < bytes.count, bytes[position] == 0x2E else { return false }
        position += 1
        return true
    }

    /// The next version that only corrects; at the end of PATCH the next MINOR, at the end of that the next MAJOR.
    public var nextPatch: Version {
        if patch < Version.partMax { return Version(major, minor, patch + 1) }
        return minor < Version.partMax ? Version(major, minor + 1, 0) : Version(major + 1, 0, 0)
    }

    public var description: String { "\(major).\(minor).\(patch)" }

    public static func < (left: Version, right: Version) -> Bool {
        (left.major, left.minor, left.patch) < (right.major, right.minor, right.patch)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let version = Version(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a version (MAJOR.MINOR.PATCH)")
        }
        self = version
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
