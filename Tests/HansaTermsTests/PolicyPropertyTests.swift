import HansaCore
import HansaDocuments
import HansaTerms
import Testing

/// What must hold of every decision, over random worlds. A failure prints its seed and round.
@Suite struct PolicyPropertyTests {
    /// A world small enough that questions often meet terms and grants.
    private struct World {
        static let cities = ["kitchener.ca", "auckland.nz", "boston.gov"]
        static let packages = ["roads/breaks", "roads/signs", "parks/trees", "budget"]
        static let patterns = ["**", "roads/**", "roads/*", "*/trees", "budget", "roads/b*"]
        static let clauses = ["1", "2", "3", "10"]

        var agreements: [(sketch: AgreementSketch, signedBy: [String], steps: [StepRecord])] = []
        var grants: [Grant] = []

        init(_ random: inout Seeded) throws {
            for number in 0..<random.below(4) {
                var sketch = AgreementSketch(id: "agreement-\(random.below(3))")
                sketch.parties = random.chance(1, in: 3) ? Self.cities : random.shuffled(Array(Self.cities.prefix(2)))
                sketch.effective = random.pick(["2026-01-01", "2026-06-01"])
                sketch.expires = random.pick(["2026-05-31", "2026-12-31", "2027-12-31"])
                if sketch.expires < sketch.effective { sketch.expires = "2026-12-31" }
                sketch.clauses = Self.clauses
                sketch.terms = try (0..<random.below(4)).map { _ in try Self.term(&random, parties: sketch.parties) }
                var steps: [StepRecord] = []
                if random.chance(1, in: 6) {
                    steps.append(
                        try step(
                            .terminate, by: random.pick(sketch.parties), of: UInt64(number + 1), number: 100 + UInt64(number)))
                }
                if random.chance(1, in: 8) {
                    steps.append(
                        try step(.reject, by: random.pick(sketch.parties), of: UInt64(number + 1), number: 200 + UInt64(number)))
                }
                let signedBy = random.chance(4, in: 5) ? sketch.parties : random.some(sketch.parties)
                agreements.append((sketch, signedBy, steps))
            }
            for number in 0..<random.below(6) { grants.append(try Self.grant(&random, number: number)) }
        }

        static func term(_ random: inout Seeded, parties: [String]) throws -> AgreementSketch.Term {
            let from = random.pick(parties)
            return AgreementSketch.Term(
                clause: random.pick(clauses), from: from, to: random.some(parties.filter { $0 != from }),
                packages: random.some(patterns).prefix(2).map { "\(from)/\($0)" }, kinds: random.some(PackageKind.allCases),
                ceiling: random.pick(TLP.allCases))
        }

        static func grant(_ random: inout Seeded, number: Int) throws -> Grant {
            try HansaTermsTests.grant(
                "g-000000000\(number)", to: random.pick(cities), "\(random.pick(cities))/\(random.pick(patterns))",
                under: UInt64(1 + random.below(4)), level: random.pick(Grant.Level.allCases),
                until: random.chance(1, in: 3) ? random.pick(["2026-03-01T00:00:00Z", "2026-09-01T00:00:00Z"]) : nil,
                ceiling: random.chance(1, in: 3) ? random.pick(TLP.allCases) : nil,
                ended: random.chance(1, in: 6) ? "2026-02-01T00:00:00Z" : nil)
        }

        func records() throws -> [AgreementRecord] {
            try agreements.enumerated().map { number, agreement in
                try agreement.sketch.record(number: UInt64(number + 1), signedBy: agreement.signedBy, steps: agreement.steps)
            }
        }

        func policy() throws -> Policy { Policy(agreements: try records(), grants: grants) }

        static func question(_ random: inout Seeded) throws -> AccessRequest {
            let publisher = random.pick(cities)
            return try request(
                "\(random.chance(9, in: 10) ? publisher : random.pick(cities))/\(random.pick(packages))",
                kind: random.pick(PackageKind.allCases),
                tlp: random.pick(TLP.allCases), withdrawn: random.chance(1, in: 10), from: publisher, to: random.pick(cities))
        }

        static func moment(_ random: inout Seeded) throws -> Timestamp {
            try time(
                random.pick(["2025-12-31T23:59:59.999Z", "2026-02-01T00:00:00Z", "2026-07-01T00:00:00Z", "2027-06-01T00:00:00Z"]))
        }
    }

