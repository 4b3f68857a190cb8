import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

/// A partner that lies: what it sends is changed on its way, and the honest side refuses, keeps its state and goes on.
@Suite struct HostileTests {
    /// Kitchener publishes to Auckland; frames that it sends pass through `change`.
    static func pull(
        chunks: UInt64 = 5, limits: ExchangeLimits = ExchangeLimits(), change: (Frame) throws -> [Frame]
    ) throws -> (exchange: Exchange, release: Digest, fault: ProtocolFault?) {
        let world = try Exchange.cities(limits: limits)
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        let release = try world.nodes[0].publish("roads", Exchange.content(1, chunks: chunks))
        let exchange = Exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        do {
            for _ in 0..<200 where !asks.isEmpty {
                let answers = try exchange.answers(to: asks).flatMap(change)
                asks = try exchange.asks(after: answers)
            }
        } catch ExchangeFault.peer(let fault) {
            return (exchange, release, fault)
        }
        return (exchange, release, nil)
    }

    static func refusal(_ result: (exchange: Exchange, release: Digest, fault: ProtocolFault?)) throws -> String? {
        let holding = try result.exchange.holding(result.release)
        #expect(try result.exchange.auckland.metadata.read { try $0.release(result.release) } == nil)
        return holding?.state == .refused ? holding?.reason : nil
    }

    @Test func anHonestOneIsAccepted() throws {
        let result = try Self.pull { [$0] }
        #expect(try result.exchange.holding(result.release)?.state == .accepted)
    }

    @Test func wrongChunksThreeTimesAreRefusedBySignedReceipt() throws {
        var wrong = 0
        let result = try Self.pull { frame in
            guard frame.type == .chunks else { return [frame] }
            var chunks = try Chunks(frame)
            chunks.bytes = Block.encode(raw: [UInt8](repeating: 9, count: Int(chunks.rawLength))).bytes[...]
            chunks.codec = .zstd
            wrong += 1
            return [chunks.frame]
        }
        #expect(result.fault == nil)
        #expect(wrong == 3)
        #expect(try Self.refusal(result) == "content-hash")
        let view = try #require(try result.exchange.holding(result.release)?.view)
        #expect(try result.exchange.kitchener.metadata.read { try $0.member(view, result.release)?.outcome } == .refused)
        // A refusal leaves both sides equal: nothing is asked again.
        #expect(result.exchange.puller.isSettled)
    }

    @Test func aWrongChunkOnceIsAskedForAgain() throws {
        var isFirst = true
        let result = try Self.pull { frame in
            guard frame.type == .chunks, isFirst else { return [frame] }
            isFirst = false
            var chunks = try Chunks(frame)
            chunks.bytes[chunks.bytes.startIndex + chunks.bytes.count / 2] ^= 1
            return [chunks.frame]
        }
        #expect(try result.exchange.holding(result.release)?.state == .accepted)
    }

    @Test func aBombIsNotUnpacked() throws {
        let bomb = Block.encode(raw: [UInt8](repeating: 0, count: 1 << 20))
        let result = try Self.pull { frame in
            guard frame.type == .chunks else { return [frame] }
            var chunks = try Chunks(frame)
            (chunks.codec, chunks.bytes) = (bomb.codec, bomb.bytes[...])
            return [chunks.frame]
        }
        #expect(try Self.refusal(result) == "content-hash")
        // Saying that it is larger than was asked for ends the session.
        let larger = try Self.pull { frame in
            guard frame.type == .chunks else { return [frame] }
            var chunks = try Chunks(frame)
            (chunks.codec, chunks.bytes, chunks.rawLength) = (bomb.codec, bomb.bytes[...], 1 << 20)
            return [chunks.frame]
        }
        #expect(larger.fault == .malformed(.chunks, "not what was asked for"))
    }

