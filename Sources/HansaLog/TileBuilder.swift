internal import HansaCore

/// Grows a tree entry by entry and hands out each tile as it becomes full; holds the partial tiles of the right edge. Memory: one
/// tile a level and one bundle. The sequencer writes what comes out, the verifier compares it with what is there.
struct TileBuilder {
    private(set) var frontier: Frontier
    /// The hashes of the partial tile of each level, one after the other; empty where the last tile is full or there is none.
    private(set) var edges: [[UInt8]]
    /// The partial bundle.
    private(set) var bundle: [UInt8]

    init() {
        frontier = Frontier()
        edges = [[UInt8]](repeating: [], count: TilePath.levelsMax)
        bundle = []
    }

    /// The state of a tree of `size` from its partial tiles. Traps unless each edge has the hashes that the size asks for.
    init(size: TreeSize, edges: [[UInt8]], bundle: [UInt8]) {
        var peaks: [Digest] = []
        for level in (0..<TilePath.levelsMax).reversed() {
            let width = Int(TileLayout.items(in: size, level: level) % 256)
            precondition(edges[level].count == width * Digest.byteCount, "the edge of level \(level) does not fit \(size)")
            // Each set bit of the width is one complete subtree, the largest leftmost.
            var first = 0
            for bit in (0..<8).reversed() where width >> bit & 1 == 1 {
                peaks.append(HashTile.root(of: edges[level], first: first, count: 1 << bit))
                first += 1 << bit
            }
        }
        frontier = Frontier(size: size, peaks: peaks)
        self.edges = edges
        self.bundle = bundle
    }

    var size: TreeSize { frontier.size }
    var root: Digest { frontier.root }

    /// Adds one entry; `full` gets each tile that it fills: the bundle, level 0, and upwards.
    mutating func append(_ entry: some Collection<UInt8>, leaf: Digest, full: (TilePath, [UInt8]) -> Void) {
        EntryBundle.append(entry, to: &bundle)
        if size.value % 256 == 255 {
            full(TilePath(.entries, index: size.value / 256), bundle)
            bundle = []
        }
        append(leaf: leaf, full: full)
    }

    /// The hashes alone, where the entry itself is lost.
    mutating func append(leaf: Digest, full: (TilePath, [UInt8]) -> Void) {
        var completed: [(level: Int, hash: Digest)] = []
        frontier.append(leaf) { level, hash in completed.append((level, hash)) }
        push(leaf, level: 0, full)
        for node in completed { push(node.hash, level: node.level, full) }
    }

    /// The partial tiles as they stand now: what a checkpoint of this size needs beside the full ones.
    func partialTiles() -> [(tile: TilePath, bytes: [UInt8])] {
        TileLayout.partialTiles(in: size).map { tile in
            switch tile.kind {
            case .entries: (tile, bundle)
            case .hashes(let level): (tile, edges[level])
            }
        }
    }

    private mutating func push(_ hash: Digest, level: Int, _ full: (TilePath, [UInt8]) -> Void) {
        hash.withUnsafeBytes { edges[level].append(contentsOf: $0) }
        guard edges[level].count == HashTile.fullByteCount else { return }
        full(TilePath(.hashes(level: level), index: TileLayout.items(in: size, level: level) / 256 - 1), edges[level])
        edges[level].removeAll(keepingCapacity: true)
    }
}

/// The bytes of a hash tile: up to 256 hashes.
enum HashTile {
    static let fullByteCount = TilePath.fullWidth * Digest.byteCount

    static func hash(_ bytes: [UInt8], at item: Int) -> Digest {
        bytes.withUnsafeBytes { Digest($0, at: item * Digest.byteCount) }
    }

    /// The root over `count` hashes, a power of two, from `first` on.
    static func root(of bytes: [UInt8], first: Int, count: Int) -> Digest {
        if count == 1 { return hash(bytes, at: first) }
        let half = count / 2
        return MerkleTree.nodeHash(root(of: bytes, first: first, count: half), root(of: bytes, first: first + half, count: half))
    }

    /// The first item in which two tiles of one length differ.
    static func firstDifference(_ left: [UInt8], _ right: [UInt8]) -> Int? {
        zip(left, right).enumerated().first { $0.element.0 != $0.element.1 }.map { $0.offset / Digest.byteCount }
    }
}
