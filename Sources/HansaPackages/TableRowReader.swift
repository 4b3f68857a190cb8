// A streaming reader that hands on whole rows of a delimited text with their exact bytes: what a merge copies must keep its quoting and its
// line ends. The grammar is `CSVReader`'s, and a test holds the two together; that one is for values, and faster.
//
// Call order: `feed` any number of times, then `finish` once. Memory is one row and one piece of input.

internal import HansaCore

/// A text that can be read from its beginning more than once and gives the same bytes each time.
public protocol TableSource {
    /// Hands all bytes on in order, in pieces of any size, until `body` returns false. The bytes are only good during the call.
    func read(_ body: (UnsafeRawBufferPointer) throws -> Bool) throws
}

/// Why two tables cannot be compared, or three not merged.
public enum TableCompareFault: Error, Equatable, Sendable, CustomStringConvertible {
    case csv(CSVFault)
    case rowTooLong(row: UInt64, bytesMax: Int)
    /// No header.
    case empty
    case repeatedColumn(String)
    case keyColumnMissing(String)
    /// Two rows of one table have the same key.
    case repeatedKey(row: UInt64)
    /// A row has another number of fields than the header, and its cells would have to be merged one by one.
    case raggedRow(row: UInt64)
    /// Without a key a row can only be known by all of its columns, and these differ.
    case columnsDifferWithoutKey
    /// The rows that must be held at once to merge their cells are larger than allowed.
    case tooManyChanges(bytesMax: Int)
    case tooManyRows(rowsMax: UInt64)

    public var description: String {
        switch self {
        case .csv(let fault): "\(fault)"
        case .rowTooLong(let row, let bytesMax): "row \(row) has more than \(bytesMax) bytes"
        case .empty: "the table is empty: it has no header"
        case .repeatedColumn(let name): "two columns are called '\(name.printable(charactersMax: 60))'"
        case .keyColumnMissing(let name): "the key's column '\(name.printable(charactersMax: 60))' is not in every version"
        case .repeatedKey(let row): "row \(row) has the key of another row"
        case .raggedRow(let row): "row \(row) has more or fewer fields than the header"
        case .columnsDifferWithoutKey: "the columns differ and the table has no primary key"
        case .tooManyChanges(let bytesMax): "the rows that both sides changed are larger than \(bytesMax) bytes together"
        case .tooManyRows(let rowsMax): "more than \(rowsMax) rows"
        }
    }
}

/// Where one field stands in the bytes of its row, quotes included.
struct TableCell: Sendable {
    var start: Int32
    var end: Int32
    var quoted: Bool
    /// Holds doubled quotes.
    var doubled: Bool
}

/// A row as it was read. The bytes are only good during the call that hands it on.
struct TableRow {
    /// From 1, the header's.
    let number: UInt64
    /// With the line end.
    let bytes: UnsafeRawBufferPointer
    /// 0 to 2 bytes at the end of `bytes`.
    let lineEndCount: Int
    let cells: [TableCell]

    /// An empty line, which is no row of data.
    var isBlank: Bool { cells.count == 1 && !cells[0].quoted && cells[0].start == cells[0].end }
    var bodyCount: Int { bytes.count - lineEndCount }

    func kept() -> KeptRow { KeptRow(number: number, bytes: [UInt8](bytes), lineEndCount: lineEndCount, cells: cells) }
}

/// A row that outlives its reader.
struct KeptRow: Sendable {
    let number: UInt64
    let bytes: [UInt8]
    let lineEndCount: Int
    let cells: [TableCell]

    func value(_ index: Int) -> [UInt8] { bytes.withUnsafeBytes { TableCells.value($0, cells[index]) } }
    func text(_ index: Int) -> String { String(decoding: value(index), as: UTF8.self) }
    /// Without the line end.
    var body: ArraySlice<UInt8> { bytes.dropLast(lineEndCount) }
}

enum TableCells {
    /// The field's value: without its quotes, doubled ones made single.
    static func value(_ bytes: UnsafeRawBufferPointer, _ cell: TableCell) -> [UInt8] {
        var value: [UInt8] = []
        append(bytes, cell, to: &value)
        return value
    }

