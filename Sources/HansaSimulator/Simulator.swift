// `hansa-simulator`: seeded histories of two to twelve cities with faults, and what held (SYNC.md §8).
internal import ArgumentParser
internal import Foundation
internal import HansaTestSupport

@main
struct Simulator: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hansa-simulator",
        abstract: "Runs seeded histories of the exchange in memory, with faults, and checks what must hold.",
        discussion: """
            hansa-simulator --seeds 1000 --jobs 2       a thousand histories from seed 1, each run twice, on two cores
            hansa-simulator --seed 42 --story           one history, with what happened in it
            hansa-simulator --seed 42 --without 3,5-9   the same with some steps left out: the minimal trace of a failure
            hansa-simulator --worlds                    the families of histories, and what is checked
            """)

    @Option(help: "The first seed.") var seed: UInt64 = 1
    @Option(name: [.customLong("seeds"), .customLong("count")], help: "How many histories, each with the next seed.")
    var seeds: UInt64 = 1
    @Option(
        help: "A family of histories: \(WorldKind.allCases.map(\.rawValue).joined(separator: ", ")).",
        transform: {
            guard let kind = WorldKind(rawValue: $0) else {
                throw ValidationError("there is no world \($0); --worlds lists them")
            }
            return kind
        }) var world = WorldKind.mixed
    @Option(help: "Steps in a history.") var steps = 40
    @Option(help: "2 to 12 cities; otherwise the world and the seed decide.") var cities: Int?
    @Option(help: "Steps to leave out: numbers and ranges, as a failure prints them.") var without = ""
    @Flag(help: "Rows in SQLite instead of dictionaries.") var sqlite = false
    @Flag(help: "None of the world's troubles.") var calm = false
    @Flag(help: "Print what happened.") var story = false
    @Flag(help: "With --story: the last 400 frames too.") var frames = false
    @Flag(inversion: .prefixedNo, help: "Run each seed twice and compare the traces.") var twice = true
    @Flag(inversion: .prefixedNo, help: "Make a failing history shorter before it is printed.") var shrink = true
    @Flag(help: "List the worlds and the invariants.") var worlds = false
    @Flag(help: "Count the seeds that find each seeded bug; only in a build that has them: make simulate-bugs.") var bugs = false
    @Option(help: "As --bugs, for one bug.") var bug: String?
    @Option(help: "Processes that share the seeds; the summary is that of all.") var jobs = 1
    @Option(help: .hidden, transform: SeedPart.init) var part = SeedPart.whole

    func validate() throws {
        if let cities, !(2...WorldHistory.citiesMax).contains(cities) { throw ValidationError("--cities is 2 to 12") }
        if steps < 1 { throw ValidationError("--steps is at least 1") }
        if seeds < 1 { throw ValidationError("--seeds is at least 1") }
        if !(1...64).contains(jobs) { throw ValidationError("--jobs is 1 to 64") }
        _ = try StepList(without)
    }

    private func options() throws -> WorldHistory.Options {
        var options = WorldHistory.Options()
        options.kind = world
        options.steps = steps
        options.cities = cities
        options.engine = sqlite ? .sqlite : .memory
        options.faults = !calm
        options.tellsFrames = frames
        options.without = try StepList(without).steps
        return options
    }

    func run() throws {
        if worlds { return list() }
        if bugs || bug != nil { return try searchBugs() }
        let tally = jobs > 1 ? try SeedJobs.run(jobs) : try runSeeds()
        if part != .whole { return say(try tally.encoded()) }
        for text in tally.lines(seeds: seeds) { say(text) }
        if !tally.failed.isEmpty || tally.trapped > 0 { throw ExitCode.failure }
    }

    private func runSeeds() throws -> Tally {
        let options = try options()
        var tally = Tally()
        for number in seed..<(seed + seeds) where part.contains(number) {
            RunningSeed.set(number)
            let outcome = try WorldHistory.run(seed: number, options: options)
            var findings = outcome.findings
            tally.histories += 1
            if twice {
                tally.histories += 1
                if try WorldHistory.retrace(outcome, options: options) != outcome.trace {
                    findings.append("the second run's trace differs")
                }
            }
            tally.add(outcome)
            if story { for text in outcome.story { say("  \(text)") } }
            // A long run says that it lives.
            if seeds >= 10_000, number % 1000 == 0 { SeedJobs.note("at seed \(number), \(tally.failed.count) failed") }
            guard !findings.isEmpty else { continue }
            tally.failed.append(number)
            try tell(outcome, findings, options)
        }
        return tally
    }

    /// Each bug in turn. A history that a bug makes trap would end the search, so that a trap is met by running the rest with --bug.
    private func searchBugs() throws {
        guard WorldBugs.isBuiltIn else {
            throw ValidationError("this build has no seeded bugs; make simulate-bugs makes one that has")
        }
        if let bug, !WorldBugs.names.contains(bug) {
            throw ValidationError("no bug is called \(bug); there are: \(WorldBugs.names.joined(separator: ", "))")
        }
        let options = try options()
        let most = seeds > 1 ? seeds : 400
        var missed: [String] = []
        for name in bug.map({ [$0] }) ?? WorldBugs.names {
            let padded = name.padding(toLength: 26, withPad: " ", startingAt: 0)
            var before: UInt64 = 0
            var line: String?
            // Some bugs need the trouble that they are about: what many mixed histories do not find, the families may.
            for kind in [options.kind] + WorldKind.allCases.filter({ $0 != options.kind && $0 != .many && $0 != .calm }) {
                var trial = options
                trial.kind = kind
                let bound = kind == options.kind ? most : most / 2
                if let found = try WorldBugs.search(name, seeds: bound, options: trial) {
                    line = "\(before + found.seeds) seeds (\(kind) \(found.seeds)): \(found.finding.prefix(110))"
                    break
                }
                before += bound
            }
            if line == nil { missed.append(name) }
            say("\(padded) \(line ?? "NOT FOUND by \(before) seeds")")
        }
        say("found \((bug == nil ? WorldBugs.names.count : 1) - missed.count), missed \(missed.count)")
        if !missed.isEmpty { throw ExitCode.failure }
    }

    /// At once, also into a file or a pipe.
    private func say(_ text: String) { SeedJobs.write(text) }

    private func tell(_ outcome: WorldHistory.Outcome, _ findings: [String], _ options: WorldHistory.Options) throws {
        say(
            "seed \(outcome.seed) failed (\(outcome.cities) cities; \(outcome.troubles.map(\.rawValue).sorted().joined(separator: ", "))):"
        )
        for finding in findings.prefix(5) { say("  \(finding)") }
        guard shrink, !outcome.findings.isEmpty else {
            return say("  again: \(command(outcome.seed, options))")
        }
        let least = try WorldShrink(outcome, options: options)
        say("  least trace, \(least.steps.count) of \(outcome.stepsTaken) steps, after \(least.runs) runs:")
        for line in least.outcome.story { say("    \(line)") }
        for finding in least.outcome.findings.prefix(2) { say("    \(finding)") }
        say("  again: \(command(outcome.seed, least.options))")
    }

    private func command(_ seed: UInt64, _ options: WorldHistory.Options) -> String {
        var words = ["hansa-simulator --seed \(seed) --story"]
        if options.kind != .mixed { words.append("--world \(options.kind.rawValue)") }
        if options.steps != 40 { words.append("--steps \(options.steps)") }
        if let cities { words.append("--cities \(cities)") }
        if sqlite { words.append("--sqlite") }
        if calm { words.append("--calm") }
        if !options.without.isEmpty { words.append("--without \(StepList(options.without).text)") }
        return words.joined(separator: " ")
    }

    private func list() {
        say("worlds:")
        for kind in WorldKind.allCases {
            say("  " + kind.rawValue.padding(toLength: 11, withPad: " ", startingAt: 0) + kind.summary)
        }
        say("checked:")
        for one in Invariant.allCases {
            if let check = one.check { say("  " + one.rawValue.padding(toLength: 6, withPad: " ", startingAt: 0) + check) }
        }
        if !Tally.unchecked.isEmpty { say("not checked yet: " + Tally.unchecked) }
    }
}
