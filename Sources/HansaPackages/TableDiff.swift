// What changed between two versions of a table: rows by primary key, columns by name. The order of rows, quoting and line ends are no change.
//
// Four readings of each table at most where it has a million rows or fewer, one more for each million: memory is 40 bytes for each row of a part.
internal import HansaCore

/// The difference of two tables.
public struct TableDiff: Sendable, Equatable {
    /// How the columns' names changed.
    public struct Columns: Sendable, Equatable {
        public let added: [String]
        public let removed: [String]
        /// Those in both stand in another order.
        public let reordered: Bool

        public init(before: [String], after: [String]) {
            let old = Set(before)
            let new = Set(after)
            added = after.filter { !old.contains($0) }
            removed = before.filter { !new.contains($0) }
            reordered = before.filter(new.contains) != after.filter(old.contains)
        }

        public var isEmpty: Bool { added.isEmpty && removed.isEmpty && !reordered }
    }

    /// A row that is only in one of the two.
    public struct Row: Sendable, Equatable {
        /// Its key's values, or all values without a key.
        public let key: [String]
        public let values: [String]
    }

    public struct Cell: Sendable, Equatable {
        public let column: String
        /// Nil where a short row does not have the field.
        public let before: String?
        public let after: String?
    }

    public struct Change: Sendable, Equatable {
        public let key: [String]
        public let cells: [Cell]
    }

    /// Why rows were compared as wholes although a key was named.
    public enum KeyNote: Sendable, Equatable {
        case columnMissing(String)
        /// The row is of the table that repeats a key.
        case repeats(row: UInt64)
    }

    public let columns: Columns
    /// The key that rows were paired by; nil: by all their values.
    public let key: [String]?
    public let keyNote: KeyNote?
    public let rowsBefore: UInt64
    public let rowsAfter: UInt64
    public let added: UInt64
    public let removed: UInt64
    public let changed: UInt64
    /// The first of them in the order of their table, at most `limit` of each kind.
    public let addedRows: [Row]
    public let removedRows: [Row]
    public let changedRows: [Change]

    /// True when columns and rows hold the same, in whatever order the rows stand.
    public var isEmpty: Bool { columns.isEmpty && added == 0 && removed == 0 && changed == 0 }

    /// Compares `before` with `after`.
    ///
    /// `key` names the columns of the primary key; where it is nil, missing or repeats, the whole row is the key and counts as often as it
    /// occurs. `limit` bounds the examples, `textBytesMax` each value in them. `rowsMax` is how many rows of each table are compared at a time:
    /// 40 bytes each. Throws `TableCompareFault`, and whatever a source throws.
    public init(
        from before: some TableSource, to after: some TableSource, key: [String]?, delimiters: (UInt8?, UInt8?) = (nil, nil),
        limit: Int = 10, textBytesMax: Int = 4096, rowsMax: Int = 1 << 20
    ) throws {
        let old = try TableShape(before, delimiter: delimiters.0)
        let new = try TableShape(after, delimiter: delimiters.1)
        columns = Columns(before: old.columns, after: new.columns)
        rowsBefore = old.rows
        rowsAfter = new.rows
        var note: KeyNote?
        var names = key.flatMap { $0.isEmpty ? nil : $0 }
        if let missing = names?.first(where: { !old.columns.contains($0) || !new.columns.contains($0) }) {
            note = .columnMissing(missing)
            names = nil
        }
        var comparison = TableComparison(old, new, key: names, limit: limit, rowsMax: rowsMax)
        if old.digest != new.digest {
            do throws(RepeatedKey) { try comparison.compare(before, after) } catch {
                switch error {
                case .row(let row):
                    note = .repeats(row: row)
                    names = nil
                    comparison = TableComparison(old, new, key: nil, limit: limit, rowsMax: rowsMax)
                    try comparison.compare(before, after)
                case .other(let error): throw error
                }
            }
        }
        self.key = names
        keyNote = note
        added = comparison.added
        removed = comparison.removed
        changed = comparison.changed
        let examples = try comparison.examples(before, after, textBytesMax: textBytesMax)
        addedRows = examples.added
        removedRows = examples.removed
        changedRows = examples.changed
    }
}

private enum RepeatedKey: Error {
    case row(UInt64)
    case other(any Error)
}

/// The state of one comparison.
private struct TableComparison {
    private let old: TableShape
    private let new: TableShape
    private let keyNames: [String]?
    private let limit: Int
    private let rowsMax: Int
    /// Columns in both: where they stand in each.
    private let common: [(name: String, old: Int, new: Int)]

    private(set) var added: UInt64 = 0
    private(set) var removed: UInt64 = 0
    private(set) var changed: UInt64 = 0
    private var addedRows: [UInt64] = []
    private var removedRows: [UInt64] = []
    private var changedRows: [(old: UInt64, new: UInt64)] = []

