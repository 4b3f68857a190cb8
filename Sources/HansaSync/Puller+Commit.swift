// What is complete becomes durable: batches of releases with their holdings, cursors, receipts and log entries, and then the frames that say so.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

extension Puller {
    /// Whether nothing of a view is on its way: what is settled then need not wait for a fuller batch.
    var isIdle: Bool { wantedQueue.isEmpty && releaseAsks.isEmpty && transfers.isEmpty }

    /// Settles, and takes up what other views waited for.
    func settleAll(at now: Timestamp) throws -> [Frame] {
        // While more is on its way the lane need not be waited for: whoever takes that looks again.
        var frames = try settle(at: now, waits: contentAskedBytes + smallAskedBytes == 0)
        // Ends: each round takes what waited, and what it adds waits for a fetch or is settled at once.
        while !ready.isEmpty {
            let items = ready
            ready = []
            var settledHere: [Digest: Set<Digest>] = [:]
            for id in Set(items.map(\.view)) { settledHere[id] = settledReleases(of: id) }
            try context.metadata.read { store in
                for item in items where views[item.view]?.pages.contains(item.release) == true {
                    let isNew = settledHere[item.view, default: []].insert(item.release).inserted
                    if !(try self.takeUp(item, isSettled: !isNew, store, at: now)) { forget(item) }
                }
            }
            frames += try settle(at: now)
        }
        return frames
    }

    func settle(at now: Timestamp, waits: Bool = true) throws -> [Frame] {
        try noteWritten(waits: waits)
        let whole = resumedWhole
        resumedWhole = []
        for transfer in whole where transfers[transfer.digest] === transfer { try complete(transfer) }
        var frames: [Frame] = []
        if lastFlush == nil { lastFlush = now }
        if unflushedBytes >= context.limits.flushBytes { try flush(at: now) }
        if settled.isEmpty { settledSince = nil } else if settledSince == nil { settledSince = now }
        // A batch that is not full waits for more only as long as nobody notices: what comes beside a long transfer is committed at once.
        let isOld =
            settledSince.map { now.milliseconds - $0.milliseconds >= context.limits.settledMillisecondsMax || now < $0 } ?? false
        while settled.count >= context.limits.commitReleasesMax || (!settled.isEmpty && (isIdle || isOld)) {
            frames += try commit(Array(settled.prefix(context.limits.commitReleasesMax)), at: now)
            settled.removeFirst(min(settled.count, context.limits.commitReleasesMax))
            settledSince = settled.isEmpty ? nil : now
        }
        // Pages with nothing to fetch (all held, or only drops) are done without a commit of releases.
        let done = views.filter { $0.value.pages.isFirstDone }.keys.sorted()
        if !done.isEmpty, settled.isEmpty { frames += try commit([], at: now) }
        let again = views.filter { $0.value.asksAfterPages && $0.value.pages.isEmpty && $0.value.repair == nil }.keys.sorted()
        for id in again { views[id]?.asksAfterPages = false }
        if !again.isEmpty { frames += try askAgain(at: now) }
        return frames
    }

    func flush(at now: Timestamp) throws {
        lastFlush = now
        guard !unrecordedBlocks.isEmpty || transfers.values.contains(where: { !$0.isRecorded && !$0.files.isEmpty }) else {
            return
        }
        if !SeededBug.isOn(.marksBeforeFsync) { try context.content.sync() }
        let blocks = unrecordedBlocks
        // What comes back to us is no transfer of a view: after a crash it is asked for again, and its chunks are found.
        let running = transfers.keys.sorted().compactMap { transfers[$0] }.filter {
            !$0.isRecorded && !$0.files.isEmpty && !isOnWayBack($0.digest)
        }
        // What is complete and waits for its commit is as much under way as the rest: a crash must not lose it.
        let waiting = settled.compactMap { item -> Transfer? in
            if case .accepted(let transfer) = item, !transfer.isRecorded, !transfer.isDocumentOnly,
                !isOnWayBack(transfer.digest)
            {
                transfer
            } else {
                nil
            }
        }
        try context.metadata.write(at: now) { tx in
            for block in blocks { try tx.insertChunks(of: block.city, block: block.location, block.chunks) }
            for transfer in running + waiting { try tx.put(transfer.row) }
        }
        for transfer in running + waiting { transfer.isRecorded = true }
        unrecordedBlocks = []
        unflushedBytes = 0
    }

