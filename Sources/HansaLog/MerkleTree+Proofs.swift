public import HansaCore

/// Making roots and proofs from a reader of complete subtrees. A reader is asked only for subtrees that lie whole within the size
/// given.
extension MerkleTree {
    /// The root of the first `size` entries. O(log n) reads.
    public static func root<Fault: Error>(
        at size: TreeSize, reading hash: (NodePosition) throws(Fault) -> Digest
    ) throws(Fault) -> Digest {
        size.isEmpty ? emptyRoot : try subroot(0, size.value, hash)
    }

    /// The siblings of entry `index` from its leaf up to the root of the first `size` entries (RFC 9162 §2.1.3.1).
    /// Traps when the tree has no such entry. O(log² n) reads.
    public static func inclusionProof<Fault: Error>(
        of index: LeafIndex, in size: TreeSize, reading hash: (NodePosition) throws(Fault) -> Digest
    ) throws(Fault) -> [Digest] {
        precondition(size.contains(index), "entry \(index) is not in a tree of \(size)")
        var proof: [Digest] = []
        var low: UInt64 = 0
        var high = size.value
        while high - low > 1 {
            let middle = low + split(high - low)
            if index.value < middle {
                proof.append(try subroot(middle, high, hash))
                high = middle
            } else {
                proof.append(try subroot(low, middle, hash))
                low = middle
            }
        }
        // Found from the root down, written from the leaf up.
        return proof.reversed()
    }

    /// What shows that the tree of `old` entries is a prefix of the tree of `new` (RFC 9162 §2.1.4.1); empty when `old` is 0 or
    /// `new`. Traps when `old` is above `new`. O(log² n) reads.
    public static func consistencyProof<Fault: Error>(
        from old: TreeSize, to new: TreeSize, reading hash: (NodePosition) throws(Fault) -> Digest
    ) throws(Fault) -> [Digest] {
        precondition(old <= new, "a tree of \(new) cannot extend one of \(old)")
        guard !old.isEmpty, old < new else { return [] }
        var proof: [Digest] = []
        var low: UInt64 = 0
        var high = new.value
        // The verifier knows the root of the old tree already; a subtree of it at the right edge has to be told.
        var isWholeOldTree = true
        while old.value != high {
            let middle = low + split(high - low)
            if old.value <= middle {
                proof.append(try subroot(middle, high, hash))
                high = middle
            } else {
                proof.append(try subroot(low, middle, hash))
                low = middle
                isWholeOldTree = false
            }
        }
        if !isWholeOldTree { proof.append(try subroot(low, high, hash)) }
        return proof.reversed()
    }

    /// The largest power of two below `count`, for `count` above 1.
    private static func split(_ count: UInt64) -> UInt64 { 1 << UInt64(63 - (count - 1).leadingZeroBitCount) }

    /// The hash over leaves `low..<high`, where `low` is a multiple of the smallest power of two not below their number.
    private static func subroot<Fault: Error>(
        _ low: UInt64, _ high: UInt64, _ hash: (NodePosition) throws(Fault) -> Digest
    ) throws(Fault) -> Digest {
        let count = high - low
        if count & (count - 1) == 0 {
            let level = count.trailingZeroBitCount
            return try hash(NodePosition(level: level, index: low >> UInt64(level)))
        }
        let middle = low + split(count)
        return nodeHash(try subroot(low, middle, hash), try subroot(middle, high, hash))
    }
}
