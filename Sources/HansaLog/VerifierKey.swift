internal import HansaCore
public import HansaCrypto

/// A public key as signed notes name it, `name+keyid+base64` (C2SP signed-note): of a log (Ed25519) or of a witness
/// (cosignature/v1).
public struct VerifierKey: Hashable, Sendable, CustomStringConvertible {
    /// What the key signs, by the type byte of the format.
    public enum Algorithm: UInt8, Sendable {
        /// The note's text.
        case ed25519 = 0x01
        /// A checkpoint's text and the time of signing (C2SP tlog-cosignature, cosignature/v1).
        case cosignature = 0x04
    }

    /// Schema-less URL such as `node.kitchener.ca/log`.
    public let name: String
    public let algorithm: Algorithm
    public let key: Ed25519PublicKey
    /// The first four bytes, big-endian, of SHA-256(name ‖ 0x0A ‖ type ‖ key). A hint for look-up, no proof of anything.
    public let keyID: UInt32

    public init(name: String, algorithm: Algorithm, key: Ed25519PublicKey) throws(NoteFault) {
        guard VerifierKey.isName(name) else { throw .badName(name) }
        self.name = name
        self.algorithm = algorithm
        self.key = key
        keyID = SHA256.hash([Array(name.utf8), [0x0A, algorithm.rawValue], key.bytes]).leadingWord
    }

    /// Reads `name+8 hex digits+base64(type ‖ key)`; only the first two plus signs separate, as base64 has its own.
    public init(_ text: String) throws(NoteFault) {
        guard text.utf8.count <= 1024 else { throw .malformedKey("it is too long") }
        let parts = text.split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw .malformedKey("it is not name+id+key") }
        guard parts[1].utf8.count == 8, let id = Hex.decode(parts[1]) else { throw .malformedKey("its id is not 8 hex digits") }
        guard let bytes = Base64.decodeStandard(parts[2]), let type = bytes.first else {
            throw .malformedKey("its key is not base64")
        }
        guard let algorithm = Algorithm(rawValue: type) else { throw .unknownAlgorithm(type) }
        let key: Ed25519PublicKey
        do { key = try Ed25519PublicKey(enrolling: Array(bytes.dropFirst())) } catch { throw .malformedKey("\(error)") }
        try self.init(name: String(parts[0]), algorithm: algorithm, key: key)
        guard id.reduce(0, { $0 << 8 | UInt32($1) }) == keyID else { throw .keyIDMismatch }
    }

    /// `name+keyid+base64`, as keyrings carry it.
    public var text: String { "\(name)+\(Hex.encode(keyID.bigEndianBytes))+\(Base64.encode([algorithm.rawValue] + key.bytes))" }
    public var description: String { text }

    /// Whether `signature` (the bytes after the key id) is this key's over the note's text.
    public func isValid(_ signature: [UInt8], for text: String) -> Bool {
        switch algorithm {
        case .ed25519: return key.isValid(signature, for: Array(text.utf8))
        case .cosignature:
            guard let (time, bytes) = Cosignature.split(signature) else { return false }
            return key.isValid(bytes, for: Cosignature.message(text, seconds: time))
        }
    }

    /// Neither empty nor with white space (of Unicode), `+` or a control character.
    public static func isName(_ name: some StringProtocol) -> Bool {
        !name.isEmpty && name.utf8.count <= 255
            && name.unicodeScalars.allSatisfy { $0 != "+" && $0.value >= 0x20 && $0.value != 0x7F && !$0.properties.isWhitespace }
    }
}

extension Digest {
    var leadingWord: UInt32 { bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }
}

extension UInt32 {
    var bigEndianBytes: [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: self >> (24 - 8 * $0)) } }
}

extension Base64 {
    /// The standard alphabet with its padding and no other spelling: what notes are written in.
    static func decodeStandard(_ text: some StringProtocol) -> [UInt8]? {
        guard text.utf8.count % 4 == 0, !text.utf8.contains(where: { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }) else {
            return nil
        }
        return decode(text)
    }
}
