// A package key came out, and the keyring names it compromised (`hansa.revoked`, FORMATS.md §3): from then on partners refuse whatever only that key
// signed and they do not hold yet. So the newest release of each package, or its withdrawal, is signed again by the key in use.
//
// The new release says what the one before it says, content, version and label included, under the next number and upon it. Nothing is decided: a package
// whose head another city wrote, or of which a partner shows a release that we do not know (it may be the thief's), is left to people. Agreements name the
// keyrings of their parties and are not signed again.
//
// Packages are taken by name in batches. A small value remembers how far it is, so that it goes on after a crash.
internal import HansaContent
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

extension MetadataReading {
    /// Whether the current keyring of a city names the package key of that version compromised.
    public func isRevoked(packageKeyOf city: CityID, _ version: Int) throws -> Bool {
        guard let current = try currentKeyring(of: city), current.version != version,
            let named = try keyring(of: city, version: version)
        else { return false }
        return named.packageKeys.contains { current.revoked.contains($0.keyID) }
    }
}

/// One batch of what is signed again.
public struct SignedAgain: Sendable {
    /// The name of the small value: 1 and the last package that was looked at; nothing at all once all were.
    public static let setting = "packages.signAgain"

    public struct Renewed: Sendable {
        /// Whose words it says again.
        public let of: Digest
        public let digest: Digest
    }

    /// In the order of their numbers.
    public var releases: [Renewed] = []
    public var changes = ExchangeChanges()
    /// No package is left.
    public var isDone = false

    /// In the transaction that inserts the keyring.
    public static func begin(_ tx: any MetadataWriting) throws { try tx.setValue(setting, [1]) }
}

extension ExchangeContext {
    private struct Successor {
        /// The release of ours before it.
        let previous: Digest
        /// Whose words it says again.
        let of: Digest
        let release: Release
        let envelope: Envelope
        var place: ContentLocation?
    }

    /// Looks at up to `limit` packages and signs their newest releases again where the key that signed them came out. Nil where nothing is to be done.
    /// Throws what the stores throw; the batch is done again then.
    public func signAgain(limit: Int, at now: Timestamp) throws -> SignedAgain? {
        var signed = SignedAgain()
        let (cursor, next, found) = try metadata.read { store -> ([UInt8], [UInt8], [Successor]) in
            guard let cursor = try store.value(SignedAgain.setting), cursor.first == 1 else { return ([], [], []) }
            let after = cursor.count > 1 ? try PackageID(String(decoding: cursor[1...], as: UTF8.self)) : nil
            let rows = try store.packages(of: nil, after: after, limit: limit)
            let next = rows.count == limit ? rows.last.map { [1] + Array($0.package.description.utf8) } : nil
            return (cursor, next ?? [], try rows.flatMap { try successors(upon: $0, store, at: now) })
        }
        guard !cursor.isEmpty else { return nil }
        let placed = try found.map { successor in
            var placed = successor
            placed.place = try content.append(document: successor.envelope.binary(), digest: successor.envelope.digest)
            return placed
        }
        if !placed.isEmpty { try content.sync() }
        try metadata.write(at: now) { tx in
            signed = SignedAgain()
            // Another key came out meanwhile: it begins at the first package again.
            guard try tx.value(SignedAgain.setting) == cursor else { return }
            let update = try MembershipUpdate(self, tx)
            for successor in placed { try self.commit(successor, tx, update, &signed) }
            signed.changes.views = try update.finish()
            signed.isDone = next.isEmpty
            try tx.setValue(SignedAgain.setting, next)
        }
        return signed
    }

    /// The newest release, or the withdrawal; both where the package was published again after it. Whether everybody took the withdrawal is not known: an outbox
    /// lets go of what was refused.
    private func successors(upon row: PackageRow, _ store: any MetadataReading, at now: Timestamp) throws -> [Successor] {
        guard let last = try store.ownChain(of: row.package, by: own).last,
            try !store.disputes(of: row.package).contains(where: { $0.resolved == nil })
        else { return [] }
        if row.isWithdrawn {
            guard row.last == last, let withdrawal = try stolen(last, store) else { return [] }
            return [
                try successor(of: withdrawal, last, try lineage(of: row.package, merging: true, in: store, at: now), issued: now)
            ]
        }
        guard row.head == last, try store.release(last)?.hasContent == true, let newest = try ours(last, store) else { return [] }
        var lineage = try lineage(of: row.package, merging: false, in: store, at: now)
        // A withdrawal under a number above what others wrote would take that back too.
        guard lineage.clock.count == 1, row.package.city == own, let seq = row.withdrawnSeq,
            let digest = try store.releaseDigest(of: row.package, writer: own, seq: seq),
            try !store.recipients(everSent: row.package).isEmpty,
            let withdrawal = try stolen(digest, store)
        else { return try isStolen(newest, store) ? [successor(of: newest, last, lineage, issued: now)] : [] }
        let first = try successor(of: withdrawal, digest, lineage, issued: now)
        (lineage.previous, lineage.parents) = (first.envelope.digest, [first.envelope.digest])
        lineage.seq += 1
        lineage.clock = [ClockEntry(city: own, seq: lineage.seq)]
        return [first, try successor(of: newest, last, lineage, issued: now)]
    }

