import HansaCore
import HansaDocuments
import Testing

/// The example of TERMS.md §1 with every key in it.
let exampleAgreement: JSONValue = [
    "schema": "hansa.agreement/1", "id": "kitchener-auckland-2026", "title": "Streets and water mains, an exchange",
    "template": [
        "name": "city-exchange", "digest": "sha256:34750f98bd59fcfc946da45aaabe933be154a4b5094e1c4abf42866505f3c97e",
    ],
    "parties": [
        [
            "city": "kitchener.ca", "keyring": 1, "role": "provider and recipient",
            "responsibilities": ["publishes water-main breaks monthly"],
            "signatory": ["name": "A. Clerk", "title": "City Clerk"],
        ],
        [
            "city": "auckland.nz", "keyring": 2, "role": "provider and recipient",
            "responsibilities": ["publishes pedestrian counts"],
            "signatory": ["name": "Māia Ngata", "title": "Chief Data Officer"],
        ],
    ],
    "objective": ["text": "Plan street works together with pedestrian demand.", "purposes": ["dpv:PublicPolicyMaking"]],
    "term": [
        "effective": "2026-12-01", "expires": "2027-11-30", "renewal": ["automatic": true, "period": "P1Y", "notice": "P60D"],
        "termination": ["notice": "P30D", "forCause": "PT0S", "onEnd": "delete", "within": "P30D"],
    ],
    "confidentiality": ["survival": "P2Y", "carveOuts": ["public-records", "already-known"]],
    "risk": ["breachNotice": "PT72H", "liability": "each its own", "contact": ["email": "privacy@kitchener.ca", "hours": 24]],
    "intellectualProperty": [
        "ownership": "retained", "licence": "CC-BY-4.0", "attribution": "required", "derivatives": "allowed",
    ],
    "compliance": [
        "laws": ["MFIPPA", "Privacy Act 2020"], "dataResidency": ["CA", "NZ"], "auditNotice": "P10D", "recordsKept": "P7Y",
    ],
    "funding": ["model": "each-its-own", "shares": []],
    "clauses": [["id": "5.1", "text": "Kitchener shares its road and water-main datasets with Auckland for street planning."]],
    "terms": [
        [
            "clause": "5.1", "from": "kitchener.ca", "to": ["auckland.nz"], "packages": ["kitchener.ca/roads/**"],
            "kinds": ["dataset"],
            "ceiling": "TLP:AMBER", "purposes": ["dpv:PublicPolicyMaking"], "redistribution": ["to": "none"],
            "retention": ["keep": "P365D", "from": "receipt"], "embargo": "P7D",
            "redact": [["fields": ["LOCATION"], "method": "drop"]], "attribution": "required",
        ]
    ],
    "maintainers": [
        [
            "packages": ["kitchener.ca/regional/**"], "cities": ["kitchener.ca", "auckland.nz"], "rule": "owner",
            "autoMerge": true,
        ]
    ],
]

@Suite struct AgreementTests {
    private func fault(_ path: String, _ value: JSONValue?) -> DocumentFault? {
        do throws(DocumentFault) {
            _ = try Agreement(json: exampleAgreement.setting(path, to: value))
            return nil
        } catch {
            return error
        }
    }

    @Test func theExampleOfTheTermsReadsAndWritesTheSameBytes() throws {
        let agreement = try Agreement(json: exampleAgreement)
        let payload = agreement.payload()
        #expect(payload == exampleAgreement.serialized())
        #expect(try Agreement(payload: payload) == agreement)
        #expect(agreement.terms[0].unenforced == ["purposes", "retention", "embargo", "redact", "attribution"])
        #expect(agreement.maintainers?.count == 1)
        #expect(agreement.term.termination?.onEnd == .delete)
        #expect(agreement.terms[0].redistribution?.to == Redistribution.Audience.none)
    }

    @Test func theOrderInTheSourceChangesNoByte() throws {
        let payload = try Agreement(json: exampleAgreement).payload()
        #expect(try Agreement(json: exampleAgreement.sortedByName()).payload() == payload)
        #expect(try Agreement(payload: exampleAgreement.serialized(pretty: true)).payload() == payload)
    }

