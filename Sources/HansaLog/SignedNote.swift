// C2SP signed-note: a text and, after a blank line, one line for each signature: `— name base64(key id ‖ signature)`.
// Reading decides nothing about trust; `verified(by:)` does.
internal import HansaCore

public struct SignedNote: Hashable, Sendable {
    public static let bytesMax = 64 * 1024
    public static let signaturesMax = 64

    /// With its last line feed.
    public let text: String
    public private(set) var signatures: [NoteSignature]

    /// Traps when `text` could not be read back: it needs a line feed at its end.
    public init(text: String, signatures: [NoteSignature]) {
        precondition(text.utf8.last == 0x0A, "a note's text ends with a line feed")
        self.text = text
        self.signatures = signatures
    }

    /// Reads a note strictly: UTF-8, no control character but the line feed, split at the *last* blank line, every signature line
    /// whole.
    public init(_ bytes: [UInt8]) throws(NoteFault) {
        guard bytes.count <= SignedNote.bytesMax else { throw .tooLarge }
        if let control = bytes.first(where: { ($0 < 0x20 && $0 != 0x0A) || $0 == 0x7F }) { throw .controlCharacter(control) }
        guard String(validating: bytes, as: UTF8.self) != nil else { throw .notUTF8 }
        guard let gap = bytes.indices.dropLast().last(where: { bytes[$0] == 0x0A && bytes[$0 + 1] == 0x0A }), gap > 0,
            gap + 2 < bytes.count,
            bytes.last == 0x0A
        else { throw .noSignatures }
        text = String(decoding: bytes[...gap], as: UTF8.self)
        let lines = bytes[(gap + 2)...].dropLast().split(separator: 0x0A, omittingEmptySubsequences: false)
        guard lines.count <= SignedNote.signaturesMax else { throw .tooLarge }
        signatures = []
        for (number, line) in lines.enumerated() {
            guard let signature = NoteSignature(line: line) else { throw .malformedSignature(line: number + 1) }
            signatures.append(signature)
        }
    }

    /// The note as it is written and served.
    public var bytes: [UInt8] {
        var bytes = Array(text.utf8)
        bytes.append(0x0A)
        for signature in signatures { bytes.append(contentsOf: signature.line) }
        return bytes
    }

    public func adding(_ signature: NoteSignature) -> SignedNote {
        var note = self
        note.signatures.append(signature)
        return note
    }

    /// The signatures of the keys we trust, in the note's order. Lines of other keys are ignored.
    ///
    /// Throws `.badSignature` when one line under a trusted key fails, even if others hold, and `.notSigned` when none is there.
    public func verified(by keys: [VerifierKey]) throws(NoteFault) -> [VerifiedSignature] {
        var verified: [VerifiedSignature] = []
        for signature in signatures {
            let candidates = Set(keys.filter { $0.name == signature.name && $0.keyID == signature.keyID })
            guard candidates.count < 2 else { throw .ambiguousKey(signature.name) }
            guard let key = candidates.first else { continue }
            guard key.isValid(signature.signature, for: text) else { throw .badSignature(signature.name) }
            verified.append(VerifiedSignature(key: key, signature: signature))
        }
        guard !verified.isEmpty else { throw .notSigned }
        return verified
    }
}

/// One signature line of a note.
public struct NoteSignature: Hashable, Sendable {
    public let name: String
    public let keyID: UInt32
    /// What stands after the key id.
    public let signature: [UInt8]

    public init(name: String, keyID: UInt32, signature: [UInt8]) {
        self.name = name
        self.keyID = keyID
        self.signature = signature
    }

    private static let dash: [UInt8] = [0xE2, 0x80, 0x94, 0x20]

    /// Nil unless the line (without its line feed) is U+2014, a space, a name, a space and base64 of more than four bytes.
    init?(line: ArraySlice<UInt8>) {
        guard line.starts(with: NoteSignature.dash) else { return nil }
        let parts = line.dropFirst(NoteSignature.dash.count).split(separator: 0x20, omittingEmptySubsequences: false)
        guard parts.count == 2, let bytes = Base64.decodeStandard(String(decoding: parts[1], as: UTF8.self)), bytes.count > 4
        else { return nil }
        let name = String(decoding: parts[0], as: UTF8.self)
        guard VerifierKey.isName(name) else { return nil }
        self.init(name: name, keyID: bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }, signature: Array(bytes.dropFirst(4)))
    }

    /// The line with its line feed.
    public var line: [UInt8] {
        var line = NoteSignature.dash + Array(name.utf8) + [0x20]
        Base64.encode(keyID.bigEndianBytes + signature, into: &line)
        line.append(0x0A)
        return line
    }
}

/// A signature that holds, and the trusted key it is under.
public struct VerifiedSignature: Hashable, Sendable {
    public let key: VerifierKey
    public let signature: NoteSignature
}
