// One entry of the log (FORMATS.md §11): a JSON object of named fields in a fixed order, absent ones left out, and a salt, so
// that the hash of an entry that a proof must show as a sibling cannot be guessed from a dictionary.
internal import Foundation
public import HansaCore

public struct LogEntry: Sendable, Equatable {
    public enum Outcome: String, Sendable, Codable, CaseIterable {
        /// Done.
        case ok
        /// We, or the partner, would not.
        case refused
        /// We could not.
        case failed
    }

    public static let version = 1
    public static let saltByteCount = 16
    public static let transferByteCount = 16

    public let index: LeafIndex
    public let time: Timestamp
    /// An id of the catalogue; of a newer one where `event` is nil.
    public let eventID: String
    public let outcome: Outcome
    /// Who did it: `node`, or a role and an HMAC under an erasable key, never a person's name.
    public let actor: String
    public let partner: CityID?
    /// The partner's own number for what this entry is about, where the protocol gives one.
    public let partnerSeq: UInt64?
    public let package: PackageID?
    public let release: Digest?
    public let agreement: Digest?
    public let clause: String?
    public let grant: String?
    /// 16 bytes, chosen by the publisher with the offer.
    public let transfer: [UInt8]?
    public let reason: String?
    /// An object with whatever else belongs to the event. Decoding sorts its members by name.
    public let details: JSONValue?
    /// 16 random bytes.
    public let salt: [UInt8]

    /// Traps unless salt and transfer have their 16 bytes.
    public init(
        index: LeafIndex, time: Timestamp, event: LogEvent, outcome: Outcome = .ok, actor: String, partner: CityID? = nil,
        partnerSeq: UInt64? = nil, package: PackageID? = nil, release: Digest? = nil, agreement: Digest? = nil,
        clause: String? = nil,
        grant: String? = nil, transfer: [UInt8]? = nil, reason: String? = nil, details: JSONValue? = nil, salt: [UInt8]
    ) {
        precondition(salt.count == LogEntry.saltByteCount, "a salt has 16 bytes")
        precondition(transfer.map { $0.count == LogEntry.transferByteCount } ?? true, "a transfer id has 16 bytes")
        self.index = index
        self.time = time
        eventID = event.rawValue
        self.outcome = outcome
        self.actor = actor
        self.partner = partner
        self.partnerSeq = partnerSeq
        self.package = package
        self.release = release
        self.agreement = agreement
        self.clause = clause
        self.grant = grant
        self.transfer = transfer
        self.reason = reason
        self.details = details
        self.salt = salt
    }

    /// Nil when this was written by a node with a newer catalogue.
    public var event: LogEvent? { LogEvent(rawValue: eventID) }

    /// The entry as it is hashed and stored. `.tooLong` above 65,535 bytes: the caller's details are too large.
    public func encoded() throws(LogEntryFault) -> [UInt8] {
        var writer = JSONWriter(reserving: 512)
        writer.object { entry in
            entry.field("v", LogEntry.version)
            entry.field("index", index.value)
            entry.field("time", time)
            entry.field("event", eventID)
            entry.field("outcome", outcome.rawValue)
            entry.field("actor", actor)
            if let partner { entry.field("partner", partner.text) }
            if let partnerSeq { entry.field("partnerSeq", partnerSeq) }
            if let package { entry.field("package", package.description) }
            if let release { entry.field("release", release) }
            if let agreement { entry.field("agreement", agreement) }
            if let clause { entry.field("clause", clause) }
            if let grant { entry.field("grant", grant) }
            if let transfer { entry.field("transfer", Hex.encode(transfer)) }
            if let reason { entry.field("reason", reason) }
            if let details { entry.field("details", details) }
            entry.field("salt", Hex.encode(salt))
        }
        let bytes = writer.finish()
        guard bytes.count <= Limits.logEntryBytesMax else { throw .tooLong(bytes.count) }
        return bytes
    }

    /// Reads an entry. Fields that we do not know are ignored: a later version may add some.
    public init(_ bytes: [UInt8]) throws(LogEntryFault) {
        guard bytes.count <= Limits.logEntryBytesMax else { throw .tooLong(bytes.count) }
        do { try StrictJSON.check(bytes, integersOnly: false) } catch { throw .malformed("\(error)") }
        let fields: Fields
        do { fields = try JSONDecoder().decode(Fields.self, from: Data(bytes)) } catch {
            throw .malformed(LogEntry.text(of: error))
        }
        guard fields.v == LogEntry.version else { throw .unknownVersion(fields.v) }
        guard fields.index <= UInt64(Int64.max) else { throw .malformed("index is out of range") }
        guard let salt = Hex.decode(fields.salt), salt.count == LogEntry.saltByteCount else {
            throw .malformed("salt is not 32 hex digits")
        }
        var transfer: [UInt8]?
        if let text = fields.transfer {
            guard let bytes = Hex.decode(text), bytes.count == LogEntry.transferByteCount else {
                throw .malformed("transfer is not 32 hex digits")
            }
            transfer = bytes
        }
        index = LeafIndex(fields.index)
        time = fields.time
        eventID = fields.event
        outcome = fields.outcome
        actor = fields.actor
        partner = fields.partner
        partnerSeq = fields.partnerSeq
        package = fields.package
        release = fields.release
        agreement = fields.agreement
        clause = fields.clause
        grant = fields.grant
        self.transfer = transfer
        reason = fields.reason
        details = fields.details
        self.salt = salt
    }

    private struct Fields: Decodable {
        let v: Int
        let index: UInt64
        let time: Timestamp
        let event: String
        let outcome: Outcome
        let actor: String
        let partner: CityID?
        let partnerSeq: UInt64?
        let package: PackageID?
        let release: Digest?
        let agreement: Digest?
        let clause: String?
        let grant: String?
        let transfer: String?
        let reason: String?
        let details: JSONValue?
        let salt: String
    }

    private static func text(of error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, _): "\(key.stringValue) is missing"
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
            DecodingError.dataCorrupted(let context):
            context.codingPath.map(\.stringValue).joined(separator: ".") + ": " + context.debugDescription
        default: "\(error)"
        }
    }
}

/// Why bytes are no log entry, or a log entry cannot be written.
public enum LogEntryFault: Error, Equatable, Sendable, CustomStringConvertible {
    /// Bytes counted.
    case tooLong(Int)
    case malformed(String)
    case unknownVersion(Int)

    public var description: String {
        switch self {
        case .tooLong(let count): "a log entry of \(count) bytes; at most \(Limits.logEntryBytesMax) are possible"
        case .malformed(let why): "not a log entry: \(why)"
        case .unknownVersion(let version): "a log entry of the unknown version \(version)"
        }
    }
}
