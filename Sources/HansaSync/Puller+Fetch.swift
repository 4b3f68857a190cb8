// Release documents and indexes as they come, transfers that begin, go on and end, and the asks for all of it.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaTerms

extension Puller {
    private static let lookedUpAtOnce = 1 << 14

    func take(_ message: Releases, at now: Timestamp) throws {
        var came: [(wanted: Wanted, envelope: Envelope)] = []
        for item in message.items {
            guard let place = releaseAsks.firstIndex(where: { $0.release(of: item) != nil }),
                let release = releaseAsks[place].take(item)
            else { throw ProtocolFault.unexpected(.releases, "a release we did not ask for") }
            // An answer to an ask from before the release left a view says nothing of where it is wanted now.
            guard let wanted = wanted[release], askOfWanted[release] == releaseAsks[place].number else { continue }
            self.wanted[release] = nil
            askOfWanted[release] = nil
            if let envelope = item.envelope { came.append((wanted, envelope)) } else { putOff(wanted) }
        }
        releaseAsks.removeAll(where: \.isAnswered)
        var begun: [Transfer] = []
        for (wanted, envelope, verdict) in try verdicts(on: came, at: now) {
            switch verdict {
            case .refused(let reason, let release):
                if reason == .fork { keep(evidence: envelope) }
                settled.append(.refused(wanted, reason, release?.package))
            case .notYetDue(let release, let until): park(wanted, release, until: until, at: now)
            case .accepted(let release)
            where try release.writer != peer && !isOnWayBack(wanted.release) && isHere(wanted):
                // Its document came, so the one that passes it on has it; what we have from elsewhere is not fetched again.
                settled.append(.adopted(wanted, release.package))
            case .accepted(let release) where !wanted.isShared:
                let location = try context.content.append(document: envelope.binary(), digest: envelope.digest)
                settled.append(
                    .accepted(
                        Transfer(
                            view: wanted.view, digest: wanted.release, level: wanted.level, number: wanted.number,
                            release: release, document: location, isDocumentOnly: true)))
            case .accepted(let release):
                guard let index = release.index, index.chunks * 36 <= context.limits.indexBytesMax else {
                    settled.append(.refused(wanted, .limit, release.package))
                    continue
                }
                let location = try context.content.append(document: envelope.binary(), digest: envelope.digest)
                let transfer = Transfer(
                    view: wanted.view, digest: wanted.release, level: wanted.level, number: wanted.number, release: release,
                    document: location)
                transfer.name = wanted.name
                transfers[wanted.release] = transfer
                begun.append(transfer)
                documentBytes += Int(location.length)
            }
        }
        guard !begun.isEmpty else { return }
        try context.metadata.read { store in
            for transfer in begun { transfer.base = try self.base(for: transfer, store) }
        }
        for transfer in begun {
            if isSmall(transfer) {
                smallQueue.append(transfer.digest)
            } else {
                indexOrder.set(transfer.digest, left: transfer.release.index?.chunks ?? 1)
            }
        }
    }

    private func isHere(_ item: Wanted) throws -> Bool {
        guard let row = try context.metadata.read({ try $0.release(item.release) }) else { return false }
        return row.hasContent || !item.isShared
    }

