// Signed documents: DSSE v1.0.2 (https://github.com/secure-systems-lab/dsse), FORMATS.md §1.
public import HansaCore
public import HansaCrypto

/// What a signed document is. A document verified under one type is never read as another.
public enum DocumentType: String, CaseIterable, Sendable {
    case keyring = "application/vnd.tuf+json"
    case agreement = "application/vnd.hansa.agreement.v1+json"
    case agreementStep = "application/vnd.hansa.agreement-step.v1+json"
    case release = "application/vnd.hansa.release.v1+json"
    case receipt = "application/vnd.hansa.receipt.v1+json"
    case forkProof = "application/vnd.hansa.fork-proof.v1+json"

    /// The type in the binary form of an envelope.
    public var code: UInt8 {
        switch self {
        case .keyring: 1
        case .agreement: 2
        case .agreementStep: 3
        case .release: 4
        case .receipt: 5
        case .forkProof: 6
        }
    }

    public init?(code: UInt8) {
        guard let type = DocumentType.allCases.first(where: { $0.code == code }) else { return nil }
        self = type
    }
}

/// A signature and the key that it claims to be of. The claim decides nothing: only a key that verifies counts.
public struct DocumentSignature: Hashable, Comparable, Sendable {
    /// As claimed; `.zero` where the claim was absent or no key id of ours.
    public let keyID: Digest
    /// 64 bytes.
    public let signature: [UInt8]

    public init(keyID: Digest, signature: [UInt8]) {
        precondition(signature.count == Ed25519PublicKey.signatureByteCount, "not an Ed25519 signature")
        self.keyID = keyID
        self.signature = signature
    }

    /// In JSON: hex, or empty for `.zero`.
    public var claimedKeyID: String { keyID == .zero ? "" : keyID.hex }

    public static func < (left: DocumentSignature, right: DocumentSignature) -> Bool {
        left.keyID != right.keyID ? left.keyID < right.keyID : left.signature.lexicographicallyPrecedes(right.signature)
    }
}

/// A payload and signatures over it.
///
/// The signatures are kept in order of (key id, signature) and none twice, so equal envelopes have equal bytes in both forms.
/// Identity is the payload's digest; two envelopes over one payload are `merging`-ed.
public struct Envelope: Hashable, Sendable {
    public let type: DocumentType
    public let payload: [UInt8]
    public let signatures: [DocumentSignature]
    /// SHA-256 of the payload: the document's identity.
    public let digest: Digest

    public var payloadType: String { type.rawValue }

    /// Orders the signatures and drops repeats. Traps above `Limits`: what comes from outside enters by `json` or `binary`.
    public init(type: DocumentType, payload: [UInt8], signatures: [DocumentSignature]) {
        precondition(
            payload.count <= Limits.documentBytesMax && signatures.count <= Limits.signaturesMax, "an envelope above its limits")
        self.init(type: type, payload: payload, ordered: Envelope.ordered(signatures))
    }

    private init(type: DocumentType, payload: [UInt8], ordered signatures: [DocumentSignature]) {
        self.type = type
        self.payload = payload
        self.signatures = signatures
        digest = SHA256.hash(payload)
    }

    private static func ordered(_ signatures: [DocumentSignature]) -> [DocumentSignature] {
        if signatures.count < 2 { return signatures }
        var result: [DocumentSignature] = []
        for signature in signatures.sorted() where result.last != signature { result.append(signature) }
        return result
    }
}

// MARK: Signing and verifying

extension Envelope {
    /// What is signed: DSSE's pre-authentication encoding,
    /// `"DSSEv1" SP len(type) SP type SP len(body) SP body` with byte lengths in decimal.
    public static func preAuthentication(type: String, body: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(body.count + type.utf8.count + 24)
        bytes.append(contentsOf: "DSSEv1 \(type.utf8.count) ".utf8)
        bytes.append(contentsOf: type.utf8)
        bytes.append(contentsOf: " \(body.count) ".utf8)
        bytes.append(contentsOf: body)
        return bytes
    }

