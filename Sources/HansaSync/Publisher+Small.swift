// Small releases, many in a frame.
//
// What goes together follows from the asks alone, in their order; the bytes are compressed anew for each answer, of that view's releases only: how they
// lie here, and beside what, shows in nothing.
internal import HansaContent
internal import HansaCore
internal import HansaDocuments
internal import HansaTerms

/// A small release that was asked for and not handed out.
struct SmallAsk {
    let view: Digest
    /// What the partner calls it, and its digest.
    let name: Digest
    let release: Digest
    let base: Digest?
}

extension Publisher {
    /// So many frames in a row while something longer waits, and that has its turn.
    private static let smallTurnFrames = 7
    /// Better than blocks at rest: it is done once for each partner, and lines cost more than memory.
    private static let smallLevel: Int32 = 3

    func enqueue(_ message: GetSmall) throws {
        guard Set(message.asks.map(\.release)).count == message.asks.count else {
            throw ProtocolFault.malformed(.getSmall, "a release twice")
        }
        guard queuedRuns + message.asks.count <= context.limits.queuedRunsMax else { throw ProtocolFault.tooManyAsks }
        for ask in message.asks {
            guard let release = told.release(ask.release, of: message.view) else {
                throw ProtocolFault.malformed(.getSmall, "an offer that was not told")
            }
            smallQueue.append(SmallAsk(view: message.view, name: ask.release, release: release, base: ask.base))
        }
    }

    /// Whether small releases are next: before longer ones, but for every eighth frame.
    func isSmallsTurn(shortOnly: Bool) -> Bool {
        guard !smallQueue.isEmpty else { return false }
        if shortOnly || (order.isEmpty && deltaQueue.isEmpty) { return true }
        smallsInRow += 1
        if smallsInRow <= Publisher.smallTurnFrames { return true }
        smallsInRow = 0
        return false
    }

    private struct SmallFrame {
        var items: [Small.Item] = []
        var headBytes = 0
        var files = 0
        var rawBytes = 0
        /// Of each item, its chunks and their bytes in the order of its files.
        var contents: [(entries: [ChunkEntry], bytes: [UInt8])] = []
        var history: [UInt8] = []

        static func headBytes(of files: [Small.File]) -> Int { files.reduce(40) { $0 + $1.path.utf8.count + 8 } }

        mutating func add(_ item: Small.Item, _ entries: [ChunkEntry] = [], _ bytes: [UInt8] = []) {
            items.append(item)
            headBytes += SmallFrame.headBytes(of: item.files)
            files += item.files.count
            rawBytes += bytes.count
            contents.append((entries, bytes))
        }

        /// All bytes in the order of the frame.
        func ordered() -> (raw: [UInt8], chunks: [ChunkEntry]) {
            // Where each file begins in its release, and how many chunks come before it.
            let starts = items.map { item in
                item.files.reduce(into: [(byte: 0, chunk: 0)]) { starts, file in
                    let last = starts[starts.count - 1]
                    starts.append((last.byte + file.size, last.chunk + (file.size > 0 ? 1 : 0)))
                }
            }
            var raw: [UInt8] = []
            raw.reserveCapacity(rawBytes)
            var chunks: [ChunkEntry] = []
            chunks.reserveCapacity(files)
            for place in Small.order(of: items) {
                let (start, content) = (starts[place.item][place.file], contents[place.item])
                raw += content.bytes[start.byte..<(start.byte + items[place.item].files[place.file].size)]
                chunks.append(content.entries[start.chunk])
            }
            return (raw, chunks)
        }
    }

    /// The next frame: as many of the next releases of one view as fit a block.
    func nextSmall(by authority: inout Authority, in store: any MetadataReading) throws -> Frame? {
        guard let view = smallQueue.first?.view else { return nil }
        var made = SmallFrame()
        while let ask = smallQueue.first, ask.view == view, made.items.count < GetSmall.countMax {
            guard try add(ask, to: &made, by: &authority, in: store) else { break }
            smallQueue.removeFirst()
        }
        let (raw, chunks) = made.ordered()
        effortBytes += raw.count + made.history.count
        if let packed = Block.encode(raw: raw, chunks: chunks, level: Publisher.smallLevel, reference: made.history) {
            return Small(view: view, items: made.items, codec: packed.codec, bytes: packed.bytes[...]).frame
        }
        for number in made.items.indices where made.items[number].form == .againstBase { made.items[number].form = .whole }
        return Small(view: view, items: made.items, codec: .raw, bytes: raw[...]).frame
    }

