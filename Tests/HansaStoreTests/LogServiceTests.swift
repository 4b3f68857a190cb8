import Foundation
import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTestSupport
import Synchronization
import Testing

@testable import HansaStore

/// A node's log over a database file and a disk.
private final class LogWorld {
    let directory: TemporaryDirectory
    let signer: LogSigner
    var store: SQLiteStore
    let disk: MemoryDisk
    private var time = Samples.start
    /// What was committed, by index.
    private(set) var committed: [[UInt8]] = []

    init(seed: UInt64 = 1) throws {
        directory = try TemporaryDirectory()
        signer = try LogSigner(origin: "kitchener.ca/log", key: Samples.key(Samples.kitchener, 3))
        disk = MemoryDisk(seed: seed)
        store = try LogWorld.open(directory)
    }

    deinit { try? store.close() }

    static func open(_ directory: TemporaryDirectory) throws -> SQLiteStore {
        try SQLiteStore(path: directory.path + "/hansa.sqlite", random: DeterministicRandom(seed: 9)) { _ in }
    }

    func service(onFatal: @escaping @Sendable (any Error) -> Void = { _ in }) throws -> LogService {
        try LogService(store: store, storage: FileTileStorage(disk: disk), signer: signer, onFatal: onFatal)
    }

    /// The process is gone; the database is opened again.
    func restart() throws {
        try store.close()
        store = try LogWorld.open(directory)
    }

    func commit(_ count: Int) throws {
        time = time.adding(milliseconds: 1)
        let first = committed.count
        try store.write(at: time) { transaction in
            for number in first..<(first + count) { try transaction.log(LogWorld.draft(number)) }
        }
        let entries = try store.pendingEntries(from: LeafIndex(UInt64(first)), count: count)
        #expect(entries.map(\.index.value) == (first..<(first + count)).map(UInt64.init))
        committed += entries.map(\.bytes)
    }

    /// Closes the log in one transaction that begins the next; `kill` ends it there.
    func succeed(_ service: LogService, _ signer: LogSigner, on disk: MemoryDisk, kill: Bool = false) throws {
        time = time.adding(milliseconds: 1)
        try service.succeed(by: signer, in: try FileTileStorage(disk: disk)) { closing in
            let isDone = try store.write(at: time) { transaction in
                guard try transaction.beginLog() else { return false }
                #expect(closing.size.value == UInt64(committed.count))
                try transaction.log(LogWorld.draft(0))
                return true
            }
            guard isDone else { return false }
            committed = try store.pendingEntries(from: 0, count: 10).map(\.bytes)
            if kill { throw Killed() }
            return true
        }
    }

    struct Killed: Error {}

    static func draft(_ number: Int) -> LogDraft {
        let events: [LogEvent] = [.packagePublished, .releaseOffered, .accessDenied, .receiptReceived]
        return LogDraft(
            events[number % 4], outcome: number % 7 == 0 ? .refused : .ok,
            partner: number % 3 == 0 ? nil : Samples.cities[number % 3],
            package: number % 5 == 0 ? nil : Samples.package("p\(number % 5)"),
            release: number % 2 == 0 ? Samples.digest(UInt64(number % 6)) : nil,
            agreement: number % 8 == 0 ? Samples.digest(3) : nil, reason: "number \(number)")
    }

    /// Every entry can be read, and is what was committed.
    func expectAll(_ service: LogService, _ comment: Comment? = nil) throws {
        let entries = try service.entries(from: 0, count: committed.count + 10)
        #expect(entries.map(\.bytes) == committed, comment)
        #expect(entries.map(\.index.value) == committed.indices.map(UInt64.init), comment)
        #expect(try service.size.value == UInt64(committed.count), comment)
        #expect(try service.bytes(at: LeafIndex(UInt64(committed.count))) == nil, comment)
    }
}

