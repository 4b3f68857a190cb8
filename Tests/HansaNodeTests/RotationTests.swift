// Rotation and renewal of our own keyring: what changes, what survives a kill at each step, what the node goes by at once.
import Foundation
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import Synchronization
import Testing

@testable import HansaNode

struct RotationTests {
    private let home: TestHome

    init() throws { home = try TestHome("kitchener.ca", "City of Kitchener") }

    private struct Killed: Error {}

    @discardableResult
    private func rotate(_ key: String, compromised: Bool = false, dryRun: Bool = false) throws -> JSONValue {
        try home.node.cityRotate(
            home.caller, RotationRequest(key: key, compromised: compromised, confirm: "kitchener.ca", dryRun: dryRun),
            officerKey: nil)
    }

    private var card: [Envelope] {
        get throws {
            try home.node.cityCard(home.caller)["envelopes"]?.array?.compactMap(\.string).map {
                try Envelope(json: Array($0.utf8))
            }
                ?? []
        }
    }

    private func fileNames() -> [String] { Folder.files(below: home.home + "/keys") }

    @Test(arguments: ["officer", "package", "log", "witness", "tls"]) func everyKeyGetsASuccessor(key: String) throws {
        let before = home.node.keyring
        let document = try rotate(key)
        let after = home.node.keyring
        #expect(document["keyring"] == 2 && document["key"]?.string == key)
        #expect(after.version == 2)
        let part = key == "officer" ? "officers" : key
        #expect(before.changes(to: after).map(\.rawValue).contains(part))
        #expect((document["fingerprintChanged"]?.bool == true) == (key == "officer"))
        // What a partner does with the card.
        #expect(try KeyringChain.follow(try card, from: (before, try card[0])).keyring == after)
        #expect(fileNames() == ["log.pem", "officer.pem", "package.pem", "retired/\(key)-1.pem", "tls.pem", "witness.pem"])
        let entry = try home.node.auditLog(home.caller, filter: LogFilter(event: "identity.rotated"), emit: nil)
        #expect(entry["entries"]?.array?.count == 1)
        // The log goes on under its key of now, and the node opens again with what is there.
        #expect(try home.node.auditVerify(home.caller, against: nil)["valid"] == true)
        try home.whileClosed {}
        #expect(home.node.keyring == after)
        #expect(try home.node.auditVerify(home.caller, against: nil)["valid"] == true)
        #expect(FileManager.default.fileExists(atPath: home.home + "/keyring/2.dsse.json"))
    }

