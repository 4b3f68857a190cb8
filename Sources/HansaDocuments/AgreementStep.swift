// What happens to an agreement after it was proposed (FORMATS.md §10).
public import HansaCore

/// One signed step in the life of an agreement. Acceptance is none: it is a signature over the agreement itself.
public struct AgreementStep: SignedDocument, Equatable {
    public enum Kind: String, CaseIterable, Sendable { case reject, amend, renew, suspend, resume, terminate }

    public static let type = DocumentType.agreementStep
    public static let schema = "hansa.agreement-step/1"

    public let agreement: Digest
    public let step: Kind
    public let by: CityID
    /// The last step that the signer knew; nil when it knew none.
    public let previous: Digest?
    public let issued: Timestamp
    /// For `terminate`, the formal end: issued plus notice. Sharing stops when the step is known.
    public let effective: Timestamp
    public let reason: String
    /// Version of the signer's keyring whose officers sign this.
    public let keyring: Int
    /// `payload` in the document: what the step brings with it, such as the terms of a renewal; its members sorted by name.
    public let contents: JSONValue?

    public init(
        agreement: Digest, step: Kind, by: CityID, previous: Digest?, issued: Timestamp, effective: Timestamp, reason: String,
        keyring: Int, contents: JSONValue? = nil
    ) throws(DocumentFault) {
        self.agreement = agreement
        self.step = step
        self.by = by
        self.previous = previous
        self.issued = issued
        self.effective = effective
        self.reason = reason
        self.keyring = keyring
        if let contents, contents != .null {
            self.contents = try Field.free(contents, at: "payload")
        } else {
            self.contents = nil
        }
        _ = try Field.text(reason, max: Field.reasonCharactersMax, at: "reason")
        _ = try Field.number(keyring, in: Field.keyringVersions, at: "keyring")
        guard effective >= issued else { throw .field("effective", "is before issued") }
    }

    public func payload() -> [UInt8] {
        var writer = JSONWriter(reserving: 600)
        writer.object { object in
            object.field("schema", AgreementStep.schema)
            object.field("agreement", agreement)
            object.field("step", step.rawValue)
            object.field("by", by.text)
            object.field("previous", previous)
            object.field("issued", issued)
            object.field("effective", effective)
            object.field("reason", reason)
            object.field("keyring", keyring)
            if let contents { object.field("payload", contents) }
        }
        return writer.finish()
    }

    private struct Wire: Decodable {
        let schema: String
        let agreement: String
        let step: String
        let by: String
        let previous: String?
        let issued: String
        let effective: String
        let reason: String
        let keyring: Int
        let payload: JSONValue?
    }

    public init(payload: [UInt8]) throws(DocumentFault) {
        let wire = try StrictJSON.decodePayload(Wire.self, from: payload)
        try Field.schema(wire.schema, is: AgreementStep.schema)
        try self.init(
            agreement: Field.digest(wire.agreement, at: "agreement"), step: Field.word(wire.step, at: "step"),
            by: Field.city(wire.by, at: "by"), previous: Field.optionalDigest(wire.previous, at: "previous"),
            issued: Field.time(wire.issued, at: "issued"), effective: Field.time(wire.effective, at: "effective"),
            reason: wire.reason,
            keyring: wire.keyring, contents: wire.payload)
    }
}
