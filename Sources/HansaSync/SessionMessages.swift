// Messages about the session and what lies in an outbox: who speaks, signed documents and receipts, credit, errors, the end.
public import HansaCore
public import HansaDocuments
public import HansaLog

/// Who speaks, to whom, and what of each other's keyring is known. The first frame either way.
public struct Hello: Message {
    public static let type = FrameType.hello
    public static let versions: [UInt64] = [1]

    public var versions: [UInt64]
    public var from: CityID
    public var to: CityID
    /// The version of the speaker's own keyring, and of the listener's that the speaker holds.
    public var keyring: UInt64
    public var peerKeyring: UInt64
    public var nonce: [UInt8]
    /// Bytes of content that the listener may send before it is granted more.
    public var contentCredit: UInt64
    /// The speaker's wall clock, for the listener's diagnosis only: clocks order display, never safety.
    public var clock: Timestamp

    public static let nonceBytes = 32

    public init(
        from: CityID, to: CityID, keyring: UInt64, peerKeyring: UInt64, nonce: [UInt8], contentCredit: UInt64, clock: Timestamp
    ) {
        versions = Hello.versions
        self.from = from
        self.to = to
        self.keyring = keyring
        self.peerKeyring = peerKeyring
        self.nonce = nonce
        self.contentCredit = contentCredit
        self.clock = clock
    }

    public func encode(to writer: inout ByteWriter) {
        writer.list(versions) { $0.varint($1) }
        writer.prefixed(from.text)
        writer.prefixed(to.text)
        writer.varint(keyring)
        writer.varint(peerKeyring)
        writer.raw(nonce)
        writer.varint(contentCredit)
        writer.u64(UInt64(bitPattern: clock.milliseconds))
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        versions = try reader.list(max: 16) { reader throws(ByteFault) in try reader.varint() }
        from = try reader.city()
        to = try reader.city()
        keyring = try reader.varint()
        peerKeyring = try reader.varint()
        nonce = Array(try reader.raw(Hello.nonceBytes))
        contentCredit = try reader.varint()
        clock = try reader.time()
    }
}

/// Signed documents: pushed until acknowledged, never fetched. Each carries the sender's number for it.
public struct Documents: Message {
    public static let type = FrameType.documents
    public static let countMax = 64
    public struct Item: Sendable, Equatable {
        public var id: UInt64
        public var envelope: Envelope
        public init(id: UInt64, envelope: Envelope) {
            self.id = id
            self.envelope = envelope
        }
    }
    public var items: [Item]
    public init(items: [Item]) { self.items = items }

    public func encode(to writer: inout ByteWriter) {
        writer.list(items) { writer, item in
            writer.varint(item.id)
            writer.prefixed(item.envelope.binary())
        }
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        items = try reader.list(max: Documents.countMax) { reader throws(ByteFault) in
            Item(id: try reader.varint(), envelope: try reader.envelope())
        }
    }
}

/// The documents with these numbers are durable here, or were refused (and why).
public struct DocumentsAcknowledged: Message {
    public static let type = FrameType.documentsAcknowledged
    public struct Item: Sendable, Equatable {
        public var id: UInt64
        /// Nil: taken. Otherwise a word of the catalogue in PROTOCOL.md.
        public var refusal: String?
        public init(id: UInt64, refusal: String?) {
            self.id = id
            self.refusal = refusal
        }
    }
    public var items: [Item]
    public init(items: [Item]) { self.items = items }

    public func encode(to writer: inout ByteWriter) {
        writer.list(items) { writer, item in
            writer.varint(item.id)
            writer.prefixed(item.refusal ?? "")
        }
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        items = try reader.list(max: Documents.countMax) { reader throws(ByteFault) in
            let id = try reader.varint()
            let refusal = try reader.text(max: 100)
            return Item(id: id, refusal: refusal.isEmpty ? nil : refusal)
        }
    }
}

/// A signed receipt, with the sender's number for it: sent in every session until `documents-ack` names that number.
public struct ReceiptMessage: Message {
    public static let type = FrameType.receipt
    public var id: UInt64
    public var envelope: Envelope
    public init(id: UInt64, envelope: Envelope) {
        self.id = id
        self.envelope = envelope
    }
    public func encode(to writer: inout ByteWriter) {
        writer.varint(id)
        // A thousand items of JSON repeat themselves: a third of it is digests.
        Packed.write(envelope.binary(), to: &writer)
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        id = try reader.varint()
        envelope = try ByteReader.envelope(Packed.read(from: &reader, rawBytesMax: Limits.documentBytesMax)[...])
    }
}

/// A receipt in short: of releases that were listed in this session and all accepted. The publisher has what it says, and makes the document that was signed.
public struct Accepted: Message {
    public static let type = FrameType.accepted
    /// As of a receipt.
    public var id: UInt64
    public var view: Digest
    public var issued: Timestamp
    /// Version of the recipient's keyring.
    public var keyring: Int
    public var signature: DocumentSignature
    /// Names of offers, in the order of the receipt's items.
    public var offers: [Digest]

    public init(id: UInt64, view: Digest, issued: Timestamp, keyring: Int, signature: DocumentSignature, offers: [Digest]) {
        self.id = id
        self.view = view
        self.issued = issued
        self.keyring = keyring
        self.signature = signature
        self.offers = offers
    }

