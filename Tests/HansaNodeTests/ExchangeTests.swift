import Foundation
import HansaCore
import HansaNode
import Testing

/// Two homes that hand each other what they would send.
struct ExchangeTests {
    private let kitchener: TestHome
    private let auckland: TestHome
    private let data = Folder()

    init() throws { (kitchener, auckland) = try TestHome.pair() }

    private func publish(_ name: String = "roads", _ text: String = "a,b\n1,2\n") throws {
        try data.write(name + "/x.csv", text)
        try kitchener.publish([data.path + "/" + name])
    }

    /// An agreement that both have signed, and a grant on all that Kitchener has.
    private func agree() throws -> (agreement: String, grant: String) {
        let id = try kitchener.propose(to: auckland)
        try exchange(kitchener, auckland)
        _ = try auckland.node.agreementAccept(auckland.caller, id: id, officerKey: nil, dryRun: false)
        try exchange(kitchener, auckland)
        return (id, try kitchener.grant("kitchener.ca/**", to: auckland, under: id))
    }

    // MARK: Agreements

    @Test func anAgreementIsActiveWhenBothHaveSigned() throws {
        let id = try kitchener.propose(to: auckland)
        #expect(try kitchener.state(of: id) == "proposed")
        #expect(problem { _ = try auckland.state(of: id) }?.code == .agreementUnknown)
        try exchange(kitchener, auckland)
        #expect(try auckland.state(of: id) == "proposed")
        #expect(try auckland.node.status(auckland.caller)["attention"]?.array?.first?["code"] == "agreement-proposed")
        _ = try auckland.node.agreementAccept(auckland.caller, id: id, officerKey: nil, dryRun: true)
        #expect(try auckland.state(of: id) == "proposed")
        _ = try auckland.node.agreementAccept(auckland.caller, id: id, officerKey: nil, dryRun: false)
        #expect(try auckland.state(of: id) == "active" && kitchener.state(of: id) == "proposed")
        try exchange(kitchener, auckland)
        #expect(try kitchener.state(of: id) == "active")
    }

