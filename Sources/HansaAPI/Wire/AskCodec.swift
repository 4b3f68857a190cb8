// The small bodies: asks for files, progress, descriptor counts.
internal import HansaCore
internal import HansaNode

/// What the node wants of the client's files. One ask is open at a time.
enum Ask: Equatable, Sendable {
    case nextListings
    /// Read-only descriptors of files in listed directories, at most 64.
    case openListed([ListedFile])
    /// What stands in a directory of the target; "" is the target itself.
    case listTarget(String)
    case openExisting([String])
    case create([String])
    case commit([String])
    case remove([String])
    /// An officer's signature over a payload of that type.
    case sign(payloadType: String, payload: [UInt8])

    var type: FrameType {
        switch self {
        case .nextListings: .nextListings
        case .openListed: .openListed
        case .listTarget: .listTarget
        case .openExisting: .openExisting
        case .create: .create
        case .commit: .commit
        case .remove: .remove
        case .sign: .sign
        }
    }

    var body: [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .nextListings: break
        case .openListed(let files):
            writer.varint(files.count)
            for file in files {
                writer.varint(file.directory)
                writer.prefixed(file.path)
            }
        case .listTarget(let directory): writer.prefixed(directory)
        case .openExisting(let paths), .create(let paths), .commit(let paths), .remove(let paths):
            writer.varint(paths.count)
            for path in paths { writer.prefixed(path) }
        case .sign(let payloadType, let payload):
            writer.prefixed(payloadType)
            writer.prefixed(payload)
        }
        return writer.bytes
    }

    /// Nil for a frame that is no ask.
    init?(_ frame: Frame) throws(ByteFault) {
        var reader = ByteReader(frame.body)
        switch frame.type {
        case .nextListings: self = .nextListings
        case .openListed:
            let count = try reader.count(max: WireLimits.descriptorsMax)
            var files: [ListedFile] = []
            for _ in 0..<count {
                files.append(ListedFile(directory: try reader.count(max: Int(Int32.max)), path: try Ask.path(&reader)))
            }
            self = .openListed(files)
        case .listTarget:
            let directory = try reader.text(max: WireLimits.pathBytesMax)
            guard directory.isEmpty || RelativePath.isSafe(directory) else { throw .malformed("a path below the target") }
            self = .listTarget(directory)
        case .openExisting: self = .openExisting(try Ask.paths(&reader, max: WireLimits.descriptorsMax))
        case .create: self = .create(try Ask.paths(&reader, max: WireLimits.descriptorsMax))
        case .commit: self = .commit(try Ask.paths(&reader, max: WireLimits.pathsMax))
        case .remove: self = .remove(try Ask.paths(&reader, max: WireLimits.pathsMax))
        case .sign:
            let payloadType = try reader.text(max: 128)
            self = .sign(payloadType: payloadType, payload: Array(try reader.prefixed(max: Limits.documentBytesMax)))
        default: return nil
        }
        try reader.end()
    }

    private static func paths(_ reader: inout ByteReader, max: Int) throws(ByteFault) -> [String] {
        let count = try reader.count(max: max)
        var paths: [String] = []
        for _ in 0..<count { paths.append(try path(&reader)) }
        return paths
    }

    private static func path(_ reader: inout ByteReader) throws(ByteFault) -> String {
        let path = try reader.text(max: WireLimits.pathBytesMax)
        guard RelativePath.isSafe(path) else { throw .malformed("a path below its directory") }
        return path
    }
}

/// A file in the listing of that number.
struct ListedFile: Hashable, Sendable {
    let directory: Int
    let path: String
}

/// varint itemsDone ‖ u8 1 and varint itemsTotal, or u8 0 ‖ varint bytesDone ‖ u8 and varint bytesTotal likewise ‖ prefixed item.
enum ProgressCodec {
    static func encode(_ progress: Progress) -> [UInt8] {
        var writer = ByteWriter()
        writer.varint(max(0, progress.itemsDone))
        optional(progress.itemsTotal.map { UInt64(max(0, $0)) }, into: &writer)
        writer.varint(min(progress.bytesDone, 1 << 62 - 1))
        optional(progress.bytesTotal, into: &writer)
        // At most 200 scalars of at most four bytes: the frame stays small enough to be offered.
        writer.prefixed(progress.item.printable(charactersMax: 200))
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8]) throws(ByteFault) -> Progress {
        var reader = ByteReader(bytes)
        let itemsDone = try reader.count(max: Int.max)
        let itemsTotal = try optional(&reader).map(Int.init)
        let bytesDone = try reader.varint()
        let bytesTotal = try optional(&reader)
        // A character may be many bytes: the frame's own bound holds for the text.
        let item = try reader.text(max: WireLimits.frameBytesMax)
        try reader.end()
        return Progress(item: item, bytesDone: bytesDone, bytesTotal: bytesTotal, itemsDone: itemsDone, itemsTotal: itemsTotal)
    }

    private static func optional(_ value: UInt64?, into writer: inout ByteWriter) {
        writer.u8(value == nil ? 0 : 1)
        if let value { writer.varint(min(value, 1 << 62 - 1)) }
    }

    private static func optional(_ reader: inout ByteReader) throws(ByteFault) -> UInt64? {
        switch try reader.u8() {
        case 0: nil
        case 1: try reader.varint()
        default: throw .malformed("presence is 0 or 1")
        }
    }
}

/// A text that comes in parts: u8 1 if more follow ‖ bytes. Used for listings and results.
enum PartCodec {
    /// The bodies of the frames that carry `bytes`; never none.
    static func split(_ bytes: [UInt8]) -> [[UInt8]] {
        var parts: [[UInt8]] = []
        var start = 0
        repeat {
            let end = min(bytes.count, start + WireLimits.partBytesMax)
            parts.append([end < bytes.count ? 1 : 0] + bytes[start..<end])
            start = end
        } while start < bytes.count
        return parts
    }

    static func read(_ body: [UInt8]) throws(ByteFault) -> (more: Bool, bytes: ArraySlice<UInt8>) {
        switch body.first {
        case 0: (false, body.dropFirst())
        case 1: (true, body.dropFirst())
        default: throw .malformed("more is 0 or 1")
        }
    }
}
