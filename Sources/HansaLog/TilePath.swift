// Names of the files of a log (C2SP tlog-tiles): `tile/<L>/<N>[.p/<W>]` for hashes, `tile/entries/<N>[.p/<W>]` for entries.

/// One tile: up to 256 hashes of one level, or the 256 entries that belong to a tile of level 0.
public struct TilePath: Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// Item i of tile n at `level` is the root over the 256^level entries from (256·n + i)·256^level on. Level 0 to 7.
        case hashes(level: Int)
        case entries

        /// Entries lie beside the tiles of level 0.
        public var level: Int {
            switch self {
            case .hashes(let level): level
            case .entries: 0
            }
        }
    }

    /// Items in a full tile.
    public static let fullWidth = 256
    /// 256^8 is above every tree size.
    public static let levelsMax = 8

    public let kind: Kind
    public let index: UInt64
    /// How many items: 1 to 256. Below 256 the tile is partial.
    public let width: Int

    /// Traps where there is no such tile.
    public init(_ kind: Kind, index: UInt64, width: Int = fullWidth) {
        precondition((1...TilePath.fullWidth).contains(width), "a tile of \(width) items")
        precondition((0..<TilePath.levelsMax).contains(kind.level), "a tile of level \(kind.level)")
        self.kind = kind
        self.index = index
        self.width = width
    }

    /// Reads a path; nil for any spelling but the one that `text` has, and for tiles that no tree below 2^63 entries has.
    public init?(_ text: some StringProtocol) {
        var parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count >= 3, parts.count <= 12, parts[0] == "tile" else { return nil }
        let kind: Kind
        if parts[1] == "entries" {
            kind = .entries
        } else {
            guard let level = Decimal.value(parts[1].utf8), level < UInt64(TilePath.levelsMax) else { return nil }
            kind = .hashes(level: Int(level))
        }
        var width = TilePath.fullWidth
        if parts[parts.count - 2].hasSuffix(".p") {
            guard let value = Decimal.value(parts[parts.count - 1].utf8), (1..<256).contains(value) else { return nil }
            width = Int(value)
            parts.removeLast()
            parts[parts.count - 1].removeLast(2)
        }
        var index: UInt64 = 0
        for (position, part) in parts.dropFirst(2).enumerated() {
            let isLast = position == parts.count - 3
            guard isLast || part.hasPrefix("x") else { return nil }
            let digits = isLast ? part.utf8[...] : part.utf8.dropFirst()
            guard digits.count == 3, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            let group = digits.reduce(0) { $0 * 10 + UInt64($1 - 0x30) }
            // A first group of zeros would be a second spelling.
            guard isLast || position > 0 || group > 0 else { return nil }
            let (product, overflow) = index.multipliedReportingOverflow(by: 1000)
            guard !overflow else { return nil }
            index = product + group
        }
        let reach = UInt64(Int64.max) >> UInt64(8 * kind.level)
        guard index < reach, index * 256 + UInt64(width) <= reach else { return nil }
        self.init(kind, index: index, width: width)
    }

    public var text: String {
        var path = "tile/"
        switch kind {
        case .hashes(let level): path += "\(level)/"
        case .entries: path += "entries/"
        }
        var groups = [TilePath.threeDigits(index % 1000)]
        var rest = index / 1000
        while rest > 0 {
            groups.append("x" + TilePath.threeDigits(rest % 1000))
            rest /= 1000
        }
        path += groups.reversed().joined(separator: "/")
        return isFull ? path : path + ".p/\(width)"
    }
    public var description: String { text }

    public var isFull: Bool { width == TilePath.fullWidth }
    /// The same tile, full.
    public var full: TilePath { TilePath(kind, index: index) }
    /// The smallest tree that has all items of this tile; nil from 2^63 entries on.
    public var completeAt: TreeSize? {
        let items = index.multipliedReportingOverflow(by: 256)
        let end = items.partialValue.addingReportingOverflow(UInt64(width))
        guard !items.overflow, !end.overflow, end.partialValue <= UInt64(Int64.max) >> UInt64(8 * kind.level) else { return nil }
        return TreeSize(end.partialValue << UInt64(8 * kind.level))
    }

    private static func threeDigits(_ value: UInt64) -> String {
        let digits = String(value)
        return String(repeating: "0", count: 3 - digits.utf8.count) + digits
    }
}
