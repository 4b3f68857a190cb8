// The open segments, one of each class: where the next record goes. A value that lives under the store's mutex; it calls the disk, so appends
// wait for each other's write(2), and never for an fsync.
internal import HansaContent
internal import HansaCore

struct SegmentWriters: Sendable {
    /// A segment that takes records.
    struct Open: Sendable {
        let id: UInt32
        let file: any DiskFile
        /// The offset after the last record.
        var end: UInt64
        /// Up to where room is reserved, the footer's included.
        var reserved: UInt64
        /// Up to where the disk was asked to begin writing.
        var writeback: UInt64
        var isDirty: Bool
        /// What the footer will list; nil for a segment of an earlier process, until the first append or sealing reads it from the file.
        var entries: [SegmentFooter.Entry]?

        var ids: Int { entries?.count ?? 0 }
    }

    /// The records of one write.
    struct Batch: Sendable {
        struct Item: Sendable {
            let kind: SegmentRecord.Kind
            let ids: [Digest]
            let length: Int
        }
        var items: [Item] = []
        var bytes: Int = 0
        var ids: Int = 0

        mutating func add(_ record: SegmentRecord, length: Int) {
            items.append(Item(kind: record.kind, ids: record.ids, length: length))
            bytes += length
            ids += record.ids.count
        }
    }

    /// What an append leaves to do when the mutex is free again.
    struct Aftermath: Sendable {
        var hasSealed = false
        var writeback: (file: any DiskFile, offset: UInt64, length: UInt64)?
    }

    /// A file that the next sync makes durable, and seals if it takes no more records.
    struct Unsynced: Sendable {
        let file: any DiskFile
        let sealing: Open?
    }

    /// What a sync has to do, and how far all is durable when it is done.
    struct SyncWork: Sendable {
        let files: [Unsynced]
        let directory: Bool
        let appended: UInt64
        let ends: [UInt32: UInt64]
    }

    let files: SegmentFiles
    let bytesTarget: UInt64
    var nextID: UInt32 = 1
    private(set) var open: [SegmentClass: Open] = [:]
    /// Files with records that may not be durable, but take no more of them.
    private var unsynced: [Unsynced] = []
    /// Where segments end that take no more records and have no footer yet.
    private var sealing: [UInt32: UInt64] = [:]
    private var isDirectoryDirty = false
    /// Counts writes; what was appended up to `durable` is durable.
    private(set) var appended: UInt64 = 0
    private(set) var durable: UInt64 = 0
    /// Where unsealed segments ended at the last sync.
    private(set) var durableEnds: [UInt32: UInt64] = [:]
    /// An fsync failed.
    var hasFailed = false

    private static let reserveStepMin: UInt64 = 256 << 10
    private static let reserveStepMax: UInt64 = 8 << 20
    private static let writebackStep: UInt64 = 8 << 20

    init(files: SegmentFiles, bytesTarget: UInt64) {
        self.files = files
        self.bytesTarget = bytesTarget
    }

    // MARK: - Append

    /// Writes a batch into one segment.
    mutating func append(
        _ batch: Batch, _ parts: [UnsafeRawBufferPointer], to segmentClass: SegmentClass, _ aftermath: inout Aftermath
    ) throws(SegmentStoreFault) -> [SegmentLocation] {
        guard !hasFailed else { throw .stopped }
        readEntries(segmentClass)
        if let current = open[segmentClass], current.end >= bytesTarget || current.ids + batch.ids > SegmentFormat.idsMax {
            seal(segmentClass)
            aftermath.hasSealed = true
        }
        do throws(DiskFault) {
            // Taken out while it changes: a second reference to its entries would copy them all at each append.
            var segment =
                if let current = open.removeValue(forKey: segmentClass) { current } else { try begin(segmentClass, batch) }
            do throws(DiskFault) {
                try SegmentWriters.reserve(&segment, for: batch)
            } catch {
                open[segmentClass] = segment
                throw error
            }
            do throws(DiskFault) {
                try segment.file.write(parts, at: segment.end)
            } catch {
                abandon(segment)
                throw error
            }
            let locations = SegmentWriters.account(batch, in: &segment)
            appended += 1
            if segment.end - segment.writeback >= SegmentWriters.writebackStep {
                aftermath.writeback = (segment.file, segment.writeback, segment.end - segment.writeback)
                segment.writeback = segment.end
            }
            open[segmentClass] = segment
            return locations
        } catch {
            throw SegmentStoreFault(error)
        }
    }

