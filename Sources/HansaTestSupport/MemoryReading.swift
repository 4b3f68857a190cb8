internal import HansaCore
internal import HansaDocuments
internal import HansaStore
internal import HansaSync
internal import HansaTerms
internal import Synchronization

/// One snapshot, the same object for all who read it.
final class MemoryReading: MemoryRows, Sendable {
    let state: MemoryState
    /// Made when it is asked for, once.
    private let policies: Mutex<PolicyState>

    init(_ state: MemoryState) {
        self.state = state
        policies = Mutex(state.policy)
    }

    func policy() -> Policy { policies.withLock { $0.policy() } }

    /// Where a transaction begins: with the policy, if it was made.
    var beginning: MemoryState {
        var beginning = state
        beginning.policy = policies.withLock { $0 }
        return beginning
    }
}

/// What reading answers, from a snapshot or from within a transaction. Small worlds: lists are filtered and sorted when asked for.
protocol MemoryRows: AnyObject, MetadataReading {
    var state: MemoryState { get }
}

extension MemoryRows {
    // MARK: Policy

    func keyringEnvelopes(of city: CityID) -> [Envelope] { state.policy.keyringEnvelopes(of: city) }
    func keyring(of city: CityID, version: Int) -> Keyring? { state.policy.keyring(of: city, version: version) }
    func currentKeyring(of city: CityID) -> Keyring? { state.policy.currentKeyring(of: city) }
    func partners() -> [Partner] { state.policy.partners() }
    func partner(_ city: CityID) -> Partner? { state.policy.partner(city) }
    func agreements() -> [AgreementRecord] { state.policy.agreements() }
    func agreement(_ digest: Digest) -> AgreementRecord? { state.policy.agreement(digest) }
    func agreementEnvelopes(_ digest: Digest) -> [Envelope] { state.policy.agreementEnvelopes(digest) }
    func grants() -> [Grant] { state.policy.grants() }

    // MARK: Packages

    func package(_ id: PackageID) -> PackageRow? { state.packages[id] }

    func packages(of city: CityID?, after: PackageID?, limit: Int) -> [PackageRow] {
        let wanted = state.packages.keys.filter { id in city.map { $0 == id.city } != false && after.map { $0 < id } != false }
        return wanted.sorted().prefix(limit).compactMap { state.packages[$0] }
    }

    func packageCount(of city: CityID?) -> Int { state.packages.keys.count { id in city.map { $0 == id.city } != false } }

    func release(_ digest: Digest) -> ReleaseRow? { state.releases[digest] }

    func releases(of package: PackageID) -> [ReleaseRow] {
        (state.releasesOfPackage[package] ?? []).compactMap { state.releases[$0] }
            .sorted { ($0.release.seq, $0.digest) < ($1.release.seq, $1.digest) }
    }

    func releaseDigest(of package: PackageID, writer: CityID, seq: UInt64) -> Digest? {
        (state.releasesOfPackage[package] ?? []).sorted().first {
            let release = state.releases[$0]?.release
            return release?.writer == writer && release?.seq == seq
        }
    }

    func disputes(of package: PackageID?) -> [DisputeRow] {
        state.disputes.filter { package == nil || $0.package == package }.sorted {
            ($0.package, $0.seq, $0.kind == .fork ? 0 : 1, $0.other) < ($1.package, $1.seq, $1.kind == .fork ? 0 : 1, $1.other)
        }
    }

    func lostBlocks(limit: Int) -> [ContentLocation] {
        let blocks = Set(state.lostChunks.values.flatMap { $0.values.map(\.block) })
        return Array(blocks.sorted { ($0.segment, $0.offset) < ($1.segment, $1.offset) }.prefix(limit))
    }

    func damages() -> [DamageRow] { state.damages.values.sorted { $0.release < $1.release } }
    func damage(of release: Digest) -> DamageRow? { state.damages[release] }

    func releases(withPrefix hexPrefix: String, limit: Int) -> [Digest] {
        Array(state.releases.keys.filter { $0.hex.hasPrefix(hexPrefix) }.sorted().prefix(limit))
    }

    func chunkLocations(of city: CityID, _ ids: [Digest]) -> [ChunkLocation?] { ids.map { state.chunks[city]?[$0] } }

    // MARK: Publishing

    func publishedView(_ id: Digest) -> PublishedView? { state.published[id] }
    func publishedViews() -> [PublishedView] { state.published.values.sorted { $0.id < $1.id } }
    func member(_ view: Digest, _ release: Digest) -> MemberRow? { state.members[view]?[release]?.row }
    func memberStanding(_ view: Digest, _ release: Digest) throws -> MemberStanding? {
        try member(view, release).map(MemberStanding.init)
    }

    func members(_ view: Digest, of package: PackageID) -> [MemberRow] {
        rows(view) { $0.row.package == package }.sorted { $0.release < $1.release }
    }

    func members(_ view: Digest, addedAfter position: UInt64, limit: Int) -> [MemberRow] {
        let rows = rows(view) { $0.row.dropped == nil && $0.row.added > position }
        return Array(rows.sorted { ($0.added, $0.release) < ($1.added, $1.release) }.prefix(limit))
    }

