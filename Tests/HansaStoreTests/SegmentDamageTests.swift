import HansaContent
import HansaCore
import HansaStore
import HansaTestSupport
import Testing

/// What a disk does to segments beside a crash: bits that flip, sectors that die, files that are shorter or gone. A store opens all the same, and gives
/// everything that is whole.
@Suite struct SegmentDamageTests {
    private static let path = "segments/00000001.seg"

    /// Six blocks in segment 1, sealed or open, and a document in segment 2.
    private static func store(sealed: Bool) throws -> (disk: MemoryDisk, stored: [Stored]) {
        let disk = MemoryDisk(seed: 1)
        var maker = RecordMaker(seed: 9)
        let store = try SegmentStore.open(disk: disk) { _ in .known(0) }.store
        var stored: [Stored] = []
        for record in (0..<6).map({ _ in maker.block(bytesMax: 60) }) + [maker.document()] {
            stored.append((try store.append(record), record))
        }
        if sealed { try store.seal(.content) }
        try store.sync()
        store.close()
        return (disk, stored)
    }

    private static func open(_ disk: MemoryDisk, _ stored: [Stored], isKnown: Bool = true) throws -> (
        store: SegmentStore, recovery: SegmentStore.Recovery
    ) {
        let known = marks(stored)
        return try SegmentStore.open(disk: disk, named: isKnown ? Set(known.keys) : []) {
            isKnown ? .known(known[$0] ?? 0) : .unknown
        }
    }

    // MARK: - Headers and footers