    /// The rule of TERMS.md §3 said once more, without order, ranks or reasons.
    private func isAllowed(_ question: AccessRequest, by records: [AgreementRecord], _ grants: [Grant], at now: Timestamp) -> Bool
    {
        records.contains { record in
            let parties = record.agreement.parties.map(\.city)
            let signed = parties.allSatisfy { record.signedBy.contains($0) }
            let stopped = record.steps.contains { record.signedBy.contains($0.step.by) == ($0.step.step == .terminate) }
            let term = record.agreement.terms.contains { term in
                term.from == question.publisher && term.to.contains(question.recipient) && term.kinds.contains(question.kind)
                    && term.packages.contains { $0.matches(question.package) } && question.tlp <= term.ceiling
            }
            let granted = grants.contains { grant in
                grant.agreement == record.digest && grant.partner == question.recipient && grant.pattern.matches(question.package)
                    && grant.ended == nil && grant.until.map { now < $0 } != false
                    && grant.ceiling.map { question.tlp <= $0 } != false
            }
            return parties.contains(question.publisher) && parties.contains(question.recipient) && signed && !stopped
                && now >= record.agreement.term.effective.start && now < record.agreement.term.expires.end && term && granted
                && question.tlp != .red && !question.withdrawn && question.package.city == question.publisher
                && question.publisher != question.recipient
        }
    }

