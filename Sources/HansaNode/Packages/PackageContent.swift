// The content of one package on its way into the store. Chunks wait in windows of neighbours, up to 1 MiB each, until `ContentWriter` has
// decided which of them are new; runs of new neighbours are then compressed together into blocks.
//
// Call order: add for each chunk; ContentWriter.plan; pack; ContentWriter.append. One thread at a time; `pack` of several packages may run side
// by side.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaSync

final class PackageContent {
    struct Counts: Equatable {
        var chunks = 0
        var newChunks = 0
        var storedBytes: UInt64 = 0
    }

    struct Window {
        var raw: [UInt8] = []
        var chunks: [ChunkEntry] = []
        /// New neighbours, as positions in `chunks`, and how many are new; `ContentWriter.plan` finds them.
        var runs: [Range<Int>] = []
        var newChunks = 0
    }

    private(set) var counts = Counts()
    var windows = [Window()]
    private(set) var blocks: [StoredBlock] = []
    /// Takes full windows of a package too large to wait for its end: `ContentWriter.store`. Without it they are kept.
    private let whenFull: ((PackageContent) throws -> Void)?

    /// `bytes` is about how much will come, to make room for it.
    init(reserving bytes: Int, whenFull: ((PackageContent) throws -> Void)? = nil) {
        self.whenFull = whenFull
        windows[0].raw.reserveCapacity(min(bytes, Limits.blockRawBytesMax))
    }

    /// Takes the next chunk of the package.
    func add(_ raw: UnsafeRawBufferPointer) throws -> ChunkEntry { try add(raw, id: SHA256.hash(raw)) }

    func add(_ raw: UnsafeRawBufferPointer, id: Digest) throws -> ChunkEntry {
        var last = windows.count - 1
        let isFull =
            windows[last].raw.count + raw.count > Limits.blockRawBytesMax || windows[last].chunks.count == BlockRecord.chunksMax
        // The wire cuts at the index's pages too: a block that crosses one would be compressed again each time it is sent.
        let beginsPage = counts.chunks > 0 && counts.chunks.isMultiple(of: Limits.indexPageChunks)
        if isFull || beginsPage {
            try whenFull?(self)
            if windows[last].chunks.isEmpty == false {
                windows.append(Window())
                last += 1
            }
        }
        let entry = ChunkEntry(id: id, length: UInt32(raw.count))
        windows[last].raw.append(contentsOf: raw)
        windows[last].chunks.append(entry)
        counts.chunks += 1
        return entry
    }

    /// Makes blocks of the planned runs. A package's blocks hold nothing of another one, so they go over the wire as they lie.
    func pack() {
        for window in windows {
            counts.newChunks += window.newChunks
            var start = 0
            var at = 0
            for run in window.runs {
                start += window.chunks[at..<run.lowerBound].reduce(0) { $0 + Int($1.length) }
                let chunks = Array(window.chunks[run])
                let length = chunks.reduce(0) { $0 + Int($1.length) }
                let packed = window.raw.withUnsafeBytes {
                    Block.encode(raw: UnsafeRawBufferPointer(rebasing: $0[start..<(start + length)]))
                }
                blocks.append(StoredBlock(codec: packed.codec, rawLength: length, chunks: chunks, bytes: packed.bytes))
                counts.storedBytes += UInt64(packed.bytes.count)
                start += length
                at = run.upperBound
            }
        }
        // Of a large package more will come, into the same room.
        windows.removeSubrange(1...)
        windows[0].raw.removeAll(keepingCapacity: whenFull != nil)
        windows[0].chunks.removeAll(keepingCapacity: whenFull != nil)
        windows[0].runs.removeAll(keepingCapacity: whenFull != nil)
        windows[0].newChunks = 0
    }

    /// Forgets what waits: a package that failed, or was the same. Blocks that were written stay, and cost only room until they are collected.
    func discard() { windows = [Window()] }

    /// The blocks made since the last call.
    func takeBlocks() -> [StoredBlock] {
        defer { blocks = [] }
        return blocks
    }
}