    @Test(arguments: ["table", "page", "size"]) func anIndexThatIsNotTheOneSignedIsRefused(part: String) throws {
        let result = try Self.pull { frame in
            guard frame.type == .index else { return [frame] }
            var message = try IndexParts(frame)
            message.parts = message.parts.map { item in
                switch item {
                case .table(let release, let total, let from, var bytes) where part == "table":
                    bytes[bytes.count - 1] ^= 1
                    return .table(release: release, total: total, from: from, bytes: bytes)
                case .page(let release, let number, var bytes) where part == "page":
                    bytes[3] ^= 1
                    return .page(release: release, number: number, bytes: bytes)
                case .page(let release, let number, var bytes) where part == "size":
                    bytes[35] ^= 1
                    return .page(release: release, number: number, bytes: bytes)
                default: return item
                }
            }
            return [message.frame]
        }
        #expect(try Self.refusal(result) == "index")
    }

    @Test func partsOfAnIndexOutOfOrderEndTheSession() throws {
        let result = try Self.pull { frame in
            guard frame.type == .index else { return [frame] }
            var message = try IndexParts(frame)
            message.parts = message.parts.map { item in
                if case .table(let release, let total, _, let bytes) = item {
                    return .table(release: release, total: total + 1, from: 1, bytes: bytes)
                }
                return item
            }
            return [message.frame]
        }
        #expect(result.fault != nil)
        #expect(try result.exchange.holding(result.release) == nil)
    }

    @Test func aDocumentThatNobodyAskedForEndsTheSession() throws {
        let result = try Self.pull { frame in
            guard frame.type == .releases else { return [frame] }
            var message = try Releases(frame)
            message.items = message.items.compactMap { item in
                item.envelope.map {
                    let other = Envelope(type: .release, payload: $0.payload + [0x20], signatures: $0.signatures)
                    return Releases.Item(release: other.digest, envelope: other)
                }
            }
            return [message.frame]
        }
        #expect(result.fault != nil)
        #expect(try result.exchange.holding(result.release) == nil)
    }

    @Test func aDocumentWithoutItsSignatureIsRefused() throws {
        let result = try Self.pull { frame in
            guard frame.type == .releases else { return [frame] }
            var message = try Releases(frame)
            message.items = message.items.map { item in
                Releases.Item(
                    release: item.release,
                    envelope: item.envelope.map { Envelope(type: .release, payload: $0.payload, signatures: []) })
            }
            return [message.frame]
        }
        #expect(try Self.refusal(result) == "signature")
    }

    @Test func feedsThatNobodyCanHoldEndTheSession() throws {
        var limits = ExchangeLimits()
        limits.outstandingMax = 10_000
        let cursor = [UInt8](repeating: 1, count: 16)
        var sent = 0
        let result = try Self.pull(limits: limits) { frame in
            guard frame.type == .feed, var feed = try? Feed(frame), feed.status == .changes, sent == 0 else { return [frame] }
            var frames: [Frame] = []
            for page in 0..<10 {
                feed.changes = (0..<2048).map {
                    .add(release: SHA256.hash([UInt8(page), UInt8($0 & 255), UInt8($0 >> 8)]), level: 2, transfer: cursor)
                }
                feed.more = true
                feed.cursor = cursor
                frames.append(feed.frame)
                feed.since = cursor
                sent += 1
            }
            return frames
        }
        #expect(result.fault == .unexpected(.feed, "more than a recipient can take"))
    }

