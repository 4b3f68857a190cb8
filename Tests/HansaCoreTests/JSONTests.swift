import Foundation
import HansaCore
import Testing

@Suite struct JSONWriterTests {
    @Test func membersStandInTheOrderOfTheCalls() {
        var writer = JSONWriter()
        writer.object { object in
            object.field("schema", "hansa.test/1")
            object.field("z", 1)
            object.field("a", UInt64.max)
            object.field("low", Int64.min)
            object.field("yes", true)
            object.null("nothing")
            object.field("absent", nil as String?)
            object.field("digest", Digest.zero)
            object.field("time", Timestamp(milliseconds: 1))
            object.array("list") { list in
                list.value("x")
                list.value(2)
                list.null()
                list.object { _ in }
                list.array { $0.raw(Array("[1]".utf8)) }
            }
            object.object("empty") { _ in }
            object.field("value", ["k": [1, 2.5, nil, true]] as JSONValue)
            object.raw("raw", Array("{}".utf8))
        }
        let zeros = String(repeating: "0", count: 64)
        #expect(
            String(decoding: writer.finish(), as: UTF8.self)
                == #"{"schema":"hansa.test/1","z":1,"a":18446744073709551615,"low":-9223372036854775808,"yes":true,"nothing":null,"#
                + #""absent":null,"digest":"sha256:\#(zeros)","time":"1970-01-01T00:00:00.001Z","list":["x",2,null,{},[[1]]],"empty":{},"#
                + #""value":{"k":[1,2.5,null,true]},"raw":{}}"#)
    }

    @Test func onlyControlsQuotesAndBackslashesAreEscaped() {
        let text = JSONValue.string("\u{0}\u{8}\t\n\u{B}\u{C}\r\u{1F}\"\\/\u{7F}é\u{2028}\u{1F600}").serialized()
        #expect(String(decoding: text, as: UTF8.self) == #""\u0000\b\t\n\u000b\f\r\u001f\"\\/"# + "\u{7F}é\u{2028}\u{1F600}\"")
    }

    @Test func prettyTextIsIndentedByTwo() {
        let value: JSONValue = ["a": [1, [:], []], "b": ["c": nil]]
        #expect(
            String(decoding: value.serialized(pretty: true), as: UTF8.self) == """
                {
                  "a": [
                    1,
                    {},
                    []
                  ],
                  "b": {
                    "c": null
                  }
                }

                """)
    }

    @Test func numbersThatJSONLacksBecomeNull() {
        #expect(
            JSONValue.array([.double(.infinity), .double(.nan), .double(-.infinity), 0.5, .double(1e300)]).serialized()
                == Array("[null,null,null,0.5,1e+300]".utf8))
    }
}

@Suite struct JSONValueTests {
    private func random(_ random: inout SeededRandom, depth: Int) -> JSONValue {
        switch Int.random(in: 0..<(depth > 3 ? 5 : 8), using: &random) {
        case 0: return .null
        case 1: return .bool(Bool.random(using: &random))
        case 2: return .integer(Int64(bitPattern: random.next()))
        case 3: return .double(Double(Int64.random(in: -1000...1000, using: &random)) + 0.5)
        case 4: return .string(text(&random))
        case 5, 6:
            var names: Set<String> = []
            return .object(
                (0..<Int.random(in: 0...5, using: &random)).compactMap { _ in
                    let name = text(&random)
                    return names.insert(name).inserted ? JSONMember(name, self.random(&random, depth: depth + 1)) : nil
                })
        default: return .array((0..<Int.random(in: 0...5, using: &random)).map { _ in self.random(&random, depth: depth + 1) })
        }
    }

    private func text(_ random: inout SeededRandom) -> String {
        let pool: [UnicodeScalar] = [
            "a", "b", "\"", "\\", "/", "\n", "\u{0}", "\u{1F}", "é", "\u{2028}", "\u{1F600}", "\u{FFFF}", "z",
        ]
        var text = ""
        for _ in 0..<Int.random(in: 0...6, using: &random) {
            text.unicodeScalars.append(pool.randomElement(using: &random) ?? "a")
        }
        return text
    }

    /// What the writer writes the scanner passes and Foundation reads as the same value.
    @Test(arguments: [1, 2, 3] as [UInt64]) func everyValueReadsBack(seed: UInt64) throws {
        var generator = SeededRandom(seed: seed)
        for _ in 0..<500 {
            let value = random(&generator, depth: 0)
            for bytes in [value.serialized(), value.serialized(pretty: true)] {
                try StrictJSON.check(bytes, integersOnly: false)
                let read = try JSONDecoder().decode(JSONValue.self, from: Data(bytes))
                #expect(read == value.sortedByName(), "seed \(seed): \(String(decoding: bytes, as: UTF8.self))")
            }
        }
    }

    @Test func theEncoderOfFoundationWritesTheSameValue() throws {
        let value: JSONValue = ["a": [1, 2.5, nil, true, "x"], "b": ["c": [:]]]
        let bytes = try JSONEncoder().encode(value)
        #expect(try JSONDecoder().decode(JSONValue.self, from: bytes) == value)
    }

    @Test func wholeNumbersAreIntegersAndTheOthersDoubles() throws {
        func read(_ text: String) throws -> JSONValue { try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)) }
        #expect(try read("9223372036854775807") == .integer(.max))
        #expect(try read("-9223372036854775808") == .integer(.min))
        #expect(try read("1.5") == .double(1.5))
        #expect(throws: DecodingError.self) { try read("1e400") }
    }

    @Test func membersAreFoundByName() {
        let value: JSONValue = ["a": 1, "b": [true, "x"], "c": nil, "d": 2.5]
        #expect(value["a"]?.integer == 1)
        #expect(value["a"]?.double == 1)
        #expect(value["b"]?[1]?.string == "x")
        #expect(value["b"]?[0]?.bool == true)
        #expect(value["b"]?[2] == nil)
        #expect(value["c"]?.isNull == true)
        #expect(value["d"]?.double == 2.5)
        #expect(value["e"] == nil)
        #expect(value.object?.map(\.name) == ["a", "b", "c", "d"])
        #expect(JSONValue(UInt64.max) == .double(18_446_744_073_709_551_616))
    }
}