    /// Checks documents that came together. Those whose view or agreement is gone are forgotten.
    private func verdicts(on came: [(wanted: Wanted, envelope: Envelope)], at now: Timestamp) throws
        -> [(Wanted, Envelope, ReleaseVerdict)]
    {
        guard !came.isEmpty else { return [] }
        if came.contains(where: { isOnWayBack($0.wanted.release) }) {
            let own = try context.metadata.read { store in
                try came.filter { self.isOnWayBack($0.wanted.release) }.map {
                    let verdict =
                        self.healing[$0.wanted.release] == nil
                        ? try self.recoveryVerdict(on: $0.envelope, expecting: $0.wanted.release, store)
                        : try self.healingVerdict(on: $0.envelope, expecting: $0.wanted.release, store)
                    return ($0.wanted, $0.envelope, verdict)
                }
            }
            return try own + verdicts(on: came.filter { !isOnWayBack($0.wanted.release) }, at: now)
        }
        let readings = readings(of: came, keys: try context.metadata.read { try ReleaseCheck.Keys(of: self.peer, in: $0) })
        return try context.metadata.read { store in
            var agreements: [Digest: AgreementRecord?] = [:]
            return try zip(came, readings).compactMap { item, reading in
                let view = item.wanted.view
                if agreements[view] == nil {
                    agreements[view] = .some(try store.subscribedView(view).flatMap { try store.agreement($0.agreement) })
                }
                guard let agreement = agreements[view].flatMap({ $0 }) else {
                    self.forget(item.wanted)
                    return nil
                }
                let verdict = try ReleaseCheck.verdict(
                    on: reading, expecting: item.wanted.release, publisher: self.peer, recipient: self.context.own,
                    under: agreement, aheadMillisecondsMax: self.context.limits.aheadMillisecondsMax, store: store, at: now)
                return (item.wanted, item.envelope, verdict)
            }
        }
    }

    /// Half of the signatures are verified on the lane and half here.
    private func readings(of came: [(wanted: Wanted, envelope: Envelope)], keys: ReleaseCheck.Keys) -> [ReleaseCheck.Reading] {
        let items = came.map { (release: $0.wanted.release, envelope: $0.envelope) }
        let own = items[..<((items.count + 1) / 2)]
        let others = items[own.count...]
        let onLane = LaneResult<[ReleaseCheck.Reading]>()
        if !others.isEmpty {
            lane.run(bytes: others.reduce(0) { $0 + $1.envelope.payload.count }) {
                onLane.set(others.map { ReleaseCheck.reading(of: $0.envelope, expecting: $0.release, keys: keys) })
            }
        }
        let here = own.map { ReleaseCheck.reading(of: $0.envelope, expecting: $0.release, keys: keys) }
        if others.isEmpty { return here }
        lane.wait()
        return here + onLane.take()
    }

    /// Among whose chunks a release's lie: what comes back to us is ours.
    func namespace(of release: Digest) -> CityID { healing[release] ?? (recovering.contains(release) ? context.own : peer) }

    /// No transfer of a view that we follow: it was here once, and is fetched again.
    func isOnWayBack(_ release: Digest) -> Bool { recovering.contains(release) || healing[release] != nil }

    /// The publisher has none of it for us now. Where it was taken from us the drop follows; else it could not be read there, and is asked for again:
    /// the view is behind until then, and what else it lists goes on.
    func putOff(_ item: Wanted) {
        guard !isOnWayBack(item.release) else { return forget(item) }
        let times = putOffTimes[item.release, default: 0]
        putOffTimes[item.release] = times + 1
        let wait = min(Puller.putOffSecondsMax, Puller.putOffSecondsMin << Int64(min(times, 8)))
        parked[item.release] = (item, moment.adding(seconds: wait))
    }

    /// All that is left of what a view listed is what the publisher, when it was asked, had nothing of.
    func isOnlyPutOff(_ id: Digest) -> Bool {
        guard let state = views[id], !state.pages.isEmpty, state.repair == nil else { return false }
        let left = state.pages.left
        return !left.isEmpty && left.allSatisfy { underWay[$0] == id && putOffTimes[$0] != nil && parked[$0] != nil }
    }

    /// They are listed anew if they are to be had; how long they were waited for stays known.
    func letGoOfPutOff(_ id: Digest) {
        let left = views[id]?.pages.left.sorted() ?? []
        let times = putOffTimes
        views[id]?.pages = OpenPages()
        views[id]?.asksAfterPages = false
        for release in left {
            parked[release] = nil
            done(release)
            putOffTimes[release] = times[release]
        }
        // What is never listed again is not remembered for ever.
        guard putOffTimes.count > context.limits.outstandingMax else { return }
        putOffTimes = putOffTimes.filter { parked[$0.key] != nil }
    }