    /// What is whole of a batch; the rest of it is asked for again.
    func commit(_ offered: [Settled], at now: Timestamp) throws -> [Frame] {
        var offered = offered
        commitTries = 0
        // Ends: each round finds a removal that was committed since the one before.
        while true {
            offered = try stillWhole(offered)
            commitTries += 1
            let back = Set(offered.map(\.digest).filter(isOnWayBack))
            do { return try commitWhole(offered, at: now) } catch is ChunksGone {
                // What came back to us has a commit of its own, and may have had it.
                offered.removeAll { back.contains($0.digest) && !isOnWayBack($0.digest) }
            }
        }
    }

    /// One durable step: chunks, releases, holdings, cursors and log entries together; then the frames that say so.
    private func commitWhole(_ offered: [Settled], at now: Timestamp) throws -> [Frame] {
        let own = offered.filter { recovering.contains($0.digest) }
        let healed = offered.filter { healing[$0.digest] != nil }
        let batch = try lastCheck(offered.filter { !isOnWayBack($0.digest) })
        var byView: [Digest: [Settled]] = [:]
        for item in batch { byView[item.view, default: []].append(item) }
        var receipts: [(view: Digest, envelope: Envelope, location: ContentLocation)] = []
        for view in byView.keys.sorted() {
            let items = (byView[view] ?? []).compactMap { item -> Receipt.Item? in
                // A new level needs no receipt: the first one stands.
                if case .moved = item { return nil }
                return Receipt.Item(
                    release: item.digest, transfer: Hex.encode(item.number), outcome: item.refusal == nil ? .accepted : .refused,
                    reason: item.refusal?.word)
            }
            guard !items.isEmpty else { continue }
            let signing = context.signing.current
            let receipt = try Receipt(
                view: view, from: context.own, to: peer, issued: now, items: items, log: nil, keyring: signing.keyring)
            let envelope = Envelope.sign(receipt.payload(), as: .receipt, with: [signing.packageKey])
            receipts.append((view, envelope, try context.content.append(document: envelope.binary(), digest: envelope.digest)))
        }
        let forks = try forks(in: batch, at: now)
        // Bytes before rows: after this line everything the transaction points to is on the disk.
        if !offered.isEmpty || !unrecordedBlocks.isEmpty, !SeededBug.isOn(.droppedFsync) { try context.content.sync() }

        if !own.isEmpty { try takeBack(own, at: now) }
        if !healed.isEmpty { try mend(healed, at: now) }
        // Which pages this makes complete.
        let settledOf = byView.mapValues { Set($0.map(\.digest)) }
        var advanced: [(view: Digest, cursor: [UInt8], last: Bool, listed: Set<Digest>?, digest: Digest)] = []
        var moved: [(view: Digest, isComplete: Bool)] = []
        for id in views.keys.sorted() {
            guard let state = views[id], let done = state.pages.end(without: settledOf[id] ?? []) else { continue }
            let complete = !done.end.more && done.isLast
            // While the whole view is told again the cursor moves only at its end: half of a list is no place to stand.
            if state.listed == nil || complete {
                advanced.append((id, done.end.cursor, complete, state.listed, done.end.digest))
            }
            moved.append((id, complete))
        }

        let blocks = unrecordedBlocks
        var shown: [CityID: Set<Digest>] = [:]
        let acknowledgements = try context.metadata.write(at: now) { tx -> [FeedAcknowledged] in
            (shown, idleChanges) = ([:], 0)
            for block in blocks { try tx.insertChunks(of: block.city, block: block.location, block.chunks) }
            try self.mustBeWhole(batch, tx)
            for receipt in receipts {
                try tx.insertReceipt(
                    receipt.envelope.digest, document: receipt.location, view: receipt.view, from: self.context.own)
                // It leaves from the outbox until the partner says it has it: a crash here or there loses none.
                try tx.enqueue(receipt.envelope, to: self.peer)
            }
            // Before the releases of this batch: the head stands still already for them.
            for fork in forks { try tx.record(fork) }
            for view in byView.keys.sorted() { try self.record(byView[view] ?? [], in: view, tx) }
            let acknowledgements = try advanced.compactMap {
                try self.advance($0.view, to: $0.cursor, listed: $0.last ? $0.listed : nil, tx)
            }
            shown = try self.passOn(tx)
            return acknowledgements
        }
        changes.views.merge(shown) { $0.union($1) }
        unrecordedBlocks = []
        // What still runs keeps its turn: its bitmap was not written here.
        if transfers.isEmpty {
            unflushedBytes = 0
            lastFlush = now
        }
        context.changeBudget.charge(peer, idleChanges, context.limits, at: now)
        for (id, releases) in settledOf { for release in releases { views[id]?.pages.remove(release) } }
        for (id, isComplete) in moved {
            views[id]?.pages.removeDone()
            if isComplete {
                views[id]?.listed = nil
            } else if let state = views[id], state.pages.isEmpty, state.listed == nil {
                // The publisher told a part; the rest is for asking.
                views[id]?.asksAfterPages = true
            }
        }
        for item in batch { done(item.digest) }
        if !receipts.isEmpty { changes.outboxes.insert(peer) }
        let digests = Dictionary(acknowledgements.map { ($0.view, $0.digest) }) { $1 }
        for ack in advanced where ack.last {
            // Complete is what the publisher's digest says, not that nothing is missing from a list.
            views[ack.view]?.standing = digests[ack.view] == ack.digest ? .equal : .behind("digests differ")
        }
        for item in batch where item.refusal == nil {
            if case .moved = item { continue }
            releasesReceived += 1
        }
        return acknowledgements.map { $0.frame }
    }

