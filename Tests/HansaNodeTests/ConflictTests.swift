import Foundation
import HansaCore
import HansaDocuments
import HansaNode
import Testing

/// An old backup is put back: what the two cities then find out, and how it goes on.
struct ConflictTests {
    private let kitchener: TestHome
    private let auckland: TestHome
    private let data = Folder()
    private let roads = "kitchener.ca/roads"

    init() throws {
        (kitchener, auckland) = try TestHome.pair()
        let agreement = try kitchener.propose(to: auckland)
        try exchange(kitchener, auckland)
        _ = try auckland.node.agreementAccept(auckland.caller, id: agreement, officerKey: nil, dryRun: false)
        try exchange(kitchener, auckland)
        try kitchener.grant("kitchener.ca/**", to: auckland, under: agreement)
        try publish("1")
        try meet()
    }

    @discardableResult
    private func publish(_ value: String) throws -> JSONValue {
        try data.write("roads/x.csv", "a,b\n\(value),2\n")
        return try kitchener.publish([data.path + "/roads"], PublishOptions(tlp: "GREEN"))
    }

    /// Documents that one half of a session leaves for the other go with the next.
    private func meet() throws { for _ in 0..<3 { try exchange(kitchener, auckland) } }

    private var backup: String { kitchener.folder.path + "/backup" }
    private func backUp() throws {
        try kitchener.whileClosed { try FileManager.default.copyItem(atPath: kitchener.home, toPath: backup) }
    }
    private func restore() throws {
        try kitchener.whileClosed {
            try FileManager.default.removeItem(atPath: kitchener.home)
            try FileManager.default.copyItem(atPath: backup, toPath: kitchener.home)
        }
    }

    private func conflicts(_ home: TestHome) throws -> [JSONValue] {
        try home.node.conflictList(home.caller)["conflicts"]?.array ?? []
    }
    private func attention(_ home: TestHome) throws -> [String] {
        try home.node.status(home.caller)["attention"]?.array?.compactMap { $0["code"]?.string } ?? []
    }

