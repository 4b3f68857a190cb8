// What the exchange asks of a metadata store: rows, not decisions. SQLite implements it in `HansaStore`, dictionaries do in `HansaTestSupport`;
// one suite of tests runs over both, and another engine (PostgreSQL) could stand here (DESIGN.md §8).
//
// All calls block. A write is one transaction: its rows and its log entries are durable together when `write` returns, or none of them is there.
// Calls inside a transaction see its own changes. Arrays come back in the order stated; nothing depends on hash order.
//
// Long because rows and calls are one contract, to be read by whoever implements it.
public import HansaContent
public import HansaCore
internal import HansaCrypto
public import HansaDocuments
public import HansaLog
public import HansaTerms

public protocol MetadataStore: Sendable {
    /// A consistent snapshot.
    func read<T>(_ body: (any MetadataReading) throws -> T) throws -> T

    /// One durable transaction. A writer may have waited for others: a `now` up to `TransactionTime.toleranceMilliseconds` before the last entry counts as
    /// that entry's time. `now` is the wall clock: the time of its log entries. Throws `StoreFault.clockBehind` when `now` lies
    /// before the last logged entry (SYNC.md §2), and `.logUnavailable` when the log cannot be written.
    @discardableResult
    func write<T>(at now: Timestamp, _ body: (any MetadataWriting) throws -> T) throws -> T
}

/// Why the store could not do it. Everything here is the world's or our own fault, never a peer's.
public enum StoreFault: Error, Sendable, Equatable {
    case clockBehind(last: Timestamp, now: Timestamp)
    case diskFull(bytesMissing: UInt64?)
    case damaged(String)
    case inputOutput(String)
    case logUnavailable(String)
}

/// The time of a transaction: never before the last entry of the log.
public enum TransactionTime {
    /// How long a writer may have waited between reading the clock and its turn.
    public static let toleranceMilliseconds: Int64 = 60_000

    public static func at(_ now: Timestamp, after last: Timestamp?) throws(StoreFault) -> Timestamp {
        guard let last, now < last else { return now }
        guard last.milliseconds - now.milliseconds <= toleranceMilliseconds else { throw .clockBehind(last: last, now: now) }
        return last
    }
}

// MARK: - Rows

/// A city we know by its keyring.
public struct Partner: Sendable, Equatable {
    public enum State: String, Sendable { case active, paused, removed }
    public var city: CityID
    public var state: State
    /// An administrator's own address for it, before those of its keyring.
    public var endpoint: String?
    public var added: Timestamp
    /// The last moment a session with it ended a round with every view equal.
    public var lastSync: Timestamp?

    public init(city: CityID, state: State, endpoint: String?, added: Timestamp, lastSync: Timestamp? = nil) {
        self.city = city
        self.state = state
        self.endpoint = endpoint
        self.added = added
        self.lastSync = lastSync
    }
}

/// A place in the content store. `length` counts the whole record.
public struct ContentLocation: Hashable, Sendable {
    public let segment: UInt32
    public let offset: UInt32
    public let length: UInt32

    public init(segment: UInt32, offset: UInt32, length: UInt32) {
        self.segment = segment
        self.offset = offset
        self.length = length
    }
}

/// A package as a node knows it: its own or a partner's.
public struct PackageRow: Sendable, Equatable {
    public var package: PackageID
    public var kind: PackageKind
    /// The canonical head: the committed release with the highest seq that is no withdrawal; of several writers' the one that the rule counts.
    public var head: Digest
    public var headVersion: Version
    /// The head's `ownerSeq`; 0 where nothing counts yet.
    public var headSeq: UInt64
    /// The highest seq known of the package's own city, withdrawals included; its next release is one above.
    public var lastSeq: UInt64
    /// The last document of the chain, withdrawals included; the next own release names it as `previous`.
    public var last: Digest
    public var tlp: TLP
    public var title: String
    public var bytes: UInt64
    /// The highest seq of a withdrawal known. It stays after a newer release: no release at or below it comes back.
    public var withdrawnSeq: UInt64?

    /// Whether the last word is a withdrawal.
    public var isWithdrawn: Bool { withdrawnSeq.map { $0 >= headSeq } ?? false }

