internal import HansaContent

/// Recovery, one segment after another: decides for each file whether it is whole, goes on, is cut and sealed, or is no segment at all.
///
/// Every step leaves a directory that the next open() takes as well: a crash in the middle of recovery is a crash like any other.
struct SegmentOpening {
    private let files: SegmentFiles
    private var writers: SegmentWriters
    private var recovery = SegmentStore.Recovery()
    /// The newest whole unsealed segment of each class so far.
    private var candidates: [SegmentClass: SegmentWriters.Open] = [:]

    init(files: SegmentFiles, bytesTarget: UInt64) {
        self.files = files
        writers = SegmentWriters(files: files, bytesTarget: bytesTarget)
    }

    /// An id that no new segment may have.
    mutating func spend(_ id: UInt32) { writers.nextID = max(writers.nextID, id + 1) }

    /// Looks at a segment. Ids ascend from call to call.
    mutating func take(_ id: UInt32, _ mark: SegmentStore.DurableMark) throws(SegmentStoreFault) {
        let file = try onDisk { () throws(DiskFault) in try files.disk.open(files.path(id), writable: true) }
        let size = try onDisk { () throws(DiskFault) in try file.size() }
        let first = UInt64(SegmentFormat.headerBytes)
        let durable: UInt64 = if case .known(let bytes) = mark { bytes } else { 0 }
        if let footer = try footerOffset(file, id, size: size) {
            // An earlier process lost the end of it, and sealed what was left.
            if durable > footer { recovery.lost.append(id) }
            return
        }
        let isShort = durable > size
        if isShort { recovery.lost.append(id) }
        let end: UInt64
        var isWhole = true
        if mark == .unknown || isShort {
            // What was acknowledged cannot be told from what a crash tore: all that is whole stays, and what is broken between too.
            let walk = try walk(file, id, size: size) { _ in }
            end = walk.end
            isWhole = walk.damage.isEmpty
        } else {
            let scan = try onDisk { () throws(DiskFault) in
                try SegmentScanner.scan(
                    from: max(durable, first), size: size, segment: id,
                    read: { (offset, count) throws(DiskFault) in try files.readAround(file, of: id, at: offset, count) },
                    visit: { (_, _) throws(DiskFault) in })
            }
            end = max(scan.goodBytes, durable)
        }
        if end <= first { return try drop(id, size: size, mark, wasDurable: durable > 0) }

        let segmentClass: SegmentClass
        if let known = try header(of: file, id) {
            segmentClass = known
        } else {
            // Everything in it follows from its name and its records.
            guard let found = try mendHeader(of: file, id, size: size) else {
                return writers.seal(SegmentOpening.segment(id, file, end: end))
            }
            segmentClass = found
            isWhole = false
        }
        let segment = SegmentOpening.segment(id, file, end: end)
        // Rows name places behind the end of one that is short: nothing else may come to lie there.
        if end == size, isWhole, !isShort {
            if let older = candidates.updateValue(segment, forKey: segmentClass) { writers.seal(older) }
            return
        }
        if end < size {
            if mark == .unknown { try keepTail(of: segment, size: size) }
            // A crash from here on leaves the segment whole and unsealed, or sealed.
            try onDisk { () throws(DiskFault) in try file.truncate(to: end) }
            recovery.truncated[id] = size - end
        }
        // A disk that changed or lost one byte of it may do so again: nothing more is written to it.
        writers.seal(segment)
    }

    private static func segment(_ id: UInt32, _ file: any DiskFile, end: UInt64) -> SegmentWriters.Open {
        SegmentWriters.Open(id: id, file: file, end: end, reserved: 0, writeback: end, isDirty: true, entries: nil)
    }

    /// The class that the header says; nil where it is none of this segment.
    private func header(of file: any DiskFile, _ id: UInt32) throws(SegmentStoreFault) -> SegmentClass? {
        let head = try onDisk { () throws(DiskFault) in
            try files.readAround(file, of: id, at: 0, SegmentFormat.headerBytes)
        }
        guard let header = try? SegmentFormat.readHeader(head[...]), header.id == id else { return nil }
        return header.segmentClass
    }