    @Test func aKillAtAnyStepLosesNothing() throws {
        var version = 1
        for job in KeyCabinet.Job.allCases {
            for step in RotationStep.allCases {
                #expect(throws: Problem.self) {
                    _ = try home.node.nextVersion(home.caller, RotationRequest(key: job.rawValue), job, nil) { reached in
                        if reached == step { throw Killed() }
                    }
                }
                try home.whileClosed {}
                // Before the transaction nothing has changed; from it on the next start finishes what is left.
                if step == .committed || step == .installed { version += 1 }
                #expect(home.node.keyring.version == version, "\(job) at \(step)")
                #expect(try KeyringChain.follow(try card).keyring == home.node.keyring)
                #expect(try home.node.auditVerify(home.caller, against: nil)["valid"] == true, "\(job) at \(step)")
                #expect(
                    fileNames().contains("\(job.rawValue).next.pem") == (step == .prepared || step == .signed),
                    "\(job) at \(step)")
                // The key in use signs, and the next rotation goes through.
                try rotate(job.rawValue)
                version += 1
                try home.whileClosed {}
                #expect(home.node.keyring.version == version)
            }
        }
        // Every key that was ever in use is still there: none was lost on the way.
        let history = try card.map { try Keyring($0) }
        for name in fileNames() where name.hasPrefix("retired/package-") {
            let key = try Ed25519PrivateKey(pem: try KeyFile.read(path: home.home + "/keys/" + name))
            #expect(history.contains { $0.packageKeys.contains(key.publicKey) })
        }
        #expect(
            fileNames().count(where: { $0.hasPrefix("retired/package-") }) == Set(history.map { $0.packageKeys[0] }).count - 1)
    }

    @Test func anOldTLSKeyStaysPinnedForAWhileUnlessItIsCompromised() throws {
        let first = home.node.keys.tls.spkiHash
        try rotate("tls")
        let pins = home.node.keyring.tlsPins
        #expect(pins.map(\.spki) == [home.node.keys.tls.spkiHash, first])
        let overlap = pins[1].notAfter.milliseconds - home.node.clock.now.milliseconds
        #expect((29 * 86_400_000...30 * 86_400_000).contains(overlap))
        #expect(home.node.keys.formerTLS.map(\.spkiHash) == [first])
        try home.whileClosed {}
        #expect(home.node.keys.formerTLS.map(\.spkiHash) == [first])
        let second = home.node.keys.tls.spkiHash
        try rotate("tls", compromised: true)
        #expect(home.node.keyring.tlsPins.map(\.spki) == [home.node.keys.tls.spkiHash])
        #expect(home.node.keys.formerTLS.isEmpty && second != home.node.keys.tls.spkiHash)
    }

    @Test func aCompromisedKeyIsNamedForEver() throws {
        let old = home.node.keys.package.publicKey
        try rotate("package", compromised: true)
        #expect(home.node.keyring.revoked == [old.keyID])
        try rotate("tls")
        #expect(home.node.keyring.revoked == [old.keyID])
    }

    @Test func aDryRunChangesNothing() throws {
        let before = fileNames()
        let plan = try rotate("tls", dryRun: true)
        #expect(plan["keyring"] == 2 && plan["dryRun"] == true)
        #expect(try home.node.cityRenew(home.caller, RotationRequest(key: nil, dryRun: true), officerKey: nil)["keyring"] == 2)
        #expect(home.node.keyring.version == 1 && fileNames() == before)
    }

    @Test func severeRotationsAskForTheName() throws {
        for (key, compromised) in [("officer", false), ("tls", true), ("package", true)] {
            let fault = problem {
                _ = try home.node.cityRotate(
                    home.caller, RotationRequest(key: key, compromised: compromised), officerKey: nil)
            }
            #expect(fault?.code == .confirmationNeeded && fault?.exit == .usage)
        }
        #expect(problem { _ = try rotate("tsl") }?.next == "hansa city rotate tls")
        #expect(home.node.keyring.version == 1)
    }

    @Test func aRenewalTakesNameAndAddressesFromTheConfiguration() throws {
        _ = try home.node.configSet(home.caller, key: "advertise", value: "node.kitchener.ca:8471", dryRun: false)
        let document = try home.node.cityRenew(home.caller, RotationRequest(key: nil), officerKey: nil)
        #expect(home.node.keyring.endpoints == ["node.kitchener.ca:8471"])
        #expect(document["changes"]?.array?.compactMap(\.string).contains("endpoints") == true)
        #expect(home.node.keyring.tlsPins[0].notAfter > home.node.keyring.expires)
    }

    /// Signs with keys that the node never sees.
    private struct Elsewhere: OfficerSigner {
        let keys: [Ed25519PrivateKey]
        func sign(_ payload: [UInt8], payloadType: String) throws(Problem) -> OfficerSignature {
            try signatures(payload, payloadType: payloadType)[0]
        }
        func signatures(_ payload: [UInt8], payloadType: String) throws(Problem) -> [OfficerSignature] {
            let message = Envelope.preAuthentication(type: payloadType, body: payload)
            return keys.map { OfficerSignature(publicKey: $0.publicKey.bytes, signature: $0.sign(message)) }
        }
    }

    @Test func anOfficersKeyMayLiveElsewhere() throws {
        let outside = Ed25519PrivateKey.generate()
        let request = RotationRequest(
            key: "officer", newOfficer: Hex.encode(outside.publicKey.bytes), confirm: "kitchener.ca")
        // The successor has to sign too.
        #expect(problem { _ = try home.node.cityRotate(home.caller, request, officerKey: nil) }?.code == .officerKeyMissing)
        #expect(home.node.keyring.version == 1)
        _ = try home.node.cityRotate(home.caller, request, officerKey: Elsewhere(keys: [outside]))
        #expect(home.node.keyring.officers == [outside.publicKey])
        #expect(home.node.keys.officer == nil)
        #expect(!fileNames().contains("officer.pem") && fileNames().contains("retired/officer-1.pem"))
        try home.whileClosed {}
        #expect(problem { try rotate("tls") }?.code == .officerKeyMissing)
        try home.whileClosed {}
        _ = try home.node.cityRotate(home.caller, RotationRequest(key: "tls"), officerKey: Elsewhere(keys: [outside]))
        #expect(home.node.keyring.version == 3)
        #expect(
            problem {
                _ = try home.node.cityRenew(
                    home.caller, RotationRequest(key: nil), officerKey: Elsewhere(keys: [Ed25519PrivateKey.generate()]))
            }?.code == .officerKeyMissing)
        #expect(try KeyringChain.follow(try card).keyring.version == 3)
    }

    @Test func onlyAnnouncedOfficersFollow() throws {
        let announced = Ed25519PrivateKey.generate()
        _ = try home.node.cityRenew(
            home.caller, RotationRequest(key: nil, announced: [announced.publicKey.keyID.hex]), officerKey: nil)
        #expect(home.node.keyring.nextKeyHashes == [announced.publicKey.keyID])
        #expect(problem { try rotate("officer") }?.message.contains("announced") == true)
        let other = Ed25519PrivateKey.generate()
        #expect(
            problem {
                _ = try home.node.cityRotate(
                    home.caller,
                    RotationRequest(key: "officer", newOfficer: Hex.encode(other.publicKey.bytes), confirm: "kitchener.ca"),
                    officerKey: Elsewhere(keys: [other]))
            }?.message.contains("announced") == true)
        _ = try home.node.cityRotate(
            home.caller,
            RotationRequest(key: "officer", newOfficer: Hex.encode(announced.publicKey.bytes), confirm: "kitchener.ca"),
            officerKey: Elsewhere(keys: [announced]))
        #expect(home.node.keyring.officers == [announced.publicKey] && home.node.keyring.nextKeyHashes.isEmpty)
    }

    @Test func aCheckpointOfTheFormerLogKeyIsStillOurs() throws {
        let old = try #require(try home.node.auditCheckpoint(home.caller)["checkpoint"]?.string)
        try rotate("log")
        #expect(try home.node.auditVerify(home.caller, against: old)["valid"] == true)
        let new = try #require(try home.node.auditCheckpoint(home.caller)["checkpoint"]?.string)
        #expect(try home.node.auditVerify(home.caller, against: new)["valid"] == true)
        #expect(throws: (any Error).self) {
            try SignedCheckpoint(Array(old.utf8), log: VerifierKey(home.node.keyring.log.vkey))
        }
    }

    /// For Tests/Foreign/check_card.py.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["HANSA_SAMPLES"] != nil))
    func rotatedCardsAreWrittenForForeignTools() throws {
        let samples = try #require(ProcessInfo.processInfo.environment["HANSA_SAMPLES"])
        let directory = URL(filePath: samples).appending(path: "card")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        for job in KeyCabinet.Job.allCases { try rotate(job.rawValue) }
        _ = try home.node.cityRenew(home.caller, RotationRequest(key: nil), officerKey: nil)
        try rotate("package", compromised: true)
        try rotate("officer", compromised: true)
        for (number, envelope) in try card.enumerated() {
            try Data(envelope.json()).write(to: directory.appending(path: "\(number + 1).root.json"))
        }
    }

    // MARK: Partners

    /// A session that begins, without a network: the hellos' numbers, then documents and releases.
    private func meet(_ one: TestHome, _ other: TestHome) throws {
        for (from, to) in [(one, other), (other, one)] {
            let sender = DocumentExchange(from.node.context, peer: to.city)
            let receiver = DocumentExchange(to.node.context, peer: from.city)
            let held = try #require(try to.node.read { try $0.currentKeyring(of: from.city)?.version })
            let theirs = try #require(try from.node.read { try $0.currentKeyring(of: to.city)?.version })
            try sender.opened(held: UInt64(held), theirs: UInt64(theirs), at: from.node.clock.now)
            for frame in try sender.pending() where frame.type == .documents {
                let (answer, _) = try receiver.receive(frame, at: to.node.clock.now)
                try sender.acknowledged(answer, at: from.node.clock.now)
            }
        }
        try exchange(one, other)
    }

    @Test func agreementsSignedBeforeARotationStayAndNewOnesNeedTheOfficersOfNow() throws {
        let (kitchener, auckland) = try TestHome.pair()
        let first = try kitchener.propose(to: auckland)
        try meet(kitchener, auckland)
        let yaml = try #require(
            try kitchener.node.agreementNew(kitchener.caller, template: "city-exchange", with: auckland.city.text)["yaml"]?.string
        )
        for city in [kitchener, auckland] {
            _ = try city.node.cityRotate(
                city.caller, RotationRequest(key: "officer", confirm: city.city.text), officerKey: nil)
        }
        // Auckland's name stands in it under a keyring that is no longer in force.
        #expect(
            problem { _ = try auckland.node.agreementAccept(auckland.caller, id: first, officerKey: nil, dryRun: false) }?.code
                == .agreementState)
        #expect(
            problem { _ = try kitchener.node.agreementPropose(kitchener.caller, yaml: yaml, officerKey: nil, dryRun: false) }?
                .message.contains("no longer the one in force") == true)
        try meet(kitchener, auckland)
        #expect(try auckland.node.read { try $0.currentKeyring(of: kitchener.city)?.version } == 2)
        #expect(try kitchener.state(of: first) == "proposed")
        _ = try kitchener.node.agreementTerminate(
            kitchener.caller, id: first, reason: "a new one follows", officerKey: nil, dryRun: false)
        let second = try kitchener.node.agreementPropose(
            kitchener.caller,
            yaml: try #require(
                try kitchener.node.agreementNew(kitchener.caller, template: "city-exchange", with: auckland.city.text)["yaml"]?
                    .string
            ).replacing(first, with: "second"), officerKey: nil, dryRun: false)["id"]?.string
        let id = try #require(second)
        try meet(kitchener, auckland)
        _ = try auckland.node.agreementAccept(auckland.caller, id: id, officerKey: nil, dryRun: false)
        try meet(kitchener, auckland)
        #expect(try kitchener.state(of: id) == "active")
        for city in [kitchener, auckland] {
            _ = try city.node.cityRotate(
                city.caller, RotationRequest(key: "officer", compromised: true, confirm: city.city.text), officerKey: nil)
        }
        try meet(kitchener, auckland)
        #expect(try kitchener.state(of: id) == "active" && auckland.state(of: id) == "active")
    }

    @Test func aPausedPartnerIsToldOfAndNothingIsLost() throws {
        let (kitchener, auckland) = try TestHome.pair()
        let node = kitchener.node
        #expect(try node.partnerPause(kitchener.caller, city: "auckland.nz", dryRun: true)["changed"] == true)
        #expect(try node.partnerList(kitchener.caller)["partners"]?.array?.first?["state"] == "offline")
        _ = try node.partnerPause(kitchener.caller, city: "auckland.nz", dryRun: false)
        #expect(try node.partnerList(kitchener.caller)["partners"]?.array?.first?["state"] == "paused")
        let attention = try node.status(kitchener.caller)["attention"]?.array ?? []
        #expect(attention.contains { $0["code"] == "partner-paused" && $0["command"] == "hansa partner resume auckland.nz" })
        #expect(try node.partnerPause(kitchener.caller, city: "auckland.nz", dryRun: false)["changed"] == false)
        _ = try node.partnerResume(kitchener.caller, city: "auckland.nz", dryRun: false)
        #expect(try node.status(kitchener.caller)["attention"]?.array?.contains { $0["code"] == "partner-paused" } == false)
        let events = try node.auditLog(kitchener.caller, filter: LogFilter(partner: "auckland.nz"), emit: nil)["entries"]?.array
        #expect(events?.compactMap { $0["event"]?.string }.suffix(2) == ["partner.paused", "partner.resumed"])
        _ = auckland
    }

    @Test func aCardByHandSaysThatOfficersChanged() throws {
        let (kitchener, auckland) = try TestHome.pair()
        _ = try auckland.node.cityRotate(
            auckland.caller, RotationRequest(key: "officer", compromised: true, confirm: "auckland.nz"), officerKey: nil)
        _ = try auckland.node.cityRotate(auckland.caller, RotationRequest(key: "tls"), officerKey: nil)
        let card =
            try auckland.node.cityCard(auckland.caller)["envelopes"]?.array?.compactMap(\.string).joined(separator: "\n") ?? ""
        let fault = problem {
            _ = try kitchener.node.partnerAdd(
                kitchener.caller, card: card, fingerprint: nil, trustWithoutComparison: false, endpoint: nil, dryRun: false)
        }
        #expect(fault?.code == .fingerprintNeeded && fault?.message.contains("officers' keys have changed") == true)
        let document = try kitchener.node.partnerAdd(
            kitchener.caller, card: card, fingerprint: auckland.node.keyring.fingerprint.description,
            trustWithoutComparison: false,
            endpoint: nil, dryRun: false)
        #expect(document["officersChanged"] == true && document["keyring"] == 3 && document["previousKeyring"] == 1)
    }
}
