// The index of a release that both sides hold, as the base of deltas: what stands where, and where something stands.
internal import HansaContent
internal import HansaCore

final class BaseIndex {
    /// Beyond it a release is no base: 20 bytes a chunk are kept while places are looked for.
    static let chunksMax = 1 << 21

    let row: ReleaseRow
    private let context: ExchangeContext
    /// The pages read last, the newest at the end.
    /// A place costs as much as reading so many bytes: decoded, and compared about twenty times.
    private static let effortOfPlace = 128
    private var pages: [(number: Int, entries: [ChunkEntry])] = []
    private static let pagesMax = 6
    private var map: Map?
    /// What was read of the index so far, in bytes: all of it is read and put in order when something has moved.
    private(set) var effortBytes = 0

    /// Places by the first eight bytes of ids; and where each chunk begins, in raw bytes.
    private struct Map {
        var heads: [UInt64]
        var order: [UInt32]
        var begins: [UInt64]
    }

    init(_ row: ReleaseRow, _ context: ExchangeContext) {
        self.row = row
        self.context = context
    }

    var chunkCount: Int { row.release.chunks }

    func entry(_ number: Int) throws -> ChunkEntry? {
        guard number < chunkCount else { return nil }
        return try page(number / Limits.indexPageChunks)[number % Limits.indexPageChunks]
    }

    func entries(_ range: Range<Int>) throws -> [ChunkEntry] {
        precondition(range.lowerBound >= 0 && range.upperBound <= chunkCount, "chunks beyond the base")
        var entries: [ChunkEntry] = []
        entries.reserveCapacity(range.count)
        var next = range.lowerBound
        while next < range.upperBound {
            let number = next / Limits.indexPageChunks
            let begin = number * Limits.indexPageChunks
            let end = min(range.upperBound, begin + Limits.indexPageChunks)
            entries += try page(number)[(next - begin)..<(end - begin)]
            next = end
        }
        return entries
    }

    /// Where a chunk stands: at `due` or the first place behind it, else the last before it. Nil where it stands nowhere.
    func place(of entry: ChunkEntry, near due: Int) throws -> Int? {
        // What did not move is found without the map.
        if due >= 0, try self.entry(due) == entry { return due }
        let map = try loaded()
        let head = BaseIndex.head(entry.id)
        var low = 0
        var high = map.order.count
        while low < high {
            let middle = (low + high) / 2
            if map.heads[Int(map.order[middle])] < head { low = middle + 1 } else { high = middle }
        }
        var best: Int?
        // Equal ones stand together, in the order of their places; one that repeats a thousand times is as good as its first few.
        for index in low..<min(low + 64, map.order.count) {
            let place = Int(map.order[index])
            guard map.heads[place] == head else { break }
            guard try self.entry(place) == entry else { continue }
            best = place
            if place >= due { break }
        }
        return best
    }

    /// Raw bytes of these chunks.
    func bytes(of range: Range<Int>) throws -> Int {
        let begins = try loaded().begins
        return Int(begins[range.upperBound] - begins[range.lowerBound])
    }

    /// The chunks that lie in `bytes` raw bytes from `offset` behind the beginning of `range`, in part or whole.
    func chunks(in range: Range<Int>, from offset: Int, bytes: Int) throws -> Range<Int> {
        let begins = try loaded().begins
        let start = Int(begins[range.lowerBound]) + max(0, offset)
        func first(above limit: Int) -> Int {
            var low = range.lowerBound
            var high = range.upperBound
            while low < high {
                let middle = (low + high) / 2
                if Int(begins[middle + 1]) > limit { high = middle } else { low = middle + 1 }
            }
            return low
        }
        let begin = first(above: start)
        let end = first(above: start + bytes)
        return begin..<min(range.upperBound, max(begin, end + 1))
    }

    private static func head(_ id: Digest) -> UInt64 { id.bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }

    private func loaded() throws -> Map {
        if let map { return map }
        var heads: [UInt64] = []
        var begins: [UInt64] = [0]
        heads.reserveCapacity(chunkCount)
        begins.reserveCapacity(chunkCount + 1)
        var total: UInt64 = 0
        for number in row.pages.indices {
            for entry in try IndexPage.decode(try context.body(at: row.pages[number], of: row.digest)) {
                heads.append(BaseIndex.head(entry.id))
                total += UInt64(entry.length)
                begins.append(total)
            }
        }
        guard heads.count == chunkCount else { throw StoreFault.damaged("the index of \(row.digest.short) is not whole") }
        effortBytes += chunkCount * BaseIndex.effortOfPlace
        let order = (0..<UInt32(heads.count)).sorted { (heads[Int($0)], $0) < (heads[Int($1)], $1) }
        let map = Map(heads: heads, order: order, begins: begins)
        self.map = map
        return map
    }

    private func page(_ number: Int) throws -> [ChunkEntry] {
        if let index = pages.firstIndex(where: { $0.number == number }) { return pages[index].entries }
        // Its content may have been given up since it was named as the base.
        guard row.pages.indices.contains(number) else {
            throw StoreFault.damaged("page \(number) of \(row.digest.short) is not here")
        }
        let entries = try IndexPage.decode(try context.body(at: row.pages[number], of: row.digest))
        guard entries.count == IndexPage.chunks(of: number, inIndexOf: chunkCount).count else {
            throw StoreFault.damaged("page \(number) of \(row.digest.short) is not whole")
        }
        effortBytes += entries.count * ChunkEntry.byteCount
        if pages.count == BaseIndex.pagesMax { pages.removeFirst() }
        pages.append((number, entries))
        return entries
    }
}
