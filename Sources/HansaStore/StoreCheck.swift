// Every byte of the segments, and every place that a row names in them.
//
// Beside a node that works: rows are read before the segments that they speak of, and the caller sees to it that none is collected, so what is written
// meanwhile makes no false finding. Memory is what rows of eight segments take, and 56 bytes for each document, table and page.
internal import HansaContent
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
public import HansaSync

/// The result of a check.
public struct StoreCheck: Sendable {
    public struct Finding: Sendable, Equatable {
        /// Where bytes are wrong, if it is bytes.
        public let segment: UInt32?
        public let offset: UInt64?
        public let problem: String
        /// The release that cannot be handed out because of it.
        public let package: PackageID?
        public let version: Version?
        /// A row names what lies there. Damage elsewhere harms nothing, as where what was damaged has been fetched again since.
        public let isNeeded: Bool
    }

    /// A release of which something cannot be read or found.
    public struct DamagedRelease: Sendable {
        public let release: Digest
        public let problem: String
    }

    public static let findingsMax = 1000

    public private(set) var segments = 0
    public private(set) var records = 0
    /// Of all segments on disk.
    public private(set) var bytes: UInt64 = 0
    public private(set) var releases = 0
    public private(set) var chunks = 0
    /// The first thousand.
    public private(set) var findings: [Finding] = []
    public private(set) var findingsCount = 0
    /// Of these, damage where nothing lies that is needed.
    public private(set) var unneededCount = 0
    public var isSound: Bool { findingsCount == unneededCount }
    public private(set) var damagedReleases: [DamagedRelease] = []
    /// Blocks that chunks' rows name and that cannot be read, each once.
    public private(set) var damagedBlocks: [ContentLocation] = []

    /// Segments whose header or footer is damaged: `SegmentStore.mend` writes them anew.
    public private(set) var mendable: Set<UInt32> = []

    /// Chunks that rows place where they are not, or that a release needs and no row has, by the city that served them.
    private(set) var lostChunks: Set<Lost> = []
    /// Releases whose document, table or page cannot be read.
    private var lostReleases: [Digest: String] = [:]
    /// Where something was lost, by segment and offset.
    private var lostPlaces: Set<UInt64> = []
    /// What a row names and the scan did not come by, read by itself: nil where it is whole, else what is wrong with it.
    private var probed: (key: UInt64, chunks: [ChunkEntry], fault: String?)?
    private let content: SegmentStore

    struct Lost: Hashable {
        let city: Int64
        let id: Digest
    }

    /// How many segments are compared with their rows at a time.
    private static let segmentsAtOnce = 8

    /// Reads everything, or of the segments only some. `progress` is told how many bytes of how many are read, now and then, and ends the check by throwing.
    public init(
        of metadata: SQLiteStore, _ content: SegmentStore, only chosen: Set<UInt32>? = nil,
        progress: (_ done: UInt64, _ total: UInt64) throws -> Void = { _, _ in }
    ) throws {
        self.content = content
        for problem in try metadata.integrityProblems().prefix(10) { find("the database: \(problem)") }
        let named = try metadata.namedPlaces().filter { chosen?.contains($0.place.segment) ?? true }
        let present = try content.segments().filter { chosen?.contains($0) ?? true }
        let ends = try metadata.segmentEnds()
        let total = try present.reduce(0) { try $0 + content.size(of: $1) }
        let all = Set(present).union(ends.keys).filter { chosen?.contains($0) ?? true }.sorted()
        var place = 0
        for start in stride(from: 0, to: all.count, by: StoreCheck.segmentsAtOnce) {
            let group = all[start..<min(start + StoreCheck.segmentsAtOnce, all.count)]
            guard let first = group.first, let last = group.last else { break }
            let chunks = try metadata.chunkPlaces(in: first...last).filter { chosen?.contains($0.block.segment) ?? true }
            self.chunks += chunks.count
            var chunk = 0
            for segment in group {
                try progress(bytes, total)
                var damage: [SegmentStore.Damage] = []
                let isPresent = present.contains(segment)
                if isPresent {
                    bytes += try content.size(of: segment)
                    damage = try read(segment, of: content, named, &place, chunks, &chunk)
                } else {
                    find("segment \(segment) is missing", segment: segment)
                }
                miss(upTo: (segment, .max), named, &place, chunks, &chunk, isPresent: isPresent)
                for place in damage {
                    if place.fault == .header || place.fault == .footer { mendable.insert(segment) }
                    let isNeeded = lostPlaces.contains(StoreCheck.key(segment, UInt32(clamping: place.offset)))
                    find(place.fault.words, segment: segment, offset: place.offset, isNeeded: isNeeded)
                }
            }
        }
        var none = 0
        miss(upTo: (.max, .max), named, &place, [], &none, isPresent: false)
        // Without a place that is lost a part of the segments says nothing of a release.
        if chosen == nil || !lostReleases.isEmpty || !lostChunks.isEmpty { try readReleases(metadata, content) }
    }

