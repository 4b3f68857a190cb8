internal import ArgumentParser
internal import HansaAPI
internal import HansaCore
internal import HansaNode

struct Restore: HansaCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say that this home was put back from a backup, before anything is published.",
        discussion: """
            Run it before the node is started: what a node writes first hides how much of its log was lost. It raises every number under which
            this city signs releases by 2^20, so that none is given out twice. What was published since comes back from the partners that hold
            it, with the next sync. The log's entries since are lost: the log is closed, and the next keyring, which officers sign, names a new one.
            Examples:
              hansa restore -n
              hansa restore --against checkpoint-of-june.txt
              hansa restore --officer-key /media/usb/officer.pem
            """)
    @Option(
        help: ArgumentHelp(
            "A later checkpoint of the log that was kept: the new log then says how much is lost.", valueName: "FILE"))
    var against: String?
    @OptionGroup var officers: City.Officers
    @OptionGroup var global: GlobalOptions

    func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
        let checkpoint = try against.map { path throws(Problem) in try LocalFile.text(path) }
        let rotation = RotationRequest(key: "restore", dryRun: global.dryRun)
        let document = try withNode(terminal) { node throws(Problem) in
            try officers.run(rotation, newKey: nil, node, terminal) { .restore($0, against: checkpoint, signsHere: $1) }
        }
        terminal.show(document) { Outline.render($0, $1) }
        return .ok
    }
}
