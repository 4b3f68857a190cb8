// Packages about which releases contradict each other: listed, shown with the evidence, decided by an administrator.
//
// A fork (a city signed two releases under one number) and a fence (a partner holds a release of ours that we do not know, as after a restored
// backup) are never merged: see `conflictResolve`. Where several cities write a package it may have several heads, which one of them makes one
// again, and a head that waits for the owner: those are no fault of anybody's (`Node+Merging`).
public import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaTerms

extension Node {
    /// How far the numbers are raised beyond what was seen: other partners may hold more than the one that showed it.
    static let fenceGap = OwnChains.gap

    public func conflictList(_ caller: Caller) throws(Problem) -> JSONValue {
        let rows = try read { store -> [JSONValue] in
            var rows: [JSONValue] = []
            for dispute in try store.disputes(of: nil) where dispute.resolved == nil { rows.append(try self.row(dispute, store)) }
            for (package, state) in try self.conflicted(store) { rows.append(try self.row(package, state, store)) }
            return rows
        }
        return ["schema": "hansa.conflict-list/1", "conflicts": .array(rows)]
    }

    private func row(_ dispute: DisputeRow, _ store: any MetadataReading) throws -> JSONValue {
        var heads: [JSONValue] = []
        for digest in [dispute.known, dispute.other].compactMap({ $0 }) {
            let held = try store.release(digest)
            heads.append([
                "release": JSONValue(digest), "city": .string(dispute.writer.text),
                "version": JSONValue(try held?.release.version.description ?? self.version(of: digest, shownIn: dispute)),
                "held": .bool(held != nil),
            ])
        }
        return [
            "package": .string(dispute.package.description), "heads": .array(heads), "kind": .string(dispute.kind.rawValue),
            "seq": JSONValue(dispute.seq), "shownBy": .string(dispute.partner.text), "found": JSONValue(dispute.found),
            "resolved": dispute.resolved.map { JSONValue($0) } ?? .null,
            "command": .string("hansa conflict show \(dispute.package)"),
        ]
    }

    private func row(_ package: PackageID, _ state: Heads.State, _ store: any MetadataReading) throws -> JSONValue {
        let heads = try state.graph.heads.flatMap(\.releases).map { digest -> JSONValue in
            let release = try store.release(digest)
            return [
                "release": JSONValue(digest), "city": JSONValue(release?.release.writer.text),
                "version": JSONValue(release?.release.version.description), "held": .bool(release?.hasContent ?? false),
            ]
        }
        let newest = try state.graph.heads.flatMap(\.releases).compactMap { try store.release($0) }.max {
            $0.committed < $1.committed
        }
        return [
            "package": .string(package.description), "heads": .array(heads),
            "kind": .string(state.isConflicted ? "heads" : "waiting"),
            "seq": .null, "shownBy": JSONValue(newest?.release.writer.text), "found": JSONValue(newest?.committed),
            "resolved": .null,
            "counted": JSONValue(state.counted), "autoMerge": .bool(state.maintenance?.autoMerge ?? false),
            "command": .string("hansa conflict show \(package)"),
        ]
    }

    /// From the evidence, for a release that is not held.
    private func version(of digest: Digest, shownIn dispute: DisputeRow) throws -> String? {
        let envelope = try Envelope(binary: try content.body(at: dispute.document))
        let envelopes = envelope.type == .forkProof ? try ForkProof(envelope).releases : [envelope]
        return try envelopes.first { $0.digest == digest }.map { try Release($0).version.description }
    }

    public func conflictShow(_ caller: Caller, package text: String) throws(Problem) -> JSONValue {
        let id = try packageID(text)
        let (row, disputes) = try read { store in (try store.package(id), try store.disputes(of: id)) }
        guard row != nil else { throw Problem(.packageUnknown, "there is no package \(id)", try: "hansa package list") }
        let graph = try guarded { try self.graph(of: id, disputes) }
        let (maintenance, open) = try read { store in
            (
                try store.policy().maintenance(of: id, at: self.clock.now),
                try self.conflicted(store).first { $0.package == id }.map { try self.row(id, $0.state, store) }
            )
        }
        let canonical: JSONValue =
            switch graph.canonical(by: maintenance?.rule == .any ? .any : .owner(id.city)) {
            case .none: ["state": "none"]
            case .head(let digest): ["state": "head", "release": JSONValue(digest)]
            case .conflicted(let digest): ["state": "conflicted", "release": JSONValue(digest)]
            case .frozen(let digest): ["state": "frozen", "release": digest.map { JSONValue($0) } ?? .null]
            }
        let documents = try read { store in
            try disputes.map { dispute -> JSONValue in
                let envelope = try Envelope(binary: try self.content.body(at: dispute.document))
                var members = try self.row(dispute, store).object ?? []
                // As text, so that the bytes that were signed are what is printed.
                members.append(JSONMember("document", .string(String(decoding: envelope.json(), as: UTF8.self))))
                return .object(members)
            }
        }
        return [
            "schema": "hansa.conflict-show/1", "package": .string(id.description),
            "conflicts": .array(documents + (open.map { [$0] } ?? [])),
            "maintainers": .array((maintenance?.cities ?? [id.city]).map { .string($0.text) }),
            "rule": .string(maintenance?.rule.rawValue ?? "owner"),
            "head": JSONValue(row?.head), "undisputed": canonical,
            "heads": .array(graph.heads.map { .array($0.releases.map { JSONValue($0) }) }),
        ]
    }

