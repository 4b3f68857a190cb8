// Metadata in dictionaries: the same contract as `SQLiteStore`, for tests of the exchange and for simulations. Deterministic: what it answers
// depends on nothing but the calls, the clock and the random source it was given.
internal import Foundation
public import HansaCore
public import HansaCrypto
internal import HansaStore
public import HansaSync
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#endif

public final class MemoryMetadataStore: MetadataStore {
    private let random: any RandomSource
    private let shared: Mutex<Shared>
    /// One transaction at a time; a read does not wait for it.
    private let writer = NSLock()
    /// Threads inside a body: a store on disk is not reentrant, so this one is not either.
    private let inside = Mutex<Set<UInt>>([])

    private struct Shared: Sendable {
        var state: MemoryState
        var commitFault: StoreFault?
        var hasCrashed = false
        var commits: UInt64 = 0
    }

    public convenience init(random: any RandomSource) { self.init(random: random, state: MemoryState()) }

    private init(random: any RandomSource, state: MemoryState) {
        self.random = random
        shared = Mutex(Shared(state: state))
    }

    public func read<T>(_ body: (any MetadataReading) throws -> T) throws -> T {
        try alone { try body(MemoryReading(state())) }
    }

    public func write<T>(at now: Timestamp, _ body: (any MetadataWriting) throws -> T) throws -> T {
        try alone { try transaction(at: now, body) }
    }

    private func transaction<T>(at now: Timestamp, _ body: (any MetadataWriting) throws -> T) throws -> T {
        writer.lock()
        defer { writer.unlock() }
        let state = try state()
        let writing = MemoryWriting(state, at: try TransactionTime.at(now, after: state.lastLogTime), random: random)
        let result = try body(writing)
        try commit(writing.state)
        return result
    }

    private func alone<T>(_ body: () throws -> T) rethrows -> T {
        let thread = UInt(pthread_self())
        let isFirst = inside.withLock { $0.insert(thread).inserted }
        precondition(isFirst, "a body of read or write called the store again")
        defer { _ = inside.withLock { $0.remove(thread) } }
        return try body()
    }

    private func state() throws -> MemoryState {
        try shared.withLock { shared in
            if shared.hasCrashed { throw StoreFault.inputOutput("this store crashed") }
            return shared.state
        }
    }

    private func commit(_ state: MemoryState) throws {
        try shared.withLock { shared in
            if shared.hasCrashed { throw StoreFault.inputOutput("this store crashed") }
            if let fault = shared.commitFault.take() { throw fault }
            shared.state = state
            shared.commits += 1
        }
    }

    /// Everything, as of the last commit; and how many there were in this process.
    var contents: MemoryState { shared.withLock { $0.state } }
    var commits: UInt64 { shared.withLock { $0.commits } }

    // MARK: Faults

    /// A store that holds this instead. The old one is gone, as after `crash`.
    func replaced(by state: MemoryState) -> MemoryMetadataStore {
        shared.withLock { $0.hasCrashed = true }
        return MemoryMetadataStore(random: random, state: state)
    }

    /// The next transaction that comes to its end throws this instead, and changes nothing.
    public func failNextCommit(with fault: StoreFault) { shared.withLock { $0.commitFault = fault } }

    /// What was to fail and has not come to it fails no more.
    func forgetFaults() { shared.withLock { $0.commitFault = nil } }

    /// The process that used this store is gone: every later call throws. What was committed is in the store that is returned.
    public func crash() -> MemoryMetadataStore {
        let state = shared.withLock { shared in
            shared.hasCrashed = true
            return shared.state
        }
        return MemoryMetadataStore(random: random, state: state)
    }

    /// What a backup taken now would hold.
    public func backup() -> MemoryMetadataStore { MemoryMetadataStore(random: random, state: shared.withLock { $0.state }) }

    /// Rows that a damaged database no longer has; nothing else knows of it.
    public func lose(holding release: Digest, in view: Digest) {
        shared.withLock { $0.state.holdings[view]?[release] = nil }
    }
    public func lose(member release: Digest, in view: Digest) {
        shared.withLock { $0.state.members[view]?[release] = nil }
    }

    /// The log's entries as they were committed, by index.
    public var logEntries: [[UInt8]] { shared.withLock { $0.state.log } }
}
