// The pulling half of a session: asks where the views stand, fetches what is new, checks everything, commits, and only then acknowledges.
//
//   lines() ─ views ─▶ feed ─▶ get-releases ─▶ releases ─▶ get-index ─▶ index ─▶ get-chunks ─▶ chunks ─▶ commit ─▶ receipt, feed-ack
//
// A page of a feed is done when each of its ids is committed or refused; pages are done in order, and the cursor moves with them in the same
// transaction. Frames that say something is durable are made after that transaction, and after the fsync of the bytes it points to.
//
// Confined to one thread at a time; blocks on the stores.
//
// Long because it is one state machine over one set of state: split, its order of steps could not be read in one go.
internal import HansaContent
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

public final class Puller {
    /// Where one view stands in this session.
    public enum Standing: Sendable, Equatable {
        case asked
        /// Something is being fetched, or waits: the word says for what.
        case behind(String)
        case equal
        /// The publisher says there is no such view for us.
        case none
        case quarantined(String)
    }

    private struct Page {
        var cursor: [UInt8]
        var more: Bool
        /// The publisher's digest at the cursor; means nothing while more follows.
        var digest: Digest
        var outstanding: Set<Digest>
    }

    private struct ViewState {
        var agreement: Digest
        var standing: Standing = .asked
        var round: UInt64 = 0
        var policyRounds = 0
        var pages: [Page] = []
        /// The last cursor received: a push must follow it.
        var received: [UInt8] = []
        /// Where the answers to our asks go on, by round. A push that left before the answer may have moved `received` meanwhile; the answer
        /// tells its changes again, which changes nothing.
        var answers: [UInt64: [UInt8]] = [:]
        /// What was asked last and not yet answered: it is not asked twice.
        var asked: Views.Line?
        /// An ask came while pages were open: it follows when they are done.
        var asksAfterPages = false
        /// When to ask again where the policy epochs differed.
        var retry: Timestamp?
        /// While a whole view is told again: the ids listed so far.
        var listed: Set<Digest>?
    }

    private struct Wanted {
        var view: Digest
        var release: Digest
        var level: UInt8
        var number: [UInt8]
    }

    private enum Settled {
        case accepted(Transfer)
        /// The release came before, in another view or before it was dropped: only the holding is new.
        case adopted(Wanted, PackageID)
        /// It is held, and the publisher lists it with another level now.
        case moved(Wanted, PackageID?)
        case refused(Wanted, ReleaseRefusal, PackageID?)

        var view: Digest {
            switch self {
            case .accepted(let transfer): transfer.view
            case .adopted(let wanted, _), .moved(let wanted, _), .refused(let wanted, _, _): wanted.view
            }
        }
        var digest: Digest {
            switch self {
            case .accepted(let transfer): transfer.digest
            case .adopted(let wanted, _), .moved(let wanted, _), .refused(let wanted, _, _): wanted.release
            }
        }
        var number: [UInt8] {
            switch self {
            case .accepted(let transfer): transfer.number
            case .adopted(let wanted, _), .moved(let wanted, _), .refused(let wanted, _, _): wanted.number
            }
        }
        var level: Grant.Level {
            let code =
                switch self {
                case .accepted(let transfer): transfer.level
                case .adopted(let wanted, _), .moved(let wanted, _), .refused(let wanted, _, _): wanted.level
                }
            return Grant.Level(code: code) ?? .sync
        }
        var refusal: ReleaseRefusal? {
            if case .refused(_, let reason, _) = self { reason } else { nil }
        }
    }

    let context: ExchangeContext
    let peer: CityID
    private var views: [Digest: ViewState] = [:]
    private var round: UInt64 = 0

    private var wanted: [Digest: Wanted] = [:]
    private var wantedQueue: [Wanted] = []
    private var releaseAsks: [Set<Digest>] = []
    private var transfers: [Digest: Transfer] = [:]
    private var indexQueue: [Digest] = []
    private var indexAsked: Set<Digest> = []
    /// Sum over the transfers whose index was asked for or is here.
    private var indexBytesAdmitted = 0
    private var documentBytes = 0
    /// Raw bytes that were asked for a transfer that ended, and may still come.
    private var late: [Digest: Int] = [:]
    private var contentQueue: [(release: Digest, cursor: Int)] = []
    private var contentAskedBytes = 0
    private var parked: [Digest: (wanted: Wanted, until: Timestamp)] = [:]
    private var settled: [Settled] = []
    /// Taken up again with every chunk here: complete as soon as their files' digests are checked.
    private var resumedWhole: [Transfer] = []
    /// Since when something settled waits for its commit.
    private var settledSince: Timestamp?
    /// Which view a release is being fetched for, from the wish to the commit.
    private var underWay: [Digest: Digest] = [:]
    /// The same release listed in other views meanwhile: taken up when the first is done, each under its own agreement.
    private var waiting: [Digest: [Wanted]] = [:]
    private var ready: [Wanted] = []

