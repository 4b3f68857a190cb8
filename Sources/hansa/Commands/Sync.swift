internal import ArgumentParser
internal import HansaAPI
internal import HansaCore

struct Sync: HansaCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask the node to sync now; with --wait, until in sync or why not.",
        discussion: """
            Examples:
              hansa sync
              hansa sync auckland.nz --wait
              hansa sync --wait --timeout 60      8 when the partner is unreachable

            By an administrator and with a name it also has what was quarantined between the two begin anew, on this side; the partner's
            administrator does the same there.
            """)

    @Argument(help: ArgumentHelp("Only these partners.", valueName: "PARTNER")) var partners: [String] = []
    @Flag(help: "End when in sync, or say why not.") var wait = false
    @Option(help: ArgumentHelp("With --wait: give up after this long.", valueName: "SECONDS")) var timeout: Int?
    @OptionGroup var global: GlobalOptions

    mutating func validate() throws {
        if let timeout, timeout < 1 { throw ValidationError("--timeout is at least 1 second") }
    }

    func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
        try ask(.sync(partners: partners, wait: wait, timeoutSeconds: timeout, dryRun: global.dryRun), terminal) {
            document, style in
            guard let partners = document["partners"]?.array else { return Outline.render(document, style) }
            if global.verbose {
                for partner in partners {
                    guard let detail = partner["detail"]?.string else { continue }
                    terminal.note("\(Style.text(partner["city"])): \(detail.printable())")
                }
            }
            return Table(
                columns: [
                    Table.Column("PARTNER", "city"), Table.Column("STATE", "state"), Table.Column("REASON", "reason"),
                    Table.Column("RECEIVED", "releasesReceived"), Table.Column("SENT", "releasesSent"),
                    Table.Column("CONTENT IN", "contentBytesReceived"), Table.Column("CONTENT OUT", "contentBytesSent"),
                    Table.Column("SECONDS", "seconds"),
                ], emptyText: "no partners to sync with"
            ).render(partners, style)
        }
    }
}
