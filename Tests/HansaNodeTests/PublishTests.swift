import Foundation
import HansaCore
import HansaNode
import Testing

struct PublishTests {
    private let home: TestHome
    private let data = Folder()

    init() throws { home = try TestHome("kitchener.ca", "City of Kitchener") }

    private func directory(_ name: String, _ text: String = "a,b\n1,2\n") throws -> String {
        try data.write(name + "/x.csv", text)
        return data.path + "/" + name
    }

    @Test func aDirectoryBecomesARelease() throws {
        let row = try home.publish([directory("roads")])
        #expect(row["schema"] == "hansa.package-publish/1" && row["package"] == "kitchener.ca/roads" && row["version"] == "1.0.0")
        #expect(row["bytes"] == 8 && row["files"] == 1 && row["unchanged"] == false)
        #expect(try home.packages.map { $0["origin"]?.string } == ["own"])
        #expect(
            try home.node.auditLog(home.caller, filter: LogFilter(event: "package.published"), emit: nil)["entries"]?.array?.count
                == 1)
    }

    @Test func publishingTheSameAgainIsNoNewRelease() throws {
        let path = try directory("roads")
        let first = try home.publish([path])
        // Its times are as young as the listing, so it is read again, and found the same; the second time it need not be read.
        let second = try home.publish([path])
        #expect(second["unchanged"] == true && second["release"] == first["release"] && second["storedBytes"] == 0)
    }

    @Test func anUnchangedDirectoryIsFoundBeforeAByteIsRead() throws {
        let path = try directory("roads")
        var opened = 0
        // As long as the files' times are as young as the listing they are read; each round is a later one.
        for _ in 0..<10_000 {
            var source: FolderSource?
            #expect(try home.publish([path]) { source = $0 }["version"] == "1.0.0")
            opened = source?.opened.count ?? 0
            if opened == 0 { break }
        }
        #expect(opened == 0)
        #expect(try home.publish([path], PublishOptions(rehash: true))["unchanged"] == true)
    }

    /// Git's rule for racy timestamps: same size, same moment, other bytes.
    @Test func aChangeWithinTheSameMomentIsSeen() throws {
        let path = try directory("roads", "a,b\n1,2\n")
        try home.publish([path])
        var status = stat()
        stat(path + "/x.csv", &status)
        let descriptor = open(path + "/x.csv", O_WRONLY)
        _ = Array("a,b\n3,4\n".utf8).withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        var times = [status.st_atim, status.st_mtim]
        futimens(descriptor, &times)
        close(descriptor)
        #expect(try home.publish([path])["version"] == "1.0.1")
    }

    @Test func anotherNameIsAnotherPackage() throws {
        let path = try directory("roads")
        try home.publish([path])
        let row = try home.publish([path], name: "other/name")
        #expect(row["package"] == "kitchener.ca/other/name" && row["unchanged"] == false && row["newChunks"]?.integer ?? 9 <= 6)
        #expect(try home.packages.count == 2)
    }

    @Test func aDryRunChangesNothingAndNamesNoRelease() throws {
        let before = Set(home.folder.files)
        let row = try home.publish([directory("roads")], PublishOptions(dryRun: true))
        #expect(row["release"] == .null && row["dryRun"] == true && row["newChunks"]?.integer ?? 0 > 0)
        #expect(try home.packages.isEmpty)
        #expect(Set(home.folder.files).subtracting(before).allSatisfy { !$0.contains("segments") })
    }

    @Test func aFileThatCannotBeOpenedFailsItsOwnDirectoryAlone() throws {
        let paths = try ["m1", "m2", "m3", "m4"].map { try directory($0) }
        let document = try home.publish(paths) { $0.refuses = [paths[2] + "/x.csv"] }
        let rows = try #require(document["packages"]?.array)
        #expect(rows.map { $0["error"] == nil } == [true, true, false, true])
        #expect(rows[2]["error"]?["message"]?.string?.contains("m3/x.csv") == true)
        #expect(try home.packages.map { $0["package"]?.string } == ["kitchener.ca/m1", "kitchener.ca/m2", "kitchener.ca/m4"])
    }

    @Test func aDirectoryThatCannotBeListedFailsAlone() throws {
        let paths = try ["m1", "m2", "m3"].map { try directory($0) }
        let document = try home.publish(paths) { $0.unlistable = [paths[1]] }
        #expect(document["packages"]?.array?.map { $0["error"] == nil } == [true, false, true])
        #expect(document["failed"] == 1 && document["published"] == 2)
    }

    @Test func aNameThatDoesNotFitIsRefusedWithOneThatWould() throws {
        let fault = problem { _ = try home.publish([try directory("O Upper")]) }
        #expect(fault?.code == .badName && fault?.next == "--name kitchener.ca/o-upper", "\(String(describing: fault))")
        #expect(try home.publish([try directory("O Upper")], name: "o-upper")["package"] == "kitchener.ca/o-upper")
    }

    @Test func checkTellsTheNameAndRefusesAnotherCitys() throws {
        let path = try directory("roads")
        #expect(try home.node.packageCheck(home.caller, reader: FolderSource([path]))["package"] == "kitchener.ca/roads")
        try data.write(
            "roads/datapackage.json",
            #"{"name":"s","hansa":{"package":"boston.gov/stolen"},"resources":[{"name":"x","path":"x.csv"}]}"#)
        let fault = problem { _ = try home.node.packageCheck(home.caller, reader: FolderSource([path])) }
        #expect(fault?.code == .packageInvalid && fault?.message.contains("boston.gov") == true && fault?.next != nil)
    }

    @Test func aNumberBeyondReasonIsNamedInPlainWords() throws {
        let path = try directory("roads")
        try data.write("roads/datapackage.json", #"{"name":"s","weight":1e999,"resources":[{"name":"x","path":"x.csv"}]}"#)
        let fault = problem { _ = try home.publish([path]) }
        #expect(fault?.message.contains("a number out of range") == true && fault?.message.contains("Debug") == false)
        #expect(fault?.next != nil)
    }

    @Test func whatWasWithdrawnStaysWithdrawnWhenThePackageIsPublishedAgain() throws {
        let path = try directory("roads")
        try home.publish([path])
        _ = try home.node.packageWithdraw(home.caller, package: "kitchener.ca/roads", reason: "personal data", dryRun: false)
        #expect(try home.packages.first?["origin"] == "ended")
        #expect(problem { try home.checkout("kitchener.ca/roads", into: Folder()) }?.code == .packageWithdrawn)
        try data.write("roads/x.csv", "a,b\n5,6\n")
        #expect(try home.publish([path])["version"] == "1.0.1")
        #expect(try home.packages.first?["origin"] == "own")
        #expect(try home.checkout("kitchener.ca/roads", into: Folder())["files"] == 1)
        #expect(problem { try home.checkout("kitchener.ca/roads@1.0.0", into: Folder()) }?.code == .packageWithdrawn)
        // Publishing it unchanged is no news, and it can be withdrawn once more.
        #expect(try home.publish([path])["unchanged"] == true)
        _ = try home.node.packageWithdraw(home.caller, package: "kitchener.ca/roads", reason: "again", dryRun: false)
        #expect(try home.packages.first?["origin"] == "ended")
    }

    @Test func aWithdrawnPackageIsPublishedAgainAlsoWhenNothingChanged() throws {
        let path = try directory("roads")
        try home.publish([path])
        _ = try home.node.packageWithdraw(home.caller, package: "kitchener.ca/roads", reason: "by mistake", dryRun: false)
        let row = try home.publish([path])
        #expect(row["unchanged"] == false && row["version"] == "1.0.1")
        #expect(try home.checkout("kitchener.ca/roads", into: Folder())["version"] == "1.0.1")
    }
}
