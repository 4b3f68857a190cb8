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
        if try onDisk({ () throws(DiskFault) in try SegmentOpening.footerOffset(file, size: size) }) != nil { return }

        let durable: UInt64 = if case .known(let bytes) = mark { bytes } else { 0 }
        guard durable <= size else { throw .lost(segment: id, durableBytes: durable, foundBytes: size) }
        let head = try onDisk { () throws(DiskFault) in try file.read(at: 0, SegmentFormat.headerBytes) }
        guard let header = try? SegmentFormat.readHeader(head[...]), header.id == id else {
            guard durable == 0 else { throw .damaged(segment: id, offset: 0, .header) }
            return try drop(id, size: size, mark)
        }
        let start = max(durable, UInt64(SegmentFormat.headerBytes))
        let scan = try onDisk { () throws(DiskFault) in
            try SegmentScanner.scan(
                from: start, size: size, segment: id,
                read: { (offset, count) throws(DiskFault) in try file.read(at: offset, count) },
                visit: { (_, _) throws(DiskFault) in })
        }
        if scan.goodBytes <= UInt64(SegmentFormat.headerBytes) { return try drop(id, size: size, mark) }
        let segment = SegmentWriters.Open(
            id: id, file: file, end: scan.goodBytes, reserved: 0, writeback: scan.goodBytes, isDirty: true, entries: nil)
        if scan.goodBytes == size {
            if let older = candidates.updateValue(segment, forKey: header.segmentClass) { writers.seal(older) }
            return
        }
        if mark == .unknown, scan.stoppedBy != nil { try keepTail(of: segment, size: size) }
        // A crash from here on leaves the segment whole and unsealed, or sealed.
        try onDisk { () throws(DiskFault) in try file.truncate(to: scan.goodBytes) }
        recovery.truncated[id] = size - scan.goodBytes
        writers.seal(segment)
    }

    /// The newest whole segment of each class goes on to be written.
    consuming func finish() -> (SegmentWriters, SegmentStore.Recovery) {
        for (segmentClass, segment) in candidates { writers.resume(segment, segmentClass) }
        return (writers, recovery)
    }

    /// A file without one whole record. It goes, unless it may once have had some.
    private mutating func drop(_ id: UInt32, size: UInt64, _ mark: SegmentStore.DurableMark) throws(SegmentStoreFault) {
        let path = files.path(id)
        if mark == .unknown, size > UInt64(SegmentFormat.headerBytes) {
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
            let tail = try segment.file.read(at: segment.end, Int(size - segment.end))
            try files.disk.writeAtomically(files.path(segment.id) + ".damaged", tail)
        }
        recovery.setAside.append(segment.id)
    }

    /// Where the footer of a sealed segment begins, or nil when the file does not end with a trailer that fits it.
    static func footerOffset(_ file: any DiskFile, size: UInt64) throws(DiskFault) -> UInt32? {
        guard size >= UInt64(SegmentFormat.headerBytes + SegmentFooter.encodedBytes(ids: 0)) else { return nil }
        let last = try file.read(at: size - UInt64(SegmentFormat.trailerBytes), SegmentFormat.trailerBytes)
        guard let trailer = SegmentFormat.readTrailer(last[...]),
            UInt64(trailer.footerOffset) + UInt64(SegmentFooter.encodedBytes(ids: trailer.entries)) == size
        else { return nil }
        return trailer.footerOffset
    }
}
