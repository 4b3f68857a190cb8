import HansaContent
import HansaCore
import HansaCrypto
import Testing

@Suite struct IndexTests {
    /// A release of files with random content, as a publisher builds it.
    struct Made {
        var built: IndexBuilder.Built
        var pages: [[UInt8]]
        var entries: [ChunkEntry]
    }

    static func build(_ files: [(path: String, profile: ChunkProfile, lengths: [Int])], seed: UInt64 = 1) throws -> Made {
        var random = SplitMix64(seed)
        var builder = IndexBuilder()
        var pages: [[UInt8]] = []
        var entries: [ChunkEntry] = []
        for file in files {
            try builder.beginFile(file.path, profile: file.profile)
            var only = SHA256.hash([UInt8]())
            for length in file.lengths {
                let entry = ChunkEntry(
                    id: Digest(random.next(), random.next(), random.next(), random.next()), length: UInt32(length))
                only = entry.id
                entries.append(entry)
                if let page = try builder.append(entry) { pages.append(page.bytes) }
            }
            try builder.endFile(digest: file.lengths.count == 1 ? only : Digest(random.next(), 0, 0, 1))
        }
        let built = try builder.finish()
        if let last = built.lastPage { pages.append(last.bytes) }
        return Made(built: built, pages: pages, entries: entries)
    }

    static let large = [Int](repeating: 20 << 10, count: 2_500)
    static let sample: [(path: String, profile: ChunkProfile, lengths: [Int])] = [
        ("bag-info.txt", .line16k, [300]),
        ("bagit.txt", .line16k, [55]),
        ("data/counts.csv", .line16k, [Int](repeating: 5_000, count: 2_100) + [17]),
        ("data/empty", .fastcdc64k, []),
        ("data/photo.jpg", .fastcdc64k, large + [1]),
        ("data/zero", .line16k, []),
    ]

    @Test func anIndexReadsBackAsItWasBuilt() throws {
        let made = try IndexTests.build(IndexTests.sample)
        #expect(made.built.chunkCount == made.entries.count)
        #expect(made.pages.count == made.built.pageCount)
        #expect(made.pages.map { SHA256.hash($0) } == made.built.pageDigests)
        let table = try FileTable(encoded: made.built.encodedTable, chunks: made.built.chunkCount)
        #expect(table == made.built.table)
        let index = try ChunkIndex(table: table, pages: made.pages)
        #expect(index.chunks == made.entries)
        #expect(index.root == made.built.root)
        #expect(index.encodedTable() == made.built.encodedTable)
        #expect((0..<index.pageCount).map { index.page($0) } == made.pages)
    }

    @Test func theRootIsTheStatedHash() throws {
        let made = try IndexTests.build(IndexTests.sample)
        var bytes = Array("hansa-index/1".utf8) + SHA256.hash(made.built.encodedTable).bytes
        for page in made.pages { bytes += SHA256.hash(page).bytes }
        #expect(SHA256.hash(bytes) == made.built.root)
    }

    @Test func anEncodedTableHasTheStatedBytes() throws {
        let digest = Digest(1, 2, 3, 4)
        let table = try FileTable(
            files: [FileEntry(path: "a", size: 70, profile: .line16k, firstChunk: 0, digest: digest)], chunks: 1)
        #expect(table.encoded() == [1, 1, 1, 0x61, 0x40, 70, 2, 0] + digest.bytes)
    }

    @Test func anEmptyReleaseHasAnIndex() throws {
        let made = try IndexTests.build([])
        #expect(made.pages.isEmpty)
        #expect(made.built.encodedTable == [1, 0])
        let index = try ChunkIndex(table: try FileTable(encoded: [1, 0], chunks: 0), pages: [])
        #expect(index.root == SHA256.hash(Array("hansa-index/1".utf8) + SHA256.hash([1, 0] as [UInt8]).bytes))
    }

    @Test func exactlyFullPagesLeaveNoLastOne() throws {
        let made = try IndexTests.build([("a", .line16k, [Int](repeating: 4_096, count: 2_048))])
        #expect(made.pages.count == 2)
        #expect(made.built.lastPage == nil)
    }

