internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaTerms

/// One transaction: its changes are in its own `state` until the store takes it.
final class MemoryWriting: MemoryRows {
    let now: Timestamp
    var state: MemoryState
    private(set) var hasLostChunks = false
    private let random: any RandomSource

    init(_ state: MemoryState, at now: Timestamp, random: any RandomSource) {
        self.now = now
        self.random = random
        self.state = state
    }

    func policy() -> Policy { state.policy.policy() }
}

extension MemoryWriting: MetadataWriting {
    func insertKeyring(_ envelope: Envelope, _ keyring: Keyring) { _ = state.policy.insert(envelope, keyring) }
    func put(_ partner: Partner) { state.policy.put(partner) }
    func insertAgreement(_ envelope: Envelope) throws { _ = try state.policy.insertAgreement(envelope) }
    func insertStep(_ envelope: Envelope, _ step: AgreementStep) { _ = state.policy.insertStep(envelope, step) }
    func dropSignatures(of city: CityID, on agreement: Digest) { _ = state.policy.dropSignatures(of: city, on: agreement) }
    func put(_ grant: Grant) { state.policy.put(grant) }

    func put(_ package: PackageRow) { state.packages[package.package] = package }

    func insert(_ release: ReleaseRow) {
        if let known = state.releases[release.digest] {
            if !known.hasContent, release.hasContent { state.releases[release.digest] = release }
            return
        }
        state.releases[release.digest] = release
        state.releasesOfPackage[release.release.package, default: []].append(release.digest)
    }

    func put(_ dispute: DisputeRow) {
        state.disputes.removeAll {
            $0.package == dispute.package && $0.kind == dispute.kind && $0.seq == dispute.seq && $0.other == dispute.other
        }
        state.disputes.append(dispute)
    }

    func place(_ release: Digest, document: ContentLocation, table: [ContentLocation], pages: [ContentLocation]) {
        state.releases[release]?.document = document
        state.releases[release]?.table = table
        state.releases[release]?.pages = pages
    }

    func loseChunks(in blocks: [ContentLocation]) {
        hasLostChunks = true
        for city in state.chunks.keys {
            let lost = (state.chunks[city] ?? [:]).filter { blocks.contains($0.value.block) }
            state.lostChunks[city, default: [:]].merge(lost) { $1 }
            for id in lost.keys { state.chunks[city]?[id] = nil }
        }
    }

    func restoreChunks(in block: ContentLocation) {
        for city in state.lostChunks.keys {
            let found = (state.lostChunks[city] ?? [:]).filter { $0.value.block == block }
            state.chunks[city, default: [:]].merge(found) { known, _ in known }
            for id in found.keys { state.lostChunks[city]?[id] = nil }
        }
    }

    func forgetFoundChunks() {
        for city in state.lostChunks.keys {
            for id in (state.lostChunks[city] ?? [:]).keys where state.chunks[city]?[id] != nil {
                state.lostChunks[city]?[id] = nil
            }
        }
    }

    func put(_ damage: DamageRow) { state.damages[damage.release] = damage }
    func removeDamage(_ release: Digest) { state.damages[release] = nil }

    func insertChunks(of city: CityID, block: ContentLocation, _ chunks: [ChunkEntry]) {
        var offset: UInt32 = 0
        for chunk in chunks {
            let location = ChunkLocation(block: block, offset: offset, length: chunk.length)
            if state.chunks[city]?[chunk.id] == nil { state.chunks[city, default: [:]][chunk.id] = location }
            offset += chunk.length
        }
    }

    func put(_ view: PublishedView) {
        state.published[view.id] = view
        state.recipients[view.id] = view.recipient
    }

    func removePublishedView(_ id: Digest) { state.published[id] = nil }

    func put(_ member: MemberRow) {
        state.members[member.view, default: [:]][member.release] = MemoryState.Member(row: member)
    }

    func removeMember(_ view: Digest, _ release: Digest) { state.members[view]?[release] = nil }
    func put(_ view: SubscribedView) { state.subscribed[view.id] = view }
    func put(_ holding: HoldingRow) { state.holdings[holding.view, default: [:]][holding.release] = holding }
    func put(_ transfer: TransferRow) {
        state.transfers[MemoryState.Item(view: transfer.view, release: transfer.release)] = transfer
    }
    func removeTransfer(_ view: Digest, _ release: Digest) {
        state.transfers[MemoryState.Item(view: view, release: release)] = nil
    }

    func insertReceipt(_ digest: Digest, document: ContentLocation, view: Digest, from: CityID) {
        if state.receipts[digest] == nil { state.receipts[digest] = document }
    }

    func enqueue(_ envelope: Envelope, to partner: CityID) {
        guard state.outboxKnown.insert(MemoryState.Waiting(partner: partner, digest: envelope.outboxDigest)).inserted else {
            return
        }
        state.outboxLast += 1
        state.outbox.append(OutboxRow(id: state.outboxLast, partner: partner, envelope: envelope))
    }

    func removeOutbox(_ id: Int64) {
        guard let index = state.outbox.firstIndex(where: { $0.id >= id }), state.outbox[index].id == id else { return }
        let row = state.outbox.remove(at: index)
        state.outboxKnown.remove(MemoryState.Waiting(partner: row.partner, digest: row.envelope.outboxDigest))
    }
    func put(_ snapshot: SnapshotRow) { state.directories[snapshot.path] = snapshot }
    func setValue(_ name: String, _ bytes: [UInt8]) { state.values[name] = bytes }

    @discardableResult
    func log(_ draft: LogDraft) throws -> UInt64 {
        let index = logSize
        state.log.append(try draft.entry(index: index, at: now, salt: random.bytes(LogEntry.saltByteCount)))
        state.lastLogTime = now
        return index
    }

    func beginLog() -> Bool {
        state.log = []
        return true
    }
}
