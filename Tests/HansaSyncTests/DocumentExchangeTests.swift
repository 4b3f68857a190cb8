import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

@Suite struct DocumentExchangeTests {
    private func exchange(_ world: World, of node: Int, to peer: Int) -> DocumentExchange {
        DocumentExchange(world.nodes[node].context, peer: world.nodes[peer].city)
    }

    /// What one side sends, as it goes over; the answers are returned.
    private func carry(_ from: DocumentExchange, _ to: DocumentExchange, _ world: World) throws -> [DocumentsAcknowledged.Item] {
        var answers: [DocumentsAcknowledged.Item] = []
        for frame in try from.pending() {
            let (answer, _) = try to.receive(frame, at: world.now)
            try from.acknowledged(answer, at: world.now)
            answers += try DocumentsAcknowledged(answer).items
        }
        return answers
    }

    private func take(_ envelope: Envelope, by to: DocumentExchange, _ world: World) throws -> String? {
        let (answer, _) = try to.receive(Documents(items: [Documents.Item(id: 1, envelope: envelope)]).frame, at: world.now)
        return try DocumentsAcknowledged(answer).items.first?.refusal
    }

    /// Documents to others do not show in the numbers a partner sees.
    @Test func documentsAreNumberedForEachSession() throws {
        let world = try World(seed: 1, cities: ["kitchener.ca", "auckland.nz", "wien.at"])
        for number in 0..<5 { _ = try world.propose(0, 2, id: "other-\(number)") }
        _ = try world.propose(0, 1, id: "ours")
        let frames = try exchange(world, of: 0, to: 1).pending()
        #expect(try frames.flatMap { try Documents($0).items.map(\.id) } == [1])
    }

    @Test func onlyWhatWasSentInThisSessionIsAcknowledged() throws {
        let world = try Exchange.cities()
        _ = try world.propose(0, 1)
        let sender = exchange(world, of: 0, to: 1)
        let ack = DocumentsAcknowledged(items: [DocumentsAcknowledged.Item(id: 1, refusal: nil)]).frame
        try sender.acknowledged(ack, at: world.now)
        #expect(try world.nodes[0].metadata.read { try $0.outbox(to: world.nodes[1].city, after: 0, limit: 10) }.count == 1)
        _ = try sender.pending()
        try sender.acknowledged(ack, at: world.now)
        try sender.acknowledged(ack, at: world.now)
        #expect(try world.nodes[0].metadata.read { try $0.outbox(to: world.nodes[1].city, after: 0, limit: 10) }.isEmpty)
    }

    @Test func aTerminationThatOvertakesItsCitysSignatureIsKept() throws {
        let world = try Exchange.cities()
        let digest = try world.propose(0, 1)
        let (one, two) = (exchange(world, of: 0, to: 1), exchange(world, of: 1, to: 0))
        _ = try carry(one, two, world)
        // Auckland signs and ends it; its signature is lost on the way, the termination is not.
        #expect(try world.nodes[1].accept(digest))
        let record = try #require(try world.nodes[1].metadata.read { try $0.agreement(digest) })
        let (step, _) = try world.nodes[1].stepDocument(.terminate, record)
        #expect(try take(step, by: one, world) == nil)
        #expect(try world.nodes[0].metadata.read { try $0.agreement(digest)?.state(at: world.now) } == .proposed)
        #expect(try take(record.envelope, by: one, world) == nil)
        #expect(try world.nodes[0].metadata.read { try $0.agreement(digest)?.state(at: world.now) } == .terminated)
    }

    @Test func oneTerminationOfAPartyIsEnough() throws {
        let world = try Exchange.cities()
        let digest = try world.agree(0, 1)
        let taking = exchange(world, of: 0, to: 1)
        let record = try #require(try world.nodes[1].metadata.read { try $0.agreement(digest) })
        #expect(try take(try world.nodes[1].stepDocument(.terminate, record).0, by: taking, world) == nil)
        let size = try world.nodes[0].metadata.read { try $0.logSize }
        for _ in 0..<20 {
            world.run(milliseconds: 100)
            #expect(try take(try world.nodes[1].stepDocument(.terminate, record).0, by: taking, world) == "already-ended")
        }
        #expect(try world.nodes[0].metadata.read { try $0.agreement(digest)?.steps.count } == 1)
        // One entry for all of them.
        #expect(try world.nodes[0].metadata.read { try $0.logSize } == size + 1)
    }

