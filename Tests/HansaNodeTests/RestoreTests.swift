// A log that is closed because the home was put back, and the one that follows it.
import Foundation
import HansaCore
import HansaDocuments
import HansaLog
import HansaStore
import HansaSync
import Testing

@testable import HansaNode

struct RestoreTests {
    private let kitchener: TestHome
    private let auckland: TestHome
    private let folder = Folder()
    private let roads = "kitchener.ca/roads"

    init() throws {
        (kitchener, auckland) = try TestHome.pair()
        try publish("1")
    }

    private func publish(_ value: String) throws {
        try folder.write("roads/x.csv", "a,b\n\(value),2\n")
        try kitchener.publish([folder.path + "/roads"], PublishOptions(tlp: "GREEN"), name: roads)
    }

    private func restore(_ dryRun: Bool = false, against: String? = nil) throws -> JSONValue {
        try kitchener.node.restore(
            kitchener.caller, RotationRequest(key: "restore", dryRun: dryRun), against: against, officerKey: nil)
    }

    private func verify(against: String? = nil) throws -> JSONValue {
        try kitchener.node.auditVerify(kitchener.caller, against: against)
    }

    private func entries(_ filter: LogFilter = LogFilter()) throws -> [JSONValue] {
        try kitchener.node.auditLog(kitchener.caller, filter: filter, emit: nil)["entries"]?.array ?? []
    }

    private func checkpoint() throws -> String {
        try kitchener.node.auditCheckpoint(kitchener.caller)["checkpoint"]?.string ?? ""
    }

    /// Goes on, and comes back to where it was; what was said last before that.
    private func loseAFewEntries() throws -> String {
        let backup = kitchener.folder.path + "/backup"
        try kitchener.whileClosed { try FileManager.default.copyItem(atPath: kitchener.home, toPath: backup) }
        for value in ["2", "3"] { try publish(value) }
        let last = try checkpoint()
        try kitchener.whileClosed {
            try FileManager.default.removeItem(atPath: kitchener.home)
            try FileManager.default.copyItem(atPath: backup, toPath: kitchener.home)
        }
        return last
    }

