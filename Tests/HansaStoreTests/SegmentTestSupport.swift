import Foundation
import HansaContent
import HansaCore
import HansaStore
import HansaTestSupport
import Testing

/// The disks that every segment test runs on.
enum DiskKind: String, CaseIterable, CustomTestStringConvertible {
    case posix, memory
    var testDescription: String { rawValue }

    /// Runs a test on a fresh disk.
    func with(seed: UInt64 = 1, _ body: (any Disk) throws -> Void) throws {
        switch self {
        case .memory: try body(MemoryDisk(seed: seed))
        case .posix:
            let root = FileManager.default.temporaryDirectory.appending(path: "hansa-segments-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: root) }
            try body(PosixDisk(root: root.path))
        }
    }
}

/// Records that a seed decides.
struct RecordMaker {
    var random: SplitMix64

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) } }

    mutating func digest() -> Digest { Digest(random.next(), random.next(), random.next(), random.next()) }

    mutating func block(bytesMax: Int = 1_200) -> SegmentRecord {
        let lengths = (0..<Int.random(in: 1...4, using: &random)).map { _ in
            UInt32.random(in: 1...UInt32(bytesMax / 4), using: &random)
        }
        let raw = Int(lengths.reduce(0, +))
        let chunks = lengths.map { ChunkEntry(id: digest(), length: $0) }
        return .block(BlockRecord(codec: .raw, rawLength: raw, chunks: chunks, bytes: bytes(raw)))
    }

    mutating func document(bytesMax: Int = 300) -> SegmentRecord {
        .document(digest: digest(), bytes: bytes(Int.random(in: 0...bytesMax, using: &random)))
    }

    mutating func record() -> SegmentRecord { random.next() % 3 == 0 ? document() : block() }
}

typealias Stored = (location: SegmentLocation, record: SegmentRecord)

extension SegmentStore {
    /// Every record, with its place.
    func everything() throws -> [SegmentLocation: SegmentRecord] {
        var found: [SegmentLocation: SegmentRecord] = [:]
        let damage = try scanAll { found[$0] = $1 }
        #expect(damage == [])
        return found
    }
}

/// What a database would know: the end of the last record in each segment that is durable.
func marks(_ stored: [Stored]) -> [UInt32: UInt64] {
    stored.reduce(into: [:]) { $0[$1.location.segment] = max($0[$1.location.segment] ?? 0, $1.location.end) }
}
