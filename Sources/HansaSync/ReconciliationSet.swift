// One side's members of a view, in order, with fingerprints of any range of them (SYNC.md §3).
//
// Made anew for each repair: the records are put in order once, one pass adds up the tags, and a sum is kept before every 64th record. A range
// costs two sums kept and at most 63 tags at either end. At 10^6 members: 40 MB of records, 16 MB while they are ordered, 250 KB of sums.
public import HansaCore
internal import HansaCrypto

/// A member as repair compares it: when its release was issued, which one it is, and at what level.
public struct ReconciliationItem: Sendable, Equatable {
    /// Time and level in one word: forty bytes a record, and a set of 10^6 stays below 64 MB.
    private let word: UInt64
    public let release: Digest

    /// `issued` in milliseconds since 1970; nil where the recipient may not know it (a refused release): it stands before all others.
    public init(issued: Timestamp?, release: Digest, level: UInt8) {
        precondition(level < 4, "a level has two bits")
        word = min(UInt64(clamping: issued?.milliseconds ?? 0), ReconciliationBound.timeMax) << 2 | UInt64(level)
        self.release = release
    }

    public var time: UInt64 { word >> 2 }
    public var level: UInt8 { UInt8(word & 3) }
}

/// A place between items, by which ranges are told: the first item of a range, or as much of it as tells it from the one before.
public struct ReconciliationBound: Sendable, Equatable, Comparable {
    public static let timeMax: UInt64 = 1 << 60
    /// Before every item.
    public static let start = ReconciliationBound(time: 0, prefix: .zero)
    /// After every item.
    public static let end = ReconciliationBound(time: .max, prefix: .zero)

    /// Milliseconds since 1970.
    public let time: UInt64
    /// The beginning of an id, and zeros.
    public let prefix: Digest

    public init(time: UInt64, prefix: Digest) {
        self.time = time
        self.prefix = prefix
    }

    public static func < (left: ReconciliationBound, right: ReconciliationBound) -> Bool {
        left.time != right.time ? left.time < right.time : left.prefix < right.prefix
    }

    /// The shortest bound after `before` and not after `item`.
    init(between before: ReconciliationItem, and item: ReconciliationItem) {
        guard before.time == item.time else {
            self.init(time: item.time, prefix: .zero)
            return
        }
        let (left, right) = (before.release.bytes, item.release.bytes)
        let common = zip(left, right).prefix { $0 == $1 }.count
        let shortest = right.prefix(common + 1) + [UInt8](repeating: 0, count: max(0, Digest.byteCount - common - 1))
        self.init(time: item.time, prefix: Digest(shortest) ?? item.release)
    }
}

public struct ReconciliationSet {
    /// A sum is kept before every so many items.
    static let sumEvery = 64

    public let items: [ReconciliationItem]
    private let tags: DigestTags
    private let sums: [UInt128]

    /// `items` in any order, each release at most once; fastest where they come in order of release. The key has 16 bytes.
    public init(key: [UInt8], items: consuming [ReconciliationItem]) {
        let tags = DigestTags(key: key)
        self.tags = tags
        self.items = Self.ordered(items)
        var sums: [UInt128] = []
        sums.reserveCapacity(self.items.count / Self.sumEvery + 1)
        var sum: UInt128 = 0
        self.items.withUnsafeBufferPointer { items in
            tags.each(items.count, message: { (items[$0].release, items[$0].level) }) { index, tag in
                if index % Self.sumEvery == 0 { sums.append(sum) }
                sum &+= tag
            }
        }
        if self.items.count % Self.sumEvery == 0 { sums.append(sum) }
        self.sums = sums
    }

    public var count: Int { items.count }

