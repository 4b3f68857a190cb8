import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

/// What two cities do at the same time, and what one of them forgot: found by histories, told here frame by frame.
@Suite struct RaceTests {
    private func record(_ world: World, _ node: Int, _ agreement: Digest) throws -> AgreementRecord {
        try #require(try world.nodes[node].metadata.read { try $0.agreement(agreement) })
    }

    /// Signature and question go side by side: "none" would be the last word of the session, and nothing would be pushed in it.
    @Test func aViewWhoseSignaturesAreOnTheirWayIsNotDenied() throws {
        let world = try Exchange.cities()
        let agreement = try world.propose(0, 1)
        let record = try record(world, 0, agreement)
        let view = record.viewID(publisher: world.nodes[0].city, recipient: world.nodes[1].city)
        let publisher = Publisher(world.nodes[0].context, peer: world.nodes[1].city)
        func status(_ view: Digest) throws -> Feed.Status? {
            let line = Views.Line(view: view, policyEpoch: record.policyEpoch, cursor: [], digest: .zero)
            return try publisher.receive(Views(round: 1, lines: [line]).frame, at: world.now).first.map { try Feed($0).status }
        }
        #expect(try status(view) == .policy)
        #expect(try status(SHA256.hash([UInt8]("no view of ours".utf8))) == Feed.Status.none)
        // A third city learns nothing of an agreement between others.
        let stranger = Publisher(world.nodes[0].context, peer: try CityID("boston.gov"))
        let line = Views.Line(view: view, policyEpoch: record.policyEpoch, cursor: [], digest: .zero)
        let answer = try stranger.receive(Views(round: 1, lines: [line]).frame, at: world.now)
        #expect(try answer.map { try Feed($0).status } == [.none])
    }

    /// The recipient ends the agreement while a release is on its way: its acknowledgement speaks of the epoch that it asked under.
    @Test func aStepThatTheRecipientKnowsFirstIsNoDifference() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        let release = try world.nodes[0].publish("roads", Exchange.content(1))
        let exchange = Exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        // All but the chunks goes over, and the step comes between.
        while !asks.contains(where: { $0.type == .getChunks }) { asks = try exchange.asks(after: try exchange.answers(to: asks)) }
        let node = world.nodes[1]
        let before = try record(world, 1, agreement)
        let step = try AgreementStep(
            agreement: agreement, step: .terminate, by: node.city, previous: before.lastStep, issued: world.now,
            effective: world.now, reason: "It is over.", keyring: 1)
        try node.change { tx in
            try tx.insertStep(step.signed(with: [node.officer]), step)
            return ExchangeChanges()
        }
        #expect(try record(world, 1, agreement).policyEpoch != before.policyEpoch)
        try exchange.run(asks)
        #expect(try exchange.holding(release)?.state == .accepted)
        let view = before.viewID(publisher: world.nodes[0].city, recipient: world.nodes[1].city)
        let shown = try #require(try world.nodes[0].metadata.read { try $0.publishedView(view) })
        #expect(shown.mismatches == 0)
        #expect(shown.acknowledgedEqual)
    }

    /// What was shown by its document and then shared counts as refused when its content is not what was signed: not as held.
    @Test func contentThatIsRefusedAfterItWasShownIsNotHeld() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        let partner = world.nodes[1].city
        try world.nodes[0].grant(partner, "kitchener.ca/**", under: agreement, level: .discover)
        let release = try world.nodes[0].publish("roads", Exchange.content(1))
        let exchange = Exchange(world)
        try exchange.run()
        #expect(try exchange.holding(release)?.level == .discover)
        try world.nodes[0].grant(partner, "kitchener.ca/**", under: agreement, level: .sync)
        var asks = try exchange.puller.ask(at: world.now)
        while !asks.isEmpty {
            let answers = try exchange.answers(to: asks).map { frame -> Frame in
                guard frame.type == .chunks, var chunks = try? Chunks(frame), chunks.count > 0 else { return frame }
                chunks.codec = .raw
                chunks.bytes = [UInt8](repeating: 7, count: Int(chunks.rawLength))[...]
                return chunks.frame
            }
            asks = try exchange.asks(after: answers)
        }
        let holding = try #require(try exchange.holding(release))
        #expect(holding.state == .refused)
        #expect(holding.reason == "content-hash")
        #expect(holding.level == .sync)
        #expect(exchange.puller.isSettled)
    }

    /// A proposer that was put back to a state before its partner's signature gets it back, and with its own: one without the proposer's is
    /// refused.
    @Test func aSignatureThatWasForgottenComesBack() throws {
        let world = try Exchange.cities()
        let agreement = try world.propose(0, 1)
        world.connect(0, 1)
        world.run(seconds: 10)
        let backup = try #require(world.nodes[0].backup())
        #expect(try world.nodes[1].accept(agreement))
        world.run(seconds: 10)
        #expect(try record(world, 0, agreement).state(at: world.now) == .active)
        world.nodes[0].restore(backup)
        #expect(try record(world, 0, agreement).state(at: world.now) == .proposed)
        world.run(seconds: 60)
        #expect(try record(world, 0, agreement).state(at: world.now) == .active)
    }

    /// A node that was put back to a state before its own step gets it back from its partner.
    @Test func aStepOfOursComesBackFromThePartner() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        let backup = try #require(world.nodes[0].backup())
        #expect(try world.nodes[0].terminate(agreement))
        let envelope = try #require(try world.nodes[0].metadata.read { try $0.agreementEnvelopes(agreement) }.last)
        #expect(envelope.type == .agreementStep)
        world.nodes[0].restore(backup)
        #expect(try record(world, 0, agreement).state(at: world.now) == .active)
        let documents = DocumentExchange(world.nodes[0].context, peer: world.nodes[1].city)
        let item = Documents.Item(id: 1, envelope: envelope)
        let (answer, _) = try documents.receive(Documents(items: [item]).frame, at: world.now)
        #expect(try DocumentsAcknowledged(answer).items.map(\.refusal) == [nil])
        #expect(try record(world, 0, agreement).state(at: world.now) == .terminated)
        // Not without our officers' signature.
        world.nodes[0].restore(backup)
        let again = DocumentExchange(world.nodes[0].context, peer: world.nodes[1].city)
        let forged = Envelope.sign(envelope.payload, as: .agreementStep, with: [world.nodes[1].officer])
        let (refusal, _) = try again.receive(
            Documents(items: [Documents.Item(id: 1, envelope: forged)]).frame, at: world.now)
        #expect(try DocumentsAcknowledged(refusal).items.map(\.refusal) == ["signature"])
    }
}