    @Test func aReleaseNotGrantedAnswersAsOneThatDoesNotExist() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/open/**", under: agreement)
        try world.nodes[0].publish("open/a", Exchange.content(1))
        let hidden = try world.nodes[0].publish("secret/a", Exchange.content(1))
        let exchange = Exchange(world)
        try exchange.run()
        let view = try #require(
            try world.nodes[0].metadata.read { try $0.publishedViews() }.first { $0.recipient == world.nodes[1].city }?.id)
        let nothing = SHA256.hash([1, 2, 3])
        /// The answer's body, with the echoed id blotted out.
        func answer(_ release: Digest, in view: Digest, _ ask: (Digest, Digest) -> Frame) throws -> [[UInt8]] {
            try exchange.answers(to: [ask(view, release)]).map { frame in
                var body = frame.body
                for start in 0...(body.count - 32) where Array(body[start..<(start + 32)]) == release.bytes {
                    body.replaceSubrange(start..<(start + 32), with: [UInt8](repeating: 0, count: 32))
                }
                return body
            }
        }
        let asks: [(Digest, Digest) -> Frame] = [
            { GetReleases(view: $0, releases: [$1]).frame },
            { GetIndex(view: $0, asks: [.init(release: $1, tableFrom: 0, firstPage: 0, pageCount: 1)]).frame },
            { GetChunks(view: $0, runs: [.init(release: $1, first: 0, count: 3)]).frame },
        ]
        for ask in asks {
            let refused = try answer(hidden, in: view, ask)
            #expect(!refused.isEmpty)
            #expect(try refused == answer(nothing, in: view, ask))
        }
        // A view of someone else, and one that does not exist.
        #expect(
            try exchange.answers(to: [
                Views(round: 1, lines: [.init(view: nothing, policyEpoch: .zero, cursor: [], digest: .zero)]).frame
            ])
                == [Feed(round: 1, view: nothing, status: .none).frame])
        // Beyond the index: as what does not exist.
        let open = try #require(try world.nodes[0].metadata.read { try $0.members(view, addedAfter: 0, limit: 1) }.first?.release)
        #expect(
            try exchange.answers(to: [GetChunks(view: view, runs: [.init(release: open, first: 2, count: 2)]).frame])
                == [Chunks(view: view, release: open, first: 2, count: 0, codec: .raw, rawLength: 0, bytes: []).frame])
    }

    /// A stored block that spans chunks of a release the partner may not see never leaves whole.
    @Test func aBlockWithANeighbourFromAHiddenReleaseIsMadeAnew() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        let all = (0..<6).map { WorldContent.chunk(500 + UInt64($0), count: 6000) }
        // The hidden one comes first, so that its block holds all six; the open one names the middle two.
        try world.nodes[0].publish("secret/a", WorldContent(chunks: all))
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/open/**", under: agreement)
        let open = try world.nodes[0].publish("open/a", WorldContent(chunks: Array(all[2..<4])))
        let exchange = Exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        var content: [UInt8] = []
        while !asks.isEmpty {
            let answers = try exchange.answers(to: asks)
            for frame in answers where frame.type == .chunks {
                let chunks = try Chunks(frame)
                content += try Block.decode(chunks.codec, chunks.bytes, rawLength: Int(chunks.rawLength))
            }
            asks = try exchange.asks(after: answers)
        }
        #expect(content == all[2] + all[3])
        #expect(try world.nodes[1].files(of: open) == WorldContent(chunks: Array(all[2..<4])))
    }

    /// What another city gave us is asked for again here: whether we ask would tell this publisher what we hold.
    @Test func chunksHeldFromAnotherCityAreAskedForAllTheSame() throws {
        let world = try World(seed: 4, cities: ["kitchener.ca", "auckland.nz", "boston.gov"])
        let one = try world.agree(0, 1, id: "one")
        let two = try world.agree(2, 1, id: "two")
        let auckland = world.nodes[1]
        try world.nodes[0].grant(auckland.city, "kitchener.ca/**", under: one)
        try world.nodes[2].grant(auckland.city, "boston.gov/**", under: two)
        try world.nodes[0].publish("roads", Exchange.content(1))
        world.connect(0, 1)
        world.run(seconds: 20)
        try world.nodes[2].publish("streets", Exchange.content(1))
        world.connect(1, 2)
        world.run(seconds: 20)
        #expect(try world.differences() == [])
        func asked(of city: CityID) throws -> UInt64 {
            try world.sent.filter { $0.to == city && $0.frame.type == .getChunks }.flatMap { try GetChunks($0.frame).runs }
                .reduce(0) { $0 + $1.count }
        }
        #expect(try asked(of: world.nodes[0].city) == 3)
        #expect(try asked(of: world.nodes[2].city) == 3)
    }

    @Test func aReleaseIssuedAnHourAheadIsTakenUpWhenItIsDue() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        // The publisher's clock is an hour ahead, or the administrator dated it so: the same to the recipient.
        let release = try world.nodes[0].publish("roads", Exchange.content(1), issued: world.now.adding(seconds: 3600))
        world.connect(0, 1)
        world.run(seconds: 60)
        let puller = try #require(world.nodes[1].puller(to: world.nodes[0].city))
        #expect(try world.nodes[1].metadata.read { try $0.release(release) } == nil)
        #expect(puller.isOnlyParked)
        #expect(puller.nextDue == World.start.adding(seconds: 3000))
        let package = try PackageID(city: world.nodes[0].city, path: "roads")
        #expect(try puller.waiting(for: package) == .notYetDue(World.start.adding(seconds: 3000)))
        #expect(try puller.waiting(for: PackageID(city: world.nodes[0].city, path: "other")) == nil)
        world.run(seconds: 3000)
        #expect(try world.nodes[1].files(of: release) == Exchange.content(1))
        #expect(try world.differences() == [])
        #expect(try puller.waiting(for: package) == nil)
    }

    /// Two documents for one number: the second is refused, whether it comes with the first or after it.
    @Test func aForkIsRefused() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        try world.nodes[0].publish("roads", Exchange.content(3))
        let first = try world.nodes[0].publish("roads", Exchange.content(1))
        let exchange = Exchange(world)
        try exchange.run()
        // The publisher forgets, as one restored behind our back does, and signs the number again.
        let package = try PackageID("kitchener.ca/roads")
        let row = try #require(try world.nodes[0].metadata.read { try $0.package(package) })
        _ = try world.nodes[0].change { tx in
            var before = row
            (before.lastSeq, before.headSeq) = (1, 1)
            try tx.put(before)
            return ExchangeChanges()
        }
        let second = try world.nodes[0].publish("roads", Exchange.content(2))
        try exchange.run()
        #expect(try exchange.holding(first)?.state == .accepted)
        #expect(try exchange.holding(second)?.state == .refused)
        #expect(try exchange.holding(second)?.reason == "fork")
    }

    /// A withdrawal under the number of a release is evidence too, and takes back what it says: its writer does not want it kept.
    @Test func aForkThatIsAWithdrawalTakesBack() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        try world.nodes[0].publish("roads", Exchange.content(3))
        let release = try world.nodes[0].publish("roads", Exchange.content(1))
        let exchange = Exchange(world)
        try exchange.run()
        #expect(try exchange.holding(release)?.state == .accepted)
        // The publisher forgets its second release, as one restored behind our back does.
        let package = try PackageID("kitchener.ca/roads")
        _ = try world.nodes[0].change { tx in
            guard var before = try tx.package(package),
                let first = try tx.releaseDigest(of: package, writer: package.city, seq: 1)
            else { return ExchangeChanges() }
            (before.lastSeq, before.headSeq, before.last, before.head) = (1, 1, first, first)
            try tx.put(before)
            return ExchangeChanges()
        }
        try world.nodes[0].withdraw("roads")
        let documents = DocumentExchange(world.nodes[0].context, peer: world.nodes[1].city)
        let taking = DocumentExchange(world.nodes[1].context, peer: world.nodes[0].city)
        for _ in 0..<2 {
            for frame in try documents.pending() {
                let (answer, _) = try taking.receive(frame, at: world.now)
                #expect(try DocumentsAcknowledged(answer).items.allSatisfy { $0.refusal == nil })
            }
        }
        #expect(try exchange.holding(release)?.state == .ended)
        let row = try #require(try world.nodes[1].metadata.read { try $0.package(package) })
        #expect(row.isWithdrawn && row.withdrawnSeq == 2)
        let disputes = try world.nodes[1].metadata.read { try $0.disputes(of: package) }
        #expect(disputes.map(\.kind) == [.fork])
    }
}
