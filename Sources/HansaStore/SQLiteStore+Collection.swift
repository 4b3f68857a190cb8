// What collection asks of rows and does to them: which content is given up, which chunks no release needs, and where records have gone.
internal import Foundation
internal import GRDB
internal import HansaContent
internal import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaSync
internal import HansaTerms

/// A row of `chunk` that no release needs.
struct LooseChunk: Sendable {
    let city: Int64
    let id: Digest
    var key: ChunkKey { ChunkKey(city: city, id) }
}

/// Copies of records that stand in other segments, durably.
struct SegmentMoves: Sendable {
    /// The segments that they were copied from: all that rows name in them must be here, or the segment stays.
    let segments: Set<UInt32>
    /// Records that were copied as they are, by their old place.
    var records: [UInt64: ContentLocation] = [:]
    /// Chunks of blocks that were packed anew, by the block's old place and the offset in its raw bytes.
    var chunks: [RepackedChunk: (block: ContentLocation, offset: UInt32)] = [:]

    struct RepackedChunk: Hashable, Sendable {
        let block: UInt64
        let offset: UInt32
    }

    init(segments: Set<UInt32>) { self.segments = segments }

    static func key(_ segment: UInt32, _ offset: UInt32) -> UInt64 { UInt64(segment) << 32 | UInt64(offset) }
}

/// What a release whose content is here names, besides its document.
struct ContentRow: Sendable {
    let city: Int64
    let pages: [ContentLocation]
}

extension SQLiteStore {
    /// Segments that hold bytes which were given up, whatever else they hold: u32 big-endian each.
    private static let rewriteSetting = "store.rewrite"
    private static let withdrawn = """
        FROM release r JOIN package p ON p.id = r.package
        WHERE p.withdrawn_seq IS NOT NULL AND COALESCE(r.owner_seq, r.seq) <= p.withdrawn_seq AND length(r.file_table) > 0
        """

    // MARK: Looking

    /// What `body` throws of its own comes through as it is.
    func query<T>(_ body: (Database) throws -> T) throws -> T {
        do { return try database.read(body) } catch let error as DatabaseError { throw StoreFault(error) }
    }

    /// Bytes of releases that were withdrawn and whose content is still named.
    func withdrawnWithContent() throws -> Int {
        try query { try Int.fetchOne($0, sql: "SELECT COUNT(*) " + SQLiteStore.withdrawn) ?? 0 }
    }

    /// Calls `body` for each release whose content stays, and each transfer, with whose chunks its pages name; city 0 where that is not known.
    func eachContent(_ body: (ContentRow) throws -> Void) throws {
        try query { database in
            let rows = try Row.fetchCursor(
                database,
                sql: """
                    SELECT COALESCE(r.served_by, r.writer), r.pages FROM release r JOIN package p ON p.id = r.package
                    WHERE length(r.file_table) > 0 AND (p.withdrawn_seq IS NULL OR COALESCE(r.owner_seq, r.seq) > p.withdrawn_seq)
                    """)
            while let row = try rows.next() { try body(ContentRow(city: row[0], pages: try SQLiteStore.places(row, 1))) }
            try SQLiteStore.eachTransfer(database, body)
        }
    }

    private static func eachTransfer(_ database: Database, _ body: (ContentRow) throws -> Void) throws {
        if SeededBug.isOn(.collectionForgetsTransfers) { return }
        let rows = try Row.fetchCursor(
            database, sql: "SELECT COALESCE(s.publisher, 0), t.pages FROM transfer t LEFT JOIN subscribed s ON s.view = t.view")
        while let row = try rows.next() { try body(ContentRow(city: row[0], pages: try SQLiteStore.places(row, 1))) }
    }

