// Looks at every frame that leaves for what its reader may not know (S1) and for what was revoked (S12).
//
// Every 32 bytes that derive from a release (its digest, index root, table, pages, files, chunks) are known by whose they are. Frames are taken
// apart as their reader would, compressed parts included, and searched for the ids of releases outside the reader's views at that moment. Content
// must be the chunks that its frame names and nothing beside them.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaSync
internal import HansaTerms

public final class TaintWatch {
    private unowned let world: World
    private struct Origin: Hashable {
        let publisher: CityID
        let release: Digest
    }
    private var marks: [UInt64: [Digest: Set<Origin>]] = [:]
    /// Whether a mark begins with bytes that end in these 16 bits: most bytes of a frame are passed over by it.
    private var begins = [Bool](repeating: false, count: 1 << 16)
    private var publications: [Digest: WorldPublication] = [:]
    private var withdrawn: [PackageID: UInt64] = [:]
    /// What names of offers stand for, as feeds told them.
    private var offers: [Digest: Digest] = [:]
    private var learnt = 0
    public private(set) var framesChecked = 0

    public init(_ world: World) {
        self.world = world
        world.onFrames = { [unowned self] node, peer, frames, now in
            guard !node.isHostile else { return }
            do { try self.check(node, peer, frames, now) } catch { self.world.findings.append("S1: \(error)") }
        }
        world.leaves = { [unowned self] connection, frame in
            guard frame.type.isContent, !connection.node.isHostile else { return }
            self.checkLeaving(connection, frame)
        }
    }

    private static func head(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }

    private func learn() {
        for publication in world.publications[learnt...] {
            publications[publication.digest] = publication
            if publication.release.operation == .withdraw {
                withdrawn[publication.release.package] = max(withdrawn[publication.release.package] ?? 0, publication.release.seq)
            }
            let origin = Origin(publisher: publication.city, release: publication.digest)
            for mark in publication.marks {
                let head = TaintWatch.head(mark.bytes[...])
                marks[head, default: [:]][mark, default: []].insert(origin)
                begins[Int(head & 0xFFFF)] = true
            }
        }
        learnt = world.publications.count
    }

    /// What one partner may see of ours at one moment, decided as it is asked.
    private struct Sight {
        let peer: CityID
        let now: Timestamp
        let store: any MetadataReading
        let policy: Policy
        let active: [AgreementRecord]
        let all: [AgreementRecord]
        var known: [Digest: Grant.Level?] = [:]
    }

    private func level(_ digest: Digest, _ node: WorldNode, _ sight: inout Sight) -> Grant.Level? {
        if let known = sight.known[digest] { return known }
        var level: Grant.Level?
        if let release = publications[digest]?.release, release.writer == sight.peer {
            // What a city signed is given back to it when it lost it: no news to it, whoever shows it.
            level = .sync
        } else if let release = publications[digest]?.release {
            let request = AccessRequest(
                package: release.package, kind: release.kind, tlp: release.tlp,
                withdrawn: release.seq(of: release.package.city) <= withdrawal(of: release.package, node, sight),
                writer: release.writer, publisher: node.city,
                recipient: sight.peer)
            for record in sight.active {
                if case .permit(let permit) = sight.policy.decision(on: request, under: record.digest, at: sight.now) {
                    level = max(level ?? permit.level, permit.level)
                }
            }
        }
        sight.known[digest] = .some(level)
        return level
    }

    /// Who was put back to an earlier state may not know what it withdrew; who writes or passes on what is another's may not have heard yet.
    private func withdrawal(of package: PackageID, _ node: WorldNode, _ sight: Sight) -> UInt64 {
        if package.city == node.city { return node.restores == 0 ? withdrawn[package] ?? 0 : 0 }
        return (try? sight.store.package(package)?.withdrawnSeq ?? 0) ?? 0
    }

    private func wasSent(_ digest: Digest, _ node: WorldNode, _ sight: Sight) throws -> Bool {
        try sight.all.contains {
            try sight.store.member($0.viewID(publisher: node.city, recipient: sight.peer), digest)?.sent == true
        }
    }

