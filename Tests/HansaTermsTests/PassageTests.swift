import HansaCore
import HansaDocuments
import Testing

@testable import HansaTerms

/// Three parties; kitchener.ca owns what is spoken of.
struct PassageTests {
    private func sketch(redistribution: JSONValue = ["to": "none"], maintainers: [String]? = nil, reaching: [String]? = nil)
        -> AgreementSketch
    {
        var sketch = AgreementSketch()
        sketch.parties = ["kitchener.ca", "auckland.nz", "waterloo.ca"]
        sketch.terms = [
            .init(
                clause: "1", to: reaching ?? ["auckland.nz", "waterloo.ca"], more: [JSONMember("redistribution", redistribution)])
        ]
        if let maintainers {
            sketch.more = [
                JSONMember(
                    "maintainers",
                    [
                        [
                            "packages": ["kitchener.ca/roads/**"], "cities": .array(maintainers.map { .string($0) }),
                            "rule": "any",
                            "autoMerge": true,
                        ]
                    ])
            ]
        }
        return sketch
    }

    private func verdict(_ sketch: AgreementSketch, _ request: AccessRequest, granted pattern: String? = "kitchener.ca/**") throws
        -> Verdict
    {
        let grants = try pattern.map { [try grant(to: request.recipient.text, $0)] } ?? []
        return Policy(agreements: [try sketch.record()], grants: grants).decision(
            on: request, at: try time("2026-06-15T12:00:00Z"))
    }

    @Test func aMaintainerShowsWhatItWroteToThoseWhoMayHaveThePackage() throws {
        let agreement = sketch(maintainers: ["kitchener.ca", "auckland.nz"])
        let own = try request(from: "auckland.nz", to: "waterloo.ca")
        #expect(try verdict(agreement, own).permit?.clause == "1")
        #expect(try verdict(agreement, request(from: "auckland.nz", to: "kitchener.ca")).permit?.clause == "1")
        // Its administrator grants it, as everything.
        #expect(try verdict(agreement, own, granted: nil).denial?.reason == .noGrant)
        #expect(
            try verdict(agreement, request("kitchener.ca/water", from: "auckland.nz", to: "waterloo.ca")).denial?.reason
                == .unknownPackage)
        #expect(try verdict(agreement, request(from: "waterloo.ca", to: "auckland.nz")).denial?.reason == .unknownPackage)
        #expect(try verdict(sketch(), own).denial?.reason == .unknownPackage)
        #expect(try verdict(agreement, request(tlp: .red, from: "auckland.nz", to: "waterloo.ca")).denial?.reason == .ceiling)
    }

    @Test func whatAMaintainerMayNotHaveItDoesNotShow() throws {
        var agreement = sketch(maintainers: ["kitchener.ca", "auckland.nz"], reaching: ["waterloo.ca"])
        let request = try request(from: "auckland.nz", to: "waterloo.ca")
        #expect(try !verdict(agreement, request).isPermit)
        agreement.terms.append(.init(clause: "1", to: ["auckland.nz"]))
        #expect(try verdict(agreement, request).isPermit)
    }

    @Test func aPartyPassesOnWhatBothItAndTheRecipientMayHave() throws {
        let allowed = sketch(redistribution: ["to": "parties", "maxHops": 1])
        let relayed = try request(by: "kitchener.ca", from: "auckland.nz", to: "waterloo.ca")
        #expect(try verdict(allowed, relayed).permit?.clause == "1")
        #expect(try verdict(sketch(), relayed).denial?.reason == .unknownPackage)
        #expect(try !verdict(allowed, relayed, granted: nil).isPermit)
        // Never back to who wrote it, never what another than the owner wrote, never to a wider audience.
        #expect(try !verdict(allowed, request(by: "kitchener.ca", from: "auckland.nz", to: "kitchener.ca")).isPermit)
        #expect(try !verdict(allowed, request(by: "waterloo.ca", from: "auckland.nz", to: "kitchener.ca")).isPermit)
        let narrow = sketch(redistribution: ["to": "parties", "maxHops": 1], reaching: ["auckland.nz"])
        #expect(try verdict(narrow, relayed).denial?.reason == .noTerm)
        // One term that forbids it is enough.
        var mixed = allowed
        mixed.terms.append(.init(clause: "1", to: ["auckland.nz"], more: [JSONMember("redistribution", ["to": "none"])]))
        #expect(try !verdict(mixed, relayed).isPermit)
    }

    @Test func aGrantOfAnothersPackagesFitsOnlyWhatIsMaintainedOrPassedOn() throws {
        func fit(_ sketch: AgreementSketch, _ pattern: String, to partner: String = "waterloo.ca") throws -> GrantFit {
            try grant(to: partner, pattern).fits(sketch.record(), publisher: CityID("auckland.nz"))
        }
        let maintained = sketch(maintainers: ["kitchener.ca", "auckland.nz"])
        #expect(try fit(maintained, "kitchener.ca/roads/*") == .fits(clauses: ["1"], isWithin: true))
        #expect(try fit(maintained, "kitchener.ca/**") == .fits(clauses: ["1"], isWithin: false))
        #expect(try fit(maintained, "kitchener.ca/roads/*", to: "kitchener.ca") == .fits(clauses: ["1"], isWithin: true))
        #expect(try fit(maintained, "kitchener.ca/water") == .exceeds(.notOurPackages(CityID("kitchener.ca"))))
        let passedOn = sketch(redistribution: ["to": "parties", "maxHops": 1])
        #expect(try fit(passedOn, "kitchener.ca/roads/*") == .fits(clauses: ["1"], isWithin: true))
        #expect(
            try fit(passedOn, "kitchener.ca/roads/*", to: "kitchener.ca") == .exceeds(.notOurPackages(CityID("kitchener.ca"))))
        #expect(try fit(sketch(), "kitchener.ca/roads/*") == .exceeds(.notOurPackages(CityID("kitchener.ca"))))
    }

    @Test func ofSeveralAgreementsTheStricterWordCounts() throws {
        let any = try sketch(maintainers: ["kitchener.ca", "auckland.nz"]).record(number: 1)
        var other = sketch(maintainers: ["kitchener.ca", "waterloo.ca"])
        other.id = "second"
        let package = try PackageID("kitchener.ca/roads/breaks")
        let now = try time("2026-06-15T12:00:00Z")
        let both = Policy(agreements: [any, try other.record(number: 2)], grants: []).maintenance(of: package, at: now)
        #expect(
            both?.cities.map(\.text) == ["auckland.nz", "kitchener.ca", "waterloo.ca"] && both?.rule == .any
                && both?.autoMerge == true)
        #expect(Policy(agreements: [any], grants: []).maintenance(of: try PackageID("kitchener.ca/water"), at: now) == nil)
        #expect(Policy(agreements: [any], grants: []).maintenance(of: package, at: try time("2031-01-01T00:00:00Z")) == nil)
    }
}
