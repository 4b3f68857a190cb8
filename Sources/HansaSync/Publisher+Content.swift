// Chunks, in frames whose shape follows from the index and the ask alone.
internal import HansaContent
public import HansaCore
internal import HansaDocuments
internal import HansaTerms

extension Publisher {
    func enqueue(_ message: GetChunks) throws {
        guard queuedRuns + message.runs.count <= context.limits.queuedRunsMax else { throw ProtocolFault.tooManyAsks }
        for run in message.runs { enqueue(run, of: message.view) }
    }

    func enqueue(_ run: GetChunks.Run, of view: Digest) {
        let line = Line(view: view, release: run.release)
        queue[line, default: RunLine()].append(run)
        queuedRunsCount += 1
        order.set(line, left: max(1, queue[line]?.chunks ?? 0))
    }

    /// The next content frames, about `bytes` of them and at least one while something is queued: releases of which little is queued first
    /// (`TransferOrder`), each in the order in which it was asked for. `shortOnly`: none but such of which little is queued.
    ///
    /// All of them are made from one state of the rows: a revocation stops a transfer between two calls, and takes back what was made and has not
    /// left (`requeue`).
    public func content(upTo bytes: Int, shortOnly: Bool = false, at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        do {
            beginEffort()
            let frames = try context.metadata.read { store in
                var authority = Authority(of: self.peer, by: store, at: now)
                var frames: [Frame] = []
                var total = 0
                while total < bytes, !self.isSpent, shortOnly || self.hasContent {
                    self.effortBytes += Publisher.effortOfAnswer
                    if self.isSmallsTurn(shortOnly: shortOnly), !shortOnly || self.hasFewSmalls {
                        guard let frame = try self.nextSmall(by: &authority, in: store) else { break }
                        total += frame.bodyCount
                        frames.append(frame)
                        continue
                    }
                    if !shortOnly, !self.deltaQueue.isEmpty, self.isDeltasTurn || self.order.isEmpty, !self.hasShortRuns {
                        self.isDeltasTurn = false
                        if let frame = try self.nextDelta(by: &authority, in: store) {
                            total += frame.bodyCount
                            frames.append(frame)
                        }
                        continue
                    }
                    guard let line = shortOnly ? self.nextShort() : self.order.next(), let run = self.queue[line]?.first else {
                        break
                    }
                    self.isDeltasTurn = true
                    let sent = try self.block(line.view, run, by: &authority, in: store)
                    total += sent.frame.bodyCount
                    frames.append(sent.frame)
                    if sent.isUnreadable {
                        self.letGo(line, after: sent.frame.bodyCount)
                    } else {
                        self.advance(line, to: sent.rest, after: sent.frame.bodyCount)
                    }
                }
                self.contentBytesSent += UInt64(total)
                return frames
            }
            try context.recordDamage(at: now)
            return frames
        } catch {
            throw .store(error)
        }
    }

    /// What an answer costs of itself: looked up, judged, put into a frame.
    static let effortOfAnswer = 4096

    private func nextShort() -> Line? { hasShortRuns ? order.shortest() : nil }

    private func advance(_ line: Line, to rest: GetChunks.Run?, after bytes: Int) {
        queue[line]?.advance(to: rest)
        if rest == nil { queuedRunsCount -= 1 }
        let isDone = queue[line]?.first == nil
        if isDone { queue[line] = nil }
        // A run of no chunks is an answer that is still owed.
        order.handedOut(bytes, of: line, left: isDone ? 0 : max(1, queue[line]?.chunks ?? 0))
    }

    /// What cannot be read in part is not sent in part: the one answer that says so is for all that was asked of it so far. What came after that would
    /// meet a recipient that asks anew.
    private func letGo(_ line: Line, after bytes: Int) {
        if let runs = queue.removeValue(forKey: line) { queuedRunsCount -= runs.runs.count - runs.head }
        deltaQueue = deltaQueue.filter { Line(view: $0.view, release: $0.release) != line }[...]
        order.handedOut(bytes, of: line, left: 0)
    }

