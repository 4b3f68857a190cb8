internal import ArgumentParser
internal import HansaAPI
internal import HansaCore
internal import HansaNode

struct Conflict: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Packages about which releases contradict each other.",
        discussion: """
            A fork: a city signed two releases under one number. A fence: a partner holds a release of ours that we do not know.
            Examples:
              hansa conflict list
              hansa conflict show kitchener.ca/roads
              hansa conflict resolve kitchener.ca/roads --take kitchener.ca/roads@1.2.0
            """,
        subcommands: [List.self, Show.self, Resolve.self])

    struct List: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "What is open.",
            discussion: """
                Examples:
                  hansa conflict list
                  hansa conflict list --json
                  hansa conflict show kitchener.ca/roads
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.conflictList, terminal) { document, style in
                Table(
                    columns: [
                        Table.Column("PACKAGE", "package"), Table.Column("KIND", "kind"), Table.Column("SEQ", "seq"),
                        Table.Column("SHOWN BY", "shownBy"), Table.Column("FOUND", "found"), Table.Column("NEXT", "command"),
                    ], emptyText: "no conflicts"
                ).render(document["conflicts"]?.array ?? [], style)
            }
        }
    }

    struct Show: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "The evidence: which releases, who showed them, the signed document.",
            discussion: """
                With --json, `document` holds the fork proof or the release as a DSSE envelope, byte for byte.
                Examples:
                  hansa conflict show kitchener.ca/roads
                  hansa conflict show kitchener.ca/roads --json
                  hansa conflict list
                """)
        @Argument(help: ArgumentHelp("city/path.", valueName: "PACKAGE")) var package: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.conflictShow(package: package), terminal)
        }
    }

    struct Resolve: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Decide how a package goes on.",
            discussion: """
                Of a partner's fork, a release that is held becomes the head again. Of a fence, our numbers go on far above what was shown.
                Examples:
                  hansa conflict resolve kitchener.ca/roads --take kitchener.ca/roads@1.2.0
                  hansa conflict resolve kitchener.ca/roads --take kitchener.ca/roads@latest -n
                  hansa conflict show kitchener.ca/roads
                """)
        @Argument(help: ArgumentHelp("city/path.", valueName: "PACKAGE")) var package: String
        @Option(help: ArgumentHelp("The release that counts.", valueName: "REF")) var take: String?
        @Option(
            help: ArgumentHelp("A merged directory; for packages of several writers.", valueName: "DIR"), completion: .directory)
        var merge: String?
        @OptionGroup var global: GlobalOptions

        mutating func validate() throws {
            guard (take == nil) != (merge == nil) else { throw ValidationError("give one of --take REF and --merge DIR") }
        }

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(
                .conflictResolve(package: package, take: take, merge: merge != nil, dryRun: global.dryRun), terminal)
        }
    }
}
