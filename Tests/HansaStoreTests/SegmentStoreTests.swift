import Foundation
import HansaContent
import HansaCore
import HansaStore
import HansaTestSupport
import Testing

@Suite struct SegmentStoreTests {
    private func open(_ disk: any Disk, bytesTarget: Int = 8_000, _ stored: [Stored] = []) throws -> SegmentStore {
        let known = marks(stored)
        return try SegmentStore.open(disk: disk, bytesTarget: bytesTarget) { .known(known[$0] ?? 0) }.store
    }

    @Test(arguments: DiskKind.allCases) func recordsReadBackBeforeAndAfterReopening(kind: DiskKind) throws {
        try kind.with { disk in
            var maker = RecordMaker(seed: 1)
            var stored: [Stored] = []
            let store = try open(disk)
            for _ in 0..<200 {
                let record = maker.record()
                stored.append((try store.append(record), record))
            }
            for (location, record) in stored { #expect(try store.read(location) == record) }
            try store.sync()
            store.close()
            #expect(try store.segments().count > 5)

            let again = try open(disk, stored)
            for (location, record) in stored {
                #expect(try again.read(location) == record)
                if case .block(let block) = record { #expect(try again.readBlock(location) == block) }
            }
            let all = try again.everything()
            #expect(all.count == stored.count)
            for (location, record) in stored { #expect(all[location] == record) }
        }
    }

    @Test(arguments: DiskKind.allCases) func aBatchGivesLocationsInTheOrderOfItsRecords(kind: DiskKind) throws {
        try kind.with { disk in
            var maker = RecordMaker(seed: 2)
            let records = (0..<300).map { _ in maker.record() }
            let store = try open(disk)
            let locations = try store.append(records)
            #expect(locations.count == records.count)
            for (location, record) in zip(locations, records) { #expect(try store.read(location) == record) }
            #expect(try store.append([]) == [])
        }
    }

    @Test(arguments: DiskKind.allCases) func blocksAndDocumentsLieInSegmentsOfTheirOwn(kind: DiskKind) throws {
        try kind.with { disk in
            var maker = RecordMaker(seed: 3)
            let store = try open(disk)
            for _ in 0..<100 { _ = try store.append(maker.record()) }
            try store.seal(.content)
            try store.seal(.documents)
            var classes: [UInt32: Set<SegmentClass>] = [:]
            #expect(try store.scanAll { classes[$0.segment, default: []].insert($1.segmentClass) } == [])
            #expect(classes.values.allSatisfy { $0.count == 1 })
            #expect(Set(classes.values) == [[.content], [.documents]])
        }
    }

    @Test(arguments: DiskKind.allCases) func aSealedSegmentListsItsIDs(kind: DiskKind) throws {
        try kind.with { disk in
            var maker = RecordMaker(seed: 4)
            var stored: [Stored] = []
            let store = try open(disk, bytesTarget: 5_000)
            for _ in 0..<50 {
                let record = maker.record()
                stored.append((try store.append(record), record))
            }
            try store.seal(.content)
            try store.seal(.documents)
            for (location, record) in stored {
                let footer = try #require(try store.footer(of: location.segment))
                for id in record.ids {
                    #expect(footer.entries(of: id).contains { $0.offset == location.offset && $0.length == location.length })
                }
            }
        }
    }

    @Test(arguments: DiskKind.allCases) func aCleanSegmentGoesOnInTheNextProcess(kind: DiskKind) throws {
        try kind.with { disk in
            var maker = RecordMaker(seed: 5)
            var stored: [Stored] = []
            for _ in 0..<10 {
                let store = try open(disk, bytesTarget: 1 << 20, stored)
                for _ in 0..<3 {
                    let record = maker.block()
                    stored.append((try store.append(record), record))
                }
                try store.sync()
                store.close()
            }
            let store = try open(disk, bytesTarget: 1 << 20, stored)
            #expect(try store.segments().count == 1)
            // Sealing reads what the earlier processes wrote.
            try store.seal(.content)
            let footer = try #require(try store.footer(of: 1))
            #expect(Set(footer.entries.map(\.offset)).count == 30)
            for (location, record) in stored { #expect(try store.read(location) == record) }
        }
    }

    @Test(arguments: DiskKind.allCases) func manyThreadsAppendSynchroniseAndRead(kind: DiskKind) throws {
        try kind.with { disk in
            let store = try open(disk, bytesTarget: 100_000)
            let threads = 6
            let results = ResultBox()
            DispatchQueue.concurrentPerform(iterations: threads) { thread in
                var maker = RecordMaker(seed: UInt64(thread))
                for round in 0..<60 {
                    do {
                        let record = maker.record()
                        let location = try store.append(record)
                        if round % 5 == 0 { try store.sync() }
                        #expect(try store.read(location) == record)
                        results.add((location, record))
                    } catch {
                        Issue.record("thread \(thread): \(error)")
                    }
                }
            }
            try store.sync()
            let all = try open(disk, bytesTarget: 100_000, results.stored).everything()
            #expect(all.count == threads * 60)
            for (location, record) in results.stored { #expect(all[location] == record) }
        }
    }

    private final class ResultBox: @unchecked Sendable {
        private let lock = NSLock()
        private var list: [Stored] = []
        var stored: [Stored] { lock.withLock { list } }
        func add(_ stored: Stored) { lock.withLock { list.append(stored) } }
    }

    @Test func aSyncWithNothingToDoTouchesNoDisk() throws {
        let disk = MemoryDisk(seed: 1)
        let store = try open(disk)
        var maker = RecordMaker(seed: 6)
        try store.sync()
        _ = try store.append(maker.record())
        try store.sync()
        let operations = disk.operations
        for _ in 0..<10 { try store.sync() }
        #expect(disk.operations == operations)
    }

    @Test func marksSayHowFarUnsealedSegmentsAreDurable() throws {
        let disk = MemoryDisk(seed: 1)
        var maker = RecordMaker(seed: 14)
        let store = try open(disk, bytesTarget: 1 << 20)
        #expect(store.durableMarks == SegmentMarks())
        let first = try store.append(maker.block())
        #expect(store.durableMarks == SegmentMarks())
        try store.sync()
        let document = try store.append(maker.document())
        #expect(store.durableMarks == SegmentMarks(ends: [first.segment: first.end]))
        try store.sync()
        let both = SegmentMarks(ends: [first.segment: first.end, document.segment: document.end])
        #expect(store.durableMarks == both)
        #expect(SegmentMarks(encoded: both.encoded()) == both)
        #expect(both.encoded().count == 24)
        #expect(SegmentMarks(encoded: Array(both.encoded().dropLast())) == nil)
        try store.seal(.content)
        #expect(store.durableMarks == SegmentMarks(ends: [document.segment: document.end]))
    }

    // MARK: - Faults of the world

    @Test(arguments: [false, true]) func aFullDiskRefusesTheAppendAndLosesNothing(ignoresReservations: Bool) throws {
        var refused = 0
        for capacity in stride(from: UInt64(1_000), to: 60_000, by: 1_777) {
            let disk = MemoryDisk(seed: capacity)
            disk.faults.capacityBytes = capacity
            disk.faults.ignoresReservations = ignoresReservations
            var maker = RecordMaker(seed: capacity)
            var stored: [Stored] = []
            let store = try open(disk, bytesTarget: 3_000)
            for _ in 0..<60 {
                let record = maker.record()
                do throws(SegmentStoreFault) {
                    stored.append((try store.append(record), record))
                } catch {
                    guard case .noSpace(let missing) = error, missing > 0 else {
                        Issue.record("capacity \(capacity): \(error)")
                        return
                    }
                    refused += 1
                }
            }
            try store.sync()
            for (location, record) in stored { #expect(try store.read(location) == record) }
            let again = try open(disk, bytesTarget: 3_000, stored)
            #expect(try again.everything().count == stored.count, "capacity \(capacity)")
            // With room again the same store goes on.
            disk.faults.capacityBytes = nil
            let record = maker.record()
            #expect(try store.read(try store.append(record)) == record)
        }
        #expect(refused > 100)
    }

    @Test func theMissingBytesWouldHaveBeenEnough() throws {
        let disk = MemoryDisk(seed: 1)
        disk.faults.capacityBytes = 10_000
        let store = try open(disk, bytesTarget: 1 << 20)
        let bytes = [UInt8](repeating: 1, count: 30_000)
        let record = SegmentRecord.document(digest: Digest(1, 2, 3, 4), bytes: bytes)
        let fault = #expect(throws: SegmentStoreFault.self) { try store.append(record) }
        guard case .noSpace(let missing) = fault else { preconditionFailure("another fault: \(String(describing: fault))") }
        disk.faults.capacityBytes = 10_000 + missing
        #expect(try store.read(try store.append(record)) == record)
    }

    @Test func afterAFailedSyncNothingIsWrittenOrAcknowledged() throws {
        let disk = MemoryDisk(seed: 1)
        let store = try open(disk)
        var maker = RecordMaker(seed: 7)
        _ = try store.append(maker.record())
        disk.faults.failsSync = true
        let fault = #expect(throws: SegmentStoreFault.self) { try store.sync() }
        #expect(fault?.isFatal == true)
        disk.faults.failsSync = false
        #expect(throws: SegmentStoreFault.stopped) { try store.sync() }
        #expect(throws: SegmentStoreFault.stopped) { try store.append(maker.record()) }
    }

    @Test func afterAFailedWriteTheNextRecordGoesToANewSegment() throws {
        let disk = MemoryDisk(seed: 1)
        let store = try open(disk, bytesTarget: 1 << 20)
        var maker = RecordMaker(seed: 8)
        let first = maker.block()
        let before = try store.append(first)
        disk.faults.failWritesFromOperation = 0
        #expect(throws: SegmentStoreFault.self) { try store.append(maker.block()) }
        disk.faults = MemoryDisk.Faults()
        let second = maker.block()
        let after = try store.append(second)
        #expect(after.segment != before.segment)
        try store.sync()
        disk.crash()
        let again = try open(disk, bytesTarget: 1 << 20, [(before, first), (after, second)])
        #expect(try again.everything() == [before: first, after: second])
    }

    @Test func everyFlippedByteIsFoundWhenItIsReadAndTheRestIsStillFound() throws {
        let disk = MemoryDisk(seed: 1)
        var maker = RecordMaker(seed: 9)
        let store = try open(disk, bytesTarget: 1 << 20)
        let records = (0..<6).map { _ in maker.block(bytesMax: 60) }
        let locations = try records.map { try store.append($0) }
        try store.seal(.content)
        let path = "segments/00000001.seg"
        let size = try #require(disk.contents(path)).count
        let recordsEnd = Int(try #require(locations.last).end)
        for byte in 0..<size {
            disk.flipBit(path, byte: byte, bit: byte % 8)
            var found: [SegmentLocation: SegmentRecord] = [:]
            let damage = try store.scanAll { found[$0] = $1 }
            // A footer whose framing is hit is reported as no footer, and as no record.
            #expect(damage.count == 1 || damage.count == 2 && byte >= recordsEnd, "byte \(byte)")
            for (location, record) in zip(locations, records) {
                let isHit = (Int(location.offset)..<Int(location.end)).contains(byte)
                #expect((found[location] == record) == !isHit, "byte \(byte)")
                if isHit {
                    #expect(throws: SegmentStoreFault.self) { try store.read(location) }
                    #expect(throws: SegmentStoreFault.self) { try store.readBlock(location) }
                    #expect(damage.first?.offset == UInt64(location.offset))
                }
            }
            if byte >= recordsEnd { #expect(damage.first?.fault == .footer, "byte \(byte)") }
            disk.flipBit(path, byte: byte, bit: byte % 8)
        }
    }

    @Test(arguments: DiskKind.allCases) func openingIgnoresForeignFilesAndRemovesEmptySegments(kind: DiskKind) throws {
        try kind.with { disk in
            try disk.makeDirectory("segments")
            for name in ["notes.txt", "0000000G.seg", "0000002A.seg", "1.seg"] { _ = try disk.create("segments/" + name) }
            _ = try disk.create("segments/00000005.seg")
            try disk.create("segments/00000006.seg").write(SegmentFormat.header(.content, id: 6), at: 0)
            try disk.create("segments/00000007.seg").write(SegmentFormat.header(.content, id: 8), at: 0)
            let (store, recovery) = try SegmentStore.open(disk: disk) { _ in .known(0) }
            #expect(recovery.removed == [5, 6, 7])
            #expect(try store.segments() == [])
            var maker = RecordMaker(seed: 12)
            #expect(try store.append(maker.block()).segment == 8)
        }
    }

    @Test func aLocationThatNamesNoRecordIsAnError() throws {
        let disk = MemoryDisk(seed: 1)
        var maker = RecordMaker(seed: 13)
        let store = try open(disk)
        let block = try store.append(maker.block())
        let document = try store.append(maker.document())
        for wrong in [
            SegmentLocation(segment: 99, offset: 20, length: 50),
            SegmentLocation(segment: block.segment, offset: block.offset + 1, length: block.length),
            SegmentLocation(segment: block.segment, offset: block.offset, length: block.length + 1),
            SegmentLocation(segment: block.segment, offset: block.offset, length: block.length - 1),
            SegmentLocation(segment: block.segment, offset: block.offset, length: 0),
            SegmentLocation(segment: block.segment, offset: block.offset, length: .max),
            SegmentLocation(segment: block.segment, offset: .max, length: 100),
        ] {
            #expect(throws: SegmentStoreFault.self) { try store.read(wrong) }
            #expect(throws: SegmentStoreFault.self) { try store.readBlock(wrong) }
        }
        #expect(throws: SegmentStoreFault.self) { try store.readBlock(document) }
    }
}