    @Test func onlyAFewPartsAreNeeded() throws {
        var small = exampleAgreement
        for path in [
            "template", "objective", "confidentiality", "risk", "intellectualProperty", "compliance", "funding", "maintainers",
            "term.renewal",
            "term.termination", "parties.0.role", "parties.0.responsibilities", "parties.0.signatory",
            "parties.1.signatory.title",
            "terms.0.purposes", "terms.0.redistribution", "terms.0.retention", "terms.0.embargo", "terms.0.redact",
            "terms.0.attribution",
        ] {
            small = small.setting(path, to: nil)
            let agreement = try Agreement(json: small)
            #expect(try Agreement(payload: agreement.payload()) == agreement)
            #expect(agreement.payload() == small.serialized())
        }
        #expect(try Agreement(json: small).terms[0].unenforced.isEmpty)
        #expect(try Agreement(json: small.setting("terms", to: [])).terms.isEmpty)
    }

    /// Every object that the document has, with a key that it does not have.
    @Test(arguments: [
        "", "template", "parties.0", "parties.1.signatory", "objective", "term", "term.renewal", "term.termination",
        "confidentiality", "risk",
        "intellectualProperty", "compliance", "funding", "clauses.0", "terms.0", "terms.0.redistribution", "terms.0.retention",
        "terms.0.redact.0",
        "maintainers.0",
    ])
    func anUnknownKeyIsRefusedWithItsPlace(object: String) {
        for key in ["x", "Schema", "id ", "purpose", "records\u{212A}ept", ""] {
            let path = object.isEmpty ? key : "\(object).\(key)"
            guard !key.isEmpty else { continue }
            let place = path.split(separator: ".").reduce("") { text, part in
                Int(part) == nil ? (text.isEmpty ? String(part) : "\(text).\(part)") : "\(text)[\(part)]"
            }
            #expect(fault(path, 1) == .unknownKey(place))
        }
    }

