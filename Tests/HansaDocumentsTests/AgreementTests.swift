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
    @Test func theExampleOfTheTermsReadsAndWritesTheSameBytes() throws {
        let agreement = try Agreement(json: exampleAgreement)
        let payload = agreement.payload()
        #expect(payload == exampleAgreement.serialized())
        #expect(try Agreement(payload: payload) == agreement)
        #expect(agreement.terms[0].unenforced == ["purposes", "retention", "embargo", "redact", "attribution"])
        #expect(agreement.maintainers?.count == 1)
    }
}
