public import HansaCore

// The question that every offer, get and arrival is put to, and its answer (TERMS.md §3). All of it is values: a denial is
// an answer with a reason, not an error.

/// One package that one city would show another.
public struct AccessRequest: Hashable, Sendable {
    public let package: PackageID
    public let kind: PackageKind
    /// The classification of the release in question.
    public let tlp: TLP
    /// True once the package has a withdrawal.
    public let withdrawn: Bool
    /// Who signed the release in question: the publisher, unless it passes on what another city published.
    public let writer: CityID
    public let publisher: CityID
    public let recipient: CityID

    public init(
        package: PackageID, kind: PackageKind, tlp: TLP, withdrawn: Bool = false, writer: CityID? = nil, publisher: CityID,
        recipient: CityID
    ) {
        self.writer = writer ?? publisher
        self.package = package
        self.kind = kind
        self.tlp = tlp
        self.withdrawn = withdrawn
        self.publisher = publisher
        self.recipient = recipient
    }
}

/// The answer to an `AccessRequest`.
public enum Verdict: Hashable, Sendable {
    case permit(Permit)
    case deny(Denial)

    public var permit: Permit? {
        if case .permit(let permit) = self { permit } else { nil }
    }

    public var denial: Denial? {
        if case .deny(let denial) = self { denial } else { nil }
    }

    public var isPermit: Bool { permit != nil }
}

/// Yes, and on what it rests.
public struct Permit: Hashable, Sendable {
    /// The digest of the agreement's payload.
    public let agreement: Digest
    public let agreementID: String
    /// The clause that the matching term comes from.
    public let clause: String
    /// The grant's id; nil only at the receiver, who sees no grants.
    public let grant: String?
    public let level: Grant.Level
    /// The first moment at which this permit no longer holds.
    public let until: Timestamp?

    public init(agreement: Digest, agreementID: String, clause: String, grant: String?, level: Grant.Level, until: Timestamp?) {
        self.agreement = agreement
        self.agreementID = agreementID
        self.clause = clause
        self.grant = grant
        self.level = level
        self.until = until
    }
}

/// No, why, and which clause decided.
public struct Denial: Hashable, Sendable {
    public let reason: DenialReason
    /// The clause of the term that got furthest; nil when no term's parties and packages match.
    public let clause: String?
    public let agreement: Digest?
    public let agreementID: String?
    /// The grant that was considered: set for `grant-ended`, for `withdrawn` and where a grant's own ceiling decided.
    public let grant: String?

    public init(
        reason: DenialReason, clause: String? = nil, agreement: Digest? = nil, agreementID: String? = nil, grant: String? = nil
    ) {
        self.reason = reason
        self.clause = clause
        self.agreement = agreement
        self.agreementID = agreementID
        self.grant = grant
    }
}

/// Why not. The raw values are a contract (TERMS.md §3, CLI.md).
public enum DenialReason: String, Hashable, Sendable, Codable, CaseIterable {
    case noAgreement = "no-agreement"
    case notActive = "not-active"
    case notYetEffective = "not-yet-effective"
    case expired
    case terminated
    case noTerm = "no-term"
    case kind
    case ceiling
    case noGrant = "no-grant"
    case grantEnded = "grant-ended"
    case withdrawn
    case unknownPackage = "unknown-package"
    /// At the recipient: its city shows that the package exists, and does not share its content (level `discover`).
    case discoverOnly = "discover-only"
}
