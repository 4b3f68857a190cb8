// Where a partner stands in our views, and the net changes since then.
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

extension Publisher {
    func answer(_ views: Views, at now: Timestamp) throws -> [Frame] {
        guard Set(views.lines.map(\.view)).count == views.lines.count else {
            throw ProtocolFault.malformed(.views, "a view twice")
        }
        var frames: [Frame] = []
        var equal: [Int] = []
        // All views together take up no more than one would.
        let pagesMax = max(1, context.limits.feedPagesMax / max(1, views.lines.count))
        for (number, line) in views.lines.enumerated() {
            try lookAtRows(line.view, at: now)
            // The partner asks anew: whatever was being compared is over.
            repairs[line.view] = nil
            let standing = try context.metadata.read { try self.standing(of: line, in: $0, at: now) }
            switch standing {
            case .answer(let status):
                frames.append(Feed(round: views.round, view: line.view, status: status).frame)
            case .equal(let position):
                followed[line.view] = position
                try noteEqual(line.view, position, at: now)
                try unseen(line.view, after: position, at: now)
                equal.append(number)
            case .behind(let position):
                frames += try feed(
                    line.view, from: position, round: views.round, status: .changes, since: line.cursor, pagesMax: pagesMax,
                    at: now)
            case .unknownCursor:
                // One of us was put back from a backup, most likely: what differs is little.
                frames += try repair(line.view, round: views.round, since: line.cursor, at: now)
            case .differs:
                frames += try mismatch(line.view, round: views.round, since: line.cursor, at: now)
            case .policy(let agreement):
                // Once for an epoch: asking again fills no outbox.
                if let epoch = try context.metadata.read({ try $0.agreement(agreement)?.policyEpoch }),
                    epochsAnswered.insert(epoch).inserted
                {
                    try context.metadata.write(at: now) { try $0.enqueuePapers(of: agreement, to: self.peer) }
                    changes.outboxes.insert(peer)
                }
                frames.append(Feed(round: views.round, view: line.view, status: .policy).frame)
            }
        }
        // First, since the others may be long; and for a round without a line, which asks whether all that waited has been sent.
        return (equal.isEmpty && !views.lines.isEmpty ? [] : [EqualViews(round: views.round, lines: equal).frame]) + frames
    }

    /// An equal digest is as good as the acknowledgement that a broken session lost.
    private func noteEqual(_ id: Digest, _ position: UInt64, at now: Timestamp) throws {
        func isNews(_ view: PublishedView) -> Bool {
            !view.acknowledgedEqual || view.acknowledgedPosition < position || view.mismatches > 0
        }
        guard let view = try context.metadata.read({ try $0.publishedView(id) }), isNews(view) else { return }
        try context.metadata.write(at: now) { tx in
            guard var view = try tx.publishedView(id), isNews(view), position <= view.position else { return }
            (view.acknowledgedEqual, view.acknowledgedPosition, view.mismatches) = (
                true, max(view.acknowledgedPosition, position), 0
            )
            try tx.put(view)
        }
    }

    private enum Standing {
        case answer(Feed.Status)
        case equal(UInt64)
        case behind(UInt64)
        case unknownCursor
        case differs
        case policy(Digest)
    }

