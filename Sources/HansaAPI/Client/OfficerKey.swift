// An officer's key in the hands of the command: it signs what its user asked for and nothing else, whatever a node asks (FORMATS.md §10).
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
public import HansaNode

public struct OfficerKey: OfficerSigner {
    /// What the user asked for; any other payload is refused.
    public enum Purpose: Sendable, Equatable {
        /// To propose exactly this payload (`AgreementFile.payload`).
        case propose(payload: [UInt8])
        /// To accept the agreement of that id or digest prefix.
        case accept(String)
        case reject(String, reason: String)
        case terminate(String, reason: String)
        /// The keyring that follows the one of this card.
        case keyring(KeyringWish)
    }

    /// What the user wants of the next keyring. Everything else in it must be as in the last version of the card.
    public struct KeyringWish: Sendable, Equatable {
        /// The city's card as it is now: `hansa city card`.
        public var card: [String]
        /// The key that gets a successor; nil for a renewal.
        public var key: String?
        public var compromised: Bool
        /// The officer that gives way and its successor, raw public keys in hex.
        public var oldOfficer: String?
        public var newOfficer: String?
        public var announced: [String]?

        public init(card: [String], rotation: RotationRequest) {
            self.card = card
            key = rotation.key
            compromised = rotation.compromised
            oldOfficer = rotation.oldOfficer
            newOfficer = rotation.newOfficer
            announced = rotation.announced
        }
    }

    /// Two keyrings' worth of officers.
    public static let keysMax = 32

    private let key: Ed25519PrivateKey
    /// Further officers' keys, for a keyring.
    private let others: [Ed25519PrivateKey]
    private let purpose: Purpose
    private let announce: @Sendable (String) -> Void

    /// `pem` is the key file's contents; `announce` is told in words what is about to be signed.
    public init(pem: [UInt8], others: [[UInt8]] = [], for purpose: Purpose, announce: @escaping @Sendable (String) -> Void)
        throws(Problem)
    {
        key = try Self.read(pem)
        self.others = try others.map { pem throws(Problem) in try Self.read(pem) }
        self.purpose = purpose
        self.announce = announce
    }

    private static func read(_ pem: [UInt8]) throws(Problem) -> Ed25519PrivateKey {
        do { return try Ed25519PrivateKey(pem: pem) } catch {
            throw Problem(
                .officerKeyMissing, "the officer key cannot be read: \(error)", try: "name the PEM file of an Ed25519 key")
        }
    }

    /// The raw public key in hex of a private key's file, for a request that names it.
    public static func publicKey(pem: [UInt8]) throws(Problem) -> String { Hex.encode(try read(pem).publicKey.bytes) }

    /// A new officer's key: in a new file that only its owner reads, or, without a path, nowhere.
    public static func generate(at path: String?) throws(Problem) -> [UInt8] {
        let pem = Ed25519PrivateKey.generate().pem()
        guard let path else { return pem }
        do throws(KeyFileFault) { try KeyFile.create(path: path, contents: pem) } catch {
            throw Problem(.fileUnreadable, error.description, try: "name another file")
        }
        return pem
    }

    public func signatures(_ payload: [UInt8], payloadType: String) throws(Problem) -> [OfficerSignature] {
        let first = try sign(payload, payloadType: payloadType)
        let message = Envelope.preAuthentication(type: payloadType, body: payload)
        return [first]
            + others.map { OfficerSignature(publicKey: $0.publicKey.bytes, signature: $0.sign(message)) }
    }

    public func sign(_ payload: [UInt8], payloadType: String) throws(Problem) -> OfficerSignature {
        guard let type = DocumentType(rawValue: payloadType) else { throw refusal("a document of type \(payloadType)") }
        switch (type, purpose) {
        case (.agreement, .propose(let expected)):
            guard payload == expected else { throw refusal("another text than that of the file") }
            announce("signing the agreement of the file, \(SHA256.hash(payload).prefixed)")
        case (.agreement, .accept(let name)):
            let agreement: Agreement
            do { agreement = try Agreement(payload: payload) } catch { throw refusal("a document that is no agreement") }
            guard Self.names(name, id: agreement.id, digest: SHA256.hash(payload)) else {
                throw refusal("agreement \(agreement.id), not \(name)")
            }
            announce("signing agreement \(agreement.id.printable()), \(SHA256.hash(payload).prefixed)")
        case (.agreementStep, .reject(let name, let reason)): try check(payload, .reject, name, reason)
        case (.agreementStep, .terminate(let name, let reason)): try check(payload, .terminate, name, reason)
        case (.keyring, .keyring(let wish)): try check(payload, wish)
        default: throw refusal("a document of type \(payloadType)")
        }
        return OfficerSignature(
            publicKey: key.publicKey.bytes, signature: key.sign(Envelope.preAuthentication(type: payloadType, body: payload)))
    }

