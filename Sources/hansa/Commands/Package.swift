internal import ArgumentParser
internal import HansaAPI
internal import HansaCore
internal import HansaNode

struct Package: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Packages: made, published, received, checked out.",
        discussion: """
            Examples:
              hansa package publish data/roads --tlp GREEN
              hansa package list
              hansa package checkout auckland.nz/pedestrians ./pedestrians
            """,
        subcommands: [
            New.self, Check.self, Publish.self, List.self, Show.self, History.self, Diff.self, Checkout.self, Verify.self,
            Withdraw.self, Match.self,
        ])

    struct New: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Describe a directory: write its datapackage.json.",
            discussion: """
                Examples:
                  hansa package new dataset data/roads
                  hansa package new dataset data/roads -n
                  hansa package new dataset data/roads --force
                """)
        @Argument(help: ArgumentHelp("dataset, practice, profile, offer or challenge.", valueName: "KIND")) var kind: String
        @Argument(help: ArgumentHelp("The directory.", valueName: "DIR")) var directory: String
        @Flag(help: "Replace an existing datapackage.json.") var force = false
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            guard PackageKind(rawValue: kind) != nil else {
                let near = NearMiss.nearest(to: kind, among: PackageKind.allCases.map(\.rawValue))
                throw Problem(
                    .usage,
                    "'\(kind.printable())' is no kind of package: \(PackageKind.allCases.map(\.rawValue).joined(separator: ", "))",
                    try: near.map { "hansa package new \($0) \(directory)" })
            }
            let files = try ListedDirectories(reading: directory, entersHidden: false)
            let path = files.items[0].path + "/datapackage.json"
            if !force, !global.dryRun, LocalFile.exists(path) {
                throw Problem(
                    .fileUnreadable, "\(path.printable(charactersMax: 500)) exists already, and is not overwritten",
                    try: "hansa package new \(kind) \(directory.printable()) --force")
            }
            let document = try result(of: .packageNew(kind: kind), terminal, files: .listed(files))
            let text = document["datapackage"]?.string ?? ""
            if !global.dryRun { try LocalFile.write(text, to: path, replacing: force) }
            terminal.show(document) { _, _ in
                global.dryRun ? text : "written to \(path.printable(charactersMax: 500)); next: hansa package check \(directory)"
            }
            return .ok
        }
    }

    struct Check: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check a directory before it is published.",
            discussion: """
                Examples:
                  hansa package check data/roads
                  hansa package check data/roads --json
                  hansa package new dataset data/roads
                """)
        @Argument(help: ArgumentHelp("The directory.", valueName: "DIR")) var directory: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(
                .packageCheck, terminal, files: .listed(try ListedDirectories(reading: directory, entersHidden: false)),
                text: Package.findings)
        }
    }

    struct List: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "All packages, our own and received.",
            discussion: """
                Examples:
                  hansa package list
                  hansa package list --json
                  hansa package list --json --stream
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.packageList, terminal) { document, style in
                Table(
                    columns: [
                        Table.Column("PACKAGE", "package"), Table.Column("KIND", "kind"), Table.Column("VERSION", "version"),
                        Table.Column("TLP", "tlp"), Table.Column("SIZE", "bytes"), Table.Column("ORIGIN", "origin"),
                        Table.Column("TITLE", "title"),
                    ], emptyText: "no packages yet; next: hansa package publish DIR"
                ).render(document["packages"]?.array ?? [], style)
            }
        }
    }

    struct Show: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "One release: metadata, files, signatures, agreements.",
            discussion: """
                Examples:
                  hansa package show kitchener.ca/roads
                  hansa package show kitchener.ca/roads@1.2.0
                  hansa package show kitchener.ca/roads@sha256:0b52 --json
                """)
        @Argument(help: ArgumentHelp("city/path, or city/path@VERSION, @latest, @sha256:PREFIX.", valueName: "REF"))
        var reference: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.packageShow(reference: reference), terminal)
        }
    }

    struct History: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "All releases of a package.",
            discussion: """
                Examples:
                  hansa package history kitchener.ca/roads
                  hansa package history kitchener.ca/roads --json
                  hansa package show kitchener.ca/roads@1.0.0
                """)
        @Argument(help: ArgumentHelp("city/path.", valueName: "PACKAGE")) var package: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.packageHistory(package: package), terminal)
        }
    }

    struct Verify: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check the files of a checkout against their signed release.",
            discussion: """
                Examples:
                  hansa package verify ./roads
                  hansa package verify ./roads --json
                  hansa package verify ./roads || echo "do not use it"      6 when not valid
                """)
        @Argument(help: ArgumentHelp("The directory of a checkout.", valueName: "DIR")) var directory: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(
                .packageVerify, terminal, files: .listed(try ListedDirectories(reading: directory, entersHidden: true)),
                text: Package.findings)
        }
    }

    struct Withdraw: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a package back, from everybody who was given it.",
            discussion: """
                Examples:
                  hansa package withdraw kitchener.ca/roads --reason "personal data"
                  hansa package withdraw kitchener.ca/roads --reason "superseded" -n
                  hansa package history kitchener.ca/roads
                """)
        @Argument(help: ArgumentHelp("city/path.", valueName: "PACKAGE")) var package: String
        @Option(help: ArgumentHelp("For partners, and for the record.", valueName: "TEXT")) var reason: String
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.packageWithdraw(package: package, reason: reason, dryRun: global.dryRun), terminal)
        }
    }

    struct Match: NotYetCommand {
        static let configuration = notYetConfiguration(
            "Offers that answer a challenge.", example: "hansa package match kitchener.ca/challenges/flooding")
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }

    /// `valid` and `findings`, of check and verify.
    static func findings(_ document: JSONValue, _ style: Style) -> String {
        guard let valid = document["valid"]?.bool else { return Outline.render(document, style) }
        let what = ["package", "version"].compactMap { document[$0]?.string?.printable() }.joined(separator: " ")
        var text = "\(valid ? style.green("VALID") : style.red("NOT VALID"))\(what.isEmpty ? "" : "  " + what)\n"
        for finding in document["findings"]?.array ?? [] {
            text += "  \(Style.text(finding["file"])): \(Style.text(finding["problem"]))\n"
        }
        return text + Outline.render(document, style, leavingOut: ["package", "version", "valid", "findings"])
    }
}
