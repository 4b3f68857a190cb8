// What the store holds and for whom: raw, stored, shared. Reads rows and the indexes of all releases, no content.
internal import HansaContent
public import HansaCore
internal import HansaSync

public struct StoreStatistics: Sendable {
    public struct Package: Sendable, Equatable {
        public let package: PackageID
        public var releases = 0
        /// Files of all releases, tag files included, as if each release were kept for itself.
        public var bytes: UInt64 = 0
        /// Of its chunks, each counted once.
        public var rawBytes: UInt64 = 0
        /// What they take compressed: a block's bytes, divided among its chunks by their length.
        public var storedBytes: UInt64 = 0
        /// Of `rawBytes` what another package has as well.
        public var sharedBytes: UInt64 = 0
    }

    public private(set) var segments = 0
    /// Of all segments on disk, footers included.
    public private(set) var diskBytes: UInt64 = 0
    /// Of all chunks that rows name, each counted once for the city that it came from.
    public private(set) var rawBytes: UInt64 = 0
    /// Of the blocks that they lie in.
    public private(set) var storedBytes: UInt64 = 0
    public private(set) var releases = 0
    /// That packages have, each counted once.
    public private(set) var chunks = 0
    /// In order of id.
    public private(set) var packages: [Package] = []

    /// The first package that has a chunk, and whether another has it too. By the first eight bytes of the id: two chunks that agree in them are an
    /// accident of one in 2^64 a pair.
    private var users: [UInt64: (package: Int, isShared: Bool)] = [:]

    /// `progress` is told how many of how many packages are done, and ends it by throwing. Memory: about 60 bytes a chunk.
    public init(
        of metadata: SQLiteStore, _ content: SegmentStore, progress: (_ done: Int, _ total: Int) throws -> Void = { _, _ in }
    ) throws {
        for segment in try content.segments() {
            segments += 1
            diskBytes += try content.size(of: segment)
        }
        let blocks = try metadata.blocks()
        for block in blocks.values {
            rawBytes += block.raw
            storedBytes += UInt64(block.stored)
        }
        let ids = try metadata.packagesWithReleases()
        for (number, id) in ids.enumerated() {
            packages.append(Package(package: id))
            var own: Set<UInt64> = []
            for row in try metadata.read({ try $0.releases(of: id) }) {
                packages[number].releases += 1
                for place in row.pages { try count(try content.body(at: place), of: row, &own, blocks, metadata) }
            }
            releases += packages[number].releases
            try progress(number + 1, ids.count)
        }
        chunks = users.count
        users = [:]
    }

    /// Adds a page of an index to the last package.
    private mutating func count(
        _ page: [UInt8], of row: ReleaseRow, _ own: inout Set<UInt64>, _ blocks: [UInt64: (stored: UInt32, raw: UInt64)],
        _ metadata: SQLiteStore
    ) throws {
        let number = packages.count - 1
        let entries: [ChunkEntry]
        do { entries = try IndexPage.decode(page) } catch {
            throw StoreFault.damaged("a page of the index of \(row.release.package) cannot be read")
        }
        let locations = try metadata.read { try $0.chunkLocations(of: row.servedBy, entries.map(\.id)) }
        for (entry, location) in zip(entries, locations) {
            let length = UInt64(entry.length)
            packages[number].bytes += length
            let key = entry.id.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
            guard own.insert(key).inserted else { continue }
            packages[number].rawBytes += length
            if let user = users[key] {
                packages[number].sharedBytes += length
                if !user.isShared { packages[user.package].sharedBytes += length }
                users[key] = (user.package, true)
            } else {
                users[key] = (number, false)
            }
            if let location, let block = blocks[UInt64(location.block.segment) << 32 | UInt64(location.block.offset)],
                block.raw > 0
            {
                packages[number].storedBytes += UInt64(block.stored) * length / block.raw
            }
        }
    }
}
