// Lists a directory of the user as `lstat` sees it: names relative to it, symbolic links not followed, nothing opened but directories.
internal import Glibc
internal import HansaCore
internal import HansaNode

struct DirectoryWalker {
    /// Below this no package goes (CLI.md §17 bounds names, ATTACKS.md asks for paths of 4 KiB).
    static let depthMax = 128

    /// Whether to look into directories whose name starts with a dot. They are listed themselves in any case; publishing leaves them out
    /// (CLI.md), and a `.git` may be larger than all the rest.
    let entersHidden: Bool
    /// Names that are left out, at any depth; it is given the directory they are in.
    var skips: (CInt, String) -> Bool = { _, _ in false }
    /// The directory in which the last one stood: its neighbours are found from there.
    private let parent = OpenedParent()

    init(entersHidden: Bool) { self.entersHidden = entersHidden }

    init(entersHidden: Bool, skips: @escaping (CInt, String) -> Bool) {
        self.entersHidden = entersHidden
        self.skips = skips
    }

    /// The listing of the directory at an absolute path. The moment it began is by the clock that stamps files: a file that changes later
    /// carries that time or a later one.
    func list(_ path: String, number: Int, derivedName: String?) throws(Problem) -> DirectoryListing {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &now)
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
        let root = FileFault.call {
            if let (above, name) = parent.parent(of: path) { openat(above, name, flags) } else { Glibc.open(path, flags) }
        }
        guard root >= 0 else {
            throw root == -ENOTDIR
                ? Problem(
                    .fileUnreadable, "\(path.printable(charactersMax: 300)) is no directory",
                    try: "name directories: a package is one")
                : FileFault.problem("read", path, -root)
        }
        var entries: [FileStat] = []
        try walk(root, prefix: "", root: path, depth: 0, into: &entries)
        return DirectoryListing(
            number: number, path: path, derivedName: derivedName, listedAt: Self.nanoseconds(now), entries: entries)
    }

    /// Takes the descriptor over.
    func walk(_ descriptor: CInt, prefix: String, root: String, depth: Int, into entries: inout [FileStat]) throws(Problem) {
        guard let stream = fdopendir(descriptor) else {
            let code = errno
            close(descriptor)
            throw FileFault.problem("read", root + "/" + prefix, code)
        }
        defer { closedir(stream) }
        guard depth <= Self.depthMax else {
            throw Problem(
                .limitExceeded, "\(root.printable())/\(prefix.printable()) is more than \(Self.depthMax) directories deep")
        }
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw FileFault.problem("read", root + "/" + prefix, errno) }
                return
            }
            guard let name = try Self.name(of: entry, in: root + "/" + prefix), !skips(descriptor, name) else { continue }
            guard entries.count < WireLimits.entriesMax else {
                throw Problem(
                    .limitExceeded, "\(root.printable()) holds more than \(WireLimits.entriesMax) files and directories")
            }
            var status = stat()
            let path = prefix.isEmpty ? name : prefix + "/" + name
            guard path.utf8.count <= WireLimits.pathBytesMax else {
                throw Problem(.limitExceeded, "a path below \(root.printable()) is longer than \(WireLimits.pathBytesMax) bytes")
            }
            guard fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
                // Gone between readdir and here: a listing shows what stands, so it is left out.
                if errno == ENOENT { continue }
                throw FileFault.problem("read", root + "/" + path, errno)
            }
            entries.append(Self.entry(path, status))
            guard status.st_mode & S_IFMT == S_IFDIR, entersHidden || name.utf8.first != 0x2E else { continue }
            let below = FileFault.call { openat(descriptor, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
            if below == -ENOENT { continue }
            guard below >= 0 else { throw FileFault.problem("read", root + "/" + path, -below) }
            try walk(below, prefix: path, root: root, depth: depth + 1, into: &entries)
        }
    }

    /// Nil for `.` and `..`. A name that is not UTF-8 has no place in a package or a manifest: it is refused, with its bytes shown.
    private static func name(of entry: UnsafeMutablePointer<dirent>, in directory: String) throws(Problem) -> String? {
        // The name ends with NUL inside the record, which may be longer or shorter than the type's 256 bytes.
        let start = UnsafeRawPointer(entry).advanced(by: MemoryLayout<dirent>.offset(of: \dirent.d_name) ?? 19)
        let bytes = UnsafeRawBufferPointer(start: start, count: strlen(start.assumingMemoryBound(to: CChar.self)))
        if bytes.count <= 2, bytes.allSatisfy({ $0 == 0x2E }) { return nil }
        guard let name = String(validating: bytes, as: UTF8.self) else {
            throw Problem(
                .fileUnsafe,
                "\(directory.printable()) holds a name that is not UTF-8: \(String(decoding: bytes, as: UTF8.self).printable())",
                try: "rename the file")
        }
        return name
    }

    static func entry(_ path: String, _ status: stat) -> FileStat {
        let kind: FileStat.Kind =
            switch status.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .directory
            case S_IFLNK: .symlink
            default: .other
            }
        return FileStat(
            path: path, kind: kind, size: kind == .file ? UInt64(max(0, status.st_size)) : 0,
            modified: nanoseconds(status.st_mtim),
            changed: nanoseconds(status.st_ctim), inode: UInt64(status.st_ino), device: UInt64(status.st_dev))
    }

    private static func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec) }
}
