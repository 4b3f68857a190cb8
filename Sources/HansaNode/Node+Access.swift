// Grants, and answers about them: what a partner may see, and why.
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaSync
internal import HansaTerms

extension Node {
    public func accessGrant(
        _ caller: Caller, partner text: String, pattern patternText: String, agreement agreementText: String,
        level levelText: String, until: String?,
        ceiling ceilingText: String?, dryRun: Bool
    ) throws(Problem) -> JSONValue {
        let partner = try partner(text)
        let pattern = try pattern(patternText)
        let record = try agreement(agreementText)
        guard let level = Grant.Level(rawValue: levelText) else {
            throw Problem(.usage, "'\(levelText.printable())' is no level: discover or sync")
        }
        var ceiling: TLP?
        if let ceilingText {
            guard let label = TLP(lenient: ceilingText) else {
                throw Problem(.usage, "'\(ceilingText.printable())' is no TLP label: CLEAR, GREEN, AMBER, AMBER+STRICT or RED")
            }
            ceiling = label
        }
        var end: Timestamp?
        if let until {
            guard let moment = CalendarDate(until)?.end ?? Timestamp(until) else {
                throw Problem(.usage, "'\(until.printable())' is no date: YYYY-MM-DD")
            }
            guard moment > clock.now else { throw Problem(.usage, "\(until) has passed") }
            end = moment
        }
        let state = record.state(at: clock.now)
        guard state == .active || state == .proposed || state == .draft else {
            throw Problem(
                .agreementState, "\(record.agreement.id) is \(state.rawValue): nothing can be granted under it",
                try: "hansa agreement list")
        }
        guard record.isParty(partner.city) else {
            throw Problem(
                .grantExceedsAgreement, "\(partner.city) is no party to \(record.agreement.id)", try: "hansa agreement list")
        }
        let grant = Grant(
            id: Grant.id(random: random.bytes(5)), partner: partner.city, pattern: pattern, agreement: record.digest,
            level: level, until: end, ceiling: ceiling,
            issued: clock.now, grantedBy: actor(caller))
        switch grant.fits(record, publisher: city) {
        case .fits(_, isWithin: true): break
        case .fits(let clauses, isWithin: false):
            let covered = Node.grantable(pattern.city, to: partner.city, by: city, record.agreement).map(\.text)
            throw Problem(
                .grantExceedsAgreement,
                "\(record.agreement.id) covers only part of \(pattern): \(covered.joined(separator: ", "))",
                clause: clauses.first,
                try: covered.first.map { "hansa access grant \(partner.city) '\($0)' --under \(record.agreement.id)" })
        case .exceeds(.notOurPackages):
            throw Problem(
                .grantExceedsAgreement,
                "\(pattern) is not ours to grant: our packages begin with \(city)/, and \(record.agreement.id) neither names us among its "
                    + "maintainers nor lets us pass it on",
                try: "hansa access grant \(partner.city) '\(city)/**' --under \(record.agreement.id)")
        case .exceeds(let misfit):
            throw Problem(
                .grantExceedsAgreement, "\(record.agreement.id) does not allow it: \(misfit)",
                try: "hansa agreement show \(record.agreement.id)")
        }
        if !dryRun {
            try change { tx in
                var changes = ExchangeChanges()
                try tx.put(grant)
                try tx.log(
                    LogDraft(
                        .accessGranted, actor: self.actor(caller), partner: partner.city, agreement: record.digest,
                        grant: grant.id,
                        details: [
                            "pattern": .string(pattern.text), "level": .string(level.rawValue), "until": JSONValue(end),
                            "ceiling": JSONValue(ceiling?.rawValue), "issued": JSONValue(grant.issued),
                        ]))
                let update = try MembershipUpdate(self.context, tx)
                try update.policyChanged(record.digest)
                changes.views = try update.finish()
                return ((), changes)
            }
        }
        return [
            "schema": "hansa.access-grant/1", "grant": .string(grant.id), "partner": .string(partner.city.text),
            "pattern": .string(pattern.text),
            "agreement": .string(record.agreement.id), "level": .string(level.rawValue), "until": JSONValue(end),
            "ceiling": JSONValue(ceiling?.rawValue),
            "dryRun": .bool(dryRun),
        ]
    }

