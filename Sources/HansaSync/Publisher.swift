// The publishing half of a session: answers where a partner stands in our views, and hands out what it may have.
//
// Authority is checked at every ask, against the rows and the clock: the partner is the view's recipient, the agreement is active now,
// the release is a member of the view now. What is refused and what does not exist answer alike. Nothing leaves before its entry is in the log.
//
// Confined to one thread at a time; blocks on the stores.
//
// The answers stand in Publisher+Feed (views, feeds), +Repair, +Releases (documents, indexes), +Content (chunks) and +Receipts,
// over the state here.
internal import HansaContent
public import HansaCore
internal import HansaDocuments
internal import HansaTerms

public final class Publisher {
    let context: ExchangeContext
    let peer: CityID
    /// Views the partner has asked for in this session, and the position up to which changes were sent.
    var followed: [Digest: UInt64] = [:]
    /// What was listed in this session: the partner may ask for it by its offer.
    var told = ToldOffers()
    /// The policy epoch under which the partner asked last; its acknowledgements speak under the same.
    var epochs: [Digest: Epoch] = [:]
    /// Asks for indexes that are not answered in full, by the order in which they came.
    var indexQueue: [UInt64: (view: Digest, ask: GetIndex.Ask)] = [:]
    var indexAsksTaken: UInt64 = 0
    /// Of these which goes next, by pages.
    var indexOrder = TransferOrder<UInt64>()
    /// The table of a large index, from one part of the answer to the next.
    var openIndex: (view: Digest, release: Digest, table: [UInt8])?
    /// Runs that were asked for and not handed out, by release and view; a line is never empty.
    var queue: [Line: RunLine] = [:]
    var queuedRunsCount = 0
    /// Of these which goes next, by chunks.
    var order = TransferOrder<Line>()
    /// What was asked for against a base, in order: by turns with `queue`, after what is short there.
    var deltaQueue: ArraySlice<DeltaAsk> = []
    var isDeltasTurn = true
    /// Against which base a release was asked for, for frames that come back.
    var bases: [Line: Digest] = [:]
    /// What was unpacked last, to be put together anew.
    let recentBlocks = RecentBlocks(max: 4)
    /// Small releases that were asked for, in order; and how many frames of them went before something longer.
    var smallQueue: ArraySlice<SmallAsk> = []
    var smallsInRow = 0
    /// The base that was used last.
    var openBase: BaseIndex?
    /// What this call has cost so far, but for the base's index (`ExchangeLimits.effortBytesMax`).
    var effortBytes = 0
    /// What the index of the open base had cost before this call.
    var openBaseEffort = 0
    /// The pages of the release being sent, kept from one content frame to the next.
    var open: OpenRelease?
    public internal(set) var contentBytesSent: UInt64 = 0
    public internal(set) var releasesSent = 0
    /// Releases of its own that the partner had back in this session: once is enough for the log.
    var returned: Set<Digest> = []
    /// Changes for the shell: alarms, quarantines.
    var changes = ExchangeChanges()
    /// Policy epochs over which documents were put on their way in this session.
    var epochsAnswered: Set<Digest> = []

    let secret: RepairSecret?
    var repairs: [Digest: Repair] = [:]
    /// Repairs begun in this session: each has a number, so that an answer to one that was begun anew is known as such.
    var repairsBegun: UInt64 = 0

    enum Epoch {
        case known(Digest)
        /// One that is not ours: nothing can be compared until it asks anew.
        case other
    }

    /// What is sent in the order in which it was asked for: one release under one view.
    struct Line: Hashable, Sendable {
        var view: Digest
        var release: Digest
    }

    struct RunLine {
        var runs: [GetChunks.Run] = []
        var head = 0
        var chunks = 0
    }

    /// A release's row never changes; who may have it is asked each time.
    struct OpenRelease {
        var view: Digest
        var release: Digest
        var row: ReleaseRow
        var page: (number: Int, entries: [ChunkEntry])?
        /// Where the group begins that was sent last.
        var group = 0
    }

