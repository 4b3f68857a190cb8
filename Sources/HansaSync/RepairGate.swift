internal import HansaCore
internal import HansaCrypto
internal import Synchronization

/// What repair shares over all sessions of a node: how many run, how often they begin, and whose rows were counted since the start (SYNC.md §3).
public final class RepairGate: Sendable {
    /// Each holds the records of a whole view: 56 bytes a member while it begins, 40 after.
    public static let repairsMax = 4

    /// Repairs of one view that may begin one after another, and how long it takes until one more may. Each reads all of the view (1 to 2 s for 10^6
    /// members), and a partner begins one by a frame of 90 bytes, in this session or the next.
    public static let beginsMax = 4
    public static let beginMilliseconds: Int64 = 10_000

    private struct State {
        var running = 0
        /// By view, when all that it may begin is to its credit again.
        var full: [Digest: Timestamp] = [:]
        var counted: Set<Digest> = []
    }

    /// One of the places; it is free again when this goes.
    public final class Permit: Sendable {
        private let gate: RepairGate
        fileprivate init(_ gate: RepairGate) { self.gate = gate }
        deinit { gate.state.withLock { $0.running -= 1 } }
    }

    private let state = Mutex(State())

    public init() {}

    /// Nil when all places are taken: the view is told from its beginning then, which needs no memory.
    public func enter() -> Permit? {
        let isFree = state.withLock { state in
            guard state.running < RepairGate.repairsMax else { return false }
            state.running += 1
            return true
        }
        return isFree ? Permit(self) : nil
    }

    /// Whether a repair of this view may begin now. True counts as one.
    ///
    /// A clock that goes back makes nobody wait longer than for all of them.
    func mayBegin(_ view: Digest, at now: Timestamp) -> Bool {
        let most = Int64(RepairGate.beginsMax) * RepairGate.beginMilliseconds
        return state.withLock { state in
            if state.full.count >= RepairGate.viewsMax { state.full = state.full.filter { $0.value > now } }
            let full = min(max(state.full[view] ?? now, now), now.adding(milliseconds: most))
            let next = full.adding(milliseconds: RepairGate.beginMilliseconds)
            guard next <= now.adding(milliseconds: most) else { return false }
            state.full[view] = next
            return true
        }
    }
    /// Of so many it is looked whether they are still needed.
    private static let viewsMax = 1024

    /// True once for each view, so that its rows are compared with its digest once after each start: a database that lost rows, or was put
    /// back from a backup, is found then, and not at every session.
    func isFirstLook(_ view: Digest) -> Bool { state.withLock { $0.counted.insert(view).inserted } }
}

/// The secret of a session from which the keys of its repairs are made: both sides have it, and nobody who writes ids.
public struct RepairSecret: Sendable {
    /// TLS exporter (RFC 8446 §7.5): this label, the dialler's nonce and the acceptor's as context, 32 bytes.
    public static let label = "hansa/recon/1"
    public static let byteCount = 32

    private let bytes: [UInt8]

    /// Traps on another length than 32.
    public init(_ bytes: [UInt8]) {
        precondition(bytes.count == RepairSecret.byteCount, "a repair secret has \(RepairSecret.byteCount) bytes")
        self.bytes = bytes
    }

    /// The first 16 bytes of HMAC-SHA-256 of the view id.
    func key(of view: Digest) -> [UInt8] {
        Array(HMACSHA256.authenticate(view.bytes, key: bytes).bytes.prefix(DigestTags.keyByteCount))
    }
}

extension MemberSet {
    /// Up to so many members a set is made anew at a node's start and compared; above, only counted (a lift costs 3.5 µs).
    static let checkedWholeMax = 4096

    /// The set that the rows say.
    init(_ each: ((Digest, UInt8) -> Void) throws -> Void) rethrows {
        var set = MemberSet()
        try each { set.insert(MemberSet.memberID(release: $0, level: $1)) }
        self = set
    }

    /// Whether this set is that of `count` rows, as far as it is worth looking.
    func agrees(withRows count: Int, _ each: ((Digest, UInt8) -> Void) throws -> Void) rethrows -> Bool {
        guard UInt64(count) == self.count else { return false }
        return try count > MemberSet.checkedWholeMax || MemberSet(each) == self
    }
}
