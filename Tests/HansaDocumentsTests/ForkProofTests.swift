import HansaCore
import HansaCrypto
import HansaDocuments
import Testing

@Suite struct ForkProofTests {
    private func proof(swapped: Bool = false) throws -> ForkProof {
        let first = try Fixture.release().signed(with: [Fixture.key(11)])
        let second = try Fixture.release(title: "Another").signed(with: [Fixture.key(11)])
        return try ForkProof(
            swapped ? second : first, swapped ? first : second, by: Fixture.auckland, found: Fixture.now, keyring: 2)
    }

    @Test func theOrderInWhichTheTwoWereSeenDoesNotShow() throws {
        #expect(try proof() == proof(swapped: true))
        #expect(try proof().payload() == proof(swapped: true).payload())
    }

    @Test func aProofIsReadAsItWasWrittenAndHasOneSpelling() throws {
        let proof = try proof()
        #expect(try ForkProof(payload: proof.payload()) == proof)
        let text = String(decoding: proof.payload(), as: UTF8.self)
        #expect(
            text.hasPrefix(
                "{\"schema\":\"hansa.fork-proof/1\",\"package\":\"kitchener.ca/roads/water-main-breaks\",\"writer\":\"kitchener.ca\",\"seq\":2,"
                    + "\"by\":\"auckland.nz\",\"found\":\"\(Fixture.now)\",\"keyring\":2,\"releases\":[{\"payload\":\""))
        #expect(proof.signed(with: [Fixture.key(11)]).payloadType == "application/vnd.hansa.fork-proof.v1+json")
    }

    @Test func onlyTheWritersOwnKeysProveAnything() throws {
        let proof = try proof()
        let keyring = try Fixture.keyring()
        #expect(proof.isProved { city, version in city == Fixture.kitchener && version == 1 ? keyring : nil })
        #expect(!proof.isProved { _, _ in nil })
        let other = try Fixture.keyring(package: [12])
        #expect(!proof.isProved { _, _ in other })
    }

    @Test func whatIsNoForkIsNoProof() throws {
        let release = try Fixture.release().signed(with: [Fixture.key(11)])
        func make(_ other: Release) throws -> ForkProof {
            try ForkProof(release, other.signed(with: [Fixture.key(11)]), by: Fixture.auckland, found: Fixture.now, keyring: 1)
        }
        #expect(throws: DocumentFault.field("releases", "are one and the same release")) { try make(Fixture.release()) }
        let apart = DocumentFault.field("releases", "do not share package, writer and seq")
        #expect(throws: apart) { try make(Fixture.release(seq: 3, clock: [(Fixture.kitchener, 3)])) }
        #expect(throws: apart) { try make(Fixture.release(package: "kitchener.ca/roads")) }
        #expect(throws: DocumentFault.payloadType(DocumentType.receipt.rawValue)) {
            try ForkProof(
                release, Fixture.receipt().signed(with: [Fixture.key(11)]), by: Fixture.auckland, found: Fixture.now, keyring: 1)
        }
        var payload = String(decoding: try proof().payload(), as: UTF8.self)
        payload = payload.replacing("\"seq\":2", with: "\"seq\":3")
        #expect(throws: DocumentFault.field("releases", "are not of the package, writer and seq that the proof names")) {
            try ForkProof(payload: Array(payload.utf8))
        }
    }
}
