// The columns of a table as its rows go by.
internal import HansaCore

/// Learns names, types, missing values and candidate keys from the rows a `CSVReader` hands on.
struct TableObserver: CSVHandler, Sendable {
    private struct Column: Sendable {
        var type = TableFieldType.unknown
        var missing: UInt64 = 0
        /// Values that are markers of a missing value, while the column is no text otherwise.
        var marked: UInt64 = 0
        var markers = MissingMarkers()

        /// The markers count as missing where the other values have a type; in a column of text they are text.
        var hasMarkers: Bool { marked > 0 && type != .string && type != .unknown }

        /// This column's values and those of `other`. A marker that stood beside text only is told by none of them, and says nothing then.
        mutating func join(_ other: Column) {
            type = type.joined(with: other.type)
            missing += other.missing
            marked += other.marked
            markers.formUnion(other.markers)
        }
    }

    private var header: [String] = []
    /// Of the rows since the last `beginStretch`.
    private var columns: [Column] = []
    /// Of those before; empty while there are none.
    private var settled: [Column] = []
    private var stretchBegin: UInt64 = 0
    private var isHeader = true
    private var index = 0
    /// The first field of this row was empty and bare: with no second one the row is blank.
    private var beginsEmpty = false

    private(set) var rows: UInt64 = 0
    private var blankRows: UInt64 = 0
    private var raggedRows: UInt64 = 0
    private var firstRaggedRow: UInt64 = 0
    private var keys: KeySearch

    init(keyRowsMax: Int) { keys = KeySearch(rowsMax: keyRowsMax) }

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
                    if widened != type {
                        if let marker = MissingMarkers(of: bytes) {
                            columns[column].marked &+= 1
                            columns[column].markers.formUnion(marker)
                        } else {
                            columns[column].type = widened
                        }
                    }
                }
            }
            if column < keys.columnsEnd { keys.observe(column, bytes) }
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
                keys.dropRow()
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
        keys.endRow(fields: count)
    }

    // MARK: Stretches

    /// Between two rows: what follows is also observed by itself. False before the header's end.
    mutating func beginStretch() -> Bool {
        guard !isHeader else { return false }
        settle()
        stretchBegin = rows
        return true
    }

    /// What was observed since `beginStretch`.
    func stretch() -> TableStretch {
        TableStretch(rows: rows - stretchBegin, columns: columns.map { TableStretch.code($0.type, $0.markers) })
    }

    /// As if the stretch's rows had been read, but for what is counted, and for keys. False: it is no stretch of this table.
    mutating func skip(_ stretch: TableStretch) -> Bool {
        guard !isHeader, stretch.columns.count == columns.count else { return false }
        settle()
        for (index, code) in stretch.columns.enumerated() {
            guard let (type, markers) = TableStretch.parts(of: code) else { return false }
            settled[index].type = settled[index].type.joined(with: type)
            settled[index].markers.formUnion(markers)
            // How many there were is not known; that there were some is what counts.
            if markers.rawValue != 0 { settled[index].marked += 1 }
        }
        rows += stretch.rows
        keys.abandon()
        return true
    }

    private mutating func settle() {
        if settled.isEmpty {
            settled = columns
        } else {
            for index in columns.indices { settled[index].join(columns[index]) }
        }
        for index in columns.indices { columns[index] = Column() }
    }

    // MARK: Keys

    private mutating func chooseKeys() {
        keys.add(KeyColumns(0))
        if let id = header.firstIndex(where: { $0.lowercased() == "id" }), id > 0 { keys.add(KeyColumns(id)) }
        if header.count > 1 { keys.add(KeyColumns(0, 1)) }
    }

    // MARK: The result

    consuming func table(delimiter: UInt8, hadByteOrderMark: Bool) throws(TableFault) -> InferredTable {
        guard !isHeader else { throw .empty }
        settle()
        let columns = settled
        var notes: [InferredTable.Note] = []
        if hadByteOrderMark { notes.append(.byteOrderMark) }
        let names = TableObserver.uniqueNames(header, &notes)
        if raggedRows > 0 { notes.append(.raggedRows(count: raggedRows, row: firstRaggedRow)) }
        if blankRows > 0 { notes.append(.blankRows(count: blankRows)) }
        if keys.gaveUp { notes.append(.keyNotSought(rowsMax: keys.rowsMax)) }
        // Measurements and flags may happen to be unique; they identify nothing.
        var keys = keys
        let key =
            rows == 0
            ? nil
            : keys.firstUnique { key in
                key.indices.allSatisfy { ![.unknown, .number, .boolean].contains(columns[$0].type) && !columns[$0].hasMarkers }
            }
        return InferredTable(
            fields: zip(names, columns).map { name, column in
                InferredTable.Field(
                    name: name, type: column.type, missing: column.missing + (column.hasMarkers ? column.marked : 0),
                    missingValues: column.hasMarkers ? column.markers.texts : [])
            }, rows: rows,
            delimiter: delimiter, primaryKey: key.map { $0.indices.map { names[$0] } }, notes: notes)
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
