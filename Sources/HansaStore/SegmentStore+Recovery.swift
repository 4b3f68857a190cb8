// Opening a directory of segments after any end of the process before, and reading all of it.
public import HansaContent
internal import HansaCore
internal import Synchronization

extension SegmentStore {
    /// Up to where a segment is known to be durable.
    public enum DurableMark: Hashable, Sendable {
        /// The database names records up to this offset, or none for 0: what follows was never acknowledged.
        case known(UInt64)
        /// There is no database: what a crash tore cannot be told from what the disk damaged, so nothing is thrown away.
        case unknown
    }

    /// What open() found that a clean end would not have left.
    public struct Recovery: Hashable, Sendable {
        /// Unsealed segments whose tail was cut off, with the number of bytes cut.
        public var truncated: [UInt32: UInt64] = [:]
        /// Files without a single record, removed.
        public var removed: [UInt32] = []
        /// Segments whose header was damaged, and was written anew by what is in them.
        public var mended: [UInt32] = []
        /// Segments that do not reach their mark, or are gone: what rows name in them is damaged, as far as it is not there.
        public var lost: [UInt32] = []
        /// Tails and segments that were set aside as `.damaged` files, because it is not known whether they had been durable.
        public var setAside: [UInt32] = []
    }

    /// A place where a segment does not hold what was written.
    public struct Damage: Hashable, Sendable {
        public let segment: UInt32
        public let offset: UInt64
        public let fault: SegmentFault
    }

    /// Opens the segments of a directory, which is made where it is missing.
    ///
    /// A segment without a trailer is read from its durable mark on, and cut after its last whole record. The newest of each class goes on to
    /// be written if it needed no cut; a damaged tail is never written after. Others are sealed. Running it again changes nothing. Damage does not keep a store
    /// closed: a header is written anew, a footer too, and what is missing below a mark is listed (`Recovery.lost`) for whoever heals.
    ///
    /// - Parameters:
    ///   - bytesTarget: from what size on a segment is sealed.
    ///   - named: the segments that the database names.
    ///   - durable: for each unsealed segment, what the database knows of it: the end of the last record it names. Asked in order of id.
    /// - Throws: `.nothingThere` where segments are named and there is no file of any.
    public static func open(
        disk: any Disk, directory: String = "segments", bytesTarget: Int = SegmentFormat.segmentBytesTarget,
        named: Set<UInt32> = [], durable: (UInt32) -> DurableMark
    ) throws(SegmentStoreFault) -> (store: SegmentStore, recovery: Recovery) {
        let files = SegmentFiles(disk: disk, directory: directory, openMax: openFilesMax)
        var opening = SegmentOpening(files: files, bytesTarget: UInt64(bytesTarget))
        let names = try onDisk { () throws(DiskFault) in
            try disk.makeDirectory(directory)
            return try disk.list(directory)
        }
        for name in names {
            // A segment that was set aside keeps its id from being used again.
            if let id = SegmentFiles.id(of: String(name.prefix(12))) { opening.spend(id) }
        }
        let found = names.compactMap(SegmentFiles.id)
        guard named.isEmpty || !found.isEmpty else { throw .nothingThere(segments: named.count) }
        opening.miss(named.subtracting(found).sorted())
        for id in found { try opening.take(id, durable(id)) }
        let (writers, recovery) = opening.finish()
        return (SegmentStore(files: files, writers: writers), recovery)
    }

    /// Opens the segments of a directory by the marks that the database committed last; nil where there is no database.
    public static func open(
        disk: any Disk, directory: String = "segments", bytesTarget: Int = SegmentFormat.segmentBytesTarget, marks: SegmentMarks?
    ) throws(SegmentStoreFault) -> (store: SegmentStore, recovery: Recovery) {
        try open(disk: disk, directory: directory, bytesTarget: bytesTarget, named: Set(marks?.ends.keys.map { $0 } ?? [])) {
            segment in
            marks.map { .known($0.ends[segment] ?? 0) } ?? .unknown
        }
    }

