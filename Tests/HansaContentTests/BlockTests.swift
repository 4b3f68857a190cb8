import HansaContent
import HansaCore
import HansaCrypto
import Testing

@Suite struct BlockTests {
    @Test(arguments: [Int32(1), 3, 9])
    func aTableShrinksAndComesBack(level: Int32) throws {
        var random = SplitMix64(1)
        let raw = Array(random.table(rows: 20_000).prefix(Limits.blockRawBytesMax))
        let (codec, bytes) = Block.encode(raw: raw, level: level)
        #expect(codec == .zstd)
        #expect(bytes.count < raw.count * 2 / 3)
        #expect(try Block.decode(codec, bytes, rawLength: raw.count) == raw)
    }

    @Test(arguments: [0, 1, 100, 4_096, 40_000, 1 << 20])
    func whatDoesNotShrinkStaysAsItIs(count: Int) throws {
        var random = SplitMix64(2)
        let raw = random.bytes(count)
        let (codec, bytes) = Block.encode(raw: raw)
        #expect(codec == .raw)
        #expect(bytes == raw)
        #expect(try Block.decode(codec, bytes, rawLength: count) == raw)
    }

    @Test func aDeltaIsShortAndComesBackOnlyWithItsReference() throws {
        var random = SplitMix64(5)
        let before = random.bytes(3 << 20)
        var raw = Array(before[(1 << 20)..<(2 << 20)])
        for place in stride(from: 1000, to: raw.count, by: 100_000) { raw[place] ^= 1 }
        let delta = try #require(Block.encodeDelta(raw: raw, reference: before, bytesMax: raw.count))
        #expect(delta.count < 1000)
        #expect(try Block.decodeDelta(delta[...], rawLength: raw.count, reference: before) == raw)
        for reference in [[], before.dropLast(), Array(before.prefix(100_000))] {
            #expect((try? Block.decodeDelta(delta[...], rawLength: raw.count, reference: reference)) != raw)
        }
        for length in [0, 1, raw.count - 1, raw.count + 1, (1 << 20) + 1] {
            #expect(throws: BlockFault.self) { try Block.decodeDelta(delta[...], rawLength: length, reference: before) }
        }
        // Contexts are used again: nothing of a reference stays in them.
        let plain = Block.encode(raw: Array("id,value\n".utf8) + [UInt8](repeating: 65, count: 500))
        #expect(throws: Never.self) { try Block.decode(plain.codec, plain.bytes, rawLength: 509) }
        #expect(Block.encodeDelta(raw: random.bytes(100_000), reference: before, bytesMax: 70_000) == nil)
    }

    @Test func aTableAfterAnIncompressibleHeadShrinksStill() {
        var random = SplitMix64(3)
        let raw = random.bytes(100_000) + random.table(rows: 20_000).prefix(400_000)
        #expect(Block.encode(raw: raw).codec == .zstd)
    }

    @Test func aBombYieldsNoMoreThanWasDeclared() throws {
        let megabyte = [UInt8](repeating: 0, count: 1 << 20)
        let (codec, bytes) = Block.encode(raw: megabyte)
        #expect(bytes.count < 1_000)
        for declared in [0, 1, 1_000, (1 << 20) - 1] {
            #expect(throws: BlockFault.self) { try Block.decode(codec, bytes, rawLength: declared) }
        }
        #expect(throws: BlockFault.tooLarge((1 << 20) + 1)) { try Block.decode(codec, bytes, rawLength: (1 << 20) + 1) }
        #expect(throws: BlockFault.tooLarge(-1)) { try Block.decode(codec, bytes, rawLength: -1) }
    }