    /// Looked at again when it is due. What a maintainer wrote upon the owner's word may wait for that word for ever.
    func park(_ item: Wanted, _ release: Release, until: Timestamp, at now: Timestamp) {
        named[item.release] = Named(release)
        var until = until
        if release.writer != release.package.city {
            let times = awaitedTimes[item.release, default: 0]
            awaitedTimes[item.release] = times + 1
            let wait = min(Puller.putOffSecondsMax, Puller.putOffSecondsMin << Int64(min(times, 8)))
            until = max(until, now.adding(seconds: wait))
        }
        parked[item.release] = (item, until)
    }

    func forget(_ item: Wanted) {
        recovering.remove(item.release)
        done(item.release)
        views[item.view]?.listed?.remove(item.release)
        views[item.view]?.pages.remove(item.release)
    }

    func take(_ message: IndexParts) throws {
        var whole: [Transfer] = []
        for part in message.parts {
            switch part {
            case .absent(let release):
                // Gone from another view, where it was asked for first, is not gone from this one.
                guard let transfer = transfers[release], transfer.view == message.view else { continue }
                indexAsked.remove(release)
                discard(release)
                putOff(Wanted(view: transfer.view, release: release, level: transfer.level, number: transfer.number))
            case .table(let release, let total, let from, let bytes):
                guard let transfer = transfers[release], indexAsked.contains(release) else { continue }
                if try transfer.add(table: bytes, from: from, total: total), try adoptIndex(of: transfer) {
                    whole.append(transfer)
                }
            case .page(let release, let number, let bytes):
                guard let transfer = transfers[release], indexAsked.contains(release) else { continue }
                if try take(page: bytes, number, of: transfer) { whole.append(transfer) }
            case .pageDelta(let release, let number, let bytes):
                guard let transfer = transfers[release], indexAsked.contains(release) else { continue }
                if try take(page: try page(number, of: transfer, delta: bytes), number, of: transfer) { whole.append(transfer) }
            }
        }
        try markHeld(in: whole)
        // A part further on in the message may have ended one again.
        for transfer in whole where transfers[transfer.digest] === transfer {
            if transfer.isComplete { try complete(transfer) } else { askForChunks(of: transfer) }
        }
    }

    /// Nil: its base cannot be read. What is missing is asked for once more, as it lies, when the answer has come to its end.
    private func take(page: [UInt8]?, _ number: UInt64, of transfer: Transfer) throws -> Bool {
        if let page, try transfer.add(page: page, number: number) { return try adoptIndex(of: transfer) }
        if transfer.isDeltaUseless, transfer.wasIndexAskedByBase, transfer.isLastPage(number) {
            indexAsked.remove(transfer.digest)
            indexOrder.set(transfer.digest, left: transfer.release.index?.chunks ?? 1)
        }
        return false
    }

    /// Checks and keeps an index that is all here. False: it is not the one signed, and the release is refused.
    private func adoptIndex(of transfer: Transfer) throws -> Bool {
        indexAsked.remove(transfer.digest)
        guard transfer.adoptIndex() else {
            if transfer.base != nil, !transfer.isDeltaUseless {
                // The base as it lies here may not be what it was: all of it is asked for, once.
                transfer.isDeltaUseless = true
                transfer.forgetIndex()
                indexOrder.set(transfer.digest, left: transfer.release.index?.chunks ?? 1)
                return false
            }
            refuse(transfer, .index)
            return false
        }
        let table = SHA256.hash(transfer.table)
        transfer.tableLocations = try context.content.append(table: transfer.table, release: transfer.digest)
        transfer.letGoOfTable()
        let pages = transfer.takePages()
        transfer.pageLocations = try pages.map { try context.content.append(page: $0, release: transfer.digest) }
        if let index = transfer.release.index {
            try context.content.append(
                index: index.root, table: table, chunks: index.chunks, pages: pages.map { SHA256.hash($0) })
        }
        return true
    }

