// A partner that lies. Its keys and its place among the partners are real, its node works as it should; what leaves it is changed, repeated, made up
// or meant for somebody else, as its seed decides. Honest nodes may end sessions with it and refuse what it says; they must not trap, commit what
// was not signed and agreed, leak, or be held up with each other.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaSync

public final class WorldHostility {
    private unowned let world: World
    private unowned let node: WorldNode
    private var random: SplitMix64
    /// One frame in so many is changed.
    private let rarity: Int
    private var held: [CityID: [UInt8]] = [:]
    private var seen: [Frame] = []
    /// Frames of these types wait here, to be sent later.
    private var kept: (types: Set<FrameType>, frames: [(type: FrameType, send: () -> Void)]) = ([], [])
    /// What it did, by name.
    private(set) var deeds: [String: Int] = [:]

    init(_ world: World, _ node: WorldNode, seed: UInt64) {
        self.world = world
        self.node = node
        random = SplitMix64(seed: seed)
        rarity = [2, 6, 25][Int(random.next() % 3)]
    }

    private func below(_ bound: Int) -> Int { Int(random.next() % UInt64(max(1, bound))) }
    private func digest() -> Digest { Digest(random.next(), random.next(), random.next(), random.next()) }

    /// From now on frames of these types wait; those of other types that waited go out, in their order.
    func keep(_ types: Set<FrameType>) {
        let frames = kept.frames
        kept = (types, frames.filter { types.contains($0.type) })
        for frame in frames where !types.contains(frame.type) { frame.send() }
    }

    /// Whether a frame waits until `keep` lets it go.
    func keeps(_ frame: Frame, _ send: @escaping () -> Void) -> Bool {
        guard kept.types.contains(frame.type) else { return false }
        kept.frames.append((frame.type, send))
        return true
    }

    /// What goes out instead of a frame.
    func change(_ frame: Frame, to peer: CityID?) -> [[UInt8]] {
        if seen.count < 400 { seen.append(frame) } else { seen[below(seen.count)] = frame }
        var before: [[UInt8]] = []
        if let peer, let late = held.removeValue(forKey: peer) { before = [late] }
        guard below(rarity) == 0 else { return [frame.encoded] + before }
        let deed = below(18)
        let (name, out) = act(deed, frame, peer)
        deeds[name, default: 0] += 1
        return out + before
    }

    private func act(_ deed: Int, _ frame: Frame, _ peer: CityID?) -> (String, [[UInt8]]) {
        switch deed {
        case 0: return ("silence", [])
        case 1: return ("repetition", [frame.encoded, frame.encoded])
        case 2:
            if let peer { held[peer] = frame.encoded }
            return ("delay", [])
        case 3:
            var body = frame.body
            if !body.isEmpty { body[below(body.count)] ^= 1 << UInt8(below(8)) }
            return ("flipped bit", [Frame(frame.type, body: body).encoded])
        case 4: return ("short body", [Frame(frame.type, body: Array(frame.body.prefix(below(frame.body.count)))).encoded])
        case 5:
            return (
                "long body",
                [Frame(frame.type, body: frame.body + DeterministicRandom(seed: random.next()).bytes(1 + below(40))).encoded]
            )
        case 6: return ("replay", [seen[below(seen.count)].encoded, frame.encoded])
        case 7:
            // The largest varint, where a count or an id is expected.
            let type = FrameType.allCases[below(FrameType.allCases.count)]
            let wide = [UInt8](repeating: 0xFF, count: 8)
            return ("wide varint", [Frame(type, body: below(2) == 0 ? wide : digest().bytes + wide).encoded])
        case 8:
            let body = DeterministicRandom(seed: random.next()).bytes(below(200))
            return ("noise", [[0, 0, UInt8(body.count), UInt8(below(32)), UInt8(below(2))] + body])
        default: return lie(frame, peer)
        }
    }

    /// The view that a question names, or one that the same city shows somebody else.
    private func view(or own: Digest, of peer: CityID?) -> Digest {
        guard below(2) == 0, let asked = world.nodes.first(where: { $0.city == peer }) else { return own }
        let all = (try? asked.metadata.read { try $0.publishedViews().filter { $0.recipient != self.node.city }.map(\.id) }) ?? []
        return all.isEmpty ? own : all[below(all.count)]
    }

