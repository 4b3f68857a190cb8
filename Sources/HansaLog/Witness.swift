// What a log asks of a witness, and what the witness answers (C2SP tlog-witness, FORMATS.md §7). Pure: between nodes the same bodies and codes travel
// inside a session, and whoever judges keeps what was cosigned, durable before the answer leaves.
public import HansaCore

/// `old N\n`, a line of base64 for each hash of the consistency proof, a blank line, the checkpoint.
public struct WitnessRequest: Sendable, Equatable {
    public static let proofMax = 63

    /// The size of the last checkpoint that the witness is thought to have cosigned; 0 for none.
    public let old: TreeSize
    public let proof: [Digest]
    public let checkpoint: SignedNote

    public init(old: TreeSize, proof: [Digest], checkpoint: SignedNote) {
        self.old = old
        self.proof = proof
        self.checkpoint = checkpoint
    }

    public init(_ bytes: [UInt8]) throws(NoteFault) {
        guard bytes.count <= SignedNote.bytesMax + 4096 else { throw .tooLarge }
        guard let gap = bytes.indices.dropLast().first(where: { bytes[$0] == 0x0A && bytes[$0 + 1] == 0x0A }) else {
            throw .malformedCheckpoint("the request has no blank line")
        }
        let lines = bytes[..<gap].split(separator: 0x0A, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        guard let first = lines.first, first.hasPrefix("old "), let old = TreeSize(decimal: first.dropFirst(4)) else {
            throw .malformedCheckpoint("the request does not begin with the old size")
        }
        guard lines.count <= 1 + WitnessRequest.proofMax else { throw .tooLarge }
        var proof: [Digest] = []
        for line in lines.dropFirst() {
            guard let bytes = Base64.decodeStandard(line), let digest = Digest(bytes) else {
                throw .malformedCheckpoint("the request's proof is not base64 of hashes")
            }
            proof.append(digest)
        }
        self.old = old
        self.proof = proof
        checkpoint = try SignedNote(Array(bytes[(gap + 2)...]))
    }

    public var bytes: [UInt8] {
        Array(("old \(old)\n" + proof.map { Base64.encode($0.bytes) + "\n" }.joined() + "\n").utf8) + checkpoint.bytes
    }
}

/// A witness's answer, with the codes of HTTP that the format gives it.
public enum WitnessAnswer: UInt16, Sendable, CaseIterable {
    /// The body is cosignature lines.
    case cosigned = 200
    case malformed = 400
    case notSigned = 403
    case unknownLog = 404
    /// `old` is not what this witness cosigned last; the body is that size in decimal, and a line feed.
    case otherSize = 409
    /// A proof that does not hold, or another root at a size that was cosigned.
    case inconsistent = 422
    /// Asked too often: nothing was looked at. The asker's next turn asks again.
    case tooOften = 429
}

/// What a witness holds against a request.
public enum WitnessVerdict: Sendable, Equatable {
    /// May be cosigned: it continues what was, or is the same again.
    case continues(SignedCheckpoint)
    case refused(WitnessAnswer)
    /// Refused, and signed by the log: with what was cosigned before it proves that the log contradicts itself, or shows a proof that is wrong.
    case contradicts(WitnessAnswer, SignedCheckpoint)

    /// `log` is the key of the log as the city's keyring names it now; `held` the last checkpoint of that log that was cosigned here.
    public init(on request: WitnessRequest, log: VerifierKey, held: Checkpoint?) {
        let signed: SignedCheckpoint
        do { signed = try SignedCheckpoint(request.checkpoint, log: log) } catch {
            switch error {
            case .notSigned, .badSignature: self = .refused(.notSigned)
            case .foreignOrigin: self = .refused(.unknownLog)
            default: self = .refused(.malformed)
            }
            return
        }
        guard request.old <= signed.size else {
            self = .refused(.malformed)
            return
        }
        let heldSize = held?.size ?? 0
        if let held, signed.size == held.size, signed.root != held.root {
            self = .contradicts(.inconsistent, signed)
            return
        }
        guard request.old == heldSize else {
            // Signed, and about fewer entries than the log once had.
            self = signed.size < heldSize ? .contradicts(.otherSize, signed) : .refused(.otherSize)
            return
        }
        let root = held?.root ?? MerkleTree.emptyRoot
        let holds =
            heldSize.isEmpty
            ? request.proof.isEmpty
            : MerkleTree.isConsistent(from: root, size: heldSize, to: signed.root, size: signed.size, proof: request.proof)
        self = holds ? .continues(signed) : .contradicts(.inconsistent, signed)
    }
}
