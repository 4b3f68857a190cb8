import FakeNode
import Glibc
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaNode
import Synchronization
import Testing

@testable import HansaAPI

struct OfficerKeyTests {
    private let key = Ed25519PrivateKey.generate()

    private func agreement(_ id: String = "exchange-2026") throws -> [UInt8] {
        try Agreement(json: [
            "schema": "hansa.agreement/1", "id": .string(id), "title": "An exchange",
            "parties": [["city": "kitchener.ca", "keyring": 1], ["city": "auckland.nz", "keyring": 1]],
            "term": ["effective": "2026-12-01", "expires": "2027-11-30"], "clauses": [["id": "1", "text": "We share."]],
            "terms": [],
        ]).payload()
    }

    private func step(_ kind: AgreementStep.Kind = .reject, of agreement: Digest, reason: String = "not now") throws -> [UInt8] {
        try AgreementStep(
            agreement: agreement, step: kind, by: try CityID("kitchener.ca"), previous: nil,
            issued: Timestamp(seconds: 1_800_000_000),
            effective: Timestamp(seconds: 1_800_000_000), reason: reason, keyring: 1
        ).payload()
    }

    private func sign(_ purpose: OfficerKey.Purpose, _ payload: [UInt8], _ type: DocumentType) throws(Problem) -> OfficerSignature
    {
        try OfficerKey(pem: key.pem(), for: purpose) { _ in }.sign(payload, payloadType: type.rawValue)
    }

    @Test func aSignatureIsOverTheEnvelopesEncoding() throws {
        let payload = try agreement()
        let signed = try sign(.propose(payload: payload), payload, .agreement)
        let envelope = Envelope(
            type: .agreement, payload: payload,
            signatures: [DocumentSignature(keyID: key.publicKey.keyID, signature: signed.signature)])
        #expect(signed.publicKey == key.publicKey.bytes)
        #expect(envelope.isSigned(by: [key.publicKey], threshold: 1))
    }

    @Test func onlyWhatTheUserAskedForIsSigned() throws {
        let payload = try agreement()
        let digest = SHA256.hash(payload)
        let other = try agreement("another-2026")
        let reject = try step(of: digest)
        // By id, by whole digest, by its beginning.
        for name in ["exchange-2026", digest.prefixed, String(digest.hex.prefix(12)), "sha256:" + digest.hex.prefix(8)] {
            _ = try sign(.accept(name), payload, .agreement)
            #expect(problem { _ = try sign(.accept(name), other, .agreement) }?.code == .signatureInvalid)
        }
        _ = try sign(.reject("exchange-2026", reason: "not now"), reject, .agreementStep)
        _ = try sign(.reject(digest.prefixed, reason: "not now"), reject, .agreementStep)
        _ = try sign(.terminate("x", reason: "not now"), try step(.terminate, of: digest), .agreementStep)

        let refused: [(OfficerKey.Purpose, [UInt8], DocumentType)] = [
            (.propose(payload: payload), other, .agreement), (.propose(payload: payload), payload, .agreementStep),
            (.propose(payload: payload), payload, .keyring), (.accept("exchange-2026"), reject, .agreementStep),
            (.accept("exchange-2026"), Array("{}".utf8), .agreement), (.accept("exch"), payload, .agreement),
            (.reject("exchange-2026", reason: "not now"), try step(.terminate, of: digest), .agreementStep),
            (.reject("exchange-2026", reason: "not now"), try step(of: digest, reason: "for ever"), .agreementStep),
            (.reject(SHA256.hash(other).prefixed, reason: "not now"), reject, .agreementStep),
            (.terminate("exchange-2026", reason: "not now"), reject, .agreementStep),
            (.reject("exchange-2026", reason: "not now"), reject, .release),
        ]
        for (purpose, payload, type) in refused {
            #expect(problem { _ = try sign(purpose, payload, type) }?.code == .signatureInvalid, "\(purpose) \(type)")
        }
    }

    @Test func whatIsNoKeyIsToldSo() {
        #expect(
            problem { _ = try OfficerKey(pem: Array("nonsense".utf8), for: .accept("a")) { _ in } }?.code == .officerKeyMissing)
    }

    @Test func theNodeAsksAndTheKeyStaysHere() throws {
        var script = FakeServices.Script()
        let digest = SHA256.hash(try agreement())
        script.toSign = (DocumentType.agreementStep.rawValue, try step(of: digest))
        let fixture = try ServerFixture(FakeServices(script))
        let announced = Mutex<[String]>([])
        let officer = try OfficerKey(pem: key.pem(), for: .reject("exchange-2026", reason: "not now")) { text in
            announced.withLock { $0.append(text) }
        }
        let request = AdminRequest.agreementReject(id: "exchange-2026", reason: "not now", signsHere: true, dryRun: false)
        let document = try fixture.client().run(request, files: .officer(officer))
        let expected = try officer.sign(script.toSign.payload, payloadType: script.toSign.payloadType)
        #expect(document["signature"]?.string == Hex.encode(expected.publicKey + expected.signature))
        #expect(announced.withLock { $0.first } == "signing: reject \(digest.prefixed)")
        #expect(!String(decoding: try request.encoded(), as: UTF8.self).contains("PRIVATE"))

        // A node that asks for something else gets nothing, and the command fails.
        fixture.services.script.toSign = (DocumentType.keyring.rawValue, Array("{}".utf8))
        #expect(problem { _ = try fixture.client().run(request, files: .officer(officer)) }?.code == .signatureInvalid)
        // And so does one that asks a command that brought no key.
        #expect(problem { _ = try fixture.client().run(request) }?.code == .adminProtocol)
    }
}
