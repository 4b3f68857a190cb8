// What the log's sequencer and its readers ask of the tables: entries that are not tiled yet, and the index of those that are.
internal import GRDB
internal import HansaCore
internal import HansaCrypto
internal import HansaLog
internal import HansaSync

extension SQLiteStore {
    /// What the tables hold of the log.
    func pendingTable() throws -> PendingTable {
        try reading { database in
            let first = try Int64.fetchOne(database, sql: "SELECT MIN(id) FROM log_pending")
            let next = try Int64.fetchOne(database, sql: "SELECT size FROM log_state") ?? 0
            return PendingTable(first: first.map { LeafIndex(UInt64($0)) }, next: LeafIndex(UInt64(next)))
        }
    }

    /// Pending entries from `index` on, at most `count`, in order.
    func pendingEntries(from index: LeafIndex, count: Int) throws -> [PendingEntry] {
        try reading { database in
            let statement = Statement(
                handle: try database.cachedStatement(sql: "SELECT id, entry FROM log_pending WHERE id >= ? ORDER BY id LIMIT ?")
                    .sqliteStatement)
            defer { statement.reset() }
            var binder = Statement.Binder(statement)
            binder.int(index.value)
            binder.int(count)
            var entries: [PendingEntry] = []
            while try statement.step() {
                let row = Statement.Columns(statement)
                entries.append(PendingEntry(index: LeafIndex(row.uint64(0)), bytes: row.bytes(1)))
            }
            return entries
        }
    }

    /// Drops the bodies of entries that are durable in the log, and keeps what queries ask of them.
    func dropPending(below size: TreeSize) throws {
        try transaction { database in
            // A crash before the commit leaves the bodies: the sequencer compares them with the log at the next start.
            try database.execute(
                sql: """
                    INSERT OR IGNORE INTO log_index
                        SELECT id, time, event, outcome, partner, package, release, agreement FROM log_pending WHERE id < ?
                    """, arguments: [Int64(size.value)])
            try database.execute(sql: "DELETE FROM log_pending WHERE id < ?", arguments: [Int64(size.value)])
            return ((), {})
        }
    }

    /// The first entry that neither the index nor the pending table has; nil when queries find all of them.
    func firstUnindexed() throws -> LeafIndex? {
        try reading { database in
            let indexed = try Int64.fetchOne(database, sql: "SELECT MAX(id) + 1 FROM log_index") ?? 0
            let bound =
                try Int64.fetchOne(
                    database, sql: "SELECT COALESCE((SELECT MIN(id) FROM log_pending), (SELECT size FROM log_state))") ?? 0
            return indexed < bound ? LeafIndex(UInt64(indexed)) : nil
        }
    }

    /// Empties the index: `LogService` makes it again from the log.
    func clearLogIndex() throws {
        try transaction { database in
            try database.execute(sql: "DELETE FROM log_index")
            return ((), {})
        }
    }

    func insertIndex(_ entries: [LogEntry]) throws {
        try transaction { database in
            let writing = try SQLiteWriting(database, shared, at: .distantFuture, random: NoRandom())
            for entry in entries { try writing.index(entry) }
            return ((), { self.shared.learn(writing.names) })
        }
    }

    /// The indices of entries that may match, in order, from `from` on, at most `limit`: all that do match are among them.
    func indices(matching query: LogQuery, from: LeafIndex, limit: Int) throws -> [LeafIndex] {
        try reading { database in
            let reading = SQLiteReading(database, shared)
            var conditions = ["id >= ?"]
            var arguments: [Int64] = [Int64(from.value)]
            func add(_ condition: String, _ value: Int64) {
                conditions.append(condition)
                arguments.append(value)
            }
            if let since = query.since { add("time >= ?", since.milliseconds) }
            if let until = query.until { add("time < ?", until.milliseconds) }
            if let outcome = query.outcome { add("outcome = ?", Codes.code(outcome, in: Codes.logOutcomes)) }
            if query.outcome != nil, query.outcome != .ok { conditions.append("outcome <> 0") }
            if let release = query.release { add("release = ?", release.logKey) }
            if let agreement = query.agreement { add("agreement = ?", agreement.logKey) }
            // A name without a number is in no row.
            if let event = query.event {
                guard let number = try reading.number(ofLabel: event) else { return [] }
                add("event = ?", number)
            }
            if let partner = query.partner {
                guard let number = try reading.number(of: partner) else { return [] }
                add("partner = ?", number)
            }
            if let package = query.package {
                guard let number = try reading.number(of: package) else { return [] }
                add("package = ?", number)
            }
            let condition = conditions.joined(separator: " AND ")
            let sql = """
                SELECT id FROM (SELECT id FROM log_index WHERE \(condition) ORDER BY id LIMIT ?)
                UNION ALL SELECT id FROM (SELECT id FROM log_pending WHERE \(condition) ORDER BY id LIMIT ?) ORDER BY id LIMIT ?
                """
            let bound = arguments + [Int64(limit)]
            return try Int64.fetchAll(database, sql: sql, arguments: StatementArguments(bound + bound + [Int64(limit)]))
                .map { LeafIndex(UInt64($0)) }
        }
    }

    private func reading<T>(_ body: (Database) throws -> T) throws -> T {
        do { return try database.read(body) } catch let error as DatabaseError { throw StoreFault(error) }
    }
}

extension Timestamp {
    fileprivate static let distantFuture = Timestamp(milliseconds: .max)
}

private struct NoRandom: RandomSource {
    func bytes(_ count: Int) -> [UInt8] { preconditionFailure("indexing the log draws no random bytes") }
}

extension SQLiteWriting {
    func index(_ entry: LogEntry) throws {
        let event = try named(label: entry.eventID)
        let partner = try entry.partner.map { try named($0) }
        let package = try entry.package.map { try named($0) }
        try run(.insertLogIndex) {
            $0.int(entry.index.value)
            $0.time(entry.time)
            $0.int(event)
            $0.int(Codes.code(entry.outcome, in: Codes.logOutcomes))
            $0.int(partner)
            $0.int(package)
            $0.int(entry.release?.logKey)
            $0.int(entry.agreement?.logKey)
        }
    }
}
