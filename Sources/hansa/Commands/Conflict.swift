internal import ArgumentParser
internal import HansaAPI
internal import HansaCore
internal import HansaNode

struct Conflict: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Packages about which releases contradict each other.",
        discussion: """
            A fork: a city signed two releases under one number. A fence: a partner holds a release of ours that we do not know.
            Heads: several cities write the package and published beside one another. Waiting: a maintainer's release that the owner has not taken up.
            Examples:
              hansa conflict list
              hansa conflict show kitchener.ca/roads
              hansa conflict resolve kitchener.ca/roads --take kitchener.ca/roads@1.2.0
            """,
        subcommands: [List.self, Show.self, Resolve.self, Merge.self])

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
                Of several heads, the one taken, or the merged directory, becomes a release of ours that follows all of them. A directory that
                `conflict merge` made follows the heads it was made of: where another came since, nothing is signed, and exit code 9 says so.
                Of a partner's fork, a release that is held becomes the head again. Of a fence, our numbers go on far above what was shown.
                Examples:
                  hansa conflict resolve kitchener.ca/roads --take kitchener.ca/roads@1.2.0
                  hansa conflict resolve kitchener.ca/regional/assets --merge ./merged
                  hansa conflict resolve kitchener.ca/roads --take kitchener.ca/roads@latest -n
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
            guard let merge else {
                return try ask(.conflictResolve(package: package, take: take, merge: false, dryRun: global.dryRun), terminal)
            }
            // The node says whether a directory may decide it, and which heads there are; then it is published as any other, upon those that its note
            // names, or that there were when this began.
            let files = try ListedDirectories(publishing: [merge], name: package, base: nil)
            let file = MergeNoteFile(in: merge)
            let note = try file.read()
            let published = try withNode(terminal) { node throws(Problem) in
                let now = try node.run(.conflictResolve(package: package, take: nil, merge: true, dryRun: true))
                let heads = (now["heads"]?.array ?? []).compactMap { $0.string.flatMap { Digest(prefixed: $0) } }
                let made = note.flatMap { $0.package == package ? $0 : nil } ?? MergeNote(package: package, heads: heads)
                let options = PublishOptions(dryRun: global.dryRun, name: package, merge: true, merges: [made])
                return try node.run(.packagePublish(options), files: .listed(files))
            }
            if !global.dryRun { file.remove() }
            let document: JSONValue = [
                "schema": "hansa.conflict-resolve/1", "package": .string(package), "head": published["release"] ?? .null,
                "version": published["version"] ?? .null, "resolved": 1, "dryRun": .bool(global.dryRun),
            ]
            terminal.show(document, text: { Outline.render($0, $1) })
            return .ok
        }
    }

    struct Merge: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Propose one version from two heads, cell by cell.",
            discussion: """
                Tables are merged by primary key against the version both came from; each cell taken from the other head is listed. What
                contradicts itself stays as the head that counts has it, and is listed for a person. Nothing is signed without --publish.
                DIR/.hansa-merge says which heads were merged; it is no part of what is published.
                Examples:
                  hansa conflict merge kitchener.ca/regional/assets
                  hansa conflict merge kitchener.ca/regional/assets ./merged
                  hansa conflict merge kitchener.ca/regional/assets --publish
                """)
        @Argument(help: ArgumentHelp("city/path.", valueName: "PACKAGE")) var package: String
        @Argument(help: ArgumentHelp("A new directory for the merged files.", valueName: "DIR"), completion: .directory)
        var directory: String?
        @Option(help: ArgumentHelp("The other head, where there are more than two.", valueName: "REF")) var with: String?
        @Flag(help: "Sign the merge, if nothing is left to decide.") var publish = false
        @Option(help: ArgumentHelp("How many cells and conflicts to list for each table.", valueName: "N")) var limit = 100
        @OptionGroup var global: GlobalOptions

        mutating func validate() throws {
            guard (0...1000).contains(limit) else { throw ValidationError("--limit is between 0 and 1000") }
        }

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            let request = AdminRequest.conflictMerge(
                package: package, with: with, publish: publish, limit: limit, writes: directory != nil, dryRun: global.dryRun)
            guard let directory else { return try ask(request, terminal) }
            let target = try CheckoutTarget(
                directory: directory, outside: HomeLocation.find(option: global.home, environment: terminal.environment),
                changesNothing: global.dryRun)
            return try ask(request, terminal, files: .target(target))
        }
    }
}
