// Repair of a view that differs, at the recipient (SYNC.md §3): finds which of its holdings the publisher no longer has; what it lacks comes by
// the feed, as all releases do.
internal import HansaCore
internal import HansaDocuments
internal import HansaLog

extension Puller {
    struct Repair {
        var machine: ReconciliationRecipient
        var joiner = Reconciliation.Joiner()
        /// The round of `views` that it answers: the pages that end it have the same.
        var round: UInt64
        /// The publisher's number for it, known from its first word.
        var number: UInt64?
        let permit: RepairGate.Permit
    }

    /// Once after each start: do the rows of each view give its digest? If not they count, and the publisher tells what they lack.
    func lookAtRows(at now: Timestamp) throws {
        let views = try context.metadata.read { try $0.subscribedViews() }
        for view in views where view.publisher == peer && context.repairs.isFirstLook(view.id) {
            let agrees = try context.metadata.read { store in
                try view.members.agrees(withRows: store.holdingCount(view.id)) { body in
                    try store.eachHolding(view.id) { body($0.release, $0.level) }
                }
            }
            if agrees { continue }
            try context.metadata.write(at: now) { tx in
                guard var view = try tx.subscribedView(view.id) else { return }
                view.members = try MemberSet { body in try tx.eachHolding(view.id) { body($0.release, $0.level) } }
                try tx.put(view)
            }
        }
    }

    /// The publisher says that it begins. Without a place for it, or where it began many in a short time, nothing is kept, and its first word is
    /// declined.
    func begin(_ feed: Feed, _ before: ViewState, at now: Timestamp) throws -> [Frame] {
        guard feed.round == 0 || feed.round == before.round else {
            // An older question; the newer one is still to be answered.
            views[feed.view]?.answers[feed.round] = nil
            return []
        }
        var state = before
        state.asked = nil
        state.listed = nil
        state.standing = .behind("repair")
        state.repair = nil
        if let secret, context.repairs.mayBegin(feed.view, at: now), let permit = context.repairs.enter() {
            var items: [ReconciliationItem] = []
            try context.metadata.read { store in
                items.reserveCapacity(try store.holdingCount(feed.view))
                try store.eachHolding(feed.view) { items.append($0) }
            }
            let set = ReconciliationSet(key: secret.key(of: feed.view), items: items)
            items = []
            state.repair = Repair(machine: ReconciliationRecipient(set), round: feed.round, permit: permit)
        }
        views[feed.view] = state
        return []
    }

    func take(_ message: Reconcile) throws -> [Frame] {
        guard message.speaker == .publisher, message.state != .declined else {
            throw ProtocolFault.unexpected(.reconcile, "not for a recipient")
        }
        guard let state = views[message.view] else { return [] }
        func declined() -> [Frame] {
            [
                Reconcile(
                    speaker: .recipient, view: message.view, number: message.number, round: message.round, state: .declined,
                    ranges: []
                ).frame
            ]
        }
        guard var repair = state.repair else {
            return message.round == 1 && message.state == .whole ? declined() : []
        }
        // What is left of one that was begun anew.
        guard repair.number == nil || repair.number == message.number else { return [] }
        repair.number = message.number
        var said: [Frame] = []
        if let spans = try repair.joiner.add(message) {
            switch try repair.machine.receive(spans, round: message.round) {
            case .say(let spans):
                said = Reconciliation.frames(
                    spans, from: .recipient, of: message.view, number: message.number, round: message.round)
            case .done: break
            case .declined:
                views[message.view]?.repair = nil
                return declined()
            }
        }
        views[message.view]?.repair = repair
        return said
    }

    /// The pages that end a repair have come: what the publisher does not have is to end, but for what these list anew.
    func surplus(of repair: Repair, listed: [Feed.Change], in id: Digest, at now: Timestamp) throws -> [(
        release: Digest, level: UInt8
    )] {
        guard repair.machine.isSettled else { throw ProtocolFault.unexpected(.feed, "the end of a repair before its last word") }
        var again: Set<Digest> = []
        for case .add(let release, _, _) in listed { again.insert(release) }
        let surplus = repair.machine.extras.filter { !again.contains($0.release) }
        try context.metadata.write(at: now) { tx in
            guard let view = try tx.subscribedView(id) else { return }
            try tx.log(
                LogDraft(
                    .viewRepaired, partner: self.peer, agreement: view.agreement,
                    details: .object([JSONMember("ended", .integer(Int64(surplus.count)))])))
        }
        return surplus.map { ($0.release, $0.level) }
    }
}
