// A city's keys, as a TUF root in DSSE (FORMATS.md §3; TUF specification 1.0.31 §4.3).
public import HansaCore
public import HansaCrypto

/// A TLS key that the city's node may connect with.
public struct TLSPin: Hashable, Sendable {
    /// SHA-256 of the DER SubjectPublicKeyInfo.
    public let spki: Digest
    public let notAfter: Timestamp

    public init(spki: Digest, notAfter: Timestamp) {
        self.spki = spki
        self.notAfter = notAfter
    }
}

/// A note signer's name and its verification key (C2SP signed-note).
public struct NoteKey: Hashable, Sendable {
    /// `log`: the origin line of checkpoints; `witness`: the name on cosignature lines.
    public let name: String
    /// `name+hex8+base64(type ‖ key)`.
    public let vkey: String

    public init(name: String, vkey: String) {
        self.name = name
        self.vkey = vkey
    }
}

/// One version of a city's keyring, which is also its card.
///
/// Holds what one document can show: keys fit for enrolment and distinct for distinct jobs, thresholds that can be met.
/// What follows what is `KeyringChain`'s; whether `expires` has passed is for the caller, at a time of its choosing.
public struct Keyring: SignedDocument, Equatable {
    public static let type = DocumentType.keyring
    public static let specVersion = "1.0.31"
    public static let keysPerRoleMax = 16
    public static let listMax = 64

    public let version: Int
    /// Whole seconds, as TUF writes it.
    public let expires: Timestamp
    public let city: CityID
    public let name: String
    /// ISO 3166-1 alpha-2.
    public let country: String?
    /// `host:port`, in order of preference.
    public let endpoints: [String]
    /// TUF's root role: sign keyrings and agreements.
    public let officers: [Ed25519PublicKey]
    public let officerThreshold: Int
    /// TUF's targets role: sign releases and receipts.
    public let packageKeys: [Ed25519PublicKey]
    public let packageThreshold: Int
    /// TUF's snapshot and timestamp roles: sign checkpoints. Threshold 1.
    public let logKeys: [Ed25519PublicKey]
    public let tlsPins: [TLSPin]
    public let log: NoteKey
    public let witness: NoteKey
    /// Pre-rotation: when not empty, every new officer key of the next version is in it, by key id.
    public let nextKeyHashes: [Digest]
    /// Key ids of keys that were compromised. Never shrinks.
    public let revoked: [Digest]

    /// A keyring of our own making, checked by the same rules as one from outside. Keys and hashes are put in order of id.
    public init(
        version: Int, expires: Timestamp, city: CityID, name: String, country: String?, endpoints: [String],
        officers: [Ed25519PublicKey], officerThreshold: Int, packageKeys: [Ed25519PublicKey], packageThreshold: Int,
        logKeys: [Ed25519PublicKey], tlsPins: [TLSPin], log: NoteKey, witness: NoteKey, nextKeyHashes: [Digest] = [],
        revoked: [Digest] = []
    ) throws(DocumentFault) {
        self.version = version
        self.expires = Timestamp(seconds: expires.milliseconds / 1000)
        self.city = city
        self.name = name
        self.country = country
        self.endpoints = endpoints
        self.officers = officers.sorted { $0.keyID < $1.keyID }
        self.officerThreshold = officerThreshold
        self.packageKeys = packageKeys.sorted { $0.keyID < $1.keyID }
        self.packageThreshold = packageThreshold
        self.logKeys = logKeys.sorted { $0.keyID < $1.keyID }
        self.tlsPins = tlsPins
        self.log = log
        self.witness = witness
        self.nextKeyHashes = nextKeyHashes.sorted()
        self.revoked = revoked.sorted()
        try check()
    }

    public var fingerprint: Fingerprint {
        Fingerprint(city: city, officerThreshold: officerThreshold, officerKeyIDs: officers.map(\.keyID))
    }

    public func isExpired(at now: Timestamp) -> Bool { expires <= now }
}

// MARK: Rules

