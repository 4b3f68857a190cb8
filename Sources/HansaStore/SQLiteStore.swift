// Metadata in SQLite: one writer, readers with snapshots, everything of one transaction durable together (DESIGN.md §6).
//
//   read   a deferred transaction on one of the pool's connections: WAL gives it one state of the database from its first query to its last
//   write  BEGIN IMMEDIATE on the only writing connection; the log entries of the change are rows of the same transaction; COMMIT fsyncs
//          the WAL (`synchronous=FULL`), so what is committed survives a crash at the next instant
//
// Neither is reentrant: a body must not call `read` or `write` of the same store. Calls block their thread; they belong to no cooperative pool.
internal import CSQLite
internal import GRDB
public import HansaCore
public import HansaCrypto
public import HansaSync

#if canImport(Glibc)
    internal import Glibc
#endif

public final class SQLiteStore: MetadataStore {
    let database: any DatabaseWriter
    let shared = SharedState()
    private let random: any RandomSource
    private let onFatal: @Sendable (StoreFault) -> Void

    /// Pages of 4 KiB in the WAL before they are carried into the database: 16 MiB, a few batches of 1,000 releases.
    private static let walPages = 4000
    /// Negative: KiB. The writer looks up random keys of large tables; readers are several.
    private static let writerCache = -16 * 1024
    private static let readerCache = -4 * 1024
    /// Before the first connection of the process.
    private static let configured: Void = hansa_sqlite_keep_no_statistics()

    /// Opens or creates the database file. `random` salts the log's entries.
    ///
    /// `onFatal` is told of a failed fsync at a commit: what of the transaction is on disk is then unknown, and the process must end
    /// (FORMATS.md §11). It is expected not to return in production; the call then throws as well.
    public init(path: String, random: any RandomSource = SystemRandom(), onFatal: @escaping @Sendable (StoreFault) -> Void) throws
    {
        self.random = random
        self.onFatal = onFatal
        SQLiteStore.configured
        do {
            try SQLiteStore.makePrivate(path)
            let pool = try DatabasePool(path: path, configuration: SQLiteStore.configuration)
            database = pool
            try SQLiteStore.makeDurable(pool)
            try Schema.migrator.migrate(pool)
        } catch {
            throw StoreFault(error)
        }
    }

    /// A database in memory, gone with the store: for tests. Its reads wait for its writes.
    public init(inMemoryWith random: any RandomSource) throws {
        self.random = random
        onFatal = { _ in }
        SQLiteStore.configured
        do {
            database = try DatabaseQueue(configuration: SQLiteStore.configuration)
            try Schema.migrator.migrate(database)
        } catch {
            throw StoreFault(error)
        }
    }

    private static var configuration: Configuration {
        var configuration = Configuration()
        configuration.label = "hansa.sqlite"
        configuration.foreignKeysEnabled = false
        configuration.maximumReaderCount = 4
        // One process a home (its lock), so nobody else holds the database for long: a copy being made, an administrator's sqlite3.
        configuration.busyMode = .timeout(10)
        configuration.prepareDatabase { database in
            try database.execute(sql: "PRAGMA synchronous = FULL")
            try database.execute(sql: "PRAGMA cache_size = \(database.configuration.readonly ? readerCache : writerCache)")
            try database.execute(sql: "PRAGMA trusted_schema = OFF")
            if !database.configuration.readonly {
                try database.execute(sql: "PRAGMA wal_autocheckpoint = \(walPages)")
                try database.execute(sql: "PRAGMA journal_size_limit = \(4 * walPages * 4096)")
            }
        }
        return configuration
    }

    /// The home may be passed through by others (mode 0711), and SQLite would make a file that they can read. Its WAL gets the file's own mode.
    private static func makePrivate(_ path: String) throws(StoreFault) {
        // An existing file is never opened here: closing a descriptor of it would end the locks of every connection of this process.
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        if descriptor >= 0 {
            Glibc.close(descriptor)
        } else if errno != EEXIST || chmod(path, 0o600) != 0 {
            throw .inputOutput("cannot open \(path): \(strerror(errno).map { String(cString: $0) } ?? "error \(errno)")")
        }
    }

    /// GRDB 7 sets `synchronous=NORMAL` on the writer when it turns WAL on, after `prepareDatabase`: a commit would then be lost with the power.
    /// FULL is set again here and asked back, on the one connection that ever writes.
    private static func makeDurable(_ pool: DatabasePool) throws {
        try pool.writeWithoutTransaction { database in
            try database.execute(sql: "PRAGMA synchronous = FULL")
            let level = try Int.fetchOne(database, sql: "PRAGMA synchronous")
            let mode = try String.fetchOne(database, sql: "PRAGMA journal_mode")
            guard level == 2, mode == "wal" else {
                throw StoreFault.damaged(
                    "the database runs with synchronous=\(level ?? -1), journal_mode=\(mode ?? "?") instead of 2 and wal")
            }
        }
    }

    // MARK: MetadataStore

    public func read<T>(_ body: (any MetadataReading) throws -> T) throws -> T {
        do {
            return try database.read { database in
                let reading = SQLiteReading(database, shared)
                defer { shared.learn(reading.names) }
                return try body(reading)
            }
        } catch let error as DatabaseError {
            throw StoreFault(error)
        }
    }

