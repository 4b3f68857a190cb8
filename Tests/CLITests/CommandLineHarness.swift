import FakeNode
import Foundation
import Glibc
import HansaCore
import HansaNode
import Logging
import Synchronization

@testable import HansaAPI

/// What a command printed and how it ended.
struct CommandResult: Sendable {
    let standardOutput: String
    let standardError: String
    let status: Int32
}

/// Runs the built `hansa` in a temporary working directory, against a fake node or none.
final class CommandLineHarness {
    /// Beside the test bundle.
    static let executable: String = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        precondition(count > 0, "no /proc/self/exe")
        let path = String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) + "/hansa"
    }()

    let directory: String
    let home: String
    let services: FakeServices
    private let server: AdminServer?

    init(_ services: FakeServices = FakeServices(), serving: Bool = true, policy: RolePolicy? = nil) throws {
        var template = Array("/tmp/hansa-cli-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw Problem(.inputOutput, "no temporary directory") }
        directory = String(cString: made)
        home = directory + "/home"
        self.services = services
        try FileManager.default.createDirectory(atPath: home + "/run", withIntermediateDirectories: true)
        if serving {
            let policy = policy ?? RolePolicy(owner: geteuid(), rules: [])
            let server = AdminServer(
                services: services, home: home, socketPath: home + "/run/hansa.sock", policy: { policy },
                options: AdminServer.Options(drainMilliseconds: 2000), logger: Logger(label: "test"))
            try server.start()
            self.server = server
        } else {
            server = nil
            try FileManager.default.removeItem(atPath: home)
        }
        try write("auckland.card", "{\"payloadType\":\"card\"}\n")
        try write("exchange.yaml", "schema: hansa.agreement/1\n")
        try write("data/roads/a.csv", "id,name\n1,King St\n")
        try write("data/roads/.hidden", "x")
        try write("data/water/b.csv", "id\n1\n")
        try write("data/empty/c.csv", "")
    }

    deinit {
        server?.stop()
        try? FileManager.default.removeItem(atPath: directory)
    }

    func write(_ name: String, _ text: String) throws {
        let path = directory + "/" + name
        try FileManager.default.createDirectory(
            atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    }

    func text(_ name: String) -> String? {
        FileManager.default.contents(atPath: directory + "/" + name).map { String(decoding: $0, as: UTF8.self) }
    }

    /// `input` becomes stdin, which is no terminal.
    func run(_ arguments: [String], environment: [String: String] = [:], input: String = "") throws -> CommandResult {
        let process = try start(arguments, environment: environment, input: input)
        return process.wait()
    }

    func start(_ arguments: [String], environment: [String: String] = [:], input: String = "") throws -> RunningCommand {
        try RunningCommand(
            arguments, directory: directory,
            environment: ["HANSA_HOME": home, "HOME": directory, "TZ": "UTC", "PATH": "/usr/bin:/bin"].merging(environment) {
                $1
            }, input: input)
    }
}

/// A started command, its output gathered on threads so that neither pipe fills up.
final class RunningCommand {
    private let process = Process()
    private let output: Gathered
    private let error: Gathered

    init(_ arguments: [String], directory: String, environment: [String: String], input: String) throws {
        process.executableURL = URL(fileURLWithPath: CommandLineHarness.executable)
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: directory)
        process.environment = environment
        let inputPipe = Pipe()
        let outputPipe = Pipe()
        let errorPipe = Pipe()
        process.standardInput = inputPipe
        process.standardOutput = outputPipe
        process.standardError = errorPipe
        try process.run()
        output = Gathered(outputPipe.fileHandleForReading)
        error = Gathered(errorPipe.fileHandleForReading)
        // Less than a pipe holds.
        try inputPipe.fileHandleForWriting.write(contentsOf: Data(input.utf8))
        try inputPipe.fileHandleForWriting.close()
    }

    func signal(_ number: Int32) { kill(process.processIdentifier, number) }

    func wait() -> CommandResult {
        let (output, error) = (output.text(), error.text())
        process.waitUntilExit()
        return CommandResult(standardOutput: output, standardError: error, status: process.terminationStatus)
    }

    private final class Gathered: Sendable {
        private let bytes = Mutex<Data?>(nil)
        private let done = NSCondition()

        init(_ handle: FileHandle) {
            let descriptor = dup(handle.fileDescriptor)
            Thread.detachNewThread { [self] in
                var all = Data()
                var buffer = [UInt8](repeating: 0, count: 65_536)
                while case let got = read(descriptor, &buffer, buffer.count), got > 0 { all.append(contentsOf: buffer[..<got]) }
                close(descriptor)
                done.lock()
                bytes.withLock { $0 = all }
                done.broadcast()
                done.unlock()
            }
        }

        func text() -> String {
            done.lock()
            defer { done.unlock() }
            while true {
                if let bytes = bytes.withLock({ $0 }) { return String(decoding: bytes, as: UTF8.self) }
                done.wait()
            }
        }
    }
}