    /// Calls `body` for each row of a chunk, in order of city and id.
    func eachChunk(_ body: (_ chunk: LooseChunk, _ place: ChunkLocation) throws -> Void) throws {
        try query { database in
            let rows = try Row.fetchCursor(
                database,
                sql: "SELECT city, id, segment, record, record_length, raw_offset, raw_length FROM chunk ORDER BY city, id")
            while let row = try rows.next() {
                try body(
                    LooseChunk(city: row[0], id: try SQLiteStore.digest(row, 1)),
                    ChunkLocation(
                        block: ContentLocation(
                            segment: try SQLiteStore.word(row, 2), offset: try SQLiteStore.word(row, 3),
                            length: try SQLiteStore.word(row, 4)),
                        offset: try SQLiteStore.word(row, 5), length: try SQLiteStore.word(row, 6)))
            }
        }
    }

    /// Tables and pages of withdrawn releases that rows still name.
    func withdrawnPlaces() throws -> [ContentLocation] {
        try query { database in
            var places: [ContentLocation] = []
            let rows = try Row.fetchCursor(database, sql: "SELECT r.file_table, r.pages " + SQLiteStore.withdrawn)
            while let row = try rows.next() { places += try SQLiteStore.places(row, 0) + SQLiteStore.places(row, 1) }
            return places
        }
    }

    /// The rows of chunks that lie in any of these segments, in order of place and offset. Reads the whole table.
    func chunkPlaces(inAnyOf segments: Set<UInt32>) throws -> [ChunkPlace] {
        guard let first = segments.min(), let last = segments.max() else { return [] }
        return try chunkPlaces(in: first...last).filter { segments.contains($0.block.segment) }
    }

    /// Which of these chunks a city has, wherever they lie.
    func known(_ ids: [Digest], of cities: Set<Int64>) throws -> Set<Digest> {
        try query { database in
            let statement = try database.cachedStatement(sql: "SELECT 1 FROM chunk WHERE city = ? AND id = ?")
            var found: Set<Digest> = []
            for id in ids {
                for city in cities
                where try Int.fetchOne(statement, arguments: [city, id.withUnsafeBytes { Data($0) }]) != nil { found.insert(id) }
            }
            return found
        }
    }

    /// Segments that must be rewritten though most of them is needed.
    func segmentsToRewrite() throws -> Set<UInt32> { try query { try SQLiteStore.segmentsToRewrite($0) } }

    private static func segmentsToRewrite(_ database: Database) throws -> Set<UInt32> {
        let bytes =
            try Data.fetchOne(database, sql: "SELECT value FROM setting WHERE name = ?", arguments: [rewriteSetting]) ?? Data()
        return Set(
            stride(from: 0, to: bytes.count / 4 * 4, by: 4).map { start in
                bytes.dropFirst(start).prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
            })
    }

    private static func setSegmentsToRewrite(_ segments: Set<UInt32>, _ database: Database) throws {
        var bytes = Data()
        for segment in segments.sorted() { withUnsafeBytes(of: segment.bigEndian) { bytes.append(contentsOf: $0) } }
        try database.execute(
            sql: "INSERT OR REPLACE INTO setting VALUES (?, ?)", arguments: [rewriteSetting, bytes])
    }

    // MARK: Giving up

    /// Takes the content out of withdrawn releases: their documents stay. One log entry for each package. Returns how many releases.
    func giveUpWithdrawn(at now: Timestamp) throws -> Int {
        guard try withdrawnWithContent() > 0 else { return 0 }
        return try write(at: now) { tx in
            guard let tx = tx as? SQLiteWriting else { preconditionFailure("a transaction of this store") }
            let rows = try Row.fetchAll(
                tx.database, sql: "SELECT r.id, r.file_table, r.pages, p.name " + SQLiteStore.withdrawn + " ORDER BY p.name, r.id"
            )
            var segments = try SQLiteStore.segmentsToRewrite(tx.database)
            var packages: [(name: String, releases: Int)] = []
            for row in rows {
                for place in try SQLiteStore.places(row, 1) + SQLiteStore.places(row, 2) { segments.insert(place.segment) }
                try tx.database.execute(
                    sql: "UPDATE release SET file_table = x'', pages = x'' WHERE id = ?", arguments: [row[0] as Int64])
                let name: String = row[3]
                if packages.last?.name == name { packages[packages.count - 1].releases += 1 } else { packages.append((name, 1)) }
            }
            try SQLiteStore.setSegmentsToRewrite(segments, tx.database)
            for package in packages {
                try tx.log(
                    LogDraft(
                        .contentPurged, package: try SQLiteReading.package(package.name), reason: "withdrawn",
                        details: ["releases": JSONValue(package.releases)]))
            }
            return rows.count
        }
    }

