// What the next release of ours says of those before it: number, predecessor, parents, clock (SYNC.md §4).
public import HansaCore
public import HansaDocuments
internal import HansaTerms

public struct Lineage: Sendable, Equatable {
    /// Our release before this one.
    public var previous: Digest?
    public var seq: UInt64
    public var parents: [Digest]
    public var clock: [ClockEntry]
    /// `merge` where several heads become one.
    public var operation: Release.Operation
    /// The highest version among the parents; nil for the first release.
    public var version: Version?
    /// Parents that another city wrote and that the release which the caller counts on does not know.
    public var unseen: [Digest] = []
    /// Something waits for a decision: several heads, or one that the rule does not count.
    public var isOpen = false
    /// The strictest label among the parents.
    public var tlp: TLP?
    /// The heads before it, each by its first release; empty where the package has one writer.
    public var heads: [Digest] = []
    /// Of a merge in a package of several writers: every release of the heads that it is made of, which must still be all when it is committed.
    public var merges: Set<Digest>?
    /// Heads that came since a merge was made, in order: it holds nothing of them, and is void.
    public var unmerged: [Digest] = []
    /// The heads are not those that a merge was made of any more.
    public var isOutdated = false

    /// In a package of one writer: upon what its row says.
    public init(upon row: PackageRow?, by own: CityID) {
        seq = (row?.lastSeq ?? 0) + 1
        previous = row?.last
        parents = row.map { [$0.last] } ?? []
        clock = [ClockEntry(city: own, seq: seq)]
        operation = .publish
        version = row?.headVersion
    }
}

extension ExchangeContext {
    /// The next release of ours upon what is held now. `merging` follows all heads; else the one that counts and our own last.
    ///
    /// `made` holds the releases of all heads that a merge was made of: it follows these and no other, since what it followed without having its
    /// content would be lost. `base` is the release that the content was made from, where that is known.
    public func lineage(
        of package: PackageID, merging: Bool, of made: Set<Digest>? = nil, upon base: Digest? = nil,
        in store: any MetadataReading,
        at now: Timestamp
    ) throws -> Lineage {
        let row = try store.package(package)
        var next = Lineage(upon: row, by: own)
        guard try store.isCoMaintained(package, at: now) else { return next }
        let state = try heads(of: package, in: store, at: now)
        let chain = try store.ownChain(of: package, by: own)
        (next.previous, next.seq) = (chain.last, chain.lastSeq + 1)
        next.heads = state.graph.heads.compactMap(\.releases.first)
        var parents: Set<Digest> = []
        if merging {
            let current = state.headReleases
            parents = made ?? current
            next.merges = parents
            next.unmerged = current.subtracting(parents).sorted()
            next.isOutdated = current != parents
        } else {
            switch state.canonical {
            case .head(let digest), .conflicted(let digest), .frozen(.some(let digest)): parents = [digest]
            case .none, .frozen(nil): break
            }
        }
        var nodes = parents.sorted().compactMap { state.graph.node($0) }
        // Our own last, unless what we build upon knows it. A withdrawal is no part of the graph, and one that was lost stands in a dispute.
        if let last = chain.last, let known = try state.graph.node(last) ?? node(last, of: package, in: store) {
            if !nodes.contains(where: { $0.seq(of: own) >= known.seq }) {
                parents.insert(last)
                nodes.append(known)
            }
        }
        next.parents = parents.sorted()
        var clock: [CityID: UInt64] = [:]
        for node in nodes { for entry in node.clock { clock[entry.city] = max(clock[entry.city] ?? 0, entry.seq) } }
        clock[own] = next.seq
        next.clock = clock.keys.sorted().map { ClockEntry(city: $0, seq: clock[$0] ?? 0) }
        if merging, next.heads.count > 1 { next.operation = .merge }
        let followed = try next.parents.compactMap { try store.release($0)?.release }
        next.version = followed.map(\.version).max() ?? next.version
        next.tlp = followed.map(\.tlp).max()
        next.isOpen = state.isConflicted || state.isWaiting
        if !merging, let base, let seen = state.graph.node(base) {
            next.unseen = nodes.filter { node in
                node.writer != own && node.digest != base
                    && ![.before, .equal].contains(ClockOrder(node.clock, seen.clock))
            }.map(\.digest)
        }
        return next
    }

    private func node(_ digest: Digest, of package: PackageID, in store: any MetadataReading) throws -> VersionGraph.Node? {
        let document =
            try store.release(digest)?.document
            ?? store.disputes(of: package).first { $0.kind == .fence && $0.other == digest }?.document
        guard let document, let release = try? Release(try envelope(at: document)) else { return nil }
        return VersionGraph.Node(release, digest: digest)
    }
}
