// One release on its way in: document, index, chunks, and what is still missing. In memory; rows and segments hold what is durable of it.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments

final class Transfer: @unchecked Sendable {
    // @unchecked: the puller's, but that `areAsIndexed` and `hashIfNext` may run on its lane: `hashes` is the lane's from then until the puller has waited
    // for it, and the index, which both read, does not change meanwhile.

    let view: Digest
    let digest: Digest
    var level: UInt8
    let number: [UInt8]
    let release: Release
    let document: ContentLocation

    private(set) var table: [UInt8] = []
    private var tableTotal: Int?
    private var pages: [[UInt8]?]
    private var pagesMissing: Int
    var tableLocations: [ContentLocation] = []
    var pageLocations: [ContentLocation] = []

    private(set) var files: [FileEntry] = []
    private(set) var entries = ChunkList()
    private(set) var bitmap: [UInt8] = []
    private(set) var held = 0
    /// Set when the entries were let go of.
    private var chunksTotal: Int?
    /// Chunks asked for in this session, by number: what comes unasked is a fault of the peer.
    private var asked: [UInt8] = []
    /// In-order hashes of files of several chunks; a file of one chunk has that chunk's id as its digest.
    private var hashes: [Int: FileHash] = [:]
    /// The chunks before this one were given to the lane, in order, for their files' hashes (`Puller+HashAhead`).
    var hashesGiven = 0
    /// Chunks that were here before were given to the lane in this session: the hashes are the lane's.
    var isHashedAhead = false
    /// Something of it could not be read ahead: whoever checks the files at the end finds out.
    var isAheadOff = false
    var failures = 0
    /// A release that is here, by which what is new in this one is told.
    var base: Digest?
    /// Something told by the base was not what the index says: the rest is asked for as it lies.
    var isDeltaUseless = false
    /// It did not come with other small ones: it is asked for as any other.
    var isAskedApart = false
    var deltaFailures = 0
    /// The ask for the index that was sent last named the base.
    var wasIndexAskedByBase = false
    /// What it is asked for by, as `Puller.Wanted.name`.
    var name: Digest
    /// `MetadataStore.chunkRemovals` when all that counts as here had a place; nil where nobody has looked in this session.
    var removalsSeen: UInt64?
    /// Written to a transfer row since the last change.
    var isRecorded = false
    /// Shown and not shared (level `discover`): with its document all has come.
    let isDocumentOnly: Bool

    private final class FileHash {
        var hash = SHA256()
        /// The first chunk that has not been fed.
        var next: Int
        init(next: Int) { self.next = next }
        init(_ other: FileHash) {
            hash = other.hash.copy()
            next = other.next
        }
        func finish() -> Digest { hash.copy().finish() }
    }

    init(
        view: Digest, digest: Digest, level: UInt8, number: [UInt8], release: Release, document: ContentLocation,
        isDocumentOnly: Bool = false
    ) {
        self.view = view
        self.digest = digest
        name = digest
        self.level = level
        self.number = number
        self.release = release
        self.document = document
        self.isDocumentOnly = isDocumentOnly
        pages = Array(repeating: nil, count: release.index?.pages ?? 0)
        pagesMissing = pages.count
    }

    /// What table, entries and bitmaps may take up in memory: the pages stay as they come.
    var indexBytesMax: Int { (release.index?.chunks ?? 0) * (ChunkEntry.byteCount + 1) + tableBytesMax }
    /// A table has a line for each file, and for the tag files beside them.
    private var tableBytesMax: Int { min(Limits.fileTableBytesMax, (release.files + 16) * (Limits.filePathBytesMax + 96)) }
    /// Counted among the session's index bytes.
    var isAdmitted = false
    /// Its small frame is being checked: until the lane was waited for, the index and all that goes with it are the lane's.
    var isAtLane = false
    /// Whether an ask for chunks can have been made of it.
    var takesChunks: Bool { !isAtLane && !entries.isEmpty }
    var isComplete: Bool { !files.isEmpty && held == entries.count }

    // MARK: Index

    /// True once table and pages are all here.
    func add(table bytes: [UInt8], from: UInt64, total: UInt64) throws(ByteFault) -> Bool {
        // The same part again, as an ask that was repeated brings it, says nothing new.
        if tableTotal == Int(clamping: total), from <= UInt64(table.count), !bytes.isEmpty,
            UInt64(table.count) - from >= UInt64(bytes.count)
        {
            return false
        }
        guard total <= UInt64(tableBytesMax), tableTotal == nil || tableTotal == Int(total), from == UInt64(table.count),
            !bytes.isEmpty,
            UInt64(table.count + bytes.count) <= total
        else { throw .malformed("table part") }
        tableTotal = Int(total)
        table += bytes
        return isIndexHere
    }