    /// Deletes transfers of which nothing more comes: their agreement is over, their partner was removed, or their release was withdrawn. What
    /// they have fetched is nobody's then. Returns how many.
    func giveUpTransfers(at now: Timestamp, release: (ContentLocation) -> Release?) throws -> Int {
        guard try query({ try Int.fetchOne($0, sql: "SELECT 1 FROM transfer LIMIT 1") }) != nil else { return 0 }
        return try transaction { database in
            let store = SQLiteReading(database, shared)
            func isOver(_ transfer: TransferRow) throws -> Bool {
                guard let view = try store.subscribedView(transfer.view), let record = try store.agreement(view.agreement),
                    let partner = try store.partner(view.publisher)
                else { return true }
                switch record.state(at: now) {
                case .rejected, .expired, .terminated, .superseded: return true
                case .draft, .proposed, .active, .suspended: break
                }
                if partner.state == .removed { return true }
                guard let release = release(transfer.document),
                    let withdrawn = try store.package(release.package)?.withdrawnSeq
                else { return false }
                return release.seq(of: release.package.city) <= withdrawn
            }
            let over = try store.transfers().filter(isOver)
            for transfer in over {
                try database.execute(
                    sql: "DELETE FROM transfer WHERE view = (SELECT id FROM view WHERE digest = ?) AND release = ?",
                    arguments: [transfer.view.withUnsafeBytes { Data($0) }, transfer.release.withUnsafeBytes { Data($0) }])
            }
            return (over.count, {})
        }
    }

    /// Segments that are no more are not to be rewritten: where a disk lost one, nothing else would take it from the list.
    func forgetSegmentsToRewrite(notAmong segments: Set<UInt32>) throws {
        try transaction { database in
            let listed = try SQLiteStore.segmentsToRewrite(database)
            if !listed.isSubset(of: segments) {
                try SQLiteStore.setSegmentsToRewrite(listed.intersection(segments), database)
            }
            return ((), {})
        }
    }

    /// From now on releases that are given content are noted, for `sweep`.
    func beginTracing() throws {
        // Within a transaction: one that has noted nothing is either over, or begins after this.
        try transaction { _ in
            shared.traced = []
            return ((), {})
        }
    }

    func endTracing() { shared.traced = nil }

