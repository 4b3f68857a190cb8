// Our own keyring's next version: `city rotate` and `city renew` (FORMATS.md §3).
//
//   key file → keyring N+1, signed by the officers of N and of N+1 → one transaction: keyring, log entry → the node goes by it → key file in place
//
// Everything before the transaction changes nothing that anybody goes by; everything after it is made good at the next start (`KeyCabinet`).
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaYAML
internal import Logging
internal import Synchronization

/// Which key gets a successor, and how.
public struct RotationRequest: Sendable, Codable, Equatable {
    /// `officer`, `package`, `log`, `witness` or `tls`; nil only renews.
    public var key: String?
    /// The old key is in other hands.
    public var compromised: Bool
    /// The public key (hex) of an officer's key that is made elsewhere; nil has one made in the home.
    public var newOfficer: String?
    /// The officer's key that gives way, where it is not the home's.
    public var oldOfficer: String?
    /// Key ids of officers' keys to come; nil keeps what was announced.
    public var announced: [String]?
    public var confirm: String?
    public var dryRun: Bool

    public init(
        key: String?, compromised: Bool = false, newOfficer: String? = nil, oldOfficer: String? = nil, announced: [String]? = nil,
        confirm: String? = nil, dryRun: Bool = false
    ) {
        self.key = key
        self.compromised = compromised
        self.newOfficer = newOfficer
        self.oldOfficer = oldOfficer
        self.announced = announced
        self.confirm = confirm
        self.dryRun = dryRun
    }
}

/// A log that follows the one in use, opened in the transaction that makes the keyring durable which names it.
struct LogOpening {
    let origin: String
    let storage: () throws -> any TileStorage
    /// Writes the new log's first entry, and whatever goes with it.
    let record: (any MetadataWriting, _ closing: SignedCheckpoint) throws -> Void
}

/// Where a rotation stands: tests end it at each.
enum RotationStep: CaseIterable { case prepared, signed, committed, installed }

extension Node {
    static let keyringDays: Int64 = 730
    /// Packages that are looked at in one transaction, and how often a command does it before it leaves the rest to the node.
    private static let packagesAtOnce = 500
    private static let batchesAtOnce = 20

    public func cityRotate(_ caller: Caller, _ request: RotationRequest, officerKey: (any OfficerSigner)?) throws(Problem)
        -> JSONValue
    {
        guard let key = request.key, let job = KeyCabinet.Job(rawValue: key) else {
            let near = Suggestion.nearest(to: request.key ?? "", among: KeyCabinet.Job.allCases.map(\.rawValue))
            throw Problem(
                .usage, "'\((request.key ?? "").printable())' is no key of ours: officer, package, log, witness or tls",
                try: "hansa city rotate \(near ?? "tls")")
        }
        // Partners read the new fingerprint aloud again, and what was compromised cannot come back.
        guard request.dryRun || request.confirm == city.text || !(job == .officer || request.compromised) else {
            throw Problem(
                .confirmationNeeded,
                job == .officer
                    ? "another officer's key changes the fingerprint of \(city)"
                    : "a key that is named compromised can never be used again, and what only it signed is refused",
                try: "hansa city rotate \(key)\(request.compromised ? " --compromised" : "") --confirm \(city)")
        }
        var document = try nextVersion(caller, request, job, officerKey)
        document.insert(JSONMember("schema", "hansa.city-rotate/1"), at: 0)
        document.insert(JSONMember("key", .string(key)), at: 2)
        if job == .package, request.compromised {
            let (count, isDone) = request.dryRun ? (0, true) : try signAgain(batches: Node.batchesAtOnce)
            document += [JSONMember("signedAgain", JSONValue(count)), JSONMember("signingGoesOn", .bool(!isDone))]
        }
        return .object(document)
    }

    /// Signs again what a key signed that came out, as far as so many batches go. The next start, or the next second of a node that serves, goes on.
    @discardableResult
    func signAgain(batches: Int) throws(Problem) -> (count: Int, isDone: Bool) {
        var count = 0
        for _ in 0..<batches {
            guard let signed = try guarded({ try context.signAgain(limit: Node.packagesAtOnce, at: clock.now) }) else {
                return (count, true)
            }
            count += signed.releases.count
            changed(signed.changes)
            if signed.isDone {
                log.notice("signed again: what a key signed that came out", metadata: ["releases": "\(count)"])
                return (count, true)
            }
        }
        return (count, false)
    }

