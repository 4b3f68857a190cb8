// An officer's key in the hands of the command: it signs what its user asked for and nothing else, whatever a node asks (FORMATS.md §10).
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
public import HansaNode

public struct OfficerKey: OfficerSigner {
    /// What the user asked for; any other payload is refused.
    public enum Purpose: Sendable, Equatable {
        /// To propose exactly this payload (`AgreementFile.payload`).
        case propose(payload: [UInt8])
        /// To accept the agreement of that id or digest prefix.
        case accept(String)
        case reject(String, reason: String)
        case terminate(String, reason: String)
    }

    private let key: Ed25519PrivateKey
    private let purpose: Purpose
    private let announce: @Sendable (String) -> Void

    /// `pem` is the key file's contents; `announce` is told in words what is about to be signed.
    public init(pem: [UInt8], for purpose: Purpose, announce: @escaping @Sendable (String) -> Void) throws(Problem) {
        do { key = try Ed25519PrivateKey(pem: pem) } catch {
            throw Problem(
                .officerKeyMissing, "the officer key cannot be read: \(error)", try: "name the PEM file of an Ed25519 key")
        }
        self.purpose = purpose
        self.announce = announce
    }

    public func sign(_ payload: [UInt8], payloadType: String) throws(Problem) -> OfficerSignature {
        guard let type = DocumentType(rawValue: payloadType) else { throw refusal("a document of type \(payloadType)") }
        switch (type, purpose) {
        case (.agreement, .propose(let expected)):
            guard payload == expected else { throw refusal("another text than that of the file") }
            announce("signing the agreement of the file, \(SHA256.hash(payload).prefixed)")
        case (.agreement, .accept(let name)):
            let agreement: Agreement
            do { agreement = try Agreement(payload: payload) } catch { throw refusal("a document that is no agreement") }
            guard Self.names(name, id: agreement.id, digest: SHA256.hash(payload)) else {
                throw refusal("agreement \(agreement.id), not \(name)")
            }
            announce("signing agreement \(agreement.id.printable()), \(SHA256.hash(payload).prefixed)")
        case (.agreementStep, .reject(let name, let reason)): try check(payload, .reject, name, reason)
        case (.agreementStep, .terminate(let name, let reason)): try check(payload, .terminate, name, reason)
        default: throw refusal("a document of type \(payloadType)")
        }
        return OfficerSignature(
            publicKey: key.publicKey.bytes, signature: key.sign(Envelope.preAuthentication(type: payloadType, body: payload)))
    }

    /// A step names its agreement by digest alone; where the user named it by id, kind and reason are what can be compared.
    private func check(_ payload: [UInt8], _ kind: AgreementStep.Kind, _ name: String, _ reason: String) throws(Problem) {
        let step: AgreementStep
        do { step = try AgreementStep(payload: payload) } catch { throw refusal("a document that is no step of an agreement") }
        guard step.step == kind, step.reason == reason else {
            throw refusal("to \(step.step.rawValue), because \(step.reason.printable())")
        }
        guard !Self.isDigest(name) || Self.names(name, id: nil, digest: step.agreement) else {
            throw refusal("to \(kind.rawValue) \(step.agreement.prefixed), not \(name)")
        }
        announce("signing: \(kind.rawValue) \(step.agreement.prefixed)")
    }

    private func refusal(_ what: String) -> Problem {
        Problem(
            .signatureInvalid,
            "the node asked the officer's key to sign \(what.printable(charactersMax: 300)); nothing was signed",
            try: "find out who changed the node before you use this key again")
    }

    private static func isDigest(_ name: String) -> Bool { name.hasPrefix("sha256:") }

    private static func names(_ name: String, id: String?, digest: Digest) -> Bool {
        if name == id { return true }
        let hex = name.hasPrefix("sha256:") ? String(name.dropFirst(7)) : name
        return hex.utf8.count >= 6 && digest.hex.hasPrefix(hex)
    }
}