    /// The patterns that a grant of packages of `owner` may have at most.
    private static func grantable(_ owner: CityID, to partner: CityID, by city: CityID, _ agreement: Agreement)
        -> [PackagePattern]
    {
        let shared = agreement.terms.filter { $0.from == owner && $0.to.contains(partner == owner ? city : partner) }.flatMap(
            \.packages)
        guard owner != city else { return shared }
        let ours =
            (agreement.maintainers ?? []).filter { $0.cities.contains(city) }.flatMap(\.packages)
            + agreement.terms.filter { $0.from == owner && $0.to.contains(city) && $0.mayBePassedOn }.flatMap(\.packages)
        return shared.filter { pattern in ours.contains { PatternOverlap.covers($0, pattern) } }
            + ours.filter { pattern in shared.contains { PatternOverlap.covers($0, pattern) && $0 != pattern } }
    }

    public func accessList(_ caller: Caller, partner text: String?) throws(Problem) -> JSONValue {
        let city = try text.map { (text) throws(Problem) in try partner(text).city }
        let (grants, names) = try read { store in (try store.grants(), try store.agreements()) }
        let agreements = Dictionary(names.map { ($0.digest, $0.agreement) }) { first, _ in first }
        return [
            "schema": "hansa.access-list/1",
            "grants": .array(
                grants.filter { $0.ended == nil && (city == nil || $0.partner == city) }.sorted {
                    ($0.partner, $0.id) < ($1.partner, $1.id)
                }.map { grant in
                    [
                        "grant": .string(grant.id), "partner": .string(grant.partner.text),
                        "pattern": .string(grant.pattern.text),
                        "agreement": .string(agreements[grant.agreement]?.id ?? grant.agreement.prefixed),
                        "level": .string(grant.level.rawValue),
                        "until": JSONValue(grant.until), "ceiling": JSONValue(grant.ceiling?.rawValue),
                        "passages": .array(passages(of: grant, under: agreements[grant.agreement]).map { .string($0.word) }),
                    ]
                }),
        ]
    }

    public func accessRevoke(_ caller: Caller, grant id: String, dryRun: Bool) throws(Problem) -> JSONValue {
        let grants = try read { try $0.grants() }
        guard var grant = grants.first(where: { $0.id == id }) else {
            let near = Suggestion.nearest(to: id, among: grants.filter { $0.ended == nil }.map(\.id))
            throw Problem(
                .grantUnknown, "there is no grant '\(id.printable())'" + (near.map { "; did you mean \($0)?" } ?? ""),
                try: "hansa access list")
        }
        let wasEnded = grant.ended != nil
        if !dryRun, !wasEnded {
            grant.ended = clock.now
            let ended = grant
            try change { tx in
                var changes = ExchangeChanges()
                try tx.put(ended)
                try tx.log(
                    LogDraft(
                        .accessRevoked, actor: self.actor(caller), partner: ended.partner, agreement: ended.agreement,
                        grant: ended.id))
                let update = try MembershipUpdate(self.context, tx)
                try update.policyChanged(ended.agreement)
                changes.views = try update.finish()
                return ((), changes)
            }
        }
        return [
            "schema": "hansa.access-revoke/1", "grant": .string(grant.id), "partner": .string(grant.partner.text),
            "pattern": .string(grant.pattern.text),
            "revoked": .bool(!dryRun && !wasEnded), "dryRun": .bool(dryRun),
        ]
    }

    public func accessTest(_ caller: Caller, partner text: String) throws(Problem) -> JSONValue {
        let partner = try partner(text)
        let now = clock.now
        let rows = try read { store -> [JSONValue] in
            let policy = try store.policy()
            var rows: [JSONValue] = []
            func add(
                _ package: PackageID, _ release: Digest, _ version: Version, _ writer: CityID, _ passage: Passage,
                _ permit: Permit
            ) {
                rows.append([
                    "package": .string(package.description), "release": JSONValue(release),
                    "level": .string(permit.level.rawValue),
                    "clause": .string(permit.clause), "grant": JSONValue(permit.grant), "agreement": .string(permit.agreementID),
                    "version": .string(version.description), "writer": .string(writer.text), "passage": .string(passage.word),
                ])
            }
            func addAll(_ package: PackageRow) throws {
                for showing in try self.showings(of: package, to: partner.city, store) {
                    guard case .permit(let permit) = showing.verdict else { continue }
                    let release = showing.release.release
                    add(package.package, showing.release.digest, release.version, release.writer, showing.passage, permit)
                }
            }
            guard partner.state == .active else { return [] }
            try self.eachPackage(of: self.city, in: store) { package in
                // Of a package with one writer its row says all.
                if try store.isCoMaintained(package.package, at: now) { return try addAll(package) }
                guard !package.isWithdrawn else { return }
                let request = AccessRequest(
                    package: package.package, kind: package.kind, tlp: package.tlp, withdrawn: false, publisher: self.city,
                    recipient: partner.city)
                guard case .permit(let permit) = policy.decision(on: request, at: now) else { return }
                add(package.package, package.head, package.headVersion, self.city, .own, permit)
            }
            try self.eachForeignPackage(grantedTo: partner.city, store, addAll)
            return rows
        }
        return ["schema": "hansa.access-test/1", "partner": .string(partner.city.text), "packages": .array(rows)]
    }

