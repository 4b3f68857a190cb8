// The one way by which a log grows (FORMATS.md §11). Entries are durable in the database's table first, in one transaction with
// the change they record; then
//
//   1  bundles and tiles are written and durable        (a crash: leftovers beyond the checkpoint; open() clears them)
//   2  the checkpoint is signed, written and durable    (a crash: the bodies are still in the table; compared with the tiles)
//   3  the caller drops the bodies below `tiled`        (a crash: as after 2)
//   4  partial tiles of the checkpoint before are removed at the next growth, those that contradict the tile in their place are not:
//      they are evidence, and `LogVerifier` reports them
//
// Steps never overlap and nothing is retried: after any failure the sequencer only throws, and the next open() finds out what is
// true. Call order: open, then `sequence` with everything the table holds, in order of index, in batches of any size.
// Not copyable, as two sequencers over one storage could sign two histories; the home's lock keeps other processes out.
internal import HansaCore

/// What the database knows of the log's entries.
public struct PendingTable: Sendable, Equatable {
    /// The lowest index whose body the table still holds; nil when it holds none.
    public let first: LeafIndex?
    /// The index that the next entry will get. It never goes down, also when the table is emptied.
    public let next: LeafIndex

    public init(first: LeafIndex?, next: LeafIndex) {
        self.first = first
        self.next = next
    }
}

/// An entry that is durable in the table.
public struct PendingEntry: Sendable, Equatable {
    public let index: LeafIndex
    /// As `LogEntry.encoded()` gave it.
    public let bytes: [UInt8]

    public init(index: LeafIndex, bytes: [UInt8]) {
        self.index = index
        self.bytes = bytes
    }
}

public struct LogSequencer: ~Copyable, Sendable {
    /// The last checkpoint that was signed and is durable.
    public private(set) var checkpoint: SignedCheckpoint
    /// Bodies of entries below this size are durable in the log and may be dropped from the table.
    public var tiled: TreeSize { checkpoint.size }

    private let storage: any TileStorage
    private let signer: LogSigner
    private var builder: TileBuilder
    /// Partial tiles of the checkpoint before the last: a reader may still be at them.
    private var retired: [TilePath] = []
    private var hasStopped = false

    /// Tiles in memory before they are written, so that a growth of any size takes the same memory.
    private static let unwrittenBytesMax = 8 << 20

    /// Finds out where the log stands and makes an empty one where there is none yet.
    ///
    /// Throws when checkpoint, tiles and table contradict each other; nothing was changed then. `former` are log keys that this
    /// node used before its present one under the same origin: a checkpoint of theirs is taken, and signed again with the present
    /// key.
    public static func open(
        storage: any TileStorage, signer: LogSigner, former: [VerifierKey] = [], table: PendingTable
    ) throws(LogFault) -> LogSequencer {
        guard let found = try storage.checkpoint() else {
            // Nothing was ever signed, or a crash came before the first checkpoint: then the table has every entry from 0 on.
            guard table.next == 0 || table.first == 0 else { throw .checkpointMissing(first: table.first ?? table.next) }
            var fresh = try LogSequencer(storage: storage, signer: signer, builder: TileBuilder())
            try fresh.clearLeftovers(table.next)
            // From here on a missing checkpoint means damage, once a body was dropped.
            try fresh.publish(fresh.checkpoint)
            return fresh
        }
        let (signed, isCurrent) = try open(found, signer: signer, former: former)
        guard signed.size.value <= table.next.value else { throw .aheadOfTable(checkpoint: signed.size, next: table.next) }
        // Also when the table is empty: then everything it ever gave out must be in the log.
        let first = table.first ?? table.next
        guard first.value <= signed.size.value else { throw .entriesLost(checkpoint: signed.size, first: first) }

        let builder = try edge(of: signed, storage)
        var sequencer = try LogSequencer(storage: storage, signer: signer, builder: builder)
        try sequencer.clearLeftovers(table.next)
        if isCurrent { sequencer.checkpoint = signed } else { try sequencer.publish(sequencer.checkpoint) }
        return sequencer
    }

    private init(storage: any TileStorage, signer: LogSigner, builder: TileBuilder) throws(LogFault) {
        self.storage = storage
        self.signer = signer
        self.builder = builder
        checkpoint = try LogSequencer.signed(builder, signer)
    }

