// Reads all that is whole in a segment, also behind a record that is not.
internal import HansaCore

/// A segment's records from front to back. Where one is broken the walk goes on at the next: the footer says where that is, else the broken record's own
/// length does, if a record is there. Every record that is visited has the checksum that was written.
public struct SegmentWalk: Sendable {
    public struct Damage: Hashable, Sendable {
        public let offset: UInt64
        public let fault: SegmentFault
    }

    /// In order of place.
    public let damage: [Damage]
    /// The offset after the last whole record.
    public let end: UInt64
    /// It came to a footer.
    public let isSealed: Bool

    /// - Parameters:
    ///   - start: the offset of a record, at least `SegmentFormat.headerBytes`.
    ///   - size: the file's size.
    ///   - listed: offsets of records, as a footer lists them.
    ///   - read: returns the bytes of a range, fewer only if the file is shorter than `size`.
    ///   - visit: is given each whole record with its location.
    public init<E: Error>(
        from start: UInt64 = UInt64(SegmentFormat.headerBytes), size: UInt64, segment: UInt32, listed: [UInt32] = [],
        read: (_ offset: UInt64, _ count: Int) throws(E) -> [UInt8], visit: (SegmentLocation, SegmentRecord) throws(E) -> Void
    ) throws(E) {
        var damage: [Damage] = []
        /// Behind a length that may be wrong itself: damage only if there is a record further on.
        var guessed: [Damage] = []
        var isGuess = false
        var (offset, end, isSealed) = (start, start, false)
        var listed = Set(listed).sorted()[...]
        while offset < size {
            let scan = try SegmentScanner.scan(
                from: offset, size: size, segment: segment, read: read,
                visit: { (location, record) throws(E) in
                    end = location.end
                    try visit(location, record)
                })
            isSealed = scan.isSealed
            if isSealed || scan.goodBytes > offset {
                damage += guessed
                guessed = []
                isGuess = false
            }
            guard let fault = scan.stoppedBy else { break }
            if isGuess {
                guessed.append(Damage(offset: scan.goodBytes, fault: fault))
            } else {
                damage.append(Damage(offset: scan.goodBytes, fault: fault))
            }
            listed = listed.drop { UInt64($0) <= scan.goodBytes }
            if let next = listed.first {
                offset = UInt64(next)
                guessed = []
                isGuess = false
            } else {
                let framing = try read(scan.goodBytes, SegmentFormat.framingBytes)
                guard let next = SegmentWalk.length(framing), scan.goodBytes + next < size else { break }
                offset = scan.goodBytes + next
                isGuess = true
            }
        }
        (self.damage, self.end, self.isSealed) = (damage, end, isSealed)
    }

    /// What a record's framing says of its length, right or wrong.
    private static func length(_ framing: [UInt8]) -> UInt64? {
        framing.withUnsafeBytes { try? SegmentFormat.readFraming($0) }.map { UInt64(SegmentFormat.framingBytes + $0.bodyBytes) }
    }
}
