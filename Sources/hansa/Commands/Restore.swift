internal import ArgumentParser
internal import HansaAPI
internal import HansaCore

struct Restore: HansaCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say that this home was put back from a backup, before anything is published.",
        discussion: """
            Raises every number under which this city signs releases by 2^20, so that none is given out twice. What was published since comes
            back from the partners that hold it, with the next sync.
            Examples:
              hansa restore -n
              hansa restore
              hansa sync --wait
            """)
    @OptionGroup var global: GlobalOptions

    func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit { try ask(.restore(dryRun: global.dryRun), terminal) }
}
