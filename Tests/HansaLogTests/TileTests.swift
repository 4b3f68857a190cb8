import HansaCore
import HansaLog
import Testing

@Suite struct TileTests {
    @Test(arguments: [
        (TilePath(.hashes(level: 0), index: 0), "tile/0/000"),
        (TilePath(.hashes(level: 1), index: 273, width: 17), "tile/1/273.p/17"),
        (TilePath(.entries, index: 1_234_067), "tile/entries/x001/x234/067"),
        (TilePath(.hashes(level: 2), index: 1000, width: 1), "tile/2/x001/000.p/1"),
        (TilePath(.entries, index: 999, width: 255), "tile/entries/999.p/255"),
        (TilePath(.hashes(level: 0), index: 36_028_797_018_963_967, width: 255), "tile/0/x036/x028/x797/x018/x963/967.p/255"),
    ])
    func aTileHasOnePath(tile: TilePath, text: String) {
        #expect(tile.text == text)
        #expect(TilePath(text) == tile)
    }

    @Test(arguments: [
        "", "checkpoint", "tile", "tile/0", "tile/0/", "tile/0/0", "tile/0/0000", "tile/0/00", "tile/00/000", "tile/8/000",
        "tile/-1/000",
        "tile/0/x000/000", "tile/0/001/000", "tile/0/x001", "tile/0/x001/x000", "tile/0/000.p", "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01", "tile/0/000.p/1/2", "tile/0/000/1", "tile/0/x01/000", "tile/0/X001/000", "tile/0/00a", "tile/0/../000",
        "/tile/0/000",
        "tile//000", "tile/0//000", "tile/0/000/", "tile/entries", "tile/entries/000.p/256", "tile/data/000", "tile/0/+00",
        "tile/0/٠٠٠",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999", "tile/7/001", "tile/7/000.p/128", "tile/0/x001.p/000/1", "Tile/0/000",
    ])
    func anySecondSpellingOfAPathIsRefused(text: String) {
        #expect(TilePath(text) == nil)
    }

    @Test func aTreeOf70000EntriesHasItsKnownTiles() {
        let tiles = TileLayout.tiles(growingFrom: 0, to: 70_000)
        func count(_ kind: TilePath.Kind, full: Bool) -> Int { tiles.filter { $0.kind == kind && $0.isFull == full }.count }
        #expect(count(.entries, full: true) == 273 && count(.hashes(level: 0), full: true) == 273)
        #expect(count(.hashes(level: 1), full: true) == 1 && count(.hashes(level: 2), full: true) == 0)
        #expect(
            TileLayout.partialTiles(in: 70_000) == [
                TilePath(.entries, index: 273, width: 112), TilePath(.hashes(level: 0), index: 273, width: 112),
                TilePath(.hashes(level: 1), index: 1, width: 17), TilePath(.hashes(level: 2), index: 0, width: 1),
            ])
        #expect(tiles.count == 2 * 274 + 2 + 1)
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func growingInStepsWritesWhatGrowingAtOnceWrites(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var size: TreeSize = 0
        var present: Set<TilePath> = []
        for _ in 0..<60 {
            let next = size.advanced(
                by: UInt64.random(in: 0...[1, 40, 300, 70_000][Int.random(in: 0..<4, using: &random)], using: &random))
            let written = TileLayout.tiles(growingFrom: size, to: next)
            #expect(Set(written).count == written.count && present.isDisjoint(with: written), "seed \(seed)")
            present = present.filter { TileLayout.contains($0, in: next) }.union(written)
            #expect(present == Set(TileLayout.tiles(growingFrom: 0, to: next)), "seed \(seed), size \(next)")
            #expect(Set(TileLayout.partialTiles(in: next)) == present.filter { !$0.isFull }, "seed \(seed)")
            for tile in written { #expect(tile.completeAt.map { $0 > size && $0 <= next } == true, "seed \(seed), \(tile)") }
            size = next
        }
    }

    @Test func aBundleReadsBack() throws {
        let entries: [[UInt8]] = [[], [1], [UInt8](repeating: 7, count: 65_535), [2, 3]]
        let bundle = EntryBundle.encode(entries)
        #expect(bundle.prefix(5) == [0, 0, 0, 1, 1])
        #expect(try EntryBundle.decode(bundle, count: 4).map { Array($0) } == entries)
    }

    @Test func aBundleWithMoreOrFewerEntriesIsRefused() {
        let bundle = EntryBundle.encode([[1, 2, 3], [4]])
        #expect(throws: ByteFault.trailing(3)) { try EntryBundle.decode(bundle, count: 1) }
        #expect(throws: ByteFault.truncated(wanted: 2, left: 0)) { try EntryBundle.decode(bundle, count: 3) }
        #expect(throws: ByteFault.truncated(wanted: 1, left: 0)) { try EntryBundle.decode(Array(bundle.dropLast()), count: 2) }
        #expect(throws: ByteFault.trailing(1)) { try EntryBundle.decode(bundle + [0], count: 2) }
        #expect(throws: ByteFault.truncated(wanted: 65_535, left: 1)) { try EntryBundle.decode([0xFF, 0xFF, 0], count: 1) }
    }
}
