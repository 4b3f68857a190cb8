// Contradictions about one number of a package: found here, kept for ever, decided by a person (SYNC.md §4).
//
// fork    a partner signed two releases under one number: the proof is kept, and the package's head stands still while the dispute is open
// fence   a partner shows us a release that we signed and do not know, as after a restored backup: nothing is signed for the package while it
//         is open, and what comes after continues that chain
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

enum Disputes {
    /// Open and resolved together: a writer that forks again and again proves nothing new.
    static let ofPackageMax = 16

    static func isOpen(_ kind: DisputeRow.Kind, of package: PackageID, in store: any MetadataReading) throws -> Bool {
        try store.disputes(of: package).contains { $0.kind == kind && $0.resolved == nil }
    }
}

extension ExchangeContext {
    /// The proof that both were signed under one number, appended and not yet durable; nil where it is known already.
    func fork(_ known: Envelope, _ other: Envelope, partner: CityID, at now: Timestamp) throws -> DisputeRow? {
        let signing = signing.current
        // Two that are too large for one document are refused all the same; only the evidence is missing.
        guard let proof = try? ForkProof(known, other, by: own, found: now, keyring: signing.keyring) else { return nil }
        let before = try metadata.read { try $0.disputes(of: proof.package) }
        guard before.count < Disputes.ofPackageMax, !before.contains(where: { $0.kind == .fork && $0.other == other.digest })
        else {
            return nil
        }
        let envelope = proof.signed(with: [signing.packageKey])
        return DisputeRow(
            package: proof.package, kind: .fork, writer: proof.writer, seq: proof.seq, known: known.digest, other: other.digest,
            document: try content.append(document: envelope.binary(), digest: envelope.digest), partner: partner, found: now)
    }

    func envelope(at location: ContentLocation) throws -> Envelope {
        do { return try Envelope(binary: try content.body(at: location)) } catch let fault as DocumentFault {
            throw StoreFault.damaged("a document in the store cannot be read: \(fault)")
        }
    }
}

extension MetadataWriting {
    /// Keeps a fork with its log entry.
    func record(_ fork: DisputeRow) throws {
        try put(fork)
        try log(
            LogDraft(
                .packageForked, outcome: .failed, partner: fork.partner, package: fork.package, release: fork.other,
                reason: "fork",
                details: ["seq": JSONValue(fork.seq), "known": fork.known.map { JSONValue($0) } ?? .null]))
    }
}

extension Puller {
    /// The proofs for what is refused as a fork in this batch: appended to the store, durable with it. What shows them is kept until then (`done`): a
    /// batch may have to be looked at again.
    func forks(in batch: [Settled], at now: Timestamp) throws -> [DisputeRow] {
        var rows: [DisputeRow] = []
        for case .refused(let wanted, .fork, _) in batch {
            guard let other = forkEvidence[wanted.release], let release = try? Release(other) else {
                continue
            }
            var known: Envelope?
            for case .accepted(let transfer) in batch
            where transfer.release.package == release.package && transfer.release.writer == release.writer
                && transfer.release.seq == release.seq
            {
                known = try context.envelope(at: transfer.document)
            }
            if known == nil {
                let row = try context.metadata.read { store in
                    try store.releaseDigest(of: release.package, writer: release.writer, seq: release.seq).flatMap {
                        try store.release($0)
                    }
                }
                known = try row.map { try context.envelope(at: $0.document) }
            }
            guard let known, let row = try context.fork(known, other, partner: peer, at: now),
                !rows.contains(where: { $0.other == row.other })
            else { continue }
            rows.append(row)
        }
        return rows
    }

    /// Kept until the refusal is committed; a partner that sends more at once is refused without a proof.
    func keep(evidence envelope: Envelope) {
        if forkEvidence.count < Disputes.ofPackageMax { forkEvidence[envelope.digest] = envelope }
    }

    /// The publisher does not know our cursor, or the view differs: perhaps it came back from an old backup. It is shown the last document that we hold of each of its
    /// packages, so that it signs no number twice. Once a session.
    func showWhatWeHold(at now: Timestamp) throws {
        guard !hasShownHoldings else { return }
        hasShownHoldings = true
        isShowing = true
        try context.metadata.write(at: now) { tx in
            var showing = try Showing.read(self.peer, tx) ?? Showing()
            showing.isAgain = showing.after != nil
            try Showing.set(showing, self.peer, tx)
        }
        try showMore(at: now)
    }