    func drops(_ view: Digest, after position: UInt64, limit: Int) -> [MemberRow] {
        let rows = rows(view) { member in
            member.row.sent && member.row.dropped.map { $0 > position } == true
        }
        return Array(rows.sorted { ($0.dropped ?? 0, $0.release) < ($1.dropped ?? 0, $1.release) }.prefix(limit))
    }

    func members(_ view: Digest, endedBy moment: Timestamp) -> [MemberRow] {
        let rows = rows(view) { member in member.row.dropped == nil && member.row.until.map { $0 <= moment } == true }
        return rows.sorted { ($0.until ?? moment, $0.release) < ($1.until ?? moment, $1.release) }
    }

    private func rows(_ view: Digest, _ isWanted: (MemoryState.Member) -> Bool) -> [MemberRow] {
        (state.members[view] ?? [:]).values.lazy.filter(isWanted).map(\.row)
    }

    func eachMember(_ view: Digest, _ body: (ReconciliationItem, _ sent: Bool) -> Void) {
        for row in rows(view, { $0.row.dropped == nil }).sorted(by: { $0.release < $1.release }) {
            let issued = row.outcome == .refused ? nil : state.releases[row.release]?.release.issued
            body(ReconciliationItem(issued: issued, release: row.release, level: row.level.code), row.sent)
        }
    }

    func memberCount(_ view: Digest) -> Int { rows(view) { $0.row.dropped == nil }.count }

    func recipients(everSent package: PackageID) -> [CityID] {
        var cities: Set<CityID> = []
        for (view, members) in state.members where members.values.contains(where: { $0.row.sent && $0.row.package == package }) {
            if let recipient = state.recipients[view] { cities.insert(recipient) }
        }
        return cities.sorted()
    }

    // MARK: Pulling

    func subscribedView(_ id: Digest) -> SubscribedView? { state.subscribed[id] }
    func subscribedViews() -> [SubscribedView] { state.subscribed.values.sorted { $0.id < $1.id } }
    func holding(_ view: Digest, _ release: Digest) -> HoldingRow? { state.holdings[view]?[release] }

    func holdings(of release: Digest) -> [HoldingRow] {
        state.holdings.values.compactMap { $0[release] }.sorted { $0.view < $1.view }
    }

    func holdings(of package: PackageID) -> [HoldingRow] {
        state.holdings.values.flatMap { $0.values.filter { $0.package == package } }.sorted {
            ($0.view, $0.release) < ($1.view, $1.release)
        }
    }

    func holdings(in view: Digest, state wanted: HoldingRow.State?, after: Digest?, limit: Int) -> [HoldingRow] {
        let rows = (state.holdings[view] ?? [:]).values.filter { row in
            wanted.map { $0 == row.state } != false && after.map { $0 < row.release } != false
        }
        return Array(rows.sorted { $0.release < $1.release }.prefix(limit))
    }

    func eachHolding(_ view: Digest, _ body: (ReconciliationItem) -> Void) {
        for row in (state.holdings[view] ?? [:]).values.sorted(by: { $0.release < $1.release }) where row.state != .ended {
            let issued = row.state == .refused ? nil : state.releases[row.release]?.release.issued
            body(ReconciliationItem(issued: issued, release: row.release, level: row.level.code))
        }
    }

    func holdingCount(_ view: Digest) -> Int { (state.holdings[view] ?? [:]).values.count { $0.state != .ended } }

    func transfer(_ view: Digest, _ release: Digest) -> TransferRow? {
        state.transfers[MemoryState.Item(view: view, release: release)]
    }
    func transfers() -> [TransferRow] { state.transfers.values.sorted { ($0.view, $0.release) < ($1.view, $1.release) } }
    func receiptLocation(_ digest: Digest) -> ContentLocation? { state.receipts[digest] }

    // MARK: The rest

    func outbox(to partner: CityID, after id: Int64, limit: Int) -> [OutboxRow] {
        Array(state.outbox.lazy.filter { $0.partner == partner && $0.id > id }.prefix(limit))
    }

    func outbox(to partner: CityID, _ lane: OutboxRow.Lane, after id: Int64, limit: Int, bytes: Int) -> [OutboxRow] {
        var rows: [OutboxRow] = []
        var count = 0
        for row in state.outbox
        where row.id > id && row.partner == partner && OutboxRow.Lane(row.envelope.type) == lane {
            if rows.count == limit || count >= bytes { break }
            count += row.envelope.binary().count
            rows.append(row)
        }
        return rows
    }

    func outboxExtent(to partner: CityID) -> OutboxExtent {
        let rows = state.outbox.lazy.filter { $0.partner == partner }
        return OutboxExtent(rows: rows.count, last: rows.map(\.id).max() ?? 0)
    }

    func snapshot(ofDirectory path: String) -> SnapshotRow? { state.directories[path] }

    func published(directory path: String) -> PublishedDirectory? {
        guard let row = state.directories[path], let package = state.packages[row.package], package.head == row.release,
            !package.isWithdrawn, let release = state.releases[row.release]
        else { return nil }
        return PublishedDirectory(snapshot: row.snapshot, digest: row.release, release: release.release)
    }
    func value(_ name: String) -> [UInt8]? { state.values[name] }
    var logSize: UInt64 { UInt64(state.log.count) }
    var lastLogTime: Timestamp? { state.lastLogTime }
}
