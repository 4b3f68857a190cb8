internal import Glibc

/// Why a key file was not written or not read.
public enum KeyFileFault: Error, Equatable, Sendable, CustomStringConvertible {
    /// There is one of that name, which is never overwritten.
    case exists(path: String)
    /// The name is a symbolic link; a key stands under its own name.
    case symbolicLink(path: String)
    /// No ordinary file: a directory, device, pipe or socket.
    case notRegular(path: String)
    /// Others may read or write it; `mode` is its permission bits.
    case openToOthers(path: String, mode: UInt32)
    /// It belongs to another account than ours.
    case foreignOwner(path: String, owner: UInt32)
    /// Larger than any key.
    case tooLarge(path: String, bytes: Int64)
    /// The system refused: the call that failed, and `errno`.
    case system(call: String, path: String, code: Int32)

    public var description: String {
        switch self {
        case .exists(let path): "cannot create key file \(path): it exists; keys are never overwritten"
        case .symbolicLink(let path): "cannot use key file \(path): it is a symbolic link"
        case .notRegular(let path): "cannot use key file \(path): it is no ordinary file"
        case .openToOthers(let path, let mode):
            "cannot use key file \(path): others may use it (mode 0\(String(mode, radix: 8))); run chmod 600 \(path) if nobody has"
        case .foreignOwner(let path, let owner): "cannot use key file \(path): it belongs to user \(owner), not to us"
        case .tooLarge(let path, let bytes): "cannot use key file \(path): \(bytes) bytes is more than any key"
        case .system(let call, let path, let code): "cannot \(call) key file \(path): \(String(cString: strerror(code)))"
        }
    }
}

/// Files that hold private keys: written once, for their owner only, and refused when others could have read them.
public enum KeyFile {
    public static let bytesMax = 1 << 16

    /// Creates the file, mode 0600; when it returns, the bytes and the name are durable.
    /// After a failure no file of that name is left by us.
    public static func create(path: String, contents: [UInt8]) throws(KeyFileFault) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            if errno == EEXIST { throw .exists(path: path) }
            throw .system(call: "create", path: path, code: errno)
        }
        do throws(KeyFileFault) {
            // Whoever gets the file by name before it is written gets an empty one: only its owner may open it at any time.
            try write(contents, to: descriptor, path: path)
            // Some file systems report a failed write only here.
            guard close(descriptor) == 0 else { throw .system(call: "close", path: path, code: errno) }
        } catch {
            unlink(path)
            throw error
        }
        // A crash before this may lose the name; the caller has not been told of success yet.
        try syncDirectory(of: path)
    }

    /// The whole file, if it is ours alone: an ordinary file, no link, no permission for group or world, owned by our effective
    /// user (root reads anyone's).
    public static func read(path: String) throws(KeyFileFault) -> [UInt8] {
        // Non-blocking, so that a pipe in the key's place does not stop the node; it has no effect on ordinary files.
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ELOOP { throw .symbolicLink(path: path) }
            throw .system(call: "open", path: path, code: errno)
        }
        defer { close(descriptor) }
        // The checks are of the opened file, not of the name, which could be exchanged in between.
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .system(call: "stat", path: path, code: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notRegular(path: path) }
        guard status.st_mode & 0o077 == 0 else { throw .openToOthers(path: path, mode: status.st_mode & 0o7777) }
        guard status.st_uid == geteuid() || geteuid() == 0 else { throw .foreignOwner(path: path, owner: status.st_uid) }
        guard status.st_size <= bytesMax else { throw .tooLarge(path: path, bytes: Int64(status.st_size)) }
        return try readAll(descriptor, path: path)
    }

    private static func write(_ contents: [UInt8], to descriptor: CInt, path: String) throws(KeyFileFault) {
        // The umask can only have taken bits away, but without the owner's read bit the key would be lost at the next start.
        guard fchmod(descriptor, 0o600) == 0 else { throw closing(descriptor, "chmod", path) }
        var rest = contents[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw closing(descriptor, "write", path) }
            rest = rest.dropFirst(count)
        }
        guard fsync(descriptor) == 0 else { throw closing(descriptor, "sync", path) }
    }

    private static func closing(_ descriptor: CInt, _ call: String, _ path: String) -> KeyFileFault {
        let fault = KeyFileFault.system(call: call, path: path, code: errno)
        close(descriptor)
        return fault
    }

    private static func readAll(_ descriptor: CInt, path: String) throws(KeyFileFault) -> [UInt8] {
        var contents: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .system(call: "read", path: path, code: errno) }
            guard count > 0 else { return contents }
            contents += buffer[..<count]
            // It may have grown since the check.
            guard contents.count <= bytesMax else { throw .tooLarge(path: path, bytes: Int64(contents.count)) }
        }
    }

    private static func syncDirectory(of path: String) throws(KeyFileFault) {
        let parts = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[..<$0]) }
        let directory = parts.map { $0.isEmpty ? "/" : $0 } ?? "."
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system(call: "open the directory of", path: path, code: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .system(call: "sync the directory of", path: path, code: errno) }
    }
}
