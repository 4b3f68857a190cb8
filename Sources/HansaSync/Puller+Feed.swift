// Where the views stand, what they list, and what a listed release needs: nothing, a check, or a fetch.
internal import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

extension Puller {
    func take(_ feed: Feed, at now: Timestamp) throws -> [Frame] {
        // A push for a view whose agreement we have just learnt of: our own ask follows.
        guard var state = views[feed.view] else {
            guard feed.round == 0 else { throw ProtocolFault.unexpected(.feed, "a view we did not ask for") }
            return []
        }
        if feed.round != 0, state.answers[feed.round] == nil {
            // Under an agreement that has ended meanwhile, or told twice.
            guard feed.round <= round else { throw ProtocolFault.unexpected(.feed, "an answer to nothing") }
            return []
        }
        switch feed.status {
        case .none, .quarantined, .policy: return try takeStanding(feed, state, at: now)
        case .repair:
            try showWhatWeHold(at: now)
            return try begin(feed, state, at: now)
        case .changes, .reset: break
        }
        if isOverBudget(at: now) { return try holdBack(feed, at: now) }
        if feed.status == .reset, feed.since.isEmpty {
            try showWhatWeHold(at: now)
            // Everything is told again; what is under way goes on, and counts when it is listed.
            state.listed = []
            state.pages = OpenPages()
            state.repair = nil
            state.answers[feed.round] = feed.round == 0 ? nil : []
            state.received = []
        } else if feed.status == .reset, state.listed == nil {
            throw ProtocolFault.unexpected(.feed, "a list without its beginning")
        }
        if feed.round == 0 {
            // A push that does not follow what we have: we ask instead of guessing. So where more is open than one who commits what comes ever has.
            guard feed.since == state.received, feed.status == .reset || state.pages.hasRoom(of: Puller.pushedPagesMax) else {
                views[feed.view] = state
                if state.pages.isEmpty { return try askAgain(at: now) }
                views[feed.view]?.asksAfterPages = true
                return []
            }
        } else {
            guard feed.since == state.answers[feed.round] else {
                throw ProtocolFault.unexpected(.feed, "a page that does not follow the last")
            }
            state.answers = feed.more ? [feed.round: feed.cursor] : state.answers.filter { $0.key > feed.round }
            if feed.round == state.round { state.asked = nil }
        }
        guard outstandingCount + feed.changes.count <= context.limits.outstandingMax,
            (state.listed?.count ?? 0) <= context.limits.listedMax, state.pages.hasRoom(of: Puller.pagesMax)
        else {
            throw ProtocolFault.unexpected(.feed, "more than a recipient can take")
        }
        state.received = feed.cursor
        state.policyRounds = 0
        state.standing = .behind("fetching")
        var drops: [(release: Digest, level: UInt8)] = []
        if let repair = state.repair {
            // An answer to another question than the one it was begun with says that the publisher has stopped it.
            if repair.round == feed.round { drops = try surplus(of: repair, listed: feed.changes, in: feed.view, at: now) }
            state.repair = nil
        }
        var news: [Wanted] = []
        var added: Set<Digest> = []
        for change in feed.changes {
            switch change {
            case .add(let release, let level, let number):
                guard added.insert(release).inserted else {
                    throw ProtocolFault.malformed(.feed, "a release that is listed twice")
                }
                news.append(Wanted(view: feed.view, release: release, level: level, number: number))
            case .drop(let release, let level): drops.append((release, level))
            }
        }
        // In place from here on: a view that is told again lists millions.
        views[feed.view] = state
        (state.listed, state.pages) = (nil, OpenPages())
        if views[feed.view]?.listed != nil { for item in news { views[feed.view]?.listed?.insert(item.release) } }
        try end(drops, in: feed.view, at: now)
        var outstanding: Set<Digest> = []
        let before = settledReleases(of: feed.view)
        try context.metadata.read { store in
            for item in news where try self.takeUp(item, isSettled: before.contains(item.release), store, at: now) {
                outstanding.insert(item.release)
            }
        }
        if SeededBug.isOn(.cursorBeforeCommit) {
            try context.metadata.write(at: now) { tx in
                guard var view = try tx.subscribedView(feed.view) else { return }
                view.cursor = feed.cursor
                try tx.put(view)
            }
        }
        views[feed.view]?.pages.add(
            OpenPages.End(cursor: feed.cursor, more: feed.more, digest: feed.digest), outstanding)
        return []
    }

    /// Pages that are not done: of those pushed between asks fewer, for they are many and small where something hangs. What else is changed is in the
    /// answer when they are done.
    static let pushedPagesMax = 256
    static let pagesMax = 4096

    /// The word of a view that waits since its publisher's changes are more than it may have.
    static let overBudget = "too-many-changes"