    @Test func aLengthDeclaredTooLargeIsALie() throws {
        let (codec, bytes) = Block.encode(raw: [UInt8](repeating: 9, count: 5_000))
        #expect(throws: BlockFault.wrongLength(declared: 5_001, actual: 5_000)) {
            try Block.decode(codec, bytes, rawLength: 5_001)
        }
        #expect(throws: BlockFault.wrongLength(declared: 3, actual: 2)) { try Block.decode(.raw, [1, 2], rawLength: 3) }
        #expect(throws: BlockFault.wrongLength(declared: 1, actual: 2)) { try Block.decode(.raw, [1, 2], rawLength: 1) }
    }

    @Test func exactlyOneFrameIsTaken() throws {
        let raw = [UInt8](repeating: 1, count: 1_000)
        let (_, frame) = Block.encode(raw: raw)
        let skippable: [UInt8] = [0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]
        for hostile in [
            frame + frame, frame + [0], skippable + frame, frame + skippable, skippable, [], [0x28], Array(frame.dropLast()),
        ] {
            #expect(throws: BlockFault.self) { try Block.decode(.zstd, hostile, rawLength: 1_000) }
            #expect(throws: BlockFault.self) { try Block.decode(.zstd, hostile, rawLength: 2_000) }
        }
    }

    @Test func everyTruncationAndManyMutationsOfAFrameAreRefusedOrChangeTheContent() throws {
        let seed: UInt64 = 5
        var random = SplitMix64(seed)
        let raw = random.table(rows: 300)
        let (codec, frame) = Block.encode(raw: raw)
        for length in 0..<frame.count {
            #expect(throws: BlockFault.self) { try Block.decode(codec, Array(frame.prefix(length)), rawLength: raw.count) }
        }
        for _ in 0..<3_000 {
            var mutated = frame
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                mutated[Int.random(in: 0..<mutated.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            // Never a trap, and never another length than declared.
            if let decoded = try? Block.decode(codec, mutated, rawLength: raw.count) {
                #expect(decoded.count == raw.count, "seed \(seed)")
            }
        }
    }

    @Test func aFrameThatAsksForAHugeWindowCostsNothing() {
        // A hand-made frame: window descriptor 0xB8 (8 GiB and more), one last raw block of 3 bytes.
        let frame: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xB8, 0x19, 0x00, 0x00, 0x61, 0x62, 0x63]
        let decoded = try? Block.decode(.zstd, frame, rawLength: 3)
        #expect(decoded == nil || decoded == [0x61, 0x62, 0x63])
    }

    // MARK: Digests cut out

    /// Chunks of random text, of which later ones spell out the digests of earlier ones between other hex, and bytes 0xFF.
    private static func chunks(seed: UInt64) -> (raw: [UInt8], chunks: [ChunkEntry], digests: Int) {
        var random = SplitMix64(seed)
        var parts: [[UInt8]] = []
        var digests = 0
        for number in 0..<Int.random(in: 2..<122, using: &random) {
            var part = (0..<Int.random(in: 0..<90, using: &random)).map { _ in
                Int.random(in: 0..<10, using: &random) == 0 ? UInt8(0xFF) : UInt8.random(in: 0x20..<0x7A, using: &random)
            }
            for _ in 0..<Int.random(in: 0..<4, using: &random) where number > 0 {
                let named = SHA256.hash(parts[Int.random(in: 0..<number, using: &random)]).hex
                switch Int.random(in: 0..<4, using: &random) {
                case 0: part += named.utf8.dropLast()
                case 1: part += "a\(named)".utf8
                default:
                    part += "\n\(named) ".utf8
                    digests += 1
                }
                part += [0x2E]
            }
            parts.append(part + [0x0A])
        }
        return (parts.flatMap { $0 }, parts.map { part in part.withUnsafeBytes { ChunkEntry(of: $0) } }, digests)
    }

    @Test func digestsOfOtherChunksAreCutOutAndFilledIn() throws {
        var cuts = 0
        for seed in 1...60 as ClosedRange<UInt64> {
            let (raw, chunks, digests) = Self.chunks(seed: seed)
            let packed = try #require(Block.encode(raw: raw, chunks: chunks))
            if packed.codec == .zstdCut { cuts += 1 }
            #expect(digests > 0 || packed.codec != .zstdCut, "seed \(seed)")
            #expect(try Block.decode(packed.codec, packed.bytes[...], chunks: chunks) == raw, "seed \(seed)")
            let made = try Block.decode(packed.codec, packed.bytes[...], lengths: chunks.map { Int($0.length) })
            #expect(made.raw == raw && made.ids == chunks.map(\.id), "seed \(seed)")
            let record = SegmentRecord.block(
                BlockRecord(codec: packed.codec, rawLength: raw.count, chunks: chunks, bytes: packed.bytes))
            guard case .block(let block) = try SegmentRecord(encoded: record.encoded()) else {
                Issue.record("another kind of record")
                continue
            }
            #expect(try block.raw() == raw, "seed \(seed)")
        }
        #expect(cuts > 40)
    }

    @Test func cutDigestsCostNextToNothing() throws {
        var (parts, text) = ([[UInt8]](), "")
        for number in 0..<200 {
            parts.append(Array("file \(number)\n".utf8))
            text += SHA256.hash(parts[number]).hex + "  data/\(number).csv\n"
        }
        parts.append(Array(text.utf8))
        let chunks = parts.map { part in part.withUnsafeBytes { ChunkEntry(of: $0) } }
        let packed = try #require(Block.encode(raw: parts.flatMap { $0 }, chunks: chunks))
        #expect(packed.codec == .zstdCut)
        #expect(packed.bytes.count < 1500, "200 digests are 6,400 bytes that do not compress")
    }

    /// Every text fills exactly the declared chunks or is refused; nothing is read or written beyond them.
    @Test func aBlockWithCutsThatLieIsRefused() throws {
        let zeros = try #require(Digest([UInt8](repeating: 0, count: 32)))
        let first = ChunkEntry(id: zeros, length: 3)
        func decoded(_ text: [UInt8], _ chunks: [ChunkEntry]) throws -> [UInt8] {
            // Long enough to be compressed, and cut back by a chunk of its own.
            let filler = [UInt8](repeating: 0x61, count: 200)
            let packed = Block.encode(raw: filler + text)
            try #require(packed.codec == .zstd)
            let all = [ChunkEntry(id: zeros, length: 200)] + chunks
            return Array(try Block.decode(.zstdCut, packed.bytes[...], chunks: all).dropFirst(200))
        }
        let hex = [UInt8](repeating: 0x30, count: 64)
        #expect(try decoded([1, 2, 3, 0xFF, 1], [first, ChunkEntry(id: zeros, length: 64)]) == [1, 2, 3] + hex)
        let both = try decoded([0xFF, 0, 2, 3, 0xFF, 1], [first, ChunkEntry(id: zeros, length: 64)])
        #expect(both == [0xFF, 2, 3] + hex)
        let lies: [([UInt8], [UInt32])] = [
            ([1, 2], [3]), ([1, 2, 3, 4], [3]), ([1, 2, 3, 0xFF], [3, 64]), ([1, 2, 3, 0xFF, 3], [3, 64]),
            ([1, 2, 3, 0xFF, 1], [3, 63]), ([1, 2, 3, 0xFF, 1], [3, 65]), ([1, 2, 3, 0xFF, 0x40, 1], [3, 64]),
            ([1, 2, 3, 0xFF, 0x40], [3, 64]), ([1, 2, 3, 0xFF, 0x80, 0, 0, 1], [3, 64]), ([0xFF, 2, 0xFF, 0], [65]),
        ]
        for (text, lengths) in lies {
            #expect(throws: BlockFault.self, "\(text)") {
                try decoded(text, lengths.map { ChunkEntry(id: zeros, length: $0) })
            }
        }
        // Without chunks there is nothing to fill in from.
        #expect(throws: BlockFault.self) {
            try Block.decode(.zstdCut, Block.encode(raw: [UInt8](repeating: 1, count: 99)).bytes, rawLength: 99)
        }
    }
}