    func add(page bytes: [UInt8], number: UInt64) throws(ByteFault) -> Bool {
        if number < UInt64(pages.count), pages[Int(number)] != nil { return false }
        guard number < UInt64(pages.count), bytes.count <= Limits.indexPageChunks * 36 else { throw .malformed("page") }
        pages[Int(number)] = bytes
        pagesMissing -= 1
        return isIndexHere
    }

    func isLastPage(_ number: UInt64) -> Bool { number + 1 == UInt64(pages.count) }

    /// From the first that has not come to the last.
    var missingPages: Range<Int> {
        guard let first = pages.firstIndex(where: { $0 == nil }), let last = pages.lastIndex(where: { $0 == nil }) else {
            return 0..<0
        }
        return first..<(last + 1)
    }

    /// Nothing of the index counts that came until now.
    func forgetIndex() {
        (table, tableTotal) = ([], nil)
        pages = Array(repeating: nil, count: release.index?.pages ?? 0)
        pagesMissing = pages.count
    }

    private var isIndexHere: Bool { pagesMissing == 0 && tableTotal == table.count }

    /// Checks the index against the root that the release signs, and lays out the bitmap. False: the index is not the one signed.
    func adoptIndex() -> Bool {
        let encoded = pages.compactMap { $0 }
        guard let index = release.index, encoded.count == index.pages,
            ChunkIndex.root(table: SHA256.hash(table), pages: encoded.map { SHA256.hash($0) }) == index.root
                || SeededBug.isOn(.smallUnverified),
            let parsed = try? FileTable(encoded: table, chunks: index.chunks, isSafe: PackagePath.isSafe)
        else { return false }
        var validator = IndexValidator(parsed)
        do {
            for page in encoded { _ = try validator.check(page) }
            try validator.finish()
        } catch {
            return false
        }
        files = parsed.files
        entries = ChunkList(pages: encoded)
        bitmap = [UInt8](repeating: 0, count: (entries.count + 7) / 8)
        asked = bitmap
        return true
    }

    /// Makes the index of these files, each of one chunk at most, from the digests of their bytes, and adopts it with every chunk here. Nil: it
    /// is not the one signed, and nothing has changed.
    func adoptSmall(_ files: [Small.File], _ digests: [Digest]) -> SmallIndex? {
        var listed: [FileEntry] = []
        var chunks: [ChunkEntry] = []
        for (file, digest) in zip(files, digests) {
            listed.append(
                FileEntry(
                    path: file.path, size: UInt64(file.size), profile: file.profile, firstChunk: chunks.count, digest: digest))
            if file.size > 0 { chunks.append(ChunkEntry(id: digest, length: UInt32(file.size))) }
        }
        guard let index = release.index, chunks.count == index.chunks,
            let table = try? FileTable(files: listed, chunks: chunks.count).encoded()
        else {
            return nil
        }
        let page = IndexPage.encode(chunks)
        (self.table, tableTotal, pages, pagesMissing) = (table, table.count, [page], 0)
        guard adoptIndex() else {
            forgetIndex()
            return nil
        }
        for number in entries.indices { mark(number) }
        (self.table, pages) = ([], [])
        return SmallIndex(release: digest, root: index.root, chunks: index.chunks, table: table, page: page)
    }

    /// As if neither index nor content had come: what was adopted could not be written.
    func forgetContent() {
        forgetIndex()
        (files, entries, bitmap, asked, held) = ([], ChunkList(), [], [], 0)
        hashes = [:]
        isRecorded = false
    }

    /// The table is stored, and needed no more.
    func letGoOfTable() { table = [] }

    /// All is here and checked: what is left to do needs none of the index.
    func letGoOfIndex() {
        chunksTotal = entries.count
        entries = ChunkList()
        files = []
        hashes = [:]
    }

    /// The pages as they came, to be stored; they are let go of afterwards.
    func takePages() -> [[UInt8]] {
        let all = pages.compactMap { $0 }
        pages = []
        return all
    }

    // MARK: Chunks

    func has(_ number: Int) -> Bool { bitmap[number >> 3] & (1 << UInt8(number & 7)) != 0 }

