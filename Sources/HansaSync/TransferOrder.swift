// Which of several transfers of one session goes next (SYNC.md §7): the shortest first, so that a release of 2 KB does not wait for one of 20 GB;
// and an eighth for the one that has waited longest, so that a stream of small ones never stops a large one.
//
// Pure: no clock; waiting is counted in the bytes that others were given. Both ends use it: the puller for what to ask for, the publisher for
// what to send of what was asked for.

/// Keys with an amount that is left of each, in units of the caller's choice.
///
/// "Shortest" is by powers of two, and first come among those: transfers of about one size are done one after another, not all by turns, and
/// the choice costs O(1). Every operation is amortised O(1).
struct TransferOrder<Key: Hashable & Sendable>: Sendable {
    /// Of all that is handed out one part in so many belongs to the oldest.
    static var share: Int { 8 }
    /// How far the oldest may be behind its part before it has its turn, in bytes: so turns are of a size that is worth opening a file for.
    static var quantumBytes: Int { 256 * 1024 }

    /// What a turn of the oldest takes at most: a content frame's worth.
    static var turnBytes: Int { 1024 * 1024 }

    private struct Entry {
        var rank: Int
        /// Its place in the rank's line; tickets of places that were given up are passed over.
        var ticket: UInt64
        /// Its place in the line of all.
        let since: UInt64
    }

    /// A line that is left at the front only; places in it may be void.
    private struct Line: Sendable {
        var places: [(key: Key, ticket: UInt64)] = []
        var head = 0

        mutating func dropFirst() {
            head += 1
            if head == places.count {
                places.removeAll(keepingCapacity: true)
                head = 0
            } else if head > 64, head > places.count / 2 {
                places.removeFirst(head)
                head = 0
            }
        }
        var first: (key: Key, ticket: UInt64)? { head < places.count ? places[head] : nil }
    }

    private var entries: [Key: Entry] = [:]
    private var ranks = [Line](repeating: Line(), count: 65)
    private var byAge = Line()
    private var tickets: UInt64 = 0
    /// What the others were given since the oldest is the oldest, less what its own turns have made up for.
    private var debt = 0

    var isEmpty: Bool { entries.isEmpty }
    var count: Int { entries.count }
    func contains(_ key: Key) -> Bool { entries[key] != nil }

    private static func rank(_ left: Int) -> Int { left <= 0 ? 0 : Int.bitWidth - left.leadingZeroBitCount }

    /// Takes a key in, or says anew how much is left of it.
    mutating func set(_ key: Key, left: Int) {
        let rank = Self.rank(left)
        if let known = entries[key] {
            guard known.rank != rank else { return }
            entries[key] = Entry(rank: rank, ticket: join(rank, key), since: known.since)
        } else {
            let ticket = join(rank, key)
            entries[key] = Entry(rank: rank, ticket: ticket, since: ticket)
            if byAge.places.count > 64 + 2 * entries.count {
                byAge.places = byAge.places[byAge.head...].filter { entries[$0.key]?.since == $0.ticket }
                byAge.head = 0
            }
            byAge.places.append((key, ticket))
        }
    }

    private mutating func join(_ rank: Int, _ key: Key) -> UInt64 {
        tickets += 1
        // Keys that go to and fro leave void places behind, where nobody may look for long.
        if ranks[rank].places.count > 64 + 2 * entries.count {
            ranks[rank].places = ranks[rank].places[ranks[rank].head...].filter { entries[$0.key]?.ticket == $0.ticket }
            ranks[rank].head = 0
        }
        ranks[rank].places.append((key, tickets))
        return tickets
    }

    mutating func remove(_ key: Key) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        if byAge.first?.ticket == entry.since { debt = 0 }
        if entries.isEmpty {
            for rank in ranks.indices { ranks[rank] = Line() }
            byAge = Line()
        }
    }

    /// The key with the least left, whatever is due to the oldest.
    mutating func shortest() -> Key? {
        guard !entries.isEmpty else { return nil }
        for rank in ranks.indices {
            while let place = ranks[rank].first {
                if let entry = entries[place.key], entry.ticket == place.ticket { return place.key }
                ranks[rank].dropFirst()
            }
        }
        return nil
    }

    /// The key that came first of all that are here.
    mutating func oldest() -> Key? {
        while let place = byAge.first {
            if entries[place.key]?.since == place.ticket { return place.key }
            byAge.dropFirst()
        }
        return nil
    }

    /// Whose turn it is: the shortest's, or the oldest's when it is behind its share.
    mutating func next() -> Key? {
        let isDue = debt >= (Self.share - 1) * Self.quantumBytes
        return isDue ? oldest() : shortest()
    }

    /// So many bytes were handed out of a key; `left` of it is left, and at 0 it is done.
    mutating func handedOut(_ bytes: Int, of key: Key, left: Int) {
        let owed = (Self.share - 1) * Self.quantumBytes
        // What it was given while it was alone, or was not given because it could not go on, counts no further than a turn or two.
        if key == oldest() {
            debt = Swift.max(-(Self.share - 1) * Self.turnBytes, debt - (Self.share - 1) * bytes)
        } else {
            debt = Swift.min(2 * owed, debt + bytes)
        }
        if left > 0 { set(key, left: left) } else { remove(key) }
    }
}