    /// Every release of the package that we hold, and those that the evidence shows.
    private func graph(of id: PackageID, _ disputes: [DisputeRow]) throws -> VersionGraph {
        var graph = VersionGraph()
        for row in try metadata.read({ try $0.releases(of: id) }) {
            graph.insert(VersionGraph.Node(try Release(Envelope(binary: try content.body(at: row.document))), digest: row.digest))
        }
        for dispute in disputes {
            let envelope = try Envelope(binary: try content.body(at: dispute.document))
            for shown in envelope.type == .forkProof ? try ForkProof(envelope).releases : [envelope] {
                graph.insert(VersionGraph.Node(try Release(shown), digest: shown.digest))
            }
        }
        return graph
    }

    /// A decision of ours; it changes nothing at other cities.
    ///
    /// Of several heads, a release with the content of the one that is taken follows them all.
    /// Of a fork, a release that we hold becomes the head again, and the head follows the writer from then on; the other release was refused, and
    /// its content is not here. Of a fence, numbers go on 2^20 above what was shown, so that nothing is signed twice whoever holds more.
    public func conflictResolve(_ caller: Caller, package text: String, take reference: String?, merge: Bool, dryRun: Bool)
        throws(Problem) -> JSONValue
    {
        let id = try packageID(text)
        let (found, disputes) = try read { store in
            (try store.package(id), try store.disputes(of: id).filter { $0.resolved == nil })
        }
        guard let row = found else { throw Problem(.packageUnknown, "there is no package \(id)", try: "hansa package list") }
        guard let first = disputes.first else {
            guard try read({ try self.conflicted($0).contains { $0.package == id } }) else {
                throw Problem(.usage, "there is no open conflict about \(id)", try: "hansa conflict list")
            }
            try mustBeMaintainer(of: id)
            let heads = try read { try self.headReleases(of: id, $0) } ?? []
            guard let reference else {
                return [
                    "schema": "hansa.conflict-resolve/1", "package": .string(id.description), "publish": true,
                    "heads": .array(heads.sorted().map { JSONValue($0) }),
                ]
            }
            return try take(reference, of: id, heads, caller, dryRun)
        }
        guard let reference, !merge else { throw unmergeable(id, first) }
        return first.kind == .fence
            ? try continueChain(row, disputes, reference, caller, dryRun)
            : try settleFork(row, disputes, reference, caller, dryRun)
    }

    private func take(_ reference: String, of id: PackageID, _ heads: Set<Digest>, _ caller: Caller, _ dryRun: Bool)
        throws(Problem)
        -> JSONValue
    {
        let (named, release) = try resolve(reference)
        guard named.package == id else {
            throw Problem(.usage, "\(reference.printable()) is a release of another package", try: "hansa conflict show \(id)")
        }
        let published = try takeHead(release, of: heads, caller, dryRun: dryRun)
        return [
            "schema": "hansa.conflict-resolve/1", "package": .string(id.description), "head": published["release"] ?? .null,
            "version": published["version"] ?? .null, "took": JSONValue(release.digest), "resolved": 1, "dryRun": .bool(dryRun),
        ]
    }

    private func unmergeable(_ id: PackageID, _ dispute: DisputeRow) -> Problem {
        id.city == city
            ? Problem(
                .packageFenced,
                "a merge of \(id) is its next release: decide with --take first, then publish the merged directory",
                try:
                    "hansa conflict resolve \(id) --take \(id)@\(dispute.other), then hansa package publish DIR --name \(id.path)"
            )
            : Problem(
                .packageForked,
                "only \(id.city) can publish a merge of \(id): take one of its releases, or wait for a higher one",
                try: "hansa conflict show \(id)")
    }

