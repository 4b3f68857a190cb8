// Rows of the metadata store: a city that we know, and what is on its way to it.
public import HansaCore
internal import HansaCrypto
public import HansaDocuments

/// A city we know by its keyring.
public struct Partner: Sendable, Equatable {
    public enum State: String, Sendable { case active, paused, removed }
    public var city: CityID
    public var state: State
    /// An administrator's own address for it, before those of its keyring.
    public var endpoint: String?
    public var added: Timestamp

    public init(city: CityID, state: State, endpoint: String?, added: Timestamp) {
        self.city = city
        self.state = state
        self.endpoint = endpoint
        self.added = added
    }
}

/// When a round with a partner last ended with every view equal: a value beside its row, since each change of the row is one of policy.
public enum SyncMemory {
    public static func lastSync(with partner: CityID, _ store: any MetadataReading) throws -> Timestamp? {
        try store.value(name(partner)).map { Timestamp(milliseconds: $0.reduce(0) { $0 << 8 | Int64($1) }) }
    }

    public static func set(_ time: Timestamp, with partner: CityID, _ tx: any MetadataWriting) throws {
        var bytes = ByteWriter(reserving: 8)
        bytes.u64(UInt64(bitPattern: time.milliseconds))
        try tx.setValue(name(partner), bytes.bytes)
    }

    private static func name(_ partner: CityID) -> String { "sync.last.\(partner)" }
}

/// A document on its way to a partner: pushed in every session until it is acknowledged.
public struct OutboxRow: Sendable, Equatable {
    public var id: Int64
    public var partner: CityID
    public var envelope: Envelope

    /// Receipts have a way of their own: the partner's publishing half acknowledges them, and that may wait for documents of its own.
    public enum Lane: Sendable, CaseIterable {
        case documents, receipts

        public init(_ type: DocumentType) { self = type == .receipt ? .receipts : .documents }
    }

    public init(id: Int64, partner: CityID, envelope: Envelope) {
        self.id = id
        self.partner = partner
        self.envelope = envelope
    }
}

/// How much waits for a partner, and the id of its newest row: 0 where nothing waits.
public struct OutboxExtent: Sendable, Equatable {
    public var rows: Int
    public var last: Int64

    public init(rows: Int, last: Int64) {
        self.rows = rows
        self.last = last
    }
}

extension Envelope {
    /// What the outbox knows an envelope by: the same payload under other signatures is another one. The payload is hashed already.
    public var outboxDigest: Digest {
        var bytes: [UInt8] = [type.code]
        bytes.reserveCapacity(1 + Digest.byteCount + signatures.count * (Digest.byteCount + Ed25519PublicKey.signatureByteCount))
        bytes += digest.bytes
        for signature in signatures {
            bytes += signature.keyID.bytes
            bytes += signature.signature
        }
        return SHA256.hash(bytes)
    }
}
