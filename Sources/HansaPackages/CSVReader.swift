// A streaming CSV reader (RFC 4180) over raw bytes: no text is made, and no field is copied unless it spans two buffers or
// holds doubled quotes.
//
// Call order: `feed` any number of times, then `finish` once. How the input is cut into buffers never shows in the result.
// Memory is one field at most (`fieldBytesMax`). After a fault every further call throws the same fault.
//
// Beyond the RFC: LF, CR and CRLF end a row alike, mixed or not; a UTF-8 BOM at the front is skipped; a quote inside an
// unquoted field is an ordinary byte. Stricter than many readers: NUL, text after a closing quote and an open quote at the end
// are faults, because readers differ on them.

/// Receives what a `CSVReader` finds.
public protocol CSVHandler {
    /// One field of the current row. The bytes are only good during the call.
    mutating func field(_ bytes: UnsafeRawBufferPointer, quoted: Bool) throws(CSVFault)
    /// The row ends; it had `count` fields. An empty line is a row of one empty field that was not quoted.
    mutating func endOfRow(count: Int) throws(CSVFault)
}

/// Why bytes are no CSV. Rows count from 1, the header included.
public enum CSVFault: Error, Equatable, Sendable, CustomStringConvertible {
    case nul(row: UInt64)
    case fieldTooLong(row: UInt64, bytesMax: Int)
    case tooManyFields(row: UInt64, countMax: Int)
    case textAfterQuote(row: UInt64)
    /// The input ends inside quotes; `row` is where they were opened.
    case openQuote(row: UInt64)
    case notUTF8(row: UInt64)

    public var description: String {
        switch self {
        case .nul(let row): "a NUL byte in row \(row)"
        case .fieldTooLong(let row, let bytesMax): "a field of more than \(bytesMax) bytes in row \(row)"
        case .tooManyFields(let row, let countMax): "more than \(countMax) fields in row \(row)"
        case .textAfterQuote(let row): "text after a closing quote in row \(row)"
        case .openQuote(let row): "quotes opened in row \(row) are never closed"
        case .notUTF8(let row): "bytes that are not UTF-8 in row \(row)"
        }
    }
}

/// Reads one CSV text that is fed to it in pieces.
public struct CSVReader: Sendable {
    public static let fieldBytesMaxDefault = 1 << 20
    public static let fieldsMaxDefault = 1 << 14

    private enum State: Sendable {
        case fieldStart
        /// In an unquoted field whose first part is in `held`.
        case plain
        /// Inside quotes; what came before is in `held`.
        case quoted
        /// Just behind a quote inside a quoted field: a second one is data, anything else ends it.
        case quoteInQuoted
    }

    public let delimiter: UInt8
    public let fieldBytesMax: Int
    public let fieldsMax: Int
    /// Rows completed so far.
    public private(set) var rows: UInt64 = 0
    public private(set) var hadByteOrderMark = false

    private var state = State.fieldStart
    /// Fields of the current row completed so far.
    private var fields = 0
    private var held: [UInt8] = []
    /// The last byte was a CR that ended a row: an LF now belongs to it.
    private var skipsLineFeed = false
    private var text = TextCheck()
    /// Bytes of a BOM seen so far; nil once the front of the input is behind us.
    private var markBytes: Int? = 0
    private var fault: CSVFault?

    /// `delimiter` is an ASCII byte other than NUL, quote, CR and LF.
    public init(
        delimiter: UInt8 = UInt8(ascii: ","), fieldBytesMax: Int = CSVReader.fieldBytesMaxDefault,
        fieldsMax: Int = CSVReader.fieldsMaxDefault
    ) {
        precondition(
            delimiter < 0x80 && delimiter != 0 && delimiter != Byte.quote && delimiter != Byte.carriageReturn
                && delimiter != Byte.lineFeed, "not a delimiter")
        self.delimiter = delimiter
        self.fieldBytesMax = fieldBytesMax
        self.fieldsMax = fieldsMax
    }

    /// Everything so far was whole rows: what comes next is read alike whatever came before.
    var isBetweenRows: Bool {
        guard case .fieldStart = state else { return false }
        return fault == nil && fields == 0 && !skipsLineFeed && text.isComplete && markBytes == nil
    }