    /// A key given twice signs once.
    public static func sign(_ payload: [UInt8], as type: DocumentType, with keys: [Ed25519PrivateKey]) -> Envelope {
        let message = preAuthentication(type: type.rawValue, body: payload)
        return Envelope(
            type: type, payload: payload,
            signatures: keys.map { DocumentSignature(keyID: $0.publicKey.keyID, signature: $0.sign(message)) })
    }

    /// Those of the keys that signed this payload under this type.
    ///
    /// Claimed key ids only say where to look first. A signature that claims its own key is always found; one that does not, within
    /// `verificationsMax`.
    public func validKeys(among keys: some Sequence<Ed25519PublicKey>) -> Set<Ed25519PublicKey> {
        Set(signaturesByKey(among: keys).map(\.key))
    }

    /// Verifications of 0.1 ms that looking for n keys takes at most: enough to find a signature of each without any claim, in whatever order they
    /// stand, n (n + 1) / 2, and for each signature that there may be to be tried with the key that it claims. What was added to be verified in vain
    /// (64 signatures for each of 16 keys) is not looked through.
    static func verificationsMax(keys: Int) -> Int { max(Limits.signaturesMax, keys * (keys + 1) / 2) }

    /// Those that claim their key first, then the others.
    private func signaturesByKey(among keys: some Sequence<Ed25519PublicKey>) -> [(key: Ed25519PublicKey, signature: [UInt8])] {
        if signatures.isEmpty { return [] }
        var wanted: [Ed25519PublicKey] = []
        var seen: Set<Ed25519PublicKey> = []
        for key in keys where seen.insert(key).inserted { wanted.append(key) }
        let message = Envelope.preAuthentication(type: payloadType, body: payload)
        var left = Envelope.verificationsMax(keys: wanted.count)
        var open = signatures
        var found: [(key: Ed25519PublicKey, signature: [UInt8])] = []
        for isClaimed in [true, false] {
            wanted.removeAll { key in
                let index = open.firstIndex { signature in
                    guard (signature.keyID == key.keyID) == isClaimed, left > 0 else { return false }
                    left -= 1
                    return key.isValid(signature.signature, for: message)
                }
                guard let index else { return false }
                found.append((key, open.remove(at: index).signature))
                return true
            }
        }
        return found
    }

    /// Whether at least `threshold` of the keys signed; a key counts once however often it stands in `keys` or signs.
    /// False for a threshold below 1.
    public func isSigned(by keys: [Ed25519PublicKey], threshold: Int) -> Bool {
        guard threshold >= 1, signatures.count >= threshold else { return false }
        if threshold == 1, keys.count == 1, signatures.count == 1 {
            return keys[0].isValid(signatures[0].signature, for: Envelope.preAuthentication(type: payloadType, body: payload))
        }
        return validKeys(among: keys).count >= threshold
    }

    /// The signatures of both over one payload; nil when the payloads or types differ, or when together they are too many.
    public func merging(_ other: Envelope) -> Envelope? {
        guard type == other.type, digest == other.digest else { return nil }
        let union = Envelope.ordered(signatures + other.signatures)
        guard union.count <= Limits.signaturesMax else { return nil }
        return union == signatures ? self : Envelope(type: type, payload: payload, ordered: union)
    }

    /// The same payload with only the signatures of these keys that verify, one for each key: what is worth keeping of an
    /// envelope that passed through other hands.
    public func keeping(signaturesOf keys: [Ed25519PublicKey]) -> Envelope {
        let kept = signaturesByKey(among: keys).map { DocumentSignature(keyID: $0.key.keyID, signature: $0.signature) }
        return Envelope(type: type, payload: payload, signatures: kept)
    }
}

extension Envelope {
    /// The same payload without any signature that verifies for one of these keys.
    public func dropping(signaturesOf keys: [Ed25519PublicKey]) -> Envelope {
        var left = self
        // A key may have signed several times, and one signature may stand under several claims. Each turn takes one away.
        while true {
            let found = Set(left.keeping(signaturesOf: keys).signatures.map(\.signature))
            if found.isEmpty { return left }
            left = Envelope(type: type, payload: payload, ordered: left.signatures.filter { !found.contains($0.signature) })
        }
    }
}

// MARK: Binary form

extension Envelope {
    private static let signatureByteCount = Digest.byteCount + Ed25519PublicKey.signatureByteCount

