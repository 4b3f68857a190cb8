// The ways in for bytes that others wrote, one function for each: what `make fuzz` feeds with its inventions, and what `FuzzCorpusTests` feeds with
// the corpus. A target refuses bytes silently, as the room does; it throws only where a decoder breaks its own promise: that what it read
// writes the same bytes again, or that two readers of one format agree. A trap, a hang and an access out of bounds are the fuzzer's to see.

/// A promise that a decoder broke.
public struct FuzzFinding: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

public enum FuzzTarget: String, CaseIterable, Sendable {
    /// A frame's header and the message in its body.
    case frame
    /// DSSE in both forms, and the document in it.
    case envelope
    /// A payload: the first byte chooses the type.
    case document
    case json
    /// Signed notes, checkpoints, verifier keys.
    case note
    /// Log entries and bundles of them.
    case entry
    /// File table and pages of a chunk index.
    case index
    /// zstd, and what a block promises of its raw length.
    case block
    /// Headers, records and footers of segments, with their checksums made right.
    case segment
    /// Text tables: two readers that must agree, inference, comparing and merging.
    case csv
    /// Agreements and hansa.yaml.
    case yaml
    /// Manifests, datapackage.json, snapshots of directories.
    case package
    /// Names, times, versions, hex, base64, tile paths.
    case text

    /// Inputs larger than this only make a run slow: everything here is bounded far above it, and other tests look at the bounds.
    public static let bytesMax = 64 * 1024

    public func run(_ bytes: [UInt8]) throws(FuzzFinding) {
        switch self {
        case .frame: try Self.frame(bytes)
        case .envelope: try Self.envelope(bytes)
        case .document: try Self.document(bytes)
        case .json: try Self.json(bytes)
        case .note: try Self.note(bytes)
        case .entry: try Self.entry(bytes)
        case .index: try Self.index(bytes)
        case .block: try Self.block(bytes)
        case .segment: try Self.segment(bytes)
        case .csv: try Self.csv(bytes)
        case .yaml: try Self.yaml(bytes)
        case .package: try Self.package(bytes)
        case .text: try Self.text(bytes)
        }
    }

    static func expect(_ holds: Bool, _ promise: @autoclosure () -> String) throws(FuzzFinding) {
        if !holds { throw FuzzFinding(promise()) }
    }

    /// Calls `body` with the bytes in memory of just their size, so that the address sanitizer sees a read behind their end.
    static func withExact<T>(_ bytes: some Collection<UInt8>, _ body: (UnsafeRawBufferPointer) throws -> T) rethrows -> T {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: bytes)
        return try body(UnsafeRawBufferPointer(copy))
    }
}
