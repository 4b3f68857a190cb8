import HansaCore

@testable import HansaPackages

/// A table in memory, read in pieces of some size.
struct TableText: TableSource {
    var bytes: [UInt8]
    var pieceBytes = 7

    init(_ text: String, pieceBytes: Int = 7) {
        bytes = Array(text.utf8)
        self.pieceBytes = pieceBytes
    }

    func read(_ body: (UnsafeRawBufferPointer) throws -> Bool) throws {
        var start = 0
        while start < bytes.count {
            let end = min(bytes.count, start + pieceBytes)
            guard try Array(bytes[start..<end]).withUnsafeBytes(body) else { return }
            start = end
        }
    }
}

/// A table as values, for making random ones and for saying what a merge ought to give.
struct SampleTable: Equatable {
    var columns: [String]
    var rows: [[String]]

    static let words = [
        "", "a", "b", "ä", "x y", "c,d", "say \"hi\"", "two\nlines", "cr\rlf\r\n", "=1+1", "0", " padded ", "\u{1F9ED}",
    ]

    static func random(_ random: inout SeededRandom, keyed: Bool) -> SampleTable {
        let columns = ["id", "b", "c", "d"].prefix(Int.random(in: 2...4, using: &random))
        var ids = Array(0..<40).shuffled(using: &random)
        ids.removeLast(Int.random(in: 0...40, using: &random))
        return SampleTable(
            columns: Array(columns),
            rows: ids.map { id in
                [keyed ? "\(id)" : words[Int.random(in: 0...3, using: &random)]]
                    + columns.dropFirst().map { _ in words[Int.random(in: 0..<(keyed ? words.count : 3), using: &random)] }
            })
    }

    /// Some rows changed, deleted, added, and now and then moved.
    func edited(_ random: inout SeededRandom, edits: Int, columnsToo: Bool = false, keyed: Bool = true) -> SampleTable {
        var table = self
        for _ in 0..<edits {
            let kind = Int.random(in: 0..<(columnsToo ? 12 : 10), using: &random)
            switch kind {
            case 0...1 where !table.rows.isEmpty: table.rows.remove(at: Int.random(in: 0..<table.rows.count, using: &random))
            case 2...4:
                let id =
                    keyed
                    ? "\(Int.random(in: 100...120, using: &random))" : SampleTable.words[Int.random(in: 0...3, using: &random)]
                if keyed, table.rows.contains(where: { $0[table.keyIndex] == id }) { continue }
                var row = table.columns.map { _ in SampleTable.words[Int.random(in: 0..<3, using: &random)] }
                row[table.keyIndex] = id
                table.rows.insert(row, at: Int.random(in: 0...table.rows.count, using: &random))
            case 5...9 where !table.rows.isEmpty:
                let row = Int.random(in: 0..<table.rows.count, using: &random)
                let column = Int.random(in: 0..<table.columns.count, using: &random)
                if keyed, column == table.keyIndex { continue }
                table.rows[row][column] = SampleTable.words[Int.random(in: 0..<SampleTable.words.count, using: &random)]
            case 10:
                let name = ["new1", "new2"][Int.random(in: 0...1, using: &random)]
                if table.columns.contains(name) { continue }
                let place = Int.random(in: 1...table.columns.count, using: &random)
                table.columns.insert(name, at: place)
                for row in table.rows.indices { table.rows[row].insert("n", at: place) }
            case 11 where table.columns.count > 2:
                let place = Int.random(in: 0..<table.columns.count, using: &random)
                if place == table.keyIndex { continue }
                table.columns.remove(at: place)
                for row in table.rows.indices { table.rows[row].remove(at: place) }
            default: continue
            }
        }
        return table
    }

    var keyIndex: Int { columns.firstIndex(of: "id") ?? 0 }

    /// Written with needless quotes, mixed line ends, and sometimes no line end at the end.
    func text(_ random: inout SeededRandom, neat: Bool = false) -> TableText {
        var text = !neat && Int.random(in: 0...5, using: &random) == 0 ? "\u{FEFF}" : ""
        let ends = neat ? ["\n"] : [["\n"], ["\r\n"], ["\n", "\r\n", "\r"]][Int.random(in: 0...2, using: &random)]
        let all = [columns] + rows
        for (index, row) in all.enumerated() {
            text += row.map { value in
                let needs =
                    value.unicodeScalars.contains { ",\"\r\n".unicodeScalars.contains($0) } || (row.count == 1 && value.isEmpty)
                let quotes = needs || (!neat && Int.random(in: 0...4, using: &random) == 0)
                return quotes
                    ? "\"" + value.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
                    : value
            }.joined(separator: ",")
            if index < all.count - 1 || neat || Bool.random(using: &random) {
                text += ends[Int.random(in: 0..<ends.count, using: &random)]
            }
        }
        return TableText(text, pieceBytes: Int.random(in: 1...64, using: &random))
    }

    init(columns: [String], rows: [[String]]) {
        self.columns = columns
        self.rows = rows
    }

    /// Read back by the other reader.
    init(_ bytes: [UInt8]) throws {
        let rows = try readCSV(bytes).texts
        self.init(columns: rows.first ?? [], rows: Array(rows.dropFirst()))
    }

    /// By key.
    var keyed: [String: [String: String]] {
        Dictionary(
            rows.map { row in (row[keyIndex], Dictionary(zip(columns, row), uniquingKeysWith: { $1 })) }, uniquingKeysWith: { $1 }
        )
    }

    /// How often each row occurs.
    var counted: [[String]: Int] { Dictionary(rows.map { ($0, 1) }, uniquingKeysWith: +) }
}

struct Merged: Equatable {
    var bytes: [UInt8]
    var result: TableMergeResult
    var text: String { String(decoding: bytes, as: UTF8.self) }
}

func merge(_ base: TableText?, _ ours: TableText, _ theirs: TableText, key: [String]? = ["id"], rowsMax: Int = 1 << 20) throws
    -> Merged
{
    var options = TableMergeOptions(key: key)
    options.rowsMax = rowsMax
    options.delimiters = (0x2C, 0x2C, 0x2C)
    var bytes: [UInt8] = []
    let result = try TableMerge.merge(base: base, ours: ours, theirs: theirs, options: options) { bytes.append(contentsOf: $0) }
    return Merged(bytes: bytes, result: result)
}

func merge(_ base: String, _ ours: String, _ theirs: String, key: [String]? = ["id"]) throws -> Merged {
    try merge(TableText(base), TableText(ours), TableText(theirs), key: key)
}

func diff(_ before: TableText, _ after: TableText, key: [String]? = ["id"], limit: Int = .max / 8, rowsMax: Int = 1 << 20) throws
    -> TableDiff
{
    try TableDiff(
        from: before, to: after, key: key, delimiters: (0x2C, 0x2C), limit: limit, textBytesMax: .max / 2, rowsMax: rowsMax)
}
