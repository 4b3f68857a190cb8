// A database made from nothing: from the segments and the log.
//
//   log        says what was committed: `package.published`, `release.received`, `package.withdrawn`; a signed document that lies in a segment and
//              stands in no entry never counted, and may contradict one that did; what was ended since the archive (`LoggedRestrictions`);
//              which receipts and proofs counted (`LoggedEvidence`)
//   archive    keyrings, partners, agreements, grants, small values (`PolicyArchive`)
//   segments   documents, tables and pages by their digests, `index` records that say which belong together (checked against the signed root),
//              blocks for the places of chunks
//
// Not brought back: the state of views (cursors, digests: both sides compare anew), transfers that had begun, what directories were
// published from, and entries that were not yet carried into the log's files (a fifth of a second before a crash). What comes again from
// partners by itself is counted as `missing` here.
//
// Memory: about 200 bytes a release and 60 a chunk.
internal import Foundation
internal import GRDB
internal import HansaContent
public import HansaCore
internal import HansaCrypto
public import HansaDocuments
public import HansaLog
internal import HansaSync
internal import HansaTerms

public struct DatabaseRemake: Sendable {
    /// One of our logs, as its last checkpoint stands; in order, the last is the one that grows.
    public struct Log {
        let storage: any TileStorage
        let size: TreeSize

        public init(_ storage: any TileStorage, _ size: TreeSize) {
            self.storage = storage
            self.size = size
        }
    }

    public private(set) var entries: UInt64 = 0
    public private(set) var partners = 0
    public private(set) var agreements = 0
    public private(set) var grants = 0
    public private(set) var releases = 0
    /// Of those the ones whose content is here.
    public private(set) var withContent = 0
    public private(set) var chunks = 0
    /// Committed once, and their document is in no segment: partners have them.
    public private(set) var missing = 0
    /// Without an archive keyrings of partners, agreements and grants are to be given again.
    public private(set) var hasArchive = false
    /// Ended here because the log says so and the archive did not: of the grants above, and partners that are paused or removed now.
    public private(set) var grantsEnded = 0
    public private(set) var partnersHeld = 0
    public var receipts: Int { evidence.receipts }
    /// Open and resolved ones.
    public var disputes: Int { evidence.disputes }
    /// Packages of which our next release has a number so far above what is known: what cannot be read, or was not yet in the log's files, may have
    /// been given out.
    public private(set) var raised = 0
    public var raisedBy: UInt64 { OwnChains.gap * (1 + timesRaised) }
    /// Packages that other cities write too: their heads are to be picked anew.
    public private(set) var coMaintained: Set<PackageID> = []

    /// What the log says of a release.
    private struct Commit {
        let digest: Digest
        let servedBy: CityID
        let time: Timestamp
        let level: Grant.Level
        let view: Digest?
        let transfer: [UInt8]
        /// The package that it takes back.
        let withdraws: PackageID?
    }
    private struct Offer {
        let partner: CityID
        let release: Digest
        let package: PackageID
        let agreement: Digest
        let clause: String
        let grant: String
        let transfer: [UInt8]
        var delivered: Bool
    }
    private struct Index {
        let table: Digest
        let pages: [Digest]
    }
    private struct Subscription {
        let agreement: Digest
        let publisher: CityID
    }

    private let own: CityID
    private var commits: [Commit] = []
    private var known: Set<Digest> = []
    private var ended: [Digest: [Digest: String]] = [:]
    private var moved: [Digest: [Digest: Grant.Level]] = [:]
    /// Agreements that the log says were terminated, and the archive does not.
    private var terminated: Set<Digest> = []
    private var offers: [Digest: [Digest: Offer]] = [:]
    private var subscriptions: [Digest: Subscription] = [:]
    private var lastTime: Timestamp?
    /// Restores and remakes before this one: each raised all numbers.
    private var timesRaised: UInt64 = 0
    private var size: UInt64 = 0

    private var documents: [Digest: ContentLocation] = [:]
    private var tables: [Digest: [Int: ContentLocation]] = [:]
    private var tableParts: [Digest: Int] = [:]
    private var pages: [Digest: ContentLocation] = [:]
    private var indexes: [Digest: Index] = [:]
    private var archive = PolicyArchive()
    private var restrictions = LoggedRestrictions()
    private var evidence: LoggedEvidence
    /// Whose chunks they are, by id.
    private var needed: [Digest: [CityID]] = [:]

    private static let batch = 1000

