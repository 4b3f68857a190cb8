// What a reader may rely on in every file: its size, its first lines, and what never occurs in it.
import Foundation
import Testing

struct HouseStyleTests {
    private static let linesMax = 600

    /// Longer files say why in their header, with this word.
    @Test func aFileIsShortOrSaysWhyItIsLong() throws {
        let long = try (SourceTree.swiftFiles("Sources") + SourceTree.swiftFiles("Tests")).filter { file in
            file.lines.count > Self.linesMax && !Self.header(of: file).contains("Long because")
        }
        #expect(long.map { "\($0.path): \($0.lines.count) lines" } == [])
    }

    @Test func aFileWithPublicDeclarationsExplainsItself() throws {
        let silent = try SourceTree.swiftFiles("Sources").filter { file in
            file.code.contains { $0.text.hasPrefix("public ") && !$0.text.hasPrefix("public import") }
                && Self.header(of: file).isEmpty && !file.text.contains("///")
        }
        #expect(silent.map(\.path) == [])
    }

    @Test func aLibraryNeverTrapsOnAnErrorNorPrints() throws {
        let offences = try SourceTree.swiftFiles("Sources").flatMap { file in
            file.code.compactMap { number, line -> String? in
                guard
                    line.contains("try!") || line.contains("print(") || line.contains("Print(") || line.contains("dump(")
                        || line.contains("NSLog(")
                else { return nil }
                if line.contains(/\btry!/) { return "\(file.path):\(number) try!" }
                // stdout belongs to the command line, which writes through its Terminal; the log is written through Logging.
                if file.module != "HansaSimulator", line.contains(/(^|[^.\w])(print|debugPrint|dump|NSLog)\(/) {
                    return "\(file.path):\(number) print"
                }
                return nil
            }
        }
        #expect(offences == [])
    }

    @Test func nothingIsLeftForLater() throws {
        let words = ["TO" + "DO", "FIX" + "ME", "X" + "XX"]
        let offences = try (SourceTree.swiftFiles("Sources") + SourceTree.swiftFiles("Tests")).flatMap { file in
            file.lines.enumerated().compactMap { number, line in
                words.contains { line.contains("\($0)") && line.contains("//") } ? "\(file.path):\(number + 1)" : nil
            }
        }
        #expect(offences == [])
    }

    @Test func commentsAreLineComments() throws {
        // Block comments would hide code from the other tests here.
        let offences = try SourceTree.swiftFiles("Sources").filter { file in
            file.code.contains { $0.text.trimmingCharacters(in: .whitespaces).hasPrefix("/*") }
        }
        #expect(offences.map(\.path) == [])
    }

    /// The repository builds anywhere: it names no directory of the machine that it was written on, and no mirror of a package registry.
    @Test func nothingNamesTheMachineItWasWrittenOn() throws {
        let directories = ["work/shared", "work/h/", "work/main", "root/."].map { "/" + $0 }
        let hosts = [
            "pypi.org", "files.pythonhosted.org", "proxy.golang.org", "registry.npmjs.org", "crates.io", "artifactory", "nexus.",
        ]
        var offences: [String] = []
        let top = ["Package.swift", "Makefile", "README.md", ".ci/run"].filter {
            FileManager.default.fileExists(atPath: SourceTree.root.appending(path: $0).path)
        }
        for path in try top + ["Sources", "Tests", "certs", "deploy", "Benchmarks"].flatMap({ try SourceTree.files($0) }) {
            if path.hasSuffix("HouseStyleTests.swift") || path.hasSuffix(".csv") || path.hasSuffix(".geojson") { continue }
            let text = try SourceTree.text(path)
            for word in directories + hosts where text.contains(word) { offences.append("\(path): \(word)") }
        }
        #expect(offences == [])
    }

    @Test func noPrivateKeyIsInTheRepository() throws {
        let marker = "PRIVATE " + "KEY-----"
        let offences = try ["certs", "deploy", "Sources", "Benchmarks"].flatMap { try SourceTree.files($0) }.filter { path in
            guard !path.hasSuffix(".swift") else { return false }
            return try SourceTree.text(path).contains("-----BEGIN") && SourceTree.text(path).contains(marker)
        }
        #expect(offences == [])
    }

    /// The comment lines at the top, without SwiftPM's marker.
    private static func header(of file: SourceFile) -> String {
        file.lines.prefix { $0.hasPrefix("//") }.joined(separator: "\n")
    }
}

struct SourceFileTests {
    @Test func codeIsWhatStandsOutsideQuotesAndComments() {
        let file = SourceFile(
            path: "Sources/HansaCore/X.swift", text: "let a = \"Date()\" // Date()\n/// UUID()\nlet b = c(\"\\\"\", d)")
        #expect(file.code.map(\.text) == ["let a =  ", "", "let b = c(, d)"])
    }

    @Test func importsAreReadWithTheirAccessAndKind() {
        let file = SourceFile(
            path: "Sources/HansaCore/X.swift",
            text: "@testable import A\npublic import B\ninternal import struct C.D\n    import E\n// import F\nlet import2 = 1")
        #expect(file.imports.map(\.module) == ["A", "B", "C", "E"])
        #expect(file.module == "HansaCore")
    }
}
