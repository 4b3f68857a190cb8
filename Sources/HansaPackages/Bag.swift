// BagIt 1.0 (RFC 8493): the tag files of a package, made from lists of paths, sizes and digests.
public import HansaCore
internal import HansaCrypto

/// What `bag-info.txt` says besides Payload-Oxum. Control characters in the texts are written as spaces.
public struct BagInfo: Sendable, Equatable {
    /// Source-Organization: who packed the bag.
    public let organisation: String
    /// External-Identifier: the package, `city/path`.
    public let identifier: String
    /// Bagging-Date.
    public let date: CalendarDate

    public init(organisation: String, identifier: String, date: CalendarDate) {
        self.organisation = organisation
        self.identifier = identifier
        self.date = date
    }
}

/// One tag file with its bytes.
public struct TagFile: Sendable, Equatable {
    public let path: String
    public let bytes: [UInt8]
    public let digest: Digest

    public var size: UInt64 { UInt64(bytes.count) }
}

/// The tag files of one bag: what stands beside `data/` and `release.dsse.json`.
public struct Bag: Sendable, Equatable {
    public static let declarationName = "bagit.txt"
    public static let infoName = "bag-info.txt"
    public static let manifestName = "manifest-sha256.txt"
    public static let tagManifestName = "tagmanifest-sha256.txt"
    public static let releaseName = "release.dsse.json"
    public static let payloadPrefix = "data/"
    /// A manifest larger than this is neither written nor read.
    public static let manifestBytesMax = Limits.fileTableBytesMax

    /// `bag-info.txt`, `bagit.txt`, `datapackage.json`, `manifest-sha256.txt`, `tagmanifest-sha256.txt`: in this order, which
    /// is that of their paths' bytes.
    public let tagFiles: [TagFile]
    /// The digest of `tagmanifest-sha256.txt`: the release's `manifest`.
    public var manifest: Digest { tagFiles[4].digest }
    /// Sum of the payload's sizes: the release's `bytes`.
    public let payloadBytes: UInt64
    public let payloadFiles: Int

    /// Makes the tag files. `payload` has paths below `data/`, without it; any order, no path twice. O(total bytes of paths),
    /// besides sorting when they are unsorted and hashing `datapackage`.
    public init(payload: [FileDigest], datapackage: [UInt8], info: BagInfo) {
        let isSorted = zip(payload, payload.dropFirst()).allSatisfy { PayloadPath.precedes($0.path, $1.path) }
        let payload = isSorted ? payload : payload.sorted { PayloadPath.precedes($0.path, $1.path) }
        payloadBytes = payload.reduce(0) { $0 + $1.size }
        payloadFiles = payload.count
        var text = ManifestWriter(reserving: payload.reduce(0) { $0 + $1.path.utf8.count + 72 })
        for file in payload { text.line(file.digest, Bag.payloadPrefix, file.path) }
        let manifest = Bag.tagFile(Bag.manifestName, text.bytes)
        let descriptor = Bag.tagFile(DataPackageDocument.fileName, datapackage)
        let listed = Bag.leadingTagFiles(payloadBytes: payloadBytes, files: payloadFiles, info: info) + [descriptor, manifest]
        var tags = ManifestWriter(reserving: 400)
        for file in listed { tags.line(file.digest, "", file.path) }
        tagFiles = listed + [Bag.tagFile(Bag.tagManifestName, tags.bytes)]
    }

    /// The first two of `tagFiles`, which say only how much the payload is: they are known before a byte of it is read.
    public static func leadingTagFiles(payloadBytes: UInt64, files: Int, info: BagInfo) -> [TagFile] {
        [tagFile(infoName, infoText(info, bytes: payloadBytes, files: files)), declaration]
    }

    private static func tagFile(_ path: String, _ bytes: [UInt8]) -> TagFile {
        TagFile(path: path, bytes: bytes, digest: SHA256.hash(bytes))
    }

    private static let declaration = tagFile(
        declarationName, Array("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n".utf8))

    // Lines are not folded: RFC 8493 §2.2.2 only recommends it, and unfolding loses how much white space there was.
    private static func infoText(_ info: BagInfo, bytes: UInt64, files: Int) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(192)
        func line(_ label: StaticString, _ value: String) {
            text.append(contentsOf: UnsafeBufferPointer(start: label.utf8Start, count: label.utf8CodeUnitCount))
            appendTagValue(value, to: &text)
            text.append(Byte.lineFeed)
        }
        line("Source-Organization: ", info.organisation)
        line("External-Identifier: ", info.identifier)
        line("Bagging-Date: ", info.date.description)
        line("Payload-Oxum: ", "\(bytes).\(files)")
        return text
    }

    // One line each: a line feed in a value would begin a line of the writer's choosing.
    private static func appendTagValue(_ value: String, to text: inout [UInt8]) {
        for scalar in value.unicodeScalars {
            switch scalar.value {
            case 0x20...0x7E: text.append(UInt8(scalar.value))
            case 0..<0x20, 0x7F...0x9F, 0x2028, 0x2029: text.append(0x20)
            default: text.append(contentsOf: Array(String(scalar).utf8))
            }
        }
    }
}

/// Writes lines of a manifest: digest in lower-case hex, two spaces, path; CR, LF and `%` percent-encoded (RFC 8493 §2.1.3).
struct ManifestWriter {
    private(set) var bytes: [UInt8] = []

    init(reserving capacity: Int) { bytes.reserveCapacity(capacity) }

    mutating func line(_ digest: Digest, _ prefix: String, _ path: String) {
        digest.withUnsafeBytes { digest in
            for byte in digest {
                bytes.append(ManifestWriter.hexDigit(byte >> 4))
                bytes.append(ManifestWriter.hexDigit(byte & 15))
            }
        }
        bytes.append(0x20)
        bytes.append(0x20)
        bytes.append(contentsOf: prefix.utf8)
        var path = path
        path.withUTF8 { path in
            if path.contains(where: { $0 == 0x25 || $0 == Byte.lineFeed || $0 == Byte.carriageReturn }) {
                for byte in path { appendEncoded(byte) }
            } else {
                bytes.append(contentsOf: path)
            }
        }
        bytes.append(Byte.lineFeed)
    }

    private mutating func appendEncoded(_ byte: UInt8) {
        switch byte {
        case 0x25: bytes.append(contentsOf: [0x25, 0x32, 0x35])
        case Byte.lineFeed: bytes.append(contentsOf: [0x25, 0x30, 0x41])
        case Byte.carriageReturn: bytes.append(contentsOf: [0x25, 0x30, 0x44])
        default: bytes.append(byte)
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
}
