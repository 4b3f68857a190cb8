import HansaCore
import HansaCrypto
import HansaDocuments
import HansaTerms
import Testing

@Suite struct AgreementRecordTests {
    private let now = Timestamp(seconds: 1_780_000_000)  // 2026-05-28

    private func state(_ signedBy: [String], _ steps: [StepRecord] = [], at moment: Timestamp? = nil) throws -> AgreementState {
        try AgreementSketch().record(signedBy: signedBy, steps: steps).state(at: moment ?? now)
    }

    // MARK: State

    @Test func anAgreementIsActiveWhenAllHaveSignedTheSamePayload() throws {
        #expect(try state([]) == .draft)
        #expect(try state(["auckland.nz"]) == .draft)
        #expect(try state(["kitchener.ca"]) == .proposed)
        #expect(try state(["kitchener.ca", "auckland.nz"]) == .active)
    }

    @Test func itExpiresAtTheEndOfItsLastDay() throws {
        let both = ["kitchener.ca", "auckland.nz"]
        #expect(try state(both, at: time("2026-12-31T23:59:59.999Z")) == .active)
        #expect(try state(both, at: time("2027-01-01T00:00:00Z")) == .expired)
        #expect(try state(both, at: time("2020-01-01T00:00:00Z")) == .active)
        #expect(try state(["kitchener.ca"], at: time("2027-01-01T00:00:00Z")) == .expired)
    }

