// Small releases: asked for by their documents alone, and checked by making their index from their bytes.
//
// Nothing is believed of a frame: what its bytes make is the index that the release signed, or the release is asked for once more as any other.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaTerms

/// A frame of small releases that the lane checks and writes.
struct ArrivingSmall {
    let transfers: [Transfer]
    let place: LaneResult<Result<Written, any Error>>

    struct Written: Sendable {
        /// Whose index is the one that was signed, in their order.
        var good: [Bool]
        /// Their chunks, and where they lie; nil where none is good.
        var chunks: [ChunkEntry] = []
        var block: ContentLocation?
        var indexes: [(table: [ContentLocation], page: ContentLocation)] = []
        var bytes = 0
    }
}

extension Puller {
    /// What may be asked for and not here: beside what is asked for of longer ones.
    private static let smallAskedBytesMax = 8 * 1024 * 1024
    /// Asks whose answers are due, also of releases that were dropped meanwhile: a publisher that lists, drops and never answers gets no more.
    private static let smallNamesMax = 1 << 16

    /// By what its signed document says. What is on its way back to us is asked for in parts: some of it may be here.
    func isSmall(_ transfer: Transfer) -> Bool {
        guard let index = transfer.release.index, !transfer.isAskedApart, !isOnWayBack(transfer.digest) else { return false }
        return transfer.release.bytes <= UInt64(context.limits.smallReleaseBytesMax)
            && transfer.release.files <= Limits.smallFilesMax
            && index.chunks > 0 && index.chunks <= Limits.smallFilesMax && index.pages == 1
    }

    func smallAsks() -> [Frame] {
        var frames: [Frame] = []
        while smallAskedBytes < Puller.smallAskedBytesMax, smallNames.count < Puller.smallNamesMax, !smallQueue.isEmpty {
            var asks: [GetSmall.Ask] = []
            var view: Digest?
            while asks.count < GetSmall.countMax, smallAskedBytes < Puller.smallAskedBytesMax, let digest = smallQueue.first {
                guard let transfer = transfers[digest], transfer.files.isEmpty, smallAsked[digest] == nil else {
                    smallQueue.removeFirst()
                    continue
                }
                guard view == nil || view == transfer.view else { break }
                view = transfer.view
                smallQueue.removeFirst()
                // Tag files stand in no document.
                let bytes = Int(transfer.release.bytes) + 2048
                smallAsked[digest] = bytes
                smallAskedBytes += bytes
                smallNames[transfer.name, default: (digest, 0)].asks += 1
                asks.append(GetSmall.Ask(release: transfer.name, base: transfer.base))
            }
            guard let view, !asks.isEmpty else { break }
            frames.append(GetSmall(view: view, asks: asks).frame)
        }
        return frames
    }

    func take(_ message: Small, bodyCount: Int) throws {
        try charge(bodyCount)
        var parts: [(transfer: Transfer, item: Int)] = []
        var history: [UInt8] = []
        var isHistoryWhole = true
        for (number, item) in message.items.enumerated() {
            let (release, isLast) = answeredSmall(item.release)
            if item.form == .againstBase, isHistoryWhole {
                // Of one that was dropped meanwhile it is not known any more: then the others are asked for apart.
                if let before = try contentOfBase(of: release), history.count + before.count <= Limits.deltaReferenceBytesMax {
                    history += before
                } else {
                    isHistoryWhole = false
                }
            }
            // An answer to an ask from before the release was dropped, or wanted in another view, says nothing of the one that followed.
            guard isLast, let transfer = transfers[release], transfer.view == message.view, transfer.name == item.release,
                !transfer.isAtLane, transfer.files.isEmpty, let asked = smallAsked.removeValue(forKey: release)
            else { continue }
            smallAskedBytes -= asked
            switch item.form {
            case .whole, .againstBase: parts.append((transfer, number))
            case .apart: askApart(transfer)
            case .absent:
                discard(release)
                putOff(Wanted(view: transfer.view, release: release, level: transfer.level, number: transfer.number))
            }
        }
        guard !parts.isEmpty else { return }
        guard isHistoryWhole else { return parts.forEach { askApart($0.transfer) } }
        for part in parts { part.transfer.isAtLane = true }
        let place = LaneResult<Result<ArrivingSmall.Written, any Error>>()
        let isAll = parts.count == message.items.count
        lane.run(bytes: message.rawLength) { [content = context.content, parts, history] in
            place.set(Result { try Puller.check(parts, of: message, history, isAll: isAll, into: content) })
        }
        arrivingSmall.append(ArrivingSmall(transfers: parts.map(\.transfer), place: place))
    }