    /// Without a secret of the session nothing is repaired: a view that differs is told from its beginning.
    public init(_ context: ExchangeContext, peer: CityID, secret: RepairSecret? = nil) {
        self.context = context
        self.peer = peer
        self.secret = secret
    }

    /// A call that makes index or content frames begins.
    func beginEffort() {
        effortBytes = 0
        openBaseEffort = openBase?.effortBytes ?? 0
    }
    /// Of the call so far, in bytes. A partner that asks against another base each time has each put in order anew.
    var effort: Int { effortBytes + (openBase?.effortBytes ?? 0) - openBaseEffort }
    /// The call has cost so much that the rest waits for the next one.
    var isSpent: Bool { effort >= context.limits.effortBytesMax }

    /// Another base, or none, from here on.
    func replaceBase(_ base: BaseIndex?) {
        effortBytes += (openBase?.effortBytes ?? 0) - openBaseEffort
        (openBase, openBaseEffort) = (base, 0)
    }

    /// What the shell has to tell the other sessions, since it was last asked.
    public func takeChanges() -> ExchangeChanges {
        defer { changes = ExchangeChanges() }
        return changes
    }

    /// Whether content was asked for and not yet handed out.
    public var hasContent: Bool { !order.isEmpty || !deltaQueue.isEmpty || !smallQueue.isEmpty }

    /// Whether some of it is short, and should not wait until what was made ahead has left.
    public func hasShortContent() -> Bool {
        hasFewSmalls || hasShortRuns
    }
    var hasShortRuns: Bool {
        order.shortest().flatMap { queue[$0] }.map { $0.chunks <= Publisher.shortChunksMax } ?? false
    }
    /// Many are as long as anything, and take their turn.
    var hasFewSmalls: Bool { !smallQueue.isEmpty && smallQueue.count <= Publisher.fewSmallsMax }
    private static let fewSmallsMax = 16
    /// Of chunks of the usual profiles a content frame's worth.
    static let shortChunksMax = 8

    public func receive(_ frame: Frame, at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        do {
            switch frame.type {
            case .views: return try answer(Views(frame), at: now)
            case .getReleases: return try releases(GetReleases(frame), at: now)
            case .getIndex:
                try enqueue(GetIndex(frame))
                return []
            case .getChunks:
                try enqueue(GetChunks(frame))
                return []
            case .getDelta:
                try enqueue(GetDelta(frame))
                return []
            case .getSmall:
                try enqueue(GetSmall(frame))
                return []
            case .feedAcknowledged: return try acknowledged(FeedAcknowledged(frame), at: now)
            case .reconcile: return try reconcile(Reconcile(frame), at: now)
            case .receipt: return try receipt(ReceiptMessage(frame), at: now)
            case .accepted: return try accepted(Accepted(frame), at: now)
            default: throw ProtocolFault.unexpected(frame.type, "not for a publisher")
            }
        } catch let fault as ProtocolFault {
            throw .peer(fault)
        } catch let fault as Reconciliation.Fault {
            throw .peer(.malformed(.reconcile, "\(fault)"))
        } catch {
            throw .store(error)
        }
    }

    /// Pushes what changed in views that the partner follows in this session.
    public func viewsChanged(_ views: Set<Digest>, at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        do {
            var frames: [Frame] = []
            for view in views.sorted() {
                guard let position = followed[view] else { continue }
                frames += try feed(view, from: position, round: 0, status: .changes, at: now)
            }
            return frames
        } catch {
            throw .store(error)
        }
    }

    /// Where the followed views stand, for the announcement now and then.
    public func announcement() throws(ExchangeFault) -> Frame? {
        do {
            let lines = try context.metadata.read { store in
                try followed.keys.sorted().compactMap { id -> Announce.Line? in
                    guard let view = try store.publishedView(id), let record = try store.agreement(view.agreement) else {
                        return nil
                    }
                    return Announce.Line(view: id, digest: view.members.digest(view: id, policyEpoch: record.policyEpoch))
                }
            }
            // More views than a frame holds are unheard of; a partner asks about the rest by itself.
            return lines.isEmpty ? nil : Announce(lines: Array(lines.prefix(Views.countMax))).frame
        } catch {
            throw .store(error)
        }
    }
}
