/// Why a note, a verifier key, a checkpoint or a cosignature was refused.
public enum NoteFault: Error, Equatable, Sendable, CustomStringConvertible {
    /// Longer than `SignedNote.bytesMax`, or with more lines than `SignedNote.signaturesMax`.
    case tooLarge
    case notUTF8
    /// A control character other than the line feed.
    case controlCharacter(UInt8)
    /// No blank line, nothing after it, or no line feed at the end.
    case noSignatures
    /// This signature line, counted from 1, is not `— name base64`.
    case malformedSignature(line: Int)
    case badName(String)
    case malformedKey(String)
    /// The id written in a verifier key is not the key's.
    case keyIDMismatch
    case unknownAlgorithm(UInt8)
    /// Two different trusted keys have this name and the same id.
    case ambiguousKey(String)
    /// A signature under a key that we trust does not hold.
    case badSignature(String)
    /// Nobody whom we trust has signed.
    case notSigned
    /// The text is no checkpoint; says what is wrong.
    case malformedCheckpoint(String)
    /// Signed by the right log, but about another one.
    case foreignOrigin(String)

    public var description: String {
        switch self {
        case .tooLarge: "the note is too large"
        case .notUTF8: "the note is not UTF-8"
        case .controlCharacter(let byte): "the note has the control character \(byte)"
        case .noSignatures: "the note has no signature lines"
        case .malformedSignature(let line): "signature line \(line) of the note is malformed"
        case .badName: "a key name is empty or has a space, a plus or a control character"
        case .malformedKey(let why): "not a verifier key: \(why)"
        case .keyIDMismatch: "the id in the verifier key does not belong to its key"
        case .unknownAlgorithm(let type): "the verifier key has the unknown algorithm \(type)"
        case .ambiguousKey(let name): "two trusted keys are called \(name) and have one id"
        case .badSignature(let name): "the signature of \(name) does not hold"
        case .notSigned: "no trusted key has signed"
        case .malformedCheckpoint(let why): "not a checkpoint: \(why)"
        case .foreignOrigin(let origin): "the checkpoint is about another log, \(origin)"
        }
    }
}
