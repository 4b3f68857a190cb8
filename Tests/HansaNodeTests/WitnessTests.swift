// Logs that partners watch: what is cosigned, what a rollback looks like from both ends, and how a restored city goes on.
import Foundation
import HansaCore
import HansaDocuments
import HansaLog
import HansaStore
import HansaSync
import Testing

@testable import HansaNode

struct WitnessTests {
    private let kitchener: TestHome
    private let auckland: TestHome
    private let folder = Folder()

    init() throws {
        (kitchener, auckland) = try TestHome.pair()
        try nameWitness()
        try grow()
    }

    private func nameWitness() throws {
        _ = try kitchener.node.configSet(kitchener.caller, key: "witnesses", value: "auckland.nz", dryRun: false)
    }

    private func grow() throws {
        try folder.write("roads/x.csv", "a,b\n\(UUID()),2\n")
        try kitchener.publish([folder.path + "/roads"], name: "kitchener.ca/roads")
        try kitchener.node.logService.advance()
    }

    private func end(_ home: TestHome, _ peer: TestHome) -> LogWitness {
        LogWitness(home.node.context, peer: peer.city, home.node.witnessing)
    }

    /// One session: our turn, until nothing more is said. How many frames it took.
    @discardableResult
    private func turn(_ log: TestHome? = nil, _ witness: TestHome? = nil) throws -> Int {
        let (log, witness) = (log ?? kitchener, witness ?? auckland)
        let (ours, theirs) = (end(log, witness), end(witness, log))
        var frames = try ours.due()
        var count = 0
        while let frame = frames.popLast() {
            count += 1
            let half = frame.type == .checkpoint ? theirs : ours
            frames += try half.receive(Frame(frame.type, body: frame.body), at: log.node.clock.now)
        }
        return count
    }

    private func cosigned() throws -> UInt64? {
        try kitchener.node.read { try WitnessMemory.cosigned(by: self.auckland.city, $0) }.map {
            try Checkpoint(text: $0.text).size.value
        }
    }
    private func attention(_ home: TestHome) throws -> [String] {
        try home.node.status(home.caller)["attention"]?.array?.compactMap { $0["code"]?.string } ?? []
    }

    private var backup: String { kitchener.folder.path + "/backup" }
    private func backUp() throws {
        try kitchener.whileClosed { try FileManager.default.copyItem(atPath: kitchener.home, toPath: backup) }
    }
    private func goBack() throws {
        try kitchener.whileClosed {
            try FileManager.default.removeItem(atPath: kitchener.home)
            try FileManager.default.copyItem(atPath: backup, toPath: kitchener.home)
        }
    }

