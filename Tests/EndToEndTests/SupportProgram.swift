// Runs the built `hansa` as real processes, each with a deadline, and reads what it prints.
import Foundation
import Glibc
import Synchronization

/// How a command ended and what it printed.
struct Outcome: CustomStringConvertible {
    let command: String
    let status: Int32
    let output: String
    let messages: String

    var json: Document { Document(text: output) }
    var description: String {
        "\(command)\n  exit \(status)\n  stdout: \(output.prefix(2000))\n  stderr: \(messages.prefix(2000))"
    }
}

/// A JSON document, read leniently: what is not there is nil, and the test's expectation says the rest.
struct Document {
    let value: Any?

    init(text: String) { value = try? JSONSerialization.jsonObject(with: Data(text.utf8), options: [.fragmentsAllowed]) }
    private init(_ value: Any?) { self.value = value }

    subscript(_ key: String) -> Document { Document((value as? [String: Any])?[key]) }
    subscript(_ place: Int) -> Document { Document(array.indices.contains(place) ? array[place].value : nil) }
    var array: [Document] { (value as? [Any])?.map { Document($0) } ?? [] }
    var text: String? { value as? String }
    var integer: Int? { (value as? NSNumber)?.intValue }
    var bool: Bool? { (value as? NSNumber)?.boolValue }
}

struct TestFault: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

enum Program {
    /// The program under test: $HANSA, else the one beside the test bundle.
    static let path: String = {
        if let given = ProcessInfo.processInfo.environment["HANSA"] { return given }
        let bundle = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return URL(filePath: bundle).deletingLastPathComponent().appending(path: "hansa").path
    }()

    /// The repository, by where this file lies.
    static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let data = repository.appending(path: "deploy/demo-data")

    /// Starts a process with stdout and stderr in files; the caller waits for it or kills it.
    static func start(
        _ executable: String, _ arguments: [String], in directory: URL, output: URL, messages: URL,
        environment more: [String: String] = [:]
    ) throws -> RunningProcess {
        let process = Process()
        process.executableURL = URL(filePath: executable)
        process.arguments = arguments
        process.currentDirectoryURL = directory
        var environment = ProcessInfo.processInfo.environment
        for name in ["HANSA_HOME", "HANSA"] { environment[name] = nil }
        environment["NO_COLOR"] = "1"
        environment.merge(more) { $1 }
        process.environment = environment
        for file in [output, messages] { _ = FileManager.default.createFile(atPath: file.path, contents: nil) }
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: messages)
        process.standardInput = FileHandle.nullDevice
        return try RunningProcess(process)
    }

    /// Runs to the end; a process that outlives its deadline is killed, and that is an error of the test.
    static func run(
        _ executable: String, _ arguments: [String], in directory: URL, seconds: Double = 60,
        environment: [String: String] = [:]
    ) throws -> Outcome {
        let stem = directory.appending(path: ".run-\(UUID().uuidString)")
        let output = stem.appendingPathExtension("out")
        let messages = stem.appendingPathExtension("err")
        defer { for file in [output, messages] { try? FileManager.default.removeItem(at: file) } }
        let running = try start(
            executable, arguments, in: directory, output: output, messages: messages, environment: environment)
        let shown = ([URL(filePath: executable).lastPathComponent] + arguments).joined(separator: " ")
        guard let status = running.wait(seconds: seconds) else {
            running.signal(SIGKILL)
            throw TestFault("\(shown) did not end within \(seconds) s; it had said: \(text(output)) \(text(messages))")
        }
        return Outcome(command: shown, status: status, output: text(output), messages: text(messages))
    }

    static func text(_ file: URL) -> String { (try? Data(contentsOf: file)).map { String(decoding: $0, as: UTF8.self) } ?? "" }
}

/// A child of ours, waited for with a deadline and signalled by its own id.
final class RunningProcess {
    private let process: Process
    private let ended = DispatchSemaphore(value: 0)
    let id: Int32

    init(_ process: Process) throws {
        self.process = process
        let ended = ended
        process.terminationHandler = { _ in ended.signal() }
        try process.run()
        id = process.processIdentifier
    }

    var isRunning: Bool { process.isRunning }

    /// The exit status, or 128 + the signal that ended it; nil when it still runs after `seconds`.
    func wait(seconds: Double) -> Int32? {
        guard ended.wait(timeout: .now() + seconds) == .success else { return nil }
        ended.signal()  // for the next caller
        return process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
    }

    func signal(_ number: Int32) { if process.isRunning { _ = kill(id, number) } }
}

/// Waits for a condition, looked at 20 times a second; throws what it waited for when it does not come.
func eventually(_ what: String, within seconds: Double = 45, _ condition: () throws -> Bool) throws {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while true {
        if try condition() { return }
        guard ContinuousClock.now < deadline else { throw TestFault("still not after \(seconds) s: \(what)") }
        usleep(50_000)
    }
}
