// One contract, which both stores keep. By subject: `MetadataStoreTests+Policy`, `+Packages`, `+Publishing`, `+Pulling`; here transactions and the rest.
import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTerms
import Testing

/// The contract of `MetadataStore`: every store passes.
@Suite struct MetadataStoreTests {
    @Test(arguments: Engine.allCases)
    func theOutboxGivesDocumentsInOrderUntilTheyAreRemoved(_ engine: Engine) throws {
        let store = try engine.make()
        let envelopes = try (1...4).map { try Samples.agreement("a-\($0)") }
        try store.write { transaction in
            for envelope in envelopes[0...2] { try transaction.enqueue(envelope, to: Samples.auckland) }
            try transaction.enqueue(envelopes[3], to: Samples.boston)
        }
        let rows = try store.read { try $0.outbox(to: Samples.auckland, after: 0, limit: 9) }
        #expect(rows.map(\.envelope) == Array(envelopes[0...2]))
        try store.write { try $0.removeOutbox(rows[2].id) }
        try store.write { try $0.enqueue(envelopes[3], to: Samples.auckland) }
        try store.read { store throws in
            let left = try store.outbox(to: Samples.auckland, after: rows[0].id, limit: 9)
            #expect(left.map(\.envelope) == [envelopes[1], envelopes[3]])
            // An id is never given twice, or an acknowledgement that comes late would remove another document.
            #expect(left.last.map { $0.id > rows[2].id } == true)
            #expect(try store.outbox(to: Samples.auckland, after: 0, limit: 1).map(\.envelope) == [envelopes[0]])
            #expect(try store.outbox(to: Samples.kitchener, after: 0, limit: 1).isEmpty)
        }
    }

