// The pages of a feed that are not done, in the order in which they came, and what is left to do on them.
//
// Pages are done in their order, and an id is done on all of them at once. So one that is told again while it is left to do stands on the first
// page that told it and on no other, and what becomes of an id costs the same however many pages are open.
internal import HansaCore

struct OpenPages {
    /// What is said where a page ends.
    struct End {
        var cursor: [UInt8]
        var more: Bool
        /// The publisher's digest at the cursor; means nothing while more follows.
        var digest: Digest
    }

    private struct Page {
        /// Ascending; those of joined pages are missing.
        let number: Int
        var end: End
        /// How many ids stand on it.
        var left: Int
    }

    private var pages: [Page] = []
    private var pageOf: [Digest: Int] = [:]
    private var lastNumber = 0
    /// So many pages are looked through for some that can be joined.
    private var joinsAt = 64

    var isEmpty: Bool { pages.isEmpty }
    var count: Int { pages.count }
    /// In no order.
    var left: some Collection<Digest> { pageOf.keys }
    var isFirstDone: Bool { pages.first?.left == 0 }

    func contains(_ id: Digest) -> Bool { pageOf[id] != nil }

    mutating func add(_ end: End, _ ids: Set<Digest>) {
        lastNumber += 1
        var left = 0
        for id in ids where pageOf[id] == nil {
            pageOf[id] = lastNumber
            left += 1
        }
        pages.append(Page(number: lastNumber, end: end, left: left))
        guard pages.count > joinsAt else { return }
        join()
        joinsAt = 2 * pages.count + 64
    }

    /// Whether there may be one more of at most `max` pages.
    mutating func hasRoom(of max: Int) -> Bool {
        if pages.count >= max { join() }
        return pages.count < max
    }

    /// One that nothing is left to do for is done when the one before it is, and takes no room of its own.
    private mutating func join() {
        guard pages.dropFirst().contains(where: { $0.left == 0 }) else { return }
        var joined: [Page] = []
        for page in pages {
            if page.left == 0, !joined.isEmpty {
                joined[joined.count - 1].end = page.end
            } else {
                joined.append(page)
            }
        }
        pages = joined
    }

    /// False: it is on none of them.
    @discardableResult
    mutating func remove(_ id: Digest) -> Bool {
        guard let number = pageOf.removeValue(forKey: id) else { return false }
        var (low, high) = (0, pages.count)
        while low + 1 < high {
            let middle = (low + high) / 2
            if pages[middle].number <= number { low = middle } else { high = middle }
        }
        pages[low].left -= 1
        return true
    }

    /// Where the last of the pages ends that are done without these ids, and whether it is the last of all; nil: the first is not done.
    func end(without ids: Set<Digest>) -> (end: End, isLast: Bool)? {
        var fewer: [Int: Int] = [:]
        for id in ids { if let number = pageOf[id] { fewer[number, default: 0] += 1 } }
        let done = pages.prefix { $0.left == fewer[$0.number] ?? 0 }
        return done.last.map { ($0.end, done.count == pages.count) }
    }

    mutating func removeDone() { pages.removeFirst(pages.prefix { $0.left == 0 }.count) }
}
