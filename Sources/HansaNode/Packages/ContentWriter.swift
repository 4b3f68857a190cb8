// Content on its way into the store: bytes are cut into chunks, chunks that the city has already are left out, new neighbours are compressed
// together into blocks of up to 1 MiB. Memory is a few windows, whatever the size of a file.
//
// Nothing is durable before the store's `sync`; the rows of `takeBlocks` go into a transaction after it.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaSync

final class ContentWriter {
    struct Counts: Equatable {
        var chunks = 0
        var newChunks = 0
        var storedBytes: UInt64 = 0
    }

    private let content: any ContentStore
    private let metadata: any MetadataStore
    private let city: CityID
    /// False for a dry run: everything is counted, nothing is written.
    private let stores: Bool
    /// Raw bytes of neighbouring chunks that wait for one look-up and one block.
    private var window: [UInt8] = []
    private var windowChunks: [ChunkEntry] = []
    private var blocks: [(location: ContentLocation, chunks: [ChunkEntry])] = []
    /// Chunks of blocks that have no rows yet: small packages repeat one another within a batch.
    private var unrecorded: Set<Digest> = []
    private(set) var counts = Counts()

    init(content: any ContentStore, metadata: any MetadataStore, city: CityID, stores: Bool = true) {
        self.content = content
        self.metadata = metadata
        self.city = city
        self.stores = stores
        window.reserveCapacity(Limits.blockRawBytesMax)
    }

    /// Takes the next chunk of what is being written.
    func add(_ raw: UnsafeRawBufferPointer) throws -> ChunkEntry { try add(raw, id: SHA256.hash(raw)) }

    func add(_ raw: UnsafeRawBufferPointer, id: Digest) throws -> ChunkEntry {
        if window.count + raw.count > Limits.blockRawBytesMax || windowChunks.count == BlockRecord.chunksMax { try flush() }
        // The wire cuts at the index's pages too: a block that crosses one would be compressed again each time it is sent.
        if counts.chunks > 0, counts.chunks.isMultiple(of: Limits.indexPageChunks) { try flush() }
        let entry = ChunkEntry(id: id, length: UInt32(raw.count))
        window.append(contentsOf: raw)
        windowChunks.append(entry)
        counts.chunks += 1
        return entry
    }

    /// Writes the window out. At the end of a package, so that its blocks hold nothing of the next one: they can go over the wire as they lie.
    func flush() throws {
        guard !windowChunks.isEmpty else { return }
        defer {
            window.removeAll(keepingCapacity: true)
            windowChunks.removeAll(keepingCapacity: true)
        }
        let unknown = windowChunks.filter { !unrecorded.contains($0.id) }.map(\.id)
        var held = Set(unrecorded.intersection(windowChunks.map(\.id)))
        if !unknown.isEmpty {
            let locations = try metadata.read { try $0.chunkLocations(of: self.city, unknown) }
            for (id, location) in zip(unknown, locations) where location != nil { held.insert(id) }
        }
        // Runs of new neighbours become blocks; a chunk that repeats inside the window is stored once.
        var offset = 0
        var run: (start: Int, end: Int, chunks: [ChunkEntry]) = (0, 0, [])
        for chunk in windowChunks {
            let end = offset + Int(chunk.length)
            if held.insert(chunk.id).inserted {
                if run.chunks.isEmpty { run.start = offset }
                run.chunks.append(chunk)
                run.end = end
            } else if !run.chunks.isEmpty {
                try store(run.start..<run.end, run.chunks)
                run.chunks = []
            }
            offset = end
        }
        if !run.chunks.isEmpty { try store(run.start..<run.end, run.chunks) }
    }

    private func store(_ range: Range<Int>, _ chunks: [ChunkEntry]) throws {
        let packed = window.withUnsafeBytes { Block.encode(raw: UnsafeRawBufferPointer(rebasing: $0[range])) }
        if stores {
            let location = try content.append(
                block: StoredBlock(codec: packed.codec, rawLength: range.count, chunks: chunks, bytes: packed.bytes))
            blocks.append((location, chunks))
        }
        for chunk in chunks { unrecorded.insert(chunk.id) }
        counts.newChunks += chunks.count
        counts.storedBytes += UInt64(packed.bytes.count)
    }

    /// Whether blocks were written whose rows nobody has taken.
    var hasBlocks: Bool { !blocks.isEmpty }

    /// Blocks written since the last call: their rows are the caller's to insert, after the store's `sync`.
    func takeBlocks() -> [(location: ContentLocation, chunks: [ChunkEntry])] {
        defer {
            blocks = []
            unrecorded = []
        }
        return blocks
    }

    /// Forgets what waits in the window: a package that failed, or was the same. Blocks that were written stay, and cost only room until they
    /// are collected.
    func discard() {
        window.removeAll(keepingCapacity: true)
        windowChunks.removeAll(keepingCapacity: true)
        counts = Counts()
    }

    func takeCounts() -> Counts {
        defer { counts = Counts() }
        return counts
    }
}
