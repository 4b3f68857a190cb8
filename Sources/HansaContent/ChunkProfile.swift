/// A named, versioned set of chunking parameters (SYNC.md §7). A profile's cuts never change: another rule gets another name.
public enum ChunkProfile: String, Hashable, Sendable, CaseIterable, Codable {
    /// Ordinary files: 16, 64 and 256 KiB.
    case fastcdc64k = "fastcdc-64k/1"
    /// Text tables: 4, 16 and 64 KiB, and a cut moves to just after the next line feed, so that rows are not split.
    case line16k = "fastcdc-line-16k/1"
    /// Opaque files above 16 GiB: 256 KiB, 512 KiB and 1 MiB.
    case fastcdc512k = "fastcdc-512k/1"

    /// The code in an encoded file table.
    public var code: UInt8 {
        switch self {
        case .fastcdc64k: 1
        case .line16k: 2
        case .fastcdc512k: 3
        }
    }

    public init?(code: UInt8) {
        switch code {
        case 1: self = .fastcdc64k
        case 2: self = .line16k
        case 3: self = .fastcdc512k
        default: return nil
        }
    }

    /// Bytes of the smallest chunk; only the last of a file may be smaller.
    public var min: Int {
        switch self {
        case .fastcdc64k: 16 << 10
        case .line16k: 4 << 10
        case .fastcdc512k: 256 << 10
        }
    }

    /// Bytes of a chunk on average, on content without structure.
    public var avg: Int {
        switch self {
        case .fastcdc64k: 64 << 10
        case .line16k: 16 << 10
        case .fastcdc512k: 512 << 10
        }
    }

    /// Bytes of the largest chunk.
    public var max: Int {
        switch self {
        case .fastcdc64k: 256 << 10
        case .line16k: 64 << 10
        case .fastcdc512k: 1 << 20
        }
    }

    /// Where the easy threshold takes over from the hard one (normalised chunking). Chosen so that `avg` is the true mean:
    /// min + E(hard until the centre) + E(easy after it) = avg, for thresholds two bits above and below the average's.
    var centre: Int {
        switch self {
        case .fastcdc64k: 52 << 10
        case .line16k: 13 << 10
        case .fastcdc512k: 400 << 10
        }
    }

    /// Bytes within which a cut may move forward to a line feed; 0 where it does not.
    var lineWindow: Int { self == .line16k ? 1 << 10 : 0 }

    /// A hash below this cuts before the centre: 2 bits harder than the average asks.
    var hardThreshold: UInt64 { 1 << (64 - UInt64(avg.trailingZeroBitCount + 2)) }
    /// A hash below this cuts after the centre: 2 bits easier.
    var easyThreshold: UInt64 { 1 << (64 - UInt64(avg.trailingZeroBitCount - 2)) }

    /// How many chunks a file of `size` bytes can have: no fewer than all at their largest, no more than all at their smallest.
    func chunkCounts(for size: UInt64) -> ClosedRange<UInt64> {
        guard size > 0 else { return 0...0 }
        return ((size - 1) / UInt64(max) + 1)...((size - 1) / UInt64(min) + 1)
    }

    // MARK: - Choice

    /// Opaque files larger than this are cut coarsely, so that their index stays small.
    public static let coarseAboveBytes: UInt64 = 16 << 30
    /// Text tables larger than this are cut coarsely too: below it their chunks fit `Limits.chunksMax` however they fall.
    public static let tableBytesMax: UInt64 = 256 << 30
    /// As much of a file's beginning as `choose` looks at.
    public static let probeBytes = 16 << 10

    private static let tableExtensions: Set<String> = [
        "asc", "bed", "csv", "geojson", "geojsonl", "geojsons", "gff", "jsonl", "log", "ndjson", "nq", "nt", "psv", "sql", "tab",
        "tsv",
        "txt", "vcf", "wkt", "xyz",
    ]

    /// The profile for a file that is cut for the first time: a text table has a table's extension, and its beginning has a line feed
    /// and no NUL. The choice is the publisher's and is named in the index; receivers never choose.
    public static func choose(fileName: String, size: UInt64, probe: some Collection<UInt8>) -> ChunkProfile {
        if size <= tableBytesMax, let dot = fileName.lastIndex(of: "."),
            tableExtensions.contains(fileName[fileName.index(after: dot)...].lowercased())
        {
            var hasLineFeed = false
            var hasNUL = false
            for byte in probe.prefix(probeBytes) {
                if byte == 0x0A { hasLineFeed = true }
                if byte == 0 { hasNUL = true }
            }
            if hasLineFeed && !hasNUL { return .line16k }
        }
        return size > coarseAboveBytes ? .fastcdc512k : .fastcdc64k
    }
}
