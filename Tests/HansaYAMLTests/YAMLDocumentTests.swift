import HansaCore
import Testing

@testable import HansaYAML

@Suite struct YAMLDocumentTests {
    private func refusal(of text: String) -> YAMLFault? {
        do throws(YAMLFault) {
            _ = try YAMLDocument.read(text)
            return nil
        } catch {
            return error
        }
    }

    @Test func scalarsStayAsWrittenAndKnowTheirPlace() throws {
        let root = try YAMLDocument.read("country: NO\nversion: 1.0\nquoted: \"3\"\nlist:\n  - 2026-12-01\n  - ~\n")
        #expect(root["country"]?.content == .scalar("NO", isPlain: true))
        #expect(root["version"]?.content == .scalar("1.0", isPlain: true))
        #expect(root["quoted"]?.content == .scalar("3", isPlain: false))
        #expect(
            root["list"]?.content
                == .list([
                    YAMLNode(.scalar("2026-12-01", isPlain: true), line: 5, column: 5),
                    YAMLNode(.scalar("~", isPlain: true), line: 6, column: 5),
                ]))
        #expect(root.place(of: "list[1]") == (6, 5))
        #expect(root.place(of: "version") == (2, 1))
        #expect(root.place(of: "list[7].nothing") == (4, 1))
    }

    @Test(arguments: [
        ("a: &x 1\nb: 2\n", 1, 4, "anchors"),
        ("a: &x 1\nb: *x\n", 2, 4, "aliases"),
        ("a: {b: &x [1], c: *x}\n", 1, 19, "aliases"),
        ("a: {?&x k: 1}\n", 1, 6, "anchors"),
        ("a: !!int 3\n", 1, 4, "tags"),
        ("a: !mine [1]\n", 1, 4, "tags"),
        ("a: !mine {b: 1}\n", 1, 4, "tags"),
        ("a: ! plain\n", 1, 4, "tags"),
        ("a: !!int \"3\"\n", 1, 4, "tags"),
        ("!mine a: 1\n", 1, 1, "tags"),
        ("<<: {a: 1}\n", 1, 1, "merge keys"),
        ("a: 1\n<<: {b: 1}\n", 2, 1, "merge keys"),
        ("a: 1\nb: 2\na: 3\n", 1, 1, "'a' stands twice"),
        ("t:\n  - {x: 1, \"x\": 2}\n", 2, 6, "'x' stands twice"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second document"),
        ("[a]: 1\n", 1, 1, "a key is a text"),
        ("? {a: 1}\n: 2\n", 1, 3, "a key is a text"),
        ("a: [1, 2\nb: 3\n", 2, 2, "is not YAML"),
        ("a: \"\\x00\"\n", 1, 4, "control character U+0000"),
        ("a: \"x\\e[31m\"\n", 1, 4, "control character U+001B"),
        ("\"a\\tb\\r\": 1\n", 1, 1, "control character U+000D"),
        ("a: \u{1}\n", 1, 4, "is not YAML"),
        ("", 1, 1, "holds nothing"),
        ("# only a comment\n", 1, 1, "holds nothing"),
        ("a:\n\t- b\n", 2, 1, "is not YAML"),
        ("a: @b\n", 1, 4, "is not YAML"),
        ("\"\": 1\n", 1, 1, "a key is missing"),
    ])
    func whatSaysSomethingElseThanItSeemsIsRefusedWithItsPlace(text: String, line: Int, column: Int, message: String) throws {
        let fault = try #require(refusal(of: text))
        #expect(fault.message.contains(message), "\(fault)")
        #expect(fault.line == line && fault.column == column, "\(fault)")
    }

    @Test func aTextThatOnlyLooksLikeAnAliasIsRead() throws {
        let text = """
            patterns: [kitchener.ca/*, "kitchener.ca/**", 'auckland.nz/a*']
            prose: "R&D and *important* notes, Smith & Sons"
            """
        #expect(try YAMLDocument.read(text)["prose"] != nil)
    }

    @Test func aBombOfAliasesEndsAtOnce() throws {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...12 {
            text += "a\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ") + "]\n"
        }
        text += "? *a12\n: 1\n"
        #expect(try #require(refusal(of: text)).message.contains("aliases"))
    }

    @Test func nestingIsBoundedForListsMapsAndBoth() throws {
        func nested(_ depth: Int) -> String { String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "\n" }
        #expect(refusal(of: nested(YAMLDocument.depthMax)) == nil)
        #expect(try #require(refusal(of: nested(YAMLDocument.depthMax + 1))).message.contains("nested deeper"))
        #expect(refusal(of: nested(900))?.message.contains("nested deeper") == true)
        #expect(refusal(of: nested(100_000)) != nil)
        #expect(refusal(of: String(repeating: "- ", count: 60_000) + "x\n") != nil)
        #expect(
            refusal(of: String(repeating: "{a: ", count: 60) + "1" + String(repeating: "}", count: 60))?.message.contains(
                "nested deeper") == true)
    }

    @Test func aFileThatIsTooLargeOrNoUTF8IsRefused() throws {
        let large = "a: \"" + String(repeating: "x", count: YAMLDocument.bytesMax) + "\"\n"
        #expect(try #require(refusal(of: large)).message.contains("bytes"))
        #expect(throws: YAMLFault(line: 2, column: 5, message: "the file is not UTF-8 text")) {
            try YAMLDocument.read(Array("a: ü\nb: x".utf8) + [0xFF] + Array("\n".utf8))
        }
        #expect(try YAMLDocument.read([0xEF, 0xBB, 0xBF] + Array("a: 1\n".utf8))["a"] != nil)
    }

    @Test func theLargestFileOfKeysIsReadInReasonableTime() throws {
        var text = ""
        var number = 0
        while text.utf8.count < YAMLDocument.bytesMax - 20 {
            text += "k\(number): 1\n"
            number += 1
        }
        guard case .map(let entries) = try YAMLDocument.read(text).content else {
            Issue.record("not a map")
            return
        }
        #expect(entries.count == number)
    }

    /// Any bytes give a tree or a fault: random edits of a real file.
    @Test(arguments: 1...8) func noInputTraps(seed: UInt64) {
        var random = Seeded(seed)
        let alphabet = Array("abc:-?[]{},&*#|>!%@`'\"\\ \n\t0\u{0}<~.".utf8) + [0xC3, 0xFF]
        let base = Array("a: {b: [1, 'x'], c: \"y\"}\nlist:\n  - z: |\n      text\n  - >-\n    more\n".utf8)
        for round in 0..<400 {
            var bytes = base
            for _ in 0..<(1 + random.below(6)) {
                let at = random.below(bytes.count)
                switch random.below(3) {
                case 0: bytes[at] = alphabet[random.below(alphabet.count)]
                case 1: bytes.insert(alphabet[random.below(alphabet.count)], at: at)
                default: if bytes.count > 1 { bytes.remove(at: at) }
                }
            }
            do throws(YAMLFault) { _ = try YAMLDocument.read(bytes) } catch {
                #expect(error.line >= 1 && error.column >= 1, "seed \(seed) round \(round): \(error)")
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same on every machine.
struct Seeded {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