    func eachPackage(of city: CityID?, in store: any MetadataReading, _ body: (PackageRow) throws -> Void) throws {
        var after: PackageID?
        while true {
            let batch = try store.packages(of: city, after: after, limit: 1000)
            guard let last = batch.last else { return }
            after = last.package
            for package in batch { try body(package) }
        }
    }

    public func why(_ caller: Caller, partner text: String, package packageText: String) throws(Problem) -> JSONValue {
        let partner = try partner(text)
        let id = try packageID(packageText)
        let now = clock.now
        var shows: [JSONValue] = []
        var passage: Passage?
        let live = id.city == city || partner.state == .active ? liveDelivery(of: id, with: partner.city) : LiveDelivery()
        let (verdict, record, exists, delivery) = try read { store -> (Verdict, AgreementRecord?, Bool, Delivery?) in
            let policy = try store.policy()
            // Ours, or what we may show of another's: may they have it? Theirs: may we?
            let theirs = id.city == partner.city
            guard let row = try store.package(id), row.headSeq > 0 else {
                guard id.city != self.city else { return (Policy.unknownPackage, nil, false, nil) }
                // Nothing of it is committed: what the partner shows of it may be on its way, refused, or held up.
                let arrival = try self.arrival(id, from: partner, under: nil, isHeld: false, live, store)
                let permit = arrival?.isUnderWay == true ? try self.permit(for: id, from: partner.city, store) : nil
                return (
                    permit ?? Policy.unknownPackage, permit?.agreement.flatMap { policy.agreement($0) }, permit != nil, arrival
                )
            }
            let showings = try self.showings(of: row, to: partner.city, store)
            func delivery(_ showing: Showing) throws -> Delivery? {
                guard let permit = showing.verdict.permit, let record = policy.agreement(permit.agreement) else { return nil }
                return try self.delivery(of: showing.release.digest, to: partner, under: record, live, store)
            }
            shows = try showings.map { showing in
                [
                    "writer": .string(showing.release.release.writer.text), "release": JSONValue(showing.release.digest),
                    "passage": .string(showing.passage.word), "allowed": .bool(showing.verdict.isPermit),
                    "reason": JSONValue(showing.verdict.denial?.reason.rawValue), "clause": JSONValue(showing.verdict.clause),
                    "grant": JSONValue(showing.verdict.permit?.grant), "delivery": try delivery(showing)?.document ?? .null,
                ]
            }
            if theirs {
                // Another maintainer's release may count, ours among them: the question is about what this partner wrote.
                var row = row
                if try store.release(row.head)?.release.writer != partner.city,
                    let last = try store.releases(of: id).last(where: {
                        $0.release.writer == partner.city && $0.release.operation != .withdraw
                    })
                {
                    (row.head, row.headSeq) = (last.digest, last.release.ownerSeq)
                }
                let verdict = try self.receiverVerdict(row, from: partner.city, store)
                let record = verdict.agreement.flatMap { policy.agreement($0) }
                let arrival = try self.arrival(id, from: partner, under: record, isHeld: verdict.isPermit, live, store)
                return (verdict, record, true, arrival)
            }
            if let showing = showings.first(where: \.verdict.isPermit) ?? showings.first {
                passage = showing.passage
                let record = showing.verdict.agreement.flatMap { policy.agreement($0) }
                return (showing.verdict, record, true, try delivery(showing))
            }
            let request = AccessRequest(
                package: id, kind: row.kind, tlp: row.tlp, withdrawn: row.isWithdrawn, publisher: self.city,
                recipient: partner.city)
            let verdict = policy.decision(on: request, at: now)
            // What this partner wrote of a package of another city, or passes on, may be on its way to us.
            let arrival =
                id.city == self.city || live.waiting == nil
                ? nil : try self.arrival(id, from: partner, under: nil, isHeld: false, live, store)
            return (verdict, verdict.agreement.flatMap { policy.agreement($0) }, true, arrival)
        }
        // No session, no exchange, whatever the agreement says.
        let isPaused = partner.state == .paused
        // Not unknown: it came, and was refused.
        var arriving: String?
        if !exists, case .refusedHere? = delivery { arriving = "release-refused" }
        let clauseText = verdict.clause.flatMap { clause in record?.agreement.clauses.first { $0.id == clause }?.text }
        var members: [JSONMember] = [
            JSONMember("schema", "hansa.why/1"), JSONMember("partner", .string(partner.city.text)),
            JSONMember("package", .string(id.description)),
            JSONMember("allowed", .bool(verdict.isPermit && !isPaused)),
            JSONMember("reason", JSONValue(arriving ?? verdict.denial?.reason.rawValue ?? (isPaused ? "partner-paused" : nil))),
            JSONMember("clause", JSONValue(verdict.clause)), JSONMember("agreement", JSONValue(record?.agreement.id)),
            JSONMember("grant", JSONValue(verdict.permit?.grant ?? verdict.denial?.grant)),
            JSONMember("until", JSONValue(verdict.permit?.until)), JSONMember("level", JSONValue(verdict.permit?.level.rawValue)),
            JSONMember("clauseText", JSONValue(clauseText)), JSONMember("exists", .bool(exists)),
        ]
        members.append(JSONMember("passage", JSONValue(passage?.word)))
        members.append(JSONMember("delivery", delivery?.document ?? .null))
        // With one writer that is us it would say the same twice.
        members.append(JSONMember("shows", shows.count == 1 && passage == .own ? [] : .array(shows)))
        members.append(JSONMember("conflict", JSONValue(try read { try self.dispute(about: id, $0) })))
        members.append(JSONMember("damage", JSONValue(try damage(of: id))))
        let grant = try read { try $0.grants() }.first { $0.id == verdict.permit?.grant }
        members.append(JSONMember("grantedBy", JSONValue(grant?.grantedBy)))
        members.append(JSONMember("grantedAt", JSONValue(grant?.issued)))
        let next =
            isPaused && verdict.isPermit
            ? "hansa partner resume \(partner.city)"
            : delivery?.next(partner.city)
                ?? nextStep(verdict, partner.city, id, record, isTheirs: id.city == partner.city)
        members.append(JSONMember("try", JSONValue(next)))
        return .object(members)
    }

