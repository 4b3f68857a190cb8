import HansaCore
import HansaCrypto
import HansaLog
import Synchronization

/// SplitMix64: the same numbers for the same seed on every machine.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    mutating func digest() -> Digest { Digest(next(), next(), next(), next()) }
}

/// Files in memory that keep the contract of `TileStorage`, also in a crash: at a chosen operation only a subset of its files is
/// changed, then everything fails until `restart`.
final class MemoryStorage: TileStorage {
    struct Crash: Error {}
    private struct State {
        var files: [String: [UInt8]] = [:]
        var operations: [Int] = []
        var crash: (operation: Int, subset: UInt64)?
        var isDead = false
        var rotting: String?
    }
    private let state = Mutex(State())

    init(_ files: [String: [UInt8]] = [:]) { state.withLock { $0.files = files } }

    var files: [String: [UInt8]] {
        get { state.withLock { $0.files } }
        set { state.withLock { $0.files = newValue } }
    }
    /// How many files each write or removal so far was about.
    var operations: [Int] { state.withLock { $0.operations } }

    /// The machine stops in operation number `operation`: of its files those whose bit is set in `subset` were changed.
    func crash(at operation: Int, subset: UInt64) { state.withLock { $0.crash = (operation, subset) } }
    /// From now on the disk keeps this file with one bit changed.
    func rot(_ path: String) { state.withLock { $0.rotting = path } }
    func restart() {
        state.withLock {
            $0.crash = nil
            $0.isDead = false
        }
    }

    func read(_ path: String) throws -> [UInt8]? {
        try state.withLock { state in
            if state.isDead { throw Crash() }
            return state.files[path]
        }
    }
    func write(_ files: [TileFile]) throws { try change(files.map { ($0.path, $0.bytes) }) }
    func remove(_ paths: [String]) throws { try change(paths.map { ($0, nil) }) }
    func forEachPath(_ body: (String) throws -> Void) throws { for path in files.keys.sorted().reversed() { try body(path) } }

    private func change(_ changes: [(String, [UInt8]?)]) throws {
        try state.withLock { state in
            if state.isDead { throw Crash() }
            let subset = state.crash.flatMap { $0.operation == state.operations.count ? $0.subset : nil }
            for (position, change) in changes.enumerated() where subset.map({ $0 >> UInt64(min(position, 63)) & 1 == 1 }) ?? true
            {
                state.files[change.0] = change.1
                if change.0 == state.rotting { state.files[change.0]?[4] ^= 1 }
            }
            state.operations.append(changes.count)
            if subset != nil {
                state.isDead = true
                throw Crash()
            }
        }
    }
}

/// The database's side of a log: what was committed, and how much of it was dropped.
struct Table {
    private(set) var bodies: [[UInt8]] = []
    private(set) var dropped = 0

    var state: PendingTable {
        PendingTable(first: dropped < bodies.count ? LeafIndex(UInt64(dropped)) : nil, next: LeafIndex(UInt64(bodies.count)))
    }
    var pending: [PendingEntry] {
        (dropped..<bodies.count).map { PendingEntry(index: LeafIndex(UInt64($0)), bytes: bodies[$0]) }
    }
    var root: Digest { MerkleTree.root(bodies.map { MerkleTree.leafHash($0) }) }
    mutating func commit(_ count: Int) { for _ in 0..<count { bodies.append(Sample.entry(bodies.count)) } }
    mutating func drop(below size: TreeSize) { dropped = max(dropped, Int(size.value)) }
}

enum Sample {
    static let key = signingKey(0)
    static let origin = "kitchener.ca/log"

    /// The key whose seed is 32 bytes counting up from `first`.
    static func signingKey(_ first: UInt8) -> Ed25519PrivateKey {
        do { return try Ed25519PrivateKey(seed: (0..<32).map { first + $0 }) } catch {
            preconditionFailure("a seed of 32 bytes is a key: \(error)")
        }
    }

    static func signer(_ first: UInt8 = 0) -> LogSigner {
        do { return try LogSigner(origin: origin, key: signingKey(first)) } catch {
            preconditionFailure("the origin is a name: \(error)")
        }
    }

    /// Made once: the crash tests write the same entries thousands of times.
    private static let first = (0..<1500).map { make($0) }
    static func entry(_ index: Int) -> [UInt8] { index < first.count ? first[index] : make(index) }

    private static func make(_ index: Int) -> [UInt8] {
        let entry = LogEntry(
            index: LeafIndex(UInt64(index)), time: Timestamp(milliseconds: 1_700_000_000_000 + Int64(index)),
            event: .releaseDelivered,
            actor: "node", transfer: [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: 16),
            salt: Array(SHA256.hash(Array("salt \(index)".utf8)).bytes.prefix(16)))
        do { return try entry.encoded() } catch { preconditionFailure("a small entry is not too long: \(error)") }
    }

    /// A log of `count` entries that grew in these steps, and its table.
    static func log(growing steps: [Int], storage: MemoryStorage = MemoryStorage()) throws -> (MemoryStorage, Table) {
        var table = Table()
        var sequencer = try LogSequencer.open(storage: storage, signer: signer(), table: table.state)
        for step in steps {
            table.commit(step)
            table.drop(below: try sequencer.sequence(table.pending).size)
        }
        return (storage, table)
    }
}
