internal import ArgumentParser
internal import HansaAPI
internal import HansaCore
internal import HansaNode

struct Audit: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The exchange log: who did what, and proofs of it.",
        discussion: """
            Examples:
              hansa audit log --since 7d --partner auckland.nz
              hansa audit verify
              hansa audit checkpoint > checkpoint.txt
            """,
        subcommands: [
            Log.self, Show.self, Verify.self, Checkpoint.self, Events.self, Proof.self, Receipt.self, Reconcile.self, Export.self,
            Report.self,
            Bundle.self,
        ])

    struct Log: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Entries of the log, filtered.",
            discussion: """
                Examples:
                  hansa audit log --since 7d
                  hansa audit log --partner auckland.nz --outcome refused
                  hansa audit log --json --stream > log.jsonl
                """)
        @Option(help: ArgumentHelp("From this time: 7d, 2026-11-01, or RFC 3339 UTC.", valueName: "TIME")) var since: Moment?
        @Option(help: ArgumentHelp("Before this time.", valueName: "TIME")) var until: Moment?
        @Option(help: ArgumentHelp("Only with this city.", valueName: "CITY")) var partner: String?
        @Option(help: ArgumentHelp("Only of this package.", valueName: "PACKAGE")) var package: String?
        @Option(help: ArgumentHelp("Only under this agreement.", valueName: "ID")) var agreement: String?
        @Option(help: ArgumentHelp("Only this event; see hansa audit events.", valueName: "EVENT")) var event: String?
        @Option(help: ArgumentHelp("Only with this outcome.", valueName: "OUTCOME")) var outcome: String?
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            let now = terminal.now
            let filter = LogFilter(
                since: since?.text(now: now), until: until?.text(now: now), partner: partner, package: package,
                agreement: agreement, event: event,
                outcome: outcome)
            // One document needs all entries; a stream prints them as they come.
            var kept: [JSONValue] = []
            let streaming = terminal.isJSON && terminal.streams
            let document = try withNode(terminal) { node throws(Problem) in
                try node.run(.auditLog(filter)) { batch in
                    if streaming { for entry in batch { terminal.writeLine(entry) } } else { kept.append(contentsOf: batch) }
                }
            }
            // A node that does not stream has them in the document.
            let entries = kept + (document["entries"]?.array ?? [])
            if streaming {
                for entry in document["entries"]?.array ?? [] { terminal.writeLine(entry) }
                return .ok
            }
            let members = (document.object ?? []).filter { $0.name != "entries" && $0.name != "schema" }
            terminal.show(
                .object([JSONMember("schema", "hansa.audit-log/1"), JSONMember("entries", .array(entries))] + members),
                text: Self.text)
            return .ok
        }

        private static func text(_ document: JSONValue, _ style: Style) -> String {
            Table(
                columns: [
                    Table.Column("INDEX", "index"), Table.Column("TIME", "time"), Table.Column("EVENT", "event"),
                    Table.Column("ACTOR", "actor"),
                    Table.Column("PARTNER", "partner"),
                    Table.Column("PACKAGE", "package"), Table.Column("AGREEMENT", "agreement"), Table.Column("CLAUSE", "clause"),
                    Table.Column("OUTCOME", "outcome"), Table.Column("REASON", "reason"),
                ], emptyText: "no entries"
            ).render(document["entries"]?.array ?? [], style)
        }
    }

    struct Show: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "One entry of the log, whole.",
            discussion: """
                Examples:
                  hansa audit show 42
                  hansa audit show 42 --json
                  hansa audit log --since 1d
                """)
        @Argument(help: ArgumentHelp("The entry's index; the first is 0.", valueName: "INDEX")) var index: UInt64
        @Option(help: ArgumentHelp("Which log, where hansa restore closed one; the last without it.", valueName: "NUMBER"))
        var log: Int?
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.auditShow(index: index, log: log), terminal)
        }
    }

    struct Verify: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check the whole log against its signed checkpoint.",
            discussion: """
                Examples:
                  hansa audit verify
                  hansa audit verify --against checkpoint-of-june.txt
                  hansa audit verify --json      6 when not valid
                """)
        @Option(help: ArgumentHelp("A checkpoint kept from before: the log must hold all that it did then.", valueName: "FILE"))
        var against: String?
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            let checkpoint = try against.map { path throws(Problem) in try LocalFile.text(path) }
            return try ask(.auditVerify(against: checkpoint), terminal) { document, style in
                let valid = document["valid"]?.bool == true
                // One log alone needs no name; of several the last is the one that grows.
                let closed = (document["logs"]?.array ?? []).filter { $0["closed"]?.bool == true }.count
                let origin = closed == 0 ? nil : document["logs"]?.array?.last?["origin"]
                let entries = document["size"]?.integer == 1 ? "entry" : "entries"
                var text =
                    "\(valid ? style.green("VALID") : style.red("NOT VALID"))  \(origin.map { Style.text($0) + ": " } ?? "")"
                text += "\(Style.text(document["size"])) \(entries), root \(Style.text(document["root"]))"
                text += closed == 0 ? "\n" : "; and \(closed) closed log\(closed == 1 ? "" : "s") before it\n"
                for finding in document["findings"]?.array ?? [] {
                    let problem = Style.text(finding["problem"])
                    text += "  \(finding["damage"]?.bool == false ? problem : style.red(problem))\n"
                }
                return text
            }
        }
    }

    struct Checkpoint: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "The log's latest signed checkpoint: keep it, and verify against it later.",
            discussion: """
                Examples:
                  hansa audit checkpoint > checkpoint.txt
                  hansa audit checkpoint --json
                  hansa audit verify --against checkpoint.txt
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.auditCheckpoint, terminal) { document, style in
                // A signed note: byte for byte, or its signature is worth nothing.
                document["note"]?.string ?? document["checkpoint"]?.string ?? Outline.render(document, style)
            }
        }
    }

    struct Events: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "The events that the log knows.",
            discussion: """
                Examples:
                  hansa audit events
                  hansa audit events --json
                  hansa audit log --event agreement.accepted
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            terminal.show(NodeBootstrap.auditEvents) { Outline.render($0, $1) }
            return .ok
        }
    }

    struct Proof: NotYetCommand {
        static let configuration = notYetConfiguration("Prove one entry to somebody else.", example: "hansa audit proof 42")
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }

    struct Receipt: NotYetCommand {
        static let configuration = notYetConfiguration(
            "A partner's signed receipt of a release.", example: "hansa audit receipt auckland.nz kitchener.ca/roads@1.0.0")
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }

    struct Reconcile: NotYetCommand {
        static let configuration = notYetConfiguration(
            "Compare our log with a partner's.", example: "hansa audit reconcile auckland.nz")
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }

    struct Export: NotYetCommand {
        static let configuration = notYetConfiguration("The log for other programs.", example: "hansa audit export --format csv")
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }

    struct Report: NotYetCommand {
        static let configuration = notYetConfiguration(
            "What was exchanged in a period.", example: "hansa audit report --period 2026Q3")
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }

    struct Bundle: NotYetCommand {
        static let configuration = notYetConfiguration(
            "All evidence of one release's exchange in one file.",
            example: "hansa audit bundle kitchener.ca/roads@1.0.0 auckland.nz --out evidence.zip")
        @Argument(parsing: .allUnrecognized) var words: [String] = []
        @OptionGroup var global: GlobalOptions
    }
}