    private func standing(of line: Views.Line, in store: any MetadataReading, at now: Timestamp) throws -> Standing {
        guard let view = try store.publishedView(line.view), view.recipient == peer,
            let record = try store.agreement(view.agreement)
        else {
            // Signatures that make it an agreement may be on their way, beside this question: "none" would be taken for the last word. And a
            // partner that was put back may have forgotten that the agreement ended before it ever began.
            let waiting = try store.agreements().first {
                ($0.state(at: now) == .proposed || Views.Line.mark(of: $0.policyEpoch) != line.epochMark) && $0.isParty(self.peer)
                    && $0.viewID(publisher: self.context.own, recipient: self.peer) == line.view
            }
            return waiting.map { .policy($0.digest) } ?? .answer(.none)
        }
        guard Views.Line.mark(of: record.policyEpoch) == line.epochMark else {
            epochs[line.view] = .other
            return .policy(record.digest)
        }
        epochs[line.view] = .known(record.policyEpoch)
        guard record.state(at: now) == .active else { return .answer(.none) }
        if view.quarantine != nil { return .answer(.quarantined) }
        let digest = view.members.digest(view: view.id, policyEpoch: record.policyEpoch)
        if line.cursor.isEmpty, view.position > 0 { return .behind(0) }
        // Who has no cursor has not taken a whole list yet, told or not: it is told (again), and no list was in vain.
        if line.cursor.isEmpty { return digest == line.digest ? .equal(0) : .unknownCursor }
        guard let position = Cursor.position(line.cursor, feedKey: view.feedKey), position <= view.position else {
            return .unknownCursor
        }
        // A membership that has run out but was not yet taken from the view (a late timer) is a change to come.
        guard try store.members(line.view, endedBy: now).isEmpty else { return .behind(position) }
        if position < view.position {
            // What came and went unseen is no change: the old cursor stays good.
            let isSame =
                try digest == line.digest && store.members(line.view, addedAfter: position, limit: 1).isEmpty
                && store.drops(line.view, after: position, limit: 1).isEmpty
            return isSame ? .equal(position) : .behind(position)
        }
        return digest == line.digest ? .equal(position) : .differs
    }

    /// Net changes after a position, in pages: what is new is marked as sent and logged as offered in the transaction that reads it.
    func feed(
        _ id: Digest, from start: UInt64, round: UInt64, status: Feed.Status, since cursor: [UInt8]? = nil, pagesMax: Int? = nil,
        isAnswer: Bool = false, at now: Timestamp
    ) throws -> [Frame] {
        var position = start
        var frames: [Frame] = []
        var since = status == .reset ? [] : cursor
        var pages = 0
        while true {
            let before = position
            var ended: [CityID: Set<Digest>] = [:]
            let page = try context.metadata.write(at: now) { tx -> Feed? in
                if !(try tx.members(id, endedBy: now)).isEmpty, !SeededBug.isOn(.lateClockNotChecked) {
                    // It decides for all partners, and the timer finds nothing left to tell: who is concerned hears of it from here.
                    let update = try MembershipUpdate(self.context, tx)
                    try update.timePassed()
                    ended = try update.finish()
                }
                guard let view = try tx.publishedView(id), view.recipient == self.peer,
                    let record = try tx.agreement(view.agreement),
                    record.state(at: now) == .active, view.quarantine == nil
                else { return nil }
                let begin = SeededBug.isOn(.offByOneFeed) && position > 0 ? position + 1 : position
                let adds = try tx.members(id, addedAfter: begin, limit: Feed.changesMax / 2)
                let drops = status == .reset ? [] : try tx.drops(id, after: position, limit: Feed.changesMax / 2)
                var end = view.position
                if adds.count == Feed.changesMax / 2, let last = adds.last { end = min(end, last.added) }
                if drops.count == Feed.changesMax / 2, let last = drops.last?.dropped { end = min(end, last) }
                var changes: [Feed.Change] = []
                for row in drops where (row.dropped ?? 0) <= end {
                    changes.append(.drop(release: row.release, level: row.level.code))
                }
                for row in adds where row.added <= end { changes.append(try self.offer(row, under: view.agreement, tx)) }
                let more = end < view.position
                defer { position = end }
                return Feed(
                    round: round, view: id, status: status, since: since ?? Cursor.make(position, feedKey: view.feedKey),
                    changes: changes,
                    cursor: Cursor.make(end, feedKey: view.feedKey), more: more,
                    digest: more ? .zero : view.members.digest(view: id, policyEpoch: record.policyEpoch))
            }
            changes.views.merge(ended) { $0.union($1) }
            guard let page else {
                followed[id] = nil
                return frames + [Feed(round: round, view: id, status: .none).frame]
            }
            if round == 0, !isAnswer, page.changes.isEmpty, status == .changes {
                // What came and went unseen is no news, and a new cursor would say that there was something (SYNC.md §2).
                position = before
                try unseen(id, after: before, at: now)
                break
            }
            since = page.cursor
            frames.append(page.frame)
            if !page.more { break }
            pages += 1
            // A long way is told in parts: the recipient commits these and asks on. A list from the beginning has no place to stop.
            if status == .changes, pages == pagesMax ?? context.limits.feedPagesMax {
                followed[id] = nil
                return frames
            }
        }
        followed[id] = position
        return frames
    }

