// The two numbers of a log that must never be mixed up: how many entries a tree has, and which of them one is.

/// How many entries a Merkle tree has: 0 to 2^63 − 1 (so that every reader can hold it in a signed word, as Go's does).
public struct TreeSize: Hashable, Comparable, Sendable, CustomStringConvertible, ExpressibleByIntegerLiteral {
    public static let max = TreeSize(UInt64(Int64.max))

    public let value: UInt64

    /// Traps at 2^63 and above.
    public init(_ value: UInt64) {
        precondition(value <= UInt64(Int64.max), "a tree has fewer than 2^63 entries")
        self.value = value
    }
    public init(integerLiteral value: UInt64) { self.init(value) }

    /// ASCII decimal without sign or leading zero, as checkpoints write it; nil for anything else and from 2^63 on.
    public init?(decimal text: some StringProtocol) {
        guard let value = Decimal.value(text.utf8) else { return nil }
        self.value = value
    }

    public var description: String { String(value) }
    public var isEmpty: Bool { value == 0 }
    /// The index of the entry that comes next.
    public var nextIndex: LeafIndex { LeafIndex(value) }
    public func advanced(by count: UInt64) -> TreeSize { TreeSize(value + count) }
    /// Whether the tree has this entry.
    public func contains(_ index: LeafIndex) -> Bool { index.value < value }
    public static func < (left: TreeSize, right: TreeSize) -> Bool { left.value < right.value }
}

/// Which entry of a log, counted from 0.
public struct LeafIndex: Hashable, Comparable, Sendable, CustomStringConvertible, ExpressibleByIntegerLiteral {
    public let value: UInt64

    /// Traps at 2^63 and above.
    public init(_ value: UInt64) {
        precondition(value <= UInt64(Int64.max), "a log has fewer than 2^63 entries")
        self.value = value
    }
    public init(integerLiteral value: UInt64) { self.init(value) }

    /// ASCII decimal without sign or leading zero; nil for anything else and from 2^63 on.
    public init?(decimal text: some StringProtocol) {
        guard let value = Decimal.value(text.utf8) else { return nil }
        self.value = value
    }

    public var description: String { String(value) }
    /// The size of the tree whose last entry this is.
    public var treeSize: TreeSize { TreeSize(value + 1) }
    public static func < (left: LeafIndex, right: LeafIndex) -> Bool { left.value < right.value }
}

/// A complete subtree: the 2^level leaves from `index`·2^level on.
public struct NodePosition: Hashable, Sendable {
    /// 0 for leaves, at most 62.
    public let level: Int
    public let index: UInt64

    public init(level: Int, index: UInt64) {
        self.level = level
        self.index = index
    }
}

enum Decimal {
    /// Strict: digits only, no leading zero, below 2^63.
    static func value(_ digits: some Sequence<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        var count = 0
        for digit in digits {
            guard (0x30...0x39).contains(digit), count == 0 || value > 0 else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit - 0x30))
            guard !overflow, !carry, sum <= UInt64(Int64.max) else { return nil }
            value = sum
            count += 1
        }
        return count > 0 ? value : nil
    }
}