    /// Marks the chunks that are here already; one look at the rows for all of these transfers.
    ///
    /// Only what this same publisher served us counts as held: otherwise whether we ask would tell it what others gave us (SYNC.md §5).
    /// A small one beside a missing one is asked for with it all the same: its few bytes cost less than the seam, at which the publisher would
    /// have to part a stored block.
    private func markHeld(in transfers: [Transfer]) throws {
        guard !transfers.isEmpty else { return }
        for transfer in transfers { transfer.removalsSeen = context.metadata.chunkRemovals }
        let held = try context.metadata.read { store in
            try transfers.map { try self.areHeld($0.entries, of: self.namespace(of: $0.digest), store) }
        }
        for (transfer, isHeld) in zip(transfers, held) {
            let entries = transfer.entries
            for number in entries.indices where isHeld[number] {
                let isBesideMissing =
                    (number > 0 && !isHeld[number - 1]) || (number + 1 < entries.count && !isHeld[number + 1])
                if !isBesideMissing || entries[number].length > Limits.seamBytesMax { transfer.mark(number) }
            }
            if SeededBug.isOn(.dedupAcrossPublishers) { try markWhatOthersServed(transfer) }
        }
    }

    /// Looked up part by part: what is told of millions of chunks takes more than their entries.
    private func areHeld(_ entries: ChunkList, of city: CityID, _ store: any MetadataReading) throws -> [Bool] {
        var areHeld: [Bool] = []
        areHeld.reserveCapacity(entries.count)
        for start in stride(from: 0, to: entries.count, by: Puller.lookedUpAtOnce) {
            let part = entries[start..<min(entries.count, start + Puller.lookedUpAtOnce)]
            let places = try store.heldLocations(of: city, part.map(\.id))
            areHeld += zip(places, part).lazy.map { $0?.length == $1.length }
        }
        return areHeld
    }

    private func markWhatOthersServed(_ transfer: Transfer) throws {
        let others = try context.metadata.read { try $0.partners().map(\.city).filter { $0 != self.peer } } + [context.own]
        for city in others {
            let locations = try context.metadata.read { try $0.chunkLocations(of: city, transfer.entries.map(\.id)) }
            for (number, location) in locations.enumerated() {
                guard let location, location.length == transfer.entries[number].length, !transfer.has(number) else { continue }
                unrecordedBlocks.append((peer, location.block, try context.content.block(at: location.block).chunks))
                transfer.mark(number)
            }
        }
    }

    /// False: what is known of it does not count any more, or cannot be read; it begins anew, with the chunks that are here.
    func resume(_ row: TransferRow, _ item: Wanted, _ store: any MetadataReading, at now: Timestamp) throws -> Bool {
        do { return try takeUp(row, item, store, at: now) } catch StoreFault.damaged { return false }
    }

    private func takeUp(_ row: TransferRow, _ item: Wanted, _ store: any MetadataReading, at now: Timestamp) throws -> Bool {
        let body = try context.content.body(at: row.document)
        guard let envelope = try? Envelope(binary: body), let release = try? Release(payload: envelope.payload),
            row.transfer == item.number
        else {
            return false
        }
        guard let view = try store.subscribedView(item.view), let record = try store.agreement(view.agreement) else {
            return false
        }
        // Terms and keys may have changed since: the document passes the same check again.
        let verdict = try ReleaseCheck.verdict(
            on: envelope, expecting: item.release, publisher: peer, recipient: context.own, under: record,
            aheadMillisecondsMax: context.limits.aheadMillisecondsMax, store: store, at: now)
        // What is not due yet was due when the transfer began: our clock was set back, and the content may come all the same.
        if case .refused = verdict { return false }
        let transfer = Transfer(
            view: item.view, digest: item.release, level: item.level, number: item.number, release: release,
            document: row.document)
        transfer.name = item.name
        transfer.base = try base(for: transfer, store)
        var table: [UInt8] = []
        for location in row.table { table += try context.content.body(at: location) }
        let pages = try row.pages.map { try context.content.body(at: $0) }
        // No room now: it is fetched in its turn, and the chunks that are here are found by their ids.
        guard admit(transfer) else { return false }
        guard transfer.resume(row, table: table, pages: pages) else {
            indexBytesAdmitted -= transfer.indexBytesMax
            return false
        }
        documentBytes += Int(row.document.length)
        transfers[item.release] = transfer
        // The last session may have ended between the last chunk and the commit; its files are checked outside of this transaction.
        if transfer.isComplete { resumedWhole.append(transfer) } else { askForChunks(of: transfer) }
        return true
    }

