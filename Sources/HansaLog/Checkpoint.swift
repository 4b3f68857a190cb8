// A log's signed word about itself (C2SP tlog-checkpoint): `origin\nsize\nbase64(root)\n` as a signed note. We write and take no
// extension lines.
public import HansaCore
public import HansaCrypto

/// The size and root of a log, unsigned.
public struct Checkpoint: Hashable, Sendable, CustomStringConvertible {
    /// Which log; also the name of its key.
    public let origin: String
    public let size: TreeSize
    public let root: Digest

    public init(origin: String, size: TreeSize, root: Digest) throws(NoteFault) {
        guard VerifierKey.isName(origin) else { throw .malformedCheckpoint("its origin is no key name") }
        guard !size.isEmpty || root == MerkleTree.emptyRoot else { throw .malformedCheckpoint("an empty tree has another root") }
        self.origin = origin
        self.size = size
        self.root = root
    }

    /// Reads a note's text: exactly three lines, the size in decimal without a leading zero, the root in 44 characters of base64.
    public init(text: String) throws(NoteFault) {
        let lines = text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false)
        guard lines.count >= 4, lines.last?.isEmpty == true else { throw .malformedCheckpoint("it has fewer than three lines") }
        guard lines.count == 4 else { throw .malformedCheckpoint("it has extension lines") }
        guard let size = TreeSize(decimal: Substring(lines[1])) else { throw .malformedCheckpoint("its size is no number") }
        guard let bytes = Base64.decodeStandard(Substring(lines[2])), let root = Digest(bytes) else {
            throw .malformedCheckpoint("its root is not base64 of 32 bytes")
        }
        try self.init(origin: String(Substring(lines[0])), size: size, root: root)
    }

    /// What is signed: three lines, each with its line feed.
    public var text: String { "\(origin)\n\(size)\n\(Base64.encode(root.bytes))\n" }
    public var description: String { "\(origin) \(size) \(root.short)" }
}

/// A checkpoint with its log's signature and the cosignatures of the witnesses we trust.
public struct SignedCheckpoint: Hashable, Sendable {
    public let checkpoint: Checkpoint
    public let note: SignedNote
    /// Only of the witnesses given at reading, each line once.
    public let cosignatures: [Cosignature]

    public var size: TreeSize { checkpoint.size }
    public var root: Digest { checkpoint.root }
    public var bytes: [UInt8] { note.bytes }

    /// Opens a checkpoint file: signed by `log`, about the log of that name. Lines of unknown keys are ignored, a failing line of
    /// `log` or of one of `witnesses` refuses the whole.
    public init(_ bytes: [UInt8], log: VerifierKey, witnesses: [VerifierKey] = []) throws(NoteFault) {
        try self.init(SignedNote(bytes), log: log, witnesses: witnesses)
    }

    public init(_ note: SignedNote, log: VerifierKey, witnesses: [VerifierKey] = []) throws(NoteFault) {
        guard log.algorithm == .ed25519 else { throw .malformedKey("it is not the key of a log") }
        let verified = try note.verified(by: [log] + witnesses)
        guard verified.contains(where: { $0.key == log }) else { throw .notSigned }
        let checkpoint = try Checkpoint(text: note.text)
        guard checkpoint.origin == log.name else { throw .foreignOrigin(checkpoint.origin) }
        self.checkpoint = checkpoint
        self.note = note
        cosignatures = verified.compactMap(Cosignature.init)
    }
}

/// The log's side: signs checkpoints under the log key. Who holds it sees to it that no two contradict each other
/// (`LogSequencer`).
public struct LogSigner: Sendable {
    public let verifierKey: VerifierKey
    private let key: Ed25519PrivateKey

    /// `origin` names the log and its key.
    public init(origin: String, key: Ed25519PrivateKey) throws(NoteFault) {
        verifierKey = try VerifierKey(name: origin, algorithm: .ed25519, key: key.publicKey)
        self.key = key
    }

    public var origin: String { verifierKey.name }

    /// Traps when the checkpoint is of another log.
    public func sign(_ checkpoint: Checkpoint) -> SignedNote {
        precondition(checkpoint.origin == origin, "a log signs only its own checkpoints")
        let signature = key.sign(Array(checkpoint.text.utf8))
        return SignedNote(
            text: checkpoint.text, signatures: [NoteSignature(name: origin, keyID: verifierKey.keyID, signature: signature)])
    }
}
