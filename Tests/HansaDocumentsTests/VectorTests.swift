import Foundation
import HansaCore
import HansaCrypto
import HansaDocuments
import Testing

/// One of each document, signed with keys of fixed seeds: `Tests/Vectors/documents.json`, byte for byte, as PROTOCOL.md quotes it.
/// `Tests/Foreign/check_documents.py` checks the same file without Hansa. After a deliberate change of a format, write it anew with
/// `HANSA_WRITE_VECTORS=1 swift test --filter VectorTests` and say so in the commit.
@Suite struct VectorTests {
    private static let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Vectors/documents.json")
    private static let environment = ProcessInfo.processInfo.environment

    struct Vector {
        let name: String
        let document: any SignedDocument
        /// The seed of key n is 32 times the byte n.
        let keys: [UInt8]
        var envelope: Envelope { document.signed(with: keys.map(Fixture.key)) }
    }

    static func vectors() throws -> [Vector] {
        let first = try Fixture.keyring(next: [2, 3])
        let second = try Fixture.keyring(version: 2, officers: [2, 3], threshold: 2, package: [12], next: [4], revoked: [11])
        // The third is signed by key 4, announced by the second, and by both officers of the second.
        let third = try Fixture.keyring(version: 3, officers: [2, 3, 4], threshold: 2, package: [12], revoked: [11])
        return [
            Vector(name: "keyring-1", document: first, keys: [1]), Vector(name: "keyring-2", document: second, keys: [1, 2, 3]),
            Vector(name: "keyring-3", document: third, keys: [2, 3, 4]),
            Vector(name: "agreement", document: try Agreement(json: exampleAgreement), keys: [1, 41]),
            Vector(name: "step", document: try Fixture.step(), keys: [41]),
            Vector(
                name: "release",
                document: try Fixture.release(
                    seq: 1, previous: nil, parents: [], clock: [(Fixture.kitchener, 1)], title: "Water main breaks, Zürich Straße"
                ),
                keys: [11]),
            Vector(name: "withdrawal", document: try Fixture.release(operation: .withdraw), keys: [11]),
            Vector(
                name: "merge",
                document: try Fixture.release(
                    operation: .merge, seq: 3, previous: Fixture.digest(9), parents: [Fixture.digest(9), Fixture.digest(8)],
                    clock: [(Fixture.kitchener, 3), (Fixture.auckland, 7)]), keys: [11]),
            Vector(name: "receipt", document: try Fixture.receipt(), keys: [51]),
        ]
    }

    private func description(of vector: Vector) -> JSONValue {
        let envelope = vector.envelope
        var value: JSONValue = [
            "name": .string(vector.name), "payloadType": .string(envelope.payloadType),
            "seeds": .array(vector.keys.map { JSONValue(Int($0)) }),
            "payload": .string(String(decoding: envelope.payload, as: UTF8.self)), "digest": .string(envelope.digest.prefixed),
            "json": .string(String(decoding: envelope.json(), as: UTF8.self)), "binary": .string(Hex.encode(envelope.binary())),
        ]
        if let keyring = vector.document as? Keyring {
            value = value.setting("fingerprint", to: .string(keyring.fingerprint.description))
        }
        return value
    }

    @Test func theVectorsHold() throws {
        let vectors = JSONValue.array(try VectorTests.vectors().map(description)).serialized(pretty: true)
        if VectorTests.environment["HANSA_WRITE_VECTORS"] != nil { try Data(vectors).write(to: VectorTests.file) }
        let written = try [UInt8](Data(contentsOf: VectorTests.file))
        #expect(written == vectors)
        // And from the file alone: what stands there is read, signed and named as it says.
        for vector in try #require(Fixture.json(written).array) {
            let envelope = try Envelope(json: Array(#require(vector["json"]?.string).utf8))
            #expect(envelope.payload == Array(try #require(vector["payload"]?.string).utf8))
            #expect(envelope.digest.prefixed == vector["digest"]?.string)
            #expect(Hex.encode(envelope.binary()) == vector["binary"]?.string)
            let keys = try #require(vector["seeds"]?.array).compactMap { $0.integer.map { Fixture.key(UInt8($0)).publicKey } }
            #expect(envelope.isSigned(by: keys, threshold: keys.count))
        }
    }

    @Test func theKeyringsOfTheVectorsFollowEachOther() throws {
        let card = try VectorTests.vectors().prefix(3).map(\.envelope)
        #expect(try KeyringChain.follow(card).keyring.version == 3)
    }

    /// For `Tests/Foreign/run`: below $HANSA_SAMPLES/documents, each document as `<name>.dsse.json`, and `keys.json` with the public keys.
    @Test(.enabled(if: environment["HANSA_SAMPLES"] != nil, "HANSA_SAMPLES names no directory"))
    func sampleDocumentsAreWrittenForForeignTools() throws {
        let directory = URL(filePath: try #require(VectorTests.environment["HANSA_SAMPLES"])).appending(path: "documents")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        var keys: [JSONMember] = []
        for vector in try VectorTests.vectors() {
            try Data(vector.envelope.json()).write(to: directory.appending(path: "\(vector.name).dsse.json"))
            keys.append(JSONMember(vector.name, .array(vector.keys.map { .string(Hex.encode(Fixture.key($0).publicKey.bytes)) })))
        }
        try Data(JSONValue.object(keys).serialized(pretty: true)).write(to: directory.appending(path: "keys.json"))
        // Rotations that every follower of TUF must refuse: signed by the old officers only, by the new only, and a version left out.
        let second = try VectorTests.vectors()[1].document
        for (name, signers) in [("only-old", [1]), ("only-new", [2, 3]), ("below-threshold", [1, 2])] as [(String, [UInt8])] {
            let envelope = second.signed(with: signers.map(Fixture.key))
            try Data(envelope.json()).write(to: directory.appending(path: "refused-\(name).dsse.json"))
        }
    }
}
