// kill -9 of real processes in every step that writes: publish, the sealing of segments, withdrawal, compaction by a command and by a node that serves, checkout,
// a database that is made again. After each kill the store is whole, what was acknowledged is there, and the same command run again completes.
//
// HANSA_KILLS=200 makes the loop long; a step is killed after a time that is drawn from how long it takes.
import Foundation
import Glibc
import Testing

extension EndToEndTests {
    struct KillStepTests {
        private static let kills =
            ProcessInfo.processInfo.environment["HANSA_KILLS"].flatMap { Int($0) } ?? Step.allCases.count

        private enum Step: String, CaseIterable {
            case publish, publishToNode, withdraw, collect, collectInNode, checkout, rebuild
        }

        @Test func aStoreThatIsKilledInAnyStepLosesNothingAndGoesOn() throws {
            var home = try KilledHome()
            // How long each takes when nobody kills it.
            for step in Step.allCases { try home.run(step.rawValue) }
            for round in 0..<Self.kills { try home.kill(Step.allCases[round % Step.allCases.count].rawValue, round) }
            try home.end()
            print("\(Self.kills) kills, while the step ran: \(home.summary); seed \(home.seed)")
            #expect(home.hits * 2 >= Self.kills, "only \(home.hits) of \(Self.kills) kills hit a running step; seed \(home.seed)")
        }
    }
}

/// One city whose processes are killed, and what its store must hold.
private struct KilledHome {
    /// What a package's directory holds.
    private struct Content: Equatable {
        var table: Data
        var bytes: Data
    }

    let world: World
    let city: City
    let seed: UInt64
    private var random: SeededBytes
    private var held: [String: Content] = [:]
    private var versions = 0
    /// Seconds of a step that ran to its end, lately.
    private var durations: [String: Double] = [:]
    private var counts: [String: (kills: Int, hits: Int)] = [:]

