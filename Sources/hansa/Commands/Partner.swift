internal import ArgumentParser
internal import HansaAPI
internal import HansaCore

struct Partner: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The cities that we know by their keys.",
        discussion: """
            Examples:
              hansa partner add auckland.card --fingerprint "12345 67890 …"
              hansa partner list
              hansa partner remove boston.gov --confirm boston.gov
            """,
        subcommands: [Add.self, List.self, Show.self, Pause.self, Resume.self, Remove.self])

    struct Add: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Add a city by its card, after comparing the fingerprint.",
            discussion: """
                Examples:
                  hansa partner add auckland.card --fingerprint "12345 67890 …"
                  hansa partner add auckland.card --endpoint hansa.auckland.nz:4747
                  hansa partner add - --yes < auckland.card       accepts the keys unseen
                """)
        @Argument(help: ArgumentHelp("The other city's card, or - for stdin.", valueName: "CARDFILE"))
        var card: String

        @Option(help: ArgumentHelp("8 groups of 5 digits, as the other city reads them to you.", valueName: "DIGITS"))
        var fingerprint: String?

        @Option(help: ArgumentHelp("Where its node is, instead of what the card says.", valueName: "HOST:PORT"))
        var endpoint: String?

        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            let text = try LocalFile.text(card)
            let document = try withNode(terminal) { node throws(Problem) in
                do throws(Problem) {
                    return try node.run(request(text, fingerprint: fingerprint, trusting: global.yes))
                } catch {
                    // Nobody said yes and nobody compared: a person at a terminal can do it now.
                    guard error.code == .fingerprintNeeded, terminal.isInteractive, card != "-" else { throw error }
                    terminal.note(error.message.printable(charactersMax: 1000))
                    guard terminal.confirms("Does the other city read the same digits to you, by telephone?") else { throw error }
                    let digits = Self.digits(in: error.message)
                    return try node.run(request(text, fingerprint: digits, trusting: digits == nil))
                }
            }
            terminal.show(document) { Outline.render($0, $1) }
            return .ok
        }

        private func request(_ card: String, fingerprint: String?, trusting: Bool) -> AdminRequest {
            .partnerAdd(
                card: card, fingerprint: fingerprint, trustWithoutComparison: trusting && fingerprint == nil, endpoint: endpoint,
                dryRun: global.dryRun)
        }

        /// Eight groups of five digits that stand one after another.
        private static func digits(in message: String) -> String? {
            var groups: [Substring] = []
            for word in message.split(whereSeparator: { !$0.isNumber && !$0.isLetter && $0 != "." }) {
                let group = word.hasSuffix(".") ? word.dropLast() : word
                if group.utf8.count == 5, group.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
                    groups.append(group)
                    if groups.count == 8 { return groups.joined(separator: " ") }
                } else {
                    groups = []
                }
            }
            return nil
        }
    }

    struct List: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "All partners and how they stand.",
            discussion: """
                Examples:
                  hansa partner list
                  hansa partner list --json
                  hansa partner list --json --stream
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.partnerList, terminal) { document, style in
                Table(
                    columns: [
                        Table.Column("CITY", "city"), Table.Column("NAME", "name"), Table.Column("STATE", "state"),
                        Table.Column("ENDPOINT", "endpoint"),
                        Table.Column("LAST SYNC", "lastSync"), Table.Column("IN SYNC", "inSync"),
                    ], emptyText: "no partners yet; next: hansa partner add CARDFILE"
                ).render(document["partners"]?.array ?? [], style)
            }
        }
    }

    struct Show: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "One partner: keys, endpoints, agreements, sync.",
            discussion: """
                Examples:
                  hansa partner show auckland.nz
                  hansa partner show auckland.nz --json
                  hansa partner list
                """)
        @Argument(help: ArgumentHelp("The partner's city id.", valueName: "CITY")) var city: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit { try ask(.partnerShow(city: city), terminal) }
    }

    struct Remove: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Forget a partner: its keys, grants to it, its connection.",
            discussion: """
                Examples:
                  hansa partner remove boston.gov --confirm boston.gov
                  hansa partner remove boston.gov -n
                  hansa partner list
                """)
        @Argument(help: ArgumentHelp("The partner's city id.", valueName: "CITY")) var city: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            var confirmed = global.confirm
            if confirmed == nil, !global.dryRun { confirmed = terminal.ask("Type the city's id to remove it:") }
            return try ask(.partnerRemove(city: city, confirm: confirmed, dryRun: global.dryRun), terminal)
        }
    }

    struct Pause: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Exchange nothing with a partner for a while: its connection closes at once, grants and agreements stay.",
            discussion: """
                Examples:
                  hansa partner pause boston.gov
                  hansa partner pause boston.gov -n
                  hansa partner resume boston.gov
                """)
        @Argument(help: ArgumentHelp("The partner's city id.", valueName: "CITY")) var city: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.partnerPause(city: city, dryRun: global.dryRun), terminal)
        }
    }

    struct Resume: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Exchange with a paused partner again.",
            discussion: """
                Examples:
                  hansa partner resume boston.gov
                  hansa partner resume boston.gov -n
                  hansa sync boston.gov --wait
                """)
        @Argument(help: ArgumentHelp("The partner's city id.", valueName: "CITY")) var city: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.partnerResume(city: city, dryRun: global.dryRun), terminal)
        }
    }
}