    /// Fills an empty database. `keyrings` are our own, from the home's files. Throws where the log or the segments cannot be read at all.
    public init(
        into metadata: SQLiteStore, from content: SegmentStore, logs: [Log], own: CityID, keyrings: [Envelope], at now: Timestamp,
        progress: (_ done: UInt64, _ total: UInt64) throws -> Void = { _, _ in }
    ) throws {
        self.own = own
        evidence = LoggedEvidence(own: own)
        for log in logs { try read(log) }
        let segments = try content.segments()
        let total = try segments.reduce(0) { try $0 + content.size(of: $1) }
        var done: UInt64 = 0
        for segment in segments where try content.isClass(.documents, segment) {
            try progress(done, total)
            done += try content.size(of: segment)
            _ = try content.scan(segment) { location, record in take(record, at: ContentLocation(location)) }
        }
        try content.sync()
        try metadata.write(at: now) { tx in
            for envelope in keyrings { try tx.insertKeyring(envelope, try Keyring(envelope)) }
        }
        if let newest = archive.newest() {
            let (restored, later) = try metadata.write(at: now) { tx in
                (try PolicyArchive.restore(newest.contents, to: tx), try restrictions.apply(to: tx))
            }
            (grantsEnded, partnersHeld, terminated) = (later.grants, later.partners, later.agreements)
            try metadata.setPolicyArchive(newest.number, SHA256.hash(newest.contents), newest.places)
            (partners, agreements, grants, hasArchive) = (restored.partners, restored.agreements.count, restored.grants, true)
        }
        for start in stride(from: 0, to: commits.count, by: DatabaseRemake.batch) {
            let batch = commits[start..<min(start + DatabaseRemake.batch, commits.count)]
            try metadata.write(at: now) { tx in for commit in batch { try put(commit, content, tx) } }
        }
        try metadata.write(at: now) { tx in try putViews(tx) }
        try metadata.write(at: now) { tx in
            try evidence.put(tx, content) { documents[$0] }
            try raiseOwnChains(tx)
        }
        for segment in segments where try content.isClass(.content, segment) {
            try progress(done, total)
            done += try content.size(of: segment)
            try placeChunks(of: segment, metadata, content)
        }
        try metadata.setLogState(size: size, lastTime: lastTime)
    }

    // MARK: The log

    private mutating func read(_ log: Log) throws {
        var reader = LogReader(storage: log.storage, size: log.size)
        size = log.size.value
        for index in 0..<log.size.value {
            let entry = try LogEntry(try reader.entry(at: LeafIndex(index)))
            entries += 1
            lastTime = max(lastTime ?? entry.time, entry.time)
            restrictions.take(entry)
            evidence.take(entry)
            if entry.event == .homeRestored || entry.event == .databaseRemade { timesRaised += 1 }
            take(entry)
        }
    }

    private mutating func take(_ entry: LogEntry) {
        guard let event = entry.event, let release = entry.release else { return }
        func view(to recipient: CityID, from publisher: CityID) -> Digest? {
            entry.agreement.map { ViewIdentity.viewID(agreement: $0, publisher: publisher, recipient: recipient) }
        }
        switch event {
        case .packagePublished: commit(release, servedBy: own, entry)
        case .packageWithdrawn: commit(release, servedBy: entry.partner ?? own, entry)
        case .releaseReceived where entry.reason == "recovered": commit(release, servedBy: own, entry)
        case .releaseReceived:
            guard let partner = entry.partner else { return }
            let view = view(to: own, from: partner)
            if let view, let agreement = entry.agreement {
                subscriptions[view] = Subscription(agreement: agreement, publisher: partner)
                ended[release]?[view] = nil
                moved[release]?[view] = nil
            }
            commit(release, servedBy: partner, view: view, entry)
        case .accessEnded:
            guard let partner = entry.partner, let view = view(to: own, from: partner) else { return }
            ended[release, default: [:]][view] = entry.reason ?? "dropped"
        case .releaseMoved:
            guard let partner = entry.partner, let view = view(to: own, from: partner),
                let level = entry.details?["level"]?.string.flatMap(Grant.Level.init(rawValue:))
            else { return }
            moved[release, default: [:]][view] = level
        case .releaseOffered, .releaseDelivered:
            guard let partner = entry.partner, let package = entry.package, let agreement = entry.agreement,
                let view = view(to: partner, from: own)
            else { return }
            let before = offers[view]?[release]
            offers[view, default: [:]][release] = Offer(
                partner: partner, release: release, package: package, agreement: agreement,
                clause: entry.clause ?? before?.clause ?? "",
                grant: entry.grant ?? before?.grant ?? "", transfer: entry.transfer ?? before?.transfer ?? [],
                delivered: event == .releaseDelivered || before?.delivered == true)
        default: break
        }
    }