    public init(
        package: PackageID, kind: PackageKind, head: Digest, headVersion: Version, headSeq: UInt64, lastSeq: UInt64, last: Digest,
        tlp: TLP, title: String, bytes: UInt64, withdrawnSeq: UInt64?
    ) {
        self.package = package
        self.kind = kind
        self.head = head
        self.headVersion = headVersion
        self.headSeq = headSeq
        self.lastSeq = lastSeq
        self.last = last
        self.tlp = tlp
        self.title = title
        self.bytes = bytes
        self.withdrawnSeq = withdrawnSeq
    }
}

/// A release whose content and document are here, verified and durable.
public struct ReleaseRow: Sendable, Equatable {
    public var digest: Digest
    public var release: ReleaseSummary
    /// The signed document (`SegmentRecord.document`).
    public var document: ContentLocation
    /// The encoded file table and the pages, in order; empty for a withdrawal, and where only the document is here (level `discover`).
    public var table: [ContentLocation]
    public var pages: [ContentLocation]
    public var committed: Timestamp
    /// Whose chunks its content is found among: the city that served it. The writer, but for what another city passed on, or what was taken over from
    /// another's release.
    public var servedBy: CityID
    /// Every index has a table, for every bag has its tag files.
    public var hasContent: Bool { !table.isEmpty }

    public init(
        digest: Digest, release: ReleaseSummary, document: ContentLocation, table: [ContentLocation], pages: [ContentLocation],
        committed: Timestamp, servedBy: CityID? = nil
    ) {
        self.servedBy = servedBy ?? release.writer
        self.digest = digest
        self.release = release
        self.document = document
        self.table = table
        self.pages = pages
        self.committed = committed
    }
}

/// What decisions and lists need of a release, without its document.
public struct ReleaseSummary: Sendable, Equatable {
    public var package: PackageID
    public var kind: PackageKind
    public var version: Version
    public var operation: Release.Operation
    public var writer: CityID
    public var seq: UInt64
    public var issued: Timestamp
    public var tlp: TLP
    public var title: String
    public var bytes: UInt64
    public var files: Int
    public var chunks: Int
    /// What its clock says of the package's own city: the writer's seq, where that city wrote it. A withdrawal numbered N ends all releases up to N.
    public var ownerSeq: UInt64

    public init(_ release: Release) {
        ownerSeq = release.seq(of: release.package.city)
        package = release.package
        kind = release.kind
        version = release.version
        operation = release.operation
        writer = release.writer
        seq = release.seq
        issued = release.issued
        tlp = release.tlp
        title = release.title
        bytes = release.bytes
        files = release.files
        chunks = release.index?.chunks ?? 0
    }

    public init(
        package: PackageID, kind: PackageKind, version: Version, operation: Release.Operation, writer: CityID, seq: UInt64,
        issued: Timestamp, tlp: TLP, title: String, bytes: UInt64, files: Int, chunks: Int, ownerSeq: UInt64? = nil
    ) {
        self.ownerSeq = ownerSeq ?? seq
        self.package = package
        self.kind = kind
        self.version = version
        self.operation = operation
        self.writer = writer
        self.seq = seq
        self.issued = issued
        self.tlp = tlp
        self.title = title
        self.bytes = bytes
        self.files = files
        self.chunks = chunks
    }
}

/// Where a chunk lies: in which stored block, from which byte of its raw content.
public struct ChunkLocation: Hashable, Sendable {
    public let block: ContentLocation
    public let offset: UInt32
    public let length: UInt32

    public init(block: ContentLocation, offset: UInt32, length: UInt32) {
        self.block = block
        self.offset = offset
        self.length = length
    }
}

/// What a publisher keeps for one view: (agreement, publisher = us, recipient).
public struct PublishedView: Sendable, Equatable {
    public var id: Digest
    public var agreement: Digest
    public var recipient: CityID
    /// The key that makes positions into opaque cursors; a new one is a new feed epoch, and every older cursor is unknown.
    public var feedKey: [UInt8]
    /// The position of the last change; 0 before the first.
    public var position: UInt64
    /// Count and LtHash16 of the present members.
    public var members: MemberSet
    public var acknowledgedPosition: UInt64
    /// The recipient's digest at that position equalled ours.
    public var acknowledgedEqual: Bool
    /// How often digests differed at one cursor since they were last equal: 0, then 1 (a full list was sent), then quarantine.
    public var mismatches: Int
    public var quarantine: String?