    /// The compact form of wire and store: type code (u8), payload (varint length, bytes), number of signatures (varint), then
    /// for each key id (32 bytes) and signature (64 bytes), in strictly ascending order.
    public func binary() -> [UInt8] {
        var writer = ByteWriter(reserving: payload.count + 8 + signatures.count * Envelope.signatureByteCount)
        writer.u8(type.code)
        writer.prefixed(payload)
        writer.varint(signatures.count)
        for signature in signatures {
            writer.digest(signature.keyID)
            writer.raw(signature.signature)
        }
        return writer.bytes
    }

    public init(binary: [UInt8]) throws(DocumentFault) { try self.init(binary: binary[...]) }

    /// Reads what `binary()` writes and nothing else: every envelope has one binary form.
    public init(binary: ArraySlice<UInt8>) throws(DocumentFault) {
        do throws(ByteFault) {
            var reader = ByteReader(binary)
            guard let type = DocumentType(code: try reader.u8()) else { throw ByteFault.malformed("unknown document type") }
            let payload = try reader.prefixed(max: Limits.documentBytesMax)
            let count = try reader.count(max: Limits.signaturesMax)
            guard reader.left == count * Envelope.signatureByteCount else {
                throw ByteFault.truncated(wanted: count * Envelope.signatureByteCount, left: reader.left)
            }
            var signatures: [DocumentSignature] = []
            signatures.reserveCapacity(count)
            for _ in 0..<count {
                let keyID = try reader.digest()
                let bytes = try reader.raw(Ed25519PublicKey.signatureByteCount)
                let signature = DocumentSignature(keyID: keyID, signature: Array(bytes))
                if let last = signatures.last, !(last < signature) { throw ByteFault.malformed("signatures out of order") }
                signatures.append(signature)
            }
            self.init(type: type, payload: Array(payload), ordered: signatures)
        } catch {
            throw .binary(error)
        }
    }
}

// MARK: JSON form

extension Envelope {
    private struct Wire: Decodable {
        struct Signature: Decodable {
            let keyid: String?
            let sig: String
        }
        let payload: String
        let payloadType: String
        let signatures: [Signature]
    }

    /// DSSE's JSON form, compact: `{"payload":…,"payloadType":…,"signatures":[{"keyid":…,"sig":…}]}`, base64 standard and padded.
    public func json() -> [UInt8] {
        var writer = JSONWriter(reserving: payload.count / 3 * 4 + 160 + signatures.count * 180)
        writer.object { object in
            object.field("payload", Base64.encode(payload))
            object.field("payloadType", payloadType)
            object.array("signatures") { array in
                for signature in signatures {
                    array.object { object in
                        object.field("keyid", signature.claimedKeyID)
                        object.field("sig", Base64.encode(signature.signature))
                    }
                }
            }
        }
        return writer.finish()
    }

    /// Reads DSSE's JSON form. Unknown fields are ignored; base64 may be standard or URL-safe. Signatures that are not 64 bytes,
    /// so of other algorithms, are left out: no key of ours can have made them.
    public init(json: [UInt8]) throws(DocumentFault) {
        let wire = try StrictJSON.decodePayload(Wire.self, from: json, integersOnly: false)
        guard let type = DocumentType(rawValue: wire.payloadType) else { throw .payloadType(wire.payloadType) }
        guard wire.signatures.count <= Limits.signaturesMax else { throw .tooManySignatures(wire.signatures.count) }
        guard let payload = Base64.decode(wire.payload) else { throw .field("payload", "is not base64") }
        var signatures: [DocumentSignature] = []
        for (index, entry) in wire.signatures.enumerated() {
            guard let bytes = Base64.decode(entry.sig) else { throw .field("signatures[\(index)].sig", "is not base64") }
            guard bytes.count == Ed25519PublicKey.signatureByteCount else { continue }
            signatures.append(DocumentSignature(keyID: entry.keyid.flatMap { Digest(hex: $0) } ?? .zero, signature: bytes))
        }
        let ordered = Envelope.ordered(signatures)
        guard ordered.count == signatures.count else { throw .repeatedSignature }
        self.init(type: type, payload: payload, ordered: ordered)
    }
}
