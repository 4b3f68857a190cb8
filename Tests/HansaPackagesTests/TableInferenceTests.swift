import HansaPackages
import Testing

@Suite struct TableInferenceTests {
    private func types(_ values: [String]) throws -> TableFieldType? {
        // A second column keeps rows with a missing value from being blank.
        try infer("a,b\n" + values.map { "\($0),x\n" }.joined()).fields.first?.type
    }

    @Test func typesAreRecognised() throws {
        #expect(try types(["1", "-2", "0", "123456789012345678"]) == .integer)
        #expect(try types(["1", "2.5"]) == .number)
        #expect(try types(["4.0", ".5", "5.", "-0.25", "1e6", "1.5E-10", "NaN", "INF", "-INF"]) == .number)
        #expect(try types(["true", "FALSE", "True"]) == .boolean)
        #expect(try types(["2024-02-29", "0001-01-01"]) == .date)
        #expect(try types(["23:59:59", "00:00:00"]) == .time)
        #expect(try types(["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.123456+02:00", "2024-02-29T00:00:00"]) == .datetime)
        #expect(try types(["2024-02-29 10:00:00"]) == .datetimeSpaced)
        #expect(try types(["abc"]) == .string)
        #expect(try types(["", ""]) == .unknown)
    }

    @Test func identifiersThatLookLikeNumbersStayText() throws {
        for value in [
            "007", "+49123", "1234567890123456789", "00.5", "1 000", "1,5".replacing(",", with: "·"), " 1", "1 ", "0x10",
            "1e9999", "-", ".", "-.", "e5",
        ] {
            #expect(try types([value]) == .string, "\(value)")
        }
        for value in [
            "2023-02-29", "0000-01-01", "2024-13-01", "24:00:00", "12:60:00", "2024-01-01T10:00", "2024-01-01 10:00:00Z",
            "2024-1-01",
        ] {
            #expect(try types([value]) == .string, "\(value)")
        }
    }

    @Test func typesWiden() throws {
        #expect(try types(["1", "", "2.5", "3"]) == .number)
        #expect(try types(["1", "x"]) == .string)
        #expect(try types(["1", "007"]) == .string)
        #expect(try types(["2.5", "007"]) == .string)
        #expect(try types(["true", "1"]) == .string)
        #expect(try types(["2024-02-29", "2024-02-29T00:00:00Z"]) == .string)
        #expect(try types(["", "2024-02-29"]) == .date)
    }

    @Test func missingValuesAreCounted() throws {
        let table = try infer("a,b\n1,\n\"\",2\n,\n")
        #expect(table.fields.map(\.missing) == [2, 2])
        #expect(table.rows == 3)
    }

    @Test func markersOfMissingValuesCountOnlyWhereOtherValuesHaveAType() throws {
        let table = try infer("a,b,c,d\nNA,NA,NA,1\n1,x,NA,null\nN/A,y,NA,2\n")
        #expect(table.fields.map(\.type) == [.integer, .string, .unknown, .integer])
        #expect(table.fields.map(\.missing) == [2, 0, 0, 1])
        #expect(table.fields.map(\.missingValues) == [["NA", "N/A"], [], [], ["null"]])
        #expect(try infer("k,v\nNA,x\n1,y\n").primaryKey == nil)
        #expect(try types(["NA", "1", "x"]) == .string)
    }

    @Test func delimitersAreSniffed() throws {
        #expect(try infer("a;b;c\n1,5;2;3\n2,5;3;4\n").delimiter == UInt8(ascii: ";"))
        #expect(try infer("a\tb\n1,2\t3\n").delimiter == 0x09)
        #expect(try infer("a|b\n1|2\n").delimiter == UInt8(ascii: "|"))
        #expect(try infer("a\n1\n").delimiter == UInt8(ascii: ","))
        #expect(try infer("\"a;b;c\",d\n\"x;y\",2\n").delimiter == UInt8(ascii: ","))
    }

    @Test func fieldNamesAreMadeUnique() throws {
        let table = try infer("a,,a,a_2,\n1,2,3,4,5\n")
        #expect(table.fields.map(\.name) == ["a", "field2", "a_3", "a_2", "field5"])
        #expect(table.notes.count == 3)
    }

    @Test func raggedAndBlankRowsAreNoted() throws {
        let table = try infer("a,b\n1,2\n\n3\n4,5,6\n")
        #expect(table.rows == 3)
        #expect(table.notes == [.raggedRows(count: 2, row: 4), .blankRows(count: 1)])
        #expect(table.fields.map(\.missing) == [0, 1])
    }

    @Test func aByteOrderMarkIsNoPartOfTheFirstName() throws {
        let table = try infer("\u{FEFF}a,b\n1,2\n")
        #expect(table.fields.map(\.name) == ["a", "b"])
        #expect(table.notes == [.byteOrderMark])
    }