    /// The next page of it, when what was put on its way before has mostly been acknowledged: a partner that never does is shown one page again and again.
    func showMore(at now: Timestamp) throws {
        guard isShowing else { return }
        let found = try context.metadata.read { store -> (showing: Showing?, page: [Written]?) in
            guard let showing = try Showing.read(self.peer, store) else { return (nil, nil) }
            guard try store.outboxExtent(to: self.peer).rows < Showing.rowsMax else { return (showing, nil) }
            return (showing, try self.written(after: showing.after, store))
        }
        guard var showing = found.showing else {
            isShowing = false
            return
        }
        guard let page = found.page else { return }
        if page.isEmpty {
            isShowing = showing.isAgain
            try context.metadata.write(at: now) { try Showing.set(self.isShowing ? Showing() : nil, self.peer, $0) }
            return
        }
        var envelopes: [Envelope] = []
        var bytes = 0
        for item in page where bytes < DocumentExchange.underWayBytesMax {
            showing.after = item.package
            // What cannot be read here any more is healed elsewhere, and nobody else is to wait for it.
            guard let envelope = try? context.envelope(at: item.document) else { continue }
            bytes += envelope.payload.count
            envelopes.append(envelope)
        }
        try context.metadata.write(at: now) { tx in
            for envelope in envelopes { try tx.enqueue(envelope, to: self.peer) }
            try Showing.set(showing, self.peer, tx)
        }
        if !envelopes.isEmpty { changes.outboxes.insert(peer) }
    }

    private struct Written {
        let package: PackageID
        let document: ContentLocation
    }

    /// The peer's last document of each package that it owns or maintains, after one, in order.
    private func written(after: PackageID?, _ store: any MetadataReading) throws -> [Written] {
        let policy = try store.policy()
        let maintained =
            policy.hasMaintainers
            ? policy.agreements.flatMap { $0.agreement.maintainers ?? [] }.filter { $0.cities.contains(peer) }
                .flatMap(\.packages).filter { $0.city != peer } : []
        var page: [Written] = []
        for city in Set(maintained.map(\.city) + [peer]).sorted() {
            if let after, city < after.city { continue }
            var last = after.flatMap { $0.city == city ? $0 : nil }
            while true {
                let rows = try store.packages(of: city, after: last, limit: 500)
                guard let end = rows.last else { break }
                last = end.package
                for row in rows where city == peer || maintained.contains(where: { $0.matches(row.package) }) {
                    // By seq: the last is the highest.
                    let newest = try store.release(row.last)
                    let theirs =
                        try newest?.release.writer == peer || !policy.hasMaintainers
                        ? newest : store.releases(of: row.package).last { $0.release.writer == self.peer }
                    guard let theirs, theirs.release.writer == peer else { continue }
                    page.append(Written(package: row.package, document: theirs.document))
                    if page.count == Showing.rowsMax { return page }
                }
            }
        }
        return page
    }
}

/// How far a partner has been shown what we hold of it: kept, since a session may end before it has acknowledged all of it.
struct Showing: Equatable {
    /// The last package that was put on its way.
    var after: PackageID?
    /// It asked again meanwhile: then once more from the beginning.
    var isAgain = false

    /// So many documents at once, and the next when fewer wait.
    static let rowsMax = 256

    static func read(_ partner: CityID, _ store: any MetadataReading) throws -> Showing? {
        guard let bytes = try store.value(name(partner)), let first = bytes.first else { return nil }
        // A name that cannot be read would be of a later program: from the beginning, then.
        return Showing(after: try? PackageID(String(decoding: bytes.dropFirst(), as: UTF8.self)), isAgain: first == 1)
    }

    static func set(_ showing: Showing?, _ partner: CityID, _ tx: any MetadataWriting) throws {
        guard try read(partner, tx) != showing else { return }
        var bytes: [UInt8] = []
        if let showing { bytes = [showing.isAgain ? 1 : 0] + Array((showing.after?.description ?? "").utf8) }
        try tx.setValue(name(partner), bytes)
    }

    private static func name(_ partner: CityID) -> String { "showing.\(partner)" }
}

