// The head of a package that several cities write, and a city's own chain in it (SYNC.md §4).
//
// A package with one writer needs none of this: its row says which release is the newest. Where another city wrote too, the releases are made a
// graph and the agreement's rule picks the head; `PackageRow.headSeq` then is the head's `ownerSeq`, and `lastSeq` and `last` go on being the
// chain of the package's own city. The graph is read from the documents each time a release of such a package comes: O(releases).
public import HansaCore
internal import HansaDocuments
public import HansaTerms

/// The last that a city signed of a package.
public struct OwnChain: Sendable, Equatable {
    public var lastSeq: UInt64
    public var last: Digest?

    public init(lastSeq: UInt64, last: Digest?) {
        self.lastSeq = lastSeq
        self.last = last
    }
}

extension MetadataReading {
    /// Where our own releases of a package stand: what the next one counts on from.
    public func ownChain(of package: PackageID, by own: CityID) throws -> OwnChain {
        if package.city == own {
            let row = try self.package(package)
            return OwnChain(lastSeq: row?.lastSeq ?? 0, last: row?.last)
        }
        guard let bytes = try value(Heads.chainName(package)), bytes.count == 8 || bytes.count == 8 + Digest.byteCount else {
            return OwnChain(lastSeq: 0, last: nil)
        }
        return OwnChain(lastSeq: bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) }, last: Digest(Array(bytes[8...])))
    }

    /// Whether other cities than its own write, or have written, a package.
    public func isCoMaintained(_ package: PackageID, at now: Timestamp) throws -> Bool {
        let policy = try policy()
        // Without such an agreement, living or ended, no other city's release was ever taken.
        guard policy.hasMaintainers else { return false }
        return try policy.maintenance(of: package, at: now) != nil
            || releases(of: package).contains { $0.release.writer != package.city }
    }
}

extension MetadataWriting {
    /// In a package of another city; our own packages' rows hold theirs.
    public func setOwnChain(_ chain: OwnChain, of package: PackageID) throws {
        var bytes = ByteWriter(reserving: 40)
        bytes.u64(chain.lastSeq)
        if let last = chain.last { bytes.raw(last.bytes) }
        try setValue(Heads.chainName(package), bytes.bytes)
    }
}

public enum Heads {
    static func chainName(_ package: PackageID) -> String { "chain.\(package)" }

    /// What the package's releases say together, without those that a withdrawal ended.
    public struct State: Sendable {
        public let graph: VersionGraph
        public let canonical: VersionGraph.Canonical
        /// Nil where no agreement in force names maintainers: then its own city's releases count.
        public let maintenance: Maintenance?

        public var counted: Digest? {
            switch canonical {
            case .head(let digest), .conflicted(let digest), .frozen(.some(let digest)): digest
            case .none, .frozen(nil): nil
            }
        }
        /// Every release of every head: what a merge of now is made of.
        public var headReleases: Set<Digest> { Set(graph.heads.flatMap(\.releases)) }
        /// Several heads.
        public var isConflicted: Bool { graph.heads.count > 1 }
        /// One head, by another city, that the owner has not taken up.
        public var isWaiting: Bool { graph.heads.count == 1 && counted.map { !graph.heads[0].releases.contains($0) } ?? false }
    }
}

extension ExchangeContext {
    /// Reads every document of the package.
    public func heads(of package: PackageID, in store: any MetadataReading, at now: Timestamp) throws -> Heads.State {
        let withdrawn = try store.package(package)?.withdrawnSeq ?? 0
        var graph = VersionGraph()
        for row in try store.releases(of: package) where row.release.operation != .withdraw && row.release.ownerSeq > withdrawn {
            let envelope = try envelope(at: row.document)
            guard let release = try? Release(envelope) else {
                throw StoreFault.damaged("the document of release \(row.digest.short) cannot be read")
            }
            graph.insert(VersionGraph.Node(release, digest: row.digest))
        }
        let maintenance = try store.policy().maintenance(of: package, at: now)
        let rule: VersionGraph.Rule = maintenance?.rule == .any ? .any : .owner(package.city)
        return Heads.State(graph: graph, canonical: graph.canonical(by: rule), maintenance: maintenance)
    }

    /// Brings the package's row to what its releases say, after one came or the rule changed. Nothing happens where only its own city wrote.
    public func updateHead(of package: PackageID, _ tx: any MetadataWriting) throws {
        let releases = try tx.releases(of: package)
        guard let any = releases.first(where: { $0.release.writer != package.city }) else { return }
        let before = try tx.package(package)
        var row =
            before
            // Known by a maintainer's word alone: listed once the rule counts something.
            ?? PackageRow(
                package: package, kind: any.release.kind, head: any.digest, headVersion: any.release.version, headSeq: 0,
                lastSeq: 0,
                last: any.digest, tlp: any.release.tlp, title: any.release.title, bytes: 0, withdrawnSeq: nil)
        // A person decides what a fork leaves in doubt.
        if before != nil, try Disputes.isOpen(.fork, of: package, in: tx) { return }
        switch try heads(of: package, in: tx, at: tx.now).canonical {
        case .none, .frozen(nil):
            if before == nil { try tx.put(row) }
            return
        case .head(let digest), .conflicted(let digest), .frozen(.some(let digest)):
            guard let head = releases.first(where: { $0.digest == digest })?.release else { return }
            (row.head, row.headVersion, row.headSeq, row.kind) = (digest, head.version, head.ownerSeq, head.kind)
            (row.tlp, row.title, row.bytes) = (head.tlp, head.title, head.bytes)
            if row != before { try tx.put(row) }
        }
    }

    /// The rule of an agreement came into force, or went: heads are picked anew.
    func updateHeads(under record: AgreementRecord, _ tx: any MetadataWriting) throws {
        for pattern in (record.agreement.maintainers ?? []).flatMap(\.packages) {
            var after: PackageID?
            while true {
                let rows = try tx.packages(of: pattern.city, after: after, limit: 1000)
                guard let last = rows.last else { break }
                after = last.package
                for row in rows where pattern.matches(row.package) { try updateHead(of: row.package, tx) }
            }
        }
    }
}
