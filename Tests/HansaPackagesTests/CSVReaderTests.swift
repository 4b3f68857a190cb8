import HansaPackages
import Testing

@Suite struct CSVReaderTests {
    @Test func theExamplesOfTheRFCAreReadAsItSays() throws {
        #expect(try readCSV("aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n") == [["aaa", "bbb", "ccc"], ["zzz", "yyy", "xxx"]])
        #expect(try readCSV("aaa,bbb,ccc\r\nzzz,yyy,xxx") == [["aaa", "bbb", "ccc"], ["zzz", "yyy", "xxx"]])
        #expect(
            try readCSV("\"aaa\",\"b \r\nbb\",\"ccc\"\r\nzzz,yyy,xxx") == [["aaa", "b \r\nbb", "ccc"], ["zzz", "yyy", "xxx"]])
        #expect(try readCSV("\"aaa\",\"b\"\"bb\",\"ccc\"") == [["aaa", "b\"bb", "ccc"]])
    }

    @Test func lineEndsMayBeMixed() throws {
        #expect(try readCSV("a,b\nc,d\r\ne,f\rg,h\n") == [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]])
        #expect(try readCSV("a\r\rb") == [["a"], [""], ["b"]])
        #expect(try readCSV("a\n\r\nb") == [["a"], [""], ["b"]])
    }

    @Test func emptyFieldsAndRowsAreKept() throws {
        #expect(try readCSV("") == [])
        #expect(try readCSV(",") == [["", ""]])
        #expect(try readCSV("\n") == [[""]])
        #expect(try readCSV("a,\n,b") == [["a", ""], ["", "b"]])
        #expect(try readCSV("\"\",\"\"\n\"\"") == [["", ""], [""]])
        #expect(try readCSV("\"\"\"\"") == [["\""]])
    }

    @Test func aByteOrderMarkIsSkippedOnceAndReported() throws {
        #expect(try readCSV("\u{FEFF}a,b\n") == [["a", "b"]])
        #expect(try readCSV("\u{FEFF}\"a\",b\n") == [["a", "b"]])
        #expect(try readCSV("\u{FEFF}\u{FEFF}a\n") == [["\u{FEFF}a"]])
        #expect(try readCSV("\u{FEFF}") == [])
        // Characters that begin like the mark.
        #expect(try readCSV("\u{F900}a,\u{FEFE}\n") == [["\u{F900}a", "\u{FEFE}"]])
    }

    @Test func aQuoteInsideABareFieldIsAnOrdinaryByte() throws {
        #expect(try readCSV("5\" pipe,a\"b\"\n") == [["5\" pipe", "a\"b\""]])
    }

    @Test func otherDelimitersWork() throws {
        #expect(try readCSV("a;b,c\n\"d;e\";f", delimiter: ";") == [["a", "b,c"], ["d;e", "f"]])
        #expect(try readCSV("a\tb\n", delimiter: "\t") == [["a", "b"]])
    }

    @Test func brokenTextIsAFaultWithItsRow() {
        #expect(throws: CSVFault.openQuote(row: 2)) { try readCSV("a,b\nc,\"d\n\n\n") }
        #expect(throws: CSVFault.textAfterQuote(row: 3)) { try readCSV("a\nb\n\"c\"d\n") }
        #expect(throws: CSVFault.nul(row: 2)) { try readCSV("a\nb\0c\n") }
        #expect(throws: CSVFault.notUTF8(row: 2)) { try readCSV(Array("a\n".utf8) + [0xFF, 0x0A]) }
        #expect(throws: CSVFault.notUTF8(row: 1)) { try readCSV([0x61, 0xC3]) }
        #expect(throws: CSVFault.notUTF8(row: 1)) { try readCSV([0xEF, 0xBB]) }
        // Overlong, surrogate, beyond Unicode.
        for bytes: [UInt8] in [[0xC0, 0x80], [0xE0, 0x9F, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x80]] {
            #expect(throws: CSVFault.notUTF8(row: 1)) { try readCSV(bytes) }
        }
    }

    @Test func fieldsAndRowsAreBounded() throws {
        let long = [UInt8](repeating: 0x61, count: 101)
        #expect(throws: CSVFault.fieldTooLong(row: 1, bytesMax: 100)) { try readCSV(long, fieldBytesMax: 100) }
        #expect(throws: CSVFault.fieldTooLong(row: 1, bytesMax: 100)) { try readCSV(long + [0x0A], fieldBytesMax: 100) }
        #expect(throws: CSVFault.fieldTooLong(row: 1, bytesMax: 100)) { try readCSV(long, cuts: [50], fieldBytesMax: 100) }
        #expect(throws: CSVFault.fieldTooLong(row: 1, bytesMax: 100)) {
            try readCSV([0x22] + long, cuts: [50, 60], fieldBytesMax: 100)
        }
        #expect(try readCSV(Array(long.dropLast()), fieldBytesMax: 100).texts.count == 1)
        let wide = [UInt8](repeating: 0x2C, count: CSVReader.fieldsMaxDefault)
        #expect(throws: CSVFault.tooManyFields(row: 1, countMax: CSVReader.fieldsMaxDefault)) { try readCSV(wide) }
    }

    @Test func aFaultIsRepeated() throws {
        var reader = CSVReader()
        var rows = Rows()
        #expect(throws: CSVFault.nul(row: 1)) { try [0].withUnsafeBytes { try reader.feed($0, to: &rows) } }
        #expect(throws: CSVFault.nul(row: 1)) { try [0x61].withUnsafeBytes { try reader.feed($0, to: &rows) } }
        #expect(throws: CSVFault.nul(row: 1)) { try reader.finish(to: &rows) }
    }

    /// How the input is cut never shows: random texts of the bytes that matter, all one-cut readings and some many-cut ones.
    @Test(arguments: 0..<400 as Range<UInt64>)
    func cuttingTheInputChangesNothing(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let alphabet: [[UInt8]] = [
            [0x2C], [0x2C], [0x0A], [0x0D], [0x0D, 0x0A], [0x22], [0x22], [0x22, 0x22], [0x61], Array("12345678".utf8),
            Array("ü".utf8),
            Array("😀".utf8), [0x2C, 0x22], [0x22, 0x2C], [0x22, 0x0A], [0x3B],
        ]
        var bytes: [UInt8] = seed % 5 == 0 ? [0xEF, 0xBB, 0xBF] : []
        for _ in 0..<Int.random(in: 0...30, using: &random) { bytes += alphabet.randomElement(using: &random) ?? [] }
        if seed % 17 == 0 { bytes.append([0, 0xFF, 0xC3].randomElement(using: &random) ?? 0) }
        let whole = outcome(bytes, cuts: [])
        for cut in bytes.indices { #expect(outcome(bytes, cuts: [cut]) == whole, "seed \(seed), cut \(cut)") }
        #expect(outcome(bytes, cuts: Array(bytes.indices)) == whole, "seed \(seed), byte by byte")
        for _ in 0..<5 {
            let cuts = bytes.indices.filter { _ in Bool.random(using: &random) }
            #expect(outcome(bytes, cuts: cuts) == whole, "seed \(seed), cuts \(cuts)")
        }
        #expect(whole == outcomeOfModel(bytes), "seed \(seed): the reader and the plain model differ")
    }

    private enum Outcome: Equatable {
        case rows([[Rows.Field]])
        case fault(CSVFault)
    }

    private func outcome(_ bytes: [UInt8], cuts: [Int]) -> Outcome {
        do throws(CSVFault) { return .rows(try readCSV(bytes, cuts: cuts).rows) } catch { return .fault(error) }
    }

    /// The same rules written for clarity: byte by byte, everything in memory.
    private func outcomeOfModel(_ bytes: [UInt8]) -> Outcome {
        var rows: [[Rows.Field]] = []
        var row: [Rows.Field] = []
        var index = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        let bad = badByte(bytes)
        let end = bad ?? bytes.count
        if bad != nil, end < index { index = end }
        func fault(_ fault: CSVFault) -> Outcome { .fault(fault) }
        var atFieldStart = index < end
        while atFieldStart {
            var field: [UInt8] = []
            var quoted = false
            if index < end, bytes[index] == 0x22 {
                quoted = true
                index += 1
                while true {
                    guard index < end else {
                        return bad.map { textFault(bytes, $0, rows) } ?? fault(.openQuote(row: UInt64(rows.count + 1)))
                    }
                    if bytes[index] != 0x22 {
                        field.append(bytes[index])
                        index += 1
                    } else if index + 1 < end, bytes[index + 1] == 0x22 {
                        field.append(0x22)
                        index += 2
                    } else {
                        index += 1
                        break
                    }
                }
            } else {
                while index < end, ![0x2C, 0x0A, 0x0D].contains(bytes[index]) {
                    field.append(bytes[index])
                    index += 1
                }
            }
            if index == end, let bad { return textFault(bytes, bad, rows) }
            row.append(Rows.Field(text: String(decoding: field, as: UTF8.self), quoted: quoted))
            if index == end {
                rows.append(row)
                return .rows(rows)
            }
            switch bytes[index] {
            case 0x2C: index += 1
            case 0x0A, 0x0D:
                index += bytes[index] == 0x0D && index + 1 < end && bytes[index + 1] == 0x0A ? 2 : 1
                rows.append(row)
                row = []
                if index == end, bad == nil { atFieldStart = false }
            default: return fault(.textAfterQuote(row: UInt64(rows.count + 1)))
            }
            if index == end, let bad { return textFault(bytes, bad, rows) }
        }
        return bad.map { textFault(bytes, $0, rows) } ?? .rows(rows)
    }

    private func textFault(_ bytes: [UInt8], _ bad: Int, _ rows: [[Rows.Field]]) -> Outcome {
        .fault(bad < bytes.count && bytes[bad] == 0 ? .nul(row: UInt64(rows.count + 1)) : .notUTF8(row: UInt64(rows.count + 1)))
    }

    // The alphabet's only bad bytes stand at the very end; the count itself stands for a sequence cut off.
    private func badByte(_ bytes: [UInt8]) -> Int? {
        switch bytes.last {
        case 0, 0xFF: bytes.count - 1
        case 0xC3: bytes.count
        default: nil
        }
    }
}
