internal import ArgumentParser
internal import HansaAPI
internal import HansaCore

/// Options of every command (CLI.md §3, §5, §7, §15).
struct GlobalOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The node's home.", discussion: "Else HANSA_HOME, /var/lib/hansa, or your data directory.", valueName: "DIR"))
    var home: String?

    @Flag(help: "Print the result as one JSON document.")
    var json = false

    @Flag(help: "With --json: one object a line for lists.")
    var stream = false

    @Flag(name: [.customShort("n"), .customLong("dry-run")], help: "Show what would be done, and change nothing.")
    var dryRun = false

    @Flag(name: [.customShort("y"), .customLong("yes")], help: "Do not ask.")
    var yes = false

    @Option(help: ArgumentHelp("The name once more, for severe acts.", valueName: "NAME"))
    var confirm: String?

    @Flag(name: .customLong("no-color"), help: "No colours.")
    var noColor = false

    @Flag(name: [.customShort("v"), .customLong("verbose")], help: "Say more on stderr.")
    var verbose = false

    mutating func validate() throws {
        if stream, !json { throw ValidationError("--stream goes with --json") }
    }
}

/// A time on the command line: `7d`, `2026-11-01`, or RFC 3339 UTC. Becomes RFC 3339 UTC.
struct Moment: ExpressibleByArgument {
    /// Seconds by unit.
    private static let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]

    private enum Value {
        case ago(seconds: Int64)
        case at(Timestamp)
    }
    private let value: Value

    init?(argument: String) {
        if let last = argument.last, let unit = Moment.units[last], let count = Int64(argument.dropLast()),
            (0...1_000_000).contains(count)
        {
            value = .ago(seconds: count * unit)
        } else if let time = Timestamp(argument) {
            value = .at(time)
        } else if let day = CalendarDate(argument) {
            value = .at(day.start)
        } else {
            return nil
        }
    }

    func text(now: Timestamp) -> String {
        switch value {
        case .ago(let seconds): now.adding(seconds: -seconds).description
        case .at(let time): time.description
        }
    }
}
