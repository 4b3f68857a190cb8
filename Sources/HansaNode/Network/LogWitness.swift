// A log that partners watch (C2SP tlog-witness inside the session, PROTOCOL.md §1.6). Both halves for one session:
//
//   we ask      the partners that `witnesses` in hansa.yaml names are sent our last checkpoint, with the proof that it continues what they cosigned
//               before; when the session opens and at each announcement, never because something happened: its size tells how busy we were
//   we answer   whoever of our partners asks. What we cosign is durable before the answer leaves: no later request can make us forget it
//
// A log that went back behind what was cosigned is found at both ends: the witness has two checkpoints that contradict each other, under the signature of
// one log; the log is shown its own later checkpoint. Only that signature is believed, never a number.
//
// One job at a time uses it, as `Puller`; it blocks on the stores.
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync

/// What witnessing needs of the node, for all sessions.
struct Witnessing: Sendable {
    let log: LogService
    let identity: @Sendable () -> NodeIdentity?
    /// Who is asked to cosign our checkpoints.
    let witnesses: @Sendable () -> [CityID]
}

/// What is remembered of it, in small named values: notes as they were signed.
enum WitnessMemory {
    /// Our last checkpoint that the partner cosigned, with its line.
    static func cosigned(by partner: CityID, _ store: any MetadataReading) throws -> SignedNote? {
        try note("witness.by.\(partner)", store)
    }
    /// A later checkpoint of the log we had, which the partner has shown and our log does not continue.
    static func behind(_ partner: CityID, _ store: any MetadataReading) throws -> SignedNote? {
        try note("witness.behind.\(partner)", store)
    }
    /// The partner's last checkpoint that we cosigned.
    static func held(of partner: CityID, _ store: any MetadataReading) throws -> SignedNote? {
        try note("witness.held.\(partner)", store)
    }
    /// One that it signed and that contradicts what we hold.
    static func contradiction(of partner: CityID, _ store: any MetadataReading) throws -> SignedNote? {
        try note("witness.contradiction.\(partner)", store)
    }

    static func set(_ what: String, _ partner: CityID, _ note: SignedNote?, _ tx: any MetadataWriting) throws {
        try tx.setValue("witness.\(what).\(partner)", note?.bytes ?? [])
    }

    private static func note(_ name: String, _ store: any MetadataReading) throws -> SignedNote? {
        guard let bytes = try store.value(name), !bytes.isEmpty else { return nil }
        return try? SignedNote(bytes)
    }
}

final class LogWitness {
    private let context: ExchangeContext
    private let peer: CityID
    private let witnessing: Witnessing
    /// What we asked for and what has not been answered.
    private var asked: SignedCheckpoint?
    /// Asks again within one turn: what the witness says may need another proof, once.
    private var repeats = 0
    /// Requests of the partner's that may be answered now: each costs a signature and an fsync.
    private var allowance = LogWitness.allowanceMax
    private var lastRequest: Timestamp?

    private static let allowanceMax: Int64 = 32
    private static let secondsForEach: Int64 = 30

    init(_ context: ExchangeContext, peer: CityID, _ witnessing: Witnessing) {
        self.context = context
        self.peer = peer
        self.witnessing = witnessing
    }

    /// The turn of a partner that witnesses our log: nothing where nothing is new.
    func due() throws -> [Frame] {
        guard witnessing.witnesses().contains(peer) else { return [] }
        repeats = 0
        return try request().map { [$0] } ?? []
    }

    func receive(_ frame: Frame, at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        do {
            if frame.type == .checkpoint { return [try answer(CheckpointMessage(frame), at: now).frame] }
            return try take(CosignMessage(frame), at: now).map { [$0] } ?? []
        } catch let fault as ProtocolFault {
            throw .peer(fault)
        } catch {
            throw .store(error)
        }
    }

    // MARK: Our log

