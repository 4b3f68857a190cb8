// The Merkle tree of RFC 6962 §2.1 (= RFC 9162 §2.1) over SHA-256: hashes and the checks of proofs. `MerkleTree+Proofs` makes
// proofs, `Frontier` appends. Leaves and nodes are hashed under different first bytes, so that no entry can pass for a subtree.
public import HansaCore
public import HansaCrypto

public enum MerkleTree {
    /// A tree has fewer than 2^63 leaves, so no honest proof is longer.
    public static let proofHashesMax = 63

    /// The root of the tree without entries: SHA-256 of nothing.
    public static let emptyRoot = SHA256.hash([UInt8]())

    /// SHA-256(0x00 ‖ entry).
    @inlinable
    public static func leafHash(_ entry: some Collection<UInt8>) -> Digest {
        var hash = SHA256()
        hash.update(byte: 0)
        hash.update(entry)
        return hash.finish()
    }

    /// SHA-256(0x01 ‖ left ‖ right).
    public static func nodeHash(_ left: Digest, _ right: Digest) -> Digest {
        var hash = SHA256()
        hash.update(byte: 1)
        hash.update(left)
        hash.update(right)
        return hash.finish()
    }

    /// The root over these leaf hashes.
    public static func root(_ leaves: some Sequence<Digest>) -> Digest {
        var frontier = Frontier()
        for leaf in leaves { frontier.append(leaf) }
        return frontier.root
    }

    /// Whether `proof` shows that `leaf` is entry `index` of the tree with this size and root (RFC 9162 §2.1.3.2).
    public static func isIncluded(leaf: Digest, at index: LeafIndex, proof: [Digest], in root: Digest, size: TreeSize) -> Bool {
        guard size.contains(index), proof.count <= proofHashesMax else { return false }
        var first = index.value
        var last = size.value - 1
        var hash = leaf
        for sibling in proof {
            guard last != 0 else { return false }
            if first & 1 == 1 || first == last {
                hash = nodeHash(sibling, hash)
                // The right edge may miss some levels: climb to where we are a right child.
                while first & 1 == 0, first != 0 {
                    first >>= 1
                    last >>= 1
                }
            } else {
                hash = nodeHash(hash, sibling)
            }
            first >>= 1
            last >>= 1
        }
        return last == 0 && hash == root
    }

    /// Whether `proof` shows that the tree `old` is a prefix of the tree `new` (RFC 9162 §2.1.4.2).
    ///
    /// Every tree extends the empty one, and equal sizes need equal roots: both take an empty proof, which RFC 9162 leaves out.
    public static func isConsistent(
        from oldRoot: Digest, size oldSize: TreeSize, to newRoot: Digest, size newSize: TreeSize, proof: [Digest]
    ) -> Bool {
        guard oldSize <= newSize, proof.count <= proofHashesMax else { return false }
        if oldSize == newSize { return proof.isEmpty && oldRoot == newRoot }
        if oldSize.isEmpty { return proof.isEmpty && oldRoot == emptyRoot }
        guard let start = proof.first else { return false }
        // An old tree of a power of two is itself a node of the new one, and its root is left out of the proof.
        let isPower = oldSize.value & (oldSize.value - 1) == 0
        var first = oldSize.value - 1
        var last = newSize.value - 1
        while first & 1 == 1 {
            first >>= 1
            last >>= 1
        }
        var oldHash = isPower ? oldRoot : start
        var newHash = oldHash
        for sibling in isPower ? proof[...] : proof.dropFirst() {
            guard last != 0 else { return false }
            if first & 1 == 1 || first == last {
                oldHash = nodeHash(sibling, oldHash)
                newHash = nodeHash(sibling, newHash)
                while first & 1 == 0, first != 0 {
                    first >>= 1
                    last >>= 1
                }
            } else {
                newHash = nodeHash(newHash, sibling)
            }
            first >>= 1
            last >>= 1
        }
        return last == 0 && oldHash == oldRoot && newHash == newRoot
    }
}
