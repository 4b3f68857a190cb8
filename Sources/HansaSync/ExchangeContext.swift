public import HansaCore
public import HansaCrypto
internal import HansaDocuments
internal import Synchronization

/// Whose signature releases and receipts carry now: the version of our keyring in force, and the package key of that version. One value for all
/// sessions, exchanged while they run.
public final class SigningIdentity: Sendable {
    public struct Current: Sendable {
        public let keyring: Int
        public let packageKey: Ed25519PrivateKey

        public init(keyring: Int, packageKey: Ed25519PrivateKey) {
            self.keyring = keyring
            self.packageKey = packageKey
        }
    }

    private let value: Mutex<Current>

    public init(_ current: Current) { value = Mutex(current) }

    /// Read once for a document: its version and its key belong together.
    public var current: Current { value.withLock { $0 } }

    /// The keyring that names them is durable.
    public func replace(_ current: Current) { value.withLock { $0 = current } }
}

/// What every part of the exchange works with: who we are, and where rows and bytes lie.
public struct ExchangeContext: Sendable {
    public let own: CityID
    public let signing: SigningIdentity
    public let metadata: any MetadataStore
    public let content: any ContentStore
    public let random: any RandomSource
    /// Randomness for what one view's partner will see (feed keys, transfer numbers). In a node it is `random`; in a simulation each view has a
    /// source of its own, so that what other views did cannot show in it.
    public let randomOfView: @Sendable (Digest) -> any RandomSource
    public var limits: ExchangeLimits
    /// Shared by all sessions of the node.
    public let refusals: RefusalMerger
    /// Shared by all sessions of the node.
    public let changeBudget: ChangeBudget
    /// A lane for each session that receives content.
    public let makeLane: @Sendable () -> any WorkLane
    /// Shared by all sessions of the node.
    public let repairs: RepairGate
    /// Shared by all readers of content in the node.
    public let damage: DamageNotes

    public init(
        own: CityID, signing: SigningIdentity, metadata: any MetadataStore, content: any ContentStore, random: any RandomSource,
        limits: ExchangeLimits = ExchangeLimits(), refusals: RefusalMerger = RefusalMerger(),
        changeBudget: ChangeBudget = ChangeBudget(),
        repairs: RepairGate = RepairGate(), damage: DamageNotes = DamageNotes(),
        randomOfView: (@Sendable (Digest) -> any RandomSource)? = nil,
        makeLane: @escaping @Sendable () -> any WorkLane = { SameThreadLane() }
    ) {
        self.own = own
        self.signing = signing
        self.metadata = metadata
        self.content = content
        self.random = random
        self.randomOfView = randomOfView ?? { _ in random }
        self.makeLane = makeLane
        self.limits = limits
        self.refusals = refusals
        self.changeBudget = changeBudget
        self.repairs = repairs
        self.damage = damage
    }
}

/// Bounds of one session (SYNC.md §7).
public struct ExchangeLimits: Sendable {
    /// Content bytes a partner may have under way to us before we grant more.
    public var contentCreditBytes = 8 * 1024 * 1024
    /// Raw bytes of chunks asked for and not yet here.
    public var contentAskedBytesMax = 32 * 1024 * 1024
    public var releaseAsksMax = 4
    public var indexAsksMax = 4
    /// Chunks and bitmap become durable at least this often while a transfer runs.
    public var flushBytes = 64 * 1024 * 1024
    public var flushMilliseconds: Int64 = 5000
    public var commitReleasesMax = Limits.batchReleasesMax
    /// How long a release that is complete waits for a fuller batch.
    public var settledMillisecondsMax: Int64 = 250
    /// Content asks a partner may queue with us, in runs.
    public var queuedRunsMax = 16 * 1024
    /// A release issued this far ahead of our clock is parked until due.
    public var aheadMillisecondsMax: Int64 = 10 * 60 * 1000
    /// Offered releases that a session may have neither committed nor refused, over all views.
    public var outstandingMax = 1 << 18
    /// Ids of one view that is told again from its beginning.
    public var listedMax = 1 << 22
    /// Changes of a partner's that cost it nothing (`ChangeBudget`): so many at once, and so many in each second after.
    public var idleChangesMax = 1 << 17
    public var idleChangesPerSecond = 10
    /// Pages of a feed in one answer; the recipient asks for more when it has committed them.
    public var feedPagesMax = 16
    /// Index bytes in memory over all transfers of a session; one larger transfer runs alone.
    public var indexBytesMax = 64 * 1024 * 1024
    /// Release documents in memory over all transfers of a session: beyond it no further ones are asked for.
    public var documentBytesMax = 16 * 1024 * 1024
    public var transfersMax = 4096
    /// Releases of so many bytes and less are asked for index and content together. 0: none, as partners of a simplest node have it; a node of
    /// ours sets `Limits.smallReleaseBytesMax`.
    public var smallReleaseBytesMax = 0
    /// What one call may read, unpack or compare for its answers, beside what goes out as it lies: in bytes, and a little for each frame. It takes up
    /// nothing more after that; the rest is for the next call, and for the state of the rows then.
    public var effortBytesMax = 8 * 1024 * 1024
    /// Index asks a partner may queue with us.
    public var queuedIndexAsksMax = 4096

    public init() {}
}

/// Why a session must end. A protocol fault is the peer's; a store fault is ours.
public enum ExchangeFault: Error, Sendable {
    case peer(ProtocolFault)
    case store(any Error)
}

/// Views whose members changed, and whether agreements did: the shell tells the sessions concerned.
public struct ExchangeChanges: Sendable, Equatable {
    /// By recipient.
    public var views: [CityID: Set<Digest>] = [:]
    /// Partners with whom a policy epoch changed: they ask again.
    public var policies: Set<CityID> = []
    /// Partners for whom a document waits.
    public var outboxes: Set<CityID> = []
    /// Cities whose keyring changed, or that have heard of ours: pins are looked at again.
    public var keyrings: Set<CityID> = []

    public init() {}
    public var isEmpty: Bool { views.isEmpty && policies.isEmpty && outboxes.isEmpty && keyrings.isEmpty }
    public mutating func formUnion(_ other: ExchangeChanges) {
        views.merge(other.views) { $0.union($1) }
        policies.formUnion(other.policies)
        outboxes.formUnion(other.outboxes)
        keyrings.formUnion(other.keyrings)
    }
}
