import Foundation
import HansaCore
import HansaNode
import Testing

struct InterruptionTests {
    private let home: TestHome
    private let data = Folder()

    init() throws { home = try TestHome("kitchener.ca", "City of Kitchener") }

    private func directory(_ name: String, _ text: String = "a,b\n1,2\n") throws -> String {
        try data.write(name + "/x.csv", text)
        return data.path + "/" + name
    }

    /// While a file is read, not only between packages.
    @Test func anInterruptedPublishPublishesNothingOfThePackageUnderWay() throws {
        let large = String(repeating: "1,2,3,4,5,6,7,8,9,10,11,12,13,14\n", count: 400_000)
        let paths = [try directory("first"), try directory("second", large)]
        let fault = problem { try home.publish(paths) { $0.interruptAfter(opening: 2) } }
        #expect(fault?.exit == .interrupted)
        #expect(try home.packages.compactMap { $0["package"]?.string }.contains("kitchener.ca/second") == false)
        // Running it again goes on.
        #expect(try home.publish(paths)["published"]?.integer ?? 0 > 0)
        #expect(try home.packages.count == 2)
    }

    @Test func aWithdrawalDoesNotWaitForAPublishThatRuns() throws {
        let path = try directory("roads")
        try home.publish([path])
        let other = try directory("other", "a\n1\n")
        try data.write("roads/x.csv", "a,b\n9,9\n")
        // The client's file is opened in the middle of the publish; the withdrawal comes then.
        let document = try home.publish([path, other]) { source in
            source.onOpen = {
                _ = try? home.node.packageWithdraw(home.caller, package: "kitchener.ca/roads", reason: "urgent", dryRun: false)
            }
        }
        let rows = try #require(document["packages"]?.array)
        #expect(rows[1]["version"] == "1.0.0")
        // Either the publish came upon the withdrawal, or it is void: never does the older state win unseen.
        let history = try home.node.packageHistory(home.caller, package: "kitchener.ca/roads")["releases"]?.array ?? []
        #expect(history.contains { $0["operation"] == "withdraw" })
        #expect(rows[0]["error"] != nil || history.last?["operation"] == "publish")
    }

    @Test func aReasonWithControlCharactersIsNotSigned() throws {
        try home.publish([try directory("roads")])
        let fault = problem {
            _ = try home.node.packageWithdraw(home.caller, package: "kitchener.ca/roads", reason: "a\u{1B}[31m", dryRun: false)
        }
        #expect(fault?.code == .usage)
    }

    @Test func doctorMissesASegmentThatIsGone() throws {
        try home.publish([try directory("roads")])
        func state() throws -> String? {
            try home.node.doctor(home.caller)["checks"]?.array?.first { $0["name"] == "segments" }?["state"]?.string
        }
        #expect(try state() == "pass")
        for name in home.folder.files where name.hasSuffix(".seg") { try home.folder.remove(name) }
        #expect(try state() == "fail")
    }
}