    private func request(from known: Checkpoint? = nil) throws -> Frame? {
        let current = witnessing.log.checkpoint
        let cosigned =
            try known
            ?? context.metadata.read { try WitnessMemory.cosigned(by: self.peer, $0) }.flatMap { try? Checkpoint(text: $0.text) }
        let old = cosigned.flatMap { $0.origin == current.checkpoint.origin && $0.size <= current.size ? $0.size : nil } ?? 0
        guard !current.size.isEmpty, old < current.size || known != nil else { return nil }
        let (signed, proof) = try witnessing.log.proof(from: old)
        asked = signed
        return CheckpointMessage(request: WitnessRequest(old: old, proof: proof, checkpoint: signed.note)).frame
    }

    /// Returns the next request, where the answer calls for one.
    private func take(_ message: CosignMessage, at now: Timestamp) throws -> Frame? {
        guard let asked else { throw ProtocolFault.unexpected(.cosign, "nothing was asked") }
        self.asked = nil
        switch WitnessAnswer(rawValue: UInt16(clamping: message.code)) {
        case .cosigned:
            guard let keyring = try context.metadata.read({ try $0.currentKeyring(of: self.peer) }),
                let key = try? VerifierKey(keyring.witness.vkey),
                let note = try? SignedNote(Array(asked.checkpoint.text.utf8) + [0x0A] + message.body),
                let line = try? note.verified(by: [key]).first
            else { throw ProtocolFault.malformed(.cosign, "no cosignature of its witness key") }
            try context.metadata.write(at: now) { tx in
                try WitnessMemory.set("by", self.peer, asked.note.adding(line.signature), tx)
                try WitnessMemory.set("behind", self.peer, nil, tx)
            }
            return nil
        case .otherSize, .inconsistent:
            guard let shown = try evidence(message.evidence) else {
                // It has forgotten what it cosigned, and begins again.
                guard message.body == Array("0\n".utf8), repeats == 0 else { return nil }
                repeats += 1
                return try request(from: Checkpoint(origin: asked.checkpoint.origin, size: 0, root: MerkleTree.emptyRoot))
            }
            // What was signed lately may not be carried on yet.
            try witnessing.log.advance()
            if try continues(shown.checkpoint) {
                guard repeats < 2 else { return nil }
                repeats += 1
                return try request(from: shown.checkpoint)
            }
            try context.metadata.write(at: now) { try WitnessMemory.set("behind", self.peer, shown.note, $0) }
            return nil
        // It may not know our newest keyring yet, or have had enough: the next turn asks again.
        case .malformed, .notSigned, .unknownLog, .tooOften, nil: return nil
        }
    }

    /// A checkpoint that our log's own key signed.
    private func evidence(_ bytes: [UInt8]) throws -> SignedCheckpoint? {
        guard !bytes.isEmpty, let note = try? SignedNote(bytes) else { return nil }
        let history = try context.metadata.read { try $0.keyringEnvelopes(of: self.context.own) }.map { try Keyring($0) }
        let revoked = history.last?.revoked ?? []
        // What a key that came out has signed shows nothing about us.
        for key in try LogChain(history).current.keys where !revoked.contains(SHA256.hash(key.key.bytes)) {
            if let signed = try? SignedCheckpoint(note, log: key) { return signed }
        }
        return nil
    }

    private func continues(_ checkpoint: Checkpoint) throws -> Bool {
        let current = witnessing.log.checkpoint
        guard checkpoint.origin == current.checkpoint.origin, checkpoint.size <= current.size else { return false }
        return try witnessing.log.root(at: checkpoint.size) == checkpoint.root
    }

    // MARK: The partner's log

    private func isByRevokedKey(_ note: SignedNote, _ keyring: Keyring) throws -> Bool {
        guard !keyring.revoked.isEmpty else { return false }
        return try context.metadata.read { try $0.keyringEnvelopes(of: self.peer) }.contains { envelope in
            guard let version = try? Keyring(envelope), let key = try? VerifierKey(version.log.vkey),
                keyring.revoked.contains(SHA256.hash(key.key.bytes))
            else { return false }
            return (try? SignedCheckpoint(note, log: key)) != nil
        }
    }

