// What we show a partner of a package, whoever wrote it, and through whom a release came to us: `why`, `access test`, `access list` and `package show` ask
// here. The same questions as `MembershipUpdate` puts when a release, a grant or an agreement changes; here for people, beforehand.
internal import HansaCore
internal import HansaDocuments
internal import HansaSync
internal import HansaTerms

/// The newest release of one writer of a package, and whether we show it to a partner.
struct Showing {
    let release: ReleaseRow
    let passage: Passage
    let verdict: Verdict
}

extension Passage {
    /// In documents for people and programs.
    var word: String {
        switch self {
        case .own: "own"
        case .maintained: "maintained"
        case .relayed: "relayed"
        }
    }
}

extension Node {
    /// What of the package is ours to show the partner at all: our own newest release, and in another city's package that city's newest. Another
    /// maintainer shows its releases itself. The one that counts comes first.
    func showings(of package: PackageRow, to partner: CityID, _ store: any MetadataReading) throws -> [Showing] {
        let policy = try store.policy()
        let id = package.package
        var newest: [CityID: ReleaseRow] = [:]
        for row in try store.releases(of: id) where row.release.operation != .withdraw {
            guard row.release.writer == city || row.release.writer == id.city, row.release.writer != partner else { continue }
            if let known = newest[row.release.writer], known.release.seq > row.release.seq { continue }
            newest[row.release.writer] = row
        }
        // A fork's decision may have made an older release of its writer the head.
        if let head = try store.release(package.head), newest[head.release.writer] != nil { newest[head.release.writer] = head }
        let found = try newest.values.map { row -> Showing in
            let withdrawn = package.withdrawnSeq.map { row.release.ownerSeq <= $0 } ?? false
            let request = AccessRequest(
                package: id, kind: row.release.kind, tlp: row.release.tlp, withdrawn: withdrawn, writer: row.release.writer,
                publisher: city, recipient: partner)
            let passage: Passage = row.release.writer != city ? .relayed : id.city == city ? .own : .maintained
            var verdict = policy.decision(on: request, at: clock.now)
            // What is passed on is held from its writer itself, under the same agreement.
            if passage == .relayed, let permit = verdict.permit,
                try !store.holdings(of: row.digest).contains(where: { holding in
                    guard holding.state == .accepted, holding.level == .sync, let view = try store.subscribedView(holding.view)
                    else { return false }
                    return view.agreement == permit.agreement && view.publisher == row.release.writer
                })
            {
                verdict = .deny(
                    Denial(
                        reason: .unknownPackage, clause: permit.clause, agreement: permit.agreement,
                        agreementID: permit.agreementID))
            }
            return Showing(release: row, passage: passage, verdict: verdict)
        }
        return found.sorted {
            ($0.release.digest == package.head ? 0 : 1, $0.verdict.isPermit ? 0 : 1, $0.release.release.writer)
                < ($1.release.digest == package.head ? 0 : 1, $1.verdict.isPermit ? 0 : 1, $1.release.release.writer)
        }
    }

    /// Packages of other cities that a grant to the partner names.
    func eachForeignPackage(grantedTo partner: CityID, _ store: any MetadataReading, _ body: (PackageRow) throws -> Void) throws {
        let grants = try store.grants().filter { $0.partner == partner && $0.ended == nil && $0.pattern.city != city }
        for owner in Set(grants.map(\.pattern.city)).sorted() {
            try eachPackage(of: owner, in: store) { row in
                if row.headSeq > 0, grants.contains(where: { $0.pattern.matches(row.package) }) { try body(row) }
            }
        }
    }

    /// By what right we may show anything of a grant's packages.
    func passages(of grant: Grant, under agreement: Agreement?) -> [Passage] {
        guard grant.pattern.city != city else { return [.own] }
        guard let agreement else { return [] }
        var found: [Passage] = []
        if (agreement.maintainers ?? []).contains(where: { entry in
            entry.cities.contains(city) && entry.packages.contains { PatternOverlap.intersects($0, grant.pattern) }
        }) {
            found.append(.maintained)
        }
        let terms = agreement.terms.filter { term in
            term.from == grant.pattern.city && term.to.contains(city)
                && term.packages.contains { PatternOverlap.intersects($0, grant.pattern) }
        }
        if terms.contains(where: \.mayBePassedOn) { found.append(.relayed) }
        return found
    }

    /// From whom we hold a release: its writer, or who passed it on.
    func sources(of release: ReleaseRow, _ store: any MetadataReading) throws -> [JSONValue] {
        try store.holdings(of: release.digest).compactMap { holding in
            guard holding.state == .accepted, let view = try store.subscribedView(holding.view) else { return nil }
            let passage: Passage =
                view.publisher != release.release.writer
                ? .relayed : view.publisher == release.release.package.city ? .own : .maintained
            return [
                "city": .string(view.publisher.text), "passage": .string(passage.word), "level": .string(holding.level.rawValue),
                "agreement": JSONValue(try store.agreement(view.agreement)?.agreement.id),
            ]
        }
    }

    /// To whom we show a release now, as the views stand.
    func audience(of release: ReleaseRow, _ store: any MetadataReading) throws -> [JSONValue] {
        let passage: Passage =
            release.release.writer != city ? .relayed : release.release.package.city == city ? .own : .maintained
        return try store.publishedViews().sorted { $0.recipient < $1.recipient }.compactMap { view in
            guard let member = try store.member(view.id, release.digest), member.dropped == nil else { return nil }
            return [
                "city": .string(view.recipient.text), "passage": .string(passage.word), "level": .string(member.level.rawValue),
                "agreement": JSONValue(try store.agreement(view.agreement)?.agreement.id), "clause": .string(member.clause),
                "grant": .string(member.grant), "outcome": JSONValue(member.outcome?.rawValue),
            ]
        }
    }
}