    /// A step names its agreement by digest alone; where the user named it by id, kind and reason are what can be compared.
    private func check(_ payload: [UInt8], _ kind: AgreementStep.Kind, _ name: String, _ reason: String) throws(Problem) {
        let step: AgreementStep
        do { step = try AgreementStep(payload: payload) } catch { throw refusal("a document that is no step of an agreement") }
        guard step.step == kind, step.reason == reason else {
            throw refusal("to \(step.step.rawValue), because \(step.reason.printable())")
        }
        guard !Self.isDigest(name) || Self.names(name, id: nil, digest: step.agreement) else {
            throw refusal("to \(kind.rawValue) \(step.agreement.prefixed), not \(name)")
        }
        announce("signing: \(kind.rawValue) \(step.agreement.prefixed)")
    }

    /// Whatever the node asks, this key's name stands under what its user wanted and nothing else.
    private func check(_ payload: [UInt8], _ wish: KeyringWish) throws(Problem) {
        let held: Keyring
        let next: Keyring
        do {
            held = try KeyringChain.follow(try wish.card.map { try Envelope(json: Array($0.utf8)) }).keyring
            next = try Keyring(payload: payload)
        } catch { throw refusal("a keyring after none that can be read: \(error)") }
        guard next.city == held.city, next.version == held.version + 1 else {
            throw refusal(
                "keyring \(next.version) of \(next.city), which does not follow version \(held.version) of \(held.city)")
        }
        // A renewal brings the name and the addresses of hansa.yaml; they decide nothing.
        var wanted: Set<KeyringPart> = [.expires, .name, .country, .endpoints]
        switch wish.key {
        case "officer": wanted.insert(.officers)
        case "package": wanted.insert(.package)
        case "log", "restore": wanted.insert(.log)
        case "witness": wanted.insert(.witness)
        case "tls": wanted.insert(.tls)
        default: break
        }
        if wish.compromised { wanted.insert(.revoked) }
        let used = next.officers.map(\.keyID)
        let announced = wish.announced ?? held.nextKeyHashes.filter { !used.contains($0) }.map(\.hex)
        guard Set(next.nextKeyHashes.map(\.hex)) == Set(announced) else {
            throw refusal("other officers' keys to come than you named")
        }
        wanted.insert(.announced)
        let changes = held.changes(to: next)
        if let other = changes.first(where: { !wanted.contains($0) }) {
            throw refusal("a keyring with another \(other.rawValue)")
        }
        // A new log hides what the old one holds: only a restoration opens one.
        guard wish.key == "restore" || next.log.name == held.log.name else {
            throw refusal("a keyring with another log, \(next.log.name)")
        }
        if wish.key == "officer" { try checkOfficers(held, next, wish) }
        announce(
            "signing keyring \(next.version) of \(next.city): \(changes.map(\.rawValue).joined(separator: ", ")); "
                + "fingerprint \(held.fingerprint == next.fingerprint ? "stays" : "was \(held.fingerprint), will be") \(next.fingerprint)"
        )
    }

    private func checkOfficers(_ held: Keyring, _ next: Keyring, _ wish: KeyringWish) throws(Problem) {
        let gone = held.officers.filter { !next.officers.contains($0) }.map { Hex.encode($0.bytes) }
        let come = next.officers.filter { !held.officers.contains($0) }.map { Hex.encode($0.bytes) }
        guard gone.count == 1, come.count == 1, wish.newOfficer == nil || come == [wish.newOfficer],
            wish.oldOfficer == nil || gone == [wish.oldOfficer]
        else { throw refusal("a keyring with other officers than you named") }
    }

    private func refusal(_ what: String) -> Problem {
        Problem(
            .signatureInvalid,
            "the node asked the officer's key to sign \(what.printable(charactersMax: 300)); nothing was signed",
            try: "find out who changed the node before you use this key again")
    }

    private static func isDigest(_ name: String) -> Bool { name.hasPrefix("sha256:") }

    private static func names(_ name: String, id: String?, digest: Digest) -> Bool {
        if name == id { return true }
        let hex = name.hasPrefix("sha256:") ? String(name.dropFirst(7)) : name
        return hex.utf8.count >= 6 && digest.hex.hasPrefix(hex)
    }
}
