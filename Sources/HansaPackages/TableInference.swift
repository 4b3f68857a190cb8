// From the bytes of a CSV file to a Table Schema (Data Package v2), in one pass and constant memory.
//
// Call order: `feed` any number of times, then `finish` once. The first 64 KiB are held to find the delimiter; after that
// memory is the columns, one field, and the fingerprints of at most three candidate keys (16 MiB each at the worst).
internal import HansaCore

/// What inference found in one table.
public struct InferredTable: Sendable, Equatable {
    public struct Field: Sendable, Equatable {
        /// Unique within the table: the header's text, made so where it was empty or repeated.
        public let name: String
        public let type: TableFieldType
        /// Rows in which the value is missing: empty, or one of `missingValues`.
        public let missing: UInt64
        /// What stands for a missing value besides nothing, among `NA`, `N/A`, `NULL`, `null`; never in a column of text.
        public let missingValues: [String]

        public init(name: String, type: TableFieldType, missing: UInt64 = 0, missingValues: [String] = []) {
            self.name = name
            self.type = type
            self.missing = missing
            self.missingValues = missingValues
        }
    }

    /// Something a person may want to mend; none of it keeps a table from being published.
    public enum Note: Sendable, Equatable, CustomStringConvertible {
        case renamedField(column: Int, header: String, name: String)
        /// Rows with more or fewer fields than the header; `row` is the first.
        case raggedRows(count: UInt64, row: UInt64)
        case blankRows(count: UInt64)
        case byteOrderMark
        /// The table is longer than uniqueness is looked for.
        case keyNotSought(rowsMax: Int)

        public var description: String {
            switch self {
            case .renamedField(let column, let header, let name):
                header.isEmpty
                    ? "column \(column) has no header; its field is named '\(name)'"
                    : "the header '\(header.printable(charactersMax: 60))' of column \(column) is taken; its field is named "
                        + "'\(name.printable(charactersMax: 60))'"
            case .raggedRows(let count, let row):
                "\(count) rows have more or fewer fields than the header, the first is row \(row)"
            case .blankRows(let count): "\(count) blank rows"
            case .byteOrderMark: "the file begins with a byte order mark"
            case .keyNotSought(let rowsMax): "no primary key was looked for beyond \(rowsMax) rows"
            }
        }
    }

    public let fields: [Field]
    /// Rows of data: neither the header nor blank rows.
    public let rows: UInt64
    public let delimiter: UInt8
    /// The first column, the column named `id`, or the first two together, when their values are present and unique.
    public let primaryKey: [String]?
    public let notes: [Note]

    public init(fields: [Field], rows: UInt64, delimiter: UInt8, primaryKey: [String]?, notes: [Note]) {
        self.fields = fields
        self.rows = rows
        self.delimiter = delimiter
        self.primaryKey = primaryKey
        self.notes = notes
    }
}

/// Why a file is published as a plain file and not as a table.
public enum TableFault: Error, Sendable, Equatable, CustomStringConvertible {
    case csv(CSVFault)
    case empty

    public var description: String {
        switch self {
        case .csv(let fault): "is no CSV table: \(fault)"
        case .empty: "is empty"
        }
    }
}

/// Infers one table from bytes that are pushed to it.
public struct TableInference: Sendable {
    public static let sniffBytesMax = 1 << 16
    /// Beyond this many rows no primary key is looked for.
    public static let keyRowsMax = 1 << 20

    private enum State: Sendable {
        case sniffing([UInt8])
        case reading(CSVReader, TableObserver)
        case failed(CSVFault)
    }

    private var state: State
    private let delimiter: UInt8?
    private let keyRowsMax: Int
    private var hasSkipped = false

    /// `delimiter` is found among `, ; TAB |` when it is not given. `keyRowsMax` bounds the search for a primary key.
    public init(delimiter: UInt8? = nil, keyRowsMax: Int = TableInference.keyRowsMax) {
        self.delimiter = delimiter
        self.keyRowsMax = keyRowsMax
        state = .sniffing([])
    }

    /// False once the bytes turned out to be no CSV: the rest need not be fed.
    public var wantsMore: Bool { if case .failed = state { false } else { true } }

    /// The next bytes of the file, any number of them. O(bytes).
    public mutating func feed(_ bytes: UnsafeRawBufferPointer) {
        // Taken out, so that buffers and columns are changed in place.
        var current = State.sniffing([])
        swap(&current, &state)
        switch consume current {
        case .failed(let fault): state = .failed(fault)
        case .reading(let reader, let observer): state = TableInference.read(bytes, reader, observer)
        case .sniffing(var head):
            // Always the same head, however the input is cut.
            let taken = min(bytes.count, TableInference.sniffBytesMax - head.count)
            head.append(contentsOf: bytes[..<taken])
            guard head.count == TableInference.sniffBytesMax else {
                state = .sniffing(head)
                return
            }
            state = begin(head, isWhole: false)
            if taken < bytes.count { feed(UnsafeRawBufferPointer(rebasing: bytes[taken...])) }
        }
    }

