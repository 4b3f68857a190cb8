// Where a node's files lie (DESIGN.md §6), and with which modes.
internal import CLinux
public import HansaCore

#if canImport(Glibc)
    internal import Glibc
#endif

/// The paths of one home. Pure: nothing is touched before `create` or `check`.
public struct HomePaths: Sendable, Hashable {
    /// Without a slash at its end.
    public let home: String

    public init(_ home: String) {
        var home = home
        while home.count > 1, home.hasSuffix("/") { home.removeLast() }
        self.home = home
    }

    public var configuration: String { home + "/hansa.yaml" }
    public var keys: String { home + "/keys" }
    public var officerKey: String { keys + "/officer.pem" }
    public var packageKey: String { keys + "/package.pem" }
    public var logKey: String { keys + "/log.pem" }
    public var witnessKey: String { keys + "/witness.pem" }
    public var tlsKey: String { keys + "/tls.pem" }
    /// Our own keyring, one file a version.
    public var keyrings: String { home + "/keyring" }
    public func keyring(version: Int) -> String { "\(keyrings)/\(version).dsse.json" }
    public var partners: String { home + "/partners" }
    public func partner(_ city: CityID) -> String { "\(partners)/\(city)" }
    public func keyring(of city: CityID, version: Int) -> String { "\(partner(city))/\(version).dsse.json" }
    public var database: String { home + "/hansa.sqlite" }
    public var segments: String { home + "/segments" }
    public var log: String { home + "/log" }
    /// The files of the log of that number: each that follows another lies below the first, as its name does.
    public func log(_ number: Int) -> String { number == 1 ? log : "\(log)/\(number)" }
    public var run: String { home + "/run" }
    public var socket: String { run + "/hansa.sock" }
    public var lock: String { home + "/lock" }

    /// Everyone may pass through to the socket; nobody may list.
    public static let passableMode: UInt32 = 0o711
    public static let privateMode: UInt32 = 0o700
    /// Roles are decided by the credentials of who connects.
    public static let socketMode: UInt32 = 0o666

    private var directories: [(path: String, mode: UInt32)] {
        [(home, HomePaths.passableMode), (run, HomePaths.passableMode)]
            + [keys, keyrings, partners, segments, log].map { ($0, HomePaths.privateMode) }
    }

    /// Whether a node was set up here: its configuration stands.
    public var isInitialised: Bool { access(configuration, F_OK) == 0 }

    /// Makes the home and its directories where they are missing, then does what `check` does. The parent of the home must exist.
    /// An existing directory may be the home only when it is empty or a home already.
    public func create() throws(HomeFault) {
        if !isInitialised, let names = try HomePaths.names(in: home), !names.isEmpty, !names.allSatisfy(HomePaths.isOurs) {
            throw .notEmpty(home)
        }
        for directory in directories where mkdir(directory.path, mode_t(directory.mode)) != 0 && errno != EEXIST {
            throw errno == ENOENT && directory.path == home
                ? .missing(HomePaths.parent(of: home)) : .failed("make", directory.path, errno)
        }
        try check()
    }

    /// Refuses a home that others could write to, that is a link, or that belongs to someone else (root may use anyone's). Directories of ours
    /// that have another mode get the right one.
    public func check() throws(HomeFault) {
        for directory in directories {
            var status = stat()
            guard lstat(directory.path, &status) == 0 else {
                throw errno == ENOENT ? .missing(directory.path) : .failed("examine", directory.path, errno)
            }
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw .unsafe(
                    directory.path, "it is a \(status.st_mode & S_IFMT == S_IFLNK ? "symbolic link" : "file"), not a directory")
            }
            guard status.st_uid == geteuid() || geteuid() == 0 else {
                throw .unsafe(directory.path, "it belongs to uid \(status.st_uid)")
            }
            let mode = UInt32(status.st_mode) & 0o7777
            guard mode & 0o022 == 0 else {
                throw .unsafe(
                    directory.path, "its mode \(String(mode, radix: 8)) lets others write into it; chmod go-w \(directory.path)")
            }
            if mode != directory.mode, chmod(directory.path, mode_t(directory.mode)) != 0 {
                throw .failed("set the mode of", directory.path, errno)
            }
        }
    }

    /// Gives the bound admin socket its mode.
    public func openSocketToAll() throws(HomeFault) {
        guard chmod(socket, mode_t(HomePaths.socketMode)) == 0 else { throw .failed("set the mode of", socket, errno) }
    }

    // What a creation that was cut off may have left, and what a file system puts into its root.
    private static func isOurs(_ name: String) -> Bool {
        ["keys", "keyring", "partners", "segments", "log", "run", "lock", "lost+found"].contains(name) || name.hasPrefix("hansa.")
    }

    /// Nil where nothing stands at the path.
    private static func names(in path: String) throws(HomeFault) -> [String]? {
        guard let directory = opendir(path) else {
            if errno == ENOENT { return nil }
            throw errno == ENOTDIR ? .unsafe(path, "it is not a directory") : .failed("list", path, errno)
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

/// Why a home cannot be used.
public enum HomeFault: Error, Hashable, Sendable, CustomStringConvertible {
    case missing(String)
    /// A new home would mix with other files.
    case notEmpty(String)
    case unsafe(String, String)
    /// Another process has it; what it wrote into the lock: its pid and its command.
    case inUse(home: String, pid: Int32?, command: String?)
    /// What could not be done, to what, errno.
    case failed(String, String, Int32)

    public var description: String {
        switch self {
        case .missing(let path): return "\(path) does not exist"
        case .notEmpty(let path): return "\(path) has other files in it; a home is a directory of its own"
        case .unsafe(let path, let why): return "\(path) is not safe to use: \(why)"
        case .inUse(let home, let pid, let command):
            let holder = pid.map { "process \($0)" + (command.map { " (\($0.printable()))" } ?? "") } ?? "another process"
            return "the home \(home) is in use by \(holder)"
        case .failed(let action, let path, let code):
            return "cannot \(action) \(path): \(strerror(code).map { String(cString: $0) } ?? "error \(code)")"
        }
    }
}
