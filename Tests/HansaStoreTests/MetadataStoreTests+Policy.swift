import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTerms
import Testing

extension MetadataStoreTests {
    @Test(arguments: Engine.allCases)
    func keyringsComeBackAsReceivedInOrderOfVersion(_ engine: Engine) throws {
        let store = try engine.make()
        let second = try Samples.keyring(Samples.auckland, version: 2)
        let first = try Samples.keyring(Samples.auckland)
        try store.write { try $0.insertKeyring(second.0, second.1) }
        try store.write {
            try $0.insertKeyring(first.0, first.1)
            // The first of a version stays.
            try $0.insertKeyring(Envelope(type: .keyring, payload: first.0.payload, signatures: []), first.1)
        }
        try store.read { store throws in
            #expect(try store.keyringEnvelopes(of: Samples.auckland) == [first.0, second.0])
            #expect(try store.currentKeyring(of: Samples.auckland) == second.1)
            #expect(try store.keyring(of: Samples.auckland, version: 1) == first.1)
            #expect(try store.keyring(of: Samples.auckland, version: 3) == nil)
            #expect(try store.currentKeyring(of: Samples.boston) == nil)
        }
    }

    @Test(arguments: Engine.allCases)
    func signaturesOfACityAreDroppedFromEveryEnvelope(_ engine: Engine) throws {
        let store = try engine.make()
        let ours = try Samples.agreement()
        let both = try Samples.agreement(signedBy: [Samples.kitchener, Samples.auckland])
        try store.write { transaction in
            for city in [Samples.kitchener, Samples.auckland] {
                let (envelope, keyring) = try Samples.keyring(city)
                try transaction.insertKeyring(envelope, keyring)
            }
            try transaction.insertAgreement(ours)
            try transaction.insertAgreement(both)
            // Under a claim of another key it is the same signature.
            let theirs = try #require(both.signatures.first { !ours.signatures.contains($0) })
            try transaction.insertAgreement(
                Envelope(
                    type: .agreement, payload: both.payload,
                    signatures: [theirs, DocumentSignature(keyID: .zero, signature: theirs.signature)]))
        }
        #expect(try store.read { try $0.agreement(both.digest)?.state(at: Samples.start) } == .active)
        try store.write {
            try $0.dropSignatures(of: Samples.auckland, on: both.digest)
            try $0.dropSignatures(of: Samples.boston, on: both.digest)
            try $0.dropSignatures(of: Samples.auckland, on: Samples.digest(5))
        }
        try store.read { store throws in
            let record = try #require(try store.agreement(both.digest))
            #expect(record.state(at: Samples.start) == .proposed)
            #expect(record.envelope == ours)
            #expect(try store.agreementEnvelopes(both.digest).allSatisfy { $0.signatures.allSatisfy(ours.signatures.contains) })
        }
        // It can be signed again.
        try store.write { try $0.insertAgreement(both) }
        #expect(try store.read { try $0.agreement(both.digest)?.state(at: Samples.start) } == .active)
    }

    @Test(arguments: Engine.allCases)
    func partnersComeInOrderOfCityAndAreReplacedWhole(_ engine: Engine) throws {
        let store = try engine.make()
        var kitchener = Samples.partner(Samples.kitchener, endpoint: "10.0.0.1:4470")
        try store.write {
            try $0.put(kitchener)
            try $0.put(Samples.partner(Samples.auckland))
        }
        kitchener.state = .removed
        kitchener.endpoint = nil
        try store.write { try $0.put(kitchener) }
        try store.read { store throws in
            #expect(try store.partners() == [Samples.partner(Samples.auckland), kitchener])
            #expect(try store.partner(Samples.kitchener) == kitchener)
            #expect(try store.partner(Samples.boston) == nil)
        }
    }

    @Test(arguments: Engine.allCases)
    func theTimeOfTheLastSyncIsKeptForEachPartner(_ engine: Engine) throws {
        let store = try engine.make()
        try store.write {
            try SyncMemory.set(Samples.start, with: Samples.kitchener, $0)
            try SyncMemory.set(Samples.start, with: Samples.auckland, $0)
            try SyncMemory.set(Samples.start.adding(seconds: 1), with: Samples.kitchener, $0)
        }
        try store.read { store throws in
            #expect(try SyncMemory.lastSync(with: Samples.kitchener, store) == Samples.start.adding(seconds: 1))
            #expect(try SyncMemory.lastSync(with: Samples.auckland, store) == Samples.start)
            #expect(try SyncMemory.lastSync(with: Samples.boston, store) == nil)
        }
    }

