// The real disk. Every call names its file below one directory descriptor, so the tree stays ours when the path to it changes.
internal import CLinux

#if canImport(Glibc)
    internal import Glibc
#endif

/// A directory of the machine's file system. Symbolic links are followed nowhere below it in the last segment of a path.
public final class PosixDisk: Disk {
    private let root: Int32
    /// For messages.
    private let rootPath: String

    /// Opens the directory `root`, which exists.
    public init(root path: String) throws(DiskFault) {
        rootPath = path
        root = try PosixDisk.retrying(.open, path) { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    }

    deinit { Glibc.close(root) }

    public func create(_ path: String) throws(DiskFault) -> any DiskFile {
        try file(.create, path, O_RDWR | O_CREAT | O_EXCL)
    }

    public func open(_ path: String, writable: Bool) throws(DiskFault) -> any DiskFile {
        try file(.open, path, writable ? O_RDWR : O_RDONLY)
    }

    private func file(_ action: DiskFault.Action, _ path: String, _ flags: Int32) throws(DiskFault) -> any DiskFile {
        let descriptor = try call(action, path) { openat(root, path, flags | O_CLOEXEC | O_NOFOLLOW, 0o600) }
        return PosixFile(descriptor: descriptor, path: shown(path))
    }

    public func rename(_ path: String, to target: String) throws(DiskFault) {
        try call(.rename, path) { renameat(root, path, root, target) }
    }

    public func remove(_ path: String) throws(DiskFault) {
        try call(.remove, path) { unlinkat(root, path, 0) }
    }

    public func makeDirectory(_ path: String) throws(DiskFault) {
        guard !path.isEmpty else { return }
        if try status(path)?.isDirectory == true { return }
        try makeDirectory(path.directory)
        do {
            try call(.makeDirectory, path) { mkdirat(root, path, 0o700) }
        } catch .exists {
            // Somebody else made it meanwhile. A file of that name shows when it is used.
        }
        try syncDirectory(path.directory)
    }

    public func syncDirectory(_ path: String) throws(DiskFault) {
        let descriptor = try openDirectory(.syncDirectory, path)
        defer { Glibc.close(descriptor) }
        guard PosixDisk.uninterrupted({ fsync(descriptor) }) == 0 else { throw .syncFailed(path: shown(path), code: errno) }
    }

    public func list(_ path: String) throws(DiskFault) -> [String] {
        let descriptor = try openDirectory(.list, path)
        guard let stream = fdopendir(descriptor) else {
            let code = errno
            Glibc.close(descriptor)
            throw DiskFault(.list, path: shown(path), code: code)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw DiskFault(.list, path: shown(path), code: errno) }
                return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { name in
                name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
    }

    public func status(_ path: String) throws(DiskFault) -> DiskStatus? {
        var status = stat()
        do {
            try call(.status, path) { fstatat(root, path.isEmpty ? "." : path, &status, AT_SYMLINK_NOFOLLOW) }
        } catch .notFound {
            return nil
        }
        return DiskStatus(size: UInt64(status.st_size), isDirectory: status.st_mode & S_IFMT == S_IFDIR)
    }

    public func freeBytes() throws(DiskFault) -> UInt64 {
        var status = statvfs()
        try call(.status, "") { fstatvfs(root, &status) }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize)
    }

    // MARK: - Calls

    private func openDirectory(_ action: DiskFault.Action, _ path: String) throws(DiskFault) -> Int32 {
        try call(action, path) { openat(root, path.isEmpty ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) }
    }

    private func shown(_ path: String) -> String { path.isEmpty ? rootPath : rootPath + "/" + path }

    @discardableResult
    private func call(_ action: DiskFault.Action, _ path: String, _ body: () -> Int32) throws(DiskFault) -> Int32 {
        try PosixDisk.retrying(action, shown(path), body)
    }

    private static func retrying(_ action: DiskFault.Action, _ path: String, _ body: () -> Int32) throws(DiskFault) -> Int32 {
        let result = uninterrupted(body)
        guard result >= 0 else { throw DiskFault(action, path: path, code: errno) }
        return result
    }

    static func uninterrupted<T: SignedInteger>(_ body: () -> T) -> T {
        while true {
            let result = body()
            if result >= 0 || errno != EINTR { return result }
        }
    }
}

private final class PosixFile: DiskFile {
    private let descriptor: Int32
    private let path: String
    private let isInMemory: Bool

    init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
        isInMemory = hansa_is_in_memory(descriptor) == 1
    }

    deinit { Glibc.close(descriptor) }

