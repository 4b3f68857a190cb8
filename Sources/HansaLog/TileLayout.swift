/// Which tiles a tree of some size has on disk.
public enum TileLayout {
    /// How many items a tree has at a level: complete subtrees of 256^level entries.
    public static func items(in size: TreeSize, level: Int) -> UInt64 { size.value >> UInt64(8 * level) }

    /// How many items of tile `index` a tree has at a level: 0 to 256.
    public static func width(of index: UInt64, in size: TreeSize, level: Int) -> Int {
        let all = items(in: size, level: level)
        let (first, overflow) = index.multipliedReportingOverflow(by: 256)
        return overflow || first >= all ? 0 : Int(min(all - first, 256))
    }

    /// The tiles of the right edge that are not full: entries and level 0 first. Those of size 0 are none.
    public static func partialTiles(in size: TreeSize) -> [TilePath] {
        kinds.compactMap { kind in
            let items = items(in: size, level: kind.level)
            return items % 256 == 0 ? nil : TilePath(kind, index: items / 256, width: Int(items % 256))
        }
    }

    /// Everything that must be written when a tree grows from `old` to `new` entries: full tiles that were not full, and partial
    /// tiles that are new or wider; entries first, then level by level. Empty tiles never occur.
    public static func tiles(growingFrom old: TreeSize, to new: TreeSize) -> [TilePath] {
        precondition(old <= new, "a tree does not shrink")
        var tiles: [TilePath] = []
        for kind in kinds {
            let before = items(in: old, level: kind.level)
            let after = items(in: new, level: kind.level)
            guard before < after else { continue }
            for index in (before / 256)..<(after / 256) { tiles.append(TilePath(kind, index: index)) }
            if after % 256 != 0 { tiles.append(TilePath(kind, index: after / 256, width: Int(after % 256))) }
        }
        return tiles
    }

    /// Whether a tree of this size has exactly this tile on disk.
    public static func contains(_ tile: TilePath, in size: TreeSize) -> Bool {
        tile.width == width(of: tile.index, in: size, level: tile.kind.level)
    }

    private static let kinds: [TilePath.Kind] = [.entries] + (0..<TilePath.levelsMax).map { .hashes(level: $0) }
}
