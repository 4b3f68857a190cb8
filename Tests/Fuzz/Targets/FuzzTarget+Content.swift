internal import HansaContent
internal import HansaCore

extension FuzzTarget {
    /// A u16 count of chunks and a u16 length of the table, the table, and pages.
    static func index(_ bytes: [UInt8]) throws(FuzzFinding) {
        if let entries = try? IndexPage.decode(bytes) {
            try expect(IndexPage.encode(entries) == bytes, "a page of an index has two spellings")
        }
        guard bytes.count >= 4 else { return }
        let chunks = Int(bytes[0]) << 8 | Int(bytes[1])
        let tableEnd = Swift.min(4 + (Int(bytes[2]) << 8 | Int(bytes[3])), bytes.count)
        let encoded = Array(bytes[4..<tableEnd])
        guard let table = try? FileTable(encoded: encoded, chunks: chunks) else { return }
        try expect(table.encoded() == encoded, "a file table has two spellings")
        for (place, file) in table.files.enumerated() {
            try expect(table.position(of: file.path) == place, "a path is not found in its table")
            for chunk in table.chunks(of: place).prefix(3) {
                try expect(table.file(ofChunk: chunk) == place, "a chunk is found in another file")
            }
        }
        var pages: [[UInt8]] = []
        var rest = bytes[tableEnd...]
        while !rest.isEmpty {
            pages.append(Array(rest.prefix(IndexPage.bytesMax)))
            rest = rest.dropFirst(IndexPage.bytesMax)
        }
        guard let index = try? ChunkIndex(table: table, pages: pages) else { return }
        try expect((0..<index.pageCount).map { index.page($0) } == pages, "the pages of an index have two spellings")
    }

    /// A u24 raw length, and the compressed bytes.
    static func block(_ bytes: [UInt8]) throws(FuzzFinding) {
        guard bytes.count >= 3 else { return }
        let rawLength = (Int(bytes[0]) << 16 | Int(bytes[1]) << 8 | Int(bytes[2])) % (Limits.blockRawBytesMax + 1)
        let decoded = withExact(bytes.dropFirst(3)) { try? Block.decode(.zstd, $0, rawLength: rawLength) }
        guard let decoded else { return }
        try expect(decoded.count == rawLength, "a block of another raw length")
        let again = Block.encode(raw: decoded)
        try expect(
            (try? Block.decode(again.codec, again.bytes, rawLength: rawLength)) == decoded, "a block is compressed to another")
    }

    /// The bytes of a segment after its header, each as `u8 type ‖ u16 length ‖ body`: what would stop an invention at the door, the header,
    /// lengths and checksums, is made right around it.
    static func segment(_ bytes: [UInt8]) throws(FuzzFinding) {
        _ = try? SegmentFormat.readHeader(bytes[...])
        _ = SegmentFormat.readTrailer(bytes.suffix(SegmentFormat.trailerBytes))
        _ = try? SegmentRecord(encoded: bytes)
        var file = SegmentFormat.header(.content, id: 7)
        var rest = bytes[...]
        while rest.count >= 3 {
            let start = rest.startIndex
            let length = Int(rest[start + 1]) << 8 | Int(rest[start + 2])
            let body = rest.dropFirst(3).prefix(length)
            let record = framed(rest[start], body)
            if let read = try? SegmentRecord(encoded: record) {
                try expect(read.encoded() == record, "a record of a segment has two spellings")
                if case .block(let block) = read { try parts(record, block) }
            }
            file += record
            rest = rest.dropFirst(3 + length)
        }
        try scan(file + rest)
        try footer(bytes)
    }

    private static func framed(_ type: UInt8, _ body: some Collection<UInt8>) -> [UInt8] {
        var writer = ByteWriter()
        writer.u8(type)
        writer.u32(UInt32(body.count))
        var checksum = CRC32C()
        checksum.update(writer.bytes)
        checksum.update(Array(body))
        writer.u32(checksum.value)
        writer.raw(body)
        return writer.bytes
    }

    /// The second reader of blocks, which is given them in two parts.
    private static func parts(_ record: [UInt8], _ block: BlockRecord) throws(FuzzFinding) {
        let second = withExact(record.prefix(BlockRecord.prefixBytes)) {
            try? BlockRecord(prefix: $0, rest: Array(record.dropFirst(BlockRecord.prefixBytes)))
        }
        try expect(second == block, "two readers of a block disagree")
        if let raw = try? block.raw() { try expect(raw.count == block.rawLength, "a block of another raw length") }
    }

    private static func scan(_ file: [UInt8]) throws(FuzzFinding) {
        var end = UInt64(SegmentFormat.headerBytes)
        var isInOrder = true
        let found = SegmentScanner.scan(size: UInt64(file.count), segment: 7) { offset, count in
            Array(file.dropFirst(Int(offset)).prefix(count))
        } visit: { location, _ in
            isInOrder = isInOrder && UInt64(location.offset) == end
            end = location.end
        }
        try expect(isInOrder && found.goodBytes == end && end <= UInt64(file.count), "a scan that is not a prefix of its segment")
    }

    /// Entries of a footer, 41 bytes each, behind a segment of 2^20 bytes.
    private static func footer(_ bytes: [UInt8]) throws(FuzzFinding) {
        let offset: UInt32 = 1 << 20
        let body = bytes.prefix(bytes.count / 41 * 41)
        var trailer = ByteWriter()
        trailer.u32(offset)
        trailer.u32(UInt32(body.count / 41))
        trailer.u32(CRC32C.checksum(trailer.bytes))
        trailer.raw("HANSAEND".utf8)
        let encoded = framed(255, body) + trailer.bytes
        guard let footer = try? SegmentFooter(encoded: encoded, at: offset) else { return }
        try expect(SegmentFooter(footer.entries).encoded(at: offset) == encoded, "a footer has two spellings")
        for entry in footer.entries.prefix(8) {
            try expect(footer.entries(of: entry.id).contains(entry), "a footer does not find its entry")
        }
    }
}