    @Test func aPartnerThatIsNamedCosignsEachCheckpointOnce() throws {
        #expect(try turn() == 2)
        #expect(try cosigned() == kitchener.node.logService.checkpoint.size.value)
        #expect(try turn() == 0, "nothing is new")
        try grow()
        #expect(try turn() == 2, "it continues what was cosigned")
        #expect(try cosigned() == kitchener.node.logService.checkpoint.size.value)
        let document = try kitchener.node.auditCheckpoint(kitchener.caller)
        let note = try #require(document["witnesses"]?[0]?["note"]?.string)
        let keys = (try VerifierKey(kitchener.node.keyring.log.vkey), try VerifierKey(auckland.node.keyring.witness.vkey))
        #expect(try SignedCheckpoint(Array(note.utf8), log: keys.0, witnesses: [keys.1]).cosignatures.count == 1)
        // Nobody else is asked, and nobody asks by itself.
        #expect(try end(auckland, kitchener).due().isEmpty)
        // A witness that forgot begins again; a log that forgot is shown what it had.
        try auckland.node.change { tx in
            try WitnessMemory.set("held", self.kitchener.city, nil, tx)
            return ((), ExchangeChanges())
        }
        try grow()
        #expect(try turn() == 4)
        try kitchener.node.change { tx in
            try WitnessMemory.set("by", self.auckland.city, nil, tx)
            return ((), ExchangeChanges())
        }
        try grow()
        #expect(try turn() == 4)
        #expect(try cosigned() == kitchener.node.logService.checkpoint.size.value)
        for home in [kitchener, auckland] { #expect(try attention(home).filter { $0.contains("log") } == [], "\(home.city)") }
    }

    @Test func aLogThatWentBackIsFoundAtBothEndsAndItsSuccessorFollowed() throws {
        try turn()
        try backUp()
        try grow()
        try turn()
        let lost = try #require(try cosigned())
        try goBack()
        #expect(try attention(kitchener).contains("log-behind") == false)
        // Nothing new in the restored log but what its start wrote: it asks, and is shown its own later word.
        try kitchener.node.auditCheckpoint(kitchener.caller)["size"].map { #expect($0.integer ?? 0 <= Int64(lost)) }
        _ = try kitchener.node.configSet(kitchener.caller, key: "logLevel", value: "notice", dryRun: false)
        try kitchener.node.logService.advance()
        try turn()
        #expect(try attention(kitchener).contains("log-behind"))
        let common = try #require(try cosigned())
        #expect(common < lost)
        if kitchener.node.logService.checkpoint.size.value < lost {
            #expect(try attention(auckland).contains("partner-log"))
            let entries = try auckland.node.auditLog(auckland.caller, filter: LogFilter(event: "witness.alarm"), emit: nil)[
                "entries"]
            #expect(entries?.array?.count == 1 && entries?[0]?["reason"] == "went-back")
        }
        // It grows beyond what it had: it is no more believed than before.
        for _ in 0..<8 { try grow() }
        try turn()
        #expect(try attention(kitchener).contains("log-behind"))
        #expect(try cosigned() != kitchener.node.logService.checkpoint.size.value)

        let done = try kitchener.node.restore(kitchener.caller, RotationRequest(key: "restore"), against: nil, officerKey: nil)
        #expect(done["log"] == "kitchener.ca/log/2")
        // By then the log was longer than what was lost of it: it is known to have been the same up to what was cosigned before.
        let range = done["closed"]?["lost"]
        #expect(range?["end"]?.integer == Int64(lost) && range?["shownBy"] == "auckland.nz")
        #expect(range?["first"]?.integer == Int64(common) && common > 0)
        #expect(try attention(kitchener).contains("log-behind") == false)
        // Not before its keyring came.
        try turn()
        #expect(try cosigned() != kitchener.node.logService.checkpoint.size.value)
        try exchange(kitchener, auckland)
        try kitchener.node.logService.advance()
        try turn()
        #expect(try cosigned() == kitchener.node.logService.checkpoint.size.value)
        #expect(try attention(auckland).contains("partner-log") == false)
        let followed = try auckland.node.auditLog(auckland.caller, filter: LogFilter(event: "witness.followed"), emit: nil)[
            "entries"]
        let index = try #require(followed?[0]?["index"]?.integer)
        let details = try auckland.node.auditShow(auckland.caller, index: UInt64(index), log: nil)["details"]
        #expect(details?["size"]?.integer == Int64(lost) && details?["to"] == "kitchener.ca/log/2")
    }

    @Test func aThiefOfTheLogKeyDoesNotRunAheadOfTheLogForEver() throws {
        try turn()
        // Signed by the stolen key, and as if it continued what was cosigned.
        let stolen = try LogSigner(origin: "kitchener.ca/log", key: kitchener.node.keys.log)
        let ahead = stolen.sign(try Checkpoint(origin: stolen.origin, size: TreeSize(1 << 40), root: .zero))
        try auckland.node.change { tx in
            try WitnessMemory.set("held", self.kitchener.city, ahead, tx)
            return ((), ExchangeChanges())
        }
        _ = try kitchener.node.cityRotate(
            kitchener.caller, RotationRequest(key: "log", compromised: true, confirm: "kitchener.ca"), officerKey: nil)
        try exchange(kitchener, auckland)
        try grow()
        try turn()
        #expect(try attention(kitchener).contains("log-behind") == false)
        #expect(try cosigned() == kitchener.node.logService.checkpoint.size.value)
    }

    @Test func whatAPartnerHasShownIsNamedAsLost() throws {
        try backUp()
        for _ in 0..<6 { try grow() }
        try turn()
        let lost = try #require(try cosigned())
        try goBack()
        try turn()
        let done = try kitchener.node.restore(kitchener.caller, RotationRequest(key: "restore"), against: nil, officerKey: nil)
        #expect(done["closed"]?["lost"]?["end"]?.integer == Int64(lost))
        #expect(done["closed"]?["lost"]?["shownBy"] == "auckland.nz")
    }

    @Test func aWitnessBelievesNoNumberAndNoProofThatDoesNotHold() throws {
        try turn()
        try grow()
        let theirs = end(auckland, kitchener)
        let now = auckland.node.clock.now
        func ask(_ request: WitnessRequest) throws -> CosignMessage {
            try CosignMessage(
                try #require(try end(auckland, kitchener).receive(CheckpointMessage(request: request).frame, at: now).first))
        }
        let old = TreeSize(try #require(try cosigned()))
        let (signed, proof) = try kitchener.node.logService.proof(from: old)
        let right = WitnessRequest(old: old, proof: proof, checkpoint: signed.note)
        #expect(throws: ExchangeFault.self) { _ = try theirs.receive(Frame(.checkpoint, body: Array("nonsense".utf8)), at: now) }
        #expect(try ask(WitnessRequest(old: signed.size.advanced(by: 1), proof: [], checkpoint: signed.note)).code == 400)
        let other = try ask(WitnessRequest(old: old.advanced(by: 1), proof: proof, checkpoint: signed.note))
        #expect(other.code == 409 && other.body == Array("\(old)\n".utf8))
        // Another log's checkpoint, and one that nobody signed.
        let foreign = try LogSigner(origin: "kitchener.ca/log", key: auckland.node.keys.log)
        #expect(try ask(WitnessRequest(old: old, proof: proof, checkpoint: foreign.sign(signed.checkpoint))).code == 403)
        #expect(
            try ask(WitnessRequest(old: old, proof: [], checkpoint: auckland.node.logService.checkpoint.note)).code == 403)
        // Signed, and the proof does not hold: evidence, and an alarm.
        #expect(try ask(WitnessRequest(old: old, proof: proof.reversed() + [.zero], checkpoint: signed.note)).code == 422)
        #expect(try attention(auckland).contains("partner-log"))
        #expect(try ask(right).code == 200)
        #expect(try attention(auckland).contains("partner-log") == false, "it continued after all")
        // Two heads of one size.
        let key = kitchener.node.keys.log
        let fork = try LogSigner(origin: "kitchener.ca/log", key: key).sign(
            Checkpoint(origin: "kitchener.ca/log", size: signed.size, root: .zero))
        #expect(try ask(WitnessRequest(old: signed.size, proof: [], checkpoint: fork)).code == 422)
        #expect(try attention(auckland).contains("partner-log"))
        // Who asks on and on is put off, and heard again after a while.
        func code(at time: Timestamp) throws -> UInt64 {
            try CosignMessage(try #require(try theirs.receive(CheckpointMessage(request: right).frame, at: time).first)).code
        }
        let codes = try (0..<40).map { _ in try code(at: now) }
        #expect(codes.first != 429 && codes.last == 429 && codes.count { $0 == 429 } == 8)
        #expect(try code(at: now.adding(seconds: 30)) != 429)
        // Nothing was asked, so nothing is believed; nor is a line that is no signature.
        let word = CosignMessage(code: 200, body: [])
        #expect(throws: ExchangeFault.self) { _ = try end(kitchener, auckland).receive(word.frame, at: now) }
        let ours = end(kitchener, auckland)
        try grow()
        _ = try ours.due()
        #expect(throws: ExchangeFault.self) { _ = try ours.receive(word.frame, at: now) }
        // A claim without our signature changes nothing.
        _ = try ours.due()
        #expect(try ours.receive(CosignMessage(code: 409, body: Array("99999\n".utf8)).frame, at: now).isEmpty)
        _ = try ours.due()
        let forged = try LogSigner(origin: "kitchener.ca/log", key: auckland.node.keys.log).sign(
            Checkpoint(origin: "kitchener.ca/log", size: 99_999, root: .zero))
        #expect(
            try ours.receive(CosignMessage(code: 409, body: Array("99999\n".utf8), evidence: forged.bytes).frame, at: now).isEmpty
        )
        #expect(try attention(kitchener).contains("log-behind") == false)
    }
}
