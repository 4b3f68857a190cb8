// Keyrings, partners, agreements, grants and small values, kept in the segments as well: what a database that is lost cannot be made again
// from otherwise (SYNC.md §7). They change by command and are some kilobytes, so each change writes all of them anew.
//
//     body of a record `other`   "hansa-policy/1" ‖ u64 number ‖ u16 part ‖ u16 parts ‖ up to 1 MiB; its id is the SHA-256 of the parts together
//     item                       u8 kind ‖ fields; a text or a list of bytes is a varint and its bytes, a time i64 milliseconds, none is 2^63
//
// Left out on purpose: what must be decided anew (`memberships.decided`), and the key of account names in the log, whose erasing must erase it.
internal import Foundation
internal import GRDB
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaSync
internal import HansaTerms

/// One archive, as it is written and as a scan finds its parts.
struct PolicyArchive {
    static let magic = Array("hansa-policy/1".utf8)
    static let setting = "store.policy"
    private static let partBytesMax = 1 << 20
    private static let itemBytesMax = 16 << 20

    private enum Kind: UInt8 { case keyring = 1, partner, agreement, step, grant, value }

    // MARK: Writing

    /// Everything that is kept, in one order.
    static func contents(_ store: SQLiteReading) throws -> [UInt8] {
        var writer = ByteWriter()
        let partners = try store.partners()
        for city in try String.fetchAll(
            store.database, sql: "SELECT DISTINCT c.name FROM keyring k JOIN city c ON c.id = k.city ORDER BY c.name")
        {
            for envelope in try store.keyringEnvelopes(of: try SQLiteReading.city(city)) {
                writer.u8(Kind.keyring.rawValue)
                writer.prefixed(envelope.binary())
            }
        }
        for partner in partners {
            writer.u8(Kind.partner.rawValue)
            writer.prefixed(partner.city.text)
            writer.u8(UInt8(Codes.code(partner.state, in: Codes.partnerStates)))
            writer.prefixed(partner.endpoint ?? "")
            writer.time(partner.added)
        }
        for record in try store.agreements() {
            for envelope in try store.agreementEnvelopes(record.digest) {
                writer.u8((envelope.type == .agreementStep ? Kind.step : .agreement).rawValue)
                writer.prefixed(envelope.binary())
            }
        }
        for grant in try store.grants() {
            writer.u8(Kind.grant.rawValue)
            writer.prefixed(grant.id)
            writer.prefixed(grant.partner.text)
            writer.prefixed(grant.pattern.text)
            writer.digest(grant.agreement)
            writer.u8(UInt8(Codes.code(grant.level, in: Codes.levels)))
            writer.time(grant.until)
            writer.u8(grant.ceiling.map { UInt8(Codes.code($0, in: Codes.labels)) } ?? .max)
            writer.time(grant.issued)
            writer.prefixed(grant.grantedBy)
            writer.time(grant.ended)
        }
        let values = try Row.fetchAll(
            store.database,
            sql: """
                SELECT name, value FROM setting WHERE name NOT LIKE 'store.%' AND name NOT LIKE 'checkout.%' AND name NOT IN ('log.accounts', 'memberships.decided')
                ORDER BY name
                """)
        for row in values {
            writer.u8(Kind.value.rawValue)
            writer.prefixed(row[0] as String)
            writer.prefixed([UInt8](row[1] as Data))
        }
        return writer.bytes
    }

    static func records(_ contents: [UInt8], number: UInt64) -> [SegmentRecord] {
        let id = SHA256.hash(contents)
        let parts = max(1, (contents.count + partBytesMax - 1) / partBytesMax)
        return (0..<parts).map { part in
            var writer = ByteWriter()
            writer.raw(magic)
            writer.u64(number)
            writer.u16(UInt16(part))
            writer.u16(UInt16(parts))
            writer.raw(contents[(part * partBytesMax)..<min((part + 1) * partBytesMax, contents.count)])
            return .other(id: id, bytes: writer.bytes)
        }
    }

    // MARK: Reading

    /// Two may have one number: the first was written, and the commit that would have said so failed.
    private struct Key: Hashable {
        let number: UInt64
        let id: Digest
    }
    private struct Found {
        var parts: [Int: ArraySlice<UInt8>] = [:]
        var places: [Int: ContentLocation] = [:]
        var count = 0
        /// In the order of the scan.
        var last = 0
    }
    private var found: [Key: Found] = [:]
    private var taken = 0

