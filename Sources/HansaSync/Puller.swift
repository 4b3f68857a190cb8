// The pulling half of a session: asks where the views stand, fetches what is new, checks everything, commits, and only then acknowledges.
//
//   lines() ─ views ─▶ feed ─▶ get-releases ─▶ releases ─▶ get-index ─▶ index ─▶ get-chunks ─▶ chunks ─▶ commit ─▶ receipt, feed-ack
//
// A page of a feed is done when each of its ids is committed or refused; pages are done in order, and the cursor moves with them in the same
// transaction. Frames that say something is durable are made after that transaction, and after the fsync of the bytes it points to.
//
// Confined to one thread at a time; blocks on the stores.
//
// The steps stand in Puller+Feed (views and pages), +Repair, +Fetch (releases, indexes, asks), +Content (chunks) and +Commit, over the
// state here.
internal import HansaContent
public import HansaCore
internal import HansaDocuments
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

    struct ViewState {
        var agreement: Digest
        var standing: Standing = .asked
        /// The policy epoch under which was asked last: acknowledgements speak under it.
        var epoch: Digest
        var round: UInt64 = 0
        /// Its place in the frame of that round.
        var line = 0
        var policyRounds = 0
        /// The policy epoch under which our papers were sent: a publisher that says now this and now that fills no outbox.
        var policySent: Digest?
        var pages = OpenPages()
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
        /// While it is compared with the publisher's.
        var repair: Repair?

        /// It was asked in this round, with this cursor. Of asks that are never answered the newest are kept.
        mutating func asked(in round: UInt64, from cursor: [UInt8]) {
            answers[round] = cursor
            if answers.count > ViewState.answersMax, let oldest = answers.keys.min() { answers[oldest] = nil }
        }
        static let answersMax = 64
    }

    struct Wanted {
        var view: Digest
        var release: Digest
        var level: UInt8
        var number: [UInt8]
        /// It waited for long: the publisher may have forgotten how the offer is called.
        var isOld = false
        /// What it is asked for by.
        var name: Digest { isOld ? release : OfferName.of(number) ?? release }
        /// Listed with its content, and not by its document alone.
        var isShared: Bool { level == Grant.Level.sync.code }
    }

    /// An ask for documents, and what of it is not answered. One release may stand in several, under one name or two: an answer to one says
    /// nothing of how another named it.
    struct ReleaseAsk {
        let number: UInt64
        private var names: [Digest: Digest] = [:]
        private var named: [Digest: Digest] = [:]

        init(number: UInt64) { self.number = number }

        var isAnswered: Bool { names.isEmpty }
        var releases: some Collection<Digest> { names.keys }

        /// False where it is in here.
        mutating func add(_ release: Digest, as name: Digest) -> Bool {
            guard names[release] == nil else { return false }
            names[release] = name
            named[name] = release
            return true
        }

        /// A document is known by its digest; that there is none is said of the name.
        func release(of item: Releases.Item) -> Digest? {
            item.envelope == nil ? named[item.release] : names[item.release].map { _ in item.release }
        }

        mutating func take(_ item: Releases.Item) -> Digest? {
            guard let release = release(of: item), let name = names.removeValue(forKey: release) else { return nil }
            named[name] = nil
            return release
        }
    }

    /// What a document said of a release that is on its way.
    struct Named {
        let package: PackageID
        /// Of a maintainer's release, the owner's number that it names; else 0.
        var ownersSeq: UInt64 = 0

        init(_ release: Release) {
            package = release.package
            if release.writer != package.city { ownersSeq = release.seq(of: package.city) }
        }
    }

    enum Settled {
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
    /// Where blocks are checked and written while the next are unpacked.
    let lane: any WorkLane
    let secret: RepairSecret?
    var views: [Digest: ViewState] = [:]
    var round: UInt64 = 0

    var wanted: [Digest: Wanted] = [:]
    var wantedQueue: [Wanted] = []
    /// The oldest first.
    var releaseAsks: [ReleaseAsk] = []
    var lastReleaseAsk: UInt64 = 0
    /// The ask whose answer counts for a release that is wanted; none before it was asked for.
    var askOfWanted: [Digest: UInt64] = [:]
    var transfers: [Digest: Transfer] = [:]
    /// Releases whose index is to be asked for, the shortest first.
    var indexOrder = TransferOrder<Digest>()
    var indexAsked: Set<Digest> = []
    /// Sum over the transfers whose index was asked for or is here.
    var indexBytesAdmitted = 0
    var documentBytes = 0
    /// Raw bytes that were asked for a transfer that ended, and may still come.
    var late = OwedAnswers()
    /// Transfers of which chunks are to be asked for, the one with the fewest left first; up to which number that was done.
    var contentOrder = TransferOrder<Digest>()
    var contentCursors: [Digest: Int] = [:]
    var contentAskedBytes = 0
    var parked: [Digest: (wanted: Wanted, until: Timestamp)] = [:]
    /// Of releases that wait, those of which a document has come.
    var named: [Digest: Named] = [:]
    /// Views whose agreement has ended: they stand nowhere any more.
    private var ended: Set<Digest> = []
    var settled: [Settled] = []
    /// Taken up again with every chunk here: complete as soon as their files' digests are checked.
    var resumedWhole: [Transfer] = []
    /// Since when something settled waits for its commit.
    var settledSince: Timestamp?
    /// Which view a release is being fetched for, from the wish to the commit.
    var underWay: [Digest: Digest] = [:]
    /// The same release listed in other views meanwhile: taken up when the first is done, each under its own agreement.
    var waiting: [Digest: [Wanted]] = [:]
    /// Sum over them.
    var waitingCount = 0
    var ready: [Wanted] = []

    var unrecordedBlocks: [(city: CityID, location: ContentLocation, chunks: [ChunkEntry])] = []
    var unflushedBytes = 0
    /// A block that the lane writes; no place where it was not what the index says.
    struct ArrivingBlock {
        let transfer: Transfer
        let runs: [Range<Int>]
        let chunks: [ChunkEntry]
        let bytes: Int
        /// Before it was given to the lane.
        let isChecked: Bool
        let isDelta: Bool
        let place: LaneResult<Result<ContentLocation?, any Error>>
    }
    var arriving: [ArrivingBlock] = []
    var arrivingSmall: [ArrivingSmall] = []
    /// Small releases whose index and content are to be asked for together; those that were, and about how many bytes each is.
    var smallQueue: ArraySlice<Digest> = []
    var smallAsked: [Digest: Int] = [:]
    /// The releases that were asked for with their content, by the names that the asks used, and how many asks are unanswered.
    var smallNames: [Digest: (release: Digest, asks: Int)] = [:]
    var smallAskedBytes = 0
    var lastFlush: Timestamp?
    var creditOwed: UInt64 = 0
    var creditGranted: UInt64 = 0
    /// What bases of deltas were read from last, and what is hashed between their runs: a frame's runs lie in so many of a base's blocks.
    let recentBlocks = RecentBlocks(max: 16)
    /// Blocks of which the lane hashes what was here before.
    var blocksAhead = 0
    /// The time of the call that runs.
    var moment = Timestamp(milliseconds: 0)
    /// How often the publisher had nothing of a release that it lists.
    var putOffTimes: [Digest: Int] = [:]
    /// How often a maintainer's release, while it is under way, was not due since nothing is known of the owner's that it names.
    var awaitedTimes: [Digest: Int] = [:]
    static let putOffSecondsMin: Int64 = 5
    static let policyRetrySecondsMax: Int64 = 60
    /// When to ask again of a partner whose changes are more than it may have.
    static let changesRetrySeconds: Int64 = 60
    static let putOffSecondsMax: Int64 = 600
    /// Releases that are here in part only and are fetched anew, with the city among whose chunks theirs lie; and when each may be tried again.
    var healing: [Digest: CityID] = [:]
    var healingNext: [Digest: (times: Int, due: Timestamp)] = [:]

    /// The base that was used last.
    var openBase: BaseIndex?

    /// Release documents that were refused as forks, until the refusal is committed with its proof.
    var forkEvidence: [Digest: Envelope] = [:]
    /// A round without a line, while it is not answered: where no agreement is known it tells that what waited for us has come before.
    var bareRound: UInt64?
    var hasShownHoldings = false
    /// More of it may be due, also from an earlier session.
    var isShowing = true
    /// Releases of our own on their way back, and those that were asked for in this session.
    var recovering: Set<Digest> = []
    var recoveryAsked: Set<Digest> = []
    var recoveryLooked: Timestamp?
    /// How often the batch that is being committed was looked at.
    var commitTries = 0
    /// Within one transaction: what was written of the partner's for nothing (`ChangeBudget`).
    var idleChanges = 0
    /// Within one transaction: releases that came or went and may be passed on, and packages of which their own city's release came.
    var toPassOn: Set<Digest> = []
    var ownersReleases: Set<PackageID> = []

    /// For the shell: documents that wait for the partner.
    var changes = ExchangeChanges()
    /// Offered ids that are neither committed nor refused.
    var outstandingCount: Int {
        let listed = views.values.reduce(0) { $0 + $1.pages.left.count }
        // What was listed before the view was told anew is on no page any more, and under way all the same.
        return max(listed, underWay.count + waitingCount)
    }

    public internal(set) var releasesReceived = 0
    public internal(set) var contentBytesReceived: UInt64 = 0

    /// Without a secret of the session nothing is repaired: a view that differs is told from its beginning.
    public init(_ context: ExchangeContext, peer: CityID, secret: RepairSecret? = nil) {
        self.context = context
        self.peer = peer
        lane = context.makeLane()
        self.secret = secret
    }

    /// In order of view id.
    public var standings: [(view: Digest, standing: Standing)] {
        views.keys.sorted().filter { !ended.contains($0) }.map { ($0, views[$0]?.standing ?? .asked) }
    }
    /// True when nothing is under way: every view has been answered and no transfer runs.
    public var isSettled: Bool {
        bareRound == nil
            && !views.values.contains {
                if case .asked = $0.standing { true } else if case .behind = $0.standing { true } else { false }
            }
    }
    /// True when all that is under way waits for releases to fall due.
    public var isOnlyParked: Bool {
        !parked.isEmpty && isIdle && settled.isEmpty && wanted.isEmpty
            && !views.values.contains { state in
                state.standing == .asked || !state.pages.left.allSatisfy { parked[$0] != nil }
            }
    }
    /// Chunks here and wanted, over the transfers that run.
    public var progress: (held: Int, total: Int) { transfers.values.reduce((0, 0)) { ($0.0 + $1.held, $0.1 + $1.entries.count) } }
    /// What has changed since the last call: the shell tells the sessions concerned.
    public func takeChanges() -> ExchangeChanges {
        defer { changes = ExchangeChanges() }
        return changes
    }
    /// Releases that the publisher lists and has nothing of for now.
    public var putOffCount: Int { parked.keys.reduce(0) { putOffTimes[$1] == nil ? $0 : $0 + 1 } }
    /// A clock that went back would keep waiting what is due after a while: it waits that while once more at most.
    private func noteMoment(_ now: Timestamp) {
        defer { moment = now }
        guard now < moment else { return }
        let putOffMost = now.adding(seconds: Puller.putOffSecondsMax)
        for (release, item) in parked where putOffTimes[release] != nil || awaitedTimes[release] != nil {
            parked[release]?.until = min(item.until, putOffMost)
        }
        for (release, next) in healingNext {
            healingNext[release]?.due = min(next.due, now.adding(seconds: Puller.healingSecondsMax))
        }
        let retryMost = now.adding(seconds: Puller.policyRetrySecondsMax)
        for (id, view) in views { if let retry = view.retry { views[id]?.retry = min(retry, retryMost) } }
        lastFlush = lastFlush.map { min($0, now) }
        recoveryLooked = nil
    }

    /// The moment at which the first parked release falls due.
    public var nextDue: Timestamp? { parked.values.map(\.until).min() }

    /// Asks where every view stands. Pages that were being worked on go on: what is asked again is skipped when it is held.
    public func ask(at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        noteMoment(now)
        do {
            try lookAtRows(at: now)
            try showMore(at: now)
            for id in views.keys.sorted() where isOnlyPutOff(id) { letGoOfPutOff(id) }
            let before = round
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
                    // While a page is being fetched or a repair runs its answer stands; asking again now would only repeat it.
                    if let state = self.views[id], !state.pages.isEmpty || state.repair != nil {
                        self.views[id]?.asksAfterPages = true
                        continue
                    }
                    var state = self.views[id] ?? ViewState(agreement: record.digest, epoch: record.policyEpoch)
                    if let why = view.quarantine {
                        state.standing = .quarantined(why)
                        self.views[id] = state
                        continue
                    }
                    let line = Views.Line(
                        view: id, policyEpoch: record.policyEpoch, cursor: view.cursor,
                        digest: view.members.digest(view: id, policyEpoch: record.policyEpoch))
                    if state.asked == line, state.standing == .asked { continue }
                    // Each frame has its own round: the answer for what is equal names lines by their places.
                    if lines.count % Views.countMax == 0 { self.round += 1 }
                    state.line = lines.count % Views.countMax
                    state.standing = .asked
                    state.asked = line
                    state.epoch = record.policyEpoch
                    state.round = self.round
                    state.asked(in: self.round, from: view.cursor)
                    state.received = view.cursor
                    state.listed = nil
                    state.retry = nil
                    self.views[id] = state
                    lines.append(line)
                }
                return lines
            }
            try recover(at: now)
            // What runs under an agreement that has ended goes no further.
            ended = Set(views.keys).subtracting(alive)
            for id in ended.sorted() { cancel(id) }
            if alive.isEmpty, bareRound == nil {
                round += 1
                bareRound = round
                return [Views(round: round, lines: []).frame]
            }
            return stride(from: 0, to: lines.count, by: Views.countMax).map { start -> Frame in
                let end = min(start + Views.countMax, lines.count)
                return Views(round: before + 1 + UInt64(start / Views.countMax), lines: Array(lines[start..<end])).frame
            }
        } catch {
            throw .store(error)
        }
    }

    /// Takes a batch of frames; what comes back is to be sent in order. `credit` is how much content may follow.
    public func receive(_ frames: [Frame], at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        noteMoment(now)
        do {
            var answers: [Frame] = []
            for frame in frames {
                switch frame.type {
                case .feed: answers += try take(Feed(frame), at: now)
                case .equal: try take(EqualViews(frame), at: now)
                case .releases: try take(Releases(frame), at: now)
                case .index: try take(IndexParts(frame))
                case .chunks: try take(Chunks(frame), bodyCount: frame.bodyCount)
                case .delta: try take(Delta(frame), bodyCount: frame.bodyCount)
                case .small: try take(Small(frame), bodyCount: frame.bodyCount)
                case .announce: answers += try take(Announce(frame), at: now)
                case .reconcile: answers += try take(Reconcile(frame))
                default: throw ProtocolFault.unexpected(frame.type, "not for a recipient")
                }
            }
            answers += try settleAll(at: now)
            try context.recordDamage(at: now)
            answers += asks()
            // In large steps: each is a frame that wakes the other end.
            let step = UInt64(min(2 << 20, context.limits.contentCreditBytes / 4))
            if creditOwed > 0, creditOwed >= step || contentAskedBytes + smallAskedBytes == 0 {
                answers.append(Credit(bytes: creditOwed).frame)
                creditGranted += creditOwed
                creditOwed = 0
            }
            return answers
        } catch let fault as ProtocolFault {
            throw .peer(fault)
        } catch let fault as Reconciliation.Fault {
            throw .peer(.malformed(.reconcile, "\(fault)"))
        } catch let fault as ByteFault {
            throw .peer(.malformed(.index, "\(fault)"))
        } catch {
            throw .store(error)
        }
    }

    /// For timers: makes a running transfer durable now and then, and takes up what has fallen due.
    public func tick(at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        noteMoment(now)
        do {
            let due = parked.filter { $0.value.until <= now }.keys.sorted()
            // A list of which nothing can be had any more may be out of date: where the view stands is asked anew.
            // Each view once: what is due is most of what it lists.
            let isStale = Set(due.lazy.filter { self.putOffTimes[$0] ?? 0 > 1 }.compactMap { self.parked[$0]?.wanted.view })
                .contains { isOnlyPutOff($0) }
            for digest in isStale ? [] : due {
                guard var item = parked.removeValue(forKey: digest)?.wanted else { continue }
                item.isOld = true
                want(item)
            }
            var frames = try settleAll(at: now)
            if isStale { frames += try askAgain(at: now) }
            let retries = views.filter { $0.value.retry.map { $0 <= now } ?? false }.keys.sorted()
            for id in retries { views[id]?.retry = nil }
            if !retries.isEmpty { frames += try askAgain(at: now) }
            try context.flushRefusals(at: now)
            // A document that the partner showed us may have said what we lost.
            if recoveryLooked.map({ now.milliseconds - $0.milliseconds >= 5000 }) ?? true {
                recoveryLooked = now
                try recover(at: now)
                try heal(at: now)
            }
            try context.recordDamage(at: now)
            try showMore(at: now)
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
}