    public func cityRenew(_ caller: Caller, _ request: RotationRequest, officerKey: (any OfficerSigner)?) throws(Problem)
        -> JSONValue
    {
        var document = try nextVersion(caller, request, nil, officerKey)
        document.insert(JSONMember("schema", "hansa.city-renew/1"), at: 0)
        return .object(document)
    }

    /// With `opening` the log key's successor signs a new log, which the same transaction opens.
    func nextVersion(
        _ caller: Caller, _ request: RotationRequest, _ job: KeyCabinet.Job?, _ signer: (any OfficerSigner)?,
        opening: LogOpening? = nil, at step: (RotationStep) throws -> Void = { _ in }
    ) throws(Problem) -> [JSONMember] {
        // Two versions N + 1 would be taken for a forgery by everybody.
        let document = rotating.withLock { _ in
            Result { () throws(Problem) in try self.makeVersion(caller, request, job, signer, opening, step) }
        }
        return try document.get()
    }

    private func makeVersion(
        _ caller: Caller, _ request: RotationRequest, _ job: KeyCabinet.Job?, _ signer: (any OfficerSigner)?,
        _ opening: LogOpening?, _ step: (RotationStep) throws -> Void
    ) throws(Problem) -> [JSONMember] {
        let cabinet = KeyCabinet(paths: paths)
        let held = identity.withLock { $0 }
        let configuration = configuration.withLock { $0 }
        let now = clock.now
        let expires = Timestamp(seconds: now.adding(seconds: Node.keyringDays * 86_400).milliseconds / 1000)
        var change = KeyringChange(
            nil, isCompromised: request.compromised, name: configuration.name, country: configuration.country,
            endpoints: configuration.advertise, announced: try request.announced.map { ids throws(Problem) in try keyIDs(ids) })
        var keys = held.keys
        var newOfficer: Ed25519PrivateKey?
        switch job {
        case .officer:
            let old = try oldOfficer(request, held)
            if let hex = request.newOfficer {
                change.rotation = .officer(old, by: try publicKey(hex))
                if keys.officer?.publicKey == old { keys.officer = nil }
            } else {
                guard keys.officer?.publicKey == old else {
                    throw Problem(
                        .officerKeyMissing, "that officer's key is not in this home, so its successor is not made here",
                        try: "hansa city rotate officer --officer-key OLD --new-officer-key NEW")
                }
                guard held.keyring.nextKeyHashes.isEmpty else {
                    throw Problem(
                        .officerKeyMissing,
                        "keyring \(held.keyring.version) announced its next officers' keys: only one of those can follow",
                        try: "hansa city rotate officer --new-officer-key FILE")
                }
                let fresh = try signingKey(.officer, cabinet, request.dryRun)
                newOfficer = fresh
                keys.officer = fresh
                change.rotation = .officer(old, by: fresh.publicKey)
            }
        case .package:
            let fresh = try signingKey(.package, cabinet, request.dryRun)
            change.rotation = .package(keys.package.publicKey, by: fresh.publicKey)
            keys.package = fresh
        case .log:
            let fresh = try signingKey(.log, cabinet, request.dryRun)
            let name = opening?.origin ?? held.keyring.log.name
            let note = try guarded {
                NoteKey(name: name, vkey: try VerifierKey(name: name, algorithm: .ed25519, key: fresh.publicKey).text)
            }
            change.rotation = .log(keys.log.publicKey, by: fresh.publicKey, note)
            keys.log = fresh
        case .witness:
            let fresh = try signingKey(.witness, cabinet, request.dryRun)
            let name = held.keyring.witness.name
            let note = try guarded {
                NoteKey(name: name, vkey: try VerifierKey(name: name, algorithm: .cosignature, key: fresh.publicKey).text)
            }
            change.rotation = .witness(note)
            keys.witness = fresh
        case .tls:
            let fresh = try guarded {
                // A clock that is a little behind at the other end must not find it not yet valid.
                let make = {
                    try TLSIdentity.generate(
                        commonName: self.city.text, notBefore: now.adding(seconds: -86_400),
                        notAfter: KeyringChange.pinEnd(keyring: expires))
                }
                return request.dryRun ? try make() : try cabinet.prepareTLS(make)
            }
            change.rotation = .tls(keys.tls.spkiHash, by: fresh.spkiHash)
            keys.formerTLS = [keys.tls] + keys.formerTLS
            keys.tls = fresh
        case nil: break
        }
        let next = try successor(of: held, change, expires, now)
        let pinned = Set(next.tlsPins.map(\.spki))
        keys.formerTLS.removeAll { !pinned.contains($0.spkiHash) }
        if !request.dryRun {
            try guarded { try step(.prepared) }
            let envelope = try signed(next, held, newOfficer, signer)
            try guarded { try step(.signed) }
            try goBy(
                NodeIdentity(keyring: next, envelope: envelope, keys: keys), after: held, caller, request, job, cabinet, opening,
                step)
        }
        return try document(next, after: held.keyring, request, job)
    }

