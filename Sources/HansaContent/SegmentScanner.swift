// Reads a segment from front to back, one record in memory at a time: for recovery after a crash, for rebuilding, for checking every byte.
internal import HansaCore

/// What a scan found.
public struct SegmentScan: Hashable, Sendable {
    /// The offset after the last good record: what a recovering writer truncates an unsealed file to.
    public let goodBytes: UInt64
    /// Why the scan stopped there; nil at the end of the file, or of a sealed segment's last record.
    public let stoppedBy: SegmentFault?
    /// The scan reached a footer.
    public let isSealed: Bool
}

public enum SegmentScanner {
    /// Visits every record in order, up to the first that is broken.
    ///
    /// - Parameters:
    ///   - start: where to begin: the offset of a record, at least `SegmentFormat.headerBytes`.
    ///   - size: the file's size.
    ///   - segment: the id for the locations.
    ///   - read: returns the bytes of a range, fewer only if the file is shorter than `size`.
    ///   - visit: is given each record with its location.
    public static func scan<E: Error>(
        from start: UInt64 = UInt64(SegmentFormat.headerBytes), size: UInt64, segment: UInt32,
        read: (_ offset: UInt64, _ count: Int) throws(E) -> [UInt8], visit: (SegmentLocation, SegmentRecord) throws(E) -> Void
    ) throws(E) -> SegmentScan {
        var window = Window(size: size)
        var offset = start
        while offset < size {
            guard offset < 1 << 31 else { return SegmentScan(goodBytes: offset, stoppedBy: .framing, isSealed: false) }
            guard let framing = try window.bytes(at: offset, SegmentFormat.framingBytes, read) else {
                return SegmentScan(goodBytes: offset, stoppedBy: .truncated, isSealed: false)
            }
            let head: (type: UInt8, bodyBytes: Int, checksum: UInt32)
            do throws(SegmentFault) {
                head = try framing.withBytes { buffer throws(SegmentFault) in try SegmentFormat.readFraming(buffer) }
            } catch {
                return SegmentScan(goodBytes: offset, stoppedBy: error, isSealed: false)
            }
            if head.type == SegmentFormat.footerType { return SegmentScan(goodBytes: offset, stoppedBy: nil, isSealed: true) }
            let length = SegmentFormat.framingBytes + head.bodyBytes
            guard let bytes = try window.bytes(at: offset, length, read) else {
                return SegmentScan(goodBytes: offset, stoppedBy: .truncated, isSealed: false)
            }
            let record: SegmentRecord
            do throws(SegmentFault) { record = try SegmentRecord(encoded: bytes) } catch {
                return SegmentScan(goodBytes: offset, stoppedBy: error, isSealed: false)
            }
            try visit(SegmentLocation(segment: segment, offset: UInt32(offset), length: UInt32(length)), record)
            offset += UInt64(length)
        }
        return SegmentScan(goodBytes: offset, stoppedBy: nil, isSealed: false)
    }

    /// The part of the file that is in memory.
    private struct Window {
        static let readBytes = 1 << 20

        let size: UInt64
        var start: UInt64 = 0
        var held: [UInt8] = []

        /// The bytes at an offset, or nil where the file ends before them.
        mutating func bytes<E: Error>(
            at offset: UInt64, _ count: Int, _ read: (UInt64, Int) throws(E) -> [UInt8]
        ) throws(E) -> ArraySlice<UInt8>? {
            guard offset + UInt64(count) <= size else { return nil }
            if offset < start || offset + UInt64(count) > start + UInt64(held.count) {
                held = try read(offset, Int(Swift.min(size - offset, UInt64(Swift.max(count, Window.readBytes)))))
                start = offset
            }
            let first = Int(offset - start)
            guard first + count <= held.count else { return nil }
            return held[first..<(first + count)]
        }
    }
}

extension ArraySlice<UInt8> {
    /// `withUnsafeBytes` with a typed error.
    fileprivate func withBytes<T, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> T) throws(E) -> T {
        try withUnsafeBytes { buffer in
            Result { () throws(E) -> T in try body(buffer) }
        }.get()
    }
}
