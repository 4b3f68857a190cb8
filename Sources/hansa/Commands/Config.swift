internal import ArgumentParser
internal import HansaAPI
internal import HansaCore

struct Config: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The node's configuration, hansa.yaml.",
        discussion: """
            Examples:
              hansa config show --origin
              hansa config set listen 0.0.0.0:4747
              hansa config set roles.auditor.users alice -n
            """,
        subcommands: [Show.self, Set.self])

    struct Show: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "All settings and their values.",
            discussion: """
                Examples:
                  hansa config show
                  hansa config show --origin
                  hansa config show --json
                """)
        @Flag(help: "Where each value comes from.") var origin = false
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.configShow, terminal) { document, style in
                guard let settings = document["settings"]?.array ?? document["config"]?.array else {
                    return Outline.render(document, style)
                }
                var columns = [Table.Column("KEY", "key"), Table.Column("VALUE", "value")]
                if origin { columns.append(Table.Column("ORIGIN", "origin")) }
                return Table(columns: columns).render(settings, style)
            }
        }
    }

    struct Set: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change a setting.",
            discussion: """
                Examples:
                  hansa config set listen 0.0.0.0:4747
                  hansa config set roles.auditor.users alice
                  hansa config set listen 0.0.0.0:4747 -n
                """)
        @Argument(help: ArgumentHelp("See hansa config show.", valueName: "KEY")) var key: String
        @Argument(help: ArgumentHelp("Its new value.", valueName: "VALUE")) var value: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.configSet(key: key, value: value, dryRun: global.dryRun), terminal) { document, style in
                if let warning = document["warning"]?.string { terminal.warn(warning) }
                return Outline.render(document, style, leavingOut: ["warning"])
            }
        }
    }
}
