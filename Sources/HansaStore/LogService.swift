// The transparency log of a node: entries are committed with what they record (`MetadataWriting.log`), and this carries them into the log's
// files, signs checkpoints, and reads and verifies what is there.
//
//   init ─▶ advance, advance, … ─▶ close          one caller at a time gets through; the others wait
//        └▶ entry, entries, checkpoint           from any thread, also while the log grows
//        └▶ verify                               holds the log still
//
// When the files cannot be written there are two ends. A full disk: nothing is lost, entries wait in the table, and the next `advance` opens
// the log anew. Anything else, a failed fsync before all: the store takes no more changes, `onFatal` is told, and the process must end.
public import HansaCore
public import HansaLog
internal import HansaSync
internal import Synchronization

public final class LogService: Sendable {
    private let store: SQLiteStore
    private struct Signing {
        var signer: LogSigner
        var former: [VerifierKey]
    }
    private let signing: Mutex<Signing>
    private let onFatal: @Sendable (any Error) -> Void
    private let sequencer: Mutex<LogSequencer?>
    /// Where the log lies and how far it has come: a reader takes both at once.
    private struct Standing {
        var storage: any TileStorage
        var checkpoint: SignedCheckpoint
    }
    private let current: Mutex<Standing>
    private var storage: any TileStorage { current.withLock { $0.storage } }

    private static let batchEntries = 1000
    private static let closingRoundsMax = 100

    private let isClosed = Mutex(false)

    /// Opens the log and finishes what a crash left: entries that are committed and not tiled wait for the first `advance`.
    ///
    /// Throws `LogFault` when checkpoint, tiles and table contradict each other: the node must not start. `former` are log keys from before a
    /// rotation under the same origin.
    public init(
        store: SQLiteStore, storage: any TileStorage, signer: LogSigner, former: [VerifierKey] = [],
        onFatal: @escaping @Sendable (any Error) -> Void
    ) throws {
        self.store = store
        signing = Mutex(Signing(signer: signer, former: former))
        self.onFatal = onFatal
        let opened = try LogSequencer.open(storage: storage, signer: signer, former: former, table: store.pendingTable())
        current = Mutex(Standing(storage: storage, checkpoint: opened.checkpoint))
        sequencer = Mutex(opened)
        try indexMissing()
    }

    /// The last signed checkpoint: durable, and what the log's files stand for.
    public var checkpoint: SignedCheckpoint { current.withLock { $0.checkpoint } }

    /// Entries committed, tiled or not.
    public var size: TreeSize { get throws { TreeSize(try store.pendingTable().next.value) } }

    /// The same over a directory that exists, `HomePaths.log`.
    public convenience init(
        store: SQLiteStore, directory: String, signer: LogSigner, former: [VerifierKey] = [],
        onFatal: @escaping @Sendable (any Error) -> Void
    ) throws {
        try self.init(
            store: store, storage: FileTileStorage(disk: PosixDisk(root: directory)), signer: signer, former: former,
            onFatal: onFatal)
    }

    // MARK: Growing

    /// Advances a last time. Entries that are committed later wait in the table until the log is opened again.
    public func close() throws {
        let wasClosed = isClosed.withLock { isClosed in
            defer { isClosed = true }
            return isClosed
        }
        if !wasClosed { try advance() }
    }

    /// Tiles every committed entry and signs a checkpoint over them, durable when it returns; with nothing new it returns the last one.
    /// Blocks on fsync. Called after commits, not for each of them: a checkpoint costs a handful of fsyncs however many entries it covers.
    @discardableResult
    public func advance() throws -> SignedCheckpoint {
        try sequencer.withLock { try advance(&$0) }
    }

    private func advance(_ held: inout LogSequencer?) throws -> SignedCheckpoint {
        if held == nil { held = try open() }
        let pending = PendingSequence(store)
        let signed: SignedCheckpoint
        do throws(LogFault) {
            guard let grown = try held?.sequence(pending) else { preconditionFailure("just opened") }
            signed = grown
        } catch {
            try stop(error, &held)
        }
        current.withLock { $0.checkpoint = signed }
        // A crash here leaves bodies that are in the log too; the next start compares them and drops them.
        if try store.pendingTable().first.map(signed.size.contains) == true { try store.dropPending(below: signed.size) }
        if let fault = pending.fault { throw fault }
        return signed
    }

    private func open() throws -> LogSequencer {
        let (signer, former) = signing.withLock { ($0.signer, $0.former) }
        return try LogSequencer.open(storage: storage, signer: signer, former: former, table: store.pendingTable())
    }