    func isOverBudget(at now: Timestamp) -> Bool { context.changeBudget.isSpent(peer, context.limits, at: now) }

    /// The partner has made us write enough for now. What has left its view is ended all the same; the rest is asked for later, from where we stand.
    private func holdBack(_ feed: Feed, at now: Timestamp) throws -> [Frame] {
        let drops = feed.changes.compactMap { change -> (release: Digest, level: UInt8)? in
            if case .drop(let release, let level) = change { (release, level) } else { nil }
        }
        try end(drops, in: feed.view, at: now)
        // The rest of the answer may tell of more that has left.
        let goesOn = feed.round != 0 && feed.more && feed.since == views[feed.view]?.answers[feed.round]
        views[feed.view]?.answers = goesOn ? [feed.round: feed.cursor] : [:]
        views[feed.view]?.asked = nil
        views[feed.view]?.repair = nil
        views[feed.view]?.standing = .behind(Puller.overBudget)
        views[feed.view]?.retry = now.adding(seconds: Puller.changesRetrySeconds)
        return []
    }

    func settledReleases(of id: Digest) -> Set<Digest> { Set(settled.lazy.filter { $0.view == id }.map(\.digest)) }

    /// Where nothing is new: the hot path ends here.
    func take(_ equal: EqualViews, at now: Timestamp) throws {
        guard equal.round <= round else { throw ProtocolFault.unexpected(.equal, "an answer to nothing") }
        if equal.round == bareRound { bareRound = nil }
        for id in views.keys.sorted() {
            // Asked anew since, answered already, or its agreement has ended meanwhile: this says nothing of it.
            guard var state = views[id], state.round == equal.round, equal.contains(line: state.line),
                state.answers[equal.round] != nil
            else { continue }
            state.answers = [:]
            state.asked = nil
            state.repair = nil
            // Pushed pages that are still open say more than this answer.
            if state.pages.isEmpty { state.standing = .equal }
            state.policyRounds = 0
            views[id] = state
            try clearMismatch(id, at: now)
        }
    }

    private func takeStanding(_ feed: Feed, _ before: ViewState, at now: Timestamp) throws -> [Frame] {
        var state = before
        guard feed.round == 0 || feed.round == state.round else {
            // An older question; the newer one is still to be answered.
            views[feed.view]?.answers[feed.round] = nil
            return []
        }
        state.answers = [:]
        state.asked = nil
        state.repair = nil
        switch feed.status {
        case .none:
            views[feed.view] = state
            cancel(feed.view)
        case .quarantined:
            state.standing = .quarantined("the publisher stopped this view: digests differ")
            views[feed.view] = state
            try quarantine(feed.view, "digests differ after a full list", at: now)
        case .policy:
            state.policyRounds += 1
            state.standing = .behind(state.policyRounds > 3 ? "policy-differs" : "policy")
            state.retry = now.adding(seconds: min(Puller.policyRetrySecondsMax, 1 << Int64(min(state.policyRounds, 6))))
            views[feed.view] = state
            // Ours may be what the publisher lacks; once a session says it, and once more when there is more to say.
            guard let epoch = try context.metadata.read({ try $0.agreement(state.agreement)?.policyEpoch }),
                epoch != state.policySent
            else { return [] }
            views[feed.view]?.policySent = epoch
            try context.metadata.write(at: now) { try $0.enqueuePapers(of: state.agreement, to: self.peer) }
            changes.outboxes.insert(peer)
        case .changes, .reset, .repair: preconditionFailure("these are no standings")
        }
        return []
    }

    /// The view gives nothing more in this session: what is under way in it ends, and other views that wait for it go on.
    func cancel(_ id: Digest) {
        guard views[id] != nil else { return }
        views[id]?.pages = OpenPages()
        views[id]?.listed = nil
        views[id]?.repair = nil
        views[id]?.answers = [:]
        views[id]?.asked = nil
        views[id]?.asksAfterPages = false
        views[id]?.retry = nil
        views[id]?.standing = .none
        settled.removeAll { $0.view == id }
        ready.removeAll { $0.view == id }
        for release in waiting.keys.filter({ waiting[$0]?.contains { $0.view == id } == true }) {
            stopWaiting(for: release, in: id)
        }
        for release in underWay.keys.filter({ underWay[$0] == id }).sorted() { stop(release) }
    }

    private func stopWaiting(for release: Digest, in id: Digest) {
        guard let items = waiting[release] else { return }
        let left = items.filter { $0.view != id }
        waitingCount -= items.count - left.count
        waiting[release] = left.isEmpty ? nil : left
    }

