import Foundation
import HansaCrypto
import NIOCore
import NIOPosix

/// The system's `openssl` as a partner on the loopback interface. Each process is ended by its id, at the latest after 20 seconds.
final class OpenSSLProcess {
    static let path = ["/usr/bin/openssl", "/usr/local/bin/openssl"].first { FileManager.default.isExecutableFile(atPath: $0) }
    static var exists: Bool { path != nil }
    static let durationMax = 20.0

    private let process = Process()
    private let input = Pipe()
    private let outputFile: URL
    private let exit: EventLoopFuture<Int32>

    /// Starts `openssl arguments` with `input` on its standard input, which ends after that unless `keepsInput`.
    init(_ arguments: [String], input text: String, keepsInput: Bool = false, in directory: Directory) throws {
        outputFile = directory.url.appending(path: "output-\(UUID().uuidString)")
        try Data().write(to: outputFile)
        let output = try FileHandle(forWritingTo: outputFile)
        process.executableURL = URL(filePath: OpenSSLProcess.path ?? "/usr/bin/openssl")
        process.arguments = arguments
        process.currentDirectoryURL = directory.url
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        let promise = MultiThreadedEventLoopGroup.singleton.any().makePromise(of: Int32.self)
        process.terminationHandler = { promise.succeed($0.terminationStatus) }
        exit = promise.futureResult
        try process.run()
        let id = process.processIdentifier
        let deadline = MultiThreadedEventLoopGroup.singleton.any().scheduleTask(in: .seconds(Int64(OpenSSLProcess.durationMax))) {
            _ = kill(id, SIGKILL)
        }
        exit.whenComplete { _ in deadline.cancel() }
        try input.fileHandleForWriting.write(contentsOf: Data(text.utf8))
        if !keepsInput { try input.fileHandleForWriting.close() }
    }

    deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

    /// What it has printed so far, standard output and error together.
    var output: String { String(decoding: (try? Data(contentsOf: outputFile)) ?? Data(), as: UTF8.self) }

    /// Waits for its end.
    @discardableResult
    func ended() async throws -> Int32 { try await exit.get() }

    func stop() async throws {
        kill(process.processIdentifier, SIGKILL)
        try await ended()
    }

    /// The port that `s_server -accept 0` was given, as soon as it says so.
    func port() async throws -> Int {
        struct NoPort: Error { let output: String }
        while process.isRunning {
            let lines = output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            if let line = lines.first(where: { $0.hasPrefix("ACCEPT ") }),
                let port = line.split(separator: ":").last.flatMap({ Int($0) })
            {
                return port
            }
            await Task.yield()
        }
        throw NoPort(output: output)
    }

    /// A directory of this test's, with the identities' files in it; removed in the end.
    final class Directory {
        let url = FileManager.default.temporaryDirectory.appending(path: "hansa-tls-\(UUID().uuidString)")

        init() throws {
            try FileManager.default.createDirectory(
                at: url, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
            for (number, identity) in Pair.identities.enumerated() {
                try KeyFile.create(path: url.appending(path: "\(number).pem").path, contents: identity.pem())
            }
        }

        deinit { try? FileManager.default.removeItem(at: url) }
    }
}