    /// Closes this log and goes on with a new one, which must be empty, under another name.
    ///
    /// `commit` is given the closing checkpoint and makes the one transaction that calls `beginLog` and logs what the new log begins with; false
    /// when entries came in between: they are carried on first. A crash before that transaction changes nothing, one after it leaves a new log that
    /// has no files yet, which the next start makes.
    public func succeed(
        by signer: LogSigner, in storage: any TileStorage, commit: (_ closing: SignedCheckpoint) throws -> Bool
    ) throws {
        guard try storage.read(TileFile.checkpointPath) == nil else {
            throw StoreFault.logUnavailable("there is a log \(signer.origin) already")
        }
        try sequencer.withLock { held in
            var closing = try advance(&held)
            precondition(signer.origin != closing.checkpoint.origin, "a log that follows has a name of its own")
            var rounds = 0
            while try !commit(closing) {
                rounds += 1
                guard rounds < LogService.closingRoundsMax else {
                    throw StoreFault.logUnavailable("entries come faster than the log can be closed")
                }
                closing = try advance(&held)
            }
            signing.withLock { $0 = Signing(signer: signer, former: []) }
            // The database is in the new log: nothing may go into the old one, whatever fails from here on.
            current.withLock { $0.storage = storage }
            held = nil
            do { try reopen(&held) } catch {
                store.refuseWrites(because: "\(error)")
                onFatal(error)
                throw error
            }
        }
    }

    private func reopen(_ held: inout LogSequencer?) throws {
        let opened = try open()
        current.withLock { $0.checkpoint = opened.checkpoint }
        held = consume opened
    }

    /// From now on this key signs checkpoints, the last one anew; the origin stays. The keyring that names the key is durable: a crash before the
    /// new checkpoint leaves one of the former key, which the next start takes and signs again.
    public func rotate(to signer: LogSigner) throws {
        try sequencer.withLock { held in
            signing.withLock { signing in
                precondition(signer.origin == signing.signer.origin, "a log keeps its origin")
                guard signer.verifierKey != signing.signer.verifierKey else { return }
                signing.former.append(signing.signer.verifierKey)
                signing.signer = signer
            }
            held = nil
            try reopen(&held)
        }
    }

    private func stop(_ fault: LogFault, _ held: inout LogSequencer?) throws -> Never {
        if case .storage(_, let cause as DiskFault) = fault, case .noSpace(_, _, let missing) = cause {
            held = nil
            throw StoreFault.diskFull(bytesMissing: missing > 0 ? missing : nil)
        }
        store.refuseWrites(because: fault.description)
        onFatal(fault)
        throw StoreFault.logUnavailable(fault.description)
    }

    // MARK: Reading

    /// The bytes of one entry, tiled or pending; nil when the log has fewer.
    public func bytes(at index: LeafIndex) throws -> [UInt8]? { try entries(from: index, count: 1).first?.bytes }

    /// One entry; nil when the log has fewer.
    public func entry(at index: LeafIndex) throws -> LogEntry? { try bytes(at: index).map { try decode($0, index) } }

    /// Entries from `index` on, at most `count`, in order and without a gap, as they were hashed; fewer only at the end of the log.
    public func entries(from index: LeafIndex, count: Int) throws -> [(index: LeafIndex, bytes: [UInt8])] {
        var result: [(index: LeafIndex, bytes: [UInt8])] = []
        result.reserveCapacity(min(count, LogService.batchEntries))
        while result.count < count {
            let next = LeafIndex(index.value + UInt64(result.count))
            let standing = current.withLock { $0 }
            let tiled = standing.checkpoint.size
            if tiled.contains(next) {
                let end = min(tiled.value, next.value + UInt64(count - result.count))
                try readTiled(next.value..<end, standing) { result.append(($0, $1)) }
                continue
            }
            let pending = try store.pendingEntries(from: next, count: min(count - result.count, LogService.batchEntries))
            // Tiled and dropped since the checkpoint was read: look again. Nothing there either: the end.
            guard pending.first?.index == next else {
                if checkpoint.size > tiled { continue }
                guard pending.isEmpty else { throw StoreFault.damaged("the database has lost log entry \(next)") }
                break
            }
            for entry in pending { result.append((entry.index, entry.bytes)) }
        }
        return result
    }

    private func readTiled(_ range: Range<UInt64>, _ standing: Standing, _ take: (LeafIndex, [UInt8]) -> Void) throws {
        var reader = LogReader(storage: standing.storage, size: standing.checkpoint.size)
        var taken = range.lowerBound
        while taken < range.upperBound {
            let index = LeafIndex(taken)
            do {
                take(index, try reader.entry(at: index))
                taken += 1
            } catch LogFault.damaged(let path, let why) {
                // A partial tile goes two checkpoints later: with a newer checkpoint it is no damage.
                guard let newer = grownReader(of: standing, after: reader.size) else {
                    throw LogFault.damaged(path: path, why: why)
                }
                reader = newer
            }
        }
    }

    /// Nil when the log has not grown since, or another took its place.
    private func grownReader(of standing: Standing, after size: TreeSize) -> LogReader? {
        let now = current.withLock { $0 }
        guard now.checkpoint.size > size, now.checkpoint.checkpoint.origin == standing.checkpoint.checkpoint.origin else {
            return nil
        }
        return LogReader(storage: now.storage, size: now.checkpoint.size)
    }