    /// Ends a transfer; what was asked for it counts no more. Frames of it that are still on their way are passed over.
    @discardableResult
    func discard(_ release: Digest) -> Transfer? {
        guard let transfer = transfers.removeValue(forKey: release) else { return nil }
        if underWay[release] != nil { named[release] = Named(transfer.release) }
        indexAsked.remove(release)
        if let asked = smallAsked.removeValue(forKey: release) { smallAskedBytes -= asked }
        contentAskedBytes = max(0, contentAskedBytes - transfer.askedBytes)
        late.add(transfer.askedBytes, of: release)
        indexOrder.remove(release)
        contentOrder.remove(release)
        contentCursors[release] = nil
        // What ended before it was its turn, while nothing is answered, stands in the line for nothing.
        if smallQueue.count > 2 * transfers.count + GetSmall.countMax {
            smallQueue = ArraySlice(smallQueue.filter { transfers[$0] != nil })
        }
        documentBytes -= Int(transfer.document.length)
        if transfer.isAdmitted { indexBytesAdmitted -= transfer.indexBytesMax }
        return transfer
    }

    /// Counts a transfer's index among the bytes in memory, if there is room; the first is admitted whatever its size.
    private func admit(_ transfer: Transfer) -> Bool {
        guard hasRoom(for: transfer) else { return false }
        indexBytesAdmitted += transfer.indexBytesMax
        transfer.isAdmitted = true
        return true
    }

    private func hasRoom(for transfer: Transfer) -> Bool {
        indexBytesAdmitted == 0 || indexBytesAdmitted + transfer.indexBytesMax <= context.limits.indexBytesMax
    }

    func refuse(_ transfer: Transfer, _ reason: ReleaseRefusal) {
        discard(transfer.digest)
        settled.append(
            .refused(
                Wanted(view: transfer.view, release: transfer.digest, level: transfer.level, number: transfer.number), reason,
                transfer.release.package))
    }

    // MARK: Asking

    func asks() -> [Frame] {
        var frames: [Frame] = []
        while releaseAsks.count < context.limits.releaseAsksMax, transfers.count < context.limits.transfersMax,
            documentBytes < context.limits.documentBytesMax, let view = wantedQueue.first?.view
        {
            var ask = ReleaseAsk(number: lastReleaseAsk + 1)
            var batch: [Digest] = []
            var taken = 0
            for item in wantedQueue {
                guard item.view == view, batch.count < GetReleases.countMax else { break }
                taken += 1
                // Dropped meanwhile, or wanted in another view now.
                guard wanted[item.release]?.view == view, ask.add(item.release, as: item.name) else { continue }
                batch.append(item.name)
            }
            wantedQueue.removeFirst(taken)
            guard !batch.isEmpty else { continue }
            lastReleaseAsk = ask.number
            for release in ask.releases { askOfWanted[release] = ask.number }
            releaseAsks.append(ask)
            frames.append(GetReleases(view: view, releases: batch).frame)
        }
        frames += smallAsks()
        frames += indexAsks()
        return frames + chunkAsks()
    }

    private func indexAsks() -> [Frame] {
        var frames: [Frame] = []
        while indexAsked.count < context.limits.indexAsksMax * GetIndex.countMax {
            var asks: [GetIndex.Ask] = []
            var view: Digest?
            while asks.count < GetIndex.countMax, let digest = nextIndex() {
                guard let transfer = transfers[digest], view == nil || view == transfer.view,
                    transfer.isAdmitted || admit(transfer)
                else { break }
                view = transfer.view
                indexOrder.handedOut((transfer.release.index?.chunks ?? 0) * ChunkEntry.byteCount, of: digest, left: 0)
                indexAsked.insert(digest)
                let base = transfer.isDeltaUseless ? nil : transfer.base
                transfer.wasIndexAskedByBase = base != nil
                let missing = transfer.missingPages
                asks.append(
                    GetIndex.Ask(
                        release: digest, tableFrom: UInt64(transfer.table.count), firstPage: UInt64(missing.lowerBound),
                        pageCount: UInt64(missing.count), base: base))
            }
            guard let view, !asks.isEmpty else { break }
            frames.append(GetIndex(view: view, asks: asks).frame)
        }
        return frames
    }