    /// Nil for a receipt that says more than this can.
    init?(id: UInt64, _ envelope: Envelope) {
        guard envelope.signatures.count == 1, let receipt = try? Receipt(payload: envelope.payload), receipt.log == nil,
            receipt.payload() == envelope.payload
        else { return nil }
        let offers = receipt.items.compactMap { item -> Digest? in
            guard item.outcome == .accepted, item.reason == nil else { return nil }
            return Hex.decode(item.transfer).flatMap(OfferName.of)
        }
        guard offers.count == receipt.items.count else { return nil }
        self.init(
            id: id, view: receipt.view, issued: receipt.issued, keyring: receipt.keyring, signature: envelope.signatures[0],
            offers: offers)
    }

    /// The receipt that was signed, where the offers are these.
    func envelope(from: CityID, to: CityID, _ offers: [ToldOffers.Offer]) -> Envelope? {
        let items = offers.map { Receipt.Item(release: $0.release, transfer: Hex.encode($0.transfer), outcome: .accepted) }
        return (try? Receipt(view: view, from: from, to: to, issued: issued, items: items, log: nil, keyring: keyring)).map {
            Envelope(type: .receipt, payload: $0.payload(), signatures: [signature])
        }
    }

    public func encode(to writer: inout ByteWriter) {
        writer.varint(id)
        writer.digest(view)
        writer.u64(UInt64(bitPattern: issued.milliseconds))
        writer.varint(keyring)
        writer.digest(signature.keyID)
        writer.raw(signature.signature)
        writer.list(offers) { writer, offer in offer.withUnsafeBytes { writer.raw($0[..<OfferName.byteCount]) } }
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        id = try reader.varint()
        view = try reader.digest()
        issued = try reader.time()
        keyring = try reader.count(max: Int(Int32.max))
        let keyID = try reader.digest()
        signature = DocumentSignature(keyID: keyID, signature: Array(try reader.raw(64)))
        offers = try reader.list(max: Limits.batchReleasesMax) { reader throws(ByteFault) in try reader.name(isOffer: true) }
        guard !offers.isEmpty else { throw .malformed("a receipt of nothing") }
    }
}

/// A log's request to the partner that witnesses it: the body of C2SP's tlog-witness, as it is (`WitnessRequest`).
public struct CheckpointMessage: Message {
    public static let type = FrameType.checkpoint
    public var request: WitnessRequest
    public init(request: WitnessRequest) { self.request = request }
    public func encode(to writer: inout ByteWriter) { writer.raw(request.bytes) }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        do throws(NoteFault) { request = try WitnessRequest(Array(reader.rest())) } catch {
            throw .malformed("\(error)")
        }
    }
}

/// The witness's answer: code and body of C2SP's tlog-witness. `evidence` is the last checkpoint of that log that the witness cosigned, as the log signed
/// it, with an answer that refuses one because of it; empty otherwise.
public struct CosignMessage: Message {
    public static let type = FrameType.cosign
    public static let bodyBytesMax = 4096
    public static let evidenceBytesMax = 65_536
    public var code: UInt64
    public var body: [UInt8]
    public var evidence: [UInt8]
    public init(code: UInt64, body: [UInt8], evidence: [UInt8] = []) {
        self.code = code
        self.body = body
        self.evidence = evidence
    }
    public func encode(to writer: inout ByteWriter) {
        writer.varint(code)
        writer.prefixed(body)
        writer.prefixed(evidence)
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        code = try reader.varint()
        body = Array(try reader.prefixed(max: CosignMessage.bodyBytesMax))
        evidence = Array(try reader.prefixed(max: CosignMessage.evidenceBytesMax))
    }
}

/// Grants the other side more bytes of content.
public struct Credit: Message {
    public static let type = FrameType.credit
    public var bytes: UInt64
    public init(bytes: UInt64) { self.bytes = bytes }
    public func encode(to writer: inout ByteWriter) { writer.varint(bytes) }
    public init(from reader: inout ByteReader) throws(ByteFault) { bytes = try reader.varint() }
}

/// Something of the peer's could not be done; the session goes on.
public struct ErrorMessage: Message {
    public static let type = FrameType.error
    public var code: String
    public var view: Digest
    public var retryAfterSeconds: UInt64
    public init(code: String, view: Digest, retryAfterSeconds: UInt64) {
        self.code = code
        self.view = view
        self.retryAfterSeconds = retryAfterSeconds
    }
    public func encode(to writer: inout ByteWriter) {
        writer.prefixed(code)
        writer.digest(view)
        writer.varint(retryAfterSeconds)
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        code = try reader.text(max: 64)
        view = try reader.digest()
        retryAfterSeconds = try reader.varint()
    }
}

/// The last frame: why the speaker ends the session.
public struct CloseMessage: Message {
    public static let type = FrameType.close
    public var reason: String
    public init(reason: String) { self.reason = reason }
    public func encode(to writer: inout ByteWriter) { writer.prefixed(reason) }
    public init(from reader: inout ByteReader) throws(ByteFault) { reason = try reader.text(max: 200) }
}