    private func check(_ node: WorldNode, _ peer: CityID, _ frames: [Frame], _ now: Timestamp) throws {
        learn()
        try node.metadata.read { store in
            let all = try store.agreements().filter { $0.isParty(peer) }
            var sight = Sight(
                peer: peer, now: now, store: store, policy: try store.policy(),
                active: all.filter { $0.state(at: now) == .active },
                all: all)
            for frame in frames {
                framesChecked += 1
                if frame.type == .feed { note(try Feed(frame)) }
                try check(node, frame, &sight)
            }
        }
    }

    private func note(_ feed: Feed) {
        for case .add(let release, _, let transfer) in feed.changes {
            if let name = OfferName.of(transfer) { offers[name] = release }
        }
    }

    private func release(named name: Digest) -> Digest { offers[name] ?? name }

    private func check(_ node: WorldNode, _ frame: Frame, _ sight: inout Sight) throws {
        let (bytes, ids, contents) = try takeApart(frame) { level($0, node, &sight) == .sync }
        for content in contents {
            if level(content.release, node, &sight) != .sync {
                let name = try wasSent(content.release, node, sight) ? "S12" : "S1"
                report(node, sight.peer, frame, "content of \(content.release.short) leaves and is not granted", name)
            } else if let why = contentError(content, { level($0, node, &sight) == .sync }) {
                report(node, sight.peer, frame, why)
            }
        }
        for id in ids.union(search(bytes)) {
            guard let origins = marks[TaintWatch.head(id.bytes[...])]?[id] else { continue }
            // What a publisher says must be granted whoever wrote it; elsewhere it may speak of what others gave it.
            let isPublishing = [.feed, .releases, .index, .chunks, .small].contains(frame.type)
            let ours = isPublishing ? origins : origins.filter { $0.publisher == node.city }
            guard !ours.isEmpty, !ours.contains(where: { level($0.release, node, &sight) != nil }) else { continue }
            if try isExcused(id, frame, node, &sight) { continue }
            report(node, sight.peer, frame, "an id of \(ours.map(\.release.short).sorted().joined(separator: ", ")) leaves")
        }
    }

    /// What may be named though it may not be seen.
    private func isExcused(_ id: Digest, _ frame: Frame, _ node: WorldNode, _ sight: inout Sight) throws -> Bool {
        let publication = publications[id]
        let ofPackage = publication.map { one in
            publications.values.filter { $0.release.package == one.release.package }.map(\.digest)
        }
        switch frame.type {
        case .feed:
            // A drop of what it was sent; an id listed now must be permitted now.
            let isListed = (try? Feed(frame))?.changes.contains { if case .add(id, _, _) = $0 { true } else { false } } ?? false
            return try !isListed && wasSent(id, node, sight)
        case .documents where publication?.release.operation == .withdraw: return true
        case .documents: return try ofPackage?.contains { try wasSent($0, node, sight) } ?? false
        // As a recipient we answer what it sent us.
        case .getReleases, .getIndex, .getChunks, .getDelta, .getSmall, .receipt, .accepted: return true
        case .releases, .index, .chunks, .small:
            // Echoes: the partner named the id itself.
            if isEcho(frame, id) { return true }
            // Earlier releases of the same package are named in the chain of one that it may see.
            guard frame.type == .releases, let ofPackage else { return false }
            return ofPackage.contains { level($0, node, &sight) != nil }
        default: return false
        }
    }

    /// Content that was made before a change and leaves after it.
    private func checkLeaving(_ connection: WorldConnection, _ frame: Frame) {
        let node = connection.node
        guard let (view, releases) = viewAndReleases(of: frame), let peer = connection.peer,
            // What a running job has changed is not heard of yet.
            !node.connections.values.contains(where: \.isPullingNow)
        else { return }
        for release in releases {
            let row = try? node.metadata.read { store -> MemberRow? in
                guard try store.publishedView(view)?.recipient == peer else { return nil }
                return try store.member(view, release)
            }
            if let row, row.dropped != nil {
                report(node, peer, frame, "content of \(release.short) leaves after it was dropped", "S12")
            }
        }
    }

    private struct Content {
        let release: Digest
        let runs: [Range<Int>]
        let rawLength: Int
        let form: Form
        enum Form {
            case block(Block.Codec, ArraySlice<UInt8>)
            /// Unpacked, with what came before and after it in the frame.
            case part([UInt8])
            /// Against bases that nobody here knows.
            case unread
            case delta([Range<Int>], ArraySlice<UInt8>)
        }
    }

