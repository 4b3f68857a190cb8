// Our own releases, back from a partner that holds them: after an old backup was put in place, the partner shows the last document of each package
// (`showWhatWeHold`), and what it shows and we lack is fetched from it as anything else is, in the view in which we once gave it out.
//
// Signed by us, it needs nobody's leave: every byte is checked against our own signature. Predecessors that are missing too follow, back to what is
// known. When the whole of a chain is here the package is signed for again, 2^20 numbers above what was shown: another partner may hold more.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

extension Puller {
    /// How far numbers are raised beyond what was shown.
    static let recoveryGap = OwnChains.gap
    /// Of one chain, in one session: a partner that shows more has it fetched in the next ones.
    static let recoveredMax = 4096

    /// Asks for what this partner has shown of ours. Once for each release in a session.
    func recover(at now: Timestamp) throws {
        let missing = try context.metadata.read { store -> [Wanted] in
            var wanted: [Wanted] = []
            for dispute in try store.disputes(of: nil)
            where dispute.kind == .fence && dispute.partner == self.peer && !self.recoveryAsked.contains(dispute.other) {
                if let row = try store.release(dispute.other), row.hasContent || row.release.operation == .withdraw { continue }
                guard let envelope = try? self.context.envelope(at: dispute.document), let release = try? Release(envelope),
                    release.operation != .withdraw, let view = try self.view(of: release, store, at: now)
                else { continue }
                wanted.append(Wanted(view: view, release: dispute.other, level: Grant.Level.sync.code, number: []))
            }
            return wanted
        }
        for item in missing where underWay[item.release] == nil { askBack(item) }
    }

    private func askBack(_ item: Wanted) {
        guard recoveryAsked.count < Puller.recoveredMax, recoveryAsked.insert(item.release).inserted else { return }
        recovering.insert(item.release)
        want(item)
    }

    /// The view in which we showed the partner such a release.
    private func view(of release: Release, _ store: any MetadataReading, at now: Timestamp) throws -> Digest? {
        let request = AccessRequest(
            package: release.package, kind: release.kind, tlp: release.tlp, publisher: context.own, recipient: peer)
        return try store.agreements().first { record in
            guard record.state(at: now) == .active, case .permit = Policy.receiverDecision(on: request, under: record, at: now)
            else {
                return false
            }
            return true
        }?.viewID(publisher: context.own, recipient: peer)
    }

    /// The verdict on a document of our own that came back.
    func recoveryVerdict(on envelope: Envelope, expecting digest: Digest, _ store: any MetadataReading) throws -> ReleaseVerdict {
        guard envelope.digest == digest else { return .refused(.wrongDigest, nil) }
        guard envelope.payloadType == DocumentType.release.rawValue, let release = try? Release(payload: envelope.payload),
            release.writer == context.own, release.operation != .withdraw, release.index != nil
        else { return .refused(.notWriter, nil) }
        guard let keyring = try store.keyring(of: context.own, version: release.keyring),
            let current = try store.currentKeyring(of: context.own),
            envelope.isSigned(by: keyring.packageKeys, threshold: keyring.packageThreshold)
        else { return .refused(.signature, release) }
        if keyring.packageKeys.contains(where: { current.revoked.contains($0.keyID) }) { return .refused(.keyRevoked, release) }
        if let known = try store.releaseDigest(of: release.package, writer: release.writer, seq: release.seq), known != digest {
            return .refused(.fork, release)
        }
        return .accepted(release)
    }

