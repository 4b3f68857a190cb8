import HansaCore
import HansaDocuments
import HansaTerms
import Testing

/// One hand-written case for each answer, and the choices between several.
@Suite struct DecisionTests {
    private let now = Timestamp(seconds: 1_780_000_000)  // 2026-05-28

    private func denial(_ verdict: Verdict) throws -> Denial { try #require(verdict.denial) }

    private func decide(
        _ sketch: AgreementSketch = AgreementSketch(), signedBy: [String]? = nil, steps: [StepRecord] = [],
        grants: [Grant]? = nil,
        _ request: AccessRequest? = nil, at moment: Timestamp? = nil
    ) throws -> Verdict {
        let policy = Policy(agreements: [try sketch.record(signedBy: signedBy, steps: steps)], grants: try grants ?? [grant()])
        let request = try request ?? HansaTermsTests.request()
        let verdict = policy.decision(on: request, at: moment ?? now)
        #expect(verdict == policy.decision(on: request, under: Digest(1, 0, 0, 0), at: moment ?? now))
        return verdict
    }

    private func decide(_ request: AccessRequest) throws -> Verdict { try decide(AgreementSketch(), request) }

    @Test func aGrantUnderAnActiveAgreementPermitsAndNamesAllThree() throws {
        let permit = try #require(try decide().permit)
        #expect(
            permit
                == Permit(
                    agreement: Digest(1, 0, 0, 0), agreementID: "exchange-2026", clause: "1", grant: "g-0000000001", level: .sync,
                    until: try time("2027-01-01T00:00:00Z")))
    }

