// Release documents and indexes.
internal import HansaContent
public import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

extension Publisher {
    func releases(_ message: GetReleases, at now: Timestamp) throws -> [Frame] {
        guard Set(message.releases).count == message.releases.count else {
            throw ProtocolFault.malformed(.getReleases, "a release twice")
        }
        let asked = try message.releases.map { name in
            guard let release = told.release(name, of: message.view) else {
                throw ProtocolFault.malformed(.getReleases, "an offer that was not told")
            }
            return (name: name, release: release)
        }
        // Log before act: the delivery is durable before the document leaves.
        let found = try context.metadata.write(at: now) { tx -> [(name: Digest, release: Digest, document: ContentLocation?)] in
            var authority = Authority(of: self.peer, by: tx, at: now)
            return try asked.map { name, digest in
                guard var row = try authority.member(digest, of: message.view), let release = try tx.release(digest) else {
                    let draft = LogDraft(
                        .accessDenied, outcome: .refused, partner: self.peer, release: digest, reason: "get-releases")
                    for entry in self.context.refusals.admit(draft, at: now) { try tx.log(entry) }
                    return (name, digest, nil)
                }
                if row.view == message.view, row.added == 0 {
                    // No member of a view of ours: its writer has it back.
                    if self.returned.insert(digest).inserted {
                        try tx.log(
                            LogDraft(
                                .releaseDelivered, partner: self.peer, package: row.package, release: digest, reason: "returned"))
                    }
                } else if !row.delivered {
                    row.delivered = true
                    try tx.put(row)
                    try tx.log(
                        LogDraft(
                            .releaseDelivered, partner: self.peer, package: row.package, release: digest,
                            agreement: authority.agreement(of: message.view), clause: row.clause, grant: row.grant,
                            transfer: row.transfer))
                }
                return (name, digest, release.document)
            }
        }
        var frames: [Frame] = []
        var items: [Releases.Item] = []
        var bytes = 0
        for (name, digest, location) in found {
            var envelope: Envelope?
            // What cannot be read is answered as what is not there: of that release only, and until it is healed.
            // A disk that answers nothing is another matter: the node stops for it.
            do {
                if let location {
                    let body = try context.body(at: location, of: digest)
                    envelope = try Envelope(binary: body)
                    bytes += body.count + 40
                    releasesSent += 1
                }
            } catch StoreFault.damaged {}
            items.append(Releases.Item(release: envelope == nil ? name : digest, envelope: envelope))
            if bytes > 150 * 1024 {
                frames.append(Releases(view: message.view, items: items).frame)
                (items, bytes) = ([], 0)
            }
        }
        if !items.isEmpty { frames.append(Releases(view: message.view, items: items).frame) }
        try context.recordDamage(at: now)
        return frames
    }

    func enqueue(_ message: GetIndex) throws {
        guard Set(message.asks.map(\.release)).count == message.asks.count else {
            throw ProtocolFault.malformed(.getIndex, "a release twice")
        }
        guard indexQueue.count + message.asks.count <= context.limits.queuedIndexAsksMax else { throw ProtocolFault.tooManyAsks }
        for ask in message.asks {
            indexAsksTaken += 1
            indexQueue[indexAsksTaken] = (message.view, ask)
            indexOrder.set(indexAsksTaken, left: Int(clamping: ask.pageCount) + 1)
        }
    }

    /// Whether parts of indexes were asked for and not yet handed out.
    public var hasIndex: Bool { !indexQueue.isEmpty }