    /// Deletes rows of chunks, but for those that came again since they were condemned, and those that came to be needed since tracing began: by
    /// a release, or a transfer. In one transaction.
    /// Their segments are to be rewritten. Returns how many rows went.
    func sweep(_ chunks: [LooseChunk], entries: (ContentLocation) throws -> [ChunkEntry]) throws -> Int {
        try transaction { database in
            var needed: Set<ChunkKey> = []
            var neededOfAll: Set<UInt64> = []
            // Of a page that cannot be read nobody knows what it needs: nothing of that city goes.
            var undecided: Set<Int64> = []
            func need(_ row: ContentRow) {
                for page in row.pages {
                    guard let named = try? entries(page) else {
                        undecided.insert(row.city)
                        continue
                    }
                    for entry in named {
                        if row.city == 0 {
                            neededOfAll.insert(entry.id.prefix)
                        } else {
                            needed.insert(ChunkKey(city: row.city, entry.id))
                        }
                    }
                }
            }
            for release in Set(shared.traced ?? []) {
                let row = try Row.fetchOne(
                    database, sql: "SELECT COALESCE(served_by, writer), pages FROM release WHERE digest = ?",
                    arguments: [release.withUnsafeBytes { Data($0) }])
                if let row { need(ContentRow(city: row[0], pages: try SQLiteStore.places(row, 1))) }
            }
            try SQLiteStore.eachTransfer(database) { need($0) }
            var segments = try SQLiteStore.segmentsToRewrite(database)
            let find = try database.cachedStatement(sql: "SELECT segment FROM chunk WHERE city = ? AND id = ?")
            let delete = try database.cachedStatement(sql: "DELETE FROM chunk WHERE city = ? AND id = ?")
            var count = 0
            if undecided.contains(0) { return (0, {}) }
            for chunk in chunks
            where !undecided.contains(chunk.city) && !needed.contains(chunk.key) && !neededOfAll.contains(chunk.id.prefix) {
                // Fetched again by a transfer that is not written down yet.
                if shared.isRevived(chunk.key) { continue }
                let arguments: StatementArguments = [chunk.city, chunk.id.withUnsafeBytes { Data($0) }]
                guard let row = try Row.fetchOne(find, arguments: arguments) else { continue }
                segments.insert(try SQLiteStore.word(row, 0))
                try delete.execute(arguments: arguments)
                count += 1
            }
            try SQLiteStore.setSegmentsToRewrite(segments, database)
            return (count, { if count > 0 { self.shared.countChunkRemoval() } })
        }
    }

    /// Chunks that could not be read and that no release needs are looked for no more; what they lay in need not stay for them.
    func forgetLost(unless isNeeded: (LooseChunk) -> Bool) throws {
        let lost = try query { database in
            try Row.fetchAll(database, sql: "SELECT city, id FROM lost_chunk").map {
                LooseChunk(city: $0[0], id: try SQLiteStore.digest($0, 1))
            }
        }.filter { !isNeeded($0) }
        guard !lost.isEmpty else { return }
        try transaction { database in
            let delete = try database.cachedStatement(sql: "DELETE FROM lost_chunk WHERE city = ? AND id = ?")
            for chunk in lost { try delete.execute(arguments: [chunk.city, chunk.id.withUnsafeBytes { Data($0) }]) }
            return ((), {})
        }
    }

    // MARK: Moving

    /// Lets rows name the copies, in one transaction. A segment that a row still names after it stays as it is; of the others no row is left, and
    /// nobody will ever make one (`MovedPlaces`). Returns these.
    func move(_ moves: SegmentMoves) throws -> Set<UInt32> {
        try transaction { database in
            var staying: Set<UInt32> = []
            var ends: [UInt32: UInt64] = [:]
            func note(_ place: ContentLocation) {
                ends[place.segment] = max(ends[place.segment] ?? 0, UInt64(place.offset) + UInt64(place.length))
            }
            try SQLiteStore.moveChunks(moves, &staying, note, database)
            try SQLiteStore.moveRecords(moves, &staying, note, database)
            // What cannot be read now may be readable again, and may be all there is of it.
            staying.formUnion(
                try Int64.fetchAll(database, sql: "SELECT DISTINCT segment FROM lost_chunk").compactMap(UInt32.init(exactly:)))
            let retired = moves.segments.subtracting(staying)
            for segment in retired {
                try database.execute(sql: "DELETE FROM segment_mark WHERE segment = ?", arguments: [Int64(segment)])
            }
            for (segment, end) in ends {
                try database.execute(
                    sql:
                        "INSERT INTO segment_mark VALUES (?, ?) ON CONFLICT DO UPDATE SET end_offset = MAX(end_offset, excluded.end_offset)",
                    arguments: [Int64(segment), Int64(end)])
            }
            let rewrite = try SQLiteStore.segmentsToRewrite(database)
            if !rewrite.isDisjoint(with: retired) { try SQLiteStore.setSegmentsToRewrite(rewrite.subtracting(retired), database) }
            return (
                retired,
                {
                    // Before the next transaction begins: none of them can name what has gone.
                    var places: [UInt32: [UInt32: SegmentLocation]] = [:]
                    for (key, place) in moves.records {
                        places[UInt32(key >> 32), default: [:]][UInt32(truncatingIfNeeded: key)] = SegmentLocation(place)
                    }
                    for segment in retired { self.shared.moved.retire(segment, places[segment] ?? [:]) }
                }
            )
        }
    }