    private func stop(_ release: Digest) {
        wanted[release] = nil
        askOfWanted[release] = nil
        parked[release] = nil
        discard(release)
        done(release)
    }

    func take(_ announce: Announce, at now: Timestamp) throws -> [Frame] {
        let differs = try context.metadata.read { store in
            try announce.lines.contains { line in
                guard let state = self.views[line.view], state.pages.isEmpty, state.repair == nil,
                    let view = try store.subscribedView(line.view),
                    let record = try store.agreement(view.agreement)
                else { return false }
                return view.members.digest(view: line.view, policyEpoch: record.policyEpoch) != line.digest
            }
        }
        return differs ? try askAgain(at: now) : []
    }

    func askAgain(at now: Timestamp) throws -> [Frame] {
        do { return try ask(at: now) } catch {
            switch error {
            case .peer(let fault): throw fault
            case .store(let fault): throw fault
            }
        }
    }

    /// Decides what a listed id needs. False: it is held already as listed, and nothing is to be done. `isSettled`: something that was found of it in this view
    /// is not written down yet.
    func takeUp(_ item: Wanted, isSettled: Bool, _ store: any MetadataReading, at now: Timestamp) throws -> Bool {
        if let holding = try store.holding(item.view, item.release), holding.state != .ended {
            if holding.level == Grant.Level(code: item.level) {
                // It may be on its way to another level, which is not the one that is listed now.
                guard callOff(item.release, in: item.view, isSettled: isSettled) else { return false }
                settled.append(.moved(item, holding.package))
                return true
            }
            // What was shown by its document alone, and is now shared, has its content yet to come.
            let isShown = try holding.state == .accepted && store.release(item.release)?.hasContent == false
            guard item.isShared, isShown else {
                settled.append(.moved(item, holding.package))
                return true
            }
        }
        if let view = underWay[item.release] {
            if view != item.view {
                stopWaiting(for: item.release, in: item.view)
                waiting[item.release, default: []].append(item)
                waitingCount += 1
            } else {
                move(item)
            }
            return true
        }
        // Told again before what was found of it was written down: one word about it goes out, the later one.
        if isSettled, views[item.view]?.pages.contains(item.release) == true {
            settled.removeAll { $0.view == item.view && $0.digest == item.release }
        }
        if let row = try store.release(item.release), row.release.writer == peer, row.hasContent || !item.isShared {
            try adopt(row, item, store, at: now)
        } else if item.isShared, let row = try store.transfer(item.view, item.release), try resume(row, item, store, at: now) {
            underWay[item.release] = item.view
        } else {
            want(item)
        }
        return true
    }

    /// Ends what is under way for a release in one view. False: nothing was.
    @discardableResult
    private func callOff(_ release: Digest, in id: Digest, isSettled: Bool) -> Bool {
        var isOff = underWay[release] == id
        stopWaiting(for: release, in: id)
        // In another view it may still be wanted.
        if isOff { stop(release) }
        if views[id]?.pages.remove(release) == true { isOff = true }
        if isSettled { settled.removeAll { $0.view == id && $0.digest == release } }
        ready.removeAll { $0.view == id && $0.release == release }
        return isOff
    }

    /// What is on its way is listed again with another level.
    private func move(_ item: Wanted) {
        if wanted[item.release] != nil { wanted[item.release] = item }
        if let until = parked[item.release]?.until { parked[item.release] = (item, until) }
        if !item.isShared, discard(item.release) != nil {
            // No more content is due; the document is asked for once more.
            return want(item)
        }
        let shown = settled.firstIndex { settled in
            if case .accepted(let transfer) = settled { return transfer.digest == item.release && transfer.isDocumentOnly }
            return false
        }
        if item.isShared, let shown {
            settled.remove(at: shown)
            return want(item)
        }
        for case .accepted(let transfer) in settled where transfer.digest == item.release && transfer.view == item.view {
            transfer.level = item.level
        }
        settled = settled.map { settled in
            if case .refused(let before, let reason, let package) = settled, before.release == item.release,
                before.view == item.view
            {
                .refused(item, reason, package)
            } else {
                settled
            }
        }
    }

    /// The release is here, from another view or from before it was dropped. Whether it may be held in this view is for the same check to say as
    /// if it had just come: it may have been withdrawn since, and this view has terms of its own.
    private func adopt(_ row: ReleaseRow, _ item: Wanted, _ store: any MetadataReading, at now: Timestamp) throws {
        guard let view = try store.subscribedView(item.view), let record = try store.agreement(view.agreement) else {
            return want(item)
        }
        // What cannot be read here any more comes again, and is healed by the way.
        guard let body = try? context.body(at: row.document, of: row.digest), let envelope = try? Envelope(binary: body) else {
            return want(item)
        }
        let verdict = try ReleaseCheck.verdict(
            on: envelope, expecting: item.release, publisher: peer, recipient: context.own, under: record,
            aheadMillisecondsMax: context.limits.aheadMillisecondsMax, store: store, at: now)
        switch verdict {
        case .accepted: settled.append(.adopted(item, row.release.package))
        case .refused(let reason, _): settled.append(.refused(item, reason, row.release.package))
        case .notYetDue(let release, let until):
            underWay[item.release] = item.view
            park(item, release, until: until, at: now)
        }
    }