    /// What came back becomes ours again. Its bytes are durable.
    func takeBack(_ batch: [Settled], at now: Timestamp) throws {
        let whole = batch.compactMap { item -> Transfer? in if case .accepted(let transfer) = item { transfer } else { nil } }
        let blocks = unrecordedBlocks
        var shown: [CityID: Set<Digest>] = [:]
        try context.metadata.write(at: now) { tx in
            for block in blocks { try tx.insertChunks(of: block.city, block: block.location, block.chunks) }
            try mustBeWhole(batch, tx)
            let update = try MembershipUpdate(context, tx)
            for transfer in whole {
                let release = transfer.release
                let summary = ReleaseSummary(release)
                try tx.insert(
                    ReleaseRow(
                        digest: transfer.digest, release: summary, document: transfer.document, table: transfer.tableLocations,
                        pages: transfer.pageLocations, committed: tx.now, servedBy: context.own))
                try moveHead(to: transfer.digest, summary, tx)
                try tx.log(
                    LogDraft(
                        .releaseReceived, partner: peer, package: release.package, release: transfer.digest, reason: "recovered",
                        details: ["seq": JSONValue(release.seq)]))
                let withdrawn = try tx.package(release.package)?.withdrawnSeq.map { summary.ownerSeq <= $0 } ?? false
                if !withdrawn { try update.released(transfer.digest, summary) }
            }
            for package in Set(whole.map(\.release.package)).sorted() { try unfence(package, tx) }
            shown = try update.finish()
        }
        unrecordedBlocks = []
        changes.views.merge(shown) { $0.union($1) }
        for item in batch {
            recovering.remove(item.digest)
            done(item.digest)
        }
        // Before it there may be more that is not here.
        for transfer in whole {
            for parent in [transfer.release.previous].compactMap({ $0 }) + transfer.release.parents {
                guard try context.metadata.read({ try $0.release(parent) }) == nil else { continue }
                askBack(Wanted(view: transfer.view, release: parent, level: Grant.Level.sync.code, number: []))
            }
        }
    }

    private func moveHead(to digest: Digest, _ summary: ReleaseSummary, _ tx: any MetadataWriting) throws {
        guard summary.package.city == context.own else { return try context.updateHead(of: summary.package, tx) }
        guard var row = try tx.package(summary.package) else { return }
        if summary.seq > row.headSeq {
            (row.head, row.headVersion, row.headSeq, row.kind) = (digest, summary.version, summary.seq, summary.kind)
            (row.tlp, row.title, row.bytes) = (summary.tlp, summary.title, summary.bytes)
            try tx.put(row)
        }
        try context.updateHead(of: summary.package, tx)
    }

    /// Closes the fences whose chain is here again.
    private func unfence(_ package: PackageID, _ tx: any MetadataWriting) throws {
        let fences = try tx.disputes(of: package).filter { $0.kind == .fence && $0.resolved == nil }
        guard !fences.isEmpty, try fences.allSatisfy({ try $0.known == nil && isWhole($0.other, tx) }) else { return }
        var chain = try tx.ownChain(of: package, by: context.own)
        let highest = max(chain.lastSeq, fences.map(\.seq).max() ?? 0)
        let (raised, overflows) = highest.addingReportingOverflow(Puller.recoveryGap)
        guard !overflows, raised < UInt64(Int64.max) else { return }
        chain.lastSeq = raised
        if package.city == context.own {
            guard var row = try tx.package(package) else { return }
            row.lastSeq = raised
            try tx.put(row)
        } else {
            try tx.setOwnChain(chain, of: package)
        }
        for var fence in fences {
            fence.resolved = tx.now
            try tx.put(fence)
            try tx.log(
                LogDraft(
                    .packageConflictResolved, partner: fence.partner, package: package, release: fence.other, reason: "recovered",
                    details: ["raisedTo": JSONValue(raised)]))
        }
    }

    /// The release and our own before it, as far as they name one another.
    private func isWhole(_ digest: Digest, _ store: any MetadataReading) throws -> Bool {
        var next: Digest? = digest
        var steps = 0
        while let current = next {
            guard let row = try store.release(current) else { return false }
            guard row.hasContent || row.release.operation == .withdraw else { return false }
            steps += 1
            // What was here before the backup ends the walk soon; a chain longer than this is taken as whole.
            if steps > Puller.recoveredMax { return true }
            next = (try? Release(try context.envelope(at: row.document)))?.previous
        }
        return true
    }
}
