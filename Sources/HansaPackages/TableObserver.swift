// The columns of a table as its rows go by.
internal import HansaCore

/// Learns names, types, missing values and candidate keys from the rows a `CSVReader` hands on.
struct TableObserver: CSVHandler, Sendable {
    private struct Column: Sendable {
        var type = TableFieldType.unknown
        var missing: UInt64 = 0
    }

    private var header: [String] = []
    private var columns: [Column] = []
    private var isHeader = true
    private var index = 0
    /// The first field of this row was empty and bare: with no second one the row is blank.
    private var beginsEmpty = false

    private var rows: UInt64 = 0
    private var blankRows: UInt64 = 0
    private var raggedRows: UInt64 = 0
    private var firstRaggedRow: UInt64 = 0
    private var keys: [KeyCandidate] = []
    /// One more than the last column that a candidate needs; 0 when all candidates are out.
    private var keyColumns = 0
    private let keyRowsMax: Int
    private var gaveUp = false

    init(keyRowsMax: Int) { self.keyRowsMax = keyRowsMax }

    @inline(__always)
    mutating func field(_ bytes: UnsafeRawBufferPointer, quoted: Bool) throws(CSVFault) {
        let column = index
        index = column + 1
        if column == 0 { beginsEmpty = bytes.count == 0 && !quoted }
        if column < columns.count {
            columns.withUnsafeMutableBufferPointer { columns in
                if bytes.count == 0 {
                    columns[column].missing &+= 1
                } else {
                    let type = columns[column].type
                    let widened = type.widened(by: bytes)
                    if widened != type { columns[column].type = widened }
                }
            }
            if column < keyColumns { observeKeys(column, bytes) }
        } else if isHeader {
            header.append(String(decoding: bytes, as: UTF8.self))
        }
    }

    mutating func endOfRow(count: Int) throws(CSVFault) {
        index = 0
        if count == 1, beginsEmpty {
            blankRows += 1
            // Counted as missing in the first column while it seemed a row.
            if !isHeader {
                columns[0].missing -= 1
                for key in keys.indices { keys[key].dropRow() }
            } else {
                header = []
            }
            return
        }
        if isHeader {
            isHeader = false
            columns = Array(repeating: Column(), count: header.count)
            chooseKeys()
            return
        }
        rows += 1
        if count != columns.count {
            raggedRows += 1
            if raggedRows == 1 { firstRaggedRow = rows + blankRows + 1 }
            if count < columns.count { for column in count..<columns.count { columns[column].missing += 1 } }
        }
        if keyColumns > 0 { endRowOfKeys() }
    }

    // MARK: Keys

    private mutating func chooseKeys() {
        keys = [KeyCandidate(columns: [0])]
        if let id = header.firstIndex(where: { $0.lowercased() == "id" }), id > 0 { keys.append(KeyCandidate(columns: [id])) }
        if header.count > 1 { keys.append(KeyCandidate(columns: [0, 1])) }
        keyColumns = (keys.compactMap(\.columns.last).max() ?? -1) + 1
    }

    @inline(never)
    private mutating func observeKeys(_ column: Int, _ bytes: UnsafeRawBufferPointer) {
        for key in keys.indices { keys[key].observe(column, bytes) }
    }

    @inline(never)
    private mutating func endRowOfKeys() {
        if rows > UInt64(keyRowsMax) {
            // Some candidate was unique so far, and we stop remembering: no key is claimed.
            gaveUp = true
            keys = []
        } else {
            for key in keys.indices { keys[key].endRow() }
            keys.removeAll { !$0.isUnique }
        }
        keyColumns = (keys.compactMap(\.columns.last).max() ?? -1) + 1
    }

    // MARK: The result

    func table(delimiter: UInt8, hadByteOrderMark: Bool) throws(TableFault) -> InferredTable {
        guard !isHeader else { throw .empty }
        var notes: [InferredTable.Note] = []
        if hadByteOrderMark { notes.append(.byteOrderMark) }
        let names = TableObserver.uniqueNames(header, &notes)
        if raggedRows > 0 { notes.append(.raggedRows(count: raggedRows, row: firstRaggedRow)) }
        if blankRows > 0 { notes.append(.blankRows(count: blankRows)) }
        if gaveUp { notes.append(.keyNotSought(rowsMax: keyRowsMax)) }
        // Measurements and flags may happen to be unique; they identify nothing.
        let key =
            rows == 0
            ? nil
            : keys.first { key in
                key.columns.allSatisfy {
                    [.integer, .date, .datetime, .datetimeSpaced, .time, .string].contains(columns[$0].type)
                }
            }
        return InferredTable(
            fields: zip(names, columns).map { InferredTable.Field(name: $0, type: $1.type, missing: $1.missing) }, rows: rows,
            delimiter: delimiter, primaryKey: key.map { $0.columns.map { names[$0] } }, notes: notes)
    }

    /// Names of fields from a header: empty ones become `field<column>`, and of equal ones the later get `_2`, `_3`, ….
    static func uniqueNames(_ header: [String], _ notes: inout [InferredTable.Note]) -> [String] {
        let given = Set(header)
        var taken: Set<String> = []
        var names: [String] = []
        for (index, text) in header.enumerated() {
            let base = text.isEmpty ? "field\(index + 1)" : text
            var name = base
            var number = 2
            // A made name may not take one that another column really has.
            while taken.contains(name) || name != text && given.contains(name) {
                name = "\(base)_\(number)"
                number += 1
            }
            taken.insert(name)
            names.append(name)
            if name != text { notes.append(.renamedField(column: index + 1, header: text, name: name)) }
        }
        return names
    }
}

/// Columns whose values together may be unique.
///
/// Remembers a 64-bit keyed fingerprint (SipHash-1-3) of each row's values: values that repeat are always noticed; values that
/// do not are taken for a repeat with a chance below 2^-24 at 2^20 rows, and then only a key goes unclaimed.
struct KeyCandidate: Sendable {
    let columns: [Int]
    private(set) var isUnique = true

    private var hash = SipHash13()
    private var observed = 0
    private var seen = FingerprintSet()

    init(columns: [Int]) { self.columns = columns }

    mutating func observe(_ column: Int, _ bytes: UnsafeRawBufferPointer) {
        guard isUnique, observed < columns.count, columns[observed] == column else { return }
        observed += 1
        // A key's values are never missing.
        guard bytes.count > 0 else { return isUnique = false }
        hash.update(bytes)
    }

    /// The row was blank.
    mutating func dropRow() {
        hash = SipHash13()
        observed = 0
    }

    mutating func endRow() {
        isUnique = isUnique && observed == columns.count && seen.insert(hash.finish())
        dropRow()
    }
}