    @Test func aPublisherFromAnOldBackupGetsBackWhatItsPartnersHold() throws {
        try backUp()
        // Three, of which the partner shows the last: the others are found by their predecessors.
        for value in ["2", "3"] { try publish(value) }
        let lost = try #require(try publish("4")["release"]?.string)
        try meet()
        try restore()
        try meet()
        #expect(try conflicts(kitchener).isEmpty)
        #expect(try kitchener.packages.map { $0["release"]?.string } == [lost])
        let target = Folder()
        try kitchener.checkout(roads, into: target, payload: true)
        #expect(target.text("x.csv") == "a,b\n4,2\n")
        #expect(
            try kitchener.node.packageHistory(kitchener.caller, package: roads)["releases"]?.array?.map { $0["seq"] } == [
                1, 2, 3, 4,
            ])
        // It is shown again as before, and goes on far above.
        try meet()
        #expect(try auckland.packages.map { $0["release"]?.string } == [lost])
        #expect(try auckland.packages.map { $0["origin"]?.string } == ["received"])
        let next = try publish("5")
        try meet()
        #expect(try auckland.packages.map { $0["release"] } == [next["release"]])
        #expect(
            try kitchener.node.packageHistory(kitchener.caller, package: roads)["releases"]?.array?.last?["seq"]
                == JSONValue(UInt64(4 + 1 << 20 + 1)))
        #expect(try conflicts(auckland).isEmpty && conflicts(kitchener).isEmpty)
    }

    @Test func restoringRaisesEveryNumberAndWhatWasLostStillComesBack() throws {
        try backUp()
        let lost = try #require(try publish("2")["release"]?.string)
        try meet()
        try restore()
        let plan = try kitchener.node.restore(
            kitchener.caller, RotationRequest(key: "restore", dryRun: true), against: nil, officerKey: nil)
        #expect(plan["packages"] == 1 && plan["dryRun"] == true)
        _ = try kitchener.node.restore(kitchener.caller, RotationRequest(key: "restore"), against: nil, officerKey: nil)
        // Published before it met anyone: no number is given out twice.
        let next = try #require(try publish("3")["release"]?.string)
        try meet()
        for home in [kitchener, auckland] {
            #expect(try conflicts(home).isEmpty, "\(home.city)")
            #expect(try home.packages.map { $0["release"]?.string } == [next], "\(home.city)")
            let history = try home.node.packageHistory(home.caller, package: roads)["releases"]?.array
            #expect(history?.contains { $0["release"]?.string == lost } == true, "\(home.city)")
        }
        let entries = try kitchener.node.auditLog(kitchener.caller, filter: LogFilter(event: "home.restored"), emit: nil)[
            "entries"]
        #expect(entries?.array?.count == 1)
    }

    @Test func aPublisherFromAnOldBackupIsFencedUntilSomebodyDecides() throws {
        // The partner has seen the document alone: it cannot give back what it never had.
        for grant in try kitchener.node.accessList(kitchener.caller, partner: nil)["grants"]?.array ?? [] {
            _ = try kitchener.node.accessRevoke(kitchener.caller, grant: grant["grant"]?.string ?? "", dryRun: false)
            _ = try kitchener.node.accessGrant(
                kitchener.caller, partner: "auckland.nz", pattern: "kitchener.ca/**", agreement: grant["agreement"]?.string ?? "",
                level: "discover", until: nil, ceiling: nil, dryRun: false)
        }
        try meet()
        try backUp()
        let lost = try #require(try publish("2")["release"]?.string)
        try meet()
        try restore()
        try meet()
        let open = try conflicts(kitchener)
        #expect(open.map { $0["kind"]?.string } == ["fence"] && open.first?["heads"]?.array?.first?["release"]?.string == lost)
        #expect(open.first?["shownBy"] == "auckland.nz" && open.first?["heads"]?.array?.first?["held"] == false)
        #expect(try attention(kitchener).contains("package-fence"))
        #expect(try kitchener.why("auckland.nz", roads)["conflict"]?.string?.contains("nothing is signed") == true)
        for attempt in [{ try publish("3") }, { try publish("2") }] {
            let refused = problem { _ = try attempt() }
            #expect(refused?.code == .packageFenced && refused?.exit == .conflict)
        }
        #expect(
            problem { _ = try kitchener.node.packageWithdraw(kitchener.caller, package: roads, reason: "x", dryRun: false) }?.code
                == .packageFenced)
        let merge = problem {
            _ = try kitchener.node.conflictResolve(kitchener.caller, package: roads, take: nil, merge: true, dryRun: false)
        }
        #expect(merge?.exit == .conflict)
        // Shown again it is the same conflict; after the decision numbers go on far above, in the lost release's chain.
        try meet()
        #expect(try conflicts(kitchener).count == 1)
        let decision = try kitchener.node.conflictResolve(
            kitchener.caller, package: roads, take: "\(roads)@\(lost)", merge: false, dryRun: false)
        #expect(decision["nextSeq"] == JSONValue(UInt64(2 + 1 << 20 + 1)) && decision["continues"]?.string == lost)
        #expect(try conflicts(kitchener).isEmpty)
        let next = try publish("3")
        try meet()
        #expect(try auckland.packages.map { $0["release"] } == [next["release"]])
        #expect(try conflicts(auckland).isEmpty && conflicts(kitchener).isEmpty)
    }

    @Test func twoReleasesOfOneNumberAreProvedAndTheHeadStandsStill() throws {
        try backUp()
        let first = try #require(try publish("2")["release"]?.string)
        try meet()
        try restore()
        // Before it met anyone: nothing tells it that number 2 is taken.
        let second = try #require(try publish("3")["release"]?.string)
        #expect(first != second)
        try meet()
        let open = try conflicts(auckland)
        #expect(open.map { $0["kind"]?.string } == ["fork"])
        #expect(open.first?["heads"]?.array?.map { $0["release"]?.string } == [first, second])
        #expect(open.first?["heads"]?.array?.map { $0["held"] } == [true, false])
        #expect(try attention(auckland).contains("package-fork"))
        let shown = try auckland.node.conflictShow(auckland.caller, package: roads)
        let text = try #require(shown["conflicts"]?.array?.first?["document"]?.string)
        let envelope = try Envelope(json: Array(text.utf8))
        #expect(envelope.payloadType == "application/vnd.hansa.fork-proof.v1+json")
        let proof = try ForkProof(envelope)
        #expect(Set(proof.releases.map(\.digest.prefixed)) == [first, second] && proof.seq == 2)
        // Anyone who has the writer's card can check it.
        let card = try #require(try kitchener.node.cityCard(kitchener.caller)["envelopes"]?.array?.first?.string)
        let keyring = try Keyring(Envelope(json: Array(card.utf8)))
        #expect(proof.isProved { city, _ in city == kitchener.city ? keyring : nil })
        #expect(shown["undisputed"]?["state"] == "frozen")
        // The writer sees it too, and signs nothing more.
        #expect(try conflicts(kitchener).map { $0["kind"]?.string } == ["fence"])
        #expect(problem { try publish("4") }?.code == .packageFenced)

        // It goes on; the recipient's head stands still until its own administrator has decided.
        _ = try kitchener.node.conflictResolve(kitchener.caller, package: roads, take: roads, merge: false, dryRun: false)
        let third = try #require(try publish("4")["release"]?.string)
        try meet()
        #expect(try auckland.packages.map { $0["release"]?.string } == [first])
        let refused = problem {
            _ = try auckland.node.conflictResolve(
                auckland.caller, package: roads, take: "\(roads)@\(second)", merge: false, dryRun: false)
        }
        #expect(refused?.code == .packageForked && refused?.message.contains("its content is not here") == true)
        _ = try auckland.node.conflictResolve(
            auckland.caller, package: roads, take: "\(roads)@\(third)", merge: false, dryRun: false)
        #expect(try auckland.packages.map { $0["release"]?.string } == [third])
        let fourth = try #require(try publish("5")["release"]?.string)
        try meet()
        #expect(try auckland.packages.map { $0["release"]?.string } == [fourth])
        #expect(
            try auckland.node.auditLog(auckland.caller, filter: LogFilter(event: "package.forked"), emit: nil)["entries"]?.array?
                .count
                == 1)
    }

    /// Both lose their databases while a fork and a fence are open.
    @Test func disputesComeBackWithADatabaseThatIsMadeAgain() throws {
        try backUp()
        try publish("2")
        try meet()
        try restore()
        let second = try #require(try publish("3")["release"]?.string)
        try meet()
        func remake(_ home: TestHome) throws -> JSONValue? {
            var document: JSONValue?
            try home.whileClosed {
                for suffix in ["", "-wal", "-shm"] {
                    try? FileManager.default.removeItem(atPath: home.home + "/hansa.sqlite" + suffix)
                }
                document = try NodeBootstrap.remakeDatabase(home: home.home, dryRun: false)
            }
            return document
        }
        for home in [kitchener, auckland] {
            let before = try conflicts(home)
            #expect(before.count == 1)
            let document = try remake(home)
            #expect(document?["disputes"] == 1 && document?["receipts"]?.integer ?? 0 > 0)
            #expect(try conflicts(home) == before, "\(home.city)")
        }
        #expect(problem { try publish("4") }?.code == .packageFenced)
        // A decision is known again too, and the numbers that it skipped.
        _ = try kitchener.node.conflictResolve(kitchener.caller, package: roads, take: roads, merge: false, dryRun: false)
        #expect(try remake(kitchener)?["disputes"] == 1)
        #expect(try conflicts(kitchener).isEmpty)
        try meet()
        try publish("4")
        // A remake raises them too.
        let seq = try kitchener.node.packageHistory(kitchener.caller, package: roads)["releases"]?.array?.last?["seq"]?.integer
        #expect(try #require(seq) >= 2 + 2 << 20 + 1 && #require(seq) % (1 << 20) == 3)
        #expect(try kitchener.packages.map { $0["release"]?.string } != [second])
    }

    @Test func aWithdrawalThatTheBackupDoesNotKnowIsTakenUpAgain() throws {
        try backUp()
        _ = try kitchener.node.packageWithdraw(kitchener.caller, package: roads, reason: "personal data", dryRun: false)
        try meet()
        #expect(try auckland.packages.map { $0["origin"]?.string } == ["ended"])
        try restore()
        #expect(try kitchener.packages.map { $0["origin"]?.string } == ["own"])
        try meet()
        #expect(try kitchener.packages.map { $0["origin"]?.string } == ["ended"])
        #expect(try auckland.packages.map { $0["origin"]?.string } == ["ended"])
        #expect(problem { try kitchener.checkout(roads, into: Folder()) }?.code == .packageWithdrawn)
    }

    @Test func aDecisionAboutNothingIsRefused() throws {
        #expect(
            problem {
                _ = try auckland.node.conflictResolve(auckland.caller, package: roads, take: roads, merge: false, dryRun: false)
            }?
            .message.contains("no open conflict") == true)
        #expect(try auckland.node.conflictShow(auckland.caller, package: roads)["undisputed"]?["state"] == "head")
    }
}