    private static func moveChunks(
        _ moves: SegmentMoves, _ staying: inout Set<UInt32>, _ note: (ContentLocation) -> Void, _ database: Database
    ) throws {
        let list = moves.segments.sorted().map(String.init).joined(separator: ",")
        let rows = try Row.fetchAll(
            database, sql: "SELECT city, id, segment, record, raw_offset FROM chunk WHERE segment IN (\(list))")
        let update = try database.cachedStatement(
            sql: "UPDATE chunk SET segment = ?, record = ?, record_length = ?, raw_offset = ? WHERE city = ? AND id = ?")
        for row in rows {
            let segment = try word(row, 2)
            let key = SegmentMoves.key(segment, try word(row, 3))
            let offset = try word(row, 4)
            let place: (block: ContentLocation, offset: UInt32)
            if let record = moves.records[key] {
                place = (record, offset)
            } else if let chunk = moves.chunks[SegmentMoves.RepackedChunk(block: key, offset: offset)] {
                place = chunk
            } else {
                staying.insert(segment)
                continue
            }
            note(place.block)
            try update.execute(arguments: [
                Int64(place.block.segment), Int64(place.block.offset), Int64(place.block.length), Int64(place.offset),
                row[0] as Int64, row[1] as Data,
            ])
        }
    }

    /// Documents, tables and pages: few columns, found by the bytes of the segment's number; what else has such bytes is read and left alone.
    private static func moveRecords(
        _ moves: SegmentMoves, _ staying: inout Set<UInt32>, _ note: (ContentLocation) -> Void, _ database: Database
    ) throws {
        func moved(_ places: [ContentLocation]) -> [ContentLocation]? {
            var hasChanged = false
            let now = places.map { place -> ContentLocation in
                guard moves.segments.contains(place.segment) else { return place }
                guard let record = moves.records[SegmentMoves.key(place.segment, place.offset)] else {
                    staying.insert(place.segment)
                    return place
                }
                hasChanged = true
                note(record)
                return record
            }
            return hasChanged ? now : nil
        }
        let tables: [(name: String, key: String, columns: [String])] = [
            ("release", "id", ["document", "file_table", "pages"]), ("transfer", "rowid", ["document", "file_table", "pages"]),
            ("receipt", "digest", ["document"]),
        ]
        for table in tables {
            for column in table.columns {
                let isThere = moves.segments.sorted().map { "instr(\(column), x'\(hex($0))')" }.joined(separator: " OR ")
                let rows = try Row.fetchAll(database, sql: "SELECT \(table.key), \(column) FROM \(table.name) WHERE \(isThere)")
                for row in rows {
                    guard let now = moved(try places(row, 1)) else { continue }
                    try database.execute(
                        sql: "UPDATE \(table.name) SET \(column) = ? WHERE \(table.key) = ?",
                        arguments: [Data(ContentLocation.encode(now)), row[0] as DatabaseValue])
                }
            }
        }
        if let archive = try policyArchive(database), let now = moved(archive.places) {
            try setPolicyArchive(archive.number, archive.digest, now, database)
        }
        for row in try Row.fetchAll(database, sql: "SELECT DISTINCT document FROM dispute") {
            guard let now = moved(try places(row, 0)) else { continue }
            try database.execute(
                sql: "UPDATE dispute SET document = ? WHERE document = ?",
                arguments: [Data(ContentLocation.encode(now)), row[0] as DatabaseValue])
        }
    }

    private static func hex(_ segment: UInt32) -> String {
        let digits = String(segment, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}