    /// A well-formed frame that says what is not so.
    private func lie(_ frame: Frame, _ peer: CityID?) -> (String, [[UInt8]]) {
        switch frame.type {
        case .feed:
            guard var feed = try? Feed(frame) else { break }
            switch below(6) {
            case 0: feed.digest = digest()
            case 1:
                // Releases of others, and such as nobody has.
                let known = world.publications.map(\.digest)
                let id = known.isEmpty || below(2) == 0 ? digest() : known[below(known.count)]
                feed.changes.append(.add(release: id, level: 2, transfer: DeterministicRandom(seed: random.next()).bytes(16)))
            case 2: if !feed.changes.isEmpty { feed.changes.removeLast() }
            case 3: feed.changes += feed.changes
            case 4:
                feed.changes = feed.changes.map { change in
                    switch change {
                    case .add(let release, _, let transfer): .add(release: release, level: 1, transfer: transfer)
                    case .drop(let release, let level): .drop(release: release, level: 3 - min(2, level))
                    }
                }
            default:
                feed.more.toggle()
                if below(2) == 0 { feed.status = .reset }
            }
            return ("lying feed", [feed.frame.encoded])
        case .equal:
            guard let message = try? EqualViews(frame) else { break }
            let lie = EqualViews(round: message.round + UInt64(below(3)), lines: [below(Views.countMax), 0])
            return ("lying of what is equal", [lie.frame.encoded])
        case .feedAcknowledged:
            guard var message = try? FeedAcknowledged(frame) else { break }
            if below(2) == 0 {
                message.digest = digest()
            } else {
                message.cursor = DeterministicRandom(seed: random.next()).bytes(16)
            }
            return ("lying acknowledgement", [message.frame.encoded])
        case .views:
            guard var message = try? Views(frame) else { break }
            for index in message.lines.indices {
                switch below(4) {
                case 0: message.lines[index].digest = digest()
                case 1: message.lines[index].cursor = DeterministicRandom(seed: random.next()).bytes(16)
                case 2: message.lines[index].cursor = []
                default: message.lines[index].epochMark = random.next()
                }
            }
            return ("lying views", [message.frame.encoded])
        case .announce: return ("lying announcement", [Announce(lines: [.init(view: digest(), digest: digest())]).frame.encoded])
        case .getReleases:
            guard let message = try? GetReleases(frame) else { break }
            // Everything that anybody ever published, in every view that it may have heard of.
            let all = Set(world.publications.map(\.digest)).sorted().prefix(200)
            return (
                "wants every release",
                [GetReleases(view: view(or: message.view, of: peer), releases: Array(all)).frame.encoded, frame.encoded]
            )
        case .getIndex:
            guard let message = try? GetIndex(frame) else { break }
            let all = Set(world.publications.map(\.digest)).sorted().prefix(60)
            let asks = all.map { GetIndex.Ask(release: $0, tableFrom: 0, firstPage: 0, pageCount: 100) }
            return (
                "wants every index", [GetIndex(view: view(or: message.view, of: peer), asks: asks).frame.encoded, frame.encoded]
            )
        case .getChunks:
            guard let message = try? GetChunks(frame) else { break }
            let all = world.publications.filter { !$0.entries.isEmpty }.suffix(60)
            let runs = all.map { GetChunks.Run(release: $0.digest, first: 0, count: UInt64($0.entries.count + below(2))) }
            return (
                "wants every chunk", [GetChunks(view: view(or: message.view, of: peer), runs: runs).frame.encoded, frame.encoded]
            )
        case .getDelta:
            guard let message = try? GetDelta(frame) else { break }
            // Against everything, also what it may not have: the answer would tell of it.
            let all = world.publications.filter { !$0.entries.isEmpty }.suffix(30)
            let asks = message.asks.flatMap { ask in
                all.map { GetDelta.Ask(release: ask.release, base: $0.digest, runs: ask.runs) }
                    + all.map { GetDelta.Ask(release: $0.digest, base: ask.base, runs: [0..<$0.entries.count]) }
            }
            return (
                "wants deltas against everything",
                [GetDelta(view: view(or: message.view, of: peer), asks: Array(asks.prefix(200))).frame.encoded, frame.encoded]
            )
        case .getSmall:
            guard let message = try? GetSmall(frame) else { break }
            let all = Set(world.publications.map(\.digest)).sorted().prefix(60)
            let bases = message.asks.map(\.release) + [nil]
            return (
                "wants every small release",
                [
                    GetSmall(
                        view: view(or: message.view, of: peer),
                        asks: all.map { GetSmall.Ask(release: $0, base: bases[below(bases.count)]) }
                    ).frame.encoded, frame.encoded,
                ]
            )
        case .small:
            guard var message = try? Small(frame), !message.items.isEmpty else { break }
            let index = below(message.items.count)
            switch below(5) {
            case 0:
                let bomb = Block.encode(raw: [UInt8](repeating: 0, count: 1 << 20))
                (message.codec, message.bytes) = (bomb.codec, bomb.bytes[...])
            case 1: message.items[index].release = SHA256.hash([UInt8(below(256))])
            case 2: message.items[index].form = .apart
            case 3: if !message.items[index].files.isEmpty { message.items[index].files[0].path = "../out" }
            default:
                var bytes = Array(message.bytes)
                if !bytes.isEmpty { bytes[below(bytes.count)] ^= 1 }
                message.bytes = bytes[...]
            }
            return ("lying small releases", [message.frame.encoded])
        case .releases:
            guard var message = try? Releases(frame) else { break }
            for index in message.items.indices {
                guard let envelope = message.items[index].envelope else { continue }
                switch below(3) {
                case 0: message.items[index].envelope = Envelope(type: envelope.type, payload: envelope.payload, signatures: [])
                case 1:
                    // Another city's document, well signed, where this one was asked for.
                    let other = Envelope(type: envelope.type, payload: envelope.payload + [0x20], signatures: envelope.signatures)
                    message.items[index] = .init(release: other.digest, envelope: other)
                default: message.items[index].envelope = nil
                }
            }
            return ("lying releases", [message.frame.encoded])
        case .chunks:
            guard var message = try? Chunks(frame), message.count > 0 else { break }
            switch below(4) {
            case 0:
                // As many bytes as were asked for, and others.
                let raw = [UInt8](repeating: UInt8(below(256)), count: Int(message.rawLength))
                let packed = Block.encode(raw: raw)
                (message.codec, message.bytes) = (packed.codec, packed.bytes[...])
            case 1:
                let bomb = Block.encode(raw: [UInt8](repeating: 0, count: 1 << 20))
                (message.codec, message.bytes) = (bomb.codec, bomb.bytes[...])
                if below(2) == 0 { message.rawLength = 1 << 20 }
            case 2: message.count += 1
            default: message.first += 1
            }
            return ("lying chunks", [message.frame.encoded])
        case .delta:
            guard var message = try? Delta(frame) else { break }
            switch below(4) {
            case 0:
                // A base that is not the one that was named, in part or whole.
                message.reference = [0..<(1 + below(8))]
            case 1:
                // As many zeros as fit, whatever was asked for.
                let bomb = Block.encode(raw: [UInt8](repeating: 0, count: 1 << 20))
                message.bytes = bomb.bytes[...]
                if below(2) == 0 { message.rawLength = 1 << 20 }
            case 2: message.runs = [0..<(1 + below(40))]
            default:
                var bytes = Array(message.bytes)
                if !bytes.isEmpty { bytes[below(bytes.count)] ^= 1 }
                message.bytes = bytes[...]
            }
            return ("lying delta", [message.frame.encoded])
        case .index:
            guard var message = try? IndexParts(frame), !message.parts.isEmpty else { break }
            let index = below(message.parts.count)
            switch message.parts[index] {
            case .table(let release, let total, let from, var bytes):
                if !bytes.isEmpty { bytes[below(bytes.count)] ^= 1 }
                message.parts[index] = .table(
                    release: release, total: below(2) == 0 ? total : total &+ 1 << UInt64(below(40)), from: from, bytes: bytes)
            case .page(let release, let number, var bytes):
                if !bytes.isEmpty { bytes[below(bytes.count)] ^= 1 }
                message.parts[index] = .page(release: release, number: number &+ UInt64(below(2)), bytes: bytes)
            case .pageDelta(let release, let number, var bytes):
                if !bytes.isEmpty { bytes[below(bytes.count)] ^= 1 }
                message.parts[index] = .pageDelta(release: release, number: number &+ UInt64(below(2)), bytes: bytes)
            case .absent: break
            }
            return ("lying index", [message.frame.encoded])
        case .credit: return ("endless credit", [Credit(bytes: 1 << UInt64(below(60))).frame.encoded])
        case .documentsAcknowledged:
            return (
                "lying word on documents",
                [DocumentsAcknowledged(items: [.init(id: UInt64(below(9)), refusal: "type")]).frame.encoded]
            )
        case .receipt:
            guard var message = try? ReceiptMessage(frame) else { break }
            message.id = UInt64(below(100))
            message.envelope = Envelope(type: .receipt, payload: message.envelope.payload, signatures: [])
            return ("unsigned receipt", [message.frame.encoded])
        case .accepted:
            guard var message = try? Accepted(frame) else { break }
            switch below(3) {
            case 0: message.issued = message.issued.adding(seconds: 1)
            case 1: message.offers[below(message.offers.count)] = Digest(UInt64(below(1000)), 0, 0, 0)
            default: message.offers += message.offers.prefix(1)
            }
            return ("lying receipt in short", [message.frame.encoded])
        case .reconcile:
            // Another round, counts and fingerprints of a set that it does not hold.
            var body = frame.body
            for _ in 0..<(1 + below(4)) where body.count > 32 { body[32 + below(body.count - 32)] = UInt8(below(256)) }
            return ("lying ranges", [Frame(.reconcile, body: body).encoded])
        case .hello, .documents, .error, .close, .checkpoint, .cosign: break
        }
        return ("nothing", [frame.encoded])
    }
}