    /// Takes back content frames that `content` made and that have not left, in their order: of each release they are handed out again before
    /// all else, and authority is looked up again then. Frames of a transfer that was stopped become the answer for what is not there; an answer of
    /// that kind stays one, as a run of no chunks: how many it was for is not known any more.
    public func requeue(_ frames: [Frame]) {
        var returned: [Line: [GetChunks.Run]] = [:]
        var lines: [Line] = []
        var deltas: [DeltaAsk] = []
        for frame in frames.reversed() where frame.type == .small {
            guard let small = try? Small(frame) else { preconditionFailure("a frame that this publisher did not make") }
            contentBytesSent -= UInt64(frame.bodyCount)
            requeue(small)
        }
        for frame in frames where frame.type.isContent && frame.type != .small {
            let line: Line
            let runs: [GetChunks.Run]
            if frame.type == .delta {
                guard let delta = try? Delta(frame) else { preconditionFailure("a frame that this publisher did not make") }
                line = Line(view: delta.view, release: delta.release)
                if let base = bases[line] {
                    contentBytesSent -= UInt64(frame.bodyCount)
                    deltas.append(DeltaAsk(view: delta.view, release: delta.release, base: base, runs: delta.runs))
                    continue
                }
                runs = delta.runs.map { chunkRun(delta.release, $0) }
            } else {
                guard let chunks = try? Chunks(frame) else { preconditionFailure("a frame that this publisher did not make") }
                line = Line(view: chunks.view, release: chunks.release)
                runs = [GetChunks.Run(release: chunks.release, first: chunks.first, count: chunks.count)]
            }
            contentBytesSent -= UInt64(frame.bodyCount)
            if returned[line] == nil { lines.append(line) }
            returned[line, default: []] += runs
        }
        if !deltas.isEmpty { deltaQueue = (deltas + deltaQueue)[...] }
        for line in lines {
            guard let runs = returned[line] else { continue }
            queue[line, default: RunLine()].prepend(runs)
            queuedRunsCount += runs.count
            order.set(line, left: max(1, queue[line]?.chunks ?? 0))
        }
    }