    /// The view and the releases of a frame that carries content.
    private func viewAndReleases(of frame: Frame) -> (Digest, [Digest])? {
        switch frame.type {
        case .chunks: (try? Chunks(frame)).flatMap { $0.count > 0 ? ($0.view, [$0.release]) : nil }
        case .delta: (try? Delta(frame)).map { ($0.view, [$0.release]) }
        case .small:
            (try? Small(frame)).map { ($0.view, $0.items.filter { !$0.files.isEmpty }.map { release(named: $0.release) }) }
        default: nil
        }
    }

    /// `mayHave`: whether the reader may have a release in full.
    private func contentError(_ content: Content, _ mayHave: (Digest) -> Bool) -> String? {
        guard let publication = publications[content.release], !publication.entries.isEmpty else { return nil }
        let entries = publication.entries
        guard content.runs.allSatisfy({ $0.upperBound <= entries.count }) else {
            return "chunks beyond the index of \(content.release.short) leave"
        }
        let sent = content.runs.flatMap { entries[$0] }
        guard sent.reduce(0, { $0 + Int($1.length) }) == content.rawLength else {
            return "more than the chunks that were asked for of \(content.release.short) leaves"
        }
        switch content.form {
        case .unread: return nil
        case .part(let raw):
            return TaintWatch.isEach(sent, in: raw) ? nil : "other bytes than the chunks of \(content.release.short) leave"
        case .block(let codec, let bytes):
            // Unpacking every frame would cost more than the rest of the history: the recipient's own checks see the others.
            guard framesChecked % 4 == 0 else { return nil }
            guard let raw = try? Block.decode(codec, bytes, chunks: sent) else {
                return "content of \(content.release.short) leaves that cannot be unpacked"
            }
            return TaintWatch.isEach(sent, in: raw) ? nil : "other bytes than the chunks of \(content.release.short) leave"
        case .delta(let reference, let bytes):
            // Which base it is against stands in the question: some release of the package, which the reader may have in full.
            let bases = publications.values.filter {
                $0.release.package == publication.release.package && $0.digest != content.release && mayHave($0.digest)
            }
            let isMade = bases.contains { base in
                guard let chunks = base.content?.files.flatMap(\.chunks), reference.allSatisfy({ $0.upperBound <= chunks.count })
                else { return false }
                let before = reference.flatMap { chunks[$0] }.flatMap { $0 }
                guard let raw = try? Block.decodeDelta(bytes, rawLength: content.rawLength, reference: before) else {
                    return false
                }
                return TaintWatch.isEach(sent, in: raw)
            }
            return isMade ? nil : "a delta of \(content.release.short) leaves against what its reader may not have"
        }
    }

    private static func isEach(_ entries: [ChunkEntry], in raw: [UInt8]) -> Bool {
        var offset = 0
        return entries.allSatisfy { entry in
            defer { offset += Int(entry.length) }
            return ContentMemo.isChunk(raw[offset..<(offset + Int(entry.length))], entry)
        }
    }

    private func report(_ node: WorldNode, _ peer: CityID, _ frame: Frame, _ what: String, _ name: String = "S1") {
        world.findings.append("\(name): \(node.city) → \(peer), \(frame.type) at \(world.now): \(what)")
    }

    private func isEcho(_ frame: Frame, _ id: Digest) -> Bool {
        switch frame.type {
        case .releases: (try? Releases(frame))?.items.contains { release(named: $0.release) == id && $0.envelope == nil } ?? false
        case .index:
            (try? IndexParts(frame))?.parts.contains { if case .absent(id) = $0 { true } else { false } } ?? false
        case .chunks: (try? Chunks(frame)).map { $0.release == id && $0.count == 0 } ?? false
        case .small: (try? Small(frame))?.items.contains { release(named: $0.release) == id && $0.form == .absent } ?? false
        default: false
        }
    }

    private func search(_ bytes: [UInt8]) -> Set<Digest> {
        guard bytes.count >= 32, !marks.isEmpty else { return [] }
        var found: Set<Digest> = []
        var head: UInt64 = 0
        for index in bytes.indices {
            head = head << 8 | UInt64(bytes[index])
            guard begins[Int(head & 0xFFFF)], index >= 7, index - 7 + 32 <= bytes.count, let ids = marks[head] else { continue }
            let candidate = Array(bytes[(index - 7)..<(index + 25)])
            for id in ids.keys where id.bytes == candidate { found.insert(id) }
        }
        return found
    }

