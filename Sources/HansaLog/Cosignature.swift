// A witness's word that a checkpoint extends every earlier one it has seen of that log (C2SP tlog-cosignature, cosignature/v1):
// u64 POSIX seconds ‖ Ed25519 signature over `cosignature/v1\ntime <decimal>\n` ‖ the checkpoint's text.
// The signed message does not name the witness: its key must have no other use.
public import HansaCore
public import HansaCrypto

public struct Cosignature: Hashable, Sendable {
    public let witness: VerifierKey
    /// When the witness signed, by its own clock; whole seconds.
    public let time: Timestamp

    /// Nil for the signature of a log.
    init?(_ verified: VerifiedSignature) {
        guard verified.key.algorithm == .cosignature, let (seconds, _) = Cosignature.split(verified.signature.signature) else {
            return nil
        }
        witness = verified.key
        time = Timestamp(seconds: Int64(seconds))
    }

    /// The time and the 64 bytes of Ed25519; nil for any other length, and for a time that no `Timestamp` can hold.
    static func split(_ bytes: [UInt8]) -> (seconds: UInt64, signature: [UInt8])? {
        guard bytes.count == 72 else { return nil }
        let seconds = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        guard seconds <= UInt64(Int64.max / 1000) else { return nil }
        return (seconds, Array(bytes.dropFirst(8)))
    }

    static func message(_ text: String, seconds: UInt64) -> [UInt8] { Array("cosignature/v1\ntime \(seconds)\n\(text)".utf8) }
}

/// The witness's side: the format only. Whether a checkpoint may be cosigned is decided, and stored, before this is called.
public struct WitnessSigner: Sendable {
    public let verifierKey: VerifierKey
    private let key: Ed25519PrivateKey

    public init(name: String, key: Ed25519PrivateKey) throws(NoteFault) {
        verifierKey = try VerifierKey(name: name, algorithm: .cosignature, key: key.publicKey)
        self.key = key
    }

    /// Milliseconds of `time` are dropped. Traps before 1970.
    public func cosign(_ checkpoint: Checkpoint, at time: Timestamp) -> NoteSignature {
        precondition(time.milliseconds >= 0, "a cosignature before 1970")
        let seconds = UInt64(time.milliseconds / 1000)
        var bytes = ByteWriter(reserving: 72)
        bytes.u64(seconds)
        bytes.raw(key.sign(Cosignature.message(checkpoint.text, seconds: seconds)))
        return NoteSignature(name: verifierKey.name, keyID: verifierKey.keyID, signature: bytes.bytes)
    }
}
