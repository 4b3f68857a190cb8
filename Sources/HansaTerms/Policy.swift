// Who may see what: a pure function of the agreements, the grants, the question and the moment (TERMS.md §3).
//
// Default deny. A permit needs, in this order,
//   1. an agreement of both cities that is in force at the moment and that this node can enforce whole,
//   2. a right of the publisher to show the release (`Passage`), and a term of it: from the package's city, to the recipient, with a
//      pattern that matches the package, its kind among `kinds`, its classification not above `ceiling` (and never TLP:RED); for what is
//      maintained or passed on such a term to the publisher as well,
//   3. a grant under that agreement to that partner whose pattern matches, neither revoked nor past its time, with its own
//      ceiling, if any, not below the classification,
//   4. a package that is not withdrawn.
// A denial names the first of these that fails. Of an agreement's terms it cites the one that fails latest in the order
// parties, packages, kinds, ceiling, ties by clause id bytewise; when no term's parties and packages match, clause is nil and
// the reason `no-term`. An agreement that is not in force is cited with the clause that would cover the package, if one does.
//
// Several agreements: any permit wins, picked by level (sync first), then the longest until, then clause, grant and agreement
// bytewise. Else the denial that got furthest by `Progress`, ties by clause (none last), agreement id and digest.
// Nothing here depends on the order of agreements, terms or grants, nor on hash order.

public import HansaCore
internal import HansaDocuments

public struct Policy: Sendable {
    /// By digest.
    public let agreements: [AgreementRecord]
    /// By id.
    public let grants: [Grant]
    private let byAgreement: [Digest: Int]
    private let grantsUnder: [Digest: [Grant]]
    /// Whether any agreement speaks of packages that several cities write.
    public let hasMaintainers: Bool
    /// Whether any agreement lets somebody pass something on.
    public let hasRelays: Bool

    /// All agreements and grants that a node knows, ended ones included. O(n log n).
    public init(agreements: [AgreementRecord], grants: [Grant]) {
        self.agreements = agreements.sorted { $0.digest < $1.digest }
        // The id alone orders the grants of a node; the rest is for a caller that hands in two of one id.
        self.grants = grants.sorted {
            ($0.id, $0.pattern.text, $0.level.code, $0.issued) < ($1.id, $1.pattern.text, $1.level.code, $1.issued)
        }
        byAgreement = Dictionary(self.agreements.enumerated().map { ($1.digest, $0) }, uniquingKeysWith: { first, _ in first })
        grantsUnder = Dictionary(grouping: self.grants, by: \.agreement)
        hasMaintainers = agreements.contains { $0.agreement.maintainers != nil }
        hasRelays = agreements.contains { $0.agreement.isPassedOn }
    }

    public func agreement(_ digest: Digest) -> AgreementRecord? { byAgreement[digest].map { agreements[$0] } }

    // MARK: Decisions

    /// May the publisher show this package to the recipient, under any agreement between the two?
    /// Linear in their agreements, terms and grants.
    public func decision(on request: AccessRequest, at now: Timestamp) -> Verdict {
        var permits: [Permit] = []
        var denials: [RankedDenial] = []
        for record in agreements where record.isParty(request.publisher) && record.isParty(request.recipient) {
            switch judge(request, under: record, at: now) {
            case .permit(let permit): permits.append(permit)
            case .deny(let ranked): denials.append(ranked)
            }
        }
        if let best = permits.min(by: Policy.isPreferred) { return .permit(best) }
        if let furthest = denials.min(by: { $0.gotFurther(than: $1) }) { return .deny(furthest.denial) }
        return .deny(Denial(reason: .noAgreement))
    }

    /// The same under one agreement: what decides membership of that agreement's view.
    public func decision(on request: AccessRequest, under agreement: Digest, at now: Timestamp) -> Verdict {
        guard let record = self.agreement(agreement), record.isParty(request.publisher), record.isParty(request.recipient) else {
            return .deny(Denial(reason: .noAgreement))
        }
        return judge(request, under: record, at: now).verdict
    }