    /// A transfer whose index is still to be asked for: the one whose turn it is, or the shortest where that one has no room yet.
    private func nextIndex() -> Digest? {
        while let digest = indexOrder.next(), let shortest = indexOrder.shortest() {
            if let gone = [digest, shortest].first(where: { !wantsIndex($0) }) {
                indexOrder.remove(gone)
            } else if let transfer = transfers[digest], transfer.isAdmitted || hasRoom(for: transfer) {
                return digest
            } else {
                return shortest
            }
        }
        return nil
    }

    private func wantsIndex(_ release: Digest) -> Bool {
        transfers[release].map { $0.files.isEmpty && !indexAsked.contains(release) } ?? false
    }

    /// Puts a transfer among those whose chunks are asked for, from its first chunk on: what is here or was asked for is passed over.
    func askForChunks(of transfer: Transfer) {
        contentCursors[transfer.digest] = 0
        contentOrder.set(transfer.digest, left: max(1, transfer.entries.count - transfer.held))
    }

    private func chunkAsks() -> [Frame] {
        var runs: [Digest: [GetChunks.Run]] = [:]
        var deltas: [Digest: [GetDelta.Ask]] = [:]
        var count = 0
        // In large steps, each of which wakes the other end: the next are asked for when an eighth of what may be under way has come.
        let askedMax = context.limits.contentAskedBytesMax
        // What is owed takes its part of it: a publisher that lets its releases end and answers nothing is asked for nothing more.
        guard !late.isFull else { return [] }
        let isLow = contentAskedBytes + late.bytes <= askedMax - askedMax / 8
        while count < GetChunks.countMax, let digest = isLow ? contentOrder.next() : contentOrder.shortest() {
            guard let transfer = transfers[digest] else {
                contentOrder.remove(digest)
                contentCursors[digest] = nil
                continue
            }
            var cursor = contentCursors[digest] ?? 0
            var limit = min(askedMax - contentAskedBytes - late.bytes, 8 * 1024 * 1024)
            if limit > 0, contentOrder.count > 1, digest != contentOrder.shortest() {
                limit = min(limit, TransferOrder<Digest>.turnBytes)
            }
            if !isLow || limit <= 0 {
                // A large transfer fills what may be under way for as long as it runs: a short one is asked for beside it.
                guard transfer.isShort(from: cursor), shortAskedBytes + late.bytes < askedMax / 8 else { break }
                limit = Transfer.shortBytesMax
                transfer.wasAskedAsShort = true
            }
            let next = transfer.nextRuns(
                bytes: limit, from: &cursor, runsMax: GetChunks.countMax - count,
                wholeGroups: askedMax >= Limits.blockRawBytesMax)
            if let base = transfer.base, !transfer.isDeltaUseless, !next.runs.isEmpty {
                let ranges = next.runs.map { Int($0.first)..<Int($0.first + $0.count) }
                deltas[transfer.view, default: []].append(GetDelta.Ask(release: transfer.digest, base: base, runs: ranges))
            } else {
                runs[transfer.view, default: []] += next.runs
            }
            count += next.runs.count
            contentAskedBytes += next.bytes
            let isDone = cursor >= transfer.entries.count
            contentCursors[digest] = isDone ? nil : cursor
            contentOrder.handedOut(
                next.bytes, of: digest, left: isDone ? 0 : max(1, transfer.entries.count - max(cursor, transfer.held)))
        }
        return deltas.keys.sorted().map { GetDelta(view: $0, asks: deltas[$0] ?? []).frame }
            + runs.keys.sorted().map { GetChunks(view: $0, runs: runs[$0] ?? []).frame }
    }

    /// What was asked for beyond the window and has not come.
    private var shortAskedBytes: Int { transfers.values.reduce(0) { $1.wasAskedAsShort ? $0 + $1.askedBytes : $0 } }
}