    @Test func aStrangerHasNoAgreement() throws {
        let verdict = try decide(request(to: "boston.gov"))
        #expect(try denial(verdict) == Denial(reason: .noAgreement))
        #expect(
            try denial(Policy(agreements: [], grants: [grant()]).decision(on: request(), at: now)) == Denial(reason: .noAgreement)
        )
        #expect(try denial(decide(request(to: "kitchener.ca"))).reason == .noAgreement)
    }

    @Test(arguments: [[], ["kitchener.ca"], ["auckland.nz"]] as [[String]])
    func anAgreementThatNotAllHaveSignedPermitsNothing(signedBy: [String]) throws {
        let denial = try denial(decide(signedBy: signedBy))
        #expect(denial.reason == .notActive)
        #expect(denial.clause == "1" && denial.agreementID == "exchange-2026" && denial.agreement == Digest(1, 0, 0, 0))
    }

    @Test func aRejectedAgreementIsNotActive() throws {
        #expect(try denial(decide(signedBy: ["kitchener.ca"], steps: [step(.reject, by: "auckland.nz")])).reason == .notActive)
    }

    @Test func theFirstDayBeginsAtMidnightAndTheLastEndsAtMidnight() throws {
        #expect(try denial(decide(at: time("2025-12-31T23:59:59.999Z"))).reason == .notYetEffective)
        #expect(try decide(at: time("2026-01-01T00:00:00Z")).isPermit)
        #expect(try decide(at: time("2026-12-31T23:59:59.999Z")).isPermit)
        let ended = try denial(decide(at: time("2027-01-01T00:00:00Z")))
        #expect(ended.reason == .expired && ended.clause == "1")
    }

    @Test func aTerminationEndsSharingWhenItIsKnownNotWhenItTakesEffect() throws {
        let terminated = try denial(decide(steps: [step(.terminate, by: "auckland.nz", effective: "2026-12-01T00:00:00Z")]))
        #expect(terminated.reason == .terminated && terminated.clause == "1")
        let early = try decide(steps: [step(.terminate, by: "auckland.nz")], at: time("2026-01-01T00:00:00Z"))
        #expect(try denial(early).reason == .terminated)
    }

    @Test(arguments: ["kitchener.ca/parks/trees", "kitchener.ca/roads"])
    func aPackageThatNoTermMatchesHasNoTermAndNoClause(package: String) throws {
        var sketch = AgreementSketch()
        sketch.terms[0].packages = ["kitchener.ca/roads/*"]
        let denial = try denial(decide(sketch, request(package)))
        #expect(denial.reason == .noTerm && denial.clause == nil && denial.agreementID == "exchange-2026")
    }

    @Test func aTermForAnotherDirectionOrAnotherPartyIsNoTerm() throws {
        var sketch = AgreementSketch()
        sketch.parties = ["kitchener.ca", "auckland.nz", "boston.gov"]
        sketch.terms[0].to = ["boston.gov"]
        #expect(try denial(decide(sketch)).reason == .noTerm)
        #expect(try denial(decide(request("auckland.nz/a", from: "auckland.nz", to: "kitchener.ca"))).reason == .noTerm)
    }

    @Test func aKindThatTheTermDoesNotNameIsDeniedByItsClause() throws {
        let denial = try denial(decide(request(kind: .practice)))
        #expect(denial.reason == .kind && denial.clause == "1")
    }

    @Test(arguments: [
        (TLP.clear, TLP.clear, true), (.green, .clear, false), (.green, .green, true), (.amber, .green, false),
        (.amber, .amber, true),
        (.amberStrict, .amber, false), (.amberStrict, .amberStrict, true), (.red, .amberStrict, false), (.red, .red, false),
        (.clear, .red, true),
    ])
    func theCeilingIsTheMostSensitiveLabelAndRedNeverLeaves(tlp: TLP, ceiling: TLP, allowed: Bool) throws {
        var sketch = AgreementSketch()
        sketch.terms[0].ceiling = ceiling
        let verdict = try decide(sketch, request(tlp: tlp))
        #expect(verdict.isPermit == allowed)
        if !allowed { #expect(try denial(verdict).reason == .ceiling && denial(verdict).clause == "1") }
    }

    @Test func withoutAGrantTheClauseThatWouldAllowItIsCited() throws {
        for grants in [
            [], [try grant(to: "boston.gov")], [try grant("g-0000000002", "kitchener.ca/parks/**")], [try grant(under: 2)],
        ] {
            let denial = try denial(decide(grants: grants))
            #expect(denial.reason == .noGrant && denial.clause == "1" && denial.grant == nil)
        }
    }

    @Test func aGrantEndsWhenItIsRevokedOrItsTimeIsOver() throws {
        let revoked = try grant(ended: "2026-06-01T00:00:00Z")
        for moment in [try time("2026-03-01T00:00:00Z"), try time("2026-07-01T00:00:00Z")] {
            let denial = try denial(decide(grants: [revoked], at: moment))
            #expect(denial.reason == .grantEnded && denial.clause == "1" && denial.grant == revoked.id)
        }
        let timed = try grant(until: "2026-06-01T00:00:00Z")
        let before = try #require(try decide(grants: [timed], at: time("2026-05-31T23:59:59.999Z")).permit)
        #expect(before.until == timed.until)
        #expect(try denial(decide(grants: [timed], at: time("2026-06-01T00:00:00Z"))).reason == .grantEnded)
    }

    @Test func aGrantsOwnCeilingNarrows() throws {
        let narrow = try grant(ceiling: .green)
        #expect(try decide(grants: [narrow], request(tlp: .green)).isPermit)
        let denial = try denial(decide(grants: [narrow], request(tlp: .amber)))
        #expect(denial.reason == .ceiling && denial.clause == "1" && denial.grant == narrow.id)
    }

    @Test func aWithdrawnPackageIsDeniedLast() throws {
        #expect(try denial(decide(request(withdrawn: true))).reason == .withdrawn)
        #expect(try denial(decide(request(withdrawn: true))).clause == "1")
        #expect(try denial(decide(grants: [], request(withdrawn: true))).reason == .noGrant)
    }

    @Test func anotherCitysPackageIsUnknownHere() throws {
        let denial = try denial(decide(request("waterloo.ca/roads/breaks")))
        #expect(denial.reason == .unknownPackage)
        #expect(Policy.unknownPackage == .deny(Denial(reason: .unknownPackage)))
    }

    @Test func anAgreementThatTheNodeCannotEnforceWholePermitsNothing() throws {
        var sketch = AgreementSketch()
        sketch.terms.append(
            AgreementSketch.Term(clause: "2", packages: ["kitchener.ca/other/**"], more: [JSONMember("embargo", "P7D")]))
        #expect(try denial(decide(sketch)).reason == .notActive)
    }

    // MARK: Several terms

    @Test func ofSeveralTermsTheOneThatFailsLatestIsCited() throws {
        var sketch = AgreementSketch()
        sketch.terms = [
            .init(clause: "1", packages: ["kitchener.ca/parks/**"]),
            .init(clause: "2", kinds: [.practice]),
            .init(clause: "4", ceiling: .clear),
            .init(clause: "3", ceiling: .clear),
        ]
        let ceiling = try denial(decide(sketch))
        #expect(ceiling.reason == .ceiling && ceiling.clause == "3")
        sketch.terms.removeLast(2)
        let kind = try denial(decide(sketch))
        #expect(kind.reason == .kind && kind.clause == "2")
    }

    @Test func clausesAreComparedByTheirBytes() throws {
        var sketch = AgreementSketch()
        sketch.clauses = ["10", "9", "Z", "a"]
        sketch.terms = [.init(clause: "9", kinds: [.offer]), .init(clause: "10", kinds: [.offer])]
        #expect(try denial(decide(sketch)).clause == "10")
        sketch.terms = [.init(clause: "a"), .init(clause: "Z")]
        #expect(try decide(sketch).permit?.clause == "Z")
    }

    @Test func theGrantThatShowsMostAndLongestIsNamed() throws {
        let discover = try grant("g-0000000001", level: .discover)
        let short = try grant("g-0000000002", until: "2026-08-01T00:00:00Z")
        let long = try grant("g-0000000004", until: "2026-09-01T00:00:00Z")
        let same = try grant("g-0000000003", until: "2026-09-01T00:00:00Z")
        #expect(try decide(grants: [discover]).permit?.level == .discover)
        #expect(try decide(grants: [discover, short]).permit?.grant == short.id)
        #expect(try decide(grants: [discover, short, long]).permit?.grant == long.id)
        #expect(try decide(grants: [discover, short, long, same]).permit?.grant == same.id)
    }

    @Test func aGrantUnderOneAgreementIsNoGrantUnderAnother() throws {
        let first = try AgreementSketch(id: "first", terms: [.init(kinds: [.practice])]).record(number: 1)
        let second = try AgreementSketch(id: "second").record(number: 2)
        let policy = Policy(agreements: [first, second], grants: [try grant(under: 1)])
        let denial = try denial(policy.decision(on: request(), at: now))
        #expect(denial.reason == .noGrant && denial.agreementID == "second")
    }

    // MARK: Several agreements

    @Test func aPermitUnderAnyAgreementWins() throws {
        let ended = try AgreementSketch(id: "ended").record(number: 1, steps: [step(.terminate, by: "kitchener.ca")])
        let active = try AgreementSketch(id: "active").record(number: 2)
        let policy = Policy(agreements: [ended, active], grants: [try grant(under: 1), try grant("g-0000000002", under: 2)])
        #expect(try policy.decision(on: request(), at: now).permit?.agreementID == "active")
        #expect(try policy.decision(on: request(), under: ended.digest, at: now).denial?.reason == .terminated)
        #expect(try policy.decision(on: request(), under: Digest(9, 0, 0, 0), at: now).denial?.reason == .noAgreement)
    }

    @Test func ofPermitsUnderSeveralTheOneThatShowsMostAndLongestIsTold() throws {
        let short = try AgreementSketch(id: "short", expires: "2026-08-31").record(number: 1)
        let long = try AgreementSketch(id: "long", expires: "2027-08-31", terms: [.init(clause: "2")]).record(number: 2)
        let same = try AgreementSketch(id: "same", expires: "2027-08-31").record(number: 3)
        func chosen(_ records: [AgreementRecord], _ levels: [Grant.Level]) throws -> String? {
            let grants = try zip(records, levels).map {
                try grant(
                    "g-\($0.agreement.id)", under: $0.digest == short.digest ? 1 : $0.digest == long.digest ? 2 : 3, level: $1)
            }
            return try Policy(agreements: records, grants: grants).decision(on: request(), at: now).permit?.agreementID
        }
        #expect(try chosen([short, long], [.sync, .sync]) == "long")
        #expect(try chosen([short, long], [.sync, .discover]) == "short")
        #expect(try chosen([short, long, same], [.sync, .sync, .sync]) == "same", "equal level and until: the smaller clause")
    }

    @Test func elseTheDenialThatGotFurthestIsTold() throws {
        let terminated = try AgreementSketch(id: "a").record(number: 1, steps: [step(.terminate, by: "kitchener.ca")])
        let noTerm = try AgreementSketch(id: "b", terms: [.init(packages: ["kitchener.ca/x"])]).record(number: 2)
        let kind = try AgreementSketch(id: "c", terms: [.init(kinds: [.offer])]).record(number: 3)
        let ceiling = try AgreementSketch(id: "d", terms: [.init(clause: "2", ceiling: .clear)]).record(number: 4)
        let noGrant = try AgreementSketch(id: "e").record(number: 5)
        let all = [noGrant, ceiling, kind, noTerm, terminated]
        let reasons: [DenialReason] = [.noGrant, .ceiling, .kind, .noTerm, .terminated, .noAgreement]
        for (count, reason) in reasons.enumerated() {
            let policy = Policy(agreements: Array(all.dropFirst(count)), grants: [])
            #expect(try policy.decision(on: request(), at: now).denial?.reason == reason)
        }
    }

    // MARK: The receiver

    @Test func theReceiverAsksTheAgreementAlone() throws {
        let record = try AgreementSketch().record()
        let permit = try #require(try Policy.receiverDecision(on: request(), under: record, at: now).permit)
        #expect(permit.grant == nil && permit.clause == "1" && permit.until == record.expiry && permit.level == .sync)
        func reason(_ request: AccessRequest, at moment: Timestamp? = nil) -> DenialReason? {
            Policy.receiverDecision(on: request, under: record, at: moment ?? now).denial?.reason
        }
        #expect(try reason(request(kind: .offer)) == .kind)
        #expect(try reason(request(tlp: .red)) == .ceiling)
        #expect(try reason(request("waterloo.ca/a")) == .unknownPackage)
        #expect(try reason(request(to: "boston.gov")) == .noAgreement)
        #expect(try reason(request("auckland.nz/a", from: "auckland.nz", to: "kitchener.ca")) == .noTerm)
        #expect(try reason(request(withdrawn: true)) == .withdrawn)
        #expect(try reason(request(), at: record.expiry) == .expired)
        #expect(try reason(request(), at: record.effective.adding(milliseconds: -1)) == .notYetEffective)
    }

    // MARK: Time

    @Test func theNextChangeIsTheNearestBoundary() throws {
        let record = try AgreementSketch().record()
        let policy = Policy(
            agreements: [record],
            grants: [try grant(until: "2026-06-01T00:00:00Z"), try grant("g-2", ended: "2026-02-01T00:00:00Z")])
        #expect(policy.nextChange(after: Timestamp(seconds: 0)) == record.effective)
        #expect(try policy.nextChange(after: record.effective) == time("2026-06-01T00:00:00Z"))
        #expect(try policy.nextChange(after: time("2026-06-01T00:00:00Z")) == record.expiry)
        #expect(policy.nextChange(after: record.expiry) == nil)
        let ended = try AgreementSketch().record(steps: [step(.terminate, by: "kitchener.ca")])
        #expect(Policy(agreements: [ended], grants: []).nextChange(after: Timestamp(seconds: 0)) == nil)
    }
}
