import Glibc
import HansaCore
import HansaNode
import Testing

@testable import HansaAPI

struct RuleTests {
    @Test func everyCodeIsExplained() {
        for code in ProblemCode.allCases { #expect(Explanations.text(for: code).count > 40, "\(code.rawValue)") }
    }

    private func sync(_ states: String...) -> Problem.Exit {
        let document: JSONValue = ["schema": "hansa.sync/1", "partners": .array(states.map { ["state": .string($0)] })]
        return ExitRule.exit(for: .sync(partners: [], wait: true, timeoutSeconds: nil, dryRun: false), document)
    }

    @Test func syncEndsWithTheStateOfItsPartners() {
        #expect(sync() == .ok)
        #expect(sync("in-sync", "in-sync") == .ok)
        #expect(sync("behind") == .partlyDone)
        #expect(sync("unreachable", "unreachable") == .unreachable)
        #expect(sync("refused") == .refusedByTerms)
        #expect(sync("quarantined") == .verificationFailed)
        #expect(sync("in-sync", "unreachable") == .partlyDone)
        #expect(sync("refused", "unreachable") == .partlyDone)
        // A state that this version does not know is not in sync.
        #expect(sync("asleep") == .partlyDone)
    }

    @Test func withoutWaitingSyncIsJustAsked() {
        let document: JSONValue = ["partners": [["state": "unreachable"]]]
        #expect(ExitRule.exit(for: .sync(partners: [], wait: false, timeoutSeconds: nil, dryRun: false), document) == .ok)
    }

    @Test func whyAndVerifyAnswerByExitCode() {
        #expect(ExitRule.exit(for: .why(partner: "", package: ""), ["allowed": true]) == .ok)
        #expect(ExitRule.exit(for: .why(partner: "", package: ""), ["allowed": false]) == .refusedByTerms)
        #expect(ExitRule.exit(for: .why(partner: "", package: ""), [:]) == .refusedByTerms)
        for request in [AdminRequest.packageVerify, .auditVerify(against: nil)] {
            #expect(ExitRule.exit(for: request, ["valid": true]) == .ok)
            #expect(ExitRule.exit(for: request, ["valid": false]) == .verificationFailed)
            #expect(ExitRule.exit(for: request, [:]) == .verificationFailed)
        }
    }

    @Test func nothingToDoIsToldOnlyWhenAsked() {
        let publish = AdminRequest.packagePublish(PublishOptions())
        #expect(ExitRule.exit(for: publish, ["unchanged": true]) == .ok)
        #expect(ExitRule.exit(for: publish, ["unchanged": true], wantsNothingToDo: true) == .nothingToDo)
        #expect(
            ExitRule.exit(for: publish, ["packages": [["unchanged": true], ["unchanged": false]]], wantsNothingToDo: true) == .ok)
        #expect(ExitRule.exit(for: publish, ["packages": [["error": "x"], ["error": nil]]]) == .partlyDone)
        #expect(ExitRule.exit(for: publish, ["packages": [["error": "x"]]]) == .failed)
        let checkout = AdminRequest.packageCheckout(reference: "", payload: false, purpose: nil, force: false, dryRun: false)
        #expect(ExitRule.exit(for: checkout, ["files": 3, "written": 0, "removed": 0]) == .ok)
        #expect(ExitRule.exit(for: checkout, ["files": 3, "written": 0, "removed": 0], wantsNothingToDo: true) == .nothingToDo)
        #expect(ExitRule.exit(for: checkout, ["files": 3, "written": 1, "removed": 0], wantsNothingToDo: true) == .ok)
        #expect(ExitRule.exit(for: checkout, ["packages": [["written": 1, "removed": 0]], "refused": 1]) == .partlyDone)
        #expect(ExitRule.exit(for: .status, ["attention": []], wantsNothingToDo: true) == .nothingToDo)
        #expect(ExitRule.exit(for: .status, ["attention": [[:]]], wantsNothingToDo: true) == .ok)
        #expect(ExitRule.exit(for: .doctor, ["checks": [["state": "warn"]]]) == .ok)
        #expect(ExitRule.exit(for: .doctor, ["checks": [["state": "pass"], ["state": "fail"]]]) == .failed)
    }

    @Test func theHomeIsFoundInItsOrder() {
        let directory = TemporaryDirectory()
        let system = directory.path + "/system"
        func find(_ option: String?, _ environment: [String: String]) -> String {
            HomeLocation.find(option: option, environment: environment, systemHome: system)
        }
        #expect(find("/a/../b", ["HANSA_HOME": "/c"]) == "/b")
        #expect(find(nil, ["HANSA_HOME": "/c", "HOME": "/h"]) == "/c")
        #expect(find(nil, ["HOME": "/h"]) == "/h/.local/share/hansa")
        #expect(find(nil, ["HOME": "/h", "XDG_DATA_HOME": "/x"]) == "/x/hansa")
        #expect(find(nil, ["HOME": "/h", "XDG_DATA_HOME": "relative"]) == "/h/.local/share/hansa")
        #expect(find("", ["HANSA_HOME": "", "HOME": "/h"]) == "/h/.local/share/hansa")
        // We own it.
        directory.directory("system")
        #expect(find(nil, ["HOME": "/h"]) == system)
    }

    @Test func aSessionIsOnlyForWhoOwnsTheHome() throws {
        let directory = TemporaryDirectory()
        let missing = directory.path + "/none"
        let fault = problem {
            _ = try AdminSession.open(home: missing, socketPath: missing + "/run/hansa.sock") { _ throws(Problem) in
                throw Problem(.internalFault, "opened")
            }
        }
        #expect(fault?.code == .homeMissing)
        guard geteuid() == 0 else { return }
        // As root this may act, and the opener is asked.
        let opened = problem {
            _ = try AdminSession.open(home: directory.path, socketPath: directory.path + "/run/hansa.sock") { _ throws(Problem) in
                throw Problem(.logDamaged, "opened")
            }
        }
        #expect(opened?.code == .logDamaged)
    }
}