    static func append(_ bytes: UnsafeRawBufferPointer, _ cell: TableCell, to value: inout [UInt8]) {
        let inset = cell.quoted ? 1 : 0
        let inner = bytes[(Int(cell.start) + inset)..<(Int(cell.end) - inset)]
        guard cell.doubled else { return value.append(contentsOf: inner) }
        var isSecond = false
        for byte in inner {
            if byte == Byte.quote, !isSecond {
                isSecond = true
                value.append(byte)
            } else {
                if byte != Byte.quote { value.append(byte) }
                isSecond = false
            }
        }
    }

    static func value(_ row: TableRow, _ index: Int) -> [UInt8] { value(row.bytes, row.cells[index]) }

    /// The bytes that stand for a field in a row with this delimiter: as it was written where that reads the same there.
    static func append(
        raw bytes: UnsafeRawBufferPointer, _ cell: TableCell, delimiter: UInt8, to output: inout [UInt8]
    ) {
        let raw = bytes[Int(cell.start)..<Int(cell.end)]
        if !cell.quoted, raw.contains(delimiter) {
            output.append(Byte.quote)
            for byte in raw {
                if byte == Byte.quote { output.append(byte) }
                output.append(byte)
            }
            output.append(Byte.quote)
        } else {
            output.append(contentsOf: raw)
        }
    }
}

/// Cuts one delimited text into rows.
struct TableRowReader {
    static let rowBytesMax = 16 << 20

    private enum State {
        case fieldStart
        case plain
        case quoted
        case quoteInQuoted
        /// Behind a CR: an LF still belongs to the row.
        case carriageReturn
    }

    let delimiter: UInt8
    /// Rows handed on so far.
    private(set) var rows: UInt64 = 0
    private(set) var hadByteOrderMark = false

    private var state = State.fieldStart
    /// What was fed and belongs to a row that is not whole yet.
    private var buffer: [UInt8] = []
    /// How far `buffer` was looked through.
    private var position = 0
    private var cells: [TableCell] = []
    private var cellStart = 0
    private var cellQuoted = false
    private var cellDoubled = false
    private var text = TextCheck()
    private var isAtFront = true

    init(delimiter: UInt8) { self.delimiter = delimiter }

    /// False when the handler wants no more.
    mutating func feed(_ bytes: UnsafeRawBufferPointer, _ handler: (TableRow) throws -> Bool) throws -> Bool {
        if let bad = text.firstBadByte(in: bytes) {
            buffer.append(contentsOf: bytes[..<bad])
            guard try drain(isEnd: false, handler) else { return false }
            throw TableCompareFault.csv(bytes[bad] == 0 ? .nul(row: rows + 1) : .notUTF8(row: rows + 1))
        }
        buffer.append(contentsOf: bytes)
        return try drain(isEnd: false, handler)
    }

    mutating func finish(_ handler: (TableRow) throws -> Bool) throws {
        guard text.isComplete else { throw TableCompareFault.csv(.notUTF8(row: rows + 1)) }
        _ = try drain(isEnd: true, handler)
    }

    private mutating func drain(isEnd: Bool, _ handler: (TableRow) throws -> Bool) throws -> Bool {
        if isAtFront {
            guard isEnd || buffer.count >= Byte.mark.count else { return true }
            isAtFront = false
            if buffer.starts(with: Byte.mark) {
                hadByteOrderMark = true
                buffer.removeFirst(Byte.mark.count)
            }
        }
        // Moved out, so that reading it does not overlap the changes to our own state.
        var held: [UInt8] = []
        swap(&held, &buffer)
        var consumed = 0
        let goesOn = try held.withUnsafeBytes { try scan($0, &consumed, isEnd: isEnd, handler) }
        if consumed > 0 {
            held.removeFirst(consumed)
            position -= consumed
        }
        swap(&held, &buffer)
        guard buffer.count <= TableRowReader.rowBytesMax else {
            throw TableCompareFault.rowTooLong(row: rows + 1, bytesMax: TableRowReader.rowBytesMax)
        }
        return goesOn
    }

