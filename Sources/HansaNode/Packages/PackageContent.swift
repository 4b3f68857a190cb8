// The content of one package on its way into the store. Chunks wait in windows of neighbours, up to 1 MiB each, until `ContentWriter` has
// decided which of them are new; runs of new neighbours are then compressed together into blocks.
//
// Call order: add for each chunk; ContentWriter.plan; pack; ContentWriter.append. One thread at a time; `pack` of several packages may run side
// by side. The windows of a large package are taken out and made into blocks by other threads (`ContentWriter.store`).
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

    struct Window: Sendable {
        var raw: [UInt8] = []
        var chunks: [ChunkEntry] = []
        /// New neighbours, as positions in `chunks`, and how many are new; `ContentWriter.plan` finds them.
        var runs: [Range<Int>] = []
        var newChunks = 0

        /// A block of each run.
        func blocks() -> [StoredBlock] {
            var blocks: [StoredBlock] = []
            var start = 0
            var at = 0
            for run in runs {
                start += chunks[at..<run.lowerBound].reduce(0) { $0 + Int($1.length) }
                let own = Array(chunks[run])
                let length = own.reduce(0) { $0 + Int($1.length) }
                let packed = raw.withUnsafeBytes {
                    Block.encode(raw: UnsafeRawBufferPointer(rebasing: $0[start..<(start + length)]))
                }
                blocks.append(StoredBlock(codec: packed.codec, rawLength: length, chunks: own, bytes: packed.bytes))
                start += length
                at = run.upperBound
            }
            return blocks
        }
    }

    /// Where windows begin: a function of the chunks' lengths, so that it can be told before they are hashed.
    struct Seams {
        private var bytes = 0
        private var chunks = 0
        private var number = 0

        /// Takes the next chunk of the package. True: it begins another window.
        mutating func begins(with length: Int) -> Bool {
            let isFull = bytes + length > Limits.blockRawBytesMax || chunks == BlockRecord.chunksMax
            // The wire cuts at the index's pages too: a block that crosses one would be compressed again each time it is sent.
            let begins = number > 0 && (isFull || number.isMultiple(of: Limits.indexPageChunks))
            if begins { (bytes, chunks) = (0, 0) }
            bytes += length
            chunks += 1
            number += 1
            return begins
        }
    }

    private(set) var counts = Counts()
    private(set) var seams = Seams()
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
        if seams.begins(with: raw.count) { try beginWindow() }
        let last = windows.count - 1
        // Of a large package more will come, as much.
        if windows[last].chunks.isEmpty, whenFull != nil { windows[last].raw.reserveCapacity(Limits.blockRawBytesMax) }
        let entry = ChunkEntry(id: id, length: UInt32(raw.count))
        windows[last].raw.append(contentsOf: raw)
        windows[last].chunks.append(entry)
        counts.chunks += 1
        return entry
    }

    /// Takes chunks that `seams` puts into one window, without a copy where they begin it.
    func add(_ window: Window) throws {
        guard let first = window.chunks.first else { return }
        var after = seams
        let begins = after.begins(with: Int(first.length))
        if begins { try beginWindow() }
        let last = windows.count - 1
        if windows[last].chunks.isEmpty {
            windows[last] = window
            for chunk in window.chunks.dropFirst() { _ = after.begins(with: Int(chunk.length)) }
            seams = after
            counts.chunks += window.chunks.count
        } else {
            try window.raw.withUnsafeBytes { bytes in
                var start = 0
                for chunk in window.chunks {
                    let end = start + Int(chunk.length)
                    _ = try add(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), id: chunk.id)
                    start = end
                }
            }
        }
    }

    private func beginWindow() throws {
        try whenFull?(self)
        if windows[windows.count - 1].chunks.isEmpty == false { windows.append(Window()) }
    }

    /// Makes blocks of the planned runs. A package's blocks hold nothing of another one, so they go over the wire as they lie.
    func pack() {
        for window in takeWindows() {
            let made = window.blocks()
            note(stored: made)
            blocks += made
        }
    }

    /// The planned windows, to be made into blocks elsewhere.
    func takeWindows() -> [Window] {
        let taken = windows
        for window in taken { counts.newChunks += window.newChunks }
        windows = [Window()]
        return taken
    }

    /// Counts blocks that were made of this package's windows.
    func note(stored made: [StoredBlock]) { counts.storedBytes += made.reduce(0) { $0 + UInt64($1.bytes.count) } }

    /// Forgets what waits: a package that failed, or was the same. Blocks that were written stay, and cost only room until they are collected.
    func discard() { windows = [Window()] }

    /// The blocks made since the last call.
    func takeBlocks() -> [StoredBlock] {
        defer { blocks = [] }
        return blocks
    }
}
