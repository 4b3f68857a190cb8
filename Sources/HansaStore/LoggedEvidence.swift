internal import HansaContent
internal import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaSync
internal import HansaTerms

/// Receipts and disputes of a database that is lost: signed documents in the segments, as far as the log says that they counted.
///
/// A receipt or a proof that stands in no entry was written just before a crash: its partner sends it again, or shows the release again.
struct LoggedEvidence {
    private struct Word: Hashable {
        let release: Digest
        let transfer: [UInt8]
    }
    private struct Dispute {
        let kind: DisputeRow.Kind
        let package: PackageID
        let partner: CityID
        let other: Digest
        let known: Digest?
        let found: Timestamp
        var resolved: Timestamp?
    }

    private(set) var receipts = 0
    private(set) var disputes = 0

    private let own: CityID
    private var counted: Set<Word> = []
    private var disputed: [Dispute] = []
    /// Numbers that we have skipped for good, when a fence was resolved.
    private var raised: [PackageID: UInt64] = [:]
    private var receiptDocuments: [Digest: ContentLocation] = [:]
    /// By both releases that a proof shows.
    private var proofs: [Digest: ContentLocation] = [:]

    init(own: CityID) { self.own = own }

    // MARK: Taking

    /// In the order of the log.
    mutating func take(_ entry: LogEntry) {
        guard let event = entry.event else { return }
        switch event {
        case .receiptReceived:
            if let release = entry.release, let transfer = entry.transfer {
                counted.insert(Word(release: release, transfer: transfer))
            }
        case .packageForked, .packageFenced:
            guard let package = entry.package, let partner = entry.partner, let other = entry.release else { return }
            disputed.append(
                Dispute(
                    kind: event == .packageForked ? .fork : .fence, package: package, partner: partner, other: other,
                    known: entry.details?["known"]?.string.flatMap { Digest(prefixed: $0) }, found: entry.time))
        case .packageConflictResolved:
            guard let package = entry.package else { return }
            if let seq = entry.details?["raisedTo"]?.integer, seq > 0 {
                raised[package] = max(raised[package] ?? 0, UInt64(seq))
            }
            for index in disputed.indices where disputed[index].package == package && disputed[index].resolved == nil {
                let isMeant =
                    entry.reason == "recovered"
                    ? disputed[index].other == entry.release : disputed[index].kind.rawValue == entry.reason
                if isMeant { disputed[index].resolved = entry.time }
            }
        default: break
        }
    }

    /// A document's record. Others than receipts and proofs are passed over by their first byte.
    mutating func take(_ digest: Digest, _ bytes: [UInt8], at place: ContentLocation) {
        switch bytes.first.flatMap(DocumentType.init(code:)) {
        case .receipt: receiptDocuments[digest] = place
        case .forkProof:
            guard let envelope = try? Envelope(binary: bytes), let proof = try? ForkProof(payload: envelope.payload) else {
                return
            }
            for release in proof.releases { proofs[release.digest] = place }
        default: break
        }
    }

    /// A release that lies in a proof.
    func shows(_ release: Digest) -> Bool { proofs[release] != nil }

    // MARK: Rows

    /// After keyrings, releases and members have their rows. `document` finds the place of a document by its digest.
    mutating func put(
        _ tx: any MetadataWriting, _ content: SegmentStore, document: (Digest) -> ContentLocation?
    ) throws {
        var found: [(receipt: Receipt, digest: Digest, place: ContentLocation)] = []
        for (digest, place) in receiptDocuments {
            guard let envelope = try? Envelope(binary: content.body(at: place)), envelope.digest == digest,
                let receipt = try? Receipt(payload: envelope.payload),
                let keyring = try tx.keyring(of: receipt.from, version: receipt.keyring),
                envelope.isSigned(by: keyring.packageKeys, threshold: keyring.packageThreshold)
            else { continue }
            found.append((receipt, digest, place))
        }
        found.sort { ($0.receipt.issued, $0.digest) < ($1.receipt.issued, $1.digest) }
        for (receipt, digest, place) in found {
            if receipt.from != own, try !count(receipt, tx) { continue }
            try tx.insertReceipt(digest, document: place, view: receipt.view, from: receipt.from)
            receipts += 1
        }
        for dispute in disputed { try put(dispute, tx, content, document) }
        for (package, seq) in raised { try raise(package, to: seq, nil, tx) }
    }

