// Chunks by what they have in common with a release that the recipient holds.
//
// A base is a release that this recipient may have in full at this moment, and has acknowledged: what a delta shows of it is no news. A frame holds
// chunks of one release in one view against one base, and is compressed by itself: nothing in it depends on what others see.
internal import HansaContent
internal import HansaCore
internal import HansaDocuments
internal import HansaTerms

/// A release's runs that were asked for against a base, as far as they have not been answered.
struct DeltaAsk {
    let view: Digest
    let release: Digest
    let base: Digest
    var runs: [Range<Int>]
    /// The run whose beginning was answered: where all of it lies, and where that is in the base.
    var begun: (run: Range<Int>, region: Range<Int>)?
    /// Deltas in a row that were no shorter than what they stand for.
    var failures = 0
}

extension Publisher {
    /// So many in a row, and the rest of a release is sent as it lies: it is another content, and not an edited one.
    private static let deltaFailuresMax = 3
    /// Releases of which is remembered against which base they were asked for last.
    private static let basesMax = 4096
    /// Less than this goes with its neighbours though it is new: a frame of its own would cost as much.
    private static let deltaAloneBytes = 16 * 1024
    /// On either side of where a part of a long run is expected in the base.
    private static let deltaMarginBytes = 1024 * 1024

    func enqueue(_ message: GetDelta) throws {
        let runs = message.asks.reduce(0) { $0 + $1.runs.count }
        guard queuedRuns + runs <= context.limits.queuedRunsMax else { throw ProtocolFault.tooManyAsks }
        for ask in message.asks {
            if bases.count >= Publisher.basesMax { bases = [:] }
            bases[Line(view: message.view, release: ask.release)] = ask.base
            deltaQueue.append(DeltaAsk(view: message.view, release: ask.release, base: ask.base, runs: ask.runs))
        }
    }

    /// The index of a base, if it may be one for this release: of the same package, for this recipient now, and accepted.
    func base(_ digest: Digest, of row: ReleaseRow, in view: Digest, by authority: inout Authority, _ store: any MetadataReading)
        throws -> BaseIndex?
    {
        guard let member = try authority.member(digest, of: view), member.level == .sync, member.delivered,
            member.outcome == .accepted, digest != row.digest
        else { return nil }
        if let openBase, openBase.row.digest == digest { return isBase(openBase.row, of: row) ? openBase : nil }
        guard let base = try store.release(digest), isBase(base, of: row) else { return nil }
        let index = BaseIndex(base, context)
        replaceBase(index)
        return index
    }

    private func isBase(_ base: ReleaseRow, of row: ReleaseRow) -> Bool {
        base.hasContent && base.release.package == row.release.package && base.release.chunks > 0
            && base.release.chunks <= BaseIndex.chunksMax
    }

    /// The next frame of what was asked for against a base. Nil: what comes next goes as it lies, and stands in `queue` now.
    func nextDelta(by authority: inout Authority, in store: any MetadataReading) throws -> Frame? {
        guard var ask = deltaQueue.first else { return nil }
        defer { if ask.runs.isEmpty { deltaQueue.removeFirst() } else { deltaQueue[deltaQueue.startIndex] = ask } }
        // Whatever is refused is answered as any ask is: by `content`, which looks again.
        guard try authority.member(ask.release, of: ask.view)?.level == .sync else { return plain(&ask) }
        if open?.release != ask.release || open?.view != ask.view {
            guard let row = try store.release(ask.release) else { return plain(&ask) }
            open = OpenRelease(view: ask.view, release: ask.release, row: row)
        }
        guard let row = open?.row, let last = ask.runs.last, last.upperBound <= row.release.chunks,
            let base = try base(ask.base, of: row, in: ask.view, by: &authority, store)
        else { return plain(&ask) }
        var batch = DeltaBatch()
        var frame: Frame?
        do {
            try nextBatch(&ask, base, &batch)
            guard !batch.runs.isEmpty else { return nil }
            frame = try encode(batch, ask, base, row, in: store)
        } catch StoreFault.damaged {
            // Bytes of the base: all of it goes without. Or its own: whoever sends them as they lie meets that too.
            replaceBase(nil)
            ask.failures = Publisher.deltaFailuresMax
        }
        guard let frame else {
            ask.failures += 1
            for run in batch.runs { enqueue(chunkRun(ask.release, run), of: ask.view) }
            return ask.failures >= Publisher.deltaFailuresMax ? plain(&ask) : nil
        }
        ask.failures = 0
        return frame
    }

    /// All that is left of an ask goes without a base.
    private func plain(_ ask: inout DeltaAsk) -> Frame? {
        for run in ask.runs { enqueue(chunkRun(ask.release, run), of: ask.view) }
        ask.runs = []
        return nil
    }

    func chunkRun(_ release: Digest, _ run: Range<Int>) -> GetChunks.Run {
        GetChunks.Run(release: release, first: UInt64(run.lowerBound), count: UInt64(run.count))
    }

    private struct DeltaBatch {
        var runs: [Range<Int>] = []
        var entries: [ChunkEntry] = []
        var rawBytes = 0
        var reference: [Range<Int>] = []
    }

