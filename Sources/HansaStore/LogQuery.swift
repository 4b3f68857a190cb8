public import HansaCore
public import HansaLog

/// Which entries of the log someone wants to see; all conditions given must hold.
public struct LogQuery: Sendable, Equatable {
    public var since: Timestamp?
    /// Excluded.
    public var until: Timestamp?
    public var partner: CityID?
    public var package: PackageID?
    public var release: Digest?
    public var agreement: Digest?
    /// An id of the catalogue, or of a newer one.
    public var event: String?
    public var outcome: LogEntry.Outcome?

    public init(
        since: Timestamp? = nil, until: Timestamp? = nil, partner: CityID? = nil, package: PackageID? = nil,
        release: Digest? = nil,
        agreement: Digest? = nil, event: String? = nil, outcome: LogEntry.Outcome? = nil
    ) {
        self.since = since
        self.until = until
        self.partner = partner
        self.package = package
        self.release = release
        self.agreement = agreement
        self.event = event
        self.outcome = outcome
    }

    public func matches(_ entry: LogEntry) -> Bool {
        since.map { $0 <= entry.time } != false && until.map { entry.time < $0 } != false
            && partner.map { $0 == entry.partner } != false
            && package.map { $0 == entry.package } != false && release.map { $0 == entry.release } != false
            && agreement.map { $0 == entry.agreement } != false && event.map { $0 == entry.eventID } != false
            && outcome.map { $0 == entry.outcome } != false
    }
}