    public init(id: Digest, agreement: Digest, recipient: CityID, feedKey: [UInt8]) {
        self.id = id
        self.agreement = agreement
        self.recipient = recipient
        self.feedKey = feedKey
        position = 0
        members = MemberSet()
        acknowledgedPosition = 0
        acknowledgedEqual = true
        mismatches = 0
        quarantine = nil
    }
}

/// One release in one view at the publisher: present, or dropped and kept as long as the partner was ever sent it.
public struct MemberRow: Sendable, Equatable {
    public var view: Digest
    public var release: Digest
    public var package: PackageID
    public var level: Grant.Level
    public var clause: String
    public var grant: String
    /// Checked against the clock again at every offer and get: a timer may be late.
    public var until: Timestamp?
    /// The position at which it came in.
    public var added: UInt64
    /// The position at which it went; nil while it is a member.
    public var dropped: UInt64?
    /// The id was listed to the partner: only then may `drop` name it.
    public var sent: Bool
    /// It was listed, went, and came in again under the same transfer: another word of the partner may replace
    /// what it said before.
    public var isListedAgain: Bool
    /// 16 random bytes, chosen with the offer, echoed by receipts. Empty until offered.
    public var transfer: [UInt8]
    /// Its document went out (and the delivery stands in the log).
    public var delivered: Bool
    /// The partner's receipt for it.
    public var outcome: Receipt.Outcome?

    public init(
        view: Digest, release: Digest, package: PackageID, level: Grant.Level, clause: String, grant: String, until: Timestamp?,
        added: UInt64
    ) {
        self.view = view
        self.release = release
        self.package = package
        self.level = level
        self.clause = clause
        self.grant = grant
        self.until = until
        self.added = added
        dropped = nil
        sent = false
        isListedAgain = false
        transfer = []
        delivered = false
        outcome = nil
    }
}

/// What of a member row says whether the partner may have its release.
public struct MemberStanding: Sendable, Equatable {
    public let level: Grant.Level
    public let until: Timestamp?
    /// It was listed to the partner and has not been dropped.
    public let isOffered: Bool

    public init(level: Grant.Level, until: Timestamp?, isOffered: Bool) {
        self.level = level
        self.until = until
        self.isOffered = isOffered
    }

    public init(_ row: MemberRow) { self.init(level: row.level, until: row.until, isOffered: row.sent && row.dropped == nil) }
}

/// What a recipient keeps for one view: (agreement, publisher, recipient = us).
public struct SubscribedView: Sendable, Equatable {
    public var id: Digest
    public var agreement: Digest
    public var publisher: CityID
    /// As the publisher gave it; empty before the first answer. Every id up to it is committed or refused.
    public var cursor: [UInt8]
    /// Count and LtHash16 of the ids committed or answered with a signed `refused` receipt.
    public var members: MemberSet
    public var mismatches: Int
    public var quarantine: String?

    public init(id: Digest, agreement: Digest, publisher: CityID) {
        self.id = id
        self.agreement = agreement
        self.publisher = publisher
        cursor = []
        members = MemberSet()
        mismatches = 0
        quarantine = nil
    }
}

/// One release in one view at the recipient.
public struct HoldingRow: Sendable, Equatable {
    public enum State: String, Sendable {
        /// Content and document are here, the receipt is signed.
        case accepted
        /// Answered with a signed `refused` receipt; the reason says why.
        case refused
        /// The publisher dropped it, or withdrew the package.
        case ended
    }
    public var view: Digest
    public var release: Digest
    public var level: Grant.Level
    public var state: State
    public var transfer: [UInt8]
    public var reason: String?
    /// Known where the document could be read.
    public var package: PackageID?