    @Test func filesAndChunksFindEachOther() throws {
        let table = try IndexTests.build(IndexTests.sample).built.table
        #expect(table.chunks(of: 0) == 0..<1)
        #expect(table.chunks(of: 2) == 2..<2_103)
        #expect(table.chunks(of: 3).isEmpty)
        #expect(table.chunks(of: 5).isEmpty)
        for file in table.files.indices {
            for chunk in table.chunks(of: file) where chunk % 50 == 0 || chunk < 3 { #expect(table.file(ofChunk: chunk) == file) }
            #expect(table.position(of: table.files[file].path) == file)
        }
        #expect(table.position(of: "data") == nil)
        #expect(table.position(of: "zzz") == nil)
    }

    // MARK: - Hostile

    private func table(_ files: [(String, UInt64, UInt8, Int)], chunks: Int) throws -> FileTable {
        var writer = ByteWriter()
        writer.u8(1)
        writer.varint(files.count)
        for (path, size, profile, first) in files {
            writer.prefixed(path)
            writer.varint(size)
            writer.u8(profile)
            writer.varint(first)
            writer.digest(.zero)
        }
        return try FileTable(encoded: writer.bytes, chunks: chunks)
    }

    @Test(arguments: [
        "", "/a", "a/", "a//b", "./a", "a/.", "../a", "a/../b", "a\u{0}b", "a\nb", "a\\b", String(repeating: "a", count: 1_025),
    ])
    func anUnsafePathIsRefused(path: String) {
        #expect(throws: IndexFault.self) { try table([(path, 5, 1, 0)], chunks: 1) }
    }

    @Test func theCallerMayRefuseMorePaths() throws {
        let made = try IndexTests.build([("data/a", .line16k, [5]), ("data/b", .line16k, [5])])
        #expect(throws: IndexFault.unsafePath(entry: 1)) {
            try FileTable(encoded: made.built.encodedTable, chunks: 2) { $0 != "data/b" }
        }
    }

