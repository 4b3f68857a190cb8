internal import ArgumentParser
internal import HansaCore

struct Conflict: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Packages with several heads.",
        discussion: """
            Not in this version: they come with the issue on the sync engine.
            Examples:
              hansa conflict list
              hansa conflict show kitchener.ca/roads
              hansa conflict resolve kitchener.ca/roads --take kitchener.ca/roads@1.2.0
            """,
        subcommands: [List.self, Show.self, Resolve.self])

    struct List: NotYetCommand {
        static let configuration = notYetConfiguration("Packages with several heads.", example: "hansa conflict list")
        static let comesWith = "the issue on the sync engine"
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }

    struct Show: NotYetCommand {
        static let configuration = notYetConfiguration(
            "The heads of one package.", example: "hansa conflict show kitchener.ca/roads")
        static let comesWith = "the issue on the sync engine"
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }

    struct Resolve: NotYetCommand {
        static let configuration = notYetConfiguration(
            "Take one head, or a merge.", example: "hansa conflict resolve kitchener.ca/regional/roads --take REF")
        static let comesWith = "the issue on the sync engine"
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }
}
