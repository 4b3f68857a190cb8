// Every statement of the store's transactions: prepared once a connection, found by number. Nothing is built from text at run time but the
// filter of `audit log` (`SQLiteStore+LogQuery`).
// swift-format-ignore: one case a statement reads best as a list.
enum SQL: Int, CaseIterable {
    // Names
    case cityByName, cityByID, insertCity, viewByDigest, viewByID, insertView, labelByName, insertLabel, packageByName,
        packageNameByID, insertPackageName
    // Policy
    case policyVersion, countPolicyVersion, keyrings, insertKeyring, partners, putPartner, agreementEnvelopes,
        insertAgreementEnvelope, replaceAgreementEnvelope, grants, putGrant
    // Packages
    case package, packages, packagesOfCity, packageCount, putPackage, release, releasesOfPackage, releaseBySeq, releasesBetween,
        insertRelease
    case disputes, disputesOfPackage, putDispute
    case chunk, insertChunk, putMark, placeRelease
    case keepLostChunks, forgetChunks, lostBlocks, restoreChunks, forgetLostChunks, forgetFoundChunks
    case damages, damageOfRelease, putDamage, removeDamage
    // Publishing
    case publishedView, publishedViews, putPublishedView, removePublishedView
    case member, memberStanding, membersOfPackage, membersAdded, membersDropped, membersEnded, recipients, membersToCompare,
        membersCounted
    case insertMember, updateMember, replaceMember, removeMember
    // Pulling
    case subscribedView, subscribedViews, putSubscribedView
    case holding, holdingsOfRelease, holdingsOfPackage, holdingsOfView, holdingsAccepted, holdingsOther, putHolding
    case holdingsToCompare, holdingsCounted
    case transfer, transfers, putTransfer, removeTransfer, receipt, insertReceipt
    // Documents under way, memory, log
    case outbox, outboxOfLane, outboxExtent, waits, enqueue, removeOutbox, directory, publishedDirectory, putDirectory, setting,
        putSetting
    case logState, putLogState, insertLogEntry, insertLogIndex, anyPending, clearLogIndex

    static let texts: [String] = allCases.map(\.text)

    private static let summaryColumns =
        "p.name, r.seq, r.writer, r.kind, r.major, r.minor, r.patch, r.operation, r.issued, r.tlp, r.title, r.bytes, r.files, r.chunks, r.owner_seq"
    private static let releaseColumns =
        "\(summaryColumns), r.document, r.file_table, r.pages, r.committed, r.digest, r.served_by"
    private static let packageColumns =
        "name, kind, head, major, minor, patch, head_seq, last_seq, last, tlp, title, bytes, withdrawn_seq"
    private static let disputeColumns =
        "p.name, d.seq, d.kind, d.other, d.writer, d.known, d.document, d.partner, d.found, d.resolved FROM dispute d JOIN package p "
        + "ON p.id = d.package"
    private static let memberColumns =
        "m.release, p.name, m.level, m.clause, m.access_grant, m.until, m.added, m.dropped, m.sent, m.transfer, m.delivered, m.outcome"
    private static let memberTables = "member m JOIN package p ON p.id = m.package"
    private static let publishedColumns =
        "v.digest, s.agreement, s.recipient, s.feed_key, s.position, s.members, s.acknowledged_position, s.acknowledged_equal, s.mismatches, "
        + "s.quarantine"
    private static let subscribedColumns = "v.digest, s.agreement, s.publisher, s.cursor, s.members, s.mismatches, s.quarantine"
    private static let holdingColumns = "v.digest, h.release, h.level, h.state, h.transfer, h.reason, p.name"
    private static let holdingTables = "holding h JOIN view v ON v.id = h.view LEFT JOIN package p ON p.id = h.package"
    private static let transferColumns =
        "v.digest, t.release, t.transfer, t.document, t.file_table, t.pages, t.bitmap, t.held, t.total FROM transfer t JOIN view v ON v.id = t.view"

