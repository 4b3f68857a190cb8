// The bytes of one release as they lie in the store: chunk by chunk, each found by its id and cut from its block.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaPackages
internal import HansaStore
internal import HansaSync

/// Reads the files of one release. For one thread; keeps one page of the index and a few blocks in memory, which other threads read ahead.
final class ReleaseContent {
    let release: ReleaseRow
    let table: FileTable
    let node: Node
    private let isCancelled: () -> Bool
    private var page: (number: Int, entries: [ChunkEntry])?
    private var block: (location: ContentLocation, raw: ArraySlice<UInt8>)?
    private static let blocksAhead = 6
    private let recent: RecentBlocks

    /// `recent` is shared by releases that are read one after the other: small ones that came together lie in one block.
    init(
        _ node: Node, _ release: ReleaseRow, sharing recent: RecentBlocks = RecentBlocks(), isCancelled: @escaping () -> Bool
    ) throws {
        self.recent = recent
        self.node = node
        self.release = release
        self.isCancelled = isCancelled
        table = try node.table(of: release)
    }

    /// Hands on the file's bytes in order, until `body` returns false. Read to its end, the file must be the one that was signed.
    func read(file number: Int, _ body: (UnsafeRawBufferPointer) throws -> Bool) throws {
        let file = table.files[number]
        let range = table.chunks(of: number)
        var hash = SHA256()
        var next = range.lowerBound
        while next < range.upperBound {
            try proceed()
            let end = min(range.upperBound, next + 1024)
            let entries = try entries(next..<end)
            let locations = try node.metadata.read { try $0.chunkLocations(of: release.servedBy, entries.map(\.id)) }
            let ahead = BlocksAhead(
                locations.compactMap { $0?.block }, from: node.content, recent, max: ReleaseContent.blocksAhead)
            for (entry, location) in zip(entries, locations) {
                guard let location, location.length == entry.length else {
                    throw node.damaged(release, block: nil, "chunk \(entry.id.short) is not in the store")
                }
                if block?.location != location.block {
                    // Dropped first: of many files each is one block, and two would be in memory.
                    block = nil
                    do { block = (location.block, try ahead.next(location.block)) } catch StoreFault.damaged(let what) {
                        throw node.damaged(release, block: location.block, what)
                    }
                }
                guard let raw = block?.raw else { preconditionFailure("it was just read") }
                guard Int(location.offset) + Int(location.length) <= raw.count else {
                    throw node.damaged(release, block: location.block, "chunk \(entry.id.short) lies outside its block")
                }
                let goesOn = try raw.withUnsafeBytes { buffer in
                    let bytes = UnsafeRawBufferPointer(
                        rebasing: buffer[Int(location.offset)..<Int(location.offset + location.length)])
                    hash.update(bytes)
                    return try body(bytes)
                }
                guard goesOn else { return }
            }
            next = end
        }
        guard hash.finish() == file.digest else {
            throw node.damaged(release, block: nil, "\(file.path.printable()) is not what was signed")
        }
    }

    /// Throws once the client has gone or was interrupted.
    func proceed() throws(Problem) {
        guard isCancelled() else { return }
        throw Problem(
            .internalFault, "interrupted; what was done so far is whole, and running it again goes on", exit: .interrupted)
    }

    /// A small file, such as a tag file; nil when the release has none of that path.
    func bytes(of path: String, max limit: Int) throws -> [UInt8]? {
        guard let number = table.files.firstIndex(where: { $0.path == path }) else { return nil }
        guard table.files[number].size <= UInt64(limit) else {
            throw Problem(.limitExceeded, "\(path.printable()) of \(release.release.package) is larger than \(limit) bytes")
        }
        var bytes: [UInt8] = []
        try read(file: number) {
            bytes.append(contentsOf: $0)
            return true
        }
        return bytes
    }

    /// Its descriptor and payload, for comparing.
    func version() throws -> PackageVersion {
        guard let bytes = try bytes(of: DataPackageDocument.fileName, max: DataPackageDocument.bytesMax) else {
            throw Problem(.contentDamaged, "\(release.release.package) has no datapackage.json", try: "hansa doctor")
        }
        let document: DataPackageDocument
        do throws(DataPackageFault) { document = try DataPackageDocument(reading: bytes, placement: .bag) } catch {
            throw error.problem
        }
        return PackageVersion(
            document: document,
            files: table.files.filter { $0.path.hasPrefix(Bag.payloadPrefix) }.map {
                FileDigest(path: String($0.path.dropFirst(Bag.payloadPrefix.count)), size: $0.size, digest: $0.digest)
            })
    }

