internal import HansaCore

/// Entries of many chunks at 36 bytes each, as the pages of an index have them: pages that came are kept as they are, and growing copies none. An array of
/// the millions of a large file takes twice that while it grows.
public struct ChunkList: RandomAccessCollection, Sendable {
    /// All but the last are full.
    private var pages: [[UInt8]] = []
    public private(set) var count = 0

    public init() {}

    public init(_ entries: some Sequence<ChunkEntry>) { append(contentsOf: entries) }

    /// The pages of one index, in order, as `IndexValidator` found them good.
    public init(pages: [[UInt8]]) {
        precondition(pages.dropLast().allSatisfy { $0.count == IndexPage.bytesMax }, "a page that is not the last is full")
        self.pages = pages
        count = pages.reduce(0) { $0 + $1.count } / ChunkEntry.byteCount
    }

    public var startIndex: Int { 0 }
    public var endIndex: Int { count }

    public subscript(number: Int) -> ChunkEntry {
        precondition(number >= 0 && number < count, "a chunk that is not listed")
        let (page, place) = number.quotientAndRemainder(dividingBy: Limits.indexPageChunks)
        return pages[page].withUnsafeBytes { ChunkEntry($0, at: place * ChunkEntry.byteCount) }
    }

    public mutating func append(_ entry: ChunkEntry) {
        if count.isMultiple(of: Limits.indexPageChunks) {
            var page: [UInt8] = []
            // Of a short list there are thousands.
            if count > 0 { page.reserveCapacity(IndexPage.bytesMax) }
            pages.append(page)
        }
        entry.append(to: &pages[pages.count - 1])
        count += 1
    }

    public mutating func append(contentsOf entries: some Sequence<ChunkEntry>) { for entry in entries { append(entry) } }

    /// Hands out every entry in order, and lets go of each page that was handed out: whoever makes something as large of them has both in memory once.
    public mutating func drain<E: Error>(_ body: (ChunkEntry) throws(E) -> Void) throws(E) {
        var rest = pages
        self = ChunkList()
        for number in rest.indices {
            let page = ChunkList(pages: [rest[number]])
            rest[number] = []
            for entry in page { try body(entry) }
        }
    }
}
