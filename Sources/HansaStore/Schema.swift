// The tables of `hansa.sqlite`, as one migration. Later changes are further migrations; none is ever edited after a release.
//
// Rules of the tables:
// - Metadata only: documents, tables, pages and blocks lie in segments, and rows hold their places. Keyrings, agreements, steps and the
//   outbox are few and small, so their envelopes (`Envelope.binary()`) stand in rows.
// - What is repeated in many rows is a small integer: cities, packages, views and event ids have tables of names. These rows are never
//   deleted, so that an integer once read is good for ever.
// - A place (`ContentLocation`) is 12 bytes, three u32 big-endian: segment, offset, length. Lists of places are joined.
// - Digests are 32-byte blobs. In the log's index, where a false hit costs one look at the entry, they are their first 8 bytes.
// - Times are milliseconds since 1970. Enumerations are the numbers of `Codes`.
// - Big rows, and rows that others name by number, are rowid tables with a unique index; small rows with a long key are WITHOUT ROWID.
internal import Foundation
internal import GRDB
internal import HansaCore
internal import HansaDocuments
internal import HansaSync

enum Schema {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { database in
            for table in [names, policy, packages, publishing, pulling, log] { try database.execute(sql: table) }
        }
        migrator.registerMigration("disputes") { try $0.execute(sql: disputes) }
        // Null says what holds for nearly all: the seq itself, and the writer.
        migrator.registerMigration("writers") {
            try $0.execute(
                sql: "ALTER TABLE release ADD COLUMN owner_seq INTEGER; ALTER TABLE release ADD COLUMN served_by INTEGER;")
        }
        migrator.registerMigration("damage") { try $0.execute(sql: damage) }
        // A setting by now: each change of a partner's row is one of policy.
        migrator.registerMigration("last sync") { database in
            for row in try Row.fetchAll(
                database,
                sql: "SELECT c.name, p.last_sync FROM partner p JOIN city c ON c.id = p.city WHERE p.last_sync IS NOT NULL")
            {
                let (name, time): (String, Int64) = (row[0], row[1])
                let bytes = (0..<8).map { UInt8(truncatingIfNeeded: time >> (56 - 8 * $0)) }
                try database.execute(
                    sql: "INSERT OR REPLACE INTO setting VALUES (?, ?)", arguments: ["sync.last.\(name)", Data(bytes)])
            }
            try database.execute(sql: "ALTER TABLE partner DROP COLUMN last_sync")
        }
        migrator.registerMigration("outbox once", migrate: outboxOnce)
        return migrator
    }

    /// What waits for a partner waits once, and receipts are told apart without a look at their envelopes.
    private static func outboxOnce(_ database: Database) throws {
        try database.execute(
            sql: """
                ALTER TABLE outbox ADD COLUMN is_receipt INTEGER NOT NULL DEFAULT 0;
                ALTER TABLE outbox ADD COLUMN digest BLOB NOT NULL DEFAULT x'';
                """)
        // One at a time: an envelope has up to 256 KiB.
        var waiting: Set<[UInt8]> = []
        for id in try Int64.fetchAll(database, sql: "SELECT id FROM outbox ORDER BY id") {
            guard let row = try Row.fetchOne(database, sql: "SELECT partner, envelope FROM outbox WHERE id = ?", arguments: [id])
            else { continue }
            let envelope = try SQLiteReading.envelope([UInt8](row[1] as Data))
            let partner: Int64 = row[0]
            if waiting.insert(withUnsafeBytes(of: partner) { Array($0) } + envelope.outboxDigest.bytes).inserted {
                try database.execute(
                    sql: "UPDATE outbox SET is_receipt = ?, digest = ? WHERE id = ?",
                    arguments: [
                        OutboxRow.Lane(envelope.type) == .receipts ? 1 : 0, Data(envelope.outboxDigest.bytes), id,
                    ])
            } else {
                try database.execute(sql: "DELETE FROM outbox WHERE id = ?", arguments: [id])
            }
        }
        try database.execute(
            sql: """
                CREATE UNIQUE INDEX outbox_once ON outbox (partner, digest);
                DROP INDEX outbox_of_partner;
                CREATE INDEX outbox_of_partner ON outbox (partner, id, is_receipt);
                """)
    }

    // Releases of which something here cannot be read, until they are healed; and rows of `chunk` that named a block which could not be read.
    private static let damage = """
        CREATE TABLE damage (release BLOB PRIMARY KEY NOT NULL, found INTEGER NOT NULL, what TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE lost_chunk (
            city INTEGER NOT NULL, id BLOB NOT NULL, segment INTEGER NOT NULL, record INTEGER NOT NULL, record_length INTEGER NOT NULL,
            raw_offset INTEGER NOT NULL, raw_length INTEGER NOT NULL, PRIMARY KEY (city, id)) STRICT, WITHOUT ROWID;
        """

    // Two releases under one number, or a release of ours that we do not know. Few rows, and none is ever deleted.
    private static let disputes = """
        CREATE TABLE dispute (
            package INTEGER NOT NULL, seq INTEGER NOT NULL, kind INTEGER NOT NULL, other BLOB NOT NULL, writer INTEGER NOT NULL, known BLOB,
            document BLOB NOT NULL, partner INTEGER NOT NULL, found INTEGER NOT NULL, resolved INTEGER,
            PRIMARY KEY (package, seq, kind, other)) STRICT, WITHOUT ROWID;
        """

    private static let names = """
        CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
        CREATE TABLE view (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE) STRICT;
        CREATE TABLE label (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
        CREATE TABLE setting (name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
        """

    // `policy_version` counts the transactions that changed any of these tables: a reader whose snapshot has the number of the value in
    // memory may use that value.
    private static let policy = """
        CREATE TABLE keyring (city INTEGER NOT NULL, version INTEGER NOT NULL, envelope BLOB NOT NULL, PRIMARY KEY (city, version))
            STRICT, WITHOUT ROWID;
        CREATE TABLE partner (
            city INTEGER PRIMARY KEY, state INTEGER NOT NULL, endpoint TEXT, added INTEGER NOT NULL, last_sync INTEGER) STRICT;
        CREATE TABLE agreement_envelope (
            arrival INTEGER PRIMARY KEY, agreement BLOB NOT NULL, is_step INTEGER NOT NULL, envelope BLOB NOT NULL) STRICT;
        CREATE TABLE access_grant (
            id TEXT PRIMARY KEY NOT NULL, partner INTEGER NOT NULL, pattern TEXT NOT NULL, agreement BLOB NOT NULL, level INTEGER NOT NULL,
            until INTEGER, ceiling INTEGER, issued INTEGER NOT NULL, granted_by TEXT NOT NULL, ended INTEGER) STRICT, WITHOUT ROWID;
        CREATE TABLE policy_version (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL) STRICT;
        INSERT INTO policy_version VALUES (1, 0);
        """

    // A package that some row only names has no head. `segment_mark` has the end of the last record of a segment that any row ever named: up
    // to there the segment must be whole.
    private static let packages = """
        CREATE TABLE package (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind INTEGER, head BLOB, major INTEGER, minor INTEGER, patch INTEGER,
            head_seq INTEGER, last_seq INTEGER, last BLOB, tlp INTEGER, title TEXT, bytes INTEGER, withdrawn_seq INTEGER) STRICT;
        CREATE TABLE release (
            id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, package INTEGER NOT NULL, seq INTEGER NOT NULL, writer INTEGER NOT NULL,
            kind INTEGER NOT NULL, major INTEGER NOT NULL, minor INTEGER NOT NULL, patch INTEGER NOT NULL, operation INTEGER NOT NULL,
            issued INTEGER NOT NULL, tlp INTEGER NOT NULL, title TEXT NOT NULL, bytes INTEGER NOT NULL, files INTEGER NOT NULL,
            chunks INTEGER NOT NULL, document BLOB NOT NULL, file_table BLOB NOT NULL, pages BLOB NOT NULL, committed INTEGER NOT NULL) STRICT;
        CREATE INDEX release_of_package ON release (package, seq, writer);
        CREATE TABLE chunk (
            city INTEGER NOT NULL, id BLOB NOT NULL, segment INTEGER NOT NULL, record INTEGER NOT NULL, record_length INTEGER NOT NULL,
            raw_offset INTEGER NOT NULL, raw_length INTEGER NOT NULL, PRIMARY KEY (city, id)) STRICT, WITHOUT ROWID;
        CREATE TABLE segment_mark (segment INTEGER PRIMARY KEY, end_offset INTEGER NOT NULL) STRICT;
        CREATE TABLE directory (
            path TEXT PRIMARY KEY NOT NULL, package INTEGER NOT NULL, release BLOB NOT NULL, snapshot BLOB NOT NULL) STRICT;
        """

    // A published view that was removed keeps its row with `removed = 1`: who was sent what outlives it.
    private static let publishing = """
        CREATE TABLE published (
            view INTEGER PRIMARY KEY, agreement BLOB NOT NULL, recipient INTEGER NOT NULL, feed_key BLOB NOT NULL, position INTEGER NOT NULL,
            members BLOB NOT NULL, acknowledged_position INTEGER NOT NULL, acknowledged_equal INTEGER NOT NULL, mismatches INTEGER NOT NULL,
            quarantine TEXT, removed INTEGER NOT NULL) STRICT;
        CREATE TABLE member (
            view INTEGER NOT NULL, release BLOB NOT NULL, package INTEGER NOT NULL, level INTEGER NOT NULL, clause TEXT NOT NULL,
            access_grant TEXT NOT NULL, until INTEGER, added INTEGER NOT NULL, dropped INTEGER, sent INTEGER NOT NULL,
            transfer BLOB NOT NULL, delivered INTEGER NOT NULL, outcome INTEGER, PRIMARY KEY (view, release)) STRICT, WITHOUT ROWID;
        CREATE INDEX member_of_package ON member (package, view, release);
        CREATE INDEX member_present ON member (view, added, release) WHERE dropped IS NULL;
        CREATE INDEX member_dropped ON member (view, dropped, release) WHERE dropped IS NOT NULL;
        CREATE INDEX member_ending ON member (view, until, release) WHERE until IS NOT NULL AND dropped IS NULL;
        CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, partner INTEGER NOT NULL, envelope BLOB NOT NULL) STRICT;
        CREATE INDEX outbox_of_partner ON outbox (partner, id);
        """

    private static let pulling = """
        CREATE TABLE subscribed (
            view INTEGER PRIMARY KEY, agreement BLOB NOT NULL, publisher INTEGER NOT NULL, cursor BLOB NOT NULL, members BLOB NOT NULL,
            mismatches INTEGER NOT NULL, quarantine TEXT) STRICT;
        CREATE TABLE holding (
            view INTEGER NOT NULL, release BLOB NOT NULL, level INTEGER NOT NULL, state INTEGER NOT NULL, transfer BLOB NOT NULL,
            reason TEXT, package INTEGER, PRIMARY KEY (view, release)) STRICT, WITHOUT ROWID;
        CREATE INDEX holding_of_release ON holding (release, view);
        CREATE INDEX holding_of_package ON holding (package, view, release) WHERE package IS NOT NULL;
        CREATE INDEX holding_not_accepted ON holding (view, state, release) WHERE state <> 0;
        CREATE TABLE transfer (
            view INTEGER NOT NULL, release BLOB NOT NULL, transfer BLOB NOT NULL, document BLOB NOT NULL, file_table BLOB NOT NULL,
            pages BLOB NOT NULL, bitmap BLOB NOT NULL, held INTEGER NOT NULL, total INTEGER NOT NULL, PRIMARY KEY (view, release)) STRICT;
        CREATE TABLE receipt (
            digest BLOB PRIMARY KEY NOT NULL, document BLOB NOT NULL, view INTEGER NOT NULL, city INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        """

    // `log_pending` holds entries that are committed and not yet in a durable tile; their bodies go once a checkpoint covers them.
    // `log_index` says of every tiled entry what queries ask for; it is made from pending rows and can be made again from the log.
    private static let log = """
        CREATE TABLE log_state (
            id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, last_time INTEGER) STRICT;
        INSERT INTO log_state VALUES (1, 0, NULL);
        CREATE TABLE log_pending (
            id INTEGER PRIMARY KEY, entry BLOB NOT NULL, time INTEGER NOT NULL, event INTEGER NOT NULL,
            outcome INTEGER NOT NULL, partner INTEGER, package INTEGER, release INTEGER, agreement INTEGER) STRICT;
        CREATE TABLE log_index (
            id INTEGER PRIMARY KEY, time INTEGER NOT NULL, event INTEGER NOT NULL, outcome INTEGER NOT NULL, partner INTEGER,
            package INTEGER, release INTEGER, agreement INTEGER) STRICT;
        CREATE INDEX log_by_time ON log_index (time);
        CREATE INDEX log_by_event ON log_index (event);
        CREATE INDEX log_by_outcome ON log_index (outcome) WHERE outcome <> 0;
        CREATE INDEX log_by_partner ON log_index (partner) WHERE partner IS NOT NULL;
        CREATE INDEX log_by_package ON log_index (package) WHERE package IS NOT NULL;
        CREATE INDEX log_by_release ON log_index (release) WHERE release IS NOT NULL;
        CREATE INDEX log_by_agreement ON log_index (agreement) WHERE agreement IS NOT NULL;
        """
}
