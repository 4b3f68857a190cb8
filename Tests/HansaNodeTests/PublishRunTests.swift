// Groups and batches of one publish: what packages that go together owe each other.
import Foundation
import HansaCore
import Testing

@testable import HansaNode
@testable import HansaStore

struct PublishRunTests {
    private let home: TestHome
    private let data = Folder()

    init() throws { home = try TestHome("kitchener.ca", "City of Kitchener") }

    private func directory(_ name: String, _ text: String = "a,b\n1,2\n") throws -> String {
        try data.write(name + "/x.csv", text)
        return data.path + "/" + name
    }

    /// A run that is fed by hand, and what it will be fed.
    private func run(_ directories: [String], batchReleases: Int = 1000) throws -> (run: PublishRun, listings: [DirectoryListing])
    {
        let source = FolderSource(directories)
        let listings = try #require(try source.nextListings())
        return (
            try PublishRun(home.node, home.caller, PublishOptions(), source, batchReleases: batchReleases), listings
        )
    }

    private func versions(of package: String) throws -> [String?] {
        try home.node.packageHistory(home.caller, package: package)["releases"]?.array?.map { $0["version"]?.string } ?? []
    }

    @Test func aReleaseFollowsTheOneThatTheBatchBeforeItCommitted() throws {
        let (run, listings) = try run(
            [try directory("a/roads", "a\n1\n"), try directory("b/roads", "a\n2\n"), try directory("other")], batchReleases: 1)
        for listing in listings { try run.take([listing]) }
        try run.commit()
        #expect(run.failures.isEmpty && run.published == 3)
        #expect(try Set(versions(of: "kitchener.ca/roads")) == ["1.0.0", "1.0.1"])
        #expect(run.rows[1]?["version"] == "1.0.1")
        #expect(try home.node.auditVerify(home.caller, against: nil)["valid"] == true)
    }

    @Test func twoDirectoriesForOnePackageAreRefusedWithinABatch() throws {
        let (run, listings) = try run([try directory("a/roads", "a\n1\n"), try directory("b/roads", "a\n2\n")])
        try run.take(listings)
        try run.commit()
        #expect(run.published == 1 && run.failures.count == 1)
        #expect(run.failures.first?.path.hasSuffix("b/roads") == true && run.failures.first?.problem.code == .packageInvalid)
    }

    @Test func aNameIsFreeAgainWhenItsFirstDirectoryFails() throws {
        try data.write("a/roads/datapackage.json", #"{"resources": [{"name": "x", "path": "not-there.csv"}]}"#)
        let (run, listings) = try run([try directory("a/roads", "a\n1\n"), try directory("b/roads", "a\n2\n")])
        try run.take(listings)
        try run.commit()
        #expect(run.failures.count == 1 && run.failures.first?.path.contains("/a/") == true)
        #expect(run.rows[1]?["version"] == "1.0.0" && run.published == 1)
    }

    @Test func packagesOfOneRunHoldWhatTheyShareOnce() throws {
        // More than a group, so that chunks are found in the group, in the batch and in the batch that is being committed.
        let paths = try (0..<150).map { try directory("d\($0)") }
        let dry = try #require(try home.publish(paths, PublishOptions(dryRun: true))["packages"]?.array)
        let (run, listings) = try run(paths, batchReleases: 64)
        try run.take(listings)
        try run.commit()
        #expect(run.published == 150 && run.failures.isEmpty)
        // bag-info.txt, datapackage.json and tagmanifest-sha256.txt tell the package's name.
        #expect((0..<150).allSatisfy { run.rows[$0]?["newChunks"]?.integer == ($0 == 0 ? 6 : 3) })
        for number in 0..<150 {
            for field in ["package", "version", "bytes", "files", "chunks", "newChunks", "storedBytes", "unchanged", "tlp"] {
                #expect(dry[number][field] == run.rows[number]?[field])
            }
        }
        let target = Folder()
        try home.checkout("kitchener.ca/d149", into: target)
        #expect(try home.verify(target.path)["valid"] == true && target.text("data/x.csv") == "a,b\n1,2\n")
    }

    @Test func aFileThatChangesWhileItsGroupIsReadFailsItsDirectoryAlone() throws {
        let paths = try ["m1", "m2", "m3"].map { try directory($0) }
        let document = try home.publish(paths) { source in
            source.onOpen = { _ = try? self.directory("m2", "a,b\n1,2\n3,4\n") }
        }
        let rows = try #require(document["packages"]?.array)
        #expect(rows.map { $0["error"]?["code"]?.string } == [nil, ProblemCode.fileChanged.rawValue, nil])
        #expect(document["published"] == 2)
    }

    @Test func aBatchThatCouldNotBeCommittedGoesWithTheNext() throws {
        // So many that their rows do not fit into pages that the database has.
        let paths = try (0..<64).map { try directory("one\($0)") } + [try directory("two")]
        let (run, listings) = try run(paths, batchReleases: 64)
        try home.node.metadata.setPagesMax(1)
        try run.take(Array(listings[..<64]))
        let fault = problem { try run.commit() }
        #expect(fault?.code == .diskFull && run.published == 0)
        try home.node.metadata.setPagesMax(nil)
        try run.take([listings[64]])
        try run.commit()
        #expect(run.published == 65 && run.failures.isEmpty)
        for name in ["one0", "one63", "two"] {
            let target = Folder()
            try home.checkout("kitchener.ca/" + name, into: target)
            #expect(try home.verify(target.path)["valid"] == true)
        }
    }

    @Test func aDirectoryThatOnlyLooksChangedIsRememberedWithTheBatch() throws {
        let paths = try ["m1", "m2"].map { try directory($0) }
        try home.publish(paths)
        let (run, listings) = try run(paths)
        try run.take(listings)
        #expect(run.batch.remembered.count + run.rows.count >= 2 && run.batch.releases.isEmpty)
        try run.commit()
        #expect(run.rows[0]?["unchanged"] == true && run.rows[1]?["unchanged"] == true && run.published == 0)
    }
}