    @Test func keysAreFoundOnlyWhereValuesAreUniqueAndPresent() throws {
        #expect(try infer("k,v\n1,x\n2,x\n").primaryKey == ["k"])
        #expect(try infer("k,v\n1,x\n1,y\n2,x\n").primaryKey == ["k", "v"])
        #expect(try infer("k,v\n1,x\n1,x\n").primaryKey == nil)
        #expect(try infer("k,v\n1,x\n,y\n").primaryKey == nil)
        #expect(try infer("k,v\n1.5,x\n2.5,x\n").primaryKey == nil)
        #expect(try infer("v,id\nx,1\nx,2\n").primaryKey == ["id"])
        #expect(try infer("k,v\n").primaryKey == nil)
        // ("ab", "c") is another pair than ("a", "bc").
        #expect(try infer("k,v,w\nab,c,\na,bc,\nab,d,\n").primaryKey == ["k", "v"])
        // A first column of measurements is passed over, though unique.
        #expect(try infer("lat,id\n1.5,7\n2.5,8\n").primaryKey == ["id"])
        #expect(try infer("k,v\n1,2\n3\n").primaryKey == ["k"])
        #expect(try infer("v,id\nx,2\nx\n").primaryKey == nil)
    }

    @Test func theSearchForAKeyIsBounded() throws {
        let text = "k\n" + (0..<50).map { "\($0)\n" }.joined()
        #expect(try infer(Array(text.utf8), keyRowsMax: 50).primaryKey == ["k"])
        let bounded = try infer(Array(text.utf8), keyRowsMax: 49)
        #expect(bounded.primaryKey == nil)
        #expect(bounded.notes == [.keyNotSought(rowsMax: 49)])
    }

    @Test func hostileFilesArePlainFiles() {
        #expect(throws: TableFault.empty) { try infer("") }
        #expect(throws: TableFault.empty) { try infer("\n\n\n") }
        #expect(throws: TableFault.csv(.nul(row: 2))) { try infer("a,b\n1,\0\n") }
        #expect(throws: TableFault.csv(.openQuote(row: 2))) { try infer("a,b\n1,\"2\n") }
        #expect(throws: TableFault.csv(.notUTF8(row: 2))) { try infer(Array("a,b\n1,".utf8) + [0xE9, 0x0A]) }
    }

    @Test func aLongLineEndsInAFaultAndNotInMemory() throws {
        var inference = TableInference()
        let piece = [UInt8](repeating: 0x61, count: 1 << 16)
        for _ in 0..<64 where inference.wantsMore { piece.withUnsafeBytes { inference.feed($0) } }
        #expect(!inference.wantsMore)
        #expect(throws: TableFault.csv(.fieldTooLong(row: 1, bytesMax: CSVReader.fieldBytesMaxDefault))) {
            try inference.finish()
        }
    }

    @Test(arguments: 0..<60 as Range<UInt64>)
    func piecesGiveTheSameTable(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let values = ["1", "2.5", "", "x", "\"a,b\"", "\"q\"\"q\"", "true", "2024-01-31", "\"line\nbreak\"", "ü"]
        var text = "k,a,b,c\n"
        for row in 0..<Int.random(in: 0..<3000, using: &random) {
            text += "\(seed % 2 == 0 ? row : row / 2)"
            for _ in 0..<3 { text += "," + (values.randomElement(using: &random) ?? "") }
            text += Bool.random(using: &random) ? "\n" : "\r\n"
        }
        let bytes = Array(text.utf8)
        let whole = try infer(bytes)
        for pieceBytes in [1, 7, 64, 4096, 65_536, 65_537] {
            #expect(try infer(bytes, pieceBytes: pieceBytes) == whole, "seed \(seed), pieces of \(pieceBytes)")
        }
    }

    @Test func aucklandsCountsHaveNoKeyAndTwentyFourFields() throws {
        guard let bytes = sharedData("auckland/hourly_counts.csv") else { return }
        let table = try infer(bytes, pieceBytes: 1 << 20)
        #expect(table.rows == 61_367)
        #expect(table.primaryKey == nil)
        #expect(table.notes == [])
        #expect(table.fields.count == 24)
        #expect(table.fields.prefix(4).map(\.type) == [.date, .string, .integer, .number])
        #expect(table.fields.dropFirst(3).allSatisfy { $0.type == .number && $0.missing > 0 })
        guard let places = sharedData("auckland/locations.csv") else { return }
        let locations = try infer(places)
        #expect(locations.rows == 21)
        #expect(locations.primaryKey == ["Address"])
        #expect(locations.fields.map(\.type) == [.string, .number, .number])
    }

    @Test func airportsAreKeyedByTheirCode() throws {
        for name in ["airports/20260803.csv", "airports/20260905.csv"] {
            guard let bytes = sharedData(name) else { return }
            let table = try infer(bytes)
            #expect(table.primaryKey == ["icao"])
            #expect(table.rows > 28_000)
            #expect(table.fields.map(\.type).prefix(3) == [.string, .string, .string])
        }
    }
}