    /// The next index frames, about `bytes` of tables and pages: an ask of a few bytes may be for a hundred megabytes, so they are made as they go.
    public func index(upTo bytes: Int, at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        do {
            beginEffort()
            // One look at the rows for all of the call: small packages are many. An ask that goes on in the next call is judged again there.
            let frames = try context.metadata.read { store in
                var authority = Authority(of: self.peer, by: store, at: now)
                var parts = IndexFrames()
                while parts.bytes < bytes, !self.isSpent, let number = self.indexOrder.next(),
                    let (view, ask) = self.indexQueue[number]
                {
                    let before = parts.bytes
                    self.effortBytes += Publisher.effortOfAnswer
                    var rest: GetIndex.Ask?
                    if try authority.maySync(ask.release, of: view), let row = try store.release(ask.release),
                        row.release.operation != .withdraw
                    {
                        let base = try ask.base.flatMap { try self.base($0, of: row, in: view, by: &authority, store) }
                        do { rest = try self.answer(ask, row, base, of: view, to: &parts, upTo: bytes) } catch StoreFault.damaged
                        {
                            // What was sent of it counts for nothing then.
                            parts.add(.absent(release: ask.release), of: view, bytes: 40)
                        }
                    } else {
                        parts.add(.absent(release: ask.release), of: view, bytes: 40)
                    }
                    self.indexQueue[number] = rest.map { (view, $0) }
                    self.indexOrder.handedOut(
                        parts.bytes - before, of: number, left: rest.map { Int(clamping: $0.pageCount) + 1 } ?? 0)
                }
                if self.indexQueue.isEmpty { self.openIndex = nil }
                return parts.end()
            }
            try context.recordDamage(at: now)
            return frames
        } catch {
            throw .store(error)
        }
    }

    /// Adds what one ask is for, as far as there is room; what is left of it.
    private func answer(
        _ ask: GetIndex.Ask, _ row: ReleaseRow, _ base: BaseIndex?, of view: Digest, to parts: inout IndexFrames, upTo bytes: Int
    ) throws -> GetIndex.Ask? {
        var base = base
        var table: [UInt8] = []
        if let openIndex, openIndex.release == ask.release, openIndex.view == view {
            table = openIndex.table
        } else {
            for location in row.table { table += try context.body(at: location, of: row.digest) }
            effortBytes += table.count
            // A small one that comes between two parts of a large one is read at once, and does not take its place.
            if row.table.count > 1 || row.pages.count > 64 { openIndex = (view, ask.release, table) }
        }
        var from = Int(clamping: ask.tableFrom)
        // A part for the whole table, or several for a long one; an ask that begins at its end wants no table.
        while from < table.count, parts.bytes < bytes {
            let end = min(table.count, from + IndexParts.partBytesMax - 256)
            parts.add(
                .table(release: ask.release, total: UInt64(table.count), from: UInt64(from), bytes: Array(table[from..<end])),
                of: view, bytes: end - from + 64)
            from = end
        }
        var page = Int(clamping: ask.firstPage)
        let last = min(row.pages.count, page.addingReportingOverflow(Int(clamping: ask.pageCount)).partialValue)
        // What was taken up gets one page further at the least.
        let first = page
        while from >= table.count, page < last, parts.bytes < bytes, page == first || !isSpent {
            let body = try context.body(at: row.pages[page], of: row.digest)
            var delta: [UInt8]?
            if base != nil { effortBytes += body.count }
            do { delta = try base.flatMap { try PageDelta.encode(IndexPage.decode(body), page: page, from: $0) } } catch {
                guard case StoreFault.damaged = error else { throw error }
                // The base's pages: the rest goes as it lies.
                base = nil
                replaceBase(nil)
            }
            if let delta {
                parts.add(.pageDelta(release: ask.release, number: UInt64(page), bytes: delta), of: view, bytes: delta.count + 64)
            } else {
                parts.add(.page(release: ask.release, number: UInt64(page), bytes: body), of: view, bytes: body.count + 64)
            }
            page += 1
        }
        if from >= table.count, page >= last { return nil }
        return GetIndex.Ask(
            release: ask.release, tableFrom: UInt64(from), firstPage: UInt64(page), pageCount: UInt64(clamping: last - page),
            base: base == nil ? nil : ask.base)
    }
}

/// Parts of indexes on their way into frames: each frame is of one view, and of `IndexParts.partBytesMax` at most.
private struct IndexFrames {
    /// Of all parts so far, about.
    private(set) var bytes = 0
    private var frames: [Frame] = []
    private var view: Digest?
    private var parts: [IndexParts.Part] = []
    private var partBytes = 0

    mutating func add(_ part: IndexParts.Part, of view: Digest, bytes count: Int) {
        if view != self.view || partBytes + count > IndexParts.partBytesMax { flush() }
        self.view = view
        parts.append(part)
        partBytes += count
        bytes += count
    }

    mutating func end() -> [Frame] {
        flush()
        return frames
    }

    private mutating func flush() {
        if let view, !parts.isEmpty { frames.append(IndexParts(view: view, parts: parts).frame) }
        (parts, partBytes) = ([], 0)
    }
}