    private var unrecordedBlocks: [(city: CityID, location: ContentLocation, chunks: [ChunkEntry])] = []
    private var unflushedBytes = 0
    private var lastFlush: Timestamp?
    private var creditOwed: UInt64 = 0
    private var creditGranted: UInt64 = 0

    /// For the shell: documents that wait for the partner.
    private var changes = ExchangeChanges()
    /// Offered ids that are neither committed nor refused.
    private var outstandingCount: Int { views.values.reduce(0) { $0 + $1.pages.reduce(0) { $0 + $1.outstanding.count } } }

    public private(set) var releasesReceived = 0
    public private(set) var contentBytesReceived: UInt64 = 0

    public init(_ context: ExchangeContext, peer: CityID) {
        self.context = context
        self.peer = peer
    }

    /// In order of view id.
    public var standings: [(view: Digest, standing: Standing)] { views.keys.sorted().map { ($0, views[$0]?.standing ?? .asked) } }
    /// True when nothing is under way: every view has been answered and no transfer runs.
    public var isSettled: Bool {
        !views.values.contains {
            if case .asked = $0.standing { true } else if case .behind = $0.standing { true } else { false }
        }
    }
    /// True when all that is under way waits for releases to fall due.
    public var isOnlyParked: Bool {
        !parked.isEmpty && isIdle && settled.isEmpty && wanted.isEmpty
            && !views.values.contains { state in
                state.standing == .asked || state.pages.contains { !$0.outstanding.allSatisfy { parked[$0] != nil } }
            }
    }
    /// Chunks here and wanted, over the transfers that run.
    public var progress: (held: Int, total: Int) { transfers.values.reduce((0, 0)) { ($0.0 + $1.held, $0.1 + $1.entries.count) } }
    /// What has changed since the last call: the shell tells the sessions concerned.
    public func takeChanges() -> ExchangeChanges {
        defer { changes = ExchangeChanges() }
        return changes
    }
    /// The moment at which the first parked release falls due.
    public var nextDue: Timestamp? { parked.values.map(\.until).min() }

    /// Asks where every view stands. Pages that were being worked on go on: what is asked again is skipped when it is held.
    public func ask(at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        do {
            round += 1
            var alive: Set<Digest> = []
            let lines = try context.metadata.read { store -> [Views.Line] in
                var lines: [Views.Line] = []
                for record in try store.agreements() where record.state(at: now) == .active {
                    guard record.agreement.parties.contains(where: { $0.city == self.peer }),
                        record.agreement.parties.contains(where: { $0.city == self.context.own })
                    else { continue }
                    let id = record.viewID(publisher: self.peer, recipient: self.context.own)
                    guard let view = try store.subscribedView(id) else { continue }
                    alive.insert(id)
                    // While a page is being fetched its answer stands; asking again now would only repeat it.
                    if self.views[id]?.pages.isEmpty == false {
                        self.views[id]?.asksAfterPages = true
                        continue
                    }
                    var state = self.views[id] ?? ViewState(agreement: record.digest)
                    if let why = view.quarantine {
                        state.standing = .quarantined(why)
                        self.views[id] = state
                        continue
                    }
                    let line = Views.Line(
                        view: id, policyEpoch: record.policyEpoch, cursor: view.cursor,
                        digest: view.members.digest(view: id, policyEpoch: record.policyEpoch))
                    if state.asked == line, state.standing == .asked { continue }
                    state.standing = .asked
                    state.asked = line
                    state.round = self.round
                    state.answers[self.round] = view.cursor
                    state.received = view.cursor
                    state.listed = nil
                    state.retry = nil
                    self.views[id] = state
                    lines.append(line)
                }
                return lines
            }
            // What runs under an agreement that has ended goes no further.
            for id in views.keys.sorted() where !alive.contains(id) { cancel(id) }
            return stride(from: 0, to: lines.count, by: Views.countMax).map {
                Views(round: round, lines: Array(lines[$0..<min($0 + Views.countMax, lines.count)])).frame
            }
        } catch {
            throw .store(error)
        }
    }