    /// As `feed`, and tells what these bytes say by themselves: nil where they are not whole rows behind the head.
    public mutating func feed(stretch bytes: UnsafeRawBufferPointer) -> TableStretch? {
        var begins = false
        withTable { reader, observer in begins = reader.isBetweenRows && observer.beginStretch() }
        feed(bytes)
        var stretch: TableStretch?
        if begins { withTable { reader, observer in stretch = reader.isBetweenRows ? observer.stretch() : nil } }
        return stretch
    }

    /// Passes over bytes that were a stretch of a table with this delimiter. False: they have to be read here.
    ///
    /// What is found in the end is the same but for what it counts as missing and for notes; see `mustReadWhole` for the key.
    public mutating func skip(_ stretch: TableStretch) -> Bool {
        var isSkipped = false
        withTable { reader, observer in isSkipped = reader.isBetweenRows && observer.skip(stretch) }
        if isSkipped { hasSkipped = true }
        return isSkipped
    }

    /// At the end: stretches were passed over in a table that is no CSV after all, or so short that a key is looked for. All of it is to be read anew.
    public var mustReadWhole: Bool {
        guard hasSkipped, case .reading(let reader, let observer) = state else { return hasSkipped }
        return reader.mustGoOn || observer.rows <= UInt64(keyRowsMax)
    }

    /// It has too many rows for a key to be looked for: what is known of its stretches is enough to know it again.
    public var isLong: Bool { if case .reading(_, let observer) = state { observer.rows > UInt64(keyRowsMax) } else { false } }

    /// By which the rows are read; nil while too little was fed to tell.
    public var delimiterInUse: UInt8? { if case .reading(let reader, _) = state { reader.delimiter } else { nil } }

    /// In place; nothing while the head is not read, or after a fault.
    private mutating func withTable(_ body: (CSVReader, inout TableObserver) -> Void) {
        var current = State.sniffing([])
        swap(&current, &state)
        switch consume current {
        case .reading(let reader, var observer):
            body(reader, &observer)
            state = .reading(reader, observer)
        case let other: state = other
        }
    }

    /// The file is at its end.
    public consuming func finish() throws(TableFault) -> InferredTable {
        if case .sniffing(let head) = state { state = begin(head, isWhole: true) }
        switch state {
        case .reading(var reader, var observer):
            do throws(CSVFault) { try reader.finish(to: &observer) } catch { throw .csv(error) }
            return try observer.table(delimiter: reader.delimiter, hadByteOrderMark: reader.hadByteOrderMark)
        case .failed(let fault): throw .csv(fault)
        case .sniffing: throw .empty
        }
    }

    private func begin(_ head: [UInt8], isWhole: Bool) -> State {
        let found = delimiter ?? DelimiterSniffer.delimiter(of: head, isWhole: isWhole)
        return head.withUnsafeBytes {
            TableInference.read($0, CSVReader(delimiter: found), TableObserver(keyRowsMax: keyRowsMax))
        }
    }

    private static func read(
        _ bytes: UnsafeRawBufferPointer, _ reader: consuming CSVReader, _ observer: consuming TableObserver
    ) -> State {
        do throws(CSVFault) { try reader.feed(bytes, to: &observer) } catch { return .failed(error) }
        return .reading(reader, observer)
    }
}

/// Chooses among `, ; TAB |` by how evenly each divides the first rows.
enum DelimiterSniffer {
    static let candidates: [UInt8] = [0x2C, 0x3B, 0x09, 0x7C]
    private static let rowsMax = 64

    /// The candidate that most rows hold as often as the first row does; of equals the one held more often, then the first.
    static func delimiter(of head: [UInt8], isWhole: Bool) -> UInt8 {
        var best = (delimiter: candidates[0], even: 0, count: 0)
        for delimiter in candidates {
            let counts = rowCounts(of: delimiter, in: head, isWhole: isWhole)
            guard let first = counts.first, first > 0 else { continue }
            let even = counts.count { $0 == first }
            if even > best.even || even == best.even && first > best.count { best = (delimiter, even, first) }
        }
        return best.delimiter
    }

    // How often the delimiter stands outside quotes in each of the first rows that are not blank.
    private static func rowCounts(of delimiter: UInt8, in head: [UInt8], isWhole: Bool) -> [Int] {
        var counts: [Int] = []
        var count = 0
        var bytes = 0
        var quoted = false
        for byte in head {
            if byte == Byte.quote { quoted.toggle() }
            if !quoted, byte == Byte.lineFeed || byte == Byte.carriageReturn {
                if bytes > 0 { counts.append(count) }
                if counts.count == rowsMax { return counts }
                (count, bytes) = (0, 0)
            } else {
                bytes += 1
                if !quoted, byte == delimiter { count += 1 }
            }
        }
        // A row cut off by the end of the head says nothing, unless it is all there is.
        if bytes > 0, isWhole || counts.isEmpty { counts.append(count) }
        return counts
    }
}
