import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

@Suite struct PublisherTests {
    private func granted(limits: ExchangeLimits = ExchangeLimits()) throws -> (World, Digest, grant: String) {
        let world = try Exchange.cities(limits: limits)
        let agreement = try world.agree(0, 1)
        let grant = try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        return (world, agreement, grant)
    }

    private func view(_ world: World) throws -> Digest {
        try #require(try world.nodes[0].metadata.read { try $0.publishedViews() }.first?.id)
    }

    @Test func aReceiptThatSaysNothingNewCostsNeitherLogNorDisk() throws {
        let (world, agreement, grant) = try granted()
        let release = try world.nodes[0].publish("roads", Exchange.content(1))
        let exchange = Exchange(world)
        var receipt: Frame?
        var asks = try exchange.puller.ask(at: world.now)
        while !asks.isEmpty {
            receipt = asks.first { $0.type == .receipt || $0.type == .accepted } ?? receipt
            asks = try exchange.asks(after: try exchange.answers(to: asks))
        }
        let frame = try #require(receipt)
        let view = try view(world)
        #expect(try world.nodes[0].metadata.read { try $0.member(view, release)?.outcome } == .accepted)
        func state() throws -> [UInt64] { [try world.nodes[0].metadata.read { try $0.logSize }, world.nodes[0].disk.usedBytes] }
        let before = try state()
        // The same again; then one signed by a stranger, and one that says otherwise.
        _ = try exchange.answers(to: [frame])
        #expect(try state() == before)
        func forged(_ outcome: Receipt.Outcome, _ key: Ed25519PrivateKey, minute: Int64) throws -> Frame {
            let row = try #require(try world.nodes[0].metadata.read { try $0.member(view, release) })
            let receipt = try Receipt(
                view: view, from: world.nodes[1].city, to: world.nodes[0].city, issued: world.now.adding(seconds: minute),
                items: [Receipt.Item(release: release, transfer: Hex.encode(row.transfer), outcome: outcome, reason: "no")],
                log: nil, keyring: 1)
            return ReceiptMessage(id: 1, envelope: Envelope.sign(receipt.payload(), as: .receipt, with: [key])).frame
        }
        for number in 0..<50 {
            _ = try exchange.answers(to: [try forged(.refused, world.nodes[0].packageKey, minute: Int64(number))])
        }
        for number in 0..<50 {
            _ = try exchange.answers(to: [try forged(.refused, world.nodes[1].packageKey, minute: Int64(number))])
        }
        #expect(try world.nodes[0].metadata.read { try $0.logSize } == before[0] + 2)
        #expect(world.nodes[0].disk.usedBytes == before[1])
        #expect(try world.nodes[0].metadata.read { try $0.member(view, release)?.outcome } == .accepted)
        // Once it went and was listed again another word may follow, and one only.
        try world.nodes[0].revoke(grant)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        _ = try exchange.answers(to: [try forged(.refused, world.nodes[1].packageKey, minute: 100)])
        _ = try exchange.answers(to: [try forged(.accepted, world.nodes[1].packageKey, minute: 101)])
        #expect(try world.nodes[0].metadata.read { try $0.member(view, release)?.outcome } == .refused)
    }

