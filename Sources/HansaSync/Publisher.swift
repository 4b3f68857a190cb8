// The publishing half of a session: answers where a partner stands in our views, and hands out what it may have.
//
// Authority is checked at every ask, against the rows and the clock: the partner is the view's recipient, the agreement is active now,
// the release is a member of the view now. What is refused and what does not exist answer alike. Nothing leaves before its entry is in the log.
//
// Confined to one thread at a time; blocks on the stores.
//
// Long because it is one half of a session over one set of state, as the puller is the other.
internal import HansaContent
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

public final class Publisher {
    private let context: ExchangeContext
    private let peer: CityID
    /// Views the partner has asked for in this session, and the position up to which changes were sent.
    private var followed: [Digest: UInt64] = [:]
    private var indexQueue: [(view: Digest, ask: GetIndex.Ask)] = []
    private var openIndex: (view: Digest, release: Digest, table: [UInt8])?
    private var queue: [(view: Digest, run: GetChunks.Run)] = []
    private var queueHead = 0
    /// The pages of the release being sent, kept from one content frame to the next.
    private var open: OpenRelease?
    public private(set) var contentBytesSent: UInt64 = 0
    public private(set) var releasesSent = 0
    /// Changes for the shell: alarms, quarantines.
    private var changes = ExchangeChanges()
    /// Policy epochs over which documents were put on their way in this session.
    private var epochsAnswered: Set<Digest> = []

    private struct OpenRelease {
        var view: Digest
        var release: Digest
        var row: ReleaseRow
        var city: CityID
        var page: (number: Int, entries: [ChunkEntry])?
        /// Where the group begins that was sent last.
        var group = 0
    }

    public init(_ context: ExchangeContext, peer: CityID) {
        self.context = context
        self.peer = peer
    }

    /// What the shell has to tell the other sessions, since it was last asked.
    public func takeChanges() -> ExchangeChanges {
        defer { changes = ExchangeChanges() }
        return changes
    }

