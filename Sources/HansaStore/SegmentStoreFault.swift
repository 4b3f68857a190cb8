public import HansaContent

/// What a segment store could not do.
public enum SegmentStoreFault: Error, Hashable, Sendable {
    /// The append was refused and left no trace. `bytesMissing` more would have been enough, as far as the file system says.
    case noSpace(bytesMissing: UInt64)
    /// A record does not hold what was written.
    case damaged(segment: UInt32, offset: UInt64, SegmentFault)
    /// The database names segments, and not one file is there: another directory than it should be, as when a disk is not mounted.
    case nothingThere(segments: Int)
    case disk(DiskFault)
    /// An fsync failed before: nothing more is written, and nothing is acknowledged. The process must stop.
    case stopped

    /// Whether the process must stop rather than go on.
    public var isFatal: Bool {
        switch self {
        case .stopped: true
        case .disk(let fault): fault.isFatal
        case .noSpace, .damaged, .nothingThere: false
        }
    }

    init(_ fault: DiskFault) {
        if case .noSpace(_, _, let missing) = fault { self = .noSpace(bytesMissing: missing) } else { self = .disk(fault) }
    }
}

extension SegmentStoreFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noSpace(let missing): "the disk is full" + (missing > 0 ? ": \(missing) bytes are missing" : "")
        case .damaged(let segment, let offset, let fault): "segment \(segment) is damaged at byte \(offset): \(fault)"
        case .nothingThere(let segments):
            "not one of the \(segments) segments that the database names is there: is the disk that has them mounted?"
        case .disk(let fault): fault.description
        case .stopped: "an earlier fsync failed, so nothing more is written"
        }
    }
}
