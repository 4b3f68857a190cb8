public import HansaCore

/// Why bytes are not the document they are held for.
public enum DocumentFault: Error, Equatable, Sendable {
    /// Not the JSON that we accept, or too large.
    case json(JSONFault)
    /// Not the compact form of an envelope.
    case binary(ByteFault)
    /// No document type of ours, or another than the one asked for.
    case payloadType(String)
    /// A `schema` of another document or of a later version.
    case schema(String)
    /// The field at this place, `terms[0].from`, is not what the format asks; the text says what is wrong.
    case field(String, String)
    /// A key that the format does not have, where unknown keys are refused.
    case unknownKey(String)
    case tooManySignatures(Int)
    /// The same signature twice.
    case repeatedSignature
}

extension DocumentFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .json(let fault): "not acceptable JSON: \(fault)"
        case .binary(let fault): "not an envelope in binary form: \(fault)"
        case .payloadType(let found): "payload type '\(found.printable(charactersMax: 80))' is not the one expected here"
        case .schema(let found):
            "schema '\(found.printable(charactersMax: 80))' is not known here; a newer version of Hansa may know it"
        case .field(let path, let problem): "\(path): \(problem)"
        case .unknownKey(let path): "\(path): this key is not known, and no term is ever ignored"
        case .tooManySignatures(let count): "\(count) signatures; at most \(Limits.signaturesMax) are accepted"
        case .repeatedSignature: "the same signature stands twice"
        }
    }
}
