internal import ArgumentParser
internal import HansaCore

struct Obligation: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What we owe under terms.",
        discussion: """
            Not in this version.
            Examples:
              hansa obligation list
              hansa agreement list
              hansa explain H003
            """,
        subcommands: [List.self])

    struct List: NotYetCommand {
        static let configuration = notYetConfiguration(
            "Deletions, attributions and notices that are due.", example: "hansa obligation list")
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }
}