    /// What became known while content was under way: a withdrawal, or another release of the same number (also within this batch).
    private func lastCheck(_ batch: [Settled]) throws -> [Settled] {
        struct Number: Hashable {
            let package: PackageID
            let writer: CityID
            let seq: UInt64
        }
        var first: [Number: Digest] = [:]
        return try context.metadata.read { store in
            try batch.map { item in
                if case .adopted(let wanted, let package) = item {
                    // It was here when it was listed, and its package may have been withdrawn while a batch waited.
                    guard let withdrawn = try store.package(package)?.withdrawnSeq,
                        let known = try store.release(wanted.release)?.release, known.ownerSeq <= withdrawn,
                        !SeededBug.isOn(.resurrection)
                    else { return item }
                    return .refused(wanted, .withdrawn, package)
                }
                guard case .accepted(let transfer) = item else { return item }
                let release = transfer.release
                let wanted = Wanted(view: transfer.view, release: transfer.digest, level: transfer.level, number: transfer.number)
                let package = try store.package(release.package)
                if let withdrawn = package?.withdrawnSeq, release.seq(of: release.package.city) <= withdrawn,
                    !SeededBug.isOn(.resurrection)
                {
                    return .refused(wanted, .withdrawn, release.package)
                }
                let number = Number(package: release.package, writer: release.writer, seq: release.seq)
                var known = first[number]
                // A package has its row since its first release, whoever wrote it.
                if package != nil {
                    known = try store.releaseDigest(of: release.package, writer: release.writer, seq: release.seq) ?? known
                }
                if let known, known != transfer.digest, !SeededBug.isOn(.forkAccepted) {
                    keep(evidence: try context.envelope(at: transfer.document))
                    return .refused(wanted, .fork, release.package)
                }
                first[number] = transfer.digest
                return item
            }
        }
    }

