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
    /// Threads inside a body: a store on disk is not reentrant, so this one is not either. The first has a place of its own.
    private let only = Atomic<UInt>(0)
    private let inside = Mutex<[UInt]>([])

    private struct Shared: Sendable {
        var reading: MemoryReading
        var commitFault: StoreFault?
        var hasCrashed = false
        var commits: UInt64 = 0
        var chunkRemovals: UInt64 = 0
    }

    public convenience init(random: any RandomSource) { self.init(random: random, state: MemoryState()) }

    private init(random: any RandomSource, state: MemoryState) {
        self.random = random
        shared = Mutex(Shared(reading: MemoryReading(state)))
    }

    public func read<T>(_ body: (any MetadataReading) throws -> T) throws -> T {
        try alone { try body(reading()) }
    }

    public func write<T>(at now: Timestamp, _ body: (any MetadataWriting) throws -> T) throws -> T {
        try alone { try transaction(at: now, body) }
    }

    private func transaction<T>(at now: Timestamp, _ body: (any MetadataWriting) throws -> T) throws -> T {
        writer.lock()
        defer { writer.unlock() }
        let state = try reading().beginning
        let writing = MemoryWriting(state, at: try TransactionTime.at(now, after: state.lastLogTime), random: random)
        let result = try body(writing)
        try commit(writing.state, hasLostChunks: writing.hasLostChunks)
        return result
    }

    private func alone<T>(_ body: () throws -> T) rethrows -> T {
        let thread = UInt(pthread_self())
        precondition(only.load(ordering: .relaxed) != thread, "a body of read or write called the store again")
        if only.compareExchange(expected: 0, desired: thread, ordering: .acquiring).exchanged {
            defer { only.store(0, ordering: .releasing) }
            return try body()
        }
        let isFirst = inside.withLock { inside in
            defer { inside.append(thread) }
            return !inside.contains(thread)
        }
        precondition(isFirst, "a body of read or write called the store again")
        defer { inside.withLock { inside in inside.removeAll { $0 == thread } } }
        return try body()
    }

    private func reading() throws -> MemoryReading {
        try shared.withLock { shared in
            if shared.hasCrashed { throw StoreFault.inputOutput("this store crashed") }
            return shared.reading
        }
    }

    public var chunkRemovals: UInt64 { shared.withLock { $0.chunkRemovals } }

    private func commit(_ state: MemoryState, hasLostChunks: Bool) throws {
        try shared.withLock { shared in
            if shared.hasCrashed { throw StoreFault.inputOutput("this store crashed") }
            if let fault = shared.commitFault.take() { throw fault }
            shared.reading = MemoryReading(state)
            shared.commits += 1
            if hasLostChunks { shared.chunkRemovals += 1 }
        }
    }

    /// Everything, as of the last commit; and how many there were in this process.
    var contents: MemoryState { shared.withLock { $0.reading.state } }
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
            return shared.reading.state
        }
        return MemoryMetadataStore(random: random, state: state)
    }

    /// What a backup taken now would hold.
    public func backup() -> MemoryMetadataStore {
        MemoryMetadataStore(random: random, state: shared.withLock { $0.reading.state })
    }

    /// Rows that a damaged database no longer has; nothing else knows of it.
    public func lose(holding release: Digest, in view: Digest) { change { $0.holdings[view]?[release] = nil } }
    public func lose(member release: Digest, in view: Digest) { change { $0.members[view]?[release] = nil } }

    private func change(_ body: (inout MemoryState) -> Void) {
        shared.withLock { shared in
            var state = shared.reading.state
            body(&state)
            shared.reading = MemoryReading(state)
        }
    }

    /// The log's entries as they were committed, by index.
    public var logEntries: [[UInt8]] { shared.withLock { $0.reading.state.log } }
}