    func write(_ parts: [UnsafeRawBufferPointer], at offset: UInt64) throws(DiskFault) {
        let vectors = parts.filter { $0.count > 0 }.map {
            iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count)
        }
        let total = parts.reduce(0) { $0 + $1.count }
        let done = try transfer(.write, vectors, at: offset) { vectors, count, at in pwritev(descriptor, vectors, count, at) }
        // A write that accepts nothing, without an error, would loop for ever.
        guard done == total else { throw .failed(.write, path: path, code: EIO) }
    }

    func read(into parts: [UnsafeMutableRawBufferPointer], at offset: UInt64) throws(DiskFault) -> Int {
        let vectors = parts.filter { $0.count > 0 }.map { iovec(iov_base: $0.baseAddress, iov_len: $0.count) }
        return try transfer(.read, vectors, at: offset) { vectors, count, at in preadv(descriptor, vectors, count, at) }
    }

    /// Repeats a vectored call until everything is through, or a call moves nothing.
    private func transfer(
        _ action: DiskFault.Action, _ vectors: [iovec], at offset: UInt64, _ call: (UnsafePointer<iovec>?, Int32, off_t) -> Int
    ) throws(DiskFault) -> Int {
        var vectors = vectors[...]
        var done = 0
        while !vectors.isEmpty {
            let moved = vectors.prefix(PosixFile.vectorsMax).withUnsafeBufferPointer { buffer in
                PosixDisk.uninterrupted { call(buffer.baseAddress, Int32(buffer.count), off_t(offset) + off_t(done)) }
            }
            guard moved >= 0 else { throw DiskFault(action, path: path, code: errno) }
            guard moved > 0 else { return done }
            done += moved
            var left = moved
            while let first = vectors.first, left > 0 {
                if left >= first.iov_len {
                    left -= first.iov_len
                    vectors.removeFirst()
                } else {
                    vectors[vectors.startIndex] = iovec(iov_base: first.iov_base + left, iov_len: first.iov_len - left)
                    left = 0
                }
            }
        }
        return done
    }

    /// IOV_MAX.
    private static let vectorsMax = 1024

    func sync() throws(DiskFault) {
        guard PosixDisk.uninterrupted({ fdatasync(descriptor) }) == 0 else { throw .syncFailed(path: path, code: errno) }
    }

    func reserve(_ length: UInt64) throws(DiskFault) {
        // tmpfs would zero each page, to be written over at once (0.5 s a GiB): there it is enough that the room is free. Who takes it
        // meanwhile makes the write fail with the same error.
        if isInMemory {
            let short = missing(for: length)
            if short > 0 { throw .noSpace(.reserve, path: path, missing: short) }
            return
        }
        let result = hansa_allocate(descriptor, 0, Int64(length), 1)
        switch result {
        case 0, -EOPNOTSUPP, -ENOSYS: return
        // At least one: the file system has just said that it is not enough.
        case -ENOSPC, -EDQUOT: throw .noSpace(.reserve, path: path, missing: max(1, missing(for: length)))
        default: throw .failed(.reserve, path: path, code: -result)
        }
    }

    /// How many bytes the file system is short of, to hold the file at `length`.
    private func missing(for length: UInt64) -> UInt64 {
        var file = stat()
        var system = statvfs()
        guard fstat(descriptor, &file) == 0, fstatvfs(descriptor, &system) == 0 else { return 0 }
        // A tmpfs without a limit has no blocks to count.
        guard system.f_blocks > 0 else { return 0 }
        let needed = length - min(length, UInt64(file.st_blocks) * 512)
        let free = UInt64(system.f_bavail) * UInt64(system.f_frsize)
        return needed - min(needed, free)
    }

    func truncate(to length: UInt64) throws(DiskFault) {
        guard PosixDisk.uninterrupted({ ftruncate(descriptor, off_t(length)) }) == 0 else {
            throw DiskFault(.truncate, path: path, code: errno)
        }
    }

    func beginWriteback(_ offset: UInt64, _ length: UInt64) {
        // Advice only: where it fails, sync does the work.
        _ = hansa_begin_writeback(descriptor, Int64(offset), Int64(length))
    }

    func forget(_ offset: UInt64, _ length: UInt64) {
        // Advice only: where it fails, the read may come from memory.
        _ = posix_fadvise(descriptor, off_t(offset), off_t(length), POSIX_FADV_DONTNEED)
    }

    func size() throws(DiskFault) -> UInt64 {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw DiskFault(.status, path: path, code: errno) }
        return UInt64(status.st_size)
    }
}
