// Content and indexes by what they have in common with a release that is here: which one is named as the base, and what comes of it.
//
// Nothing is believed of a delta: its chunks are checked by the same ids as any, and what does not fit is asked for once more without a base.
internal import HansaContent
internal import HansaCore
internal import HansaDocuments
internal import HansaTerms

extension Puller {
    /// Deltas of one transfer that were not what the index says, before that counts as damage: as many as may be under way.
    private static let deltaFailuresMax = 64

    /// The release that a transfer is asked for against: the one before it where that is here, else the newest earlier one. Only what this publisher
    /// served in this view counts: another would tell it what we hold from others.
    func base(for transfer: Transfer, _ store: any MetadataReading) throws -> Digest? {
        func isHeld(_ row: ReleaseRow) throws -> Bool {
            guard row.hasContent, row.release.writer == peer, row.servedBy == peer, row.release.seq < transfer.release.seq,
                row.release.package == transfer.release.package, row.release.chunks > 0,
                row.release.chunks <= BaseIndex.chunksMax, let holding = try store.holding(transfer.view, row.digest)
            else { return false }
            return holding.state == .accepted && holding.level == .sync
        }
        if let previous = transfer.release.previous, let row = try store.release(previous), try isHeld(row) { return previous }
        let earlier = try store.releases(of: transfer.release.package).filter { try isHeld($0) }
        return earlier.max { ($0.release.seq, $0.digest) < ($1.release.seq, $1.digest) }?.digest
    }

    func baseIndex(of transfer: Transfer) throws -> BaseIndex? {
        guard let base = transfer.base else { return nil }
        if let openBase, openBase.row.digest == base { return openBase }
        guard let row = try context.metadata.read({ try $0.release(base) }) else { return nil }
        openBase = BaseIndex(row, context.content)
        return openBase
    }

    /// A page that was told by a base. Nil: it is none of this index, as far as our own bytes say.
    func page(_ number: UInt64, of transfer: Transfer, delta bytes: [UInt8]) throws -> [UInt8] {
        guard let base = try baseIndex(of: transfer), number < UInt64(transfer.release.index?.pages ?? 0) else {
            throw ByteFault.malformed("a page against no base")
        }
        let count = IndexPage.chunks(of: Int(number), inIndexOf: transfer.release.index?.chunks ?? 0).count
        return try PageDelta.decode(bytes, page: Int(number), count: count, from: base)
    }

    func take(_ message: Delta, bodyCount: Int) throws {
        try charge(bodyCount)
        guard let transfer = transfers[message.release], transfer.view == message.view, !transfer.entries.isEmpty else {
            return arrivedLate(message.release, message.rawLength, isAbsent: false)
        }
        guard let last = message.runs.last, last.upperBound <= transfer.entries.count else {
            throw ProtocolFault.malformed(.delta, "beyond the index")
        }
        let entries = message.runs.flatMap { transfer.entries[$0] }
        guard message.runs.allSatisfy({ $0.allSatisfy(transfer.wasAsked) }),
            entries.reduce(0, { $0 + Int($1.length) }) == Int(message.rawLength)
        else {
            if late[message.release] ?? 0 >= Int(message.rawLength) {
                return arrivedLate(message.release, message.rawLength, isAbsent: false)
            }
            throw ProtocolFault.malformed(.delta, "not what was asked for")
        }
        guard let base = try baseIndex(of: transfer) else { throw ProtocolFault.unexpected(.delta, "against no base") }
        guard let end = message.reference.last?.upperBound, end <= base.chunkCount else {
            throw ProtocolFault.malformed(.delta, "beyond the base")
        }
        // Numbers before entries: what would be read of the base is known before a page of it is.
        guard message.reference.reduce(0, { $0 + $1.count }) <= Limits.deltaReferenceBytesMax else {
            throw ProtocolFault.malformed(.delta, "too much of the base")
        }
        let referenceEntries = try message.reference.flatMap { try base.entries($0) }
        guard referenceEntries.reduce(0, { $0 + Int($1.length) }) <= Limits.deltaReferenceBytesMax else {
            throw ProtocolFault.malformed(.delta, "too much of the base")
        }
        for run in message.runs { transfer.forgetAsked(run) }
        contentAskedBytes = max(0, contentAskedBytes - Int(message.rawLength))
        let reference = try readChunks(referenceEntries)
        let rawLength = Int(message.rawLength)
        // All of it on the lane, where the hashes of its files may be.
        keep(message.runs, of: transfer, entries, rawBytes: rawLength, bytes: rawLength, isChecked: false, isDelta: true) {
            guard let raw = try? Block.decodeDelta(message.bytes, rawLength: rawLength, reference: reference),
                Puller.areAsIndexed(message.runs, raw, of: transfer)
            else { return nil }
            // What is kept stands for itself.
            let packed = Block.encode(raw: raw)
            return StoredBlock(codec: packed.codec, rawLength: raw.count, chunks: entries, bytes: packed.bytes)
        }
    }

    private static func areAsIndexed(_ runs: [Range<Int>], _ raw: [UInt8], of transfer: Transfer) -> Bool {
        raw.withUnsafeBytes { buffer in
            var offset = 0
            return runs.allSatisfy { run in
                let bytes = transfer.entries[run].reduce(0) { $0 + Int($1.length) }
                defer { offset += bytes }
                // What an earlier run has put into its file's hash stays right: it was compared with its ids.
                return transfer.areAsIndexed(run, UnsafeRawBufferPointer(rebasing: buffer[offset..<(offset + bytes)]))
            }
        }
    }

    /// Not what the index says, or our own bytes of the base are not what they were: what is missing is asked for as it lies.
    func deltaFailed(_ transfer: Transfer, _ runs: [Range<Int>]) {
        transfer.isDeltaUseless = true
        transfer.deltaFailures += 1
        guard transfer.deltaFailures <= Puller.deltaFailuresMax else { return damaged(transfer, runs[0]) }
        askForChunks(of: transfer)
    }

    /// The bytes of chunks that are here, one after the other.
    private func readChunks(_ entries: [ChunkEntry]) throws -> [UInt8] {
        let places = try context.metadata.read { try $0.chunkLocations(of: self.peer, entries.map(\.id)) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(entries.reduce(0) { $0 + Int($1.length) })
        for (entry, place) in zip(entries, places) {
            guard let place else { throw StoreFault.damaged("chunk \(entry.id.short) of a release that is held is not here") }
            let block = try cachedBlock(place.block)
            guard Int(place.offset) + Int(place.length) <= block.count else {
                throw StoreFault.damaged("chunk \(entry.id.short) lies outside its block")
            }
            bytes += block[Int(place.offset)..<Int(place.offset + place.length)]
        }
        return bytes
    }
}
