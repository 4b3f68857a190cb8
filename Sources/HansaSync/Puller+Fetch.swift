// Release documents and indexes as they come, transfers that begin, go on and end, and the asks for all of it.
internal import HansaContent
internal import HansaCore
internal import HansaDocuments
internal import HansaTerms

extension Puller {
    func take(_ message: Releases, at now: Timestamp) throws {
        let store = context
        var admitted: [(Wanted, Envelope, ReleaseVerdict)] = []
        try store.metadata.read { rows in
            for item in message.items {
                guard let place = self.releaseAsks.firstIndex(where: { $0.contains(item.release) }) else {
                    throw ProtocolFault.unexpected(.releases, "a release we did not ask for")
                }
                self.releaseAsks[place].remove(item.release)
                guard let wanted = self.wanted.removeValue(forKey: item.release) else { continue }
                guard let envelope = item.envelope else {
                    // Gone between feed and fetch: the drop follows.
                    self.forget(wanted)
                    continue
                }
                guard let view = try rows.subscribedView(wanted.view), let record = try rows.agreement(view.agreement) else {
                    self.forget(wanted)
                    continue
                }
                admitted.append(
                    (
                        wanted, envelope,
                        try ReleaseCheck.verdict(
                            on: envelope, expecting: wanted.release, publisher: self.peer, recipient: self.context.own,
                            under: record,
                            aheadMillisecondsMax: self.context.limits.aheadMillisecondsMax, store: rows, at: now)
                    ))
            }
        }
        releaseAsks.removeAll(where: \.isEmpty)
        for (wanted, envelope, verdict) in admitted {
            switch verdict {
            case .refused(let reason, let release): settled.append(.refused(wanted, reason, release?.package))
            case .notYetDue(_, let until): parked[wanted.release] = (wanted, until)
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
                transfers[wanted.release] = Transfer(
                    view: wanted.view, digest: wanted.release, level: wanted.level, number: wanted.number, release: release,
                    document: location)
                documentBytes += Int(location.length)
                indexQueue.append(wanted.release)
            }
        }
    }

    func forget(_ item: Wanted) {
        done(item.release)
        guard var state = views[item.view] else { return }
        state.listed?.remove(item.release)
        for index in state.pages.indices { state.pages[index].outstanding.remove(item.release) }
        views[item.view] = state
    }

    func take(_ message: IndexParts) throws {
        for part in message.parts {
            switch part {
            case .absent(let release):
                indexAsked.remove(release)
                if let transfer = discard(release) {
                    forget(Wanted(view: transfer.view, release: release, level: transfer.level, number: transfer.number))
                }
            case .table(let release, let total, let from, let bytes):
                guard let transfer = transfers[release], indexAsked.contains(release) else { continue }
                if try transfer.add(table: bytes, from: from, total: total) { try indexed(transfer) }
            case .page(let release, let number, let bytes):
                guard let transfer = transfers[release], indexAsked.contains(release) else { continue }
                if try transfer.add(page: bytes, number: number) { try indexed(transfer) }
            }
        }
    }

    private func indexed(_ transfer: Transfer) throws {
        indexAsked.remove(transfer.digest)
        guard transfer.adoptIndex() else { return refuse(transfer, .index) }
        transfer.tableLocations = try context.content.append(table: transfer.table, release: transfer.digest)
        transfer.letGoOfTable()
        transfer.pageLocations = try transfer.takePages().map { try context.content.append(page: $0, release: transfer.digest) }
        // Only what this same publisher served us counts as held: otherwise whether we ask would tell it what others gave us (SYNC.md §5).
        let locations = try context.metadata.read { try $0.chunkLocations(of: self.peer, transfer.entries.map(\.id)) }
        for (number, location) in locations.enumerated() where location?.length == transfer.entries[number].length {
            transfer.mark(number)
        }
        if transfer.isComplete { try complete(transfer) } else { contentQueue.append((transfer.digest, 0)) }
    }