    @Test func aRejectedAgreementCannotBeSignedAnyMore() throws {
        let id = try kitchener.propose(to: auckland)
        try exchange(kitchener, auckland)
        _ = try auckland.node.agreementReject(auckland.caller, id: id, reason: "not now", officerKey: nil, dryRun: false)
        try exchange(kitchener, auckland)
        #expect(
            try kitchener.node.status(kitchener.caller)["attention"]?.array?.contains { $0["code"] == "agreement-ended" } == true)
        #expect(try kitchener.state(of: id) == "rejected" && auckland.state(of: id) == "rejected")
        #expect(
            problem { _ = try auckland.node.agreementAccept(auckland.caller, id: id, officerKey: nil, dryRun: false) }?.code
                == .agreementState)
        #expect(problem { try kitchener.grant("kitchener.ca/**", to: auckland, under: id) }?.code == .agreementState)
        #expect(
            problem {
                _ = try kitchener.node.agreementReject(kitchener.caller, id: id, reason: "x", officerKey: nil, dryRun: false)
            }?.code == .agreementState)
    }

    @Test func aTerminatedAgreementSharesNothingMore() throws {
        let (id, _) = try agree()
        try publish()
        try exchange(kitchener, auckland)
        #expect(try auckland.checkout("kitchener.ca/roads", into: Folder())["files"] == 1)
        _ = try kitchener.node.agreementTerminate(kitchener.caller, id: id, reason: "over", officerKey: nil, dryRun: false)
        try exchange(kitchener, auckland)
        #expect(try auckland.state(of: id) == "terminated")
        try expectEnded(reason: "terminated")
    }

    // MARK: Answers

    @Test func whyCitesClauseAndGrantAtBothEnds() throws {
        try publish()
        #expect(try kitchener.why("auckland.nz", "kitchener.ca/roads")["reason"] == "no-agreement")
        let (id, grant) = try agree()
        let yes = try kitchener.why("auckland.nz", "kitchener.ca/roads")
        #expect(yes["allowed"] == true && yes["clause"] == "1" && yes["agreement"]?.string == id && yes["grant"]?.string == grant)
        let seen = try kitchener.node.accessTest(kitchener.caller, partner: "auckland.nz")["packages"]?.array
        #expect(seen?.map { $0["package"]?.string } == ["kitchener.ca/roads"])
        #expect(try auckland.why("kitchener.ca", "kitchener.ca/roads")["reason"] == "unknown-package")
        try exchange(kitchener, auckland)
        let received = try auckland.why("kitchener.ca", "kitchener.ca/roads")
        #expect(received["allowed"] == true && received["clause"] == "1" && received["grant"] == .null)
        #expect(try auckland.packages.map { $0["origin"]?.string } == ["received"])
    }

    @Test func aGrantThatGoesBeyondTheAgreementIsRefused() throws {
        let (id, _) = try agree()
        #expect(problem { try kitchener.grant("auckland.nz/**", to: auckland, under: id) }?.code == .grantExceedsAgreement)
        #expect(problem { try kitchener.grant("kitchener.ca/**", to: auckland, under: "none") }?.code == .agreementUnknown)
        // An agreement over a part of our packages.
        let yaml = try #require(
            try kitchener.node.agreementNew(kitchener.caller, template: "city-exchange", with: "auckland.nz")["yaml"]?.string)
        let narrow = yaml.replacingOccurrences(of: #"["kitchener.ca/**"]"#, with: #"["kitchener.ca/roads/**"]"#)
        let other = try #require(
            try kitchener.node.agreementPropose(kitchener.caller, yaml: narrow, officerKey: nil, dryRun: false)["id"]?.string)
        let fault = problem { try kitchener.grant("kitchener.ca/**", to: auckland, under: other) }
        #expect(
            fault?.exit == .refusedByTerms && fault?.next?.contains("kitchener.ca/roads/**") == true,
            "\(String(describing: fault))")
        try kitchener.grant("kitchener.ca/roads/*", to: auckland, under: other)
    }

    @Test func aRevokedGrantIsANoInEveryCommand() throws {
        let (_, grant) = try agree()
        try publish()
        try exchange(kitchener, auckland)
        _ = try kitchener.node.accessRevoke(kitchener.caller, grant: grant, dryRun: false)
        #expect(try kitchener.why("auckland.nz", "kitchener.ca/roads")["reason"] == "grant-ended")
        #expect(try kitchener.node.accessTest(kitchener.caller, partner: "auckland.nz")["packages"]?.array?.isEmpty == true)
        try exchange(kitchener, auckland)
        try expectEnded(reason: "grant-ended")
    }

    @Test func aWithdrawalReachesWhoeverWasSentAnythingAndStands() throws {
        _ = try agree()
        try publish()
        try exchange(kitchener, auckland)
        _ = try kitchener.node.packageWithdraw(
            kitchener.caller, package: "kitchener.ca/roads", reason: "personal data", dryRun: false)
        try exchange(kitchener, auckland)
        #expect(try auckland.why("kitchener.ca", "kitchener.ca/roads")["reason"] == "withdrawn")
        #expect(try auckland.packages.first?["origin"] == "ended")
        #expect(problem { try auckland.checkout("kitchener.ca/roads", into: Folder()) }?.code == .packageWithdrawn)
        try publish("roads", "a,b\n5,6\n")
        try exchange(kitchener, auckland)
        #expect(try auckland.why("kitchener.ca", "kitchener.ca/roads")["allowed"] == true)
        #expect(try auckland.checkout("kitchener.ca/roads", into: Folder())["version"] == "1.0.1")
        #expect(problem { try auckland.checkout("kitchener.ca/roads@1.0.0", into: Folder()) }?.exit == .refusedByTerms)
    }

    /// One answer in every command.
    private func expectEnded(reason: String) throws {
        let why = try auckland.why("kitchener.ca", "kitchener.ca/roads")
        #expect(why["allowed"] == false && why["reason"]?.string == reason && why["clause"] == "1", "\(why)")
        #expect(try auckland.packages.first?["origin"] == "ended")
        let fault = problem { try auckland.checkout("kitchener.ca/roads", into: Folder()) }
        #expect(fault?.code == .packageEnded && fault?.exit == .refusedByTerms)
    }
}