    /// As many of the next chunks as fit a block, and what of the base they are likely to be made of. Runs that stand beside nothing of the base go
    /// without one. All of it follows from the two indexes and the ask.
    ///
    /// What is in the batch or in `queue` is in the ask no more, also where this throws.
    private func nextBatch(_ ask: inout DeltaAsk, _ base: BaseIndex, _ batch: inout DeltaBatch) throws {
        var referenceBytes = 0
        while let run = ask.runs.first, batch.runs.count < GetDelta.countMax, batch.reference.count < GetDelta.countMax {
            let whole = ask.begun?.run ?? run
            let region = try ask.begun?.region ?? self.region(of: run, base)
            var part: [ChunkEntry] = []
            var bytes = 0
            while run.lowerBound + part.count < run.upperBound {
                let entry = try entry(run.lowerBound + part.count)
                guard batch.rawBytes + bytes + Int(entry.length) <= Limits.blockRawBytesMax,
                    batch.entries.count + part.count < Delta.chunksMax
                else { break }
                part.append(entry)
                bytes += Int(entry.length)
            }
            guard !part.isEmpty else { break }
            let reference = try window(of: run.lowerBound..<(run.lowerBound + part.count), bytes, in: whole, region, base)
            let count = try base.bytes(of: reference)
            if count * 8 < bytes, bytes > Publisher.deltaAloneBytes {
                // The rest of the run is as new.
                enqueue(chunkRun(ask.release, run), of: ask.view)
                ask.runs.removeFirst()
                ask.begun = nil
                continue
            }
            guard referenceBytes + count <= Limits.deltaReferenceBytesMax else { break }
            referenceBytes += count
            batch.reference.append(reference)
            batch.runs.append(run.lowerBound..<(run.lowerBound + part.count))
            batch.entries += part
            batch.rawBytes += bytes
            if part.count == run.count {
                ask.runs.removeFirst()
                ask.begun = nil
            } else {
                ask.runs[0] = (run.lowerBound + part.count)..<run.upperBound
                ask.begun = (whole, region)
                break
            }
        }
    }

    /// What stands in the base between the neighbours of a run: what it was made of, unless it is new. Without a neighbour there on one side, as much as
    /// the run is; without any, what stands at the same place.
    private func region(of run: Range<Int>, _ base: BaseIndex) throws -> Range<Int> {
        let due = min(run.lowerBound, base.chunkCount)
        var left: Int?
        if run.lowerBound > 0 {
            left = try base.place(of: entry(run.lowerBound - 1), near: run.lowerBound - 1).map { $0 + 1 }
        } else {
            left = 0
        }
        var right: Int?
        if run.upperBound < (open?.row.release.chunks ?? 0) {
            right = try base.place(of: entry(run.upperBound), near: left ?? due)
        } else {
            right = base.chunkCount
        }
        switch (left, right) {
        case (let left?, let right?) where left <= right: return left..<right
        case (let left?, _): return left..<min(base.chunkCount, left + run.count)
        case (nil, let right?): return max(0, right - run.count)..<right
        case (nil, nil): return due..<min(base.chunkCount, due + run.count)
        }
    }

    /// The part of a region that a part of its run is likely to be made of, ± 1 MiB; all of a small one.
    private func window(of part: Range<Int>, _ bytes: Int, in run: Range<Int>, _ region: Range<Int>, _ base: BaseIndex) throws
        -> Range<Int>
    {
        let regionBytes = try base.bytes(of: region)
        let margin = Publisher.deltaMarginBytes
        guard regionBytes > bytes + 2 * margin else { return region }
        // Chunks of a run are about as long as one another.
        let offset = Int(Double(regionBytes) * Double(part.lowerBound - run.lowerBound) / Double(run.count))
        var window = try base.chunks(in: region, from: offset - margin, bytes: bytes + 2 * margin)
        // The chunks at its ends reach out of it.
        while try base.bytes(of: window) > Limits.deltaReferenceBytesMax { window = window.dropLast() }
        return window
    }

    /// Nil where it is not shorter than seven tenths of the same without a base, or something cannot be read.
    private func encode(_ batch: DeltaBatch, _ ask: DeltaAsk, _ base: BaseIndex, _ row: ReleaseRow, in store: any MetadataReading)
        throws -> Frame?
    {
        let reference = Publisher.joined(batch.reference)
        let referenceEntries = try reference.flatMap { try base.entries($0) }
        guard !reference.isEmpty, referenceEntries.reduce(0, { $0 + Int($1.length) }) <= Limits.deltaReferenceBytesMax,
            !batch.entries.isEmpty
        else { return nil }
        let raw = try bytes(of: batch.entries, in: row, store)
        let before = try bytes(of: referenceEntries, in: base.row, store)
        guard let packed = Block.encodeDelta(raw: raw, reference: before, bytesMax: raw.count * 7 / 10) else { return nil }
        // What shrinks to a sixteenth need not be compared: without a base nothing shrinks so.
        if packed.count > raw.count / 16, packed.count * 10 >= Block.encode(raw: raw).bytes.count * 7 { return nil }
        return Delta(
            view: ask.view, release: ask.release, runs: batch.runs, reference: reference, rawLength: UInt32(raw.count),
            bytes: packed[...]
        ).frame
    }

    /// Ascending, and joined where they meet.
    private static func joined(_ ranges: [Range<Int>]) -> [Range<Int>] {
        var joined: [Range<Int>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where !range.isEmpty {
            if let last = joined.last, range.lowerBound <= last.upperBound {
                joined[joined.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                joined.append(range)
            }
        }
        return joined
    }

    private func bytes(of entries: [ChunkEntry], in row: ReleaseRow, _ store: any MetadataReading) throws -> [UInt8] {
        let places = try places(of: entries, from: row.servedBy, row.digest, in: store)
        return try gather(
            entries, places, of: row.digest, beginningIn: context.block(at: places[0].block, of: row.digest), at: places[0].block)
    }
}
