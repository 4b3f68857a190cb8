import HansaPackages
import Testing

/// What is known of a table's stretches tells the next version as reading all of it does.
@Suite struct TableStretchTests {
    /// Bytes cut into pieces, most of them behind a line feed, as a chunker does: some are inside of quotes, some inside of a row.
    private func pieces(_ bytes: [UInt8], _ random: inout SeededRandom) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var start = 0
        while start < bytes.count {
            var end = min(bytes.count, start + Int.random(in: 1000...6000, using: &random))
            if Int.random(in: 0..<10, using: &random) > 0 { while end < bytes.count, bytes[end - 1] != 0x0A { end += 1 } }
            pieces.append(Array(bytes[start..<end]))
            start = end
        }
        return pieces
    }

    /// By what is known of pieces, and noting what is found out about the others; nil where it says that all has to be read.
    private func infer(
        _ pieces: [[UInt8]], knowing known: inout [[UInt8]: TableStretch], _ skipped: inout Int, keyRowsMax: Int
    ) -> Result<InferredTable, TableFault>? {
        var inference = TableInference(keyRowsMax: keyRowsMax)
        for piece in pieces {
            if let stretch = known[piece], inference.skip(stretch) {
                skipped += 1
            } else if let stretch = piece.withUnsafeBytes({ inference.feed(stretch: $0) }) {
                known[piece] = stretch
            }
        }
        guard !inference.mustReadWhole else { return nil }
        do throws(TableFault) { return .success(try inference.finish()) } catch { return .failure(error) }
    }

    private func describe(_ table: Result<InferredTable, TableFault>) -> String {
        switch table {
        case .success(let table):
            "\(table.fields.map { "\($0.name) \($0.type) \($0.missingValues)" }) \(table.primaryKey ?? []) \(table.rows) \(table.delimiter)"
        case .failure(let fault): "\(fault)"
        }
    }

    @Test(arguments: 0..<12 as Range<UInt64>)
    func editedTablesAreToldAsIfTheyWereReadWhole(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let usual = [
            ["1", "22", "333"], ["2.5", "1", "NA"], ["2024-01-31", "", "NULL"], ["x", "y", "\"a,b\""], ["", "", "true"],
        ]
        let unusual = ["x", "1.5", "NA", "\"two\nlines\"", "\"q\"\"q\"", "2024-01-31", "", "ü", "007"]
        func row(_ number: Int) -> String {
            var fields = usual.map { $0.randomElement(using: &random) ?? "" }
            if Int.random(in: 0..<400, using: &random) == 0 {
                fields[Int.random(in: 0..<fields.count, using: &random)] = unusual.randomElement(using: &random) ?? ""
            }
            if Int.random(in: 0..<900, using: &random) == 0 { fields.append("one more") }
            if Int.random(in: 0..<900, using: &random) == 0 { return "\n" }
            return "\(number)," + fields.joined(separator: ",") + (seed % 5 == 4 ? "\r\n" : "\n")
        }
        var rows = ["k,a,b,c,d,e\n"] + (0..<8000).map(row)
        var known: [[UInt8]: TableStretch] = [:]
        var skipped = 0
        var read = 0
        // Around the number of rows, so that some versions have a key to look for.
        let keyRowsMax = seed % 4 == 3 ? 8000 : 1000
        for version in 0..<6 {
            let bytes = Array(rows.joined().utf8)
            var cuts = SeededRandom(seed: seed)
            let pieces = pieces(bytes, &cuts)
            let full: Result<InferredTable, TableFault>
            do throws(TableFault) { full = .success(try HansaPackagesTests.infer(bytes, keyRowsMax: keyRowsMax)) } catch {
                full = .failure(error)
            }
            if let told = infer(pieces, knowing: &known, &skipped, keyRowsMax: keyRowsMax) {
                #expect(describe(told) == describe(full), "seed \(seed), version \(version)")
            } else {
                read += 1
            }
            // Rows go, come, and change; behind a row of another length all cuts but those at the same places move.
            for _ in 0..<Int.random(in: 0..<6, using: &random) {
                let place = Int.random(in: (version == 4 ? 0 : 4000)..<rows.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: rows.remove(at: place)
                case 1: rows.insert(row(place), at: place)
                default: rows[place] = row(place)
                }
            }
            if version == 2 { rows.append("1,\"open") }
            if version == 3 { rows.removeLast() }
        }
        #expect(skipped > 0, "seed \(seed)")
        #expect(read < 6, "seed \(seed)")
    }

    @Test func aValueThatIsTakenBackNarrowsItsColumnAgain() throws {
        let head = "k,v\n" + String(repeating: "1,2\n", count: 20_000)
        let middle = (0..<500).map { "\($0),1\n" }.joined()
        let wrong = "5,many\n" + middle
        var known: [[UInt8]: TableStretch] = [:]
        var skipped = 0
        let before = [head, wrong, middle].map { Array($0.utf8) }
        let after = [head, middle, middle].map { Array($0.utf8) }
        let first = try #require(infer(before, knowing: &known, &skipped, keyRowsMax: 100)).get()
        #expect(first.fields.map(\.type) == [.integer, .string] && skipped == 0)
        let second = try #require(infer(after, knowing: &known, &skipped, keyRowsMax: 100)).get()
        #expect(second.fields.map(\.type) == [.integer, .integer] && skipped == 2)
        #expect(second.rows == 21_000)
    }

    @Test func aTableThatBecameShortIsReadWhole() throws {
        let head = "k,v\n" + (0..<20_000).map { "\($0),2\n" }.joined()
        let tail = "20000,3\n"
        var known: [[UInt8]: TableStretch] = [:]
        var skipped = 0
        let pieces = [head, tail].map { Array($0.utf8) }
        _ = infer(pieces, knowing: &known, &skipped, keyRowsMax: 20_000)
        #expect(infer(pieces, knowing: &known, &skipped, keyRowsMax: 20_000) != nil)
        // One row more could be remembered: whether the key is unique is not known.
        #expect(infer(pieces, knowing: &known, &skipped, keyRowsMax: 20_001) == nil)
    }

    @Test func stretchesComeBackAsTheyWere() throws {
        var known: [[UInt8]: TableStretch] = [:]
        var skipped = 0
        var pieces = [Array(("k,v\n" + String(repeating: "1,2\n", count: 20_000)).utf8)]
        for number in 0..<200 { pieces.append(Array("\(number),\(["1", "x", "NA", "2.5", ""][number % 5])\n1,2\n".utf8)) }
        _ = infer(pieces, knowing: &known, &skipped, keyRowsMax: 100)
        var stretches = TableStretches(delimiter: 0x2C)
        for piece in pieces { stretches.append(known[piece]) }
        let encoded = stretches.encoded()
        #expect(encoded.count < 700)
        let read = try #require(TableStretches(encoded: encoded, chunks: pieces.count))
        #expect(read == stretches && read.encoded() == encoded)
        for (number, piece) in pieces.enumerated() { #expect(read[number] == known[piece]) }
        #expect(read[0] == nil && read[1]?.rows == 2)
        #expect(TableStretches(encoded: encoded, chunks: pieces.count + 1) == nil)
        for length in 0..<encoded.count { #expect(TableStretches(encoded: encoded[..<length], chunks: pieces.count) == nil) }
        var random = SeededRandom(seed: 1)
        for _ in 0..<2000 {
            var bytes = encoded
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            // Whatever it says: no trap, and what is no column's code is no stretch.
            guard let other = TableStretches(encoded: bytes, chunks: pieces.count) else { continue }
            var inference = TableInference(keyRowsMax: 100)
            pieces[0].withUnsafeBytes { inference.feed($0) }
            for number in 0..<other.count { if let stretch = other[number] { _ = inference.skip(stretch) } }
            _ = try? inference.finish()
        }
    }
}