    /// The index of the first item that is not before `bound`.
    func index(of bound: ReconciliationBound) -> Int {
        if bound == .end { return items.count }
        var (low, high) = (0, items.count)
        while low < high {
            let middle = (low + high) / 2
            let item = items[middle]
            if item.time != bound.time ? item.time < bound.time : item.release < bound.prefix {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    func bound(before index: Int) -> ReconciliationBound {
        if index == 0 { return .start }
        return index == items.count ? .end : ReconciliationBound(between: items[index - 1], and: items[index])
    }

    /// The sum of the tags modulo 2^128, of which the first half travels: the key is fresh and unknown to authors of ids, so 64 bits are enough to
    /// tell ranges apart, and what they miss the view's digest finds.
    func fingerprint(_ range: Range<Int>) -> UInt64 {
        Self.fingerprint(sum(before: range.upperBound) &- sum(before: range.lowerBound))
    }

    static func fingerprint(_ sum: UInt128) -> UInt64 { UInt64(truncatingIfNeeded: sum >> 64) }

    private func sum(before index: Int) -> UInt128 {
        let base = index / Self.sumEvery
        var sum = sums[base]
        each(in: base * Self.sumEvery..<index) { sum &+= $1 }
        return sum
    }

    /// Index and tag of each item of a range.
    func each(in range: Range<Int>, _ body: (Int, UInt128) -> Void) {
        let start = range.lowerBound
        items.withUnsafeBufferPointer { items in
            tags.each(range.count, message: { (items[start + $0].release, items[start + $0].level) }) { body(start + $0, $1) }
        }
    }

    /// `range` in `parts` of nearly the same count, each not empty.
    static func parts(of range: Range<Int>, _ parts: Int) -> [Range<Int>] {
        let parts = max(1, min(parts, range.count))
        return (0..<parts).map { part in
            range.lowerBound + range.count * part / parts..<range.lowerBound + range.count * (part + 1) / parts
        }
    }
}

// MARK: - Order

extension ReconciliationSet {
    /// By time, then release. Stores keep rows in order of release, so that a stable sort by time alone does nearly all of it: time and place of
    /// a record in one word, and these words by counting (Knuth 5.2.5, radix list sort), since comparing 10^6 records costs ten times as much.
    static func ordered(_ items: consuming [ReconciliationItem]) -> [ReconciliationItem] {
        var items = items
        func isBefore(_ left: ReconciliationItem, _ right: ReconciliationItem) -> Bool {
            left.time != right.time ? left.time < right.time : left.release < right.release
        }
        guard items.count > 1 else { return items }
        var (least, most) = (UInt64.max, UInt64.min)
        for item in items { (least, most) = (min(least, item.time), max(most, item.time)) }
        let placeBits = UInt64.bitWidth - (items.count - 1).leadingZeroBitCount
        let timeBits = UInt64.bitWidth - (most - least).leadingZeroBitCount
        guard items.count > 2048, items.count < Int(UInt32.max), placeBits + timeBits <= UInt64.bitWidth else {
            items.sort(by: isBefore)
            return items
        }
        var words = items.enumerated().map { ($1.time - least) << UInt64(placeBits) | UInt64($0) }
        radixSort(&words, from: placeBits, bits: timeBits)
        arrange(&items, by: &words, placeMask: (1 << UInt64(placeBits)) - 1)
        // Releases of one moment.
        var start = 0
        while start < items.count {
            var end = start + 1
            var isOrdered = true
            while end < items.count, items[end].time == items[start].time {
                if items[end].release < items[end - 1].release { isOrdered = false }
                end += 1
            }
            if !isOrdered { items[start..<end].sort { $0.release < $1.release } }
            start = end
        }
        return items
    }

    private static func radixSort(_ words: inout [UInt64], from shift: Int, bits: Int) {
        let digitBits = 11
        var other = [UInt64](repeating: 0, count: words.count)
        var done = 0
        while done < bits {
            var places = [Int](repeating: 0, count: 1 << digitBits)
            let down = UInt64(shift + done)
            let mask = UInt64(1 << digitBits) - 1
            for word in words { places[Int(word >> down & mask)] += 1 }
            var place = 0
            for digit in places.indices { (places[digit], place) = (place, place + places[digit]) }
            for word in words {
                let digit = Int(word >> down & mask)
                other[places[digit]] = word
                places[digit] += 1
            }
            swap(&words, &other)
            done += digitBits
        }
    }

    /// Puts each item where its word stands, along the cycles of the permutation: without a second array of records.
    private static func arrange(_ items: inout [ReconciliationItem], by words: inout [UInt64], placeMask: UInt64) {
        for index in words.indices { words[index] &= placeMask }
        for start in words.indices where words[start] != UInt64(start) {
            let first = items[start]
            var index = start
            while true {
                let from = Int(words[index])
                words[index] = UInt64(index)
                if from == start { break }
                items[index] = items[from]
                index = from
            }
            items[index] = first
        }
    }
}
