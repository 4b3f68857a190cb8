// Content and documents on disk: append-only segments (HansaContent/SegmentFormat.swift) that many threads write and read.
//
// Call order: open once a process, under the home's lock; then append, sync and read from any thread; close when done.
// All calls block, so they belong on threads of their own, never on an event loop or the cooperative pool.
//
// Durability: a record may be read as soon as append returns, and is durable when a later sync returns. A database row that names a record, an
// acknowledgement, a bitmap: all of them come after that sync. After a crash every such record is there; those appended after the last sync
// may be there, lost, or torn, and open() cuts off the first that is not whole and what follows it in its file.
//
// After a failed fsync nothing is known of what was written (the kernel may have dropped it and call the pages clean): the store refuses
// everything from then on, and the process stops.
public import HansaContent
internal import HansaCore
internal import Synchronization

public final class SegmentStore: Sendable {
    public static let openFilesMax = 128

    let files: SegmentFiles
    let writers: Mutex<SegmentWriters>
    /// Where records are that collection has moved.
    let moved = MovedPlaces()
    /// From this id on segments were begun by this process: what lies in them may have no row yet.
    let firstOwn: UInt32
    /// Held by the one thread that synchronises; those that wait for it mostly find their records durable then.
    private let synchronising = Mutex<Void>(())

    /// Only `open` makes one.
    init(files: SegmentFiles, writers: consuming SegmentWriters) {
        self.files = files
        firstOwn = writers.firstWritable
        self.writers = Mutex(writers)
    }

    deinit { close() }

    // MARK: - Writing

    /// Appends a record to the open segment of its class.
    ///
    /// - Throws: `.noSpace` when no room could be reserved: the store is as before, and may be used again. `.stopped` after a failed fsync.
    public func append(_ record: SegmentRecord) throws(SegmentStoreFault) -> SegmentLocation {
        try record.withEncoded { parts in
            Result { () throws(SegmentStoreFault) in
                var batch = SegmentWriters.Batch()
                batch.add(record, length: parts.reduce(0) { $0 + $1.count })
                return try write(batch, parts, to: record.segmentClass)[0]
            }
        }.get()
    }

    /// Appends many records with few writes. Locations are in the records' order.
    ///
    /// After an error some of the records may have been appended; nobody knows them, and they only cost room.
    public func append(_ records: [SegmentRecord]) throws(SegmentStoreFault) -> [SegmentLocation] {
        var locations = [SegmentLocation?](repeating: nil, count: records.count)
        for segmentClass in SegmentClass.allCases {
            var packed: [UInt8] = []
            var batch = SegmentWriters.Batch()
            var positions: [Int] = []
            func flush() throws(SegmentStoreFault) {
                guard !positions.isEmpty else { return }
                let written = try packed.withUnsafeBytes { buffer in
                    Result { () throws(SegmentStoreFault) in try write(batch, [buffer], to: segmentClass) }
                }.get()
                for (position, location) in zip(positions, written) { locations[position] = location }
                packed.removeAll(keepingCapacity: true)
                batch = SegmentWriters.Batch()
                positions = []
            }
            for (position, record) in records.enumerated() where record.segmentClass == segmentClass {
                let before = packed.count
                record.append(to: &packed)
                batch.add(record, length: packed.count - before)
                positions.append(position)
                if packed.count >= SegmentStore.batchBytes || batch.ids >= SegmentStore.batchIDs { try flush() }
            }
            try flush()
        }
        return locations.compactMap { $0 }
    }

    private static let batchBytes = 1 << 20
    private static let batchIDs = 1 << 14

    private func write(
        _ batch: SegmentWriters.Batch, _ parts: [UnsafeRawBufferPointer], to segmentClass: SegmentClass
    ) throws(SegmentStoreFault) -> [SegmentLocation] {
        var aftermath = SegmentWriters.Aftermath()
        let locations = try writers.withLock { writers throws(SegmentStoreFault) in
            try writers.append(batch, parts, to: segmentClass, &aftermath)
        }
        if let (file, offset, length) = aftermath.writeback { file.beginWriteback(offset, length) }
        // Who fills a segment waits for its fsync: this bounds what is written and not durable, and nobody else waits.
        if aftermath.hasSealed { try sync() }
        return locations
    }