    // MARK: Making

    private func signingKey(_ job: KeyCabinet.Job, _ cabinet: KeyCabinet, _ dryRun: Bool) throws(Problem) -> Ed25519PrivateKey {
        if dryRun { return Ed25519PrivateKey.generate() }
        return try guarded { try cabinet.prepareSigning(job) }
    }

    private func keyIDs(_ texts: [String]) throws(Problem) -> [Digest] {
        var ids: [Digest] = []
        for text in texts {
            guard let id = Digest(hex: text) else {
                throw Problem(
                    .usage, "'\(text.printable())' is no key id: 64 hex digits, the SHA-256 of the 32 bytes of a public key")
            }
            ids.append(id)
        }
        return ids
    }

    private func publicKey(_ hex: String) throws(Problem) -> Ed25519PublicKey {
        guard let bytes = Hex.decode(hex) else { throw Problem(.usage, "'\(hex.printable())' is no public key") }
        do throws(KeyFault) { return try Ed25519PublicKey(enrolling: bytes) } catch {
            throw Problem(.keyWeak, "the new officer's key cannot be used: \(error)")
        }
    }

    /// The officer that gives way: the one named, or the home's.
    private func oldOfficer(_ request: RotationRequest, _ held: NodeIdentity) throws(Problem) -> Ed25519PublicKey {
        let named = try request.oldOfficer.map { hex throws(Problem) in try publicKey(hex) } ?? held.keys.officer?.publicKey
        guard let named else {
            throw Problem(
                .officerKeyMissing, "the officer key is not in this home",
                try: "hansa city rotate officer --officer-key OLD --new-officer-key NEW")
        }
        guard held.keyring.officers.contains(named) else { throw notAnOfficer() }
        return named
    }

    private func successor(of held: NodeIdentity, _ change: KeyringChange, _ expires: Timestamp, _ now: Timestamp) throws(Problem)
        -> Keyring
    {
        do throws(DocumentFault) {
            return try held.keyring.successor(change, tls: held.keys.tls.spkiHash, expires: expires, at: now)
        } catch {
            throw Problem(.keyringInvalid, "no keyring can be made of it: \(error)", try: "hansa city show")
        }
    }

    /// Signed by whoever can: the officer's key in the home, its successor, and those at the command.
    private func signed(
        _ next: Keyring, _ held: NodeIdentity, _ newOfficer: Ed25519PrivateKey?, _ signer: (any OfficerSigner)?
    ) throws(Problem) -> Envelope {
        let payload = next.payload()
        let officers = held.keyring.officers + next.officers
        var signatures: [Digest: [UInt8]] = [:]
        let message = Envelope.preAuthentication(type: DocumentType.keyring.rawValue, body: payload)
        for key in [held.keys.officer, newOfficer].compactMap({ $0 }) where officers.contains(key.publicKey) {
            signatures[key.publicKey.keyID] = key.sign(message)
        }
        for answer in try signer?.signatures(payload, payloadType: DocumentType.keyring.rawValue) ?? [] {
            guard let officer = officers.first(where: { $0.bytes == answer.publicKey }) else { throw notAnOfficer() }
            signatures[officer.keyID] = answer.signature
        }
        let envelope = Envelope(
            type: .keyring, payload: payload,
            signatures: signatures.keys.sorted().map { DocumentSignature(keyID: $0, signature: signatures[$0] ?? []) })
        // As every partner will check it.
        do throws(KeyringFault) {
            _ = try KeyringChain.advance(held.keyring, currentEnvelope: held.envelope, with: envelope)
            return envelope
        } catch {
            throw Problem(
                .officerKeyMissing, "the new keyring would not be believed: \(error)",
                try: "name the officers' keys with --officer-key FILE, once for each")
        }
    }

