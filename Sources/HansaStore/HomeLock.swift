// One process a home. The lock is flock(2) on `lock`, so it ends with its process however that ends; what the file says is for people.
internal import CLinux
internal import HansaCore
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#endif

/// Holds a home until it is released or goes out of scope.
public final class HomeLock: Sendable {
    /// Nil once released.
    private let descriptor: Mutex<CInt?>

    private init(descriptor: CInt) { self.descriptor = Mutex(descriptor) }

    deinit { release() }

    /// Lets others have the home. A second call does nothing.
    public func release() {
        if let held = descriptor.withLock({ $0.take() }) { close(held) }
    }

    /// Takes the home, waiting at most `waitMilliseconds` for whoever holds it (10,000 for `serve`, DESIGN.md §5); then throws `.inUse` with the
    /// holder's pid and command. `command` is what others are told about us.
    public static func acquire(_ paths: HomePaths, command: String, waitMilliseconds: Int) throws(HomeFault) -> HomeLock {
        let descriptor = open(paths.lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw errno == ENOENT ? .missing(paths.home) : .failed("open", paths.lock, errno) }
        let lock = HomeLock(descriptor: descriptor)
        let start = now()
        while true {
            let result = hansa_flock(descriptor)
            if result == 0 { break }
            guard result == -EWOULDBLOCK || result == -EINTR else { throw .failed("lock", paths.lock, -result) }
            guard now() - start < waitMilliseconds else {
                let holder = HomeLock.holder(descriptor)
                throw .inUse(home: paths.home, pid: holder.pid, command: holder.command)
            }
            usleep(20_000)
        }
        try sign(command, descriptor, paths.lock)
        return lock
    }

    /// Who holds a home now, by what it wrote; nil when nobody does. Takes nothing.
    public static func holder(of paths: HomePaths) -> (pid: Int32?, command: String?)? {
        let descriptor = open(paths.lock, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return hansa_flock(descriptor) == 0 ? nil : HomeLock.holder(descriptor)
    }

    private static func sign(_ command: String, _ descriptor: CInt, _ path: String) throws(HomeFault) {
        let text = Array("\(getpid())\n\(command.printable())\n".utf8)
        guard ftruncate(descriptor, 0) == 0,
            text.withUnsafeBytes({ pwrite(descriptor, $0.baseAddress, $0.count, 0) }) == text.count
        else {
            throw .failed("write", path, errno)
        }
    }

    private static func holder(_ descriptor: CInt) -> (pid: Int32?, command: String?) {
        var bytes = [UInt8](repeating: 0, count: 512)
        let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
        let lines = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split(separator: "\n", maxSplits: 2)
        return (lines.first.flatMap { Int32($0) }, lines.count > 1 ? String(lines[1]) : nil)
    }

    private static func now() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}
