import HansaCore
import HansaDocuments
import HansaTerms
import Testing

@Suite struct EnforcementReportTests {
    @Test func everyPartIsEnforcedKeptOrRefused() throws {
        var sketch = AgreementSketch()
        sketch.termMore = [
            JSONMember("renewal", ["automatic": false, "period": "P1Y", "notice": "P60D"]),
            JSONMember("termination", ["notice": "P30D", "forCause": "PT0S", "onEnd": "retain", "within": "P30D"]),
        ]
        sketch.more = [
            JSONMember("objective", ["text": "Learn.", "purposes": ["dpv:PublicPolicyMaking"]]),
            JSONMember("confidentiality", ["survival": "P2Y"]),
            JSONMember("risk", ["breachNotice": "PT72H"]),
            JSONMember("intellectualProperty", ["ownership": "retained"]),
            JSONMember("compliance", ["laws": ["MFIPPA"]]),
            JSONMember("funding", ["model": "each-its-own"]),
        ]
        let report = EnforcementReport.check(try sketch.agreement())
        #expect(report.refused.isEmpty && report.isEnforceable)
        #expect(report.enforced.first?.clause == "1")
        #expect(report.enforced.contains { $0.text.contains("2026-01-01") && $0.text.contains("2026-12-31") })
        #expect(report.enforced.contains { $0.text.contains("P30D") })
        let kept = report.kept.map(\.clause)
        for heading in ["objective", "confidentiality", "risk", "intellectualProperty", "compliance", "funding", "2", "3", "4"] {
            #expect(kept.contains(heading), "\(heading)")
        }
        for key in ["renewal.period", "renewal.notice", "termination.forCause", "termination.within"] {
            #expect(report.kept.contains { $0.clause == "term" && $0.text.contains(key) }, "\(key)")
        }
    }

    @Test func eachKeyOfATermThatIsNotEnforcedIsRefusedByItsPath() throws {
        for member in AgreementSketch.unenforced {
            var sketch = AgreementSketch()
            sketch.terms.append(.init(clause: "2", more: [member]))
            let refused = EnforcementReport.check(try sketch.agreement()).refused
            #expect(refused.count == 1, "\(member)")
            #expect(refused.first?.path.hasPrefix("terms[1].\(member.name)") == true && refused.first?.clause == "2", "\(member)")
        }
    }

    @Test func renewalByItselfDeletionAtTheEndAndMaintainersOfUnclearStandingAreRefused() throws {
        func refused(_ change: (inout AgreementSketch) -> Void) throws -> [String] {
            var sketch = AgreementSketch()
            change(&sketch)
            return EnforcementReport.check(try sketch.agreement()).refused.map(\.path)
        }
        #expect(try refused { $0.termMore = [JSONMember("renewal", ["automatic": true])] } == ["term.renewal.automatic"])
        for onEnd in ["delete", "return"] {
            let member = JSONMember("termination", ["onEnd": .string(onEnd)])
            #expect(try refused { $0.termMore = [member] } == ["term.termination.onEnd"])
        }
        func maintained(_ cities: [String], _ rule: String, _ package: String = "kitchener.ca/roads/x") throws -> [String] {
            let entry: JSONValue = [
                "packages": [.string(package)], "cities": .array(cities.map { .string($0) }), "rule": .string(rule),
            ]
            return try refused { $0.more = [JSONMember("maintainers", [entry])] }
        }
        let both = ["kitchener.ca", "auckland.nz"]
        #expect(try maintained(both, "owner").isEmpty && maintained(both, "any").isEmpty)
        #expect(try maintained(both, "2-of-2") == ["maintainers[0].rule"])
        #expect(try maintained(["kitchener.ca"], "owner") == ["maintainers[0].cities"])
        #expect(try maintained(["auckland.nz"], "any").count == 2)
        // Nothing of it could reach the other.
        #expect(try maintained(both, "owner", "auckland.nz/x") == ["maintainers[0].cities"])
        #expect(try refused { _ in }.isEmpty)
    }
}