    @Test(arguments: 1...20) func aPermitIsWhatTheRuleAllowsAndNamesWhatItRestsOn(seed: UInt64) throws {
        var random = Seeded(seed)
        for round in 0..<60 {
            let world = try World(&random)
            let records = try world.records()
            let policy = Policy(agreements: records, grants: world.grants)
            for _ in 0..<20 {
                let question = try World.question(&random)
                let now = try World.moment(&random)
                let verdict = policy.decision(on: question, at: now)
                let place = "seed \(seed) round \(round): \(question) at \(now): \(verdict)"
                #expect(verdict.isPermit == isAllowed(question, by: records, world.grants, at: now), "\(place)")
                guard let permit = verdict.permit else { continue }
                let record = try #require(records.first { $0.digest == permit.agreement }, "\(place)")
                let grant = try #require(world.grants.first { $0.id == permit.grant }, "\(place)")
                let term = try #require(
                    record.agreement.terms.first { term in
                        term.clause == permit.clause && term.packages.contains { $0.matches(question.package) }
                            && term.kinds.contains(question.kind)
                            && question.tlp <= term.ceiling
                    }, "\(place)")
                #expect(record.agreement.clauses.contains { $0.id == term.clause }, "\(place)")
                #expect(
                    record.agreement.id == permit.agreementID && grant.agreement == record.digest && grant.level == permit.level,
                    "\(place)")
                let until = try #require(permit.until, "\(place)")
                #expect(until == min(grant.until ?? record.expiry, record.expiry) && until > now, "\(place)")
                #expect(policy.decision(on: question, at: until.adding(milliseconds: -1)).isPermit, "\(place)")
                #expect(!Policy(agreements: [record], grants: [grant]).decision(on: question, at: until).isPermit, "\(place)")
                #expect(Policy.receiverDecision(on: question, under: record, at: now).isPermit, "\(place)")
            }
        }
    }

    @Test(arguments: 1...20) func theOrderOfTermsGrantsAndAgreementsChangesNothing(seed: UInt64) throws {
        var random = Seeded(seed)
        for round in 0..<40 {
            let world = try World(&random)
            let records = try world.records()
            let policy = Policy(agreements: records, grants: world.grants)
            var turned: [AgreementRecord] = []
            for (number, agreement) in world.agreements.enumerated() {
                var sketch = agreement.sketch
                sketch.terms = random.shuffled(sketch.terms).map { term in
                    var term = term
                    term.to = random.shuffled(term.to)
                    term.packages = random.shuffled(term.packages)
                    term.kinds = random.shuffled(term.kinds)
                    return term
                }
                sketch.clauses = random.shuffled(sketch.clauses)
                turned.append(
                    try sketch.record(
                        number: UInt64(number + 1), signedBy: random.shuffled(agreement.signedBy),
                        steps: random.shuffled(agreement.steps)))
            }
            let other = Policy(agreements: random.shuffled(turned), grants: random.shuffled(world.grants))
            for _ in 0..<20 {
                let question = try World.question(&random)
                let now = try World.moment(&random)
                #expect(
                    policy.decision(on: question, at: now) == other.decision(on: question, at: now),
                    "seed \(seed) round \(round): \(question)")
                #expect(policy.nextChange(after: now) == other.nextChange(after: now), "seed \(seed) round \(round)")
            }
        }
    }

    @Test(arguments: 1...20) func narrowingNeverTurnsADenialIntoAPermit(seed: UInt64) throws {
        var random = Seeded(seed)
        for round in 0..<60 {
            let world = try World(&random)
            let policy = try world.policy()
            var narrower = world
            let change = try narrow(&narrower, &random)
            let narrowed = try narrower.policy()
            for _ in 0..<20 {
                let question = try World.question(&random)
                let now = try World.moment(&random)
                if narrowed.decision(on: question, at: now).isPermit {
                    #expect(
                        policy.decision(on: question, at: now).isPermit,
                        "seed \(seed) round \(round), after \(change): \(question) at \(now)")
                }
            }
        }
    }

    /// One constraint or prohibition more. Returns what was done.
    private func narrow(_ world: inout World, _ random: inout Seeded) throws -> String {
        if random.chance(1, in: 2), !world.grants.isEmpty {
            let index = random.below(world.grants.count)
            let grant = world.grants[index]
            switch random.below(4) {
            case 0:
                world.grants[index].ended = try time("2026-02-01T00:00:00Z")
                return "a grant revoked"
            case 1:
                world.grants.remove(at: index)
                return "a grant removed"
            default:
                let until = try min(grant.until ?? time("2026-03-01T00:00:00Z"), time("2026-03-01T00:00:00Z"))
                world.grants[index] = Grant(
                    id: grant.id, partner: grant.partner, pattern: grant.pattern, agreement: grant.agreement, level: grant.level,
                    until: until,
                    ceiling: min(grant.ceiling ?? .red, random.pick(TLP.allCases)), issued: grant.issued,
                    grantedBy: grant.grantedBy,
                    ended: grant.ended)
                return "a grant narrowed"
            }
        }
        guard !world.agreements.isEmpty else { return "nothing" }
        let index = random.below(world.agreements.count)
        let parties = world.agreements[index].sketch.parties
        switch random.below(6) {
        case 0:
            world.agreements[index].steps.append(
                try step(.terminate, by: random.pick(parties), of: UInt64(index + 1), number: 300))
            return "a termination"
        case 1:
            world.agreements[index].steps.append(try step(.reject, by: random.pick(parties), of: UInt64(index + 1), number: 301))
            return "a rejection"
        case 2:
            world.agreements[index].sketch.more.append(
                JSONMember(
                    "maintainers",
                    [
                        [
                            "packages": [.string("\(parties[0])/**")], "cities": .array(parties.map { .string($0) }),
                            "rule": .string("1-of-\(parties.count)"),
                        ]
                    ]))
            return "an unknown duty"
        default:
            guard !world.agreements[index].sketch.terms.isEmpty else { return "nothing" }
            let term = random.below(world.agreements[index].sketch.terms.count)
            var changed = world.agreements[index].sketch.terms[term]
            switch random.below(4) {
            case 0: changed.ceiling = min(changed.ceiling, random.pick(TLP.allCases))
            case 1 where changed.kinds.count > 1: changed.kinds.removeLast()
            case 2: changed.packages = ["\(changed.from)/nothing"]
            default: changed.more = [random.pick(AgreementSketch.unenforced)]
            }
            world.agreements[index].sketch.terms[term] = changed
            return "a term narrowed"
        }
    }

    @Test(arguments: 1...10) func betweenTwoChangesOfTimeNoAnswerChanges(seed: UInt64) throws {
        var random = Seeded(seed)
        for round in 0..<40 {
            let world = try World(&random)
            let policy = try world.policy()
            var now = try time("2025-06-01T00:00:00Z")
            var boundaries = 0
            while let next = policy.nextChange(after: now) {
                #expect(next > now, "seed \(seed) round \(round)")
                let question = try World.question(&random)
                let span = next.milliseconds - now.milliseconds
                let between = now.adding(milliseconds: Int64(random.next() % UInt64(span)))
                let same = policy.decision(on: question, at: now) == policy.decision(on: question, at: between)
                #expect(same, "seed \(seed) round \(round): \(question) between \(now) and \(next)")
                now = next
                boundaries += 1
                try #require(boundaries < 100)
            }
        }
    }

    @Test func whatIsUnknownIsDenied() throws {
        let policy = Policy(agreements: [try AgreementSketch().record()], grants: [try grant()])
        let now = try time("2026-06-01T00:00:00Z")
        #expect(try policy.decision(on: request(), at: now).isPermit)
        #expect(try !policy.decision(on: request(from: "nowhere.example"), at: now).isPermit)
        #expect(try !policy.decision(on: request(to: "nowhere.example"), at: now).isPermit)
        #expect(try !policy.decision(on: request("nowhere.example/a"), at: now).isPermit)
        for member in AgreementSketch.unenforced {
            var sketch = AgreementSketch()
            sketch.terms[0].more = [member]
            let strict = Policy(agreements: [try sketch.record()], grants: [try grant()])
            #expect(try !strict.decision(on: request(), at: now).isPermit, "\(member.name)")
        }
    }
}
