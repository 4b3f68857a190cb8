// Reads entries, hashes and proofs from the tiles of a log. What it returns is as good as the disk: `LogVerifier` checks the
// disk.
public import HansaCore

/// A view of the log at one size, the one of the checkpoint that lies beside the tiles. Keeps the tiles it last read.
///
/// The sequencer keeps the tiles of the checkpoint before its last one, so a reader that took the checkpoint just before a growth
/// still works; one that outlives two growths reads the checkpoint again.
public struct LogReader {
    public let size: TreeSize
    private let storage: any TileStorage
    private var tiles: [TilePath: [UInt8]] = [:]
    private var bundle: (tile: TilePath, bytes: [UInt8], entries: [Range<Int>])?

    private static let cachedTilesMax = 64

    public init(storage: any TileStorage, size: TreeSize) {
        self.storage = storage
        self.size = size
    }

    /// The bytes of one entry. Traps when the log has fewer.
    public mutating func entry(at index: LeafIndex) throws(LogFault) -> [UInt8] {
        precondition(size.contains(index), "entry \(index) is not in a log of \(size)")
        let number = index.value / 256
        let tile = TilePath(.entries, index: number, width: TileLayout.width(of: number, in: size, level: 0))
        if bundle?.tile != tile { bundle = try load(tile) }
        guard let bundle else { preconditionFailure("just loaded") }
        return Array(bundle.bytes[bundle.entries[Int(index.value % 256)]])
    }

    /// The hash of a complete subtree that lies within the log. At most 255 hashes are computed.
    public mutating func hash(at position: NodePosition) throws(LogFault) -> Digest {
        let level = position.level / 8
        let count = 1 << (position.level % 8)
        let first = position.index << UInt64(position.level % 8)
        let number = first / 256
        let width = TileLayout.width(of: number, in: size, level: level)
        precondition(width >= Int(first % 256) + count, "no such subtree in a log of \(size)")
        return HashTile.root(
            of: try hashes(TilePath(.hashes(level: level), index: number, width: width)), first: Int(first % 256), count: count)
    }

    public mutating func leafHash(at index: LeafIndex) throws(LogFault) -> Digest {
        try hash(at: NodePosition(level: 0, index: index.value))
    }

    /// The root of the log when it had `earlier` entries.
    public mutating func root(at earlier: TreeSize) throws(LogFault) -> Digest {
        precondition(earlier <= size, "a log of \(size) has no root at \(earlier)")
        return try MerkleTree.root(at: earlier) { position throws(LogFault) in try hash(at: position) }
    }

    public mutating func inclusionProof(of index: LeafIndex, in earlier: TreeSize) throws(LogFault) -> [Digest] {
        precondition(earlier <= size, "a log of \(size) cannot prove for \(earlier)")
        return try MerkleTree.inclusionProof(of: index, in: earlier) { position throws(LogFault) in try hash(at: position) }
    }

    public mutating func consistencyProof(from old: TreeSize, to new: TreeSize) throws(LogFault) -> [Digest] {
        precondition(new <= size, "a log of \(size) cannot prove for \(new)")
        return try MerkleTree.consistencyProof(from: old, to: new) { position throws(LogFault) in try hash(at: position) }
    }

    private mutating func hashes(_ tile: TilePath) throws(LogFault) -> [UInt8] {
        if let held = tiles[tile] { return held }
        let bytes = try LogReader.read(tile, from: storage)
        guard bytes.count == tile.width * Digest.byteCount else {
            throw .damaged(path: tile.text, why: "it has \(bytes.count) bytes")
        }
        if tiles.count >= LogReader.cachedTilesMax { tiles.removeAll(keepingCapacity: true) }
        tiles[tile] = bytes
        return bytes
    }

    private func load(_ tile: TilePath) throws(LogFault) -> (tile: TilePath, bytes: [UInt8], entries: [Range<Int>]) {
        let bytes = try LogReader.read(tile, from: storage)
        do {
            return (tile, bytes, try EntryBundle.decode(bytes, count: tile.width).map { $0.startIndex..<$0.endIndex })
        } catch {
            throw .damaged(path: tile.text, why: "\(error)")
        }
    }

    static func read(_ tile: TilePath, from storage: any TileStorage) throws(LogFault) -> [UInt8] {
        let path = tile.text
        do {
            if let bytes = try storage.read(path) { return bytes }
        } catch {
            throw .storage(path: path, cause: error)
        }
        throw .damaged(path: path, why: "it is missing")
    }
}
