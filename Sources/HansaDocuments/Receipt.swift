// What a recipient signs about what it was sent (FORMATS.md §9).
public import HansaCore

/// A recipient's signed answer for a batch of offered releases of one view.
public struct Receipt: SignedDocument, Equatable {
    public enum Outcome: String, CaseIterable, Sendable {
        /// Durable at the recipient.
        case accepted
        /// Not taken, with the reason; the digest of the view counts it as answered.
        case refused
        /// Held but not yet accepted.
        case delivered
    }

    public struct Item: Hashable, Sendable {
        public let release: Digest
        /// 16 random bytes in hex, chosen by the publisher with the offer and echoed.
        public let transfer: String
        public let outcome: Outcome
        public let reason: String?

        public init(release: Digest, transfer: String, outcome: Outcome, reason: String? = nil) {
            self.release = release
            self.transfer = transfer
            self.outcome = outcome
            self.reason = reason
        }
    }

    /// The last checkpoint of the signer's log that it had sent this partner as its witness.
    public struct LogHead: Hashable, Sendable {
        public let origin: String
        public let size: UInt64
        public let root: Digest

        public init(origin: String, size: UInt64, root: Digest) {
            self.origin = origin
            self.size = size
            self.root = root
        }
    }

    public static let type = DocumentType.receipt
    public static let schema = "hansa.receipt/1"
    public static let reasonCharactersMax = 500

    public let view: Digest
    public let from: CityID
    public let to: CityID
    public let issued: Timestamp
    public let items: [Item]
    public let log: LogHead?
    /// Version of the signer's (`from`) keyring.
    public let keyring: Int

    public init(view: Digest, from: CityID, to: CityID, issued: Timestamp, items: [Item], log: LogHead?, keyring: Int)
        throws(DocumentFault)
    {
        self.view = view
        self.from = from
        self.to = to
        self.issued = issued
        self.items = items
        self.log = log
        self.keyring = keyring
        try check()
    }

    private func check() throws(DocumentFault) {
        guard from != to else { throw .field("to", "is the city that signs") }
        guard (1...Limits.batchReleasesMax).contains(items.count) else {
            throw .field("items", "are \(items.count); 1…\(Limits.batchReleasesMax) may be")
        }
        for (index, item) in items.enumerated() {
            guard item.transfer.utf8.count == 32, item.transfer.utf8.allSatisfy(Receipt.isHexDigit) else {
                throw .field("items[\(index)].transfer", "is not 32 hex digits")
            }
            if let reason = item.reason {
                _ = try Field.text(reason, max: Receipt.reasonCharactersMax, at: "items[\(index)].reason")
            }
        }
        if let log {
            _ = try Field.text(log.origin, max: 300, at: "log.origin")
            guard !log.origin.isEmpty else { throw .field("log.origin", "is empty") }
            guard log.size <= UInt64(Int64.max) else { throw .field("log.size", "is above 2^63-1") }
        }
        _ = try Field.number(keyring, in: Field.keyringVersions, at: "keyring")
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) }
}

// MARK: Payload

extension Receipt {
    public func payload() -> [UInt8] {
        var writer = JSONWriter(reserving: 400 + items.count * 180)
        writer.object { object in
            object.field("schema", Receipt.schema)
            object.field("view", view)
            object.field("from", from.text)
            object.field("to", to.text)
            object.field("issued", issued)
            object.array("items") { array in
                for item in items {
                    array.object { object in
                        object.field("release", item.release)
                        object.field("transfer", item.transfer)
                        object.field("outcome", item.outcome.rawValue)
                        if let reason = item.reason { object.field("reason", reason) }
                    }
                }
            }
            if let log {
                object.object("log") { object in
                    object.field("origin", log.origin)
                    object.field("size", log.size)
                    object.field("root", log.root)
                }
            } else {
                object.null("log")
            }
            object.field("keyring", keyring)
        }
        return writer.finish()
    }

    private struct Wire: Decodable {
        struct Item: Decodable {
            let release: String
            let transfer: String
            let outcome: String
            let reason: String?
        }
        struct Log: Decodable {
            let origin: String
            let size: Int64
            let root: String
        }
        let schema: String
        let view: String
        let from: String
        let to: String
        let issued: String
        let items: [Item]
        let log: Log?
        let keyring: Int
    }

    public init(payload: [UInt8]) throws(DocumentFault) {
        self = try DocumentMemo.document(payload) { () throws(DocumentFault) in try Receipt(reading: payload) }
    }

    private init(reading payload: [UInt8]) throws(DocumentFault) {
        let wire = try StrictJSON.decodePayload(Wire.self, from: payload)
        try Field.schema(wire.schema, is: Receipt.schema)
        var items: [Item] = []
        for (index, item) in wire.items.enumerated() {
            items.append(
                Item(
                    release: try Field.digest(item.release, at: "items[\(index)].release"), transfer: item.transfer,
                    outcome: try Field.word(item.outcome, at: "items[\(index)].outcome"), reason: item.reason))
        }
        var log: LogHead?
        if let found = wire.log {
            log = LogHead(
                origin: found.origin, size: try Field.count(found.size, at: "log.size"),
                root: try Field.digest(found.root, at: "log.root"))
        }
        try self.init(
            view: Field.digest(wire.view, at: "view"), from: Field.city(wire.from, at: "from"), to: Field.city(wire.to, at: "to"),
            issued: Field.time(wire.issued, at: "issued"), items: items, log: log, keyring: wire.keyring)
    }
}
