public import HansaCore
public import HansaLog

/// A log entry before the log gave it an index, a time and a salt (FORMATS.md §11).
public struct LogDraft: Sendable, Equatable {
    public var event: LogEvent
    public var outcome: LogEntry.Outcome
    /// Already erasable: a role and an HMAC, or `node`.
    public var actor: String
    public var partner: CityID?
    public var package: PackageID?
    public var release: Digest?
    public var agreement: Digest?
    public var clause: String?
    public var grant: String?
    public var transfer: [UInt8]?
    public var reason: String?
    public var details: JSONValue?

    public init(
        _ event: LogEvent, outcome: LogEntry.Outcome = .ok, actor: String = "node", partner: CityID? = nil,
        package: PackageID? = nil, release: Digest? = nil, agreement: Digest? = nil, clause: String? = nil, grant: String? = nil,
        transfer: [UInt8]? = nil, reason: String? = nil, details: JSONValue? = nil
    ) {
        self.event = event
        self.outcome = outcome
        self.actor = actor
        self.partner = partner
        self.package = package
        self.release = release
        self.agreement = agreement
        self.clause = clause
        self.grant = grant
        self.transfer = transfer
        self.reason = reason
        self.details = details
    }
}