    /// Whether content was asked for and not yet handed out.
    public var hasContent: Bool { queueHead < queue.count }

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
            case .feedAcknowledged: return try acknowledged(FeedAcknowledged(frame), at: now)
            case .receipt: return try receipt(ReceiptMessage(frame), at: now)
            default: throw ProtocolFault.unexpected(frame.type, "not for a publisher")
            }
        } catch let fault as ProtocolFault {
            throw .peer(fault)
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

    // MARK: Views and feeds

    private func answer(_ views: Views, at now: Timestamp) throws -> [Frame] {
        guard Set(views.lines.map(\.view)).count == views.lines.count else {
            throw ProtocolFault.malformed(.views, "a view twice")
        }
        var frames: [Frame] = []
        // All views together take up no more than one would.
        let pagesMax = max(1, context.limits.feedPagesMax / max(1, views.lines.count))
        for line in views.lines {
            let standing = try context.metadata.read { try self.standing(of: line, in: $0, at: now) }
            switch standing {
            case .answer(let status):
                frames.append(Feed(round: views.round, view: line.view, status: status).frame)
            case .equal(let position):
                followed[line.view] = position
                try noteEqual(line.view, position, at: now)
                try unseen(line.view, after: position, at: now)
                frames.append(Feed(round: views.round, view: line.view, status: .equal).frame)
            case .behind(let position):
                frames += try feed(
                    line.view, from: position, round: views.round, status: .changes, since: line.cursor, pagesMax: pagesMax,
                    at: now)
            case .unknownCursor:
                frames += try feed(line.view, from: 0, round: views.round, status: .reset, at: now)
            case .differs:
                frames += try mismatch(line.view, round: views.round, at: now)
            case .policy(let agreement):
                // Once for an epoch: asking again fills no outbox.
                if let epoch = try context.metadata.read({ try $0.agreement(agreement)?.policyEpoch }),
                    epochsAnswered.insert(epoch).inserted
                {
                    try context.metadata.write(at: now) { try self.enqueueDocuments(of: agreement, in: $0) }
                    changes.outboxes.insert(peer)
                }
                frames.append(Feed(round: views.round, view: line.view, status: .policy).frame)
            }
        }
        return frames
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
            return .answer(.none)
        }
        guard record.policyEpoch == line.policyEpoch else { return .policy(record.digest) }
        guard record.state(at: now) == .active else { return .answer(.none) }
        if view.quarantine != nil { return .answer(.quarantined) }
        let digest = view.members.digest(view: view.id, policyEpoch: record.policyEpoch)
        if line.cursor.isEmpty, view.position > 0 { return .behind(0) }
        if line.cursor.isEmpty { return digest == line.digest ? .equal(0) : .differs }
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

    /// Digests differ at one cursor: once, everything is told again under a new feed epoch; twice, a person must look.
    private func mismatch(_ id: Digest, round: UInt64, at now: Timestamp) throws -> [Frame] {
        let quarantined = try context.metadata.write(at: now) { tx -> Bool in
            guard var view = try tx.publishedView(id) else { return false }
            view.mismatches += 1
            view.feedKey = context.randomOfView(id).bytes(16)
            let quarantined = view.mismatches > 1
            if quarantined { view.quarantine = "digests differ after a full list" }
            try tx.put(view)
            try tx.log(
                LogDraft(
                    quarantined ? .viewQuarantined : .viewReset, outcome: quarantined ? .failed : .ok, partner: peer,
                    agreement: view.agreement,
                    reason: "digest-mismatch"))
            return quarantined
        }
        if quarantined { return [Feed(round: round, view: id, status: .quarantined).frame] }
        return try feed(id, from: 0, round: round, status: .reset, at: now)
    }

    /// Net changes after a position, in pages: what is new is marked as sent and logged as offered in the transaction that reads it.
    private func feed(
        _ id: Digest, from start: UInt64, round: UInt64, status: Feed.Status, since cursor: [UInt8]? = nil, pagesMax: Int? = nil,
        at now: Timestamp
    ) throws -> [Frame] {
        var position = start
        var frames: [Frame] = []
        var since = status == .reset ? [] : cursor
        var pages = 0
        while true {
            let before = position
            let page = try context.metadata.write(at: now) { tx -> Feed? in
                if !(try tx.members(id, endedBy: now)).isEmpty {
                    let update = try MembershipUpdate(self.context, tx)
                    try update.timePassed()
                    _ = try update.finish()
                }
                guard let view = try tx.publishedView(id), view.recipient == self.peer,
                    let record = try tx.agreement(view.agreement),
                    record.state(at: now) == .active, view.quarantine == nil
                else { return nil }
                let adds = try tx.members(id, addedAfter: position, limit: Feed.changesMax / 2)
                let drops = status == .reset ? [] : try tx.drops(id, after: position, limit: Feed.changesMax / 2)
                var end = view.position
                if adds.count == Feed.changesMax / 2, let last = adds.last { end = min(end, last.added) }
                if drops.count == Feed.changesMax / 2, let last = drops.last?.dropped { end = min(end, last) }
                var changes: [Feed.Change] = []
                for row in drops where (row.dropped ?? 0) <= end {
                    changes.append(.drop(release: row.release, level: row.level.code))
                }
                for row in adds where row.added <= end {
                    var row = row
                    if !row.sent {
                        row.sent = true
                        row.transfer = self.context.randomOfView(id).bytes(16)
                        try tx.put(row)
                        try tx.log(
                            LogDraft(
                                .releaseOffered, partner: self.peer, package: row.package, release: row.release,
                                agreement: view.agreement,
                                clause: row.clause, grant: row.grant, transfer: row.transfer))
                    }
                    changes.append(.add(release: row.release, level: row.level.code, transfer: row.transfer))
                }
                let more = end < view.position
                defer { position = end }
                return Feed(
                    round: round, view: id, status: status, since: since ?? Cursor.make(position, feedKey: view.feedKey),
                    changes: changes,
                    cursor: Cursor.make(end, feedKey: view.feedKey), more: more,
                    digest: more ? .zero : view.members.digest(view: id, policyEpoch: record.policyEpoch))
            }
            guard let page else {
                followed[id] = nil
                return frames + [Feed(round: round, view: id, status: .none).frame]
            }
            if round == 0, page.changes.isEmpty, status == .changes {
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

    private func acknowledged(_ message: FeedAcknowledged, at now: Timestamp) throws -> [Frame] {
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
            if isLast, try tx.members(view.id, endedBy: now).isEmpty, record.state(at: now) == .active {
                let equal = view.members.digest(view: view.id, policyEpoch: record.policyEpoch) == message.digest
                guard equal else { return .differs }
                view.mismatches = 0
                view.acknowledgedEqual = true
                view.acknowledgedPosition = view.position
            } else {
                // What we had at that position is not kept; the next equal cursor tells.
                view.acknowledgedEqual = false
                view.acknowledgedPosition = position
            }
            try tx.put(view)
            return .fine
        }
        return outcome == .differs ? try mismatch(message.view, round: 0, at: now) : []
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

    private func enqueueDocuments(of agreement: Digest, in tx: any MetadataWriting) throws {
        for envelope in try tx.agreementEnvelopes(agreement) { try tx.enqueue(envelope, to: peer) }
    }

    // MARK: Releases

    /// The member row if the partner may have this release in this view at this moment; nil answers as for no such release.
    private func authority(_ view: Digest, _ release: Digest, in store: any MetadataReading, at now: Timestamp) throws
        -> MemberRow?
    {
        guard let published = try store.publishedView(view), published.recipient == peer, published.quarantine == nil,
            let record = try store.agreement(published.agreement), record.state(at: now) == .active,
            let row = try store.member(view, release), row.dropped == nil, row.sent
        else { return nil }
        if let until = row.until, until <= now { return nil }
        return row
    }

    private func releases(_ message: GetReleases, at now: Timestamp) throws -> [Frame] {
        guard Set(message.releases).count == message.releases.count else {
            throw ProtocolFault.malformed(.getReleases, "a release twice")
        }
        // Log before act: the delivery is durable before the document leaves.
        let found = try context.metadata.write(at: now) { tx -> [(Digest, ContentLocation?)] in
            try message.releases.map { digest in
                guard var row = try self.authority(message.view, digest, in: tx, at: now), let release = try tx.release(digest)
                else {
                    let draft = LogDraft(
                        .accessDenied, outcome: .refused, partner: self.peer, release: digest, reason: "get-releases")
                    for entry in self.context.refusals.admit(draft, at: now) { try tx.log(entry) }
                    return (digest, nil)
                }
                if !row.delivered {
                    row.delivered = true
                    try tx.put(row)
                    let agreement = try tx.publishedView(message.view)?.agreement
                    try tx.log(
                        LogDraft(
                            .releaseDelivered, partner: self.peer, package: row.package, release: digest, agreement: agreement,
                            clause: row.clause,
                            grant: row.grant, transfer: row.transfer))
                }
                return (digest, release.document)
            }
        }
        var frames: [Frame] = []
        var items: [Releases.Item] = []
        var bytes = 0
        for (digest, location) in found {
            var envelope: Envelope?
            if let location {
                let body = try context.content.body(at: location)
                envelope = try Envelope(binary: body)
                bytes += body.count + 40
                releasesSent += 1
            }
            items.append(Releases.Item(release: digest, envelope: envelope))
            if bytes > 150 * 1024 {
                frames.append(Releases(view: message.view, items: items).frame)
                (items, bytes) = ([], 0)
            }
        }
        if !items.isEmpty { frames.append(Releases(view: message.view, items: items).frame) }
        return frames
    }

    private func enqueue(_ message: GetIndex) throws {
        guard Set(message.asks.map(\.release)).count == message.asks.count else {
            throw ProtocolFault.malformed(.getIndex, "a release twice")
        }
        guard indexQueue.count + message.asks.count <= context.limits.queuedIndexAsksMax else { throw ProtocolFault.tooManyAsks }
        for ask in message.asks { indexQueue.append((message.view, ask)) }
    }

    /// Whether parts of indexes were asked for and not yet handed out.
    public var hasIndex: Bool { !indexQueue.isEmpty }

    /// The next index frames, about `bytes` of tables and pages: an ask of a few bytes may be for a hundred megabytes, so they are made as they go.
    public func index(upTo bytes: Int, at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        do {
            var frames: [Frame] = []
            var total = 0
            var view: Digest?
            var parts: [IndexParts.Part] = []
            var partBytes = 0
            func flush() {
                if let view, !parts.isEmpty { frames.append(IndexParts(view: view, parts: parts).frame) }
                (parts, partBytes) = ([], 0)
            }
            func add(_ part: IndexParts.Part, _ count: Int) {
                if partBytes + count > IndexParts.partBytesMax { flush() }
                parts.append(part)
                partBytes += count
                total += count
            }
            var done = 0
            while done < indexQueue.count, total < bytes {
                var (asked, ask) = indexQueue[done]
                if asked != view { flush() }
                view = asked
                // Authority is looked up for each ask, and again where it goes on.
                let row = try context.metadata.read { store in
                    try self.authority(asked, ask.release, in: store, at: now)?.level == .sync
                        ? try store.release(ask.release) : nil
                }
                guard let row, row.release.operation != .withdraw else {
                    add(.absent(release: ask.release), 40)
                    done += 1
                    continue
                }
                if openIndex?.release != ask.release || openIndex?.view != asked {
                    var table: [UInt8] = []
                    for location in row.table { table += try context.content.body(at: location) }
                    openIndex = (asked, ask.release, table)
                }
                let table = openIndex?.table ?? []
                var from = Int(clamping: ask.tableFrom)
                // A part for the whole table, or several for a long one; an ask that begins at its end wants no table.
                while from < table.count, total < bytes {
                    let end = min(table.count, from + IndexParts.partBytesMax - 256)
                    add(
                        .table(
                            release: ask.release, total: UInt64(table.count), from: UInt64(from), bytes: Array(table[from..<end])),
                        end - from + 64)
                    from = end
                }
                ask.tableFrom = UInt64(from)
                var page = Int(clamping: ask.firstPage)
                let last = min(row.pages.count, page.addingReportingOverflow(Int(clamping: ask.pageCount)).partialValue)
                while from >= table.count, page < last, total < bytes {
                    let body = try context.content.body(at: row.pages[page])
                    add(.page(release: ask.release, number: UInt64(page), bytes: body), body.count + 64)
                    page += 1
                }
                if from >= table.count, page >= last {
                    done += 1
                } else {
                    ask.firstPage = UInt64(page)
                    ask.pageCount = UInt64(last - page)
                    indexQueue[done].ask = ask
                }
            }
            indexQueue.removeFirst(done)
            if indexQueue.isEmpty { openIndex = nil }
            flush()
            return frames
        } catch {
            throw .store(error)
        }
    }

    // MARK: Content

    private func enqueue(_ message: GetChunks) throws {
        guard queue.count - queueHead + message.runs.count <= context.limits.queuedRunsMax else {
            throw ProtocolFault.tooManyAsks
        }
        for run in message.runs { queue.append((message.view, run)) }
    }

    /// The next content frames, about `bytes` of them and at least one while something is queued.
    public func content(upTo bytes: Int, at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        do {
            var frames: [Frame] = []
            var total = 0
            while hasContent, total < bytes {
                let (view, run) = queue[queueHead]
                let sent = try block(view, run, at: now)
                total += sent.frame.body.count
                contentBytesSent += UInt64(sent.frame.body.count)
                frames.append(sent.frame)
                if let rest = sent.rest {
                    queue[queueHead].run = rest
                } else {
                    queueHead += 1
                    if queueHead == queue.count || queueHead > 4096 {
                        queue.removeFirst(queueHead)
                        queueHead = 0
                    }
                }
            }
            return frames
        } catch {
            throw .store(error)
        }
    }

    /// Takes back content frames that `content` made and that have not left, in their order: their runs are handed out again before all others,
    /// and authority is looked up again then. Frames of a transfer that was stopped become the answer for what is not there.
    public func requeue(_ frames: [Frame]) {
        var runs: [(view: Digest, run: GetChunks.Run)] = []
        for frame in frames where frame.type == .chunks {
            guard let chunks = try? Chunks(frame) else { preconditionFailure("a frame that this publisher did not make") }
            contentBytesSent -= UInt64(frame.body.count)
            runs.append((chunks.view, GetChunks.Run(release: chunks.release, first: chunks.first, count: max(1, chunks.count))))
        }
        queue.replaceSubrange(0..<queueHead, with: runs)
        queueHead = 0
    }

    private func block(_ view: Digest, _ run: GetChunks.Run, at now: Timestamp) throws -> (frame: Frame, rest: GetChunks.Run?) {
        func absent() -> (Frame, GetChunks.Run?) {
            (
                Chunks(view: view, release: run.release, first: run.first, count: 0, codec: .raw, rawLength: 0, bytes: []).frame,
                nil
            )
        }
        // Authority is looked up for each frame: a revocation stops a transfer between two of them.
        let city = try context.metadata.read { store -> (ReleaseRow, CityID)? in
            guard try self.authority(view, run.release, in: store, at: now)?.level == .sync,
                let row = try store.release(run.release)
            else { return nil }
            return (row, row.release.writer)
        }
        guard let (row, writer) = city, run.first + run.count <= UInt64(row.release.chunks) else { return absent() }
        if open?.release != run.release || open?.view != view {
            open = OpenRelease(view: view, release: run.release, row: row, city: writer, page: nil)
        }
        let entries = try piece(from: Int(run.first), to: Int(run.first + run.count))
        let locations = try context.metadata.read { try $0.chunkLocations(of: writer, entries.map(\.id)) }
        guard let message = try encode(view, run, entries, locations) else { return absent() }
        let after = run.first + message.count
        let end = run.first + run.count
        let rest = after < end ? GetChunks.Run(release: run.release, first: after, count: end - after) : nil
        return (message.frame, rest)
    }

    /// The chunks that go together from `first` on. The cuts follow from the index and the run alone, never from how bytes lie here: a frame's
    /// shape would tell what else we hold. Groups are as many chunks as fit a block, counted from the beginning of an index page, which is how a
    /// publisher writes a package's first blocks too.
    private func piece(from first: Int, to end: Int) throws -> [ChunkEntry] {
        let page = first / Limits.indexPageChunks * Limits.indexPageChunks
        var group = page
        if let known = open?.group, known <= first, known >= page { group = known }
        var raw = 0
        var entries: [ChunkEntry] = []
        var next = group
        while next < min(end, page + Limits.indexPageChunks) {
            let entry = try entry(next)
            if raw + Int(entry.length) > Limits.blockRawBytesMax {
                if next > first { break }
                (group, raw) = (next, 0)
            }
            raw += Int(entry.length)
            if next >= first { entries.append(entry) }
            next += 1
        }
        open?.group = group
        return entries
    }

    private func entry(_ number: Int) throws -> ChunkEntry {
        guard var release = open else { preconditionFailure("no open release") }
        let page = number / Limits.indexPageChunks
        if release.page?.number != page {
            release.page = (page, try IndexPage.decode(try context.content.body(at: release.row.pages[page])))
            open = release
        }
        guard let entries = release.page?.entries else { preconditionFailure("page was just read") }
        return entries[number % Limits.indexPageChunks]
    }

    /// A stored block goes out as it lies when it is exactly the chunks that are to be sent; otherwise they are gathered and compressed anew:
    /// a neighbour in the block may belong to another view, an older version or an unredacted original (SYNC.md §5).
    private func encode(_ view: Digest, _ run: GetChunks.Run, _ entries: [ChunkEntry], _ locations: [ChunkLocation?]) throws
        -> Chunks?
    {
        let places = locations.compactMap { $0 }
        guard let first = places.first, places.count == entries.count else { return nil }
        var block = (location: first.block, stored: try context.content.block(at: first.block), raw: [UInt8]?.none)
        if block.stored.chunks == entries {
            return Chunks(
                view: view, release: run.release, first: run.first, count: UInt64(entries.count), codec: block.stored.codec,
                rawLength: UInt32(block.stored.rawLength), bytes: block.stored.bytes)
        }
        var raw: [UInt8] = []
        raw.reserveCapacity(entries.reduce(0) { $0 + Int($1.length) })
        for (entry, place) in zip(entries, places) {
            if block.location != place.block { block = (place.block, try context.content.block(at: place.block), nil) }
            let bytes = try block.raw ?? Block.decode(block.stored.codec, block.stored.bytes, rawLength: block.stored.rawLength)
            block.raw = bytes
            guard Int(place.offset) + Int(place.length) <= bytes.count, place.length == entry.length else {
                throw StoreFault.damaged("chunk \(entry.id.short) lies outside its block")
            }
            raw += bytes[Int(place.offset)..<Int(place.offset + place.length)]
        }
        let packed = raw.withUnsafeBytes { Block.encode(raw: $0) }
        return Chunks(
            view: view, release: run.release, first: run.first, count: UInt64(entries.count), codec: packed.codec,
            rawLength: UInt32(raw.count),
            bytes: packed.bytes)
    }

    // MARK: Receipts

    private func receipt(_ message: ReceiptMessage, at now: Timestamp) throws -> [Frame] {
        let envelope = message.envelope
        guard envelope.payloadType == DocumentType.receipt.rawValue, let receipt = try? Receipt(payload: envelope.payload) else {
            throw ProtocolFault.malformed(.receipt, "not a receipt")
        }
        guard receipt.from == peer, receipt.to == context.own, receipt.items.count <= Limits.batchReleasesMax else {
            throw ProtocolFault.malformed(.receipt, "from or to another city")
        }
        // Everything is looked at before a byte is kept: a receipt that changes nothing costs neither disk nor log.
        let look = try context.metadata.read { store -> (isKnown: Bool, isGood: Bool, isNew: Bool) in
            if try store.receiptLocation(envelope.digest) != nil { return (true, true, false) }
            guard let view = try store.publishedView(receipt.view), view.recipient == self.peer,
                let keyring = try store.keyring(of: self.peer, version: receipt.keyring),
                envelope.isSigned(by: keyring.packageKeys, threshold: keyring.packageThreshold)
            else { return (false, false, false) }
            return (
                false, true,
                try receipt.items.contains { if case .new = try self.word($0, in: receipt.view, store) { true } else { false } }
            )
        }
        func answer(_ refusal: String?) -> [Frame] {
            [DocumentsAcknowledged(items: [.init(id: message.id, refusal: refusal)]).frame]
        }
        if look.isKnown { return answer(nil) }
        guard look.isGood else {
            try context.logRefusal(
                LogDraft(.receiptRefused, outcome: .refused, partner: peer, reason: "signature-or-view"), at: now)
            return answer("receipt")
        }
        var location: ContentLocation?
        if look.isNew {
            location = try context.content.append(document: envelope.binary(), digest: envelope.digest)
            try context.content.sync()
        }
        try context.metadata.write(at: now) { tx in
            let agreement = try tx.publishedView(receipt.view)?.agreement
            if let location { try tx.insertReceipt(envelope.digest, document: location, view: receipt.view, from: self.peer) }
            for item in receipt.items {
                switch try self.word(item, in: receipt.view, tx) {
                case .known: break
                case .refused(let reason):
                    let draft = LogDraft(
                        .receiptRefused, outcome: .refused, partner: self.peer, release: item.release, agreement: agreement,
                        transfer: Hex.decode(item.transfer), reason: reason)
                    for entry in self.context.refusals.admit(draft, view: receipt.view, at: now) { try tx.log(entry) }
                case .new(var row):
                    row.outcome = item.outcome
                    try tx.put(row)
                    try tx.log(
                        LogDraft(
                            .receiptReceived, outcome: item.outcome == .refused ? .refused : .ok, partner: self.peer,
                            package: row.package,
                            release: item.release, agreement: agreement, clause: row.clause, grant: row.grant,
                            transfer: row.transfer,
                            reason: item.reason))
                }
            }
        }
        return answer(nil)
    }

    private enum Word {
        case new(MemberRow)
        case known
        case refused(String)
    }

    /// What a receipt says about one release: the first word stands, but for `delivered`, which another follows.
    private func word(_ item: Receipt.Item, in view: Digest, _ store: any MetadataReading) throws -> Word {
        guard let row = try store.member(view, item.release), row.sent, row.transfer == Hex.decode(item.transfer) else {
            return .refused("unknown-transfer")
        }
        if row.outcome == nil || (row.outcome == .delivered && item.outcome != .delivered) { return .new(row) }
        return row.outcome == item.outcome || item.outcome == .delivered ? .known : .refused("contradicts-an-earlier-receipt")
    }
}