    func mark(_ number: Int) {
        guard !has(number) else { return }
        bitmap[number >> 3] |= 1 << UInt8(number & 7)
        held += 1
        isRecorded = false
    }

    /// It was here, and cannot be read any more.
    func unmark(_ number: Int) {
        guard has(number) else { return }
        bitmap[number >> 3] &= ~(1 << UInt8(number & 7))
        held -= 1
        isRecorded = false
    }

    func wasAsked(_ number: Int) -> Bool { asked[number >> 3] & (1 << UInt8(number & 7)) != 0 }

    /// Raw bytes that were asked for and have not come.
    private(set) var askedBytes = 0
    /// Answers that held, beside what was asked for, what was not: `Puller.askAnew`.
    var overlaps = 0
    static let overlapsMax = 64

    /// Asked for although as much as may be under way was asked for already.
    var wasAskedAsShort = false
    /// What may be asked for so.
    static let shortBytesMax = 256 * 1024

    /// Whether the chunks that are neither here nor asked for are few bytes. O(1): a long list is not looked through.
    func isShort(from cursor: Int) -> Bool {
        guard entries.count - cursor <= 64 else { return false }
        var bytes = 0
        for number in cursor..<entries.count where !has(number) && !wasAsked(number) { bytes += Int(entries[number].length) }
        return bytes <= Transfer.shortBytesMax
    }

    /// An ask was answered. Chunks that failed their hash may be asked for again.
    func forgetAsked(_ range: Range<Int>) {
        for number in range where wasAsked(number) {
            asked[number >> 3] &= ~(1 << UInt8(number & 7))
            askedBytes -= Int(entries[number].length)
        }
    }

    /// The next runs that are neither held nor asked, of about a number of raw bytes; a chunk that repeats within the release is asked once.
    ///
    /// In whole groups they end where the publisher cuts its frames (`Publisher.piece`), mostly a block as it lies there: a cut elsewhere would
    /// make it unpack one, gather two halves and pack each anew. They are then longer than `limit` by up to a block.
    func nextRuns(bytes limit: Int, from cursor: inout Int, runsMax: Int, wholeGroups: Bool) -> (
        runs: [GetChunks.Run], bytes: Int
    ) {
        var runs: [GetChunks.Run] = []
        var total = 0
        var first: Int?
        func close(_ end: Int) {
            if let start = first { runs.append(GetChunks.Run(release: digest, first: UInt64(start), count: UInt64(end - start))) }
            first = nil
        }
        var inGroup = bytesOfGroup(before: cursor)
        while cursor < entries.count, runs.count < runsMax {
            let length = Int(entries[cursor].length)
            if cursor % Limits.indexPageChunks == 0 || inGroup + length > Limits.blockRawBytesMax { inGroup = 0 }
            if total >= limit, inGroup == 0 || !wholeGroups { break }
            inGroup += length
            if has(cursor) || wasAsked(cursor) {
                close(cursor)
            } else {
                if first == nil { first = cursor }
                asked[cursor >> 3] |= 1 << UInt8(cursor & 7)
                total += length
                askedBytes += length
            }
            cursor += 1
        }
        close(cursor)
        return (runs, total)
    }

    /// Raw bytes of the chunks that stand before this one in its group: as many as fit a block, counted from the beginning of an index page.
    private func bytesOfGroup(before number: Int) -> Int {
        var bytes = 0
        for entry in entries[(number / Limits.indexPageChunks * Limits.indexPageChunks)..<number] {
            if bytes + Int(entry.length) > Limits.blockRawBytesMax { bytes = 0 }
            bytes += Int(entry.length)
        }
        return bytes
    }

    // MARK: File digests

    /// Whether `raw` is the chunks of these numbers, one after the other. Those that are the next ones of their files go into the files' hashes
    /// with the same pass over the bytes; after false those hashes are as before.
    func areAsIndexed(_ numbers: Range<Int>, _ raw: UnsafeRawBufferPointer) -> Bool {
        var before: [(file: Int, hash: FileHash)] = []
        var offset = 0
        for number in numbers {
            let bytes = UnsafeRawBufferPointer(rebasing: raw[offset..<(offset + Int(entries[number].length))])
            offset += bytes.count
            let file = fileIndex(of: number)
            let id: Digest
            if let hash = hash(ofFile: file, at: number) {
                if before.last?.file != file { before.append((file, FileHash(hash))) }
                id = hash.hash.updateAndHash(bytes)
                hash.next += 1
            } else {
                id = SHA256.hash(bytes)
            }
            guard id == entries[number].id || (self.number.isEmpty && SeededBug.isOn(.healingUnchecked)) else {
                for (file, hash) in before { hashes[file] = hash }
                return false
            }
        }
        return true
    }

