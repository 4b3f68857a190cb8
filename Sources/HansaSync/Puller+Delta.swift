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

    /// The release that a transfer is asked for against: the one before it where that is here, then one that it was made of, else the newest that was
    /// issued before it. Only what this publisher served in this view counts, whoever wrote it: another would tell it what we hold from others.
    func base(for transfer: Transfer, _ store: any MetadataReading) throws -> Digest? {
        let release = transfer.release
        func isHeld(_ row: ReleaseRow) throws -> Bool {
            guard row.hasContent, row.servedBy == peer, row.digest != transfer.digest, row.release.package == release.package,
                row.release.chunks > 0, row.release.chunks <= BaseIndex.chunksMax,
                let holding = try store.holding(transfer.view, row.digest)
            else { return false }
            return holding.state == .accepted && holding.level == .sync
        }
        for parent in [release.previous].compactMap({ $0 }) + release.parents {
            if let row = try store.release(parent), try isHeld(row) { return parent }
        }
        let earlier = try store.releases(of: release.package).filter { row in
            try (row.release.writer == release.writer ? row.release.seq < release.seq : row.release.issued <= release.issued)
                && isHeld(row)
        }
        return earlier.max { ($0.release.issued, $0.release.seq, $0.digest) < ($1.release.issued, $1.release.seq, $1.digest) }?
            .digest
    }

    /// The base that a transfer was asked for against; nil where there is none, or its content is here no more.
    func baseIndex(of transfer: Transfer) throws -> BaseIndex? {
        guard let base = transfer.base else { return nil }
        if let openBase, openBase.row.digest == base { return openBase }
        guard let row = try context.metadata.read({ try $0.release(base) }), row.hasContent else { return nil }
        openBase = BaseIndex(row, context)
        return openBase
    }

    /// A page that was told by a base. Nil: the base cannot be read any more.
    func page(_ number: UInt64, of transfer: Transfer, delta bytes: [UInt8]) throws -> [UInt8]? {
        guard transfer.wasIndexAskedByBase, number < UInt64(transfer.release.index?.pages ?? 0) else {
            throw ByteFault.malformed("a page against no base")
        }
        guard let base = try baseIndex(of: transfer) else {
            transfer.isDeltaUseless = true
            return nil
        }
        let count = IndexPage.chunks(of: Int(number), inIndexOf: transfer.release.index?.chunks ?? 0).count
        do { return try PageDelta.decode(bytes, page: Int(number), count: count, from: base) } catch StoreFault.damaged {
            transfer.isDeltaUseless = true
            return nil
        }
    }

    func take(_ message: Delta, bodyCount: Int) throws {
        try charge(bodyCount)
        guard let transfer = transfers[message.release], transfer.view == message.view, transfer.takesChunks else {
            return arrivedLate(message.release, message.rawLength, isAbsent: false)
        }
        guard let last = message.runs.last, last.upperBound <= transfer.entries.count else {
            throw ProtocolFault.malformed(.delta, "beyond the index")
        }
        let entries = message.runs.flatMap { transfer.entries[$0] }
        guard message.runs.allSatisfy({ $0.allSatisfy(transfer.wasAsked) }),
            entries.reduce(0, { $0 + Int($1.length) }) == Int(message.rawLength)
        else {
            guard late.covers(Int(message.rawLength), of: message.release) else {
                throw ProtocolFault.malformed(.delta, "not what was asked for")
            }
            arrivedLate(message.release, message.rawLength, isAbsent: false)
            return askAnew(message.runs, of: transfer)
        }
        guard transfer.base != nil else { throw ProtocolFault.unexpected(.delta, "against no base") }
        guard let base = try baseIndex(of: transfer) else {
            for run in message.runs { transfer.forgetAsked(run) }
            contentAskedBytes = max(0, contentAskedBytes - Int(message.rawLength))
            transfer.isDeltaUseless = true
            return askForChunks(of: transfer)
        }
        guard let end = message.reference.last?.upperBound, end <= base.chunkCount else {
            throw ProtocolFault.malformed(.delta, "beyond the base")
        }
        // Numbers before entries: what would be read of the base is known before a page of it is.
        guard message.reference.reduce(0, { $0 + $1.count }) <= Limits.deltaReferenceBytesMax else {
            throw ProtocolFault.malformed(.delta, "too much of the base")
        }
        for run in message.runs { transfer.forgetAsked(run) }
        contentAskedBytes = max(0, contentAskedBytes - Int(message.rawLength))
        let reference: [UInt8]
        do {
            let referenceEntries = try message.reference.flatMap { try base.entries($0) }
            guard referenceEntries.reduce(0, { $0 + Int($1.length) }) <= Limits.deltaReferenceBytesMax else {
                throw ProtocolFault.malformed(.delta, "too much of the base")
            }
            reference = try readChunks(referenceEntries, of: base.row.digest)
        } catch StoreFault.damaged {
            // Our own disk's fault, so it counts as nobody's: what is missing is asked for as it lies.
            transfer.isDeltaUseless = true
            return askForChunks(of: transfer)
        }
        let rawLength = Int(message.rawLength)
        // All of it on the lane, where the hashes of its files may be; between the runs what is here already goes into them.
        let delta = ArrivingDelta(message, transfer, reference)
        lane.run(bytes: rawLength) { delta.unpack() }
        for run in message.runs {
            try hashAhead(of: transfer, to: run.lowerBound)
            lane.run(bytes: 0) { delta.check(run) }
            transfer.given(run)
        }
        keep(message.runs, of: transfer, entries, rawBytes: rawLength, bytes: rawLength, isChecked: false, isDelta: true) {
            guard let raw = delta.checked else { return nil }
            // What is kept stands for itself.
            let packed = Block.encode(raw: raw)
            return StoredBlock(codec: packed.codec, rawLength: raw.count, chunks: entries, bytes: packed.bytes)
        }
    }

    /// One delta on the lane, step by step.
    private final class ArrivingDelta: @unchecked Sendable {
        // @unchecked: `raw` and `offset` are touched on the lane alone, which does one thing after the other.
        private let message: Delta
        private let transfer: Transfer
        private var reference: [UInt8]
        private var raw: [UInt8]?
        private var offset = 0

        init(_ message: Delta, _ transfer: Transfer, _ reference: [UInt8]) {
            self.message = message
            self.transfer = transfer
            self.reference = reference
        }

        func unpack() {
            raw = try? Block.decodeDelta(message.bytes, rawLength: Int(message.rawLength), reference: reference)
            reference = []
        }

        /// The next of its runs.
        func check(_ run: Range<Int>) {
            guard let raw else { return }
            let end = offset + transfer.entries[run].reduce(0) { $0 + Int($1.length) }
            // What an earlier run has put into its file's hash stays right: it was compared with its ids.
            let isRight = raw.withUnsafeBytes { transfer.areAsIndexed(run, UnsafeRawBufferPointer(rebasing: $0[offset..<end])) }
            offset = end
            if !isRight { self.raw = nil }
        }

        /// After all runs; nil where one of them is not as indexed.
        var checked: [UInt8]? { raw }
    }

    /// Not what the index says, or our own bytes of the base are not what they were: what is missing is asked for as it lies.
    func deltaFailed(_ transfer: Transfer, _ runs: [Range<Int>]) {
        transfer.isDeltaUseless = true
        transfer.deltaFailures += 1
        guard transfer.deltaFailures <= Puller.deltaFailuresMax else { return damaged(transfer, runs[0]) }
        askForChunks(of: transfer)
    }

    /// The bytes of chunks that are here, one after the other.
    func readChunks(_ entries: [ChunkEntry], of release: Digest) throws -> [UInt8] {
        let places = try context.metadata.read { try $0.chunkLocations(of: self.peer, entries.map(\.id)) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(entries.reduce(0) { $0 + Int($1.length) })
        for (entry, place) in zip(entries, places) {
            guard let place else {
                let what = "chunk \(entry.id.short) of a release that is held is not here"
                context.damage.note(release, block: nil, what)
                throw StoreFault.damaged(what)
            }
            let block = try cachedBlock(place.block, of: release)
            guard Int(place.offset) + Int(place.length) <= block.count else {
                let what = "chunk \(entry.id.short) lies outside its block"
                context.damage.note(release, block: place.block, what)
                throw StoreFault.damaged(what)
            }
            bytes += block[Int(place.offset)..<Int(place.offset + place.length)]
        }
        return bytes
    }
}