    /// What a partner's receipt says of members, in the order in which the words were given. False where none of it ever counted.
    private func count(_ receipt: Receipt, _ tx: any MetadataWriting) throws -> Bool {
        guard receipt.to == own else { return false }
        var counts = false
        for item in receipt.items {
            guard let transfer = Hex.decode(item.transfer),
                counted.contains(Word(release: item.release, transfer: transfer))
            else { continue }
            counts = true
            guard var row = try tx.member(receipt.view, item.release), row.transfer == transfer,
                row.outcome == nil || item.outcome != .delivered
            else { continue }
            row.outcome = item.outcome
            try tx.put(row)
        }
        return counts
    }

    private mutating func put(
        _ dispute: Dispute, _ tx: any MetadataWriting, _ content: SegmentStore, _ document: (Digest) -> ContentLocation?
    ) throws {
        let place = dispute.kind == .fork ? proofs[dispute.other] : document(dispute.other)
        guard let place, let envelope = try? Envelope(binary: content.body(at: place)) else { return }
        switch dispute.kind {
        case .fork:
            guard let proof = try? ForkProof(payload: envelope.payload) else { return }
            try tx.put(
                DisputeRow(
                    package: dispute.package, kind: .fork, writer: proof.writer, seq: proof.seq, known: dispute.known,
                    other: dispute.other, document: place, partner: dispute.partner, found: proof.found,
                    resolved: dispute.resolved))
            // A withdrawal under a number that another release has lies in the proof alone, and took back all the same.
            guard let envelope = proof.releases.first(where: { $0.digest == dispute.other }),
                let release = try? Release(payload: envelope.payload), release.operation == .withdraw,
                var row = try tx.package(dispute.package)
            else { break }
            row.withdrawnSeq = max(row.withdrawnSeq ?? 0, release.seq)
            try tx.put(row)
            try tx.endHoldings(of: dispute.package, upTo: release.seq)
        case .fence:
            guard let release = try? Release(payload: envelope.payload) else { return }
            let known = try tx.releaseDigest(of: release.package, writer: release.writer, seq: release.seq)
            // One in a gap was never open: our numbers were beyond it already.
            let isGap = try tx.releases(of: release.package).contains {
                $0.release.writer == release.writer && $0.release.seq > release.seq && $0.committed <= dispute.found
            }
            try tx.put(
                DisputeRow(
                    package: dispute.package, kind: .fence, writer: release.writer, seq: release.seq,
                    known: known == dispute.other ? nil : known, other: dispute.other, document: place,
                    partner: dispute.partner, found: dispute.found,
                    resolved: dispute.resolved ?? (known == nil && isGap ? dispute.found : nil)))
            try raise(release.package, to: release.seq, dispute.other, tx)
            if release.operation == .withdraw { try withdraw(release, dispute.other, place, tx) }
        }
        disputes += 1
    }

    /// No number up to this one is signed again.
    private func raise(_ package: PackageID, to seq: UInt64, _ last: Digest?, _ tx: any MetadataWriting) throws {
        guard package.city == own else {
            var chain = try tx.ownChain(of: package, by: own)
            guard seq > chain.lastSeq else { return }
            chain = OwnChain(lastSeq: seq, last: last ?? chain.last)
            return try tx.setOwnChain(chain, of: package)
        }
        guard var row = try tx.package(package), seq > row.lastSeq else { return }
        (row.lastSeq, row.last) = (seq, last ?? row.last)
        try tx.put(row)
    }

    /// Withdrawn once is withdrawn.
    private func withdraw(_ release: Release, _ digest: Digest, _ place: ContentLocation, _ tx: any MetadataWriting) throws {
        guard var row = try tx.package(release.package) else { return }
        row.withdrawnSeq = max(row.withdrawnSeq ?? 0, release.seq)
        try tx.put(row)
        guard try tx.release(digest) == nil else { return }
        try tx.insert(
            ReleaseRow(
                digest: digest, release: ReleaseSummary(release), document: place, table: [], pages: [], committed: tx.now))
    }
}
