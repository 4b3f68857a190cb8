import HansaCore
import HansaLog
import Testing

/// The tree by its definition in RFC 6962 §2.1, without any cleverness, and all its complete subtrees.
private struct NaiveTree {
    let leaves: [Digest]
    private let levels: [[Digest]]

    init(_ leaves: [Digest]) {
        self.leaves = leaves
        var levels = [leaves]
        while let last = levels.last, last.count > 1 {
            levels.append((0..<(last.count / 2)).map { MerkleTree.nodeHash(last[2 * $0], last[2 * $0 + 1]) })
        }
        self.levels = levels
    }

    static func root(_ leaves: ArraySlice<Digest>) -> Digest {
        if leaves.count < 2 { return leaves.first ?? MerkleTree.emptyRoot }
        var split = 1
        while split * 2 < leaves.count { split *= 2 }
        let middle = leaves.startIndex + split
        return MerkleTree.nodeHash(root(leaves[..<middle]), root(leaves[middle...]))
    }

    func hash(_ position: NodePosition) -> Digest { levels[position.level][Int(position.index)] }
}

@Suite struct MerkleTreeTests {
    private static let referenceLeaves = [
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    ]
    private static let referenceRoots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    private static let leaves300 = (0..<300).map { MerkleTree.leafHash(Array("entry \($0)".utf8)) }

