import Foundation
import HansaCore
import Testing

@testable import HansaContent

@Suite struct ChunkerTests {
    // MARK: - Definition

    /// The rule as the header of Chunker.swift states it, as slowly as it reads.
    static func definedCut(_ bytes: ArraySlice<UInt8>, _ profile: ChunkProfile) -> Int {
        let b = Array(bytes)
        let n = b.count
        if n <= profile.min { return n }
        func hash(_ p: Int) -> UInt64 { (0...63).reduce(0) { $0 &+ Gear.table[Int(b[p - 1 - $1])] &<< UInt64($1) } }
        let last = Swift.min(n, profile.max - profile.lineWindow)
        var p = profile.min + 1
        while p < last || p == last {
            if hash(p) < (p <= profile.centre ? profile.hardThreshold : profile.easyThreshold) { break }
            p += 1
        }
        p = Swift.min(p, last)
        guard profile.lineWindow > 0 else { return p }
        for q in p...Swift.max(p, Swift.min(n, p + profile.lineWindow)) where b[q - 1] == 0x0A { return q }
        return p
    }

    @Test(arguments: [ChunkProfile.fastcdc64k, .line16k])
    func theFastScanCutsWhereTheDefinitionSays(profile: ChunkProfile) {
        let seed: UInt64 = 11
        var random = SplitMix64(seed)
        let inputs = [
            random.bytes(120_000), random.table(rows: 1_500), random.bytes(profile.min), random.bytes(profile.min + 1), [],
        ]
        for input in inputs {
            var defined: [Int] = []
            var rest = input[...]
            while !rest.isEmpty {
                let length = ChunkerTests.definedCut(rest.prefix(profile.max), profile)
                defined.append(length)
                rest = rest.dropFirst(length)
            }
            #expect(Chunker(profile).lengths(of: input) == defined, "seed \(seed)")
        }
    }

    // MARK: - Vectors

    struct Vectors: Decodable {
        struct Case: Decodable {
            let profile: ChunkProfile
            let input: String
            let seed: UInt64?
            let bytes: Int
            let lengths: [Int]
        }
        let gear: [String: String]
        let cases: [Case]
    }

    static func input(of vector: Vectors.Case) -> [UInt8] {
        var random = SplitMix64(vector.seed ?? 0)
        switch vector.input {
        case "splitmix64": return random.bytes(vector.bytes)
        case "splitmix64-lines":
            return random.bytes(vector.bytes).map { $0 < 4 ? 0x0A : 0x20 + $0 % 95 }
        case "zeros": return [UInt8](repeating: 0, count: vector.bytes)
        default: preconditionFailure("unknown input")
        }
    }

    static let vectorFile = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Vectors/chunker.json")