    /// Everything appended before the call, by any thread, is durable on return. Callers that come together share one fsync;
    /// when everything is durable already this costs a lock.
    ///
    /// - Throws: `.disk(.syncFailed)` or `.stopped`: the process must stop.
    public func sync() throws(SegmentStoreFault) {
        let wanted = try writers.withLock { writers throws(SegmentStoreFault) -> UInt64? in
            if writers.hasFailed { throw .stopped }
            return writers.durable < writers.appended ? writers.appended : nil
        }
        guard let wanted else { return }
        try synchronising.withLock { _ throws(SegmentStoreFault) in
            let work = try writers.withLock { writers throws(SegmentStoreFault) -> SegmentWriters.SyncWork? in
                if writers.hasFailed { throw .stopped }
                return writers.durable >= wanted ? nil : writers.takeUnsynced()
            }
            guard let work else { return }
            do throws(DiskFault) {
                for unsynced in work.files { try unsynced.file.sync() }
                // A crash here leaves files whose names may be lost: nothing in them has been acknowledged.
                if work.directory { try files.disk.syncDirectory(files.directory) }
                // A crash here leaves whole segments without footers; open() seals them.
                for segment in work.files.compactMap(\.sealing) where try SegmentWriters.finish(segment, in: files) {
                    writers.withLock { $0.noteSealed(segment.id) }
                }
            } catch {
                writers.withLock { $0.hasFailed = true }
                throw .disk(error)
            }
            writers.withLock { $0.noteSynced(work) }
        }
    }

    /// How far unsealed segments are durable, as of the last sync.
    public var durableMarks: SegmentMarks { SegmentMarks(ends: writers.withLock { $0.durableEnds }) }

    /// Ends the open segment of a class now, whatever its size. The next record begins another.
    public func seal(_ segmentClass: SegmentClass) throws(SegmentStoreFault) {
        writers.withLock { $0.seal(segmentClass) }
        try sync()
    }

    /// Gives back room that was reserved ahead. Appends go on to work. Does not synchronise.
    public func close() { writers.withLock { $0.releaseReserved() } }

    // MARK: - Reading

    /// Where a record lies now. What was not taken along can be read where it was for as long as its file stands.
    private func current(_ location: SegmentLocation) -> SegmentLocation {
        if case .moved(let place) = moved.fate(of: location.segment, offset: location.offset) { place } else { location }
    }

    /// A place that the disk does not give is damaged, and a file that is gone: while others can be read it is not the disk as a whole.
    private func fault(_ fault: DiskFault, at location: SegmentLocation) -> SegmentStoreFault {
        var isMissing = false
        // Who held a place for longer than the grace may find its segment collected.
        if case .notFound = fault { isMissing = !moved.isRetired(location.segment) }
        guard fault.isUnreadable || isMissing, files.answers(besides: location.segment) else { return SegmentStoreFault(fault) }
        return .damaged(segment: location.segment, offset: UInt64(location.offset), isMissing ? .missing : .unreadable)
    }

    /// Reads a record and checks it against its checksum. Not against its ids: whoever hands content on checks those.
    public func read(_ location: SegmentLocation) throws(SegmentStoreFault) -> SegmentRecord {
        let location = current(location)
        let bytes: [UInt8]
        do throws(DiskFault) {
            bytes = try files.file(location.segment).read(at: UInt64(location.offset), Int(location.length))
        } catch {
            throw fault(error, at: location)
        }
        do throws(SegmentFault) {
            guard bytes.count == Int(location.length) else { throw .truncated }
            return try SegmentRecord(encoded: bytes)
        } catch {
            throw .damaged(segment: location.segment, offset: UInt64(location.offset), error)
        }
    }

    /// Reads a block as it is stored: its bytes come straight from the file into the array that is returned.
    public func readBlock(_ location: SegmentLocation) throws(SegmentStoreFault) -> BlockRecord {
        let location = current(location)
        let headBytes = BlockRecord.prefixBytes
        guard location.length > headBytes, location.length <= SegmentFormat.bodyBytesMax + SegmentFormat.framingBytes else {
            throw .damaged(segment: location.segment, offset: UInt64(location.offset), .framing)
        }
        let file: any DiskFile
        do throws(DiskFault) { file = try files.file(location.segment) } catch { throw self.fault(error, at: location) }
        let restBytes = Int(location.length) - headBytes
        var fault: DiskFault?
        var read = 0
        return try withUnsafeTemporaryAllocation(byteCount: headBytes, alignment: 8) { head in
            let rest = [UInt8](unsafeUninitializedCapacity: restBytes) { buffer, initialized in
                do throws(DiskFault) {
                    read = try file.read(into: [head, UnsafeMutableRawBufferPointer(buffer)], at: UInt64(location.offset))
                } catch {
                    fault = error
                }
                initialized = max(0, read - headBytes)
            }
            return Result { () throws(SegmentStoreFault) in
                if let fault { throw self.fault(fault, at: location) }
                do throws(SegmentFault) {
                    guard read == Int(location.length) else { throw .truncated }
                    return try BlockRecord(prefix: UnsafeRawBufferPointer(head), rest: rest)
                } catch {
                    throw .damaged(segment: location.segment, offset: UInt64(location.offset), error)
                }
            }
        }.get()
    }
}

extension SegmentRecord {
    /// The class of segments that it goes to.
    public var segmentClass: SegmentClass { kind == .block ? .content : .documents }
}