    /// Takes a record of a scan; others than an archive's are passed over. All but the newest whole one go with `newest`.
    mutating func take(_ id: Digest, _ bytes: [UInt8], at place: ContentLocation) {
        guard bytes.starts(with: PolicyArchive.magic) else { return }
        var reader = ByteReader(bytes[PolicyArchive.magic.count...])
        guard let number = try? reader.u64(), let part = try? reader.u16(), let parts = try? reader.u16(), part < parts else {
            return
        }
        let key = Key(number: number, id: id)
        var entry = found[key] ?? Found()
        taken += 1
        entry.last = taken
        entry.count = Int(parts)
        entry.parts[Int(part)] = reader.rest()
        entry.places[Int(part)] = place
        found[key] = entry
        // Those before the newest whole one are never needed.
        if entry.parts.count == entry.count { for old in found.keys where old.number < number { found[old] = nil } }
    }

    /// The newest that is whole and what it says it is; of two under one number the one that was written later.
    func newest() -> (number: UInt64, contents: [UInt8], places: [ContentLocation])? {
        let newestFirst = found.sorted { ($0.key.number, $0.value.last) > ($1.key.number, $1.value.last) }
        for (key, entry) in newestFirst where entry.parts.count == entry.count {
            let contents = (0..<entry.count).reduce(into: [UInt8]()) { $0 += entry.parts[$1] ?? [] }
            if SHA256.hash(contents) == key.id {
                return (key.number, contents, (0..<entry.count).compactMap { entry.places[$0] })
            }
        }
        return nil
    }

    /// What an archive brought back.
    struct Restored {
        var keyrings = 0
        var partners = 0
        var agreements: Set<Digest> = []
        var grants = 0
    }

    /// Puts everything into a database that has none of it. Throws where the bytes are no archive.
    static func restore(_ contents: [UInt8], to tx: any MetadataWriting) throws -> Restored {
        var restored = Restored()
        var reader = ByteReader(contents)
        while !reader.isAtEnd {
            guard let kind = Kind(rawValue: try reader.u8()) else { throw ByteFault.malformed("kind of an item") }
            switch kind {
            case .keyring:
                let envelope = try Envelope(binary: Array(reader.prefixed(max: itemBytesMax)))
                try tx.insertKeyring(envelope, try Keyring(envelope))
                restored.keyrings += 1
            case .partner:
                let city = try SQLiteReading.city(reader.text(max: itemBytesMax))
                let state = try Codes.value(Int64(reader.u8()), in: Codes.partnerStates)
                let endpoint = try reader.text(max: itemBytesMax)
                try tx.put(
                    Partner(
                        city: city, state: state, endpoint: endpoint.isEmpty ? nil : endpoint, added: try reader.time() ?? tx.now)
                )
                restored.partners += 1
            case .agreement:
                let envelope = try Envelope(binary: Array(reader.prefixed(max: itemBytesMax)))
                try tx.insertAgreement(envelope)
                restored.agreements.insert(envelope.digest)
            case .step:
                let envelope = try Envelope(binary: Array(reader.prefixed(max: itemBytesMax)))
                try tx.insertStep(envelope, try AgreementStep(payload: envelope.payload))
            case .grant:
                try tx.put(try grant(&reader, tx.now))
                restored.grants += 1
            case .value:
                let name = try reader.text(max: itemBytesMax)
                try tx.setValue(name, Array(reader.prefixed(max: itemBytesMax)))
            }
        }
        return restored
    }

    private static func grant(_ reader: inout ByteReader, _ now: Timestamp) throws -> Grant {
        let id = try reader.text(max: itemBytesMax)
        let partner = try SQLiteReading.city(reader.text(max: itemBytesMax))
        let pattern = try PackagePattern(reader.text(max: itemBytesMax))
        let agreement = try reader.digest()
        let level = try Codes.value(Int64(reader.u8()), in: Codes.levels)
        let until = try reader.time()
        let ceiling = try reader.u8()
        let issued = try reader.time() ?? now
        let by = try reader.text(max: itemBytesMax)
        return Grant(
            id: id, partner: partner, pattern: pattern, agreement: agreement, level: level, until: until,
            ceiling: ceiling == .max ? nil : try Codes.value(Int64(ceiling), in: Codes.labels), issued: issued, grantedBy: by,
            ended: try reader.time())
    }
}