    @Test(
        arguments: [
            ("schema", "hansa.agreement/2", ""), ("schema", nil, "schema"), ("id", nil, "id"), ("id", "", "id"),
            ("id", "a b", "id"), ("id", "-x", "id"),
            ("id", "sha256:00", "id"), ("id", 7, "id"), ("id", .string(String(repeating: "x", count: 101)), "id"),
            ("title", .null, "title"),
            ("title", ["x"], "title"), ("template.digest", "x", "template.digest"), ("template", [], "template"),
            ("parties", nil, "parties"),
            ("parties", [:], "parties"), ("parties.1", nil, "parties"), ("parties.1.city", "kitchener.ca", "parties[1].city"),
            ("parties.0.city", "Kitchener", "parties[0].city"), ("parties.0.keyring", 0, "parties[0].keyring"),
            ("parties.0.keyring", "1", "parties[0].keyring"),
            ("parties.0.keyring", nil, "parties[0].keyring"), ("parties.0.responsibilities", "x", "parties[0].responsibilities"),
            ("parties.0.responsibilities.0", 1, "parties[0].responsibilities[0]"), ("objective.text", nil, "objective.text"),
            ("term", nil, "term"),
            ("term.effective", nil, "term.effective"), ("term.effective", "2026-02-29", "term.effective"),
            ("term.effective", "2026-12-01T00:00:00Z", "term.effective"),
            ("term.expires", "2026-11-30", "term.expires"), ("term.renewal.automatic", "yes", "term.renewal.automatic"),
            ("term.renewal.automatic", nil, "term.renewal.automatic"), ("term.renewal.period", "1 year", "term.renewal.period"),
            ("term.termination.onEnd", "keep", "term.termination.onEnd"),
            ("term.termination.notice", 30, "term.termination.notice"),
            ("confidentiality.survival", .null, "confidentiality.survival"), ("risk.liability", "", "risk.liability"),
            ("risk.contact.share", 0.5, "risk.contact.share"),
            ("funding.shares.0", 1.5, "funding.shares[0]"), ("clauses", [], "clauses"), ("clauses.0.id", "5 1", "clauses[0].id"),
            ("clauses.0.id", "6", "terms[0].clause"),
            ("clauses.1", ["id": "5.1", "text": "x"], "clauses[1].id"), ("clauses.0.text", nil, "clauses[0].text"),
            ("terms", nil, "terms"),
            ("terms.0.clause", nil, "terms[0].clause"), ("terms.0.from", nil, "terms[0].from"),
            ("terms.0.to", nil, "terms[0].to"),
            ("terms.0.packages", nil, "terms[0].packages"), ("terms.0.kinds", nil, "terms[0].kinds"),
            ("terms.0.ceiling", nil, "terms[0].ceiling"),
            ("terms.0.from", "boston.gov", "terms[0].from"), ("terms.0.to", [], "terms[0].to"),
            ("terms.0.to", "auckland.nz", "terms[0].to"),
            ("terms.0.to.0", "boston.gov", "terms[0].to[0]"), ("terms.0.to.0", "kitchener.ca", "terms[0].to[0]"),
            ("terms.0.to", ["auckland.nz", "auckland.nz"], "terms[0].to[1]"), ("terms.0.packages", [], "terms[0].packages"),
            ("terms.0.packages.0", "auckland.nz/**", "terms[0].packages[0]"),
            ("terms.0.packages.0", "kitchener.ca", "terms[0].packages[0]"),
            ("terms.0.packages.0", "kitchener.ca/***", "terms[0].packages[0]"), ("terms.0.kinds", [], "terms[0].kinds"),
            ("terms.0.kinds.0", "data", "terms[0].kinds[0]"), ("terms.0.kinds", ["dataset", "dataset"], "terms[0].kinds[1]"),
            ("terms.0.ceiling", "amber", "terms[0].ceiling"), ("terms.0.ceiling", "TLP:WHITE", "terms[0].ceiling"),
            ("terms.0.redistribution.to", "everyone", "terms[0].redistribution.to"),
            ("terms.0.redistribution.to", nil, "terms[0].redistribution.to"),
            ("terms.0.redistribution.maxHops", -1, "terms[0].redistribution.maxHops"),
            ("terms.0.retention.from", "delivery", "terms[0].retention.from"),
            ("terms.0.retention.keep", nil, "terms[0].retention.keep"), ("terms.0.embargo", "7", "terms[0].embargo"),
            ("terms.0.embargo", .null, "terms[0].embargo"),
            ("terms.0.redact", [], "terms[0].redact"), ("terms.0.redact.0.method", "blur", "terms[0].redact[0].method"),
            ("terms.0.redact.0.fields", [], "terms[0].redact[0].fields"), ("terms.0.attribution", true, "terms[0].attribution"),
            ("maintainers.0.rule", "chaos", "maintainers[0].rule"), ("maintainers.0.rule", "3-of-2", "maintainers[0].rule"),
            ("maintainers.0.cities.0", "boston.gov", "maintainers[0].cities[0]"),
            ("maintainers.0.autoMerge", 1, "maintainers[0].autoMerge"),
        ] as [(String, JSONValue?, String)])
    func aPartThatIsWrongIsNamed(path: String, value: JSONValue?, place: String) throws {
        let found = try #require(fault(path, value), "\(path)")
        #expect(found.path == place, "\(path): \(found)")
    }

    @Test func aKeyThatStandsTwiceIsRefused() {
        let twice = JSONValue.object((exampleAgreement.object ?? []) + [JSONMember("title", "x")])
        #expect(throws: DocumentFault.field("title", "stands twice")) { try Agreement(json: twice) }
        let text = String(decoding: exampleAgreement.serialized(), as: UTF8.self).replacing("\"maxHops\"", with: "x")
            .replacing("\"ceiling\":\"TLP:AMBER\"", with: "\"ceiling\":\"TLP:AMBER\",\"c\\u0065iling\":\"TLP:RED\"")
        #expect(throws: DocumentFault.self) { try Agreement(payload: Array(text.utf8)) }
    }

    @Test func theRuleOfMaintainersMayCount() throws {
        for rule in ["owner", "any", "1-of-2", "2-of-2"] as [JSONValue] { #expect(fault("maintainers.0.rule", rule) == nil) }
    }

    @Test func deepFreePartsAreRefused() {
        var deep: JSONValue = 1
        for _ in 0..<9 { deep = ["x": deep] }
        #expect(fault("risk.contact", deep)?.path.hasPrefix("risk.contact") == true)
    }
}