    /// False: there is no room for it in this frame.
    private func add(_ ask: SmallAsk, to made: inout SmallFrame, by authority: inout Authority, in store: any MetadataReading)
        throws
        -> Bool
    {
        guard try authority.maySync(ask.release, of: ask.view), let row = try store.release(ask.release),
            row.release.operation != .withdraw
        else {
            made.add(Small.Item(release: ask.name, form: .absent))
            return true
        }
        guard let (files, entries) = try readable({ try self.smallIndex(row) }) else {
            made.add(Small.Item(release: ask.name, form: .apart))
            return true
        }
        let bytes = entries.reduce(0) { $0 + Int($1.length) }
        let headBytes = SmallFrame.headBytes(of: files)
        // Also where nothing shrinks, head and content fit the frame.
        guard made.rawBytes + bytes + made.headBytes + headBytes <= Limits.blockRawBytesMax,
            made.headBytes + headBytes <= Small.headBytesMax, made.files + files.count <= Small.filesMax
        else { return false }
        guard let content = try readable({ try self.bytes(ofSmall: row, entries, in: store) }) else {
            made.add(Small.Item(release: ask.name, form: .apart))
            return true
        }
        var form = Small.Form.whole
        if let base = try ask.base.flatMap({ try self.base($0, of: row, in: ask.view, by: &authority, store) }),
            made.history.count + Limits.smallContentBytesMax <= Limits.deltaReferenceBytesMax,
            let history = try readable({
                try self.smallIndex(base.row).map { try self.bytes(ofSmall: base.row, $0.entries, in: store) }
            })
        {
            made.history += history
            form = .againstBase
        }
        made.add(Small.Item(release: ask.name, form: form, files: files), entries, content)
        return true
    }

    /// What cannot be read is noted (`DamageNotes`): the release is asked for apart, and answered there as what is not here.
    private func readable<T>(_ read: () throws -> T?) throws -> T? {
        do { return try read() } catch StoreFault.damaged { return nil }
    }

    /// The files and chunks of a release whose files are of one chunk at most; nil where it is no small one.
    private func smallIndex(_ row: ReleaseRow) throws -> (files: [Small.File], entries: [ChunkEntry])? {
        guard row.table.count == 1, row.pages.count == 1, row.release.chunks <= Limits.smallFilesMax else { return nil }
        let table = try FileTable(encoded: context.body(at: row.table[0], of: row.digest), chunks: row.release.chunks)
        let entries = try IndexPage.decode(context.body(at: row.pages[0], of: row.digest))
        guard table.files.count <= Limits.smallFilesMax, entries.count == row.release.chunks,
            table.files.indices.allSatisfy({ table.chunks(of: $0).count <= 1 }),
            entries.reduce(0, { $0 + Int($1.length) }) <= Limits.smallContentBytesMax
        else { return nil }
        return (table.files.map { Small.File(path: $0.path, size: Int($0.size), profile: $0.profile) }, entries)
    }

    /// Most chunks of a small package lie in one block, which says itself where.
    private func bytes(ofSmall row: ReleaseRow, _ entries: [ChunkEntry], in store: any MetadataReading) throws -> [UInt8] {
        let first = try places(of: [entries[0]], from: row.servedBy, row.digest, in: store)[0]
        let stored = try context.block(at: first.block, of: row.digest)
        if stored.chunks == entries { return try context.raw(stored, at: first.block, of: row.digest) }
        var known: [Digest: UInt32] = [:]
        var offset: UInt32 = 0
        for chunk in stored.chunks {
            known[chunk.id] = offset
            offset += chunk.length
        }
        let places = try entries.map { entry in
            if let offset = known[entry.id] { return ChunkLocation(block: first.block, offset: offset, length: entry.length) }
            return try self.places(of: [entry], from: row.servedBy, row.digest, in: store)[0]
        }
        return try gather(entries, places, of: row.digest, beginningIn: stored, at: first.block)
    }

    /// Small releases of a frame that did not leave are asked for again, before all others.
    func requeue(_ small: Small) {
        let asks = small.items.compactMap { item in
            told.release(item.release, of: small.view).map {
                SmallAsk(view: small.view, name: item.release, release: $0, base: nil)
            }
        }
        smallQueue = asks[...] + smallQueue
    }
}