    /// The release that a name was asked for as, and whether nothing more is due under that name.
    private func answeredSmall(_ name: Digest) -> (release: Digest, isLast: Bool) {
        guard let known = smallNames[name] else { return (name, false) }
        smallNames[name] = known.asks > 1 ? (known.release, known.asks - 1) : nil
        return (known.release, known.asks == 1)
    }

    /// The bytes of the release that was named as the base of another; nil where they cannot be told.
    private func contentOfBase(of release: Digest) throws -> [UInt8]? {
        guard let transfer = transfers[release], let base = transfer.base,
            let row = try context.metadata.read({ try $0.release(base) }), row.pages.count == 1
        else { return nil }
        do {
            let entries = try IndexPage.decode(context.body(at: row.pages[0], of: base))
            guard entries.reduce(0, { $0 + Int($1.length) }) <= Limits.smallContentBytesMax else { return nil }
            return try readChunks(entries, of: base)
        } catch StoreFault.damaged {
            return nil
        }
    }

    /// On the lane: unpacks, makes each index, compares it with the signed one, and writes what is good with one call.
    private static func check(
        _ parts: [(transfer: Transfer, item: Int)], of message: Small, _ history: [UInt8], isAll: Bool,
        into content: any ContentStore
    ) throws -> ArrivingSmall.Written {
        var written = ArrivingSmall.Written(good: Array(repeating: false, count: parts.count))
        guard let unpacked = try? message.unpacked(history: history) else { return written }
        let digests = unpacked.digests(of: message.items)
        var isGood = Array(repeating: false, count: message.items.count)
        var indexes: [SmallIndex] = []
        for (number, (transfer, item)) in parts.enumerated() {
            guard let index = transfer.adoptSmall(message.items[item].files, digests[item]) else { continue }
            written.good[number] = true
            isGood[item] = true
            indexes.append(index)
        }
        guard !indexes.isEmpty else { return written }
        // As it came, where that stands for itself and for nothing that is not here.
        let isAsItCame = isAll && !written.good.contains(false) && !message.items.contains { $0.form == .againstBase }
        let block: StoredBlock
        if isAsItCame {
            block = StoredBlock(
                codec: message.codec, rawLength: unpacked.raw.count, chunks: unpacked.chunks, bytes: message.bytes)
        } else {
            var (kept, chunks, start) = ([UInt8](), [ChunkEntry](), 0)
            for (place, chunk) in zip(unpacked.order, unpacked.chunks) {
                let end = start + Int(chunk.length)
                if isGood[place.item] {
                    kept += unpacked.raw[start..<end]
                    chunks.append(chunk)
                }
                start = end
            }
            guard let made = Block.encode(raw: kept, chunks: chunks) else { preconditionFailure("nil is for what has a history") }
            block = StoredBlock(codec: made.codec, rawLength: kept.count, chunks: chunks, bytes: made.bytes)
        }
        let places = try content.append(block: block, small: indexes)
        (written.chunks, written.block, written.indexes) = (block.chunks, places.block, places.indexes)
        written.bytes = block.bytes.count
        return written
    }

    /// After the lane was waited for.
    func noteSmallWritten() throws {
        let frames = arrivingSmall
        arrivingSmall = []
        for transfer in frames.flatMap(\.transfers) { transfer.isAtLane = false }
        for (number, frame) in frames.enumerated() {
            do { try noteWritten(frame) } catch {
                // What could not be written was never here, nor is what came behind it, of which nobody takes note: the session ends, and what it
                // writes as its last must not say otherwise.
                for transfer in frames[number...].flatMap(\.transfers) where transfer.pageLocations.isEmpty {
                    transfer.forgetContent()
                }
                throw error
            }
        }
    }

    private func noteWritten(_ frame: ArrivingSmall) throws {
        let written = try frame.place.take().get()
        if let block = written.block, let first = frame.transfers.first {
            unrecordedBlocks.append((namespace(of: first.digest), block, written.chunks))
            unflushedBytes += written.bytes
        }
        var next = 0
        for (transfer, isGood) in zip(frame.transfers, written.good) {
            defer { if isGood { next += 1 } }
            // Ended meanwhile: what came of it stays as content without a release.
            guard transfers[transfer.digest] === transfer else { continue }
            guard isGood else {
                askApart(transfer)
                continue
            }
            transfer.removalsSeen = context.metadata.chunkRemovals
            (transfer.tableLocations, transfer.pageLocations) = (written.indexes[next].table, [written.indexes[next].page])
            try complete(transfer)
        }
    }

    /// It is asked for as any other, once and for all.
    private func askApart(_ transfer: Transfer) {
        transfer.isAskedApart = true
        transfer.forgetIndex()
        indexOrder.set(transfer.digest, left: transfer.release.index?.chunks ?? 1)
    }
}
