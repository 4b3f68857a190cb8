// What the rows of one stretch of a table say of its columns, so that a stretch that was read once need not be read again where it stands in another
// version of the table.
//
// A stretch is whole rows: it begins where a row begins, and ends where one ends. Of it are kept the number of its rows and, for each column, the narrowest type of
// its values and which markers of missing values occur: what is said of a table is then the join of what is said of its stretches, in any order.
internal import HansaCore

/// What a stretch of whole rows says by itself, for a given delimiter.
public struct TableStretch: Hashable, Sendable {
    public let rows: UInt64
    /// For each column its type's code, and above it the markers' bits.
    let columns: [UInt8]

    static func code(_ type: TableFieldType, _ markers: MissingMarkers) -> UInt8 { type.rawValue | markers.rawValue << 4 }

    static func parts(of code: UInt8) -> (TableFieldType, MissingMarkers)? {
        TableFieldType(rawValue: code & 0x0F).map { ($0, MissingMarkers(rawValue: code >> 4)) }
    }
}

/// What is known of a table's chunks, in their order.
///
/// Local, and a cache: without it the table is read whole. Encoded: u8 version 1 ‖ u8 delimiter ‖ varint columns ‖ varint kinds ‖ kinds × columns bytes ‖
/// varint chunks ‖ for each varint kind + 1 (0: the chunk is no stretch) and, unless that is 0, varint rows.
public struct TableStretches: Sendable, Equatable {
    private static let version: UInt8 = 1
    /// Tables say few different things of their chunks. What goes beyond this is not kept.
    private static let kindsMax = 1024
    private static let kindBytesMax = 1 << 20

    public let delimiter: UInt8
    private var kinds: [[UInt8]] = []
    private var numbers: [[UInt8]: UInt32] = [:]
    private var chunks: [(kind: UInt32, rows: UInt32)] = []

    public init(delimiter: UInt8) { self.delimiter = delimiter }

    public static func == (a: TableStretches, b: TableStretches) -> Bool {
        a.delimiter == b.delimiter && a.kinds == b.kinds && a.chunks.elementsEqual(b.chunks, by: ==)
    }

    public var count: Int { chunks.count }

    /// Of a chunk; nil where it is no stretch.
    public subscript(number: Int) -> TableStretch? {
        let (kind, rows) = chunks[number]
        return kind == 0 ? nil : TableStretch(rows: UInt64(rows), columns: kinds[Int(kind) - 1])
    }

    /// The next chunk's.
    public mutating func append(_ stretch: TableStretch?) {
        guard let stretch, let rows = UInt32(exactly: stretch.rows), let kind = number(of: stretch.columns) else {
            return chunks.append((0, 0))
        }
        chunks.append((kind, rows))
    }

    private mutating func number(of columns: [UInt8]) -> UInt32? {
        if let known = numbers[columns] { return known }
        guard kinds.count < TableStretches.kindsMax, (kinds.count + 1) * columns.count <= TableStretches.kindBytesMax,
            kinds.first.map({ $0.count == columns.count }) ?? true
        else { return nil }
        kinds.append(columns)
        numbers[columns] = UInt32(kinds.count)
        return UInt32(kinds.count)
    }

    public func encoded() -> [UInt8] {
        let columns = kinds.first?.count ?? 0
        var writer = ByteWriter(reserving: kinds.count * columns + chunks.count * 4 + 16)
        writer.u8(TableStretches.version)
        writer.u8(delimiter)
        writer.varint(columns)
        writer.varint(kinds.count)
        for kind in kinds { writer.raw(kind) }
        writer.varint(chunks.count)
        for (kind, rows) in chunks {
            writer.varint(UInt64(kind))
            if kind > 0 { writer.varint(UInt64(rows)) }
        }
        return writer.bytes
    }

    /// Nil where the bytes are not as `encoded` writes them, or for another number of chunks.
    public init?(encoded: some Collection<UInt8>, chunks count: Int) {
        var reader = ByteReader(Array(encoded))
        guard (try? reader.u8()) == TableStretches.version, let delimiter = try? reader.u8() else { return nil }
        self.init(delimiter: delimiter)
        do throws(ByteFault) {
            let columns = try reader.count(max: CSVReader.fieldsMaxDefault)
            for _ in 0..<(try reader.count(max: TableStretches.kindsMax)) {
                guard number(of: Array(try reader.raw(columns))) == UInt32(kinds.count) else { return nil }
            }
            guard try reader.count(max: count) == count else { return nil }
            chunks.reserveCapacity(count)
            for _ in 0..<count {
                let kind = UInt32(try reader.count(max: kinds.count))
                chunks.append((kind, kind == 0 ? 0 : UInt32(try reader.count(max: Int(UInt32.max)))))
            }
            try reader.end()
        } catch {
            return nil
        }
    }
}
