// What comparing tables needs to know of each: its header and shape, and a short entry for each row, sorted by key.
//
// A key and a row stand for themselves by 128 bits of SHA-256: whoever makes two rows collide could hide a change from a reviewer, or have a
// merge lose it, so a fast hash will not do.
internal import HansaCore
internal import HansaCrypto

/// 128 bits of a SHA-256.
struct ShortHash: Hashable, Comparable, Sendable {
    let high: UInt64
    let low: UInt64

    init(of bytes: [UInt8]) {
        (high, low) = bytes.withUnsafeBytes { bytes in
            SHA256.hash(bytes).withUnsafeBytes {
                (
                    UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
                    UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                )
            }
        }
    }

    static func < (left: ShortHash, right: ShortHash) -> Bool {
        left.high != right.high ? left.high < right.high : left.low < right.low
    }
}

/// The shape of one table, from a first reading.
struct TableShape {
    static let rowsMax: UInt64 = 0xFFFF_FFFE

    let delimiter: UInt8
    /// The header as a row of its own.
    let header: KeptRow
    let columns: [String]
    /// Rows of data, blank ones included.
    let rows: UInt64
    /// Of all bytes.
    let digest: Digest
    let hadByteOrderMark: Bool
    /// The file's last row has a line end.
    let endsWithLineEnd: Bool
    /// The header's line end; LF where it has none.
    let lineEnd: [UInt8]

    /// `delimiter` is found as inference does when it is not given.
    init(_ source: some TableSource, delimiter given: UInt8?) throws {
        let delimiter = try given ?? TableShape.delimiter(of: source)
        var reader = TableRowReader(delimiter: delimiter)
        var hash = SHA256()
        var header: KeptRow?
        var endsWithLineEnd = true
        let take = { (row: TableRow) -> Bool in
            if header == nil { header = row.kept() }
            endsWithLineEnd = row.lineEndCount > 0
            return true
        }
        try source.read { bytes in
            hash.update(bytes)
            return try reader.feed(bytes, take)
        }
        try reader.finish(take)
        guard let header else { throw TableCompareFault.empty }
        guard reader.rows <= TableShape.rowsMax else { throw TableCompareFault.tooManyRows(rowsMax: TableShape.rowsMax) }
        var notes: [InferredTable.Note] = []
        columns = TableObserver.uniqueNames(header.cells.indices.map(header.text), &notes)
        self.delimiter = delimiter
        self.header = header
        rows = reader.rows - 1
        digest = hash.finish()
        hadByteOrderMark = reader.hadByteOrderMark
        self.endsWithLineEnd = endsWithLineEnd
        lineEnd = header.lineEndCount > 0 ? Array(header.bytes.suffix(header.lineEndCount)) : [Byte.lineFeed]
    }

    private static func delimiter(of source: some TableSource) throws -> UInt8 {
        var head: [UInt8] = []
        try source.read { bytes in
            head.append(contentsOf: bytes.prefix(TableInference.sniffBytesMax - head.count))
            return head.count < TableInference.sniffBytesMax
        }
        return DelimiterSniffer.delimiter(of: head, isWhole: head.count < TableInference.sniffBytesMax)
    }

    /// All rows in order, the header included.
    func forEachRow(of source: some TableSource, _ body: (TableRow) throws -> Bool) throws {
        var reader = TableRowReader(delimiter: delimiter)
        var goesOn = true
        try source.read { bytes in
            goesOn = try reader.feed(bytes, body)
            return goesOn
        }
        if goesOn { try reader.finish(body) }
    }

    /// The rows with these numbers (ascending). Beyond `bytesMax` it throws `.tooManyChanges`, or gives what fits when `takesWhatFits`.
    func rows(_ numbers: [UInt64], of source: some TableSource, bytesMax: Int, takesWhatFits: Bool = false) throws -> [UInt64:
        KeptRow]
    {
        guard !numbers.isEmpty else { return [:] }
        var rows: [UInt64: KeptRow] = [:]
        var next = 0
        var bytes = 0
        try forEachRow(of: source) { row in
            if row.number == numbers[next] {
                bytes += row.bytes.count + 64 + row.cells.count * MemoryLayout<TableCell>.stride
                guard bytes <= bytesMax else {
                    if takesWhatFits { return false }
                    throw TableCompareFault.tooManyChanges(bytesMax: bytesMax)
                }
                rows[row.number] = row.kept()
                next += 1
            }
            return next < numbers.count
        }
        return rows
    }
}