    @Test func theReferenceTreesHaveTheirRoots() throws {
        let leaves = try Self.referenceLeaves.map { MerkleTree.leafHash(try #require(Hex.decode($0))) }
        for count in 1...8 { #expect(MerkleTree.root(leaves.prefix(count)).hex == Self.referenceRoots[count - 1]) }
        #expect(MerkleTree.emptyRoot.hex == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(MerkleTree.root([]) == MerkleTree.emptyRoot)
    }

    @Test func aFrontierHasTheRootOfTheDefinitionAtEverySize() {
        var frontier = Frontier()
        for count in 0...300 {
            #expect(frontier.root == NaiveTree.root(Self.leaves300[..<count]))
            #expect(frontier == Frontier(size: TreeSize(UInt64(count)), peaks: frontier.peaks))
            if count < 300 { frontier.append(Self.leaves300[count]) }
        }
    }

    @Test func everyEntryOfEverySizeUpTo300IsProvenIncluded() throws {
        let tree = NaiveTree(Self.leaves300)
        for count in 1...300 {
            let size = TreeSize(UInt64(count))
            let root = MerkleTree.root(at: size) { tree.hash($0) }
            #expect(root == NaiveTree.root(Self.leaves300[..<count]))
            for position in 0..<count {
                let index = LeafIndex(UInt64(position))
                let proof = MerkleTree.inclusionProof(of: index, in: size) { tree.hash($0) }
                try #require(MerkleTree.isIncluded(leaf: tree.leaves[position], at: index, proof: proof, in: root, size: size))
            }
        }
    }

    @Test func everySizeUpTo300IsProvenToExtendEveryEarlierOne() throws {
        let tree = NaiveTree(Self.leaves300)
        let roots = (0...300).map { NaiveTree.root(Self.leaves300[..<$0]) }
        for new in 0...300 {
            for old in 0...new {
                let from = TreeSize(UInt64(old))
                let to = TreeSize(UInt64(new))
                let proof = MerkleTree.consistencyProof(from: from, to: to) { tree.hash($0) }
                try #require(MerkleTree.isConsistent(from: roots[old], size: from, to: roots[new], size: to, proof: proof))
            }
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func aChangedInclusionProofIsRefused(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let tree = NaiveTree(Self.leaves300)
        for _ in 0..<400 {
            let count = UInt64.random(in: 2...300, using: &random)
            let index = LeafIndex(UInt64.random(in: 0..<count, using: &random))
            let size = TreeSize(count)
            let leaf = tree.leaves[Int(index.value)]
            let root = MerkleTree.root(at: size) { tree.hash($0) }
            let proof = MerkleTree.inclusionProof(of: index, in: size) { tree.hash($0) }
            func holds(_ leaf: Digest, _ index: LeafIndex, _ proof: [Digest], _ root: Digest, _ size: TreeSize) -> Bool {
                MerkleTree.isIncluded(leaf: leaf, at: index, proof: proof, in: root, size: size)
            }
            var flipped = proof
            flipped[Int.random(in: 0..<proof.count, using: &random)] = random.digest()
            #expect(!holds(leaf, index, flipped, root, size), "seed \(seed)")
            #expect(!holds(leaf, index, Array(proof.dropLast()), root, size), "seed \(seed)")
            #expect(!holds(leaf, index, Array(proof.dropFirst()), root, size), "seed \(seed)")
            #expect(!holds(leaf, index, proof + [random.digest()], root, size), "seed \(seed)")
            #expect(!holds(random.digest(), index, proof, root, size), "seed \(seed)")
            #expect(!holds(leaf, index, proof, random.digest(), size), "seed \(seed)")
            #expect(!holds(leaf, LeafIndex((index.value + 1) % count), proof, root, size), "seed \(seed)")
            #expect(!holds(leaf, LeafIndex(count + index.value), proof, root, size), "seed \(seed)")
            #expect(!holds(leaf, size.nextIndex, proof, root, size), "seed \(seed)")
        }
    }

    @Test func proofsOf64HashesAndOfEmptyTreesAreRefused() {
        let long = [Digest](repeating: .zero, count: 64)
        #expect(!MerkleTree.isIncluded(leaf: .zero, at: 0, proof: long, in: .zero, size: .max))
        #expect(!MerkleTree.isConsistent(from: .zero, size: 1, to: .zero, size: .max, proof: long))
        #expect(!MerkleTree.isIncluded(leaf: .zero, at: 0, proof: [], in: MerkleTree.emptyRoot, size: 0))
        #expect(!MerkleTree.isConsistent(from: .zero, size: 0, to: Self.leaves300[0], size: 1, proof: []))
        #expect(MerkleTree.isConsistent(from: MerkleTree.emptyRoot, size: 0, to: Self.leaves300[0], size: 1, proof: []))
        #expect(!MerkleTree.isConsistent(from: MerkleTree.emptyRoot, size: 0, to: Self.leaves300[0], size: 1, proof: [.zero]))
    }

    @Test(arguments: [4, 5, 6] as [UInt64])
    func aForkOrAChangedConsistencyProofIsRefused(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let tree = NaiveTree(Self.leaves300)
        for _ in 0..<400 {
            let new = Int.random(in: 2...300, using: &random)
            let old = Int.random(in: 1..<new, using: &random)
            let from = TreeSize(UInt64(old))
            let to = TreeSize(UInt64(new))
            var forked = Self.leaves300
            forked[Int.random(in: 0..<old, using: &random)] = random.digest()
            let fork = NaiveTree(forked)
            let oldRoot = NaiveTree.root(Self.leaves300[..<old])
            let newRoot = NaiveTree.root(Self.leaves300[..<new])
            let forkedRoot = NaiveTree.root(forked[..<new])
            let proof = MerkleTree.consistencyProof(from: from, to: to) { tree.hash($0) }
            let forkedProof = MerkleTree.consistencyProof(from: from, to: to) { fork.hash($0) }
            func holds(_ old: Digest, _ new: Digest, _ proof: [Digest]) -> Bool {
                MerkleTree.isConsistent(from: old, size: from, to: new, size: to, proof: proof)
            }
            #expect(!holds(oldRoot, forkedRoot, proof), "seed \(seed)")
            #expect(!holds(oldRoot, forkedRoot, forkedProof), "seed \(seed)")
            #expect(!holds(oldRoot, newRoot, Array(proof.dropLast())), "seed \(seed)")
            #expect(!holds(oldRoot, newRoot, proof + [random.digest()]), "seed \(seed)")
            var flipped = proof
            flipped[Int.random(in: 0..<proof.count, using: &random)] = random.digest()
            #expect(!holds(oldRoot, newRoot, flipped), "seed \(seed)")
            #expect(!MerkleTree.isConsistent(from: newRoot, size: to, to: oldRoot, size: from, proof: proof), "seed \(seed)")
        }
    }

    @Test func theTreeOf70000EntriesHasItsRoot() {
        var frontier = Frontier()
        for index in 0..<70_000 { frontier.append(MerkleTree.leafHash(Array("entry \(index)".utf8))) }
        #expect(Base64.encode(frontier.root.bytes) == "o5IPun8jmgcam9EHIfE0Gt3vuu3ttBx+JEN6nRa98Ao=")
    }
}
