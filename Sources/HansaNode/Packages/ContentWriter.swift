// Content on its way into the store: chunks that the city has already are left out, new neighbours become blocks (`PackageContent`), the blocks
// of many packages are written together.
//
// Nothing is durable before the store's `sync`; the rows of `takeBlocks` go into a transaction after it. One thread at a time.
internal import HansaContent
internal import HansaCore
internal import HansaStore
internal import HansaSync

final class ContentWriter {
    private let content: SegmentStore
    private let metadata: SQLiteStore
    private let city: CityID
    /// False for a dry run: everything is counted, nothing is written.
    private let stores: Bool
    /// A block in the store.
    struct Written: Sendable {
        let location: ContentLocation
        let chunks: [ChunkEntry]
    }

    private var blocks: [Written] = []
    /// Windows of large packages that are being compressed while their files are read on.
    private let packing = WorkAhead<[StoredBlock]>()
    /// Whose they are, in their order.
    private var packed: [PackageContent] = []
    private static let packingWindowsMax = 8
    /// Chunks of blocks that have no rows yet: small packages repeat one another within a batch.
    private var unrecorded: Set<Digest> = []
    /// Chunks of blocks whose rows are being written.
    private var recording: Set<Digest> = []
    /// Bytes of blocks since the last `takeBlocks`.
    private(set) var storedBytes: UInt64 = 0

    init(content: SegmentStore, metadata: SQLiteStore, city: CityID, stores: Bool = true) {
        self.content = content
        self.metadata = metadata
        self.city = city
        self.stores = stores
    }

    /// Finds the chunks that are new, with one look-up for all packages. A chunk that several of them hold is the first one's: all that is
    /// planned here must be packed and appended, also what is of a package that fails meanwhile.
    func plan(_ contents: [PackageContent]) throws {
        let count = contents.reduce(0) { $0 + $1.windows.reduce(0) { $0 + $1.chunks.count } }
        var asked = Set<Digest>(minimumCapacity: count)
        var unknown: [Digest] = []
        unknown.reserveCapacity(count)
        for content in contents {
            for window in content.windows {
                for chunk in window.chunks
                where !unrecorded.contains(chunk.id) && !recording.contains(chunk.id) && asked.insert(chunk.id).inserted {
                    unknown.append(chunk.id)
                }
            }
        }
        // From here on `asked` are the new ones that no run holds yet.
        if !unknown.isEmpty {
            let locations = try metadata.read { try $0.chunkLocations(of: self.city, unknown) }
            for (id, location) in zip(unknown, locations) where location != nil { asked.remove(id) }
        }
        for content in contents {
            for number in content.windows.indices {
                var runs: [Range<Int>] = []
                // Bytes that are here already since the last new chunk. A few of them do not part a block: small packages repeat a tag file of
                // 55 bytes, and each block in two would have to be gathered and compressed again whenever it is sent.
                var seam = 0
                for (position, chunk) in content.windows[number].chunks.enumerated() {
                    guard asked.remove(chunk.id) != nil else {
                        seam += Int(chunk.length)
                        continue
                    }
                    unrecorded.insert(chunk.id)
                    content.windows[number].newChunks += 1
                    if let last = runs.last, seam <= Limits.seamBytesMax {
                        runs[runs.count - 1] = last.lowerBound..<(position + 1)
                    } else {
                        runs.append(position..<(position + 1))
                    }
                    seam = 0
                }
                content.windows[number].runs = runs
            }
        }
    }

    /// Writes the packed blocks of all packages, in their order.
    func append(_ contents: [PackageContent]) throws {
        try appendPacked(leaving: 0)
        try append(contents.flatMap { $0.takeBlocks() })
    }

    private func append(_ fresh: [StoredBlock]) throws {
        storedBytes += fresh.reduce(0) { $0 + UInt64($1.bytes.count) }
        guard stores, !fresh.isEmpty else { return }
        let places = try content.append(
            all: fresh.map { .block($0.record) })
        for (block, place) in zip(fresh, places) { blocks.append(Written(location: place, chunks: block.chunks)) }
    }

    /// All three steps for what one large package has gathered so far; the last two may come later, beside what is read next.
    func store(_ content: PackageContent) throws {
        try plan([content])
        for window in content.takeWindows() where !window.runs.isEmpty {
            packing.add { window.blocks() }
            packed.append(content)
        }
        try appendPacked(leaving: ContentWriter.packingWindowsMax)
    }

    private func appendPacked(leaving left: Int) throws {
        while packed.count > left, let blocks = try packing.next() {
            packed.removeFirst().note(stored: blocks)
            try append(blocks)
        }
    }

    /// Blocks written since the last call: their rows are the caller's to insert, after the store's `sync`. `noteRecorded` or `putBack` follows
    /// before the next call; until then their chunks count as held.
    func takeBlocks() throws -> [Written] {
        try appendPacked(leaving: 0)
        guard !blocks.isEmpty else { return [] }
        precondition(recording.isEmpty, "the blocks taken before have no rows yet")
        defer {
            blocks = []
            storedBytes = 0
            recording = unrecorded
            unrecorded = []
        }
        return blocks
    }

    /// What was taken has its rows.
    func noteRecorded() { recording = [] }

    /// What was taken got no rows, and is taken again with the next.
    func putBack(_ taken: [Written]) {
        blocks = taken + blocks
        unrecorded.formUnion(recording)
        recording = []
    }
}
