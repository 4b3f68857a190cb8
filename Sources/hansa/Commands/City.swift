internal import ArgumentParser
internal import HansaAPI
internal import HansaCore

struct City: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Our own city: its card and keys.",
        discussion: """
            Examples:
              hansa city card > kitchener.ca.card     to give to a partner
              hansa city show                         with the fingerprint to read aloud
              hansa city show --json
            """,
        subcommands: [Card.self, Show.self, Rotate.self, Renew.self])

    struct Card: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Our keyring on stdout: every version, one signed envelope a line.",
            discussion: """
                Examples:
                  hansa city card > kitchener.ca.card
                  hansa city card | mail -s "our card" clerk@auckland.nz
                  hansa city card --json
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.cityCard, terminal) { document, _ in
                // A document for a program, also without --json: byte for byte.
                (document["envelopes"]?.array ?? []).compactMap(\.string).map { $0 + "\n" }.joined()
            }
        }
    }

    struct Show: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Name, keys and fingerprint of our city.",
            discussion: """
                Examples:
                  hansa city show
                  hansa city show --json
                  hansa city show --home /srv/hansa
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit { try ask(.cityShow, terminal) }
    }

    struct Rotate: NotYetCommand {
        static let configuration = notYetConfiguration("Replace one of our keys.", example: "hansa city rotate tls")
        static let comesWith = "the issue on the sync engine"
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }

    struct Renew: NotYetCommand {
        static let configuration = notYetConfiguration("Extend our keyring before it expires.", example: "hansa city renew")
        static let comesWith = "the issue on the sync engine"
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }
}
