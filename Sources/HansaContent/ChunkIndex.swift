// The chunk index of a release (FORMATS.md §9): a file table and pages of 1,024 entries.
//
//     entry = 32 bytes SHA-256 of the chunk ‖ u32 BE raw length
//     page i = entries 1024·i ... 1024·i + 1023; the last page ends with the last chunk; no chunks, no page
//     root  = SHA-256("hansa-index/1" ‖ SHA-256(encoded table) ‖ SHA-256(page 0) ‖ SHA-256(page 1) ‖ …)
//
// `ChunkIndex` holds a whole index in memory; `IndexBuilder` and `IndexValidator` see one page at a time.
public import HansaCore
internal import HansaCrypto

/// A chunk as an index names it.
public struct ChunkEntry: Hashable, Sendable {
    public static let byteCount = 36

    /// SHA-256 of the raw bytes.
    public let id: Digest
    /// Raw bytes, 1 to `Limits.chunkBytesMax`.
    public let length: UInt32

    public init(id: Digest, length: UInt32) {
        self.id = id
        self.length = length
    }

    /// As a page lists it. The length is not looked at.
    init(_ page: UnsafeRawBufferPointer, at offset: Int) {
        id = Digest(page, at: offset)
        length = UInt32(bigEndian: page.loadUnaligned(fromByteOffset: offset + Digest.byteCount, as: UInt32.self))
    }

    func append(to page: inout [UInt8]) {
        id.withUnsafeBytes { page.append(contentsOf: $0) }
        withUnsafeBytes(of: length.bigEndian) { page.append(contentsOf: $0) }
    }

    /// The entry of these bytes.
    public init(of bytes: UnsafeRawBufferPointer) {
        self.init(id: SHA256.hash(bytes), length: UInt32(bytes.count))
    }
}

/// A page of an index, as bytes and back.
public enum IndexPage {
    public static let bytesMax = Limits.indexPageChunks * ChunkEntry.byteCount

    /// How many pages hold so many chunks.
    public static func count(forChunks chunks: Int) -> Int { (chunks + Limits.indexPageChunks - 1) / Limits.indexPageChunks }

    /// The chunks of one page in an index of `chunks`.
    public static func chunks(of page: Int, inIndexOf chunks: Int) -> Range<Int> {
        let first = page * Limits.indexPageChunks
        return first..<Swift.min(first + Limits.indexPageChunks, chunks)
    }

    public static func encode(_ entries: some Collection<ChunkEntry>) -> [UInt8] {
        precondition(entries.count <= Limits.indexPageChunks, "a page holds at most 1,024 chunks")
        var writer = ByteWriter(reserving: entries.count * ChunkEntry.byteCount)
        for entry in entries {
            writer.digest(entry.id)
            writer.u32(entry.length)
        }
        return writer.bytes
    }

    /// The entries of a page: 1 to 1,024 of them, with lengths from 1 to `Limits.chunkBytesMax`.
    public static func decode(_ bytes: [UInt8]) throws(IndexFault) -> [ChunkEntry] { try decode(bytes[...]) }

    public static func decode(_ bytes: ArraySlice<UInt8>) throws(IndexFault) -> [ChunkEntry] {
        guard !bytes.isEmpty, bytes.count <= bytesMax, bytes.count % ChunkEntry.byteCount == 0 else {
            throw .bytes(.malformed("a page is 1 to 1,024 entries of 36 bytes"))
        }
        return try entries(bytes)
    }

    /// Any number of entries, as a page or a stored block lists them. The count of bytes is a multiple of 36.
    static func entries(_ bytes: ArraySlice<UInt8>) throws(IndexFault) -> [ChunkEntry] {
        let entries = bytes.withUnsafeBytes { buffer -> [ChunkEntry]? in
            var entries: [ChunkEntry] = []
            entries.reserveCapacity(buffer.count / ChunkEntry.byteCount)
            for offset in stride(from: 0, to: buffer.count, by: ChunkEntry.byteCount) {
                let entry = ChunkEntry(buffer, at: offset)
                guard entry.length > 0, entry.length <= UInt32(Limits.chunkBytesMax) else { return nil }
                entries.append(entry)
            }
            return entries
        }
        guard let entries else { throw .bytes(.malformed("length of a chunk")) }
        return entries
    }
}

/// A whole index in memory: for releases whose pages fit. One of a partner is made by `init(table:pages:)`, which checks everything.
public struct ChunkIndex: Hashable, Sendable {
    public let table: FileTable
    public let chunks: [ChunkEntry]

    public var files: [FileEntry] { table.files }
    public var pageCount: Int { table.pageCount }

    /// Joins a table and its pages, in order.
    public init(table: FileTable, pages: some Sequence<[UInt8]>) throws(IndexFault) {
        var validator = IndexValidator(table)
        var chunks: [ChunkEntry] = []
        for page in pages { chunks += try validator.check(page) }
        try validator.finish()
        self.table = table
        self.chunks = chunks
    }

    public func encodedTable() -> [UInt8] { table.encoded() }

    /// The bytes of page `number`.
    public func page(_ number: Int) -> [UInt8] { IndexPage.encode(chunks[IndexPage.chunks(of: number, inIndexOf: chunks.count)]) }

    public var root: Digest {
        ChunkIndex.root(table: SHA256.hash(encodedTable()), pages: (0..<pageCount).map { SHA256.hash(page($0)) })
    }

    /// The digest that a signed release names, from the digests of the encoded table and of each page in order.
    public static func root(table: Digest, pages: some Sequence<Digest>) -> Digest {
        var hash = SHA256()
        hash.update(Array("hansa-index/1".utf8))
        hash.update(table)
        for page in pages { hash.update(page) }
        return hash.finish()
    }
}
