import HansaCore
import HansaLog
import Testing

@Suite struct LogEntryTests {
    private func full(details: JSONValue? = ["count": 3, "text": "a\"b\u{1B}"]) throws -> LogEntry {
        LogEntry(
            index: 17, time: try #require(Timestamp("2026-01-31T12:00:00.007Z")), event: .accessDenied, outcome: .refused,
            actor: "admin:5f1c", partner: try CityID("luebeck.example"), partnerSeq: 9,
            package: try PackageID("kitchener.ca/roads/breaks"),
            release: Digest(1, 2, 3, 4), agreement: Digest(5, 6, 7, 8), clause: "§2", grant: "g-0123456789",
            transfer: [UInt8](repeating: 0xAB, count: 16), reason: "ceiling", details: details, salt: Array(0..<16))
    }

    @Test func anEntryIsWrittenInTheOrderOfTheFormat() throws {
        let text = String(decoding: try full().encoded(), as: UTF8.self)
        #expect(
            text
                == #"{"v":1,"index":17,"time":"2026-01-31T12:00:00.007Z","event":"access.denied","outcome":"refused","actor":"admin:5f1c","#
                + #""partner":"luebeck.example","partnerSeq":9,"package":"kitchener.ca/roads/breaks","#
                + #""release":"sha256:0000000000000001000000000000000200000000000000030000000000000004","#
                + #""agreement":"sha256:0000000000000005000000000000000600000000000000070000000000000008","clause":"§2","grant":"g-0123456789","#
                + #""transfer":"abababababababababababababababab","reason":"ceiling","details":{"count":3,"text":"a\"b\u001b"},"#
                + #""salt":"000102030405060708090a0b0c0d0e0f"}"#)
    }

    @Test func absentFieldsAreLeftOut() throws {
        let entry = LogEntry(index: 0, time: Timestamp(seconds: 0), event: .nodeStarted, actor: "node", salt: Array(0..<16))
        #expect(
            String(decoding: try entry.encoded(), as: UTF8.self)
                == #"{"v":1,"index":0,"time":"1970-01-01T00:00:00.000Z","event":"node.start","outcome":"ok","actor":"node","#
                + #""salt":"000102030405060708090a0b0c0d0e0f"}"#)
        #expect(try LogEntry(entry.encoded()) == entry)
    }

    @Test func anEntryReadsBack() throws {
        let entry = try full()
        #expect(try LogEntry(entry.encoded()) == entry)
    }

    @Test func anEntryOfANewerCatalogueIsRead() throws {
        let text =
            #"{"v":1,"index":0,"time":"1970-01-01T00:00:00.000Z","event":"moon.landed","outcome":"ok","actor":"node","#
            + #""later":[1],"salt":"000102030405060708090a0b0c0d0e0f"}"#
        let entry = try LogEntry(Array(text.utf8))
        #expect(entry.event == nil && entry.eventID == "moon.landed")
    }

    @Test func anEntryIsAtMost65535BytesLong() throws {
        let bare = try full(details: "").encoded().count
        #expect(try full(details: .string(String(repeating: "x", count: 65_535 - bare))).encoded().count == 65_535)
        #expect(throws: LogEntryFault.tooLong(65_536)) {
            try full(details: .string(String(repeating: "x", count: 65_536 - bare))).encoded()
        }
    }

    private static let tail =
        #""time":"1970-01-01T00:00:00.000Z","event":"node.start","outcome":"ok","actor":"node","salt":"000102030405060708090a0b0c0d0e0f"}"#

    @Test(arguments: [
        "", "[]", "null", "{}", #"{"v":2,"index":0,"# + tail, #"{"v":1,"# + tail, #"{"v":1,"index":-1,"# + tail,
        #"{"v":1,"index":0.5,"# + tail,
        #"{"v":1,"index":9223372036854775808,"# + tail, #"{"v":1,"index":0,"index":0,"# + tail, #"{"v":1,"index":"0","# + tail,
        #"{"v":1,"index":0,"partner":"Not A City","# + tail, #"{"v":1,"index":0,"release":"00","# + tail,
        #"{"v":1,"index":0,"transfer":"ab","# + tail,
        #"{"v":1,"index":0,"# + tail.replacing("0e0f", with: "0e"),
        #"{"v":1,"index":0,"# + tail.replacing(#""ok""#, with: #""fine""#),
        #"{"v":1,"index":0,"# + tail.replacing("T00", with: " 00"), "\u{FEFF}" + #"{"v":1,"index":0,"# + tail,
        #"{"v":1,"index":0,"# + tail + " x",
    ])
    func whatIsNoEntryIsRefused(text: String) {
        #expect(throws: LogEntryFault.self) { try LogEntry(Array(text.utf8)) }
    }

    @Test func everyEventHasATitleAndASentence() {
        #expect(Set(LogEvent.allCases.map(\.title)).count == LogEvent.allCases.count)
        for event in LogEvent.allCases {
            #expect(event.description.hasSuffix(".") && event.rawValue.contains("."))
            #expect(event.rawValue.utf8.allSatisfy { (0x61...0x7A).contains($0) || $0 == 0x2E })
        }
    }
}
