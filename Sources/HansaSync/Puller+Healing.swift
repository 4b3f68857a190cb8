// Releases that were here and cannot be read in part any more: what is missing of them comes anew, from a partner that may serve it.
//
// A partner's release comes from the city that served it, in the view in which we hold it; one of our own from a recipient that accepted it, in the
// view in which we showed it (`Authority.returned`). Nothing is asked for that the agreements do not give anyway. It is no transfer of a view that we
// follow: no receipt, no holding, no cursor; after a crash it begins again, with the chunks that are here.
//
// Every byte of the release is read once more before it counts as healed, also of chunks that were here.
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

extension Puller {
    /// At a time, in one session.
    private static let healingMax = 16
    private static let healingSecondsMin: Int64 = 5
    static let healingSecondsMax: Int64 = 900

    /// Asks for what is damaged here and this partner may serve.
    func heal(at now: Timestamp) throws {
        try context.recordDamage(at: now)
        try context.lookAgain(at: now)
        guard healing.count < Puller.healingMax else { return }
        let found = try context.metadata.read { store -> [(wanted: Wanted, city: CityID)] in
            var found: [(Wanted, CityID)] = []
            for damage in try store.damages() where found.count + self.healing.count < Puller.healingMax {
                guard self.underWay[damage.release] == nil, self.healingNext[damage.release].map({ $0.due <= now }) ?? true,
                    let row = try store.release(damage.release), let view = try self.view(toHeal: row, store, at: now)
                else { continue }
                let level = row.hasContent ? Grant.Level.sync : .discover
                found.append((Wanted(view: view, release: row.digest, level: level.code, number: []), row.servedBy))
            }
            return found
        }
        for (wanted, city) in found {
            let times = healingNext[wanted.release]?.times ?? 0
            let wait = min(Puller.healingSecondsMax, Puller.healingSecondsMin << Int64(min(times, 8)))
            healingNext[wanted.release] = (times + 1, now.adding(seconds: wait))
            healing[wanted.release] = city
            want(wanted)
        }
    }

    private func view(toHeal row: ReleaseRow, _ store: any MetadataReading, at now: Timestamp) throws -> Digest? {
        if row.servedBy == peer {
            let level = row.hasContent ? Grant.Level.sync : .discover
            return try store.holdings(of: row.digest).first { holding in
                guard holding.state == .accepted, holding.level == level, let view = try store.subscribedView(holding.view),
                    view.publisher == self.peer
                else { return false }
                return try store.agreement(view.agreement)?.state(at: now) == .active
            }?.view
        }
        guard row.servedBy == context.own else { return nil }
        return try store.publishedViews().first { view in
            guard view.recipient == self.peer, let member = try store.member(view.id, row.digest) else { return false }
            return member.dropped == nil && member.outcome == .accepted
        }?.id
    }

    /// It was checked when it came first: what counts is that it is the same, under signatures that hold.
    func healingVerdict(on envelope: Envelope, expecting digest: Digest, _ store: any MetadataReading) throws -> ReleaseVerdict {
        guard envelope.digest == digest else { return .refused(.wrongDigest, nil) }
        guard envelope.payloadType == DocumentType.release.rawValue, let release = try? Release(payload: envelope.payload),
            release.index != nil
        else { return .refused(.malformed, nil) }
        guard let keyring = try store.keyring(of: release.writer, version: release.keyring),
            envelope.isSigned(by: keyring.packageKeys, threshold: keyring.packageThreshold)
        else { return .refused(.signature, release) }
        return .accepted(release)
    }

    /// What came is durable: the release is whole again. What the partner sent instead of it is passed over.
    func mend(_ batch: [Settled], at now: Timestamp) throws {
        let blocks = unrecordedBlocks
        try context.metadata.write(at: now) { tx in
            for block in blocks where !SeededBug.isOn(.healedWithoutPlaces) {
                try tx.insertChunks(of: block.city, block: block.location, block.chunks)
            }
            for case .accepted(let transfer) in batch {
                guard let row = try tx.release(transfer.digest) else { continue }
                let isWhole = !transfer.isDocumentOnly
                try tx.place(
                    transfer.digest, document: transfer.document, table: isWhole ? transfer.tableLocations : row.table,
                    pages: isWhole ? transfer.pageLocations : row.pages)
                try tx.removeDamage(transfer.digest)
                try tx.log(
                    LogDraft(.contentHealed, partner: self.peer, package: row.release.package, release: transfer.digest))
            }
            try tx.forgetFoundChunks()
        }
        unrecordedBlocks = []
        for case .accepted(let transfer) in batch { healingNext[transfer.digest] = nil }
        for item in batch { done(item.digest) }
    }
}