    /// Before a segment of an earlier process takes records, what it holds is read. One that is damaged or cannot be read takes none.
    private mutating func readEntries(_ segmentClass: SegmentClass) {
        guard var segment = open[segmentClass], segment.entries == nil else { return }
        do throws(DiskFault) {
            let found = try SegmentWriters.entries(in: segment, of: files)
            segment.entries = found.entries
            open[segmentClass] = segment
            if !found.isWhole { seal(segmentClass) }
        } catch {
            open[segmentClass] = nil
            abandon(segment)
        }
    }

    private static func account(_ batch: Batch, in segment: inout Open) -> [SegmentLocation] {
        var locations: [SegmentLocation] = []
        locations.reserveCapacity(batch.items.count)
        for item in batch.items {
            let location = SegmentLocation(segment: segment.id, offset: UInt32(segment.end), length: UInt32(item.length))
            for id in item.ids {
                segment.entries?.append(
                    SegmentFooter.Entry(kind: item.kind, id: id, offset: location.offset, length: location.length))
            }
            locations.append(location)
            segment.end += UInt64(item.length)
        }
        segment.isDirty = true
        return locations
    }

    /// Takes room for the batch and for the footer that will list it, so that neither the write nor sealing runs out of space.
    private static func reserve(_ segment: inout Open, for batch: Batch) throws(DiskFault) {
        let needed = segment.end + UInt64(batch.bytes) + UInt64(SegmentFooter.encodedBytes(ids: segment.ids + batch.ids))
        guard needed > segment.reserved else { return }
        let ahead = needed + min(max(needed, reserveStepMin), reserveStepMax)
        do throws(DiskFault) {
            try segment.file.reserve(ahead)
            segment.reserved = ahead
        } catch .noSpace {
            try segment.file.reserve(needed)
            segment.reserved = needed
        }
    }

    /// Makes a segment with its header. The name becomes durable with the next `sync`, before anything in it is acknowledged.
    private mutating func begin(_ segmentClass: SegmentClass, _ batch: Batch) throws(DiskFault) -> Open {
        let id = nextID
        let path = files.path(id)
        let file = try files.disk.create(path)
        // The id is spent even if the header cannot be written: a file of that name may stand.
        nextID += 1
        let header = UInt64(SegmentFormat.headerBytes)
        var segment = Open(id: id, file: file, end: header, reserved: 0, writeback: 0, isDirty: true, entries: [])
        do throws(DiskFault) {
            try SegmentWriters.reserve(&segment, for: batch)
            try file.write(SegmentFormat.header(segmentClass, id: id), at: 0)
        } catch {
            // An empty segment is harmless, and open() removes it; the first error is the one to tell.
            try? files.disk.remove(path)
            isDirectoryDirty = true
            throw error
        }
        isDirectoryDirty = true
        return segment
    }

    // MARK: - Seal

    /// Takes the open segment of a class out of use. The next sync makes its records durable, and then gives it its footer.
    mutating func seal(_ segmentClass: SegmentClass) {
        guard let segment = open.removeValue(forKey: segmentClass) else { return }
        seal(segment)
    }

    mutating func seal(_ segment: Open) {
        unsynced.append(Unsynced(file: segment.file, sealing: segment))
        sealing[segment.id] = segment.end
        appended += 1
    }

    /// A footer was written.
    mutating func noteSealed(_ segment: UInt32) { sealing[segment] = nil }

