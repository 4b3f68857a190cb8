// Files' digests while their content comes: what is here from earlier releases goes into them between the chunks that arrive, in order, so that little is left to
// be read when the last one is here, and a base's block is unpacked once for the deltas against it and for this.
//
// Only a head start. Whatever stands in its way, a chunk that is not here yet or cannot be read, is left to the last check of the transfer
// (`Puller+Verification`), which begins where each file's hash has come to.
internal import HansaContent
internal import HansaCore

extension Transfer {
    /// A run goes to the lane, in the order of these calls.
    func given(_ run: Range<Int>) {
        if hashesGiven == run.lowerBound { hashesGiven = run.upperBound }
    }
}

extension Puller {
    /// How many look-ups are made together.
    private static let aheadChunksMax = 512
    /// Unpacking takes longer than hashing: of so many blocks one is unpacked on the lane.
    private static let lanesShare = 6

    /// Gives the lane the chunks up to `number`, if all between the last one that it was given and that are here.
    ///
    /// `sharing`: this thread has nothing else to do, and leaves some of the unpacking to the lane.
    func hashAhead(of transfer: Transfer, to number: Int, sharing: Bool = false) throws {
        while !transfer.isAheadOff, transfer.hashesGiven < number {
            let end = min(number, transfer.hashesGiven + Puller.aheadChunksMax)
            let numbers = transfer.hashesGiven..<end
            guard numbers.allSatisfy(transfer.has) else { return }
            // Of files of one chunk the id says all.
            if numbers.contains(where: transfer.isHashedInOrder) {
                do { try give(numbers, of: transfer, sharing: sharing) } catch StoreFault.damaged { transfer.isAheadOff = true }
            }
            if !transfer.isAheadOff { transfer.hashesGiven = end }
        }
    }

    private func give(_ numbers: Range<Int>, of transfer: Transfer, sharing: Bool) throws {
        var block: ContentLocation?
        var parts: [(number: Int, range: Range<Int>)] = []
        func flush() throws {
            guard let location = block else { return }
            let bytes = parts.reduce(0) { $0 + $1.range.count }
            transfer.isHashedAhead = true
            blocksAhead += 1
            if sharing, blocksAhead.isMultiple(of: Puller.lanesShare) {
                lane.run(bytes: bytes) { [context, parts] in
                    // What cannot be read is met by the last check, which goes on from before it.
                    guard
                        let raw = try? context.raw(
                            context.block(at: location, of: transfer.digest), at: location, of: transfer.digest)
                    else { return }
                    Puller.hash(parts, of: raw[...], transfer)
                }
            } else {
                let raw = try cachedBlock(location, of: transfer.digest)
                lane.run(bytes: bytes) { [parts] in Puller.hash(parts, of: raw, transfer) }
            }
            parts = []
        }
        for (number, place) in zip(numbers, try places(of: numbers, in: transfer)) where transfer.isHashedInOrder(number) {
            guard let place, place.length == transfer.entries[number].length else {
                transfer.isAheadOff = true
                break
            }
            if block != place.block { try flush() }
            block = place.block
            parts.append((number, Int(place.offset)..<Int(place.offset + place.length)))
        }
        try flush()
    }

    private static func hash(_ parts: [(number: Int, range: Range<Int>)], of raw: ArraySlice<UInt8>, _ transfer: Transfer) {
        raw.withUnsafeBytes { bytes in
            for part in parts where part.range.upperBound <= bytes.count {
                transfer.hashIfNext(part.number, UnsafeRawBufferPointer(rebasing: bytes[part.range]))
            }
        }
    }
}