    private var text: String {
        switch self {
        case .cityByName: "SELECT id FROM city WHERE name = ?"
        case .cityByID: "SELECT name FROM city WHERE id = ?"
        case .insertCity: "INSERT INTO city (name) VALUES (?) RETURNING id"
        case .viewByDigest: "SELECT id FROM view WHERE digest = ?"
        case .viewByID: "SELECT digest FROM view WHERE id = ?"
        case .insertView: "INSERT INTO view (digest) VALUES (?) RETURNING id"
        case .labelByName: "SELECT id FROM label WHERE name = ?"
        case .insertLabel: "INSERT INTO label (name) VALUES (?) RETURNING id"
        case .packageByName: "SELECT id FROM package WHERE name = ?"
        case .packageNameByID: "SELECT name FROM package WHERE id = ?"
        case .insertPackageName: "INSERT INTO package (name) VALUES (?) RETURNING id"

        case .policyVersion: "SELECT version FROM policy_version"
        case .countPolicyVersion: "UPDATE policy_version SET version = version + 1 RETURNING version"
        case .keyrings: "SELECT c.name, k.envelope FROM keyring k JOIN city c ON c.id = k.city ORDER BY k.city, k.version"
        case .insertKeyring: "INSERT INTO keyring VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        case .partners: "SELECT c.name, p.state, p.endpoint, p.added FROM partner p JOIN city c ON c.id = p.city"
        case .putPartner: "INSERT OR REPLACE INTO partner VALUES (?, ?, ?, ?)"
        case .agreementEnvelopes: "SELECT agreement, is_step, envelope FROM agreement_envelope ORDER BY arrival"
        case .insertAgreementEnvelope: "INSERT INTO agreement_envelope (agreement, is_step, envelope) VALUES (?, ?, ?)"
        case .replaceAgreementEnvelope: "UPDATE agreement_envelope SET envelope = ? WHERE agreement = ? AND envelope = ?"
        case .grants:
            "SELECT g.id, c.name, g.pattern, g.agreement, g.level, g.until, g.ceiling, g.issued, g.granted_by, g.ended "
                + "FROM access_grant g JOIN city c ON c.id = g.partner"
        case .putGrant: "INSERT OR REPLACE INTO access_grant VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

        case .package: "SELECT \(SQL.packageColumns) FROM package WHERE name = ? AND head IS NOT NULL"
        case .packages: "SELECT \(SQL.packageColumns) FROM package WHERE name > ? AND head IS NOT NULL ORDER BY name LIMIT ?"
        case .packagesOfCity:
            "SELECT \(SQL.packageColumns) FROM package WHERE name > ? AND name < ? AND head IS NOT NULL ORDER BY name LIMIT ?"
        case .packageCount: "SELECT COUNT(*) FROM package WHERE name > ? AND name < ? AND head IS NOT NULL"
        case .putPackage:
            "INSERT INTO package (name, kind, head, major, minor, patch, head_seq, last_seq, last, tlp, title, bytes, withdrawn_seq) "
                + "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, head = excluded.head, "
                + "major = excluded.major, minor = excluded.minor, patch = excluded.patch, head_seq = excluded.head_seq, "
                + "last_seq = excluded.last_seq, last = excluded.last, tlp = excluded.tlp, title = excluded.title, bytes = excluded.bytes, "
                + "withdrawn_seq = excluded.withdrawn_seq RETURNING id"
        case .release: "SELECT \(SQL.releaseColumns) FROM release r JOIN package p ON p.id = r.package WHERE r.digest = ?"
        case .releasesOfPackage:
            "SELECT \(SQL.releaseColumns) FROM release r JOIN package p ON p.id = r.package WHERE r.package = ? ORDER BY r.seq, r.digest"
        case .releaseBySeq: "SELECT digest FROM release WHERE package = ? AND seq = ? AND writer = ? ORDER BY digest LIMIT 1"
        case .releasesBetween: "SELECT digest FROM release WHERE digest >= ? AND digest <= ? ORDER BY digest LIMIT ?"
        case .disputes: "SELECT \(SQL.disputeColumns) ORDER BY p.name, d.seq, d.kind, d.other"
        case .disputesOfPackage: "SELECT \(SQL.disputeColumns) WHERE d.package = ? ORDER BY d.seq, d.kind, d.other"
        case .putDispute: "INSERT OR REPLACE INTO dispute VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        case .insertRelease:
            "INSERT INTO release (digest, package, seq, writer, kind, major, minor, patch, operation, issued, tlp, title, bytes, files, chunks, "
                + "document, file_table, pages, committed, owner_seq, served_by) "
                + "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                + "ON CONFLICT (digest) DO UPDATE SET document = excluded.document, file_table = excluded.file_table, pages = excluded.pages, "
                + "committed = excluded.committed, served_by = excluded.served_by WHERE length(file_table) = 0 AND length(excluded.file_table) > 0"
        case .chunk: "SELECT segment, record, record_length, raw_offset, raw_length FROM chunk WHERE city = ? AND id = ?"
        case .insertChunk: "INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        case .keepLostChunks:
            "INSERT OR REPLACE INTO lost_chunk SELECT * FROM chunk WHERE (segment << 32 | record) IN (SELECT value FROM json_each(?))"
        case .forgetChunks: "DELETE FROM chunk WHERE (segment << 32 | record) IN (SELECT value FROM json_each(?))"
        case .lostBlocks:
            "SELECT segment, record, MAX(record_length) FROM lost_chunk GROUP BY segment, record ORDER BY segment, record LIMIT ?"
        case .restoreChunks:
            "INSERT INTO chunk SELECT * FROM lost_chunk WHERE segment = ? AND record = ? ON CONFLICT DO NOTHING"
        case .forgetLostChunks: "DELETE FROM lost_chunk WHERE segment = ? AND record = ?"
        case .forgetFoundChunks:
            "DELETE FROM lost_chunk WHERE EXISTS (SELECT 1 FROM chunk c WHERE c.city = lost_chunk.city AND c.id = lost_chunk.id)"
        case .placeRelease: "UPDATE release SET document = ?, file_table = ?, pages = ? WHERE digest = ?"
        case .damages: "SELECT release, found, what FROM damage ORDER BY release"
        case .damageOfRelease: "SELECT release, found, what FROM damage WHERE release = ?"
        case .putDamage: "INSERT OR REPLACE INTO damage VALUES (?, ?, ?)"
        case .removeDamage: "DELETE FROM damage WHERE release = ?"
        case .putMark:
            "INSERT INTO segment_mark VALUES (?, ?) ON CONFLICT DO UPDATE SET end_offset = MAX(end_offset, excluded.end_offset)"

        case .publishedView:
            "SELECT \(SQL.publishedColumns) FROM published s JOIN view v ON v.id = s.view WHERE s.view = ? AND s.removed = 0"
        case .publishedViews:
            "SELECT \(SQL.publishedColumns) FROM published s JOIN view v ON v.id = s.view WHERE s.removed = 0 ORDER BY v.digest"
        case .putPublishedView: "INSERT OR REPLACE INTO published VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
        case .removePublishedView: "UPDATE published SET removed = 1, members = x'', feed_key = x'' WHERE view = ?"
        case .member: "SELECT \(SQL.memberColumns) FROM \(SQL.memberTables) WHERE m.view = ? AND m.release = ?"
        case .memberStanding: "SELECT level, until, dropped, sent FROM member WHERE view = ? AND release = ?"
        case .membersOfPackage:
            "SELECT \(SQL.memberColumns) FROM \(SQL.memberTables) WHERE m.package = ? AND m.view = ? ORDER BY m.release"
        case .membersAdded:
            "SELECT \(SQL.memberColumns) FROM \(SQL.memberTables) WHERE m.view = ? AND m.added > ? AND m.dropped IS NULL "
                + "ORDER BY m.added, m.release LIMIT ?"
        case .membersDropped:
            "SELECT \(SQL.memberColumns) FROM \(SQL.memberTables) WHERE m.view = ? AND m.dropped > ? AND m.sent <> 0 "
                + "AND m.dropped IS NOT NULL ORDER BY m.dropped, m.release LIMIT ?"
        case .membersEnded:
            "SELECT \(SQL.memberColumns) FROM \(SQL.memberTables) WHERE m.view = ? AND m.until <= ? AND m.until IS NOT NULL "
                + "AND m.dropped IS NULL ORDER BY m.until, m.release"
        case .recipients:
            "SELECT DISTINCT c.name FROM member m JOIN published s ON s.view = m.view JOIN city c ON c.id = s.recipient "
                + "WHERE m.package = ? AND m.sent <> 0 ORDER BY c.name"
        // `outcome` 1 and `state` 1 are refusals, `state` 2 an end (Codes).
        case .membersToCompare:
            "SELECT m.release, m.level, CASE m.outcome WHEN 1 THEN NULL ELSE r.issued END, m.sent FROM member m "
                + "LEFT JOIN release r ON r.digest = m.release WHERE m.view = ? AND m.dropped IS NULL ORDER BY m.release"
        case .membersCounted: "SELECT COUNT(*) FROM member WHERE view = ? AND dropped IS NULL"
        case .insertMember: "INSERT INTO member VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        case .updateMember:
            "UPDATE member SET level = ?, clause = ?, access_grant = ?, sent = ?, transfer = ?, delivered = ?, outcome = ? "
                + "WHERE view = ? AND release = ? AND package = ? AND until IS ? AND added = ? AND dropped IS ?"
        case .replaceMember: "INSERT OR REPLACE INTO member VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        case .removeMember: "DELETE FROM member WHERE view = ? AND release = ?"

        case .subscribedView: "SELECT \(SQL.subscribedColumns) FROM subscribed s JOIN view v ON v.id = s.view WHERE s.view = ?"
        case .subscribedViews: "SELECT \(SQL.subscribedColumns) FROM subscribed s JOIN view v ON v.id = s.view ORDER BY v.digest"
        case .putSubscribedView: "INSERT OR REPLACE INTO subscribed VALUES (?, ?, ?, ?, ?, ?, ?)"
        case .holding: "SELECT \(SQL.holdingColumns) FROM \(SQL.holdingTables) WHERE h.view = ? AND h.release = ?"
        case .holdingsOfRelease: "SELECT \(SQL.holdingColumns) FROM \(SQL.holdingTables) WHERE h.release = ? ORDER BY v.digest"
        case .holdingsOfPackage:
            "SELECT \(SQL.holdingColumns) FROM \(SQL.holdingTables) WHERE h.package = ? ORDER BY v.digest, h.release"
        case .holdingsOfView:
            "SELECT \(SQL.holdingColumns) FROM \(SQL.holdingTables) WHERE h.view = ? AND h.release > ? ORDER BY h.release LIMIT ?"
        case .holdingsAccepted:
            "SELECT \(SQL.holdingColumns) FROM \(SQL.holdingTables) WHERE h.view = ? AND h.release > ? AND h.state = 0 ORDER BY h.release LIMIT ?"
        case .holdingsOther:
            "SELECT \(SQL.holdingColumns) FROM \(SQL.holdingTables) WHERE h.view = ? AND h.state = ? AND h.state <> 0 AND h.release > ? "
                + "ORDER BY h.release LIMIT ?"
        case .holdingsToCompare:
            "SELECT h.release, h.level, CASE h.state WHEN 1 THEN NULL ELSE r.issued END FROM holding h "
                + "LEFT JOIN release r ON r.digest = h.release WHERE h.view = ? AND h.state <> 2 ORDER BY h.release"
        case .holdingsCounted: "SELECT COUNT(*) FROM holding WHERE view = ? AND state <> 2"
        case .putHolding: "INSERT OR REPLACE INTO holding VALUES (?, ?, ?, ?, ?, ?, ?)"
        case .transfer: "SELECT \(SQL.transferColumns) WHERE t.view = ? AND t.release = ?"
        case .transfers: "SELECT \(SQL.transferColumns) ORDER BY v.digest, t.release"
        case .putTransfer: "INSERT OR REPLACE INTO transfer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        case .removeTransfer: "DELETE FROM transfer WHERE view = ? AND release = ?"
        case .receipt: "SELECT document FROM receipt WHERE digest = ?"
        case .insertReceipt: "INSERT INTO receipt VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"

        case .outbox: "SELECT id, envelope FROM outbox WHERE partner = ? AND id > ? ORDER BY id LIMIT ?"
        case .outboxOfLane: "SELECT id, envelope FROM outbox WHERE partner = ? AND id > ? AND is_receipt = ? ORDER BY id LIMIT ?"
        case .outboxExtent: "SELECT COUNT(*), MAX(id) FROM outbox WHERE partner = ?"
        case .enqueue: "INSERT INTO outbox (partner, envelope, is_receipt, digest) VALUES (?, ?, ?, ?)"
        case .waits: "SELECT id FROM outbox WHERE partner = ? AND digest = ?"
        case .removeOutbox: "DELETE FROM outbox WHERE id = ?"
        case .directory:
            "SELECT p.name, d.release, d.snapshot FROM directory d JOIN package p ON p.id = d.package WHERE d.path = ?"
        case .publishedDirectory:
            "SELECT \(SQL.summaryColumns), d.release, d.snapshot FROM directory d JOIN package p ON p.id = d.package "
                + "JOIN release r ON r.digest = d.release "
                + "WHERE d.path = ? AND p.head = d.release AND (p.withdrawn_seq IS NULL OR p.withdrawn_seq < p.head_seq)"
        case .putDirectory: "INSERT OR REPLACE INTO directory VALUES (?, ?, ?, ?)"
        case .setting: "SELECT value FROM setting WHERE name = ?"
        case .putSetting: "INSERT OR REPLACE INTO setting VALUES (?, ?)"

        case .logState: "SELECT size, last_time FROM log_state"
        case .putLogState: "UPDATE log_state SET size = ?, last_time = ?"
        case .insertLogEntry: "INSERT INTO log_pending VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        case .insertLogIndex: "INSERT OR IGNORE INTO log_index VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        case .anyPending: "SELECT id FROM log_pending LIMIT 1"
        case .clearLogIndex: "DELETE FROM log_index"
        }
    }
}