    @Test func contentThatIsGivenBackIsNotSentAfterARevocation() throws {
        let (world, _, grant) = try granted()
        try world.nodes[0].publish("roads", Exchange.content(1, chunks: 500))
        let exchange = Exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        while !asks.contains(where: { $0.type == .getChunks }) {
            asks = try exchange.asks(after: try exchange.answers(to: asks))
        }
        for frame in asks { _ = try exchange.publisher.receive(frame, at: world.now) }
        let made = try exchange.publisher.content(upTo: 64 * 1024, at: world.now)
        #expect(made.allSatisfy { (try? Chunks($0))?.count ?? 0 > 0 })
        // Given back and made again they are the same.
        exchange.publisher.requeue(made)
        var again: [Frame] = []
        while again.count < made.count { again += try exchange.publisher.content(upTo: 1, at: world.now) }
        #expect(again == made)
        exchange.publisher.requeue(again)
        try world.nodes[0].revoke(grant)
        while exchange.publisher.hasContent {
            for frame in try exchange.publisher.content(upTo: 1 << 20, at: world.now) { #expect(try Chunks(frame).count == 0) }
        }
        // The answer that it is gone stands, also when it was given back and access has returned: how much it was for is not known any more.
        let answer = Chunks(
            view: try Chunks(made[0]).view, release: try Chunks(made[0]).release, first: 0, count: 0, codec: .raw, rawLength: 0,
            bytes: []
        ).frame
        exchange.publisher.requeue([answer])
        let agreement = try #require(try world.nodes[0].metadata.read { try $0.agreements().first }).digest
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        #expect(try exchange.publisher.content(upTo: 1, at: world.now) == [answer])
        #expect(!exchange.publisher.hasContent)
    }

    /// What came and went between two looks leaves no trace on the wire, and the view still counts as acknowledged.
    @Test func aMemberThatWasNeverSentLeavesNoTrace() throws {
        let (world, agreement, _) = try granted()
        try world.nodes[0].publish("roads", Exchange.content(1))
        let exchange = Exchange(world)
        try exchange.run()
        let view = try view(world)
        let grant = try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        try world.nodes[0].publish("secret", Exchange.content(2))
        try world.nodes[0].withdraw("secret")
        try world.nodes[0].revoke(grant)
        #expect(try exchange.publisher.viewsChanged([view], at: world.now) == [])
        let row = try #require(try world.nodes[0].metadata.read { try $0.publishedView(view) })
        #expect(row.acknowledgedPosition == row.position)
        let puller = Puller(world.nodes[1].context, peer: world.nodes[0].city)
        let answers = try exchange.answers(to: try puller.ask(at: world.now))
        #expect(answers == [EqualViews(round: 1, lines: [0]).frame])
        // A release after it follows the cursor that the partner has.
        let next = try world.nodes[0].publish("next", Exchange.content(3))
        _ = try puller.receive(answers, at: world.now)
        let pushed = try exchange.publisher.viewsChanged([view], at: world.now)
        var asks = try puller.receive(pushed, at: world.now)
        #expect(asks.map(\.type) == [.getReleases])
        while !asks.isEmpty { asks = try puller.receive(try exchange.answers(to: asks), at: world.now) }
        #expect(try exchange.holding(next)?.state == .accepted)
    }

    /// The acknowledgement of a page comes after something came and went: the view is acknowledged all the same.
    @Test func anAcknowledgementThatComesAfterUnseenChangesCounts() throws {
        let (world, agreement, _) = try granted()
        try world.nodes[0].publish("roads", Exchange.content(1))
        let exchange = Exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        while !asks.contains(where: { $0.type == .feedAcknowledged }) {
            asks = try exchange.puller.receive(try exchange.answers(to: asks), at: world.now)
        }
        let grant = try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        try world.nodes[0].publish("secret", Exchange.content(2))
        try world.nodes[0].withdraw("secret")
        try world.nodes[0].revoke(grant)
        #expect(try exchange.answers(to: asks.filter { $0.type == .feedAcknowledged }) == [])
        let view = try view(world)
        let row = try #require(try world.nodes[0].metadata.read { try $0.publishedView(view) })
        #expect(row.acknowledgedEqual)
        #expect(row.acknowledgedPosition == row.position)
    }

    @Test func whatIsToldToOtherSessionsIsToldOnce() throws {
        let (world, _, _) = try granted()
        let exchange = Exchange(world)
        let record = try #require(try world.nodes[0].metadata.read { try $0.agreements() }.first)
        let line = Views.Line(
            view: record.viewID(publisher: world.nodes[0].city, recipient: world.nodes[1].city), policyEpoch: .zero, cursor: [],
            digest: .zero)
        _ = try exchange.publisher.receive(Views(round: 1, lines: [line]).frame, at: world.now)
        #expect(exchange.publisher.takeChanges().outboxes == [world.nodes[1].city])
        #expect(exchange.publisher.takeChanges().isEmpty)
    }

    @Test func unknownReleasesFillNoLog() throws {
        let (world, _, _) = try granted()
        let exchange = Exchange(world)
        let view = try view(world)
        let before = try world.nodes[0].metadata.read { try $0.logSize }
        let unknown = (0..<200).map { SHA256.hash([UInt8($0)]) }
        for _ in 0..<10 { _ = try exchange.publisher.receive(GetReleases(view: view, releases: unknown).frame, at: world.now) }
        #expect(try world.nodes[0].metadata.read { try $0.logSize } == before + 1)
        try world.nodes[0].context.flushRefusals(at: world.now.adding(seconds: 61))
        #expect(try world.nodes[0].metadata.read { try $0.logSize } == before + 2)
    }
}
