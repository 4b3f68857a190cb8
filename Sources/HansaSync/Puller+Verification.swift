// The last check of a transfer: each file's own digest, over what came in this session and what was here before.
//
// Chunks are bound to the signed root by their ids; that they make the files that were signed too is the writer's word, and is believed only when it was
// computed. Mostly all of it was hashed in order by then (`Puller+HashAhead`). What was not, since something stood in its way, is read here, one block after the
// other, and what cannot be read is found.
internal import HansaContent
internal import HansaCore
internal import HansaDocuments

extension Puller {
    enum FilesVerdict {
        case asSigned
        case wrong
        /// Some of it is not what was written here: those chunks are missing now.
        case unreadable
    }

    /// Chunks of a transfer that lie side by side in one block.
    private struct Piece {
        let block: ContentLocation
        var chunks: [(number: Int, offset: Int)]
    }

    /// How many look-ups are made together.
    private static let chunksAtOnce = 1024
    /// Of one release, looked for in a transaction unless the batch was looked at several times before.
    private static let chunksInTransactionMax = 100_000
    private static let commitTriesMax = 4

    func complete(_ transfer: Transfer) throws {
        // What no run came after. Its hashes are ours again then.
        try hashAhead(of: transfer, to: transfer.entries.count, sharing: true)
        if transfer.isHashedAhead || arriving.contains(where: { $0.transfer === transfer }) { lane.wait() }
        switch try checkFiles(of: transfer) {
        case .wrong: refuse(transfer, .contentHash)
        case .unreadable:
            transfer.failures += 1
            guard transfer.failures < 3 else {
                // Our own disk's fault, and not the partner's.
                discard(transfer.digest)
                return putOff(
                    Wanted(view: transfer.view, release: transfer.digest, level: transfer.level, number: transfer.number))
            }
            askForChunks(of: transfer)
        case .asSigned:
            discard(transfer.digest)
            // Nothing of it is read again, and a session may last for days.
            if transfer.isHashedAhead { recentBlocks.removeAll() }
            transfer.letGoOfIndex()
            settled.append(.accepted(transfer))
        }
    }

    private func checkFiles(of transfer: Transfer) throws -> FilesVerdict {
        if healing[transfer.digest] != nil, SeededBug.isOn(.healingUnchecked) { return .asSigned }
        guard let ranges = transfer.rangesToHash(all: healing[transfer.digest] != nil) else { return .wrong }
        // From the first that cannot be read nothing is hashed: the rest is read to know what else is to be asked for.
        var isReadable = true
        for range in ranges {
            for start in stride(from: range.lowerBound, to: range.upperBound, by: Puller.chunksAtOnce) {
                let (pieces, isWhole) = try pieces(of: transfer, start..<min(range.upperBound, start + Puller.chunksAtOnce))
                isReadable = isReadable && isWhole
                if isReadable {
                    isReadable = try hash(pieces, of: transfer)
                    if isReadable { continue }
                }
                for piece in pieces where try !canRead(piece, of: transfer) { try lose(piece.block, of: transfer) }
            }
        }
        guard isReadable else { return .unreadable }
        return transfer.filesAreAsSigned() ? .asSigned : .wrong
    }

    /// Another error than damage is the disk's, and says nothing of this block.
    private func canRead(_ piece: Piece, of transfer: Transfer) throws -> Bool {
        do {
            _ = try context.raw(context.block(at: piece.block, of: transfer.digest), at: piece.block, of: transfer.digest)
            return true
        } catch StoreFault.damaged {
            return false
        }
    }

    // MARK: Before the commit

    /// Thrown out of a transaction that would have committed a release without a chunk: the batch is looked at again.
    struct ChunksGone: Error {}

    /// Without those of which a chunk is gone since it counted as here: swept, or lost with a block that another reader could not read. They begin anew,
    /// with what is here.
    func stillWhole(_ batch: [Settled]) throws -> [Settled] {
        // Before the look: what goes during it is counted later, and found in the transaction.
        let removals = context.metadata.chunkRemovals
        return try batch.filter { item in
            guard case .accepted(let transfer) = item, mayLack(transfer) else { return true }
            if try context.metadata.read({ try self.isWhole(transfer, $0) }) {
                transfer.removalsSeen = removals
                return true
            }
            want(Wanted(view: transfer.view, release: transfer.digest, level: transfer.level, number: transfer.number))
            return false
        }
    }

    /// In the transaction that commits them, once its blocks have their rows: nothing can be swept between here and the commit.
    func mustBeWhole(_ batch: [Settled], _ tx: any MetadataWriting) throws {
        for case .accepted(let transfer) in batch where mayLack(transfer) {
            // All its pages are read for it: of a long one without all others waiting, as long as there is a hope that nothing goes meanwhile.
            let isLong = transfer.release.index?.chunks ?? 0 > Puller.chunksInTransactionMax
            if isLong, commitTries < Puller.commitTriesMax { throw ChunksGone() }
            guard try isWhole(transfer, tx) else { throw ChunksGone() }
        }
    }

    /// No look is needed while no row of a chunk went. What is healed is read as a whole.
    private func mayLack(_ transfer: Transfer) -> Bool {
        !transfer.isDocumentOnly && healing[transfer.digest] == nil && transfer.removalsSeen != context.metadata.chunkRemovals
    }