    /// Writes these entries into the log and signs a checkpoint over all of it. Durable when it returns.
    ///
    /// Entries below `tiled` are not written again but must be the same: that is how a table whose bodies were not dropped in
    /// time is checked. The rest follows without a gap. Without anything new nothing is written. After a throw every further call
    /// throws `.stopped`.
    public mutating func sequence(_ entries: some Sequence<PendingEntry>) throws(LogFault) -> SignedCheckpoint {
        guard !hasStopped else { throw .stopped }
        do {
            return try grow(by: entries)
        } catch {
            // The builder is ahead of the disk now, or the disk is not what we wrote; neither may be signed.
            hasStopped = true
            throw error
        }
    }

    private mutating func grow(by entries: some Sequence<PendingEntry>) throws(LogFault) -> SignedCheckpoint {
        // Two processes on one home, or a restored file: whoever wrote it, this sequencer's tree is no longer the only one.
        guard try storage.checkpoint() == checkpoint.bytes else { throw .checkpointReplaced }
        let full = try append(entries)
        guard builder.size > tiled else { return checkpoint }

        let old = checkpoint
        try write(full + builder.partialTiles().map { TileFile(path: $0.tile.text, bytes: $0.bytes) })
        // A crash here, or anywhere above, leaves tiles beyond the checkpoint. They hold only entries that the table still has,
        // and open() clears them; full tiles that are written again get the same bytes.

        try proveGrowth(from: old)
        try publish(LogSequencer.signed(builder, signer))
        // A crash here leaves bodies in the table that are in the log too: the next `sequence` compares and passes them.

        // Only now may tiles go that the checkpoint before `old` needed; those of `old` stay for one growth more.
        let unneeded = retired.filter { !TileLayout.contains($0, in: checkpoint.size) }
        try remove(settled(unneeded))
        // A crash here brings removed files back at worst; open() removes them again.
        retired = TileLayout.partialTiles(in: old.size)
        return checkpoint
    }

    /// Returns the full tiles that are not written yet; those of a large growth are written on the way.
    private mutating func append(_ entries: some Sequence<PendingEntry>) throws(LogFault) -> [TileFile] {
        var unwritten: [TileFile] = []
        var bytes = 0
        var reader = LogReader(storage: storage, size: tiled)
        for entry in entries {
            guard entry.bytes.count <= Limits.logEntryBytesMax else { throw .entryTooLong(entry.index, bytes: entry.bytes.count) }
            let leaf = MerkleTree.leafHash(entry.bytes)
            if tiled.contains(entry.index) {
                guard try reader.leafHash(at: entry.index) == leaf else { throw .forked(entry.index) }
                continue
            }
            guard entry.index == builder.size.nextIndex else {
                throw .outOfOrder(expected: builder.size.nextIndex, found: entry.index)
            }
            builder.append(entry.bytes, leaf: leaf) { tile, content in
                unwritten.append(TileFile(path: tile.text, bytes: content))
                bytes += content.count
            }
            if bytes >= LogSequencer.unwrittenBytesMax {
                try write(unwritten)
                unwritten = []
                bytes = 0
            }
        }
        return unwritten
    }

    /// Proves from the tiles as they lie on disk, not from the frontier that made them, that the signed tree is a prefix of the
    /// new one.
    private func proveGrowth(from old: SignedCheckpoint) throws(LogFault) {
        var reader = LogReader(storage: storage, size: builder.size)
        let proof = try reader.consistencyProof(from: old.size, to: builder.size)
        guard
            MerkleTree.isConsistent(from: old.root, size: old.size, to: builder.root, size: builder.size, proof: proof),
            try reader.root(at: builder.size) == builder.root
        else { throw .inconsistent(from: old.size, to: builder.size) }
    }

    private mutating func publish(_ new: SignedCheckpoint) throws(LogFault) {
        try write([TileFile(path: TileFile.checkpointPath, bytes: new.bytes)])
        checkpoint = new
    }

    /// Removes tiles that the checkpoint does not need: of a growth that a crash cut off, and of checkpoints before.
    private func clearLeftovers(_ next: LeafIndex) throws(LogFault) {
        var leftovers: [TilePath] = []
        do {
            try storage.forEachPath { path in
                // Files that are no tiles are not ours to remove; `LogVerifier` reports them.
                guard let tile = TilePath(path), !TileLayout.contains(tile, in: builder.size) else { return }
                leftovers.append(tile)
            }
        } catch {
            throw .storage(path: "tile", cause: error)
        }
        // A growth holds only entries that the database gave out. Tiles beyond them are another history's, and perhaps its only
        // copy.
        if let foreign = leftovers.first(where: { $0.completeAt.map { $0.value > next.value } ?? true }) {
            throw .damaged(path: foreign.text, why: "it has entries that the database never gave out")
        }
        try remove(settled(leftovers))
    }

