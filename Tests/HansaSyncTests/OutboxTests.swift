import HansaCore
import HansaCrypto
import HansaDocuments
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

/// What waits for a partner: once, in parts, and until it is acknowledged; a partner that never does costs no more for it.
@Suite struct OutboxTests {
    /// A document of so many bytes that is nothing but its number.
    private static func envelope(_ number: Int, _ type: DocumentType = .release, bytes: Int = 1000) -> Envelope {
        let text = Array("\(number) ".utf8)
        return Envelope(
            type: type, payload: text + [UInt8](repeating: 0x20, count: max(0, bytes - text.count)),
            signatures: [DocumentSignature(keyID: .zero, signature: [UInt8](repeating: 7, count: 64))])
    }

    private static func enqueue(_ envelopes: [Envelope], _ world: World) throws {
        try world.nodes[1].metadata.write(at: world.now) { tx in
            for envelope in envelopes { try tx.enqueue(envelope, to: world.nodes[0].city) }
        }
    }

    private static func rows(_ world: World) throws -> [OutboxRow] {
        try world.nodes[1].metadata.read { try $0.outbox(to: world.nodes[0].city, after: 0, limit: .max) }
    }

    private static func acknowledge(_ frames: [Frame], _ sender: DocumentExchange, _ world: World, refusal: String? = nil) throws
    {
        for frame in frames where frame.type == .documents {
            let items = try Documents(frame).items.map { DocumentsAcknowledged.Item(id: $0.id, refusal: refusal) }
            try sender.acknowledged(DocumentsAcknowledged(items: items).frame, at: world.now)
        }
    }

    @Test func whatWaitsIsSentInPartsAsItIsAcknowledged() throws {
        let world = try Exchange.cities()
        let count = 10_000
        try Self.enqueue((0..<count).map { Self.envelope($0) }, world)
        let sender = DocumentExchange(world.nodes[1].context, peer: world.nodes[0].city)
        var seen: [Envelope] = []
        var parts = 0
        var frames = try sender.pending()
        // What comes while it waits is not what it waited for.
        try Self.enqueue([Self.envelope(count)], world)
        while !frames.isEmpty {
            #expect(frames.reduce(0) { $0 + $1.bodyCount } <= 2 << 20)
            #expect(try sender.pending().isEmpty, "nothing more before an acknowledgement")
            seen += try frames.flatMap { try Documents($0).items.map(\.envelope) }
            // Who waited for the acknowledgements would not read what comes before them.
            #expect(sender.areOut)
            try Self.acknowledge(frames, sender, world)
            frames = try sender.pending()
            parts += 1
        }
        #expect(seen == (0...count).map { Self.envelope($0) })
        #expect(parts > 5)
        #expect(sender.areOut)
        #expect(try Self.rows(world).isEmpty)
    }

    @Test(arguments: [[140, 140], [30, 200], [99, 99, 99], [250, 1, 250, 1]]) func longDocumentsGoInFramesThatTheOtherEndTakes(
        _ sizes: [Int]
    )
        throws
    {
        let world = try Exchange.cities()
        let envelopes = sizes.enumerated().map { Self.envelope($0, bytes: $1 * 1024) }
        try Self.enqueue(envelopes, world)
        let sender = DocumentExchange(world.nodes[1].context, peer: world.nodes[0].city)
        let frames = try sender.pending()
        for frame in frames { _ = try FrameHeader(frame.encoded.prefix(FrameHeader.byteCount)) }
        #expect(try frames.flatMap { try Documents($0).items.map(\.envelope) } == envelopes)
    }

    @Test func whatIsRefusedForNowMakesRoomAndStays() throws {
        let world = try Exchange.cities()
        try Self.enqueue((0..<3000).map { Self.envelope($0) }, world)
        let sender = DocumentExchange(world.nodes[1].context, peer: world.nodes[0].city)
        var count = 0
        var frames = try sender.pending()
        while !frames.isEmpty {
            count += try frames.reduce(0) { try $0 + Documents($1).items.count }
            try Self.acknowledge(frames, sender, world, refusal: "unknown-agreement")
            frames = try sender.pending()
        }
        #expect(count == 3000)
        #expect(sender.areOut)
        #expect(try Self.rows(world).count == 3000)
    }

