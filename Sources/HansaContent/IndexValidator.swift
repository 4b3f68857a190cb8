// Checks the pages of an index against its table, one page at a time: what a receiver does once, when all pages are there.
//
// Call order: check for each page from 0 on, then finish. After an error the index is refused whole.
internal import HansaCore

public struct IndexValidator: Sendable {
    private let table: FileTable
    private var page = 0
    private var chunk = 0
    /// The file that the next chunk belongs to, and how many of its bytes the chunks before it made up.
    private var file = 0
    private var bytes: UInt64 = 0

    public init(_ table: FileTable) { self.table = table }

    /// Checks the next page and returns its entries: chunk lengths within the profile of their file (only the last of a file may be below
    /// the minimum), lengths that add up to the file's size, and the digest of a file of one chunk.
    public mutating func check(_ encoded: [UInt8]) throws(IndexFault) -> [ChunkEntry] {
        let entries = try IndexPage.decode(encoded)
        guard page < table.pageCount, entries.count == IndexPage.chunks(of: page, inIndexOf: table.chunkCount).count else {
            throw .wrongPage(page)
        }
        for entry in entries { try check(entry) }
        page += 1
        return entries
    }

    private mutating func check(_ entry: ChunkEntry) throws(IndexFault) {
        while table.chunks(of: file).upperBound <= chunk { file += 1 }
        let chunks = table.chunks(of: file)
        let entryOfFile = table.files[file]
        let isLast = chunk + 1 == chunks.upperBound
        guard Int(entry.length) <= entryOfFile.profile.max, isLast || Int(entry.length) >= entryOfFile.profile.min else {
            throw .wrongChunkLength(chunk: chunk)
        }
        bytes += UInt64(entry.length)
        if isLast {
            guard bytes == entryOfFile.size else { throw .wrongSize(entry: file) }
            guard chunks.count > 1 || entry.id == entryOfFile.digest else { throw .wrongDigest(entry: file) }
            bytes = 0
        }
        chunk += 1
    }

    public consuming func finish() throws(IndexFault) {
        guard chunk == table.chunkCount else { throw .wrongPage(page) }
    }
}
