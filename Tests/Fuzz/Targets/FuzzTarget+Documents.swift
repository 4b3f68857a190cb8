internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaTerms

extension FuzzTarget {
    static func envelope(_ bytes: [UInt8]) throws(FuzzFinding) {
        if let envelope = try? Envelope(binary: bytes) {
            try expect(envelope.binary() == bytes, "an envelope has two binary forms")
            try whole(envelope)
        }
        if let envelope = try? Envelope(json: bytes) { try whole(envelope) }
    }

    private static func whole(_ envelope: Envelope) throws(FuzzFinding) {
        guard let binary = try? Envelope(binary: envelope.binary()), let json = try? Envelope(json: envelope.json()) else {
            throw FuzzFinding("an envelope that was read and written is refused")
        }
        try expect(binary == envelope && json == envelope, "an envelope that was read and written is another")
        switch envelope.type {
        case .keyring: try again(try? Keyring(envelope))
        case .agreement: try again(try? Agreement(envelope))
        case .agreementStep: try again(try? AgreementStep(envelope))
        case .release: try again(try? Release(envelope))
        case .receipt: try again(try? Receipt(envelope))
        case .forkProof: try again(try? ForkProof(envelope))
        }
    }

    static func document(_ bytes: [UInt8]) throws(FuzzFinding) {
        guard let choice = bytes.first else { return }
        let payload = Array(bytes.dropFirst())
        switch choice % 6 {
        case 0: try again(try? Keyring(payload: payload))
        case 1: try again(try? Agreement(payload: payload))
        case 2: try again(try? AgreementStep(payload: payload))
        case 3: try again(try? Release(payload: payload))
        case 4: try again(try? Receipt(payload: payload))
        default: try again(try? ForkProof(payload: payload))
        }
    }

    /// What was read can be written, and is then read as the same.
    private static func again<Document: SignedDocument & Equatable>(_ document: Document?) throws(FuzzFinding) {
        guard let document else { return }
        let written = document.payload()
        guard written.count <= Limits.documentBytesMax else { return }
        let second: Document
        do throws(DocumentFault) { second = try Document(payload: written) } catch {
            throw FuzzFinding("a \(Document.type) that was read and written is refused: \(error)")
        }
        try expect(second == document, "a \(Document.type) that was read and written is another")
    }
}
