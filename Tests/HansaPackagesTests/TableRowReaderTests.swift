import HansaCore
import Testing

@testable import HansaPackages

@Suite struct TableRowReaderTests {
    private struct Read: Equatable {
        var rows: [[String]] = []
        var bytes: [UInt8] = []
        var hadMark = false
        var fault: CSVFault?
    }

    private func read(_ text: TableText) throws -> Read {
        var reader = TableRowReader(delimiter: 0x2C)
        var read = Read()
        let take = { (row: TableRow) -> Bool in
            read.rows.append(row.cells.indices.map { String(decoding: TableCells.value(row, $0), as: UTF8.self) })
            read.bytes.append(contentsOf: row.bytes)
            return true
        }
        do {
            try text.read { try reader.feed($0, take) }
            try reader.finish(take)
        } catch TableCompareFault.csv(let fault) {
            read.fault = fault
        }
        read.hadMark = reader.hadByteOrderMark
        return read
    }

    @Test(arguments: 0..<400) func bothReadersFindTheSameFieldsAndFaults(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let alphabet: [[UInt8]] = [
            [0x2C], [0x22], [0x22, 0x22], [0x0A], [0x0D], [0x0D, 0x0A], [0x61], [0xC3, 0xA4], [0x20], Array("field".utf8),
            [0xEF, 0xBB, 0xBF],
        ]
        var bytes: [UInt8] = []
        for _ in 0..<Int.random(in: 0...60, using: &random) {
            bytes += alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
        }
        if Int.random(in: 0...9, using: &random) == 0 { bytes.append([0, 0xFF, 0xC3][Int.random(in: 0...2, using: &random)]) }
        var text = TableText("")
        text.bytes = bytes
        text.pieceBytes = Int.random(in: 1...20, using: &random)
        let found = try read(text)
        do throws(CSVFault) {
            let rows = try readCSV(bytes)
            #expect(found.fault == nil, "seed \(seed)")
            #expect(found.rows == rows.texts, "seed \(seed)")
            // Nothing is lost between the rows.
            #expect((found.hadMark ? [0xEF, 0xBB, 0xBF] : []) + found.bytes == bytes, "seed \(seed)")
        } catch {
            #expect(found.fault == error, "seed \(seed)")
        }
    }

    @Test func aRowOfManyMebibytesIsRefusedBeforeItIsHeld() {
        var reader = TableRowReader(delimiter: 0x2C)
        let piece = [UInt8](repeating: 0x61, count: 1 << 20)
        #expect(throws: TableCompareFault.rowTooLong(row: 1, bytesMax: 16 << 20)) {
            for _ in 0..<20 { _ = try piece.withUnsafeBytes { try reader.feed($0) { _ in true } } }
        }
    }
}
