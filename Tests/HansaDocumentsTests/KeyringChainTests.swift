import HansaCore
import HansaCrypto
import HansaDocuments
import Testing

/// The keyring attacks of ATTACKS.md, one by one, beside the honest rotations.
@Suite struct KeyringChainTests {
    private func signed(_ keyring: Keyring, by keys: [UInt8]) -> Envelope { keyring.signed(with: keys.map(Fixture.key)) }

    private func fault(_ current: Keyring, _ held: Envelope, _ envelope: Envelope) -> KeyringFault? {
        do throws(KeyringFault) {
            _ = try KeyringChain.advance(current, currentEnvelope: held, with: envelope)
            return nil
        } catch {
            return error
        }
    }

    private func held(
        _ officers: [UInt8] = [1, 2, 3], threshold: Int = 2, version: Int = 1, next: [UInt8] = [], revoked: [UInt8] = []
    ) throws
        -> (Keyring, Envelope)
    {
        let keyring = try Fixture.keyring(
            version: version, officers: officers, threshold: threshold, next: next, revoked: revoked)
        return (keyring, signed(keyring, by: Array(officers.prefix(threshold))))
    }

    @Test func aKeyringStartsSignedByItsOwnThreshold() throws {
        let keyring = try Fixture.keyring(version: 5, officers: [1, 2, 3], threshold: 2)
        #expect(try KeyringChain.start(signed(keyring, by: [1, 3])) == keyring)
        #expect(throws: KeyringFault.notSignedByItself(version: 5, threshold: 2, valid: 1)) {
            try KeyringChain.start(signed(keyring, by: [1, 1]))
        }
        #expect(throws: KeyringFault.notSignedByItself(version: 5, threshold: 2, valid: 0)) {
            try KeyringChain.start(signed(keyring, by: [11, 21, 4]))
        }
        #expect(throws: KeyringFault.document(.payloadType(DocumentType.release.rawValue))) {
            try KeyringChain.start(Envelope.sign(keyring.payload(), as: .release, with: [Fixture.key(1), Fixture.key(2)]))
        }
    }

    @Test func theNextVersionNeedsOldAndNewOfficers() throws {
        let (current, envelope) = try held()
        let next = try Fixture.keyring(version: 2, officers: [3, 4, 5], threshold: 2)
        #expect(try KeyringChain.advance(current, currentEnvelope: envelope, with: signed(next, by: [1, 3, 4])) == next)
        #expect(fault(current, envelope, signed(next, by: [1, 2, 4, 5])) == nil)
        #expect(fault(current, envelope, signed(next, by: [4, 5])) == .notSignedByHeld(version: 1, threshold: 2, valid: 0))
        #expect(fault(current, envelope, signed(next, by: [3, 4, 5])) == .notSignedByHeld(version: 1, threshold: 2, valid: 1))
        #expect(fault(current, envelope, signed(next, by: [1, 2])) == .notSignedByItself(version: 2, threshold: 2, valid: 0))
        #expect(fault(current, envelope, signed(next, by: [1, 2, 4])) == .notSignedByItself(version: 2, threshold: 2, valid: 1))
        #expect(fault(current, envelope, signed(next, by: [])) == .notSignedByHeld(version: 1, threshold: 2, valid: 0))
    }

    @Test func aThresholdCannotBeLoweredByTheNewKeyringAlone() throws {
        let (current, envelope) = try held()
        let next = try Fixture.keyring(version: 2, officers: [1], threshold: 1)
        #expect(fault(current, envelope, signed(next, by: [1])) == .notSignedByHeld(version: 1, threshold: 2, valid: 1))
        #expect(fault(current, envelope, signed(next, by: [1, 2])) == nil)
    }

    @Test func oneSignatureUnderSeveralNamesCountsOnce() throws {
        let (current, envelope) = try held()
        let next = try Fixture.keyring(version: 2, officers: [1, 2, 3], threshold: 2)
        let one = signed(next, by: [1]).signatures[0].signature
        let copies = [1, 2, 3].map { DocumentSignature(keyID: Fixture.key($0).publicKey.keyID, signature: one) }
        #expect(
            fault(current, envelope, Envelope(type: .keyring, payload: next.payload(), signatures: copies))
                == .notSignedByHeld(version: 1, threshold: 2, valid: 1))
    }

    @Test func versionsGoUpByOne() throws {
        let (current, envelope) = try held(version: 3)
        for (version, expected) in [
            (1, KeyringFault.rollback(held: 3, found: 1)), (2, .rollback(held: 3, found: 2)), (5, .skipped(held: 3, found: 5)),
            (Int(Int32.max), .skipped(held: 3, found: Int(Int32.max))),
        ] {
            let other = try Fixture.keyring(version: version, officers: [1, 2, 3], threshold: 2)
            #expect(fault(current, envelope, signed(other, by: [1, 2, 3])) == expected)
        }
    }

    @Test func theSameVersionWithOtherContentIsEvidence() throws {
        let (current, envelope) = try held()
        let other = try Fixture.keyring(officers: [1, 2, 3], threshold: 2, name: "Town of Kitchener")
        #expect(fault(current, envelope, signed(other, by: [1, 2, 3])) == .equivocation(version: 1))
        // The document held, with other signatures or none, changes nothing and is no fault.
        #expect(try KeyringChain.advance(current, currentEnvelope: envelope, with: signed(current, by: [2, 3])) == current)
        #expect(fault(current, envelope, signed(current, by: [])) == nil)
    }

    @Test func theSameVersionSpelledOtherwiseIsOtherContent() throws {
        let (current, envelope) = try held()
        let spaced = try Fixture.json(current.payload()).serialized(pretty: true)
        #expect(try Keyring(payload: spaced) == current)
        #expect(
            fault(current, envelope, Envelope.sign(spaced, as: .keyring, with: [Fixture.key(1), Fixture.key(2)]))
                == .equivocation(version: 1))
    }

    @Test func anotherCitysKeyringIsRefused() throws {
        let (current, envelope) = try held()
        let other = try Fixture.keyring(version: 2, city: Fixture.auckland, officers: [1, 2, 3], threshold: 2)
        #expect(
            fault(current, envelope, signed(other, by: [1, 2, 3])) == .otherCity(expected: "kitchener.ca", found: "auckland.nz"))
    }

    @Test func newOfficersAreThoseThatWereAnnounced() throws {
        let (current, envelope) = try held([1, 2], threshold: 1, next: [4])
        let announced = try Fixture.keyring(version: 2, officers: [1, 4], threshold: 1)
        #expect(fault(current, envelope, signed(announced, by: [1])) == nil)
        let stolen = try Fixture.keyring(version: 2, officers: [1, 5], threshold: 1)
        #expect(
            fault(current, envelope, signed(stolen, by: [1, 5])) == .keyNotAnnounced(keyID: Fixture.key(5).publicKey.keyID.hex))
        // Dropping officers needs no announcement.
        #expect(fault(current, envelope, signed(try Fixture.keyring(version: 2, officers: [2]), by: [1, 2])) == nil)
    }

    @Test func aRevocationIsForEver() throws {
        let (current, envelope) = try held([1, 2], threshold: 1, revoked: [9])
        #expect(
            fault(current, envelope, signed(try Fixture.keyring(version: 2, officers: [1, 2], revoked: [9, 10]), by: [1])) == nil)
        let forgetful = try Fixture.keyring(version: 2, officers: [1, 2], revoked: [10])
        #expect(
            fault(current, envelope, signed(forgetful, by: [1]))
                == .revocationTakenBack(keyID: Fixture.key(9).publicKey.keyID.hex))
    }

    // MARK: Cards

    @Test func aCardIsFollowedFromWhatIsHeld() throws {
        let versions = [
            try Fixture.keyring(version: 1, officers: [1]), try Fixture.keyring(version: 2, officers: [2]),
            try Fixture.keyring(version: 3, officers: [3]),
            try Fixture.keyring(version: 4, officers: [3], package: [12]),
        ]
        let card = [
            signed(versions[0], by: [1]), signed(versions[1], by: [1, 2]), signed(versions[2], by: [2, 3]),
            signed(versions[3], by: [3]),
        ]
        let fresh = try KeyringChain.follow(card)
        #expect(fresh.keyring == versions[3])
        #expect(fresh.taken == card)
        // Two versions behind.
        let behind = try KeyringChain.follow(card, from: (versions[1], card[1]))
        #expect(behind.keyring == versions[3])
        #expect(behind.taken == Array(card[2...]))
        // Nothing new, and a card that begins after the first version.
        #expect(try KeyringChain.follow(card, from: (versions[3], card[3])).taken.isEmpty)
        #expect(try KeyringChain.follow(Array(card[1...])).keyring == versions[3])
        // A hole, the wrong order, somebody else's history, nothing at all.
        #expect(throws: KeyringFault.skipped(held: 1, found: 3)) { try KeyringChain.follow([card[0], card[2]]) }
        #expect(throws: KeyringFault.rollback(held: 2, found: 1)) { try KeyringChain.follow([card[1], card[0]]) }
        #expect(throws: KeyringFault.empty) { try KeyringChain.follow([]) }
        let forged = try Fixture.keyring(version: 2, officers: [7])
        #expect(throws: KeyringFault.equivocation(version: 2)) {
            try KeyringChain.follow([card[0], signed(forged, by: [7])], from: (versions[1], card[1]))
        }
        let foreign = try Fixture.keyring(version: 1, city: Fixture.auckland)
        #expect(throws: KeyringFault.otherCity(expected: "kitchener.ca", found: "auckland.nz")) {
            try KeyringChain.follow([signed(foreign, by: [1])], from: (versions[1], card[1]))
        }
        #expect(try KeyringChain.follow([], from: (versions[1], card[1])).keyring == versions[1])
    }
}
