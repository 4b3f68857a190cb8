import HansaCore
import HansaPackages
import Testing

@Suite struct PublishPlanTests {
    private func entries(_ paths: [String]) -> [DirectoryEntry] { paths.map { DirectoryEntry(path: $0, size: 3) } }

    @Test func everyRegularFileIsPayloadButTheDocument() throws {
        let plan = try PublishPlan(
            entries(["z.csv", "datapackage.json", "data/x.csv", "sub/datapackage.json", "a b.csv"]) + [
                DirectoryEntry(path: "sub", kind: .directory, size: 9)
            ])
        #expect(plan.files.map(\.source) == ["a b.csv", "data/x.csv", "sub/datapackage.json", "z.csv"])
        #expect(plan.files.map(\.bagPath) == ["data/a b.csv", "data/data/x.csv", "data/sub/datapackage.json", "data/z.csv"])
        #expect(plan.descriptor == "datapackage.json")
        #expect(plan.bytes == 12)
        #expect(!plan.isBag && plan.warnings.isEmpty)
    }

    @Test func hiddenNamesAreSkippedWithOneWarningEach() throws {
        let hidden = [
            DirectoryEntry(path: ".git", kind: .directory, size: 0), DirectoryEntry(path: ".git/link", kind: .symlink, size: 0),
        ]
        let plan = try PublishPlan(entries(["a.csv", ".DS_Store", ".git/config", "b/.x"]) + hidden)
        #expect(plan.files.map(\.path) == ["a.csv"])
        #expect(plan.warnings == [.skippedHidden(".DS_Store"), .skippedHidden(".git"), .skippedHidden("b/.x")])
    }

    @Test func manyHiddenNamesAreCounted() throws {
        let plan = try PublishPlan(entries(["a"] + (0..<50).map { "._\($0)" }))
        #expect(plan.warnings.count == 21)
        #expect(plan.warnings.last == .skippedMoreHidden(30))
        // A listing without its directories gives the same warning.
        #expect(try PublishPlan(entries(["a", ".git/x", ".git/y/z"])).warnings == [.skippedHidden(".git")])
    }

    @Test func whatIsNoFileIsRefusedByName() {
        let link = DirectoryEntry(path: "link", kind: .symlink, size: 0)
        let pipe = DirectoryEntry(path: "dir/pipe", kind: .other, size: 0)
        #expect(throws: PublishFault.notRegular(["dir/pipe", "link"], more: 0)) {
            try PublishPlan(entries(["a"]) + [link, pipe])
        }
        // A link in place of the document is no document.
        #expect(throws: PublishFault.self) {
            try PublishPlan(entries(["a"]) + [DirectoryEntry(path: "datapackage.json", kind: .symlink, size: 0)])
        }
    }

    @Test func unsafeNamesAndCollisionsAreRefused() {
        #expect(throws: PublishFault.collision(PathCollision("A.csv", "a.csv"))) { try PublishPlan(entries(["a.csv", "A.csv"])) }
        for path in ["../x", "a/../b", "/x", "a\\b", "a\nb", "a\u{FFFD}", "a//b"] {
            #expect(throws: PublishFault.self, "\(path)") { try PublishPlan(entries([path])) }
        }
        let long = Array(repeating: String(repeating: "a", count: 203), count: 5).joined(separator: "/")
        #expect(long.utf8.count == 1019)
        #expect(throws: Never.self) { try PublishPlan(entries([long])) }
        #expect(throws: PublishFault.self) { try PublishPlan(entries([long + "a"])) }
    }

    @Test func limitsHold() {
        #expect(throws: PublishFault.empty) { try PublishPlan([]) }
        #expect(throws: PublishFault.empty) { try PublishPlan(entries(["datapackage.json", ".x"])) }
        let many = (0...Limits.filesMax).map { DirectoryEntry(path: "f\($0)", size: 0) }
        #expect(throws: PublishFault.tooManyFiles(Limits.filesMax + 1, max: Limits.filesMax)) { try PublishPlan(many) }
        let huge = [DirectoryEntry(path: "a", size: .max), DirectoryEntry(path: "b", size: 1)]
        #expect(throws: PublishFault.tooLarge) { try PublishPlan(huge) }
    }

    @Test func ofABagOnlyItsPayloadIsTaken() throws {
        let plan = try PublishPlan(
            entries([
                "bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt", "datapackage.json",
                "release.dsse.json", "data/a.csv",
                "data/bagit.txt", "meta/x.txt",
            ]))
        #expect(plan.isBag)
        #expect(plan.files.map(\.source) == ["data/a.csv", "data/bagit.txt"])
        #expect(plan.files.map(\.path) == ["a.csv", "bagit.txt"])
        #expect(plan.descriptor == "datapackage.json")
        #expect(plan.warnings == [.skippedTagFile("meta/x.txt")])
    }

    @Test func percentSignsAreWarnedOf() throws {
        #expect(try PublishPlan(entries(["100%.csv"])).warnings == [.percentInName("100%.csv")])
    }
}