    func record(_ items: [Settled], in id: Digest, _ tx: any MetadataWriting) throws {
        guard var view = try tx.subscribedView(id) else { return }
        let isPassedOn = try isPassedOn(under: view.agreement, tx)
        for item in items {
            if isPassedOn { toPassOn.insert(item.digest) }
            if var before = try tx.holding(id, item.digest), before.state != .ended {
                let isMoved = before.level != item.level
                if isMoved {
                    if SeededBug.isOn(.levelNotMoved) { continue }
                    view.members.remove(MemberSet.memberID(release: item.digest, level: before.level.code))
                    view.members.insert(MemberSet.memberID(release: item.digest, level: item.level.code))
                    before.level = item.level
                    if let refusal = item.refusal {
                        idleChanges += 1
                        // It was shown by its document; the content that was to follow is not what was signed.
                        (before.state, before.reason, before.transfer) = (.refused, refusal.word, item.number)
                        try tx.removeTransfer(id, item.digest)
                        try log(item, before.package, wasHeld: true, in: view, tx)
                    }
                    try tx.put(before)
                }
                // What was fetched of it for another level is fetched no further.
                if case .moved = item, item.level == .discover { try tx.removeTransfer(id, item.digest) }
                if case .accepted(let transfer) = item, try tx.release(transfer.digest)?.hasContent == false {
                    try insert(transfer, tx)
                    try tx.removeTransfer(id, item.digest)
                    try log(item, transfer.release.package, wasHeld: true, in: view, tx)
                } else if isMoved, item.refusal == nil {
                    idleChanges += 1
                    // A database that is made again from the log must not hold it whole again.
                    try tx.log(
                        LogDraft(
                            .releaseMoved, partner: peer, package: before.package, release: item.digest,
                            agreement: view.agreement, details: ["level": .string(item.level.rawValue)]))
                }
                continue
            }
            // Ended between the listing and here; the drop took its id.
            if case .moved = item { continue }
            var package: PackageID?
            // What comes for the first time, and is what it says, was some work to make.
            if try item.refusal != nil || tx.holding(id, item.digest) != nil { idleChanges += 1 }
            switch item {
            case .accepted(let transfer):
                package = transfer.release.package
                if try tx.release(transfer.digest)?.hasContent != true { try insert(transfer, tx) }
            case .adopted(_, let known): package = known
            case .refused(_, _, let known), .moved(_, let known): package = known
            }
            try tx.put(
                HoldingRow(
                    view: id, release: item.digest, level: item.level, state: item.refusal == nil ? .accepted : .refused,
                    transfer: item.number,
                    reason: item.refusal?.word, package: package))
            try tx.removeTransfer(id, item.digest)
            if item.refusal == nil || !SeededBug.isOn(.refusedLeftOut) {
                view.members.insert(MemberSet.memberID(release: item.digest, level: item.level.code))
            }
            try log(item, package, wasHeld: false, in: view, tx)
        }
        try tx.put(view)
    }

    /// Refusals of what was not held are merged, as all refusals are: none of them is needed to make the rows again.
    private func log(
        _ item: Settled, _ package: PackageID?, wasHeld: Bool, in view: SubscribedView, _ tx: any MetadataWriting
    ) throws {
        let draft = LogDraft(
            item.refusal == nil ? .releaseReceived : .releaseRefused, outcome: item.refusal == nil ? .ok : .refused,
            partner: peer, package: package, release: item.digest, agreement: view.agreement, clause: item.refusal?.clause,
            transfer: item.number, reason: item.refusal?.word,
            details: item.refusal == nil && item.level == .discover ? ["level": "discover"] : nil)
        guard item.refusal != nil, !wasHeld else {
            try tx.log(draft)
            return
        }
        // Where this transaction fails the session ends with it; what was counted says no less than what was refused.
        for entry in context.refusals.admit(draft, view: view.id, at: tx.now) { try tx.log(entry) }
    }

