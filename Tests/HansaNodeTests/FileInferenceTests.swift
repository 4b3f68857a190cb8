import HansaCore
import HansaPackages
import Testing

@testable import HansaNode

@Suite struct FileInferenceTests {
    /// Large enough for a thread of its own, with a last row that changes a column's type.
    private static let table: [UInt8] = {
        var text = "id,when,value\n"
        for row in 0..<200_000 { text += "\(row),2026-11-\(row % 28 + 10),\(row * 7 % 1000)\n" }
        text += "200000,2026-11-01,x\n"
        return Array(text.utf8)
    }()

    @Test func aLargeFileIsFoundToBeTheSameBesideItsReading() throws {
        let table = Self.table
        #expect(table.count > 4 << 20)
        var alone = ResourceInference(path: "a.csv")
        table.withUnsafeBytes { alone.feed($0) }
        let expected = alone.finish(size: UInt64(table.count), digest: .zero)
        for piece in [100_003, 1 << 20, 3 << 20, table.count] {
            let beside = FileInference(path: "a.csv", size: UInt64(table.count))
            table.withUnsafeBytes { bytes in
                for start in stride(from: 0, to: bytes.count, by: piece) {
                    beside.feed(UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + piece)]))
                }
            }
            #expect(beside.finish(digest: .zero).resource == expected, "in pieces of \(piece)")
        }
    }

    @Test func oneThatIsGivenUpHalfWayHoldsNothingBack() {
        // Its reader failed: nobody asks for the result.
        let beside = FileInference(path: "a.csv", size: 1 << 30)
        Self.table.withUnsafeBytes { beside.feed($0) }
    }
}