    /// Those tiles that may go: beyond the tree, or as the tile says that took their place.
    private func settled(_ tiles: [TilePath]) throws(LogFault) -> [TilePath] {
        var settled: [TilePath] = []
        for tile in tiles {
            guard let end = tile.completeAt, end <= builder.size else {
                settled.append(tile)
                continue
            }
            let width = TileLayout.width(of: tile.index, in: builder.size, level: tile.kind.level)
            let present = TilePath(tile.kind, index: tile.index, width: width)
            do {
                guard let bytes = try storage.read(tile.text) else { continue }
                if let whole = try storage.read(present.text), tile.isBeginning(bytes, of: whole) { settled.append(tile) }
            } catch {
                throw .storage(path: tile.text, cause: error)
            }
        }
        return settled
    }

    private func write(_ files: [TileFile]) throws(LogFault) {
        do { try storage.write(files) } catch { throw .storage(path: files.first?.path ?? "", cause: error) }
    }

    private func remove(_ tiles: [TilePath]) throws(LogFault) {
        guard let first = tiles.first else { return }
        do { try storage.remove(tiles.map(\.text)) } catch { throw .storage(path: first.text, cause: error) }
    }

    private static func signed(_ builder: TileBuilder, _ signer: LogSigner) throws(LogFault) -> SignedCheckpoint {
        do {
            let checkpoint = try Checkpoint(origin: signer.origin, size: builder.size, root: builder.root)
            // Opened as a reader will: a signature that does not hold must not replace one that does.
            return try SignedCheckpoint(signer.sign(checkpoint), log: signer.verifierKey)
        } catch {
            throw .badCheckpoint(error)
        }
    }

    private static func open(
        _ bytes: [UInt8], signer: LogSigner, former: [VerifierKey]
    ) throws(LogFault) -> (checkpoint: SignedCheckpoint, isCurrent: Bool) {
        do {
            return (try SignedCheckpoint(bytes, log: signer.verifierKey), true)
        } catch {
            guard error == .notSigned else { throw .badCheckpoint(error) }
        }
        for key in former where key.name == signer.origin {
            if let checkpoint = try? SignedCheckpoint(bytes, log: key) { return (checkpoint, false) }
        }
        throw .badCheckpoint(.notSigned)
    }

    /// The right edge of the tree, read from the partial tiles and checked: their hashes give the signed root, the bundle's
    /// entries their hashes.
    private static func edge(of signed: SignedCheckpoint, _ storage: any TileStorage) throws(LogFault) -> TileBuilder {
        var edges = [[UInt8]](repeating: [], count: TilePath.levelsMax)
        var bundle: (tile: TilePath, bytes: [UInt8])?
        for tile in TileLayout.partialTiles(in: signed.size) {
            let bytes = try LogReader.read(tile, from: storage)
            switch tile.kind {
            case .entries: bundle = (tile, bytes)
            case .hashes(let level):
                guard bytes.count == tile.width * Digest.byteCount else {
                    throw .damaged(path: tile.text, why: "it has \(bytes.count) bytes")
                }
                edges[level] = bytes
            }
        }
        if let bundle {
            let entries: [ArraySlice<UInt8>]
            do { entries = try EntryBundle.decode(bundle.bytes, count: bundle.tile.width) } catch {
                throw .damaged(path: bundle.tile.text, why: "\(error)")
            }
            for (item, entry) in entries.enumerated() where MerkleTree.leafHash(entry) != HashTile.hash(edges[0], at: item) {
                throw .damaged(path: bundle.tile.text, why: "its entry \(item) does not have the hash in the tile of level 0")
            }
        }
        let builder = TileBuilder(size: signed.size, edges: edges, bundle: bundle?.bytes ?? [])
        guard builder.root == signed.root else {
            throw .damaged(path: "tile", why: "the hashes at its right edge do not give the root in the checkpoint")
        }
        return builder
    }
}

extension TileStorage {
    func checkpoint() throws(LogFault) -> [UInt8]? {
        do { return try read(TileFile.checkpointPath) } catch { throw .storage(path: TileFile.checkpointPath, cause: error) }
    }
}
