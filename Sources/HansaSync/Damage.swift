// What our own disk does not give back as it was written: where it is met, how it is remembered, and what becomes of the rows that named it.
//
// A reader notes what it met and goes on without it; `recordDamage` then writes, in one transaction: rows of chunks that name a block which cannot be
// read are set aside (what is not known to be here is fetched or published anew, and found again by `store rebuild` where it lies whole in another
// record), and the release that needed it is listed until it is healed (`Puller+Healing`), with one entry in the log. What can be read again, because it
// was not the disk, or is not that disk any more, counts again without anyone's help (`lookAgain`).
internal import HansaContent
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import Synchronization

/// A release of which something here cannot be read.
public struct DamageRow: Sendable, Equatable {
    public var release: Digest
    public var found: Timestamp
    /// The first that was met, for people.
    public var what: String

    public init(release: Digest, found: Timestamp, what: String) {
        self.release = release
        self.found = found
        self.what = what
    }
}

/// What readers met and no row says yet. Shared by all sessions of the node, and by whoever else reads content.
public final class DamageNotes: Sendable {
    struct Note: Hashable {
        /// Whose bytes were to be read; nil where that is not known.
        let release: Digest?
        /// A block that cannot be read.
        let block: ContentLocation?
        let what: String
    }

    /// Beyond it nothing is noted: it is met again.
    private static let notesMax = 4096

    private let notes = Mutex<[Note]>([])
    /// When was looked last, and how often in vain since something was found.
    private let looked = Mutex<(at: Timestamp?, times: Int)>((nil, 0))
    private static let lookMillisecondsMin: Int64 = 5000
    private static let lookMillisecondsMax: Int64 = 15 * 60 * 1000

    private let whenFound: Mutex<(@Sendable (String) -> Void)?> = Mutex(nil)

    public init() {}

    /// Told of each release once, when it is in the rows; for the node's own log.
    public func whenFound(_ body: @escaping @Sendable (String) -> Void) { whenFound.withLock { $0 = body } }
    func tell(_ text: String) { whenFound.withLock { $0 }?(text) }

    /// What of `release` cannot be read, and the block if it is one. Put into rows by `ExchangeContext.recordDamage`.
    public func note(_ release: Digest?, block: ContentLocation?, _ what: String) {
        notes.withLock { notes in
            let note = Note(release: release, block: block, what: what)
            if notes.count < DamageNotes.notesMax, !notes.contains(note) { notes.append(note) }
        }
    }

    /// Whether it is time to look again; the one who is told so does it.
    func mayLook(at now: Timestamp) -> Bool {
        looked.withLock { looked in
            let wait = min(DamageNotes.lookMillisecondsMax, DamageNotes.lookMillisecondsMin << Int64(min(looked.times, 8)))
            if let last = looked.at, last <= now, now.milliseconds - last.milliseconds < wait { return false }
            looked = (now, looked.times + 1)
            return true
        }
    }

    /// Something changed: the next look comes soon.
    func lookSoon() { looked.withLock { $0.times = 0 } }

    public var isEmpty: Bool { notes.withLock { $0.isEmpty } }
    func take() -> [Note] {
        notes.withLock { notes in
            defer { notes = [] }; return notes
        }
    }
    func putBack(_ taken: [Note]) { notes.withLock { $0 = taken + $0 } }
}

extension ExchangeContext {
    /// A block that `release` needs; what cannot be read of it is noted.
    func block(at location: ContentLocation, of release: Digest?) throws -> StoredBlock {
        do { return try content.block(at: location) } catch StoreFault.damaged(let what) {
            damage.note(release, block: location, what)
            throw StoreFault.damaged(what)
        }
    }

    /// A block's chunks, one after the other.
    func raw(_ stored: StoredBlock, at location: ContentLocation, of release: Digest?) throws -> [UInt8] {
        do { return try stored.raw() } catch {
            let what = "segment \(location.segment) has a block at byte \(location.offset) that cannot be unpacked"
            damage.note(release, block: location, what)
            throw StoreFault.damaged(what)
        }
    }

