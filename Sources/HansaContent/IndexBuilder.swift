// Makes the index of a release while its files stream past. Memory is the file table, one page, and 32 bytes for each page before it.
//
// Call order: for each file, ascending by path bytes: beginFile, append for each of its chunks, endFile; then finish.
// Wherever append returns a page, it is full and is the caller's to store.
public import HansaCore
internal import HansaCrypto

public struct IndexBuilder: Sendable {
    /// A finished index. The last, partly filled page is in it; the pages before it were handed out as they filled.
    public struct Built: Sendable {
        public let table: FileTable
        public let encodedTable: [UInt8]
        public let tableDigest: Digest
        /// Nil when the last page was full, or there is none.
        public let lastPage: Page?
        public let pageDigests: [Digest]
        public let root: Digest
        public var chunkCount: Int { table.chunkCount }
        public var pageCount: Int { pageDigests.count }
    }

    /// A page as it is stored and sent.
    public struct Page: Hashable, Sendable {
        public let number: Int
        public let bytes: [UInt8]
        public let digest: Digest
    }

    private struct OpenFile {
        let path: String
        let profile: ChunkProfile
        let firstChunk: Int
        var size: UInt64 = 0
        var lastChunk: Digest?
        var lastLength = 0
    }

    private var files: [FileEntry] = []
    private var open: OpenFile?
    private var page: [ChunkEntry] = []
    private var pageDigests: [Digest] = []
    public private(set) var chunkCount = 0

    public init() { page.reserveCapacity(Limits.indexPageChunks) }

    /// Begins a file. Its path comes after all earlier ones by its bytes.
    public mutating func beginFile(_ path: String, profile: ChunkProfile) throws(IndexFault) {
        precondition(open == nil, "end the file before you begin the next")
        guard files.count < Limits.filesMax else { throw .tooLarge("the number of files") }
        if let last = files.last, !FileTable.precedes(last.path, path) { throw .outOfOrder(entry: files.count) }
        open = OpenFile(path: path, profile: profile, firstChunk: chunkCount)
    }

    /// Adds the next chunk of the open file. Returns a page when this chunk filled it.
    public mutating func append(_ chunk: ChunkEntry) throws(IndexFault) -> Page? {
        guard var file = open else { preconditionFailure("begin a file before you append chunks") }
        guard chunkCount < Limits.chunksMax else { throw .tooLarge("the number of chunks") }
        let short = file.lastChunk != nil && file.lastLength < file.profile.min
        guard !short, chunk.length > 0, Int(chunk.length) <= file.profile.max else { throw .wrongChunkLength(chunk: chunkCount) }
        file.size += UInt64(chunk.length)
        file.lastChunk = chunk.id
        file.lastLength = Int(chunk.length)
        open = file
        chunkCount += 1
        page.append(chunk)
        return page.count == Limits.indexPageChunks ? flush() : nil
    }

    /// Ends the open file. `digest` is the SHA-256 of the whole file.
    public mutating func endFile(digest: Digest) throws(IndexFault) {
        guard let file = open else { preconditionFailure("there is no open file") }
        if chunkCount - file.firstChunk == 1, file.lastChunk != digest { throw .wrongDigest(entry: files.count) }
        files.append(
            FileEntry(path: file.path, size: file.size, profile: file.profile, firstChunk: file.firstChunk, digest: digest))
        open = nil
    }

    /// Checks the whole table as a receiver would.
    public consuming func finish() throws(IndexFault) -> Built {
        precondition(open == nil, "end the last file before you finish")
        let lastPage = page.isEmpty ? nil : flush()
        let table = try FileTable(files: files, chunks: chunkCount)
        let encoded = table.encoded()
        guard encoded.count <= Limits.fileTableBytesMax else { throw .tooLarge("the file table") }
        let digest = SHA256.hash(encoded)
        return Built(
            table: table, encodedTable: encoded, tableDigest: digest, lastPage: lastPage, pageDigests: pageDigests,
            root: ChunkIndex.root(table: digest, pages: pageDigests))
    }

    private mutating func flush() -> Page {
        let bytes = IndexPage.encode(page)
        let flushed = Page(number: pageDigests.count, bytes: bytes, digest: SHA256.hash(bytes))
        pageDigests.append(flushed.digest)
        page.removeAll(keepingCapacity: true)
        return flushed
    }
}
