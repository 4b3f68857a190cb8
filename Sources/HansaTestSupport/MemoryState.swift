internal import HansaCore
internal import HansaDocuments
internal import HansaStore
internal import HansaSync

/// Everything a `MemoryMetadataStore` holds, as one value: a transaction changes its own copy.
struct MemoryState: Sendable {
    struct Member: Sendable {
        var row: MemberRow
    }

    struct Item: Hashable, Sendable {
        let view: Digest
        let release: Digest
    }

    struct Waiting: Hashable, Sendable {
        let partner: CityID
        let digest: Digest
    }

    var policy = PolicyState()
    var packages: [PackageID: PackageRow] = [:]
    var releases: [Digest: ReleaseRow] = [:]
    var releasesOfPackage: [PackageID: [Digest]] = [:]
    var disputes: [DisputeRow] = []
    var damages: [Digest: DamageRow] = [:]
    var lostChunks: [CityID: [Digest: ChunkLocation]] = [:]
    var chunks: [CityID: [Digest: ChunkLocation]] = [:]
    var published: [Digest: PublishedView] = [:]
    /// Also of views that were removed.
    var recipients: [Digest: CityID] = [:]
    var members: [Digest: [Digest: Member]] = [:]
    var subscribed: [Digest: SubscribedView] = [:]
    var holdings: [Digest: [Digest: HoldingRow]] = [:]
    var transfers: [Item: TransferRow] = [:]
    var receipts: [Digest: ContentLocation] = [:]
    /// In order of id.
    var outbox: [OutboxRow] = []
    var outboxLast: Int64 = 0
    var outboxKnown: Set<Waiting> = []
    var directories: [String: SnapshotRow] = [:]
    var values: [String: [UInt8]] = [:]
    var log: [[UInt8]] = []
    var lastLogTime: Timestamp?
}
