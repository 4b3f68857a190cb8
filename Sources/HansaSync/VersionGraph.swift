// The versions of one package as a graph of signed releases (SYNC.md §4): which are heads, which is the canonical one, what contradicts itself.
//
// Everything asked of it is a function of the set of releases that were inserted, never of their order: partners that hold the same releases
// see the same heads.
public import HansaCore
public import HansaDocuments

/// Where one clock stands to another.
public enum ClockOrder: Sendable, Equatable {
    case equal, before, after, concurrent

    public init(_ left: [ClockEntry], _ right: [ClockEntry]) {
        var isBelow = false
        var isAbove = false
        var a = left.makeIterator()
        var b = right.makeIterator()
        var x = a.next()
        var y = b.next()
        // Both are in order of city; a city that is not there stands at 0.
        while x != nil || y != nil {
            if let p = x, let q = y, p.city == q.city {
                if p.seq < q.seq { isBelow = true } else if p.seq > q.seq { isAbove = true }
                (x, y) = (a.next(), b.next())
            } else if let p = x, y.map({ p.city < $0.city }) ?? true {
                isAbove = true
                x = a.next()
            } else {
                isBelow = true
                y = b.next()
            }
        }
        self = isBelow ? (isAbove ? .concurrent : .before) : (isAbove ? .after : .equal)
    }
}

/// All known releases of one package.
public struct VersionGraph: Sendable {
    public struct Node: Sendable, Equatable {
        public let digest: Digest
        public let writer: CityID
        public let seq: UInt64
        public let parents: [Digest]
        /// In order of city.
        public let clock: [ClockEntry]
        public let operation: Release.Operation
        /// What the content is known by; nil for a withdrawal.
        public let content: Digest?

        public init(
            digest: Digest, writer: CityID, seq: UInt64, parents: [Digest], clock: [ClockEntry], operation: Release.Operation,
            content: Digest?
        ) {
            self.digest = digest
            self.writer = writer
            self.seq = seq
            self.parents = parents
            self.clock = clock
            self.operation = operation
            self.content = content
        }

        public init(_ release: Release, digest: Digest) {
            self.init(
                digest: digest, writer: release.writer, seq: release.seq, parents: release.parents, clock: release.clock,
                operation: release.operation, content: release.manifest)
        }

        public func seq(of city: CityID) -> UInt64 { clock.first { $0.city == city }?.seq ?? 0 }
    }

    /// Two or more releases with one writer and seq: evidence, not a conflict.
    public struct Fork: Sendable, Equatable {
        public let writer: CityID
        public let seq: UInt64
        /// In order.
        public let releases: [Digest]
    }

    /// Releases that no other dominates and that have the same content: one head, whoever signed it.
    public struct Head: Sendable, Equatable {
        /// In order; the first stands for all.
        public let releases: [Digest]
    }

    /// How the canonical head is chosen (TERMS.md, `maintainers`).
    public enum Rule: Sendable, Equatable {
        /// The newest release of this city counts; what others add waits until it merges it.
        case owner(CityID)
        /// A deterministic pick among the heads.
        case any
    }

    public enum Canonical: Sendable, Equatable {
        case none
        case head(Digest)
        /// Several heads; this one is shown, and a person should merge them.
        case conflicted(Digest)
        /// The writer signed two releases under one number: nothing from there on counts. The newest release that is not in doubt, if any.
        case frozen(Digest?)
    }

    private var nodes: [Digest: Node] = [:]

    public init() {}

    /// False when it was there. O(1).
    @discardableResult
    public mutating func insert(_ node: Node) -> Bool { nodes.updateValue(node, forKey: node.digest) == nil }

    public var count: Int { nodes.count }

    public func node(_ digest: Digest) -> Node? { nodes[digest] }

    /// The newest releases that both know, in order: what a merge of the two starts from. More than one where histories cross.
    public func commonAncestors(of left: Digest, _ right: Digest) -> [Digest] {
        let both = ancestors(of: left).intersection(ancestors(of: right))
        let known = both.compactMap { nodes[$0] }
        return known.filter { node in
            !known.contains { $0.digest != node.digest && ClockOrder(node.clock, $0.clock) == .before }
        }.map(\.digest).sorted()
    }

    /// Itself included.
    private func ancestors(of digest: Digest) -> Set<Digest> {
        var seen: Set<Digest> = []
        var open = [digest]
        while let next = open.popLast() {
            if let node = nodes[next], seen.insert(next).inserted { open += node.parents }
        }
        return seen
    }

    /// In order of digest.
    private var ordered: [Node] { nodes.keys.sorted().compactMap { nodes[$0] } }

