// Which chunks the releases and transfers that stay need: the first eight bytes of each id, by the city whose chunks they are.
//
// Two ids that agree in these bytes count as one, so that a chunk may be kept for nothing (one of 2^64 a pair), and none is lost.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto

struct ReachableChunks: Sendable {
    private var prefixes: [Int64: [UInt64]] = [:]
    /// First eight bytes of digests of the pages that were read.
    private(set) var pages: Set<UInt64> = []
    /// Cities of which a page could not be read: nobody knows what it needs, so nothing of theirs is loose.
    private(set) var undecided: Set<Int64> = []
    private(set) var releases = 0

    /// Reads the index of every release. `progress` ends it by throwing.
    init(_ metadata: SQLiteStore, _ content: SegmentStore, progress: () throws -> Void) throws {
        var last = 0
        try metadata.eachContent { row in
            releases += 1
            if releases - last >= 256 {
                last = releases
                try progress()
            }
            for place in row.pages {
                do {
                    let page = try content.body(at: place)
                    pages.insert(SHA256.hash(page).prefix)
                    prefixes[row.city, default: []] += try IndexPage.decode(page).map(\.id.prefix)
                } catch {
                    undecided.insert(row.city)
                }
            }
        }
        for city in prefixes.keys {
            // Taken out while it is sorted, or it would be copied.
            guard var own = prefixes.removeValue(forKey: city) else { continue }
            own.sort()
            prefixes[city] = own
        }
    }

    func contains(_ chunk: LooseChunk) -> Bool {
        if undecided.contains(0) || undecided.contains(chunk.city) { return true }
        let prefix = chunk.id.prefix
        return has(prefix, chunk.city) || has(prefix, 0)
    }

    private func has(_ prefix: UInt64, _ city: Int64) -> Bool {
        guard let own = prefixes[city] else { return false }
        var (low, high) = (0, own.count)
        while low < high {
            let middle = (low + high) / 2
            if own[middle] < prefix { low = middle + 1 } else { high = middle }
        }
        return low < own.count && own[low] == prefix
    }
}