    /// A release is done with, here or for good: other views that list it may go on.
    func done(_ release: Digest) {
        underWay[release] = nil
        healing[release] = nil
        putOffTimes[release] = nil
        named[release] = nil
        awaitedTimes[release] = nil
        // A proof waits for the commit of its refusal, and ends with it.
        forkEvidence[release] = nil
        if let others = waiting.removeValue(forKey: release) {
            waitingCount -= others.count
            ready += others
        }
    }

    func want(_ item: Wanted) {
        underWay[item.release] = item.view
        wanted[item.release] = item
        askOfWanted[item.release] = nil
        wantedQueue.append(item)
        // What is listed and dropped again and again while asks wait for their answers stands in the queue many times.
        guard wantedQueue.count > 2 * wanted.count + GetReleases.countMax else { return }
        var queued: Set<Digest> = []
        wantedQueue.removeAll { wanted[$0.release]?.view != $0.view || !queued.insert($0.release).inserted }
    }

    private func clearMismatch(_ id: Digest, at now: Timestamp) throws {
        guard let view = try context.metadata.read({ try $0.subscribedView(id) }), view.mismatches > 0 else { return }
        try context.metadata.write(at: now) { tx in
            guard var view = try tx.subscribedView(id) else { return }
            view.mismatches = 0
            try tx.put(view)
        }
    }

    func quarantine(_ id: Digest, _ reason: String, at now: Timestamp) throws {
        try context.metadata.write(at: now) { tx in
            guard var view = try tx.subscribedView(id), view.quarantine == nil else { return }
            view.quarantine = reason
            try tx.put(view)
            try tx.log(
                LogDraft(
                    .viewQuarantined, outcome: .failed, partner: self.peer, agreement: view.agreement, reason: "digest-mismatch"))
        }
    }

    /// Ids that left the view: the record stays, no new checkout. `drop` names only what we were sent; for the rest it means nothing.
    func end(_ drops: [(release: Digest, level: UInt8)], in id: Digest, at now: Timestamp) throws {
        guard !drops.isEmpty else { return }
        for drop in drops {
            stopWaiting(for: drop.release, in: id)
            // In another view it may still be wanted.
            if underWay[drop.release] == id { stop(drop.release) }
            views[id]?.listed?.remove(drop.release)
            views[id]?.pages.remove(drop.release)
        }
        if SeededBug.isOn(.dropNotApplied) { return }
        let gone = Set(drops.map(\.release))
        settled.removeAll { $0.view == id && gone.contains($0.digest) }
        ready.removeAll { $0.view == id && gone.contains($0.release) }
        var shown: [CityID: Set<Digest>] = [:]
        try context.metadata.write(at: now) { tx in
            guard var view = try tx.subscribedView(id) else { return }
            if try self.isPassedOn(under: view.agreement, tx) { self.toPassOn.formUnion(gone) }
            for drop in drops {
                try tx.removeTransfer(id, drop.release)
                guard var holding = try tx.holding(id, drop.release), holding.state != .ended else { continue }
                view.members.remove(MemberSet.memberID(release: drop.release, level: holding.level.code))
                try self.end(&holding, under: view.agreement, tx)
            }
            try tx.put(view)
            shown = try self.passOn(tx)
        }
        changes.views.merge(shown) { $0.union($1) }
    }

    // MARK: Passing on

    func isPassedOn(under agreement: Digest, _ store: any MetadataReading) throws -> Bool {
        try store.agreement(agreement)?.agreement.isPassedOn ?? false
    }

    /// Brings what we show others of the releases that came or went in this transaction to what we hold now, and the heads of packages of several
    /// writers to the owner's new release. Its last step: the holdings are written.
    func passOn(_ tx: any MetadataWriting) throws -> [CityID: Set<Digest>] {
        let (releases, packages) = (toPassOn, ownersReleases)
        (toPassOn, ownersReleases) = ([], [])
        if try tx.policy().hasMaintainers { for package in packages.sorted() { try context.updateHead(of: package, tx) } }
        guard !releases.isEmpty else { return [:] }
        let update = try MembershipUpdate(context, tx)
        for release in releases.sorted() { try update.held(release) }
        return try update.finish()
    }
}
