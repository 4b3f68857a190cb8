// The last check of a transfer: each file's own digest, over what came in this session and what was here before.
//
// Chunks are bound to the signed root by their ids; that they make the files that were signed too is the writer's word, and is believed only when it was
// computed. So what is here from earlier releases is read once more, block by block in the files' order, unpacked on the lane and here by turns.
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

    /// How many look-ups are made together, and how many blocks are unpacked together.
    private static let chunksAtOnce = 1024
    private static let blocksAtOnce = 8

    func complete(_ transfer: Transfer) throws {
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
            transfer.letGoOfIndex()
            settled.append(.accepted(transfer))
        }
    }

    private func checkFiles(of transfer: Transfer) throws -> FilesVerdict {
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
                for piece in pieces where !canRead(piece, of: transfer) { lose(piece.block, of: transfer) }
            }
        }
        guard isReadable else { return .unreadable }
        return transfer.filesAreAsSigned() ? .asSigned : .wrong
    }

    private func canRead(_ piece: Piece, of transfer: Transfer) -> Bool {
        (try? context.raw(context.block(at: piece.block, of: transfer.digest), at: piece.block, of: transfer.digest)) != nil
    }

    /// Where chunks of a transfer lie, from blocks of this session that have no rows yet, and from the store. Those that lie nowhere are marked as
    /// missing.
    private func pieces(of transfer: Transfer, _ numbers: Range<Int>) throws -> (pieces: [Piece], isWhole: Bool) {
        let entries = transfer.entries[numbers]
        let city = namespace(of: transfer.digest)
        var places = try context.metadata.read { try $0.chunkLocations(of: city, entries.map(\.id)) }
        if places.contains(where: { $0 == nil }) {
            var fresh: [Digest: ChunkLocation] = [:]
            for block in unrecordedBlocks where block.city == city {
                var offset: UInt32 = 0
                for chunk in block.chunks {
                    fresh[chunk.id] = ChunkLocation(block: block.location, offset: offset, length: chunk.length)
                    offset += chunk.length
                }
            }
            places = zip(places, entries).map { $0 ?? fresh[$1.id] }
        }
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
        typealias Unpacked = Result<[UInt8], any Error>
        func isHere(_ index: Int) -> Bool { index % 4 == 3 || pieces.count == 1 }
        func unpack(_ piece: Piece) -> Unpacked {
            let release = transfer.digest
            return Result { [context] in
                try context.raw(context.block(at: piece.block, of: release), at: piece.block, of: release)
            }
        }
        var onLane: [Int: LaneResult<Unpacked>] = [:]
        func begin(_ window: Range<Int>) {
            for index in window where !isHere(index) {
                let result = LaneResult<Unpacked>()
                onLane[index] = result
                let piece = pieces[index].block
                let (context, release) = (context, transfer.digest)
                lane.run(bytes: Limits.blockRawBytesMax) {
                    result.set(
                        Result { try context.raw(context.block(at: piece, of: release), at: piece, of: release) })
                }
            }
        }
        func window(_ start: Int) -> Range<Int> { start..<min(pieces.count, start + Puller.blocksAtOnce) }
        begin(window(0))
        for start in stride(from: 0, to: pieces.count, by: Puller.blocksAtOnce) {
            let here = window(start).filter(isHere).map { ($0, unpack(pieces[$0])) }
            lane.wait()
            var unpacked = Dictionary(uniqueKeysWithValues: here)
            for index in window(start) where !isHere(index) { unpacked[index] = onLane.removeValue(forKey: index)?.take() }
            if start + Puller.blocksAtOnce < pieces.count { begin(window(start + Puller.blocksAtOnce)) }
            for index in window(start) {
                guard let result = unpacked[index] else { preconditionFailure("every block of a window was unpacked") }
                let raw: [UInt8]
                do { raw = try result.get() } catch StoreFault.damaged {
                    lane.wait()
                    lose(pieces[index].block, of: transfer)
                    return false
                }
                for (number, offset) in pieces[index].chunks {
                    let end = offset + Int(transfer.entries[number].length)
                    let isRight =
                        end <= raw.count
                        && raw.withUnsafeBytes { transfer.hash(number, UnsafeRawBufferPointer(rebasing: $0[offset..<end])) }
                    guard isRight else {
                        lane.wait()
                        context.damage.note(
                            transfer.digest, block: pieces[index].block,
                            "chunk \(transfer.entries[number].id.short) is not what its block holds")
                        lose(pieces[index].block, of: transfer)
                        return false
                    }
                }
            }
        }
        return true
    }

    /// None of its chunks counts as here. `DamageNotes` has it: its rows go before the chunks come again.
    private func lose(_ block: ContentLocation, of transfer: Transfer) {
        lastBlock = nil
        var ids: Set<Digest> = []
        for fresh in unrecordedBlocks where fresh.location == block { ids.formUnion(fresh.chunks.map(\.id)) }
        unrecordedBlocks.removeAll { $0.location == block }
        let city = namespace(of: transfer.digest)
        for start in stride(from: 0, to: transfer.entries.count, by: Puller.chunksAtOnce) {
            let entries = transfer.entries[start..<min(transfer.entries.count, start + Puller.chunksAtOnce)]
            let places = (try? context.metadata.read { try $0.chunkLocations(of: city, entries.map(\.id)) }) ?? []
            for ((number, entry), place) in zip(zip(entries.indices, entries), places)
            where place?.block == block || (place == nil && ids.contains(entry.id)) { transfer.unmark(number) }
        }
    }

    /// The raw bytes of a block that `release` needs; the one that was read last is kept.
    func cachedBlock(_ location: ContentLocation, of release: Digest) throws -> [UInt8] {
        if let lastBlock, lastBlock.location == location { return lastBlock.raw }
        let raw = try context.raw(context.block(at: location, of: release), at: location, of: release)
        lastBlock = (location, raw)
        return raw
    }
}
