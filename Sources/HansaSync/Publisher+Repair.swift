// Repair of a view that differs, at the publisher (SYNC.md §3).
//
// What is compared are the present members that the partner was sent, and nothing else: a fingerprint tells no more than the feed did. What was
// not yet offered is offered after it, in the feed's way. The partner's cursor stays where it was until everything was told; then it gets one
// of a new feed epoch. A session that breaks off in between leaves nothing behind.
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

extension Publisher {
    struct Repair {
        var machine: ReconciliationPublisher
        var joiner = Reconciliation.Joiner()
        var number: UInt64
        /// The round of `views` that it answers; 0 after an acknowledgement.
        var round: UInt64
        /// Where the partner stands.
        var since: [UInt8]
        /// The position whose members are compared.
        var position: UInt64
        /// Members up to there that were not yet offered.
        var unsent: [Digest]
        let permit: RepairGate.Permit
    }

    /// Once after each start: do the rows of this view give its digest? If not they count, and what the policy says is placed anew.
    func lookAtRows(_ id: Digest, at now: Timestamp) throws {
        let isOurs = try context.metadata.read { try $0.publishedView(id)?.recipient == self.peer }
        guard isOurs, context.repairs.isFirstLook(id) else { return }
        let agrees = try context.metadata.read { store in
            guard let view = try store.publishedView(id) else { return true }
            return try view.members.agrees(withRows: store.memberCount(id)) { body in
                try store.eachMember(id) { item, _ in body(item.release, item.level) }
            }
        }
        if !agrees { try rebuild(id, at: now) }
    }

    private func rebuild(_ id: Digest, at now: Timestamp) throws {
        let changed = try context.metadata.write(at: now) { tx in
            let update = try MembershipUpdate(self.context, tx)
            try update.rebuild(id)
            return try update.finish()
        }
        changes.views.merge(changed) { $0.union($1) }
    }

    /// Digests differ at one cursor. First what differs is found and told; then, should that not have helped, all is made anew from rows and told
    /// from its beginning; after that a person must look.
    func mismatch(_ id: Digest, round: UInt64, since: [UInt8], at now: Timestamp) throws -> [Frame] {
        // Already under way; its end says how it went.
        guard repairs[id] == nil else { return [] }
        guard let view = try context.metadata.read({ try $0.publishedView(id) }) else {
            return [Feed(round: round, view: id, status: .none).frame]
        }
        if view.mismatches == 0 { return try repair(id, round: round, since: since, at: now) }
        if view.mismatches == 1 { return try wholeList(id, round: round, at: now) }
        try context.metadata.write(at: now) { tx in
            guard var view = try tx.publishedView(id) else { return }
            view.quarantine = "digests differ after a full list"
            try tx.put(view)
            try tx.log(
                LogDraft(
                    .viewQuarantined, outcome: .failed, partner: self.peer, agreement: view.agreement, reason: "digest-mismatch"))
        }
        return [Feed(round: round, view: id, status: .quarantined).frame]
    }

    /// Everything from the beginning, under a new feed epoch.
    func wholeList(_ id: Digest, round: UInt64, at now: Timestamp) throws -> [Frame] {
        repairs[id] = nil
        try rebuild(id, at: now)
        try context.metadata.write(at: now) { tx in
            guard var view = try tx.publishedView(id) else { return }
            view.mismatches = 2
            view.feedKey = self.context.randomOfView(id).bytes(16)
            try tx.put(view)
            try tx.log(LogDraft(.viewReset, partner: self.peer, agreement: view.agreement, reason: "digest-mismatch"))
        }
        return try feed(id, from: 0, round: round, status: .reset, at: now)
    }

    /// Begins to compare. Where there is no place, or the partner's cursor is none of this protocol, the view is told from its beginning. Whoever
    /// asks for one after the other is told to ask again after a while, as where policies differ.
    func repair(_ id: Digest, round: UInt64, since: [UInt8], at now: Timestamp) throws -> [Frame] {
        guard context.repairs.mayBegin(id, at: now) else { return [Feed(round: round, view: id, status: .policy).frame] }
        guard let secret, since.count == Cursor.byteCount, let permit = context.repairs.enter() else {
            return try wholeList(id, round: round, at: now)
        }
        // What has run out by itself leaves before anything is said of it.
        let ended = try context.metadata.write(at: now) { tx -> [CityID: Set<Digest>] in
            guard !(try tx.members(id, endedBy: now)).isEmpty else { return [:] }
            let update = try MembershipUpdate(self.context, tx)
            try update.timePassed()
            return try update.finish()
        }
        changes.views.merge(ended) { $0.union($1) }
        guard let position = try context.metadata.read({ try self.mayRepair(id, $0, at: now) }) else {
            return [Feed(round: round, view: id, status: .none).frame]
        }
        var unsent: [Digest] = []
        var items: [ReconciliationItem] = []
        try context.metadata.read { store in
            items.reserveCapacity(try store.memberCount(id))
            try store.eachMember(id) { item, sent in
                if sent { items.append(item) } else { unsent.append(item.release) }
            }
        }
        let set = ReconciliationSet(key: secret.key(of: id), items: items)
        items = []
        repairsBegun += 1
        var repair = Repair(
            machine: ReconciliationPublisher(set), number: repairsBegun, round: round, since: since, position: position,
            unsent: unsent, permit: permit)
        followed[id] = nil
        let step = repair.machine.start()
        return try [Feed(round: round, view: id, status: .repair).frame] + go(step, repair, id, at: now)
    }