    /// The bytes to search, ids that stand in text, and the content it carries.
    private func takeApart(_ frame: Frame, _ mayHave: (Digest) -> Bool) throws -> (
        bytes: [UInt8], ids: Set<Digest>, contents: [Content]
    ) {
        switch frame.type {
        case .releases:
            let message = try Releases(frame)
            var ids: Set<Digest> = []
            for item in message.items {
                ids.insert(release(named: item.release))
                if let envelope = item.envelope { ids.formUnion(try TaintWatch.named(in: envelope)) }
            }
            return ([], ids, [])
        case .documents:
            var ids: Set<Digest> = []
            for item in try Documents(frame).items where item.envelope.type == .release {
                ids.formUnion(try TaintWatch.named(in: item.envelope))
            }
            return (frame.body, ids, [])
        case .index:
            var bytes: [UInt8] = []
            var ids: Set<Digest> = []
            for part in try IndexParts(frame).parts {
                switch part {
                case .table(let release, _, _, let part), .page(let release, _, let part), .pageDelta(let release, _, let part):
                    ids.insert(release)
                    bytes += part
                case .absent(let release): ids.insert(release)
                }
            }
            return (bytes, ids, [])
        case .chunks:
            let message = try Chunks(frame)
            guard message.count > 0 else { return ([], [message.release], []) }
            let run = Int(clamping: message.first)..<Int(clamping: message.first + message.count)
            return (
                [], [message.release],
                [
                    Content(
                        release: message.release, runs: [run], rawLength: Int(message.rawLength),
                        form: .block(message.codec, message.bytes))
                ]
            )
        case .delta:
            let message = try Delta(frame)
            return (
                [], [message.release],
                [
                    Content(
                        release: message.release, runs: message.runs, rawLength: Int(message.rawLength),
                        form: .delta(message.reference, message.bytes))
                ]
            )
        case .small:
            var message = try Small(frame)
            for index in message.items.indices { message.items[index].release = release(named: message.items[index].release) }
            let raw = unpacked(message, mayHave)
            let contents = message.items.enumerated().filter { !$0.element.files.isEmpty }.map { number, item in
                Content(
                    release: item.release, runs: [0..<item.files.count { $0.size > 0 }], rawLength: item.bytes,
                    form: raw.map { .part($0[number]) } ?? .unread)
            }
            return ([], Set(message.items.map(\.release)), contents)
        default: return (frame.body, [], [])
        }
    }

    /// What lies in a frame of small releases, of each. Of those against bases only one is looked into, by each release of its package that its reader may
    /// have: which ones were named stands in the question. What is shown of others their recipient's own check tells.
    private func unpacked(_ message: Small, _ mayHave: (Digest) -> Bool) -> [[UInt8]]? {
        func parts(_ unpacked: Small.Unpacked) -> [[UInt8]] { message.items.indices.map { unpacked.bytes(ofItem: $0) } }
        let against = message.items.filter { $0.form == .againstBase }
        if against.isEmpty { return (try? message.unpacked(history: [])).map(parts) }
        guard against.count == 1, let package = publications[against[0].release]?.release.package else { return nil }
        let bases = publications.values.filter {
            $0.release.package == package && $0.digest != against[0].release && mayHave($0.digest)
        }
        for base in bases {
            let before = base.content?.files.flatMap(\.chunks).flatMap { $0 } ?? []
            guard let raw = (try? message.unpacked(history: before)).map(parts) else { continue }
            let isMade = zip(message.items, raw).allSatisfy { item, raw in
                item.files.isEmpty || TaintWatch.isEach(publications[item.release]?.entries ?? [], in: raw)
            }
            if isMade { return raw }
        }
        // None of what it may have: as bytes that are nothing.
        return message.items.map { [UInt8](repeating: 0, count: $0.bytes) }
    }

    private static func named(in envelope: Envelope) throws -> Set<Digest> {
        let release = try Release(payload: envelope.payload)
        return Set(
            [envelope.digest] + [release.previous, release.manifest, release.index?.root].compactMap { $0 } + release.parents)
    }
}