    @Test(arguments: Engine.allCases)
    func whatWaitsForAPartnerWaitsOnce(_ engine: Engine) throws {
        let store = try engine.make()
        let one = try Samples.agreement("a-1")
        let both = try Samples.agreement("a-1", signedBy: [Samples.kitchener, Samples.auckland])
        let other = try Samples.agreement("a-2")
        for _ in 0..<3 {
            try store.write { transaction in
                for envelope in [one, both, other, one] { try transaction.enqueue(envelope, to: Samples.auckland) }
                try transaction.enqueue(one, to: Samples.boston)
            }
        }
        var rows = try store.read { try $0.outbox(to: Samples.auckland, after: 0, limit: 99) }
        #expect(rows.map(\.envelope) == [one, both, other], "the same payload with more signatures says more")
        #expect(try store.read { try $0.outbox(to: Samples.boston, after: 0, limit: 99) }.map(\.envelope) == [one])
        #expect(try store.read { try $0.outboxExtent(to: Samples.auckland) } == OutboxExtent(rows: 3, last: rows[2].id))
        #expect(try store.read { try $0.outboxExtent(to: Samples.kitchener) } == OutboxExtent(rows: 0, last: 0))
        // Delivered, and due again.
        try store.write { try $0.removeOutbox(rows[0].id) }
        try store.write { try $0.enqueue(one, to: Samples.auckland) }
        rows = try store.read { try $0.outbox(to: Samples.auckland, after: 0, limit: 99) }
        #expect(rows.map(\.envelope) == [both, other, one])
        // What was rolled back waits for nobody.
        let third = try Samples.agreement("a-3")
        #expect(throws: Abort.self) {
            try store.write {
                try $0.enqueue(third, to: Samples.auckland)
                throw Abort()
            }
        }
        try store.write { try $0.enqueue(third, to: Samples.auckland) }
        #expect(try store.read { try $0.outboxExtent(to: Samples.auckland).rows } == 4)
    }

    @Test(arguments: Engine.allCases)
    func receiptsAndDocumentsWaitInLanesOfTheirOwn(_ engine: Engine) throws {
        let store = try engine.make()
        let envelopes = (0..<6).map { number in
            Envelope(
                type: number % 2 == 0 ? .receipt : .release, payload: [UInt8](repeating: UInt8(number), count: 100),
                signatures: [])
        }
        try store.write { transaction in for envelope in envelopes { try transaction.enqueue(envelope, to: Samples.auckland) } }
        func lane(_ lane: OutboxRow.Lane, after: Int64 = 0, limit: Int = 99, bytes: Int = .max) throws -> [Envelope] {
            try store.read { try $0.outbox(to: Samples.auckland, lane, after: after, limit: limit, bytes: bytes) }.map(\.envelope)
        }
        let size = envelopes[0].binary().count
        #expect(try lane(.receipts) == [envelopes[0], envelopes[2], envelopes[4]])
        #expect(try lane(.documents) == [envelopes[1], envelopes[3], envelopes[5]])
        #expect(try lane(.documents, limit: 2) == [envelopes[1], envelopes[3]])
        #expect(try lane(.documents, bytes: 1) == [envelopes[1]])
        #expect(try lane(.documents, bytes: size) == [envelopes[1]])
        #expect(try lane(.documents, bytes: size + 1) == [envelopes[1], envelopes[3]])
        let rows = try store.read { try $0.outbox(to: Samples.auckland, after: 0, limit: 99) }
        #expect(try lane(.documents, after: rows[1].id) == [envelopes[3], envelopes[5]])
        #expect(try lane(.receipts, after: rows[4].id) == [])
        #expect(try store.read { try $0.outbox(to: Samples.boston, .receipts, after: 0, limit: 9, bytes: 9) } == [])
    }

    @Test(arguments: Engine.allCases)
    func aPublishedDirectoryIsItsPackagesHead(_ engine: Engine) throws {
        let store = try engine.make()
        let package = Samples.package("a")
        let head = Samples.release(Samples.digest(1, 1), of: package)
        try store.write {
            try $0.put(SnapshotRow(path: "/data/a", package: package, release: head.digest, snapshot: [1, 2]))
            try $0.put(Samples.packageRow(package))
            try $0.insert(head)
        }
        let known = PublishedDirectory(snapshot: [1, 2], digest: head.digest, release: head.release)
        #expect(try store.read { try $0.published(directory: "/data/a") } == known)
        #expect(try store.read { try $0.published(directory: "/data") } == nil)
        try store.write { try $0.put(Samples.packageRow(package, withdrawn: 1)) }
        #expect(try store.read { try $0.published(directory: "/data/a") } == nil)
        try store.write { try $0.put(Samples.packageRow(package, seq: 2)) }
        #expect(try store.read { try $0.published(directory: "/data/a") } == nil)
        try store.write {
            try $0.put(SnapshotRow(path: "/data/a", package: package, release: Samples.digest(2, 1), snapshot: []))
        }
        #expect(try store.read { try $0.published(directory: "/data/a") } == nil, "the release is not here")
    }

    @Test(arguments: Engine.allCases)
    func snapshotsAndValuesAreReplaced(_ engine: Engine) throws {
        let store = try engine.make()
        var row = SnapshotRow(path: "/data/a", package: Samples.package("a"), release: Samples.digest(1), snapshot: [])
        try store.write {
            try $0.put(row)
            try $0.setValue("home.id", [1])
            try $0.setValue("empty", [])
        }
        row.snapshot = [UInt8](repeating: 9, count: 100_000)
        try store.write {
            try $0.put(row)
            try $0.setValue("home.id", [1, 2])
        }
        try store.read { store throws in
            #expect(try store.snapshot(ofDirectory: "/data/a") == row)
            #expect(try store.snapshot(ofDirectory: "/data") == nil)
            #expect(try store.published(directory: "/data/a") == nil, "its release is not here")
            #expect(try store.value("home.id") == [1, 2])
            #expect(try store.value("empty") == [])
            #expect(try store.value("other") == nil)
        }
    }

    @Test(arguments: Engine.allCases)
    func logEntriesAreNumberedTimedAndSalted(_ engine: Engine) throws {
        let store = try engine.make()
        #expect(try store.read { try $0.logSize } == 0)
        #expect(try store.read { try $0.lastLogTime } == nil)
        try store.write { transaction throws in
            #expect(try transaction.log(LogDraft(.nodeStarted)) == 0)
            let draft = LogDraft(.packagePublished, package: Samples.package("a"), release: Samples.digest(1))
            #expect(try transaction.log(draft) == 1)
            #expect(try transaction.logSize == 2)
        }
        let later = Samples.start.adding(milliseconds: 1)
        try store.write(at: later) { transaction throws in
            #expect(try transaction.log(LogDraft(.nodeStopped, outcome: .failed)) == 2)
        }
        try store.read { store throws in
            #expect(try store.logSize == 3)
            #expect(try store.lastLogTime == later)
        }
    }

    @Test(arguments: Engine.allCases)
    func aClockBehindTheLogStopsEveryChange(_ engine: Engine) throws {
        let store = try engine.make()
        try store.write { _ = try $0.log(LogDraft(.nodeStarted)) }
        let before = Samples.start.adding(milliseconds: -TransactionTime.toleranceMilliseconds - 1)
        #expect(throws: StoreFault.clockBehind(last: Samples.start, now: before)) {
            try store.write(at: before) { try $0.put(Samples.partner(Samples.boston)) }
        }
        try store.write { try $0.put(Samples.partner(Samples.auckland)) }
        #expect(try store.read { try $0.partners().map(\.city) } == [Samples.auckland])
        // Whoever only waited for its turn gets the last entry's time.
        let late = try store.write(at: Samples.start.adding(milliseconds: -50)) { $0.now }
        #expect(late == Samples.start)
    }

    @Test(arguments: Engine.allCases)
    func anEntryThatIsTooLongIsRefused(_ engine: Engine) throws {
        let store = try engine.make()
        #expect(throws: StoreFault.self) {
            try store.write { _ = try $0.log(LogDraft(.accessDenied, reason: String(repeating: "x", count: 70_000))) }
        }
        #expect(try store.read { try $0.logSize } == 0)
    }

    // MARK: Transactions

    /// Something of everything.
    static func fill(_ transaction: any MetadataWriting, _ number: UInt64) throws {
        let package = Samples.package("p\(number)")
        let release = Samples.digest(number)
        let agreement = try Samples.agreement("a-\(number)", signedBy: [Samples.kitchener, Samples.auckland])
        for city in Samples.cities {
            let keyring = try Samples.keyring(city, version: Int(number))
            try transaction.insertKeyring(keyring.0, keyring.1)
            try transaction.put(Samples.partner(city, endpoint: "host:\(number)"))
        }
        try transaction.insertAgreement(agreement)
        let step = try Samples.termination(of: agreement.digest, by: Samples.kitchener)
        try transaction.insertStep(step.0, step.1)
        try transaction.put(try Samples.grant(UInt8(number), under: agreement.digest))
        try transaction.put(Samples.packageRow(package))
        try transaction.insert(Samples.release(release, of: package))
        try transaction.insertChunks(of: Samples.boston, block: Samples.place(1), [ChunkEntry(id: release, length: 5)])
        let view = Samples.view(number)
        try transaction.put(view)
        try transaction.put(Samples.member(view.id, release, package: package, added: number, until: Samples.start, sent: true))
        try transaction.put(
            Samples.member(view.id, Samples.digest(number, 5), package: package, added: number, dropped: number + 1, sent: true))
        try transaction.put(
            SubscribedView(id: Samples.digest(number, 20), agreement: agreement.digest, publisher: Samples.boston))
        try transaction.put(Samples.holding(Samples.digest(number, 20), release, .refused, package: package))
        try transaction.put(Samples.transfer(Samples.digest(number, 20), release))
        try transaction.insertReceipt(release, document: Samples.place(3), view: view.id, from: Samples.boston)
        try transaction.enqueue(agreement, to: Samples.auckland)
        try transaction.put(SnapshotRow(path: "/\(number)", package: package, release: release, snapshot: [1]))
        try transaction.setValue("v", [UInt8(number)])
        try transaction.log(LogDraft(.packagePublished, partner: Samples.boston, package: package, release: release))
    }

    @Test(arguments: Engine.allCases)
    func aBodyThatThrowsChangesNothing(_ engine: Engine) throws {
        let store = try engine.make()
        try store.write { try Self.fill($0, 1) }
        let before = try store.read { try dump($0) }
        #expect(throws: Abort()) {
            try store.write(at: Samples.start.adding(seconds: 60)) { transaction in
                try Self.fill(transaction, 2)
                var partner = Samples.partner(Samples.boston)
                partner.state = .removed
                try transaction.put(partner)
                try transaction.removeMember(Samples.view(1).id, Samples.digest(1))
                try transaction.removePublishedView(Samples.view(1).id)
                try transaction.removeTransfer(Samples.digest(1, 20), Samples.digest(1))
                try transaction.removeOutbox(1)
                #expect(try dump(transaction) != before)
                throw Abort()
            }
        }
        #expect(try store.read { try dump($0) } == before)
        #expect(try store.read { try $0.value("v") } == [1])
        #expect(try store.read { try $0.snapshot(ofDirectory: "/2") } == nil)
        #expect(try store.read { try $0.receiptLocation(Samples.digest(2)) } == nil)
        #expect(try store.read { try $0.chunkLocations(of: Samples.boston, [Samples.digest(2)]) } == [nil])
        // The clock was not moved either, and everything can be written as if nothing had been.
        try store.write { try Self.fill($0, 2) }
        let fresh = try engine.make()
        try fresh.write { try Self.fill($0, 1) }
        try fresh.write { try Self.fill($0, 2) }
        #expect(try store.read { try dump($0) } == fresh.read { try dump($0) })
    }

    @Test(arguments: Engine.allCases)
    func aTransactionSeesItsOwnChanges(_ engine: Engine) throws {
        let store = try engine.make()
        try store.write { transaction in
            #expect(try transaction.policy().grants.isEmpty)
            try Self.fill(transaction, 1)
            #expect(try transaction.policy().grants.count == 1)
            #expect(try transaction.package(Samples.package("p1")) != nil)
            #expect(try transaction.members(Samples.view(1).id, addedAfter: 0, limit: 9).count == 1)
            #expect(try transaction.value("v") == [1])
            #expect(transaction.now == Samples.start)
        }
    }

    @Test(arguments: Engine.allCases)
    func bodiesReturnTheirValueAndThrowTheirErrors(_ engine: Engine) throws {
        let store = try engine.make()
        #expect(try store.write { _ in 7 } == 7)
        #expect(try store.read { _ in "x" } == "x")
        #expect(throws: Abort()) { try store.read { _ in throw Abort() } }
    }
}