    @Test(arguments: Engine.allCases)
    func disputesComeInOrderAndAreReplacedByTheirKey(_ engine: Engine) throws {
        let store = try engine.make()
        let place = ContentLocation(segment: 0, offset: 32, length: 10)
        func row(_ package: String, _ kind: DisputeRow.Kind, _ seq: UInt64, _ other: UInt64, known: Digest? = nil) throws
            -> DisputeRow
        {
            DisputeRow(
                package: try PackageID(package), kind: kind, writer: Samples.kitchener, seq: seq, known: known,
                other: Samples.digest(other), document: place, partner: Samples.auckland, found: Samples.start)
        }
        let roads = "kitchener.ca/roads"
        var first = try row(roads, .fork, 2, 9, known: Samples.digest(1))
        let rest = [
            try row(roads, .fence, 2, 3), try row(roads, .fork, 10, 1), try row("kitchener.ca/trees", .fork, 1, 1),
        ]
        try store.write { tx in for row in rest.reversed() + [first] { try tx.put(row) } }
        first.resolved = Samples.start.adding(seconds: 5)
        try store.write { try $0.put(first) }
        try store.read { store throws in
            #expect(try store.disputes(of: nil) == [first] + rest)
            #expect(try store.disputes(of: PackageID(roads)) == [first] + rest.dropLast())
            #expect(try store.disputes(of: PackageID("kitchener.ca/none")) == [])
        }
    }

    @Test(arguments: Engine.allCases)
    func signaturesOfAnAgreementAreMergedAndCountByTheKeyringsKnown(_ engine: Engine) throws {
        let store = try engine.make()
        let proposal = try Samples.agreement(signedBy: [Samples.kitchener])
        let acceptance = try Samples.agreement(signedBy: [Samples.auckland])
        let kitchener = try Samples.keyring(Samples.kitchener)
        let auckland = try Samples.keyring(Samples.auckland)
        try store.write {
            try $0.insertAgreement(proposal)
            #expect(try $0.agreement(proposal.digest)?.signedBy == [])
            try $0.insertKeyring(kitchener.0, kitchener.1)
            #expect(try $0.agreement(proposal.digest)?.signedBy == [Samples.kitchener])
            try $0.insertAgreement(acceptance)
            try $0.insertAgreement(proposal)
        }
        try store.write { try $0.insertKeyring(auckland.0, auckland.1) }
        try store.read { store throws in
            let record = try #require(try store.agreement(proposal.digest))
            #expect(record.signedBy == [Samples.kitchener, Samples.auckland])
            #expect(record.envelope.signatures.count == 2)
            #expect(record.state(at: Samples.start) == .active)
            // As received: each envelope once, in the order of arrival.
            #expect(try store.agreementEnvelopes(proposal.digest) == [proposal, acceptance])
            #expect(try store.agreements().map(\.digest) == [proposal.digest])
            #expect(try store.agreement(Samples.digest(1)) == nil)
        }
    }

    @Test(arguments: Engine.allCases)
    func stepsEndAnAgreementAlsoWhenTheyCameBeforeIt(_ engine: Engine) throws {
        let store = try engine.make()
        let proposal = try Samples.agreement(signedBy: [Samples.kitchener, Samples.auckland])
        let (envelope, step) = try Samples.termination(of: proposal.digest, by: Samples.auckland)
        try store.write {
            for city in [Samples.kitchener, Samples.auckland] {
                let keyring = try Samples.keyring(city)
                try $0.insertKeyring(keyring.0, keyring.1)
            }
            try $0.insertStep(envelope, step)
            #expect(try $0.agreement(proposal.digest) == nil)
            try $0.insertAgreement(proposal)
            try $0.insertStep(envelope, step)
        }
        try store.read { store throws in
            #expect(try store.agreement(proposal.digest)?.state(at: Samples.start) == .terminated)
            #expect(try store.agreementEnvelopes(proposal.digest) == [envelope, proposal])
        }
    }

    @Test(arguments: Engine.allCases)
    func whatIsNoAgreementIsRefusedAndLeavesNothing(_ engine: Engine) throws {
        let store = try engine.make()
        let envelope = Envelope.sign(Array("{}".utf8), as: .agreement, with: [try Samples.key(Samples.kitchener, 1)])
        try store.write { transaction in
            #expect(throws: DocumentFault.self) { try transaction.insertAgreement(envelope) }
            try transaction.put(Samples.partner(Samples.boston))
        }
        try store.read { store throws in
            #expect(try store.agreements().isEmpty)
            #expect(try store.agreementEnvelopes(envelope.digest).isEmpty)
            #expect(try store.partners().count == 1)
        }
    }

    @Test(arguments: Engine.allCases)
    func grantsAreReplacedByIdAndStandInThePolicy(_ engine: Engine) throws {
        let store = try engine.make()
        let agreement = try Samples.agreement()
        var grant = try Samples.grant(2, under: agreement.digest)
        let bare = Grant(
            id: "g-0000000001", partner: Samples.boston, pattern: try PackagePattern("kitchener.ca/a"),
            agreement: agreement.digest,
            level: .discover, issued: Samples.start, grantedBy: "")
        try store.write {
            try $0.insertAgreement(agreement)
            try $0.put(grant)
            try $0.put(bare)
            #expect(try $0.policy().grants.count == 2)
        }
        grant.ended = Samples.start
        try store.write { try $0.put(grant) }
        try store.read { store throws in
            #expect(try store.grants() == [bare, grant])
            let policy = try store.policy()
            #expect(policy.grants == [bare, grant])
            #expect(policy.agreements.map(\.digest) == [agreement.digest])
        }
    }
}