    @Test func concurrentStepsJoinInOneOrder() throws {
        let both = ["kitchener.ca", "auckland.nz"]
        let terminate = try step(.terminate, by: "kitchener.ca", number: 10)
        let reject = try step(.reject, by: "auckland.nz", number: 11)
        #expect(try state(both, [terminate]) == .terminated)
        #expect(try state(["kitchener.ca"], [reject]) == .rejected)
        for steps in [[terminate, reject], [reject, terminate]] {
            #expect(try state(["kitchener.ca"], steps) == .terminated)
            #expect(try state(["kitchener.ca"], steps, at: time("2028-01-01T00:00:00Z")) == .terminated)
        }
        #expect(try state(both, [reject]) == .active, "one that has signed does not reject")
        #expect(
            try state(["kitchener.ca"], [step(.terminate, by: "auckland.nz")]) == .proposed,
            "one that has not signed does not terminate")
        #expect(try state(["kitchener.ca"], [terminate]) == .terminated, "also before the agreement is active")
    }

    @Test func aStepThatTheNodeDoesNotKnowHowToKeepStopsSharing() throws {
        let both = ["kitchener.ca", "auckland.nz"]
        for kind in [AgreementStep.Kind.suspend, .resume, .amend, .renew] {
            #expect(try state(both, [step(kind, by: "auckland.nz")]) == .suspended)
        }
    }

    // MARK: Steps

    @Test func stepsAreTakenOnceAndOnlyFromParties() throws {
        var record = try AgreementSketch().record(signedBy: ["kitchener.ca"])
        let reject = try step(.reject, by: "auckland.nz", number: 10)
        #expect(record.add(try step(.reject, by: "boston.gov")) == .refused(.notAParty))
        #expect(record.add(try step(.reject, by: "auckland.nz", of: 2)) == .refused(.otherAgreement))
        #expect(record.add(try step(.reject, by: "kitchener.ca")) == .refused(.rejectAfterSigning))
        #expect(record.add(try step(.renew, by: "kitchener.ca")) == .refused(.notYetEnforceable))
        #expect(record.lastStep == nil)
        #expect(record.add(reject) == .added)
        #expect(record.add(reject) == .known)
        #expect(record.lastStep == reject.digest)
        #expect(record.state(at: now) == .rejected)
        var number: UInt64 = 1000
        while record.steps.count < AgreementRecord.stepsMax {
            number += 1
            #expect(record.add(try step(.terminate, by: "auckland.nz", number: number)) == .added)
        }
        #expect(record.add(try step(.terminate, by: "auckland.nz", number: 9)) == .refused(.tooManySteps))
    }

    @Test func aTerminationsFormalEndIsAfterItsNotice() throws {
        var sketch = AgreementSketch()
        #expect(try sketch.record().terminationEffective(issued: now) == now)
        sketch.termMore = [JSONMember("termination", ["notice": "P30D", "onEnd": "retain"])]
        #expect(try sketch.record().terminationEffective(issued: now) == now.adding(seconds: 30 * 86_400))
        let early = try step(.terminate, by: "auckland.nz", number: 10, effective: "2026-08-01T00:00:00Z")
        let late = try step(.terminate, by: "kitchener.ca", number: 9, effective: "2026-09-01T00:00:00Z")
        #expect(try sketch.record(steps: [late, early]).termination == early)
    }

    // MARK: Signatures

    private struct Signer {
        let keys: [Ed25519PrivateKey]
        let keyring: Keyring

        init(_ name: String, seed: UInt8, officers: Int = 1, threshold: Int = 1, version: Int = 1) throws {
            keys = try (0..<officers).map { try Ed25519PrivateKey(seed: [UInt8](repeating: seed + UInt8($0), count: 32)) }
            func key(_ offset: UInt8) throws -> Ed25519PublicKey {
                try Ed25519PrivateKey(seed: [UInt8](repeating: seed + offset, count: 32)).publicKey
            }
            func note(_ key: Ed25519PublicKey, _ type: UInt8) -> NoteKey {
                let id = SHA256.hash(Array(name.utf8) + [0x0A, type] + key.bytes).bytes.prefix(4)
                return NoteKey(name: name, vkey: "\(name)+\(Hex.encode(id))+\(Base64.encode([type] + key.bytes))")
            }
            keyring = try Keyring(
                version: version, expires: Timestamp(seconds: 4_000_000_000), city: CityID(name), name: name, country: nil,
                endpoints: [],
                officers: keys.map(\.publicKey), officerThreshold: threshold, packageKeys: [key(100)], packageThreshold: 1,
                logKeys: [key(101)], tlsPins: [], log: note(key(101), 1), witness: note(key(102), 4))
        }
    }

    private func proposal(_ sketch: AgreementSketch = AgreementSketch(), by signer: Signer) throws -> Envelope {
        Envelope.sign(try sketch.agreement().payload(), as: .agreement, with: signer.keys)
    }

    private func book(_ signers: [Signer]) -> (CityID, Int) -> Keyring? {
        { city, version in signers.first { $0.keyring.city == city && $0.keyring.version == version }?.keyring }
    }

    @Test func aPartyHasSignedWhenItsOfficersThresholdIsMetUnderTheKeyringItNames() throws {
        let kitchener = try Signer("kitchener.ca", seed: 1, officers: 3, threshold: 2)
        let auckland = try Signer("auckland.nz", seed: 10)
        let payload = try AgreementSketch().agreement().payload()
        let one = Envelope.sign(payload, as: .agreement, with: Array(kitchener.keys.prefix(1)))
        let again = Envelope.sign(payload, as: .agreement, with: [kitchener.keys[0], kitchener.keys[0]])
        let two = Envelope.sign(payload, as: .agreement, with: Array(kitchener.keys.suffix(2)))
        let keyrings = book([kitchener, auckland])
        #expect(try AgreementRecord(envelope: one, keyrings: keyrings).signedBy.isEmpty)
        #expect(try AgreementRecord(envelope: again, keyrings: keyrings).signedBy.isEmpty)
        #expect(try AgreementRecord(envelope: two, keyrings: keyrings).signedBy == [city("kitchener.ca")])
        #expect(try AgreementRecord(envelope: two, keyrings: book([auckland])).signedBy.isEmpty)
        let newer = try Signer("kitchener.ca", seed: 1, officers: 3, threshold: 2, version: 2)
        #expect(try AgreementRecord(envelope: two, keyrings: book([newer])).signedBy.isEmpty)
        #expect(try AgreementRecord(envelope: two, keyrings: { _, _ in newer.keyring }).signedBy.isEmpty)
    }

    @Test func signaturesOverTheSamePayloadMerge() throws {
        let (kitchener, auckland) = (try Signer("kitchener.ca", seed: 1), try Signer("auckland.nz", seed: 10))
        let keyrings = book([kitchener, auckland])
        var record = try AgreementRecord(envelope: proposal(by: kitchener), keyrings: keyrings)
        #expect(record.digest == record.envelope.digest && record.isSignedByProposer)
        #expect(record.state(at: now) == .proposed)
        let accepted = try proposal(by: auckland)
        #expect(record.merge(accepted, keyrings: keyrings) == .merged(newlySigned: [try city("auckland.nz")]))
        #expect(record.state(at: now) == .active)
        #expect(record.merge(accepted, keyrings: keyrings) == .unchanged)
        #expect(record.signatories(keyrings: keyrings) == record.signedBy)
        var other = AgreementSketch()
        other.expires = "2027-12-31"
        #expect(record.merge(try proposal(other, by: auckland), keyrings: keyrings) == .otherDocument)
        var alone = try AgreementRecord(envelope: accepted, keyrings: keyrings)
        #expect(!alone.isSignedByProposer)
        #expect(alone.merge(try proposal(by: kitchener), keyrings: keyrings) == .merged(newlySigned: [try city("kitchener.ca")]))
        #expect(alone.envelope == record.envelope)
    }

    @Test func signaturesOfStrangersAreNotKept() throws {
        let (kitchener, auckland) = (try Signer("kitchener.ca", seed: 1), try Signer("auckland.nz", seed: 10))
        let keyrings = book([kitchener, auckland])
        let payload = try AgreementSketch().agreement().payload()
        let strangers = try (50..<100).map { try Ed25519PrivateKey(seed: [UInt8](repeating: $0, count: 32)) }
        let clean = Envelope.sign(payload, as: .agreement, with: kitchener.keys)
        var record = try AgreementRecord(
            envelope: Envelope.sign(payload, as: .agreement, with: kitchener.keys + strangers), keyrings: keyrings)
        #expect(record.envelope == clean)
        #expect(record.merge(Envelope.sign(payload, as: .agreement, with: strangers), keyrings: keyrings) == .unchanged)
        let mixed = Envelope.sign(payload, as: .agreement, with: auckland.keys + strangers)
        #expect(record.merge(mixed, keyrings: keyrings) == .merged(newlySigned: [try city("auckland.nz")]))
        #expect(record.envelope.signatures.count == 2)
    }

    @Test func whoHasRejectedCannotSignAfterwardsAndWhoHasSignedCannotReject() throws {
        let (kitchener, auckland) = (try Signer("kitchener.ca", seed: 1), try Signer("auckland.nz", seed: 10))
        let keyrings = book([kitchener, auckland])
        let proposal = try proposal(by: kitchener)
        let accepted = try self.proposal(by: auckland)
        func reject(_ record: AgreementRecord) throws -> StepRecord {
            StepRecord(
                digest: Digest(7, 0, 0, 0),
                step: try AgreementStep(
                    agreement: record.digest, step: .reject, by: city("auckland.nz"), previous: nil, issued: now, effective: now,
                    reason: "No.", keyring: 1))
        }
        var record = try AgreementRecord(envelope: proposal, keyrings: keyrings)
        #expect(record.add(try reject(record)) == .added)
        #expect(record.merge(accepted, keyrings: keyrings) == .refused(rejectedBefore: [try city("auckland.nz")]))
        #expect(record.state(at: now) == .rejected)
        var signed = try AgreementRecord(envelope: proposal, keyrings: keyrings)
        _ = signed.merge(accepted, keyrings: keyrings)
        #expect(signed.add(try reject(signed)) == .refused(.rejectAfterSigning))
        #expect(signed.state(at: now) == .active)
    }

    // MARK: Digests

    @Test func theViewIDAndThePolicyEpochAreTheirBytesHashed() throws {
        let (publisher, recipient) = (try city("kitchener.ca"), try city("auckland.nz"))
        let agreement = SHA256.hash(Array("agreement".utf8))
        let (one, two) = (SHA256.hash([1]), SHA256.hash([2]))
        let view = Array("hansa-view/1".utf8) + agreement.bytes + Array("kitchener.ca\nauckland.nz".utf8)
        #expect(ViewIdentity.viewID(agreement: agreement, publisher: publisher, recipient: recipient) == SHA256.hash(view))
        // Known answers, made with another SHA-256.
        #expect(
            ViewIdentity.viewID(agreement: agreement, publisher: publisher, recipient: recipient).hex
                == "6abda25291dbf0b999b22a9c0021a1d8c96675b01da50fcff79e92813a055af7")
        #expect(
            ViewIdentity.viewID(agreement: .zero, publisher: publisher, recipient: recipient).hex
                == "199d7fb651842fcab7dbec62d035aea7d1f22e817628f4a2774d8d4d2f64db8b")
        #expect(
            ViewIdentity.policyEpoch(agreement: agreement, steps: []).hex
                == "1cfa5c2363dc3385001c1236cbcb3887ef7687e2f24c294468e5a82febc4c93b")
        #expect(
            ViewIdentity.policyEpoch(agreement: agreement, steps: [one, two]).hex
                == "df7c7f6488a9cb1d2aab3b2b6d7e22ae357f60dd0047773f014c022f8b45d01e")
        let sorted = [agreement, one, two].sorted().flatMap(\.bytes)
        let epoch = SHA256.hash(Array("hansa-policy/1".utf8) + sorted)
        #expect(ViewIdentity.policyEpoch(agreement: agreement, steps: [one, two]) == epoch)
        #expect(ViewIdentity.policyEpoch(agreement: agreement, steps: [two, one]) == epoch)
        #expect(ViewIdentity.policyEpoch(agreement: agreement, steps: []) != epoch)
        var record = try AgreementSketch().record()
        let before = record.policyEpoch
        #expect(before == ViewIdentity.policyEpoch(agreement: record.digest, steps: []))
        _ = record.add(try step(.terminate, by: "auckland.nz"))
        #expect(record.policyEpoch != before)
        #expect(
            record.viewID(publisher: publisher, recipient: recipient) != record.viewID(publisher: recipient, recipient: publisher)
        )
    }
}