    public init(
        view: Digest, release: Digest, level: Grant.Level, state: State, transfer: [UInt8], reason: String?, package: PackageID?
    ) {
        self.view = view
        self.release = release
        self.level = level
        self.state = state
        self.transfer = transfer
        self.reason = reason
        self.package = package
    }
}

/// A fetch that has begun: document and index are durable, and so is every chunk whose bit is set.
public struct TransferRow: Sendable, Equatable {
    public var view: Digest
    public var release: Digest
    public var transfer: [UInt8]
    public var document: ContentLocation
    public var table: [ContentLocation]
    public var pages: [ContentLocation]
    /// One bit for each chunk of the index, bit 0 of byte 0 first.
    public var bitmap: [UInt8]
    public var chunksHeld: Int
    public var chunksTotal: Int

    public init(
        view: Digest, release: Digest, transfer: [UInt8], document: ContentLocation, table: [ContentLocation],
        pages: [ContentLocation], bitmap: [UInt8], chunksHeld: Int, chunksTotal: Int
    ) {
        self.view = view
        self.release = release
        self.transfer = transfer
        self.document = document
        self.table = table
        self.pages = pages
        self.bitmap = bitmap
        self.chunksHeld = chunksHeld
        self.chunksTotal = chunksTotal
    }
}

/// A document on its way to a partner: pushed in every session until it is acknowledged.
public struct OutboxRow: Sendable, Equatable {
    public var id: Int64
    public var partner: CityID
    public var envelope: Envelope

    public init(id: Int64, partner: CityID, envelope: Envelope) {
        self.id = id
        self.partner = partner
        self.envelope = envelope
    }
}

/// A log entry before the log gave it an index, a time and a salt (FORMATS.md §11).
public struct LogDraft: Sendable, Equatable {
    public var event: LogEvent
    public var outcome: LogEntry.Outcome
    /// Already erasable: a role and an HMAC, or `node`.
    public var actor: String
    public var partner: CityID?
    public var package: PackageID?
    public var release: Digest?
    public var agreement: Digest?
    public var clause: String?
    public var grant: String?
    public var transfer: [UInt8]?
    public var reason: String?
    public var details: JSONValue?

    public init(
        _ event: LogEvent, outcome: LogEntry.Outcome = .ok, actor: String = "node", partner: CityID? = nil,
        package: PackageID? = nil, release: Digest? = nil, agreement: Digest? = nil, clause: String? = nil, grant: String? = nil,
        transfer: [UInt8]? = nil, reason: String? = nil, details: JSONValue? = nil
    ) {
        self.event = event
        self.outcome = outcome
        self.actor = actor
        self.partner = partner
        self.package = package
        self.release = release
        self.agreement = agreement
        self.clause = clause
        self.grant = grant
        self.transfer = transfer
        self.reason = reason
        self.details = details
    }
}

/// An unchanged directory is found by this before a byte is read (CLI.md, `package publish`).
public struct SnapshotRow: Sendable, Equatable {
    public var path: String
    public var package: PackageID
    public var release: Digest
    /// `DirectorySnapshot`, encoded.
    public var snapshot: [UInt8]

    public init(path: String, package: PackageID, release: Digest, snapshot: [UInt8]) {
        self.path = path
        self.package = package
        self.release = release
        self.snapshot = snapshot
    }
}

/// A directory's snapshot and the release that was made of it.
public struct PublishedDirectory: Sendable, Equatable {
    /// `DirectorySnapshot`, encoded.
    public let snapshot: [UInt8]
    public let digest: Digest
    public let release: ReleaseSummary

    public init(snapshot: [UInt8], digest: Digest, release: ReleaseSummary) {
        self.snapshot = snapshot
        self.digest = digest
        self.release = release
    }
}

// MARK: - Reading

