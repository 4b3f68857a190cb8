// Small files that a command itself reads and writes: cards, agreements, keys, reports.
internal import Glibc
internal import HansaAPI
internal import HansaCore

enum LocalFile {
    static let bytesMax = 4 * 1024 * 1024

    /// A text file, or stdin for `-`.
    static func text(_ path: String) throws(Problem) -> String {
        let bytes = try read(path)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Problem(.fileUnreadable, "\(path.printable()) is not UTF-8 text")
        }
        return text
    }

    /// A secret: no link, owned by us or root, closed to group and others. `-` is stdin.
    static func secret(_ path: String) throws(Problem) -> [UInt8] {
        if path == "-" { return try read(path) }
        let file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else { throw fault("read", path) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw Problem(.keyUnsafe, "\(path.printable()) is no regular file")
        }
        guard status.st_uid == geteuid() || status.st_uid == 0 || geteuid() == 0 else {
            throw Problem(.keyUnsafe, "\(path.printable()) belongs to another account")
        }
        guard status.st_mode & 0o077 == 0 else {
            throw Problem(.keyUnsafe, "\(path.printable()) may be read by others", try: "chmod 600 \(path)")
        }
        return try read(file, path)
    }

    static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    /// Writes a new file, durable when it returns; over an existing one only with `replacing`.
    static func write(_ text: String, to path: String, replacing: Bool = false) throws(Problem) {
        let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (replacing ? O_TRUNC : O_EXCL), 0o666)
        guard file >= 0 else {
            if errno == EEXIST {
                throw Problem(
                    .fileUnreadable, "\(path.printable()) exists already, and is not overwritten",
                    try: "remove it, or write elsewhere")
            }
            throw fault("write", path)
        }
        defer { close(file) }
        let bytes = Array(text.utf8)
        var start = 0
        while start < bytes.count {
            let written = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress.map { $0 + start }, bytes.count - start) }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw fault("write", path) }
            start += written
        }
        guard fsync(file) == 0 || errno == EINVAL else { throw fault("write", path) }
    }

    private static func read(_ path: String) throws(Problem) -> [UInt8] {
        if path == "-" { return try read(STDIN_FILENO, "stdin") }
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw fault("read", path) }
        defer { close(file) }
        return try read(file, path)
    }

    private static func read(_ file: CInt, _ path: String) throws(Problem) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let got = Glibc.read(file, &buffer, buffer.count)
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw fault("read", path) }
            if got == 0 { return bytes }
            bytes.append(contentsOf: buffer[..<got])
            guard bytes.count <= bytesMax else {
                throw Problem(.limitExceeded, "\(path.printable()) is larger than \(bytesMax >> 20) MiB")
            }
        }
    }

    private static func fault(_ doing: String, _ path: String) -> Problem {
        Problem(
            errno == ENOSPC ? .diskFull : .fileUnreadable,
            "cannot \(doing) \(path.printable()): \(String(cString: strerror(errno)).lowercased())")
    }
}