extension SQLiteStore {
    /// Keeps keyrings, partners, agreements, grants and small values in the segments, where they changed since they were kept last. Cheap where
    /// nothing did. Durable on return.
    public func keepPolicy(in content: SegmentStore) throws {
        let version = try query { try Int64.fetchOne($0, sql: "SELECT version FROM policy_version") ?? 0 }
        if shared.keptPolicy == version { return }
        let (kept, contents) = try query { database in
            (
                try Data.fetchOne(database, sql: "SELECT value FROM setting WHERE name = ?", arguments: [PolicyArchive.setting]),
                try PolicyArchive.contents(SQLiteReading(database, shared))
            )
        }
        let digest = SHA256.hash(contents)
        var number: UInt64 = 0
        if let kept {
            var reader = ByteReader([UInt8](kept))
            number = try reader.u64()
            if try reader.digest() == digest {
                shared.keptPolicy = version
                return
            }
        }
        // While the database takes no commits each second would write it once more.
        let places: [ContentLocation]
        if let waiting = shared.waitingArchive, waiting.digest == digest, waiting.number == number + 1 {
            places = waiting.places
        } else {
            places = try content.append(all: PolicyArchive.records(contents, number: number + 1))
            shared.waitingArchive = (number + 1, digest, places)
        }
        try content.sync()
        try setPolicyArchive(number + 1, digest, places)
        shared.keptPolicy = version
    }

    func setPolicyArchive(_ number: UInt64, _ digest: Digest, _ places: [ContentLocation]) throws {
        try transaction { database in
            // Collection may have emptied the segment of one that no row named: it is written anew.
            guard places.allSatisfy({ shared.moved.fate(of: $0.segment, offset: $0.offset) == .stands }) else {
                shared.waitingArchive = nil
                throw StoreFault.inputOutput("the policy's archive was given up before a row named it: it is written again")
            }
            try SQLiteStore.setPolicyArchive(number, digest, places, database)
            for place in places {
                try database.execute(
                    sql:
                        "INSERT INTO segment_mark VALUES (?, ?) ON CONFLICT DO UPDATE SET end_offset = MAX(end_offset, excluded.end_offset)",
                    arguments: [Int64(place.segment), Int64(place.offset) + Int64(place.length)])
            }
            return ((), { self.shared.waitingArchive = nil })
        }
    }

    static func setPolicyArchive(_ number: UInt64, _ digest: Digest, _ places: [ContentLocation], _ database: Database) throws {
        var writer = ByteWriter()
        writer.u64(number)
        writer.digest(digest)
        writer.raw(ContentLocation.encode(places))
        try database.execute(
            sql: "INSERT OR REPLACE INTO setting VALUES (?, ?)", arguments: [PolicyArchive.setting, Data(writer.bytes)])
    }

    /// Where the archive lies.
    static func policyArchive(_ database: Database) throws -> (number: UInt64, digest: Digest, places: [ContentLocation])? {
        guard
            let value = try Data.fetchOne(
                database, sql: "SELECT value FROM setting WHERE name = ?", arguments: [PolicyArchive.setting])
        else { return nil }
        var reader = ByteReader([UInt8](value))
        let (number, digest) = (try reader.u64(), try reader.digest())
        return (number, digest, try Array(reader.rest()).withUnsafeBytes { try ContentLocation.decode($0) })
    }

    func policyArchivePlaces() throws -> [ContentLocation] { try query { try SQLiteStore.policyArchive($0)?.places ?? [] } }
}

extension ByteWriter {
    fileprivate mutating func time(_ value: Timestamp?) { u64(value.map { UInt64(bitPattern: $0.milliseconds) } ?? 1 << 63) }
}

extension ByteReader {
    fileprivate mutating func time() throws(ByteFault) -> Timestamp? {
        let value = try u64()
        return value == 1 << 63 ? nil : Timestamp(milliseconds: Int64(bitPattern: value))
    }
}
