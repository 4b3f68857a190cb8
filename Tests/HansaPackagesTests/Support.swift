import Foundation
import HansaCore
import HansaCrypto
import HansaPackages

/// SplitMix64 (Steele, Lea, Flood 2014): a sequence that a printed seed brings back.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}

/// Keeps what a reader hands on.
struct Rows: CSVHandler {
    struct Field: Equatable {
        var text: String
        var quoted: Bool
    }
    var rows: [[Field]] = []
    var current: [Field] = []

    mutating func field(_ bytes: UnsafeRawBufferPointer, quoted: Bool) throws(CSVFault) {
        current.append(Field(text: String(decoding: bytes, as: UTF8.self), quoted: quoted))
    }
    mutating func endOfRow(count: Int) throws(CSVFault) {
        precondition(count == current.count, "the count is that of the fields")
        rows.append(current)
        current = []
    }
    var texts: [[String]] { rows.map { $0.map(\.text) } }
}

/// Reads `bytes` in pieces that end at `cuts`.
func readCSV(
    _ bytes: [UInt8], delimiter: UInt8 = 0x2C, cuts: [Int] = [], fieldBytesMax: Int = CSVReader.fieldBytesMaxDefault
) throws(CSVFault) -> Rows {
    var reader = CSVReader(delimiter: delimiter, fieldBytesMax: fieldBytesMax)
    var rows = Rows()
    var start = 0
    for cut in cuts + [bytes.count] {
        // Each piece in memory of its own, so that reading past its end would show under a sanitizer.
        let piece = Array(bytes[start..<cut])
        let fault: CSVFault? = piece.withUnsafeBytes { piece in
            do throws(CSVFault) { try reader.feed(piece, to: &rows) } catch { return error }
            return nil
        }
        if let fault { throw fault }
        start = cut
    }
    try reader.finish(to: &rows)
    return rows
}

func readCSV(_ text: String, delimiter: Character = ",") throws(CSVFault) -> [[String]] {
    try readCSV(Array(text.utf8), delimiter: delimiter.asciiValue ?? 0x2C).texts
}

/// Infers a table from bytes in pieces of `pieceBytes`.
func infer(_ bytes: [UInt8], pieceBytes: Int = .max, keyRowsMax: Int = TableInference.keyRowsMax) throws(TableFault)
    -> InferredTable
{
    var inference = TableInference(keyRowsMax: keyRowsMax)
    var start = 0
    while start < bytes.count {
        let end = start + min(pieceBytes, bytes.count - start)
        bytes.withUnsafeBytes { inference.feed(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
        start = end
    }
    return try inference.finish()
}

func infer(_ text: String) throws(TableFault) -> InferredTable { try infer(Array(text.utf8)) }

func file(_ path: String, _ content: String) -> FileDigest {
    FileDigest(path: path, size: UInt64(content.utf8.count), digest: SHA256.hash(Array(content.utf8)))
}

/// Data that stands beside a working copy and is not part of the project; nil where it is absent.
func sharedData(_ path: String) -> [UInt8]? {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let url = root.deletingLastPathComponent().appendingPathComponent("shared/data/\(path)")
    if let data = try? Data(contentsOf: url) { return [UInt8](data) }
    print("skipped: ../shared/data/\(path) is not here")
    return nil
}