    func insert(_ transfer: Transfer, _ tx: any MetadataWriting) throws {
        let release = transfer.release
        let isOwners = release.writer == release.package.city
        // The package first: its row is made or found once for all that follows.
        if isOwners { try place(transfer, upon: try tx.package(release.package), tx) }
        try tx.insert(
            ReleaseRow(
                digest: transfer.digest, release: ReleaseSummary(release), document: transfer.document,
                table: transfer.tableLocations,
                pages: transfer.pageLocations, committed: tx.now, servedBy: peer))
        guard isOwners else { return try context.updateHead(of: release.package, tx) }
        // Where others write too, the head is picked when the owner's chain stands.
        ownersReleases.insert(release.package)
    }

    /// Moves the head of a package by a release of its own city, if it does.
    private func place(_ transfer: Transfer, upon row: PackageRow?, _ tx: any MetadataWriting) throws {
        let release = transfer.release
        if let row, row.lastSeq > release.seq {
            // An older release that arrives late (history) does not move the head.
            return
        }
        if var row, try Disputes.isOpen(.fork, of: release.package, in: tx) {
            // Kept and listed; the head stands still until a person has decided.
            (row.lastSeq, row.last) = (release.seq, transfer.digest)
            return try tx.put(row)
        }
        try tx.put(
            PackageRow(
                package: release.package, kind: release.kind, head: transfer.digest, headVersion: release.version,
                headSeq: release.seq,
                lastSeq: release.seq, last: transfer.digest, tlp: release.tlp, title: release.title, bytes: release.bytes,
                // An earlier withdrawal stays known: what it ended must not come back behind a newer release.
                withdrawnSeq: row?.withdrawnSeq))
    }

    /// The release has left the view. The log has it too: what is made again from it must not hold it.
    func end(_ holding: inout HoldingRow, under agreement: Digest, _ tx: any MetadataWriting) throws {
        let wasRefused = holding.state == .refused
        holding.state = .ended
        holding.reason = "dropped"
        try tx.put(holding)
        let draft = LogDraft(
            .accessEnded, partner: peer, package: holding.package, release: holding.release, agreement: agreement,
            reason: "dropped")
        // What was never here has nothing to be made again, and its refusals were merged too.
        guard wasRefused, try tx.release(holding.release) == nil else {
            try tx.log(draft)
            return
        }
        for entry in context.refusals.admit(draft, view: holding.view, at: tx.now) { try tx.log(entry) }
    }

    private func advance(_ id: Digest, to cursor: [UInt8], listed: Set<Digest>?, _ tx: any MetadataWriting) throws
        -> FeedAcknowledged?
    {
        guard var view = try tx.subscribedView(id), let record = try tx.agreement(view.agreement) else { return nil }
        if let listed {
            // The whole view was told again: the set is built anew from the rows, and what was not listed has left it.
            var members = MemberSet()
            for state in [HoldingRow.State.accepted, .refused] {
                var after: Digest?
                while true {
                    let rows = try tx.holdings(in: id, state: state, after: after, limit: 1000)
                    guard let last = rows.last else { break }
                    after = last.release
                    for var row in rows {
                        if listed.contains(row.release) {
                            members.insert(MemberSet.memberID(release: row.release, level: row.level.code))
                        } else if !SeededBug.isOn(.resetKeepsRest) {
                            if try isPassedOn(under: view.agreement, tx) { toPassOn.insert(row.release) }
                            try end(&row, under: view.agreement, tx)
                        }
                    }
                }
            }
            view.members = members
            view.mismatches += 1
        }
        view.cursor = cursor
        try tx.put(view)
        let epoch = views[id]?.epoch ?? record.policyEpoch
        return FeedAcknowledged(view: id, cursor: cursor, digest: view.members.digest(view: id, policyEpoch: epoch))
    }
}