    // MARK: Going by it

    private func goBy(
        _ fresh: NodeIdentity, after held: NodeIdentity, _ caller: Caller, _ request: RotationRequest, _ job: KeyCabinet.Job?,
        _ cabinet: KeyCabinet, _ opening: LogOpening?, _ step: (RotationStep) throws -> Void
    ) throws(Problem) {
        let next = fresh.keyring
        var changes = ExchangeChanges()
        func commit(closing: SignedCheckpoint?) throws -> Bool {
            try metadata.write(at: clock.now) { tx -> Bool in
                if let opening, let closing {
                    guard try tx.beginLog() else { return false }
                    try opening.record(tx, closing)
                }
                try tx.insertKeyring(fresh.envelope, next)
                if job == .package, request.compromised { try SignedAgain.begin(tx) }
                try tx.log(
                    LogDraft(
                        .identityRotated, actor: self.actor(caller),
                        details: [
                            "keyring": JSONValue(next.version), "key": JSONValue(job?.rawValue),
                            "changes": .array(held.keyring.changes(to: next).map { .string($0.rawValue) }),
                            "compromised": .bool(request.compromised), "fingerprint": .string(next.fingerprint.description),
                        ]))
                changes.outboxes = Set(try tx.partners().filter { $0.state != .removed }.map(\.city))
                changes.keyrings = [self.city]
                return true
            }
        }
        try guarded {
            if let opening {
                try logService.succeed(
                    by: try LogSigner(origin: next.log.name, key: fresh.keys.log), in: try opening.storage(), commit: commit)
            } else {
                _ = try commit(closing: nil)
            }
        }
        try guarded { try step(.committed) }
        // From here on the new keyring is ours whatever fails; sessions and signatures change over at once.
        identity.withLock { $0 = fresh }
        context.signing.replace(SigningIdentity.Current(keyring: next.version, packageKey: fresh.keys.package))
        changed(changes)
        try guarded {
            if job == .officer, request.newOfficer != nil {
                if fresh.keys.officer == nil, held.keys.officer != nil {
                    try cabinet.retire(.officer, version: held.keyring.version)
                }
            } else if let job {
                try cabinet.install(job, after: held.keyring.version)
            }
            try step(.installed)
            if job == .log, opening == nil { try logService.rotate(to: LogSigner(origin: next.log.name, key: fresh.keys.log)) }
            try Node.writeKeyring(fresh.envelope, version: next.version, paths)
        }
        log.notice(
            "the keyring has a new version",
            metadata: ["keyring": "\(next.version)", "fingerprint": "\(next.fingerprint)", "key": "\(job?.rawValue ?? "none")"])
    }

    /// For people and other programs; the database is what the node reads.
    static func writeKeyring(_ envelope: Envelope, version: Int, _ paths: HomePaths) throws {
        try PosixDisk(root: paths.home).writeAtomically("keyring/\(version).dsse.json", envelope.json())
    }

    private func document(_ next: Keyring, after held: Keyring, _ request: RotationRequest, _ job: KeyCabinet.Job?)
        throws(Problem)
        -> [JSONMember]
    {
        let partners = try read { try $0.partners() }.filter { $0.state != .removed }.map(\.city)
        let old = next.tlsPins.dropFirst().first { job == .tls && $0.spki == held.tlsPins.first?.spki }
        var members: [JSONMember] = [
            JSONMember("city", .string(city.text)), JSONMember("keyring", JSONValue(next.version)),
            JSONMember("expires", JSONValue(next.expires)),
            JSONMember("changes", .array(held.changes(to: next).map { .string($0.rawValue) })),
            JSONMember("fingerprint", .string(next.fingerprint.description)),
            JSONMember("fingerprintChanged", .bool(next.fingerprint != held.fingerprint)),
            JSONMember("compromised", .bool(request.compromised)),
        ]
        if let old { members.append(JSONMember("oldKeyUntil", JSONValue(old.notAfter))) }
        members.append(JSONMember("partners", .array(partners.map { .string($0.text) })))
        members.append(JSONMember("dryRun", .bool(request.dryRun)))
        return members
    }
}