    /// Does the agreement allow what has arrived? As the publisher's decision but without grants, which a recipient never
    /// sees: so a publisher's mistake is caught at the other end. The permit's level is `sync` and its `grant` nil.
    /// A withdrawal is no release that is shared; ask about its package with `withdrawn` false, or not at all.
    public static func receiverDecision(on request: AccessRequest, under record: AgreementRecord, at now: Timestamp) -> Verdict {
        guard request.publisher != request.recipient, record.isParty(request.publisher), record.isParty(request.recipient) else {
            return .deny(Denial(reason: .noAgreement))
        }
        let covering: SharingTerm
        switch agreementAndTerm(request, under: record, at: now) {
        case .deny(let ranked): return .deny(ranked.denial)
        case .covered(let term): covering = term
        }
        if request.withdrawn { return .deny(record.denial(.withdrawn, clause: covering.clause)) }
        return .permit(
            Permit(
                agreement: record.digest, agreementID: record.agreement.id, clause: covering.clause, grant: nil, level: .sync,
                until: record.expiry))
    }

    /// The answer for a name that is no package of the publisher's: `why` says so to our own people; a partner gets the same
    /// answer as for a package that it may not see.
    public static var unknownPackage: Verdict { .deny(Denial(reason: .unknownPackage)) }

    // MARK: Time

    /// The next moment after `now` at which the answer to some request may change by time alone; nil when none will.
    /// The first day and the end of each agreement that no step has ended, and the end of each grant not revoked.
    public func nextChange(after now: Timestamp) -> Timestamp? {
        var moments: [Timestamp] = []
        for record in agreements where record.termination == nil && record.rejecters.isEmpty {
            moments.append(record.effective)
            moments.append(record.expiry)
        }
        for grant in grants where grant.ended == nil {
            if let until = grant.until { moments.append(until) }
        }
        return moments.filter { $0 > now }.min()
    }

    /// The agreements under which the answer to some request may have changed by time alone after `since` and up to `now`.
    public func agreementsChanged(after since: Timestamp, through now: Timestamp) -> Set<Digest> {
        func isBetween(_ moment: Timestamp) -> Bool { since < moment && moment <= now }
        var changed: Set<Digest> = []
        for record in agreements where isBetween(record.effective) || isBetween(record.expiry) { changed.insert(record.digest) }
        for grant in grants where grant.ended == nil && grant.until.map(isBetween) == true { changed.insert(grant.agreement) }
        return changed
    }

    // MARK: One agreement

    private func judge(_ request: AccessRequest, under record: AgreementRecord, at now: Timestamp) -> Judgement {
        guard request.publisher != request.recipient else {
            return .deny(RankedDenial(.noAgreement, Denial(reason: .noAgreement)))
        }
        let covering: SharingTerm
        switch Policy.agreementAndTerm(request, under: record, at: now) {
        case .deny(let ranked): return .deny(ranked)
        case .covered(let term): covering = term
        }
        switch grant(for: request, under: record, at: now) {
        case .none:
            return .deny(RankedDenial(.noGrant, record.denial(.noGrant, clause: covering.clause)))
        case .ended(let grant):
            return .deny(RankedDenial(.grantEnded, record.denial(.grantEnded, clause: covering.clause, grant: grant)))
        case .ceiling(let grant):
            return .deny(RankedDenial(.grantCeiling, record.denial(.ceiling, clause: covering.clause, grant: grant)))
        case .holds(let grant, let until):
            if request.withdrawn {
                return .deny(RankedDenial(.withdrawn, record.denial(.withdrawn, clause: covering.clause, grant: grant)))
            }
            return .permit(
                Permit(
                    agreement: record.digest, agreementID: record.agreement.id, clause: covering.clause, grant: grant.id,
                    level: grant.level, until: until))
        }
    }

    private enum Coverage {
        case covered(SharingTerm)
        case deny(RankedDenial)
    }

    /// Steps 1 and 2 of the header.
    private static func agreementAndTerm(_ request: AccessRequest, under record: AgreementRecord, at now: Timestamp) -> Coverage {
        let owner = request.package.city
        let passage = record.agreement.passage(of: request)
        // What a maintainer shows the owner, it shows by the owner's term for it.
        let terms = TermSearch(
            request, from: owner, to: request.recipient == owner ? request.publisher : request.recipient, in: record.agreement)
        if let (reason, progress) = obstacle(record, at: now) {
            return .deny(RankedDenial(progress, record.denial(reason, clause: passage == nil ? nil : terms.covering?.clause)))
        }
        guard let passage else {
            return .deny(RankedDenial(.unknownPackage, record.denial(.unknownPackage, clause: nil)))
        }
        if let covering = terms.covering {
            // What the publisher may not have itself it does not show either.
            let isHad =
                passage == .own || TermSearch(request, from: owner, to: request.publisher, in: record.agreement).covering != nil
            return isHad ? .covered(covering) : .deny(RankedDenial(.noTerm, record.denial(.noTerm, clause: nil)))
        }
        guard let nearest = terms.nearest else { return .deny(RankedDenial(.noTerm, record.denial(.noTerm, clause: nil))) }
        switch nearest.failsAt {
        case .kind: return .deny(RankedDenial(.kind, record.denial(.kind, clause: nearest.clause)))
        case .ceiling: return .deny(RankedDenial(.ceiling, record.denial(.ceiling, clause: nearest.clause)))
        }
    }