public protocol MetadataReading: AnyObject {
    // Policy: small, kept in memory by every store.
    /// Every version of a city's keyring that was accepted, oldest first, as received.
    func keyringEnvelopes(of city: CityID) throws -> [Envelope]
    func keyring(of city: CityID, version: Int) throws -> Keyring?
    func currentKeyring(of city: CityID) throws -> Keyring?
    /// In order of city; removed ones included.
    func partners() throws -> [Partner]
    func partner(_ city: CityID) throws -> Partner?
    /// All agreements with their merged signatures and steps, in order of digest.
    func agreements() throws -> [AgreementRecord]
    func agreement(_ digest: Digest) throws -> AgreementRecord?
    /// Every envelope of an agreement or of its steps, as received, in the order of arrival.
    func agreementEnvelopes(_ digest: Digest) throws -> [Envelope]
    /// Ended ones included, in order of id.
    func grants() throws -> [Grant]
    /// Agreements and grants as one value.
    func policy() throws -> Policy

    // Packages
    func package(_ id: PackageID) throws -> PackageRow?
    /// In order of id, after `after`, at most `limit`; `city` restricts.
    func packages(of city: CityID?, after: PackageID?, limit: Int) throws -> [PackageRow]
    /// How many there are, of one city or of all.
    func packageCount(of city: CityID?) throws -> Int
    func release(_ digest: Digest) throws -> ReleaseRow?
    /// Committed releases of a package by seq, withdrawals included.
    func releases(of package: PackageID) throws -> [ReleaseRow]
    /// Any committed release with this (package, writer, seq).
    func releaseDigest(of package: PackageID, writer: CityID, seq: UInt64) throws -> Digest?
    /// Contradictions about a package, or about all, resolved ones included: in order of package, seq, kind, other digest.
    func disputes(of package: PackageID?) throws -> [DisputeRow]
    /// Blocks that could not be read, in order of place.
    func lostBlocks(limit: Int) throws -> [ContentLocation]
    /// Releases of which something here cannot be read, in order of digest.
    func damages() throws -> [DamageRow]
    func damage(of release: Digest) throws -> DamageRow?
    /// Digests that begin with these bytes, at most `limit`, ordered.
    func releases(withPrefix hexPrefix: String, limit: Int) throws -> [Digest]

    // Chunks, kept apart for each city that served them (SYNC.md §5: a publisher must not learn what others gave us).
    /// One answer for each id, in order.
    func chunkLocations(of city: CityID, _ ids: [Digest]) throws -> [ChunkLocation?]
    /// The same for whoever will count on a chunk without a release that names it yet: nil for one that collection is about to give up.
    func heldLocations(of city: CityID, _ ids: [Digest]) throws -> [ChunkLocation?]

    // Publishing
    func publishedView(_ id: Digest) throws -> PublishedView?
    /// In order of id.
    func publishedViews() throws -> [PublishedView]
    func member(_ view: Digest, _ release: Digest) throws -> MemberRow?
    /// What of that row says whether the partner may have the release.
    func memberStanding(_ view: Digest, _ release: Digest) throws -> MemberStanding?
    /// Rows of one view, present and dropped, of one package, in order of digest.
    func members(_ view: Digest, of package: PackageID) throws -> [MemberRow]
    /// Present members only, in order of `added` (ties by digest), those added after `position`.
    func members(_ view: Digest, addedAfter position: UInt64, limit: Int) throws -> [MemberRow]
    /// Dropped rows that were sent and dropped after `position`, in order of `dropped`, whenever they were added: a recipient may have committed
    /// an id of a page whose cursor it never reached.
    func drops(_ view: Digest, after position: UInt64, limit: Int) throws -> [MemberRow]
    /// Present members whose `until` is at or before `moment`, in order of `until`, then digest.
    func members(_ view: Digest, endedBy moment: Timestamp) throws -> [MemberRow]
    /// Present members as repair compares them, in order of release, and whether the partner was sent the id. One that the partner refused has no
    /// time: the partner may not know it.
    func eachMember(_ view: Digest, _ body: (ReconciliationItem, _ sent: Bool) -> Void) throws
    func memberCount(_ view: Digest) throws -> Int
    /// Cities that were ever sent (`sent`) a release of this package, in order.
    func recipients(everSent package: PackageID) throws -> [CityID]

