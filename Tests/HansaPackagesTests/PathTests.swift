import HansaPackages
import Testing

@Suite struct PathTests {
    @Test func ordinaryNamesArePaths() throws {
        for text in [
            "a", "data/counts.csv", "Größe/übersicht 2026.pdf", "a.b/c..d", "日本/表.csv", "x~", String(repeating: "a", count: 255),
        ] {
            #expect(try PayloadPath(text).text == text)
        }
    }

    @Test(arguments: [
        ("", PathFault.Reason.empty), ("/etc/passwd", .absolute), ("a//b", .emptySegment), ("a/", .emptySegment), ("..", .dots),
        ("a/../b", .dots), ("./a", .dots), ("a/.", .dots), (".git/config", .hidden), ("a/.b", .hidden), ("...", .hidden),
        ("a\\b", .backslash),
        ("a\u{0}b", .control), ("a\nb", .control), ("a\u{7F}", .control), ("a\u{85}b", .control), ("a\u{2028}b", .control),
        ("a\u{FFFD}", .notUTF8), ("a/\u{301}b", .markAtSlash), ("\u{35E}b", .markAtSlash), ("a\u{600}/b", .markAtSlash),
    ])
    func otherTextsAreNot(text: String, reason: PathFault.Reason) {
        #expect(PayloadPath.fault(in: text) == reason)
        #expect(throws: PathFault(text, reason)) { try PayloadPath(text) }
    }

    @Test func lengthsAreBounded() {
        #expect(PayloadPath.fault(in: String(repeating: "a", count: 256)) == .segmentTooLong(bytesMax: 255))
        let long = Array(repeating: String(repeating: "a", count: 200), count: 6).joined(separator: "/")
        #expect(PayloadPath.fault(in: long) == .tooLong(bytesMax: 1024))
        #expect(PayloadPath.fault(in: String(repeating: "ab/", count: 1400) + "c") == .tooLong(bytesMax: 1024))
    }

    @Test func messagesAreSafeForATerminal() {
        #expect(!PathFault("a\u{1B}[31m", .control).description.contains("\u{1B}"))
    }

    @Test func namesThatDifferOnlyByCaseOrNormalisationCollide() {
        #expect(PathCollisions.find(in: ["a.csv", "b.csv", "c/a.csv"]) == [])
        #expect(PathCollisions.find(in: ["A.csv", "a.csv"]) == [PathCollision("A.csv", "a.csv")])
        #expect(PathCollisions.find(in: ["caf\u{E9}", "cafe\u{301}"]).count == 1)
        #expect(PathCollisions.find(in: ["STRASSE", "straße"]).count == 1)
        #expect(PathCollisions.find(in: ["ΣΑΣ", "σας"]).count == 1)
        #expect(PathCollisions.find(in: ["\u{212A}", "k"]).count == 1)
        // Directories count too.
        #expect(PathCollisions.find(in: ["Data/a", "data/b"]) == [PathCollision("Data", "data")])
        #expect(PathCollisions.find(in: ["data/a", "data/b", "data/c/d"]) == [])
    }

    @Test func aNameIsAFileOrADirectory() {
        #expect(PathCollisions.find(in: ["a", "a/b"]).count == 1)
        #expect(PathCollisions.find(in: ["a/b", "a"]).count == 1)
        #expect(PathCollisions.find(in: ["a", "a"]).count == 1)
    }

    @Test func pathsAreOrderedByTheirBytes() throws {
        let paths = ["a-b", "a/b", "a0", "aé", "b"]
        #expect(paths.shuffled().sorted(by: PayloadPath.precedes) == paths)
        #expect(try PayloadPath("caf\u{E9}") != PayloadPath("cafe\u{301}"))
    }
}