/// One row: 40 bytes.
struct RowEntry: Sendable {
    let key: ShortHash
    /// Of the compared columns.
    let content: ShortHash
    let row: UInt64
}

/// Which fields of a table's rows make its key and its content.
struct RowProjection: Sendable {
    /// Nil: the whole row is the key.
    let key: [Int]?
    let content: [Int]
    /// Fields behind the header's last are content too.
    let columns: Int
    /// Only keys of this part are entered, so that memory stays bounded: (index, of how many).
    var part = (index: UInt64(0), count: UInt64(1))

    /// The entries of one part, sorted by key, then row.
    func entries(of source: some TableSource, _ shape: TableShape) throws -> [RowEntry] {
        var entries: [RowEntry] = []
        var scratch: [UInt8] = []
        try shape.forEachRow(of: source) { row in
            guard row.number > 1, !row.isBlank else { return true }
            var keyHash: ShortHash?
            if let key {
                scratch.removeAll(keepingCapacity: true)
                for column in key { RowProjection.append(row, column, to: &scratch) }
                let hash = ShortHash(of: scratch)
                guard hash.low % part.count == part.index else { return true }
                keyHash = hash
            }
            scratch.removeAll(keepingCapacity: true)
            for column in content { RowProjection.append(row, column, to: &scratch) }
            if row.cells.count > columns {
                for column in columns..<row.cells.count { RowProjection.append(row, column, to: &scratch) }
            }
            let content = ShortHash(of: scratch)
            if keyHash == nil, content.low % part.count != part.index { return true }
            entries.append(RowEntry(key: keyHash ?? content, content: content, row: row.number))
            return true
        }
        entries.sort { $0.key != $1.key ? $0.key < $1.key : $0.row < $1.row }
        return entries
    }

    // A length before each value, so that ("ab", "c") and ("a", "bc") differ; a field that a short row lacks is not an empty one.
    private static func append(_ row: TableRow, _ column: Int, to bytes: inout [UInt8]) {
        guard column < row.cells.count else { return bytes.append(contentsOf: [0xFF, 0xFF, 0xFF, 0xFF]) }
        let start = bytes.count
        bytes.append(contentsOf: [0, 0, 0, 0])
        TableCells.append(row.bytes, row.cells[column], to: &bytes)
        let length = UInt32(bytes.count - start - 4)
        for index in 0..<4 { bytes[start + index] = UInt8(truncatingIfNeeded: length >> UInt32(24 - 8 * index)) }
    }

    /// In how many parts tables with so many rows are compared.
    static func parts(rows: UInt64, rowsMax: Int) -> UInt64 { max(1, (rows + UInt64(rowsMax) - 1) / UInt64(rowsMax)) }
}

/// Walks sorted lists of entries side by side.
enum KeyJoin {
    /// Calls `body` for each key in any list, ascending, with its entries in each.
    static func forEach(_ lists: [[RowEntry]], _ body: ([ArraySlice<RowEntry>]) throws -> Void) rethrows {
        var starts = lists.map(\.startIndex)
        while true {
            var least: ShortHash?
            for (list, start) in zip(lists, starts) where start < list.count {
                if let known = least { least = min(known, list[start].key) } else { least = list[start].key }
            }
            guard let key = least else { return }
            var runs: [ArraySlice<RowEntry>] = []
            for index in lists.indices {
                var end = starts[index]
                while end < lists[index].count, lists[index][end].key == key { end += 1 }
                runs.append(lists[index][starts[index]..<end])
                starts[index] = end
            }
            try body(runs)
        }
    }
}