    private func settleFork(_ row: PackageRow, _ disputes: [DisputeRow], _ reference: String, _ caller: Caller, _ dryRun: Bool)
        throws(Problem) -> JSONValue
    {
        let id = row.package
        if let digest = reference.split(separator: "@", maxSplits: 1).last,
            digest.hasPrefix("sha256:"), digest.count > 7,
            let refused = disputes.first(where: { $0.other.prefixed.hasPrefix(digest) })
        {
            throw Problem(
                .packageForked,
                "release \(refused.other.short) of \(id) was refused, and its content is not here: only \(id.city) can mend this, by "
                    + "publishing a higher release. What we hold can be taken", try: "hansa conflict show \(id)")
        }
        let (named, release) = try resolve(reference)
        guard named.package == id else {
            throw Problem(.usage, "\(reference.printable()) is a release of another package", try: "hansa conflict show \(id)")
        }
        if !dryRun {
            try change { tx in
                guard var row = try tx.package(id) else { return ((), ExchangeChanges()) }
                row.head = release.digest
                row.headVersion = release.release.version
                row.headSeq = release.release.seq
                (row.tlp, row.title, row.bytes) = (release.release.tlp, release.release.title, release.release.bytes)
                try tx.put(row)
                try self.close(disputes, release.digest, caller, tx, ["head": JSONValue(release.digest)])
                return ((), ExchangeChanges())
            }
        }
        return [
            "schema": "hansa.conflict-resolve/1", "package": .string(id.description), "head": JSONValue(release.digest),
            "version": .string(release.release.version.description), "resolved": JSONValue(disputes.count),
            "dryRun": .bool(dryRun),
        ]
    }

    private func continueChain(_ row: PackageRow, _ disputes: [DisputeRow], _ reference: String, _ caller: Caller, _ dryRun: Bool)
        throws(Problem) -> JSONValue
    {
        let id = row.package
        let named = reference.split(separator: "@", maxSplits: 1).map(String.init)
        guard try packageID(named.first ?? "") == id else {
            throw Problem(.usage, "\(reference.printable()) is a release of another package", try: "hansa conflict show \(id)")
        }
        let isShown = named.count > 1 && named[1].count > 7 && disputes.contains { $0.other.prefixed.hasPrefix(named[1]) }
        if !isShown { _ = try resolve(reference) }
        let chain = try read { try $0.ownChain(of: id, by: self.city) }
        let (raised, overflows) = chain.lastSeq.addingReportingOverflow(Node.fenceGap)
        guard !overflows, raised < UInt64(Int64.max) else {
            throw Problem(.limitExceeded, "the numbers of \(id) are at their end", try: "publish it under another name")
        }
        if !dryRun {
            try change { tx in
                try self.raise(id, to: raised, tx)
                try self.close(disputes, chain.last ?? row.last, caller, tx, ["raisedTo": JSONValue(raised)])
                return ((), ExchangeChanges())
            }
        }
        return [
            "schema": "hansa.conflict-resolve/1", "package": .string(id.description), "continues": JSONValue(chain.last),
            "nextSeq": JSONValue(raised + 1), "resolved": JSONValue(disputes.count), "dryRun": .bool(dryRun),
        ]
    }

    /// Our next release of the package gets a number above this one.
    func raise(_ id: PackageID, to seq: UInt64, _ tx: any MetadataWriting) throws {
        try tx.raiseOwnChain(of: id, by: city, to: seq)
    }

    private func close(
        _ disputes: [DisputeRow], _ release: Digest, _ caller: Caller, _ tx: any MetadataWriting, _ details: JSONValue
    ) throws {
        for var dispute in disputes {
            dispute.resolved = tx.now
            try tx.put(dispute)
            try tx.log(
                LogDraft(
                    .packageConflictResolved, actor: actor(caller), partner: dispute.partner, package: dispute.package,
                    release: release, reason: dispute.kind.rawValue, details: details))
        }
    }

    /// Throws while a partner's evidence says that we have signed more of this package than we know.
    func mustNotBeFenced(_ id: PackageID, _ store: any MetadataReading) throws {
        guard let fence = try store.disputes(of: id).first(where: { $0.kind == .fence && $0.resolved == nil }) else { return }
        throw Problem(
            .packageFenced,
            "\(fence.partner) holds release \(fence.other.short) of \(id), number \(fence.seq), which we signed and do not know: nothing is "
                + "signed for it until an administrator has decided", try: "hansa conflict show \(id)")
    }

    /// For `why`, one line; nil where nothing is in doubt.
    func dispute(about id: PackageID, _ store: any MetadataReading) throws -> String? {
        try store.disputes(of: id).first { $0.resolved == nil }.map(summary)
    }

    /// For `status`.
    func summary(of dispute: DisputeRow) -> String {
        switch dispute.kind {
        case .fork:
            "\(dispute.writer) signed two releases of \(dispute.package) under number \(dispute.seq): its head stands still"
        case .fence:
            "\(dispute.partner) holds a release of \(dispute.package) that we signed and do not know: nothing is signed for it"
        }
    }
}