    /// The view's position if it may be told to the partner now.
    private func mayRepair(_ id: Digest, _ store: any MetadataReading, at now: Timestamp) throws -> UInt64? {
        guard let view = try store.publishedView(id), view.recipient == peer, view.quarantine == nil,
            let record = try store.agreement(view.agreement), record.state(at: now) == .active
        else { return nil }
        return view.position
    }

    func reconcile(_ message: Reconcile, at now: Timestamp) throws -> [Frame] {
        // Stopped by us meanwhile, or begun anew: the answer to that is under way.
        guard repairs[message.view]?.number == message.number, var repair = repairs.removeValue(forKey: message.view) else {
            return []
        }
        guard try context.metadata.read({ try self.mayRepair(message.view, $0, at: now) }) != nil else {
            return [Feed(round: repair.round, view: message.view, status: .none).frame]
        }
        guard message.speaker == .recipient, message.round == repair.machine.round else {
            throw ProtocolFault.unexpected(.reconcile, "out of turn")
        }
        if message.state == .declined { return try wholeList(message.view, round: repair.round, at: now) }
        guard let spans = try repair.joiner.add(message) else {
            repairs[message.view] = repair
            return []
        }
        let step = try repair.machine.receive(spans)
        return try go(step, repair, message.view, at: now)
    }

    private func go(_ step: ReconciliationPublisher.Step, _ repair: Repair, _ id: Digest, at now: Timestamp) throws -> [Frame] {
        func frames(_ spans: [Reconciliation.Span]) -> [Frame] {
            Reconciliation.frames(spans, from: .publisher, of: id, number: repair.number, round: repair.machine.round)
        }
        switch step {
        case .say(let spans):
            repairs[id] = repair
            return frames(spans)
        case .done(let spans): return try (spans.isEmpty ? [] : frames(spans)) + tell(repair, id, at: now)
        case .declined: return try wholeList(id, round: repair.round, at: now)
        }
    }

    /// What the partner lacks, in pages after which it still stands where it was; then what has changed meanwhile.
    private func tell(_ repair: Repair, _ id: Digest, at now: Timestamp) throws -> [Frame] {
        let lacking = repair.machine.additions.map(\.release) + repair.unsent
        var frames: [Frame] = []
        var start = 0
        // As in a feed, a long way is told in parts; what is left the next repair finds.
        let end = min(lacking.count, context.limits.feedPagesMax * Feed.changesMax / 2)
        while true {
            let releases = lacking[start..<min(end, start + Feed.changesMax / 2)]
            start = releases.endIndex
            let isLast = start == end
            let isWhole = isLast && end == lacking.count
            let page = try context.metadata.write(at: now) { tx -> Feed? in
                guard try self.mayRepair(id, tx, at: now) != nil, var view = try tx.publishedView(id) else { return nil }
                var changes: [Feed.Change] = []
                for release in releases {
                    // What went meanwhile is for the feed to tell, and so is what has run out since.
                    guard let row = try tx.member(id, release), row.dropped == nil, row.until.map({ $0 > now }) ?? true else {
                        continue
                    }
                    changes.append(try self.offer(row, under: view.agreement, tx))
                }
                if isWhole {
                    view.mismatches = 1
                    view.feedKey = self.context.randomOfView(id).bytes(16)
                    try tx.put(view)
                    try tx.log(
                        LogDraft(
                            .viewRepaired, partner: self.peer, agreement: view.agreement,
                            details: .object([JSONMember("told", .integer(Int64(lacking.count)))])))
                }
                return Feed(
                    round: repair.round, view: id, status: .changes, since: repair.since, changes: changes,
                    cursor: isWhole ? Cursor.make(repair.position, feedKey: view.feedKey) : repair.since, more: true)
            }
            guard let page else { return frames + [Feed(round: repair.round, view: id, status: .none).frame] }
            frames.append(page.frame)
            if isWhole {
                return try frames
                    + feed(
                        id, from: repair.position, round: repair.round, status: .changes, since: page.cursor, isAnswer: true,
                        at: now)
            }
            if isLast { return frames }
        }
    }
}