extension Keyring {
    private func check() throws(DocumentFault) {
        _ = try Field.number(version, in: Field.keyringVersions, at: "version")
        guard (0..<253_402_300_800_000).contains(expires.milliseconds) else {
            throw .field("expires", "is not within the years 1970…9999")
        }
        guard !name.isEmpty else { throw .field("hansa.name", "is empty") }
        _ = try Field.text(name, max: 200, at: "hansa.name")
        if let country {
            guard country.utf8.count == 2, country.utf8.allSatisfy({ (0x41...0x5A).contains($0) }) else {
                throw .field("hansa.country", "is not two capital letters")
            }
        }
        guard endpoints.count <= 16 else { throw .field("hansa.endpoints", "are more than 16") }
        for (index, endpoint) in endpoints.enumerated() {
            guard Keyring.isEndpoint(endpoint) else { throw .field("hansa.endpoints[\(index)]", "is not host:port") }
        }
        guard tlsPins.count <= 16 else { throw .field("hansa.tls", "are more than 16") }
        guard Set(tlsPins.map(\.spki)).count == tlsPins.count else { throw .field("hansa.tls", "name one key twice") }
        try Keyring.check(list: nextKeyHashes, at: "hansa.nextKeyHashes")
        try Keyring.check(list: revoked, at: "hansa.revoked")
        try checkRoles()
    }

    private func checkRoles() throws(DocumentFault) {
        try Keyring.check(role: "root", officers, threshold: officerThreshold)
        try Keyring.check(role: "targets", packageKeys, threshold: packageThreshold)
        try Keyring.check(role: "snapshot", logKeys, threshold: 1)
        // The signed text of a cosignature names no signer, and a release must never pass for a checkpoint: one key, one job.
        let logKey = try VerificationKey(log, type: 0x01, at: "hansa.log")
        let witnessKey = try VerificationKey(witness, type: 0x04, at: "hansa.witness")
        guard logKeys.contains(where: { $0.bytes == logKey.key }) else {
            throw .field("hansa.log.vkey", "is of no key of the snapshot role")
        }
        var jobs: Set<Digest> = []
        for key in officers + packageKeys + logKeys {
            guard jobs.insert(key.keyID).inserted else { throw .field("roles", "give key \(key.keyID.short) two jobs") }
            guard !revoked.contains(key.keyID) else {
                throw .field("roles", "use key \(key.keyID.short), which this keyring revokes")
            }
        }
        let witnessID = SHA256.hash(witnessKey.key)
        guard jobs.insert(witnessID).inserted else {
            throw .field("hansa.witness.vkey", "is of a key that has another job")
        }
        guard !revoked.contains(witnessID) else {
            throw .field("hansa.witness.vkey", "is of a key that this keyring revokes")
        }
    }

    private static func check(role: String, _ keys: [Ed25519PublicKey], threshold: Int) throws(DocumentFault) {
        guard (1...keysPerRoleMax).contains(keys.count) else {
            throw .field("roles.\(role).keyids", "are \(keys.count); 1…\(keysPerRoleMax) may be")
        }
        guard Set(keys).count == keys.count else { throw .field("roles.\(role).keyids", "name one key twice") }
        guard (1...keys.count).contains(threshold) else {
            throw .field("roles.\(role).threshold", "is \(threshold), but must be within 1…\(keys.count), the number of its keys")
        }
    }

    private static func check(list: [Digest], at path: String) throws(DocumentFault) {
        guard list.count <= listMax else { throw .field(path, "are more than \(listMax)") }
        guard Set(list).count == list.count else { throw .field(path, "name one key twice") }
    }

    /// `host:port`, an IPv6 host in brackets; printable ASCII without spaces.
    private static func isEndpoint(_ text: String) -> Bool {
        guard text.utf8.count <= 300, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }), let colon = text.lastIndex(of: ":"),
            let port = UInt16(text[text.index(after: colon)...]), port > 0, text[text.index(after: colon)...].first != "+"
        else { return false }
        let host = text[..<colon]
        return !host.isEmpty && (!host.contains(":") || (host.hasPrefix("[") && host.hasSuffix("]")))
    }

    /// A note's verification key, taken apart: the key and that id and name belong to it.
    private struct VerificationKey {
        let key: [UInt8]

        init(_ note: NoteKey, type: UInt8, at path: String) throws(DocumentFault) {
            let parts = note.vkey.split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false)
            guard note.name.utf8.count <= 300, !note.name.isEmpty,
                note.name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x2B })
            else {
                throw .field(path, "has a name that no note signer may have")
            }
            guard parts.count == 3, parts[0] == note.name, let id = Hex.decode(parts[1]), let bytes = Base64.decode(parts[2]),
                bytes.count == 33, bytes[0] == type
            else { throw .field(path + ".vkey", "is no verification key of that name and kind") }
            key = Array(bytes[1...])
            guard SHA256.hash([Array(note.name.utf8), [0x0A], bytes]).bytes[..<4] == id[...] else {
                throw .field(path + ".vkey", "has an id that is not of its key")
            }
            do throws(KeyFault) { _ = try Ed25519PublicKey(enrolling: key) } catch {
                throw .field(path + ".vkey", error.description)
            }
        }
    }
}
