// What a directory holds, as its owner's `lstat` saw it. This room never opens a file: callers list and read for it.
public import HansaCore

/// One name below a directory.
public struct DirectoryEntry: Sendable, Equatable {
    public enum Kind: UInt8, Sendable { case file = 0, directory = 1, symlink = 2, other = 3 }

    /// Relative to the directory, with `/` between segments.
    public let path: String
    public let kind: Kind
    /// In bytes.
    public let size: UInt64
    /// mtime, in nanoseconds since 1970.
    public let modified: Int64
    /// ctime, in nanoseconds since 1970.
    public let changed: Int64
    public let inode: UInt64
    public let device: UInt64

    public init(
        path: String, kind: Kind = .file, size: UInt64, modified: Int64 = 0, changed: Int64 = 0, inode: UInt64 = 0,
        device: UInt64 = 0
    ) {
        self.path = path
        self.kind = kind
        self.size = size
        self.modified = modified
        self.changed = changed
        self.inode = inode
        self.device = device
    }
}

/// A file of a package with what is known of its bytes.
public struct FileDigest: Hashable, Sendable {
    public let path: String
    public let size: UInt64
    public let digest: Digest

    public init(path: String, size: UInt64, digest: Digest) {
        self.path = path
        self.size = size
        self.digest = digest
    }
}