    private func isStolen(_ release: Release, _ store: any MetadataReading) throws -> Bool {
        try store.isRevoked(packageKeyOf: own, release.keyring)
    }

    private func stolen(_ digest: Digest, _ store: any MetadataReading) throws -> Release? {
        guard let release = try ours(digest, store), try isStolen(release, store) else { return nil }
        return release
    }

    /// Nil also where it cannot be read: healing brings it back, or publishing its directory again.
    private func ours(_ digest: Digest, _ store: any MetadataReading) throws -> Release? {
        guard let held = try store.release(digest) else { return nil }
        do { return try Release(envelope(at: held.document)) } catch StoreFault.damaged { return nil }
    }

    private func successor(of before: Release, _ digest: Digest, _ lineage: Lineage, issued: Timestamp) throws -> Successor {
        guard let previous = lineage.previous else { preconditionFailure("a release of ours comes before it") }
        let identity = signing.current
        let isWithdrawal = before.operation == .withdraw
        let release = try Release(
            package: before.package, kind: before.kind, version: before.version,
            operation: isWithdrawal ? .withdraw : lineage.operation, writer: own, keyring: identity.keyring, seq: lineage.seq,
            previous: previous, parents: lineage.parents, clock: lineage.clock, issued: issued, tlp: before.tlp,
            title: before.title,
            bytes: before.bytes, files: before.files, manifest: before.manifest, index: before.index, reason: before.reason)
        return Successor(
            previous: previous, of: digest, release: release, envelope: release.signed(with: [identity.packageKey]))
    }

    private func commit(
        _ successor: Successor, _ tx: any MetadataWriting, _ update: MembershipUpdate, _ signed: inout SignedAgain
    ) throws {
        let (release, digest) = (successor.release, successor.envelope.digest)
        guard let place = successor.place, try tx.ownChain(of: release.package, by: own).last == successor.previous,
            try !tx.isRevoked(packageKeyOf: own, release.keyring), let before = try tx.release(successor.of),
            var row = try tx.package(release.package)
        else { return }
        let summary = ReleaseSummary(release)
        let isWithdrawal = release.operation == .withdraw
        // Table and pages lie where those of the release before it lie now.
        try tx.insert(
            ReleaseRow(
                digest: digest, release: summary, document: place, table: before.table, pages: before.pages, committed: tx.now))
        if release.package.city == own {
            (row.lastSeq, row.last) = (release.seq, digest)
            if isWithdrawal { row.withdrawnSeq = release.seq } else { (row.head, row.headSeq) = (digest, release.seq) }
            try tx.put(row)
        } else {
            try tx.setOwnChain(OwnChain(lastSeq: release.seq, last: digest), of: release.package)
        }
        if release.clock.count > 1 { try updateHead(of: release.package, tx) }
        try tx.log(
            LogDraft(
                isWithdrawal ? .packageWithdrawn : .packagePublished, package: release.package, release: digest,
                reason: isWithdrawal ? release.reason : nil,
                details: [
                    "version": .string(release.version.description), "tlp": .string(release.tlp.rawValue),
                    "bytes": JSONValue(release.bytes), "signedAgain": .string(successor.of.prefixed),
                ]))
        if isWithdrawal {
            for recipient in try tx.recipients(everSent: release.package) {
                try tx.enqueue(successor.envelope, to: recipient)
                signed.changes.outboxes.insert(recipient)
            }
            try update.withdrew(release.package)
        } else {
            try update.released(digest, summary)
        }
        signed.releases.append(SignedAgain.Renewed(of: successor.of, digest: digest))
    }
}