    /// Lists a member; the first time it is marked as sent and logged as offered.
    func offer(_ row: MemberRow, under agreement: Digest, _ tx: any MetadataWriting) throws -> Feed.Change {
        var row = row
        if !row.sent {
            row.sent = true
            row.transfer =
                SeededBug.isOn(.transferNumberReused)
                ? Array(row.view.bytes.prefix(16)) : context.randomOfView(row.view).bytes(16)
            try tx.put(row)
            if !SeededBug.isOn(.offeredWithoutLog) {
                try tx.log(
                    LogDraft(
                        .releaseOffered, partner: peer, package: row.package, release: row.release, agreement: agreement,
                        clause: row.clause, grant: row.grant, transfer: row.transfer))
            }
        }
        told.note(row.release, of: row.view, transfer: row.transfer)
        return .add(release: row.release, level: row.level.code, transfer: row.transfer)
    }

    func acknowledged(_ message: FeedAcknowledged, at now: Timestamp) throws -> [Frame] {
        enum Outcome { case fine, differs }
        let outcome = try context.metadata.write(at: now) { tx -> Outcome in
            guard var view = try tx.publishedView(message.view), view.recipient == self.peer,
                let record = try tx.agreement(view.agreement),
                let position = Cursor.position(message.cursor, feedKey: view.feedKey), position <= view.position
            else { return .fine }
            guard view.quarantine == nil else { return .fine }
            // A membership that ran out by itself is a change to come: nothing can be compared yet.
            // What came and went unseen after the cursor is nothing to acknowledge.
            let isLast =
                try position == view.position
                || (tx.members(view.id, addedAfter: position, limit: 1).isEmpty
                    && tx.drops(view.id, after: position, limit: 1).isEmpty)
            // What was said is said under the epoch that the partner asked under: a step that only one of us knows yet is no difference.
            let epoch: Digest? =
                switch self.epochs[view.id] {
                case .known(let epoch): epoch
                case .other: nil
                case nil: record.policyEpoch
                }
            if isLast, let epoch, try tx.members(view.id, endedBy: now).isEmpty, record.state(at: now) == .active {
                let equal = view.members.digest(view: view.id, policyEpoch: epoch) == message.digest
                guard equal else { return .differs }
                view.mismatches = 0
                view.acknowledgedEqual = true
                view.acknowledgedPosition = view.position
            } else {
                // What we had at that position is not kept, or their epoch is not known; the next equal line tells.
                view.acknowledgedEqual = false
                view.acknowledgedPosition = position
            }
            try tx.put(view)
            return .fine
        }
        return outcome == .differs ? try mismatch(message.view, round: 0, since: message.cursor, at: now) : []
    }

    /// A partner that has acknowledged `position` has acknowledged what follows too, where no change that it may see follows.
    private func unseen(_ id: Digest, after position: UInt64, at now: Timestamp) throws {
        func isBehind(_ view: PublishedView?) -> Bool {
            guard let view else { return false }
            return view.acknowledgedEqual && view.acknowledgedPosition >= position && view.acknowledgedPosition < view.position
        }
        guard isBehind(try context.metadata.read({ try $0.publishedView(id) })) else { return }
        try context.metadata.write(at: now) { tx in
            guard var view = try tx.publishedView(id), isBehind(view), try tx.members(id, addedAfter: position, limit: 1).isEmpty,
                try tx.drops(id, after: position, limit: 1).isEmpty
            else { return }
            view.acknowledgedPosition = view.position
            try tx.put(view)
        }
    }
}