    func resume(_ row: TransferRow, _ item: Wanted, _ store: any MetadataReading, at now: Timestamp) throws -> Bool {
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
        // No room now: it is fetched in its turn, and the chunks that are here are found by their ids.
        guard admit(transfer) else { return false }
        var table: [UInt8] = []
        for location in row.table { table += try context.content.body(at: location) }
        guard transfer.resume(row, table: table, pages: try row.pages.map { try context.content.body(at: $0) }) else {
            indexBytesAdmitted -= transfer.indexBytesMax
            return false
        }
        documentBytes += Int(row.document.length)
        transfers[item.release] = transfer
        // The last session may have ended between the last chunk and the commit; its files are checked outside of this transaction.
        if transfer.isComplete { resumedWhole.append(transfer) } else { contentQueue.append((item.release, 0)) }
        return true
    }

    /// Ends a transfer; what was asked for it counts no more. Frames of it that are still on their way are passed over.
    @discardableResult
    func discard(_ release: Digest) -> Transfer? {
        guard let transfer = transfers.removeValue(forKey: release) else { return nil }
        indexAsked.remove(release)
        contentAskedBytes = max(0, contentAskedBytes - transfer.askedBytes)
        if transfer.askedBytes > 0 { late[release, default: 0] += transfer.askedBytes }
        documentBytes -= Int(transfer.document.length)
        if transfer.isAdmitted { indexBytesAdmitted -= transfer.indexBytesMax }
        return transfer
    }

    /// Counts a transfer's index among the bytes in memory, if there is room; the first is admitted whatever its size.
    private func admit(_ transfer: Transfer) -> Bool {
        guard indexBytesAdmitted == 0 || indexBytesAdmitted + transfer.indexBytesMax <= context.limits.indexBytesMax else {
            return false
        }
        indexBytesAdmitted += transfer.indexBytesMax
        transfer.isAdmitted = true
        return true
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
            var batch: [Digest] = []
            var listed: Set<Digest> = []
            var taken = 0
            for item in wantedQueue {
                guard item.view == view, batch.count < GetReleases.countMax else { break }
                taken += 1
                // Dropped meanwhile.
                if wanted[item.release] != nil, listed.insert(item.release).inserted { batch.append(item.release) }
            }
            wantedQueue.removeFirst(taken)
            guard !batch.isEmpty else { continue }
            releaseAsks.append(Set(batch))
            frames.append(GetReleases(view: view, releases: batch).frame)
        }
        while !indexQueue.isEmpty, indexAsked.count < context.limits.indexAsksMax * GetIndex.countMax {
            var asks: [GetIndex.Ask] = []
            var view: Digest?
            while let digest = indexQueue.first, asks.count < GetIndex.countMax {
                guard let transfer = transfers[digest], !indexAsked.contains(digest), transfer.files.isEmpty else {
                    indexQueue.removeFirst()
                    continue
                }
                guard view == nil || view == transfer.view, admit(transfer) else { break }
                view = transfer.view
                indexQueue.removeFirst()
                indexAsked.insert(digest)
                asks.append(
                    GetIndex.Ask(
                        release: digest, tableFrom: 0, firstPage: 0, pageCount: UInt64(transfer.release.index?.pages ?? 0)))
            }
            guard let view, !asks.isEmpty else { break }
            frames.append(GetIndex(view: view, asks: asks).frame)
        }
        var runs: [Digest: [GetChunks.Run]] = [:]
        var count = 0
        while !contentQueue.isEmpty, contentAskedBytes < context.limits.contentAskedBytesMax, count < GetChunks.countMax {
            guard let transfer = transfers[contentQueue[0].release] else {
                contentQueue.removeFirst()
                continue
            }
            let budget = min(context.limits.contentAskedBytesMax - contentAskedBytes, 8 * 1024 * 1024)
            let next = transfer.nextRuns(
                bytes: budget, from: &contentQueue[0].cursor, runsMax: GetChunks.countMax - count,
                wholeGroups: context.limits.contentAskedBytesMax >= Limits.blockRawBytesMax)
            runs[transfer.view, default: []] += next.runs
            count += next.runs.count
            contentAskedBytes += next.bytes
            if contentQueue[0].cursor >= transfer.entries.count { contentQueue.removeFirst() }
        }
        for view in runs.keys.sorted() { frames.append(GetChunks(view: view, runs: runs[view] ?? []).frame) }
        return frames
    }
}