    private mutating func find(
        _ problem: String, segment: UInt32? = nil, offset: UInt64? = nil, package: PackageID? = nil, version: Version? = nil,
        isNeeded: Bool = true
    ) {
        findingsCount += 1
        if !isNeeded { unneededCount += 1 }
        guard findings.count < StoreCheck.findingsMax else { return }
        findings.append(
            Finding(
                segment: segment, offset: offset, problem: problem, package: package, version: version, isNeeded: isNeeded))
    }

    private static func key(_ segment: UInt32, _ offset: UInt32) -> UInt64 { UInt64(segment) << 32 | UInt64(offset) }

    private mutating func lose(_ row: ChunkPlace, isReadable: Bool) {
        lostChunks.insert(Lost(city: row.city, id: row.id))
        lostPlaces.insert(StoreCheck.key(row.block.segment, row.block.offset))
        if !isReadable, damagedBlocks.last != row.block { damagedBlocks.append(row.block) }
    }

    /// Reads a record by its place: where a scan cannot go on behind damage, what follows may be whole.
    private mutating func probe(_ place: ContentLocation) -> (chunks: [ChunkEntry], fault: String?) {
        let key = StoreCheck.key(place.segment, place.offset)
        if let probed, probed.key == key { return (probed.chunks, probed.fault) }
        var chunks: [ChunkEntry] = []
        var fault: String?
        do {
            let record = try content.read(SegmentLocation(place))
            fault = StoreCheck.fault(in: record)
            if case .block(let block) = record { chunks = block.chunks }
        } catch {
            fault = "\(error)"
        }
        probed = (key, chunks, fault)
        return (chunks, fault)
    }

    // MARK: Segments

    private mutating func read(
        _ segment: UInt32, of content: SegmentStore, _ named: [NamedPlace], _ place: inout Int, _ chunks: [ChunkPlace],
        _ chunk: inout Int
    ) throws -> [SegmentStore.Damage] {
        segments += 1
        return try content.scan(segment) { location, record in
            records += 1
            let here = (location.segment, location.offset)
            miss(upTo: here, named, &place, chunks, &chunk, isPresent: true)
            let fault = StoreCheck.fault(in: record)
            if let fault {
                let isNamed =
                    place < named.count && (named[place].place.segment, named[place].place.offset) == here
                    || chunk < chunks.count && (chunks[chunk].block.segment, chunks[chunk].block.offset) == here
                find(fault, segment: segment, offset: UInt64(location.offset), isNeeded: isNamed)
            }
            while place < named.count, (named[place].place.segment, named[place].place.offset) == here {
                let isRight = named[place].place.length == location.length && StoreCheck.fits(named[place].kind, record)
                if fault != nil || !isRight { lose(named[place]) }
                place += 1
            }
            var entries: ArraySlice<ChunkEntry> = []
            if case .block(let block) = record { entries = block.chunks[...] }
            var offset: UInt32 = 0
            while chunk < chunks.count, (chunks[chunk].block.segment, chunks[chunk].block.offset) == here {
                let row = chunks[chunk]
                while let entry = entries.first, offset < row.offset {
                    offset += entry.length
                    entries = entries.dropFirst()
                }
                let isThere = offset == row.offset && entries.first == ChunkEntry(id: row.id, length: row.length)
                if fault != nil || !isThere || row.block.length != location.length { lose(row, isReadable: fault == nil) }
                chunk += 1
            }
        }
    }

    /// Rows that name places before `here`, by which the scan did not come.
    private mutating func miss(
        upTo here: (UInt32, UInt32), _ named: [NamedPlace], _ place: inout Int, _ chunks: [ChunkPlace], _ chunk: inout Int,
        isPresent: Bool
    ) {
        while place < named.count, (named[place].place.segment, named[place].place.offset) < here {
            if !isPresent || !isWhole(named[place]) { lose(named[place]) }
            place += 1
        }
        while chunk < chunks.count, (chunks[chunk].block.segment, chunks[chunk].block.offset) < here {
            let row = chunks[chunk]
            if isPresent {
                let isNew = probed.map { $0.key != StoreCheck.key(row.block.segment, row.block.offset) } ?? true
                let block = probe(row.block)
                if isNew, let fault = block.fault { find(fault, segment: row.block.segment, offset: UInt64(row.block.offset)) }
                var offset: UInt32 = 0
                let isThere = block.chunks.contains { entry in
                    defer { offset += entry.length }
                    return offset == row.offset && entry == ChunkEntry(id: row.id, length: row.length)
                }
                if block.fault != nil || !isThere { lose(row, isReadable: block.fault == nil) }
            } else {
                lose(row, isReadable: false)
            }
            chunk += 1
        }
    }

    private mutating func isWhole(_ named: NamedPlace) -> Bool {
        guard let record = try? content.read(SegmentLocation(named.place)), StoreCheck.fits(named.kind, record) else {
            return false
        }
        return StoreCheck.fault(in: record) == nil
    }