    /// Writes the footer of a segment whose records are durable, so that a trailer promises that every record which it lists was whole.
    ///
    /// Where the footer cannot be made or written, the segment stays as a crash would leave it: complete, but unsealed until open().
    /// - Returns: whether it is sealed now.
    static func finish(_ segment: Open, in files: SegmentFiles) throws(DiskFault) -> Bool {
        var isSealed = true
        do throws(DiskFault) {
            let entries = if let known = segment.entries { known } else { try entries(in: segment, of: files).entries }
            let footer = SegmentFooter(entries).encoded(at: UInt32(segment.end))
            try segment.file.write(footer, at: segment.end)
            try segment.file.truncate(to: segment.end + UInt64(footer.count))
        } catch {
            // A footer cut short is no footer. If this fails too, open() truncates.
            try? segment.file.truncate(to: segment.end)
            isSealed = false
        }
        try segment.file.sync()
        return isSealed
    }

    /// What a segment's whole records stand under, from the file itself, and whether there are no others.
    private static func entries(in segment: Open, of files: SegmentFiles) throws(DiskFault) -> (
        entries: [SegmentFooter.Entry], isWhole: Bool
    ) {
        var entries: [SegmentFooter.Entry] = []
        let walk = try SegmentWalk(
            size: segment.end, segment: segment.id,
            read: { offset, count throws(DiskFault) in try files.readAround(segment.file, of: segment.id, at: offset, count) },
            visit: { location, record throws(DiskFault) in
                for id in record.ids {
                    entries.append(
                        SegmentFooter.Entry(kind: record.kind, id: id, offset: location.offset, length: location.length))
                }
            })
        return (entries, walk.damage.isEmpty && walk.end == segment.end)
    }

    /// After a failed write the tail is of unknown content: it is cut off, and the next record goes to a new segment.
    private mutating func abandon(_ segment: Open) {
        // If this fails too, open() truncates: the records before the tail are whole either way.
        try? segment.file.truncate(to: segment.end)
        sealing[segment.id] = segment.end
        unsynced.append(Unsynced(file: segment.file, sealing: nil))
        appended += 1
    }

    // MARK: - Recovery and durability

    /// Goes on with a segment of an earlier process. It may hold records that were never synchronised.
    mutating func resume(_ segment: Open, _ segmentClass: SegmentClass) {
        open[segmentClass] = segment
        appended += 1
    }

    /// Recovery removed or renamed a file.
    mutating func noteDirectoryChanged() {
        isDirectoryDirty = true
        appended += 1
    }

    /// Everything that a sync has to make durable now, oldest first. The caller synchronises all of it, or sets `hasFailed`.
    mutating func takeUnsynced() -> SyncWork {
        var taken = unsynced
        for segmentClass in SegmentClass.allCases where open[segmentClass]?.isDirty == true {
            open[segmentClass]?.isDirty = false
            if let file = open[segmentClass]?.file { taken.append(Unsynced(file: file, sealing: nil)) }
        }
        let directory = isDirectoryDirty
        unsynced = []
        isDirectoryDirty = false
        let ends = open.values.reduce(into: sealing) { $0[$1.id] = $1.end }
        return SyncWork(files: taken, directory: directory, appended: appended, ends: ends)
    }

    /// All of the work is done.
    mutating func noteSynced(_ work: SyncWork) {
        durable = work.appended
        durableEnds = work.ends.filter { sealing[$0.key] != nil || isOpen($0.key) }
    }

    private func isOpen(_ segment: UInt32) -> Bool { open.values.contains { $0.id == segment } }

    /// Gives back the room that open segments reserved and did not use.
    func releaseReserved() {
        for segmentClass in SegmentClass.allCases {
            guard let segment = open[segmentClass] else { continue }
            // Room that is not given back now is at open(), or with the footer.
            try? segment.file.truncate(to: segment.end)
        }
    }

    /// The lowest id that takes records, now or later.
    var firstWritable: UInt32 { open.values.map(\.id).min() ?? nextID }

    /// Where the records of a segment end that has no footer; nil for a sealed one.
    func unsealedEnd(of segment: UInt32) -> UInt64? { sealing[segment] ?? open.values.first { $0.id == segment }?.end }
}