    private mutating func commit(_ release: Digest, servedBy city: CityID, view: Digest? = nil, _ entry: LogEntry) {
        // A release that first was shown by its document is received again with its content: both entries count.
        let level: Grant.Level = entry.details?["level"]?.string == "discover" ? .discover : .sync
        if view == nil, !known.insert(release).inserted { return }
        known.insert(release)
        commits.append(
            Commit(
                digest: release, servedBy: city, time: entry.time, level: level, view: view, transfer: entry.transfer ?? [],
                withdraws: entry.event == .packageWithdrawn ? entry.package : nil))
    }

    // MARK: Segments

    private mutating func take(_ record: SegmentRecord, at place: ContentLocation) {
        switch record {
        case .document(let digest, let bytes):
            documents[digest] = place
            evidence.take(digest, bytes, at: place)
        case .tablePart(let digest, let part, let parts, _):
            tables[digest, default: [:]][part] = place
            tableParts[digest] = parts
        case .page(let digest, _): pages[digest] = place
        case .index(let root, let table, _, let pages): indexes[root] = Index(table: table, pages: pages)
        case .other(let id, let bytes): archive.take(id, bytes, at: place)
        case .block: break
        }
    }

    /// Table and pages of an index whose root is signed, if all of them are here and make up that root.
    private func places(of index: IndexReference) -> (table: [ContentLocation], pages: [ContentLocation])? {
        guard let found = indexes[index.root], ChunkIndex.root(table: found.table, pages: found.pages) == index.root,
            let parts = tables[found.table], let count = tableParts[found.table]
        else { return nil }
        let table = (0..<count).compactMap { parts[$0] }
        let pages = found.pages.compactMap { self.pages[$0] }
        guard table.count == count, pages.count == found.pages.count else { return nil }
        return (table, pages)
    }

    // MARK: Rows

    private mutating func put(_ commit: Commit, _ content: SegmentStore, _ tx: any MetadataWriting) throws {
        guard let place = documents[commit.digest], let envelope = try? Envelope(binary: content.body(at: place)),
            envelope.digest == commit.digest, let release = try? Release(payload: envelope.payload)
        else {
            if evidence.shows(commit.digest) { return }
            missing += 1
            if let package = commit.withdraws { try withdraw(package, tx) }
            return
        }
        let summary = ReleaseSummary(release)
        let index = commit.level == .sync ? release.index.flatMap { places(of: $0) } : nil
        let before = try tx.release(commit.digest)
        if before == nil || before?.hasContent == false && index != nil {
            try tx.insert(
                ReleaseRow(
                    digest: commit.digest, release: summary, document: place, table: index?.table ?? [],
                    pages: index?.pages ?? [],
                    committed: commit.time, servedBy: commit.servedBy))
            if before == nil { releases += 1 }
            if let index {
                withContent += 1
                for page in index.pages {
                    for entry in try IndexPage.decode(content.body(at: page))
                    where needed[entry.id]?.contains(commit.servedBy) != true {
                        needed[entry.id, default: []].append(commit.servedBy)
                    }
                }
            }
        }
        try put(release, summary, commit.digest, tx)
        if let view = commit.view {
            let isOver = subscriptions[view].map { terminated.contains($0.agreement) } ?? false
            let reason = ended[commit.digest]?[view] ?? (isOver ? "dropped" : nil)
            try tx.put(
                HoldingRow(
                    view: view, release: commit.digest, level: moved[commit.digest]?[view] ?? commit.level,
                    state: reason == nil ? .accepted : .ended, transfer: commit.transfer, reason: reason,
                    package: release.package))
        }
    }

    /// By a document that cannot be read, so that its number is not known: what was committed before it is taken back.
    private func withdraw(_ package: PackageID, _ tx: any MetadataWriting) throws {
        guard var row = try tx.package(package) else { return }
        let last = try tx.releases(of: package).map(\.release.ownerSeq).max() ?? 0
        row.withdrawnSeq = max(row.withdrawnSeq ?? 0, last)
        try tx.put(row)
        try tx.endHoldings(of: package, upTo: last)
    }

    /// No number that was given out is signed again: by what the segments say, and once more for each time that numbers were raised before, which no
    /// document tells.
    private mutating func raiseOwnChains(_ tx: any MetadataWriting) throws {
        var chains = try tx.ownChains(of: own)
        // Without an archive no agreement says whose maintainers we are.
        let known = Set(chains.map(\.package))
        for package in coMaintained.subtracting(known).sorted() where package.city != own {
            let chain = try tx.ownChain(of: package, by: own)
            if chain.lastSeq > 0 { chains.append((package, chain.lastSeq)) }
        }
        raised = 0
        for (package, lastSeq) in chains {
            let (raisedTo, overflows) = lastSeq.addingReportingOverflow(raisedBy)
            // At their end: nothing is signed of it any more.
            guard !overflows, raisedTo < UInt64(Int64.max) else { continue }
            try tx.raiseOwnChain(of: package, by: own, to: raisedTo)
            raised += 1
        }
    }