    init(_ old: TableShape, _ new: TableShape, key: [String]?, limit: Int, rowsMax: Int) {
        self.old = old
        self.new = new
        keyNames = key
        self.limit = limit
        self.rowsMax = rowsMax
        let places = Dictionary(new.columns.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        common = old.columns.enumerated().compactMap { index, name in places[name].map { (name, index, $0) } }
    }

    mutating func compare(_ before: some TableSource, _ after: some TableSource) throws(RepeatedKey) {
        let keyIndices = keyNames.map { names in names.compactMap { name in common.first { $0.name == name } } }
        let parts = RowProjection.parts(rows: max(old.rows, new.rows), rowsMax: rowsMax)
        for part in 0..<parts {
            let lists: [[RowEntry]]
            do {
                lists = [
                    try RowProjection(
                        key: keyIndices?.map(\.old), content: common.map(\.old), columns: old.columns.count, part: (part, parts)
                    ).entries(of: before, old),
                    try RowProjection(
                        key: keyIndices?.map(\.new), content: common.map(\.new), columns: new.columns.count, part: (part, parts)
                    ).entries(of: after, new),
                ]
            } catch {
                throw .other(error)
            }
            if let row = join(lists) { throw .row(row) }
            trim()
        }
    }

    /// The number of a row whose key is not its own, if there is one.
    private mutating func join(_ lists: [[RowEntry]]) -> UInt64? {
        var repeated: UInt64?
        KeyJoin.forEach(lists) { runs in
            let (left, right) = (runs[0], runs[1])
            if keyNames != nil {
                if let second = left.dropFirst().first ?? right.dropFirst().first { repeated = repeated ?? second.row }
                if let first = left.first, let other = right.first {
                    guard first.content != other.content else { return }
                    changed += 1
                    changedRows.append((first.row, other.row))
                    if changedRows.count > limit * 2 + 1024 { trim() }
                    return
                }
            }
            let extraOld = left.dropFirst(right.count)
            let extraNew = right.dropFirst(left.count)
            removed += UInt64(extraOld.count)
            added += UInt64(extraNew.count)
            removedRows.append(contentsOf: extraOld.map(\.row))
            addedRows.append(contentsOf: extraNew.map(\.row))
            if removedRows.count + addedRows.count > limit * 4 + 2048 { trim() }
        }
        return repeated
    }

    // Only the first of each kind are shown.
    private mutating func trim() {
        addedRows = Array(addedRows.sorted().prefix(limit))
        removedRows = Array(removedRows.sorted().prefix(limit))
        changedRows = Array(changedRows.sorted { $0.new < $1.new }.prefix(limit))
    }

    func examples(_ before: some TableSource, _ after: some TableSource, textBytesMax: Int) throws -> (
        added: [TableDiff.Row], removed: [TableDiff.Row], changed: [TableDiff.Change]
    ) {
        // Fewer examples, and not more memory, where rows are monstrous.
        let bytesMax = 64 << 20
        let olds = try old.rows(
            (removedRows + changedRows.map(\.old)).sorted(), of: before, bytesMax: bytesMax, takesWhatFits: true)
        let news = try new.rows((addedRows + changedRows.map(\.new)).sorted(), of: after, bytesMax: bytesMax, takesWhatFits: true)
        func text(_ bytes: [UInt8]) -> String {
            guard bytes.count > textBytesMax else { return String(decoding: bytes, as: UTF8.self) }
            return String(decoding: bytes.prefix(textBytesMax), as: UTF8.self) + "…"
        }
        func row(_ row: KeptRow, _ shape: TableShape) -> TableDiff.Row {
            let values = row.cells.indices.map { text(row.value($0)) }
            let key = keyNames?.map { name in
                shape.columns.firstIndex(of: name).flatMap { $0 < values.count ? values[$0] : nil } ?? ""
            }
            return TableDiff.Row(key: key ?? values, values: values)
        }
        let changes = changedRows.compactMap { pair -> TableDiff.Change? in
            guard let left = olds[pair.old], let right = news[pair.new] else { return nil }
            var cells: [TableDiff.Cell] = []
            func compare(_ name: String, _ a: Int, _ b: Int) {
                let before = a < left.cells.count ? left.value(a) : nil
                let after = b < right.cells.count ? right.value(b) : nil
                if before != after {
                    cells.append(TableDiff.Cell(column: name, before: before.map(text), after: after.map(text)))
                }
            }
            for column in common { compare(column.name, column.old, column.new) }
            let extra = max(left.cells.count - old.columns.count, right.cells.count - new.columns.count, 0)
            for index in 0..<extra {
                compare("field\(new.columns.count + index + 1)", old.columns.count + index, new.columns.count + index)
            }
            return TableDiff.Change(key: row(right, new).key, cells: cells)
        }
        return (
            addedRows.compactMap { news[$0] }.map { row($0, new) }, removedRows.compactMap { olds[$0] }.map { row($0, old) },
            changes
        )
    }
}