    // Pulling
    func subscribedView(_ id: Digest) throws -> SubscribedView?
    func subscribedViews() throws -> [SubscribedView]
    func holding(_ view: Digest, _ release: Digest) throws -> HoldingRow?
    /// All rows of a release over all views, in order of view.
    func holdings(of release: Digest) throws -> [HoldingRow]
    /// In order of view, then release.
    func holdings(of package: PackageID) throws -> [HoldingRow]
    /// In order of release digest, after `after`.
    func holdings(in view: Digest, state: HoldingRow.State?, after: Digest?, limit: Int) throws -> [HoldingRow]
    /// Rows that have not ended, as repair compares them, in order of release. Refused ones, and those without a release, have no time.
    func eachHolding(_ view: Digest, _ body: (ReconciliationItem) -> Void) throws
    func holdingCount(_ view: Digest) throws -> Int
    func transfer(_ view: Digest, _ release: Digest) throws -> TransferRow?
    /// In order of view, then release.
    func transfers() throws -> [TransferRow]
    /// Where a receipt that was kept lies.
    func receiptLocation(_ digest: Digest) throws -> ContentLocation?

    // Documents under way
    func outbox(to partner: CityID, after id: Int64, limit: Int) throws -> [OutboxRow]

    // The command line's memory
    func snapshot(ofDirectory path: String) throws -> SnapshotRow?
    /// What a directory was published as, where that is its package's head and not withdrawn.
    func published(directory path: String) throws -> PublishedDirectory?
    /// A small named value of the node's own (`home.id`, `log.hmac`, …).
    func value(_ name: String) throws -> [UInt8]?

    // The log
    /// Entries that the log holds: tiled and pending.
    var logSize: UInt64 { get throws }
    var lastLogTime: Timestamp? { get throws }
}

extension MetadataReading {
    public func heldLocations(of city: CityID, _ ids: [Digest]) throws -> [ChunkLocation?] { try chunkLocations(of: city, ids) }
}

// MARK: - Writing

public protocol MetadataWriting: MetadataReading {
    /// The wall clock of this transaction.
    var now: Timestamp { get }

    /// A version that is known already stays as it is.
    func insertKeyring(_ envelope: Envelope, _ keyring: Keyring) throws
    func put(_ partner: Partner) throws
    /// Adds an envelope of an agreement (its payload, some signatures): the record's signatures are the union of all. The same envelope again
    /// changes nothing. Throws `DocumentFault` when the payload is no agreement. Signatures count by the keyrings known, also later ones.
    func insertAgreement(_ envelope: Envelope) throws
    func insertStep(_ envelope: Envelope, _ step: AgreementStep) throws
    func put(_ grant: Grant) throws

    func put(_ package: PackageRow) throws
    /// A release that is known already stays as it is; one of which only the document was here takes the rest.
    func insert(_ release: ReleaseRow) throws
    /// Replaces the row of this (package, kind, writer, seq, other).
    func put(_ dispute: DisputeRow) throws
    /// Chunks of one stored block, in its order. A chunk that the city has already keeps its first location.
    func insertChunks(of city: CityID, block: ContentLocation, _ chunks: [ChunkEntry]) throws
    /// No chunk of any city counts as lying in these blocks: they cannot be read. Where they lay is kept beside. Looks at all rows.
    func loseChunks(in blocks: [ContentLocation]) throws
    /// The block can be read again: chunks that were lost with it lie in it, but for those that lie elsewhere by now.
    func restoreChunks(in block: ContentLocation) throws
    /// What was lost and lies elsewhere by now is not looked for any more.
    func forgetFoundChunks() throws
    /// Where the document and the index of a release that is known lie now.
    func place(_ release: Digest, document: ContentLocation, table: [ContentLocation], pages: [ContentLocation]) throws
    func put(_ damage: DamageRow) throws
    func removeDamage(_ release: Digest) throws

    func put(_ view: PublishedView) throws
    /// Its member rows stay: who was sent what outlives the view.
    func removePublishedView(_ id: Digest) throws
    func put(_ member: MemberRow) throws
    /// Deletes a row whose id the partner was never sent.
    func removeMember(_ view: Digest, _ release: Digest) throws

    func put(_ view: SubscribedView) throws
    func put(_ holding: HoldingRow) throws
    func put(_ transfer: TransferRow) throws
    func removeTransfer(_ view: Digest, _ release: Digest) throws
    /// Keeps a signed receipt: ours or a partner's. One that is known already stays as it is.
    func insertReceipt(_ digest: Digest, document: ContentLocation, view: Digest, from: CityID) throws