    /// The package's row as it was when the release was committed, and our own chain.
    private mutating func put(_ release: Release, _ summary: ReleaseSummary, _ digest: Digest, _ tx: any MetadataWriting) throws {
        guard release.writer == release.package.city else {
            coMaintained.insert(release.package)
            guard release.writer == own, try tx.ownChain(of: release.package, by: own).lastSeq < release.seq else { return }
            return try tx.setOwnChain(OwnChain(lastSeq: release.seq, last: digest), of: release.package)
        }
        let before = try tx.package(release.package)
        if release.operation == .withdraw {
            var row =
                before
                ?? PackageRow(
                    package: release.package, kind: release.kind, head: digest, headVersion: release.version, headSeq: 0,
                    lastSeq: 0,
                    last: digest, tlp: release.tlp, title: release.title, bytes: 0, withdrawnSeq: nil)
            row.withdrawnSeq = max(row.withdrawnSeq ?? 0, release.seq)
            if release.seq > row.lastSeq { (row.lastSeq, row.last) = (release.seq, digest) }
            try tx.put(row)
            return try tx.endHoldings(of: release.package, upTo: release.seq)
        }
        if let before, before.lastSeq > release.seq { return }
        try tx.put(
            PackageRow(
                package: release.package, kind: release.kind, head: digest, headVersion: release.version, headSeq: release.seq,
                lastSeq: release.seq, last: digest, tlp: release.tlp, title: release.title, bytes: release.bytes,
                withdrawnSeq: before?.withdrawnSeq))
    }

    /// What we hold of others, and who was sent what of ours: a withdrawal goes to them, also where nothing is shared any more.
    private func putViews(_ tx: any MetadataWriting) throws {
        for (id, subscription) in subscriptions.sorted(by: { $0.key < $1.key })
        where try tx.agreement(subscription.agreement) != nil {
            var view = SubscribedView(id: id, agreement: subscription.agreement, publisher: subscription.publisher)
            var after: Digest?
            while let rows = try Optional(tx.holdings(in: id, state: .accepted, after: after, limit: 1000)), let last = rows.last
            {
                after = last.release
                for row in rows { view.members.insert(MemberSet.memberID(release: row.release, level: row.level.code)) }
            }
            try tx.put(view)
        }
        for (view, rows) in offers.sorted(by: { $0.key < $1.key }) {
            guard let any = rows.first?.value else { continue }
            // As one that ended: where its agreement is in force it begins anew with the next start, under another key, so that no cursor of before is known.
            try tx.put(PublishedView(id: view, agreement: any.agreement, recipient: any.partner, feedKey: []))
            try tx.removePublishedView(view)
            for (_, offer) in rows.sorted(by: { $0.key < $1.key }) {
                // Gone, as far as the rows say: what is shared still is placed again when the memberships are decided.
                var row = MemberRow(
                    view: view, release: offer.release, package: offer.package, level: .sync, clause: offer.clause,
                    grant: offer.grant,
                    until: nil, added: 0)
                row.dropped = 0
                row.sent = true
                row.transfer = offer.transfer
                row.delivered = offer.delivered
                try tx.put(row)
            }
        }
    }

    // MARK: Chunks

    private mutating func placeChunks(of segment: UInt32, _ metadata: SQLiteStore, _ content: SegmentStore) throws {
        var found: [ChunkPlace] = []
        var cities: [CityID: Int64] = [:]
        _ = try content.scan(segment) { location, record in
            guard case .block(let block) = record else { return }
            var offset: UInt32 = 0
            for chunk in block.chunks {
                // The first place counts; another copy is another city's, or nobody's.
                for city in needed.removeValue(forKey: chunk.id) ?? [] {
                    if cities[city] == nil { cities[city] = try metadata.number(ofCity: city) }
                    guard let number = cities[city] else { continue }
                    found.append(
                        ChunkPlace(
                            block: ContentLocation(location), offset: offset, length: chunk.length, id: chunk.id, city: number))
                }
                offset += chunk.length
            }
        }
        chunks += found.count
        for start in stride(from: 0, to: found.count, by: 10_000) {
            try metadata.place(Array(found[start..<min(start + 10_000, found.count)]))
        }
    }
}

extension SQLiteStore {
    /// How far the log is carried into its files: in a database that has never held an entry.
    fileprivate func setLogState(size: UInt64, lastTime: Timestamp?) throws {
        try transaction { database in
            try database.execute(
                sql: "UPDATE log_state SET size = ?, last_time = ?", arguments: [Int64(bitPattern: size), lastTime?.milliseconds])
            return ((), {})
        }
    }
}