    /// Writes a header anew by the class of the first whole record; nil, and nothing written, where none is whole. Durable with the next sync.
    private mutating func mendHeader(of file: any DiskFile, _ id: UInt32, size: UInt64) throws(SegmentStoreFault) -> SegmentClass?
    {
        var found: SegmentClass?
        _ = try walk(file, id, size: size) { record in if found == nil { found = record.segmentClass } }
        guard let found else { return nil }
        // A crash in the middle leaves a header that is as damaged as before.
        try onDisk { () throws(DiskFault) in try file.write(SegmentFormat.header(found, id: id), at: 0) }
        recovery.mended.append(id)
        return found
    }

    private func walk(_ file: any DiskFile, _ id: UInt32, size: UInt64, _ visit: (SegmentRecord) -> Void)
        throws(SegmentStoreFault) -> SegmentWalk
    {
        try onDisk { () throws(DiskFault) in
            try SegmentWalk(
                size: size, segment: id,
                read: { (offset, count) throws(DiskFault) in try files.readAround(file, of: id, at: offset, count) },
                visit: { (_, record) throws(DiskFault) in visit(record) })
        }
    }

    /// Segments that the database names and of which no file is there.
    mutating func miss(_ ids: [UInt32]) {
        for id in ids {
            // Rows name places in it: no other bytes may come to lie there.
            spend(id)
            recovery.lost.append(id)
        }
    }

    /// The newest whole segment of each class goes on to be written.
    consuming func finish() -> (SegmentWriters, SegmentStore.Recovery) {
        for (segmentClass, segment) in candidates { writers.resume(segment, segmentClass) }
        return (writers, recovery)
    }

    /// A file without one whole record. It goes, unless it may once have had some.
    private mutating func drop(_ id: UInt32, size: UInt64, _ mark: SegmentStore.DurableMark, wasDurable: Bool)
        throws(SegmentStoreFault)
    {
        let path = files.path(id)
        if mark == .unknown && size > UInt64(SegmentFormat.headerBytes) || wasDurable {
            try onDisk { () throws(DiskFault) in try files.disk.rename(path, to: path + ".damaged") }
            recovery.setAside.append(id)
        } else {
            try onDisk { () throws(DiskFault) in try files.disk.remove(path) }
            recovery.removed.append(id)
        }
        writers.noteDirectoryChanged()
    }

    /// Copies what stands after a segment's last whole record into a file of its own, durably, before it is cut off.
    private mutating func keepTail(of segment: SegmentWriters.Open, size: UInt64) throws(SegmentStoreFault) {
        try onDisk { () throws(DiskFault) in
            let tail = try files.readAround(segment.file, of: segment.id, at: segment.end, Int(size - segment.end))
            try files.disk.writeAtomically(files.path(segment.id) + ".damaged", tail)
        }
        recovery.setAside.append(segment.id)
    }

    /// Where the footer of a sealed segment begins, or nil when the file does not end with a trailer that fits it.
    static func footerOffset(_ file: any DiskFile, size: UInt64) throws(DiskFault) -> UInt32? {
        try footerOffset(size: size) { (offset, count) throws(DiskFault) in try file.read(at: offset, count) }
    }

    private func footerOffset(_ file: any DiskFile, _ id: UInt32, size: UInt64) throws(SegmentStoreFault) -> UInt32? {
        try onDisk { () throws(DiskFault) in
            try SegmentOpening.footerOffset(size: size) { (offset, count) throws(DiskFault) in
                try files.readAround(file, of: id, at: offset, count)
            }
        }
    }

    private static func footerOffset(size: UInt64, read: (UInt64, Int) throws(DiskFault) -> [UInt8]) throws(DiskFault) -> UInt32?
    {
        guard size >= UInt64(SegmentFormat.headerBytes + SegmentFooter.encodedBytes(ids: 0)) else { return nil }
        let last = try read(size - UInt64(SegmentFormat.trailerBytes), SegmentFormat.trailerBytes)
        guard let trailer = SegmentFormat.readTrailer(last[...]),
            UInt64(trailer.footerOffset) + UInt64(SegmentFooter.encodedBytes(ids: trailer.entries)) == size
        else { return nil }
        return trailer.footerOffset
    }
}