    /// Every (writer, seq) that more than one release has, in order. O(n log n).
    public var forks: [Fork] {
        let sorted = ordered.sorted { ($0.writer, $0.seq, $0.digest) < ($1.writer, $1.seq, $1.digest) }
        var forks: [Fork] = []
        var start = 0
        while start < sorted.count {
            var end = start + 1
            while end < sorted.count, sorted[end].writer == sorted[start].writer, sorted[end].seq == sorted[start].seq {
                end += 1
            }
            if end - start > 1 {
                forks.append(
                    Fork(writer: sorted[start].writer, seq: sorted[start].seq, releases: sorted[start..<end].map(\.digest)))
            }
            start = end
        }
        return forks
    }

    /// Releases whose clock is not what their parents' clocks and their own seq make, in order: they count for nothing.
    ///
    /// With all parents known the clock must be their maximum with the writer's own entry raised to `seq`; of a parent that is not known
    /// (a view may hide it) nothing is asked, but what the known ones show must be in it.
    public var misclocked: [Digest] { ordered.filter { !hasRightClock($0) }.map(\.digest) }

    private func hasRightClock(_ node: Node) -> Bool {
        let parents = node.parents.compactMap { nodes[$0] }
        for parent in parents {
            // A writer counts on from what it knew of itself.
            if parent.seq(of: node.writer) >= node.seq { return false }
            for entry in parent.clock where node.seq(of: entry.city) < entry.seq { return false }
        }
        guard parents.count == node.parents.count else { return true }
        for entry in node.clock where entry.city != node.writer {
            if parents.allSatisfy({ $0.seq(of: entry.city) < entry.seq }) { return false }
        }
        return true
    }

    /// Releases that none other follows, in order of digest; equal content is one head. O(n²) at the worst, O(n · heads) in a chain.
    public var heads: [Head] {
        let counted = ordered.filter(hasRightClock)
        let twins = Set(forks.flatMap(\.releases))
        // Newest first, so that a chain is compared with its head alone.
        var open: [Node] = []
        for node in counted.sorted(by: VersionGraph.isNewer) {
            let isFollowed =
                twins.contains(node.digest)
                // A clock cannot tell twins apart: only what is built upon a twin follows it.
                ? counted.contains { isAncestor(node.digest, of: $0) }
                : open.contains {
                    $0.digest != node.digest && $0.seq(of: node.writer) >= node.seq && ClockOrder(node.clock, $0.clock) == .before
                }
            if !isFollowed { open.append(node) }
        }
        var heads: [Head] = []
        var rest = open.sorted { $0.digest < $1.digest }
        while let first = rest.first {
            let same = rest.filter { $0.digest == first.digest || (first.content != nil && $0.content == first.content) }
            heads.append(Head(releases: same.map(\.digest)))
            let taken = Set(same.map(\.digest))
            rest.removeAll { taken.contains($0.digest) }
        }
        return heads
    }

    /// The head that counts, by the rule.
    public func canonical(by rule: Rule) -> Canonical {
        let forks = self.forks
        guard forks.isEmpty else {
            // What no doubt reaches: releases that know of none of the disputed numbers.
            let sound = ordered.filter { node in
                hasRightClock(node) && forks.allSatisfy { node.seq(of: $0.writer) < $0.seq }
            }
            return .frozen(sound.sorted(by: VersionGraph.isNewer).first?.digest)
        }
        let heads = self.heads
        guard !heads.isEmpty else { return .none }
        switch rule {
        case .any:
            let nodes = heads.compactMap { head in head.releases.first.flatMap { self.nodes[$0] } }
            guard let first = nodes.sorted(by: VersionGraph.isNewer).first else { return .none }
            return heads.count == 1 ? .head(first.digest) : .conflicted(first.digest)
        case .owner(let owner):
            let own = ordered.filter { $0.writer == owner && hasRightClock($0) }.max { $0.seq < $1.seq }
            guard let own else { return .none }
            return heads.count == 1 ? .head(own.digest) : .conflicted(own.digest)
        }
    }

    private func isAncestor(_ digest: Digest, of node: Node) -> Bool {
        var seen: Set<Digest> = []
        var open = node.parents
        while let next = open.popLast() {
            if next == digest { return true }
            if seen.insert(next).inserted, let parent = nodes[next] { open += parent.parents }
        }
        return false
    }

    // More history first; then the digest, which nobody can choose at will for less than its work.
    private static func isNewer(_ left: Node, _ right: Node) -> Bool {
        let (a, b) = (left.clock.reduce(0) { $0 &+ $1.seq }, right.clock.reduce(0) { $0 &+ $1.seq })
        return a != b ? a > b : left.digest < right.digest
    }
}