@Suite struct DirectorySnapshotTests {
    private static let second: Int64 = 1_000_000_000
    private static let now: Int64 = 1_700_000_000 * second + 5

    private func entry(_ path: String, modified: Int64, changed: Int64? = nil, size: UInt64 = 1, inode: UInt64 = 7)
        -> DirectoryEntry
    {
        DirectoryEntry(path: path, size: size, modified: modified, changed: changed ?? modified, inode: inode, device: 1)
    }

    private func old(_ path: String) -> DirectoryEntry {
        entry(path, modified: DirectorySnapshotTests.now - 60 * DirectorySnapshotTests.second)
    }

    @Test func equalListingsAreUnchanged() {
        let first = DirectorySnapshot(of: [old("b"), old("a")], takenAt: DirectorySnapshotTests.now)
        let later = DirectorySnapshot(of: [old("a"), old("b"), old(".x")], takenAt: DirectorySnapshotTests.now + 9)
        #expect(later.isUnchanged(comparedTo: first))
        #expect(later.digest == first.digest)
    }

    @Test func anyDifferenceIsAChange() {
        let base = old("a")
        let first = DirectorySnapshot(of: [base], takenAt: DirectorySnapshotTests.now)
        let others = [
            [], [base, old("b")], [old("c")], [entry("a", modified: base.modified + 1, changed: base.changed)],
            [entry("a", modified: base.modified, changed: base.changed + 1)], [entry("a", modified: base.modified, size: 2)],
            [entry("a", modified: base.modified, inode: 8)],
        ]
        for other in others {
            let later = DirectorySnapshot(of: other, takenAt: DirectorySnapshotTests.now)
            #expect(later.compared(to: first) == .changed)
            #expect(later.digest != first.digest)
        }
    }

    @Test func aLinkThatAppearedIsAChange() {
        let first = DirectorySnapshot(of: [old("a")], takenAt: DirectorySnapshotTests.now)
        let link = DirectoryEntry(path: "b", kind: .symlink, size: 0)
        #expect(DirectorySnapshot(of: [old("a"), link], takenAt: DirectorySnapshotTests.now).compared(to: first) == .changed)
        let hidden = DirectoryEntry(path: ".b", kind: .symlink, size: 0)
        #expect(DirectorySnapshot(of: [old("a"), hidden], takenAt: DirectorySnapshotTests.now).compared(to: first) == .unchanged)
    }

    @Test func aFileWrittenAsLateAsTheListingMustBeRead() {
        let lag = DirectorySnapshot.clockLag
        for (modified, changed, racy) in [
            (DirectorySnapshotTests.now, DirectorySnapshotTests.now, true),
            (DirectorySnapshotTests.now + 1, DirectorySnapshotTests.now - 9 * lag, true),
            (DirectorySnapshotTests.now - 9 * lag, DirectorySnapshotTests.now - lag, true),
            (DirectorySnapshotTests.now - lag - 1, DirectorySnapshotTests.now - lag - 1, false),
        ] {
            let listing = [entry("a", modified: modified, changed: changed), old("b")]
            let first = DirectorySnapshot(of: listing, takenAt: DirectorySnapshotTests.now)
            let later = DirectorySnapshot(of: listing, takenAt: DirectorySnapshotTests.now + DirectorySnapshotTests.second)
            #expect(later.compared(to: first) == (racy ? .mustRead(["a"]) : .unchanged))
            // Once read and found equal, the newer snapshot is kept, and the file is no longer racy.
            let last = DirectorySnapshot(of: listing, takenAt: DirectorySnapshotTests.now + 9 * DirectorySnapshotTests.second)
            #expect(last.compared(to: later) == .unchanged)
        }
    }