    public func write<T>(at now: Timestamp, _ body: (any MetadataWriting) throws -> T) throws -> T {
        if let reason = shared.logFault { throw StoreFault.logUnavailable(reason) }
        return try transaction { database in
            let writing = try SQLiteWriting(database, shared, at: now, random: random)
            let result = try body(writing)
            let version = try writing.finish()
            return (
                result,
                {
                    self.shared.learn(writing.names)
                    if !writing.revived.isEmpty { self.shared.revive(writing.revived) }
                    if writing.hasLostChunks { self.shared.countChunkRemoval() }
                    if let version, let policy = writing.currentPolicy { self.shared.offer(policy, version: version) }
                }
            )
        }
    }

    public var chunkRemovals: UInt64 { shared.chunkRemovals }

    /// One immediate transaction. What `body` returns second runs after the commit, before the next transaction begins.
    func transaction<T>(_ body: (Database) throws -> (T, committed: () -> Void)) throws -> T {
        do {
            return try database.writeWithoutTransaction { database in
                var outcome: (T, committed: () -> Void)?
                try database.inTransaction(.immediate) {
                    outcome = try body(database)
                    return .commit
                }
                // A crash from here on loses nothing: the WAL is on disk.
                guard let outcome else { preconditionFailure("a committed transaction has an outcome") }
                outcome.committed()
                return outcome.0
            }
        } catch let error as DatabaseError {
            let fault = StoreFault(error)
            // After a failed fsync the kernel may have dropped the pages it could not write: a second attempt proves nothing.
            if error.extendedResultCode == .SQLITE_IOERR_FSYNC || error.extendedResultCode == .SQLITE_IOERR_DIR_FSYNC {
                onFatal(fault)
            }
            throw fault
        }
    }

    /// From now on every `write` throws `.logUnavailable`: the log was found broken, or could not be written.
    public func refuseWrites(because reason: String) { shared.setLogFault(reason) }

    /// The `synchronous` setting and journal mode of the writing connection, as SQLite tells them: 2 and `wal` on a file.
    public func durability() throws -> (synchronous: Int, journalMode: String) {
        do {
            return try database.writeWithoutTransaction { database in
                (
                    try Int.fetchOne(database, sql: "PRAGMA synchronous") ?? -1,
                    try String.fetchOne(database, sql: "PRAGMA journal_mode") ?? ""
                )
            }
        } catch {
            throw StoreFault(error)
        }
    }

    /// For `SegmentStore.open`: up to where each segment must be whole, by what committed rows name. In a database that names no record at all,
    /// every answer is `.unknown`: it is new, or the old one was lost, and nothing of the segments may be thrown away.
    public func durableMarks() throws -> @Sendable (UInt32) -> SegmentStore.DurableMark {
        let marks = try segmentEnds()
        return { segment in marks.isEmpty ? .unknown : .known(marks[segment] ?? 0) }
    }

    /// The end of the last record of each segment that any row ever named: so long a segment's file must be at least.
    public func segmentEnds() throws -> [UInt32: UInt64] {
        do {
            let rows = try database.read { try Row.fetchAll($0, sql: "SELECT segment, end_offset FROM segment_mark") }
            return Dictionary(uniqueKeysWithValues: rows.map { (UInt32($0[0] as Int64), UInt64($0[1] as Int64)) })
        } catch {
            throw StoreFault(error)
        }
    }

    /// For tests of a full disk: the database may have so many pages. Nil lifts the bound.
    func setPagesMax(_ pages: Int?) throws {
        try database.writeWithoutTransaction { try $0.execute(sql: "PRAGMA max_page_count = \(pages ?? 1_000_000_000)") }
    }

    /// For tests: how SQLite would run a statement, one line a step.
    func plan(of sql: SQL) throws -> [String] {
        try database.read { database in
            let parameters = SQL.texts[sql.rawValue].filter { $0 == "?" }.count
            let nulls = StatementArguments([DatabaseValue](repeating: .null, count: parameters))
            return try Row.fetchAll(database, sql: "EXPLAIN QUERY PLAN " + SQL.texts[sql.rawValue], arguments: nulls).map {
                $0["detail"]
            }
        }
    }

    /// SQLite's own check of its file: every page, index and row. Slow on a large database. Empty when all is well.
    public func integrityProblems() throws -> [String] {
        do {
            return try database.read { try String.fetchAll($0, sql: "PRAGMA integrity_check").filter { $0 != "ok" } }
        } catch {
            throw StoreFault(error)
        }
    }

    /// Carries the whole WAL into the database file, durably: the file by itself is the database then, until the next change.
    public func settle() throws {
        do {
            try database.writeWithoutTransaction { database in
                let row = try Row.fetchOne(database, sql: "PRAGMA wal_checkpoint(TRUNCATE)")
                guard let row, row[0] as Int64 == 0 else {
                    throw StoreFault.inputOutput("the database is being read: its WAL stays")
                }
            }
        } catch {
            throw StoreFault(error)
        }
    }

    /// Ends the store: carries the WAL into the database file and closes every connection. Further calls fail.
    public func close() throws {
        do { try database.close() } catch { throw StoreFault(error) }
    }
}

extension StoreFault {
    /// What GRDB or SQLite threw.
    init(_ error: any Error) {
        switch error {
        case let fault as StoreFault: self = fault
        case let error as DatabaseError:
            self.init(
                sqlite: error.extendedResultCode.rawValue, primary: error.resultCode.rawValue,
                message: error.message ?? "no message")
        default: self = .inputOutput("the database: \(error)")
        }
    }
}
