import CLinux
import FakeNode
import Glibc
import HansaCore
import HansaNode
import Logging

@testable import HansaAPI

/// A directory that is removed with its contents.
final class TemporaryDirectory {
    let path: String

    init() {
        var template = Array("/tmp/hansa-api-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template), let resolved = realpath(made, nil) else {
            preconditionFailure("no temporary directory")
        }
        path = String(cString: resolved)
        free(resolved)
    }

    deinit { TemporaryDirectory.remove(path) }

    @discardableResult func file(_ name: String, _ text: String = "x") -> String {
        let full = path + "/" + name
        makeParents(of: name)
        let descriptor = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        _ = Array(text.utf8).withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        close(descriptor)
        return full
    }

    @discardableResult func directory(_ name: String) -> String {
        makeParents(of: name + "/x")
        return path + "/" + name
    }

    func text(_ name: String) -> String? {
        let descriptor = open(path + "/" + name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return TemporaryDirectory.text(descriptor)
    }

    static func text(_ descriptor: CInt) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let got = read(descriptor, &buffer, buffer.count), got > 0 { bytes += buffer[..<got] }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Names in it, sorted.
    var names: [String] {
        guard let stream = opendir(path) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    private func makeParents(of name: String) {
        var current = path
        for component in name.split(separator: "/").dropLast() {
            current += "/" + component
            mkdir(current, 0o755)
        }
    }

    private static func remove(_ path: String) {
        if let stream = opendir(path) {
            while let entry = readdir(stream) {
                let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
                guard name != ".", name != ".." else { continue }
                var status = stat()
                lstat(path + "/" + name, &status)
                if status.st_mode & S_IFMT == S_IFDIR { remove(path + "/" + name) } else { unlink(path + "/" + name) }
            }
            closedir(stream)
        }
        rmdir(path)
    }
}

/// A running admin server on a socket in a temporary home.
final class ServerFixture {
    let directory = TemporaryDirectory()
    let services: FakeServices
    let server: AdminServer
    let socketPath: String

    init(
        _ services: FakeServices = FakeServices(), options: AdminServer.Options = .init(drainMilliseconds: 2000),
        policy: RolePolicy? = nil,
        socketName: String = "hansa.sock"
    ) throws {
        self.services = services
        socketPath = directory.path + "/" + socketName
        directory.file(socketName + ".parent")
        let policy = policy ?? RolePolicy(owner: geteuid(), rules: [])
        server = AdminServer(
            services: services, home: directory.path, socketPath: socketPath, policy: { policy }, options: options,
            logger: Logger(label: "test"))
        try server.start()
    }

    deinit { server.stop() }

    func client() throws -> AdminClient {
        guard let client = try AdminClient.connect(socketPath: socketPath) else {
            throw Problem(.nodeNotRunning, "nobody listens at \(socketPath)")
        }
        return client
    }

    /// A bare connection for hostile clients.
    func connection() -> FrameChannel { FrameChannel(owning: rawConnection()) }

    func rawConnection() -> CInt {
        let socket = UnixSocket.make()
        let result = hansa_unix_connect(socket, socketPath)
        precondition(result == 0, "cannot connect: \(result)")
        return socket
    }
}

/// The problem that a body throws; nil when it throws none.
func problem(_ body: () throws -> Void) -> Problem? {
    do { try body() } catch let problem as Problem { return problem } catch { return Problem(.internalFault, "\(error)") }
    return nil
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers for a seed on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}
