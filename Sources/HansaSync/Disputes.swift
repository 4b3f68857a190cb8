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
    /// The proofs for what is refused as a fork in this batch: appended to the store, durable with it.
    func forks(in batch: [Settled], at now: Timestamp) throws -> [DisputeRow] {
        var rows: [DisputeRow] = []
        for case .refused(let wanted, .fork, _) in batch {
            guard let other = forkEvidence.removeValue(forKey: wanted.release), let release = try? Release(other) else {
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
        var after: PackageID?
        while true {
            let rows = try context.metadata.read { try $0.packages(of: self.peer, after: after, limit: 500) }
            guard let last = rows.last else { break }
            after = last.package
            var envelopes: [Envelope] = []
            for row in rows {
                guard let release = try context.metadata.read({ try $0.release(row.last) }), release.release.writer == peer else {
                    continue
                }
                envelopes.append(try context.envelope(at: release.document))
            }
            guard !envelopes.isEmpty else { continue }
            try context.metadata.write(at: now) { tx in for envelope in envelopes { try tx.enqueue(envelope, to: self.peer) } }
            changes.outboxes.insert(peer)
        }
        // And of what it maintains for others.
        let written = try context.metadata.read { try self.lastWritten(of: $0) }
        guard !written.isEmpty else { return }
        let envelopes = try written.map { try context.envelope(at: $0) }
        try context.metadata.write(at: now) { tx in for envelope in envelopes { try tx.enqueue(envelope, to: self.peer) } }
        changes.outboxes.insert(peer)
    }

    private func lastWritten(of store: any MetadataReading) throws -> [ContentLocation] {
        let policy = try store.policy()
        guard policy.hasMaintainers else { return [] }
        let patterns = policy.agreements.flatMap { $0.agreement.maintainers ?? [] }.filter { $0.cities.contains(peer) }
            .flatMap(\.packages).filter { $0.city != peer }
        var found: [PackageID: ContentLocation] = [:]
        for pattern in patterns {
            var after: PackageID?
            while true {
                let rows = try store.packages(of: pattern.city, after: after, limit: 500)
                guard let last = rows.last else { break }
                after = last.package
                for row in rows where pattern.matches(row.package) && found[row.package] == nil {
                    // By seq: the last is the highest.
                    found[row.package] = try store.releases(of: row.package).last { $0.release.writer == self.peer }?.document
                }
            }
        }
        return found.keys.sorted().compactMap { found[$0] }
    }
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