    /// Its publishing half acknowledges receipts after its own documents were, and two that waited for each other would wait for ever.
    @Test func receiptsWithoutAnAnswerHoldUpNoDocument() throws {
        let world = try Exchange.cities()
        try Self.enqueue((0..<40).map { Self.envelope($0, .receipt, bytes: 100_000) }, world)
        try Self.enqueue([Self.envelope(40)], world)
        let sender = DocumentExchange(world.nodes[1].context, peer: world.nodes[0].city)
        var frames = try sender.pending()
        #expect(frames.count { $0.type == .documents } == 1)
        let receipts = frames.count { $0.type == .receipt }
        #expect(receipts > 5 && receipts < 15)
        #expect(sender.areOut)
        try Self.acknowledge(frames, sender, world)
        #expect(try sender.pending().isEmpty)
        try Self.enqueue([Self.envelope(41)], world)
        frames = try sender.pending()
        #expect(frames.map(\.type) == [.documents])
        // An acknowledgement each, as they come.
        var arrived = receipts
        while true {
            let ids = (1...UInt64(200)).map { DocumentsAcknowledged.Item(id: $0, refusal: nil) }
            for start in stride(from: 0, to: ids.count, by: 50) {
                try sender.acknowledged(DocumentsAcknowledged(items: Array(ids[start..<start + 50])).frame, at: world.now)
            }
            let more = try sender.pending().count { $0.type == .receipt }
            if more == 0 { break }
            arrived += more
        }
        #expect(arrived == 40)
        #expect(try Self.rows(world).isEmpty)
    }

    /// The partner would end such a session at a receipt.
    @Test func receiptsWaitWhileAKeyringHasExpired() throws {
        let world = try Exchange.cities()
        try Self.enqueue([Self.envelope(1, .receipt), Self.envelope(2)], world)
        let sender = DocumentExchange(world.nodes[1].context, peer: world.nodes[0].city, documentsOnly: true)
        #expect(try sender.pending().map(\.type) == [.documents])
        #expect(sender.areOut)
        #expect(try Self.rows(world).count == 2)
    }

    // MARK: What a partner makes wait

    private static func shared(packages count: Int) throws -> World {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        for number in 0..<count { try world.nodes[0].publish("p/\(number)", RepairTests.small(number)) }
        try Exchange(world).run()
        #expect(try rows(world).isEmpty)
        return world
    }

    /// A session in which the publisher tells the view from its beginning.
    private static func reset(_ world: World) throws -> Exchange {
        let exchange = Exchange(world)
        let ask = try #require(try exchange.puller.ask(at: world.now).first)
        let view = try #require(try Views(ask).lines.first).view
        let feed = Feed(
            round: 0, view: view, status: .reset, since: [], changes: [], cursor: [UInt8](repeating: 9, count: 16), more: true,
            digest: .zero)
        _ = try exchange.puller.receive([feed.frame], at: world.now)
        return exchange
    }

    @Test func aPartnerThatResetsAndNeverAcknowledgesFillsNoOutbox() throws {
        let world = try Self.shared(packages: 7)
        for _ in 0..<10 {
            let exchange = try Self.reset(world)
            #expect(try Self.rows(world).count == 7)
            #expect(try exchange.documents.pending().count == 1)
            world.run(seconds: 2)
            _ = try exchange.puller.tick(at: world.now)
            #expect(try Self.rows(world).count == 7)
        }
    }

    /// A page at a time, the next when it is acknowledged, also where the session ended meanwhile; and asked for again, all of it again.
    @Test func whatWeHoldIsShownInPages() throws {
        let world = try Self.shared(packages: 300)
        func show(_ exchange: Exchange) throws -> Set<Digest> {
            var shown: Set<Digest> = []
            for _ in 0..<10 {
                let frames = try exchange.documents.pending()
                shown.formUnion(try frames.flatMap { try Documents($0).items.map(\.envelope.digest) })
                try Self.acknowledge(frames, exchange.documents, world)
                _ = try exchange.puller.tick(at: world.now)
                #expect(try Self.rows(world).count <= 256)
            }
            return shown
        }
        let first = try Self.reset(world)
        #expect(try Self.rows(world).count == 256)
        let page = Set(try first.documents.pending().flatMap { try Documents($0).items.map(\.envelope.digest) })
        // It ends without a word; the next one goes on, and asks for it again.
        let second = try Self.reset(world)
        #expect(try Self.rows(world).count == 256)
        let all = try show(second)
        #expect(all.count == 300 && all.isSuperset(of: page))
        #expect(try Self.rows(world).isEmpty)
        // Nothing more, and once more when it asks.
        let third = Exchange(world)
        _ = try third.puller.ask(at: world.now)
        #expect(try show(third).isEmpty)
        #expect(try show(try Self.reset(world)) == all)
        // Ended by a session that says nothing of it.
        _ = try Self.reset(world)
        #expect(try Self.rows(world).count == 256)
        let last = Exchange(world)
        _ = try last.puller.ask(at: world.now)
        #expect(try show(last) == all)
    }

    @Test func papersThatAreAskedForInEverySessionWaitOnce() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        let record = try #require(try world.nodes[1].metadata.read { try $0.agreement(agreement) })
        for _ in 0..<10 {
            let publisher = Publisher(world.nodes[1].context, peer: world.nodes[0].city)
            let line = Views.Line(
                view: record.viewID(publisher: world.nodes[1].city, recipient: world.nodes[0].city),
                policyEpoch: SHA256.hash([1]),
                cursor: [], digest: .zero)
            let answers = try publisher.receive(Views(round: 1, lines: [line]).frame, at: world.now)
            #expect(try Feed(answers[0]).status == .policy)
            #expect(try Self.rows(world).map(\.envelope.digest) == [agreement])
        }
    }
}
