import Foundation
import GRDB
import HansaCore
import HansaDocuments
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

@testable import HansaStore

/// Databases that an earlier program wrote, and what stays after a database was opened again.
@Suite struct OldDatabaseTests {
    private func open(_ directory: TemporaryDirectory) throws -> SQLiteStore {
        try SQLiteStore(path: directory.path + "/hansa.sqlite", random: DeterministicRandom(seed: 1)) { _ in }
    }

    @Test func theTimeOfTheLastSyncIsKept() throws {
        let directory = try TemporaryDirectory()
        do {
            let queue = try DatabaseQueue(path: directory.path + "/hansa.sqlite")
            try Schema.migrator.migrate(queue, upTo: "damage")
            try queue.write { database in
                try database.execute(
                    sql: "INSERT INTO city VALUES (1, ?), (2, ?)", arguments: [Samples.auckland.text, Samples.boston.text])
                try database.execute(
                    sql: "INSERT INTO partner VALUES (1, 1, NULL, 5, ?), (2, 1, NULL, 5, NULL)",
                    arguments: [Samples.start.milliseconds])
            }
            try queue.close()
        }
        try open(directory).read { store throws in
            #expect(try SyncMemory.lastSync(with: Samples.auckland, store) == Samples.start)
            #expect(try SyncMemory.lastSync(with: Samples.boston, store) == nil)
        }
    }

    /// A database of before: what waited twice waits once, in its first place, and nothing else is lost.
    @Test func anOutboxOfBeforeIsKeptWithoutRepeats() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/hansa.sqlite"
        let one = try Samples.agreement("a-1")
        let both = try Samples.agreement("a-1", signedBy: [Samples.kitchener, Samples.auckland])
        let receipt = Envelope(type: .receipt, payload: [1, 2, 3], signatures: [])
        do {
            let queue = try DatabaseQueue(path: path)
            try Schema.migrator.migrate(queue, upTo: "last sync")
            try queue.write { database in
                try database.execute(
                    sql: "INSERT INTO city VALUES (1, ?), (2, ?)",
                    arguments: [Samples.auckland.text, Samples.boston.text])
                for (city, envelope) in [(1, one), (2, one), (1, both), (1, one), (1, receipt), (1, both), (1, receipt)] {
                    try database.execute(
                        sql: "INSERT INTO outbox (partner, envelope) VALUES (?, ?)", arguments: [city, Data(envelope.binary())])
                }
            }
            try queue.close()
        }
        let store = try open(directory)
        let rows = try store.read { try $0.outbox(to: Samples.auckland, after: 0, limit: 9) }
        #expect(rows.map(\.id) == [1, 3, 5])
        #expect(rows.map(\.envelope) == [one, both, receipt])
        #expect(try store.read { try $0.outbox(to: Samples.boston, after: 0, limit: 9) }.map(\.envelope) == [one])
        #expect(try store.read { try $0.outbox(to: Samples.auckland, .receipts, after: 0, limit: 9, bytes: 99) }.map(\.id) == [5])
        try store.write(at: Samples.start) { transaction in
            for envelope in [one, both, receipt] { try transaction.enqueue(envelope, to: Samples.auckland) }
            try transaction.enqueue(try Samples.agreement("a-2"), to: Samples.auckland)
        }
        #expect(try store.read { try $0.outbox(to: Samples.auckland, after: 5, limit: 9) }.map(\.id) == [8])
        #expect(try store.integrityProblems() == [])
    }

    @Test func signaturesThatWereDroppedDoNotComeBackWhenItIsReopened() throws {
        let directory = try TemporaryDirectory()
        let store = try open(directory)
        let both = try Samples.agreement(signedBy: [Samples.kitchener, Samples.auckland])
        try store.write(at: Samples.start) { transaction in
            for city in [Samples.kitchener, Samples.auckland] {
                let (envelope, keyring) = try Samples.keyring(city)
                try transaction.insertKeyring(envelope, keyring)
            }
            try transaction.insertAgreement(both)
            try transaction.dropSignatures(of: Samples.auckland, on: both.digest)
        }
        try store.close()
        let again = try open(directory)
        #expect(try again.read { try $0.agreement(both.digest)?.signedBy } == [Samples.kitchener])
        #expect(try again.read { try $0.agreementEnvelopes(both.digest) }.flatMap(\.signatures).count == 1)
    }
}
