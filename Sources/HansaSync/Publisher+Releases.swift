// Release documents and indexes, and the authority that is asked before anything leaves.
internal import HansaContent
public import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

extension Publisher {
    /// The member row if the partner may have this release in this view at this moment; nil answers as for no such release.
    func authority(_ view: Digest, _ release: Digest, in store: any MetadataReading, at now: Timestamp) throws
        -> MemberRow?
    {
        guard let published = try store.publishedView(view), published.recipient == peer, published.quarantine == nil,
            let record = try store.agreement(published.agreement), record.state(at: now) == .active,
            let row = try store.member(view, release), row.dropped == nil, row.sent
        else { return nil }
        if let until = row.until, until <= now { return nil }
        return row
    }

    func releases(_ message: GetReleases, at now: Timestamp) throws -> [Frame] {
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

    func enqueue(_ message: GetIndex) throws {
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
}
