internal import HansaContent
internal import HansaCore
internal import HansaSync
internal import Synchronization

/// What all connections of one store share: values of committed transactions, each with the version it belongs to.
final class SharedState: Sendable {
    private struct Values {
        var names = KnownNames()
        var policy: (version: Int64, state: PolicyState)?
        var logFault: String?
        var moved = MovedPlaces()
        var traced: [Digest]?
        var condemned: Set<ChunkKey> = []
        var revived: Set<ChunkKey> = []
        var keptPolicy: Int64?
        var chunkRemovals: UInt64 = 0
        var waitingArchive: (number: UInt64, digest: Digest, places: [ContentLocation])?
    }

    private let values = Mutex(Values())

    var names: KnownNames { values.withLock { $0.names } }

    func learn(_ names: KnownNames) {
        values.withLock { values in
            // Transactions end in any order; the larger value knows more, and what a smaller one adds is found again by a query.
            if names.count > values.names.count { values.names = names }
        }
    }

    func policy(version: Int64) -> PolicyState? {
        values.withLock { values in
            guard let held = values.policy, held.version == version else { return nil }
            return held.state
        }
    }

    /// Keeps the value unless a newer one is held.
    func offer(_ policy: PolicyState, version: Int64) {
        values.withLock { values in
            if let held = values.policy, held.version > version { return }
            values.policy = (version, policy)
        }
    }

    // MARK: Collection

    /// Where records are that collection moved.
    var moved: MovedPlaces {
        get { values.withLock { $0.moved } }
        set { values.withLock { $0.moved = newValue } }
    }

    /// Releases that were given content since tracing began, also by transactions that were not committed.
    var traced: [Digest]? {
        get { values.withLock { $0.traced } }
        set { values.withLock { $0.traced = newValue } }
    }

    func trace(_ release: Digest) { values.withLock { $0.traced?.append(release) } }

    /// Chunks that go soon unless a release comes to need them: who looks what it need not fetch does not count on them.
    var condemned: Set<ChunkKey> { values.withLock { $0.condemned } }

    /// All but those that came again.
    func condemn(_ chunks: Set<ChunkKey>) {
        values.withLock { $0.condemned = $0.revived.isEmpty ? chunks : chunks.subtracting($0.revived) }
    }

    /// Condemned chunks that came again, after the commit of the transaction that brought them: their rows count as new ones.
    func revive(_ chunks: Set<ChunkKey>) {
        values.withLock {
            $0.revived.formUnion(chunks)
            $0.condemned.subtract(chunks)
        }
    }

    func isRevived(_ chunk: ChunkKey) -> Bool { values.withLock { $0.revived.contains(chunk) } }

    /// Those that came again since the last call.
    func takeRevived() -> Set<ChunkKey> {
        values.withLock { values in
            defer { values.revived = [] }
            return values.revived
        }
    }

    var chunkRemovals: UInt64 { values.withLock { $0.chunkRemovals } }
    func countChunkRemoval() { values.withLock { $0.chunkRemovals += 1 } }

    /// The version of the policy that stands in the segments too.
    var keptPolicy: Int64? {
        get { values.withLock { $0.keptPolicy } }
        set { values.withLock { $0.keptPolicy = newValue } }
    }

    /// An archive that stands in the segments and in no row yet.
    var waitingArchive: (number: UInt64, digest: Digest, places: [ContentLocation])? {
        get { values.withLock { $0.waitingArchive } }
        set { values.withLock { $0.waitingArchive = newValue } }
    }

    /// Why nothing may be logged any more.
    var logFault: String? { values.withLock { $0.logFault } }
    func setLogFault(_ reason: String) { values.withLock { $0.logFault = $0.logFault ?? reason } }
}

/// A chunk of a city, by the first eight bytes of its id: two that agree in them are taken for one, and both are kept.
struct ChunkKey: Hashable, Sendable {
    let city: Int64
    let prefix: UInt64

    init(city: Int64, _ id: Digest) {
        self.city = city
        prefix = id.prefix
    }
}

extension Digest {
    var prefix: UInt64 { withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) } }
}