    @Test func wholeSecondsAreTakenForACoarseClock() {
        let stamp = (DirectorySnapshotTests.now / DirectorySnapshotTests.second - 1) * DirectorySnapshotTests.second
        let listing = [entry("a", modified: stamp)]
        let first = DirectorySnapshot(of: listing, takenAt: DirectorySnapshotTests.now)
        #expect(DirectorySnapshot(of: listing, takenAt: DirectorySnapshotTests.now).compared(to: first) == .mustRead(["a"]))
    }

    @Test func encodingComesBack() throws {
        let snapshot = DirectorySnapshot(
            of: [old("a"), entry("ü/b", modified: -1, changed: .min, size: .max, inode: .max)], takenAt: -5)
        let bytes = snapshot.encoded()
        #expect(try DirectorySnapshot(encoded: bytes) == snapshot)
        for count in bytes.indices { #expect(throws: ByteFault.self) { try DirectorySnapshot(encoded: Array(bytes[..<count])) } }
        #expect(throws: ByteFault.self) { try DirectorySnapshot(encoded: bytes + [0]) }
    }
}

@Suite struct NameAndVersionTests {
    private let city: CityID
    init() throws { city = try CityID("kitchener.ca") }

    private func name(_ option: String?, _ declared: String? = nil, _ directory: String? = nil) throws -> String {
        try PackageName.derive(city: city, option: option, declared: declared, directory: directory).description
    }

    @Test func theOptionComesFirstThenTheDocumentThenTheDirectory() throws {
        #expect(try name("x/y", "z", "w") == "kitchener.ca/x/y")
        #expect(try name(nil, "z", "w") == "kitchener.ca/z")
        #expect(try name(nil, nil, "roads/breaks") == "kitchener.ca/roads/breaks")
        #expect(try name("kitchener.ca/x") == "kitchener.ca/x")
        #expect(try name("v1.2/data") == "kitchener.ca/v1.2/data")
        #expect(throws: NameFault.self) { try name(nil, nil, nil) }
    }

    @Test func aNameThatDoesNotFitComesWithASuggestion() {
        #expect { try name(nil, nil, "My Data/Übersicht") } throws: {
            ($0 as? NameFault)?.suggestion?.hasPrefix("kitchener.ca/my-data/") == true
        }
        #expect { try name("hamilton.ca/x") } throws: { ($0 as? NameFault)?.suggestion == "kitchener.ca/x" }
        #expect(throws: NameFault.self) { try name("../x") }
    }

    @Test func versionsOnlyRise() throws {
        let head = Version(1, 4, 2)
        #expect(try VersionChoice.choose(given: nil, declared: nil, head: nil) == Version(1, 0, 0))
        #expect(try VersionChoice.choose(given: nil, declared: "0.1.0", head: nil) == Version(0, 1, 0))
        #expect(try VersionChoice.choose(given: nil, declared: "2024", head: nil) == Version(1, 0, 0))
        #expect(try VersionChoice.choose(given: nil, declared: "2.0.0", head: head) == Version(2, 0, 0))
        #expect(try VersionChoice.choose(given: nil, declared: "1.4.2", head: head) == Version(1, 4, 3))
        #expect(try VersionChoice.choose(given: "1.5.0", declared: "2.0.0", head: head) == Version(1, 5, 0))
        #expect(throws: VersionFault.notHigher(given: head, head: head)) {
            try VersionChoice.choose(given: "1.4.2", declared: nil, head: head)
        }
        #expect(throws: VersionFault.malformed("1.5")) { try VersionChoice.choose(given: "1.5", declared: nil, head: head) }
        let end = Version(Version.partMax, Version.partMax, Version.partMax)
        #expect(throws: VersionFault.exhausted(head: end)) { try VersionChoice.choose(given: nil, declared: nil, head: end) }
    }
}