    /// Takes a batch of frames; what comes back is to be sent in order. `credit` is how much content may follow.
    public func receive(_ frames: [Frame], at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        do {
            var answers: [Frame] = []
            for frame in frames {
                switch frame.type {
                case .feed: answers += try take(Feed(frame), at: now)
                case .releases: try take(Releases(frame), at: now)
                case .index: try take(IndexParts(frame))
                case .chunks: try take(Chunks(frame), bodyCount: frame.body.count)
                case .announce: answers += try take(Announce(frame), at: now)
                default: throw ProtocolFault.unexpected(frame.type, "not for a recipient")
                }
            }
            answers += try settleAll(at: now)
            answers += asks()
            if creditOwed >= 1024 * 1024 || (creditOwed > 0 && contentAskedBytes == 0) {
                answers.append(Credit(bytes: creditOwed).frame)
                creditGranted += creditOwed
                creditOwed = 0
            }
            return answers
        } catch let fault as ProtocolFault {
            throw .peer(fault)
        } catch let fault as ByteFault {
            throw .peer(.malformed(.index, "\(fault)"))
        } catch {
            throw .store(error)
        }
    }

    /// For timers: makes a running transfer durable now and then, and takes up what has fallen due.
    public func tick(at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        do {
            let due = parked.filter { $0.value.until <= now }.keys.sorted()
            for digest in due { if let item = parked.removeValue(forKey: digest) { want(item.wanted) } }
            var frames = try settleAll(at: now)
            let retries = views.keys.sorted().filter { views[$0]?.retry.map { $0 <= now } ?? false }
            for id in retries { views[id]?.retry = nil }
            if !retries.isEmpty { frames += try askAgain(at: now) }
            try context.flushRefusals(at: now)
            if unflushedBytes > 0, let last = lastFlush, now.milliseconds - last.milliseconds >= context.limits.flushMilliseconds
            {
                try flush(at: now)
            }
            return frames + asks()
        } catch {
            throw .store(error)
        }
    }

    /// The connection is going: what arrived is made durable, so that the next session goes on from it.
    public func park(at now: Timestamp) throws(ExchangeFault) {
        do {
            // What is complete and waits for its commit is written as a transfer that lacks nothing; the next session commits it.
            _ = try settle(at: now)
            try flush(at: now)
            try context.flushRefusals(at: now)
        } catch {
            throw .store(error)
        }
    }

    // MARK: Feed