    func enqueue(_ envelope: Envelope, to partner: CityID) throws
    func removeOutbox(_ id: Int64) throws

    func put(_ snapshot: SnapshotRow) throws
    func setValue(_ name: String, _ bytes: [UInt8]) throws

    /// Appends to the log: index, time (`now`) and salt are given here. Durable with the transaction. Returns the entry's index.
    @discardableResult
    func log(_ draft: LogDraft) throws -> UInt64
    /// Closes the log: the entry after this is the first of a new one, with index 0. False, and nothing done, while entries wait to be carried into
    /// the log's files. The clock goes on from the last entry.
    func beginLog() throws -> Bool
}

// MARK: - Content

/// Where bytes lie: append-only records with checksums. `SegmentStore` implements it over a disk, real or in memory.
public protocol ContentStore: Sendable {
    /// Not durable before `sync` returns.
    func append(block: StoredBlock) throws -> ContentLocation
    func append(document: [UInt8], digest: Digest) throws -> ContentLocation
    func append(table: [UInt8], release: Digest) throws -> [ContentLocation]
    func append(page: [UInt8], release: Digest) throws -> ContentLocation
    /// What an index consists of, under the root that its release signs: no row names it, but a database that is lost can be made again from it.
    func append(index root: Digest, table: Digest, chunks: Int, pages: [Digest]) throws
    /// A block with the indexes of the small releases in it, with one write where the store can. Places are in their order.
    func append(block: StoredBlock, small: [SmallIndex]) throws -> (
        block: ContentLocation, indexes: [(table: [ContentLocation], page: ContentLocation)]
    )
    /// Everything appended before the call, by anyone, is durable when it returns.
    func sync() throws
    func block(at location: ContentLocation) throws -> StoredBlock
    /// The body of a document, table part or page record.
    func body(at location: ContentLocation) throws -> [UInt8]
}

extension ContentStore {
    public func append(index root: Digest, table: Digest, chunks: Int, pages: [Digest]) throws {}

    public func append(block: StoredBlock, small: [SmallIndex]) throws -> (
        block: ContentLocation, indexes: [(table: [ContentLocation], page: ContentLocation)]
    ) {
        let place = try append(block: block)
        return (
            place,
            try small.map { one in
                let table = try append(table: one.table, release: one.release)
                let page = try append(page: one.page, release: one.release)
                try append(index: one.root, table: SHA256.hash(one.table), chunks: one.chunks, pages: [SHA256.hash(one.page)])
                return (table, page)
            }
        )
    }
}

/// The index of a release whose chunks fill one page at most.
public struct SmallIndex: Sendable {
    public let release: Digest
    public let root: Digest
    public let chunks: Int
    public let table: [UInt8]
    public let page: [UInt8]

    public init(release: Digest, root: Digest, chunks: Int, table: [UInt8], page: [UInt8]) {
        self.release = release
        self.root = root
        self.chunks = chunks
        self.table = table
        self.page = page
    }
}

/// Neighbouring chunks compressed together, as they lie in the store and may go over the wire.
public struct StoredBlock: Sendable, Equatable {
    public let codec: Block.Codec
    public let rawLength: Int
    public let chunks: [ChunkEntry]
    /// A slice, so that a block is stored from the frame that brought it.
    public let bytes: ArraySlice<UInt8>

    public init(codec: Block.Codec, rawLength: Int, chunks: [ChunkEntry], bytes: [UInt8]) {
        self.init(codec: codec, rawLength: rawLength, chunks: chunks, bytes: bytes[...])
    }

    public init(codec: Block.Codec, rawLength: Int, chunks: [ChunkEntry], bytes: ArraySlice<UInt8>) {
        self.codec = codec
        self.rawLength = rawLength
        self.chunks = chunks
        self.bytes = bytes
    }

    /// As a segment holds it.
    public var record: BlockRecord { BlockRecord(codec: codec, rawLength: rawLength, chunks: chunks, bytes: bytes) }
}
