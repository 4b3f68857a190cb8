import HansaContent
import HansaCore
import HansaStore
import HansaTestSupport
import Testing

/// Power fails at every operation of append, seal, sync and reopen; whatever a sync acknowledged is there afterwards, and open() succeeds.
@Suite struct SegmentCrashTests {
    /// What a process did before its end.
    private struct Run {
        /// Everything it tried to append.
        var attempted: Set<SegmentRecord> = []
        var appended: [Stored] = []
        /// How many of them a sync has acknowledged.
        var acknowledged = 0
        var durable: [Stored] { Array(appended.prefix(acknowledged)) }

        /// What the store said of itself after the last sync that returned.
        var marks = SegmentMarks()

        /// After a crash nobody knows what was appended and not acknowledged.
        mutating func crashed() { appended = durable }
    }

    /// A life of a node: it opens, appends, synchronises now and then, seals, and opens again. Throws where the machine stops.
    private static func live(on disk: MemoryDisk, seed: UInt64, _ run: inout Run) throws {
        var maker = RecordMaker(seed: seed)
        for _ in 0..<3 {
            // Every second life opens by the store's own marks, the others by what the rows of a database name.
            let known = seed % 2 == 0 ? run.marks : SegmentMarks(ends: marks(run.durable))
            let store = try SegmentStore.open(disk: disk, bytesTarget: 2_500, marks: known).store
            for step in 0..<14 {
                if step % 5 == 4 {
                    let records = (0..<4).map { _ in maker.record() }
                    run.attempted.formUnion(records)
                    run.appended += zip(try store.append(records), records).map { ($0, $1) }
                } else {
                    let record = maker.record()
                    run.attempted.insert(record)
                    // Sealing inside an append synchronises too, but nobody is told of it.
                    run.appended.append((try store.append(record), record))
                }
                if maker.random.next() % 4 == 0 {
                    let count = run.appended.count
                    try store.sync()
                    run.acknowledged = count
                    run.marks = store.durableMarks
                }
            }
            if maker.random.next() % 2 == 0 {
                let count = run.appended.count
                try store.seal(.content)
                run.acknowledged = count
                run.marks = store.durableMarks
            }
            store.close()
        }
    }

    private static func check(_ disk: MemoryDisk, _ run: Run, _ place: String) throws {
        for (segment, end) in run.marks.ends {
            // A mark is where a record ends that a sync covered.
            let size = try disk.status(
                "segments/" + String(String(UInt64(segment) + 0x1_0000_0000, radix: 16).dropFirst()) + ".seg")?.size
            #expect(size ?? 0 >= end, "\(place)")
        }
        let store = try SegmentStore.open(disk: disk, bytesTarget: 2_500, marks: run.marks).store
        let all = try store.everything()
        for (location, record) in run.durable {
            #expect(all[location] == record, "\(place)")
            #expect(try store.read(location) == record, "\(place)")
        }
        // Nothing is made up.
        #expect(run.attempted.isSuperset(of: all.values), "\(place)")
    }

    @Test func whatASyncAcknowledgedSurvivesACrashAtEveryOperation() throws {
        var crashes = 0
        for seed in UInt64(1)...4 {
            let dry = MemoryDisk(seed: seed)
            var whole = Run()
            try SegmentCrashTests.live(on: dry, seed: seed, &whole)
            for stop in 1...dry.operations {
                let place = "seed \(seed), operation \(stop) of \(dry.operations)"
                let disk = MemoryDisk(seed: seed &* 1_000_003 &+ UInt64(stop))
                disk.faults.stopAtOperation = stop
                var run = Run()
                do { try SegmentCrashTests.live(on: disk, seed: seed, &run) } catch {}
                disk.crash()
                run.crashed()
                crashes += 1
                try SegmentCrashTests.check(disk, run, place)
                // Recovery was not synchronised: it may be lost in its turn.
                disk.crash()
                try SegmentCrashTests.check(disk, run, place + ", again")
                // And the store goes on from there.
                try SegmentCrashTests.live(on: disk, seed: seed + 100, &run)
                disk.crash()
                run.crashed()
                try SegmentCrashTests.check(disk, run, place + ", later")
            }
        }
        #expect(crashes > 300)
    }

    @Test func aCrashDuringRecoveryLosesNothingEither() throws {
        for seed in UInt64(1)...30 {
            let disk = MemoryDisk(seed: seed)
            var run = Run()
            disk.faults.stopAtOperation = 20 + Int(seed) * 3
            do { try SegmentCrashTests.live(on: disk, seed: seed, &run) } catch {}
            disk.crash()
            run.crashed()
            for step in 1...12 {
                disk.faults.stopAtOperation = disk.operations + step
                let known = marks(run.durable)
                do {
                    let store = try SegmentStore.open(disk: disk, bytesTarget: 2_500) { .known(known[$0] ?? 0) }.store
                    try store.sync()
                } catch {}
                disk.crash()
                try SegmentCrashTests.check(disk, run, "seed \(seed), recovery step \(step)")
            }
        }
    }

    @Test func withoutADatabaseWhatWasAcknowledgedIsThereToo() throws {
        for seed in UInt64(1)...60 {
            let disk = MemoryDisk(seed: seed)
            var run = Run()
            disk.faults.stopAtOperation = 10 + Int(seed) * 2
            do { try SegmentCrashTests.live(on: disk, seed: seed % 7, &run) } catch {}
            disk.crash()
            var all: [SegmentLocation: SegmentRecord] = [:]
            // What the crash tore stays between what is whole.
            _ = try SegmentStore.open(disk: disk, bytesTarget: 2_500) { _ in .unknown }.store.scanAll { all[$0] = $1 }
            for (location, record) in run.durable { #expect(all[location] == record, "seed \(seed)") }
            #expect(run.attempted.isSuperset(of: all.values), "seed \(seed)")
        }
    }

    @Test func aProcessThatIsKilledLosesNothingItAppended() throws {
        // kill -9 takes the process, not the page cache: everything appended is there, synchronised or not.
        let disk = MemoryDisk(seed: 1)
        var maker = RecordMaker(seed: 5)
        var stored: [Stored] = []
        for _ in 0..<5 {
            let store = try SegmentStore.open(disk: disk, bytesTarget: 2_500) { _ in .known(0) }.store
            for _ in 0..<10 {
                let record = maker.record()
                stored.append((try store.append(record), record))
            }
        }
        let store = try SegmentStore.open(disk: disk, bytesTarget: 2_500) { _ in .known(0) }.store
        #expect(try store.everything().count == stored.count)
        // The first sync of the new process covers what the old ones left.
        try store.sync()
        disk.crash()
        let all = try SegmentStore.open(disk: disk, bytesTarget: 2_500) { _ in .known(0) }.store.everything()
        #expect(all.count == stored.count)
    }
}