    /// A document, or a part of an index, that `release` needs.
    func body(at location: ContentLocation, of release: Digest?) throws -> [UInt8] {
        do { return try content.body(at: location) } catch StoreFault.damaged(let what) {
            damage.note(release, block: nil, what)
            throw StoreFault.damaged(what)
        }
    }

    /// Puts into rows and the log what was noted. Not within a look at the rows or a transaction.
    public func recordDamage(at now: Timestamp) throws {
        let notes = damage.take()
        guard !notes.isEmpty else { return }
        damage.lookSoon()
        var found: [String] = []
        do {
            try metadata.write(at: now) { tx in
                try tx.loseChunks(in: notes.compactMap(\.block))
                found = []
                for note in notes {
                    guard let digest = note.release, try tx.damage(of: digest) == nil, let row = try tx.release(digest) else {
                        continue
                    }
                    try tx.put(DamageRow(release: digest, found: tx.now, what: note.what))
                    try tx.log(
                        LogDraft(
                            .contentDamaged, outcome: .failed, package: row.release.package, release: digest,
                            details: ["what": .string(note.what)]))
                    found.append("\(row.release.package) \(row.release.version): \(note.what)")
                }
            }
        } catch {
            damage.putBack(notes)
            throw error
        }
        for text in found { damage.tell(text) }
    }

    /// Reads once more what could not be read, and takes off the list what is whole: because it can be read again, was published or fetched again, or lies
    /// elsewhere. Whoever asks, after five seconds, and then each time twice as long, a quarter of an hour at most. Not within a look at the rows or a transaction.
    public func lookAgain(at now: Timestamp, atOnce: Bool = false) throws {
        guard atOnce || damage.mayLook(at: now) else { return }
        let (blocks, listed) = try metadata.read { (try $0.lostBlocks(limit: 64), try $0.damages()) }
        guard !blocks.isEmpty || !listed.isEmpty else { return }
        let readable = try blocks.filter { block in
            do {
                let stored = try content.block(at: block)
                return (try? stored.raw()) != nil
            } catch StoreFault.damaged { return false }
        }
        if !readable.isEmpty {
            damage.lookSoon()
            try metadata.write(at: now) { tx in for block in readable { try tx.restoreChunks(in: block) } }
        }
        let whole = try listed.filter { row in
            guard let release = try metadata.read({ try $0.release(row.release) }) else { return true }
            do { return try isWhole(release) } catch StoreFault.damaged { return false }
        }
        guard !whole.isEmpty else { return }
        try metadata.write(at: now) { tx in
            for row in whole {
                try tx.removeDamage(row.release)
                let package = try tx.release(row.release)?.release.package
                try tx.log(LogDraft(.contentHealed, package: package, release: row.release))
            }
            try tx.forgetFoundChunks()
        }
    }

    /// Whether the document and the index can be read and are those that were signed, and every chunk is where it can be read as far as is known.
    private func isWhole(_ row: ReleaseRow) throws -> Bool {
        let body = try content.body(at: row.document)
        guard let envelope = try? Envelope(binary: body),
            envelope.digest == row.digest, let release = try? Release(payload: envelope.payload)
        else { return false }
        guard row.hasContent else { return true }
        let table = try row.table.flatMap { try content.body(at: $0) }
        let pages = try row.pages.map { try content.body(at: $0) }
        guard ChunkIndex.root(table: SHA256.hash(table), pages: pages.map { SHA256.hash($0) }) == release.index?.root else {
            return false
        }
        for page in pages {
            let entries = try IndexPage.decode(page)
            let places = try metadata.read { try $0.chunkLocations(of: row.servedBy, entries.map(\.id)) }
            guard zip(places, entries).allSatisfy({ $0?.length == $1.length }) else { return false }
        }
        return true
    }
}
