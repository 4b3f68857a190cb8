// What rows say of segments, read by those who compare the two: `StoreCheck`, `StoreStatistics`.
internal import Foundation
internal import GRDB
internal import HansaContent
internal import HansaCore
internal import HansaSync

/// A record that a row names, other than for a chunk.
struct NamedPlace: Sendable {
    enum Kind: Sendable { case document, table, page }

    let place: ContentLocation
    let kind: Kind
    /// The release whose row names it; nil for transfers, receipts and disputes.
    let release: Digest?
}

/// A row of `chunk`.
struct ChunkPlace: Sendable {
    let block: ContentLocation
    /// In the block's raw bytes.
    let offset: UInt32
    let length: UInt32
    let id: Digest
    let city: Int64
}

extension ContentLocation {
    static func precedes(_ one: ContentLocation, _ other: ContentLocation) -> Bool {
        (one.segment, one.offset) < (other.segment, other.offset)
    }
}

extension SQLiteStore {
    /// All places that rows name but for chunks, in order of place. 56 bytes each in memory.
    func namedPlaces() throws -> [NamedPlace] {
        try reading { database in
            var places: [NamedPlace] = []
            func take(_ row: Row, _ release: Digest?) throws {
                for (column, kind) in [(0, NamedPlace.Kind.document), (1, .table), (2, .page)] where column < row.count {
                    places += try SQLiteStore.places(row, column).map { NamedPlace(place: $0, kind: kind, release: release) }
                }
            }
            let releases = try Row.fetchCursor(database, sql: "SELECT document, file_table, pages, digest FROM release")
            while let row = try releases.next() { try take(row, try SQLiteStore.digest(row, 3)) }
            for sql in [
                "SELECT document, file_table, pages FROM transfer", "SELECT document FROM receipt",
                "SELECT document FROM dispute",
            ] {
                let rows = try Row.fetchCursor(database, sql: sql)
                while let row = try rows.next() { try take(row, nil) }
            }
            return places.sorted { ContentLocation.precedes($0.place, $1.place) }
        }
    }

    /// The rows of chunks that lie in some segments, in order of place and offset. Reads the whole table.
    func chunkPlaces(in segments: ClosedRange<UInt32>) throws -> [ChunkPlace] {
        try reading { database in
            var places: [ChunkPlace] = []
            let rows = try Row.fetchCursor(
                database,
                sql:
                    "SELECT segment, record, record_length, raw_offset, raw_length, id, city FROM chunk WHERE segment BETWEEN ? AND ?",
                arguments: [Int64(segments.lowerBound), Int64(segments.upperBound)])
            while let row = try rows.next() {
                places.append(
                    ChunkPlace(
                        block: ContentLocation(
                            segment: try SQLiteStore.word(row, 0), offset: try SQLiteStore.word(row, 1),
                            length: try SQLiteStore.word(row, 2)),
                        offset: try SQLiteStore.word(row, 3), length: try SQLiteStore.word(row, 4),
                        id: try SQLiteStore.digest(row, 5), city: row[6]))
            }
            return places.sorted {
                ($0.block.segment, $0.block.offset, $0.offset, $0.city) < ($1.block.segment, $1.block.offset, $1.offset, $1.city)
            }
        }
    }

    /// Blocks that chunk rows name: their stored length, and the raw bytes that the rows of one city find in them.
    func blocks() throws -> [UInt64: (stored: UInt32, raw: UInt64)] {
        try reading { database in
            var blocks: [UInt64: (stored: UInt32, raw: UInt64)] = [:]
            let rows = try Row.fetchCursor(
                database,
                sql: """
                    SELECT segment, record, MAX(record_length), SUM(raw_length) FROM
                        (SELECT DISTINCT segment, record, record_length, raw_offset, raw_length FROM chunk) GROUP BY segment, record
                    """)
            while let row = try rows.next() {
                let raw: Int64 = row[3]
                blocks[UInt64(try SQLiteStore.word(row, 0)) << 32 | UInt64(try SQLiteStore.word(row, 1))] = (
                    try SQLiteStore.word(row, 2), UInt64(clamping: raw)
                )
            }
            return blocks
        }
    }

    /// Digests of releases in the order in which they were committed, after the row `after`, with the number of each row.
    func releaseDigests(after: Int64, limit: Int) throws -> [(row: Int64, digest: Digest)] {
        try reading { database in
            try Row.fetchAll(
                database, sql: "SELECT id, digest FROM release WHERE id > ? ORDER BY id LIMIT ?", arguments: [after, limit]
            ).map { ($0[0], try SQLiteStore.digest($0, 1)) }
        }
    }

    /// Packages that have a release, in order of id.
    func packagesWithReleases() throws -> [PackageID] {
        try reading { database in
            try String.fetchAll(
                database, sql: "SELECT name FROM package WHERE id IN (SELECT package FROM release) ORDER BY name"
            ).map { try SQLiteReading.package($0) }
        }
    }

    /// The number that stands for a city in rows.
    func number(ofCity city: CityID) throws -> Int64? {
        try reading { try Int64.fetchOne($0, sql: "SELECT id FROM city WHERE name = ?", arguments: [city.text]) }
    }

    /// Says anew where chunks lie, in one transaction; the bytes are durable.
    func place(_ chunks: [ChunkPlace]) throws {
        try transaction { database in
            for chunk in chunks {
                try database.execute(
                    sql: """
                        INSERT INTO chunk (city, id, segment, record, record_length, raw_offset, raw_length) VALUES (?, ?, ?, ?, ?, ?, ?)
                        ON CONFLICT DO UPDATE SET segment = excluded.segment, record = excluded.record,
                            record_length = excluded.record_length, raw_offset = excluded.raw_offset, raw_length = excluded.raw_length
                        """,
                    arguments: [
                        chunk.city, chunk.id.withUnsafeBytes { Data($0) }, Int64(chunk.block.segment), Int64(chunk.block.offset),
                        Int64(chunk.block.length), Int64(chunk.offset), Int64(chunk.length),
                    ])
                try database.execute(
                    sql:
                        "INSERT INTO segment_mark VALUES (?, ?) ON CONFLICT DO UPDATE SET end_offset = MAX(end_offset, excluded.end_offset)",
                    arguments: [Int64(chunk.block.segment), Int64(chunk.block.offset) + Int64(chunk.block.length)])
            }
            return ((), {})
        }
    }

    private func reading<T>(_ body: (Database) throws -> T) throws -> T {
        do { return try database.read(body) } catch { throw StoreFault(error) }
    }

    static func word(_ row: Row, _ column: Int) throws(StoreFault) -> UInt32 {
        let value: Int64 = row[column]
        guard let word = UInt32(exactly: value) else { throw .damaged("a row has the place \(value)") }
        return word
    }

    static func digest(_ row: Row, _ column: Int) throws(StoreFault) -> Digest {
        let bytes = try? row.withUnsafeData(atIndex: column) { $0.map { [UInt8]($0) } }
        guard let digest = bytes.flatMap(Digest.init) else { throw .damaged("a row has a digest that is none") }
        return digest
    }

    static func places(_ row: Row, _ column: Int) throws -> [ContentLocation] {
        let bytes = try row.withUnsafeData(atIndex: column) { $0.map { [UInt8]($0) } ?? [] }
        return try bytes.withUnsafeBytes { try ContentLocation.decode($0) }
    }
}
