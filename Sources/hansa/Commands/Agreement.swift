internal import ArgumentParser
internal import HansaAPI
internal import HansaCore
internal import HansaNode

struct Agreement: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Agreements between cities: written, checked, signed, ended.",
        discussion: """
            Examples:
              hansa agreement new --template city-exchange --with boston.gov --out new.yaml
              hansa agreement propose exchange.yaml
              hansa agreement accept exchange-2026
            """,
        subcommands: [
            New.self, Templates.self, Check.self, Propose.self, List.self, Show.self, Accept.self, Reject.self, Terminate.self,
            Renew.self,
        ])

    /// Where the officer's key is, when it is kept away from the node.
    struct OfficerKey: ParsableArguments {
        @Option(
            name: .customLong("officer-key"),
            help: ArgumentHelp("The officer's key, when it is not in the home; - for stdin.", valueName: "FILE"))
        var file: String?

        /// The key, for this purpose alone; it never leaves the command.
        func files(for purpose: () throws(Problem) -> HansaAPI.OfficerKey.Purpose, _ terminal: Terminal) throws(Problem)
            -> ClientFiles
        {
            guard let file else { return .none }
            return .officer(
                try HansaAPI.OfficerKey(pem: try LocalFile.secret(file), for: try purpose()) { Terminal.note($0) })
        }
    }

    struct New: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write an agreement from a template, to be edited.",
            discussion: """
                Examples:
                  hansa agreement new --template city-exchange --with boston.gov --out new.yaml
                  hansa agreement new --template city-exchange --with boston.gov > new.yaml
                  hansa agreement templates
                """)
        @Option(help: ArgumentHelp("See hansa agreement templates.", valueName: "NAME")) var template: String
        @Option(help: ArgumentHelp("The other city's id.", valueName: "CITY")) var with: String
        @Option(help: ArgumentHelp("A new file; else stdout.", valueName: "FILE")) var out: String?
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            let document = try result(of: .agreementNew(template: template, city: with), terminal)
            let yaml = document["yaml"]?.string ?? ""
            if let out, out != "-", !global.dryRun {
                try LocalFile.write(yaml, to: out)
                terminal.note("written to \(out.printable()); next: edit it, then hansa agreement check \(out.printable())")
                if terminal.isJSON { terminal.show(document) { _, _ in "" } }
            } else {
                terminal.show(document) { _, _ in yaml }
            }
            return .ok
        }
    }

    struct Templates: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "The templates that come with hansa.",
            discussion: """
                Examples:
                  hansa agreement templates
                  hansa agreement templates --json
                  hansa agreement new --template city-exchange --with auckland.nz
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit { try ask(.agreementTemplates, terminal) }
    }

    struct Check: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say what in an agreement is enforced, what is kept as text, and what is refused.",
            discussion: """
                Examples:
                  hansa agreement check exchange.yaml
                  hansa agreement check exchange.yaml --json
                  hansa agreement check - < exchange.yaml
                """)
        @Argument(help: ArgumentHelp("The agreement in YAML, or - for stdin.", valueName: "FILE")) var file: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.agreementCheck(yaml: try LocalFile.text(file)), terminal)
        }
    }

    struct Propose: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Sign an agreement and offer it to its other party.",
            discussion: """
                Examples:
                  hansa agreement propose exchange.yaml
                  hansa agreement propose exchange.yaml -n
                  hansa agreement propose exchange.yaml --officer-key /media/usb/officer.pem
                """)
        @Argument(help: ArgumentHelp("The agreement in YAML, or - for stdin.", valueName: "FILE")) var file: String
        @OptionGroup var officer: OfficerKey
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            let yaml = try LocalFile.text(file)
            let files = try officer.files(
                for: { () throws(Problem) in .propose(payload: try AgreementFile.payload(yaml: yaml)) }, terminal)
            return try ask(
                .agreementPropose(yaml: yaml, signsHere: officer.file != nil, dryRun: global.dryRun), terminal, files: files)
        }
    }

    struct List: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "All agreements and their state.",
            discussion: """
                Examples:
                  hansa agreement list
                  hansa agreement list --json
                  hansa agreement list --json --stream
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.agreementList, terminal) { document, style in
                Table(
                    columns: [
                        Table.Column("ID", "id"), Table.Column("STATE", "state"), Table.Column("PARTIES", "parties"),
                        Table.Column("EFFECTIVE", "effective"), Table.Column("EXPIRES", "expires"),
                        Table.Column("DIGEST", "digest"),
                    ], emptyText: "no agreements yet; next: hansa agreement new --template city-exchange --with CITY"
                ).render(document["agreements"]?.array ?? [], style)
            }
        }
    }

    struct Show: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "One agreement, in words or as its signed document.",
            discussion: """
                Examples:
                  hansa agreement show exchange-2026
                  hansa agreement show exchange-2026 --format json
                  hansa agreement show sha256:0b52 --format markdown
                """)
        enum Format: String, ExpressibleByArgument, CaseIterable { case text, markdown, json, odrl }

        @Argument(help: ArgumentHelp("Id, digest, or the beginning of one.", valueName: "ID")) var id: String
        @Option(help: "How to show it.") var format: Format = .text
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            guard format != .odrl else {
                throw Problem(.notYet, "ODRL is not in this version", try: "hansa agreement show \(id.printable()) --format json")
            }
            return try ask(.agreementShow(id: id, format: format.rawValue), terminal) { document, style in
                if format == .json { return String(decoding: document.serialized(pretty: true), as: UTF8.self) }
                return document["text"]?.string.map(Agreement.printable) ?? Outline.render(document, style)
            }
        }
    }

    struct Accept: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Sign an agreement that the other city proposed.",
            discussion: """
                Examples:
                  hansa agreement accept exchange-2026
                  hansa agreement accept exchange-2026 --yes
                  hansa agreement accept exchange-2026 --officer-key /media/usb/officer.pem
                """)
        @Argument(help: ArgumentHelp("Id, digest, or the beginning of one.", valueName: "ID")) var id: String
        @OptionGroup var officer: OfficerKey
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            // What is shown is what is signed: the digest that the text came with, not a name that might mean another by then.
            var accepted = id
            if terminal.isInteractive, !global.yes, !global.dryRun {
                let shown = try result(of: .agreementShow(id: id, format: "text"), terminal)
                if let digest = shown["digest"]?.string { accepted = digest }
                terminal.note(Agreement.printable(shown["text"]?.string ?? ""))
                guard terminal.confirms("Sign this agreement for your city?") else {
                    throw Problem(.interrupted, "not signed", exit: .failed)
                }
            }
            let files = try officer.files(for: { .accept(accepted) }, terminal)
            return try ask(
                .agreementAccept(id: accepted, signsHere: officer.file != nil, dryRun: global.dryRun), terminal, files: files)
        }
    }

    struct Reject: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Decline an agreement that we have not signed.",
            discussion: """
                Examples:
                  hansa agreement reject exchange-2026 --reason "the ceiling is too high"
                  hansa agreement reject exchange-2026 --reason "not now" -n
                  hansa agreement list
                """)
        @Argument(help: ArgumentHelp("Id, digest, or the beginning of one.", valueName: "ID")) var id: String
        @Option(help: ArgumentHelp("For the other city, and for the record.", valueName: "TEXT")) var reason: String
        @OptionGroup var officer: OfficerKey
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            let files = try officer.files(for: { .reject(id, reason: reason) }, terminal)
            return try ask(
                .agreementReject(id: id, reason: reason, signsHere: officer.file != nil, dryRun: global.dryRun), terminal,
                files: files)
        }
    }

    struct Terminate: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "End an agreement that we have signed; sharing under it stops at once.",
            discussion: """
                Examples:
                  hansa agreement terminate exchange-2026 --reason "the project is over"
                  hansa agreement terminate exchange-2026 --reason "the project is over" -n
                  hansa agreement list
                """)
        @Argument(help: ArgumentHelp("Id, digest, or the beginning of one.", valueName: "ID")) var id: String
        @Option(help: ArgumentHelp("For the other city, and for the record.", valueName: "TEXT")) var reason: String
        @OptionGroup var officer: OfficerKey
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            let files = try officer.files(for: { .terminate(id, reason: reason) }, terminal)
            return try ask(
                .agreementTerminate(id: id, reason: reason, signsHere: officer.file != nil, dryRun: global.dryRun), terminal,
                files: files)
        }
    }

    struct Renew: NotYetCommand {
        static let configuration = notYetConfiguration("Extend an agreement.", example: "hansa agreement renew mobility-2026")
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }

    /// A text of several lines that the other city wrote, made safe line by line.
    static func printable(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0).printable(charactersMax: 20_000) }.joined(
            separator: "\n")
    }
}