    /// Whether a segment's header says this class; one whose header is damaged is of every class.
    func isClass(_ segmentClass: SegmentClass, _ segment: UInt32) throws(SegmentStoreFault) -> Bool {
        let head = try onDisk { () throws(DiskFault) in try files.file(segment).read(at: 0, SegmentFormat.headerBytes) }
        guard let header = try? SegmentFormat.readHeader(head[...]) else { return true }
        return header.segmentClass == segmentClass
    }

    // MARK: - Emptied segments

    /// Whether a segment still takes records, or waits for its footer.
    func isWritten(_ segment: UInt32) -> Bool { writers.withLock { $0.unsealedEnd(of: segment) } != nil }

    /// The bytes of a segment's records, without header and footer.
    func recordBytes(of segment: UInt32) throws(SegmentStoreFault) -> UInt64 {
        let header = UInt64(SegmentFormat.headerBytes)
        if let end = writers.withLock({ $0.unsealedEnd(of: segment) }) { return end - min(end, header) }
        return try onDisk { () throws(DiskFault) in
            let file = try files.file(segment)
            let size = try file.size()
            let end = try SegmentOpening.footerOffset(file, size: size).map(UInt64.init) ?? size
            return end - min(end, header)
        }
    }

    /// Ends a segment now if it is one of those that take records.
    func sealIfOpen(_ segment: UInt32) throws(SegmentStoreFault) {
        let isOpen = writers.withLock { writers in
            guard let found = writers.open.first(where: { $0.value.id == segment })?.key else { return false }
            writers.seal(found)
            return true
        }
        if isOpen { try sync() }
    }

    /// Removes the file of a segment that no row names. Not durable: a crash may bring it back.
    func remove(_ segment: UInt32) throws(SegmentStoreFault) {
        try onDisk { () throws(DiskFault) in try files.remove(segment) }
    }

    // MARK: - Reading everything

    /// The ids of all segments, ascending. Not of those that collection has emptied, whose files stand a while longer.
    public func segments() throws(SegmentStoreFault) -> [UInt32] {
        try onDisk { () throws(DiskFault) in try files.disk.list(files.directory) }.compactMap(SegmentFiles.id)
            .filter { !moved.isRetired($0) }
    }

    /// How long a segment is: up to its last record while it is open, else with its footer.
    public func size(of segment: UInt32) throws(SegmentStoreFault) -> UInt64 {
        if let end = writers.withLock({ $0.unsealedEnd(of: segment) }) { return end }
        return try onDisk { () throws(DiskFault) in try files.file(segment).size() }
    }

    /// Visits every record, segment by segment in order of id, in the order they were appended: for a database that is made again, and for a
    /// check of every byte. Records appended meanwhile may be missed.
    ///
    /// Where a segment is damaged, its footer, or else the broken record's length, says where the next record begins, and the scan goes on there.
    /// - Returns: each place that could not be read.
    public func scanAll(
        from first: UInt32 = 0, _ visit: (SegmentLocation, SegmentRecord) throws -> Void
    ) throws -> [Damage] {
        var damage: [Damage] = []
        for segment in try segments() where segment >= first { damage += try scan(segment, visit) }
        return damage
    }

    /// Visits every record of one segment, like `scanAll`.
    public func scan(_ segment: UInt32, _ visit: (SegmentLocation, SegmentRecord) throws -> Void) throws -> [Damage] {
        let file = try onDisk { () throws(DiskFault) in try files.file(segment) }
        let openEnd = writers.withLock { $0.unsealedEnd(of: segment) }
        let size = if let openEnd { openEnd } else { try onDisk { () throws(DiskFault) in try file.size() } }
        var damage: [Damage] = []
        let head = try onDisk { () throws(DiskFault) in try files.readAround(file, of: segment, at: 0, SegmentFormat.headerBytes)
        }
        if (try? SegmentFormat.readHeader(head[...]))?.id != segment {
            damage.append(Damage(segment: segment, offset: 0, fault: .header))
        }
        let footer = openEnd == nil ? try self.footer(of: segment) : nil
        if openEnd == nil, footer == nil { damage.append(Damage(segment: segment, offset: size, fault: .footer)) }
        let walk = try SegmentWalk(
            size: size, segment: segment, listed: footer?.entries.map(\.offset) ?? [],
            read: { (offset, count) throws(any Error) in
                try onDisk { () throws(DiskFault) in try files.readAround(file, of: segment, at: offset, count) }
            }, visit: visit)
        return damage + walk.damage.map { Damage(segment: segment, offset: $0.offset, fault: $0.fault) }
    }

