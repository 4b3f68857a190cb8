import Foundation
import HansaContent
import HansaCore
import HansaCrypto
import HansaLog
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

@testable import HansaStore

/// What SQLite has to answer for beyond the common contract: durability, snapshots, files.
@Suite struct SQLiteStoreTests {
    private func open(_ directory: TemporaryDirectory, seed: UInt64 = 1) throws -> SQLiteStore {
        try SQLiteStore(path: directory.path + "/hansa.sqlite", random: DeterministicRandom(seed: seed)) { _ in }
    }

    @Test func everyCommitIsSynchronisedOnTheWriter() throws {
        let directory = try TemporaryDirectory()
        let store = try open(directory)
        var durability = try store.durability()
        #expect(durability.synchronous == 2)
        #expect(durability.journalMode == "wal")
        // And after it has worked for a while, and after it was opened again.
        try store.write(at: Samples.start) { try MetadataStoreTests.fill($0, 1) }
        #expect(try store.durability().synchronous == 2)
        try store.close()
        durability = try open(directory).durability()
        #expect(durability.synchronous == 2)
    }

    @Test func nobodyElseMayReadTheFiles() throws {
        let directory = try TemporaryDirectory()
        let store = try open(directory)
        try store.write(at: Samples.start) { try MetadataStoreTests.fill($0, 1) }
        for name in try FileManager.default.contentsOfDirectory(atPath: directory.path) {
            let mode = try FileManager.default.attributesOfItem(atPath: directory.path + "/" + name)[.posixPermissions] as? Int
            #expect(mode == 0o600, "\(name)")
        }
    }

    @Test func aReopenedStoreHoldsTheSame() throws {
        let directory = try TemporaryDirectory()
        let first = try open(directory)
        for number in 1...3 as ClosedRange<UInt64> {
            try first.write(at: Samples.start) { try MetadataStoreTests.fill($0, number) }
        }
        let before = try first.read { try dump($0) }
        try first.close()
        let second = try open(directory)
        #expect(try second.read { try dump($0) } == before)
        #expect(try second.integrityProblems() == [])
        // The same work gives the same rows in a store that was never closed.
        let other = try SQLiteStore(inMemoryWith: DeterministicRandom(seed: 1))
        for number in 1...4 as ClosedRange<UInt64> {
            try other.write(at: Samples.start) { try MetadataStoreTests.fill($0, number) }
        }
        try second.write(at: Samples.start) { try MetadataStoreTests.fill($0, 4) }
        #expect(try second.read { try dump($0) } == other.read { try dump($0) })
    }

    @Test func whatIsCommittedIsInTheFilesAtOnce() throws {
        let directory = try TemporaryDirectory()
        let store = try open(directory)
        try store.write(at: Samples.start) { try MetadataStoreTests.fill($0, 1) }
        let copy = try TemporaryDirectory()
        // A transaction under way is in no file that a crash leaves.
        try? store.write(at: Samples.start) { transaction in
            try MetadataStoreTests.fill(transaction, 2)
            // As a killed process leaves them: nothing flushed, nothing closed. The shared-memory file is made again.
            for name in ["hansa.sqlite", "hansa.sqlite-wal"] {
                try FileManager.default.copyItem(atPath: directory.path + "/" + name, toPath: copy.path + "/" + name)
            }
            throw Abort()
        }
        #expect(try open(copy).read { try dump($0) } == store.read { try dump($0) })
    }

    /// SQLite on a file, and the dictionaries: their readers do not wait.
    @Test(arguments: [Engine.sqliteFile, .memory])
    func aReaderKeepsItsSnapshotWhileOthersCommit(_ engine: Engine) throws {
        let under = try engine.make()
        let store = under.store
        try store.write(at: Samples.start) { try MetadataStoreTests.fill($0, 1) }
        let before = try store.read { try dump($0) }
        let inside = try store.read { reading in
            // The snapshot begins with the first question.
            _ = try reading.value("v")
            onAnotherThread {
                do { try store.write(at: Samples.start.adding(seconds: 1)) { try MetadataStoreTests.fill($0, 2) } } catch {
                    Issue.record(error)
                }
            }
            // Also the policy, which others hold in memory at its newest.
            #expect(try reading.grants().count == 1)
            #expect(try reading.value("v") == [1])
            return try dump(reading)
        }
        #expect(inside == before)
        #expect(try store.read { try $0.grants().count } == 2)
        #expect(try store.read { try dump($0) } != before)
    }

    @Test func theClockOfAReopenedStoreStillCounts() throws {
        let directory = try TemporaryDirectory()
        let first = try open(directory)
        try first.write(at: Samples.start) { _ = try $0.log(LogDraft(.nodeStarted)) }
        try first.close()
        let now = Samples.start.adding(milliseconds: -TransactionTime.toleranceMilliseconds - 1)
        #expect(throws: StoreFault.clockBehind(last: Samples.start, now: now)) { try open(directory).write(at: now) { _ in } }
    }

