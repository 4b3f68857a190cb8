// Cities for the tests: a temporary home each, a real node on a port of loopback, and the commands of its administrator.
import Foundation
import Glibc
import Testing

/// A temporary directory with some cities; everything in it ends with it.
final class World {
    let directory: URL
    private(set) var cities: [City] = []

    init() throws {
        // Short, for a socket's path has about 100 bytes; not below /tmp/<user>, for another account is to reach it in one test.
        directory = URL(filePath: "/tmp").appending(path: "hansa-e2e-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
    }

    deinit {
        for city in cities { city.process?.signal(SIGKILL) }
        for city in cities { _ = city.process?.wait(seconds: 10) }
        if ProcessInfo.processInfo.environment["HANSA_E2E_KEEP"] == nil { try? FileManager.default.removeItem(at: directory) }
    }

    /// A city with a home, serving on a port of its own when `serves`: on loopback, or on a host of its own. One that does not advertise can dial
    /// and cannot be dialled.
    func city(_ id: String, serves: Bool = true, on host: HostNetwork.Host? = nil, advertises: Bool = true) throws -> City {
        let city = City(id, in: directory, prefix: host?.prefix ?? [])
        cities.append(city)
        // Another process may take the port between choosing and serving: then a new home with another one.
        for _ in 0..<5 {
            try? FileManager.default.removeItem(at: city.home)
            city.port = try freePort()
            let address = "\(host?.address ?? "127.0.0.1"):\(city.port)"
            try city.hansa(
                ["init", "--city", id, "--name", "City of \(id)", "--listen", address]
                    + (advertises ? ["--advertise", address] : []))
            guard serves else { return city }
            if try city.tryToServe() { return city }
        }
        throw TestFault("\(id) found no port in five attempts: \(city.log)")
    }

    /// Two cities that know each other, by cards and fingerprints.
    func introduce(_ first: City, _ second: City) throws {
        for (one, other) in [(first, second), (second, first)] {
            let card = directory.appending(path: "\(one.id).card")
            try Data(one.hansa(["city", "card"]).output.utf8).write(to: card)
            let fingerprint = try #require(try one.hansa(["city", "show", "--json"]).json["fingerprint"].text)
            try other.hansa(["partner", "add", card.path, "--fingerprint", fingerprint])
        }
    }

    /// An agreement of the template, edited, proposed by `first` and accepted by `second`: its id.
    func agree(_ first: City, _ second: City, edit: (String) -> String = { $0 }) throws -> String {
        let file = directory.appending(path: "agreement-\(first.id)-\(second.id).yaml")
        try first.hansa(["agreement", "new", "--template", "city-exchange", "--with", second.id, "--out", file.path])
        try edit(String(contentsOf: file, encoding: .utf8)).write(to: file, atomically: true, encoding: .utf8)
        let id = try #require(try first.hansa(["agreement", "propose", file.path, "--json"]).json["id"].text)
        try eventually("\(second.id) has the proposal") { try second.agreementState(id) == "proposed" }
        try second.hansa(["agreement", "accept", id, "--yes"])
        try eventually("\(first.id) knows of the signature") { try first.agreementState(id) == "active" }
        return id
    }

    /// A directory with a copy of one of the demo's datasets, to publish and change.
    func dataset(_ name: String, as copy: String? = nil) throws -> URL {
        let target = directory.appending(path: copy ?? name)
        try FileManager.default.copyItem(at: Program.data.appending(path: name), to: target)
        return target
    }

    private func freePort() throws -> Int {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { throw TestFault("no socket: \(errno)") }
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { general in
                bind(socket, general, length) == 0 ? getsockname(socket, general, &length) : -1
            }
        }
        guard result == 0 else { throw TestFault("no free port: \(errno)") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

final class City {
    let id: String
    let home: URL
    fileprivate(set) var port = 0
    private(set) var process: RunningProcess?
    /// Beside the tests' own, for its commands and its node.
    var environment: [String: String] = [:]
    private let directory: URL
    /// What the node is started with: nothing, or how to enter its host.
    private let prefix: [String]
    private var starts = 0

    fileprivate init(_ id: String, in directory: URL, prefix: [String]) {
        self.id = id
        self.directory = directory
        self.prefix = prefix
        home = directory.appending(path: id)
    }

    // MARK: Commands

    /// Runs a command of this city's administrator, from the world's directory. The test fails when it ends otherwise than `expecting`.
    @discardableResult
    func hansa(
        _ arguments: [String], expecting status: Int32 = 0, seconds: Double = 60,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Outcome {
        let outcome = try run(arguments, seconds: seconds)
        guard outcome.status == status else {
            Issue.record(
                "expected exit \(status) from \(id): \(outcome)\n  node: \(log.suffix(1500))", sourceLocation: sourceLocation)
            throw TestFault("\(outcome.command): exit \(outcome.status)")
        }
        return outcome
    }

    /// The same with any exit code.
    func run(_ arguments: [String], seconds: Double = 60) throws -> Outcome {
        try Program.run(
            Program.path, arguments + ["--home", home.path], in: directory, seconds: seconds, environment: environment)
    }

    func agreementState(_ agreement: String) throws -> String? {
        try hansa(["agreement", "list", "--json"]).json["agreements"].array.first { $0["id"].text == agreement }?["state"].text
    }

    /// The row of `package list`.
    func package(_ name: String) throws -> Document? {
        try hansa(["package", "list", "--json"]).json["packages"].array.first { $0["package"].text == name }
    }

    func version(of package: String) throws -> String? {
        let outcome = try run(["package", "show", package, "--json"])
        return outcome.status == 0 ? outcome.json["version"].text : nil
    }

    /// The events of the log, oldest first.
    func events() throws -> [String] {
        try hansa(["audit", "log", "--json"]).json["entries"].array.compactMap { $0["event"].text }
    }

    func expectSoundLog(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let outcome = try hansa(["audit", "verify", "--json"], sourceLocation: sourceLocation)
        #expect(outcome.json["valid"].bool == true, "\(outcome)", sourceLocation: sourceLocation)
    }

    // MARK: The node

    private var logFile: URL { directory.appending(path: "\(id)-\(starts).log") }
    /// What the running node, or the last one, wrote to stderr and stdout.
    var log: String { Program.text(logFile) }

    /// False when the node ended before it served, as with a port in use.
    func tryToServe() throws -> Bool {
        starts += 1
        let words = prefix + [Program.path, "serve", "--home", home.path]
        let process = try Program.start(
            words[0], Array(words.dropFirst()), in: directory, output: logFile.appendingPathExtension("out"), messages: logFile,
            environment: environment)
        self.process = process
        try eventually("\(id) serves: \(log)", within: 30) { log.contains(" serving ") || !process.isRunning }
        return process.isRunning
    }

    func serve() throws {
        for _ in 0..<5 where try tryToServe() { return }
        throw TestFault("\(id) does not serve: \(log)")
    }

    /// SIGTERM, and the exit status.
    @discardableResult
    func stop(seconds: Double = 30) throws -> Int32 {
        guard let process else { throw TestFault("\(id) does not run") }
        process.signal(SIGTERM)
        guard let status = process.wait(seconds: seconds) else { throw TestFault("\(id) does not end on SIGTERM: \(log)") }
        self.process = nil
        return status
    }

    func kill9() {
        process?.signal(SIGKILL)
        _ = process?.wait(seconds: 10)
        process = nil
    }
}
