import HansaCore
import HansaDocuments
import HansaTerms
import Testing

@Suite struct GrantTests {
    private let kitchener = "kitchener.ca"

    private func fit(_ grant: Grant, _ sketch: AgreementSketch = AgreementSketch()) throws -> GrantFit {
        grant.fits(try sketch.record(), publisher: try city(kitchener))
    }

    private var roads: AgreementSketch {
        var sketch = AgreementSketch()
        sketch.terms = [
            .init(clause: "1", packages: ["kitchener.ca/roads/**"], ceiling: .green),
            .init(clause: "2", packages: ["kitchener.ca/roads/signs"], ceiling: .amber),
            .init(clause: "3", from: "auckland.nz", to: ["kitchener.ca"], packages: ["auckland.nz/**"]),
        ]
        return sketch
    }

    @Test func aGrantWithinItsAgreementFits() throws {
        #expect(try fit(ours("roads/breaks"), roads) == .fits(clauses: ["1"], isWithin: true))
        #expect(try fit(ours("roads/signs", ceiling: .amber), roads) == .fits(clauses: ["1", "2"], isWithin: true))
        #expect(try fit(ours("**"), roads) == .fits(clauses: ["1", "2"], isWithin: false))
    }

    @Test func aGrantThatMeetsNoTermIsRefused() throws {
        #expect(try fit(ours("parks/**"), roads) == .exceeds(.noTerm))
        #expect(try fit(grant("g-1", "auckland.nz/a"), roads) == .exceeds(.notOurPackages(city("auckland.nz"))))
        var none = roads
        none.terms.removeFirst(2)
        #expect(try fit(ours("**"), none) == .exceeds(.noTerm))
    }

    @Test func aGrantsCeilingIsNotAboveItsTerms() throws {
        #expect(try fit(ours("roads/breaks", ceiling: .amber), roads) == .exceeds(.ceilingAbove(.green, clause: "1")))
        #expect(try fit(ours("roads/**", ceiling: .amberStrict), roads) == .exceeds(.ceilingAbove(.amber, clause: "2")))
    }

    @Test func aGrantIsToAPartyUnderItsOwnAgreement() throws {
        #expect(try fit(grant("g-1", to: "boston.gov")) == .exceeds(.notAParty(city("boston.gov"))))
        #expect(try fit(grant("g-1", to: kitchener)) == .exceeds(.partnerIsPublisher))
        #expect(try fit(grant(under: 2)) == .exceeds(.otherAgreement))
        let stranger = try grant().fits(AgreementSketch().record(), publisher: city("boston.gov"))
        #expect(stranger == .exceeds(.notAParty(try city("boston.gov"))))
    }

    @Test func aGrantsIdIsTenHexDigits() {
        #expect(Grant.id(random: [0, 1, 0xAB, 0xCD, 0xFF]) == "g-0001abcdff")
    }

    private func ours(_ pattern: String, ceiling: TLP? = nil) throws -> Grant {
        try grant("g-1", "kitchener.ca/" + pattern, ceiling: ceiling)
    }
}
