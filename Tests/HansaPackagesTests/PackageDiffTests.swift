import Foundation
import HansaCore
import HansaCrypto
import HansaPackages
import Testing

@Suite struct PackageDiffTests {
    /// A package of files, described as publishing without a datapackage.json would.
    private func version(_ files: [String: String], _ edit: (String) -> String = { $0 }) throws -> PackageVersion {
        let sorted = files.sorted { $0.key < $1.key }
        let inferred = sorted.map { path, content in
            var inference = ResourceInference(path: path)
            Array(content.utf8).withUnsafeBytes { inference.feed($0) }
            return inference.finish(size: UInt64(content.utf8.count), digest: SHA256.hash(Array(content.utf8)))
        }
        let document = DataPackageDocument.inferred(name: "p", files: inferred)
        let text = edit(String(decoding: document.bytes, as: UTF8.self))
        return PackageVersion(
            document: try DataPackageDocument(reading: Array(text.utf8)), files: sorted.map { file($0.key, $0.value) })
    }

    private func diff(
        _ before: [String: String], _ after: [String: String], _ edit: (String) -> String = { $0 }
    ) throws -> PackageDiff {
        try PackageDiff(from: version(before), to: version(after, edit)) { pair in
            try TableDiff(
                from: TableText(before[pair.before.path] ?? ""), to: TableText(after[pair.after.path] ?? ""), key: pair.key,
                delimiters: pair.delimiters)
        }
    }

    private let table = "id,name,n\n1,a,5\n2,b,6\n"

    @Test func nothingChangedAsksForNoVersion() throws {
        let diff = try diff(["a.csv": table], ["a.csv": table])
        #expect(diff.isEmpty && diff.bump == .none && diff.unchanged == 1)
    }

    @Test func rowsOrFilesThatAreAddedAreMinor() throws {
        let rows = try diff(["a.csv": table], ["a.csv": table + "3,c,7\n"])
        #expect(rows.bump == .minor && rows.resources.first?.table?.added == 1)
        #expect(rows.reasons.map(\.text) == ["a: 1 rows added"])
        let files = try diff(["a.csv": table], ["a.csv": table, "b.txt": "hello"])
        #expect(files.bump == .minor && files.resources.map(\.state) == [.added])
    }

    @Test func correctionsArePatches() throws {
        #expect(try diff(["a.csv": table], ["a.csv": table.replacing("a,5", with: "a,55")]).bump == .patch)
        #expect(try diff(["a.csv": table], ["a.csv": table.replacing("2,b,6\n", with: "")]).bump == .patch)
        #expect(try diff(["a.txt": "x"], ["a.txt": "y"]).bump == .patch)
        #expect(
            try diff(["a.csv": table], ["a.csv": table]) { $0.replacing("\"name\": \"p\"", with: "\"name\": \"q\"") }.bump
                == .patch)
    }

    @Test func otherFieldsAreMajor() throws {
        for (after, text) in [
            ("id,name,n,more\n1,a,5,x\n2,b,6,y\n", "a: fields added: more"), ("id,name\n1,a\n2,b\n", "a: fields removed: n"),
            ("id,n,name\n1,5,a\n2,6,b\n", "a: fields stand in another order"),
            ("id,name,n\n1,a,5\n2,b,x\n", "a: n was integer, is string"),
        ] {
            let diff = try diff(["a.csv": table], ["a.csv": after])
            #expect(diff.bump == .major && diff.reasons.first?.text == text)
        }
        #expect(try diff(["a.csv": table, "b.txt": "x"], ["a.csv": table]).bump == .major)
        let moved = try diff(["a.csv": table], ["sub/a.csv": table]) { $0.replacing("\"sub-a\"", with: "\"a\"") }
        #expect(moved.bump == .major)
        // A key that is lost; one that is found harms nobody.
        let lost = try diff(["a.csv": table], ["a.csv": table + "2,b,6\n"])
        #expect(lost.bump == .major && lost.reasons.first?.text == "a: the primary key changed")
        #expect(try diff(["a.csv": table + "2,b,6\n"], ["a.csv": table]).bump == .patch)
    }

    @Test func aTableThatIsNoneIsComparedAsAFile() throws {
        let diff = try diff(["a.csv": table], ["a.csv": "id,name,n\n\"open"])
        #expect(diff.resources.first?.fault == .csv(.openQuote(row: 2)))
        #expect(diff.bump == .patch)
    }

    @Test func theNextVersionFollowsTheBump() {
        #expect(VersionBump.major.following(Version(1, 2, 3)) == Version(2, 0, 0))
        #expect(VersionBump.minor.following(Version(1, 2, 3)) == Version(1, 3, 0))
        #expect(VersionBump.patch.following(Version(1, 2, 3)) == Version(1, 2, 4))
        #expect(VersionBump.none.following(Version(1, 2, 3)) == Version(1, 2, 3))
        #expect(VersionBump.minor.following(Version(1, Version.partMax, 3)) == Version(2, 0, 0))
    }
}