    /// What keeps the agreement as a whole from being in force.
    private static func obstacle(_ record: AgreementRecord, at now: Timestamp) -> (DenialReason, Progress)? {
        switch record.state(at: now) {
        case .terminated: return (.terminated, .terminated)
        case .expired: return (.expired, .expired)
        case .draft, .proposed, .rejected, .suspended, .superseded: return (.notActive, .notActive)
        case .active: break
        }
        if !record.isEnforceable { return (.notActive, .notActive) }
        if now < record.effective { return (.notYetEffective, .notYetEffective) }
        return nil
    }

    private enum GrantSearch {
        case none
        case ended(Grant)
        case ceiling(Grant)
        case holds(Grant, until: Timestamp)
    }

    /// Step 3: the grant that shows most and longest; else the one that got furthest.
    private func grant(for request: AccessRequest, under record: AgreementRecord, at now: Timestamp) -> GrantSearch {
        var best: (grant: Grant, until: Timestamp)?
        var tooLow: Grant?
        var ended: Grant?
        // In order of id, so that the first of equals is the one with the smallest id.
        for grant in grantsUnder[record.digest] ?? []
        where grant.partner == request.recipient && grant.pattern.matches(request.package) {
            guard grant.isInForce(at: now) else {
                ended = ended ?? grant
                continue
            }
            if let ceiling = grant.ceiling, request.tlp > ceiling {
                tooLow = tooLow ?? grant
                continue
            }
            let until = grant.until.map { min($0, record.expiry) } ?? record.expiry
            if let held = best, (held.grant.level, held.until) >= (grant.level, until) { continue }
            best = (grant, until)
        }
        if let best { return .holds(best.grant, until: best.until) }
        if let tooLow { return .ceiling(tooLow) }
        if let ended { return .ended(ended) }
        return .none
    }

    // MARK: Among several agreements

    private static func isPreferred(_ left: Permit, _ right: Permit) -> Bool {
        if left.level != right.level { return left.level > right.level }
        if left.until != right.until { return (left.until?.milliseconds ?? .max) > (right.until?.milliseconds ?? .max) }
        let l = (ByteText(left.clause), ByteText(left.grant ?? ""), left.agreement)
        let r = (ByteText(right.clause), ByteText(right.grant ?? ""), right.agreement)
        return l < r
    }
}

/// How far a question got before it failed, least first. The total order by which the denials under several agreements are
/// compared.
enum Progress: Int, Comparable, Sendable {
    case noAgreement, notActive, terminated, expired, notYetEffective, unknownPackage, noTerm, kind, ceiling, noGrant, grantEnded,
        grantCeiling, withdrawn

    static func < (left: Progress, right: Progress) -> Bool { left.rawValue < right.rawValue }
}

struct RankedDenial: Sendable {
    let progress: Progress
    let denial: Denial

    init(_ progress: Progress, _ denial: Denial) {
        self.progress = progress
        self.denial = denial
    }

    /// A strict total order over denials of different agreements.
    func gotFurther(than other: RankedDenial) -> Bool {
        if progress != other.progress { return progress > other.progress }
        switch (denial.clause.map(ByteText.init), other.denial.clause.map(ByteText.init)) {
        case (let left?, let right?) where left != right: return left < right
        case (.some, nil): return true
        case (nil, .some): return false
        default: break
        }
        let left = (ByteText(denial.agreementID ?? ""), denial.agreement ?? .zero)
        let right = (ByteText(other.denial.agreementID ?? ""), other.denial.agreement ?? .zero)
        return left < right
    }
}

private enum Judgement {
    case permit(Permit)
    case deny(RankedDenial)

    var verdict: Verdict {
        switch self {
        case .permit(let permit): .permit(permit)
        case .deny(let ranked): .deny(ranked.denial)
        }
    }
}

extension AgreementRecord {
    func denial(_ reason: DenialReason, clause: String?, grant: Grant? = nil) -> Denial {
        Denial(reason: reason, clause: clause, agreement: digest, agreementID: agreement.id, grant: grant?.id)
    }
}
