// The next version of a city's own keyring (FORMATS.md §3): what changes, and what two versions differ in. Pure; signing and following are elsewhere.
public import HansaCore
public import HansaCrypto

/// What a new version changes. Every new version is also a renewal: it has an end of its own, and pins that have run out are left away.
public struct KeyringChange: Sendable, Equatable {
    /// The key that gives way, and its successor.
    public enum Rotation: Sendable, Equatable {
        case officer(Ed25519PublicKey, by: Ed25519PublicKey)
        case package(Ed25519PublicKey, by: Ed25519PublicKey)
        /// The origin stays: the same log goes on under another key.
        case log(Ed25519PublicKey, by: Ed25519PublicKey, NoteKey)
        case witness(NoteKey)
        case tls(Digest, by: Digest)
    }

    /// How long partners that have not heard of a new TLS key still accept the old one.
    public static let tlsOverlapSeconds: Int64 = 30 * 86_400
    /// How long the pin of the key in use outlasts the keyring: a city whose keyring has expired must still be recognised, to hand over the next one.
    public static let pinGraceSeconds: Int64 = 365 * 86_400
    /// Old pins that stay beside the new one at most; a keyring has room for 16.
    public static let oldPinsMax = 8

    /// Whole seconds, as the keyring writes it.
    public static func pinEnd(keyring expires: Timestamp) -> Timestamp {
        Timestamp(seconds: expires.adding(seconds: pinGraceSeconds).milliseconds / 1000)
    }

    public var rotation: Rotation?
    /// The old key is in other hands: it is named in `revoked`, and an old TLS key is no longer pinned.
    public var isCompromised: Bool
    public var name: String
    public var country: String?
    public var endpoints: [String]
    /// Hashes of the officer keys to come; nil keeps those announced and not used.
    public var announced: [Digest]?

    public init(
        _ rotation: Rotation?, isCompromised: Bool = false, name: String, country: String?, endpoints: [String],
        announced: [Digest]? = nil
    ) {
        self.rotation = rotation
        self.isCompromised = isCompromised
        self.name = name
        self.country = country
        self.endpoints = endpoints
        self.announced = announced
    }
}

/// A part of a keyring, as logs and people name it.
public enum KeyringPart: String, Sendable, CaseIterable {
    case officers, threshold, package, log, witness
    /// A TLS key was added; that pins end or run longer is part of every version.
    case tls
    case name, country, endpoints, announced, revoked, expires
}

extension Keyring {
    /// Version N + 1. `tls` is the key that the node shows from now on (unless the change brings another): its pin outlasts the keyring.
    public func successor(_ change: KeyringChange, tls: Digest, expires: Timestamp, at now: Timestamp) throws(DocumentFault)
        -> Keyring
    {
        var officers = officers
        var packageKeys = packageKeys
        var logKeys = logKeys
        var log = log
        var witness = witness
        var pins = tlsPins.filter { $0.notAfter > now }
        var shown = tls
        var gone: Digest?
        switch change.rotation {
        case .officer(let old, let new):
            officers = officers.filter { $0 != old } + [new]
            gone = old.keyID
        case .package(let old, let new):
            packageKeys = packageKeys.filter { $0 != old } + [new]
            gone = old.keyID
        case .log(let old, let new, let note):
            logKeys = logKeys.filter { $0 != old } + [new]
            log = note
            gone = old.keyID
        case .witness(let note):
            gone = self.witness.keyID
            witness = note
        case .tls(let old, let new):
            shown = new
            // Who has the key could go on in our name as long as it is pinned. Other old keys end with it: nobody knows how it came out.
            if change.isCompromised { pins = [] }
            let overlapEnd = Timestamp(seconds: now.adding(seconds: KeyringChange.tlsOverlapSeconds).milliseconds / 1000)
            pins = pins.map { $0.spki == old ? TLSPin(spki: old, notAfter: min($0.notAfter, overlapEnd)) : $0 }
        case nil: break
        }
        let others = pins.filter { $0.spki != shown }.sorted { ($1.notAfter, $1.spki) < ($0.notAfter, $0.spki) }
        var revoked = revoked
        if change.isCompromised, let gone, !revoked.contains(gone) { revoked.append(gone) }
        let officerIDs = Set(officers.map(\.keyID))
        return try Keyring(
            version: version + 1, expires: expires, city: city, name: change.name, country: change.country,
            endpoints: change.endpoints, officers: officers, officerThreshold: officerThreshold, packageKeys: packageKeys,
            packageThreshold: packageThreshold, logKeys: logKeys,
            tlsPins: [TLSPin(spki: shown, notAfter: KeyringChange.pinEnd(keyring: expires))]
                + others.prefix(KeyringChange.oldPinsMax), log: log, witness: witness,
            nextKeyHashes: change.announced ?? nextKeyHashes.filter { !officerIDs.contains($0) }, revoked: revoked)
    }

    /// What the next version has otherwise, in the order of `KeyringPart`.
    public func changes(to next: Keyring) -> [KeyringPart] {
        let pins = Set(tlsPins.map(\.spki))
        return KeyringPart.allCases.filter { part in
            switch part {
            case .officers: officers != next.officers
            case .threshold: officerThreshold != next.officerThreshold || packageThreshold != next.packageThreshold
            case .package: packageKeys != next.packageKeys
            case .log: logKeys != next.logKeys || log != next.log
            case .witness: witness != next.witness
            case .tls: next.tlsPins.contains { !pins.contains($0.spki) }
            case .name: name != next.name
            case .country: country != next.country
            case .endpoints: endpoints != next.endpoints
            case .announced: nextKeyHashes != next.nextKeyHashes
            case .revoked: revoked != next.revoked
            case .expires: expires != next.expires
            }
        }
    }

    /// What this keyring has in common with another city's: a key, a pin or a name in a log belongs to one city, and another that shows it would be
    /// taken for it. Nil where they share nothing; else what it is, in words.
    public func shared(with other: Keyring) -> String? {
        let theirs = Set(other.marks.map(\.mark))
        return marks.sorted { $0.mark < $1.mark }.first { theirs.contains($0.mark) }?.what
    }

    private var marks: [(mark: String, what: String)] {
        var marks = tlsPins.map { ("tls \($0.spki)", "TLS key") }
        marks += (officers + packageKeys + logKeys).map { ("key \($0.keyID)", "signing key") }
        marks.append(("key \(witness.keyID)", "witness key"))
        return marks + [log, witness].map { ("name \($0.name)", "log name") }
    }
}

extension NoteKey {
    /// SHA-256 of the raw key, as of every key. The vkey is one that a `Keyring` has checked.
    public var keyID: Digest {
        let key = vkey.split(separator: "+", maxSplits: 2).last.flatMap { Base64.decode($0) }
        return SHA256.hash(key.map { Array($0.dropFirst()) } ?? [])
    }
}