    private mutating func lose(_ named: NamedPlace) {
        lostPlaces.insert(StoreCheck.key(named.place.segment, named.place.offset))
        let what =
            switch named.kind {
            case .document: "the signed document"
            case .table: "the list of files"
            case .page: "a page of the index"
            }
        let place = "segment \(named.place.segment), byte \(named.place.offset)"
        if let release = named.release {
            if lostReleases[release] == nil { lostReleases[release] = "\(what) cannot be read: \(place)" }
        } else {
            find(
                "\(what) of a transfer, receipt or dispute cannot be read", segment: named.place.segment,
                offset: UInt64(named.place.offset))
        }
    }

    private static func fits(_ kind: NamedPlace.Kind, _ record: SegmentRecord) -> Bool {
        switch (kind, record) {
        case (.document, .document), (.table, .tablePart), (.page, .page): true
        default: false
        }
    }

    /// What a record whose checksum is right does not keep of its promise: its ids are hashes of what it holds.
    static func fault(in record: SegmentRecord) -> String? {
        switch record {
        case .block(let block):
            guard let raw = try? block.raw() else { return "a block that cannot be unpacked" }
            return raw.withUnsafeBytes { buffer in
                var offset = 0
                for chunk in block.chunks {
                    let end = offset + Int(chunk.length)
                    guard end <= buffer.count, SHA256.hash(UnsafeRawBufferPointer(rebasing: buffer[offset..<end])) == chunk.id
                    else {
                        return "a block with a chunk that is not the one of its id"
                    }
                    offset = end
                }
                return nil
            }
        case .document(let digest, let bytes):
            return (try? Envelope(binary: bytes))?.digest == digest ? nil : "a document that is not the one of its digest"
        case .page(let digest, let bytes):
            return SHA256.hash(bytes) == digest ? nil : "a page of an index that is not the one of its digest"
        case .tablePart(let digest, _, 1, let bytes):
            return SHA256.hash(bytes) == digest ? nil : "a list of files that is not the one of its digest"
        // A long table is checked with its release, against the signed root.
        case .tablePart, .index, .other: return nil
        }
    }

    // MARK: Releases

    /// Whether of each release all is there that its signed root speaks of.
    private mutating func readReleases(_ metadata: SQLiteStore, _ content: SegmentStore) throws {
        var last: Int64 = 0
        while true {
            let batch = try metadata.releaseDigests(after: last, limit: 500)
            guard let end = batch.last else { return }
            last = end.row
            for (_, digest) in batch {
                guard let row = try metadata.read({ try $0.release(digest) }) else { continue }
                releases += 1
                let problem: String?
                if let lost = lostReleases[digest] {
                    problem = lost
                } else {
                    problem = try self.problem(of: row, metadata, content)
                }
                if let problem {
                    find(problem, package: row.release.package, version: row.release.version)
                    damagedReleases.append(DamagedRelease(release: digest, problem: problem))
                }
            }
        }
    }

    private mutating func problem(of row: ReleaseRow, _ metadata: SQLiteStore, _ content: SegmentStore) throws -> String? {
        guard row.hasContent else { return nil }
        do {
            let envelope = try Envelope(binary: content.body(at: row.document))
            guard envelope.digest == row.digest, let index = try Release(payload: envelope.payload).index else {
                return "its document is another than its row says"
            }
            var table = SHA256()
            for place in row.table { try content.body(at: place).withUnsafeBytes { table.update($0) } }
            let pages = try row.pages.map { try content.body(at: $0) }
            guard ChunkIndex.root(table: table.finish(), pages: pages.map { SHA256.hash($0) }) == index.root else {
                return "its index is not the one that was signed"
            }
            let city = try metadata.number(ofCity: row.servedBy)
            var missing = 0
            for page in pages {
                let entries = try IndexPage.decode(page)
                let locations = try metadata.read { try $0.chunkLocations(of: row.servedBy, entries.map(\.id)) }
                for (entry, location) in zip(entries, locations) {
                    guard let city else {
                        missing += 1
                        continue
                    }
                    let chunk = Lost(city: city, id: entry.id)
                    if location?.length != entry.length { lostChunks.insert(chunk) }
                    if lostChunks.contains(chunk) { missing += 1 }
                }
            }
            return missing == 0 ? nil : "\(missing) of its \(index.chunks) chunks are missing or damaged"
        } catch let fault as StoreFault {
            guard case .damaged(let what) = fault else { throw fault }
            return what
        } catch is DocumentFault {
            return "its document cannot be read"
        } catch is IndexFault {
            return "its index cannot be read"
        }
    }
}

extension SegmentFault {
    /// For people.
    fileprivate var words: String {
        switch self {
        case .header: "the segment's first bytes are not a header: they are written anew"
        case .truncated: "the segment ends within a record"
        case .checksum: "a record's checksum does not match"
        case .framing: "something that is no record"
        case .body(let what): "a record that cannot be read: \(what)"
        case .footer: "the segment's list of its records is damaged: it is made anew where the records themselves are whole"
        case .unreadable: "the disk does not give back what it holds"
        case .missing: "the segment's file is gone"
        }
    }
}