    var hits: Int { counts.values.reduce(0) { $0 + $1.hits } }
    var summary: String {
        counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.hits) of \($0.value.kills)" }.joined(separator: ", ")
    }

    init() throws {
        world = try World()
        city = try world.city("auckland.nz", serves: false)
        // Segments that are sealed every few blocks, and a node that collects at once, slowly enough to be met at it.
        city.environment["HANSA_STORE_PACE"] = "segmentBytes=262144 first=0 every=0.05 grace=0"
        try city.hansa(["config", "set", "limits.collectRate", "2MB/s"])
        random = SeededBytes(seed: UInt64.random(in: 0 ... .max))
        seed = random.seed
        for name in ["p0", "p1", "p2"] { try publish(name, draw()) }
        try city.hansa(["package", "checkout", "auckland.nz/p0", "work"])
    }

    // MARK: Steps

    /// Runs a step to its end.
    mutating func run(_ step: String) throws {
        try prepare(step)
        let begun = ContinuousClock.now
        try complete(step)
        note(step, ContinuousClock.now - begun)
    }

    /// Runs a step, kills it somewhere, looks at what is left, and runs it again.
    mutating func kill(_ step: String, _ round: Int) throws {
        let place = "round \(round), \(step), seed \(seed)"
        try prepare(step)
        let (name, content) = wanted
        let target = files("work")
        let before = held[name]
        let whole = durations[step] ?? 0.2
        let patience = whole * Double(random.next() % 1000) / 1000
        let (wasRunning, status) = try begin(step, killedAfter: patience)
        counts[step, default: (0, 0)].kills += 1
        if wasRunning { counts[step]?.hits += 1 }

        if step == "rebuild" {
            try complete(step)
            let after = try self.listed()
            #expect(after == listedBefore, "\(place)")
        }
        let check = try city.run(["store", "check", "--json"], seconds: 120)
        #expect(check.json["valid"].bool == true && check.json["unneededCount"].integer == 0, "\(place): \(check)")
        try city.expectSoundLog()
        switch step {
        case "publish", "publishToNode":
            let now = try checkedOut()[name]
            #expect(now == content || now == before && status != 0, "\(place): neither the old nor the new content")
            held[name] = now
        case "withdraw":
            let now = try checkedOut()[name]
            #expect(now == nil || now == before && status != 0, "\(place): what was withdrawn is there, or another")
            held[name] = now
        case "checkout":
            let midway = files("work")
            try complete(step)
            let after = files("work")
            for (path, bytes) in midway where !path.contains("/.hansa-") && !path.hasPrefix(".hansa-") {
                #expect(
                    bytes == target[path] || bytes == after[path], "\(place): \(path) is neither the old file nor the new one")
            }
            for path in after.keys where target[path] != nil { #expect(midway[path] != nil, "\(place): \(path) is gone") }
            #expect(!after.keys.contains { $0.contains(".hansa-") }, "\(place): \(after.keys.sorted())")
            #expect(after["data/data.csv"] == content.table && after["data/data.bin"] == content.bytes, "\(place)")
            try city.hansa(["package", "verify", "work"])
        default: break
        }
        if step != "checkout" {
            let begun = ContinuousClock.now
            try complete(step)
            // What was done before the kill is not done again: this is a lower bound.
            note(step, ContinuousClock.now - begun)
        }
        try expectHeld(place)
    }

    mutating func end() throws {
        try city.hansa(["store", "collect"])
        let check = try city.hansa(["store", "check", "--json"])
        #expect(check.json["valid"].bool == true && check.json["findingsCount"].integer == 0, "seed \(seed): \(check)")
        try expectHeld("at the end, seed \(seed)")
    }

    /// Sees to it that the step has something to do, and says in `arguments` and `wanted` what.
    private mutating func prepare(_ step: String) throws {
        switch step {
        case "publish", "publishToNode":
            let name = "p\(random.next() % 4)"
            let content = draw()
            try write(name, content)
            arguments = ["package", "publish", "source-\(name)", "--name", name]
            wanted = (name, content)
            if step == "publishToNode" { try city.serve() }
        case "withdraw":
            if held["p1"] == nil { try publish("p1", draw()) }
            arguments = ["package", "withdraw", "auckland.nz/p1", "--reason", "It was wrong."]
            wanted.name = "p1"
        case "collect", "collectInNode":
            // Something that nobody needs, among what is needed.
            try publish("gone", draw())
            try publish("p2", draw())
            try city.hansa(["package", "withdraw", "auckland.nz/gone", "--reason", "It was wrong."])
            held["gone"] = nil
            arguments = ["store", "collect"]
        case "checkout":
            try publish("p0", draw())
            arguments = ["package", "checkout", "auckland.nz/p0", "work"]
            if let content = held["p0"] { wanted = ("p0", content) }
        case "rebuild":
            listedBefore = try listed()
            for suffix in ["", "-wal", "-shm"] {
                try? FileManager.default.removeItem(at: city.home.appending(path: "hansa.sqlite\(suffix)"))
            }
            arguments = ["store", "rebuild"]
        default: throw TestFault("no step \(step)")
        }
    }

    private var arguments: [String] = []
    private var wanted: (name: String, content: Content) = ("", Content(table: Data(), bytes: Data()))
    private var listedBefore: [String] = []

    /// Begins the step and kills the process that does it.
    private mutating func begin(_ step: String, killedAfter seconds: Double) throws -> (wasRunning: Bool, status: Int32?) {
        switch step {
        case "collectInNode":
            try city.serve()
            usleep(UInt32(seconds * 1e6))
            let wasRunning = !city.log.contains(" collected ")
            city.kill9()
            return (wasRunning, nil)
        case "publishToNode":
            let command = try start(arguments)
            usleep(UInt32(seconds * 1e6))
            let wasRunning = command.isRunning
            city.kill9()
            guard let status = command.wait(seconds: 30) else { throw TestFault("the command outlives its node") }
            return (wasRunning, status)
        default:
            let command = try start(arguments)
            usleep(UInt32(seconds * 1e6))
            let wasRunning = command.isRunning
            command.signal(SIGKILL)
            return (wasRunning, command.wait(seconds: 10))
        }
    }

    private mutating func complete(_ step: String) throws {
        switch step {
        case "publishToNode":
            if city.process == nil { try city.serve() }
            try city.hansa(arguments)
            #expect(try city.stop() == 0)
            held[wanted.name] = wanted.content
        case "publish":
            try city.hansa(arguments)
            held[wanted.name] = wanted.content
        case "withdraw":
            // It may have happened.
            if held["p1"] != nil { try city.hansa(arguments) }
            held["p1"] = nil
        case "collectInNode":
            try city.serve()
            try eventually("the node has collected; seed \(seed)", within: 60) {
                let plan = try city.hansa(["store", "collect", "--dry-run", "--json"]).json
                return plan["segments"].integer == 0 && plan["chunks"].integer == 0 && plan["releasesGivenUp"].integer == 0
            }
            #expect(try city.stop() == 0)
        default: try city.hansa(arguments)
        }
    }

    private mutating func note(_ step: String, _ time: Duration) {
        let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) / 1e18
        durations[step] = max(seconds, (durations[step] ?? 0) * 0.9)
    }

    // MARK: Content

    private mutating func draw() -> Content {
        versions += 1
        let lines = 2000 + Int(random.next() % 8000)
        let table = "id,value\n" + (0..<lines).map { "\(versions),\($0 &* 2_654_435_761 % 1_000_003)\n" }.joined()
        // Files above and below what is copied by several threads, and more than a segment.
        let count = random.next() % 3 == 0 ? 4_500_000 : 200_000 + Int(random.next() % 800_000)
        var bytes = Data(capacity: count)
        while bytes.count < count { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
        return Content(table: Data(table.utf8), bytes: bytes)
    }

    private func write(_ name: String, _ content: Content) throws {
        let directory = world.directory.appending(path: "source-\(name)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try content.table.write(to: directory.appending(path: "data.csv"))
        try content.bytes.write(to: directory.appending(path: "data.bin"))
    }

    private mutating func publish(_ name: String, _ content: Content) throws {
        try write(name, content)
        try city.hansa(["package", "publish", "source-\(name)", "--name", name])
        held[name] = content
    }

    // MARK: Looking

    private func start(_ arguments: [String]) throws -> RunningProcess {
        try Program.start(
            Program.path, arguments + ["--home", city.home.path], in: world.directory,
            output: world.directory.appending(path: "killed.out"), messages: world.directory.appending(path: "killed.err"),
            environment: city.environment)
    }

    private func listed() throws -> [String] {
        try city.hansa(["package", "list", "--json"]).json["packages"].array.map {
            "\($0["package"].text ?? "") \($0["version"].text ?? "") \($0["release"].text ?? "") \($0["state"].text ?? "")"
        }
    }

    private func files(_ name: String) -> [String: Data] {
        let directory = world.directory.appending(path: name)
        var found: [String: Data] = [:]
        for path in FileManager.default.subpaths(atPath: directory.path) ?? [] {
            if let bytes = try? Data(contentsOf: directory.appending(path: path)) { found[path] = bytes }
        }
        return found
    }

    /// Every package of the city as it is checked out.
    private func checkedOut() throws -> [String: Content] {
        let target = world.directory.appending(path: "all")
        defer { try? FileManager.default.removeItem(at: target) }
        // 3 where others that match were withdrawn.
        let outcome = try city.run(["package", "checkout", "auckland.nz/**", "all", "--payload"])
        guard [0, 3].contains(outcome.status) else { throw TestFault("\(outcome); seed \(seed)") }
        var found: [String: Content] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: target.path) {
            found[name] = Content(
                table: try Data(contentsOf: target.appending(path: "\(name)/data.csv")),
                bytes: try Data(contentsOf: target.appending(path: "\(name)/data.bin")))
        }
        return found
    }

    private func expectHeld(_ place: String) throws {
        let found = try checkedOut()
        #expect(Set(found.keys) == Set(held.keys), "\(place): \(found.keys.sorted()) are there")
        for (name, content) in held { #expect(found[name] == content, "\(place): \(name) is another") }
    }
}