    private func answer(_ message: CheckpointMessage, at now: Timestamp) throws -> CosignMessage {
        if let lastRequest {
            let earned = max(0, now.milliseconds - lastRequest.milliseconds) / (1000 * LogWitness.secondsForEach)
            allowance = min(LogWitness.allowanceMax, allowance + earned)
            if earned > 0 { self.lastRequest = now }
        } else {
            lastRequest = now
        }
        // An administrator may have set announcements to every few seconds: that is no violation.
        guard allowance > 0 else { return CosignMessage(code: UInt64(WitnessAnswer.tooOften.rawValue), body: []) }
        allowance -= 1
        func refusal(_ answer: WitnessAnswer, _ held: SignedNote? = nil) -> CosignMessage {
            guard answer == .otherSize || answer == .inconsistent else {
                return CosignMessage(code: UInt64(answer.rawValue), body: [])
            }
            let size = held.flatMap { try? Checkpoint(text: $0.text).size } ?? 0
            return CosignMessage(
                code: UInt64(answer.rawValue), body: answer == .otherSize ? Array("\(size)\n".utf8) : [],
                evidence: held?.bytes ?? [])
        }
        let request = message.request
        let (keyring, last, contradiction) = try context.metadata.read { store in
            (
                try store.currentKeyring(of: self.peer), try WitnessMemory.held(of: self.peer, store),
                try WitnessMemory.contradiction(of: self.peer, store)
            )
        }
        guard let keyring, let key = try? VerifierKey(keyring.log.vkey), let identity = witnessing.identity() else {
            return refusal(.unknownLog)
        }
        let former = last.flatMap { try? Checkpoint(text: $0.text) }
        var held = former.flatMap { $0.origin == key.name ? $0 : nil }
        // Signed by a key that has come out since: whoever had it may have run ahead of the log, which then could never be cosigned again.
        if held != nil, let last, try isByRevokedKey(last, keyring) { held = nil }
        switch WitnessVerdict(on: request, log: key, held: held) {
        case .refused(let answer): return refusal(answer, held == nil ? nil : last)
        case .contradicts(let answer, let signed):
            // Who repeats it writes nothing more.
            if contradiction?.text != signed.note.text {
                try context.metadata.write(at: now) { tx in
                    try WitnessMemory.set("contradiction", self.peer, signed.note, tx)
                    try tx.log(
                        LogDraft(
                            .witnessAlarm, outcome: .refused, partner: self.peer,
                            reason: answer == .otherSize ? "went-back" : "does-not-continue",
                            details: [
                                "origin": .string(key.name), "held": held.map { JSONValue($0.size.value) } ?? .null,
                                "heldRoot": JSONValue(held?.root), "shown": JSONValue(signed.size.value),
                                "shownRoot": JSONValue(signed.root),
                            ]))
                }
            }
            return refusal(answer, last)
        case .continues(let signed):
            let line = try WitnessSigner(name: identity.keyring.witness.name, key: identity.keys.witness).cosign(
                signed.checkpoint, at: now)
            if held != signed.checkpoint || contradiction != nil {
                try context.metadata.write(at: now) { tx in
                    try WitnessMemory.set("held", self.peer, signed.note, tx)
                    try WitnessMemory.set("contradiction", self.peer, nil, tx)
                    if let former, former.origin != key.name {
                        try tx.log(
                            LogDraft(
                                .witnessFollowed, partner: self.peer,
                                details: [
                                    "from": .string(former.origin), "size": JSONValue(former.size.value),
                                    "root": JSONValue(former.root), "to": .string(key.name),
                                ]))
                    }
                }
            }
            return CosignMessage(code: UInt64(WitnessAnswer.cosigned.rawValue), body: line.line)
        }
    }
}
