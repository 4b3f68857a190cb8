public import HansaCore

/// The right edge of a growing tree: the roots of its complete subtrees, largest first; all that is needed to append and to know
/// the root.
///
/// A value of at most 63 hashes. A tree reached by appending to a frontier has the frontier's tree as a prefix: nothing here can
/// take back.
public struct Frontier: Sendable, Equatable {
    public private(set) var size: TreeSize
    /// One hash for each set bit of the size.
    public private(set) var peaks: [Digest]

    /// Of the empty tree.
    public init() {
        size = 0
        peaks = []
    }

    /// Of the tree with these complete subtrees. Traps unless there is one for each set bit of `size`.
    public init(size: TreeSize, peaks: [Digest]) {
        precondition(peaks.count == size.value.nonzeroBitCount, "\(peaks.count) peaks for a tree of \(size)")
        self.size = size
        self.peaks = peaks
    }

    /// Adds one leaf hash. `completed` is told of each subtree of 256, 256², … leaves that it completes: (levels of 8, hash).
    @inline(__always)
    public mutating func append(_ leaf: Digest, completed: (Int, Digest) -> Void = { _, _ in }) {
        var hash = leaf
        var level = 0
        while size.value >> UInt64(level) & 1 == 1 {
            hash = MerkleTree.nodeHash(peaks.removeLast(), hash)
            level += 1
            if level & 7 == 0 { completed(level >> 3, hash) }
        }
        peaks.append(hash)
        size = size.advanced(by: 1)
    }

    /// The root of the tree. At most 62 hashes.
    public var root: Digest {
        guard var hash = peaks.last else { return MerkleTree.emptyRoot }
        for peak in peaks.dropLast().reversed() { hash = MerkleTree.nodeHash(peak, hash) }
        return hash
    }
}