    @Test func aFullDiskRefusesTheChangeAndTheStoreLives() throws {
        let directory = try TemporaryDirectory()
        let store = try open(directory)
        try store.write(at: Samples.start) { try MetadataStoreTests.fill($0, 1) }
        let before = try store.read { try dump($0) }
        try store.setPagesMax(1)
        #expect(throws: StoreFault.diskFull(bytesMissing: nil)) {
            try store.write(at: Samples.start) { transaction in
                try transaction.put(Samples.partner(Samples.boston, endpoint: "other"))
                for number in 0..<1000 as Range<UInt64> {
                    try transaction.insert(Samples.release(Samples.digest(number, 77), of: Samples.package("x")))
                }
            }
        }
        #expect(try store.read { try dump($0) } == before)
        try store.setPagesMax(nil)
        try store.write(at: Samples.start) { try $0.put(Samples.partner(Samples.boston, endpoint: "other")) }
        #expect(try store.read { try $0.partner(Samples.boston)?.endpoint } == "other")
    }

    /// Lists that are read whole, and the order of small ones.
    @Test(arguments: SQL.allCases)
    func noStatementSearchesATableRowByRow(_ sql: SQL) throws {
        let store = try SQLiteStore(inMemoryWith: DeterministicRandom(seed: 1))
        let whole: Set<SQL> = [
            .policyVersion, .countPolicyVersion, .keyrings, .partners, .agreementEnvelopes, .grants, .logState, .putLogState,
            .publishedViews,
            .subscribedViews, .transfers, .disputes,
            // One row of it.
            .anyPending,
            // The list of `agreementEnvelopes`; only where a key came into other hands.
            .replaceAgreementEnvelope,
            // Only where a disk was damaged: rare, and an index for it would cost every chunk.
            .keepLostChunks, .forgetChunks, .lostBlocks, .restoreChunks, .forgetLostChunks, .forgetFoundChunks, .damages,
        ]
        let sorted: Set<SQL> = [.releasesOfPackage, .recipients, .holdingsOfRelease, .holdingsOfPackage, .releaseBySeq]
        for step in try store.plan(of: sql) {
            #expect(!step.hasPrefix("SCAN") || whole.contains(sql), "\(sql): \(step)")
            #expect(!step.contains("TEMP B-TREE") || whole.contains(sql) || sorted.contains(sql), "\(sql): \(step)")
        }
    }

    @Test func aBodyThatSwallowsAFailureOfTheDatabaseDoesNotCommit() throws {
        let directory = try TemporaryDirectory()
        let store = try open(directory)
        try store.write(at: Samples.start) { try MetadataStoreTests.fill($0, 1) }
        try store.setPagesMax(1)
        #expect(throws: (any Error).self) {
            try store.write(at: Samples.start) { transaction in
                try transaction.put(Samples.partner(Samples.boston, endpoint: "other"))
                for number in 0..<1000 as Range<UInt64> {
                    try? transaction.insert(Samples.release(Samples.digest(number, 77), of: Samples.package("x")))
                }
            }
        }
        #expect(try store.read { try $0.partner(Samples.boston)?.endpoint } == "host:1")
    }

    @Test func aFileThatIsNoDatabaseIsSaidToBeDamaged() throws {
        let directory = try TemporaryDirectory()
        try Data(repeating: 0x5A, count: 10_000).write(to: URL(fileURLWithPath: directory.path + "/hansa.sqlite"))
        do {
            _ = try open(directory)
            Issue.record("opened")
        } catch let fault as StoreFault {
            guard case .damaged = fault else {
                Issue.record("\(fault)")
                return
            }
        }
    }

    @Test func aStoreWhoseLogIsBrokenTakesNoMoreChanges() throws {
        let store = try SQLiteStore(inMemoryWith: DeterministicRandom(seed: 1))
        store.refuseWrites(because: "the log was forked")
        store.refuseWrites(because: "again")
        #expect(throws: StoreFault.logUnavailable("the log was forked")) { try store.write(at: Samples.start) { _ in } }
        #expect(try store.read { try $0.logSize } == 0)
    }

    @Test func theMarkOfASegmentIsTheEndOfWhatRowsName() throws {
        let store = try SQLiteStore(inMemoryWith: DeterministicRandom(seed: 1))
        #expect(try store.durableMarks()(3) == .unknown)
        let near = ContentLocation(segment: 3, offset: 100, length: 20)
        let far = ContentLocation(segment: 3, offset: 5000, length: 7)
        try store.write(at: Samples.start) {
            try $0.insertChunks(of: Samples.boston, block: far, [ChunkEntry(id: Samples.digest(1), length: 9)])
        }
        try store.write(at: Samples.start) {
            try $0.insertReceipt(Samples.digest(1), document: near, view: Samples.digest(2), from: Samples.boston)
        }
        let marks = try store.durableMarks()
        #expect(marks(3) == .known(5007))
        #expect(marks(4) == .known(0))
    }

    @Test func aCrashedStoreInMemoryAnswersNoMoreAndLosesNothing() throws {
        let store = MemoryMetadataStore(random: DeterministicRandom(seed: 1))
        try store.write(at: Samples.start) { try MetadataStoreTests.fill($0, 1) }
        let before = try store.read { try dump($0) }
        store.failNextCommit(with: .inputOutput("a fault"))
        #expect(throws: StoreFault.inputOutput("a fault")) {
            try store.write(at: Samples.start) { try MetadataStoreTests.fill($0, 2) }
        }
        let next = store.crash()
        #expect(throws: StoreFault.self) { try store.read { _ in } }
        #expect(throws: StoreFault.self) { try store.write(at: Samples.start) { _ in } }
        #expect(try next.read { try dump($0) } == before)
        #expect(next.logEntries.count == 1)
    }
}

private func onAnotherThread(_ body: @escaping @Sendable () -> Void) {
    let done = DispatchSemaphore(value: 0)
    Thread {
        body()
        done.signal()
    }.start()
    done.wait()
}
