// How one version of a keyring follows another (FORMATS.md §3; TUF specification 1.0.31 §5.3).
internal import HansaCore
internal import HansaCrypto

/// Why a keyring is not taken. Each is a reason for an alarm.
public enum KeyringFault: Error, Equatable, Sendable {
    case document(DocumentFault)
    /// A card of one city, held out as another's.
    case otherCity(expected: String, found: String)
    /// An older version than the one held.
    case rollback(held: Int, found: Int)
    /// The version held, with other content: somebody signed two.
    case equivocation(version: Int)
    /// A version between is missing.
    case skipped(held: Int, found: Int)
    /// Too few officers of the version held have signed the new one.
    case notSignedByHeld(version: Int, threshold: Int, valid: Int)
    /// Too few officers of the new version have signed it.
    case notSignedByItself(version: Int, threshold: Int, valid: Int)
    /// The held version announced the hashes of its successor's officer keys, and this new one is not among them.
    case keyNotAnnounced(keyID: String)
    /// A key that the held version revoked has a job again, or is missing from the list.
    case revocationTakenBack(keyID: String)
    case empty
}

extension KeyringFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .document(let fault): "the keyring cannot be read: \(fault)"
        case .otherCity(let expected, let found): "the keyring is of \(found), not of \(expected)"
        case .rollback(let held, let found): "keyring version \(found) is older than version \(held), which is held"
        case .equivocation(let version): "keyring version \(version) has other content than the version \(version) that is held"
        case .skipped(let held, let found):
            "keyring version \(found) does not follow version \(held): the versions between are missing"
        case .notSignedByHeld(let version, let threshold, let valid):
            "the keyring has \(valid) of the \(threshold) officer signatures that version \(version), which is held, asks"
        case .notSignedByItself(let version, let threshold, let valid):
            "keyring version \(version) has \(valid) of the \(threshold) officer signatures that it asks itself"
        case .keyNotAnnounced(let keyID): "the new officer key \(keyID) is not among those that the keyring held announced"
        case .revocationTakenBack(let keyID): "the key \(keyID) was revoked and cannot come back"
        case .empty: "there is no keyring"
        }
    }
}

/// The rule by which a keyring is followed. Pure: says nothing of expiry, which is for callers (an expired keyring may still be
/// followed to the next version).
public enum KeyringChain {
    /// Starts to trust a keyring as it stands: any version, signed by its own officers' threshold. That these are the right
    /// officers is shown by the fingerprint, by people.
    public static func start(_ envelope: Envelope) throws(KeyringFault) -> Keyring {
        let keyring = try read(envelope)
        try checkOwnSignatures(of: keyring, in: envelope)
        return keyring
    }

    /// Follows from version N, which is held, to N + 1: signed by the thresholds of both, exactly one version on. The document
    /// held, given again with whatever signatures, is accepted and changes nothing.
    public static func advance(_ current: Keyring, currentEnvelope: Envelope, with envelope: Envelope) throws(KeyringFault)
        -> Keyring
    {
        let next = try read(envelope)
        guard next.city == current.city else { throw .otherCity(expected: current.city.text, found: next.city.text) }
        if next.version == current.version {
            guard envelope.digest == currentEnvelope.digest else { throw .equivocation(version: next.version) }
            return current
        }
        guard next.version > current.version else { throw .rollback(held: current.version, found: next.version) }
        guard next.version == current.version + 1 else { throw .skipped(held: current.version, found: next.version) }
        let old = envelope.validKeys(among: current.officers).count
        guard old >= current.officerThreshold else {
            throw .notSignedByHeld(version: current.version, threshold: current.officerThreshold, valid: old)
        }
        try checkOwnSignatures(of: next, in: envelope)
        try checkRotation(from: current, to: next)
        return next
    }

    /// Follows a card: envelopes in order of version, from what is held or from the first of them. Versions older than the one
    /// held are passed over, the one held must be the same document. Returns the last keyring and the envelopes that were new.
    public static func follow(
        _ envelopes: [Envelope], from held: (keyring: Keyring, envelope: Envelope)? = nil
    ) throws(KeyringFault) -> (keyring: Keyring, taken: [Envelope]) {
        var current = held
        var taken: [Envelope] = []
        for envelope in envelopes {
            guard let (keyring, last) = current else {
                current = (try start(envelope), envelope)
                taken.append(envelope)
                continue
            }
            if taken.isEmpty {
                let past = try read(envelope)
                guard past.city == keyring.city else { throw .otherCity(expected: keyring.city.text, found: past.city.text) }
                if past.version < keyring.version { continue }
            }
            let next = try advance(keyring, currentEnvelope: last, with: envelope)
            if next.version == keyring.version { continue }
            current = (next, envelope)
            taken.append(envelope)
        }
        guard let current else { throw .empty }
        return (current.keyring, taken)
    }

    private static func read(_ envelope: Envelope) throws(KeyringFault) -> Keyring {
        do throws(DocumentFault) { return try Keyring(envelope) } catch { throw .document(error) }
    }

    private static func checkOwnSignatures(of keyring: Keyring, in envelope: Envelope) throws(KeyringFault) {
        let valid = envelope.validKeys(among: keyring.officers).count
        guard valid >= keyring.officerThreshold else {
            throw .notSignedByItself(version: keyring.version, threshold: keyring.officerThreshold, valid: valid)
        }
    }

    private static func checkRotation(from current: Keyring, to next: Keyring) throws(KeyringFault) {
        if !current.nextKeyHashes.isEmpty {
            for key in next.officers where !current.officers.contains(key) && !current.nextKeyHashes.contains(key.keyID) {
                throw .keyNotAnnounced(keyID: key.keyID.hex)
            }
        }
        // A keyring refuses its own revoked keys, so keeping the list whole also keeps them out of every later version.
        for revoked in current.revoked where !next.revoked.contains(revoked) { throw .revocationTakenBack(keyID: revoked.hex) }
    }
}
