// What the exchange asks of a metadata store: rows, not decisions. SQLite implements it in `HansaStore`, dictionaries do in `HansaTestSupport`;
// one suite of tests runs over both, and another engine (PostgreSQL) could stand here (DESIGN.md §8).
//
// All calls block. A write is one transaction: its rows and its log entries are durable together when `write` returns, or none of them is there.
// Calls inside a transaction see its own changes. Arrays come back in the order stated; nothing depends on hash order.
//
// Rows: `PackageRows`, `ViewRows`, `Partner`, `LogDraft`. Bytes: `ContentStore`.
public import HansaContent
public import HansaCore
public import HansaDocuments
public import HansaTerms

public protocol MetadataStore: Sendable {
    /// A consistent snapshot.
    func read<T>(_ body: (any MetadataReading) throws -> T) throws -> T

    /// One durable transaction. A writer may have waited for others: a `now` up to `TransactionTime.toleranceMilliseconds` before the last entry counts as
    /// that entry's time. `now` is the wall clock: the time of its log entries. Throws `StoreFault.clockBehind` when `now` lies
    /// before the last logged entry (SYNC.md §2), and `.logUnavailable` when the log cannot be written.
    @discardableResult
    func write<T>(at now: Timestamp, _ body: (any MetadataWriting) throws -> T) throws -> T

    /// Transactions of this process after which rows of chunks were gone: swept, or lost with a block. Counted after the commit and before the next
    /// transaction begins, so that within one it stands still. May be asked in a transaction.
    var chunkRemovals: UInt64 { get }
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
    /// In order of id.
    func outbox(to partner: CityID, after id: Int64, limit: Int) throws -> [OutboxRow]
    /// Of one lane, in order of id. Ends with the row by which the envelopes, in binary form, come to `bytes` or more.
    func outbox(to partner: CityID, _ lane: OutboxRow.Lane, after id: Int64, limit: Int, bytes: Int) throws -> [OutboxRow]
    /// Looks at all rows of the partner, not at their envelopes.
    func outboxExtent(to partner: CityID) throws -> OutboxExtent

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
    /// Takes the signatures of the city's officers, by the keyring that the agreement names for it, out of every envelope of it that is kept: they never counted.
    func dropSignatures(of city: CityID, on agreement: Digest) throws
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

    /// Puts a document on its way. One that waits for that partner already, with the same signatures, keeps its row and its place: what is due again and
    /// again, and never acknowledged, waits once. What was acknowledged since is put on its way again.
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