    /// Its index was let go of, and is read again.
    private func isWhole(_ transfer: Transfer, _ store: any MetadataReading) throws -> Bool {
        let city = namespace(of: transfer.digest)
        var fresh: Set<Digest>?
        for page in transfer.pageLocations {
            let entries: [ChunkEntry]
            do { entries = try IndexPage.decode(context.content.body(at: page)) } catch StoreFault.damaged { return false }
            for start in stride(from: 0, to: entries.count, by: Puller.chunksAtOnce) {
                let part = entries[start..<min(entries.count, start + Puller.chunksAtOnce)]
                let places = try store.chunkLocations(of: city, part.map(\.id))
                for (entry, place) in zip(part, places) where place?.length != entry.length {
                    let known =
                        fresh ?? Set(unrecordedBlocks.lazy.filter { $0.city == city }.flatMap { $0.chunks.lazy.map(\.id) })
                    fresh = known
                    guard known.contains(entry.id) else { return false }
                }
            }
        }
        return true
    }

    /// Where chunks of a transfer lie, from blocks of this session that have no rows yet, and from the store.
    func places(of numbers: Range<Int>, in transfer: Transfer) throws -> [ChunkLocation?] {
        let entries = transfer.entries[numbers]
        let city = namespace(of: transfer.digest)
        let places = try context.metadata.read { try $0.chunkLocations(of: city, entries.map(\.id)) }
        guard places.contains(where: { $0 == nil }) else { return places }
        var fresh: [Digest: ChunkLocation] = [:]
        for block in unrecordedBlocks where block.city == city {
            var offset: UInt32 = 0
            for chunk in block.chunks {
                fresh[chunk.id] = ChunkLocation(block: block.location, offset: offset, length: chunk.length)
                offset += chunk.length
            }
        }
        return zip(places, entries).map { $0 ?? fresh[$1.id] }
    }

    /// Chunks of a transfer by the blocks in which they lie. Those that lie nowhere are marked as missing.
    private func pieces(of transfer: Transfer, _ numbers: Range<Int>) throws -> (pieces: [Piece], isWhole: Bool) {
        let entries = transfer.entries[numbers]
        let places = try places(of: numbers, in: transfer)
        var pieces: [Piece] = []
        var isWhole = true
        for ((number, entry), place) in zip(zip(numbers, entries), places) {
            guard let place, place.length == entry.length else {
                transfer.unmark(number)
                isWhole = false
                continue
            }
            if pieces.last?.block == place.block {
                pieces[pieces.count - 1].chunks.append((number, Int(place.offset)))
            } else {
                pieces.append(Piece(block: place.block, chunks: [(number, Int(place.offset))]))
            }
        }
        return (pieces, isWhole)
    }

    /// False: a block could not be read, and its chunks are marked as missing; those before it were hashed.
    private func hash(_ pieces: [Piece], of transfer: Transfer) throws -> Bool {
        for piece in pieces where try !hash(piece, of: transfer) {
            try lose(piece.block, of: transfer)
            return false
        }
        return true
    }

    /// False: it cannot be read, or is not what was written.
    private func hash(_ piece: Piece, of transfer: Transfer) throws -> Bool {
        let raw: ArraySlice<UInt8>
        do { raw = try cachedBlock(piece.block, of: transfer.digest) } catch StoreFault.damaged { return false }
        for (number, offset) in piece.chunks {
            let end = offset + Int(transfer.entries[number].length)
            let isRight =
                end <= raw.count
                && raw.withUnsafeBytes { transfer.hash(number, UnsafeRawBufferPointer(rebasing: $0[offset..<end])) }
            guard isRight else {
                context.damage.note(
                    transfer.digest, block: piece.block,
                    "chunk \(transfer.entries[number].id.short) is not what its block holds")
                return false
            }
        }
        return true
    }

    /// None of its chunks counts as here. `DamageNotes` has it: its rows go before the chunks come again.
    private func lose(_ block: ContentLocation, of transfer: Transfer) throws {
        recentBlocks.removeAll()
        var ids: Set<Digest> = []
        for fresh in unrecordedBlocks where fresh.location == block { ids.formUnion(fresh.chunks.map(\.id)) }
        unrecordedBlocks.removeAll { $0.location == block }
        let city = namespace(of: transfer.digest)
        for start in stride(from: 0, to: transfer.entries.count, by: Puller.chunksAtOnce) {
            let entries = transfer.entries[start..<min(transfer.entries.count, start + Puller.chunksAtOnce)]
            let places = try context.metadata.read { try $0.chunkLocations(of: city, entries.map(\.id)) }
            for ((number, entry), place) in zip(zip(entries.indices, entries), places)
            where place?.block == block || (place == nil && ids.contains(entry.id)) { transfer.unmark(number) }
        }
    }

    /// The raw bytes of a block that `release` needs; those that were read last are kept.
    func cachedBlock(_ location: ContentLocation, of release: Digest) throws -> ArraySlice<UInt8> {
        try recentBlocks.raw(at: location) {
            try context.raw(context.block(at: location, of: release), at: location, of: release)[...]
        }
    }
}