    /// The entries that match, in order, from `from` on, at most `limit`. Found by the index; each is read and checked.
    public func entries(matching query: LogQuery, from: LeafIndex = 0, limit: Int) throws -> [LogEntry] {
        var found: [LogEntry] = []
        var next = from
        while found.count < limit {
            let indices = try store.indices(matching: query, from: next, limit: LogService.batchEntries)
            for run in LogService.runs(of: indices) {
                for (index, bytes) in try entries(from: LeafIndex(run.lowerBound), count: run.count) {
                    let entry = try decode(bytes, index)
                    if query.matches(entry) { found.append(entry) }
                    if found.count == limit { return found }
                }
            }
            guard indices.count == LogService.batchEntries, let last = indices.last else { break }
            next = LeafIndex(last.value + 1)
        }
        return found
    }

    private static func runs(of indices: [LeafIndex]) -> [Range<UInt64>] {
        var runs: [Range<UInt64>] = []
        for index in indices {
            if let last = runs.last, last.upperBound == index.value {
                runs[runs.count - 1] = last.lowerBound..<(index.value + 1)
            } else {
                runs.append(index.value..<(index.value + 1))
            }
        }
        return runs
    }

    private func decode(_ bytes: [UInt8], _ index: LeafIndex) throws -> LogEntry {
        do { return try LogEntry(bytes) } catch { throw StoreFault.damaged("log entry \(index): \(error)") }
    }

    /// The last checkpoint, and what proves that it continues the log of `old` entries. Traps when the log never had as many.
    public func proof(from old: TreeSize) throws -> (checkpoint: SignedCheckpoint, proof: [Digest]) {
        while true {
            let standing = current.withLock { $0 }
            precondition(old <= standing.checkpoint.size, "a log of \(standing.checkpoint.size) cannot prove from \(old)")
            var reader = LogReader(storage: standing.storage, size: standing.checkpoint.size)
            do throws(LogFault) {
                return (
                    standing.checkpoint, old.isEmpty ? [] : try reader.consistencyProof(from: old, to: standing.checkpoint.size)
                )
            } catch {
                // A partial tile goes two checkpoints later.
                guard grownReader(of: standing, after: standing.checkpoint.size) != nil else { throw error }
            }
        }
    }

    /// The root of the log when it had `size` entries; at most as many as the last checkpoint counts.
    public func root(at size: TreeSize) throws -> Digest {
        while true {
            let standing = current.withLock { $0 }
            var reader = LogReader(storage: standing.storage, size: standing.checkpoint.size)
            do throws(LogFault) { return try reader.root(at: size) } catch {
                guard grownReader(of: standing, after: standing.checkpoint.size) != nil else { throw error }
            }
        }
    }

    // MARK: Verifying

    /// Computes the whole log again from its entries and compares every file, the entries that wait in the table, and the checkpoints that the
    /// caller knows (their signatures verified). Reads all of the log; growth waits meanwhile.
    public func verify(against known: [Checkpoint] = [], witnesses: [VerifierKey] = []) throws -> LogReport {
        try sequencer.withLock { _ in
            let pending = PendingSequence(store)
            let (signer, former) = signing.withLock { ($0.signer, $0.former) }
            let report = LogVerifier.verify(
                storage, key: signer.verifierKey, former: former, witnesses: witnesses, pending: pending, known: known)
            if let fault = pending.fault { throw fault }
            return report
        }
    }

    // MARK: Index

    /// Makes the index of queries again from the log.
    public func rebuildIndex() throws {
        try store.clearLogIndex()
        try indexMissing()
    }

    /// Indexes what is tiled and not indexed: after a rebuild, or where the database was restored.
    private func indexMissing() throws {
        while let first = try store.firstUnindexed() {
            let end = try store.pendingTable().first?.value ?? checkpoint.size.value
            let count = min(LogService.batchEntries, Int(clamping: end - min(end, first.value)))
            let batch = try entries(from: first, count: count)
            guard !batch.isEmpty else { return }
            try store.insertIndex(batch.map { try decode($0.bytes, $0.index) })
        }
    }
}

/// The pending table as a sequence that holds one batch in memory. A fault of the database ends it, and stands in `fault` then.
private final class PendingSequence: Sequence, IteratorProtocol {
    private let store: SQLiteStore
    private var batch: [PendingEntry] = []
    private var position = 0
    private var next64: UInt64 = 0
    private(set) var fault: (any Error)?

    private static let batchEntries = 1000

    init(_ store: SQLiteStore) { self.store = store }

    func next() -> PendingEntry? {
        if position == batch.count {
            guard fault == nil else { return nil }
            do { batch = try store.pendingEntries(from: LeafIndex(next64), count: PendingSequence.batchEntries) } catch {
                fault = error
                return nil
            }
            position = 0
            guard let last = batch.last else { return nil }
            next64 = last.index.value + 1
        }
        defer { position += 1 }
        return batch[position]
    }
}
