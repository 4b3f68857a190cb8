// The one place that calls SQLite's C functions: binding, stepping and reading of prepared statements.
//
// GRDB opens connections, serialises them, gives snapshots and migrates; its statements are used by their handles, because a row through
// `Row` and `DatabaseValue` costs several times the microsecond that SQLite itself needs.
internal import GRDBSQLite
internal import HansaCore
internal import HansaSync

/// A prepared statement being bound, stepped and read. It is reset before it is handed on; every use ends with `reset`.
struct Statement {
    let handle: OpaquePointer

    // SQLITE_TRANSIENT, a cast that the importer does not carry over: SQLite copies what is bound.
    private static let copied = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    // MARK: Binding, in the order of the parameters

    /// Hands out the parameters of a statement one by one.
    struct Binder {
        private let handle: OpaquePointer
        private var next: CInt = 1

        init(_ statement: Statement) { handle = statement.handle }

        mutating func int(_ value: Int64) {
            sqlite3_bind_int64(handle, next, value)
            next += 1
        }
        mutating func int(_ value: Int) { int(Int64(value)) }
        mutating func int(_ value: UInt32) { int(Int64(value)) }
        /// Above 2^63 it becomes negative and comes back as it was; order is kept below.
        mutating func int(_ value: UInt64) { int(Int64(bitPattern: value)) }
        mutating func int(_ value: UInt64?) { int(value.map { Int64(bitPattern: $0) }) }
        mutating func int(_ value: Int64?) {
            if let value { int(value) } else { null() }
        }
        mutating func flag(_ value: Bool) { int(value ? Int64(1) : 0) }
        mutating func time(_ value: Timestamp) { int(value.milliseconds) }
        mutating func time(_ value: Timestamp?) { int(value?.milliseconds) }
        mutating func null() {
            sqlite3_bind_null(handle, next)
            next += 1
        }
        mutating func text(_ value: String) {
            var value = value
            value.withUTF8 { bytes in
                // An empty buffer may have no address, and a null pointer would bind NULL.
                _ =
                    bytes.isEmpty
                    ? sqlite3_bind_text(handle, next, "", 0, Statement.copied)
                    : bytes.withMemoryRebound(to: CChar.self) {
                        sqlite3_bind_text(handle, next, $0.baseAddress, CInt($0.count), Statement.copied)
                    }
            }
            next += 1
        }
        mutating func text(_ value: String?) {
            if let value { text(value) } else { null() }
        }
        mutating func bytes(_ value: [UInt8]) {
            if value.isEmpty {
                sqlite3_bind_zeroblob(handle, next, 0)
            } else {
                value.withUnsafeBytes { _ = sqlite3_bind_blob(handle, next, $0.baseAddress, CInt($0.count), Statement.copied) }
            }
            next += 1
        }
        mutating func digest(_ value: Digest) {
            value.withUnsafeBytes { _ = sqlite3_bind_blob(handle, next, $0.baseAddress, CInt($0.count), Statement.copied) }
            next += 1
        }
        mutating func place(_ value: ContentLocation) {
            let words = (value.segment.bigEndian, value.offset.bigEndian, value.length.bigEndian)
            withUnsafeBytes(of: words) { _ = sqlite3_bind_blob(handle, next, $0.baseAddress, CInt($0.count), Statement.copied) }
            next += 1
        }
    }

    // MARK: Reading

    /// The columns of the row a statement stands on; valid until the next step.
    struct Columns {
        private let handle: OpaquePointer

        init(_ statement: Statement) { handle = statement.handle }

        func isNull(_ column: CInt) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }
        func int64(_ column: CInt) -> Int64 { sqlite3_column_int64(handle, column) }
        func int64IfAny(_ column: CInt) -> Int64? { isNull(column) ? nil : int64(column) }
        func uint64(_ column: CInt) -> UInt64 { UInt64(bitPattern: int64(column)) }
        func uint64IfAny(_ column: CInt) -> UInt64? { isNull(column) ? nil : uint64(column) }
        func int(_ column: CInt) -> Int { Int(int64(column)) }
        func uint32(_ column: CInt) throws(StoreFault) -> UInt32 {
            guard let value = UInt32(exactly: int64(column)) else {
                throw .damaged("a column holds \(int64(column)), which is no 32-bit number")
            }
            return value
        }
        func flag(_ column: CInt) -> Bool { int64(column) != 0 }
        func time(_ column: CInt) -> Timestamp { Timestamp(milliseconds: int64(column)) }
        func timeIfAny(_ column: CInt) -> Timestamp? { int64IfAny(column).map(Timestamp.init(milliseconds:)) }
        func text(_ column: CInt) -> String {
            guard let start = sqlite3_column_text(handle, column) else { return "" }
            return String(
                decoding: UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))), as: UTF8.self)
        }
        func textIfAny(_ column: CInt) -> String? { isNull(column) ? nil : text(column) }
        func buffer(_ column: CInt) -> UnsafeRawBufferPointer {
            guard let start = sqlite3_column_blob(handle, column) else { return UnsafeRawBufferPointer(start: nil, count: 0) }
            return UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column)))
        }
        func bytes(_ column: CInt) -> [UInt8] { [UInt8](buffer(column)) }
        func digest(_ column: CInt) throws(StoreFault) -> Digest {
            let bytes = buffer(column)
            guard bytes.count == Digest.byteCount else { throw .damaged("a digest of \(bytes.count) bytes") }
            return Digest(bytes)
        }
        func places(_ column: CInt) throws(StoreFault) -> [ContentLocation] { try ContentLocation.decode(buffer(column)) }
        func place(_ column: CInt) throws(StoreFault) -> ContentLocation {
            let places = try places(column)
            guard places.count == 1, let place = places.first else { throw .damaged("\(places.count) places instead of one") }
            return place
        }
    }

    // MARK: Stepping

    /// True on a row, false at the end.
    func step() throws(StoreFault) -> Bool {
        switch sqlite3_step(handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        case let code:
            let connection = sqlite3_db_handle(handle)
            let message = String(cString: sqlite3_errmsg(connection))
            // Until reset the statement would keep its locks; the code it returns is the one we have.
            sqlite3_reset(handle)
            throw StoreFault(sqlite: sqlite3_extended_errcode(connection), primary: code, message: message)
        }
    }

    func reset() { sqlite3_reset(handle) }

    /// Rows that the last finished statement of this connection changed.
    var changes: Int { Int(sqlite3_changes(sqlite3_db_handle(handle))) }
}

extension StoreFault {
    /// What SQLite said, by its extended result code (https://www.sqlite.org/rescode.html).
    init(sqlite extended: CInt, primary: CInt, message: String) {
        switch primary & 0xFF {
        case SQLITE_FULL: self = .diskFull(bytesMissing: nil)
        case SQLITE_IOERR, SQLITE_CANTOPEN, SQLITE_READONLY, SQLITE_PERM, SQLITE_NOMEM, SQLITE_BUSY, SQLITE_LOCKED,
            SQLITE_PROTOCOL:
            self = .inputOutput("the database: \(message) (SQLite \(extended))")
        default: self = .damaged("the database: \(message) (SQLite \(extended))")
        }
    }
}