    /// If the input ended here, that would be a fault.
    var mustGoOn: Bool {
        if case .quoted = state { return true }
        return !text.isComplete
    }

    /// The next bytes of the input, any number of them.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer, to handler: inout some CSVHandler) throws(CSVFault) {
        if let fault { throw fault }
        do throws(CSVFault) {
            // Whatever stands before a bad byte is read first, so that the fault names its row.
            guard let bad = text.firstBadByte(in: bytes) else { return try consume(bytes, &handler) }
            try consume(UnsafeRawBufferPointer(rebasing: bytes[..<bad]), &handler)
            throw bytes[bad] == 0 ? .nul(row: rows + 1) : .notUTF8(row: rows + 1)
        } catch {
            fault = error
            throw error
        }
    }

    /// The input is at its end. The last row needs no line end.
    public mutating func finish(to handler: inout some CSVHandler) throws(CSVFault) {
        if let fault { throw fault }
        do throws(CSVFault) {
            if !text.isComplete { throw .notUTF8(row: rows + 1) }
            if let count = markBytes, count > 0 { try leaveMark(count, &handler) }
            switch state {
            case .fieldStart:
                guard fields > 0 else { return }
                try emit(UnsafeRawBufferPointer(start: nil, count: 0), quoted: false, &handler)
            case .plain: try emitHeld(quoted: false, &handler)
            case .quoteInQuoted: try emitHeld(quoted: true, &handler)
            case .quoted: throw .openQuote(row: rows + 1)
            }
            state = .fieldStart
            try endRow(&handler)
        } catch {
            fault = error
            throw error
        }
    }

    // MARK: The front

    private mutating func consume(_ bytes: UnsafeRawBufferPointer, _ handler: inout some CSVHandler) throws(CSVFault) {
        var bytes = bytes
        while let count = markBytes, let byte = bytes.first {
            if byte == Byte.mark[count] {
                bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
                markBytes = count + 1
                if count + 1 == Byte.mark.count {
                    hadByteOrderMark = true
                    markBytes = nil
                }
            } else {
                try leaveMark(count, &handler)
            }
        }
        if bytes.count > 0 { try read(bytes, &handler) }
    }

    // The bytes that looked like a BOM were data after all.
    private mutating func leaveMark(_ count: Int, _ handler: inout some CSVHandler) throws(CSVFault) {
        markBytes = nil
        if count > 0 {
            held.append(contentsOf: Byte.mark[..<count])
            state = .plain
        }
    }

    // MARK: The body

    private mutating func read(_ bytes: UnsafeRawBufferPointer, _ handler: inout some CSVHandler) throws(CSVFault) {
        var position = 0
        while position < bytes.count {
            switch state {
            case .fieldStart: try readFields(bytes, &position, &handler)
            case .plain:
                let end = plainEnd(bytes, from: position)
                try hold(bytes, position..<end)
                position = end
                if position < bytes.count {
                    try emitHeld(quoted: false, &handler)
                    try passTerminator(bytes, &position, &handler)
                }
            case .quoted: try readQuoted(bytes, &position, &handler)
            case .quoteInQuoted:
                if bytes[position] == Byte.quote {
                    try hold(bytes, position..<(position + 1))
                    position += 1
                    state = .quoted
                } else {
                    try emitHeld(quoted: true, &handler)
                    try passTerminator(bytes, &position, &handler)
                }
            }
        }
    }

    // The hot loop: whole fields in this buffer. Eight bytes at a time become a word with a flag for each byte that may end a
    // field, so the work is per word and per field, and no branch depends on a field's length.
    private mutating func readFields(
        _ bytes: UnsafeRawBufferPointer, _ position: inout Int, _ handler: inout some CSVHandler
    ) throws(CSVFault) {
        let end = bytes.count
        let finder = StopFinder(delimiter: delimiter)
        let delimiter = self.delimiter
        var start = position
        var skipped = skipsLineFeed ? start : -1
        skipsLineFeed = false
        var index = start
        while index < end {
            var flags: UInt64
            if index + 8 <= end {
                flags = finder.flags(bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            } else {
                flags = finder.flags(tail: bytes, from: index)
            }
            while flags != 0 {
                let stop = index + flags.trailingZeroBitCount >> 3
                flags &= flags &- 1
                let byte = bytes[stop]
                if byte == delimiter {
                    try emit(UnsafeRawBufferPointer(rebasing: bytes[start..<stop]), quoted: false, &handler)
                    start = stop + 1
                } else if byte == Byte.quote {
                    // Inside an unquoted field a quote is an ordinary byte.
                    guard stop == start else { continue }
                    position = stop + 1
                    state = .quoted
                    return
                } else if byte == Byte.lineFeed && stop == skipped {
                    start = stop + 1
                } else {
                    try emit(UnsafeRawBufferPointer(rebasing: bytes[start..<stop]), quoted: false, &handler)
                    try endRow(&handler)
                    start = stop + 1
                    if byte == Byte.carriageReturn { skipped = start }
                }
            }
            index += 8
        }
        position = end
        if start < end {
            try hold(bytes, start..<end)
            state = .plain
        } else {
            skipsLineFeed = skipped == end
        }
    }

    private mutating func readQuoted(
        _ bytes: UnsafeRawBufferPointer, _ position: inout Int, _ handler: inout some CSVHandler
    ) throws(CSVFault) {
        let start = position
        let end = QuoteFinder.firstQuote(in: bytes, from: start)
        // The usual case, whole in this buffer without a doubled quote, is handed on without a copy.
        if held.isEmpty, end + 1 < bytes.count, bytes[end + 1] != Byte.quote {
            position = end + 1
            try emit(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), quoted: true, &handler)
            return try passTerminator(bytes, &position, &handler)
        }
        try hold(bytes, start..<end)
        position = end
        if end < bytes.count {
            position += 1
            state = .quoteInQuoted
        }
    }

    // A field has been handed on, and the byte at `position` must end it.
    private mutating func passTerminator(
        _ bytes: UnsafeRawBufferPointer, _ position: inout Int, _ handler: inout some CSVHandler
    ) throws(CSVFault) {
        let byte = bytes[position]
        position += 1
        state = .fieldStart
        switch byte {
        case delimiter: return
        case Byte.lineFeed: try endRow(&handler)
        case Byte.carriageReturn:
            try endRow(&handler)
            skipsLineFeed = true
        default: throw .textAfterQuote(row: rows + 1)
        }
    }

    private func plainEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start
        while index < bytes.count {
            let byte = bytes[index]
            if byte == delimiter || byte == Byte.lineFeed || byte == Byte.carriageReturn { break }
            index += 1
        }
        return index
    }

    private mutating func hold(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) throws(CSVFault) {
        guard held.count + range.count <= fieldBytesMax else {
            held = []
            throw .fieldTooLong(row: rows + 1, bytesMax: fieldBytesMax)
        }
        held.append(contentsOf: bytes[range])
    }

    private mutating func emitHeld(quoted: Bool, _ handler: inout some CSVHandler) throws(CSVFault) {
        // Moved out, so that the handler's call does not overlap an access to our own storage.
        var field: [UInt8] = []
        swap(&field, &held)
        // A closure cannot carry a typed throw through `withUnsafeBytes`, so the fault comes out as a value.
        let fault: CSVFault? = field.withUnsafeBytes { bytes in
            do throws(CSVFault) { try emit(bytes, quoted: quoted, &handler) } catch { return error }
            return nil
        }
        if let fault { throw fault }
        field.removeAll(keepingCapacity: field.capacity <= 1 << 16)
        swap(&field, &held)
    }

    @inline(__always)
    private mutating func emit(
        _ bytes: UnsafeRawBufferPointer, quoted: Bool, _ handler: inout some CSVHandler
    ) throws(CSVFault) {
        guard bytes.count <= fieldBytesMax else { throw .fieldTooLong(row: rows + 1, bytesMax: fieldBytesMax) }
        guard fields < fieldsMax else { throw .tooManyFields(row: rows + 1, countMax: fieldsMax) }
        fields += 1
        try handler.field(bytes, quoted: quoted)
    }

    @inline(__always)
    private mutating func endRow(_ handler: inout some CSVHandler) throws(CSVFault) {
        let count = fields
        fields = 0
        rows += 1
        try handler.endOfRow(count: count)
    }
}
