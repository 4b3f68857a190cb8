// How a package of another city stands with us. `package list`, `package checkout` and `why` ask the same question here, so that they never
// give different answers.
internal import HansaCore
internal import HansaDocuments
internal import HansaSync
internal import HansaTerms

/// What we may do with a release that another city published.
enum ReceivedStanding {
    /// Under these agreements, by id: each is in force, and the release is held in its view.
    case usable([AgreementRecord])
    /// Its city shows that it exists under these agreements, and shares no content.
    case shown([AgreementRecord])
    /// Its city has withdrawn it.
    case withdrawn
    /// Nothing gives a right to it any more, or nothing ever did; the agreement it came under, if there was one.
    case ended(AgreementRecord?)
}

extension Node {
    func standing(of release: Digest, _ seq: UInt64, _ row: PackageRow, _ store: any MetadataReading) throws -> ReceivedStanding {
        if let withdrawn = row.withdrawnSeq, seq <= withdrawn { return .withdrawn }
        let now = clock.now
        var live: [AgreementRecord] = []
        var shown: [AgreementRecord] = []
        var last: AgreementRecord?
        for holding in try store.holdings(of: release) {
            guard let view = try store.subscribedView(holding.view), let record = try store.agreement(view.agreement) else {
                continue
            }
            if holding.state == .accepted, record.state(at: now) == .active, record.effective <= now {
                if holding.level == .sync { live.append(record) } else { shown.append(record) }
            } else if last.map({ record.agreement.id < $0.agreement.id }) ?? true {
                last = record
            }
        }
        func sorted(_ records: [AgreementRecord]) -> [AgreementRecord] { records.sorted { $0.agreement.id < $1.agreement.id } }
        if !live.isEmpty { return .usable(sorted(live)) }
        return shown.isEmpty ? .ended(last) : .shown(sorted(shown))
    }

    /// The agreement in force that gives us a package of which a release passed its checks and is not here whole. What is left to ask are the package's
    /// name and kind: its label was checked with the release.
    func permit(for package: PackageID, from partner: CityID, _ store: any MetadataReading) throws -> Verdict? {
        let request = AccessRequest(
            package: package, kind: .dataset, tlp: .clear, withdrawn: false, publisher: partner, recipient: city)
        return try store.agreements().filter { $0.isParty(partner) && $0.isParty(city) }.sorted { $0.digest < $1.digest }
            .map { Policy.receiverDecision(on: request, under: $0, at: clock.now) }.first(where: \.isPermit)
    }

    /// May we use what a partner published? What the agreements say, and a no where the partner has stopped sharing it under them.
    func receiverVerdict(_ row: PackageRow, from partner: CityID, _ store: any MetadataReading) throws -> Verdict {
        let now = clock.now
        let request = AccessRequest(
            package: row.package, kind: row.kind, tlp: row.tlp, withdrawn: row.isWithdrawn, publisher: partner, recipient: city
        )
        func decision(_ record: AgreementRecord) -> Verdict { Policy.receiverDecision(on: request, under: record, at: now) }
        let between = try store.agreements().filter { $0.isParty(partner) && $0.isParty(city) }.sorted { $0.digest < $1.digest }
        switch try standing(of: row.head, row.headSeq, row, store) {
        case .usable(let records):
            let verdicts = records.map(decision)
            return verdicts.first(where: \.isPermit) ?? verdicts.first ?? .deny(Denial(reason: .noAgreement))
        case .shown(let records):
            let verdicts = records.map(decision)
            guard let permit = verdicts.lazy.compactMap(\.permit).first else {
                return verdicts.first ?? .deny(Denial(reason: .noAgreement))
            }
            return .deny(
                Denial(
                    reason: .discoverOnly, clause: permit.clause, agreement: permit.agreement, agreementID: permit.agreementID))
        case .withdrawn:
            let verdicts = between.map(decision)
            return verdicts.first { $0.denial?.reason == .withdrawn } ?? .deny(Denial(reason: .withdrawn))
        case .ended(let last):
            // An agreement alone gives nothing: the partner's grant under it, which we do not see, has ended.
            let verdicts = (last.map { [$0] } ?? []).map(decision) + between.map(decision)
            if let permit = verdicts.lazy.compactMap(\.permit).first {
                return .deny(
                    Denial(
                        reason: .grantEnded, clause: permit.clause, agreement: permit.agreement, agreementID: permit.agreementID))
            }
            return verdicts.first ?? .deny(Denial(reason: .noAgreement))
        }
    }
}