    @Test func theVectorsHold() throws {
        let vectors = try JSONDecoder().decode(Vectors.self, from: Data(contentsOf: ChunkerTests.vectorFile))
        #expect(Set(vectors.cases.map(\.profile)) == Set(ChunkProfile.allCases))
        for (value, hex) in vectors.gear {
            let index = try #require(Int(value))
            #expect(String(Gear.table[index], radix: 16) == hex)
        }
        for vector in vectors.cases {
            #expect(
                Chunker(vector.profile).lengths(of: ChunkerTests.input(of: vector)) == vector.lengths,
                "\(vector.profile) \(vector.input)")
        }
    }

    // MARK: - Properties

    @Test(arguments: ChunkProfile.allCases)
    func lengthsStayWithinTheProfileAndMakeUpTheInput(profile: ChunkProfile) {
        var random = SplitMix64(21)
        let repeated = (0..<100_000).flatMap { _ in Array("0,0,0\n".utf8) }
        for input in [
            random.bytes(3_000_000), random.table(rows: 30_000), repeated, [UInt8](repeating: 0, count: 3_000_000), [7],
        ] {
            let lengths = Chunker(profile).lengths(of: input)
            #expect(lengths.reduce(0, +) == input.count)
            #expect(lengths.allSatisfy { $0 <= profile.max })
            #expect(lengths.dropLast().allSatisfy { $0 >= profile.min })
            #expect(profile.chunkCounts(for: UInt64(input.count)).contains(UInt64(lengths.count)))
        }
        #expect(Chunker(profile).lengths(of: []) == [])
    }

    @Test(arguments: ChunkProfile.allCases)
    func theMeanLengthIsTheNominalAverage(profile: ChunkProfile) {
        var random = SplitMix64(31)
        let count = Swift.max(profile.avg, 128 << 10) * 60
        let lengths = Chunker(profile).lengths(of: random.bytes(count))
        let mean = Double(count) / Double(lengths.count)
        #expect(abs(mean / Double(profile.avg) - 1) < 0.15, "mean \(mean)")
    }

    @Test(arguments: ChunkProfile.allCases)
    func howTheInputArrivesChangesNothing(profile: ChunkProfile) {
        for seed in UInt64(1)...6 {
            var random = SplitMix64(seed)
            let input = seed % 2 == 0 ? random.table(rows: 10_000) : random.bytes(Int.random(in: 0...3_000_000, using: &random))
            let whole = Chunker(profile).lengths(of: input)
            var at = 0
            var lengths: [Int] = []
            var content: [UInt8] = []
            let total = Chunker(profile).forEachChunk(
                bufferBytes: Int.random(in: 1...8_000_000, using: &random),
                read: { buffer in
                    let count = Swift.min(input.count - at, Int.random(in: 1...buffer.count, using: &random))
                    input[at..<(at + count)].withUnsafeBytes { buffer.copyMemory(from: $0) }
                    at += count
                    return count
                },
                { chunk in
                    lengths.append(chunk.count)
                    content.append(contentsOf: chunk)
                })
            #expect(lengths == whole, "seed \(seed)")
            #expect(content == input, "seed \(seed)")
            #expect(total == UInt64(input.count))
        }
    }

    @Test(arguments: [ChunkProfile.fastcdc64k, .line16k])
    func anInsertionLeavesChunksAwayFromItAlone(profile: ChunkProfile) {
        for seed in UInt64(1)...6 {
            var random = SplitMix64(seed)
            let before = seed % 2 == 0 ? random.bytes(2_000_000) : random.table(rows: 30_000)
            let place = Int.random(in: 0...before.count, using: &random)
            var after = before
            switch seed % 3 {
            case 0: after.insert(contentsOf: random.bytes(Int.random(in: 1...300, using: &random)), at: place)
            case 1: after.removeSubrange(place..<Swift.min(after.count, place + Int.random(in: 1...300, using: &random)))
            default: after.insert(0x2C, at: place)
            }
            let old = ends(of: before, profile)
            let new = ends(of: after, profile)
            let shift = after.count - before.count
            // Before the edit nothing can change but the chunk that reaches it.
            let untouched = old.filter { $0 + profile.lineWindow <= place }
            #expect(Array(new.prefix(untouched.count)) == untouched, "seed \(seed)")
            // After it the cuts are the same again from some place near it on.
            let far = place + profile.max * 4
            #expect(old.filter { $0 > far }.map { $0 + shift } == new.filter { $0 > far + shift }, "seed \(seed)")
        }
    }

    private func ends(of bytes: [UInt8], _ profile: ChunkProfile) -> [Int] {
        var end = 0
        return Chunker(profile).lengths(of: bytes).map { length in
            end += length
            return end
        }
    }

    @Test func aTextTableIsCutBetweenItsRows() {
        var random = SplitMix64(41)
        for table in [random.table(rows: 30_000), (0..<100_000).flatMap { _ in Array("a,b,c\n".utf8) }] {
            var end = 0
            for length in Chunker(.line16k).lengths(of: table) {
                end += length
                #expect(table[end - 1] == 0x0A)
            }
        }
    }

    @Test func rowsLongerThanTheWindowAreCutAnyway() {
        let input = [UInt8](repeating: 0x61, count: 1_000_000)
        let lengths = Chunker(.line16k).lengths(of: input)
        #expect(lengths.dropLast().allSatisfy { $0 == ChunkProfile.line16k.max - 1024 })
    }

    @Test func aRunOfOneByteIsNeverACandidate() {
        // H of a run of one byte is gear × (2^64 − 1): were it below a threshold, sparse files would fall into the smallest chunks.
        for gear in Gear.table { #expect(0 &- gear >= ChunkProfile.line16k.easyThreshold) }
    }

    // MARK: - Choice

    @Test func textTablesAreCutByLines() {
        let text = Array("id,name\n1,x\n".utf8)
        #expect(ChunkProfile.choose(fileName: "counts.csv", size: 10, probe: text) == .line16k)
        #expect(ChunkProfile.choose(fileName: "COUNTS.TSV", size: 10, probe: text) == .line16k)
        #expect(ChunkProfile.choose(fileName: "a.b/points.geojson", size: 20 << 30, probe: text) == .line16k)
        #expect(ChunkProfile.choose(fileName: "counts.csv", size: 10, probe: text + [0]) == .fastcdc64k)
        #expect(ChunkProfile.choose(fileName: "one-line.geojson", size: 10, probe: Array("{}".utf8)) == .fastcdc64k)
        #expect(ChunkProfile.choose(fileName: "photo.jpg", size: 16 << 30, probe: text) == .fastcdc64k)
        #expect(ChunkProfile.choose(fileName: "photo.jpg", size: 16 << 30 + 1, probe: text) == .fastcdc512k)
        #expect(ChunkProfile.choose(fileName: "counts.csv", size: 300 << 30, probe: text) == .fastcdc512k)
        #expect(ChunkProfile.choose(fileName: "csv", size: 10, probe: text) == .fastcdc64k)
    }

    @Test func profilesReadBackFromTheirCodes() {
        for profile in ChunkProfile.allCases { #expect(ChunkProfile(code: profile.code) == profile) }
        #expect(ChunkProfile(code: 0) == nil)
        #expect(ChunkProfile(code: 4) == nil)
    }
}
