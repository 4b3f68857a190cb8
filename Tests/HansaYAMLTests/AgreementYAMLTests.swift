import HansaCore
import HansaDocuments
import HansaTerms
import HansaYAML
import Testing

@Suite struct AgreementYAMLTests {
    private func template(title: String? = nil) throws -> String {
        Templates.cityExchange(
            own: .init(city: try CityID("kitchener.ca"), keyring: 3, name: "Kitchener"),
            partner: .init(city: try CityID("auckland.nz"), keyring: 1), effective: try #require(CalendarDate("2026-12-01")),
            title: title)
    }

    private func refusal(of text: String) -> YAMLFault? {
        do throws(YAMLFault) {
            _ = try AgreementYAML.read(text)
            return nil
        } catch {
            return error
        }
    }

    @Test func theTemplateIsAnAgreementThatPassesItsCheck() throws {
        let agreement = try AgreementYAML.read(template())
        let report = EnforcementReport.check(agreement)
        #expect(report.refused.isEmpty, "\(report.refused)")
        #expect(agreement.id == "kitchener-auckland-2026" && agreement.template?.name == "city-exchange")
        #expect(agreement.template?.digest == Templates.all[0].digest)
        #expect(
            agreement.parties.map(\.city.text) == ["kitchener.ca", "auckland.nz"] && agreement.parties.map(\.keyring) == [3, 1])
        #expect(agreement.term.effective.description == "2026-12-01" && agreement.term.expires.description == "2027-11-30")
        #expect(agreement.term.renewal?.automatic == false && agreement.term.termination?.onEnd == .retain)
        #expect(agreement.terms.map(\.packages.first?.text) == ["kitchener.ca/**", "auckland.nz/**"])
        for term in agreement.terms {
            #expect(
                Set(term.kinds) == Set(PackageKind.allCases) && term.ceiling == .amberStrict
                    && term.redistribution?.to == Redistribution.Audience.none)
        }
        for heading in [
            "objective", "responsibilities", "term", "risk", "confidentiality", "intellectualProperty", "compliance", "funding",
        ] {
            #expect((report.kept + report.enforced).contains { $0.clause == heading }, "\(heading)")
        }
        #expect(Set(report.enforced.map(\.clause)).isSuperset(of: ["1", "2"]))
    }

    @Test func theSameTextGivesTheSamePayload() throws {
        let first = try AgreementYAML.read(template()).payload()
        #expect(try AgreementYAML.read(template()).payload() == first)
        #expect(try AgreementYAML.read(Array(template().utf8)).payload() == first)
    }

    @Test func whatIsWrittenReadsBackEqual() throws {
        var texts = [try template(), try template(title: "Ein \"Titel\": #1 – 1.0, NO, ~"), Self.full]
        texts.append(texts[2].replacing("Words of the clause.", with: "'y': {a}\\n- b"))
        for text in texts {
            let agreement = try AgreementYAML.read(text)
            let written = AgreementYAML.write(agreement)
            #expect(try AgreementYAML.read(written) == agreement, "\(written)")
            #expect(try AgreementYAML.read(written).payload() == agreement.payload())
            #expect(written.hasPrefix("schema: hansa.agreement/1\nid: "))
        }
    }

    @Test func theJSONOfAnAgreementIsItsPayloadInTheOrderOfTheFormat() throws {
        let agreement = try AgreementYAML.read(Self.full.replacing("{name: Someone, phone: 0123}", with: "Someone"))
        #expect(
            String(decoding: agreement.json.serialized(), as: UTF8.self) == String(decoding: agreement.payload(), as: UTF8.self))
        #expect(agreement.json["terms"]?[0]?.object?.first?.name == "clause")
    }

    @Test func everyKeyOfTheFormatIsReadAndWhatIsNotEnforcedIsRefusedWithItsLine() throws {
        let report = EnforcementReport.check(try AgreementYAML.read(Self.full))
        let refused = report.refused.map { refusal in
            "\(refusal.path) \(AgreementYAML.place(of: refusal.path, in: Self.full).map { "\($0.line):\($0.column)" } ?? "nowhere")"
        }
        #expect(
            refused == [
                "term.renewal.automatic 12:13", "term.termination.onEnd 13:47",
                "terms[0].redistribution.maxHops 29:35", "terms[0].purposes 28:5", "terms[0].retention 30:5",
                "terms[0].embargo 31:5",
                "terms[0].redact 32:5", "terms[0].attribution 34:5",
            ])
    }

    @Test func scalarsAreReadByTheFormatAndNotGuessed() throws {
        let text = Self.full.replacing("title: Everything", with: "title: 1.0").replacing(
            "licence: CC-BY-4.0", with: "licence: NO"
        )
        .replacing("id: \"5.1\", text", with: "id: 5.1, text")
        let agreement = try AgreementYAML.read(text)
        #expect(
            agreement.title == "1.0" && agreement.intellectualProperty?.licence == "NO" && agreement.clauses.first?.id == "5.1")
    }

    @Test(arguments: [
        ("title: Everything", "titel: Everything", 3, 1, "did you mean 'title'"),
        ("ceiling: TLP:AMBER", "ceilling: TLP:AMBER", 27, 5, "did you mean 'ceiling'"),
        ("ceiling: TLP:AMBER", "ceiling: AMBER", 27, 5, "not one of"),
        ("kinds: [dataset]", "kinds: [dataset, data]", 26, 22, "not one of"),
        ("kinds: [dataset]", "kinds: []", 26, 5, ""),
        ("from: kitchener.ca", "from: waterloo.ca", 23, 5, "no party"),
        ("packages: [\"kitchener.ca/**\"]", "packages: [\"waterloo.ca/**\"]", 25, 16, "own packages"),
        ("packages: [\"kitchener.ca/**\"]", "packages: [\"kitchener.ca/**\", \"kitchener.ca\"]", 25, 35, "no pattern"),
        ("clause: \"5.1\"", "clause: \"5.2\"", 22, 5, "no clause has"),
        ("keyring: 1, role: provider}", "keyring: one, role: provider}", 6, 35, "whole number"),
        ("keyring: 1, role: provider}", "keyring: 1.0, role: provider}", 6, 35, "whole number"),
        ("automatic: true", "automatic: yes", 12, 24, "true or false"),
        ("automatic: true", "automatic: \"true\"", 12, 24, "true or false"),
        ("expires: 2027-11-30", "expires: 2027-11-31", 11, 3, ""),
        ("expires: 2027-11-30", "expires: 2025-11-30", 11, 3, "before effective"),
        ("notice: P60D", "notice: 60 days", 12, 43, "no duration"),
        ("maxHops: 2", "maxHops: two", 29, 44, "whole number"),
        ("schema: hansa.agreement/1", "schema: hansa.agreement/2", 1, 1, ""),
        ("id: everything", "id: every thing", 2, 1, ""),
        ("{city: auckland.nz, ", "{city: kitchener.ca, ", 7, 6, "stands twice"),
        ("  effective: 2026-12-01\n", "", 10, 3, "'effective' is missing"),
        ("maintainers:", "openByDefault: true\nmaintainers:", 35, 1, "unknown key"),
    ])
    func whatIsWrongIsToldWithItsPlace(old: String, new: String, line: Int, column: Int, message: String) throws {
        let text = Self.full.replacing(old, with: new, maxReplacements: 1)
        try #require(text != Self.full)
        let fault = try #require(refusal(of: text), "\(new) was read")
        #expect(fault.message.contains(message), "\(fault)")
        #expect(fault.line == line && fault.column == column, "\(fault)")
    }

    /// Every key of TERMS.md §1.
    static let full = """
        schema: hansa.agreement/1
        id: everything
        title: Everything
        template: {name: city-exchange, digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}
        parties:
          - {city: kitchener.ca, keyring: 1, role: provider}
          - {city: auckland.nz, keyring: 2, role: recipient, responsibilities: [a, b], signatory: {name: N, title: T}}
        objective: {text: "Plan.", purposes: [dpv:PublicPolicyMaking]}
        term:
          effective: 2026-12-01
          expires: 2027-11-30
          renewal: {automatic: true, period: P1Y, notice: P60D}
          termination: {notice: P30D, forCause: PT0S, onEnd: delete, within: P30D}
        confidentiality: {survival: P2Y, carveOuts: [public-records]}
        risk: {breachNotice: PT72H, liability: "None.", contact: {name: Someone, phone: 0123}}
        intellectualProperty: {ownership: retained, licence: CC-BY-4.0, attribution: required, derivatives: allowed}
        compliance: {laws: [MFIPPA, "Privacy Act 2020"], dataResidency: [CA, NO], auditNotice: P10D, recordsKept: P7Y}
        funding: {model: each-its-own, shares: [{city: kitchener.ca, share: 50}]}
        clauses:
          - {id: "5.1", text: "Words of the clause."}
        terms:
          - clause: "5.1"
            from: kitchener.ca
            to: [auckland.nz]
            packages: ["kitchener.ca/**"]
            kinds: [dataset]
            ceiling: TLP:AMBER
            purposes: [dpv:PublicPolicyMaking]
            redistribution: {to: parties, maxHops: 2}
            retention: {keep: P365D, from: receipt}
            embargo: P7D
            redact:
              - {fields: [LOCATION], method: drop}
            attribution: required
        maintainers: [{packages: ["kitchener.ca/regional/**"], cities: [kitchener.ca, auckland.nz], rule: owner, autoMerge: true}]

        """
}
