// What is needed of some segments, copied to the open ones: records as they are, blocks of which chunks were given up without those.
internal import HansaContent
internal import HansaCore
internal import HansaSync

struct SegmentCopy {
    private(set) var moves: SegmentMoves
    /// Of what rows name, what cannot be read.
    private(set) var damaged: [SegmentStore.Damage] = []
    private(set) var bytes: UInt64 = 0
    /// Of all these segments, in order of place.
    private let chunks: [ChunkPlace]
    private var chunk = 0
    /// Places of documents, tables and pages that rows name.
    private let named: Set<UInt64>
    private var waiting: [(key: UInt64, record: SegmentRecord)] = []
    private var waitingBytes = 0
    private static let waitingBytesMax = 1 << 20

    init(segments: Set<UInt32>, chunks: [ChunkPlace], named: Set<UInt64>) {
        moves = SegmentMoves(segments: segments)
        self.chunks = chunks
        self.named = named
    }

    /// Copies what rows name in a segment. Segments come in ascending order. Nothing is durable before the store's `sync`.
    mutating func take(
        _ segment: UInt32, _ metadata: SQLiteStore, _ content: SegmentStore, _ pages: Set<UInt64>,
        _ proceed: (UInt64) throws -> Void
    ) throws {
        var missed: Set<UInt32> = []
        var unseen = Set(named.lazy.filter { $0 >> 32 == UInt64(segment) })
        let found = try content.scan(segment) { location, record in
            try proceed(UInt64(location.length))
            let key = SegmentMoves.key(segment, location.offset)
            unseen.remove(key)
            missed.formUnion(passRows(before: (segment, location.offset)))
            let rows = takeRows(at: location)
            switch record {
            case .block(let block):
                guard !rows.isEmpty, isSound(record, location) else { return }
                try take(block, rows, key, metadata, content)
            case .index(_, _, _, let parts):
                // No row names it; it belongs to its pages. One without pages costs 70 bytes.
                if parts.allSatisfy({ pages.contains($0.prefix) }) { try add(key, record, Int(location.length), content) }
            case .document, .tablePart, .page, .other:
                if named.contains(key), isSound(record, location) { try add(key, record, Int(location.length), content) }
            }
        }
        missed.formUnion(passRows(before: (segment, .max)))
        missed.formUnion(unseen.lazy.map { UInt32(truncatingIfNeeded: $0) })
        // Damage where no row names anything keeps no segment.
        damaged += missed.sorted().map { offset in
            SegmentStore.Damage(
                segment: segment, offset: UInt64(offset),
                fault: found.last { $0.offset <= offset && $0.fault != .header && $0.fault != .footer }?.fault ?? .missing)
        }
        try flush(content)
    }

    /// Passes over rows of records that could not be read, and returns where these lie: their segment stays.
    private mutating func passRows(before here: (UInt32, UInt32)) -> Set<UInt32> {
        var passed: Set<UInt32> = []
        while chunk < chunks.count, (chunks[chunk].block.segment, chunks[chunk].block.offset) < here {
            if chunks[chunk].block.segment == here.0 { passed.insert(chunks[chunk].block.offset) }
            chunk += 1
        }
        return passed
    }

    private mutating func takeRows(at location: SegmentLocation) -> ArraySlice<ChunkPlace> {
        let here = (location.segment, location.offset)
        let first = chunk
        while chunk < chunks.count, (chunks[chunk].block.segment, chunks[chunk].block.offset) == here { chunk += 1 }
        return chunks[first..<chunk]
    }

    private mutating func isSound(_ record: SegmentRecord, _ location: SegmentLocation) -> Bool {
        guard let fault = StoreCheck.fault(in: record) else { return true }
        damaged.append(SegmentStore.Damage(segment: location.segment, offset: UInt64(location.offset), fault: .body(fault)))
        return false
    }

    /// A block whose chunks are all known to its cities goes over as it is: one that lies here a second time stands between others, and a block
    /// without it would have to be gathered whenever it is sent. What no row knows any more was given up, and is left out.
    private mutating func take(
        _ block: BlockRecord, _ rows: ArraySlice<ChunkPlace>, _ key: UInt64, _ metadata: SQLiteStore, _ content: SegmentStore
    ) throws {
        let here = Set(rows.map(\.id))
        let others = block.chunks.map(\.id).filter { !here.contains($0) }
        let known = try others.isEmpty ? [] : metadata.known(others, of: Set(rows.map(\.city)))
        if others.allSatisfy(known.contains) {
            return try add(key, .block(block), block.bytes.count, content)
        }
        let raw = try block.raw()
        var (kept, keptRaw): ([ChunkEntry], [UInt8]) = ([], [])
        var places: [UInt32: UInt32] = [:]
        var offset: UInt32 = 0
        for chunk in block.chunks {
            // Of a chunk that lies in the block twice each row names one place.
            if here.contains(chunk.id) {
                places[offset] = UInt32(keptRaw.count)
                kept.append(chunk)
                keptRaw += raw[Int(offset)..<Int(offset + chunk.length)]
            }
            offset += chunk.length
        }
        try flush(content)
        let packed = Block.encode(raw: keptRaw)
        let record = SegmentRecord.block(
            BlockRecord(codec: packed.codec, rawLength: keptRaw.count, chunks: kept, bytes: packed.bytes))
        let place = ContentLocation(try content.append(record))
        bytes += UInt64(place.length)
        for (old, new) in places { moves.chunks[SegmentMoves.RepackedChunk(block: key, offset: old)] = (place, new) }
    }

    private mutating func add(_ key: UInt64, _ record: SegmentRecord, _ length: Int, _ content: SegmentStore) throws {
        waiting.append((key, record))
        waitingBytes += length
        if waitingBytes >= SegmentCopy.waitingBytesMax { try flush(content) }
    }

    private mutating func flush(_ content: SegmentStore) throws {
        guard !waiting.isEmpty else { return }
        for (item, place) in zip(waiting, try content.append(waiting.map(\.record))) {
            moves.records[item.key] = ContentLocation(place)
            bytes += UInt64(place.length)
        }
        waiting = []
        waitingBytes = 0
    }
}
