// What a city does with its stores beside the exchange: it collects what nobody needs, and reads what it has. And what its disk does: bits turn at rest.
internal import HansaContent
internal import HansaCore
internal import HansaDocuments
internal import HansaStore
internal import HansaSync
internal import HansaTerms

extension WorldNode {
    // MARK: Collection

    /// One pass, as the node's `Collector` makes it. Nothing where rows are not in SQLite.
    func collect() throws -> StoreCollection.Report? {
        guard let collection else { return nil }
        passes += 1
        // A publish is one event here: none is under way.
        return try collection.run(
            at: now, isAlone: false,
            unlessPublishing: {
                try $0()
                return true
            }, proceed: { _ in })
    }

    /// S11: every release that is held with its content, and every chunk that a transfer has marked, is read in full.
    func unreadable(_ publications: [Digest: WorldPublication]) throws -> [String] {
        var found: [String] = []
        let (releases, transfers) = try metadata.read { store -> ([ReleaseRow], [TransferRow]) in
            var rows: [ReleaseRow] = []
            for package in try store.packages(of: nil, after: nil, limit: .max) {
                rows += try store.releases(of: package.package).filter {
                    $0.hasContent && $0.release.operation != .withdraw && $0.release.ownerSeq > package.withdrawnSeq ?? 0
                }
            }
            return (rows, try store.transfers())
        }
        for row in releases {
            guard let known = publications[row.digest] else { continue }
            do {
                if try files(of: row.digest) != known.content { found.append("\(row.digest.short) is not what it was") }
            } catch let fault as StoreFault {
                found.append("\(row.digest.short) cannot be read: \(fault)")
            }
        }
        for row in transfers {
            guard let known = publications[row.release], !known.entries.isEmpty else { continue }
            let places = try metadata.read { store in
                try store.subscribedView(row.view).map { try store.chunkLocations(of: $0.publisher, known.entries.map(\.id)) }
            }
            guard let places else { continue }
            var blocks = WorldBlocks(content)
            for (number, entry) in known.entries.enumerated() where row.bitmap[number >> 3] & (1 << UInt8(number & 7)) != 0 {
                guard let place = places[number], let bytes = try? blocks.bytes(at: place), ContentMemo.isChunk(bytes, entry)
                else {
                    found.append("chunk \(number) of \(row.release.short), which is on its way, is gone")
                    break
                }
            }
        }
        return found
    }

    // MARK: Damage at rest

    /// A bit of a block turns that a partner's release needs, for good; then everything is read, as `store check` does. False where nothing is held.
    func damage() throws -> String? {
        let held = try metadata.read { store -> [(ReleaseRow, CityID)] in
            var rows: [(ReleaseRow, CityID)] = []
            for view in try store.subscribedViews() {
                for holding in try store.holdings(in: view.id, state: .accepted, after: nil, limit: .max) {
                    guard let row = try store.release(holding.release), row.hasContent, row.servedBy != self.city else {
                        continue
                    }
                    rows.append((row, view.publisher))
                }
            }
            return rows
        }
        guard !held.isEmpty else { return nil }
        let (row, _) = held[below(held.count)]
        var entries: [ChunkEntry] = []
        for page in row.pages {
            // Damaged before: nothing more is done to it.
            guard let bytes = try? content.body(at: page) else { return nil }
            entries += try IndexPage.decode(bytes)
        }
        let places = try metadata.read { try $0.chunkLocations(of: row.servedBy, entries.map(\.id)) }.compactMap(\.self)
        guard !places.isEmpty else { return nil }
        let block = places[below(places.count)].block
        let byte = Int(block.offset) + below(Int(block.length))
        guard disk.contents(WorldNode.path(of: block.segment)).map({ byte < $0.count }) ?? false else { return nil }
        disk.flipBit(WorldNode.path(of: block.segment), byte: byte, bit: below(8))
        bitsTurned += 1
        noteMisreads()
        try readAll()
        return "\(city) has a bit turned in a block of \(row.digest.short)"
    }

    /// Reads all content, and notes what cannot be read.
    func readAll() throws {
        let rows = try metadata.read { store in
            try store.packages(of: nil, after: nil, limit: .max).flatMap { try store.releases(of: $0.package) }
        }
        for row in rows where row.release.operation != .withdraw {
            do {
                _ = try content.body(at: row.document)
                var entries: [ChunkEntry] = []
                for place in row.table { _ = try content.body(at: place) }
                for place in row.pages { entries += try IndexPage.decode(try content.body(at: place)) }
                let places = try metadata.read { try $0.chunkLocations(of: row.servedBy, entries.map(\.id)) }
                if places.contains(where: { $0 == nil }) { context.damage.note(row.digest, block: nil, "a chunk is not here") }
                for place in Set(places.compactMap { $0?.block }).sorted(by: { ($0.segment, $0.offset) < ($1.segment, $1.offset) }
                )
                where !isReadable(place) {
                    context.damage.note(row.digest, block: place, "a block cannot be read")
                }
            } catch StoreFault.damaged(let what) {
                context.damage.note(row.digest, block: nil, what)
            }
        }
    }

    private func isReadable(_ place: ContentLocation) -> Bool {
        guard let stored = try? content.block(at: place) else { return false }
        return (try? Block.decode(stored.codec, stored.bytes, rawLength: stored.rawLength)) != nil
    }

    /// Whether somebody who may give it has a release that is listed as damaged here.
    func isHealable(_ release: Digest) throws -> Bool {
        for other in world.nodes where other !== self && !other.isHostile && !other.isDown {
            let isShown = try other.metadata.read { store in
                try store.damage(of: release) == nil
                    && store.publishedViews().contains { view in
                        guard view.recipient == self.city, let member = try store.member(view.id, release) else { return false }
                        return member.dropped == nil && member.level == .sync
                    }
            }
            if isShown { return true }
        }
        return false
    }

    static func path(of segment: UInt32) -> String {
        let digits = String(segment, radix: 16)
        return "segments/" + String(repeating: "0", count: 8 - digits.count) + digits + ".seg"
    }
}
