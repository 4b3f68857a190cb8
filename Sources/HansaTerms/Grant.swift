public import HansaCore
public import HansaDocuments

/// What our administrator shares with one partner under one agreement. An agreement says what may be shared, a grant what is.
///
/// Grants are local: they are in our log and in no document that a partner sees.
public struct Grant: Hashable, Sendable {
    /// `g-` and ten hex digits.
    public let id: String
    public let partner: CityID
    public let pattern: PackagePattern
    /// The digest of the agreement this grant stands under.
    public let agreement: Digest
    public let level: Level
    /// The first moment at which the grant no longer holds; nil: as long as its agreement.
    public let until: Timestamp?
    /// Narrower than the agreement's ceiling; nil: the term's own.
    public let ceiling: TLP?
    public let issued: Timestamp
    /// The account that made it, as the log names it.
    public let grantedBy: String
    /// When it was revoked. A revoked grant never holds again, whatever the clock says.
    public var ended: Timestamp?

    public init(
        id: String, partner: CityID, pattern: PackagePattern, agreement: Digest, level: Level, until: Timestamp? = nil,
        ceiling: TLP? = nil, issued: Timestamp, grantedBy: String, ended: Timestamp? = nil
    ) {
        self.id = id
        self.partner = partner
        self.pattern = pattern
        self.agreement = agreement
        self.level = level
        self.until = until
        self.ceiling = ceiling
        self.issued = issued
        self.grantedBy = grantedBy
        self.ended = ended
    }

    /// The grant's id for ten random hex digits: five random bytes from the caller.
    public static func id(random: [UInt8]) -> String {
        precondition(random.count == 5, "a grant's id is made of five bytes")
        return "g-" + Hex.encode(random)
    }

    /// True while neither revoked nor past `until`.
    public func isInForce(at now: Timestamp) -> Bool { ended == nil && until.map { now < $0 } != false }
}

extension Grant {
    /// How much a grant shows: the release document alone, or its content as well.
    public enum Level: String, Hashable, Sendable, Codable, CaseIterable, Comparable {
        case discover, sync

        /// `sync` includes `discover`.
        public static func < (left: Level, right: Level) -> Bool { left == .discover && right == .sync }

        /// The byte that stands for the level in a member id (SYNC.md §2).
        public var code: UInt8 { self == .discover ? 1 : 2 }
    }
}

/// How a grant stands to the agreement it names.
public enum GrantFit: Hashable, Sendable {
    /// The pattern meets the packages of these clauses' terms. `isWithin`: they cover every package it can match; else it may
    /// also match packages that no term covers, and those stay denied.
    case fits(clauses: [String], isWithin: Bool)
    case exceeds(GrantMisfit)
}

/// Why a grant would exceed its agreement.
public enum GrantMisfit: Hashable, Sendable, CustomStringConvertible {
    /// The grant names another agreement.
    case otherAgreement
    /// We, or the partner, are no party.
    case notAParty(CityID)
    /// The partner is ourselves.
    case partnerIsPublisher
    /// The pattern's packages are not ours to grant.
    case notOurPackages(CityID)
    /// No term from us to that partner has a package in common with the pattern.
    case noTerm
    /// The grant's ceiling is above that of every term it meets; the highest of those, and its clause.
    case ceilingAbove(TLP, clause: String)

    public var description: String {
        switch self {
        case .otherAgreement: "the grant stands under another agreement"
        case .notAParty(let city): "\(city) is no party to the agreement"
        case .partnerIsPublisher: "a city does not grant to itself"
        case .notOurPackages(let city):
            "the packages are \(city)'s: we neither maintain them under this agreement nor may pass them on"
        case .noTerm: "no term of the agreement lets any package of this pattern go to that partner"
        case .ceilingAbove(let ceiling, let clause): "clause \(clause) allows \(ceiling.rawValue) at most"
        }
    }
}

extension Grant {
    /// How this grant stands to `agreement`, whose digest is `digest`, when `publisher` grants it. Pure; the decision checks
    /// everything again for each package.
    public func fits(_ agreement: Agreement, digest: Digest, publisher: CityID) -> GrantFit {
        guard self.agreement == digest else { return .exceeds(.otherAgreement) }
        guard partner != publisher else { return .exceeds(.partnerIsPublisher) }
        for city in [publisher, partner] where !agreement.parties.contains(where: { $0.city == city }) {
            return .exceeds(.notAParty(city))
        }
        let owner = pattern.city
        func meets(_ patterns: [PackagePattern]) -> Bool { patterns.contains { PatternOverlap.intersects($0, pattern) } }
        // Another city's packages, which we maintain or may pass on.
        let maintained = (agreement.maintainers ?? []).filter { $0.cities.contains(publisher) && meets($0.packages) }
        let passedOn = agreement.terms.filter {
            $0.from == owner && $0.to.contains(publisher) && $0.mayBePassedOn && meets($0.packages)
        }
        guard owner == publisher || !maintained.isEmpty || (!passedOn.isEmpty && partner != owner) else {
            return .exceeds(.notOurPackages(owner))
        }
        let recipient = partner == owner ? publisher : partner
        let met = agreement.terms.filter { term in
            term.from == owner && term.to.contains(recipient) && !term.kinds.isEmpty && meets(term.packages)
        }
        guard let highest = met.max(by: { ($0.ceiling, ByteText($1.clause)) < ($1.ceiling, ByteText($0.clause)) }) else {
            return .exceeds(.noTerm)
        }
        if let ceiling, ceiling > highest.ceiling { return .exceeds(.ceilingAbove(highest.ceiling, clause: highest.clause)) }
        let clauses = Set(met.map(\.clause)).sorted { ByteText($0) < ByteText($1) }
        func covers(_ patterns: [PackagePattern]) -> Bool { patterns.contains { PatternOverlap.covers($0, pattern) } }
        let isOurs =
            owner == publisher || maintained.contains { covers($0.packages) } || passedOn.contains { covers($0.packages) }
        let isWithin = isOurs && met.contains { covers($0.packages) }
        return .fits(clauses: clauses, isWithin: isWithin)
    }

    /// As `fits(_:digest:publisher:)`, for an agreement as the node keeps it.
    public func fits(_ record: AgreementRecord, publisher: CityID) -> GrantFit {
        fits(record.agreement, digest: record.digest, publisher: publisher)
    }
}