    /// The hash that this chunk is the next one of. None for a file of one chunk, whose digest is the chunk's id.
    private func hash(ofFile file: Int, at number: Int) -> FileHash? {
        let range = chunks(ofFile: file)
        guard range.count > 1 else { return nil }
        if let hash = hashes[file] { return hash.next == number ? hash : nil }
        guard range.lowerBound == number else { return nil }
        let hash = FileHash(next: number)
        hashes[file] = hash
        return hash
    }

    /// The chunks that no file's hash has had yet, in order; `all`: also those whose id says all of their file, to be read again. Nil: a file's digest is
    /// wrong, as far as ids tell.
    func rangesToHash(all: Bool) -> [Range<Int>]? {
        var ranges: [Range<Int>] = []
        for (number, file) in files.enumerated() {
            let range = chunks(ofFile: number)
            if range.isEmpty {
                guard file.digest == SHA256.hash([UInt8]()) else { return nil }
            } else if range.count == 1 {
                guard file.digest == entries[range.lowerBound].id else { return nil }
                if all { ranges.append(range) }
            } else {
                let next = hashes[number]?.next ?? range.lowerBound
                if next < range.upperBound { ranges.append(next..<range.upperBound) }
            }
        }
        return ranges
    }

    /// The bytes of the next chunk of `rangesToHash`. False: they are another chunk's.
    func hash(_ number: Int, _ bytes: UnsafeRawBufferPointer) -> Bool {
        let file = fileIndex(of: number)
        let range = chunks(ofFile: file)
        guard range.count > 1 else { return SHA256.hash(bytes) == entries[number].id }
        let hash = hashes[file] ?? FileHash(next: range.lowerBound)
        precondition(hash.next == number, "a chunk out of turn")
        hash.hash.update(bytes)
        hash.next += 1
        hashes[file] = hash
        return true
    }

    /// Whether it is one of several chunks of its file.
    func isHashedInOrder(_ number: Int) -> Bool { chunks(ofFile: fileIndex(of: number)).count > 1 }

    /// Feeds a chunk that is here to its file's hash, where it is the next one of it; else it is left to whoever checks the files at the end.
    func hashIfNext(_ number: Int, _ bytes: UnsafeRawBufferPointer) {
        guard let hash = hash(ofFile: fileIndex(of: number), at: number) else { return }
        hash.hash.update(bytes)
        hash.next += 1
    }

    /// Whether all files are as signed; every chunk of them was hashed.
    func filesAreAsSigned() -> Bool {
        for (number, file) in files.enumerated() where chunks(ofFile: number).count > 1 {
            guard let hash = hashes[number], hash.finish() == file.digest else { return false }
        }
        return true
    }

    private func chunks(ofFile number: Int) -> Range<Int> {
        files[number].firstChunk..<(number + 1 < files.count ? files[number + 1].firstChunk : entries.count)
    }

    /// The last file whose first chunk is at or before this one and that has chunks at all.
    private func fileIndex(of chunk: Int) -> Int {
        var low = 0
        var high = files.count
        while low + 1 < high {
            let middle = (low + high) / 2
            if files[middle].firstChunk <= chunk { low = middle } else { high = middle }
        }
        return low
    }

    var row: TransferRow {
        TransferRow(
            view: view, release: digest, transfer: number, document: document, table: tableLocations, pages: pageLocations,
            bitmap: bitmap,
            chunksHeld: held, chunksTotal: chunksTotal ?? entries.count)
    }

    /// Takes up a transfer from its row: the index is read back, and the bitmap with it.
    func resume(_ row: TransferRow, table: [UInt8], pages: [[UInt8]]) -> Bool {
        self.table = table
        tableTotal = table.count
        self.pages = pages
        pagesMissing = 0
        guard adoptIndex(), row.bitmap.count == bitmap.count else { return false }
        self.pages = []
        self.table = []
        bitmap = row.bitmap
        held = (0..<entries.count).count { has($0) }
        tableLocations = row.table
        pageLocations = row.pages
        isRecorded = true
        return true
    }
}
