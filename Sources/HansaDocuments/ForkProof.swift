// Evidence that a city signed two releases under one number (SYNC.md §4, FORMATS.md §9): both envelopes as they were received, put together
// and signed by the city that noticed. Whoever has the writer's keyring can check it without trusting that city.
public import HansaCore
internal import HansaCrypto

/// Two signed releases of one package with one writer and one seq.
///
/// Payload: `{"schema":"hansa.fork-proof/1","package","writer","seq","by":city,"found":time,"keyring":N,"releases":[envelope, envelope]}`,
/// each envelope in DSSE's JSON form, in order of digest.
public struct ForkProof: SignedDocument, Equatable {
    public static let type = DocumentType.forkProof
    public static let schema = "hansa.fork-proof/1"

    public let package: PackageID
    public let writer: CityID
    public let seq: UInt64
    /// Who noticed, and signs.
    public let by: CityID
    public let found: Timestamp
    /// Version of `by`'s keyring.
    public let keyring: Int
    /// Two, in order of digest.
    public let releases: [Envelope]

    /// Throws when the two are no fork, or too large together to be one document.
    public init(_ first: Envelope, _ second: Envelope, by: CityID, found: Timestamp, keyring: Int) throws(DocumentFault) {
        let releases = [first, second].sorted { $0.digest < $1.digest }
        let left = try Release(releases[0])
        let right = try Release(releases[1])
        guard releases[0].digest != releases[1].digest else { throw .field("releases", "are one and the same release") }
        guard left.package == right.package, left.writer == right.writer, left.seq == right.seq else {
            throw .field("releases", "do not share package, writer and seq")
        }
        package = left.package
        writer = left.writer
        seq = left.seq
        self.by = by
        self.found = found
        self.keyring = try Field.number(keyring, in: Field.keyringVersions, at: "keyring")
        self.releases = releases
        guard payload().count <= Limits.documentBytesMax else { throw .field("releases", "are too large for one document") }
    }

    /// Whether the writer's own keys signed both: `keyring` gives a city's keyring of a version, or nil where it is not known.
    public func isProved(_ keyring: (CityID, Int) throws -> Keyring?) rethrows -> Bool {
        for envelope in releases {
            guard let release = try? Release(envelope), let keys = try keyring(writer, release.keyring),
                envelope.isSigned(by: keys.packageKeys, threshold: keys.packageThreshold)
            else { return false }
        }
        return true
    }
}

// MARK: Payload

extension ForkProof {
    public func payload() -> [UInt8] {
        var writer = JSONWriter(reserving: 2048)
        writer.object { object in
            object.field("schema", ForkProof.schema)
            object.field("package", package.description)
            object.field("writer", self.writer.text)
            object.field("seq", seq)
            object.field("by", by.text)
            object.field("found", found)
            object.field("keyring", keyring)
            object.array("releases") { array in for release in releases { array.raw(release.json()) } }
        }
        return writer.finish()
    }

    private struct Wire: Decodable {
        struct Signature: Decodable {
            let keyid: String
            let sig: String
        }
        struct Release: Decodable {
            let payload: String
            let payloadType: String
            let signatures: [Signature]
        }
        let schema: String
        let package: String
        let writer: String
        let seq: Int64
        let by: String
        let found: String
        let keyring: Int
        let releases: [Release]
    }

    public init(payload: [UInt8]) throws(DocumentFault) {
        let wire = try StrictJSON.decodePayload(Wire.self, from: payload)
        try Field.schema(wire.schema, is: ForkProof.schema)
        guard wire.releases.count == 2 else { throw .field("releases", "are \(wire.releases.count), not two") }
        var envelopes: [Envelope] = []
        for (index, release) in wire.releases.enumerated() {
            envelopes.append(try ForkProof.envelope(release, at: "releases[\(index)]"))
        }
        try self.init(
            envelopes[0], envelopes[1], by: Field.city(wire.by, at: "by"), found: Field.time(wire.found, at: "found"),
            keyring: wire.keyring)
        guard try Field.package(wire.package, at: "package") == package, try Field.city(wire.writer, at: "writer") == writer,
            try Field.count(wire.seq, at: "seq") == seq
        else { throw .field("releases", "are not of the package, writer and seq that the proof names") }
        guard envelopes == releases else { throw .field("releases", "are not in order of digest") }
    }

    private static func envelope(_ wire: Wire.Release, at path: String) throws(DocumentFault) -> Envelope {
        guard let type = DocumentType(rawValue: wire.payloadType) else { throw .payloadType(wire.payloadType) }
        guard let payload = Base64.decode(wire.payload) else { throw .field("\(path).payload", "is not base64") }
        guard wire.signatures.count <= Limits.signaturesMax else { throw .tooManySignatures(wire.signatures.count) }
        var signatures: [DocumentSignature] = []
        for (index, signature) in wire.signatures.enumerated() {
            guard let bytes = Base64.decode(signature.sig), bytes.count == Ed25519PublicKey.signatureByteCount else {
                throw .field("\(path).signatures[\(index)].sig", "is no signature")
            }
            signatures.append(DocumentSignature(keyID: Digest(hex: signature.keyid) ?? .zero, signature: bytes))
        }
        return Envelope(type: type, payload: payload, signatures: signatures)
    }
}