    @Test func theLogIsClosedAndANewOneBeginsWithItsLastCheckpoint() throws {
        let old = try entries().count
        let plan = try restore(true)
        #expect(plan["log"] == "kitchener.ca/log/2" && plan["keyring"] == 2 && plan["dryRun"] == true && plan["packages"] == 1)
        #expect(kitchener.node.keyring.version == 1)
        let done = try restore()
        #expect(done["log"] == "kitchener.ca/log/2" && done["keyring"] == 2 && done["packages"] == 1)
        #expect(done["closed"]?["origin"] == "kitchener.ca/log" && done["closed"]?["lost"]?.isNull == true)
        let first = try kitchener.node.auditShow(kitchener.caller, index: 0, log: nil)
        #expect(first["event"] == "log.continued" && first["log"] == 2)
        #expect(first["details"]?["size"] == done["closed"]?["size"])
        #expect(try kitchener.node.auditShow(kitchener.caller, index: 0, log: 1)["event"] == "identity.created")
        #expect(problem { _ = try kitchener.node.auditShow(kitchener.caller, index: 0, log: 3) }?.code == .entryUnknown)
        #expect(problem { _ = try kitchener.node.auditShow(kitchener.caller, index: 9999, log: 1) }?.code == .entryUnknown)
        // All of it is told still, in order, and filtered as ever.
        let all = try entries()
        #expect(all.count > old && all.first?["event"] == "identity.created" && all.first?["log"] == 1)
        #expect(all.map { $0["log"]?.integer ?? 0 } == all.map { $0["log"]?.integer ?? 0 }.sorted())
        #expect(try entries(LogFilter(event: "package.published")).map { $0["log"] } == [1])
        try publish("9")
        #expect(try entries(LogFilter(event: "package.published")).map { $0["log"] } == [1, 2])
        // Again, and after a start.
        #expect(try restore()["log"] == "kitchener.ca/log/3")
        try kitchener.whileClosed {}
        let verified = try verify()
        #expect(verified["valid"] == true)
        #expect(
            verified["logs"]?.array?.map { $0["origin"]?.string } == [
                "kitchener.ca/log", "kitchener.ca/log/2", "kitchener.ca/log/3",
            ])
        #expect(verified["logs"]?.array?.map { $0["closed"] } == [true, true, false])
        #expect(try entries(LogFilter(event: "home.restored")).map { $0["log"] } == [2, 3])
        // Partners follow the keyring.
        try exchange(kitchener, auckland)
        #expect(try auckland.node.partnerShow(auckland.caller, city: "kitchener.ca")["keyring"] == 3)
    }

    @Test func whatWasLostIsNamedByACheckpointThatWasKept() throws {
        let kept = try loseAFewEntries()
        let size = try #require(kept.split(separator: "\n").dropFirst().first.flatMap { Int64($0) })
        let rolledBack = try verify(against: kept)
        #expect(rolledBack["valid"] == false)
        let done = try restore(against: kept)
        let lost = done["closed"]?["lost"]
        #expect(lost?["end"]?.integer == size && lost?["first"] == done["closed"]?["size"] && lost?["shownBy"] == "checkpoint")
        // It is no damage any more, and is told.
        let after = try verify(against: kept)
        #expect(after["valid"] == true)
        #expect(after["findings"]?.array?.contains { $0["problem"]?.string?.contains("were lost") == true } == true)
        // A checkpoint of the log in use is of no closed one.
        #expect(try verify(against: checkpoint())["findings"]?.array?.isEmpty == true)
        // Of a log that has lost nothing none needs to be closed.
        let now = try checkpoint()
        #expect(problem { _ = try restore(against: now) }?.code == .usage)
        #expect(problem { _ = try restore(against: kept) }?.code == .usage)
        #expect(problem { _ = try restore(against: "no checkpoint") }?.code == .logDamaged)
    }

    @Test func whatWasLostIsNamedThoughTheLogHasGrownPastIt() throws {
        let kept = try loseAFewEntries()
        let size = try #require(kept.split(separator: "\n").dropFirst().first.flatMap { Int64($0) })
        for value in ["4", "5", "6", "7"] { try publish(value) }
        #expect(try checkpoint().split(separator: "\n").dropFirst().first.flatMap { Int64($0) } ?? 0 > size)
        let done = try restore(against: kept)
        // Nobody has cosigned anything: where the two part is not known.
        let lost = done["closed"]?["lost"]
        #expect(lost?["end"]?.integer == size && lost?["first"]?.integer == 0 && lost?["shownBy"] == "checkpoint")
        let after = try verify(against: kept)
        #expect(after["valid"] == true)
        #expect(after["findings"]?.array?.contains { $0["problem"]?.string?.contains("were lost") == true } == true)
    }

    @Test func aKillAtAnyStepLeavesOneLogOrTheOther() throws {
        struct Killed: Error {}
        for step in RotationStep.allCases {
            let (kitchener, _) = try TestHome.pair()
            try kitchener.publish([folder.path + "/roads"], PublishOptions(tlp: "GREEN"), name: roads)
            try kitchener.whileClosed {
                // Nothing: the home is as a backup would be.
            }
            #expect(
                problem {
                    _ = try kitchener.node.restored(kitchener.caller, RotationRequest(key: "restore"), against: nil, nil) {
                        reached in
                        if reached == step { throw Killed() }
                    }
                } != nil)
            try kitchener.whileClosed {}
            let isNew = step == .committed || step == .installed
            let origin = try kitchener.node.auditCheckpoint(kitchener.caller)["origin"]
            #expect(origin?.string == (isNew ? "kitchener.ca/log/2" : "kitchener.ca/log"), "\(step)")
            #expect(try kitchener.node.auditVerify(kitchener.caller, against: nil)["valid"] == true, "\(step)")
            // It can be done after that, whether it was or not.
            let done = try kitchener.node.restore(
                kitchener.caller, RotationRequest(key: "restore"), against: nil, officerKey: nil)
            #expect(done["log"]?.string == (isNew ? "kitchener.ca/log/3" : "kitchener.ca/log/2"), "\(step)")
            try kitchener.whileClosed {}
            #expect(try kitchener.node.auditVerify(kitchener.caller, against: nil)["valid"] == true, "\(step)")
        }
    }

    @Test func aNewLogThatHidesTheOldOneIsFound() throws {
        _ = try restore()
        try kitchener.node.auditVerify(kitchener.caller, against: nil)["valid"].map { #expect($0 == true) }
        // A byte of the closed log's only bundle.
        let tiles = kitchener.home + "/log/tile/entries"
        let bundle = try #require(Folder.files(below: tiles).last)
        try kitchener.whileClosed {
            var bytes = try Data(contentsOf: URL(fileURLWithPath: tiles + "/" + bundle))
            bytes[40] ^= 1
            try bytes.write(to: URL(fileURLWithPath: tiles + "/" + bundle))
        }
        let damaged = try verify()
        #expect(damaged["valid"] == false)
        #expect(damaged["findings"]?.array?.contains { $0["problem"]?.string?.hasPrefix("kitchener.ca/log: ") == true } == true)
        // Or gone as a whole.
        try kitchener.whileClosed {
            try FileManager.default.removeItem(atPath: kitchener.home + "/log/tile")
            try FileManager.default.removeItem(atPath: kitchener.home + "/log/checkpoint")
        }
        let gone = try verify()
        #expect(gone["valid"] == false)
        #expect(gone["findings"]?.array?.contains { $0["problem"]?.string?.contains("does not begin with") == true } == true)
    }
}