@Suite struct LogServiceTests {
    @Test func aLogThatFollowsBeginsAtZeroAndTheClosedOneStaysAsItWas() throws {
        for kill in [false, true] {
            let world = try LogWorld()
            let service = try world.service()
            try world.commit(300)
            let old = try world.store.write(at: Samples.start.adding(seconds: 60)) { try $0.beginLog() }
            #expect(!old, "entries wait to be carried on")
            let next = try LogSigner(origin: "kitchener.ca/log/2", key: Samples.key(Samples.kitchener, 4))
            let disk = MemoryDisk(seed: 2)
            if kill {
                #expect(throws: LogWorld.Killed.self) { try world.succeed(service, next, on: disk, kill: true) }
                try world.restart()
            } else {
                try world.succeed(service, next, on: disk)
                #expect(service.checkpoint.checkpoint.origin == "kitchener.ca/log/2" && service.checkpoint.size == 0)
            }
            let follower =
                kill
                ? try LogService(store: world.store, storage: FileTileStorage(disk: disk), signer: next) { _ in } : service
            try follower.advance()
            try world.expectAll(follower)
            #expect(try follower.entries(matching: LogQuery(), limit: 500).count == 1)
            #expect(try follower.verify().isValid)
            let closed = LogVerifier.verify(try FileTileStorage(disk: world.disk), key: world.signer.verifierKey)
            #expect(closed.isValid && closed.size == 300, "\(closed.findings)")
            // There is one log of a name.
            #expect(throws: (any Error).self) { try world.succeed(follower, next, on: disk) }
        }
    }

    @Test func entriesAreReadWhetherTheyWaitOrLieInTheLog() throws {
        let world = try LogWorld()
        let service = try world.service()
        #expect(service.checkpoint.size == 0)
        try world.commit(300)
        try world.expectAll(service)
        #expect(try service.advance().size.value == 300)
        #expect(try world.store.pendingTable().first == nil)
        try world.commit(5)
        try world.expectAll(service)
        #expect(try service.entry(at: 299)?.reason == "number 299")
        #expect(try service.entry(at: 304)?.index == 304)
        #expect(try service.entry(at: 305) == nil)
        #expect(try service.entries(from: 298, count: 4).map(\.index.value) == [298, 299, 300, 301])
        #expect(try service.entries(from: 400, count: 4).isEmpty)
        let report = try service.verify()
        #expect(report.isValid && report.size == 300 && report.pending == 5 && report.findings == [])
    }

    @Test func nothingNewWritesNothing() throws {
        let world = try LogWorld()
        let service = try world.service()
        try world.commit(3)
        let first = try service.advance()
        let operations = world.disk.operations
        #expect(try service.advance() == first)
        #expect(world.disk.operations == operations)
    }

    @Test func entriesThatWereCommittedAndNotTiledAreTiledAfterAKill() throws {
        let world = try LogWorld()
        try world.commit(10)
        _ = try world.service().advance()
        try world.commit(700)
        try world.restart()
        let service = try world.service()
        #expect(service.checkpoint.size == 10)
        try world.expectAll(service)
        #expect(try service.advance().size.value == 710)
        try world.expectAll(service)
        #expect(try service.verify().findings == [])
    }

    @Test func bodiesThatWereTiledAndNotDroppedAreComparedAndDropped() throws {
        let world = try LogWorld()
        try world.commit(20)
        // The database as it stood before the drop: a kill after the checkpoint leaves it so.
        let copy = try TemporaryDirectory()
        for name in ["hansa.sqlite", "hansa.sqlite-wal"] {
            try FileManager.default.copyItem(atPath: world.directory.path + "/" + name, toPath: copy.path + "/" + name)
        }
        _ = try world.service().advance()
        let store = try LogWorld.open(copy)
        let service = try LogService(store: store, storage: FileTileStorage(disk: world.disk), signer: world.signer) { _ in }
        #expect(try store.pendingTable().first == 0)
        try world.expectAll(service)
        #expect(try service.verify().isValid)
        try service.advance()
        #expect(try store.pendingTable().first == nil)
        #expect(try service.entries(matching: LogQuery(event: "release.offered"), limit: 100).count == 5)
    }