extension DocumentExchange {
    /// A release of our own that a partner shows us: known, or lost with what an old backup does not have.
    func takeOwn(_ envelope: Envelope, _ release: Release, at now: Timestamp, _ changes: inout ExchangeChanges) throws -> String?
    {
        let digest = envelope.digest
        let verdict = try context.metadata.read { store -> String? in
            guard let keyring = try store.keyring(of: self.context.own, version: release.keyring),
                let current = try store.currentKeyring(of: self.context.own),
                envelope.isSigned(by: keyring.packageKeys, threshold: keyring.packageThreshold)
            else { return "signature" }
            return keyring.packageKeys.contains(where: { current.revoked.contains($0.keyID) }) ? "key-revoked" : nil
        }
        if let verdict { return try refuse(envelope, verdict, at: now) }
        /// The release that we know under its number, if its number is one that we have given out.
        func contradicts(_ store: any MetadataReading) throws -> (isNews: Bool, known: Digest?) {
            if try store.release(digest) != nil { return (false, nil) }
            guard release.seq <= (try store.ownChain(of: release.package, by: self.context.own).lastSeq) else {
                return (true, nil)
            }
            let known = try store.releaseDigest(of: release.package, writer: release.writer, seq: release.seq)
            // Also in a gap below our last number, as `restore` leaves one: it will never be filled by us, but its content can come back.
            return (true, known)
        }
        guard
            try context.metadata.read({ store in
                try contradicts(store).isNews && !store.disputes(of: release.package).contains { $0.other == digest }
            })
        else { return nil }
        let location = try context.content.append(document: envelope.binary(), digest: digest)
        try context.content.sync()
        let changed = try context.metadata.write(at: now) { tx -> ExchangeChanges in
            var changes = ExchangeChanges()
            let (isNews, known) = try contradicts(tx)
            guard isNews else { return changes }
            // In a gap nothing is in doubt.
            let isGap = try known == nil && release.seq <= tx.ownChain(of: release.package, by: self.context.own).lastSeq
            try tx.put(
                DisputeRow(
                    package: release.package, kind: .fence, writer: release.writer, seq: release.seq, known: known, other: digest,
                    document: location, partner: self.peer, found: tx.now, resolved: isGap ? tx.now : nil))
            if release.package.city != self.context.own {
                var chain = try tx.ownChain(of: release.package, by: self.context.own)
                if release.seq > chain.lastSeq { chain = OwnChain(lastSeq: release.seq, last: digest) }
                try tx.setOwnChain(chain, of: release.package)
                try self.logFence(release, digest, known, tx)
                return changes
            }
            var row =
                try tx.package(release.package)
                ?? PackageRow(
                    package: release.package, kind: release.kind, head: digest, headVersion: release.version, headSeq: 0,
                    lastSeq: 0, last: digest, tlp: release.tlp, title: release.title, bytes: 0, withdrawnSeq: nil)
            // What is prepared upon the old state is void with this, and what follows will continue the lost chain.
            if release.seq > row.lastSeq { (row.lastSeq, row.last) = (release.seq, digest) }
            let isWithdrawal = release.operation == .withdraw && row.withdrawnSeq.map { $0 < release.seq } ?? true
            if isWithdrawal { row.withdrawnSeq = release.seq }
            try tx.put(row)
            if isWithdrawal {
                // Withdrawn once is withdrawn: the backup that does not know it brings nothing back.
                try tx.insert(
                    ReleaseRow(
                        digest: digest, release: ReleaseSummary(release), document: location, table: [], pages: [],
                        committed: tx.now))
                for recipient in try tx.recipients(everSent: release.package) {
                    try tx.enqueue(envelope, to: recipient)
                    changes.outboxes.insert(recipient)
                }
                let update = try MembershipUpdate(self.context, tx)
                try update.withdrew(release.package)
                changes.views = try update.finish()
            }
            try self.logFence(release, digest, known, tx)
            return changes
        }
        changes.formUnion(changed)
        return nil
    }

    private func logFence(_ release: Release, _ digest: Digest, _ known: Digest?, _ tx: any MetadataWriting) throws {
        try tx.log(
            LogDraft(
                .packageFenced, outcome: .failed, partner: peer, package: release.package, release: digest,
                reason: known == nil ? "unknown-release" : "fork", details: ["seq": JSONValue(release.seq)]))
    }
}
