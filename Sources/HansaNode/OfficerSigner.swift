// The officer's key may be kept away from the node: then the command signs, and the node never sees the key (FORMATS.md §10).
public import HansaCore
internal import HansaDocuments
internal import HansaYAML

/// One signature over DSSE's pre-authentication encoding of a payload. Nothing about it is believed before it is verified.
public struct OfficerSignature: Sendable, Equatable {
    /// Ed25519, 32 bytes raw.
    public let publicKey: [UInt8]
    /// 64 bytes.
    public let signature: [UInt8]

    public init(publicKey: [UInt8], signature: [UInt8]) {
        self.publicKey = publicKey
        self.signature = signature
    }
}

/// Whoever holds the key: looks at what is to be signed, and signs it or fails.
public protocol OfficerSigner: Sendable {
    func sign(_ payload: [UInt8], payloadType: String) throws(Problem) -> OfficerSignature
    /// Those of every key at hand: a keyring has several officers to sign it.
    func signatures(_ payload: [UInt8], payloadType: String) throws(Problem) -> [OfficerSignature]
}

extension OfficerSigner {
    public func signatures(_ payload: [UInt8], payloadType: String) throws(Problem) -> [OfficerSignature] {
        [try sign(payload, payloadType: payloadType)]
    }
}

/// What an agreement's file says, for a command that wants to know what it is asked to sign.
public enum AgreementFile {
    /// The payload that proposing this text signs.
    public static func payload(yaml: String) throws(Problem) -> [UInt8] {
        do { return try AgreementYAML.read(yaml).payload() } catch {
            throw Problem(
                .agreementInvalid, "line \(error.line): \(error.path.isEmpty ? "" : "\(error.path): ")\(error.message)",
                try: "hansa agreement check FILE")
        }
    }
}