    /// Writes anew what of a sealed segment follows from the rest: a header that is damaged, and a footer, where every record before it is whole. Durable on
    /// return. A damaged trailer is made anew when the store is opened.
    ///
    /// - Returns: whether header and footer are right now.
    public func mend(_ segment: UInt32) throws(SegmentStoreFault) -> Bool {
        guard !isWritten(segment) else { return true }
        var entries: [SegmentFooter.Entry] = []
        var segmentClass: SegmentClass?
        let (file, footerOffset, head) = try onDisk { () throws(DiskFault) in
            let file = try files.disk.open(files.path(segment), writable: true)
            let offset = try SegmentOpening.footerOffset(file, size: file.size())
            return (file, offset, try files.readAround(file, of: segment, at: 0, SegmentFormat.headerBytes))
        }
        guard let footerOffset else { return false }
        let isHeaderRight = (try? SegmentFormat.readHeader(head[...]))?.id == segment
        let isFooterRight = try footer(of: segment) != nil
        if isHeaderRight, isFooterRight { return true }
        let walk = try onDisk { () throws(DiskFault) in
            try SegmentWalk(
                size: UInt64(footerOffset), segment: segment,
                read: { (offset, count) throws(DiskFault) in try files.readAround(file, of: segment, at: offset, count) },
                visit: { (location, record) throws(DiskFault) in
                    if segmentClass == nil { segmentClass = record.segmentClass }
                    for id in record.ids {
                        entries.append(
                            SegmentFooter.Entry(kind: record.kind, id: id, offset: location.offset, length: location.length))
                    }
                })
        }
        let canList = walk.damage.isEmpty && walk.end == UInt64(footerOffset)
        do throws(DiskFault) {
            // A crash between the writes leaves what is as damaged as before, or a segment without a trailer, which open() seals.
            if !isHeaderRight, let segmentClass { try file.write(SegmentFormat.header(segmentClass, id: segment), at: 0) }
            if !isFooterRight, canList {
                let footer = SegmentFooter(entries).encoded(at: footerOffset)
                try file.write(footer, at: UInt64(footerOffset))
                try file.truncate(to: UInt64(footerOffset) + UInt64(footer.count))
            }
            try file.sync()
        } catch {
            if error.isFatal { writers.withLock { $0.hasFailed = true } }
            throw SegmentStoreFault(error)
        }
        return (isHeaderRight || segmentClass != nil) && (isFooterRight || canList)
    }

    /// What a sealed segment holds; nil while it is open, or when its footer is damaged.
    public func footer(of segment: UInt32) throws(SegmentStoreFault) -> SegmentFooter? {
        try onDisk { () throws(DiskFault) in
            let file = try files.file(segment)
            let size = try file.size()
            do throws(DiskFault) {
                guard let offset = try SegmentOpening.footerOffset(file, size: size) else { return nil }
                return try? SegmentFooter(encoded: try file.read(at: UInt64(offset), Int(size - UInt64(offset))), at: offset)
            } catch {
                guard error.isUnreadable, files.answers(besides: segment) else { throw error }
                return nil
            }
        }
    }
}

func onDisk<T>(_ body: () throws(DiskFault) -> T) throws(SegmentStoreFault) -> T {
    do throws(DiskFault) { return try body() } catch { throw SegmentStoreFault(error) }
}
