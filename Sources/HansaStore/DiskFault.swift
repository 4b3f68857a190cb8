#if canImport(Glibc)
    internal import Glibc
#endif

/// What a disk could not do.
public enum DiskFault: Error, Hashable, Sendable {
    public enum Action: String, Hashable, Sendable {
        case create, open, read, write, reserve, truncate, rename, remove, list, status
        case makeDirectory = "make directory"
        case syncDirectory = "synchronise directory"
        case sync = "synchronise"
    }

    case notFound(Action, path: String)
    case exists(path: String)
    /// `missing` bytes more would have been enough, as far as the file system says.
    case noSpace(Action, path: String, missing: UInt64)
    case tooLarge(path: String, size: UInt64, limit: Int)
    /// An fsync failed: what was written may be lost, and a second fsync would claim that it is not. The process must stop.
    case syncFailed(path: String, code: Int32)
    case failed(Action, path: String, code: Int32)

    /// The disk has the file and does not give what it holds at this place: a dead sector, or a checksum of the file system that does not match.
    public var isUnreadable: Bool {
        guard case .failed(.read, _, let code) = self else { return false }
        return [EIO, ENODATA, EILSEQ, EBADMSG, Self.needsCleaning].contains(code)
    }
    /// EUCLEAN, which XFS and ext4 give for metadata that is damaged.
    private static let needsCleaning: Int32 = 117

    init(_ action: Action, path: String, code: Int32) {
        switch code {
        case ENOENT: self = .notFound(action, path: path)
        case EEXIST: self = .exists(path: path)
        case ENOSPC, EDQUOT: self = .noSpace(action, path: path, missing: 0)
        default: self = .failed(action, path: path, code: code)
        }
    }

    /// Whether the process must stop rather than go on.
    public var isFatal: Bool { if case .syncFailed = self { true } else { false } }
}

extension DiskFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notFound(let action, let path): "cannot \(action.rawValue) \(path): it does not exist"
        case .exists(let path): "cannot create \(path): it exists already"
        case .noSpace(let action, let path, let missing):
            "cannot \(action.rawValue) \(path): the disk is full" + (missing > 0 ? ", \(missing) bytes are missing" : "")
        case .tooLarge(let path, let size, let limit):
            "cannot read \(path): it has \(size) bytes, and at most \(limit) are expected"
        case .syncFailed(let path, let code):
            "cannot synchronise \(path): \(Self.text(code)); what was written may be lost, so the node stops"
        case .failed(let action, let path, let code): "cannot \(action.rawValue) \(path): \(Self.text(code))"
        }
    }

    private static func text(_ code: Int32) -> String { strerror(code).map { String(cString: $0) } ?? "error \(code)" }
}
