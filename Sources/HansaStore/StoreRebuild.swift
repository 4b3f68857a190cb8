// Places of chunks, made again from the segments: for rows that a database lost or that name damaged bytes, where the same chunk lies whole in
// another record. What a city served us is decided by the releases of that city that we hold, as before; only the place is new.
internal import HansaContent
internal import HansaCore
internal import HansaSync

public struct StoreRebuild: Sendable {
    /// What was wrong before.
    public let check: StoreCheck
    /// Rows of chunks that have a place again.
    public private(set) var placed = 0
    /// Rows of chunks whose bytes lie nowhere whole: a backup has them, or the city that served them.
    public private(set) var stillLost = 0

    /// Checks everything, then looks for what is lost in every block. With `dryRun` nothing is written. `progress` is as in `StoreCheck`.
    public init(
        of metadata: SQLiteStore, _ content: SegmentStore, dryRun: Bool,
        progress: (_ done: UInt64, _ total: UInt64) throws -> Void = { _, _ in }
    ) throws {
        check = try StoreCheck(of: metadata, content, progress: progress)
        var cities: [Digest: [Int64]] = [:]
        for lost in check.lostChunks { cities[lost.id, default: []].append(lost.city) }
        if cities.isEmpty { return }
        var found: [ChunkPlace] = []
        for segment in try content.segments() where !cities.isEmpty {
            try progress(0, check.bytes)
            _ = try content.scan(segment) { location, record in
                guard case .block(let block) = record, block.chunks.contains(where: { cities[$0.id] != nil }),
                    StoreCheck.fault(in: record) == nil
                else { return }
                var offset: UInt32 = 0
                for chunk in block.chunks {
                    for city in cities.removeValue(forKey: chunk.id) ?? [] {
                        found.append(
                            ChunkPlace(
                                block: ContentLocation(location), offset: offset, length: chunk.length, id: chunk.id, city: city))
                    }
                    offset += chunk.length
                }
            }
        }
        placed = found.count
        stillLost = cities.values.reduce(0) { $0 + $1.count }
        if dryRun || found.isEmpty { return }
        // Rows may name only what is durable, and the scan reads up to what was written last.
        try content.sync()
        for start in stride(from: 0, to: found.count, by: 10_000) {
            try metadata.place(Array(found[start..<min(start + 10_000, found.count)]))
        }
    }
}
