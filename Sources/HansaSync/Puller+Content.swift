// Chunks as they come: each is checked against the index before it is written, and goes into its file's hash with the same pass over its bytes;
// each file's digest is compared when the last is here.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaTerms

extension Puller {
    func take(_ message: Chunks, bodyCount: Int) throws {
        try charge(bodyCount)
        guard let transfer = transfers[message.release], transfer.view == message.view, transfer.takesChunks else {
            return arrivedLate(message.release, message.rawLength, isAbsent: message.count == 0)
        }
        guard message.count > 0 else {
            if late.contains(message.release), transfer.failures < 2 {
                // It may be the answer to an ask from before the release was dropped and listed again: what is not here is asked for once more.
                transfer.failures += 1
                late.add(transfer.askedBytes, of: message.release)
                late.isAbsent(message.release)
                contentAskedBytes = max(0, contentAskedBytes - transfer.askedBytes)
                transfer.forgetAsked(transfer.entries.indices)
                askForChunks(of: transfer)
                return
            }
            discard(message.release)
            // Said once for all that was asked of it: nothing of it is owed any more.
            late.isAbsent(message.release)
            return putOff(Wanted(view: transfer.view, release: transfer.digest, level: transfer.level, number: transfer.number))
        }
        guard message.first <= UInt64(transfer.entries.count), message.count <= UInt64(transfer.entries.count) - message.first
        else { throw ProtocolFault.malformed(.chunks, "beyond the index") }
        let first = Int(message.first)
        let range = first..<(first + Int(message.count))
        let entries = Array(transfer.entries[range])
        guard range.allSatisfy({ transfer.wasAsked($0) }), entries.reduce(0, { $0 + Int($1.length) }) == Int(message.rawLength)
        else {
            guard late.covers(Int(message.rawLength), of: message.release) else {
                throw ProtocolFault.malformed(.chunks, "not what was asked for")
            }
            arrivedLate(message.release, message.rawLength, isAbsent: false)
            return askAnew([range], of: transfer)
        }
        // Each ask is answered once: the same frame again is not what was asked for.
        transfer.forgetAsked(range)
        contentAskedBytes = max(0, contentAskedBytes - Int(message.rawLength))
        let raw: ArraySlice<UInt8>
        do {
            raw =
                message.codec == .raw
                ? message.bytes : try Block.decode(message.codec, message.bytes, chunks: entries)[...]
        } catch {
            return damaged(transfer, range)
        }
        try hashAhead(of: transfer, to: range.lowerBound)
        // What had to be unpacked here is checked on the lane. So is what follows it in the same files: their hashes are the lane's until it was
        // waited for.
        let isForLane =
            message.codec != .raw || transfer.isHashedAhead || arriving.contains { $0.transfer === transfer && !$0.isChecked }
        transfer.given(range)
        if !isForLane {
            guard raw.withUnsafeBytes({ transfer.areAsIndexed(range, $0) }) else { return damaged(transfer, range) }
        }
        let block = StoredBlock(codec: message.codec, rawLength: Int(message.rawLength), chunks: entries, bytes: message.bytes)
        keep([range], of: transfer, entries, rawBytes: raw.count, bytes: block.bytes.count, isChecked: !isForLane) {
            isForLane && !raw.withUnsafeBytes({ transfer.areAsIndexed(range, $0) }) ? nil : block
        }
    }

    func charge(_ bodyCount: Int) throws {
        creditOwed += UInt64(bodyCount)
        contentBytesReceived += UInt64(bodyCount)
        // A sender may begin a frame while it has any credit left.
        guard
            contentBytesReceived <= UInt64(context.limits.contentCreditBytes) + creditGranted + UInt64(Limits.contentBodyBytesMax)
        else {
            throw ProtocolFault.unexpected(.chunks, "more than the credit given")
        }
    }

    /// Written on the lane while the next is checked or unpacked; the chunks are here when it is done (`noteWritten`). What is not checked yet is checked
    /// there by whoever makes the block: nil is none.
    func keep(
        _ runs: [Range<Int>], of transfer: Transfer, _ entries: [ChunkEntry], rawBytes: Int, bytes: Int, isChecked: Bool,
        isDelta: Bool = false, _ block: @escaping @Sendable () -> StoredBlock?
    ) {
        let place = LaneResult<Result<ContentLocation?, any Error>>()
        lane.run(bytes: rawBytes) { [content = context.content] in
            guard let block = block() else { return place.set(.success(nil)) }
            place.set(Result { try content.append(block: block) })
        }
        arriving.append(
            ArrivingBlock(
                transfer: transfer, runs: runs, chunks: entries, bytes: bytes, isChecked: isChecked, isDelta: isDelta,
                place: place))
    }

    /// Takes note of the blocks that the lane has checked and written, in the order in which they came. Those that it is still at are left for the next
    /// time where `waits` is false: more is on its way, and neither thread need wait for the other.
    ///
    /// Nothing is recorded, acknowledged or asked for before: a block whose writing failed was never here, and those behind it are asked for again
    /// with it.
    func noteWritten(waits: Bool = true) throws {
        guard !arriving.isEmpty || !arrivingSmall.isEmpty else { return }
        if waits || !arrivingSmall.isEmpty { lane.wait() }
        try noteSmallWritten()
        let done = arriving.prefix { $0.place.isSet }
        arriving.removeFirst(done.count)
        for block in done {
            guard let location = try block.place.take().get() else {
                guard transfers[block.transfer.digest] === block.transfer else { continue }
                if block.isDelta { deltaFailed(block.transfer, block.runs) } else { damaged(block.transfer, block.runs[0]) }
                continue
            }
            unrecordedBlocks.append((namespace(of: block.transfer.digest), location, block.chunks))
            unflushedBytes += block.bytes
            // Ended meanwhile: what came of it stays as content without a release.
            guard transfers[block.transfer.digest] === block.transfer else { continue }
            for run in block.runs { for number in run { block.transfer.mark(number) } }
            if block.transfer.isComplete { try complete(block.transfer) }
        }
    }

    /// An answer to an ask of a transfer that has ended: passed over.
    /// A frame that answers an ask from before what it holds was asked for in other runs may be the only one that comes for these: what of it is not here is
    /// asked for by itself. Where that goes on the release is put off.
    func askAnew(_ runs: [Range<Int>], of transfer: Transfer) {
        let before = transfer.askedBytes
        for run in runs { transfer.forgetAsked(run) }
        let bytes = before - transfer.askedBytes
        guard bytes > 0 else { return }
        contentAskedBytes = max(0, contentAskedBytes - bytes)
        // It may come all the same.
        late.excuse(bytes, of: transfer.digest)
        transfer.overlaps += 1
        guard transfer.overlaps <= Transfer.overlapsMax else {
            discard(transfer.digest)
            return putOff(Wanted(view: transfer.view, release: transfer.digest, level: transfer.level, number: transfer.number))
        }
        askForChunks(of: transfer)
    }

    func arrivedLate(_ release: Digest, _ rawLength: UInt32, isAbsent: Bool) {
        if isAbsent { late.isAbsent(release) } else { late.came(Int(rawLength), of: release) }
    }

    /// A block that is not what the index says. Three times, and the release is refused.
    func damaged(_ transfer: Transfer, _ range: Range<Int>) {
        if SeededBug.isOn(.marksBeforeCheck) { for number in range.dropLast() { transfer.mark(number) } }
        transfer.failures += 1
        guard transfer.failures < 3 else { return refuse(transfer, .contentHash) }
        askForChunks(of: transfer)
    }
}