    /// What of its releases cannot be read from our disk, and where it comes from.
    private func damage(of package: PackageID) throws(Problem) -> String? {
        let rows = try read { store in
            try store.damages().compactMap { damage in try store.release(damage.release).map { (damage, $0) } }
                .filter { $0.1.release.package == package }
        }
        guard let (damage, row) = rows.first else { return nil }
        return "\(row.release.version): \(damage.what); \(try guarded { try self.remedy(for: row) }.text)"
    }

    private func nextStep(_ verdict: Verdict, _ partner: CityID, _ package: PackageID, _ record: AgreementRecord?, isTheirs: Bool)
        -> String?
    {
        switch verdict {
        case .permit(let permit): permit.grant.map { "hansa access revoke \($0)" }
        case .deny(let denial):
            switch denial.reason {
            case .noAgreement: "hansa agreement new --template city-exchange --with \(partner)"
            // Theirs to give: all we can do is ask, with the agreement in hand.
            case .noGrant, .grantEnded, .discoverOnly:
                record.map {
                    isTheirs
                        ? "hansa agreement show \($0.agreement.id)"
                        : "hansa access grant \(partner) \(package) --under \($0.agreement.id)"
                }
            case .notActive: record.map { "hansa agreement show \($0.agreement.id)" }
            case .unknownPackage: "hansa package list"
            case .notYetEffective, .expired, .terminated, .noTerm, .kind, .ceiling, .withdrawn:
                record.map { "hansa agreement show \($0.agreement.id)" }
            }
        }
    }
}

extension Verdict {
    var clause: String? { permit?.clause ?? denial?.clause }
    var agreement: Digest? { permit?.agreement ?? denial?.agreement }
}