    @Test(arguments: [false, true], [false, true])
    func aStoreOpensWithAnyByteOfAHeaderFlipped(sealed: Bool, isKnown: Bool) throws {
        for byte in 0..<SegmentFormat.headerBytes {
            for bit in 0..<8 {
                let (disk, stored) = try Self.store(sealed: sealed)
                let before = disk.contents(Self.path)
                disk.flipBit(Self.path, byte: byte, bit: bit)
                let (store, recovery) = try Self.open(disk, stored, isKnown: isKnown)
                for (location, record) in stored { #expect(try store.read(location) == record, "byte \(byte), bit \(bit)") }
                if sealed {
                    // Nobody reads it before somebody checks everything.
                    #expect(recovery.mended.isEmpty)
                    #expect(try store.scanAll { _, _ in }.map(\.fault) == [.header])
                    #expect(try store.mend(1))
                    #expect(disk.contents(Self.path) == before)
                } else {
                    #expect(recovery.mended == [1], "byte \(byte), bit \(bit)")
                    // It takes no more records.
                    var maker = RecordMaker(seed: 3)
                    #expect(try store.append(maker.block()).segment > 2)
                    try store.sync()
                    #expect(try store.footer(of: 1) != nil)
                }
                #expect(try store.scanAll { _, _ in } == [])
                disk.crash()
                let again = try Self.open(disk, stored, isKnown: isKnown).store
                for (location, record) in stored { #expect(try again.read(location) == record, "byte \(byte), bit \(bit)") }
                #expect(try again.scanAll { _, _ in } == [])
            }
        }
    }

    @Test(arguments: [false, true])
    func aStoreOpensWithAnyByteOfAFooterFlippedAndMendsIt(isKnown: Bool) throws {
        let (whole, stored) = try Self.store(sealed: true)
        let before = try #require(whole.contents(Self.path))
        let recordsEnd = stored.filter { $0.location.segment == 1 }.map(\.location.end).max() ?? 0
        for byte in Int(recordsEnd)..<before.count {
            let (disk, _) = try Self.store(sealed: true)
            disk.flipBit(Self.path, byte: byte, bit: byte % 8)
            let (store, _) = try Self.open(disk, stored, isKnown: isKnown)
            for (location, record) in stored { #expect(try store.read(location) == record, "byte \(byte)") }
            // A trailer is made anew by the first sync, the list of records by whoever finds it damaged.
            try store.sync()
            #expect(try store.mend(1), "byte \(byte)")
            #expect(try store.scanAll { _, _ in } == [], "byte \(byte)")
            #expect(disk.contents(Self.path) == before, "byte \(byte)")
        }
    }

    @Test func aHeaderThatIsDamagedTogetherWithEveryRecordKeepsTheStoreOpen() throws {
        let (disk, stored) = try Self.store(sealed: false)
        disk.flipBit(Self.path, byte: 3, bit: 1)
        for (location, _) in stored where location.segment == 1 {
            disk.flipBit(Self.path, byte: Int(location.end) - 1, bit: 5)
        }
        let (store, recovery) = try Self.open(disk, stored)
        #expect(recovery.mended.isEmpty && recovery.lost.isEmpty)
        for (location, record) in stored {
            if location.segment == 1 {
                #expect(throws: SegmentStoreFault.self) { try store.read(location) }
            } else {
                #expect(try store.read(location) == record)
            }
        }
        try store.sync()
        _ = try Self.open(disk, stored)
    }

    @Test func aCrashAtEveryOperationOfMendingLosesNothing() throws {
        for byte in [5, Int.max] {
            for stop in 1...8 {
                let (disk, stored) = try Self.store(sealed: true)
                let size = try #require(disk.contents(Self.path)).count
                disk.flipBit(Self.path, byte: min(byte, size - 60), bit: 0)
                let store = try Self.open(disk, stored).store
                disk.faults.stopAtOperation = disk.operations + stop
                _ = try? store.mend(1)
                disk.crash()
                let again = try Self.open(disk, stored).store
                for (location, record) in stored {
                    #expect(try again.read(location) == record, "byte \(byte), operation \(stop)")
                }
            }
        }
    }

    // MARK: - Files that are shorter, or gone

    @Test func aSegmentThatIsShorterThanItsMarkIsToldAndGivesWhatIsWhole() throws {
        let last = try #require(try Self.store(sealed: false).stored.last { $0.location.segment == 1 }?.location)
        // One cut leaves nothing but whole records.
        for cut in [1, 40, 90, 10_000, Int(last.end) - Int(last.offset)] {
            let (disk, stored) = try Self.store(sealed: false)
            let whole = try #require(disk.contents(Self.path))
            disk.put(Self.path, Array(whole.dropLast(cut)))
            let left = UInt64(max(0, whole.count - cut))
            for round in 0..<2 {
                let (store, recovery) = try Self.open(disk, stored)
                #expect(recovery.lost == [1], "\(cut) bytes, round \(round)")
                for (location, record) in stored {
                    if location.segment == 1, location.end > left {
                        let fault = #expect(throws: SegmentStoreFault.self) { try store.read(location) }
                        guard case .damaged = fault else { Issue.record("\(String(describing: fault))"); continue }
                    } else {
                        #expect(try store.read(location) == record, "\(cut) bytes, round \(round)")
                    }
                }
                // Nothing else comes to lie where rows name what is gone.
                var maker = RecordMaker(seed: 3)
                #expect(try store.append(maker.block()).segment > 2)
                disk.crash()
            }
        }
    }

    @Test func aSegmentThatIsGoneIsToldAndItsNameIsNotUsedAgain() throws {
        let (disk, stored) = try Self.store(sealed: true)
        try disk.remove(Self.path)
        let (store, recovery) = try Self.open(disk, stored)
        #expect(recovery.lost == [1])
        let first = try #require(stored.first)
        #expect(throws: SegmentStoreFault.damaged(segment: 1, offset: UInt64(first.location.offset), .missing)) {
            try store.read(first.location)
        }
        #expect(throws: SegmentStoreFault.damaged(segment: 1, offset: UInt64(first.location.offset), .missing)) {
            try store.readBlock(first.location)
        }
        var maker = RecordMaker(seed: 3)
        #expect(try store.append(maker.block()).segment == 3)
        // Where nothing is left at all it is another directory, as of a disk that is not mounted.
        try disk.remove("segments/00000002.seg")
        try disk.remove("segments/00000003.seg")
        #expect(throws: SegmentStoreFault.nothingThere(segments: 2)) { try Self.open(disk, stored) }
    }

    @Test func withoutADatabaseNothingIsThrownAway() throws {
        let disk = MemoryDisk(seed: 1)
        var maker = RecordMaker(seed: 11)
        let store = try SegmentStore.open(disk: disk) { _ in .unknown }.store
        let records = (0..<4).map { _ in maker.block() }
        let locations = try records.map { try store.append($0) }
        try store.sync()
        store.close()
        // What is broken stays between what is whole.
        disk.flipBit("segments/00000001.seg", byte: Int(locations[1].offset) + 30, bit: 0)
        let (again, recovery) = try SegmentStore.open(disk: disk) { _ in .unknown }
        #expect(recovery.setAside.isEmpty && recovery.truncated.isEmpty && recovery.mended.isEmpty && recovery.lost.isEmpty)
        var found: [SegmentLocation: SegmentRecord] = [:]
        #expect(try again.scanAll { found[$0] = $1 }.map(\.offset) == [UInt64(locations[1].offset)])
        #expect(found == [locations[0]: records[0], locations[2]: records[2], locations[3]: records[3]])
        try again.sync()
        #expect(try again.footer(of: 1).map { Set($0.entries.map(\.offset)).count } == 3)
        // Behind a length that is broken nothing is found; it is set aside.
        disk.put(
            "segments/00000002.seg",
            SegmentFormat.header(.content, id: 2) + records[0].encoded() + [1, 255] + records[1].encoded())
        let third = try SegmentStore.open(disk: disk) { _ in .unknown }
        #expect(third.recovery.setAside == [2])
        #expect(disk.contents("segments/00000002.seg.damaged") == [1, 255] + records[1].encoded())
        // The name of what was set aside is not used again.
        try disk.remove("segments/00000002.seg")
        let fourth = try SegmentStore.open(disk: disk) { _ in .unknown }.store
        #expect(try fourth.append(maker.block()).segment == 3)
    }

    // MARK: - Sectors that die

    @Test(arguments: [false, true])
    func aPlaceThatTheDiskDoesNotGiveIsDamagedAndItsNeighboursAreNot(sealed: Bool) throws {
        let (disk, stored) = try Self.store(sealed: sealed)
        let store = try Self.open(disk, stored).store
        let dead = stored[2].location
        disk.faults.deadSectors[Self.path] = [Int(dead.offset) + 20]
        for (location, record) in stored {
            guard location == dead else {
                #expect(try store.read(location) == record)
                continue
            }
            let fault = SegmentStoreFault.damaged(segment: 1, offset: UInt64(dead.offset), .unreadable)
            #expect(throws: fault) { try store.read(location) }
            #expect(throws: fault) { try store.readBlock(location) }
        }
        // A reader of everything reads on.
        disk.faults.deadSectors[Self.path] = [4096]
        #expect(try store.scanAll { _, _ in } == [])
    }

    @Test func aDeadSectorHidesItsPageAndNoMore() throws {
        let disk = MemoryDisk(seed: 1)
        var maker = RecordMaker(seed: 4)
        let store = try SegmentStore.open(disk: disk) { _ in .known(0) }.store
        var stored: [Stored] = []
        for _ in 0..<200 {
            let record = maker.record()
            stored.append((try store.append(record), record))
        }
        try store.sync()
        disk.faults.deadSectors[Self.path] = [10_000]
        let page = UInt64(8192)..<UInt64(12_288)
        var found: Set<SegmentLocation> = []
        let damage = try store.scanAll { location, _ in found.insert(location) }
        #expect(!damage.isEmpty)
        try store.seal(.content)
        // With a list of records everything beyond the page is found.
        _ = try store.scanAll { location, _ in found.insert(location) }
        for (location, _) in stored
        where location.segment != 1 || location.end <= page.lowerBound || UInt64(location.offset) >= page.upperBound {
            #expect(found.contains(location))
        }
    }

    @Test func aDiskThatGivesNothingIsNoDamage() throws {
        let (disk, stored) = try Self.store(sealed: true)
        let store = try Self.open(disk, stored).store
        disk.faults.failsReads = true
        for (location, _) in stored {
            let fault = #expect(throws: SegmentStoreFault.self) { try store.read(location) }
            guard case .disk = fault else { Issue.record("\(String(describing: fault))"); continue }
        }
        #expect(throws: SegmentStoreFault.self) { try store.scanAll { _, _ in } }
        #expect(throws: SegmentStoreFault.self) { try Self.open(disk, stored) }
        disk.faults.failsReads = false
        for (location, record) in stored { #expect(try store.read(location) == record) }
    }

    @Test(arguments: [false, true])
    func aStoreOpensWithDeadSectorsInHeadersAndFooters(sealed: Bool) throws {
        let (whole, stored) = try Self.store(sealed: sealed)
        let size = try #require(whole.contents(Self.path)).count
        for byte in [0, 10, size - 1, size - 30] {
            let (disk, _) = try Self.store(sealed: sealed)
            disk.faults.deadSectors[Self.path] = [byte]
            let (store, recovery) = try Self.open(disk, stored)
            #expect(recovery.lost.isEmpty)
            // What is written anew is given a sound sector by the disk.
            disk.faults.deadSectors = [:]
            try store.sync()
            for (location, record) in stored { #expect(try store.read(location) == record, "byte \(byte)") }
        }
    }
}
