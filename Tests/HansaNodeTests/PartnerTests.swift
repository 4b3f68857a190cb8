import Foundation
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import Testing

@testable import HansaNode

struct PartnerTests {
    private let home: TestHome
    private let now = Timestamp(milliseconds: 4_000_000_000_000)

    init() throws { home = try TestHome("kitchener.ca", "City of Kitchener") }

    /// A city's keys and the keyrings it made of them.
    private struct City {
        let id: CityID
        var officer = Ed25519PrivateKey.generate()
        var package = Ed25519PrivateKey.generate()
        var log = Ed25519PrivateKey.generate()
        var witness = Ed25519PrivateKey.generate()
        var pin = Digest(1, 2, 3, 4)
        var origin: String?

        init(_ text: String) throws { id = try CityID(text) }

        func keyring(_ version: Int, ends: Timestamp) throws -> Envelope {
            let origin = origin ?? "\(id)/log"
            return try Keyring(
                version: version, expires: Timestamp(seconds: ends.milliseconds / 1000), city: id, name: "A city", country: nil,
                endpoints: [],
                officers: [officer.publicKey], officerThreshold: 1, packageKeys: [package.publicKey], packageThreshold: 1,
                logKeys: [log.publicKey],
                tlsPins: [TLSPin(spki: pin, notAfter: Timestamp(seconds: ends.milliseconds / 1000))],
                log: NoteKey(name: origin, vkey: VerifierKey(name: origin, algorithm: .ed25519, key: log.publicKey).text),
                witness: NoteKey(
                    name: "\(id)/witness",
                    vkey: VerifierKey(name: "\(id)/witness", algorithm: .cosignature, key: witness.publicKey).text),
                nextKeyHashes: [], revoked: []
            ).signed(with: [officer])
        }
    }

    private func add(_ card: [Envelope]) throws -> JSONValue {
        try home.node.partnerAdd(
            home.caller, card: card.map { String(decoding: $0.json(), as: UTF8.self) }.joined(separator: "\n"), fingerprint: nil,
            trustWithoutComparison: true,
            endpoint: nil, dryRun: false)
    }

    @Test func aCardIsAWholeChain() throws {
        let boston = try City("boston.gov")
        let versions = try (1...3).map { try boston.keyring($0, ends: now) }
        #expect(problem { _ = try add([versions[1]]) }?.code == .keyringInvalid)
        #expect(try add([versions[0]])["keyring"] == 1)
        // Later cards print all versions, or only the newer ones.
        #expect(try add(Array(versions[0...1]))["keyring"] == 2)
        #expect(try add(Array(versions[1...2]))["keyring"] == 3)
        #expect(try add(versions)["new"] == false)
        #expect(problem { _ = try add([versions[0]]) }?.code == .keyringRollback)
        var forger = boston
        forger.package = Ed25519PrivateKey.generate()
        #expect(problem { _ = try add([versions[0], try forger.keyring(2, ends: now)]) }?.exit == .verificationFailed)
    }

    @Test func whatBelongsToOneCityIsNotTakenFromAnother() throws {
        let boston = try City("boston.gov")
        _ = try add([try boston.keyring(1, ends: now)])
        var twins = Array(repeating: try City("twin.gov"), count: 4)
        for index in twins.indices {
            twins[index].officer = .generate()
            twins[index].package = .generate()
            twins[index].log = .generate()
            twins[index].witness = .generate()
            twins[index].pin = Digest(9, 9, 9, UInt64(index))
        }
        twins[0].pin = boston.pin
        twins[1].package = boston.package
        twins[2].origin = "kitchener.ca/log"
        for twin in twins[..<3] {
            let fault = problem { _ = try add([try twin.keyring(1, ends: now)]) }
            #expect(fault?.code == .keyringInvalid && fault?.message.contains("holds") == true, "\(String(describing: fault))")
        }
        #expect(try add([try twins[3].keyring(1, ends: now)])["city"] == "twin.gov")
        let refused = try home.node.auditLog(home.caller, filter: LogFilter(event: "keyring.refused"), emit: nil)
        #expect(refused["entries"]?.array?.count == 3)
    }

    @Test func aHomeWithAnotherHomesKeysDoesNotOpen() throws {
        let other = try TestHome("auckland.nz", "Auckland Council")
        for name in ["log", "witness", "officer", "package", "tls"] {
            let path = home.home + "/keys/\(name).pem"
            let own = try Data(contentsOf: URL(fileURLWithPath: path))
            let fault = problem {
                try home.whileClosed {
                    try FileHandle(forWritingTo: URL(fileURLWithPath: path)).replace(
                        try Data(contentsOf: URL(fileURLWithPath: other.home + "/keys/\(name).pem")))
                }
            }
            #expect(fault?.code == .keyUnsafe && fault?.next != nil, "\(name): \(String(describing: fault))")
            try home.whileClosed { try FileHandle(forWritingTo: URL(fileURLWithPath: path)).replace(own) }
        }
        #expect(try home.node.cityShow(home.caller)["city"] == "kitchener.ca")
    }

    @Test func aHomeWithoutItsDatabaseSaysSoAndMakesNone() throws {
        let fault = problem { try home.whileClosed { try home.folder.remove("home/hansa.sqlite") } }
        #expect(fault?.message.hasSuffix("hansa.sqlite is missing") == true && fault?.exit == .verificationFailed)
        #expect(!home.folder.files.contains("home/hansa.sqlite"))
    }
}

extension FileHandle {
    fileprivate func replace(_ bytes: Data) throws {
        try truncate(atOffset: 0)
        try write(contentsOf: bytes)
        try close()
    }
}
