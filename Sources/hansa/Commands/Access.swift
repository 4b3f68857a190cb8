internal import ArgumentParser
internal import HansaAPI
internal import HansaCore

struct Access: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What partners may have: grants under agreements.",
        discussion: """
            Examples:
              hansa access grant auckland.nz "kitchener.ca/**" --under exchange-2026
              hansa access test auckland.nz
              hansa access revoke g-0123456789
            """,
        subcommands: [GrantAccess.self, List.self, Revoke.self, Test.self])

    struct GrantAccess: HansaCommand {
        static let configuration = CommandConfiguration(
            commandName: "grant",
            abstract: "Share packages with a partner, within an agreement.",
            discussion: """
                Examples:
                  hansa access grant auckland.nz "kitchener.ca/**" --under exchange-2026
                  hansa access grant boston.gov kitchener.ca/a --under m-26 --until 2027-06-30
                  hansa access grant boston.gov "kitchener.ca/*" --under mobility --ceiling GREEN -n
                """)
        @Argument(help: ArgumentHelp("The partner's city id.", valueName: "PARTNER")) var partner: String
        @Argument(help: ArgumentHelp("city/path; * stands inside a segment, ** across.", valueName: "PATTERN")) var pattern:
            String
        @Option(help: ArgumentHelp("The agreement's id or digest.", valueName: "AGREEMENT")) var under: String
        @Option(help: ArgumentHelp("discover: that it exists; sync: its content.", valueName: "LEVEL")) var level = "sync"
        @Option(help: ArgumentHelp("The last day.", valueName: "DATE")) var until: String?
        @Option(help: ArgumentHelp("Nothing classified above this.", valueName: "TLP")) var ceiling: String?
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(
                .accessGrant(
                    partner: partner, pattern: pattern, agreement: under, level: level, until: until, ceiling: ceiling,
                    dryRun: global.dryRun), terminal)
        }
    }

    struct List: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "The grants in force.",
            discussion: """
                Examples:
                  hansa access list
                  hansa access list auckland.nz
                  hansa access list --json
                """)
        @Argument(help: ArgumentHelp("Only this partner's.", valueName: "PARTNER")) var partner: String?
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.accessList(partner: partner), terminal) { document, style in
                Table(
                    columns: [
                        Table.Column("GRANT", "grant"), Table.Column("PARTNER", "partner"), Table.Column("PATTERN", "pattern"),
                        Table.Column("AGREEMENT", "agreement"), Table.Column("LEVEL", "level"), Table.Column("UNTIL", "until"),
                        Table.Column("CEILING", "ceiling"), Table.Column("AS", "passages"),
                    ], emptyText: "no grants: nobody has access to anything"
                ).render(document["grants"]?.array ?? [], style)
            }
        }
    }

    struct Revoke: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a grant, at once.",
            discussion: """
                Examples:
                  hansa access revoke g-0123456789
                  hansa access revoke g-0123456789 -n
                  hansa access list
                """)
        @Argument(help: ArgumentHelp("The grant's id.", valueName: "GRANT")) var grant: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.accessRevoke(grant: grant, dryRun: global.dryRun), terminal)
        }
    }

    struct Test: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Exactly what a partner would see now.",
            discussion: """
                Examples:
                  hansa access test auckland.nz
                  hansa access test auckland.nz --json
                  hansa why auckland.nz kitchener.ca/roads/breaks
                """)
        @Argument(help: ArgumentHelp("The partner's city id.", valueName: "PARTNER")) var partner: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.accessTest(partner: partner), terminal) { document, style in
                Table(
                    columns: [
                        Table.Column("PACKAGE", "package"), Table.Column("RELEASE", "release"), Table.Column("LEVEL", "level"),
                        Table.Column("CLAUSE", "clause"), Table.Column("GRANT", "grant"), Table.Column("AS", "passage"),
                    ], emptyText: "\(Style.text(document["partner"])) sees nothing"
                ).render(document["packages"]?.array ?? [], style)
            }
        }
    }
}