    /// The words of refusal say nothing of third parties: whose keyrings are held here, and which agreements there are.
    @Test func wordsOfRefusalTellNothingOfOthers() throws {
        let world = try World(seed: 4, cities: ["kitchener.ca", "auckland.nz", "wien.at"])
        let taking = exchange(world, of: 1, to: 0)
        let proposed = try world.propose(0, 1, 2)
        let record = try #require(try world.nodes[0].metadata.read { try $0.agreement(proposed) })
        let payload = String(decoding: record.envelope.payload, as: UTF8.self)
        for third in ["wien.at", "graz.at"] {
            let named = Array(payload.replacing("wien.at", with: third).utf8)
            // Nobody's signature: the same word, whether or not the third is known here.
            #expect(
                try take(Envelope.sign(named, as: .agreement, with: [world.nodes[2].officer]), by: taking, world) == "signature")
            // The proposer's: taken, and not signed by the third.
            let signed = Envelope.sign(named, as: .agreement, with: [world.nodes[0].officer])
            #expect(try take(signed, by: taking, world) == (third == "wien.at" ? nil : "id-taken"))
            // In a third's name.
            let others = Array(
                payload.replacing("kitchener.ca", with: "K").replacing("wien.at", with: "kitchener.ca").replacing(
                    "K", with: third
                )
                .utf8)
            #expect(
                try take(Envelope.sign(others, as: .agreement, with: [world.nodes[0].officer]), by: taking, world) == "keyring")
        }
        // An agreement of others, which the partner knows by its digest.
        let foreign = try world.agree(1, 2, id: "foreign")
        let theirs = try #require(try world.nodes[1].metadata.read { try $0.agreement(foreign) })
        let (step, _) = try world.nodes[2].stepDocument(.terminate, theirs)
        #expect(try take(step, by: taking, world) == "unknown-agreement")
        #expect(try take(step, by: exchange(world, of: 1, to: 2), world) == nil)
        #expect(try take(step, by: taking, world) == "unknown-agreement")
    }

    /// A party whose keyring is not here has not signed; its signature counts when the keyring comes, and sharing begins with it.
    @Test func aSignatureWaitsForItsKeyring() throws {
        let world = try World(seed: 4, cities: ["kitchener.ca", "auckland.nz", "wien.at"])
        try world.nodes[2].rotate(.officer)
        let digest = try world.propose(0, 1, 2)
        let envelope = try #require(try world.nodes[0].metadata.read { try $0.agreement(digest)?.envelope })
        let all = Envelope.sign(envelope.payload, as: .agreement, with: world.nodes.map(\.officer))
        #expect(try take(all, by: exchange(world, of: 1, to: 0), world) == nil)
        func state() throws -> AgreementState? {
            try world.nodes[1].metadata.read { try $0.agreement(digest)?.state(at: world.now) }
        }
        #expect(try state() == .proposed)
        let documents = Documents(items: [Documents.Item(id: 1, envelope: world.nodes[2].card[1])]).frame
        let (_, changes) = try exchange(world, of: 1, to: 2).receive(documents, at: world.now)
        #expect(try state() == .active)
        #expect(changes.policies == [world.nodes[0].city, world.nodes[2].city])
        #expect(try world.nodes[1].metadata.read { try $0.publishedViews() }.count == 2)
    }

    /// It is acknowledged, so it must be kept: its sender does not send it again.
    @Test func aSignatureThatComesLaterWaitsForItsKeyringToo() throws {
        let world = try World(seed: 4, cities: ["kitchener.ca", "auckland.nz", "wien.at"])
        try world.nodes[2].rotate(.officer)
        let digest = try world.propose(0, 1, 2)
        let first = try #require(try world.nodes[0].metadata.read { try $0.agreement(digest)?.envelope })
        let taking = exchange(world, of: 1, to: 0)
        #expect(try take(first, by: taking, world) == nil)
        #expect(
            try take(Envelope.sign(first.payload, as: .agreement, with: world.nodes.map(\.officer)), by: taking, world) == nil)
        // Noise has a bound, and the same again costs nothing.
        let kept = try world.nodes[1].metadata.read { try $0.agreementEnvelopes(digest).count }
        #expect(kept == 2)
        for number in 0..<200 {
            let noise = DocumentSignature(keyID: .zero, signature: [UInt8](repeating: UInt8(number), count: 64))
            let envelope = Envelope(type: .agreement, payload: first.payload, signatures: first.signatures + [noise])
            for _ in 0..<2 { #expect(try take(envelope, by: taking, world) == nil) }
        }
        #expect(try world.nodes[1].metadata.read { try $0.agreementEnvelopes(digest).count } <= Limits.signaturesMax)
        func state() throws -> AgreementState? {
            try world.nodes[1].metadata.read { try $0.agreement(digest)?.state(at: world.now) }
        }
        #expect(try state() == .proposed)
        _ = try exchange(world, of: 1, to: 2).receive(
            Documents(items: [Documents.Item(id: 1, envelope: world.nodes[2].card[1])]).frame, at: world.now)
        #expect(try state() == .active)
    }

    /// Who was unknown when its signature came is judged when its keyrings come: by all of them.
    @Test(arguments: [false, true])
    func aSignatureOfARevokedKeyDoesNotCountWhenTheKeyringsCome(_ isCard: Bool) throws {
        let world = try World(seed: 4, cities: ["kitchener.ca", "auckland.nz", "wien.at"])
        let (auckland, wien) = (world.nodes[1], world.nodes[2])
        try wien.rotate(.officer)
        let digest = try world.propose(0, 1, 2)
        let first = try #require(try world.nodes[0].metadata.read { try $0.agreement(digest)?.envelope })
        let all = Envelope.sign(first.payload, as: .agreement, with: world.nodes.map(\.officer))
        try wien.rotate(.officer, isCompromised: true)
        let taking = exchange(world, of: 1, to: 0)
        #expect(try take(all, by: taking, world) == nil)
        if isCard {
            try auckland.metadata.write(at: world.now) { tx in
                let signed = try tx.agreements(signedBy: wien.city)
                for envelope in wien.card { try tx.insertKeyring(envelope, try Keyring(envelope)) }
                #expect(try tx.judgeSignatures(of: wien.city, before: signed) == [digest])
            }
        } else {
            let session = exchange(world, of: 1, to: 2)
            try session.opened(held: 1, theirs: 3, at: world.now)
            for number in 1...2 {
                _ = try session.receive(
                    Documents(items: [Documents.Item(id: UInt64(number), envelope: wien.card[number])]).frame, at: world.now)
            }
        }
        #expect(try auckland.metadata.read { try $0.currentKeyring(of: wien.city)?.version } == 3)
        #expect(try auckland.metadata.read { try $0.agreement(digest)?.state(at: world.now) } == .proposed)
        #expect(try auckland.metadata.read { try $0.agreement(digest)?.signedBy.contains(wien.city) } == false)
        #expect(try take(all, by: taking, world) == "key-revoked")
    }

    /// What counted before the key came out goes on.
    @Test func aSignatureThatCountedStaysWhenItsKeyIsRevoked() throws {
        let world = try World(seed: 4, cities: ["kitchener.ca", "auckland.nz", "wien.at"])
        let (auckland, wien) = (world.nodes[1], world.nodes[2])
        try wien.rotate(.officer)
        let digest = try world.propose(0, 1, 2)
        let first = try #require(try world.nodes[0].metadata.read { try $0.agreement(digest)?.envelope })
        let all = Envelope.sign(first.payload, as: .agreement, with: world.nodes.map(\.officer))
        #expect(try take(all, by: exchange(world, of: 1, to: 0), world) == nil)
        let session = exchange(world, of: 1, to: 2)
        try session.opened(held: 1, theirs: 2, at: world.now)
        _ = try session.receive(Documents(items: [Documents.Item(id: 1, envelope: wien.card[1])]).frame, at: world.now)
        #expect(try auckland.metadata.read { try $0.agreement(digest)?.state(at: world.now) } == .active)
        try wien.rotate(.officer, isCompromised: true)
        _ = try session.receive(Documents(items: [Documents.Item(id: 2, envelope: wien.card[2])]).frame, at: world.now)
        #expect(try auckland.metadata.read { try $0.agreement(digest)?.state(at: world.now) } == .active)
    }

    @Test func openProposalsHaveABound() throws {
        let world = try Exchange.cities()
        let (one, two) = (exchange(world, of: 0, to: 1), exchange(world, of: 1, to: 0))
        for number in 0..<103 { _ = try world.propose(0, 1, id: "number-\(number)") }
        let refusals = try carry(one, two, world).compactMap(\.refusal)
        #expect(refusals == Array(repeating: "too-many-proposals", count: 3))
    }

    /// The partner never saw a release of it: one document is kept, and older or repeated withdrawals cost nothing.
    @Test func withdrawalsOfAPackageNeverSeenAreKeptOnce() throws {
        let world = try Exchange.cities()
        let taking = exchange(world, of: 1, to: 0)
        let package = try PackageID(city: world.nodes[0].city, path: "never/seen")
        func withdrawal(_ seq: UInt64) throws -> Envelope {
            try Release(
                package: package, kind: .dataset, version: Version(1, 0, 0), operation: .withdraw, writer: world.nodes[0].city,
                keyring: 1, seq: seq,
                previous: nil, parents: [], clock: [ClockEntry(city: world.nodes[0].city, seq: seq)], issued: world.now,
                tlp: .green, title: "t",
                bytes: 0, files: 0, manifest: nil, index: nil, reason: "It was wrong."
            ).signed(with: [world.nodes[0].packageKey])
        }
        #expect(try take(try withdrawal(5), by: taking, world) == nil)
        let used = world.nodes[1].disk.usedBytes
        for seq: UInt64 in [3, 5, 6, 9] { #expect(try take(try withdrawal(seq), by: taking, world) == nil) }
        #expect(world.nodes[1].disk.usedBytes == used)
        #expect(try world.nodes[1].metadata.read { try $0.package(package)?.withdrawnSeq } == 9)
        #expect(try world.nodes[1].metadata.read { try $0.releases(of: package) }.count == 1)
    }
}