    private func take(_ feed: Feed, at now: Timestamp) throws -> [Frame] {
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
        case .equal, .none, .quarantined, .policy: return try takeStanding(feed, state, at: now)
        case .changes, .reset: break
        }
        if feed.status == .reset, feed.since.isEmpty {
            // Everything is told again; what is under way goes on, and counts when it is listed.
            state.listed = []
            state.pages = []
            state.answers[feed.round] = feed.round == 0 ? nil : []
            state.received = []
        } else if feed.status == .reset, state.listed == nil {
            throw ProtocolFault.unexpected(.feed, "a list without its beginning")
        }
        if feed.round == 0 {
            // A push that does not follow what we have: we ask instead of guessing.
            guard feed.since == state.received else {
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
            (state.listed?.count ?? 0) <= context.limits.listedMax
        else {
            throw ProtocolFault.unexpected(.feed, "more than a recipient can take")
        }
        state.received = feed.cursor
        state.policyRounds = 0
        state.standing = .behind("fetching")
        var drops: [(release: Digest, level: UInt8)] = []
        var news: [Wanted] = []
        for change in feed.changes {
            switch change {
            case .add(let release, let level, let number):
                state.listed?.insert(release)
                news.append(Wanted(view: feed.view, release: release, level: level, number: number))
            case .drop(let release, let level): drops.append((release, level))
            }
        }
        views[feed.view] = state
        try end(drops, in: feed.view, at: now)
        var outstanding: Set<Digest> = []
        try context.metadata.read { store in
            for item in news where try self.takeUp(item, store, at: now) { outstanding.insert(item.release) }
        }
        // Read again: a drop has taken its id from the pages before this one.
        views[feed.view]?.pages.append(Page(cursor: feed.cursor, more: feed.more, digest: feed.digest, outstanding: outstanding))
        return []
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
        switch feed.status {
        case .equal:
            // Pushed pages that are still open say more than this answer.
            if state.pages.isEmpty { state.standing = .equal }
            state.policyRounds = 0
            views[feed.view] = state
            try clearMismatch(feed.view, at: now)
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
            state.retry = now.adding(seconds: min(60, 1 << Int64(min(state.policyRounds, 6))))
            views[feed.view] = state
            // Ours may be what the publisher lacks; once a session says it.
            guard state.policyRounds == 1 else { return [] }
            try context.metadata.write(at: now) { tx in
                for envelope in try tx.agreementEnvelopes(state.agreement) { try tx.enqueue(envelope, to: self.peer) }
            }
            changes.outboxes.insert(peer)
        case .changes, .reset: preconditionFailure("these are pages")
        }
        return []
    }

    /// The view gives nothing more in this session: what is under way in it ends, and other views that wait for it go on.
    private func cancel(_ id: Digest) {
        guard views[id] != nil else { return }
        views[id]?.pages = []
        views[id]?.listed = nil
        views[id]?.answers = [:]
        views[id]?.asked = nil
        views[id]?.asksAfterPages = false
        views[id]?.retry = nil
        views[id]?.standing = .none
        settled.removeAll { $0.view == id }
        ready.removeAll { $0.view == id }
        for release in waiting.keys.sorted() { waiting[release]?.removeAll { $0.view == id } }
        for release in underWay.keys.sorted() where underWay[release] == id { stop(release) }
    }

    private func stop(_ release: Digest) {
        wanted[release] = nil
        parked[release] = nil
        discard(release)
        done(release)
    }

    private func take(_ announce: Announce, at now: Timestamp) throws -> [Frame] {
        let differs = try context.metadata.read { store in
            try announce.lines.contains { line in
                guard let state = self.views[line.view], state.pages.isEmpty, let view = try store.subscribedView(line.view),
                    let record = try store.agreement(view.agreement)
                else { return false }
                return view.members.digest(view: line.view, policyEpoch: record.policyEpoch) != line.digest
            }
        }
        return differs ? try askAgain(at: now) : []
    }

    private func askAgain(at now: Timestamp) throws -> [Frame] {
        do { return try ask(at: now) } catch {
            switch error {
            case .peer(let fault): throw fault
            case .store(let fault): throw fault
            }
        }
    }

    /// Decides what a listed id needs. False: it is held already as listed, and nothing is to be done.
    private func takeUp(_ item: Wanted, _ store: any MetadataReading, at now: Timestamp) throws -> Bool {
        if let holding = try store.holding(item.view, item.release), holding.state != .ended {
            guard holding.level != Grant.Level(code: item.level) else { return false }
            settled.append(.moved(item, holding.package))
            return true
        }
        if let view = underWay[item.release] {
            if view != item.view {
                waiting[item.release, default: []].append(item)
            } else {
                move(item)
            }
            return true
        }
        if let row = try store.release(item.release), row.release.writer == peer {
            try adopt(row, item, store, at: now)
        } else if let row = try store.transfer(item.view, item.release), try resume(row, item, store, at: now) {
            underWay[item.release] = item.view
        } else {
            want(item)
        }
        return true
    }

    /// What is on its way is listed again with another level.
    private func move(_ item: Wanted) {
        if wanted[item.release] != nil { wanted[item.release] = item }
        if let until = parked[item.release]?.until { parked[item.release] = (item, until) }
        transfers[item.release]?.level = item.level
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
        let body = try context.content.body(at: row.document)
        guard let envelope = try? Envelope(binary: body) else {
            throw StoreFault.damaged("the document of release \(row.digest.short) cannot be read")
        }
        let verdict = try ReleaseCheck.verdict(
            on: envelope, expecting: item.release, publisher: peer, recipient: context.own, under: record,
            aheadMillisecondsMax: context.limits.aheadMillisecondsMax, store: store, at: now)
        switch verdict {
        case .accepted: settled.append(.adopted(item, row.release.package))
        case .refused(let reason, _): settled.append(.refused(item, reason, row.release.package))
        case .notYetDue(_, let until):
            parked[item.release] = (item, until)
            underWay[item.release] = item.view
        }
    }

    /// A release is done with, here or for good: other views that list it may go on.
    private func done(_ release: Digest) {
        underWay[release] = nil
        if let others = waiting.removeValue(forKey: release) { ready += others }
    }

    private func want(_ item: Wanted) {
        underWay[item.release] = item.view
        wanted[item.release] = item
        wantedQueue.append(item)
    }

    private func clearMismatch(_ id: Digest, at now: Timestamp) throws {
        guard let view = try context.metadata.read({ try $0.subscribedView(id) }), view.mismatches > 0 else { return }
        try context.metadata.write(at: now) { tx in
            guard var view = try tx.subscribedView(id) else { return }
            view.mismatches = 0
            try tx.put(view)
        }
    }

    private func quarantine(_ id: Digest, _ reason: String, at now: Timestamp) throws {
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
    private func end(_ drops: [(release: Digest, level: UInt8)], in id: Digest, at now: Timestamp) throws {
        guard !drops.isEmpty else { return }
        for drop in drops {
            waiting[drop.release]?.removeAll { $0.view == id }
            // In another view it may still be wanted.
            if underWay[drop.release] == id { stop(drop.release) }
            if var state = views[id] {
                state.listed?.remove(drop.release)
                for index in state.pages.indices { state.pages[index].outstanding.remove(drop.release) }
                views[id] = state
            }
        }
        let gone = Set(drops.map(\.release))
        settled.removeAll { $0.view == id && gone.contains($0.digest) }
        ready.removeAll { $0.view == id && gone.contains($0.release) }
        try context.metadata.write(at: now) { tx in
            guard var view = try tx.subscribedView(id) else { return }
            for drop in drops {
                try tx.removeTransfer(id, drop.release)
                guard var holding = try tx.holding(id, drop.release), holding.state != .ended else { continue }
                view.members.remove(MemberSet.memberID(release: drop.release, level: holding.level.code))
                holding.state = .ended
                holding.reason = "dropped"
                try tx.put(holding)
                try tx.log(
                    LogDraft(
                        .accessEnded, partner: self.peer, package: holding.package, release: drop.release,
                        agreement: view.agreement, reason: "dropped"))
            }
            try tx.put(view)
        }
    }

    // MARK: Documents and indexes

    private func take(_ message: Releases, at now: Timestamp) throws {
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

    private func forget(_ item: Wanted) {
        done(item.release)
        guard var state = views[item.view] else { return }
        state.listed?.remove(item.release)
        for index in state.pages.indices { state.pages[index].outstanding.remove(item.release) }
        views[item.view] = state
    }

    private func take(_ message: IndexParts) throws {
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

    private func resume(_ row: TransferRow, _ item: Wanted, _ store: any MetadataReading, at now: Timestamp) throws -> Bool {
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
    private func discard(_ release: Digest) -> Transfer? {
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

    private func refuse(_ transfer: Transfer, _ reason: ReleaseRefusal) {
        discard(transfer.digest)
        settled.append(
            .refused(
                Wanted(view: transfer.view, release: transfer.digest, level: transfer.level, number: transfer.number), reason,
                transfer.release.package))
    }

    // MARK: Content

    private func take(_ message: Chunks, bodyCount: Int) throws {
        creditOwed += UInt64(bodyCount)
        contentBytesReceived += UInt64(bodyCount)
        // A sender may begin a frame while it has any credit left.
        guard
            contentBytesReceived <= UInt64(context.limits.contentCreditBytes) + creditGranted + UInt64(Limits.contentBodyBytesMax)
        else {
            throw ProtocolFault.unexpected(.chunks, "more than the credit given")
        }
        guard let transfer = transfers[message.release], transfer.view == message.view, !transfer.entries.isEmpty else {
            return arrivedLate(message)
        }
        guard message.count > 0 else {
            if late.removeValue(forKey: message.release) != nil, transfer.failures < 2 {
                // It may be the answer to an ask from before the release was dropped and listed again: what is not here is asked for once more.
                transfer.failures += 1
                late[message.release] = transfer.askedBytes
                contentAskedBytes = max(0, contentAskedBytes - transfer.askedBytes)
                transfer.forgetAsked(transfer.entries.indices)
                contentQueue.append((message.release, 0))
                return
            }
            // Gone, or unreadable at the publisher: nothing of it comes now; the next round asks again.
            discard(message.release)
            forget(Wanted(view: transfer.view, release: transfer.digest, level: transfer.level, number: transfer.number))
            return
        }
        guard message.first <= UInt64(transfer.entries.count), message.count <= UInt64(transfer.entries.count) - message.first
        else { throw ProtocolFault.malformed(.chunks, "beyond the index") }
        let first = Int(message.first)
        let range = first..<(first + Int(message.count))
        let entries = Array(transfer.entries[range])
        guard range.allSatisfy({ transfer.wasAsked($0) }), entries.reduce(0, { $0 + Int($1.length) }) == Int(message.rawLength)
        else {
            if late[message.release] ?? 0 >= Int(message.rawLength) { return arrivedLate(message) }
            throw ProtocolFault.malformed(.chunks, "not what was asked for")
        }
        // Each ask is answered once: the same frame again is not what was asked for.
        transfer.forgetAsked(range)
        contentAskedBytes = max(0, contentAskedBytes - Int(message.rawLength))
        let raw: [UInt8]
        do {
            raw =
                message.codec == .raw
                ? message.bytes : try Block.decode(message.codec, message.bytes, rawLength: Int(message.rawLength))
        } catch {
            return damaged(transfer, range)
        }
        let good = raw.withUnsafeBytes { buffer -> Bool in
            var offset = 0
            for entry in entries {
                let slice = UnsafeRawBufferPointer(rebasing: buffer[offset..<(offset + Int(entry.length))])
                guard SHA256.hash(slice) == entry.id else { return false }
                offset += Int(entry.length)
            }
            offset = 0
            for (number, entry) in zip(range, entries) {
                transfer.feed(number, UnsafeRawBufferPointer(rebasing: buffer[offset..<(offset + Int(entry.length))]))
                offset += Int(entry.length)
            }
            return true
        }
        guard good else { return damaged(transfer, range) }
        let location = try context.content.append(
            block: StoredBlock(codec: message.codec, rawLength: Int(message.rawLength), chunks: entries, bytes: message.bytes))
        unrecordedBlocks.append((peer, location, entries))
        unflushedBytes += message.bytes.count
        for number in range { transfer.mark(number) }
        if transfer.isComplete { try complete(transfer) }
    }

    /// An answer to an ask of a transfer that has ended: passed over.
    private func arrivedLate(_ message: Chunks) {
        guard let left = late[message.release] else { return }
        late[message.release] = left > Int(message.rawLength) && message.count > 0 ? left - Int(message.rawLength) : nil
    }

    /// A block that is not what the index says. Three times, and the release is refused.
    private func damaged(_ transfer: Transfer, _ range: Range<Int>) {
        transfer.failures += 1
        guard transfer.failures < 3 else { return refuse(transfer, .contentHash) }
        contentQueue.append((transfer.digest, 0))
    }

    private func complete(_ transfer: Transfer) throws {
        let good = try transfer.filesAreAsSigned { number in
            try self.readChunk(transfer.entries[number])
        }
        guard good else { return refuse(transfer, .contentHash) }
        discard(transfer.digest)
        transfer.letGoOfIndex()
        settled.append(.accepted(transfer))
    }

    /// A chunk that came before: from a block of this session that has no row yet, or from the store.
    private func readChunk(_ entry: ChunkEntry) throws -> [UInt8] {
        var place = try context.metadata.read { try $0.chunkLocations(of: self.peer, [entry.id])[0] }
        if place == nil {
            for block in unrecordedBlocks {
                var offset: UInt32 = 0
                for chunk in block.chunks {
                    if chunk.id == entry.id { place = ChunkLocation(block: block.location, offset: offset, length: chunk.length) }
                    offset += chunk.length
                }
            }
        }
        guard let place else { throw StoreFault.damaged("chunk \(entry.id.short) is marked as held and is not here") }
        let stored = try cachedBlock(place.block)
        guard Int(place.offset) + Int(place.length) <= stored.count else {
            throw StoreFault.damaged("chunk \(entry.id.short) lies outside its block")
        }
        return Array(stored[Int(place.offset)..<Int(place.offset + place.length)])
    }

    private var lastBlock: (location: ContentLocation, raw: [UInt8])?

    private func cachedBlock(_ location: ContentLocation) throws -> [UInt8] {
        if let lastBlock, lastBlock.location == location { return lastBlock.raw }
        let stored = try context.content.block(at: location)
        let raw = try Block.decode(stored.codec, stored.bytes, rawLength: stored.rawLength)
        lastBlock = (location, raw)
        return raw
    }

    // MARK: Asking

    private func asks() -> [Frame] {
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
            let next = transfer.nextRuns(bytes: budget, from: &contentQueue[0].cursor, runsMax: GetChunks.countMax - count)
            runs[transfer.view, default: []] += next.runs
            count += next.runs.count
            contentAskedBytes += next.bytes
            if contentQueue[0].cursor >= transfer.entries.count { contentQueue.removeFirst() }
        }
        for view in runs.keys.sorted() { frames.append(GetChunks(view: view, runs: runs[view] ?? []).frame) }
        return frames
    }

    // MARK: Commit

    /// Whether nothing of a view is on its way: what is settled then need not wait for a fuller batch.
    private var isIdle: Bool { wantedQueue.isEmpty && releaseAsks.isEmpty && transfers.isEmpty }

    /// Settles, and takes up what other views waited for.
    private func settleAll(at now: Timestamp) throws -> [Frame] {
        var frames = try settle(at: now)
        // Ends: each round takes what waited, and what it adds waits for a fetch or is settled at once.
        while !ready.isEmpty {
            let items = ready
            ready = []
            try context.metadata.read { store in
                for item in items where views[item.view]?.pages.contains(where: { $0.outstanding.contains(item.release) }) == true
                {
                    if !(try self.takeUp(item, store, at: now)) { forget(item) }
                }
            }
            frames += try settle(at: now)
        }
        return frames
    }

    private func settle(at now: Timestamp) throws -> [Frame] {
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
        let done = views.keys.sorted().filter { id in views[id]?.pages.first?.outstanding.isEmpty == true }
        if !done.isEmpty, settled.isEmpty { frames += try commit([], at: now) }
        let again = views.keys.sorted().filter { views[$0]?.asksAfterPages == true && views[$0]?.pages.isEmpty == true }
        for id in again { views[id]?.asksAfterPages = false }
        if !again.isEmpty { frames += try askAgain(at: now) }
        return frames
    }

    private func flush(at now: Timestamp) throws {
        lastFlush = now
        guard !unrecordedBlocks.isEmpty || transfers.values.contains(where: { !$0.isRecorded && !$0.files.isEmpty }) else {
            return
        }
        try context.content.sync()
        let blocks = unrecordedBlocks
        let running = transfers.keys.sorted().compactMap { transfers[$0] }.filter { !$0.isRecorded && !$0.files.isEmpty }
        // What is complete and waits for its commit is as much under way as the rest: a crash must not lose it.
        let waiting = settled.compactMap { item -> Transfer? in
            if case .accepted(let transfer) = item, !transfer.isRecorded { transfer } else { nil }
        }
        try context.metadata.write(at: now) { tx in
            for block in blocks { try tx.insertChunks(of: block.city, block: block.location, block.chunks) }
            for transfer in running + waiting { try tx.put(transfer.row) }
        }
        for transfer in running + waiting { transfer.isRecorded = true }
        unrecordedBlocks = []
        unflushedBytes = 0
    }

    /// One durable step: chunks, releases, holdings, cursors and log entries together; then the frames that say so.
    private func commit(_ offered: [Settled], at now: Timestamp) throws -> [Frame] {
        let batch = try lastCheck(offered)
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
            let receipt = try Receipt(
                view: view, from: context.own, to: peer, issued: now, items: items, log: nil, keyring: context.keyring)
            let envelope = Envelope.sign(receipt.payload(), as: .receipt, with: [context.packageKey])
            receipts.append((view, envelope, try context.content.append(document: envelope.binary(), digest: envelope.digest)))
        }
        // Bytes before rows: after this line everything the transaction points to is on the disk.
        if !batch.isEmpty || !unrecordedBlocks.isEmpty { try context.content.sync() }

        // Which pages this makes complete.
        var states = views
        for item in batch {
            guard var state = states[item.view] else { continue }
            for index in state.pages.indices { state.pages[index].outstanding.remove(item.digest) }
            states[item.view] = state
        }
        var advanced: [(view: Digest, cursor: [UInt8], last: Bool, listed: Set<Digest>?, digest: Digest)] = []
        for id in states.keys.sorted() {
            guard var state = states[id] else { continue }
            var cursor: [UInt8]?
            var last = false
            var digest = Digest.zero
            while let page = state.pages.first, page.outstanding.isEmpty {
                cursor = page.cursor
                last = !page.more
                digest = page.digest
                state.pages.removeFirst()
            }
            guard let cursor else { continue }
            let complete = last && state.pages.isEmpty
            // While the whole view is told again the cursor moves only at its end: half of a list is no place to stand.
            if state.listed == nil || complete { advanced.append((id, cursor, complete, state.listed, digest)) }
            if complete {
                state.listed = nil
            } else if state.pages.isEmpty, state.listed == nil {
                // The publisher told a part; the rest is for asking.
                state.asksAfterPages = true
            }
            states[id] = state
        }

        let blocks = unrecordedBlocks
        let acknowledgements = try context.metadata.write(at: now) { tx -> [FeedAcknowledged] in
            for block in blocks { try tx.insertChunks(of: block.city, block: block.location, block.chunks) }
            for receipt in receipts {
                try tx.insertReceipt(
                    receipt.envelope.digest, document: receipt.location, view: receipt.view, from: self.context.own)
                // It leaves from the outbox until the partner says it has it: a crash here or there loses none.
                try tx.enqueue(receipt.envelope, to: self.peer)
            }
            for view in byView.keys.sorted() { try self.record(byView[view] ?? [], in: view, tx) }
            return try advanced.compactMap { try self.advance($0.view, to: $0.cursor, listed: $0.last ? $0.listed : nil, tx) }
        }
        unrecordedBlocks = []
        // What still runs keeps its turn: its bitmap was not written here.
        if transfers.isEmpty {
            unflushedBytes = 0
            lastFlush = now
        }
        views = states
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
            let seq: UInt64
        }
        var first: [Number: Digest] = [:]
        return try context.metadata.read { store in
            try batch.map { item in
                guard case .accepted(let transfer) = item else { return item }
                let release = transfer.release
                let wanted = Wanted(view: transfer.view, release: transfer.digest, level: transfer.level, number: transfer.number)
                if let withdrawn = try store.package(release.package)?.withdrawnSeq, release.seq <= withdrawn {
                    return .refused(wanted, .withdrawn, release.package)
                }
                let number = Number(package: release.package, seq: release.seq)
                let known =
                    try store.releaseDigest(of: release.package, writer: release.writer, seq: release.seq) ?? first[number]
                if let known, known != transfer.digest { return .refused(wanted, .fork, release.package) }
                first[number] = transfer.digest
                return item
            }
        }
    }

    private func record(_ items: [Settled], in id: Digest, _ tx: any MetadataWriting) throws {
        guard var view = try tx.subscribedView(id) else { return }
        for item in items {
            if var before = try tx.holding(id, item.digest), before.state != .ended {
                if before.level != item.level {
                    view.members.remove(MemberSet.memberID(release: item.digest, level: before.level.code))
                    view.members.insert(MemberSet.memberID(release: item.digest, level: item.level.code))
                    before.level = item.level
                    try tx.put(before)
                }
                continue
            }
            // Ended between the listing and here; the drop took its id.
            if case .moved = item { continue }
            var package: PackageID?
            switch item {
            case .accepted(let transfer):
                package = transfer.release.package
                if try tx.release(transfer.digest) == nil { try insert(transfer, tx) }
            case .adopted(_, let known): package = known
            case .refused(_, _, let known), .moved(_, let known): package = known
            }
            try tx.put(
                HoldingRow(
                    view: id, release: item.digest, level: item.level, state: item.refusal == nil ? .accepted : .refused,
                    transfer: item.number,
                    reason: item.refusal?.word, package: package))
            try tx.removeTransfer(id, item.digest)
            view.members.insert(MemberSet.memberID(release: item.digest, level: item.level.code))
            try tx.log(
                LogDraft(
                    item.refusal == nil ? .releaseReceived : .releaseRefused, outcome: item.refusal == nil ? .ok : .refused,
                    partner: peer,
                    package: package, release: item.digest, agreement: view.agreement, clause: item.refusal?.clause,
                    transfer: item.number,
                    reason: item.refusal?.word))
        }
        try tx.put(view)
    }

    private func insert(_ transfer: Transfer, _ tx: any MetadataWriting) throws {
        let release = transfer.release
        try tx.insert(
            ReleaseRow(
                digest: transfer.digest, release: ReleaseSummary(release), document: transfer.document,
                table: transfer.tableLocations,
                pages: transfer.pageLocations, committed: tx.now))
        let row = try tx.package(release.package)
        if let row, row.lastSeq > release.seq {
            // An older release that arrives late (history) does not move the head.
            return
        }
        try tx.put(
            PackageRow(
                package: release.package, kind: release.kind, head: transfer.digest, headVersion: release.version,
                headSeq: release.seq,
                lastSeq: release.seq, last: transfer.digest, tlp: release.tlp, title: release.title, bytes: release.bytes,
                // An earlier withdrawal stays known: what it ended must not come back behind a newer release.
                withdrawnSeq: row?.withdrawnSeq))
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
                        } else {
                            row.state = .ended
                            row.reason = "dropped"
                            try tx.put(row)
                        }
                    }
                }
            }
            view.members = members
            view.mismatches += 1
        }
        view.cursor = cursor
        try tx.put(view)
        return FeedAcknowledged(view: id, cursor: cursor, digest: view.members.digest(view: id, policyEpoch: record.policyEpoch))
    }
}