    @Test func pathsAreInOrderAndDistinctOnEveryFileSystem() throws {
        #expect(throws: IndexFault.outOfOrder(entry: 1)) { try table([("b", 5, 1, 0), ("a", 5, 1, 1)], chunks: 2) }
        #expect(throws: IndexFault.outOfOrder(entry: 1)) { try table([("a", 5, 1, 0), ("a", 5, 1, 1)], chunks: 2) }
        #expect(throws: IndexFault.outOfOrder(entry: 1)) { try table([("A", 5, 1, 0), ("a", 5, 1, 1)], chunks: 2) }
        #expect(throws: IndexFault.outOfOrder(entry: 1)) { try table([("e\u{301}", 5, 1, 0), ("\u{E9}", 5, 1, 1)], chunks: 2) }
        #expect(throws: IndexFault.fileIsDirectory(entry: 2)) {
            try table([("a", 5, 1, 0), ("a!", 5, 1, 1), ("a/b", 5, 1, 2)], chunks: 3)
        }
        #expect(throws: IndexFault.fileIsDirectory(entry: 1)) { try table([("A/b", 5, 1, 0), ("a/b/c", 5, 1, 1)], chunks: 2) }
        _ = try table([("a!", 5, 1, 0), ("a/b", 5, 1, 1), ("a/c", 5, 1, 2)], chunks: 3)
    }

    @Test func chunkCountsFitTheSizes() throws {
        #expect(throws: IndexFault.self) { try table([("a", 5, 1, 1)], chunks: 2) }
        #expect(throws: IndexFault.self) { try table([("a", 0, 1, 0)], chunks: 1) }
        #expect(throws: IndexFault.self) { try table([("a", 5, 1, 0)], chunks: 0) }
        #expect(throws: IndexFault.self) { try table([("a", 5, 1, 0)], chunks: 2) }
        #expect(throws: IndexFault.self) { try table([("a", 256 << 10 + 1, 1, 0)], chunks: 1) }
        #expect(throws: IndexFault.self) { try table([("a", 1 << 62 - 1, 1, 0)], chunks: 1 << 26) }
        #expect(throws: IndexFault.self) { try table([("a", 5, 1, 0), ("b", 5, 1, 7)], chunks: 2) }
        #expect(throws: IndexFault.self) { try table([("a", 5, 1, 0), ("b", 5, 1, 1), ("c", 5, 1, 0)], chunks: 3) }
        #expect(throws: IndexFault.self) { try table([], chunks: 1) }
        #expect(throws: IndexFault.self) { try table([], chunks: -1) }
        #expect(throws: IndexFault.self) { try table([("a", 1 << 50, 3, 0)], chunks: 1 << 26 + 1) }
        #expect(throws: IndexFault.self) { try table([("a", 5, 0, 0)], chunks: 1) }
        #expect(throws: IndexFault.self) { try table([("a", 5, 4, 0)], chunks: 1) }
        _ = try table([("a", (16 << 10) + 1, 1, 0)], chunks: 2)
    }

    @Test func anIndexWhosePagesDoNotFitItsTableIsRefused() throws {
        let made = try IndexTests.build([("a", .line16k, [5_000, 6_000, 7]), ("b", .line16k, [9])])
        func index(_ change: (inout [ChunkEntry]) -> Void) throws -> ChunkIndex {
            var entries = made.entries
            change(&entries)
            return try ChunkIndex(table: made.built.table, pages: [IndexPage.encode(entries)])
        }
        _ = try index { _ in }
        let id = made.entries[0].id
        #expect(throws: IndexFault.wrongSize(entry: 0)) { try index { $0[1] = ChunkEntry(id: id, length: 6_001) } }
        #expect(throws: IndexFault.wrongSize(entry: 1)) { try index { $0[3] = ChunkEntry(id: $0[3].id, length: 10) } }
        #expect(throws: IndexFault.wrongDigest(entry: 1)) { try index { $0[3] = ChunkEntry(id: id, length: 9) } }
        #expect(throws: IndexFault.wrongChunkLength(chunk: 0)) { try index { $0[0] = ChunkEntry(id: id, length: 4_095) } }
        #expect(throws: IndexFault.wrongChunkLength(chunk: 2)) { try index { $0[2] = ChunkEntry(id: id, length: 65_537) } }
        #expect(throws: IndexFault.self) { try index { $0[2] = ChunkEntry(id: id, length: 0) } }
        #expect(throws: IndexFault.wrongPage(0)) { try index { $0.removeLast() } }
        #expect(throws: IndexFault.wrongPage(0)) { try index { $0.append($0[0]) } }
        #expect(throws: IndexFault.wrongPage(0)) { try ChunkIndex(table: made.built.table, pages: []) }
        #expect(throws: IndexFault.wrongPage(1)) {
            try ChunkIndex(table: made.built.table, pages: [made.pages[0], made.pages[0]])
        }
    }

    @Test func everyTruncationAndThousandsOfMutationsAreRefusedOrValid() throws {
        let seed: UInt64 = 77
        var random = SplitMix64(seed)
        let made = try IndexTests.build(IndexTests.sample)
        let encoded = made.built.encodedTable
        for length in 0..<encoded.count {
            #expect(throws: IndexFault.self) {
                try FileTable(encoded: Array(encoded.prefix(length)), chunks: made.built.chunkCount)
            }
        }
        for _ in 0..<1_500 {
            var mutated = encoded
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                mutated[Int.random(in: 0..<mutated.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            guard let table = try? FileTable(encoded: mutated, chunks: made.built.chunkCount) else { continue }
            // Whatever is taken has one encoding, and its pages can be checked without a trap.
            #expect(table.encoded() == mutated, "seed \(seed)")
            _ = try? ChunkIndex(table: table, pages: made.pages)
        }
        for _ in 0..<500 {
            var page = made.pages[1]
            page[Int.random(in: 0..<page.count, using: &random)] ^= UInt8.random(in: 1...255, using: &random)
            _ = try? ChunkIndex(table: made.built.table, pages: [made.pages[0], page] + made.pages[2...])
        }
    }

    @Test func aBuilderRefusesWhatAReceiverWould() throws {
        var builder = IndexBuilder()
        try builder.beginFile("b", profile: .line16k)
        let entry = ChunkEntry(id: Digest(1, 2, 3, 4), length: 100)
        #expect(throws: IndexFault.self) { try builder.append(ChunkEntry(id: entry.id, length: 70_000)) }
        _ = try builder.append(entry)
        // The chunk before was below the minimum, so it must have been the last.
        #expect(throws: IndexFault.wrongChunkLength(chunk: 1)) { try builder.append(entry) }
        #expect(throws: IndexFault.wrongDigest(entry: 0)) { try builder.endFile(digest: .zero) }
        try builder.endFile(digest: entry.id)
        #expect(throws: IndexFault.outOfOrder(entry: 1)) { try builder.beginFile("a", profile: .line16k) }
    }

    @Test func aChunkedFileMakesAnIndexThatItsReceiverTakes() throws {
        var random = SplitMix64(9)
        var builder = IndexBuilder()
        var pages: [[UInt8]] = []
        for profile in [ChunkProfile.fastcdc64k, .line16k] {
            let content = random.table(rows: 20_000)
            try builder.beginFile("data/\(profile.code).csv", profile: profile)
            var at = 0
            try content.withUnsafeBytes { buffer in
                for length in Chunker(profile).lengths(of: buffer) {
                    let chunk = UnsafeRawBufferPointer(rebasing: buffer[at..<(at + length)])
                    if let page = try builder.append(ChunkEntry(of: chunk)) { pages.append(page.bytes) }
                    at += length
                }
            }
            try builder.endFile(digest: SHA256.hash(content))
        }
        let built = try builder.finish()
        if let last = built.lastPage { pages.append(last.bytes) }
        let index = try ChunkIndex(table: try FileTable(encoded: built.encodedTable, chunks: built.chunkCount), pages: pages)
        #expect(index.root == built.root)
    }
}