    private mutating func scan(
        _ bytes: UnsafeRawBufferPointer, _ rowStart: inout Int, isEnd: Bool, _ handler: (TableRow) throws -> Bool
    ) throws -> Bool {
        let count = bytes.count
        while position < count {
            let byte = bytes[position]
            switch state {
            case .fieldStart:
                cellStart = position - rowStart
                cellQuoted = byte == Byte.quote
                cellDoubled = false
                if cellQuoted { position += 1 }
                state = cellQuoted ? .quoted : .plain
            case .plain:
                position = plainEnd(bytes, from: position)
                guard position < count else { break }
                if try !terminate(bytes, &rowStart, handler) { return false }
            case .quoted:
                position = QuoteFinder.firstQuote(in: bytes, from: position)
                guard position < count else { break }
                position += 1
                state = .quoteInQuoted
            case .quoteInQuoted:
                if byte == Byte.quote {
                    cellDoubled = true
                    position += 1
                    state = .quoted
                } else if byte == delimiter || byte == Byte.lineFeed || byte == Byte.carriageReturn {
                    if try !terminate(bytes, &rowStart, handler) { return false }
                } else {
                    throw TableCompareFault.csv(.textAfterQuote(row: rows + 1))
                }
            case .carriageReturn:
                if byte == Byte.lineFeed { position += 1 }
                if try !endRow(bytes, &rowStart, lineEndCount: byte == Byte.lineFeed ? 2 : 1, handler) { return false }
            }
        }
        return isEnd ? try end(bytes, &rowStart, handler) : true
    }

    // What stands there without a line end is a row too.
    private mutating func end(
        _ bytes: UnsafeRawBufferPointer, _ rowStart: inout Int, _ handler: (TableRow) throws -> Bool
    ) throws -> Bool {
        switch state {
        case .quoted: throw TableCompareFault.csv(.openQuote(row: rows + 1))
        case .carriageReturn: return try endRow(bytes, &rowStart, lineEndCount: 1, handler)
        case .fieldStart:
            guard !cells.isEmpty else { return true }
            cellStart = position - rowStart
            cellQuoted = false
            cellDoubled = false
        case .plain, .quoteInQuoted: break
        }
        try endCell(at: position - rowStart)
        return try endRow(bytes, &rowStart, lineEndCount: 0, handler)
    }

    // At the delimiter or line end that closes a field.
    private mutating func terminate(
        _ bytes: UnsafeRawBufferPointer, _ rowStart: inout Int, _ handler: (TableRow) throws -> Bool
    ) throws -> Bool {
        try endCell(at: position - rowStart)
        let byte = bytes[position]
        position += 1
        if byte == delimiter {
            state = .fieldStart
        } else if byte == Byte.carriageReturn {
            state = .carriageReturn
        } else {
            return try endRow(bytes, &rowStart, lineEndCount: 1, handler)
        }
        return true
    }

    private mutating func endCell(at end: Int) throws {
        guard end - cellStart <= CSVReader.fieldBytesMaxDefault * 2 + 2, end < TableRowReader.rowBytesMax else {
            throw TableCompareFault.csv(.fieldTooLong(row: rows + 1, bytesMax: CSVReader.fieldBytesMaxDefault))
        }
        guard cells.count < CSVReader.fieldsMaxDefault else {
            throw TableCompareFault.csv(.tooManyFields(row: rows + 1, countMax: CSVReader.fieldsMaxDefault))
        }
        cells.append(TableCell(start: Int32(cellStart), end: Int32(end), quoted: cellQuoted, doubled: cellDoubled))
    }

    private mutating func endRow(
        _ bytes: UnsafeRawBufferPointer, _ rowStart: inout Int, lineEndCount: Int, _ handler: (TableRow) throws -> Bool
    ) throws -> Bool {
        rows += 1
        let row = TableRow(
            number: rows, bytes: UnsafeRawBufferPointer(rebasing: bytes[rowStart..<position]), lineEndCount: lineEndCount,
            cells: cells)
        rowStart = position
        state = .fieldStart
        let goesOn = try handler(row)
        cells.removeAll(keepingCapacity: true)
        return goesOn
    }

    private func plainEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        let finder = StopFinder(delimiter: delimiter)
        var index = start
        while index < bytes.count {
            var flags =
                index + 8 <= bytes.count
                ? finder.flags(bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                : finder.flags(tail: bytes, from: index)
            while flags != 0 {
                let stop = index + flags.trailingZeroBitCount >> 3
                if bytes[stop] != Byte.quote { return stop }
                flags &= flags &- 1
            }
            index += 8
        }
        return bytes.count
    }
}