    /// A payload file as a table.
    func source(payload path: String) throws -> StoredTable {
        let full = Bag.payloadPrefix + path
        guard let number = table.files.firstIndex(where: { $0.path.utf8.elementsEqual(full.utf8) }) else {
            throw Problem(.contentDamaged, "\(release.release.package) has no file \(path.printable())", try: "hansa doctor")
        }
        return StoredTable(content: self, number: number)
    }

    func entries(_ range: Range<Int>) throws -> [ChunkEntry] {
        var result: [ChunkEntry] = []
        result.reserveCapacity(range.count)
        for number in range {
            let wanted = number / Limits.indexPageChunks
            if page?.number != wanted {
                do { page = (wanted, try IndexPage.decode(try node.content.body(at: release.pages[wanted]))) } catch {
                    guard case StoreFault.damaged(let what) = error else { throw error }
                    throw node.damaged(release, block: nil, what)
                }
            }
            guard let page else { break }
            result.append(page.entries[number % Limits.indexPageChunks])
        }
        return result
    }
}

extension SegmentStore {
    /// The chunks of a block, one after the other.
    func raw(at location: ContentLocation) throws -> ArraySlice<UInt8> { try BlocksAhead.raw(location, self) }
}

/// The blocks of neighbouring chunks, read, checked against their checksums and unpacked by other threads before they are wanted.
private final class BlocksAhead {
    private let content: SegmentStore
    private let recent: RecentBlocks
    private let max: Int
    private lazy var work = WorkAhead<ArraySlice<UInt8>>()
    /// Each once where it follows itself, in the order in which they are wanted.
    private var wanted: [ContentLocation] = []
    private var begun = 0

    init(_ locations: [ContentLocation], from content: SegmentStore, _ recent: RecentBlocks, max: Int) {
        self.content = content
        self.recent = recent
        self.max = max
        for location in locations where location != wanted.last { wanted.append(location) }
    }

    /// The raw bytes of the next block. `location` is the one after that of the last call, but for the first: that one may be in memory already.
    func next(_ location: ContentLocation) throws -> ArraySlice<UInt8> {
        if begun == 0, wanted.first != location { begun = 1 }
        // One alone has nobody to run ahead of.
        if wanted.count == 1 { return try recent.raw(at: location) { try BlocksAhead.raw(location, content) } }
        begin()
        guard let raw = try work.next() else { preconditionFailure("a block that was not wanted") }
        begin()
        return raw
    }

    private func begin() {
        while begun < wanted.count, work.count < max {
            let location = wanted[begun]
            begun += 1
            work.add { [content, recent] in try recent.raw(at: location) { try BlocksAhead.raw(location, content) } }
        }
    }

    fileprivate static func raw(_ location: ContentLocation, _ content: SegmentStore) throws -> ArraySlice<UInt8> {
        let stored = try content.block(at: location)
        if stored.codec == .raw, stored.bytes.count == stored.rawLength { return stored.bytes }
        guard let raw = try? stored.raw() else {
            throw StoreFault.damaged("segment \(location.segment) has a block at byte \(location.offset) that cannot be unpacked")
        }
        return raw[...]
    }
}

/// A file of a release that is read as a table.
struct StoredTable: TableSource {
    let content: ReleaseContent
    let number: Int

    func read(_ body: (UnsafeRawBufferPointer) throws -> Bool) throws { try content.read(file: number, body) }
}

/// A file of the client that is read as a table.
struct OpenedTable: TableSource {
    let file: FileReader
    let path: String

    func read(_ body: (UnsafeRawBufferPointer) throws -> Bool) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var offset: UInt64 = 0
        while true {
            let count = try file.read(into: buffer, at: offset, path: path)
            offset += UInt64(count)
            if count > 0, try !body(UnsafeRawBufferPointer(rebasing: buffer[0..<count])) { break }
            if count < buffer.count { break }
        }
    }
}