    private func block(_ view: Digest, _ run: GetChunks.Run, by authority: inout Authority, in store: any MetadataReading) throws
        -> (frame: Frame, rest: GetChunks.Run?, isUnreadable: Bool)
    {
        func absent(isUnreadable: Bool = false) -> (Frame, GetChunks.Run?, Bool) {
            (
                Chunks(view: view, release: run.release, first: run.first, count: 0, codec: .raw, rawLength: 0, bytes: []).frame,
                nil, isUnreadable
            )
        }
        let isOpen = SeededBug.isOn(.revocationNotForQueue) && open?.release == run.release && open?.view == view
        guard run.count > 0, try isOpen || authority.maySync(run.release, of: view) else { return absent() }
        if open?.release != run.release || open?.view != view {
            guard let row = try store.release(run.release) else { return absent() }
            open = OpenRelease(view: view, release: run.release, row: row)
        }
        guard let row = open?.row, run.first + run.count <= UInt64(row.release.chunks) else { return absent() }
        let message: Chunks
        do {
            let entries = try piece(from: Int(run.first), to: Int(run.first + run.count))
            message = try encode(view, run, entries, of: row.servedBy, in: store)
        } catch StoreFault.damaged {
            // Of this release nothing comes until it is healed; all else goes on.
            return absent(isUnreadable: true)
        }
        let after = run.first + message.count
        let end = run.first + run.count
        let rest =
            after < end - (SeededBug.isOn(.offByOneRange) ? 1 : 0)
            ? GetChunks.Run(release: run.release, first: after, count: end - after) : nil
        return (message.frame, rest, false)
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

    func entry(_ number: Int) throws -> ChunkEntry {
        guard var release = open else { preconditionFailure("no open release") }
        let page = number / Limits.indexPageChunks
        if release.page?.number != page {
            release.page = (page, try IndexPage.decode(try context.body(at: release.row.pages[page], of: release.release)))
            open = release
        }
        guard let entries = release.page?.entries else { preconditionFailure("page was just read") }
        return entries[number % Limits.indexPageChunks]
    }

    /// A stored block goes out as it lies when it is exactly the chunks that are to be sent; otherwise they are gathered and compressed anew:
    /// a neighbour in the block may belong to another view, an older version or an unredacted original (SYNC.md §5).
    private func encode(
        _ view: Digest, _ run: GetChunks.Run, _ entries: [ChunkEntry], of city: CityID, in store: any MetadataReading
    ) throws -> Chunks {
        // Where the first chunk lies the others mostly lie too.
        guard let first = try store.chunkLocations(of: city, [entries[0].id])[0] else {
            throw missing(entries[0], of: run.release)
        }
        let stored = try context.block(at: first.block, of: run.release)
        if stored.chunks == entries || (SeededBug.isOn(.storedBlockWithNeighbours) && stored.chunks.starts(with: entries)) {
            return Chunks(
                view: view, release: run.release, first: run.first, count: UInt64(entries.count), codec: stored.codec,
                rawLength: UInt32(stored.rawLength), bytes: stored.bytes)
        }
        let raw = try gather(
            entries, try places(of: entries, from: city, run.release, in: store), of: run.release, beginningIn: stored,
            at: first.block)
        let packed = raw.withUnsafeBytes { Block.encode(raw: $0) }
        return Chunks(
            view: view, release: run.release, first: run.first, count: UInt64(entries.count), codec: packed.codec,
            rawLength: UInt32(raw.count), bytes: packed.bytes)
    }

    private func missing(_ entry: ChunkEntry, of release: Digest) -> StoreFault {
        let what = "chunk \(entry.id.short) is not in the store"
        context.damage.note(release, block: nil, what)
        return .damaged(what)
    }

    func places(of entries: [ChunkEntry], from city: CityID, _ release: Digest, in store: any MetadataReading) throws
        -> [ChunkLocation]
    {
        try zip(entries, store.chunkLocations(of: city, entries.map(\.id))).map { entry, place in
            guard let place else { throw missing(entry, of: release) }
            return place
        }
    }

    func gather(
        _ entries: [ChunkEntry], _ places: [ChunkLocation], of release: Digest, beginningIn stored: StoredBlock,
        at location: ContentLocation
    ) throws -> [UInt8] {
        var raw: [UInt8] = []
        raw.reserveCapacity(entries.reduce(0) { $0 + Int($1.length) })
        defer { effortBytes += raw.count }
        for (entry, place) in zip(entries, places) {
            let bytes = try recentBlocks.raw(at: place.block) {
                let block = try place.block == location ? stored : context.block(at: place.block, of: release)
                effortBytes += block.rawLength
                return try context.raw(block, at: place.block, of: release)[...]
            }
            guard Int(place.offset) + Int(place.length) <= bytes.count, place.length == entry.length else {
                let what = "chunk \(entry.id.short) lies outside its block"
                context.damage.note(release, block: place.block, what)
                throw StoreFault.damaged(what)
            }
            raw += bytes[Int(place.offset)..<Int(place.offset + place.length)]
        }
        return raw
    }
}

extension Publisher.RunLine {
    var first: GetChunks.Run? { head < runs.count ? runs[head] : nil }

    mutating func append(_ run: GetChunks.Run) {
        runs.append(run)
        chunks += Int(run.count)
    }

    mutating func prepend(_ more: [GetChunks.Run]) {
        runs.replaceSubrange(..<head, with: more)
        head = 0
        chunks += more.reduce(0) { $0 + Int($1.count) }
    }

    /// The first run is answered but for `rest`.
    mutating func advance(to rest: GetChunks.Run?) {
        chunks -= Int(runs[head].count) - Int(rest?.count ?? 0)
        if let rest {
            runs[head] = rest
        } else {
            head += 1
            if head > 1024 {
                runs.removeFirst(head)
                head = 0
            }
        }
    }
}