    @Test func aDatabaseOlderThanTheLogDoesNotOpen() throws {
        let world = try LogWorld()
        try world.commit(20)
        _ = try world.service().advance()
        let fresh = try SQLiteStore(inMemoryWith: DeterministicRandom(seed: 1))
        #expect(throws: LogFault.self) {
            _ = try LogService(store: fresh, storage: FileTileStorage(disk: world.disk), signer: world.signer) { _ in }
        }
    }

    @Test func aByteFlippedInAnyFileIsFound() throws {
        let world = try LogWorld()
        let service = try world.service()
        for count in [300, 256, 80] {
            try world.commit(count)
            try service.advance()
        }
        try world.commit(3)
        #expect(try service.verify().findings.filter(\.isDamage) == [])
        var paths: [String] = []
        try FileTileStorage(disk: world.disk).forEachPath { paths.append($0) }
        #expect(paths.count >= 8)
        for path in paths.sorted() {
            let bytes = try #require(world.disk.contents(path))
            let places = path == "checkpoint" ? Array(bytes.indices) : [0, 1, bytes.count / 2, bytes.count - 1]
            for place in places {
                world.disk.flipBit(path, byte: place, bit: place % 8)
                #expect(try !service.verify().isValid, "\(path) byte \(place)")
                world.disk.flipBit(path, byte: place, bit: place % 8)
            }
        }
        #expect(try service.verify().isValid)
    }

    @Test func aCheckpointThatAnotherHolds() throws {
        let world = try LogWorld()
        let service = try world.service()
        try world.commit(30)
        let earlier = try service.advance()
        try world.commit(30)
        try service.advance()
        #expect(try service.verify(against: [earlier.checkpoint]).isValid)
        let foreign = try Checkpoint(origin: "kitchener.ca/log", size: 30, root: Samples.digest(1))
        #expect(try !service.verify(against: [foreign]).isValid)
    }

    @Test func theLogSurvivesAPowerCutAtEveryOperation() throws {
        for seed in 1...2 as ClosedRange<UInt64> {
            var point = 1
            while true {
                let world = try LogWorld(seed: seed)
                let first = try world.service()
                try world.commit(255)
                try first.advance()
                try world.commit(9)
                let start = world.disk.operations
                world.disk.faults.stopAtOperation = start + point
                let fatal = Mutex(false)
                var isThrough = true
                do { try world.service(onFatal: { _ in fatal.withLock { $0 = true } }).advance() } catch { isThrough = false }
                if isThrough { break }
                world.disk.crash()
                try world.restart()
                let service = try world.service()
                let comment: Comment = "seed \(seed), operation \(point)"
                #expect([255, 264].contains(service.checkpoint.size.value), comment)
                try world.expectAll(service, comment)
                try world.commit(2)
                #expect(try service.advance().size.value == 266, comment)
                try world.expectAll(service, comment)
                #expect(try service.verify().isValid, comment)
                point += 1
            }
            #expect(point > 10)
        }
    }

    @Test func aFullDiskLeavesEntriesWaitingAndTheNextAdvanceGoesOn() throws {
        let world = try LogWorld()
        let fatal = Mutex(false)
        let service = try world.service(onFatal: { _ in fatal.withLock { $0 = true } })
        try world.commit(300)
        world.disk.faults.capacityBytes = 1000
        do {
            try service.advance()
            Issue.record("written")
        } catch let fault as StoreFault {
            guard case .diskFull = fault else {
                Issue.record("\(fault)")
                return
            }
        }
        #expect(!fatal.withLock { $0 })
        try world.commit(1)
        try world.expectAll(service)
        world.disk.faults.capacityBytes = nil
        #expect(try service.advance().size.value == 301)
        try world.expectAll(service)
        #expect(try service.verify().isValid)
    }

    @Test func afterAFailedFsyncNothingMoreIsTaken() throws {
        let world = try LogWorld()
        let fatal = Mutex(0)
        let service = try world.service(onFatal: { _ in fatal.withLock { $0 += 1 } })
        try world.commit(3)
        world.disk.faults.failsSync = true
        #expect(throws: StoreFault.self) { try service.advance() }
        #expect(fatal.withLock { $0 } == 1)
        world.disk.faults.failsSync = false
        #expect(throws: StoreFault.self) { try service.advance() }
        do {
            try world.store.write(at: Samples.start.adding(seconds: 9)) { _ in }
            Issue.record("written")
        } catch let fault as StoreFault {
            guard case .logUnavailable = fault else {
                Issue.record("\(fault)")
                return
            }
        }
    }

    // MARK: Queries

    @Test func queriesFindWhatAScanFinds() throws {
        let world = try LogWorld()
        let service = try world.service()
        try world.commit(400)
        try service.advance()
        try world.commit(100)
        try service.advance()
        try world.commit(60)
        try expectQueries(service, world, seed: 1)
        try service.rebuildIndex()
        try expectQueries(service, world, seed: 2)
    }

    @Test func anIndexThatIsMissingIsMadeFromTheLog() throws {
        let world = try LogWorld()
        let service = try world.service()
        try world.commit(1500)
        try service.advance()
        try world.store.clearLogIndex()
        #expect(try world.store.firstUnindexed() == 0)
        try world.commit(5)
        try world.restart()
        try expectQueries(try world.service(), world, seed: 3)
        #expect(try world.store.firstUnindexed() == nil)
    }

    private func expectQueries(_ service: LogService, _ world: LogWorld, seed: UInt64) throws {
        let all = try world.committed.map { try LogEntry($0) }
        var random = SplitMix64(seed: seed)
        func pick<T>(_ value: T) -> T? { Int.random(in: 0..<3, using: &random) == 0 ? value : nil }
        for _ in 0..<60 {
            let number = Int.random(in: 0..<world.committed.count, using: &random)
            let draft = LogWorld.draft(number)
            let query = LogQuery(
                since: pick(all[number].time), until: pick(all[number].time.adding(milliseconds: 1)),
                partner: draft.partner.flatMap(pick),
                package: draft.package.flatMap(pick), release: draft.release.flatMap(pick),
                agreement: draft.agreement.flatMap(pick),
                event: pick(draft.event.rawValue), outcome: pick(draft.outcome))
            let from = UInt64.random(in: 0..<200, using: &random)
            let limit = Int.random(in: 1...600, using: &random)
            let expected = all.filter { $0.index.value >= from && query.matches($0) }.prefix(limit)
            let found = try service.entries(matching: query, from: LeafIndex(from), limit: limit)
            #expect(found.map(\.index) == expected.map(\.index), "seed \(seed), \(query), from \(from), limit \(limit)")
        }
        #expect(try service.entries(matching: LogQuery(partner: Samples.city("nobody.example")), limit: 9).isEmpty)
        #expect(try service.entries(matching: LogQuery(package: Samples.package("unheard-of")), limit: 9).isEmpty)
        #expect(try service.entries(matching: LogQuery(event: "no.such"), limit: 9).isEmpty)
        #expect(try service.entries(matching: LogQuery(), limit: 10_000).count == all.count)
    }

    // MARK: Closing

    @Test func closingAdvancesALastTimeAndOnlyOnce() throws {
        let world = try LogWorld()
        let service = try LogService(store: world.store, storage: try FileTileStorage(disk: world.disk), signer: world.signer) {
            _ in
        }
        try world.commit(4)
        try service.close()
        #expect(service.checkpoint.size == 4)
        try world.commit(1)
        try service.close()
        #expect(service.checkpoint.size == 4)
    }

    @Test func temporaryFilesOfACrashAreCleared() throws {
        let disk = MemoryDisk(seed: 1)
        try disk.makeDirectory("tile/0")
        disk.put("tile/0/000.tmp", [1])
        disk.put("checkpoint.tmp", [1])
        disk.put("tile/0/001", [2])
        let storage = try FileTileStorage(disk: disk)
        #expect(disk.contents("tile/0/000.tmp") == nil)
        #expect(disk.contents("checkpoint.tmp") == nil)
        var paths: [String] = []
        try storage.forEachPath { paths.append($0) }
        #expect(paths == ["tile/0/001"])
        // Many files at once, more than are held open.
        let files = (0..<200).map { TileFile(path: "tile/1/x\($0 / 100)/\($0)", bytes: [UInt8($0)]) }
        try storage.write(files)
        disk.crash()
        for file in files { #expect(try storage.read(file.path) == file.bytes) }
        try storage.remove([files[0].path, "tile/none"])
        #expect(try storage.read(files[0].path) == nil)
    }

    @Test func segmentsAnswerAsTheContentStore() throws {
        let (store, _) = try SegmentStore.open(disk: MemoryDisk(seed: 1)) { _ in .known(0) }
        let content: any ContentStore = store
        var maker = RecordMaker(seed: 1)
        guard case .block(let record) = maker.block() else { return }
        let block = StoredBlock(codec: record.codec, rawLength: record.rawLength, chunks: record.chunks, bytes: record.bytes)
        let table = maker.bytes((2 << 20) + 5)
        let places = (
            block: try content.append(block: block), document: try content.append(document: [1, 2], digest: Samples.digest(1)),
            table: try content.append(table: table, release: Samples.digest(1)),
            page: try content.append(page: [7], release: Samples.digest(1))
        )
        try content.sync()
        #expect(try content.block(at: places.block) == block)
        #expect(try content.body(at: places.document) == [1, 2])
        #expect(places.table.count == 3)
        #expect(try places.table.flatMap { try content.body(at: $0) } == table)
        #expect(try content.body(at: places.page) == [7])
        #expect(throws: StoreFault.self) { try content.body(at: places.block) }
        #expect(throws: StoreFault.self) { try content.block(at: places.document) }
        #expect(throws: StoreFault.self) { try content.body(at: ContentLocation(segment: 99, offset: 0, length: 50)) }
    }
}
