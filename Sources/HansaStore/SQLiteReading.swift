// One snapshot of the database, as `MetadataReading`. Made for one call of `read` or `write`, used on its connection's queue, gone with it.
// What it asks is grouped by topic in `SQLiteReading+….swift`; `SQLiteWriting` adds the changes.
internal import GRDB
internal import HansaCore
internal import HansaSync

class SQLiteReading {
    let database: Database
    /// Names known when the transaction began, and those it met.
    var names: KnownNames
    let shared: SharedState
    // GRDB keeps prepared statements for each connection by their text; here they are found by number.
    private var statements = [GRDB.Statement?](repeating: nil, count: SQL.allCases.count)
    private var loadedPolicy: PolicyState?
    private var loadedLogState: LogState?

    init(_ database: Database, _ shared: SharedState) {
        self.database = database
        self.shared = shared
        names = shared.names
    }

    // MARK: Statements

    func statement(_ sql: SQL) throws -> Statement {
        if let found = statements[sql.rawValue] { return Statement(handle: found.sqliteStatement) }
        let made = try database.cachedStatement(sql: SQL.texts[sql.rawValue])
        statements[sql.rawValue] = made
        return Statement(handle: made.sqliteStatement)
    }

    /// The first row, if there is one.
    @inline(__always)
    func first<T>(_ sql: SQL, _ bind: (inout Statement.Binder) throws -> Void, _ map: (Statement.Columns) throws -> T) throws
        -> T?
    {
        let statement = try statement(sql)
        defer { statement.reset() }
        var binder = Statement.Binder(statement)
        try bind(&binder)
        return try statement.step() ? try map(Statement.Columns(statement)) : nil
    }

    @inline(__always)
    func all<T>(_ sql: SQL, _ bind: (inout Statement.Binder) throws -> Void, _ map: (Statement.Columns) throws -> T) throws -> [T]
    {
        let statement = try statement(sql)
        defer { statement.reset() }
        var binder = Statement.Binder(statement)
        try bind(&binder)
        var rows: [T] = []
        while try statement.step() { rows.append(try map(Statement.Columns(statement))) }
        return rows
    }

    /// Row by row, for what would be too much at once.
    @inline(__always)
    func each(_ sql: SQL, _ bind: (inout Statement.Binder) throws -> Void, _ body: (Statement.Columns) throws -> Void) throws {
        let statement = try statement(sql)
        defer { statement.reset() }
        var binder = Statement.Binder(statement)
        try bind(&binder)
        while try statement.step() { try body(Statement.Columns(statement)) }
    }

    // MARK: Names

    /// Nil when no row names this city.
    func number(of city: CityID) throws -> Int64? {
        if let known = names.cityIDs[city] { return known }
        guard let id = try first(.cityByName, { $0.text(city.text) }, { $0.int64(0) }) else { return nil }
        names.add(city, id)
        return id
    }

    func city(_ id: Int64) throws -> CityID {
        if let known = names.cities[id] { return known }
        guard let name = try first(.cityByID, { $0.int(id) }, { $0.text(0) }) else {
            throw StoreFault.damaged("no city has the number \(id)")
        }
        let city = try SQLiteReading.city(name)
        names.add(city, id)
        return city
    }

    /// Nil when no row names this view.
    func number(ofView digest: Digest) throws -> Int64? {
        if let known = names.viewIDs[digest] { return known }
        guard let id = try first(.viewByDigest, { $0.digest(digest) }, { $0.int64(0) }) else { return nil }
        names.add(digest, id)
        return id
    }

    func number(of package: PackageID) throws -> Int64? {
        try first(.packageByName, { $0.text(package.description) }, { $0.int64(0) })
    }

    func number(ofLabel label: String) throws -> Int64? {
        if let known = names.labelIDs[label] { return known }
        guard let id = try first(.labelByName, { $0.text(label) }, { $0.int64(0) }) else { return nil }
        names.add(label: label, id)
        return id
    }

    static func city(_ name: String) throws -> CityID {
        do { return try CityID(name) } catch { throw StoreFault.damaged("a row of the database: \(error)") }
    }

    static func package(_ name: String) throws -> PackageID {
        do { return try PackageID(name) } catch { throw StoreFault.damaged("a row of the database: \(error)") }
    }

    // MARK: What stays in memory

    /// The policy of this snapshot: the store's value where the snapshot has its version, else read from the tables.
    func withPolicy<T>(_ body: (inout PolicyState) throws -> T) throws -> T {
        if loadedPolicy == nil {
            let version = try first(.policyVersion, { _ in }, { $0.int64(0) }) ?? 0
            if let held = shared.policy(version: version) {
                loadedPolicy = held
            } else {
                let loaded = try readPolicy()
                shared.offer(loaded, version: version)
                loadedPolicy = loaded
            }
        }
        guard var policy = loadedPolicy.take() else { preconditionFailure("just loaded") }
        defer { loadedPolicy = policy }
        return try body(&policy)
    }

    /// For the store, at a commit.
    var currentPolicy: PolicyState? { loadedPolicy }

    func logState() throws -> LogState {
        if let loadedLogState { return loadedLogState }
        guard let state = try first(.logState, { _ in }, { LogState(size: $0.uint64(0), lastTime: $0.timeIfAny(1)) }) else {
            throw StoreFault.damaged("the database has lost the state of its log")
        }
        loadedLogState = state
        return state
    }

    func setLogState(_ state: LogState) { loadedLogState = state }
}

/// How far the log has come, by the database.
struct LogState: Equatable {
    var size: UInt64
    var lastTime: Timestamp?
}
