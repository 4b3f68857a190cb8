// `hansa-simulator`: seeded histories of two and three cities with faults, and what held (SYNC.md §8).
internal import ArgumentParser
internal import HansaTestSupport

@main
struct Simulator: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hansa-simulator",
        abstract: "Runs seeded histories of the exchange in memory, with faults, and checks what must hold.",
        discussion: """
            hansa-simulator --count 1000            a thousand histories from seed 1
            hansa-simulator --seed 42 --story       one history, with what happened in it
            """)

    @Option(help: "The first seed.") var seed: UInt64 = 1
    @Option(help: "How many histories, each with the next seed.") var count: UInt64 = 1
    @Option(help: "Steps in a history.") var steps = 40
    @Option(help: "Two or three cities; otherwise the seed decides.") var cities: Int?
    @Flag(help: "Rows in SQLite instead of dictionaries.") var sqlite = false
    @Flag(help: "No crashes, cuts, full disks or jumping clocks.") var calm = false
    @Flag(help: "Print what happened.") var story = false
    @Flag(help: "Run each seed twice and compare the traces.") var twice = false

    func validate() throws {
        if let cities, !(2...3).contains(cities) { throw ValidationError("--cities is 2 or 3") }
        if steps < 1 { throw ValidationError("--steps is at least 1") }
    }

    func run() throws {
        var options = WorldHistory.Options()
        options.steps = steps
        options.cities = cities
        options.engine = sqlite ? .sqlite : .memory
        options.faults = !calm
        var failed: [UInt64] = []
        var (frames, events, sessions, restarts, releases, healSecondsMax) = (0, 0, 0, 0, 0, Int64(0))
        for number in seed..<(seed + count) {
            let outcome = try WorldHistory.run(seed: number, options: options)
            var findings = outcome.findings
            if twice, try WorldHistory.run(seed: number, options: options).trace != outcome.trace {
                findings.append("the second run's trace differs")
            }
            frames += outcome.frames
            events += outcome.events
            sessions += outcome.sessions
            restarts += outcome.restarts
            releases += outcome.releases
            healSecondsMax = max(healSecondsMax, outcome.healSeconds)
            if story { for line in outcome.story { print("  \(line)") } }
            guard !findings.isEmpty else { continue }
            failed.append(number)
            print("seed \(number) failed:")
            for finding in findings.prefix(5) { print("  \(finding)") }
        }
        print(
            """
            histories \(count), failed \(failed.count)
            releases \(releases), sessions \(sessions), restarts \(restarts), frames \(frames), events \(events)
            longest heal \(healSecondsMax) s of virtual time
            """)
        if !failed.isEmpty {
            print("again: " + failed.prefix(10).map { "hansa-simulator --seed \($0) --story" }.joined(separator: "; "))
            throw ExitCode.failure
        }
    }
}
