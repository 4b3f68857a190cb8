import Foundation
import HansaCore
import Testing

private func fault(_ text: String, integersOnly: Bool = true, depthMax: Int = 32) -> JSONFault.Kind? {
    fault(Array(text.utf8), integersOnly: integersOnly, depthMax: depthMax)
}

private func fault(_ bytes: [UInt8], integersOnly: Bool = true, depthMax: Int = 32) -> JSONFault.Kind? {
    do throws(JSONFault) {
        try StrictJSON.check(bytes, depthMax: depthMax, integersOnly: integersOnly)
        return nil
    } catch {
        return error.kind
    }
}

@Suite struct StrictJSONTests {
    @Test(arguments: [
        "{}", "[]", "null", "true", " false ", "0", "-1", "\"\"", "9223372036854775807", "-9223372036854775808",
        "{\"a\":[1,{\"a\":2}],\"b\":{\"a\":1}}", "\r\n\t {\"\" : [ ] , \"x\" : { } }\n", "[[],[[]],{}]",
        "\"L\u{FC}beck \\u00fc \\ud83d\\ude00 \\/ \\b\\f\\n\\r\\t\\\"\\\\\"", "\"\u{1F600}\u{7F}\u{FEFF}\"",
        "{\"a\":1,\"A\":2,\"\\u0062\":3}",
        "\"\\u0000\"",
    ])
    func whatRFC8259AllowsPasses(text: String) { #expect(fault(text) == nil) }

    @Test func emptyAndCutTextsAreRefused() {
        for text in [
            "", " ", "{", "[", "\"", "\"a", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "[1", "[1,", "tru", "nul", "\"\\",
            "\"\\u12",
        ] {
            #expect(fault(text) == .truncated, "\(text)")
        }
    }

    @Test func aByteOrderMarkIsRefused() {
        #expect(fault("\u{FEFF}{}") == .byteOrderMark)
        #expect(fault([0xFF, 0xFE, 0x7B, 0x00]) == .unexpected(0xFF))
    }

    @Test func textAfterTheValueIsRefused() {
        for text in ["{}{}", "1 1", "[]]", "{}x", "null\u{0}"] { #expect(fault(text) == .trailing, "\(text)") }
    }

    @Test func wrongPunctuationIsRefused() {
        for text in [
            "{,}", "{\"a\":1,}", "[1,]", "[,1]", "{\"a\" 1}", "{1:2}", "{a:1}", "{'a':1}", "[1 2]", "{\"a\":1]", "[1}", "// c\n1",
            "/**/1",
            "NaN", "Infinity", "+1", ".5", "True", "nulx", "{\"a\":1 \"b\":2}", "\u{A0}1", "{\"a\"::1}", "{\"a\",1}",
        ] {
            guard case .unexpected = fault(text) else {
                Issue.record("\(text): \(String(describing: fault(text)))")
                continue
            }
        }
    }

    @Test func duplicateKeysAreRefused() {
        #expect(fault("{\"a\":1,\"a\":1}") == .duplicateKey("a"))
        #expect(fault("{\"a\":1,\"b\":{\"a\":1,\"c\":1,\"a\":2}}") == .duplicateKey("a"))
        #expect(fault("[{\"x\":[{\"\":1,\"\":1}]}]") == .duplicateKey(""))
    }

    @Test func keysAreComparedAfterUnescaping() {
        #expect(fault("{\"a\":1,\"\\u0061\":1}") == .duplicateKey("a"))
        #expect(fault("{\"\\u0061\":1,\"\\u0061\":1}") == .duplicateKey("a"))
        #expect(fault("{\"\u{1F600}\":1,\"\\uD83d\\uDe00\":1}") == .duplicateKey("\u{1F600}"))
        #expect(fault("{\"a/b\":1,\"a\\/b\":1}") == .duplicateKey("a/b"))
        #expect(fault("{\"\\n\":1,\"\\u000a\":1}") == .duplicateKey("\n"))
    }

    /// Foundation's decoder keys its dictionaries by Swift's strings, for which these are equal: it would drop one of the two.
    @Test func keysAreComparedAsDecodersCompareThem() {
        #expect(fault("{\"\u{E9}\":1,\"e\u{301}\":1}") == .duplicateKey("e\u{301}"))
        #expect(fault("{\"\\u00e9\":1,\"e\\u0301\":1}") == .duplicateKey("e\u{301}"))
        #expect(fault("{\"\u{E9}\":1,\"e\":1,\"\u{E8}\":{\"\u{E9}\":2}}") == nil)
        #expect(fault("{\"recordsKept\":1,\"records\u{212A}ept\":1}") == .ambiguousKey("records\u{212A}ept"))
        #expect(fault("{\"records\\u212aept\":1}") == .ambiguousKey("records\u{212A}ept"))
    }

    @Test func everyCharacterThatSwiftTakesForAnASCIIOneIsRefusedInKeys() {
        let ascii = Set((0..<128).map { String(UnicodeScalar(UInt8($0))) })
        for value in UInt32(128)...0x10FFFF {
            guard let scalar = UnicodeScalar(value) else { continue }
            guard ascii.contains(String(scalar)) else { continue }
            #expect(fault("{\"\(scalar)\":1}") == .ambiguousKey(String(scalar)))
        }
        for scalar in ["\u{37E}", "\u{1FEF}", "\u{212A}"] {
            #expect(fault("{\"a\(scalar)b\":1}") == .ambiguousKey("a\(scalar)b"))
            #expect(fault("[\"\(scalar)\"]") == nil)
        }
    }

    @Test func aDuplicateAmongManyKeysIsFound() {
        for count in [2, 15, 16, 17, 18, 100, 5000] {
            let names = (0..<count).map { "\"k\($0)\":0" }
            #expect(fault("{" + names.joined(separator: ",") + "}") == nil)
            let again = names + ["\"\\u006b\(count / 2)\":{}"]
            #expect(fault("{" + again.joined(separator: ",") + "}") == .duplicateKey("k\(count / 2)"))
        }
    }

    @Test func depthIsBounded() {
        func nested(_ depth: Int) -> String { String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
        #expect(fault(nested(32)) == nil)
        #expect(fault(nested(33)) == .tooDeep(limit: 32))
        #expect(fault(nested(64), depthMax: 64) == nil)
        #expect(fault(nested(65), depthMax: 64) == .tooDeep(limit: 64))
        #expect(fault(String(repeating: "[", count: 10_000)) == .tooDeep(limit: 32))
        #expect(fault(String(repeating: "{\"a\":", count: 10_000)) == .tooDeep(limit: 32))
        let alternating = String(repeating: "[{\"a\":", count: 16) + "1" + String(repeating: "}]", count: 16)
        #expect(fault(alternating) == nil)
    }

    @Test func sizeIsBounded() {
        let bytes = Array("[\(String(repeating: " ", count: 100))]".utf8)
        #expect(throws: JSONFault(.tooLarge(limit: 101), at: 101)) { try StrictJSON.check(bytes, bytesMax: 101) }
        #expect(throws: Never.self) { try StrictJSON.check(bytes, bytesMax: 102) }
    }

    @Test func loneSurrogatesAreRefused() {
        for text in [
            "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800x\"", "\"\\ud800\\n\"", "\"\\ud800\\ud800\"", "\"\\udc00\\ud800\"",
            "{\"\\ud800\":1}",
        ] {
            #expect(fault(text) == .loneSurrogate, "\(text)")
        }
        // The same encoded as bytes (CESU-8) is no UTF-8.
        #expect(fault([0x22, 0xED, 0xA0, 0x80, 0x22]) == .notUTF8)
    }

    @Test func badUTF8IsRefused() {
        let sequences: [[UInt8]] = [
            [0x80], [0xBF], [0xC0, 0x80], [0xC1, 0xBF], [0xC3], [0xC3, 0x28], [0xE0, 0x80, 0x80], [0xE0, 0x9F, 0xBF],
            [0xE2, 0x82],
            [0xE2, 0x82, 0x28], [0xF0, 0x80, 0x80, 0x80], [0xF0, 0x8F, 0xBF, 0xBF], [0xF4, 0x90, 0x80, 0x80],
            [0xF5, 0x80, 0x80, 0x80],
            [0xF0, 0x9F, 0x98], [0xFE], [0xFF],
        ]
        for sequence in sequences {
            #expect(fault([0x22] + sequence + [0x22]) == .notUTF8, "\(sequence)")
            #expect(fault([0x22] + sequence) == .notUTF8, "\(sequence)")
            #expect(fault([0x7B, 0x22] + sequence + Array("\":1}".utf8)) == .notUTF8, "\(sequence)")
        }
    }

    @Test func controlCharactersAndUnknownEscapesAreRefused() {
        #expect(fault("\"a\nb\"") == .control(10))
        #expect(fault("\"\u{0}\"") == .control(0))
        #expect(fault("\"\u{1F}\"") == .control(31))
        for text in ["\"\\x41\"", "\"\\'\"", "\"\\u12g4\"", "\"\\U0041\"", "\"\\\n\"", "\"\\u+041\""] {
            #expect(fault(text) == .badEscape, "\(text)")
        }
    }

    @Test func numbersAreAsTheGrammarSays() {
        for text in ["01", "-01", "00", "007"] { #expect(fault(text) == .leadingZero, "\(text)") }
        for text in ["-", "-a", "1.", "1.e1", "1e", "1e+", "--1"] {
            #expect(fault(text, integersOnly: false) == .badNumber, "\(text)")
        }
        for text in ["1.5", "1.0", "1e2", "1E2", "1e+2", "1e-2", "-0", "0.0", "0e0", "-0.0", "1e999999999"] {
            #expect(fault(text) == .notInteger, "\(text)")
            #expect(fault(text, integersOnly: false) == nil, "\(text)")
        }
        for text in [
            "9223372036854775808", "-9223372036854775809", "18446744073709551616", "-18446744073709551616",
            String(repeating: "9", count: 4000),
        ] {
            #expect(fault(text) == .integerTooLarge, "\(text)")
            #expect(fault(text, integersOnly: false) == nil, "\(text)")
        }
        // 2^64 · 10 wraps to 0 in 64 bits; it is still no −0.
        #expect(fault("-184467440737095516160") == .integerTooLarge)
        #expect(fault("1x") == .trailing)
        #expect(fault("0x10") == .trailing)
    }

    @Test func theFaultNamesThePlace() {
        #expect(throws: JSONFault(.leadingZero, at: 5)) { try StrictJSON.check(Array("{\"a\":01}".utf8)) }
        #expect(throws: JSONFault(.duplicateKey("a"), at: 7)) { try StrictJSON.check(Array("{\"a\":1,\"a\":2}".utf8)) }
        #expect(
            JSONFault(.duplicateKey("\u{1B}[31m"), at: 7).description == "the key '\u{FFFD}[31m' twice in one object, at byte 7")
    }

    /// Each of these is as large as a document may be and is made to be slow for a scanner that is careless somewhere.
    @Test(.timeLimit(.minutes(1))) func hostileDocumentsCostMilliseconds() {
        let limit = Limits.documentBytesMax
        func filled(_ prefix: String, _ item: (Int) -> String, _ suffix: String) -> [UInt8] {
            var text = prefix
            var index = 0
            while text.utf8.count + suffix.utf8.count + 64 < limit {
                if index > 0 { text += "," }
                text += item(index)
                index += 1
            }
            return Array((text + suffix).utf8)
        }
        let long = String(repeating: "k", count: 1000)
        let documents: [(String, [UInt8])] = [
            ("many keys", filled("{", { "\"\($0)\":0" }, "}")),
            ("many escaped keys", filled("{", { "\"\\u006b\($0)\":0" }, "}")),
            ("many keys of accents", filled("{", { "\"e\u{301}\($0)\":0" }, "}")),
            ("long common prefixes", filled("{", { "\"\(long)\($0)\":0" }, "}")),
            ("many small objects", filled("[", { _ in "{\"a\":0,\"b\":1}" }, "]")),
            (
                "objects of sixteen keys",
                filled("[", { _ in "{" + (0..<16).map { "\"\($0)\":0" }.joined(separator: ",") + "}" }, "]")
            ),
            ("one long number", Array(String(repeating: "7", count: limit).utf8)),
            ("one long string of escapes", Array(("\"" + String(repeating: "\\u0061", count: limit / 6 - 1) + "\"").utf8)),
            ("one long key of escapes", Array(("{\"" + String(repeating: "\\u0061", count: limit / 6 - 4) + "\":0}").utf8)),
        ]
        // A release build takes one to six milliseconds for each; a careless scanner takes minutes.
        for (name, bytes) in documents {
            let first = fault(bytes)
            for _ in 0..<3 { #expect(fault(bytes) == first, "\(name)") }
        }
    }
}

@Suite struct StrictJSONFuzzTests {
    /// Whatever the scanner passes, Foundation decodes; and no bytes make either trap.
    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func whatPassesFoundationReads(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let start = Array(
            #"{"schema":"x/1","a":[1,-20,{"é":"\u00e9\ud83d\ude00\n"},[]],"b":{"c":null,"d":true,"e":false},"f":"Lübeck","g":9007199254740993}"#
                .utf8)
        var passed = 0
        for _ in 0..<4000 {
            var bytes = start
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<5, using: &random) {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.remove(at: place)
                case 2: bytes.insert(Array("{}[]\",:0123456789-+.eE\\u nt".utf8).randomElement(using: &random) ?? 0, at: place)
                case 3:
                    let other = Int.random(in: 0..<bytes.count, using: &random)
                    bytes.replaceSubrange(min(place, other)..<max(place, other), with: [])
                default:
                    let other = Int.random(in: 0..<bytes.count, using: &random)
                    bytes.insert(contentsOf: bytes[min(place, other)..<max(place, other)], at: place)
                }
                if bytes.isEmpty { bytes = start }
            }
            guard (try? StrictJSON.check(bytes)) != nil else { continue }
            passed += 1
            #expect(throws: Never.self, "seed \(seed): \(String(decoding: bytes, as: UTF8.self))") {
                try JSONDecoder().decode(JSONValue.self, from: Data(bytes))
            }
        }
        #expect(passed > 20, "seed \(seed)")
    }
}
